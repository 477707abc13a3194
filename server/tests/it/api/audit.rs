//! The record of who did what when.

use pullwright::access::{Action, Audited, Scope, Verdict};
use serde_json::{Value, json};

use super::secret_holder::{Holder, key};
use super::server::{Server, run_id, send, text};
use crate::support::in_time;

const RUN: &[Scope] = &[Scope::Run, Scope::Read];

async fn recorded(server: &Server) -> Vec<Audited> {
    server.access.flush().await;
    let mut entries = server.keys.recorded(None, 100).await.expect("the record");
    entries.reverse();
    entries
}

#[tokio::test]
async fn what_was_done_is_recorded() {
    let server = Server::start().await;
    let ann = key(&*server.keys, "ann", RUN).await;
    let start = || server.code("wait").header("Idempotency-Key", "k");
    let run = run_id(&send(ann.sends(start())).await);
    send(ann.sends(start())).await;
    let of = |path: &str| format!("/v1/runs/{run}/{path}");
    send(ann.sends(server.post(&of("cancel"), &json!({})))).await;
    server.until_ended(&run).await;
    send(ann.sends(server.get(&of("patch")))).await;
    let patched = run_id(&send(ann.sends(server.code("hello"))).await);
    server.until_ended(&patched).await;
    send(ann.sends(server.get(&format!("/v1/runs/{patched}/patch")))).await;
    let entries = recorded(&server).await;
    let did: Vec<_> = entries
        .iter()
        .map(|audited| (audited.entry.action, audited.entry.target.as_deref()))
        .collect();
    let expected = [
        (Action::RunStarted, Some(run.0.as_str())),
        (Action::RunCancelled, Some(run.0.as_str())),
        (Action::RunStarted, Some(patched.0.as_str())),
        (Action::PatchDownloaded, Some(patched.0.as_str())),
    ];
    assert_eq!(
        did, expected,
        "a retry starts nothing, and there was one patch"
    );
    for Audited { entry, .. } in &entries {
        assert_eq!(entry.actor.as_deref(), Some("ann"));
        assert_eq!(entry.address.as_deref(), Some("127.0.0.1"));
        assert_eq!(entry.repository.as_deref(), Some("github.com/owner/repo"));
        assert_eq!((entry.outcome, entry.count), (Verdict::Done, 1));
    }
    let everything = serde_json::to_string(&entries).expect("JSON");
    assert!(!everything.contains("hello"), "no prompt: {everything}");
}

#[tokio::test]
async fn refusals_are_recorded_and_counted() {
    let server = Server::start().await;
    let ann = key(&*server.keys, "ann", RUN).await;
    for _ in 0..5 {
        send(server.get("/v1/runs")).await;
        send(ann.sends(server.get("/metrics"))).await;
    }
    send(ann.sends(server.get("/v1/runs/unknown"))).await;
    let entries = recorded(&server).await;
    let refused: Vec<_> = entries
        .iter()
        .map(|Audited { entry, .. }| (entry.actor.as_deref(), entry.count))
        .collect();
    let all = |who: Option<&str>| {
        refused
            .iter()
            .filter(|(actor, _)| *actor == who)
            .map(|(_, n)| n)
            .sum::<u64>()
    };
    assert_eq!((all(None), all(Some("ann"))), (5, 5), "{entries:?}");
    assert!(
        entries.len() < 10,
        "they are counted, not listed: {entries:?}"
    );
    for Audited { entry, .. } in &entries {
        assert_eq!(
            (entry.action, entry.outcome),
            (Action::AccessRefused, Verdict::Refused)
        );
        assert!(entry.detail.is_some());
    }
}

#[tokio::test]
async fn the_record_is_read_page_by_page() {
    let server = Server::start().await;
    for _ in 0..5 {
        let run = run_id(&send(server.code("hello")).await);
        server.until_ended(&run).await;
    }
    server.access.flush().await;
    let page = async |query: &str| -> Value {
        let text = text(server.get(&format!("/v1/audit{query}"))).await;
        serde_json::from_str(&text).expect("JSON")
    };
    let (mut query, mut seen) = ("?limit=2".to_owned(), Vec::new());
    loop {
        let page = page(&query).await;
        let entries = page["entries"].as_array().expect("a list").clone();
        assert!(entries.len() <= 2);
        seen.extend(
            entries
                .iter()
                .map(|entry| entry["seq"].as_u64().expect("a number")),
        );
        match page["next"].as_str() {
            Some(next) => query = format!("?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    let first = &page("?limit=1").await["entries"][0];
    assert_eq!(first["action"], "run.started");
    assert_eq!(first["actor"], Value::Null, "nobody has a key here");
    for bad in [
        "?limit=0",
        "?limit=501",
        "?after=x",
        "?after=0",
        "?before=1",
    ] {
        let refused = send(server.get(&format!("/v1/audit{bad}"))).await;
        assert_eq!(refused.status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn a_secret_is_in_no_answer() {
    let server = Server::start().await;
    let admin = key(&*server.keys, "admin", &[Scope::Run, Scope::Admin]).await;
    let secret = admin.secret();
    let run = run_id(&send(admin.sends(server.code("hello"))).await);
    server.until_ended(&run).await;
    send(server.get(&format!("/{secret}")).bearer_auth("pw_x")).await;
    server.access.flush().await;
    for path in [
        "/v1/runs".to_owned(),
        format!("/v1/runs/{run}"),
        format!("/v1/runs/{run}/events"),
        format!("/v1/runs/{run}/stream"),
        "/metrics".to_owned(),
        "/v1/audit".to_owned(),
    ] {
        let response = send(admin.sends(server.get(&path))).await;
        let headers = format!("{:?}", response.headers());
        let body = in_time(response.text()).await.expect("a body");
        assert!(
            !headers.contains(secret) && !body.contains(secret),
            "{path}"
        );
    }
    let nobody = send(Holder::nobody().sends(server.get("/v1/runs"))).await;
    let told = in_time(nobody.text()).await.expect("a body");
    assert!(!told.contains(secret));
}
