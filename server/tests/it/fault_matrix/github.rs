//! What the emulator does otherwise than GitHub is made up for here:
//!
//! - a pull request needs branches that are there and differ, and a branch has one that is open at most;
//! - an account has one fork of a repository, and is answered with that one when it asks for another;
//! - a fork names what it was forked from;
//! - it makes a commit of files that it is sent;
//! - a pull request can be assigned to people, as an issue can, and its record is empty;
//! - and, for the stages that are about that, the App's tokens have run out when they are needed once more.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::fault::Body;
use super::ground::tell;
use super::http::{Answer, Request};
use super::proxy::Behind;
use crate::peers::emulate::{ROBOT, ROBOT_TOKEN, TOKEN};
use crate::peers::forge::git;
use crate::peers::rest;
use crate::runs::follow_ups::commits::commit_asked_for;

/// A time that is over.
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// GitHub's API, for one repository and its fork.
pub(super) struct Github {
    behind: Behind,
    /// Whether tokens of an App have run out as soon as they are given.
    tokens_run_out: bool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// How many pull requests were asked for although one was there.
    repeated: usize,
    /// To whom the pull request is assigned.
    assignees: Vec<String>,
}

impl Github {
    pub(super) fn new(behind: Behind, tokens_run_out: bool) -> Self {
        Self {
            behind,
            tokens_run_out,
            seen: Mutex::default(),
        }
    }

    /// How many pull requests were asked for although one was there.
    pub(super) fn repeated(&self) -> usize {
        self.seen.lock().unwrap().repeated
    }

    /// To whom the pull request is assigned.
    pub(super) fn assignees(&self) -> Vec<String> {
        self.seen.lock().unwrap().assignees.clone()
    }

    /// What GitHub answers.
    pub(super) async fn answer(&self, request: &Request) -> Answer {
        let route = request.api_route().unwrap_or_default();
        let parts: Vec<&str> = route.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["repos", _, _, "pulls"]) => self.create_pull_request(request).await,
            ("POST", ["repos", _, _, "forks"]) => self.fork(request).await,
            ("GET", ["repos", ROBOT, _]) => self.named(self.ask(request).await).await,
            ("POST", ["repos", _, _, "issues", number, "assignees"]) => {
                self.assign(request, number).await
            }
            ("POST", ["graphql"]) => self.commit(request).await,
            ("GET", ["repos", _, _, "issues", _, "events"]) => Answer::of_json(200, &json!([])),
            ("POST", ["app", "installations", _, "access_tokens"]) => {
                self.token(self.ask(request).await)
            }
            _ => self.ask(request).await,
        }
    }

    async fn ask(&self, request: &Request) -> Answer {
        request.send(&self.behind.api).await
    }

    async fn create_pull_request(&self, request: &Request) -> Answer {
        let asked = request.json();
        let invalid = |field, code, message: &str| {
            let mut body = Body::Invalid("PullRequest", field, code, "").json();
            if !message.is_empty() {
                body["errors"][0]["message"] = json!(message);
            }
            Answer::of_json(422, &body)
        };
        let (head, base) = (text(&asked["head"]), text(&asked["base"]));
        let (Some(tip), Some(onto)) = (self.tip(head).await, self.tip(base).await) else {
            let field = if self.tip(head).await.is_none() {
                "head"
            } else {
                "base"
            };
            return invalid(field, "invalid", "");
        };
        if self.has_open(name_of(head)).await {
            self.seen.lock().unwrap().repeated += 1;
            let (owner, _) = self.behind.repository.split_once('/').unwrap();
            let qualified = match head.contains(':') {
                true => head.to_owned(),
                false => format!("{owner}:{head}"),
            };
            let message = format!("A pull request already exists for {qualified}.");
            return invalid("", "custom", &message);
        }
        if tip == onto {
            let message = format!("No commits between {base} and {head}");
            return invalid("", "custom", &message);
        }
        self.ask(request).await
    }

    /// GitHub is asked by somebody whose fork is there already, or makes it.
    async fn fork(&self, request: &Request) -> Answer {
        let there = self.get(&format!("/repos/{}", self.name_of_fork())).await;
        let answer = match there {
            Some(fork) => Answer::of_json(202, &fork),
            None => self.ask(request).await,
        };
        self.named(answer).await
    }

    /// A fork with the names of what it was forked from.
    async fn named(&self, answer: Answer) -> Answer {
        let mut fork = answer.json();
        if fork["fork"] != true {
            return answer;
        }
        let parent = self
            .get(&format!("/repos/{}", self.behind.repository))
            .await;
        fork["parent"] = parent.unwrap();
        fork["source"] = fork["parent"].clone();
        Answer::of_json(answer.status, &fork)
    }

    async fn assign(&self, request: &Request, number: &str) -> Answer {
        let asked = request.json();
        let logins = asked["assignees"].as_array().into_iter().flatten();
        let mut assignees = Vec::new();
        for login in logins.map(text) {
            // GitHub says nothing of somebody whom it does not know.
            assignees.extend(self.get(&format!("/users/{login}")).await);
        }
        let known = assignees.iter().map(|user| text(&user["login"]).to_owned());
        self.seen.lock().unwrap().assignees = known.collect();
        let route = format!("/repos/{}/pulls/{number}", self.behind.repository);
        let pull = self.get(&route).await.unwrap_or_default();
        Answer::of_json(201, &issue_of(&pull, &assignees))
    }

    async fn commit(&self, request: &Request) -> Answer {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Answer::of_json(401, &Body::Message("Bad credentials").json());
        }
        let bare = &self.behind.bare;
        let remotes = bare.ancestors().nth(2).unwrap();
        let asked = request.json();
        let branch = asked["variables"]["input"]["branch"]["branchName"].clone();
        let said = commit_asked_for(remotes, asked);
        if said["data"]["createCommitOnBranch"].is_object() {
            tell(bare, text(&branch)).await;
        }
        Answer::of_json(200, &said)
    }

    fn token(&self, answer: Answer) -> Answer {
        let mut token = answer.json();
        if !self.tokens_run_out || answer.status != 201 {
            return answer;
        }
        token["expires_at"] = json!(LONG_AGO);
        Answer::of_json(answer.status, &token)
    }

    /// What is at a route, if it is there.
    async fn get(&self, route: &str) -> Option<Value> {
        let url = format!("http://{}{route}", self.behind.api);
        let (status, found) = rest::request("GET", &url, ROBOT_TOKEN, None).await;
        (status == 200).then_some(found)
    }

    fn name_of_fork(&self) -> String {
        let (_, name) = self.behind.repository.split_once('/').unwrap();
        format!("{ROBOT}/{name}")
    }

    /// Where a branch is, that may be one of the fork.
    async fn tip(&self, head: &str) -> Option<String> {
        let name = format!("refs/heads/{}", name_of(head));
        let found = git(
            self.behind.holder_of(head),
            &["for-each-ref", "--format=%(objectname)", &name],
        )
        .await;
        (!found.is_empty()).then_some(found)
    }

    async fn has_open(&self, branch: &str) -> bool {
        let Behind {
            api, repository, ..
        } = &self.behind;
        let url = format!("http://{api}/repos/{repository}/pulls?state=open");
        let (_, open) = rest::request("GET", &url, TOKEN, None).await;
        let open = open.as_array().unwrap();
        open.iter().any(|pull| pull["head"]["ref"] == branch)
    }
}

/// A pull request as an issue.
fn issue_of(pull: &Value, assignees: &[Value]) -> Value {
    let url = text(&pull["issue_url"]);
    let mut issue = json!({
        "url": url,
        "repository_url": text(&pull["base"]["repo"]["url"]),
        "labels_url": format!("{url}/labels{{/name}}"),
        "comments_url": format!("{url}/comments"),
        "events_url": format!("{url}/events"),
        "assignee": assignees.first(),
        "assignees": assignees,
        "pull_request": {
            "url": pull["url"], "html_url": pull["html_url"],
            "diff_url": pull["diff_url"], "patch_url": pull["patch_url"],
        },
    });
    for alike in [
        "id",
        "node_id",
        "number",
        "html_url",
        "title",
        "body",
        "state",
        "locked",
        "user",
        "labels",
        "milestone",
        "comments",
        "created_at",
        "updated_at",
        "closed_at",
        "author_association",
    ] {
        issue[alike] = pull[alike].clone();
    }
    issue
}

/// The branch's own name, without its owner.
fn name_of(head: &str) -> &str {
    head.split_once(':').map_or(head, |(_, branch)| branch)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
