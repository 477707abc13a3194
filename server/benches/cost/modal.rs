//! Sandboxes at Modal, against its double on loopback: what the way there costs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pullwright_core::config::{ModalConfig, SandboxConfig, SandboxKind};
use pullwright_core::sandbox::{Opening, Sandbox, SandboxCommand, SandboxHost, SandboxProcess};
use pullwright_modal_double::{Double, Options, TOKEN_ID, TOKEN_SECRET};
use pullwright_protocol::RunId;
use pullwright_sandbox::ModalHost;
use pullwright_sandbox::modal::Account;
use pullwright_sandbox::modal::wire::client::modal_client_client::ModalClientClient;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::Endpoint;

use crate::Effort;
use crate::sample::{Sample, print_value};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pullwright");

/// A message as small as most of JSON-RPC.
const LINE: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n";

/// How many sandboxes there are at once.
const SANDBOXES: usize = 100;

struct Bench {
    double: Double,
    host: ModalHost,
    folder: TempDir,
}

pub(crate) fn measure(effort: Effort) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bench = Bench::new().await;
        let unary = bench.unary(effort.calls).await;
        unary.print("a gRPC call of its own");
        let sandbox = bench.open(0).await;
        let mut process = cat(&*sandbox).await;
        let mut lines = Sample::default();
        for _ in 0..effort.calls {
            lines.push(round_trip(&mut process).await);
        }
        lines.print("a line to a process at Modal's double and back");
        let mut cuts = Sample::default();
        for _ in 0..effort.calls / 10 {
            bench.double.cut_streams();
            cuts.push(round_trip(&mut process).await);
        }
        cuts.print("the same, after its streams were cut");
        sandbox.close().await.unwrap();
        bench.many(effort.sandboxes.min(SANDBOXES)).await;
    });
}

impl Bench {
    async fn new() -> Self {
        let double = Double::start(Options {
            listen: ([127, 0, 0, 1], 0).into(),
            pullwright: PROGRAM.into(),
            token_lifetime: Duration::from_secs(1200),
            sandbox_tokens: false,
        });
        let double = double.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tool_host = folder.path().join("tool-host");
        std::fs::write(&tool_host, b"the double runs this machine's own").unwrap();
        let config = SandboxConfig {
            kind: SandboxKind::Modal,
            modal: Some(ModalConfig {
                dockerfile: Vec::new(),
                tool_host: Some(tool_host),
                ..ModalConfig::default()
            }),
            ..SandboxConfig::default()
        };
        let url = double.url();
        let account = Account::find(|name| match name {
            "MODAL_SERVER_URL" => Some(url.clone()),
            "MODAL_TOKEN_ID" => Some(TOKEN_ID.to_owned()),
            "MODAL_TOKEN_SECRET" => Some(TOKEN_SECRET.to_owned()),
            _ => None,
        });
        let host = ModalHost::new(&config, account.unwrap(), folder.path(), Path::new(PROGRAM));
        Self {
            double,
            host: host.unwrap(),
            folder,
        }
    }

    async fn open(&self, number: usize) -> Arc<dyn Sandbox> {
        let run = RunId(format!("bench-{number}"));
        let checkout = self.folder.path().join(&run.0);
        std::fs::create_dir_all(&checkout).unwrap();
        let opening = Opening {
            warm: None,
            run: &run,
            checkout: &checkout,
            notices: mpsc::channel(1).0,
        };
        self.host.open(opening).await.unwrap()
    }

    /// Calls that do nothing, over a connection of their own.
    async fn unary(&self, calls: usize) -> Sample {
        let endpoint = Endpoint::from_shared(self.double.url()).unwrap();
        let channel = endpoint.tcp_nodelay(true).connect().await.unwrap();
        let mut client = ModalClientClient::new(channel);
        let mut times = Sample::default();
        for _ in 0..calls {
            let mut request = Request::new(());
            for (name, value) in [
                ("x-modal-token-id", TOKEN_ID),
                ("x-modal-token-secret", TOKEN_SECRET),
                ("x-modal-client-version", "1.0.0"),
                ("x-modal-client-type", "7"),
            ] {
                request.metadata_mut().insert(name, value.parse().unwrap());
            }
            let begin = Instant::now();
            client.client_hello(request).await.unwrap();
            times.since(begin);
        }
        times
    }

    /// Many sandboxes at once, each with a process that answers.
    async fn many(&self, count: usize) {
        let begin = Instant::now();
        let sandboxes = join_all((1..=count).map(|number| self.open(number))).await;
        let opened = begin.elapsed();
        let answers = sandboxes.iter().map(|sandbox| async {
            let mut process = cat(&**sandbox).await;
            round_trip(&mut process).await
        });
        let first: Sample = join_all(answers).await.into_iter().collect();
        first.print(&format!("the first line in each of {count} sandboxes"));
        print_value(
            &format!("s to open {count} sandboxes"),
            format!("{:.1}", opened.as_secs_f64()),
        );
        print_value(
            &format!("connections for {count} sandboxes"),
            connections(&self.double.url()),
        );
        join_all(sandboxes.iter().map(|sandbox| sandbox.close())).await;
    }
}

async fn cat(sandbox: &dyn Sandbox) -> SandboxProcess {
    let command = SandboxCommand {
        argv: vec!["cat".to_owned()],
        ..SandboxCommand::default()
    };
    sandbox.spawn(command).await.unwrap()
}

async fn round_trip(process: &mut SandboxProcess) -> Duration {
    let begin = Instant::now();
    process.stdin.write_all(LINE).await.unwrap();
    process.stdin.flush().await.unwrap();
    let mut back = vec![0; LINE.len()];
    process.stdout.read_exact(&mut back).await.unwrap();
    assert_eq!(back, LINE);
    begin.elapsed()
}

/// How many connections of this process go to the double.
fn connections(url: &str) -> usize {
    /// `TCP_ESTABLISHED`.
    const ESTABLISHED: &str = "01";

    let port = url
        .rsplit(':')
        .next()
        .and_then(|port| port.parse::<u16>().ok());
    let remote = format!(":{:04X}", port.unwrap_or_default());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let lines = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| {
            fields.len() > 3 && fields[2].ends_with(&remote) && fields[3] == ESTABLISHED
        })
        .count()
}
