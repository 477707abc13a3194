//! The tool `log`.

use std::path::Path;

use git2::{Commit, Oid, Repository, Revwalk, Sort, Time};
use pullwright_tool_kit::Refusal;
use schemars::JsonSchema;
use serde::Deserialize;

use super::bounded;
use super::repository::{failed, open, repository_path};
use super::revision;

const DEFAULT_COMMITS: usize = 20;

/// More would only be cut by the limit of the output.
const MAX_COMMITS: usize = 500;

/// How many commits to look at for a path: a long history could take minutes.
const MAX_WALKED: usize = 20_000;

/// Lists commits, newest first, a line each: id, date, author, subject.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// How many commits; 20 if absent, at most 500.
    n: Option<usize>,
    /// Only commits that changed this file or folder, relative to the repository's root.
    path: Option<String>,
    /// Begin at this revision instead of HEAD, or list a range such as `main..HEAD`.
    rev: Option<String>,
}

pub(crate) fn run(root: &Path, args: &Log) -> Result<String, Refusal> {
    let repository = open(root)?;
    let path = args
        .path
        .as_deref()
        .map(|path| repository_path(root, path))
        .transpose()?;
    let wanted = args.n.unwrap_or(DEFAULT_COMMITS).clamp(1, MAX_COMMITS);
    let mut text = String::new();
    let mut listed = 0;
    let mut is_whole = true;
    for (walked, id) in walk(&repository, args.rev.as_deref().unwrap_or("HEAD"))?.enumerate() {
        let commit = id
            .and_then(|id| repository.find_commit(id))
            .map_err(failed("read the history"))?;
        if listed == wanted {
            text.push_str(&format!(
                "[there are more; raise `n` or begin with rev {}]\n",
                commit.id()
            ));
            is_whole = false;
            break;
        }
        if walked == MAX_WALKED {
            text.push_str(&format!(
                "[stopped after {MAX_WALKED} commits; go on with rev {}]\n",
                commit.id()
            ));
            is_whole = false;
            break;
        }
        if path.as_ref().is_none_or(|path| changes(&commit, path)) {
            text.push_str(&line(&commit));
            listed += 1;
        }
    }
    if is_whole && repository.is_shallow() {
        text.push_str("[earlier commits are not in this repository]\n");
    }
    if text.is_empty() {
        return Ok("no commits\n".to_owned());
    }
    Ok(bounded(&text, "Ask for fewer with `n`."))
}

fn walk<'a>(repository: &'a Repository, rev: &str) -> Result<Revwalk<'a>, Refusal> {
    let mut walk = repository.revwalk().map_err(failed("walk the history"))?;
    walk.set_sorting(Sort::NONE)
        .map_err(failed("walk the history"))?;
    let end = |rev: &str| {
        let rev = if rev.is_empty() { "HEAD" } else { rev };
        revision::commit(repository, rev).map(|commit| commit.id())
    };
    match rev.split_once("..") {
        Some((from, to)) => {
            walk.hide(end(from)?).map_err(failed("walk the history"))?;
            walk.push(end(to.trim_start_matches('.'))?)
        }
        None => walk.push(end(rev)?),
    }
    .map_err(failed("walk the history"))?;
    Ok(walk)
}

/// Whether a commit differs from all its parents at a path.
fn changes(commit: &Commit<'_>, path: &Path) -> bool {
    let own = entry_at(commit, path);
    match commit.parent_count() {
        0 => own.is_some(),
        _ => commit
            .parents()
            .all(|parent| entry_at(&parent, path) != own),
    }
}

fn entry_at(commit: &Commit<'_>, path: &Path) -> Option<(Oid, i32)> {
    let tree = commit.tree().ok()?;
    if path.as_os_str().is_empty() {
        return Some((tree.id(), 0));
    }
    tree.get_path(path)
        .ok()
        .map(|entry| (entry.id(), entry.filemode()))
}

fn line(commit: &Commit<'_>) -> String {
    let id = commit.id().to_string();
    let author = commit.author();
    format!(
        "{} {} {}: {}\n",
        &id[..10],
        date(commit.time()),
        String::from_utf8_lossy(author.name_bytes()),
        String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()),
    )
}

/// The day of a time where it was written, as `2026-11-24`.
pub(crate) fn date(time: Time) -> String {
    const DAY_SECONDS: i64 = 86_400;
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let local = time
        .seconds()
        .saturating_add(i64::from(time.offset_minutes()) * 60);
    // Years are counted from March of the year 0, so that the leap day is a year's last.
    let days = local.div_euclid(DAY_SECONDS).clamp(-719_468, 2_932_896) + 719_468;
    let (era, day) = (
        days.div_euclid(DAYS_IN_400_YEARS),
        days.rem_euclid(DAYS_IN_400_YEARS),
    );
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next_year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_place_they_were_written_in() {
        assert_eq!(date(Time::new(0, 0)), "1970-01-01");
        assert_eq!(date(Time::new(951_782_400, 0)), "2000-02-29");
        assert_eq!(date(Time::new(1_750_000_000, 0)), "2025-06-15");
        assert_eq!(date(Time::new(1_735_689_000, 60)), "2025-01-01");
        assert_eq!(date(Time::new(-1, 0)), "1969-12-31");
        assert_eq!(date(Time::new(i64::MAX, 0)), "9999-12-31");
    }
}
