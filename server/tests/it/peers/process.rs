//! Where the peers are installed, and their processes.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A peer that is not up by then never will be.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A port that was free a moment ago may be taken now.
const START_ATTEMPTS: usize = 3;

/// The folder with the installed peers.
pub(crate) struct Peers {
    modules: PathBuf,
}

/// A peer that listens. It ends with its value.
pub(crate) struct Service {
    child: Child,
    pub(crate) port: u16,
}

impl Peers {
    /// Finds the peers, or says that `what` is skipped. With `PULLWRIGHT_REQUIRE_PEERS=1` a test
    /// without peers fails instead.
    pub(crate) fn find(what: &str) -> Option<Self> {
        Self::find_with(what, "node_modules/node/bin/node")
    }

    /// The same for a test that needs this file of theirs.
    pub(crate) fn find_with(what: &str, file: &str) -> Option<Self> {
        let reason = match std::env::var_os("PULLWRIGHT_PEERS") {
            None => "PULLWRIGHT_PEERS is not set".to_owned(),
            Some(root) => {
                let root = Path::new(&root);
                if root.join(file).is_file() {
                    let modules = root.join("node_modules");
                    return Some(Self { modules });
                }
                format!("PULLWRIGHT_PEERS={} has no {file}", root.display())
            }
        };
        let remedy = "run .ci/peers/install and set PULLWRIGHT_PEERS to its folder";
        assert!(
            std::env::var("PULLWRIGHT_REQUIRE_PEERS").as_deref() != Ok("1"),
            "{what}: {reason}; {remedy}"
        );
        eprintln!("SKIPPED: {what}: {reason}; {remedy}");
        None
    }

    /// The folder they are installed in.
    pub(crate) fn root(&self) -> &Path {
        self.modules.parent().unwrap()
    }

    /// The path of a script of theirs.
    pub(crate) fn script(&self, script: &str) -> PathBuf {
        let script = self.modules.join(script);
        assert!(
            script.exists(),
            "{} is missing; run .ci/peers/install",
            script.display()
        );
        script
    }

    /// The Node.js that the peers need.
    pub(crate) fn node(&self) -> PathBuf {
        self.modules.join("node/bin/node")
    }

    /// A command of one of the peers' scripts, with a home folder of its own.
    pub(crate) fn command(&self, script: &str, home: &Path) -> Command {
        let mut command = Command::new(self.node());
        command
            .arg(self.script(script))
            .env("HOME", home)
            .env("NO_COLOR", "1")
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a peer on a free port and waits for a line of output that holds `ready`.
    pub(crate) async fn start(
        &self,
        script: &str,
        home: &Path,
        ready: &str,
        arguments: impl Fn(u16) -> Vec<String>,
    ) -> Service {
        for _ in 0..START_ATTEMPTS {
            let port = free_port();
            let mut command = self.command(script, home);
            command.args(arguments(port)).stderr(Stdio::inherit());
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let up = tokio::time::timeout(START_LIMIT, until(&mut lines, ready)).await;
            if up.unwrap_or_else(|_| panic!("{script} said no `{ready}` in {START_LIMIT:?}")) {
                // The pipe must not fill up, or the peer stands still.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Service { child, port };
            }
        }
        panic!("{script} ended {START_ATTEMPTS} times before it was ready");
    }
}

impl Service {
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the peer and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// A free port that nobody is given who asks for any: between here and its use, such a one could be
/// another test's.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 8000).unwrap();
    let tries = (0..10_000).map(|_| NEXT.fetch_add(1, Ordering::Relaxed));
    tries
        .map(|next| 20_000 + (first + next) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port from 20000 to 29999")
}

/// Whether such a line came before the output ended.
async fn until(lines: &mut Lines<BufReader<ChildStdout>>, ready: &str) -> bool {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains(ready) {
            return true;
        }
    }
    false
}
