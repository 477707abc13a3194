//! One run of a command: what it prints, what it complains about, and its end.

use std::borrow::Cow;
use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::excerpt::on_one_line;

/// The longest output: no key is as long, and what never ends must not fill our memory.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// How much of its complaints is kept; the rest is read too, so that it does not wait for us.
const MAX_COMPLAINT_BYTES: usize = 4 * 1024;
/// How much of its complaints an error repeats.
const SHOWN_CHARS: usize = 500;

/// A command that was started. Dropped before its end, it is ended with all of its process group.
pub(super) struct Run {
    child: Child,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

impl Run {
    pub(super) fn start(program: &str, arguments: &[String]) -> io::Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            child,
            output: Vec::new(),
            complaint: Vec::new(),
        })
    }

    /// Reads all it says and waits for its end. Whoever it left behind with its output counts as a part of it.
    pub(super) async fn finish(&mut self) -> Result<ExitStatus, String> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        tokio::try_join!(
            read_output(stdout, &mut self.output),
            read_complaint(stderr, &mut self.complaint),
        )?;
        // Not before: as long as it is not waited for, its id is its group's.
        self.child.wait().await.map_err(broken)
    }

    pub(super) fn printed(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.output)
    }

    /// The beginning of what it wrote to standard error, as the end of a sentence; `hide` takes secrets out.
    pub(super) fn complaint(&self, hide: impl FnOnce(String) -> String) -> String {
        let said = on_one_line(&hide(String::from_utf8_lossy(&self.complaint).into_owned()));
        match said.char_indices().nth(SHOWN_CHARS) {
            _ if said.is_empty() => said,
            Some((end, _)) => format!(": {} …", &said[..end]),
            None => format!(": {said}"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw)
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            // Nobody is left, which is what was wanted.
            tracing::trace!(?group, %error, "no process group to end");
        }
    }
}

async fn read_output(
    stream: Option<impl AsyncRead + Unpin>,
    output: &mut Vec<u8>,
) -> Result<(), String> {
    let Some(stream) = stream else { return Ok(()) };
    let one_more = MAX_OUTPUT_BYTES as u64 + 1;
    let read = stream.take(one_more).read_to_end(output).await;
    read.map_err(broken)?;
    if output.len() > MAX_OUTPUT_BYTES {
        return Err(format!(
            "printed more than {MAX_OUTPUT_BYTES} bytes, and no key is as long"
        ));
    }
    Ok(())
}

async fn read_complaint(
    stream: Option<impl AsyncRead + Unpin>,
    complaint: &mut Vec<u8>,
) -> Result<(), String> {
    let Some(mut stream) = stream else {
        return Ok(());
    };
    let mut piece = [0; MAX_COMPLAINT_BYTES];
    loop {
        let length = stream.read(&mut piece).await.map_err(broken)?;
        if length == 0 {
            return Ok(());
        }
        let room = MAX_COMPLAINT_BYTES - complaint.len();
        complaint.extend_from_slice(&piece[..length.min(room)]);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn broken(error: io::Error) -> String {
    format!("cannot be listened to: {error}")
}
