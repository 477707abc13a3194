//! What may be pushed. A refusal never loses work: it ends as a patch, with the reason.

mod attributes;
mod content;
mod known;
mod notable;
mod path;
mod protected;
mod secrets;
mod symlink;

use git2::{Oid, Repository};
use pullwright_core::config::{Notable, PolicyConfig};
use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;

pub(crate) use content::size;
use protected::Protected;

use crate::diff::{Change, EXECUTABLE, Entry, FILE, GITLINK, SYMLINK};
use crate::known_secret::Finder;

/// How many reasons are told one by one, and how many files of one notice.
const MAX_TOLD: usize = 20;
const MAX_TOLD_FILES: usize = 5;

/// The rules of a configuration, ready to be applied.
#[derive(Debug)]
pub(crate) struct Rules {
    protected: Protected,
    max_file_bytes: usize,
    max_change_bytes: usize,
    max_files: usize,
    binary: Notable,
    noise: Notable,
}

/// What the rules say of a change.
pub(crate) struct Verdict {
    /// Why it must not be pushed; empty when it may.
    pub(crate) refusals: Vec<String>,
    /// What whoever reads the pull request should know.
    pub(crate) notices: Vec<String>,
    /// The changed files that hold a secret of this server.
    pub(crate) leaks: Vec<Vec<u8>>,
}

impl Rules {
    pub(crate) fn new(config: &PolicyConfig) -> Result<Self, SourceError> {
        let bytes = |mb: u64| usize::try_from(mb << 20).unwrap_or(usize::MAX);
        let protected = Protected::new(&config.protected, &config.allow);
        Ok(Self {
            protected: protected.map_err(|why| {
                SourceError::new(FailureKind::Config, format!("in `[policy]`, {why}"))
            })?,
            max_file_bytes: bytes(config.max_file_mb),
            max_change_bytes: bytes(config.max_change_mb),
            max_files: usize::try_from(config.max_files).unwrap_or(usize::MAX),
            binary: config.binary,
            noise: config.noise,
        })
    }
}

/// Applies the rules.
pub(crate) fn judge(
    git: &Repository,
    rules: &Rules,
    finder: &Finder,
    (old, new): (Oid, Oid),
    changes: &[Change],
) -> Result<Verdict, SourceError> {
    let mut refusals = Vec::new();
    let (mut binary, mut noise, mut leaks) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let leak = known::refusal(git, finder, change, rules.max_file_bytes)?;
        if leak.is_some() {
            leaks.push(change.path.clone());
        }
        let found = path::refusal(change)
            .or(rules.protected.refusal(change))
            .or(mode_refusal(change))
            .or(leak);
        let found = match found {
            Some(found) => Some(found),
            None => content_refusal(git, rules, change)?,
        };
        let path = || finder.redact(&change.shown()).escape_debug().to_string();
        if let Some(why) = found {
            refusals.push(format!("`{}` {why}", path()));
            continue;
        }
        let looks = notable::noise(git, old, new, change)?;
        match (looks, rules.noise) {
            (Some(how), Notable::Refuse) => refusals.push(format!(
                "`{}` looks generated or left behind ({how}), which `[policy] noise` refuses",
                path()
            )),
            (Some(_), Notable::Report) => noise.push(path()),
            _ => {}
        }
        match (notable::is_not_text(git, change)?, rules.binary) {
            (true, Notable::Refuse) => {
                refusals.push(format!(
                    "`{}` is not text, which `[policy] binary` refuses",
                    path()
                ));
            }
            (true, Notable::Report) => binary.push(path()),
            _ => {}
        }
    }
    refusals.extend(symlink::refusals(git, old, new, changes)?);
    refusals.extend(total_refusal(git, rules, changes)?);
    let notices = [
        notice(
            &noise,
            "looks generated or left behind by mistake",
            "look generated or left behind by mistake",
        ),
        notice(&binary, "is not text", "are not text"),
    ];
    Ok(Verdict {
        refusals: told(refusals),
        notices: notices.into_iter().flatten().collect(),
        leaks,
    })
}

/// One sentence about some changed files.
fn notice(paths: &[String], one: &str, many: &str) -> Option<String> {
    let named = paths.iter().take(MAX_TOLD_FILES);
    let named: Vec<String> = named.map(|path| format!("`{path}`")).collect();
    let named = named.join(", ");
    match paths.len() {
        0 => None,
        1 => Some(format!("1 changed file {one}: {named}")),
        all if all > MAX_TOLD_FILES => {
            let more = all - MAX_TOLD_FILES;
            Some(format!(
                "{all} changed files {many}: {named} and {more} more"
            ))
        }
        all => Some(format!("{all} changed files {many}: {named}")),
    }
}

fn mode_refusal(change: &Change) -> Option<String> {
    let link = |entry: Option<Entry>| entry.is_some_and(|entry| entry.mode == GITLINK);
    if link(change.old) || link(change.new) {
        return Some("is a submodule, which a run may not change".into());
    }
    match change.new?.mode {
        FILE | EXECUTABLE | SYMLINK => None,
        mode => Some(format!("has the file mode {mode:o}, which is not allowed")),
    }
}

fn content_refusal(
    git: &Repository,
    rules: &Rules,
    change: &Change,
) -> Result<Option<String>, SourceError> {
    let Some(new) = change.new else {
        return Ok(None);
    };
    let size = size(git, new)?;
    if size > rules.max_file_bytes {
        return Ok(Some(format!(
            "has {} MiB, more than the {} MiB of `[policy] max_file_mb`",
            size >> 20,
            rules.max_file_bytes >> 20
        )));
    }
    if attributes::is_attributes_file(&change.path) {
        return attributes::refusal(git, change);
    }
    secrets::refusal(git, change, rules.max_file_bytes)
}

fn total_refusal(
    git: &Repository,
    rules: &Rules,
    changes: &[Change],
) -> Result<Option<String>, SourceError> {
    let mut total = 0_usize;
    for entry in changes.iter().filter_map(|change| change.new) {
        total = total.saturating_add(size(git, entry)?);
    }
    Ok(if changes.len() > rules.max_files {
        Some(format!(
            "{} files change, more than the {} of `[policy] max_files`",
            changes.len(),
            rules.max_files
        ))
    } else if total > rules.max_change_bytes {
        Some(format!(
            "the changed files have {} MiB, more than the {} MiB of `[policy] max_change_mb`",
            total >> 20,
            rules.max_change_bytes >> 20
        ))
    } else {
        None
    })
}

fn told(mut refusals: Vec<String>) -> Vec<String> {
    let more = refusals.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        refusals.truncate(MAX_TOLD);
        refusals.push(format!("and {more} more"));
    }
    refusals
}
