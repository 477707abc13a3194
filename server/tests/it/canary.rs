//! A token for the code host is seen by that host, and by nothing else: whole runs of the program itself, with
//! a token that is looked for afterwards in everything that it said, wrote and started.

mod github;
mod ground;
mod model;
mod needle;
mod watch;

use std::io::Write as _;
use std::process::Stdio;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::in_time;
use ground::{Account, Ground, NO_FORGE, Remote};
use needle::Needle;
use watch::Watch;

/// It is another one as part of a URL.
const TOKEN: &str = "cnry_p+Q7x/K2mV9=wT4zR8bN";

/// Each account does the job, is not let push, and is not let propose.
async fn plays(account: Account) {
    let ground = Ground::start(account).await;
    let proposed = ground.code(Remote::Takes).await;
    assert_eq!(proposed.outcome(), "pull request", "{}", proposed.text);
    let not_pushed = ground.code(Remote::Echoes).await;
    assert_eq!(not_pushed.outcome(), "patch only", "{}", not_pushed.text);
    assert!(
        not_pushed.text.contains("you sent Basic …"),
        "git complains: {}",
        not_pushed.text
    );
    ground.github.echo();
    let not_proposed = ground.code(Remote::Takes).await;
    assert_eq!(
        not_proposed.outcome(),
        "failed(forge)",
        "{}",
        not_proposed.text
    );
    assert!(ground.github.was_authorized(), "the token was not used");
    ground
        .assert_clean([proposed, not_pushed, not_proposed])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_personal_token_is_seen_by_its_host_alone() {
    plays(Account::Variable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_an_app_is_seen_by_its_host_alone() {
    plays(Account::App).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_s_token_is_seen_by_its_host_alone() {
    plays(Account::Caller { is_sealed: false }).await;
}

/// What the mirror holds is for those who may read the repository now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_lost_its_right_goes_on_with_nothing_and_keeps_its_work() {
    let hide = |ground: &Ground| ground.takes.refuse(Some(StatusCode::NOT_FOUND));
    let (ground, run) = is_killed_and(Account::Variable, hide).await;
    let heard = ground.heard_of(&run).await;
    assert_eq!(heard.outcome(), "failed(repository)", "{}", heard.text);
    let summary = heard.done()["summary"].to_string();
    assert!(
        summary.contains("is not a repository that can be seen"),
        "{summary}"
    );
    let patch = ground.get(&format!("/v1/runs/{run}/patch")).await;
    assert!(patch.contains("+hi"), "{patch}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_git_host_that_is_away_for_a_moment_ends_no_run() {
    let away = |ground: &Ground| ground.takes.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    let (ground, run) = is_killed_and(Account::Variable, away).await;
    in_time(ground.takes.until_refused()).await;
    ground.takes.refuse(None);
    let heard = ground.heard_of(&run).await;
    assert_eq!(heard.outcome(), "pull request", "{}", heard.text);
    assert!(heard.text.contains("trying again in 2 s"), "{}", heard.text);
}

/// The model has made its edit when the server dies.
async fn is_killed_at_work(account: Account) -> (Ground, String) {
    is_killed_and(account, |_| {}).await
}

/// The model has made its edit when the server dies; then something happens before another one goes on.
async fn is_killed_and(account: Account, meanwhile: impl FnOnce(&Ground)) -> (Ground, String) {
    let mut ground = Ground::start(account).await;
    ground.hold(2);
    let token = matches!(account, Account::Caller { .. }).then_some(TOKEN);
    let begun = ground
        .post(
            "/v1/runs",
            &ground.job(Remote::Takes),
            token.as_slice(),
            None,
        )
        .await;
    assert_eq!(begun.status(), 202);
    let run = begun.headers()["x-run-id"].to_str().unwrap().to_owned();
    ground.until_held().await;
    let is_sealed = account == Account::Caller { is_sealed: true };
    assert_eq!(ground.has_sealed_token(&run).await, is_sealed);
    meanwhile(&ground);
    ground.replace_server().await;
    ground.release();
    (ground, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_token_outlives_its_server() {
    let (ground, run) = is_killed_at_work(Account::Caller { is_sealed: true }).await;
    let heard = ground.heard_of(&run).await;
    assert_eq!(heard.outcome(), "pull request", "{}", heard.text);
    assert!(!ground.has_sealed_token(&run).await, "it is kept for ever");
    ground.assert_clean([heard]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_memory_ends_its_run_with_its_server_and_the_work_is_kept() {
    let (ground, run) = is_killed_at_work(Account::Caller { is_sealed: false }).await;
    let heard = ground.heard_of(&run).await;
    assert_eq!(heard.outcome(), "failed(credential)", "{}", heard.text);
    let summary = heard.done()["summary"].to_string();
    assert!(summary.contains("token_key_env"), "{summary}");
    let patch = ground.get(&format!("/v1/runs/{run}/patch")).await;
    assert!(patch.contains("+hi"), "{patch}");

    let messages = format!("/v1/runs/{run}/messages");
    let said = json!({ "message": "Go on" });
    let refused = ground.post(&messages, &said, &[], None).await;
    assert_eq!(refused.status(), 422);
    let refused = refused.text().await.unwrap();
    assert!(refused.contains("X-Forge-Token"), "{refused}");
    assert_eq!(ground.runs().await, 1);
    let taken = ground.post(&messages, &said, &[TOKEN], None).await;
    assert_eq!(taken.status(), 202);
    let next = taken.headers()["x-run-id"].to_str().unwrap().to_owned();
    let next = ground.heard_of(&next).await;
    assert_eq!(next.outcome(), "pull request", "{}", next.text);
    ground.assert_clean([heard, next]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_comes_in_its_header_or_not_at_all() {
    let ground = Ground::start(Account::Caller { is_sealed: true }).await;
    let job = ground.job(Remote::Takes);
    let long = "a".repeat(4097);
    let refusals: [(&[&str], &str); 5] = [
        (&[""], "it is empty"),
        (&["two words"], "visible ASCII"),
        (&["tökén"], "visible ASCII"),
        (&[&long], "longer than 4096 bytes"),
        (&[TOKEN, TOKEN], "more than once"),
    ];
    for (tokens, why) in refusals {
        for path in ["/code", "/v1/runs"] {
            let answer = ground.post(path, &job, tokens, None).await;
            assert_eq!(answer.status(), 400, "{why}");
            let told = answer.text().await.unwrap();
            assert!(
                told.contains(why) && told.contains("\"credential\""),
                "{told}"
            );
        }
    }
    for (query, field) in [
        ("?forge_token=", ""),
        ("?X-Forge-Token=", ""),
        ("", "forgeToken"),
        ("", "callerToken"),
    ] {
        let mut body = job.clone();
        if !field.is_empty() {
            body[field] = TOKEN.into();
        }
        let path = match query {
            "" => "/code".to_owned(),
            query => format!("/code{query}{TOKEN}"),
        };
        let answer = ground.post(&path, &body, &[], None).await;
        assert_eq!(answer.status(), 400, "{path}");
        let told = answer.text().await.unwrap();
        assert!(told.contains("in the header X-Forge-Token only"), "{told}");
        assert!(!told.contains("cnry"), "{told}");
    }
    // Nobody here is a forge for that host.
    let elsewhere = format!("http://{NO_FORGE}/owner/project");
    let elsewhere = json!({ "repoUrl": elsewhere, "prompt": "Greet" });
    let answer = ground.post("/code", &elsewhere, &[TOKEN], None).await;
    assert_eq!(answer.status(), 422);
    let told = answer.text().await.unwrap();
    assert!(told.contains("no forge of this server"), "{told}");
    // A proxy tells how it was asked.
    let client = ("X-Forwarded-For", "203.0.113.7");
    let tls = ("X-Forwarded-Proto", "https");
    for headers in [&[client][..], &[client, ("X-Forwarded-Proto", "http")]] {
        let (status, told) = ground.through_proxy(&job, headers).await;
        assert_eq!(status, 400, "{told}");
        assert!(
            told.contains("over plain HTTP") && told.contains("revoke it"),
            "{told}"
        );
    }
    let (status, told) = ground.through_proxy(&elsewhere, &[client, tls]).await;
    assert_eq!(status, 422, "{told}");
    assert_eq!(ground.runs().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_joins_the_run_whichever_token_it_comes_with() {
    let ground = Ground::start(Account::Caller { is_sealed: true }).await;
    let job = ground.job(Remote::Takes);
    ground.hold(0);
    let first = ground.post("/v1/runs", &job, &[TOKEN], Some("key")).await;
    let retry = ground.post("/v1/runs", &job, &["other"], Some("key")).await;
    assert_eq!(first.headers()["x-run-id"], retry.headers()["x-run-id"]);
    // That would be another account, so it is another request.
    let without = ground.post("/v1/runs", &job, &[], Some("key")).await;
    assert_eq!(without.status(), 422);
    ground.release();
    let run = first.headers()["x-run-id"].to_str().unwrap();
    let heard = ground.heard_of(run).await;
    assert_eq!(heard.outcome(), "pull request", "{}", heard.text);
    // One without is the server's own account, which may not even see the repository.
    let own = ground.post("/v1/runs", &job, &[], None).await;
    let own = own.headers()["x-run-id"].to_str().unwrap().to_owned();
    let own = ground.heard_of(&own).await;
    assert_eq!(own.outcome(), "failed(forge)", "{}", own.text);
    assert!(!own.text.contains("src/greeting"), "{}", own.text);
    assert_eq!(own.done()["usage"]["outputTokens"], 0, "it cost money");
    ground.assert_clean([heard, own]).await;
}

/// The search itself: what finds nothing must be able to find something.
#[tokio::test]
async fn what_is_planted_is_found() {
    let needle = Needle::new(TOKEN);
    for planted in [
        format!("Bearer {TOKEN}"),
        "eC1hY2Nlc3MtdG9rZW46Y25yeV9wK1E3eC9LMm1WOT13VDR6UjhiTg==".to_owned(),
        "https://x:cnry_p%2BQ7x%2FK2mV9%3DwT4zR8bN@host/".to_owned(),
        "cnry_p%2bQ7x%2fK2mV9%3dwT4zR8bN".to_owned(),
        Value::from(TOKEN).to_string(),
    ] {
        assert!(needle.is_in(planted.as_bytes()), "{planted}");
    }
    assert!(!needle.is_in(b"cnry_ and nothing more"));

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    assert_eq!(needle.files_below(folder.path()), Vec::<String>::new());
    std::fs::write(folder.path().join("deep/file"), format!("a{TOKEN}b")).unwrap();
    assert_eq!(needle.files_below(folder.path()).len(), 1);

    // A child is a copy of its parent before it becomes another program, so its name is not sure.
    for (script, what) in [
        ("cat; true", "environment"),
        (
            "read t; unset CANARY; sh -c 'read x; true' \"$t\"",
            "arguments",
        ),
    ] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).env("CANARY", TOKEN);
        shell.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut shell = shell.spawn().unwrap();
        let mut input = shell.stdin.take().unwrap();
        writeln!(input, "{TOKEN}").unwrap();
        Watch::of_descendants(shell.id(), needle.clone())
            .until_found_in(what)
            .await;
        drop(input);
        shell.wait().unwrap();
    }
}
