//! Accepts what a tool server says of its tools, once somebody has looked at it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use pullwright_core::config::ToolLink;
use pullwright_core::tools::{ApproveAll, ToolChange, is_hidden};
use similar::TextDiff;

use super::open::Workbench;
use crate::cli::{complain, say};

/// How many unchanged lines are shown around a change.
const CONTEXT_LINES: usize = 2;

/// Joins emojis. It hides nothing in them, but a difference of two definitions.
const JOINER: char = '\u{200d}';

pub(super) async fn accept(bench: &Workbench, name: &str, yes: bool) -> anyhow::Result<ExitCode> {
    let row = bench.rows(Some(name))?[0].1;
    if matches!(row.link, ToolLink::Builtin(_)) {
        bail!("`{name}` is built in: its tools come with this program and need no acceptance");
    }
    // Everything it lists, also what is withheld from runs.
    let server = bench.connect(name, row, Arc::new(ApproveAll)).await?;
    let changes = bench.accepted.changes(name, server.tools())?;
    if changes.is_empty() {
        say(&format!("the tools of `{name}` are as they were accepted"));
        return Ok(ExitCode::SUCCESS);
    }
    for change in &changes {
        show(change);
    }
    if !yes && !confirmed(name)? {
        complain("nothing is accepted");
        return Ok(ExitCode::FAILURE);
    }
    bench.accepted.accept(name, server.tools())?;
    say(&format!("accepted: {} changes of `{name}`", changes.len()));
    Ok(ExitCode::SUCCESS)
}

fn show(change: &ToolChange) {
    let what = match (&change.before, &change.now) {
        (None, _) => "is new",
        (_, None) => "is gone",
        _ => "has changed",
    };
    say(&format!("`{}` {what}", change.tool));
    let before = change.before.as_deref().unwrap_or_default();
    let now = change.now.as_deref().unwrap_or_default();
    let (before, now) = (visible(before), visible(now));
    let diff = TextDiff::from_lines(&before, &now);
    let mut shown = diff.unified_diff();
    say(&shown.context_radius(CONTEXT_LINES).to_string());
}

/// What a terminal would obey, or not show, is spelled out.
fn visible(text: &str) -> String {
    let spelled = |c: char| match c {
        '\n' => "\n".to_owned(),
        c if c.is_control() || is_hidden(c) || c == JOINER => format!("\\u{{{:x}}}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(spelled).collect()
}

fn confirmed(name: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("there is nobody to ask; look at the difference above, and use --yes to accept it");
    }
    write!(
        io::stderr(),
        "accept the tools of `{name}` as they are now? [y/N] "
    )?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
