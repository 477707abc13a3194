//! Taking work in: a bundle becomes a tree that is checked, in a repository nobody else has touched.
//!
//! The pack goes through `git index-pack --strict`, which runs fsck on every object and refuses a
//! link to an object that is missing. The history in the bundle is ignored: only the tree of its
//! tip counts, and the commit that is pushed is made anew.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pullwright_core::source::{Base, ChangedPath, SourceError, Work};
use pullwright_protocol::{FailureKind, RunId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::bundle::{self, unsound};
use crate::diff::{self, Change};
use crate::git::Call;
use crate::known_secret::Finder;
use crate::source::GitSource;
use crate::{contents, failure, objects, patch, policy, run_folder, shelf};

/// Against a sandbox that goes silent in the middle of a bundle.
const BUNDLE_IDLE: Duration = Duration::from_secs(60);
/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// How the folder of a quarantine is called, in the run's, and the repository in it.
pub(crate) const FOLDER_PREFIX: &str = "quarantine-";
pub(crate) const REPOSITORY: &str = "repository.git";

pub(crate) async fn take_in(
    source: &GitSource,
    run: &RunId,
    base: &Base,
    bundle: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<Work, SourceError> {
    let folder = claim(source, run)?;
    let taken = examine(source, base, bundle, &folder).await;
    match &taken {
        Err(_) => drop(std::fs::remove_dir_all(&folder)),
        Ok(_) => remove_others(&folder),
    }
    taken
}

/// Removes the quarantines of the run that this one replaces: a long run takes work in after each turn.
fn remove_others(newest: &Path) {
    let run = newest.parent().and_then(|run| std::fs::read_dir(run).ok());
    let others = run.into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        let is_quarantine = name.to_string_lossy().starts_with(FOLDER_PREFIX);
        is_quarantine && entry.path() != newest
    });
    for other in others {
        let _ = std::fs::remove_dir_all(other.path());
    }
}

/// A fresh folder below the run's.
pub(crate) fn claim(source: &GitSource, run: &RunId) -> Result<PathBuf, SourceError> {
    let run = run_folder::of(&source.config().data_dir, run)?;
    let make = || {
        std::fs::create_dir_all(&run)?;
        Ok(tempfile::Builder::new()
            .prefix(FOLDER_PREFIX)
            .tempdir_in(&run)?
            .keep())
    };
    make().map_err(|error: std::io::Error| {
        SourceError::new(
            FailureKind::Internal,
            format!("no quarantine can be made in `{}`: {error}", run.display()),
        )
    })
}

async fn examine(
    source: &GitSource,
    base: &Base,
    bundle: &mut (dyn AsyncRead + Send + Unpin),
    folder: &Path,
) -> Result<Work, SourceError> {
    let incoming = folder.join("incoming.bundle");
    let size = receive(bundle, &incoming, source.config().max_bundle_bytes).await?;
    let quarantine = repository(source, base, folder).await?;
    let tree = match size {
        0 => base.tree.clone(),
        _ => unpack(source, &incoming, &quarantine).await?,
    };
    let _ = std::fs::remove_file(&incoming);
    contents::check_work(base, &quarantine, &tree).await?;
    judge(source, base, quarantine, tree).await
}

/// An empty repository in `folder` that knows the base.
pub(crate) async fn repository(
    source: &GitSource,
    base: &Base,
    folder: &Path,
) -> Result<PathBuf, SourceError> {
    let repository = folder.join(REPOSITORY);
    source.init_bare(&repository).await?;
    shelf::note_use(&base.mirror);
    borrow_mirror(base, &repository)?;
    Ok(repository)
}

/// Writes the bundle to a file and answers its size.
async fn receive(
    bundle: &mut (dyn AsyncRead + Send + Unpin),
    path: &Path,
    max: u64,
) -> Result<u64, SourceError> {
    let failed = |error: std::io::Error| unsound(&format!("it cannot be stored: {error}"));
    let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
    let (mut size, mut chunk) = (0, vec![0; CHUNK_BYTES]);
    loop {
        let read = match timeout(BUNDLE_IDLE, bundle.read(&mut chunk)).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(unsound(&format!("reading it broke: {error}"))),
            Err(_) => return Err(unsound("the sandbox stopped sending it")),
        };
        if read == 0 {
            file.flush().await.map_err(failed)?;
            return Ok(size);
        }
        size += read as u64;
        if size > max {
            return Err(SourceError::new(
                FailureKind::Limit,
                format!(
                    "the bundle from the sandbox is larger than {} MiB",
                    max >> 20
                ),
            ));
        }
        file.write_all(&chunk[..read]).await.map_err(failed)?;
    }
}

/// The base's objects are read from the mirror; the quarantine never writes there.
fn borrow_mirror(base: &Base, quarantine: &Path) -> Result<(), SourceError> {
    let objects = base.mirror.join("objects");
    let info = quarantine.join("objects/info");
    std::fs::create_dir_all(&info)
        .and_then(|()| std::fs::write(info.join("alternates"), format!("{}\n", objects.display())))
        .map_err(|error| {
            SourceError::new(
                FailureKind::Internal,
                format!(
                    "the quarantine cannot read `{}`: {error}",
                    objects.display()
                ),
            )
        })
}

/// The mirrors that the quarantines of a run borrow from.
pub(crate) fn lenders(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    let quarantines = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(FOLDER_PREFIX)
    });
    quarantines
        .filter_map(|entry| lender(&entry.path().join(REPOSITORY)))
        .collect()
}

/// The mirror that one borrows from.
pub(crate) fn lender(repository: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(repository.join("objects/info/alternates")).ok()?;
    let objects = Path::new(text.trim_end());
    objects.parent().map(Path::to_owned)
}

/// Checks every object of the bundle and answers the tree of its tip.
async fn unpack(
    source: &GitSource,
    incoming: &Path,
    quarantine: &Path,
) -> Result<String, SourceError> {
    let path = incoming.to_owned();
    let (header, file) = objects::blocking(move || {
        let mut file = File::open(&path).map_err(|error| unsound(&error.to_string()))?;
        Ok((bundle::open(&mut file)?, file))
    })
    .await?;
    let config = source.config();
    let max = format!("--max-input-size={}", config.max_bundle_bytes);
    let args = [
        "index-pack",
        "--stdin",
        "--fix-thin",
        "--strict",
        "--threads=1",
        &max,
    ];
    let call = Call::local(config, args)
        .git_dir(quarantine)
        .config([
            "core.bigFileThreshold=64m",
            "core.packedGitWindowSize=64m",
            "core.packedGitLimit=1g",
        ])
        .file(file)
        .untrusted();
    let output = call.run(config).await?;
    if !output.success {
        return Err(unsound(&format!(
            "git said: {}",
            failure::last_words(&output.stderr)
        )));
    }
    let quarantine = quarantine.to_owned();
    objects::blocking(move || {
        let git = objects::open(&quarantine)?;
        let commit = git.find_commit(objects::id(&header.tip)?);
        let commit = commit.map_err(|_| unsound("its reference is not a commit that it holds"))?;
        Ok(commit.tree_id().to_string())
    })
    .await
}

/// Compares with the base, applies the policy and makes the patch.
pub(crate) async fn judge(
    source: &GitSource,
    base: &Base,
    quarantine: PathBuf,
    tree: String,
) -> Result<Work, SourceError> {
    let (repository, trees) = (quarantine.clone(), (base.tree.clone(), tree.clone()));
    let (rules, finder) = (source.rules(), source.finder());
    let (changed, verdict, plan) = objects::blocking(move || {
        let git = objects::open(&repository)?;
        let (old, new) = (objects::id(&trees.0)?, objects::id(&trees.1)?);
        let changes = diff::trees(&git, old, new)?;
        let verdict = policy::judge(&git, &rules, &finder, (old, new), &changes)?;
        let plan = patch::plan(&git, new, &changes, &verdict.leaks)?;
        let changed: Vec<_> = changes
            .iter()
            .map(|change| shown(change, &finder))
            .collect();
        Ok((changed, verdict, plan))
    })
    .await?;
    let patch = patch::make(source, &quarantine, &base.tree, &plan).await?;
    Ok(Work {
        tree,
        changed,
        patch,
        refusals: verdict.refusals,
        notices: verdict.notices,
        quarantine,
    })
}

fn shown(change: &Change, finder: &Finder) -> ChangedPath {
    ChangedPath {
        path: finder.redact(&change.shown()),
        status: change.status(),
    }
}
