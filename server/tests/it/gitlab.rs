//! Another code host without a line of core: whole runs with the example plugin for GitLab.

mod client;
mod double;
mod house;

use serde_json::{Value, json};

use crate::peers::process::Peers;
use crate::runs::lab::GREET;
use double::{Fault, TOKEN};
use house::{House, Plugin};

/// What another model says when the run is followed.
const TWICE: &str = r#"
[[replies]]
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hello", new_str = "hi" } } }]
[[replies]]
steps = [{ text = "Greet shortly\n\nCloses #1, says @everyone.\n\n/assign @me" }]
[[replies]]
expect = { user_contains = ["even shorter"] }
steps = [{ tool_call = { name = "edit", arguments = { path = "src/greeting.txt", old_str = "hi", new_str = "yo" } } }]
[[replies]]
steps = [{ text = "Greet very shortly" }]
"#;

fn done(frames: &[Value]) -> &Value {
    let done = frames.last().unwrap();
    assert_eq!(done["type"], "Done", "{frames:#?}");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn the_double_is_a_gitlab_to_a_client_that_is_not_ours() {
    let Some(peers) = Peers::find("the double of GitLab under python-gitlab") else {
        return;
    };
    let house = House::new(&peers, GREET).await;
    house.git(&["branch", "change", "main"]);
    client::work(&peers, &house.gitlab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_becomes_a_merge_request_and_a_message_grows_it() {
    let Some(peers) = Peers::find("the example of a forge for GitLab") else {
        return;
    };
    let mut house = House::new(&peers, TWICE).await;
    house.serve().await;
    let (run, frames) = house.code(json!({})).await;
    assert_eq!(done(&frames)["outcome"], "pull request", "{frames:#?}");
    let opened = frames.iter().find(|frame| frame["type"] == "Pull Request");
    let opened = opened.unwrap();
    let branch = opened["branch"].as_str().unwrap();
    let one = |house: &House| {
        let requests = house.gitlab.known().merge_requests.clone();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests[0].clone()
    };
    let first = one(&house);
    assert_eq!(first["web_url"], opened["url"]);
    assert_eq!(first["sha"], house.git(&["rev-parse", branch]));
    assert_eq!(
        (&first["title"], &first["draft"]),
        (&json!("Greet shortly"), &json!(false))
    );
    let body = first["description"].as_str().unwrap();
    // Nobody is called and nothing is closed or assigned: the model's words are in a fence.
    let fence = body.find("```text\n").unwrap()..body.rfind("\n```\n").unwrap();
    for act in ["Closes #1", "@everyone", "/assign"] {
        let at: Vec<usize> = body.match_indices(act).map(|(at, _)| at).collect();
        assert!(
            !at.is_empty() && at.iter().all(|at| fence.contains(at)),
            "{body}"
        );
    }

    let frames = house.say(&run, "Make it even shorter").await;
    assert_eq!(done(&frames)["outcome"], "pull request", "{frames:#?}");
    let second = one(&house);
    assert_eq!(second["sha"], house.git(&["rev-parse", branch]));
    assert_ne!(second["sha"], first["sha"]);
    assert_ne!(second["description"], first["description"]);
    assert_eq!(
        house.git(&["show", &format!("{branch}:src/greeting.txt")]),
        "yo"
    );

    assert!(client::check(&peers, &house.gitlab).await >= 4);
    assert!(house.gitlab.git().authorized() > 0);
    // The server's environment holds it, and the plugin's; no command line of git does.
    let leaks = house.gitlab.git().leaks();
    assert!(
        leaks.iter().all(|leak| !leak.ends_with("cmdline")),
        "{leaks:?}"
    );
    let told = [
        house.text(&format!("/v1/runs/{run}/events")).await,
        Value::from(frames).to_string(),
    ];
    assert!(told.iter().all(|text| !text.contains(TOKEN)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_one_by_its_title() {
    let Some(peers) = Peers::find("drafts of the example forge") else {
        return;
    };
    let mut house = House::new(&peers, GREET).await;
    house.serve().await;
    let (_, frames) = house.code(json!({ "draft": true })).await;
    let opened = frames.iter().find(|frame| frame["type"] == "Pull Request");
    assert_eq!(opened.unwrap()["draft"], true, "{frames:#?}");
    let title = house.gitlab.known().merge_requests[0]["title"].clone();
    assert_eq!(title, "Draft: Greet shortly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_do_is_told_before_it_costs_anything() {
    let Some(peers) = Peers::find("bad tokens of the example forge") else {
        return;
    };
    // A model that is asked says nothing and fails, so nobody asked it.
    let mut house = House::new(&peers, "replies = []")
        .await
        .with_token("glpat-wrong");
    house.serve().await;
    let (run, frames) = house.code(json!({})).await;
    let done = done(&frames);
    assert_eq!(done["outcome"], "failed(forge)", "{frames:#?}");
    let summary = done["summary"].as_str().unwrap();
    for told in ["GITLAB_TOKEN", "revoked", "401"] {
        assert!(summary.contains(told), "{summary}");
    }
    let log = house.text(&format!("/v1/runs/{run}/events")).await;
    assert!(!log.contains("glpat-wrong"), "{log}");

    let house = House::new(&peers, GREET).await;
    let repository = json!({"origin": house.gitlab.url(), "owner": "group/sub", "name": "project"});
    house.gitlab.known().access_level = 20;
    is_told(&house, &repository, "the role Developer").await;
    house.gitlab.known().scopes = vec!["read_api", "write_repository"];
    is_told(&house, &repository, "the scope `api`").await;
    house.gitlab.known().archived = true;
    is_told(&house, &repository, "unarchive it").await;
}

/// The plugin's preflight says that nothing can be pushed, and why.
async fn is_told(house: &House, repository: &Value, why: &str) {
    let (well, told) = house.call("preflight", repository).await;
    assert!(well && told.contains(why), "{told}");
    assert!(told.contains("\"can_push\":false"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_dies_at_the_last_step_leaves_the_branch() {
    let Some(peers) = Peers::find("a forge plugin that dies") else {
        return;
    };
    let mut house = House::new(&peers, TWICE).await;
    house.write_config(&peers, Plugin::Dying);
    house.serve().await;
    let (run, frames) = house.code(json!({})).await;
    let done = done(&frames);
    assert_eq!(done["outcome"], "failed(forge)", "{frames:#?}");
    let branch = done["branch"].as_str().expect("the branch is named");
    assert_eq!(
        house.git(&["show", &format!("{branch}:src/greeting.txt")]),
        "hi"
    );
    let patch = done["patchUrl"].as_str().expect("the patch is named");
    assert!(house.text(patch).await.contains("+hi"));
    assert_eq!(house.gitlab.known().merge_requests, Vec::<Value>::new());
    assert!(
        done["summary"].as_str().unwrap().contains("gitlab"),
        "{done}"
    );

    // The next run of the line proposes what was pushed.
    house.write_config(&peers, Plugin::Whole);
    house.serve().await;
    let frames = house.say(&run, "Make it even shorter").await;
    let outcome = &frames.last().unwrap()["outcome"];
    assert_eq!(outcome, "pull request", "{frames:#?}");
    assert_eq!(house.gitlab.known().merge_requests.len(), 1);
}

/// Whatever becomes of the requests, there is one merge request, and what happened is told.
#[tokio::test(flavor = "multi_thread")]
async fn faults_double_nothing() {
    let Some(peers) = Peers::find("faults between the example forge and GitLab") else {
        return;
    };
    let table: &[(&[Fault], &str)] = &[
        (&[Fault::Busy(0), Fault::Busy(0)], "opened"),
        (&[Fault::Broken], "opened"),
        (&[Fault::DoneAndBroken], "opened"),
        (&[Fault::DoneAndCut], "opened"),
        (&[Fault::Busy(0), Fault::DoneAndCut], "opened"),
        (&[Fault::Busy(600)], "no more requests for 600 s"),
        (&[Fault::Broken, Fault::Broken, Fault::Broken], "502"),
    ];
    let house = House::new(&peers, GREET).await;
    for (number, (faults, expected)) in table.iter().enumerate() {
        let branch = format!("change-{number}");
        house.git(&["branch", &branch, "main"]);
        house.gitlab.known().faults = faults.to_vec();
        let wanted = open(&house, &branch, "One");
        let (well, told) = house.call("pull_request", &wanted).await;
        let made = made_from(&house, &branch);
        if *expected == "opened" {
            assert!(well, "{faults:?}: {told}");
            assert_eq!(made.len(), 1, "{faults:?}: {made:#?}");
        } else {
            assert!(!well && told.contains(expected), "{faults:?}: {told}");
            assert_eq!(made.len(), 0, "{faults:?}: {made:#?}");
        }
        assert_eq!(house.gitlab.known().faults, [], "{faults:?}");
        assert!(!told.contains(TOKEN), "{told}");
    }
    client::check(&peers, &house.gitlab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_wrote_and_chose_stays() {
    let Some(peers) = Peers::find("updates by the example forge") else {
        return;
    };
    let house = House::new(&peers, GREET).await;
    house.git(&["branch", "change", "main"]);
    house
        .call("pull_request", &open(&house, "change", "One"))
        .await;
    {
        let request = &mut house.gitlab.known().merge_requests[0];
        let ours = request["description"].as_str().unwrap().to_owned();
        request["description"] = json!(format!("Please look.\n\n{ours}\n\nSeen by me."));
        request["title"] = json!("Draft: a person's title");
        request["target_branch"] = json!("stable");
    }
    let (well, told) = house
        .call("pull_request", &open(&house, "change", "Two"))
        .await;
    assert!(well, "{told}");
    let requests = made_from(&house, "change");
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request["title"], "Draft: a person's title");
    assert_eq!(request["target_branch"], "stable");
    let body = request["description"].as_str().unwrap();
    assert!(
        body.starts_with("Please look.\n\n") && body.ends_with("\n\nSeen by me."),
        "{body}"
    );
    assert!(body.contains("Two") && !body.contains("One"), "{body}");
    assert!(told.contains("stable"), "{told}");

    house.gitlab.known().merge_requests[0]["state"] = json!("merged");
    let repository = &open(&house, "change", "")["repository"];
    let asked = json!({"repository": repository, "head": "change"});
    let (well, told) = house.call("find_pull_request", &asked).await;
    assert!(well && told.contains("\"open\":null"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_for_its_own_host_only() {
    let Some(peers) = Peers::find("foreign repositories at the example forge") else {
        return;
    };
    let house = House::new(&peers, GREET).await;
    for origin in ["http://127.0.0.1:9", "https://gitlab.com"] {
        let repository = json!({"origin": origin, "owner": "group/sub", "name": "project"});
        for tool in ["preflight", "credential"] {
            let (well, told) = house.call(tool, &repository).await;
            assert!(!well && told.contains("which this forge is for"), "{told}");
            assert!(!told.contains(TOKEN), "{told}");
        }
    }
    assert_eq!(house.gitlab.known().seen, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_keeps_the_contract() {
    let Some(peers) = Peers::find("the example forge held against the contract") else {
        return;
    };
    let house = House::new(&peers, GREET).await;
    for (forge, host) in [
        ("gitlab", house.gitlab.host()),
        ("github", "github.example".to_owned()),
    ] {
        let (well, told) = house.told(&["tools", "check", forge]).await;
        let expected = format!("ok      {forge}: a forge for {host}");
        assert!(well && told.contains(&expected), "{told}");
    }
    let (well, told) = house.told(&["tools", "list", "gitlab"]).await;
    assert!(
        well && told.trim() == "gitlab  (command, host)",
        "a model sees nothing of it: {told}"
    );
    assert_eq!(house.gitlab.known().seen, Vec::<Value>::new());
}

#[tokio::test]
async fn the_parts_of_the_example() {
    let Some(peers) = Peers::find("the parts of the example forge") else {
        return;
    };
    client::parts(&peers, house::EXAMPLE).await;
}

fn open(house: &House, head: &str, words: &str) -> Value {
    json!({
        "repository": {"origin": house.gitlab.url(), "owner": "group/sub", "name": "project"},
        "head": head, "head_sha": "0".repeat(40), "base": "main", "title": words,
        "summary": words, "evidence": "All checks passed.", "draft": false,
    })
}

fn made_from(house: &House, branch: &str) -> Vec<Value> {
    let requests = house.gitlab.known().merge_requests.clone();
    let from = requests.into_iter();
    from.filter(|request| request["source_branch"] == branch)
        .collect()
}
