//! The contents of a base commit's files in a mirror that has those of no other commit: fetched at once and before
//! anybody reads them, so that nothing is ever looked for at the remote later on, but what a push
//! has to send along.

use std::collections::HashSet;
use std::path::Path;

use git2::{ObjectType, OdbLookupFlags, Oid, Repository};
use pullwright_core::config::CloneMode;
use pullwright_core::source::{Base, SourceError};
use pullwright_protocol::FailureKind;

use crate::bundle::unsound;
use crate::git::Call;
use crate::source::GitSource;
use crate::transfer::Transfer;
use crate::{clone_mode, failure, kept_pack, objects, quarantine};

/// Against such files as fsck judges without end, in bytes.
const MAX_JUDGED_BYTES: usize = 64 << 20;

/// A file whose content fsck judges, which it knows by its name.
struct Judged {
    name: &'static str,
    /// How Windows begins its short name.
    short: &'static [u8],
    /// The same where the first ones are taken.
    hashed: &'static [u8],
}

const JUDGED: [Judged; 2] = [
    Judged {
        name: ".gitmodules",
        short: b"gitmod",
        hashed: b"gi7eba",
    },
    Judged {
        name: ".gitattributes",
        short: b"gitatt",
        hashed: b"gi7d29",
    },
];

/// What a fetch tolerates (see [`Transfer`]) in folders. `index-pack` dies of a name that it does not know, so these
/// are such as the oldest git has; paths too large for fsck are refused before.
const TOLERATED: [&str; 6] = [
    "zeroPaddedFilemode",
    "badFilemode",
    "gitignoreSymlink",
    "gitattributesSymlink",
    "mailmapSymlink",
    "nullSha1",
];

/// Sees to it that all files of the base can be read.
pub(crate) async fn complete(transfer: &Transfer<'_>, base: &Base) -> Result<(), SourceError> {
    if is_complete(base).await? {
        return Ok(());
    }
    let limit = transfer.source.config().timeouts.fetch;
    let _held = transfer.source.locks().hold(transfer.mirror, limit).await?;
    let wanted = missing(base).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    transfer.contents(&wanted).await?;
    match missing(base).await?.len() {
        0 => Ok(()),
        count => Err(SourceError::new(
            FailureKind::Clone,
            format!(
                "`{}` did not send the contents of {count} files of commit {}",
                transfer.remote.url, base.commit
            ),
        )),
    }
}

/// Whether all files of the base can be read.
pub(crate) async fn is_complete(base: &Base) -> Result<bool, SourceError> {
    // A kept pack holds all of them, so the mirror has had them.
    let is_known = clone_mode::of(&base.mirror) != CloneMode::Blobless || kept_pack::is_kept(base);
    Ok(is_known || missing(base).await?.is_empty())
}

/// An error unless all files of the base can be read, and those that tell of submodules or attributes are such as fsck
/// takes. It knows them by their names, which contents that came alone do not have.
pub(crate) async fn check(source: &GitSource, base: &Base) -> Result<(), SourceError> {
    let found = of(&base.mirror, &base.tree).await?;
    if let Some(id) = found.missing.first() {
        return Err(SourceError::new(
            FailureKind::Internal,
            format!(
                "the mirror `{}` lacks a file of its base commit: missing blob {id}",
                base.mirror.display()
            ),
        ));
    }
    match found.judged.is_empty() {
        true => Ok(()),
        false => judge(source, base, &found.judged).await,
    }
}

/// An error if the work takes over a folder as it was in an earlier commit, and leaves out the files in it that are
/// not here.
pub(crate) async fn check_work(
    base: &Base,
    quarantine: &Path,
    tree: &str,
) -> Result<(), SourceError> {
    if clone_mode::of(&base.mirror) != CloneMode::Blobless {
        return Ok(());
    }
    match of(quarantine, tree).await?.missing.first() {
        None => Ok(()),
        Some(id) => Err(unsound(&format!("it leaves out the content {id}"))),
    }
}

/// What was found out about the files of a tree.
#[derive(Default)]
struct Found {
    /// The contents that are not here, each once.
    missing: Vec<Oid>,
    /// The files that tell of submodules or attributes, and the folders that name them.
    judged: Vec<Oid>,
}

/// What is missing of the base's files in its mirror.
async fn missing(base: &Base) -> Result<Vec<Oid>, SourceError> {
    Ok(of(&base.mirror, &base.tree).await?.missing)
}

async fn of(repository: &Path, tree: &str) -> Result<Found, SourceError> {
    let (repository, tree) = (repository.to_owned(), objects::id(tree)?);
    objects::blocking(move || {
        let git = objects::open(&repository)?;
        of_tree(&git, tree).map_err(|error| objects::broken(&repository, &error))
    })
    .await
}

fn of_tree(git: &Repository, root: Oid) -> Result<Found, git2::Error> {
    let odb = git.odb()?;
    let (mut pending, mut seen) = (vec![root], HashSet::from([root]));
    let mut found = Found::default();
    while let Some(tree) = pending.pop() {
        for entry in &git.find_tree(tree)? {
            let is_new = seen.insert(entry.id());
            match entry.kind() {
                Some(ObjectType::Tree) if is_new => pending.push(entry.id()),
                Some(ObjectType::Blob) => {
                    // One after the other would look for new packs each time.
                    let is_here = || odb.exists_ext(entry.id(), OdbLookupFlags::NO_REFRESH);
                    if is_new && !is_here() {
                        found.missing.push(entry.id());
                    }
                    if is_judged(entry.name_bytes()) {
                        found.judged.extend([tree, entry.id()]);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Has fsck look at these once more, together.
async fn judge(source: &GitSource, base: &Base, ids: &[Oid]) -> Result<(), SourceError> {
    let config = source.config();
    let list: String = ids.iter().map(|id| format!("{id}\n")).collect();
    let pack = Call::local(config, ["pack-objects", "--quiet", "--stdout"])
        .git_dir(&base.mirror)
        .bytes(list)
        .max_stdout(MAX_JUDGED_BYTES);
    let pack = source.local(pack, "packing what tells of submodules and attributes");
    let pack = pack.await?;
    let folder = scratch(source)?;
    let repository = quarantine::repository(source, base, folder.path()).await?;
    let strict = TOLERATED.iter().map(|defect| format!("{defect}=ignore"));
    let strict = format!("--strict={}", strict.collect::<Vec<_>>().join(","));
    let index = Call::local(config, ["index-pack", "--stdin", &strict])
        .git_dir(&repository)
        .bytes(pack);
    let output = index.run(config).await?;
    match output.success {
        true => Ok(()),
        false => Err(SourceError::new(
            FailureKind::Clone,
            format!(
                "git refuses what commit {} of `{}` says of submodules or attributes; git said: {}",
                base.commit,
                base.repository.url,
                failure::last_words(&output.stderr)
            ),
        )),
    }
}

/// A folder for a moment, where what a killed server leaves is removed.
fn scratch(source: &GitSource) -> Result<tempfile::TempDir, SourceError> {
    let trash = source.config().data_dir.join("trash");
    let make = || {
        std::fs::create_dir_all(&trash)?;
        tempfile::tempdir_in(&trash)
    };
    make().map_err(|error: std::io::Error| {
        SourceError::new(
            FailureKind::Internal,
            format!("no folder can be made in `{}`: {error}", trash.display()),
        )
    })
}

/// Whether some file system may take the name for that of a file whose content fsck judges.
fn is_judged(name: &[u8]) -> bool {
    let plain: Vec<u8> = name
        .iter()
        .filter(|byte| byte.is_ascii())
        .copied()
        .collect();
    let plain = plain.to_ascii_lowercase();
    // To Windows, one within folders.
    let mut names = plain.split(|byte| *byte == b'\\');
    names.any(|name| JUDGED.iter().any(|judged| is_name_of(judged, name)))
}

fn is_name_of(judged: &Judged, name: &[u8]) -> bool {
    name.starts_with(judged.name.as_bytes()) || is_shortened(judged, name)
}

/// Whether Windows may shorten the file's name to this one.
fn is_shortened(judged: &Judged, name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |byte| *byte == b'~');
    let (Some(letters), Some(number)) = (parts.next(), parts.next()) else {
        return false;
    };
    let is_numbered = number.first().is_some_and(u8::is_ascii_digit);
    // The more names are taken, the longer the number, and the fewer letters are left.
    let fits = judged.short == letters || judged.hashed.starts_with(letters);
    is_numbered && fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_fsck_judges_is_known_by_all_its_names() {
        for name in [
            ".gitmodules",
            ".GitModules",
            ".git\u{200c}modules",
            "GITMOD~1",
            "gi7eba~1",
            "gi7eb~10",
            "~1000000",
            ".gitattributes",
            ".GitAttributes ",
            ".gitattributes::$DATA",
            ".gitattr\u{200c}ibutes",
            "GITATT~4",
            "gi7d29~1",
            "GI7~1234",
            "a\\.gitmodules",
        ] {
            assert!(is_judged(name.as_bytes()), "{name}");
        }
        for name in [
            "gitmodules",
            ".gitignore",
            "gitattributes",
            "GITIGN~1",
            "gitatt~",
            "gi250a~1",
            "main.rs~",
        ] {
            assert!(!is_judged(name.as_bytes()), "{name}");
        }
    }
}
