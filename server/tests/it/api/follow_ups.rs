//! Messages to runs that have ended.

use std::sync::Arc;

use pullwright::access::Scope;
use pullwright_core::log::now_ms;
use pullwright_core::store::{MAX_MESSAGES, NewMessage, Posted, Retired};
use pullwright_protocol::RunId;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::secret_holder::{Holder, grant, key, key_with};
use super::server::{Server, Setup, run_id, send};
use crate::support::in_time;

const RUN: &[Scope] = &[Scope::Run, Scope::Read];

/// How many speak at the same time.
const SPEAKERS: usize = 8;

fn say(server: &Server, run: &RunId, message: &str) -> RequestBuilder {
    let path = format!("/v1/runs/{run}/messages");
    server.post(&path, &json!({ "message": message }))
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = send(request).await;
    let status = response.status().as_u16();
    (status, body(response).await)
}

async fn body(response: Response) -> Value {
    let text = in_time(response.text()).await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}

async fn ended(server: &Server, who: &Holder) -> RunId {
    let run = run_id(&send(who.sends(server.code("hello"))).await);
    server.until_ended(&run).await;
    run
}

#[tokio::test]
async fn an_ended_run_is_followed() {
    let server = Server::start().await;
    let request = server.code("hello");
    let run = run_id(&send(request).await);
    server.until_ended(&run).await;
    let response = send(say(&server, &run, "wait")).await;
    assert_eq!(response.status(), 202);
    let follower = run_id(&response);
    let location = response.headers()["location"].to_str().expect("text");
    assert_eq!(location, format!("/v1/runs/{follower}"));
    let started = json!({ "id": follower, "follows": run });
    assert_eq!(body(response).await, started);
    let record = server
        .store
        .get(&follower)
        .await
        .expect("get")
        .expect("a record");
    assert_eq!(record.request.follows, Some(run.clone()));
    assert_eq!(record.request.prompt, "wait");
    let (status, heard) = answer(say(&server, &run, "and quickly")).await;
    assert_eq!((status, &heard["id"]), (202, &json!(follower)));
    assert!(
        heard["number"].is_number() && heard.get("follows").is_none(),
        "{heard}"
    );
    let messages = server.store.messages(&follower).await.expect("messages");
    assert_eq!(messages.len(), 1);
    server.runs.cancel(&follower).await.expect("cancel");
    server.until_ended(&follower).await;
    let (status, next) = answer(say(&server, &run, "hello")).await;
    assert_eq!((status, &next["follows"]), (202, &json!(follower)));
}

#[tokio::test]
async fn what_many_say_at_once_starts_one_run() {
    let server = Server::start().await;
    let run = ended(&server, &Holder::nobody()).await;
    let speaking = (0..SPEAKERS).map(|_| answer(say(&server, &run, "wait")));
    let answers = futures_util::future::join_all(speaking).await;
    let started = |(_, answer): &&(u16, Value)| answer["follows"] == json!(run);
    assert_eq!(answers.iter().filter(started).count(), 1, "{answers:?}");
    let (_, first) = &answers[0];
    for (status, answer) in &answers {
        assert_eq!((*status, &answer["id"]), (202, &first["id"]), "{answers:?}");
    }
    let follower = RunId(first["id"].as_str().expect("an id").to_owned());
    let messages = server.store.messages(&follower).await.expect("messages");
    assert_eq!(messages.len(), SPEAKERS - 1);
    assert_eq!(server.store.list(9).await.expect("list").len(), 2);
}

#[tokio::test]
async fn a_retry_says_it_once() {
    let server = Server::start().await;
    let run = ended(&server, &Holder::nobody()).await;
    let keyed = |message: &str, key: &'static str| {
        say(&server, &run, message).header("Idempotency-Key", key)
    };
    let first = answer(keyed("wait", "one")).await;
    assert_eq!(first.0, 202, "{}", first.1);
    assert_eq!(answer(keyed("wait", "one")).await, first);
    let heard = answer(keyed("quickly", "two")).await;
    assert_eq!(heard.0, 202, "{}", heard.1);
    assert_eq!(answer(keyed("quickly", "two")).await, heard);
    for (message, key) in [("slowly", "one"), ("slowly", "two")] {
        let (status, problem) = answer(keyed(message, key)).await;
        assert_eq!(status, 422, "{problem}");
    }
    let follower = RunId(first.1["id"].as_str().expect("an id").to_owned());
    server.runs.cancel(&follower).await.expect("cancel");
    server.until_ended(&follower).await;
    assert_eq!(
        answer(keyed("wait", "one")).await,
        first,
        "also once it has ended"
    );
    assert_eq!(answer(keyed("quickly", "two")).await, heard);
    let other = ended(&server, &Holder::nobody()).await;
    let elsewhere = say(&server, &other, "wait").header("Idempotency-Key", "one");
    assert_eq!(answer(elsewhere).await.0, 422, "it is about another run");
    let messages = server.store.messages(&follower).await.expect("messages");
    assert_eq!(messages.len(), 1);
}

#[tokio::test]
async fn only_its_owner_has_a_run_followed() {
    let server = Server::start().await;
    let owner = key(&*server.keys, "owner", RUN).await;
    let other = key(&*server.keys, "other", RUN).await;
    let all = [Scope::Run, Scope::Read, Scope::Admin];
    let admin = key(&*server.keys, "admin", &all).await;
    let reader = key(&*server.keys, "reader", &[Scope::Read]).await;
    let run = ended(&server, &owner).await;
    let say = || say(&server, &run, "hello");
    assert_eq!(answer(other.sends(say())).await.0, 404);
    assert_eq!(answer(reader.sends(say())).await.0, 403);
    assert_eq!(answer(say()).await.0, 401);
    let (status, problem) = answer(admin.sends(say())).await;
    assert_eq!(status, 403);
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("belongs to the key `owner`"), "{detail}");
    assert_eq!(server.store.list(9).await.expect("list").len(), 1);
    let (status, started) = answer(owner.sends(say())).await;
    assert_eq!(status, 202, "{started}");
    let follower = RunId(started["id"].as_str().expect("an id").to_owned());
    let record = server
        .store
        .get(&follower)
        .await
        .expect("get")
        .expect("a record");
    assert_eq!(record.owner.as_deref(), Some("owner"));
}

/// What a key is granted now counts, and not what it was granted then.
#[tokio::test]
async fn a_follow_up_is_held_to_the_key() {
    let server = Server::start().await;
    let run = {
        let owner = key(&*server.keys, "owner", RUN).await;
        ended(&server, &owner).await
    };
    let revoked = server.keys.revoke_key("owner", now_ms()).await;
    assert!(revoked.expect("revoke"));
    let mut narrow = grant(RUN);
    narrow.max_usd = Some(0.5);
    narrow.repositories = vec!["github.com/owner/*".parse().expect("a pattern")];
    let owner = key_with(&*server.keys, "owner", narrow, None).await;
    let (status, started) = answer(owner.sends(say(&server, &run, "hello"))).await;
    assert_eq!(status, 202, "{started}");
    let follower = RunId(started["id"].as_str().expect("an id").to_owned());
    let record = server
        .store
        .get(&follower)
        .await
        .expect("get")
        .expect("a record");
    assert_eq!(record.request.budget.max_usd, Some(0.5));
}

#[tokio::test]
async fn what_cannot_be_gone_on_with_is_told() {
    let server = Server::start().await;
    let run = ended(&server, &Holder::nobody()).await;
    for (message, expected) in [(" ", 400), (&*"x".repeat(100_001), 413)] {
        let (status, problem) = answer(say(&server, &run, message)).await;
        assert_eq!(status, expected, "{problem}");
    }
    let follows = json!({
        "repoUrl": "https://github.com/owner/repo", "prompt": "hello", "follows": run,
    });
    for path in ["/code", "/v1/runs"] {
        let (status, problem) = answer(server.post(path, &follows)).await;
        assert_eq!(status, 400);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("/messages"), "{detail}");
    }
    let store = Arc::clone(&server.store);
    while store.retire(&run, Retired::Removed).await.expect("retire") {}
    let (status, problem) = answer(say(&server, &run, "hello")).await;
    assert_eq!(status, 410);
    assert_eq!(problem["instance"], format!("/v1/runs/{run}"));
    assert_eq!(server.store.list(9).await.expect("list").len(), 1);
}

#[tokio::test]
async fn a_full_server_takes_no_follow_up() {
    let server = Server::start_with(Setup::with_places(1)).await;
    let run = ended(&server, &Holder::nobody()).await;
    let waiting = run_id(&send(server.code("wait")).await);
    let response = send(say(&server, &run, "hello")).await;
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(server.store.follower(&run).await.expect("look"), None);
    for number in 0..MAX_MESSAGES {
        let message = NewMessage {
            id: number.to_string(),
            run: waiting.clone(),
            text: "quickly".to_owned(),
            at_ms: 1,
        };
        let posted = server.store.post(message).await.expect("post");
        assert!(matches!(posted, Posted::Accepted(_)));
    }
    let (status, problem) = answer(say(&server, &waiting, "quickly")).await;
    assert_eq!(status, 409, "{problem}");
}
