//! Deliveries that came while no server was there arrive once one is.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{self, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};

use super::sender::{self, Delivery};
use super::serve;
use crate::main_job::app_keys;
use crate::runs::lab::{in_time, make_folder, write_config};
use crate::support::http_client;

/// The id of the attempt that failed.
const FAILED: u64 = 12_345_678_901;

/// A GitHub that has tried in vain to deliver something to an App's webhook.
#[derive(Clone)]
struct Hook {
    delivery: Delivery,
    /// Where the server listens, once that is known.
    server: Arc<watch::Sender<Option<String>>>,
    /// What was asked for again, and how the delivery was answered then.
    again: mpsc::UnboundedSender<(u64, StatusCode, Value)>,
}

impl Hook {
    async fn listen(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new()
            .route("/app/hook/deliveries", get(list))
            .route("/app/hook/deliveries/{id}/attempts", post(attempt))
            .with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

/// A GitHub that has missed nothing, and tells which paths are asked for.
async fn listen_for(asked: mpsc::UnboundedSender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = move |uri: Uri| {
        let _ = asked.send(uri.path().to_owned());
        async { Json(json!([])) }
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn list(State(hook): State<Hook>, headers: HeaderMap) -> Json<Value> {
    let proof = headers["authorization"].to_str().expect("a proof");
    assert!(proof.starts_with("Bearer ey"), "{proof}");
    // Whatever the time is here, it was not long ago.
    Json(json!([{
        "id": FAILED, "guid": hook.delivery.id, "delivered_at": "2099-01-01T00:00:00Z", "redelivery": false,
        "duration": 10.0, "status": "failed to connect", "status_code": 502, "event": hook.delivery.event,
        "action": "labeled", "installation_id": 99, "repository_id": 7, "throttled_at": null,
    }]))
}

async fn attempt(
    State(hook): State<Hook>,
    extract::Path(id): extract::Path<u64>,
) -> (StatusCode, Json<Value>) {
    tokio::spawn(async move {
        let mut server = hook.server.subscribe();
        let known = server.wait_for(Option::is_some).await;
        let url = known.expect("a server").clone().expect("its address");
        let answer = hook.delivery.request(&url).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        let said = serde_json::from_str(&text).expect("JSON");
        let _ = hook.again.send((id, status, said));
    });
    (StatusCode::ACCEPTED, Json(json!({})))
}

/// Starts a server that works as an App of the GitHub at `api`.
async fn start(folder: &Path, api: &str, keys: &str) -> (Child, String) {
    let row = format!(
        "[server]\ndata_dir = \"data\"\n[tools.github]\nbuiltin = \"github\"\nruns = \"host\"\nbase_url = \"{api}\"\n\
         hosts = [\"github.com\"]\napp_id = 4711\napp_key_env = \"PULLWRIGHT_TEST_APP_KEY\"\n"
    );
    write_config(
        folder,
        &format!("{row}{}", sender::section(keys)),
        "github.com",
    );
    std::fs::write(folder.join("script.toml"), "replies = []").expect("a script");
    serve(folder, &[("PULLWRIGHT_TEST_APP_KEY", &app_keys::ours())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_arrives_at_the_next_start() {
    let (again, mut arrived) = mpsc::unbounded_channel();
    let server = Arc::new(watch::Sender::new(None));
    let hook = Hook {
        delivery: Delivery::labeled("https://github.com/owner/project.git", 1, "ann"),
        server: Arc::clone(&server),
        again,
    };
    let api = hook.listen().await;
    let (folder, _kept) = make_folder();
    let (_process, address) = start(&folder, &api, "").await;
    server.send_replace(Some(address));
    let (id, status, said) = in_time(arrived.recv()).await.expect("a delivery");
    assert_eq!((id, status), (FAILED, StatusCode::ACCEPTED), "{said}");
    assert_eq!(said["status"], "accepted");
}

/// A server that is told not to asks for nothing, while one that is told to asks at once.
#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off() {
    let (asked, mut heard) = mpsc::unbounded_channel();
    let api = listen_for(asked).await;
    let (folder, _kept) = make_folder();
    let (_silent, address) = start(&folder, &format!("{api}/off"), "redeliver = false").await;
    let ready = in_time(http_client().get(format!("{address}/readyz")).send()).await;
    assert!(ready.expect("an answer").status().is_success());
    let (folder, _kept_too) = make_folder();
    let (_asking, _) = start(&folder, &format!("{api}/on"), "redeliver = true").await;
    let first = in_time(heard.recv()).await.expect("a request");
    assert_eq!(first, "/on/app/hook/deliveries");
    let more = std::iter::from_fn(|| heard.try_recv().ok());
    let unwanted: Vec<String> = more.filter(|path| !path.starts_with("/on/")).collect();
    assert!(unwanted.is_empty(), "{unwanted:?}");
}
