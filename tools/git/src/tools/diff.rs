//! The tool `diff`.

use std::path::Path;

use git2::{DiffFormat, DiffOptions, DiffStatsFormat, Repository, Tree};
use pullwright_tool_kit::{HeadTail, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use super::MAX_OUTPUT_BYTES;
use super::repository::{failed, open, repository_path};
use super::revision;
use crate::files::shown;

/// A larger file is shown like a binary one: comparing it could take minutes, in bytes.
const MAX_COMPARED_BYTES: i64 = 8 * 1024 * 1024;

/// More context would only repeat the file, in lines.
const MAX_CONTEXT_LINES: u32 = 200;

const STAT_COLUMNS: usize = 100;

/// Shows changes as a unified diff. By default everything that differs from HEAD, untracked files
/// included.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Diff {
    /// Compare with this revision instead of HEAD, such as `main`, `HEAD~2` or a commit id.
    rev: Option<String>,
    /// Compare `rev` with this revision instead of with the working tree.
    to: Option<String>,
    /// True: only what is staged. False: only what is not staged.
    staged: Option<bool>,
    /// Only these files and folders, relative to the repository's root.
    #[serde(default)]
    paths: Vec<String>,
    /// Only how many lines changed in each file.
    #[serde(default)]
    stat: bool,
    /// How many unchanged lines to show around a change; 3 if absent.
    context_lines: Option<u32>,
}

pub(crate) fn run(root: &Path, args: &Diff) -> Result<String, Refusal> {
    let repository = open(root)?;
    let mut options = options(root, args)?;
    let diff = compare(&repository, args, &mut options)?;
    if diff.deltas().len() == 0 {
        return Ok("no differences\n".to_owned());
    }
    let text = render(&diff, args.stat)?;
    Ok(text)
}

/// A diff as text, within the limit.
pub(crate) fn render(diff: &git2::Diff<'_>, stat: bool) -> Result<String, Refusal> {
    let mut kept = HeadTail::new(MAX_OUTPUT_BYTES);
    if stat {
        let format = DiffStatsFormat::FULL | DiffStatsFormat::INCLUDE_SUMMARY;
        let stats = diff
            .stats()
            .and_then(|stats| stats.to_buf(format, STAT_COLUMNS));
        kept.push(&stats.map_err(failed("count the changes"))?);
        return Ok(kept.render("Narrow it with `paths`."));
    }
    diff.print(DiffFormat::Patch, |_, _, line| {
        if matches!(line.origin(), '+' | '-' | ' ') {
            kept.push(&[line.origin() as u8]);
        }
        kept.push(line.content());
        true
    })
    .map_err(failed("make the diff"))?;
    Ok(kept.render("Narrow it with `paths`, or ask for `stat` first."))
}

/// Compares a commit with its first parent.
pub(crate) fn of_commit<'a>(
    repository: &'a Repository,
    commit: &git2::Commit<'_>,
) -> Result<git2::Diff<'a>, Refusal> {
    // The parent of a shallow history's first commit is not there.
    let parent = commit.parent(0).ok().and_then(|parent| parent.tree().ok());
    let tree = commit.tree().map_err(failed("read the commit's tree"))?;
    let mut options = DiffOptions::new();
    options.max_size(MAX_COMPARED_BYTES);
    repository
        .diff_tree_to_tree(parent.as_ref(), Some(&tree), Some(&mut options))
        .map_err(failed("compare the commit with its parent"))
}

fn options(root: &Path, args: &Diff) -> Result<DiffOptions, Refusal> {
    let mut options = DiffOptions::new();
    options
        .include_untracked(args.staged.is_none())
        .recurse_untracked_dirs(true)
        .show_untracked_content(true)
        .include_typechange(true)
        .max_size(MAX_COMPARED_BYTES)
        .disable_pathspec_match(true)
        .context_lines(args.context_lines.unwrap_or(3).min(MAX_CONTEXT_LINES));
    for path in &args.paths {
        let path = repository_path(root, path)?;
        // The root itself is no filter.
        if !path.as_os_str().is_empty() {
            options.pathspec(path);
        }
    }
    Ok(options)
}

fn compare<'a>(
    repository: &'a Repository,
    args: &Diff,
    options: &mut DiffOptions,
) -> Result<git2::Diff<'a>, Refusal> {
    let options = Some(options);
    match (args.staged, &args.rev, &args.to) {
        (Some(_), _, Some(_)) | (Some(false), Some(_), None) => Err(Refusal::new(
            "`staged` goes with neither `to` nor, when false, `rev`; leave one of them out",
        )),
        (Some(false), None, None) => repository
            .diff_index_to_workdir(None, options)
            .map_err(failed("compare the index with the working tree")),
        (Some(true), rev, None) => {
            let tree = base_tree(repository, rev.as_deref())?;
            repository
                .diff_tree_to_index(tree.as_ref(), None, options)
                .map_err(failed("compare the revision with the index"))
        }
        (None, rev, None) => {
            let tree = base_tree(repository, rev.as_deref())?;
            repository
                .diff_tree_to_workdir_with_index(tree.as_ref(), options)
                .map_err(failed("compare the revision with the working tree"))
        }
        (None, rev, Some(to)) => {
            let from = base_tree(repository, rev.as_deref())?;
            let to = tree_of(repository, to)?;
            repository
                .diff_tree_to_tree(from.as_ref(), Some(&to), options)
                .map_err(failed("compare the revisions"))
        }
    }
}

/// The tree of `rev`, or of HEAD; nothing before the first commit.
fn base_tree<'a>(
    repository: &'a Repository,
    rev: Option<&str>,
) -> Result<Option<Tree<'a>>, Refusal> {
    match rev {
        None if repository.is_empty().unwrap_or(false) => Ok(None),
        rev => tree_of(repository, rev.unwrap_or("HEAD")).map(Some),
    }
}

fn tree_of<'a>(repository: &'a Repository, rev: &str) -> Result<Tree<'a>, Refusal> {
    revision::resolve(repository, rev)?
        .peel_to_tree()
        .map_err(|_| {
            Refusal::new(format!(
                "`{}` is not a commit or tree",
                shown(rev.as_bytes())
            ))
        })
}
