//! Every payload that GitHub's own collection has.

use std::collections::BTreeMap;

use serde_json::Value;

use super::sender::{self, Delivery};
use crate::api::server::{Server, Setup, send};
use crate::peers::process::Peers;

/// How many there are in the version that is installed.
const ALL: usize = 329;

#[tokio::test]
async fn each_of_them_is_taken() {
    let Some(peers) = Peers::find("all example payloads of GitHub's webhooks") else {
        return;
    };
    let index = peers.script("@octokit/webhooks-examples/api.github.com/index.json");
    let index = std::fs::read_to_string(index).expect("the index");
    let events: Vec<Value> = serde_json::from_str(&index).expect("JSON");
    let server = Server::start_with(Setup {
        webhooks: Some(sender::settings(
            "label = \"bug\"\nmention = \"@Codertocat\"",
        )),
        ..Setup::default()
    })
    .await;
    let (mut count, mut accepted) = (0, BTreeMap::<String, usize>::new());
    for event in &events {
        let name = event["name"].as_str().expect("a name").to_owned();
        for payload in event["examples"].as_array().expect("examples") {
            let mut delivery = Delivery::new(name.clone().leak(), payload.clone());
            // No two are the same, even where their content is.
            delivery.payload["example"] = count.into();
            let response = send(delivery.request(&server.url(""))).await;
            let status = response.status();
            let said = response.text().await.expect("a body");
            assert_eq!(status, 202, "{name}: {said}");
            let said: Value = serde_json::from_str(&said).expect("JSON");
            match said["status"].as_str() {
                Some("accepted") => *accepted.entry(name.clone()).or_default() += 1,
                Some("ignored") => {
                    let why = said["reason"].as_str().expect("a reason");
                    assert!(!why.contains("not understood"), "{name}: {why}");
                }
                other => panic!("{name}: {other:?}"),
            }
            count += 1;
        }
    }
    assert_eq!(count, ALL);
    let expected = [("check_run", 1), ("issues", 2)];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(accepted, BTreeMap::from(expected));
}
