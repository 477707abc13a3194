//! Who is let in, and what a key may do.

use pullwright::access::{Grant, Scope, Secret};
use pullwright_core::log::now_ms;
use serde_json::{Value, json};

use super::secret_holder::{Holder, grant, key, key_with};
use super::server::{Server, Setup, body, run_id, send};
use crate::support::in_time;

const RUN: &[Scope] = &[Scope::Run, Scope::Read];

#[tokio::test]
async fn without_keys_this_machine_is_let_in() {
    let server = Server::start().await;
    assert_eq!(send(server.code("hello")).await.status(), 200);
    assert_eq!(send(server.get("/v1/runs")).await.status(), 200);
    assert_eq!(send(server.get("/metrics")).await.status(), 200);
    assert_eq!(send(server.get("/v1/audit")).await.status(), 200);
    let basic = server.get("/v1/runs").basic_auth("me", Some("secret"));
    assert_eq!(send(basic).await.status(), 200, "a proxy's business");
    let foreign = server.get("/v1/runs").bearer_auth("eyJhbGciOi");
    assert_eq!(send(foreign).await.status(), 200, "a proxy's business");
    let unknown = Holder::of(Secret::generate().expect("random bytes"));
    refused(&server, &unknown, "there is no such API key").await;
}

#[tokio::test]
async fn with_a_key_everybody_needs_one() {
    let server = Server::start().await;
    let ann = key(&*server.keys, "ann", RUN).await;
    assert_eq!(send(ann.sends(server.get("/v1/runs"))).await.status(), 200);
    refused(&server, &Holder::nobody(), "an API key is needed").await;
    let unknown = Holder::of(Secret::generate().expect("random bytes"));
    refused(&server, &unknown, "there is no such API key").await;
    for open in ["/healthz", "/readyz"] {
        assert_eq!(send(server.get(open)).await.status(), 200, "{open}");
    }
    for path in ["/v1/runs", "/metrics", "/v1/audit", "/v1/nothing", "/"] {
        assert_eq!(send(server.get(path)).await.status(), 401, "{path}");
    }
    let started = server.post("/v1/runs", &body("hello"));
    assert_eq!(send(started).await.status(), 401);
    assert!(server.store.list(1).await.expect("list").is_empty());
}

#[tokio::test]
async fn keys_are_needed_where_others_reach_the_server_or_the_configuration_says_so() {
    let mut required = Setup::default();
    required.access.require_keys = true;
    let public = Setup {
        is_public: true,
        ..Setup::default()
    };
    for setup in [required, public] {
        let server = Server::start_with(setup).await;
        refused(&server, &Holder::nobody(), "an API key is needed").await;
    }
}

#[tokio::test]
async fn what_is_sent_as_a_key_is_told_from_one() {
    let server = Server::start().await;
    let ann = key(&*server.keys, "ann", RUN).await;
    let secret = ann.secret();
    let table = [
        (format!("Bearer {secret}"), None),
        (format!("bearer  {secret}"), None),
        (
            format!("Bearer {}", &secret[..51]),
            Some("mistyped or cut off"),
        ),
        (
            format!("Bearer {}", secret.replace("pw_", "pw_0")),
            Some("mistyped or cut off"),
        ),
        ("Bearer sk-12345".to_owned(), Some("begins with `pw_`")),
        ("Bearer ".to_owned(), Some("an API key is needed")),
        (format!("Basic {secret}"), Some("an API key is needed")),
        (secret.to_owned(), Some("an API key is needed")),
    ];
    for (header, why) in table {
        let response = send(server.get("/v1/runs").header("Authorization", &header)).await;
        let Some(why) = why else {
            assert_eq!(response.status(), 200, "{header}");
            continue;
        };
        assert_eq!(response.status(), 401, "{header}");
        let told = json_of(response).await["message"].to_string();
        assert!(told.contains(why), "{header}: {told}");
        assert!(!told.contains(&secret[3..20]), "{told}");
    }
}

#[tokio::test]
async fn a_key_that_is_over_is_refused_at_once() {
    let server = Server::start().await;
    let old = key_with(&*server.keys, "old", grant(RUN), Some(now_ms() - 1)).await;
    refused(&server, &old, "the API key `old` is expired").await;
    refused(&server, &Holder::nobody(), "an API key is needed").await;
    let ann = key(&*server.keys, "ann", RUN).await;
    let run = run_id(&send(ann.sends(server.code("hello"))).await);
    assert!(
        server
            .keys
            .revoke_key("ann", now_ms())
            .await
            .expect("revoke")
    );
    refused(&server, &ann, "the API key `ann` is revoked").await;
    let next = key(&*server.keys, "ann", RUN).await;
    let seen = send(next.sends(server.get(&format!("/v1/runs/{run}")))).await;
    assert_eq!(seen.status(), 200, "the same name has the same runs");
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let server = Server::start().await;
    let ann = key(&*server.keys, "ann", RUN).await;
    let bob = key(&*server.keys, "bob", RUN).await;
    let cut = send(ann.sends(server.code("wait"))).await;
    let kept = send(bob.sends(server.code("wait"))).await;
    let run = run_id(&kept);
    assert!(
        server
            .keys
            .revoke_key("ann", now_ms())
            .await
            .expect("revoke")
    );
    let stream = in_time(cut.text()).await.expect("an end");
    assert!(stream.contains("the run is accepted"), "{stream}");
    assert!(!stream.contains("\"Done\""), "the run goes on: {stream}");
    server.runs.cancel(&run).await.expect("cancel");
    let stream = in_time(kept.text()).await.expect("an end");
    assert!(stream.contains("\"Done\""), "{stream}");
}

#[tokio::test]
async fn each_scope_opens_its_own_routes() {
    let server = Server::start().await;
    let holders = [
        ("run", Scope::Run),
        ("read", Scope::Read),
        ("admin", Scope::Admin),
    ];
    let table = [
        ("POST /code", [200, 403, 403]),
        ("POST /v1/runs", [202, 403, 403]),
        ("POST /v1/runs/nobody/cancel", [404, 403, 404]),
        ("GET /v1/runs", [403, 200, 200]),
        ("GET /v1/runs/nobody", [403, 404, 404]),
        ("GET /v1/runs/nobody/events", [403, 404, 404]),
        ("GET /v1/runs/nobody/stream", [403, 404, 404]),
        ("GET /v1/runs/nobody/patch", [403, 404, 404]),
        ("GET /metrics", [403, 403, 200]),
        ("GET /v1/audit", [403, 403, 200]),
    ];
    for (column, (name, scope)) in holders.into_iter().enumerate() {
        let holder = key(&*server.keys, name, &[scope]).await;
        for (route, statuses) in table {
            let (method, path) = route.split_once(' ').expect("a method");
            let request = match method {
                "GET" => server.get(path),
                _ => server.post(path, &body("hello")),
            };
            let response = send(holder.sends(request)).await;
            assert_eq!(response.status(), statuses[column], "{name}: {route}");
            if statuses[column] == 403 {
                let told = json_of(response).await["message"].to_string();
                assert!(told.contains("lacks the scope"), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_is_held_to_what_its_key_is_granted() {
    let server = Server::start().await;
    let granted = Grant {
        repositories: vec!["github.com/acme/*".parse().expect("a glob")],
        providers: vec!["cheap".to_owned()],
        max_usd: Some(2.0),
        ..grant(RUN)
    };
    let ann = key_with(&*server.keys, "ann", granted, None).await;
    let asks = |field: &str, value: Value| {
        let mut body = body("hello");
        body["repoUrl"] = json!("https://github.com/acme/shop.git");
        body[field] = value;
        send(ann.sends(server.post("/code", &body)))
    };
    let table = [
        (
            "repoUrl",
            json!("https://github.com/owner/repo"),
            "may not work on `github.com/owner/repo`",
        ),
        (
            "repoUrl",
            json!("https://github.com/acme/../owner/repo"),
            "may not work on this repository",
        ),
        ("provider", json!("dear"), "may not use the provider `dear`"),
        ("model", json!("dearest"), "with their own models only"),
    ];
    for (field, value, why) in table {
        let response = asks(field, value).await;
        assert_eq!(response.status(), 403, "{why}");
        let told = json_of(response).await["message"].to_string();
        assert!(told.contains(why), "{told}");
    }
    assert!(server.store.list(1).await.expect("list").is_empty());
    let run = run_id(&asks("budget", json!({ "maxUsd": 5 })).await);
    let record = server
        .store
        .get(&run)
        .await
        .expect("get")
        .expect("a record");
    assert_eq!(record.request.budget.max_usd, Some(2.0), "lowered");
    assert_eq!(record.request.provider.as_deref(), Some("cheap"));
    assert_eq!(record.owner.as_deref(), Some("ann"));
}

#[tokio::test]
async fn the_use_of_a_key_is_noted() {
    let server = Server::start().await;
    let ann = key(&*server.keys, "ann", RUN).await;
    let before = now_ms();
    send(ann.sends(server.get("/v1/runs"))).await;
    let noted = in_time(async {
        loop {
            let keys = server.keys.keys().await.expect("keys");
            if let Some(used) = keys[0].last_used_at_ms {
                return used;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(noted >= before);
    for _ in 0..20 {
        send(ann.sends(server.get("/v1/runs"))).await;
    }
    let keys = server.keys.keys().await.expect("keys");
    assert_eq!(
        keys[0].last_used_at_ms,
        Some(noted),
        "once a minute is enough"
    );
}

async fn refused(server: &Server, holder: &Holder, why: &str) {
    let response = send(holder.sends(server.get("/v1/runs"))).await;
    assert_eq!(response.status(), 401, "{why}");
    let challenge = &response.headers()["www-authenticate"];
    assert_eq!(challenge, "Bearer realm=\"pullwright\"");
    let problem = json_of(response).await;
    let told = problem["message"].as_str().expect("a message");
    assert!(told.contains(why), "{told}");
}

async fn json_of(response: reqwest::Response) -> Value {
    let text = in_time(response.text()).await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
