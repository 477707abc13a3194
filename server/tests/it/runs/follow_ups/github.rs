//! A GitHub that knows one repository and its pull requests, as far as runs ask for them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::commits::Commits;
use super::rules::Rules;
use super::talk::Talk;
use crate::runs::project::{git, try_git};

type Pulls = Arc<Mutex<Known>>;

#[derive(Default)]
struct Known {
    pulls: Vec<Value>,
    /// Whether it opens none.
    is_closed: bool,
    /// Whether the token may only read, and whether the repository allows no forks.
    is_read_only: bool,
    has_no_forks: bool,
    /// Whether it takes no labels and nobody.
    refuses_details: bool,
    /// Which scopes it says that the token has, if any.
    scopes: Option<&'static str>,
    forks: Forks,
}

/// The forks of the account `robot`.
#[derive(Default)]
struct Forks {
    /// Where the repositories are.
    remotes: PathBuf,
    made: usize,
    /// Whether one was looked at since it was made.
    is_ready: bool,
}

/// A running double.
pub(crate) struct Github {
    address: SocketAddr,
    pulls: Pulls,
    /// What people say there.
    pub(crate) talk: Talk,
    /// Which rules its branches have.
    pub(crate) rules: Rules,
    /// The commits that it makes.
    pub(crate) commits: Commits,
}

impl Github {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let pulls = Pulls::default();
        let (talk, rules, commits) = (Talk::default(), Rules::default(), Commits::default());
        let router = Router::new()
            .route("/repos/{owner}/{name}", get(repository))
            .route("/repos/{owner}/{name}/pulls", get(list).post(open))
            .route(
                "/repos/{owner}/{name}/pulls/{number}",
                get(pull).patch(change),
            )
            .route("/user", get(async || Json(json!({ "login": "robot" }))))
            .route("/repos/{owner}/{name}/forks", post(fork))
            .route("/repos/{owner}/{name}/git/ref/heads/{*branch}", get(branch))
            .route("/repos/{owner}/{name}/git/commits/{sha}", get(commit))
            .route("/repos/{owner}/{name}/labels/{label}", get(label))
            .route("/repos/{owner}/{name}/issues/{number}/{what}", post(put))
            .route("/repos/{owner}/{name}/pulls/{number}/{what}", post(put))
            .with_state(Arc::clone(&pulls))
            .merge(talk.router())
            .merge(rules.router())
            .merge(commits.router());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Self {
            address,
            pulls,
            talk,
            rules,
            commits,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn pulls(&self) -> Vec<Value> {
        self.pulls.lock().expect("the lock").pulls.clone()
    }

    /// Has it make forks among these repositories.
    pub(crate) fn forking_in(self, remotes: PathBuf) -> Self {
        self.commits.work_in(remotes.clone());
        self.pulls.lock().expect("the lock").forks.remotes = remotes;
        self
    }

    pub(crate) fn forks_made(&self) -> usize {
        self.pulls.lock().expect("the lock").forks.made
    }

    /// Whether the token may push to the repository.
    pub(crate) fn lets_push(&self, lets_push: bool) {
        self.pulls.lock().expect("the lock").is_read_only = !lets_push;
    }

    /// Whether the repository may be forked.
    pub(crate) fn lets_fork(&self, lets_fork: bool) {
        self.pulls.lock().expect("the lock").has_no_forks = !lets_fork;
    }

    /// Has it say that the token is a classic one with these scopes.
    pub(crate) fn says_scopes(&self, scopes: &'static str) {
        self.pulls.lock().expect("the lock").scopes = Some(scopes);
    }

    /// Has it take no labels and nobody.
    pub(crate) fn refuses_details(&self) {
        self.pulls.lock().expect("the lock").refuses_details = true;
    }

    /// Takes labels and people from the first pull request, as a person does.
    pub(crate) fn undress(&self) {
        let pulls = &mut self.pulls.lock().expect("the lock").pulls;
        let pull = pulls[0].as_object_mut().expect("an object");
        pull.retain(|key, _| !["labels", "reviewers", "assignees"].contains(&key.as_str()));
    }

    /// Whether it lets pull requests be opened.
    pub(crate) fn opens(&self, opens: bool) {
        self.pulls.lock().expect("the lock").is_closed = !opens;
    }

    /// Has the first pull request merge into another branch, as a person does.
    pub(crate) fn retarget(&self, base: &str) {
        let mut known = self.pulls.lock().expect("the lock");
        known.pulls[0]["base"]["ref"] = json!(base);
    }

    /// Opens a pull request from a branch of `repository`, as a person does.
    pub(crate) fn propose(&self, branch: &str, repository: &str) -> usize {
        let pulls = &mut self.pulls.lock().expect("the lock").pulls;
        let number = pulls.len() + 1;
        pulls.push(json!({
            "number": number,
            "html_url": format!("http://github.example/owner/project/pull/{number}"),
            "title": "By a person", "body": null, "draft": false, "state": "open",
            "head": { "ref": branch, "repo": { "full_name": repository } },
            "base": { "ref": "main" },
        }));
        number
    }

    /// Merges the first pull request, as a person does.
    pub(crate) fn merge(&self) {
        let pulls = &mut self.pulls.lock().expect("the lock").pulls;
        (pulls[0]["state"], pulls[0]["merged"]) = (json!("closed"), json!(true));
    }
}

async fn pull(
    State(pulls): State<Pulls>,
    Path((_, _, number)): Path<(String, String, usize)>,
) -> Answer {
    let pull = pulls
        .lock()
        .expect("the lock")
        .pulls
        .get(number - 1)
        .cloned();
    pull.map_or_else(not_found, |pull| (StatusCode::OK, Json(pull)))
}

type Answer = (StatusCode, Json<Value>);

fn not_found() -> Answer {
    (
        StatusCode::NOT_FOUND,
        Json(json!({ "message": "Not Found" })),
    )
}

fn forbidden() -> Answer {
    let message = "Resource not accessible by personal access token";
    (StatusCode::FORBIDDEN, Json(json!({ "message": message })))
}

async fn repository(
    State(pulls): State<Pulls>,
    Path((owner, name)): Path<(String, String)>,
) -> (HeaderMap, Answer) {
    let known = pulls.lock().expect("the lock");
    let scopes = known.scopes.map(HeaderValue::from_static);
    let scopes = scopes.map(|scopes| (HeaderName::from_static("x-oauth-scopes"), scopes));
    let scopes = HeaderMap::from_iter(scopes);
    if owner == "robot" {
        let answer = match known.forks.made {
            0 => not_found(),
            _ => (StatusCode::OK, Json(forked(&name))),
        };
        return (scopes, answer);
    }
    let repository = json!({
        "full_name": format!("{owner}/{name}"),
        "default_branch": "main",
        "allow_forking": !known.has_no_forks,
        "permissions": { "push": !known.is_read_only },
    });
    (scopes, (StatusCode::OK, Json(repository)))
}

fn forked(name: &str) -> Value {
    json!({
        "full_name": format!("robot/{name}"),
        "default_branch": "main",
        "fork": true,
        "parent": { "full_name": format!("owner/{name}") },
        "permissions": { "push": true },
    })
}

async fn fork(State(pulls): State<Pulls>, Path((owner, name)): Path<(String, String)>) -> Answer {
    let forks = &mut pulls.lock().expect("the lock").forks;
    let folder = |owner: &str| forks.remotes.join(format!("{owner}/{name}.git"));
    let (from, to) = (folder(&owner), folder("robot"));
    let [from, to] = [&from, &to].map(|path| path.to_str().expect("UTF-8"));
    git(
        &forks.remotes,
        &["clone", "--quiet", "--bare", "--single-branch", from, to],
    );
    forks.made += 1;
    (StatusCode::ACCEPTED, Json(forked(&name)))
}

/// A new fork is empty at first.
async fn branch(
    State(pulls): State<Pulls>,
    Path((owner, name, branch)): Path<(String, String, String)>,
) -> Answer {
    let forks = &mut pulls.lock().expect("the lock").forks;
    if owner == "robot" && !std::mem::replace(&mut forks.is_ready, true) {
        let empty = json!({ "message": "Git Repository is empty." });
        return (StatusCode::CONFLICT, Json(empty));
    }
    let branch = format!("refs/heads/{branch}");
    let repository = forks.remotes.join(format!("{owner}/{name}.git"));
    match try_git(&repository, &["rev-parse", "--verify", "--quiet", &branch]) {
        (true, sha) => {
            let object = json!({ "sha": sha.trim(), "type": "commit" });
            let found = json!({ "ref": branch, "object": object });
            (StatusCode::OK, Json(found))
        }
        (false, _) => not_found(),
    }
}

async fn commit(
    State(pulls): State<Pulls>,
    Path((owner, name, sha)): Path<(String, String, String)>,
) -> Answer {
    let remotes = pulls.lock().expect("the lock").forks.remotes.clone();
    let repository = remotes.join(format!("{owner}/{name}.git"));
    let (is_there, said) = try_git(&repository, &["log", "-1", "--format=%P%x00%B", &sha]);
    let Some((parents, message)) = said.split_once('\0').filter(|_| is_there) else {
        return not_found();
    };
    let parents = parents.split_whitespace();
    let parents: Vec<Value> = parents.map(|parent| json!({ "sha": parent })).collect();
    let message = message.trim_end();
    let found = json!({ "sha": sha, "message": message, "parents": parents });
    (StatusCode::OK, Json(found))
}

async fn label(
    State(pulls): State<Pulls>,
    Path((_, _, label)): Path<(String, String, String)>,
) -> Answer {
    if pulls.lock().expect("the lock").refuses_details {
        return forbidden();
    }
    match label.as_str() {
        "bot" => (StatusCode::OK, Json(json!({ "name": "bot" }))),
        _ => not_found(),
    }
}

/// Labels, assignees and reviewers: added to the pull request, and answered as GitHub does.
async fn put(
    State(pulls): State<Pulls>,
    Path((_, _, number, what)): Path<(String, String, usize, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let known = &mut pulls.lock().expect("the lock");
    if known.refuses_details {
        return forbidden();
    }
    let pull = &mut known.pulls[number - 1];
    let key = match what.as_str() {
        "requested_reviewers" => "reviewers",
        other => other,
    };
    pull[key] = body[key].clone();
    let names = body[key].as_array().cloned().unwrap_or_default();
    let named = |as_what: &str| -> Vec<Value> {
        names.iter().map(|name| json!({ as_what: name })).collect()
    };
    let answer = match key {
        "labels" => json!(named("name")),
        _ => json!({ "number": number, "assignees": named("login") }),
    };
    (StatusCode::CREATED, Json(answer))
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
        return forbidden();
    }
    let pulls = &mut known.pulls;
    let number = pulls.len() + 1;
    let head = new["head"].as_str().expect("a branch");
    let (from, head) = head.split_once(':').unwrap_or((&owner, head));
    let pull = json!({
        "number": number,
        "html_url": format!("http://github.example/{owner}/{name}/pull/{number}"),
        "title": new["title"],
        "body": new["body"],
        "draft": new["draft"],
        "state": "open",
        "head": { "ref": head, "repo": { "full_name": format!("{from}/{name}") } },
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
