//! The document of the API against the API: the routes, and what a real server answers.

mod exchange;
mod shapes;
mod tour;

use std::collections::BTreeSet;
use std::process::Command;

use pullwright::api::document;
use serde_json::Value;

use super::server::{Server, send, text};
use crate::peers::openapi::check_exchanges;
use crate::peers::process::Peers;
use crate::runs::lab::PROGRAM;
use exchange::Exchange;

const COMMITTED: &str = include_str!("../../../openapi.json");
const ROUTER: &str = include_str!("../../../src/api.rs");

/// Every operation of the document: its method in lower case, its path, and what is said of it.
pub(super) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").iter();
        methods.map(|(method, said)| (method.clone(), path.clone(), said.clone()))
    });
    operations.collect()
}

#[test]
fn the_router_has_no_route_that_the_document_lacks() {
    let routes = ROUTER.split(".route(").skip(1);
    let routes: BTreeSet<&str> = routes
        .map(|route| route.split('"').nth(1).expect("a path"))
        .collect();
    let document = document();
    let paths = document["paths"].as_object().expect("paths").keys();
    assert_eq!(routes, paths.map(String::as_str).collect());
}

#[tokio::test]
async fn the_committed_document_is_served_and_printed() {
    let committed: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let server = Server::start().await;
    let served = text(server.get("/openapi.json")).await;
    let served: Value = serde_json::from_str(&served).expect("JSON");
    assert_eq!(served, committed);
    let version = text(server.get("/v1/version")).await;
    let version: Value = serde_json::from_str(&version).expect("JSON");
    assert_eq!(version["version"], committed["info"]["version"]);
    let printed = Command::new(PROGRAM).arg("openapi").output();
    let printed = printed.expect("start pullwright").stdout;
    assert_eq!(String::from_utf8(printed).expect("UTF-8"), COMMITTED);
}

/// The `Allow` header of a refusal is the router's own list.
#[tokio::test]
async fn each_route_takes_the_methods_of_the_document_and_no_others() {
    let server = Server::start().await;
    let document = document();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let request = server
            .client
            .request(reqwest::Method::PUT, server.url(path));
        let response = send(request).await;
        assert_eq!(response.status(), 405, "{path}");
        let allowed = response.headers()["allow"].to_str().expect("text");
        let allowed: BTreeSet<String> = allowed
            .split(',')
            .map(|method| method.trim().to_lowercase())
            .filter(|method| method != "head")
            .collect();
        let methods = methods.as_object().expect("methods").keys();
        assert_eq!(allowed, methods.cloned().collect(), "{path}");
    }
}

#[tokio::test]
async fn what_a_server_answers_is_what_the_document_says() {
    let document = document();
    let exchanges = tour::everything(&document).await;
    for exchange in &exchanges {
        shapes::check(&document, exchange);
    }
    let seen: BTreeSet<_> = exchanges.iter().map(Exchange::key).collect();
    let said = operations(&document);
    let said = said.iter().flat_map(|(method, path, operation)| {
        let statuses = operation["responses"].as_object().expect("responses");
        let key = |status: &String| (method.clone(), path.clone(), status.parse().expect("one"));
        statuses.keys().map(key)
    });
    let missed: Vec<_> = said
        .filter(|key| !seen.contains(key) && !tour::is_rare(key))
        .collect();
    assert!(missed.is_empty(), "nothing was seen of {missed:?}");
}

/// The same with each field of each answer, by validators that are not ours.
#[tokio::test]
async fn answers_and_document_are_valid_by_foreign_validators() {
    let Some(peers) = Peers::find("the document of the API") else {
        return;
    };
    let document = document();
    let exchanges = tour::everything(&document).await;
    let checked = check_exchanges(&peers, &document, &serde_json::json!(exchanges)).await;
    assert!(checked > exchanges.len(), "each event of a stream counts");
}
