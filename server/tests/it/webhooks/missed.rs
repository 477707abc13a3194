//! Deliveries that came while no server was there arrive once one is.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::sender::{self, Delivery};
use crate::main_job::app_keys;
use crate::runs::lab::{PROGRAM, in_time, make_folder, write_config};
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
        tokio::spawn(async move { serve(listener, router).await });
        url
    }
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

async fn attempt(State(hook): State<Hook>, Path(id): Path<u64>) -> (StatusCode, Json<Value>) {
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

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server that works as an App of the GitHub at `api`.
fn start(folder: &std::path::Path, api: &str, keys: &str) -> (Server, String) {
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
    let mut process = Command::new(PROGRAM)
        .args([
            "serve",
            "--config",
            "plugins.toml",
            "--listen",
            "127.0.0.1:0",
        ])
        .current_dir(folder)
        .env_remove("DATABASE_URL")
        .env("PULLWRIGHT_TEST_APP_KEY", app_keys::ours())
        .env(sender::VARIABLE, sender::SECRET)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start pullwright");
    let output = process.stderr.take().expect("stderr");
    let mut lines = BufReader::new(output)
        .lines()
        .map(|line| line.expect("a line"));
    let address = lines.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    (Server(process), address.expect("it says where it listens"))
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
    let (_process, address) = start(&folder, &api, "");
    server.send_replace(Some(address));
    let (id, status, said) = in_time(arrived.recv()).await.expect("a delivery");
    assert_eq!((id, status), (FAILED, StatusCode::ACCEPTED), "{said}");
    assert_eq!(said["status"], "accepted");
}

/// A server that is told not to asks for nothing: its list is looked at by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_switched_off() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("not to block");
    let api = format!("http://{}", listener.local_addr().expect("an address"));
    let (folder, _kept) = make_folder();
    let (process, address) = start(&folder, &api, "redeliver = false");
    let ready = in_time(http_client().get(format!("{address}/readyz")).send()).await;
    assert!(ready.expect("an answer").status().is_success());
    drop(process);
    let asked = listener.accept();
    assert!(asked.is_err(), "somebody asked: {asked:?}");
}
