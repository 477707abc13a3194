//! `pullwright probe`: does one task through a server somewhere else, and says how that server did.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use pullwright_providers::SseParser;
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::say;

/// How long the server may take to accept the task.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(120);

/// Comments keep a stream awake every 15 s; one that is silent for longer is dead.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of an answer that is none is shown.
const SHOWN_BYTES: usize = 500;

#[derive(Args)]
pub(super) struct Probe {
    /// Where the server is, such as `https://pullwright.example.com`.
    url: String,
    /// The repository to work on.
    #[arg(long)]
    repo: String,
    /// What to do there.
    #[arg(long)]
    prompt: String,
    /// The name of the variable with the bearer token that the server wants.
    #[arg(long, value_name = "VARIABLE")]
    token_env: Option<String>,
    /// A header to send, and the variable that holds its value; may be repeated.
    #[arg(long = "header", value_name = "HEADER=VARIABLE", value_parser = header)]
    headers: Vec<(HeaderName, String)>,
    /// Print every frame as it comes.
    #[arg(long)]
    frames: bool,
}

/// What was seen of one stream.
#[derive(Default)]
struct Seen {
    accepted: Duration,
    first_frame: Option<Duration>,
    longest_gap: Duration,
    whole: Duration,
    frames: usize,
    last_id: Option<u64>,
    run: Option<String>,
    done: Option<Value>,
    faults: Vec<String>,
}

impl Probe {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let mut seen = Seen::default();
        let response = self.post().await?;
        seen.accepted = begun.elapsed();
        seen.look_at_head(&response);
        self.read(response, begun, &mut seen).await;
        seen.whole = begun.elapsed();
        seen.judge();
        say(&seen.to_string());
        Ok(match seen.faults.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    async fn post(&self) -> anyhow::Result<Response> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let url = format!("{}/code", self.url.trim_end_matches('/'));
        let body = json!({ "repoUrl": self.repo, "prompt": self.prompt }).to_string();
        let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
        let mut request = client.post(&url).header(CONTENT_TYPE, "application/json");
        if let Some(variable) = &self.token_env {
            request = request.header(AUTHORIZATION, secret(variable, "Bearer ")?);
        }
        for (name, variable) in &self.headers {
            request = request.header(name, secret(variable, "")?);
        }
        let sent = tokio::time::timeout(ACCEPT_TIMEOUT, request.body(body).send()).await;
        let seconds = ACCEPT_TIMEOUT.as_secs();
        let response = sent.with_context(|| format!("{url} did not answer within {seconds} s"))?;
        let response = response.with_context(|| format!("cannot reach {url}"))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = response.text().await.unwrap_or_default();
        let said: String = said.chars().take(SHOWN_BYTES).collect();
        bail!("{url} answered {status}: {said}")
    }

    async fn read(&self, mut response: Response, begun: Instant, seen: &mut Seen) {
        let mut parser = SseParser::default();
        let mut raw = Ids::default();
        let mut last = Instant::now();
        loop {
            let piece = match tokio::time::timeout(SILENCE_TIMEOUT, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return,
                Ok(Err(error)) => return seen.fault(format!("the stream broke: {error}")),
                Err(_) => {
                    let seconds = SILENCE_TIMEOUT.as_secs();
                    return seen.fault(format!("the stream was silent for {seconds} s"));
                }
            };
            seen.longest_gap = seen.longest_gap.max(last.elapsed());
            last = Instant::now();
            raw.push(&piece);
            let parsed = parser.push(&piece, |frame| {
                seen.first_frame.get_or_insert_with(|| begun.elapsed());
                if self.frames {
                    say(&String::from_utf8_lossy(&frame));
                }
                seen.take(&frame, raw.next());
            });
            if let Err(error) = parsed {
                return seen.fault(error.to_string());
            }
        }
    }
}

fn header(text: &str) -> Result<(HeaderName, String), String> {
    let (name, variable) = text.split_once('=').ok_or("write HEADER=VARIABLE")?;
    let name = name.parse().map_err(|_| format!("`{name}` is no header"))?;
    Ok((name, variable.to_owned()))
}

/// What a variable holds, never to be shown.
fn secret(variable: &str, before: &str) -> anyhow::Result<HeaderValue> {
    let held = std::env::var(variable).with_context(|| format!("{variable} is not set"))?;
    let mut value = HeaderValue::try_from(format!("{before}{}", held.trim()))
        .with_context(|| format!("{variable} holds nothing that a header may"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The ids of the frames, which name where a client may take the stream up again.
#[derive(Default)]
struct Ids {
    line: Vec<u8>,
    ids: std::collections::VecDeque<u64>,
}

impl Ids {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            let id = line
                .strip_prefix("id:")
                .and_then(|id| id.trim().parse::<u64>().ok());
            self.ids.extend(id);
            self.line.clear();
        }
    }

    fn next(&mut self) -> Option<u64> {
        self.ids.pop_front()
    }
}

impl Seen {
    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    fn look_at_head(&mut self, response: &Response) {
        let text = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let kind = text("content-type").unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            self.fault(format!("the answer is `{kind}`, not `text/event-stream`"));
        }
        self.run = text("x-run-id");
        if self.run.is_none() {
            self.fault("the answer names no run (`X-Run-Id`)".to_owned());
        }
    }

    fn take(&mut self, frame: &[u8], id: Option<u64>) {
        self.frames += 1;
        let number = self.frames;
        if self.done.is_some() {
            self.fault(format!("frame {number} comes after `Done`"));
        }
        match (self.last_id, id) {
            (_, None) => self.fault(format!("frame {number} has no id")),
            (Some(last), Some(id)) if id <= last => {
                self.fault(format!("frame {number} has id {id} after {last}"));
            }
            _ => self.last_id = id,
        }
        match serde_json::from_slice::<Value>(frame) {
            Ok(value) if value["type"] == "Done" => self.done = Some(value),
            Ok(value) if value["type"].is_string() => {}
            _ => self.fault(format!("frame {number} is no JSON with a `type`")),
        }
    }

    /// What the whole of it means.
    fn judge(&mut self) {
        let Some(done) = &self.done else {
            return self.fault("the stream ended without `Done`".to_owned());
        };
        let outcome = done["outcome"].as_str().unwrap_or_default().to_owned();
        if outcome.is_empty() || outcome.starts_with("failed") {
            let why = done["summary"].as_str().unwrap_or_default().to_owned();
            self.fault(format!("the run ended as `{outcome}`: {why}"));
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
        let mut row = |name: &str, value: &str| writeln!(f, "{name:<22}{value}");
        row("run", self.run.as_deref().unwrap_or("-"))?;
        row("accepted after", &seconds(self.accepted))?;
        let first = self.first_frame.map_or("-".to_owned(), seconds);
        row("first frame after", &first)?;
        row("longest silence", &seconds(self.longest_gap))?;
        row("done after", &seconds(self.whole))?;
        row("frames", &self.frames.to_string())?;
        if let Some(done) = &self.done {
            let text = |key: &str| done[key].as_str().unwrap_or("-").to_owned();
            row("outcome", &text("outcome"))?;
            row("branch", &text("branch"))?;
            row("pull request", &text("prUrl"))?;
        }
        for fault in &self.faults {
            row("fault", fault)?;
        }
        match self.faults.is_empty() {
            true => write!(f, "This server works."),
            false => write!(f, "This server does not work."),
        }
    }
}
