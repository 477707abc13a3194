//! What the preflight says of each kind of repository and token.

use pullwright_github::Secret;
use pullwright_tool_kit::protocol::forge::Preflight;
use serde_json::{Value, json};

use crate::client::{Client, config, repository};
use crate::fault_server::{FaultServer, Reply, Step, ok, status, with_headers};

const LOOK: &str = "GET /repos/octo/demo";

/// The repository as GitHub shows it to somebody who may push.
pub(crate) fn demo() -> Value {
    json!({
        "full_name": "octo/demo", "default_branch": "trunk", "private": false, "archived": false,
        "disabled": false, "size": 108,
        "permissions": {"admin": false, "maintain": false, "push": true, "triage": true, "pull": true}
    })
}

fn changed(change: Value) -> Value {
    let mut demo = demo();
    demo.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    demo
}

async fn preflight(script: Vec<Step>) -> Result<Preflight, String> {
    let peer = FaultServer::start(script).await;
    let client = Client::start(config(&peer.url)).await;
    let answer = client.pipeline("preflight", &repository()).await;
    peer.finish();
    answer
}

#[tokio::test]
async fn a_repository_we_may_push_to() {
    let seen = preflight(vec![(LOOK, ok(demo()))]).await.unwrap();
    let expected = Preflight {
        default_branch: "trunk".to_owned(),
        can_push: true,
        why_no_push: None,
        can_fork: true,
        why_no_fork: None,
        why_no_workflows: None,
        merge_needs: vec![],
        archived: false,
        private: false,
        size_kib: Some(108),
        warnings: vec![],
    };
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn each_obstacle_is_named_with_its_remedy() {
    let no_scopes = with_headers(200, &[("x-oauth-scopes", "read:org, gist")], demo());
    let public_scope = [("x-oauth-scopes", "public_repo")];
    let private = with_headers(200, &public_scope, changed(json!({"private": true})));
    let table: [(Reply, &str); 6] = [
        (
            ok(changed(json!({"permissions": {"push": false}}))),
            "cannot push to octo/demo",
        ),
        (
            ok(changed(json!({"permissions": null}))),
            "Contents and Pull requests",
        ),
        (ok(changed(json!({"archived": true}))), "unarchive it"),
        (ok(changed(json!({"disabled": true}))), "disabled octo/demo"),
        (no_scopes, "add the scope `public_repo`"),
        (private, "add the scope `repo`"),
    ];
    for (reply, expected) in table {
        let seen = preflight(vec![(LOOK, reply)]).await.unwrap();
        assert!(!seen.can_push, "{expected}");
        let warnings = seen.warnings.join("\n");
        assert!(warnings.contains(expected), "{warnings}");
        let why = seen.why_no_push.unwrap();
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_classic_token_with_the_right_scope_may_push() {
    for scopes in ["repo, workflow", "public_repo"] {
        let reply = with_headers(200, &[("x-oauth-scopes", scopes)], demo());
        assert!(
            preflight(vec![(LOOK, reply)]).await.unwrap().can_push,
            "{scopes}"
        );
    }
}

#[tokio::test]
async fn without_a_token_the_variable_is_named() {
    let peer = FaultServer::start([(LOOK, ok(changed(json!({"permissions": null}))))]).await;
    let mut config = config(&peer.url);
    config.token = None;
    let client = Client::start(config).await;
    let seen: Preflight = client.pipeline("preflight", &repository()).await.unwrap();
    assert!(!seen.can_push);
    assert!(
        seen.warnings[0].contains("set MY_TOKEN to one with"),
        "{:?}",
        seen.warnings
    );
    assert_eq!(peer.finish()[0].header("authorization"), None);
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let pat = json!({"message": "Resource not accessible by personal access token"});
    let needed = [("x-accepted-github-permissions", "metadata=read")];
    let sso = [(
        "x-github-sso",
        "required; url=https://github.com/orgs/octo/sso?x=1",
    )];
    let table: [(Reply, &[&str]); 7] = [
        (
            status(401, json!({"message": "Bad credentials"})),
            &["MY_TOKEN", "expired or revoked"],
        ),
        (
            with_headers(403, &needed, pat),
            &["give it metadata=read", "MY_TOKEN"],
        ),
        (
            with_headers(403, &sso, json!({})),
            &["authorise", "https://github.com/orgs/octo/sso?x=1"],
        ),
        (
            status(404, json!({"message": "Not Found"})),
            &["does not exist", "MY_TOKEN cannot see it"],
        ),
        (
            status(410, json!({"message": "Gone"})),
            &["deleted or is switched off"],
        ),
        (
            status(451, json!({"message": "Repository unavailable"})),
            &["legal reasons"],
        ),
        (
            ok(changed(json!({"default_branch": null}))),
            &["no default branch", "first commit"],
        ),
    ];
    for (reply, expected) in table {
        let message = preflight(vec![(LOOK, reply)]).await.unwrap_err();
        for part in expected {
            assert!(message.contains(part), "`{part}` is not in `{message}`");
        }
    }
}

#[tokio::test]
async fn a_renamed_repository_is_answered_with_its_new_name() {
    let peer = FaultServer::start([]).await;
    let location = format!("{}/repositories/7", peer.url);
    drop(peer);
    // The location must be on the API's own origin, which is known only once it listens.
    for (location, new_name_known) in [
        ("/repositories/7", true),
        (&*location, false),
        ("https://evil.example/repositories/7", false),
    ] {
        let moved = with_headers(301, &[("location", location)], json!({"message": "Moved"}));
        let mut script = vec![(LOOK, moved)];
        if new_name_known {
            let renamed = changed(json!({"full_name": "octo/renamed"}));
            script.push(("GET /repositories/7", ok(renamed)));
        }
        let message = preflight(script).await.unwrap_err();
        let expected = if new_name_known {
            "octo/demo was renamed to octo/renamed: use https://github.com/octo/renamed"
        } else {
            "use its new address"
        };
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_name_that_would_leave_its_place_in_the_url_is_refused_unasked() {
    let peer = FaultServer::start([]).await;
    let client = Client::start(config(&peer.url)).await;
    for name in ["..", "demo/../../user", "demo?x", "", "a b"] {
        let mut odd = repository();
        odd.name = name.to_owned();
        let message = client
            .pipeline::<Preflight>("preflight", &odd)
            .await
            .unwrap_err();
        assert!(
            message.contains("is not a GitHub repository name"),
            "{message}"
        );
    }
    assert!(peer.finish().is_empty());
}

async fn preflight_as(token: &str, reply: Reply) -> Preflight {
    let peer = FaultServer::start([(LOOK, reply)]).await;
    let mut config = config(&peer.url);
    config.token = Some(Secret::new(token));
    let client = Client::start(config).await;
    let seen = client.pipeline("preflight", &repository()).await.unwrap();
    peer.finish();
    seen
}

#[tokio::test]
async fn who_cannot_fork_is_told_why() {
    let classic = "ghp_sesame0123456789";
    let gists = [("x-oauth-scopes", "gist")];
    let table: [(&str, Reply, &str); 5] = [
        ("github_pat_sesame0123456789", ok(demo()), "fine-grained"),
        ("ghs_sesame0123456789", ok(demo()), "GitHub App"),
        (
            classic,
            ok(changed(json!({"allow_forking": false}))),
            "allows no forks",
        ),
        (
            classic,
            ok(changed(json!({"archived": true}))),
            "takes no changes",
        ),
        (
            classic,
            with_headers(200, &gists, demo()),
            "add the scope `public_repo`",
        ),
    ];
    for (token, reply, expected) in table {
        let seen = preflight_as(token, reply).await;
        assert!(!seen.can_fork, "{expected}");
        let why = seen.why_no_fork.unwrap();
        assert!(why.contains(expected), "{why}");
    }
    let reader = changed(json!({"permissions": {"push": false}, "allow_forking": true}));
    let seen = preflight_as(classic, ok(reader)).await;
    assert!(seen.can_fork && !seen.can_push);
}

#[tokio::test]
async fn whether_workflows_can_be_pushed_is_said_where_it_is_known() {
    let with_scopes = |scopes| with_headers(200, &[("x-oauth-scopes", scopes)], demo());
    for (answer, expected) in [
        (with_scopes("repo"), Some("scope `workflow`")),
        (with_scopes("repo, workflow"), None),
        // A fine-grained token: GitHub does not say.
        (ok(demo()), None),
    ] {
        let seen = preflight(vec![(LOOK, answer)]).await.unwrap();
        assert!(seen.can_push);
        match (seen.why_no_workflows, expected) {
            (Some(why), Some(expected)) => assert!(why.contains(expected), "{why}"),
            (why, expected) => assert_eq!(why.as_deref(), expected),
        }
    }
}
