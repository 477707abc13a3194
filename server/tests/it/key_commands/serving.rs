//! A server as a process, with what it says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::runs::command_line::Desk;
use crate::support::{http_client, in_time};

/// A server, and what it says.
pub(crate) struct Serving {
    process: Child,
    port: u16,
    log: JoinHandle<String>,
}

impl Serving {
    pub(super) fn start(desk: &Desk, listen: &str) -> Self {
        Self::start_with(desk, listen, &[("PULLWRIGHT_LOG", "trace")])
    }

    /// With these variables.
    pub(crate) fn start_with(desk: &Desk, listen: &str, variables: &[(&str, &str)]) -> Self {
        let arguments = ["serve", "--config", "plugins.toml", "--listen", listen];
        let mut command = desk.pullwright(&arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command
            .envs(variables.iter().copied())
            .spawn()
            .expect("start");
        let mut errors = BufReader::new(process.stderr.take().expect("stderr"));
        let (mut log, mut line) = (String::new(), String::new());
        let port = loop {
            line.clear();
            assert!(
                errors.read_line(&mut line).expect("a line") > 0,
                "it ended: {log}"
            );
            log.push_str(&line);
            if let Some((_, port)) = line.trim_end().rsplit_once(':')
                && line.starts_with("listening on ")
            {
                break port.parse().expect("a port");
            }
        };
        let log = std::thread::spawn(move || {
            errors.read_to_string(&mut log).expect("the log");
            log
        });
        Self { process, port, log }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) async fn list(&self, secret: Option<&str>) -> u16 {
        self.get("/v1/runs", secret).await
    }

    pub(super) async fn get(&self, path: &str, secret: Option<&str>) -> u16 {
        let url = format!("{}{path}", self.url());
        let request = http_client().get(url);
        let request = match secret {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        };
        in_time(request.send())
            .await
            .expect("an answer")
            .status()
            .as_u16()
    }

    /// Lets it end by itself, and answers what it said.
    pub(crate) fn end(mut self) -> String {
        let id = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(id.expect("an id"), Signal::TERM).expect("terminate");
        assert!(self.process.wait().expect("wait").success());
        self.log.join().expect("the log")
    }
}
