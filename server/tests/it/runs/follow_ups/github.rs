//! A GitHub that knows one repository and its pull requests, as far as runs ask for them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Pulls = Arc<Mutex<Known>>;

#[derive(Default)]
struct Known {
    pulls: Vec<Value>,
    /// Whether it opens none.
    is_closed: bool,
}

/// A running double.
pub(super) struct Github {
    address: SocketAddr,
    pulls: Pulls,
}

impl Github {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let pulls = Pulls::default();
        let router = Router::new()
            .route("/repos/{owner}/{name}", get(repository))
            .route("/repos/{owner}/{name}/pulls", get(list).post(open))
            .route("/repos/{owner}/{name}/pulls/{number}", patch(change))
            .with_state(Arc::clone(&pulls));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Self { address, pulls }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn pulls(&self) -> Vec<Value> {
        self.pulls.lock().expect("the lock").pulls.clone()
    }

    /// Whether it lets pull requests be opened.
    pub(super) fn opens(&self, opens: bool) {
        self.pulls.lock().expect("the lock").is_closed = !opens;
    }

    /// Has the first pull request merge into another branch, as a person does.
    pub(super) fn retarget(&self, base: &str) {
        let mut known = self.pulls.lock().expect("the lock");
        known.pulls[0]["base"]["ref"] = json!(base);
    }

    /// Merges the first pull request, as a person does.
    pub(super) fn merge(&self) {
        let pulls = &mut self.pulls.lock().expect("the lock").pulls;
        (pulls[0]["state"], pulls[0]["merged"]) = (json!("closed"), json!(true));
    }
}

async fn repository(Path((owner, name)): Path<(String, String)>) -> Json<Value> {
    Json(json!({
        "full_name": format!("{owner}/{name}"),
        "default_branch": "main",
        "permissions": { "push": true },
    }))
}

/// Those that are open, whatever is asked for: clients look at what they get.
async fn list(State(pulls): State<Pulls>) -> Json<Vec<Value>> {
    let mut open = pulls.lock().expect("the lock").pulls.clone();
    open.retain(|pull| pull["state"] == "open");
    Json(open)
}

async fn open(
    State(pulls): State<Pulls>,
    Path((owner, name)): Path<(String, String)>,
    Json(new): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let known = &mut pulls.lock().expect("the lock");
    if known.is_closed {
        let message = "Resource not accessible by personal access token";
        return (StatusCode::FORBIDDEN, Json(json!({ "message": message })));
    }
    let pulls = &mut known.pulls;
    let number = pulls.len() + 1;
    let pull = json!({
        "number": number,
        "html_url": format!("http://github.example/{owner}/{name}/pull/{number}"),
        "title": new["title"],
        "body": new["body"],
        "draft": new["draft"],
        "state": "open",
        "head": { "ref": new["head"], "repo": { "full_name": format!("{owner}/{name}") } },
        "base": { "ref": new["base"] },
    });
    pulls.push(pull.clone());
    (StatusCode::CREATED, Json(pull))
}

async fn change(
    State(pulls): State<Pulls>,
    Path((_, _, number)): Path<(String, String, usize)>,
    Json(changed): Json<Value>,
) -> Json<Value> {
    let pulls = &mut pulls.lock().expect("the lock").pulls;
    let pull = &mut pulls[number - 1];
    if let Some(base) = changed.get("base") {
        pull["base"]["ref"] = base.clone();
    }
    for field in ["title", "body"] {
        if let Some(value) = changed.get(field) {
            pull[field] = value.clone();
        }
    }
    Json(pull.clone())
}
