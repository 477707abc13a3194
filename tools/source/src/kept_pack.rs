//! The pack of a base commit, kept beside its mirror's objects: a run makes more than one checkout of its base, and
//! others begin there too. To copy a pack costs a fraction of making it.
//!
//! It is copied and never linked, so that nothing a sandbox does to its own reaches the next one.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pullwright_core::config::CloneMode;
use pullwright_core::source::{Base, SourceError};
use pullwright_protocol::FailureKind;

use crate::git::Call;
use crate::source::GitSource;
use crate::{clone_mode, contents, extent, objects};

/// Where a mirror keeps them, one folder for each commit.
const FOLDER: &str = "checkouts";
/// Those of how many commits a mirror keeps, each as large as a clone.
const MAX_KEPT: usize = 2;
/// What a pack that is being made is called, where a kept one has the name of its commit.
const UNFINISHED_PREFIX: &str = "unfinished-";

/// Sees to it that there is one, and that the commit's files can be written at all.
pub(crate) async fn prepare(source: &GitSource, base: &Base) -> Result<(), SourceError> {
    objects::id(&base.commit)?;
    let kept = place(base);
    if kept.exists() {
        return Ok(());
    }
    check_extent(source, base).await?;
    keep(source, base, &kept).await
}

/// Whether there is one.
pub(crate) fn is_kept(base: &Base) -> bool {
    place(base).exists()
}

/// Puts the base commit's history, as far as the mirror's mode goes, and nothing else of the mirror, into
/// the repository as one pack.
pub(crate) async fn copy_into(
    source: &GitSource,
    base: &Base,
    git_dir: &Path,
) -> Result<(), SourceError> {
    let packs = git_dir.join("objects/pack");
    if !copied(&place(base), &packs).await? {
        // Runs on other commits have pushed it out meanwhile.
        pack(source, base, &packs).await?;
    }
    Ok(())
}

fn place(base: &Base) -> PathBuf {
    base.mirror.join(FOLDER).join(&base.commit)
}

async fn check_extent(source: &GitSource, base: &Base) -> Result<(), SourceError> {
    let (mirror, tree) = (base.mirror.clone(), objects::id(&base.tree)?);
    let max = source.config().max_clone_bytes;
    objects::blocking(move || extent::check(&objects::open(&mirror)?, tree, max)).await
}

/// Copies a kept pack; `false` if there is none.
async fn copied(kept: &Path, packs: &Path) -> Result<bool, SourceError> {
    let (kept, packs) = (kept.to_owned(), packs.to_owned());
    objects::blocking(move || match copy(&kept, &packs) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(&kept, &error)),
    })
    .await
}

fn copy(kept: &Path, packs: &Path) -> io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(kept)?.collect::<Result<_, _>>()?;
    // An index without its pack is nothing that git takes well.
    entries.sort_by_key(|entry| entry.path().extension() == Some("idx".as_ref()));
    for entry in entries {
        std::fs::copy(entry.path(), packs.join(entry.file_name()))?;
    }
    File::open(kept)?.set_modified(SystemTime::now())
}

/// Makes the pack and keeps it. Whoever waits for the lock meanwhile finds it made.
async fn keep(source: &GitSource, base: &Base, kept: &Path) -> Result<(), SourceError> {
    let folder = base.mirror.join(FOLDER);
    let limit = source.config().timeouts.local;
    let _held = source.locks().hold(&folder, limit).await?;
    if kept.exists() {
        return Ok(());
    }
    let unfinished = unfinished(&folder).map_err(|error| failed(&folder, &error))?;
    pack(source, base, unfinished.path()).await?;
    drop_oldest(&folder, MAX_KEPT - 1);
    let made = std::fs::rename(unfinished.path(), kept);
    made.map_err(|error| failed(kept, &error))
}

/// A new folder; what one that was killed has left is removed. The lock is held.
fn unfinished(folder: &Path) -> io::Result<tempfile::TempDir> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(UNFINISHED_PREFIX) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    tempfile::Builder::new()
        .prefix(UNFINISHED_PREFIX)
        .tempdir_in(folder)
}

/// Leaves those that were used last.
fn drop_oldest(folder: &Path, left: usize) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut kept: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| {
            let name = entry.file_name();
            !name.to_string_lossy().starts_with(UNFINISHED_PREFIX)
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    kept.sort();
    let excess = kept.len().saturating_sub(left);
    for (_, path) in kept.into_iter().take(excess) {
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "a kept pack cannot be removed");
        }
    }
}

async fn pack(source: &GitSource, base: &Base, into: &Path) -> Result<(), SourceError> {
    let mode = clone_mode::of(&base.mirror);
    let mut args: Vec<OsString> = vec![
        "pack-objects".into(),
        "--quiet".into(),
        "--revs".into(),
        "--delta-base-offset".into(),
        // Deltas of the mirror are reused; looking for new ones costs more than it saves.
        "--window=0".into(),
    ];
    if mode == CloneMode::Blobless {
        contents::check(source, base).await?;
        // What files had in commits before may be left out.
        args.push("--missing=allow-any".into());
    }
    args.push(into.join("pack").into());
    let commit = &base.commit;
    let wanted = match mode {
        // Cut off there, whatever more of it the mirror has got to know.
        CloneMode::Shallow => format!("--shallow {commit}\n{commit}\n"),
        CloneMode::Full | CloneMode::Blobless => format!("{commit}\n"),
    };
    let call = Call::local(source.config(), args)
        .git_dir(&base.mirror)
        .whole_tree()
        .bytes(wanted);
    let packed = source.local(call, "packing the base commit").await;
    packed.map(drop)
}

fn failed(path: &Path, error: &io::Error) -> SourceError {
    SourceError::new(
        FailureKind::Internal,
        format!(
            "the pack `{}` of a base commit cannot be kept or copied: {error}; look at the disk's space and rights",
            path.display()
        ),
    )
}
