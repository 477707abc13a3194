//! The log: lines on standard error.
//!
//! Each record is one line, whatever is in it: text of models, tools and repositories stands in log
//! records, and must not be able to make up lines of its own.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use pullwright_protocol::RunId;
use tracing::Span;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::traces::Traces;

/// The variable that says what is logged, such as `info` or `warn,pullwright=debug`.
const FILTER: &str = "PULLWRIGHT_LOG";

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Logs from now on: as `format` says, else as text on a terminal and as JSON elsewhere.
pub fn init(format: Option<LogFormat>) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("warn"));
    let is_terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(match is_terminal {
        true => LogFormat::Text,
        false => LogFormat::Json,
    });
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Json => lines.json().with_ansi(false).with_writer(io::stderr).init(),
        LogFormat::Text => lines
            .with_target(false)
            .with_ansi(is_terminal)
            .with_writer(OneLine(io::stderr))
            .init(),
    }
}

/// What the lines about a run are marked with. It is of the highest level, so that a filter which lets an
/// error through does not take the run's id off it.
#[must_use]
pub fn run_span(run: &RunId, traces: &Traces) -> Span {
    tracing::error_span!("run", run = %run, trace_id = traces.trace_id(run))
}

/// Writes a record, which comes in one piece, without line breaks of its own.
struct OneLine<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.write_all(&in_one_line(record))?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The same with every line break but the last written as `\n` or `\r`.
fn in_one_line(record: &[u8]) -> Vec<u8> {
    let (text, end): (&[u8], &[u8]) = match record.strip_suffix(b"\n") {
        Some(text) => (text, b"\n"),
        None => (record, b""),
    };
    let mut line = Vec::with_capacity(record.len());
    for byte in text {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.extend_from_slice(end);
    line
}

#[cfg(test)]
mod tests;
