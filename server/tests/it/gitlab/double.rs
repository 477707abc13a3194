//! A GitLab on this machine: one project in a group of a group, its merge requests, and git over HTTP
//! on the same address.
//!
//! What is real: git's own HTTP server, behind a proxy of ours; the branches and commits that the
//! API tells of, which are those of that repository. What is not: the API. No registry that the tests
//! may reach has a GitLab, so it is written here by GitLab's documentation, and held against PyPI
//! `python-gitlab`, an independent client of GitLab: that client works with it, and its tables of
//! attributes are what each request of the plugin is checked with (`client.rs`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::runs::project::try_git;
use crate::support::http_client;

/// The project's path: its owner is two groups.
pub(super) const PROJECT: &str = "group/sub/project";
/// The only token that counts.
pub(super) const TOKEN: &str = "glpat-canary-of-the-forge";

const PROJECT_ID: u64 = 7;
const MAX_BODY_BYTES: usize = 64 << 20;
const API: &str = "/api/v4";

/// What happens to one request that writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// 429 before anything is done, with this to wait in seconds.
    Busy(u32),
    /// 502 before anything is done.
    Broken,
    /// 502 after it was done.
    DoneAndBroken,
    /// The connection is cut after it was done.
    DoneAndCut,
}

/// A running one.
pub(super) struct Gitlab {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    bare: PathBuf,
    git: HttpBackend,
    known: Mutex<Known>,
}

/// What the API knows.
pub(super) struct Known {
    pub(super) merge_requests: Vec<Value>,
    /// Each request to the API, and the status of its answer.
    pub(super) seen: Vec<Value>,
    pub(super) access_level: u64,
    pub(super) scopes: Vec<&'static str>,
    pub(super) archived: bool,
    /// For the next requests that write, the first one first.
    pub(super) faults: Vec<Fault>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            merge_requests: Vec::new(),
            seen: Vec::new(),
            access_level: 30,
            scopes: vec!["api"],
            archived: false,
            faults: Vec::new(),
        }
    }
}

impl Gitlab {
    /// Serves the bare repository [`PROJECT`] below `root`.
    pub(super) async fn start(root: PathBuf) -> Self {
        let behaviour = Behaviour::Password {
            user: "oauth2".to_owned(),
            password: TOKEN.to_owned(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            address,
            bare: root.join(format!("{PROJECT}.git")),
            git: HttpBackend::start(root, behaviour).await,
            known: Mutex::default(),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared }
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn clone_url(&self) -> String {
        format!("{}/{PROJECT}.git", self.url())
    }

    pub(super) fn git(&self) -> &HttpBackend {
        &self.shared.git
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap();
    if !parts.uri.path().starts_with(API) {
        return to_git(&shared, &parts.method, &parts.uri, &parts.headers, body).await;
    }
    let fault = fault(&shared, &parts.method);
    let answer = match fault {
        Some(Fault::Busy(wait)) => return busy(wait),
        Some(Fault::Broken) => return broken(),
        _ => api(&shared, &parts.method, &parts.uri, &parts.headers, &body),
    };
    match fault {
        Some(Fault::DoneAndBroken) => broken(),
        Some(Fault::DoneAndCut) => cut(),
        _ => answer,
    }
}

fn fault(shared: &Shared, method: &Method) -> Option<Fault> {
    let faults = &mut shared.known.lock().unwrap().faults;
    let writes = method != Method::GET;
    (writes && !faults.is_empty()).then(|| faults.remove(0))
}

fn busy(wait: u32) -> Response {
    let headers = [
        (header::RETRY_AFTER, wait.to_string()),
        (header::CONTENT_TYPE, "text/plain".to_owned()),
    ];
    (StatusCode::TOO_MANY_REQUESTS, headers, "Retry later\n").into_response()
}

fn broken() -> Response {
    let page = "<html><body>502 Whoops, GitLab is taking too much time to respond</body></html>";
    (StatusCode::BAD_GATEWAY, page).into_response()
}

fn cut() -> Response {
    let nothing = futures_util::stream::once(async {
        Err::<Bytes, _>(std::io::Error::other("the connection is cut"))
    });
    (StatusCode::CREATED, Body::from_stream(nothing)).into_response()
}

/// A proxy, so that git and the API have one origin.
async fn to_git(
    shared: &Shared,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let mut headers = headers.clone();
    headers.remove(header::HOST);
    let request = http_client()
        .request(method.clone(), format!("{}{uri}", shared.git.origin()))
        .headers(headers)
        .body(body);
    let got = request.send().await.unwrap();
    let (status, mut headers) = (got.status(), got.headers().clone());
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    (status, headers, got.bytes().await.unwrap()).into_response()
}

fn api(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let known = &mut shared.known.lock().unwrap();
    let route: Vec<String> = uri.path()[API.len()..]
        .split('/')
        .skip(1)
        .map(decoded)
        .collect();
    let route: Vec<&str> = route.iter().map(String::as_str).collect();
    let query = query(uri);
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let (status, answer) = if has_token(headers) {
        routed(shared, known, method, &route, &query, &sent)
    } else {
        (401, json!({ "message": "401 Unauthorized" }))
    };
    known.seen.push(json!({
        "method": method.as_str(), "route": route, "query": query, "body": sent, "status": status,
    }));
    let status = StatusCode::from_u16(status).unwrap();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, answer.to_string()).into_response()
}

fn has_token(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    value("private-token") == Some(TOKEN)
        || value("authorization").and_then(|text| text.strip_prefix("Bearer ")) == Some(TOKEN)
}

fn routed(
    shared: &Shared,
    known: &mut Known,
    method: &Method,
    route: &[&str],
    query: &Map<String, Value>,
    sent: &Value,
) -> (u16, Value) {
    if route == ["personal_access_tokens", "self"] {
        let token = json!({"id": 3, "name": "pullwright", "active": true, "scopes": known.scopes});
        return (200, token);
    }
    let ["projects", project, rest @ ..] = route else {
        return (404, json!({ "error": "404 Not Found" }));
    };
    if ![PROJECT, &PROJECT_ID.to_string()].contains(project) {
        return (404, json!({ "message": "404 Project Not Found" }));
    }
    match (method.as_str(), rest) {
        ("GET", []) => (200, whole_project(shared, known)),
        ("GET", ["merge_requests"]) => (200, listed(known, query)),
        ("POST", ["merge_requests"]) => opened(shared, known, sent),
        ("GET", ["merge_requests", iid]) => changed(shared, known, iid, &Value::Null),
        ("PUT", ["merge_requests", iid]) => changed(shared, known, iid, sent),
        _ => (405, json!({ "error": "405 Not Allowed" })),
    }
}

fn whole_project(shared: &Shared, known: &Known) -> Value {
    let page = format!("http://{}/{PROJECT}", shared.address);
    json!({
        "id": PROJECT_ID, "name": "Project", "path": "project", "path_with_namespace": PROJECT,
        "default_branch": "main", "visibility": "private", "archived": known.archived,
        "empty_repo": false, "web_url": page, "http_url_to_repo": format!("{page}.git"),
        "merge_requests_enabled": true, "merge_requests_access_level": "enabled",
        "permissions": {
            "project_access": null,
            "group_access": { "access_level": known.access_level, "notification_level": 3 },
        },
        "statistics": { "commit_count": 1, "repository_size": 65_536 },
    })
}

fn listed(known: &Known, query: &Map<String, Value>) -> Value {
    let fits = |request: &&Value| {
        ["state", "source_branch", "target_branch"]
            .iter()
            .all(|key| query.get(*key).is_none_or(|wanted| request[key] == *wanted))
    };
    known.merge_requests.iter().filter(fits).cloned().collect()
}

fn opened(shared: &Shared, known: &mut Known, sent: &Value) -> (u16, Value) {
    for key in ["source_branch", "target_branch", "title"] {
        if sent[key].as_str().is_none_or(str::is_empty) {
            return (400, json!({ "error": format!("{key} is missing") }));
        }
    }
    let same = known.merge_requests.iter().find(|request| {
        request["state"] == "opened"
            && request["source_branch"] == sent["source_branch"]
            && request["target_branch"] == sent["target_branch"]
    });
    if let Some(same) = same {
        let number = &same["iid"];
        let message =
            format!("Another open merge request already exists for this source branch: !{number}");
        return (409, json!({ "message": [message] }));
    }
    let iid = known.merge_requests.len() + 1;
    let mut new = json!({
        "id": 1000 + iid, "iid": iid, "project_id": PROJECT_ID, "state": "opened",
        "source_project_id": PROJECT_ID, "target_project_id": PROJECT_ID, "labels": [],
        "web_url": format!("http://{}/{PROJECT}/-/merge_requests/{iid}", shared.address),
        "source_branch": sent["source_branch"], "target_branch": sent["target_branch"],
        "title": sent["title"], "description": sent["description"],
    });
    derive(shared, &mut new);
    known.merge_requests.push(new.clone());
    (201, new)
}

fn changed(shared: &Shared, known: &mut Known, iid: &str, sent: &Value) -> (u16, Value) {
    let found = known
        .merge_requests
        .iter_mut()
        .find(|request| request["iid"].as_u64() == iid.parse().ok());
    let Some(found) = found else {
        return (404, json!({ "message": "404 Not found" }));
    };
    for key in ["title", "description", "target_branch"] {
        if let Some(value) = sent.get(key) {
            found[key] = value.clone();
        }
    }
    if sent["state_event"] == "close" {
        found["state"] = json!("closed");
    }
    derive(shared, found);
    (200, found.clone())
}

/// What GitLab makes of the title and of the branch.
fn derive(shared: &Shared, request: &mut Value) {
    let title = request["title"].as_str().unwrap_or_default();
    request["draft"] = json!(title.starts_with("Draft:"));
    let branch = request["source_branch"].as_str().unwrap_or_default();
    let (known, tip) = try_git(&shared.bare, &["rev-parse", "--verify", branch]);
    request["sha"] = if known {
        json!(tip.trim())
    } else {
        Value::Null
    };
}

fn query(uri: &Uri) -> Map<String, Value> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| {
            (
                decoded(key),
                Value::String(decoded(&value.replace('+', " "))),
            )
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap()
}
