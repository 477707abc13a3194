//! What a GitHub does with the mutation that makes a commit: it makes it, in the bare repository that it is asked
//! of, and says what is wrong as GitHub does.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::runs::lab::in_time;
use crate::runs::project::{git, try_git};

/// Who commits what GitHub makes.
pub(crate) const COMMITTER: &str = "GitHub <noreply@github.com>";
const AUTHOR: &str = "robot <robot@users.noreply.github.com>";

type Shared = Arc<watch::Sender<Known>>;

#[derive(Default)]
struct Known {
    /// Where the repositories are.
    remotes: PathBuf,
    /// What it does instead of what it is asked, in order.
    acts: VecDeque<Act>,
    /// How often it was asked.
    asked: usize,
}

/// What it does instead of what it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Refuses, with this type and these words.
    Refuse(&'static str, &'static str),
    /// Refuses, since a limit is reached that is over in two seconds.
    Limit,
    /// Makes nothing, and answers as a gateway does whose server is gone, from now on.
    Break,
    /// Makes it, and answers so once.
    BreakAfter,
    /// Somebody else pushes first.
    BeOvertaken,
    /// Makes a commit that lacks the files.
    MakeAnother,
    /// Makes it, and somebody deletes the branch.
    LoseBranch,
    /// Makes it, and somebody else pushes on top of it.
    BeBuiltOn,
    /// Does nothing and never answers.
    HangBefore,
    /// Makes it and never answers.
    HangAfter,
}

/// That part of a GitHub.
#[derive(Clone)]
pub(crate) struct Commits(Shared);

impl Default for Commits {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Known::default())))
    }
}

impl Commits {
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/graphql", post(answer))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&self.0))
    }

    pub(super) fn work_in(&self, remotes: PathBuf) {
        self.0.send_modify(|known| known.remotes = remotes);
    }

    /// Has it do this when it is asked next.
    pub(crate) fn act(&self, act: Act) {
        self.0.send_modify(|known| known.acts.push_back(act));
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.borrow().asked
    }

    /// Waits until it has come so far with what it was asked for the nth time that it would answer.
    pub(crate) async fn until_asked(&self, times: usize) {
        let mut known = self.0.subscribe();
        let asked = in_time(known.wait_for(|known| known.asked >= times)).await;
        drop(asked.expect("it is asked"));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    query: String,
    variables: Variables,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variables {
    input: Input,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    branch: Branch,
    expected_head_oid: String,
    message: Message,
    file_changes: FileChanges,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Branch {
    repository_name_with_owner: String,
    branch_name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    headline: String,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileChanges {
    additions: Vec<Addition>,
    deletions: Vec<Deletion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    path: String,
    contents: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    path: String,
}

impl Query {
    fn assert_is_the_mutation(&self) {
        let mutation = "mutation($input: CreateCommitOnBranchInput!)";
        assert!(self.query.starts_with(mutation), "{}", self.query);
    }
}

/// Makes the commit that a request's body asks for, in one of the bare repositories below this folder, and says what
/// GitHub does.
pub(crate) fn commit_asked_for(remotes: &Path, body: Value) -> Value {
    let query: Query = serde_json::from_value(body).expect("the mutation");
    query.assert_is_the_mutation();
    do_it(remotes, query.variables.input, None)
}

async fn answer(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Json(query): Json<Query>,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION);
    if authorization.is_none_or(|value| value != "Bearer token") {
        let bad = json!({ "message": "Bad credentials" });
        return (StatusCode::UNAUTHORIZED, Json(bad)).into_response();
    }
    query.assert_is_the_mutation();
    let mut act = None;
    shared.send_modify(|known| {
        act = known.acts.pop_front();
        if let Some(Act::Break) = act {
            known.acts.push_front(Act::Break);
        }
    });
    let remotes = shared.borrow().remotes.clone();
    let said = do_it(&remotes, query.variables.input, act);
    shared.send_modify(|known| known.asked += 1);
    match act {
        Some(Act::HangBefore | Act::HangAfter) => std::future::pending().await,
        Some(Act::Break | Act::BreakAfter) => {
            let broken = json!({ "message": "Server Error" });
            (StatusCode::BAD_GATEWAY, Json(broken)).into_response()
        }
        Some(Act::Limit) => ([(header::RETRY_AFTER, "2")], Json(said)).into_response(),
        _ => Json(said).into_response(),
    }
}

fn do_it(remotes: &Path, mut input: Input, act: Option<Act>) -> Value {
    let name = &input.branch.repository_name_with_owner;
    let repository = remotes.join(format!("{name}.git"));
    match act {
        Some(Act::Refuse(kind, message)) => return refused(kind, message),
        Some(Act::Limit) => return refused("RATE_LIMITED", "API rate limit exceeded"),
        Some(Act::Break | Act::HangBefore) => return Value::Null,
        Some(Act::BeOvertaken) => put_on(&repository, &input, &input.expected_head_oid),
        Some(Act::MakeAnother) => input.file_changes.additions.clear(),
        Some(Act::LoseBranch | Act::BeBuiltOn | Act::BreakAfter | Act::HangAfter) | None => {}
    }
    if !repository.exists() {
        let message = format!("Could not resolve to a Repository with the name '{name}'.");
        return refused("NOT_FOUND", &message);
    }
    let made = commit(&repository, &input);
    match (act, &made) {
        (Some(Act::LoseBranch), Ok(_)) => {
            let branch = format!("refs/heads/{}", input.branch.branch_name);
            git(&repository, &["update-ref", "-d", &branch]);
        }
        (Some(Act::BeBuiltOn), Ok(oid)) => put_on(&repository, &input, oid),
        _ => {}
    }
    match made {
        Ok(oid) => json!({ "data": { "createCommitOnBranch": { "commit": { "oid": oid } } } }),
        Err((kind, message)) => refused(kind, &message),
    }
}

fn refused(kind: &str, message: &str) -> Value {
    let error = json!({
        "type": kind,
        "path": ["createCommitOnBranch"],
        "locations": [{ "line": 1, "column": 48 }],
        "message": message,
    });
    json!({ "data": { "createCommitOnBranch": null }, "errors": [error] })
}

/// A person's commit with the same files, on this one.
fn put_on(repository: &Path, input: &Input, parent: &str) {
    let tree = format!("{parent}^{{tree}}");
    let commit = git(
        repository,
        &["commit-tree", &tree, "-p", parent, "-m", "By a person"],
    );
    let branch = format!("refs/heads/{}", input.branch.branch_name);
    git(repository, &["update-ref", &branch, commit.trim()]);
}

/// The commit on top of the expected one, or the type and the words of why not.
fn commit(repository: &Path, input: &Input) -> Result<String, (&'static str, String)> {
    let branch = format!("refs/heads/{}", input.branch.branch_name);
    let expected = &input.expected_head_oid;
    let (_, head) = try_git(repository, &["rev-parse", "--verify", "--quiet", &branch]);
    if head.trim() != expected {
        let message = format!(
            "Expected branch to point to \"{expected}\" but it did not.  Pull and try again."
        );
        return Err(("STALE_DATA", message));
    }
    let tree = write_tree(repository, expected, &input.file_changes)?;
    let message = format!("{}\n\n{}", input.message.headline, input.message.body);
    let made = ["commit-tree", &tree, "-p", expected, "-m", message.trim()];
    let commit = plumb(repository, &made, b"");
    git(repository, &["update-ref", &branch, &commit, expected]);
    Ok(commit)
}

/// The tree of the expected commit with these changes; files that are added are regular ones.
fn write_tree(
    repository: &Path,
    expected: &str,
    changes: &FileChanges,
) -> Result<String, (&'static str, String)> {
    let mut entries = String::new();
    for Deletion { path } in &changes.deletions {
        let at = format!("{expected}:{path}");
        let (is_there, _) = try_git(repository, &["cat-file", "-e", &at]);
        if !is_there {
            let message = format!(
                "A path was requested for deletion which does not exist as of commit oid `{expected}`"
            );
            return Err(("UNPROCESSABLE", message));
        }
        entries.push_str(&format!("0 {:040}\t{path}\n", 0));
    }
    for Addition { path, contents } in &changes.additions {
        let bytes = STANDARD.decode(contents).expect("base64");
        let blob = plumb(repository, &["hash-object", "-w", "--stdin"], &bytes);
        entries.push_str(&format!("100644 {blob}\t{path}\n"));
    }
    plumb(repository, &["read-tree", expected], b"");
    let index = ["update-index", "--index-info"];
    plumb(repository, &index, entries.as_bytes());
    Ok(plumb(repository, &["write-tree"], b""))
}

/// Git as GitHub runs it: with an index of its own, and as the token's account.
fn plumb(repository: &Path, arguments: &[&str], input: &[u8]) -> String {
    let [author, committer] = [AUTHOR, COMMITTER].map(|who| {
        let (name, email) = who.split_once(" <").expect("a name and an address");
        (name, email.trim_end_matches('>'))
    });
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(repository)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_INDEX_FILE", repository.join("api-index"))
        .env("GIT_AUTHOR_NAME", author.0)
        .env("GIT_AUTHOR_EMAIL", author.1)
        .env("GIT_COMMITTER_NAME", committer.0)
        .env("GIT_COMMITTER_EMAIL", committer.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start git");
    let stdin = child.stdin.take().expect("standard input");
    let written = { stdin }.write_all(input);
    let output = child.wait_with_output().expect("git ends");
    assert!(output.status.success(), "git {arguments:?}");
    written.expect("git reads");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
