//! The tool server: status, diff, log, show, commit.

mod commit;
mod diff;
mod log;
mod repository;
mod revision;
mod show;
mod status;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pullwright_tool_kit::{Call, Output, Refusal, ToolDef, ToolServer, bounded_text};

use crate::deadline::{DAMAGED_REPOSITORY_TIMEOUT, within};
use commit::Commit;
use diff::Diff;
use log::Log;
use show::Show;
use status::Status;

/// A longer answer keeps its head and tail: it would fill the model's context, in bytes.
const MAX_OUTPUT_BYTES: usize = 30_000;

/// The git tools over one workspace.
#[derive(Debug)]
pub struct GitTools {
    root: PathBuf,
}

/// The tool server `git` over the repository at `root`. It starts no program and opens no
/// connection.
#[must_use]
pub fn server(root: PathBuf) -> ToolServer<GitTools> {
    ToolServer::new(
        "git",
        env!("CARGO_PKG_VERSION"),
        Arc::new(GitTools { root }),
    )
    .tool(ToolDef::new("status").read_only(), GitTools::status)
    .tool(ToolDef::new("diff").read_only(), GitTools::diff)
    .tool(ToolDef::new("log").read_only(), GitTools::log)
    .tool(ToolDef::new("show").read_only(), GitTools::show)
    .tool(ToolDef::new("commit"), GitTools::commit)
}

impl GitTools {
    async fn status(self: Arc<Self>, args: Status, _call: Call) -> Result<Output, Refusal> {
        self.answer(move |root| status::run(root, &args)).await
    }

    async fn diff(self: Arc<Self>, args: Diff, _call: Call) -> Result<Output, Refusal> {
        self.answer(move |root| diff::run(root, &args)).await
    }

    async fn log(self: Arc<Self>, args: Log, _call: Call) -> Result<Output, Refusal> {
        self.answer(move |root| log::run(root, &args)).await
    }

    async fn show(self: Arc<Self>, args: Show, _call: Call) -> Result<Output, Refusal> {
        self.answer(move |root| show::run(root, &args)).await
    }

    async fn commit(self: Arc<Self>, args: Commit, _call: Call) -> Result<Output, Refusal> {
        self.answer(move |root| commit::run(root, &args)).await
    }

    /// Runs a tool where it may block, for a bounded time.
    async fn answer(
        self: Arc<Self>,
        run: impl FnOnce(&Path) -> Result<String, Refusal> + Send + 'static,
    ) -> Result<Output, Refusal> {
        let work = move || within(DAMAGED_REPOSITORY_TIMEOUT, move || run(&self.root));
        let answer = tokio::task::spawn_blocking(work).await.ok().flatten();
        answer.unwrap_or_else(|| Err(no_answer())).map(Output::text)
    }
}

fn no_answer() -> Refusal {
    Refusal::new(format!(
        "git gave no answer within {} s; an object in .git is probably damaged",
        DAMAGED_REPOSITORY_TIMEOUT.as_secs()
    ))
}

/// A text within the limit, with a hint at how to see the rest.
fn bounded(text: &str, hint: &str) -> String {
    bounded_text(text, MAX_OUTPUT_BYTES, hint)
}
