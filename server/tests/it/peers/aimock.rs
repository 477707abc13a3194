//! npm `@copilotkit/aimock`: a model's streaming HTTP API, answered from fixtures.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Peers, Service};
use super::rest::request;

/// Any key will do.
pub(crate) const KEY: &str = "sk-aimock";

pub(crate) struct Aimock {
    service: Service,
    _home: TempDir,
}

impl Aimock {
    /// Starts it with `fixtures`, such as
    /// `{"fixtures": [{"match": {"turnIndex": 0}, "response": {"toolCalls": [..]}}]}`. A request
    /// that none of them matches is an error.
    pub(crate) async fn start(peers: &Peers, fixtures: &Value) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("fixtures.json"), fixtures.to_string()).unwrap();
        let arguments = |port: u16| {
            let port = port.to_string();
            [
                "--strict",
                "--validate-on-load",
                "--fixtures",
                "fixtures.json",
                "--port",
                &port,
            ]
            .map(str::to_owned)
            .to_vec()
        };
        let script = "@copilotkit/aimock/dist/cli.js";
        let service = peers
            .start(script, home.path(), "listening on", arguments)
            .await;
        Self {
            service,
            _home: home,
        }
    }

    /// The API's base, as `base_url` of a provider.
    pub(crate) fn url(&self) -> String {
        self.service.url()
    }

    /// The requests so far.
    pub(crate) async fn journal(&self) -> Value {
        let url = format!("{}/__aimock/journal", self.url());
        let (status, journal) = request("GET", &url, KEY, None).await;
        assert_eq!(status, 200, "{journal}");
        journal
    }

    pub(crate) async fn stop(self) {
        self.service.stop().await;
    }
}
