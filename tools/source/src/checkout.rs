//! A checkout: a repository of its own, made before any sandbox sees it.
//!
//! It shares nothing with the mirror: no alternates, no hard links. Its pack is a copy, and while it comes in the files
//! are written from the mirror's objects.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use pullwright_core::config::CloneMode;
use pullwright_core::source::{Base, CheckoutFiles, SourceError, Work};
use pullwright_protocol::FailureKind;

use crate::git::Call;
use crate::source::GitSource;
use crate::{clone_mode, damage, history, kept_pack, objects, refname, shelf};

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
    shelf::note_use(&base.mirror);
    kept_pack::prepare(source, base).await?;
    let git_dir = into.join(".git");
    init(source, &base.branch, into).await?;
    point_head(base, &git_dir)?;
    cut_off(base, &git_dir).await?;
    let work = work.filter(|work| work.tree != base.tree);
    if let Some(work) = work {
        objects::id(&work.tree)?;
    }
    // Both come to their end before one of them is heard: a folder that is still written to cannot be removed.
    let lent = lent_objects(work.map_or(base.mirror.as_path(), |work| &work.quarantine));
    let (packed, written) = tokio::join!(
        pack_all(source, base, work, &git_dir),
        write(source, base, work, files, into, Some(&lent)),
    );
    packed?;
    match written {
        // The mirror's own objects may be damaged, and what was packed of them is not.
        Err(error) if error.kind == FailureKind::Internal && !damage::is_of_the_machine(&error) => {
            write(source, base, work, files, into, None).await
        }
        written => written,
    }
}

/// Packs what the checkout's own repository holds.
async fn pack_all(
    source: &GitSource,
    base: &Base,
    work: Option<&Work>,
    git_dir: &Path,
) -> Result<(), SourceError> {
    kept_pack::copy_into(source, base, git_dir).await?;
    match work {
        Some(work) => pack_work(source, base, work, git_dir).await,
        None => Ok(()),
    }
}

/// Writes the index, and the files if they are wanted, from objects that are lent or the checkout's own.
async fn write(
    source: &GitSource,
    base: &Base,
    work: Option<&Work>,
    files: CheckoutFiles,
    into: &Path,
    lent: Option<&OsString>,
) -> Result<(), SourceError> {
    let on = |args: &[&str]| {
        let call = Call::local(source.config(), args.iter().copied())
            .git_dir(&into.join(".git"))
            .env("GIT_WORK_TREE", into);
        match lent {
            Some(lent) => call.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", lent),
            None => call,
        }
    };
    let index = || on(&["read-tree", "--reset", &base.commit]);
    match (work, files) {
        (_, CheckoutFiles::Packed) => {
            source.local(index(), "writing the index").await?;
        }
        (None, CheckoutFiles::Written) => {
            let write = on(&["read-tree", "--reset", "-u", &base.commit]).whole_tree();
            source.local(write, "writing the working tree").await?;
        }
        (Some(work), CheckoutFiles::Written) => {
            let write = on(&["read-tree", "--reset", "-u", &work.tree])
                .whole_tree()
                .untrusted();
            source.local(write, "writing the working tree").await?;
            source.local(index(), "resetting the index").await?;
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

/// A history that goes no further than its pack is marked so, and git takes that well.
async fn cut_off(base: &Base, git_dir: &Path) -> Result<(), SourceError> {
    let is_shallow = clone_mode::of(&base.mirror) == CloneMode::Shallow;
    if !is_shallow || !history::has_earlier(base).await? {
        return Ok(());
    }
    let path = git_dir.join(history::CUT_FILE);
    std::fs::write(&path, format!("{}\n", base.commit)).map_err(|error| {
        SourceError::new(
            FailureKind::Internal,
            format!("`{}` cannot be written: {error}", path.display()),
        )
    })
}

/// Lent for one call; the checkout keeps no trace of them. A quarantine lends those of its mirror, too. Quoted, since a colon would end the path.
fn lent_objects(lender: &Path) -> OsString {
    let mut quoted = vec![b'"'];
    for byte in lender.join("objects").as_os_str().as_bytes() {
        match byte {
            b'\n' => quoted.extend(b"\\n"),
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}
