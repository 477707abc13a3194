//! An emulated GitHub that sends and signs its webhooks itself: from a label to a pull request.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use super::{sender, serve};
use crate::peers::emulate::TOKEN;
use crate::peers::forge::Forge;
use crate::peers::front::Front;
use crate::peers::process::Peers;
use crate::runs::lab::{GREET, in_time, make_folder, write_config};

/// Waits until a route of the repository answers something of which this is true.
async fn until(forge: &Forge, route: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    in_time(async {
        loop {
            let found = forge.api.get(route).await;
            if is_so(&found) {
                return found;
            }
            pace.tick().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_there_becomes_a_pull_request_there() {
    let Some(peers) = Peers::find("webhooks of an emulated GitHub") else {
        return;
    };
    let files = [("src/greeting.txt", "hello\n")];
    let front = Front::bind().await;
    let forge = Forge::start_behind(&peers, &files, &front.url()).await;
    front.serve(forge.api.url(), forge.git.origin());
    let (folder, _kept) = make_folder();
    std::fs::create_dir(folder.join("data")).expect("make the data folder");
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.join("data"), open).expect("set the mode");
    std::fs::write(folder.join("script.toml"), GREET).expect("write the script");
    let (api, host) = (front.url(), front.host());
    let sections = format!(
        "[server]\ndata_dir = \"data\"\n[tools.github]\nbuiltin = \"github\"\nruns = \"host\"\n\
         base_url = \"{api}\"\nhosts = [\"{host}\"]\nenv_vars = [\"GITHUB_TOKEN\"]\n{}",
        sender::section("")
    );
    write_config(&folder, &sections, &host);
    let (_server, address) = serve(&folder, &[("GITHUB_TOKEN", TOKEN)]).await;
    let hook = json!({
        "name": "web", "active": true, "events": ["issues", "issue_comment"],
        "config": {
            "url": format!("{address}/webhooks/github"),
            "content_type": "json",
            "secret": sender::SECRET,
        },
    });
    forge.api.post("/hooks", &hook).await;
    let issue = json!({ "title": "Too long", "body": "Say hi instead." });
    let issue = forge.api.post("/issues", &issue).await;
    let labels = format!("/issues/{}/labels", issue["number"]);
    let label = json!({ "name": "pullwright", "color": "ededed" });
    forge.api.post("/labels", &label).await;
    forge
        .api
        .post(&labels, &json!({ "labels": ["pullwright"] }))
        .await;
    let comments = format!("/issues/{}/comments", issue["number"]);
    let told = until(&forge, &comments, |found| {
        found.to_string().contains("has proposed")
    })
    .await;
    assert_eq!(told.as_array().expect("comments").len(), 1, "{told}");
    let pulls = forge.api.get("/pulls").await;
    let [pull] = &pulls.as_array().expect("pulls")[..] else {
        panic!("{pulls}");
    };
    let body = pull["body"].as_str().expect("a body");
    let fixes = format!("Fixes #{}. Asked for by @dev.", issue["number"]);
    assert!(body.contains(&fixes), "{body}");
    let branch = pull["head"]["ref"].as_str().expect("a branch");
    let pushed = forge.rev_parse(&format!("refs/heads/{branch}")).await;
    assert_eq!(pull["head"]["sha"], pushed);
}
