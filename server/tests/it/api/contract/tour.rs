//! A tour of the API: each operation with each of its answers.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use pullwright::access::Scope;
use pullwright::runs::Patience;
use pullwright_core::config::AccessConfig;
use pullwright_core::store::{MAX_MESSAGES, NewMessage, Retired};
use pullwright_protocol::RunId;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::exchange::Exchange;
use super::operations;
use crate::api::secret_holder::{Holder, key};
use crate::api::server::{Server, Setup, body, run_id, send};
use crate::webhooks::sender::{self, Delivery};

const RUN: &[Scope] = &[Scope::Run, Scope::Read];

/// A store that fails is a matter of other tests, and the two that are open to all have no other limit.
pub(super) fn is_rare((_, _, status): &(String, String, u16)) -> bool {
    *status == 503
}

/// Every answer, with and without a server's trouble.
pub(super) async fn everything(document: &Value) -> Vec<Exchange> {
    let mut exchanges = successes().await;
    exchanges.extend(deliveries().await);
    exchanges.extend(refusals().await);
    exchanges.extend(retired().await);
    exchanges.extend(common_refusals(document).await);
    exchanges.extend(too_often(document).await);
    exchanges.extend(stopping().await);
    exchanges
}

struct Tour {
    server: Server,
    who: Holder,
    exchanges: Vec<Exchange>,
}

impl Tour {
    async fn start(scopes: &[Scope]) -> Self {
        let server = Server::start_with(Setup {
            body_timeout: Duration::from_millis(50),
            ..Setup::default()
        })
        .await;
        let who = key(&*server.keys, "ann", scopes).await;
        Self {
            server,
            who,
            exchanges: Vec::new(),
        }
    }

    /// Asks, with `{id}` being `run` and `query` behind the path.
    async fn get(&mut self, path: &str, run: &str, query: &str) {
        let full = format!("{}{query}", path.replace("{id}", run));
        let request = self.server.get(&full);
        self.ask("get", path, request).await;
    }

    async fn post(&mut self, path: &str, run: &str, body: &Value) {
        let request = self.server.post(&path.replace("{id}", run), body);
        self.ask("post", path, request).await;
    }

    /// Bodies that are malformed, `large`, of no type, or never there.
    async fn bad_bodies(&mut self, path: &str, run: &str, large: &Value) {
        self.post(path, run, &json!({ "prompt": 5 })).await;
        self.post(path, run, large).await;
        let url = path.replace("{id}", run);
        let untyped = self.server.client.post(self.server.url(&url)).body("{}");
        self.ask("post", path, untyped).await;
        let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let never = reqwest::Body::wrap_stream(never);
        let endless = self.server.post(&url, &json!({})).body(never);
        self.ask("post", path, endless).await;
    }

    /// A message to a run that has all that one takes.
    async fn full(&mut self, messages: &str) {
        let run = run_id(&send(self.who.sends(self.server.code("wait"))).await);
        for number in 0..MAX_MESSAGES {
            let message = NewMessage {
                id: number.to_string(),
                run: run.clone(),
                text: "quickly".to_owned(),
                at_ms: 1,
            };
            self.server.store.post(message).await.expect("post");
        }
        self.post(messages, &run.0, &json!({ "message": "quickly" }))
            .await;
    }

    async fn ask(&mut self, method: &str, path: &str, request: RequestBuilder) {
        let request = self.who.sends(request);
        self.exchanges
            .push(Exchange::of(method, path, request).await);
    }

    /// A run that has ended.
    async fn ended(&self, prompt: &str) -> RunId {
        let started = send(self.who.sends(self.server.code(prompt))).await;
        let run = run_id(&started);
        self.server.until_ended(&run).await;
        run
    }

    /// The query for what follows the last event of a run.
    async fn beyond(&self, run: &str) -> String {
        let record = self.server.store.get(&RunId(run.to_owned())).await;
        let record = record.expect("get").expect("a record");
        format!("?from={}", record.last_seq + 1)
    }
}

async fn successes() -> Vec<Exchange> {
    let mut tour = Tour::start(&[Scope::Run, Scope::Read, Scope::Admin]).await;
    for path in [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/v1/version",
        "/metrics",
    ] {
        tour.get(path, "", "").await;
    }
    tour.post("/code", "", &body("hello")).await;
    tour.post("/v1/runs", "", &body("wait")).await;
    let run = tour.ended("hello").await.0;
    let beyond = tour.beyond(&run).await;
    for path in ["/v1/runs", "/v1/audit"] {
        for query in ["", "?limit=1"] {
            tour.get(path, "", query).await;
        }
    }
    tour.get("/v1/runs/{id}", &run, "").await;
    for query in ["", "?limit=2", "?limit=100", &beyond] {
        tour.get("/v1/runs/{id}/events", &run, query).await;
    }
    for query in ["", "?deltas=1", &beyond] {
        tour.get("/v1/runs/{id}/stream", &run, query).await;
    }
    tour.get("/v1/runs/{id}/patch", &run, "").await;
    let waiting = run_id(&send(tour.who.sends(tour.server.code("wait"))).await);
    tour.get("/v1/runs/{id}", &waiting.0, "").await;
    let said = json!({ "message": "in French" });
    tour.post("/v1/runs/{id}/messages", &waiting.0, &said).await;
    let more = json!({ "message": "hello" });
    tour.post("/v1/runs/{id}/messages", &run, &more).await;
    tour.post("/v1/runs/{id}/cancel", &waiting.0, &json!({}))
        .await;
    tour.exchanges
}

/// Deliveries of a webhook: taken, known, of no use, and refused for each reason there is.
async fn deliveries() -> Vec<Exchange> {
    const PATH: &str = "/webhooks/github";
    let mut tour = Tour::start(RUN).await;
    let delivery = Delivery::labeled("https://github.com/owner/repo.git", 1, "ann");
    let unconfigured = delivery.request(&tour.server.url(""));
    tour.ask("post", PATH, unconfigured).await;
    let webhooks = || Some(sender::settings(""));
    tour.server = Server::start_with(Setup {
        webhooks: webhooks(),
        ..Setup::default()
    })
    .await;
    let large = delivery.request(&tour.server.url(""));
    tour.ask("post", PATH, large.body("x".repeat(26 << 20)))
        .await;
    tour.server = Server::start_with(Setup {
        webhooks: webhooks(),
        body_timeout: Duration::from_millis(50),
        ..Setup::default()
    })
    .await;
    let url = tour.server.url("");
    for request in [
        delivery.request(&url),
        delivery.request(&url),
        Delivery::new("push", json!({})).request(&url),
        delivery.request_as(&url, "text/plain"),
        delivery.request(&url).body("other"),
        tour.server.post(PATH, &json!({})),
    ] {
        tour.ask("post", PATH, request).await;
    }
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let endless = delivery
        .request(&url)
        .body(reqwest::Body::wrap_stream(never));
    tour.ask("post", PATH, endless).await;
    // As many wrong signatures as are taken in a minute, and one more.
    for _ in 0..20 {
        send(delivery.request(&url).body("other")).await;
    }
    tour.ask("post", PATH, delivery.request(&url).body("other"))
        .await;
    tour.exchanges
}

async fn refusals() -> Vec<Exchange> {
    let mut tour = Tour::start(RUN).await;
    let run = tour.ended("many 0").await.0;
    for path in [
        "/v1/runs/{id}",
        "/v1/runs/{id}/events",
        "/v1/runs/{id}/stream",
    ] {
        tour.get(path, "nobody", "").await;
    }
    tour.get("/v1/runs/{id}/patch", &run, "").await;
    tour.post("/v1/runs/{id}/cancel", "nobody", &json!({}))
        .await;
    tour.post("/v1/runs/{id}/cancel", &run, &json!({})).await;
    tour.get("/v1/runs/{id}/stream", &run, "?from=99").await;
    let said = |message: &str| json!({ "message": message });
    let messages = "/v1/runs/{id}/messages";
    tour.post(messages, "nobody", &said("hello")).await;
    tour.full(messages).await;
    for message in ["hello", "many 1"] {
        let request = tour
            .server
            .post(&messages.replace("{id}", &run), &said(message));
        let request = request.header("Idempotency-Key", "said");
        tour.ask("post", messages, request).await;
    }
    tour.bad_bodies(messages, &run, &said(&"x".repeat(100_001)))
        .await;
    for path in ["/code", "/v1/runs"] {
        tour.bad_bodies(path, "", &body(&"x".repeat(100_001))).await;
        for prompt in ["wait", "hello"] {
            let request = tour.server.post(path, &body(prompt));
            let request = request.header("Idempotency-Key", path);
            match prompt {
                "wait" => drop(send(tour.who.sends(request)).await),
                _ => tour.ask("post", path, request).await,
            }
        }
    }
    tour.exchanges
}

/// What is refused of a run whose events have left the store, and what is still said of it.
async fn retired() -> Vec<Exchange> {
    let mut tour = Tour::start(RUN).await;
    let code = |tour: &Tour| {
        let request = tour.server.code("hello");
        request.header("Idempotency-Key", "retired")
    };
    let run = run_id(&send(tour.who.sends(code(&tour))).await);
    tour.server.until_ended(&run).await;
    let store = Arc::clone(&tour.server.store);
    while store.retire(&run, Retired::Removed).await.expect("retire") {}
    for path in ["events", "stream", "patch"] {
        let path = format!("/v1/runs/{{id}}/{path}");
        tour.get(&path, &run.0, "").await;
    }
    let said = json!({ "message": "hello" });
    tour.post("/v1/runs/{id}/messages", &run.0, &said).await;
    tour.get("/v1/runs/{id}/events", &run.0, "?limit=1").await;
    let joining = code(&tour);
    tour.ask("post", "/code", joining).await;
    tour.get("/v1/runs/{id}", &run.0, "").await;
    tour.exchanges
}

/// What every operation refuses: a caller without a name for this server, one by a foreign name, and
/// behind the gate one without a key.
async fn common_refusals(document: &Value) -> Vec<Exchange> {
    let mut tour = Tour::start(RUN).await;
    for (method, path, operation) in operations(document) {
        let request = || {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let url = tour.server.url(&path.replace("{id}", "nobody"));
            tour.server.client.request(method, url)
        };
        let mut requests = vec![
            request().header("Host", ""),
            request().header("Host", "evil.example"),
        ];
        if operation["security"] != json!([]) {
            requests.push(request());
        }
        for request in requests {
            let exchange = Exchange::of(&method, &path, request).await;
            tour.exchanges.push(exchange);
        }
    }
    tour.exchanges
}

/// What every operation behind the gate refuses to those who ask too often.
async fn too_often(document: &Value) -> Vec<Exchange> {
    let access = AccessConfig {
        request_burst: NonZeroU32::MIN,
        requests_per_minute: NonZeroU32::MIN,
        ..AccessConfig::default()
    };
    let server = Server::start_with(Setup {
        access,
        ..Setup::default()
    })
    .await;
    let ann = key(&*server.keys, "ann", RUN).await;
    send(ann.sends(server.get("/v1/version"))).await;
    let mut exchanges = Vec::new();
    for (method, path, operation) in operations(document) {
        if operation["security"] == json!([]) {
            continue;
        }
        let name = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
        let request = ann.sends(server.client.request(name, server.url(&path)));
        exchanges.push(Exchange::of(&method, &path, request).await);
    }
    exchanges
}

async fn stopping() -> Vec<Exchange> {
    let mut tour = Tour::start(RUN).await;
    let patience = Patience {
        soon: Duration::ZERO,
        now: Duration::ZERO,
    };
    tour.server.runs.hand_over(patience).await;
    tour.get("/readyz", "", "").await;
    for path in ["/code", "/v1/runs"] {
        tour.post(path, "", &body("hello")).await;
    }
    tour.exchanges
}
