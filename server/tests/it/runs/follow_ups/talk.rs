//! What people and programs say on a GitHub: permissions, comments, checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::runs::lab::in_time;

type Shared = Arc<watch::Sender<Said>>;

#[derive(Default)]
struct Said {
    comments: Vec<Value>,
    /// What people may do; whoever is not here is not known.
    permissions: BTreeMap<String, String>,
    /// Whether it says what people may do only later.
    is_slow: bool,
    /// The checks of any commit.
    checks: Vec<Value>,
    /// How many requests wrote a comment.
    writes: usize,
}

/// That part of a GitHub.
#[derive(Clone)]
pub(crate) struct Talk(Shared);

impl Default for Talk {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Said::default())))
    }
}

impl Talk {
    pub(crate) fn router(&self) -> Router {
        let at = |rest: &str| format!("/repos/{{owner}}/{{name}}{rest}");
        Router::new()
            .route(&at("/collaborators/{login}/permission"), get(permission))
            .route(
                &at("/issues/{number}/comments"),
                get(comments).post(comment),
            )
            .route(&at("/issues/comments/{id}"), patch(edit))
            .route(&at("/commits/{sha}/check-runs"), get(checks))
            .with_state(Arc::clone(&self.0))
    }

    /// Lets somebody have this permission.
    pub(crate) fn permit(&self, login: &str, permission: &str) {
        let (login, permission) = (login.to_owned(), permission.to_owned());
        self.0.send_modify(|said| {
            said.permissions.insert(login, permission);
        });
    }

    /// Whether it says what people may do only once this is taken back.
    pub(crate) fn is_slow(&self, is_slow: bool) {
        self.0.send_modify(|said| said.is_slow = is_slow);
    }

    /// Has a check fail on each commit.
    pub(crate) fn fail(&self, name: &str, output: &str) {
        let check = json!({
            "id": 1, "name": name, "conclusion": "failure", "html_url": "http://ci.example/1",
            "output": { "title": "It failed", "summary": output, "annotations_count": 0 },
        });
        self.0.send_modify(|said| said.checks.push(check));
    }

    /// The comments on an issue or a pull request.
    pub(crate) fn comments(&self, number: usize) -> Vec<String> {
        comments_on(&self.0.borrow(), number)
    }

    /// How often a comment was written or changed.
    pub(crate) fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    /// Waits for a comment that says so, and answers it.
    pub(crate) async fn until_said(&self, number: usize, part: &str) -> String {
        let mut changes = self.0.subscribe();
        let found = |said: &Said| {
            let mut comments = comments_on(said, number).into_iter();
            comments.find(|body| body.contains(part))
        };
        let waiting = async {
            let said = changes.wait_for(|said| found(said).is_some()).await;
            found(&said.expect("the double")).expect("a comment")
        };
        in_time(waiting).await
    }
}

fn comments_on(said: &Said, number: usize) -> Vec<String> {
    let on = said
        .comments
        .iter()
        .filter(|comment| comment["number"] == number);
    on.map(|comment| comment["body"].as_str().expect("a body").to_owned())
        .collect()
}

async fn permission(
    State(said): State<Shared>,
    Path((_, _, login)): Path<(String, String, String)>,
) -> Result<Json<Value>, StatusCode> {
    let mut changes = said.subscribe();
    let said = changes.wait_for(|said| !said.is_slow).await;
    let said = said.map_err(|_| StatusCode::GONE)?;
    let permission = said.permissions.get(&login);
    let permission = permission.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({ "permission": permission })))
}

async fn comments(
    State(said): State<Shared>,
    Path((_, _, number)): Path<(String, String, usize)>,
) -> Json<Vec<Value>> {
    let mut comments = said.borrow().comments.clone();
    comments.retain(|comment| comment["number"] == number);
    Json(comments)
}

async fn comment(
    State(said): State<Shared>,
    Path((_, _, number)): Path<(String, String, usize)>,
    Json(new): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut comment = json!({ "number": number, "body": new["body"] });
    said.send_modify(|said| {
        comment["id"] = json!(said.comments.len() + 1);
        said.comments.push(comment.clone());
        said.writes += 1;
    });
    (StatusCode::CREATED, Json(comment))
}

async fn edit(
    State(said): State<Shared>,
    Path((_, _, id)): Path<(String, String, usize)>,
    Json(changed): Json<Value>,
) -> Json<Value> {
    said.send_modify(|said| {
        said.comments[id - 1]["body"] = changed["body"].clone();
        said.writes += 1;
    });
    Json(said.borrow().comments[id - 1].clone())
}

async fn checks(State(said): State<Shared>) -> Json<Value> {
    let checks = said.borrow().checks.clone();
    Json(json!({ "total_count": checks.len(), "check_runs": checks }))
}
