//! The file tools: read, write, edit, apply_patch, list, glob, grep.
//!
//! What they promise:
//! - A path never leads out of the workspace, through no symlink and no race.
//! - A file changes whole or not at all, and only where it was asked to: line ends, byte order
//!   mark, a missing last newline and the mode stay as they are.
//! - A refusal changes nothing and says how to do better; a guess is never applied silently.
//! - Every answer has a bound, and says what was left out and how to see it.
//!
//! What is deliberately absent: deleting and moving files but by a patch (that is the shell's), and
//! any change inside `.git`.

use std::path::PathBuf;
use std::sync::Arc;

use pullwright_tool_kit::protocol::tool::{APPLY_PATCH_FORMAT, STR_REPLACE_FORMAT};
use pullwright_tool_kit::{Call, Output, Refusal, ToolDef, ToolServer, ToolView, Workspace};

mod edit;
mod glob;
mod grep;
mod list;
mod lock;
mod missing;
mod page;
mod patch;
mod pattern;
mod read;
mod replace;
mod stop;
mod text;
mod tree;
mod write;

/// What the file tools share: the workspace, and who is writing which file.
#[derive(Debug)]
pub struct Files {
    workspace: Workspace,
    locks: lock::Locks,
}

/// The file tools over the workspace at `root`.
#[must_use]
pub fn server(root: PathBuf) -> ToolServer<Files> {
    let files = Files {
        workspace: Workspace::new(root),
        locks: lock::Locks::default(),
    };
    ToolServer::new("fs", env!("CARGO_PKG_VERSION"), Arc::new(files))
        .tool(
            ToolDef::new("read").read_only().view(read_view()),
            |files, args, _| blocking(move || read::read(&files, &args)),
        )
        .tool(
            ToolDef::new("write").idempotent().view(write_view()),
            |files, args, _| blocking(move || write::write(&files, &args)),
        )
        .tool(
            ToolDef::new("edit")
                .view(edit_view())
                .edit_format(STR_REPLACE_FORMAT),
            |files, args, _| blocking(move || edit::edit(&files, &args)),
        )
        .tool(
            ToolDef::new("apply_patch").edit_format(APPLY_PATCH_FORMAT),
            |files, args, _| blocking(move || patch::apply_patch(&files, &args)),
        )
        .tool(ToolDef::new("list").read_only(), |files, args, _| {
            blocking(move || list::list(&files, &args))
        })
        .tool(
            ToolDef::new("glob").read_only(),
            |files, args, call: Call| {
                let stop = stop::Stop::of(&call);
                blocking(move || glob::glob(&files, &args, &stop))
            },
        )
        .tool(
            ToolDef::new("grep").read_only(),
            |files, args, call: Call| {
                let stop = stop::Stop::of(&call);
                blocking(move || grep::grep(&files, &args, &stop))
            },
        )
}

fn read_view() -> ToolView {
    ToolView::Read {
        path: "path".to_owned(),
    }
}

fn write_view() -> ToolView {
    ToolView::Edit {
        path: "path".to_owned(),
        old: None,
        new: "content".to_owned(),
    }
}

fn edit_view() -> ToolView {
    ToolView::Edit {
        path: "path".to_owned(),
        old: Some("old_str".to_owned()),
        new: "new_str".to_owned(),
    }
}

/// File work blocks, so it runs where that hinders nobody. A call that is given up still ends its
/// write: a file changes whole or not at all.
async fn blocking<Work>(work: Work) -> Result<Output, Refusal>
where
    Work: FnOnce() -> Result<Output, Refusal> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(Refusal::new(format!("the tool broke off: {error}"))),
    }
}
