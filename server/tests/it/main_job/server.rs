//! Our server as a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pullwright_modal_double::{Double, TOKEN_ID, TOKEN_SECRET};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::PULLWRIGHT;
use crate::peers::aimock::{Aimock, KEY};
use crate::peers::emulate::TOKEN;
use crate::peers::forge::Forge;
use crate::served::listening;
use crate::support::http_client;

/// The whole job takes about two seconds; a slow machine gets much more.
const JOB_LIMIT: Duration = Duration::from_secs(120);

/// Where its sandboxes are.
pub(super) struct Place {
    /// Sections of its configuration.
    sandbox: String,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    pub(super) fn here() -> Self {
        Self {
            sandbox: "[sandbox]\nkind = \"local\"\n".to_owned(),
            variables: Vec::new(),
        }
    }

    pub(super) fn at_modal(double: &Double, tool_host: &Path) -> Self {
        Self {
            sandbox: format!(
                "[sandbox]\nkind = \"modal\"\n[sandbox.modal]\ndockerfile = []\ntool_host = {tool_host:?}\n"
            ),
            variables: vec![
                ("MODAL_SERVER_URL", double.url()),
                ("MODAL_TOKEN_ID", TOKEN_ID.to_owned()),
                ("MODAL_TOKEN_SECRET", TOKEN_SECRET.to_owned()),
                ("MODAL_CONFIG_PATH", "/nonexistent".to_owned()),
            ],
        }
    }
}

/// Whom the forge sees.
pub(super) enum Account {
    Token,
    /// The GitHub App with this id and key.
    App(&'static str, String),
}

impl Account {
    /// Keys of the forge's row.
    fn row(&self) -> String {
        match self {
            Self::Token => "env_vars = [\"GITHUB_TOKEN\"]".to_owned(),
            Self::App(id, _) => format!("app_id = {id}\napp_key_env = \"GITHUB_APP_KEY\""),
        }
    }

    fn variable(&self) -> (&'static str, &str) {
        match self {
            Self::Token => ("GITHUB_TOKEN", TOKEN),
            Self::App(_, key) => ("GITHUB_APP_KEY", key),
        }
    }

    /// What must be in no file.
    fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Token => vec![TOKEN],
            Self::App(_, key) => key.lines().skip(1).take(2).chain(["ghs_"]).collect(),
        }
    }
}

/// A running one.
pub(super) struct Server {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
    account: Account,
}

impl Server {
    /// With its sandboxes in `place`.
    pub(super) async fn start(forge: &Forge, model: &Aimock, place: &Place) -> Self {
        Self::start_as(Account::Token, forge, model, place).await
    }

    /// [`Server::start`] as `account`.
    pub(super) async fn start_as(
        account: Account,
        forge: &Forge,
        model: &Aimock,
        place: &Place,
    ) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let config = folder.path().join("plugins.toml");
        std::fs::write(
            &config,
            config_text(forge, model, &place.sandbox, &account.row()),
        )
        .unwrap();
        let mut process = Command::new(PULLWRIGHT)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .env_remove("DATABASE_URL")
            .env("ANTHROPIC_API_KEY", KEY)
            .env_remove("GITHUB_TOKEN")
            .envs([account.variable()])
            .envs(place.variables.clone())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (address, _) = listening(&mut process).await;
        Self {
            process,
            address,
            folder,
            account,
        }
    }

    /// `POST /code`, and all its frames.
    pub(super) async fn code(&self, repository: &str, prompt: &str) -> Vec<Value> {
        let request = http_client()
            .post(format!("{}/code", self.address))
            .header("content-type", "application/json")
            .body(json!({"repoUrl": repository, "prompt": prompt}).to_string());
        let whole = async {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success(), "{status} {text}");
            text
        };
        let text = tokio::time::timeout(JOB_LIMIT, whole)
            .await
            .expect("the job ends in time");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|json| serde_json::from_str(json).unwrap())
            .collect()
    }

    /// Neither the account's secrets nor the model's key is in any file the server wrote.
    pub(super) async fn assert_no_secret_is_kept(mut self) {
        self.process.kill().await.unwrap();
        for secret in self.account.secrets().into_iter().chain([KEY]) {
            assert_absent(self.folder.path(), secret);
        }
    }
}

fn assert_absent(folder: &Path, secret: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            assert_absent(&path, secret);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}

fn config_text(forge: &Forge, model: &Aimock, sandbox: &str, account: &str) -> String {
    let host = forge.git.host();
    let (api, model) = (forge.api.url(), model.url());
    format!(
        r#"
        [agent]
        provider = "anthropic"
        [budget]
        max_usd = "none"
        [repositories]
        hosts = ["{host}"]
        [checks]
        run = ["sh test.sh"]
        [providers.anthropic]
        wire_api = "anthropic_messages"
        base_url = "{model}"
        env_key = "ANTHROPIC_API_KEY"
        model = "claude-opus-5-5"
        [tools.fs]
        builtin = "fs"
        [tools.bash]
        builtin = "bash"
        [tools.git]
        builtin = "git"
        [tools.github]
        builtin = "github"
        runs = "host"
        base_url = "{api}"
        hosts = ["{host}"]
        {account}
        {sandbox}
        [server]
        data_dir = "data"
        "#
    )
}
