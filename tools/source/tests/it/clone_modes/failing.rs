//! What goes wrong on the way.

use pullwright_protocol::FailureKind;

use super::*;
use crate::lab::bundle_tree;

/// A server that was killed between the commits and the contents.
#[tokio::test]
async fn a_clone_that_broke_off_before_its_contents_is_completed() {
    let bed = Bed::new(Way::Blobless).await;
    let error = break_off(&bed).await;
    assert!(error.passes, "{error}");
    assert_eq!(error.kind, FailureKind::Clone, "{error}");
    let packs = bed.server.packs();
    assert_eq!(packs, 1);
    let commit = bed.main();
    let known = bed.fetch(Some("main"), Some(&commit), None).await.unwrap();
    assert_eq!(
        bed.server.packs(),
        packs + 1,
        "only the contents are fetched"
    );
    let into = bed.checkout(&known, None, "checkout").await;
    assert_eq!(text(&into, &["write-tree"]), known.tree);
}

/// Fetches as far as the contents.
async fn break_off(bed: &Bed) -> SourceError {
    let breaks = bed
        .lab
        .git_after("case \" $* \" in *\" --stdin \"*) echo 'early EOF' >&2; exit 128;; esac");
    let broken = GitSource::new(SourceConfig {
        git: breaks,
        ..config(&bed.lab, &bed.server, CloneMode::Blobless)
    });
    let fetched = fetch(&broken.unwrap(), &bed.url(), Wanted::default()).await;
    fetched.unwrap_err()
}

/// A mirror with the commit alone is not taken for one that has its files as well.
#[tokio::test]
async fn a_commit_is_known_where_its_files_are() {
    let bed = Bed::new(Way::Blobless).await;
    break_off(&bed).await;
    let full = GitSource::new(config(&bed.lab, &bed.server, CloneMode::Full)).unwrap();
    let wanted = Wanted {
        branch: Some("main"),
        ..Wanted::default()
    };
    let base = fetch(&full, &bed.url(), wanted).await.unwrap();
    let known = || bed.source.known(&base.repository, "main", &base.commit);
    assert_eq!(known().await.unwrap().unwrap(), base);
    let own = bed.base().await;
    assert_ne!(own.mirror, base.mirror);
    assert_eq!(known().await.unwrap().unwrap(), own, "it is whole now");
}

/// One that filters and gives out nothing but its branches cannot be cloned so.
#[tokio::test]
async fn a_server_that_gives_out_no_contents_is_told() {
    let bed = Bed::with(Way::Blobless, Behaviour::FirstProtocol).await;
    let error = bed.fetch(None, None, None).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Clone, "{error}");
    assert!(error.message.contains("[repositories] clone"), "{error}");
    assert!(!error.passes, "{error}");
}

/// What fsck says of a file by its name and its content holds also where the content comes later.
#[tokio::test]
async fn a_file_that_git_forbids_for_its_content_is_not_fetched() {
    let modules = "[submodule \"a\"]\n\tpath = a\n\turl = -u./canary\n";
    let attributes = format!("* {}\n", "a".repeat(3000));
    let files = [
        (".", ".gitmodules", modules, "gitmodulesUrl"),
        ("a/b", ".gitmodules", modules, "gitmodulesUrl"),
        (
            "a/b",
            ".gitattributes",
            attributes.as_str(),
            "gitattributesLineLength",
        ),
    ];
    let table = WAYS
        .into_iter()
        .flat_map(|way| files.map(|file| (way, file)));
    for (way, (folder, name, content, defect)) in table {
        let bed = Bed::new(way).await;
        let seed = bed.lab.path("seed");
        std::fs::create_dir_all(seed.join(folder)).unwrap();
        std::fs::write(seed.join(folder).join(name), content).unwrap();
        commit(&seed, "forbidden");
        let bare = bed.lab.bare();
        git(&seed, &["push", "-q", bare.to_str().unwrap(), "main:evil"]);
        bed.base().await;
        let error = bed.fetch(Some("evil"), None, None).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Clone, "{way:?}: {error}");
        assert!(error.message.contains(defect), "{way:?}: {error}");
    }
}

/// A git from before fsck judged the length of paths, which dies of a name that it does not know.
#[tokio::test]
async fn an_older_git_takes_a_file_of_submodules() {
    let bed = Bed::new(Way::Blobless).await;
    let seed = bed.lab.path("seed");
    let modules = "[submodule \"x\"]\n\tpath = x\n\turl = https://a.example/x\n";
    std::fs::write(seed.join(".gitmodules"), modules).unwrap();
    commit(&seed, "submodule");
    let bare = bed.lab.bare();
    git(&seed, &["push", "-q", bare.to_str().unwrap(), "main:older"]);
    let older = bed.lab.git_after(
        "case \" $* \" in *\" --strict=\"*largePathname*) echo 'fatal: Unhandled message id' >&2; exit 128;; esac",
    );
    let older = GitSource::new(SourceConfig {
        git: older,
        ..config(&bed.lab, &bed.server, CloneMode::Blobless)
    });
    let wanted = Wanted {
        branch: Some("older"),
        ..Wanted::default()
    };
    let base = fetch(&older.unwrap(), &bed.url(), wanted).await;
    assert_eq!(base.unwrap().branch, "older");
}

/// A sandbox that names a folder of an earlier commit and leaves out what is in it.
#[tokio::test]
async fn work_that_leaves_out_what_is_not_here_is_refused() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        let bare = bed.lab.bare();
        let earlier = text(&bare, &["rev-parse", "main~9^{tree}"]);
        let full = bundle_tree(&bare, &base.commit, &earlier);
        // With its contents it is work as any other.
        let taken = take_in(&bed.source, &base, &full).await;
        assert_eq!(taken.unwrap().tree, earlier, "{way:?}");
        let lying = without_objects(&bare, &base.commit, &earlier);
        let taken = take_in(&bed.source, &base, &lying).await;
        match way {
            Way::Full | Way::Unfiltered => drop(taken.unwrap()),
            Way::Shallow | Way::Blobless => {
                let error = taken.unwrap_err();
                assert_eq!(error.kind, FailureKind::Export, "{way:?}: {error}");
            }
        }
    }
}

/// A bundle of a single commit with this tree, and of nothing that is in it.
fn without_objects(bare: &Path, base: &str, tree: &str) -> Vec<u8> {
    let made = text(bare, &["commit-tree", tree, "-p", base, "-m", "work"]);
    let header = format!("# v2 git bundle\n-{base} base\n{made} refs/heads/work\n\n");
    let list = format!("{made}\n");
    let pack = crate::lab::git_with(bare, &["pack-objects", "--stdout", "-q"], list.as_bytes());
    [header.into_bytes(), pack].concat()
}
