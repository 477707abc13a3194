//! A run belongs to its key.

use pullwright::access::Scope;
use pullwright_protocol::RunId;
use serde_json::{Value, json};

use super::secret_holder::{Holder, key};
use super::server::{Server, run_id, send};
use crate::support::in_time;

const ALL_BUT_ADMIN: &[Scope] = &[Scope::Run, Scope::Read];

/// The routes of one run: method, path, and the status for those to whom it belongs once it has ended.
const ROUTES: [(&str, &str, u16); 6] = [
    ("GET", "/v1/runs/{run}", 200),
    ("GET", "/v1/runs/{run}/events", 200),
    ("GET", "/v1/runs/{run}/stream", 200),
    ("GET", "/v1/runs/{run}/stream?deltas=1&from=2", 200),
    ("GET", "/v1/runs/{run}/patch", 200),
    ("POST", "/v1/runs/{run}/cancel", 409),
];

struct People {
    owner: Holder,
    other: Holder,
    admin: Holder,
}

impl People {
    async fn of(server: &Server) -> Self {
        Self {
            owner: key(&*server.keys, "owner", ALL_BUT_ADMIN).await,
            other: key(&*server.keys, "other", ALL_BUT_ADMIN).await,
            admin: key(&*server.keys, "admin", &[Scope::Admin]).await,
        }
    }
}

/// Status and body.
async fn ask(server: &Server, who: &Holder, method: &str, path: &str) -> (u16, String) {
    let request = match method {
        "GET" => server.get(path),
        _ => server.post(path, &json!({})),
    };
    let response = send(who.sends(request)).await;
    let status = response.status().as_u16();
    (status, in_time(response.text()).await.expect("a body"))
}

async fn ended_run(server: &Server, who: &Holder) -> RunId {
    let started = send(who.sends(server.code("hello"))).await;
    let run = run_id(&started);
    in_time(started.text()).await.expect("its end");
    run
}

#[tokio::test]
async fn a_run_is_seen_by_its_key_and_by_administrators_only() {
    let server = Server::start().await;
    let people = People::of(&server).await;
    let run = ended_run(&server, &people.owner).await;
    for (method, path, own) in ROUTES {
        let of = |run: &str| path.replace("{run}", run);
        let path = of(&run.0);
        let (status, shown) = ask(&server, &people.owner, method, &path).await;
        assert_eq!(status, own, "the owner: {path}: {shown}");
        let (status, seen) = ask(&server, &people.admin, method, &path).await;
        assert_eq!((status, seen), (own, shown), "an administrator: {path}");
        let (status, _) = ask(&server, &Holder::nobody(), method, &path).await;
        assert_eq!(status, 401, "nobody: {path}");
        let (status, hidden) = ask(&server, &people.other, method, &path).await;
        assert_eq!(status, 404, "another: {path}");
        let (status, unknown) = ask(&server, &people.other, method, &of("unknown")).await;
        assert_eq!(status, 404);
        assert_eq!(hidden.replace(&run.0, "unknown"), unknown, "{path}");
    }
}

#[tokio::test]
async fn a_list_has_one_s_own_runs() {
    let server = Server::start().await;
    let before = ended_run(&server, &Holder::nobody()).await;
    let people = People::of(&server).await;
    let run = ended_run(&server, &people.owner).await;
    let listed = async |who: &Holder| {
        let (status, text) = ask(&server, who, "GET", "/v1/runs").await;
        assert_eq!(status, 200, "{text}");
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let runs = list["runs"].as_array().expect("a list").iter();
        runs.map(|run| run["id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&people.owner).await, [run.0.as_str()]);
    assert_eq!(listed(&people.other).await, [""; 0]);
    assert_eq!(listed(&people.admin).await, [run.0, before.0]);
}

#[tokio::test]
async fn a_run_is_ended_by_its_key_and_by_administrators_only() {
    let server = Server::start().await;
    let people = People::of(&server).await;
    for ender in [&people.owner, &people.admin] {
        let run = run_id(&send(people.owner.sends(server.code("wait"))).await);
        let path = format!("/v1/runs/{run}/cancel");
        assert_eq!(ask(&server, &people.other, "POST", &path).await.0, 404);
        let record = server
            .store
            .get(&run)
            .await
            .expect("get")
            .expect("a record");
        assert!(!record.cancel_requested, "nothing happened");
        assert_eq!(ask(&server, ender, "POST", &path).await.0, 202);
        server.until_ended(&run).await;
    }
}

#[tokio::test]
async fn an_idempotency_key_is_one_s_own() {
    let server = Server::start().await;
    let people = People::of(&server).await;
    let start = async |who: &Holder, prompt: &str| {
        let request = server.code(prompt).header("Idempotency-Key", "k");
        send(who.sends(request)).await
    };
    let own = run_id(&start(&people.owner, "hello").await);
    assert_eq!(run_id(&start(&people.owner, "hello").await), own);
    assert_eq!(start(&people.owner, "wait").await.status(), 422);
    let other = run_id(&start(&people.other, "wait").await);
    assert_ne!(other, own, "another's key is another key");
    assert_eq!(run_id(&start(&people.other, "wait").await), other);
}
