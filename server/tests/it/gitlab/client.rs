//! PyPI `python-gitlab`: an independent client of GitLab, which the double must satisfy, and whose
//! tables of attributes the plugin's requests must keep to.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::double::{Gitlab, PROJECT, TOKEN};
use crate::peers::process::Peers;

/// Python and its imports take a while on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Works with the project as any program that uses the library does. Expects a branch `change`.
const WORK: &str = r#"
import sys
import gitlab

url, token, path = sys.argv[1:]
client = gitlab.Gitlab(url, private_token=token)
project = client.projects.get(path)
assert project.path_with_namespace == path and project.default_branch == "main"
new = {"source_branch": "change", "target_branch": "main", "title": "Draft: one", "description": "d"}
made = project.mergerequests.create(new)
assert made.iid == 1 and made.draft and made.sha and made.state == "opened", made.attributes
listed = project.mergerequests.list(state="opened", source_branch="change", get_all=True)
assert [one.iid for one in listed] == [1]
assert project.mergerequests.list(state="opened", source_branch="other", get_all=True) == []
try:
    project.mergerequests.create(new)
    raise SystemExit("a second one was made")
except gitlab.exceptions.GitlabCreateError as error:
    assert error.response_code == 409 and "already exists" in str(error.error_message), error
made.title, made.target_branch = "two", "main"
made.save()
again = project.mergerequests.get(1)
assert again.title == "two" and not again.draft
again.state_event = "close"
again.save()
assert project.mergerequests.list(state="opened", get_all=True) == []
assert client.personal_access_tokens.get("self").scopes == ["api"]
for broken, kind in [
    (lambda: gitlab.Gitlab(url, private_token="wrong").projects.get(path), gitlab.exceptions.GitlabAuthenticationError),
    (lambda: client.projects.get("group/none"), gitlab.exceptions.GitlabGetError),
]:
    try:
        broken()
        raise SystemExit("it was let in")
    except kind:
        pass
"#;

/// Holds requests against the library's tables; prints how many there were.
const CHECK: &str = r#"
import json
import sys
from gitlab.v4.objects import ProjectMergeRequestManager as Requests

EVERYWHERE = {"page", "per_page"}
checked = 0
for seen in json.load(sys.stdin):
    method, route, query, body = (seen[key] for key in ("method", "route", "query", "body"))
    if route[2:3] != ["merge_requests"]:
        assert method == "GET" and set(query) <= {"statistics"}, seen
        continue
    if method == "GET":
        assert set(query) <= set(Requests._list_filters) | EVERYWHERE, seen
    else:
        attributes = Requests._create_attrs if method == "POST" else Requests._update_attrs
        attributes.validate_attrs(data=body)
        assert set(body) <= set(attributes.required) | set(attributes.optional), seen
    checked += 1
print(checked)
"#;

/// Lets the library work with the double.
pub(super) async fn work(peers: &Peers, gitlab: &Gitlab) {
    let url = gitlab.url();
    run(peers, WORK, &[&url, TOKEN, PROJECT], "").await;
}

/// Checks what the plugin asked for, and says how many requests for merge requests there were.
pub(super) async fn check(peers: &Peers, gitlab: &Gitlab) -> usize {
    let seen = Value::from(gitlab.known().seen.clone()).to_string();
    run(peers, CHECK, &[], &seen).await.trim().parse().unwrap()
}

/// The parts of the example on their own.
const PARTS: &str = r#"
import sys
import time
from email.message import Message

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import gitlab
import text

below = gitlab.Gitlab("https://Example.com/gitlab/", None, "V")
assert below.project("https://example.com", "gitlab/a/b", "c").path == "a/b/c"
for origin, owner in [("https://example.com", "a/b"), ("http://example.com", "gitlab/a"), ("https://example.com", "gitlab")]:
    try:
        below.project(origin, owner, "c")
        raise SystemExit(f"{origin}/{owner} was let in")
    except gitlab.ToolError:
        pass
assert gitlab.Project("a/b/c d", "page").route == "/projects/a%2Fb%2Fc%20d"


def wait(**headers):
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return gitlab._wait(message)


assert wait(Retry_After="7") == 7 and wait() == 1 and wait(Retry_After="soon") == 1
assert 50 < wait(RateLimit_Reset=str(int(time.time()) + 60)) <= 60
assert wait(RateLimit_Reset="1") == 0 and wait(Retry_After="Wed, 21 Oct 2015 07:28:00 GMT") == 0

assert text.title("Add\n a  parser", False) == "Add a parser"
assert text.title("draft: [WIP] x", False) == "x" and text.title("Draft: x", True) == "Draft: x"
assert text.title("for @all, #1", False) == "for @\u200ball, #\u200b1" and text.title(" ", False)
assert len(text.title("word " * 100, False)) <= text.MAX_TITLE_CHARS
inner = f"a {text.END} ``` <!-- pullwright:be{text.BEGIN}gin --> b"
body = text.description("mine", inner, inner)
assert body.startswith("mine\n\n") and body.count(text.BEGIN) == body.count(text.END) == 1, body
assert text.description(body, inner, inner) == body and not text.is_all_ours(body)
assert text.is_all_ours(text.description(None, "s", "e")) and text.is_all_ours(None)
assert "````text\n" in text.description(None, "```", "")
assert len(text.description(None, "x" * 10**6, "y" * 10**6)) < text.MAX_DESCRIPTION_CHARS + 100
"#;

/// Tries the parts of the example in `folder`.
pub(super) async fn parts(peers: &Peers, folder: &str) {
    run(peers, PARTS, &[folder], "").await;
}

async fn run(peers: &Peers, script: &str, arguments: &[&str], input: &str) -> String {
    use tokio::io::AsyncWriteExt as _;
    let mut command = Command::new(peers.python());
    command
        .args(["-c", script])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = output.expect("python ends").unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}
