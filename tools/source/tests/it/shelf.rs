//! The files of mirrors: thrown away when they are damaged, and when there are too many of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pullwright_core::source::{Base, CheckoutFiles, Source};
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, SourceConfig};

use crate::http_backend::Behaviour;
use crate::lab::{Lab, bundle, commit, fetch, git, take_in, text};

async fn fetched(source: &GitSource, url: &Path) -> Base {
    fetch(source, url.to_str().unwrap(), None, None)
        .await
        .unwrap()
}

async fn checked_out(source: &GitSource, base: &Base, into: &Path) {
    let _ = std::fs::remove_dir_all(into);
    let made = source.checkout(base, None, CheckoutFiles::Written, into);
    made.await.unwrap();
    git(into, &["fsck", "--full", "--strict"]);
    assert_eq!(text(into, &["write-tree"]), base.tree);
}

/// All files of this kind below a folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let below = entries.flat_map(|entry| match entry.path() {
        path if path.is_dir() => files(&path, extension),
        path => vec![path],
    });
    let wanted = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    below.filter(wanted).collect()
}

/// As a machine leaves it that lost its power, or a disk that was full.
fn damage(mirror: &Path, how: &str) {
    let objects = mirror.join("objects");
    let spoil = |path: PathBuf, content: &[u8]| {
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, content).unwrap();
    };
    match how {
        "packs cut off" | "packs cut off, and none kept" => {
            for pack in files(&objects, "pack") {
                let bytes = std::fs::read(&pack).unwrap();
                spoil(pack, &bytes[..bytes.len() / 2]);
            }
        }
        "indexes gone" => files(&objects, "idx")
            .into_iter()
            .for_each(|path| std::fs::remove_file(path).unwrap()),
        "objects gone" => std::fs::remove_dir_all(&objects).unwrap(),
        "objects empty" => {
            let loose = std::fs::read_dir(&objects).unwrap().flatten();
            let loose = loose.filter(|entry| entry.file_name().len() == 2);
            for file in loose.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap()) {
                spoil(file.unwrap().path(), b"");
            }
        }
        // A branch that has not moved is found without one.
        "configuration gone" => drop(std::fs::remove_file(mirror.join("config"))),
        "configuration spoiled" => spoil(mirror.join("config"), b"[core\n\0"),
        "head empty" => spoil(mirror.join("HEAD"), b""),
        "reference spoiled" => {
            let refs = std::fs::read_dir(mirror.join("refs/pullwright")).unwrap();
            refs.for_each(|entry| spoil(entry.unwrap().path(), b"\0\0\0"));
        }
        "killed in the middle" => {
            std::fs::write(mirror.join("HEAD.lock"), "").unwrap();
            std::fs::write(mirror.join("shallow.lock"), "").unwrap();
            std::fs::write(objects.join("pack/tmp_pack_x"), "PACK").unwrap();
        }
        how => panic!("{how}"),
    }
    if how.ends_with("none kept") || how == "objects empty" {
        std::fs::remove_dir_all(mirror.join("checkouts")).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_mirror_is_fetched_anew() {
    for is_packed in [true, false] {
        for how in [
            "packs cut off",
            "packs cut off, and none kept",
            "indexes gone",
            "objects gone",
            "objects empty",
            "configuration gone",
            "configuration spoiled",
            "head empty",
            "reference spoiled",
            "killed in the middle",
        ] {
            let lab = Lab::new();
            let (source, base) = lab.local().await;
            if is_packed {
                git(&base.mirror, &["repack", "-a", "-d", "-q"]);
            }
            damage(&base.mirror, how);
            let into = lab.path("checkout");
            let again = fetched(&source, &lab.bare()).await;
            assert_eq!(again, base, "{how}");
            checked_out(&source, &again, &into).await;
            let sandbox = lab.sandbox(&source, &again).await;
            std::fs::write(sandbox.join("new"), "new\n").unwrap();
            commit(&sandbox, "work");
            let made = bundle(&sandbox, &again.commit);
            if how != "packs cut off" {
                take_in(&source, &again, &made).await.expect(how);
            }
            // And when the branch has moved, so that something must be fetched.
            damage(&base.mirror, how);
            commit(&lab.path("seed"), "next");
            let remote = lab.bare();
            git(
                &lab.path("seed"),
                &["push", "-q", remote.to_str().unwrap(), "main"],
            );
            let next = fetched(&source, &lab.bare()).await;
            assert_ne!(next.commit, base.commit, "{how}");
            checked_out(&source, &next, &into).await;
        }
    }
}

/// What one of them throws away is not what the others fetch meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_damaged_mirror_is_fetched_anew_for_many_runs_at_once() {
    for how in ["packs cut off, and none kept", "objects gone"] {
        let lab = Lab::new();
        let (source, base) = lab.local().await;
        git(&base.mirror, &["repack", "-a", "-d", "-q"]);
        damage(&base.mirror, how);
        let remote = lab.bare();
        let runs = (0..20).map(|_| fetched(&source, &remote));
        for again in futures_util::future::join_all(runs).await {
            assert_eq!(again, base, "{how}");
        }
    }
}

/// Files of a mirror that are damaged after its pack was kept.
#[tokio::test]
async fn a_checkout_goes_on_from_the_kept_pack() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    std::fs::remove_dir_all(base.mirror.join("objects")).unwrap();
    std::fs::create_dir(base.mirror.join("objects")).unwrap();
    checked_out(&source, &base, &lab.path("checkout")).await;
}

/// A failure of the remote is not one of the mirror.
#[tokio::test]
async fn a_mirror_stays_when_the_remote_fails() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    let source = lab.source(&[server.host()]);
    let url = server.url("owner/repo.git");
    let base = fetch(&source, &url, None, None).await.unwrap();
    let head = base.mirror.join("HEAD").metadata().unwrap();
    std::fs::remove_dir_all(lab.bare()).unwrap();
    let error = fetch(&source, &url, None, None).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Repository, "{error}");
    let after = base.mirror.join("HEAD").metadata().unwrap();
    let made = |data: &std::fs::Metadata| std::os::unix::fs::MetadataExt::ino(data);
    assert_eq!(made(&head), made(&after));
}

fn config(lab: &Lab) -> SourceConfig {
    SourceConfig {
        allow_local_paths: true,
        mirror_cache_bytes: 1,
        mirror_idle: Duration::ZERO,
        ..lab.config(&[])
    }
}

/// More repositories like the lab's.
fn repositories(lab: &Lab, count: usize) -> Vec<PathBuf> {
    let copy = |number| {
        let path = lab.path(&format!("remote/owner/repo-{number}.git"));
        let into = path.to_str().unwrap();
        git(&lab.bare(), &["clone", "-q", "--bare", ".", into]);
        path
    };
    (0..count).map(copy).collect()
}

#[tokio::test]
async fn the_mirror_that_was_used_longest_ago_makes_room() {
    let lab = Lab::new();
    let urls = repositories(&lab, 3);
    let roomy = SourceConfig {
        mirror_cache_bytes: u64::MAX,
        ..config(&lab)
    };
    let source = GitSource::new(roomy.clone()).unwrap();
    let mut bases = Vec::new();
    for url in &urls[..2] {
        bases.push(fetched(&source, url).await);
    }
    // The first one is used again, so that it is the second that goes.
    fetched(&source, &urls[0]).await;
    let size = git(&lab.path(""), &["--version"]).len() as u64 + mirrors_bytes(&lab);
    let tight = SourceConfig {
        mirror_cache_bytes: size,
        ..roomy
    };
    let source = GitSource::new(tight).unwrap();
    bases.push(fetched(&source, &urls[2]).await);
    let left: Vec<bool> = bases.iter().map(|base| base.mirror.exists()).collect();
    assert_eq!(left, [true, false, true]);
    assert_eq!(
        std::fs::read_dir(lab.data().join("trash")).unwrap().count(),
        0
    );
    // Whoever wants it again gets it again.
    let again = fetched(&source, &urls[1]).await;
    checked_out(&source, &again, &lab.path("checkout")).await;
}

fn mirrors_bytes(lab: &Lab) -> u64 {
    fn bytes(path: &Path) -> u64 {
        let data = path.symlink_metadata().unwrap();
        if !data.is_dir() {
            return data.len();
        }
        let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
        entries.map(|entry| bytes(&entry.path())).sum()
    }
    bytes(&lab.data().join("mirrors"))
}

/// A run may be at work on it, here or at another process, or have work that borrows from it.
#[tokio::test]
async fn a_mirror_in_use_stays() {
    let lab = Lab::new();
    let urls = repositories(&lab, 2);
    let source = GitSource::new(SourceConfig {
        mirror_idle: Duration::from_secs(3600),
        ..config(&lab)
    });
    let source = source.unwrap();
    let first = fetched(&source, &urls[0]).await;
    let second = fetched(&source, &urls[1]).await;
    assert!(
        first.mirror.exists() && second.mirror.exists(),
        "both were used just now"
    );

    let lock = std::fs::File::options()
        .write(true)
        .open(second.mirror.with_extension("lock"))
        .unwrap();
    lock.lock().unwrap();
    let sandbox = lab.sandbox(&source, &first).await;
    std::fs::write(sandbox.join("new"), "new\n").unwrap();
    commit(&sandbox, "work");
    take_in(&source, &first, &bundle(&sandbox, &first.commit))
        .await
        .unwrap();
    let source = GitSource::new(config(&lab)).unwrap();
    fetched(&source, &lab.bare()).await;
    assert!(first.mirror.exists(), "its objects are borrowed");
    assert!(second.mirror.exists(), "somebody holds its lock");
    drop(lock);
    source.discard(&crate::lab::run()).await.unwrap();
    commit(&lab.path("seed"), "next");
    git(
        &lab.path("seed"),
        &["push", "-q", lab.bare().to_str().unwrap(), "main"],
    );
    fetched(&source, &lab.bare()).await;
    assert!(!first.mirror.exists() && !second.mirror.exists());
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_told_before_anything_is_fetched() {
    let lab = Lab::new();
    let urls = repositories(&lab, 1);
    let source = GitSource::new(config(&lab)).unwrap();
    let base = fetched(&source, &urls[0]).await;
    let full = GitSource::new(SourceConfig {
        min_free_bytes: u64::MAX,
        mirror_cache_bytes: u64::MAX,
        ..config(&lab)
    });
    let full = full.unwrap();
    let again = fetched(&full, &urls[0]).await;
    assert_eq!(again, base, "what is there can be used");
    let error = fetch(&full, lab.bare().to_str().unwrap(), None, None).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, FailureKind::Limit, "{error}");
    assert!(
        error.message.contains("`[repositories] min_free_mb`"),
        "{error}"
    );
    assert!(!base.mirror.exists(), "others made room first");
}
