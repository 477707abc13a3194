//! The lines of a server's log, and requests that are part of another's trace.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::collector::{Collector, Manner, Spans};
use super::{SCRIPT, SECTIONS};
use crate::peers::http_backend::{Behaviour, HttpBackend};
use crate::runs::command_line::Desk;
use crate::runs::lab::{in_time, write_config};
use crate::support::http_client;

/// A tool server that says on its standard error what no log may take for a line.
const HOSTILE: &str = r#"
[tools.hostile]
command = "sh"
args = ["-c", "printf '\\033[31mred\\r{\"level\":\"ERROR\",\"forged\":true}\\n' >&2; exit 1"]
runs = "host"
required = false
"#;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A server as a process of its own.
struct Server {
    process: Child,
    address: String,
    lines: BufReader<std::process::ChildStderr>,
    repository: String,
    _backend: HttpBackend,
    _desk: Desk,
}

impl Server {
    async fn start(collector: &Collector, arguments: &[&str]) -> Self {
        let desk = Desk::new(SCRIPT, "");
        let backend = HttpBackend::start(desk.path.join("remotes"), Behaviour::Open).await;
        let sections = format!("{SECTIONS}{HOSTILE}[server]\ndata_dir = \"data\"\n");
        write_config(&desk.path, &sections, &backend.host());
        let serve = [
            "serve",
            "--config",
            "plugins.toml",
            "--listen",
            "127.0.0.1:0",
        ];
        let mut process = desk
            .pullwright(&[&serve[..], arguments].concat())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("PULLWRIGHT_LOG", "info")
            .env("ANTHROPIC_API_KEY", "x")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("start pullwright");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr"));
        let address = loop {
            let mut line = String::new();
            assert!(
                lines.read_line(&mut line).expect("a line") > 0,
                "it does not listen"
            );
            if let Some(address) = line.trim_end().strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        Self {
            process,
            address,
            lines,
            repository: format!("{}/owner/project.git", backend.origin()),
            _backend: backend,
            _desk: desk,
        }
    }

    /// Does the job for a caller with these headers, and answers the run's id.
    async fn code(&self, headers: &[(&str, &[u8])]) -> String {
        let body = json!({ "repoUrl": self.repository, "prompt": "Greet" });
        let mut request = http_client()
            .post(format!("{}/code", self.address))
            .header("content-type", "application/json")
            .body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = in_time(request.send()).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let id = answer.headers()["x-run-id"]
            .to_str()
            .expect("text")
            .to_owned();
        let text = in_time(answer.text()).await.expect("a stream");
        assert!(text.contains("\"outcome\":\"branch only\""), "{text}");
        id
    }

    /// Tells it to stop, waits, and answers the rest of its log.
    fn stop(mut self) -> String {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM).expect("a signal");
        let mut log = String::new();
        self.lines.read_to_string(&mut log).expect("a log");
        assert!(self.process.wait().expect("an end").success(), "{log}");
        log
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_one_json_object_and_those_of_a_run_name_it() {
    let collector = Collector::start(Manner::Takes).await;
    let server = Server::start(&collector, &["--log-format", "json"]).await;
    let run = server.code(&[]).await;
    let log = server.stop();
    assert!(!log.contains('\u{1b}'), "{log}");
    let records: Vec<Value> = log
        .lines()
        .filter(|line| !line.starts_with("stopping; "))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(
        records.iter().all(|record| record["forged"].is_null()),
        "{log}"
    );
    let trace = hex(&collector.spans().named("invoke_agent pullwright").trace_id);
    for message in ["the model replied", "forged"] {
        let record = records
            .iter()
            .find(|record| record["fields"].to_string().contains(message));
        let record = record.unwrap_or_else(|| panic!("no record says `{message}`: {log}"));
        let span = &record["spans"][0];
        assert_eq!(
            (&span["name"], &span["run"]),
            (&json!("run"), &json!(run)),
            "{record}"
        );
        assert_eq!(span["trace_id"], json!(trace), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_of_a_text_log_is_one_line() {
    let collector = Collector::start(Manner::Takes).await;
    let server = Server::start(&collector, &["--log-format", "text"]).await;
    let run = server.code(&[]).await;
    let log = server.stop();
    assert!(!log.contains('\u{1b}') && !log.contains('\r'), "{log}");
    let forged = log
        .lines()
        .find(|line| line.contains("forged"))
        .expect("a line");
    assert!(
        forged.contains(&run) && !forged.starts_with('{'),
        "{forged}"
    );
}

#[test]
fn an_unknown_format_is_refused_with_those_there_are() {
    let desk = Desk::new(SCRIPT, "");
    let run = |arguments: &[&str], variable: &str| {
        let mut command = desk.pullwright(arguments);
        command.env("PULLWRIGHT_LOG_FORMAT", variable);
        command.output().expect("start pullwright")
    };
    let check = ["config", "check", "--config", "plugins.toml"];
    for refused in [
        run(&[&check[..], &["--log-format", "xml"]].concat(), "json"),
        run(&check, "xml"),
    ] {
        let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{complaint}");
        for part in ["xml", "json", "text", "--log-format"] {
            assert!(complaint.contains(part), "{complaint}");
        }
    }
    assert!(run(&check, "text").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_linked_to_who_asked_for_it_and_a_hostile_header_does_no_harm() {
    let collector = Collector::start(Manner::Takes).await;
    let server = Server::start(&collector, &[]).await;
    let linked = server.code(&[("traceparent", CALLER.as_bytes())]).await;
    let long = "0".repeat(8000);
    let hostile: &[(&str, &[u8])] = &[
        ("traceparent", b"\xff\xfe-00"),
        ("traceparent", long.as_bytes()),
        ("tracestate", b"a=b,,,=\xff"),
    ];
    let unlinked = server.code(hostile).await;
    server.stop();
    let spans = collector.spans();
    let links = |run: &str| root_of(&spans, run).links.clone();
    let [link] = &links(&linked)[..] else {
        panic!("one link is expected");
    };
    assert_eq!(hex(&link.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&link.span_id), "b7ad6b7169203331");
    assert_eq!(links(&unlinked), []);
    assert_ne!(
        root_of(&spans, &linked).trace_id,
        root_of(&spans, &unlinked).trace_id
    );
}

fn root_of<'s>(spans: &'s Spans, run: &str) -> &'s Span {
    let is_of = |span: &&Span| {
        let attributes = super::collector::attributes(&span.attributes);
        span.parent_span_id.is_empty() && attributes["gen_ai.conversation.id"] == run
    };
    spans.all().iter().find(is_of).expect("the run's span")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
