//! What the model is told of a command that has ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use pullwright_tool_kit::Output;
use pullwright_tool_kit::protocol::tool::EXIT_CODE_KEY;
use serde_json::json;

use crate::running::End;
use crate::signals;

/// What the command left running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Background {
    /// Nothing that is known.
    None,
    /// Processes that live on.
    Left,
    /// Processes that were killed, because too many others live on.
    Refused,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) output: String,
    pub(crate) output_bytes: u64,
    pub(crate) end: End,
    pub(crate) limit: Duration,
    pub(crate) background: Background,
    pub(crate) duration: Duration,
}

impl Report {
    /// The answer: for the model the output and how it ended, where that needs saying; for programs
    /// the figures.
    pub(crate) fn answer(self) -> Output {
        let (exit_code, signal) = match self.end {
            End::Exited(status) => (status.code(), status.signal()),
            End::TimedOut | End::Cancelled => (None, None),
        };
        let structured = json!({
            EXIT_CODE_KEY: exit_code,
            "signal": signal.map(signals::name),
            "timed_out": matches!(self.end, End::TimedOut),
            "background": self.background == Background::Left,
            "duration_ms": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            "output_bytes": self.output_bytes,
        });
        Output::text(self.text()).with_structured(structured)
    }

    fn text(mut self) -> String {
        let kept = self.output.trim_end_matches('\n').len();
        self.output.truncate(kept);
        let notes = [self.end_note(), self.background_note()];
        let mut text = self.output;
        if text.is_empty() {
            text.push_str("(no output)");
        }
        for note in notes.into_iter().flatten() {
            text.push_str(&format!("\n[{note}]"));
        }
        text
    }

    fn end_note(&self) -> Option<String> {
        match self.end {
            End::Exited(status) => exit_note(status),
            End::TimedOut => Some(format!(
                "timed out after {} s: the command and every process it started were killed; give a \
                 larger timeout_sec, do less at once, or leave a server in the background with \
                 `>file 2>&1 &`",
                self.limit.as_secs()
            )),
            End::Cancelled => Some("cancelled".to_owned()),
        }
    }

    fn background_note(&self) -> Option<String> {
        match self.background {
            Background::None => None,
            Background::Left => Some(
                "processes of this command still run in the background; what they print from now on \
                 is kept only where they were started with `>file 2>&1`"
                    .to_owned(),
            ),
            Background::Refused => Some(
                "the processes left in the background were killed, because too many others still \
                 run there: end those first, and start servers with `>file 2>&1 &`"
                    .to_owned(),
            ),
        }
    }
}

/// How the shell ended, unless it was well.
fn exit_note(status: ExitStatus) -> Option<String> {
    if let Some(signal) = status.signal() {
        return Some(format!("killed by {}", signals::name(signal)));
    }
    let code = status.code().filter(|code| *code != 0)?;
    Some(match signals::behind_exit_code(code) {
        Some((number, name)) => {
            format!("exit code {code}: 128 + {number}, a process in it was ended by {name}")
        }
        None => format!("exit code {code}"),
    })
}
