//! npm `emulate`: GitHub's REST API with a state of its own.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Peers, Service};
use super::rest::request;

pub(crate) const TOKEN: &str = "ghp_emulated0123456789";
pub(crate) const OWNER: &str = "dev";
/// Somebody else, who may fork what is [`OWNER`]'s.
pub(crate) const ROBOT: &str = "robot";
pub(crate) const ROBOT_TOKEN: &str = "ghp_robot0123456789";
/// Somebody who can be asked for a review.
pub(crate) const REVIEWER: &str = "ann";
pub(crate) const NAME: &str = "demo";

/// A GitHub App that is installed on all repositories of [`OWNER`].
pub(crate) fn app(id: &str, key: &str, permissions: &Value) -> Value {
    json!({
        "app_id": id.parse::<u64>().unwrap(), "slug": "pull", "name": "Pull",
        "private_key": key, "permissions": permissions, "events": [],
        "installations": [{"installation_id": 99, "account": OWNER, "permissions": permissions}]
    })
}

/// A running emulator with one repository, [`OWNER`]/[`NAME`].
pub(crate) struct Emulate {
    service: Service,
    _home: TempDir,
}

impl Emulate {
    /// With `auto_init` the repository has a first commit; without it, it is empty and takes the
    /// history that [`super::forge`] gives it.
    pub(crate) async fn start(peers: &Peers, auto_init: bool) -> Self {
        Self::start_with(peers, auto_init, &[]).await
    }

    /// [`Emulate::start`] with these GitHub Apps.
    pub(crate) async fn start_with(peers: &Peers, auto_init: bool, apps: &[Value]) -> Self {
        Self::start_behind(peers, auto_init, apps, None).await
    }

    /// The same, called by its clients as `address`.
    pub(crate) async fn start_behind(
        peers: &Peers,
        auto_init: bool,
        apps: &[Value],
        address: Option<&str>,
    ) -> Self {
        let repository = json!({"owner": OWNER, "name": NAME, "auto_init": auto_init});
        Self::seeded(peers, &[repository], apps, address).await
    }

    /// With empty repositories of these names instead.
    pub(crate) async fn start_with_all(peers: &Peers, names: &[String], apps: &[Value]) -> Self {
        let names = names.iter();
        let empty = names.map(|name| json!({"owner": OWNER, "name": name, "auto_init": false}));
        Self::seeded(peers, &empty.collect::<Vec<_>>(), apps, None).await
    }

    async fn seeded(
        peers: &Peers,
        repositories: &[Value],
        apps: &[Value],
        address: Option<&str>,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let seed = json!({
            "tokens": {
                TOKEN: {"login": OWNER, "scopes": ["repo", "user", "workflow"]},
                ROBOT_TOKEN: {"login": ROBOT, "scopes": ["repo", "user", "workflow"]}
            },
            "github": {
                "users": [{"login": OWNER}, {"login": ROBOT}, {"login": REVIEWER}],
                "repos": repositories,
                "apps": apps
            }
        });
        // YAML takes JSON.
        std::fs::write(home.path().join("seed.yaml"), seed.to_string()).unwrap();
        let arguments = |port: u16| {
            let port = port.to_string();
            let usual = [
                "start",
                "--service",
                "github",
                "--seed",
                "seed.yaml",
                "--port",
                &port,
            ];
            let behind = address.map(|address| ["--base-url", address]);
            let behind = behind.iter().flatten();
            usual
                .iter()
                .chain(behind)
                .map(|word| (*word).to_owned())
                .collect()
        };
        let script = "emulate/dist/index.js";
        let service = peers.start(script, home.path(), "Ready", arguments).await;
        Self {
            service,
            _home: home,
        }
    }

    /// The REST API's base.
    pub(crate) fn url(&self) -> String {
        self.service.url()
    }

    /// Asks for `rest` of the repository; fails on anything but a success.
    pub(crate) async fn get(&self, rest: &str) -> Value {
        self.ask("GET", rest, None).await
    }

    /// Sends `body` to `rest` of the repository; fails on anything but a success.
    pub(crate) async fn post(&self, rest: &str, body: &Value) -> Value {
        self.ask("POST", rest, Some(body)).await
    }

    /// What is known of the tokens that Apps were given.
    pub(crate) async fn app_tokens(&self) -> Vec<Value> {
        let url = format!("{}/_emulate/installation-tokens", self.url());
        let (_, mut given) = request("GET", &url, TOKEN, None).await;
        match given["installation_tokens"].take() {
            Value::Array(tokens) => tokens,
            other => panic!("{url}: {other}"),
        }
    }

    pub(crate) async fn stop(self) {
        self.service.stop().await;
    }

    async fn ask(&self, method: &str, rest: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/repos/{OWNER}/{NAME}{rest}", self.url());
        let (status, answer) = request(method, &url, TOKEN, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {url}: {status} {answer}"
        );
        answer
    }
}
