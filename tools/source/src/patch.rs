//! The change as a patch that `git apply` takes.
//!
//! It is bounded: the smallest files go in first, and what no longer fits is named at the top of
//! the patch, in words that `git apply` skips. The tree itself is not affected.

use std::path::Path;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Repository};
use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

use crate::diff::{Change, EXECUTABLE, Entry, GITLINK, SYMLINK};
use crate::git::Call;
use crate::objects;
use crate::policy;
use crate::source::GitSource;

/// Contents, old and new together, that go into a patch, in bytes. Against a patch that no store
/// and no reader takes.
const MAX_CONTENT_BYTES: usize = 24 << 20;
/// No line or binary encoding makes the contents larger than this, in bytes.
const MAX_PATCH_BYTES: usize = 128 << 20;
/// What a path costs beside its contents, in bytes.
const PATH_OVERHEAD_BYTES: usize = 512;
/// How many left-out paths are named.
const MAX_NAMED: usize = 50;

/// What goes into the patch.
pub(crate) struct Plan {
    tree: Oid,
    too_large: Vec<String>,
    /// How many are left out because they hold a secret of this server.
    leaks: usize,
}

/// Chooses what fits and shows no secret of this server, and makes the tree that has just that.
pub(crate) fn plan(
    git: &Repository,
    new: Oid,
    changes: &[Change],
    leaks: &[Vec<u8>],
) -> Result<Plan, SourceError> {
    let (leaking, rest): (Vec<&Change>, Vec<&Change>) = changes
        .iter()
        .partition(|change| leaks.contains(&change.path));
    let too_large = too_much(git, &rest)?;
    let mut plan = Plan {
        tree: new,
        too_large: too_large.iter().map(|change| change.shown()).collect(),
        leaks: leaking.len(),
    };
    if !plan.is_whole() {
        let mut update = TreeUpdateBuilder::new();
        for change in too_large.into_iter().chain(leaking) {
            match change.old {
                Some(old) => update.upsert(change.path.clone(), old.id, file_mode(old)),
                None => update.remove(change.path.clone()),
            };
        }
        let tree = git.find_tree(new);
        let tree = tree.and_then(|tree| update.create_updated(git, &tree));
        plan.tree = tree.map_err(|error| objects::broken(git.path(), &error))?;
    }
    Ok(plan)
}

impl Plan {
    fn is_whole(&self) -> bool {
        self.too_large.is_empty() && self.leaks == 0
    }
}

/// The patch from the base to the plan's tree. Attributes in the trees start nothing: there is no
/// configuration that would give them a program.
pub(crate) async fn make(
    source: &GitSource,
    quarantine: &Path,
    base: &str,
    plan: &Plan,
) -> Result<Vec<u8>, SourceError> {
    let tree = plan.tree.to_string();
    if tree == base && plan.is_whole() {
        return Ok(Vec::new());
    }
    let args = [
        "diff",
        "--binary",
        "--full-index",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        base,
        &tree,
    ];
    let call = Call::local(source.config(), args)
        .git_dir(quarantine)
        .untrusted()
        .max_stdout(MAX_PATCH_BYTES);
    let output = call.run(source.config()).await?;
    if !output.success {
        return Err(SourceError::new(
            FailureKind::Export,
            format!(
                "the patch cannot be made; git said: {}",
                crate::failure::last_words(&output.stderr)
            ),
        ));
    }
    Ok([preamble(plan).into_bytes(), output.stdout].concat())
}

/// The changes that do not fit, the largest first to go.
fn too_much<'c>(git: &Repository, changes: &[&'c Change]) -> Result<Vec<&'c Change>, SourceError> {
    let mut sized = Vec::with_capacity(changes.len());
    for change in changes {
        let mut size = PATH_OVERHEAD_BYTES;
        for entry in [change.old, change.new].into_iter().flatten() {
            size = size.saturating_add(policy::size(git, entry)?);
        }
        sized.push((size, *change));
    }
    sized.sort_by_key(|(size, _)| *size);
    let mut total = 0_usize;
    Ok(sized
        .into_iter()
        .skip_while(|(size, _)| {
            total = total.saturating_add(*size);
            total <= MAX_CONTENT_BYTES
        })
        .map(|(_, change)| change)
        .collect())
}

fn preamble(plan: &Plan) -> String {
    let mut text = match plan.leaks {
        0 => String::new(),
        leaks => format!(
            "{leaks} of the changed files hold a secret of the server and were left out.\n\n"
        ),
    };
    let too_large = &plan.too_large;
    if too_large.is_empty() {
        return text;
    }
    let count = too_large.len();
    text +=
        &format!("{count} of the changed files are too large for this patch and were left out:\n");
    for path in too_large.iter().take(MAX_NAMED) {
        text += &format!("  {}\n", path.escape_debug());
    }
    if count > MAX_NAMED {
        text += &format!("  and {} more\n", count - MAX_NAMED);
    }
    text + "\n"
}

fn file_mode(entry: Entry) -> FileMode {
    match entry.mode {
        EXECUTABLE => FileMode::BlobExecutable,
        SYMLINK => FileMode::Link,
        GITLINK => FileMode::Commit,
        _ => FileMode::Blob,
    }
}
