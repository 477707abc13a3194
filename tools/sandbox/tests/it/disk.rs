//! What a sandbox has on the disk, counted on real files.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pullwright_sandbox::disk::{Usage, WalkBudget, deleted, usage};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use tempfile::TempDir;

const AMPLE: WalkBudget = WalkBudget {
    entries: 1 << 32,
    time: Duration::from_secs(60),
    enough_bytes: u64::MAX,
};

/// Far beyond the longest path and the number of descriptors a process may have.
const DEEP: u32 = 3_000;

fn open(folder: &Path) -> OwnedFd {
    File::open(folder).unwrap().into()
}

fn used(folder: &TempDir) -> Usage {
    usage(&[open(folder.path())], &AMPLE)
}

fn written(path: &Path, bytes: usize) -> u64 {
    let mut file = File::create(path).unwrap();
    file.write_all(&vec![7; bytes]).unwrap();
    file.sync_all().unwrap();
    allocated(path)
}

fn allocated(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().blocks() * 512
}

#[test]
fn files_and_folders_are_counted_as_they_are_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let deeper = folder.path().join("a/b/c");
    fs::create_dir_all(&deeper).unwrap();
    let mut bytes = written(&folder.path().join("file"), 100_000);
    bytes += written(&deeper.join("file"), 1);
    symlink("/usr", deeper.join("link")).unwrap();
    bytes += allocated(&deeper.join("link"));
    // A hole takes no room.
    let mut sparse = File::create(deeper.join("sparse")).unwrap();
    sparse.seek(SeekFrom::Start(1 << 40)).unwrap();
    sparse.write_all(b"x").unwrap();
    sparse.sync_all().unwrap();
    bytes += allocated(&deeper.join("sparse"));
    for path in ["", "a", "a/b", "a/b/c"] {
        bytes += allocated(&folder.path().join(path));
    }
    let expected = Usage {
        bytes,
        files: 8,
        complete: true,
    };
    assert_eq!(used(&folder), expected);
}

#[test]
fn a_file_with_many_names_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let before = used(&folder).bytes;
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let file = folder.path().join("file");
    let bytes = written(&file, 1 << 20);
    for name in 0..10 {
        fs::hard_link(&file, other.join(name.to_string())).unwrap();
    }
    let expected = before + bytes + allocated(&other);
    assert_eq!(used(&folder).bytes, expected);
}

#[test]
fn a_folder_that_is_named_twice_or_lies_in_another_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("home");
    fs::create_dir(&inner).unwrap();
    written(&inner.join("file"), 100_000);
    let once = used(&folder);
    let thrice = [inner.as_path(), folder.path(), folder.path()].map(open);
    assert_eq!(usage(&thrice, &AMPLE), once);
    let other_way = [folder.path(), &inner].map(open);
    assert_eq!(usage(&other_way, &AMPLE), once);
}

#[test]
fn links_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    written(&outside.path().join("file"), 1 << 20);
    let before = used(&folder);
    symlink(outside.path(), folder.path().join("out")).unwrap();
    symlink(".", folder.path().join("loop")).unwrap();
    let after = used(&folder);
    assert!(after.complete);
    assert_eq!(after.files, before.files + 2);
    assert!(after.bytes < before.bytes + (1 << 20));
}

#[test]
fn a_tree_deeper_than_any_path_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut at = open(folder.path());
    for _ in 0..DEEP {
        mkdirat(&at, c"d", Mode::RWXU).unwrap();
        at = openat(&at, c"d", OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    openat(&at, c"leaf", OFlags::CREATE, Mode::RUSR).unwrap();
    drop(at);
    // Beside the way down, so that the way back is needed.
    written(&folder.path().join("d/d/file"), 10);

    let found = used(&folder);
    remove_deep(&open(folder.path()));
    assert!(found.complete);
    assert_eq!(found.files, u64::from(DEEP) + 3);
}

/// No path reaches the bottom, so from there upwards.
fn remove_deep(root: &OwnedFd) {
    let folder = |at: &OwnedFd, name| openat(at, name, OFlags::DIRECTORY, Mode::empty());
    let mut at = root.try_clone().unwrap();
    while let Ok(deeper) = folder(&at, c"d") {
        at = deeper;
    }
    for _ in 0..DEEP {
        for file in [c"leaf", c"file"] {
            let _ = unlinkat(&at, file, AtFlags::empty());
        }
        at = folder(&at, c"..").unwrap();
        unlinkat(&at, c"d", AtFlags::REMOVEDIR).unwrap();
    }
}

#[test]
fn a_broad_and_bushy_tree_is_counted_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = 1;
    for branch in 0..4 {
        // Each branch is deeper than the folders that stay open, and has leaves all the way.
        let mut at = folder.path().join(branch.to_string());
        for depth in 0..100 {
            fs::create_dir(&at).unwrap();
            for name in ["x", "y"] {
                fs::create_dir(at.join(name)).unwrap();
                fs::write(at.join(name).join("leaf"), "").unwrap();
            }
            expected += 5;
            at = at.join(format!("{depth}"));
        }
    }
    let found = used(&folder);
    assert!(found.complete);
    assert_eq!(found.files, expected);
}

#[test]
fn a_closed_folder_is_looked_at_and_closed_again() {
    let folder = tempfile::tempdir().unwrap();
    let outer = folder.path().join("outer");
    let inner = outer.join("inner");
    fs::create_dir_all(&inner).unwrap();
    let names_only = folder.path().join("names");
    fs::create_dir(&names_only).unwrap();
    let mut bytes = written(&inner.join("hidden"), 1 << 20);
    bytes += written(&names_only.join("hidden"), 1 << 20);
    let shut = [(&inner, 0o000), (&outer, 0o200), (&names_only, 0o400)];
    for (path, mode) in shut {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let found = used(&folder);
    assert!(found.complete);
    assert_eq!(found.files, 6);
    assert!(found.bytes > bytes);

    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    for (path, before) in shut.iter().rev() {
        assert_eq!(mode(path), *before, "{}", path.display());
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_closed_root_is_looked_at_too() {
    let folder = tempfile::tempdir().unwrap();
    written(&folder.path().join("hidden"), 1 << 20);
    let before = used(&folder);
    let held = [open(folder.path())];
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o000)).unwrap();
    let found = usage(&held, &AMPLE);
    let mode = folder.path().metadata().unwrap().permissions().mode();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(found, before);
    assert_eq!(mode & 0o777, 0o000);
}

#[test]
fn a_look_that_is_cut_short_closes_folders_again() {
    let folder = tempfile::tempdir().unwrap();
    let shut = folder.path().join("shut");
    fs::create_dir(&shut).unwrap();
    for name in 0..100 {
        fs::write(shut.join(name.to_string()), "").unwrap();
    }
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    let budget = WalkBudget {
        entries: 10,
        ..AMPLE
    };
    let found = usage(&[open(folder.path())], &budget);
    assert!(!found.complete && found.files <= 10, "{found:?}");
    let mode = shut.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o000);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn every_budget_is_kept_and_said() {
    let folder = tempfile::tempdir().unwrap();
    for name in 0..1000 {
        fs::write(folder.path().join(name.to_string()), "content").unwrap();
    }
    let all = used(&folder);
    assert!(all.complete);
    let cut = |budget: WalkBudget| usage(&[open(folder.path())], &budget);

    let few = cut(WalkBudget {
        entries: 100,
        ..AMPLE
    });
    assert!(!few.complete && few.files <= 100, "{few:?}");
    let short = cut(WalkBudget {
        time: Duration::ZERO,
        ..AMPLE
    });
    assert!(!short.complete && short.files < all.files, "{short:?}");
    let enough = cut(WalkBudget {
        enough_bytes: all.bytes / 2,
        ..AMPLE
    });
    assert!(!enough.complete && enough.bytes > all.bytes / 2 && enough.bytes < all.bytes);
}

#[test]
fn what_is_mounted_inside_is_somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs tmpfs \"$1/mnt\" && head -c 4M /dev/zero > \"$1/mnt/file\" \
        && mkdir \"$1/bound\" && mount --bind \"$1/other\" \"$1/bound\" \
        && exec \"$2\" --exact disk::the_look --nocapture --include-ignored";
    fs::create_dir(folder.path().join("mnt")).unwrap();
    fs::create_dir(folder.path().join("other")).unwrap();
    written(&folder.path().join("other/file"), 1 << 20);
    let bound = folder.path().join("bound");
    let ran = Command::new("unshare")
        .args(["-rm", "sh", "-ec", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .env(LOOK_AT, folder.path())
        .stderr(Stdio::piped())
        .output();
    let ran = match ran {
        Ok(ran) if ran.status.success() => ran,
        other => {
            eprintln!("SKIPPED: nothing can be mounted here: {other:?}");
            return;
        }
    };
    let out = String::from_utf8(ran.stdout).unwrap();
    let line = out.lines().find_map(|line| line.strip_prefix("found "));
    assert!(bound.is_dir());
    let here = used(&folder);
    // The folder under a mount point is not seen.
    let files = here.files - 2;
    assert!(
        line.is_some_and(|line| line.starts_with(&format!("{files} files"))),
        "{line:?}, here {here:?}"
    );
}

/// Tells this executable which folder to look at.
const LOOK_AT: &str = "PULLWRIGHT_TEST_LOOK_AT";

#[test]
#[ignore = "it looks for another test"]
fn the_look() {
    let Some(folder) = std::env::var_os(LOOK_AT) else {
        return;
    };
    let found = usage(&[open(Path::new(&folder))], &AMPLE);
    println!("found {} files, complete: {}", found.files, found.complete);
}

#[test]
fn a_deleted_file_that_is_open_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let folders = [open(folder.path())];
    let path = folder.path().join("file (deleted)");
    let bytes = written(&path, 3 << 20);
    let (first, second) = (File::open(&path).unwrap(), File::open(&path).unwrap());
    let before = deleted(Path::new("/proc"), &folders, &AMPLE);
    fs::remove_file(&path).unwrap();
    let mine = || deleted(&own_proc(&folder), &folders, &AMPLE);
    let found = mine();
    assert_eq!((found.bytes, found.files), (bytes, 1), "{before:?}");
    drop((first, second));
    assert_eq!(mine().files, 0);
}

#[test]
fn files_of_memory_are_not_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let memory = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::empty()).unwrap();
    File::from(memory.try_clone().unwrap())
        .write_all(&[1; 100_000])
        .unwrap();
    let folders = [open(folder.path())];
    let found = deleted(&own_proc(&folder), &folders, &AMPLE);
    assert_eq!(found.files, 0);
    assert!(found.complete);
}

/// A `/proc` of this process alone: other tests have files open.
fn own_proc(folder: &TempDir) -> std::path::PathBuf {
    let proc = folder.path().join("proc");
    let own = proc.join(std::process::id().to_string());
    if !own.exists() {
        fs::create_dir(&proc).unwrap();
        symlink("/proc/self", own).unwrap();
    }
    proc
}

#[test]
fn a_folder_that_has_gone_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let held = [open(&gone)];
    fs::remove_dir(&gone).unwrap();
    // It can be held, but reading it fails.
    let found = usage(&held, &AMPLE);
    assert!(found.complete && found.files <= 1, "{found:?}");
}

#[test]
fn a_closed_folder_of_another_owner_is_skipped() {
    /// Anybody but root, who may enter everything.
    const SOMEBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("closed", 0o700), ("names", 0o744)] {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("hidden"), "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let ran = chown(folder.path(), Some(SOMEBODY), None).and_then(|()| {
        Command::new(std::env::current_exe()?)
            .args(["--exact", "disk::the_look", "--nocapture"])
            .arg("--include-ignored")
            .env(LOOK_AT, folder.path())
            .uid(SOMEBODY)
            .output()
    });
    let ran = match ran {
        Ok(ran) if ran.status.success() => ran,
        other => {
            eprintln!("SKIPPED: nobody else can look here: {other:?}");
            return;
        }
    };
    let out = String::from_utf8(ran.stdout).unwrap();
    // The folder itself, and the one whose names can be read.
    assert!(out.contains("found 2 files, complete: true"), "{out}");
}

#[test]
fn a_tree_that_changes_all_the_time_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cd \"$1\" && mkdir -p a/b/c x && while :; do \
        mv a/b x/b 2>/dev/null; mkdir -p a/b/c; rm -rf x/b; ln -s / a/l; rm a/l; \
        mkdir m; rmdir m; ln -s / m; rm m; done";
    let mut churn = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..500 {
        let found = used(&folder);
        assert!(found.complete && found.files < 100, "{found:?}");
    }
    churn.kill().unwrap();
    churn.wait().unwrap();
}
