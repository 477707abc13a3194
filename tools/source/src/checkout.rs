//! A checkout: a repository of its own, made before any sandbox sees it.
//!
//! It shares nothing with the mirror: no alternates, no hard links. The pack is written straight
//! into it, which spares the second pass of a clone.

use std::ffi::OsString;
use std::path::Path;

use pullwright_core::source::{Base, CheckoutFiles, SourceError, Work};
use pullwright_protocol::FailureKind;

use crate::git::Call;
use crate::source::GitSource;
use crate::{objects, refname};

pub(crate) async fn checkout(
    source: &GitSource,
    base: &Base,
    work: Option<&Work>,
    files: CheckoutFiles,
    into: &Path,
) -> Result<(), SourceError> {
    claim(into)?;
    let filled = fill(source, base, work, files, into).await;
    if filled.is_err() {
        // Nothing but this function has written there yet.
        let _ = std::fs::remove_dir_all(into);
    }
    filled
}

/// Makes the folder, which must not exist.
fn claim(into: &Path) -> Result<(), SourceError> {
    let failed = |error: std::io::Error| {
        SourceError::new(
            FailureKind::Internal,
            format!(
                "the checkout folder `{}` cannot be made: {error}",
                into.display()
            ),
        )
    };
    if !into.is_absolute() {
        return Err(failed(std::io::Error::other("it is not an absolute path")));
    }
    if let Some(parent) = into.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::create_dir(into).map_err(failed)
}

async fn fill(
    source: &GitSource,
    base: &Base,
    work: Option<&Work>,
    files: CheckoutFiles,
    into: &Path,
) -> Result<(), SourceError> {
    refname::check(&base.branch)?;
    objects::id(&base.commit)?;
    let git_dir = into.join(".git");
    init(source, &base.branch, into).await?;
    pack(source, base, &git_dir).await?;
    point_head(base, &git_dir)?;
    let on = |args: &[&str]| {
        Call::local(source.config(), args.iter().copied())
            .git_dir(&git_dir)
            .env("GIT_WORK_TREE", into)
    };
    let work = work.filter(|work| work.tree != base.tree);
    if let Some(work) = work {
        objects::id(&work.tree)?;
        pack_work(source, base, work, &git_dir).await?;
    }
    match (work, files) {
        (_, CheckoutFiles::Packed) => {
            let index = on(&["read-tree", "--reset", &base.commit]);
            source.local(index, "writing the index").await?;
        }
        (None, CheckoutFiles::Written) => {
            let write = on(&["read-tree", "--reset", "-u", &base.commit]).whole_tree();
            source.local(write, "writing the working tree").await?;
        }
        (Some(work), CheckoutFiles::Written) => {
            let write = on(&["read-tree", "--reset", "-u", &work.tree])
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", work_objects(work)?)
                .whole_tree()
                .untrusted();
            source.local(write, "writing the working tree").await?;
            let reset = on(&["read-tree", "--reset", &base.commit])
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", work_objects(work)?);
            source.local(reset, "resetting the index").await?;
        }
    }
    Ok(())
}

/// An empty repository that knows who commits, for a model that commits its own work.
async fn init(source: &GitSource, branch: &str, into: &Path) -> Result<(), SourceError> {
    let config = source.config();
    let branch = format!("--initial-branch={branch}");
    let args: [OsString; 5] = [
        "init".into(),
        "--quiet".into(),
        "--template=".into(),
        branch.into(),
        into.into(),
    ];
    source
        .local(Call::local(config, args), "making the checkout")
        .await?;
    let identity = [
        ("user.name", &config.identity.name),
        ("user.email", &config.identity.email),
    ];
    for (key, value) in identity {
        let call =
            Call::local(config, ["config", "--local", key, value]).git_dir(&into.join(".git"));
        source.local(call, "configuring the checkout").await?;
    }
    Ok(())
}

/// Writes the base commit's history, and nothing else of the mirror, as one pack.
async fn pack(source: &GitSource, base: &Base, git_dir: &Path) -> Result<(), SourceError> {
    let args: [OsString; 6] = [
        "pack-objects".into(),
        "--quiet".into(),
        "--revs".into(),
        "--delta-base-offset".into(),
        // Deltas of the mirror are reused; looking for new ones costs more than it saves.
        "--window=0".into(),
        git_dir.join("objects/pack/pack").into(),
    ];
    let call = Call::local(source.config(), args)
        .git_dir(&base.mirror)
        .whole_tree()
        .bytes(format!("{}\n", base.commit));
    source
        .local(call, "packing the base commit")
        .await
        .map(drop)
}

/// Writes the objects of the work's tree too, so that it can be restored inside.
async fn pack_work(
    source: &GitSource,
    base: &Base,
    work: &Work,
    git_dir: &Path,
) -> Result<(), SourceError> {
    let args: [OsString; 4] = [
        "pack-objects".into(),
        "--quiet".into(),
        "--revs".into(),
        git_dir.join("objects/pack/pack").into(),
    ];
    let call = Call::local(source.config(), args)
        .git_dir(&work.quarantine)
        .whole_tree()
        .bytes(format!("{}\n--not\n{}\n", work.tree, base.commit));
    source.local(call, "packing the work").await.map(drop)
}

fn point_head(base: &Base, git_dir: &Path) -> Result<(), SourceError> {
    let path = git_dir.join("refs/heads").join(&base.branch);
    let write = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, format!("{}\n", base.commit))
    };
    write().map_err(|error: std::io::Error| {
        SourceError::new(
            FailureKind::Internal,
            format!(
                "the branch `{}` of the checkout cannot be written: {error}",
                base.branch
            ),
        )
    })
}

/// Lent for one call; the checkout keeps no trace of them.
fn work_objects(work: &Work) -> Result<OsString, SourceError> {
    let objects = work.quarantine.join("objects");
    if objects.to_string_lossy().contains([':', '"', '\n']) {
        return Err(SourceError::new(
            FailureKind::Config,
            format!(
                "`{}` holds a colon or a quote; choose another data folder",
                objects.display()
            ),
        ));
    }
    Ok(objects.into())
}
