//! Runs a shell command of the framework's own in a sandbox: setup steps, checks, questions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::sandbox::{Sandbox, SandboxCommand, SandboxError};

/// How much of a command's output is kept, from its end, in bytes.
const OUTPUT_TAIL_BYTES: usize = 8 * 1024;

/// How long to go on reading once the command has ended: a process it left behind may hold the
/// pipe open for ever.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// The exit code, 128 + n for signal n; absent when it did not end in time.
    pub(crate) exit_code: Option<i32>,
    /// Wall time.
    pub(crate) duration: Duration,
    /// The end of its standard output and error.
    pub(crate) output_tail: String,
}

impl Ran {
    pub(crate) fn passed(&self) -> bool {
        self.exit_code == Some(0)
    }
}

/// Runs `sh -c script` in the workspace, for at most `limit`.
pub(crate) async fn run_shell(
    sandbox: &dyn Sandbox,
    script: &str,
    limit: Duration,
) -> Result<Ran, SandboxError> {
    let started = Instant::now();
    // One pipe for both streams keeps their order.
    let joined = format!("exec 2>&1\n{script}");
    let process = sandbox
        .spawn(SandboxCommand::new(["sh", "-c", &joined]))
        .await?;
    drop(process.stdin);
    let mut tail = Tail::default();
    let (mut stdout, mut exit) = (process.stdout, process.exit);
    let exit_code = tokio::time::timeout(limit, async {
        tokio::select! {
            exit = &mut exit => exit,
            () = tail.read(&mut stdout) => exit.await,
        }
    })
    .await;
    if exit_code.is_ok() {
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, tail.read(&mut stdout)).await;
    }
    process.kill.kill();
    // No exit at all is no verdict on the command.
    if let (Ok(Err(_)), Some(lost)) = (&exit_code, sandbox.lost()) {
        return Err(lost);
    }
    Ok(Ran {
        exit_code: match exit_code {
            Ok(exit) => exit.ok().map(|exit| exit.shell_code()),
            Err(_) => None,
        },
        duration: started.elapsed(),
        output_tail: tail.render(),
    })
}

/// The last bytes of a stream.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    /// Reads to the end, or until dropped; nothing that was read is lost then.
    async fn read(&mut self, stream: &mut (dyn AsyncRead + Send + Unpin)) {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.bytes.extend(&buffer[..count]);
            let excess = self.bytes.len().saturating_sub(OUTPUT_TAIL_BYTES);
            self.cut |= excess > 0;
            self.bytes.drain(..excess);
        }
    }

    fn render(mut self) -> String {
        let text = String::from_utf8_lossy(self.bytes.make_contiguous()).into_owned();
        match (self.cut, text.split_once('\n')) {
            (true, Some((_, rest))) => format!("[...]\n{rest}"),
            _ => text,
        }
    }
}
