//! The log: lines on standard error.
//!
//! Each record is one line, whatever is in it: text of models, tools and repositories stands in log
//! records, and must not be able to make up lines of its own. Whole messages between the run and its tool
//! servers are never logged: a forge's answers hold credentials.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use pullwright_protocol::RunId;
use tracing::{Level, Metadata, Span};
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, filter, fmt};

use crate::traces::Traces;

/// The variable that says what is logged, such as `info` or `warn,pullwright=debug`.
const FILTER: &str = "PULLWRIGHT_LOG";

/// The crate that carries messages between a run and its tool servers, and logs them whole below this level.
const CARRIER: &str = "rmcp";
const CARRIER_LEVEL: Level = Level::INFO;

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
    let filter = filter.and(filter::filter_fn(is_no_message));
    let lines = tracing_subscriber::registry();
    match format {
        LogFormat::Json => {
            let json = fmt::layer().json().with_ansi(false);
            let json = json.with_writer(io::stderr);
            lines.with(json.with_filter(filter)).init();
        }
        LogFormat::Text => {
            let text = fmt::layer().with_target(false).with_ansi(is_terminal);
            let text = text.with_writer(OneLine(io::stderr));
            lines.with(text.with_filter(filter)).init();
        }
    }
}

/// Whether a record holds no whole message, however much is to be logged.
fn is_no_message(record: &Metadata<'_>) -> bool {
    let crate_name = record.target().split("::").next();
    crate_name != Some(CARRIER) || *record.level() <= CARRIER_LEVEL
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
