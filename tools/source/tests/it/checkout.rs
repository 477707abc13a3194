//! Checkouts: exact, alone, and safe to make from any tree.

use std::path::Path;

use pullwright_core::source::{CheckoutFiles, Source};

use crate::lab::{Lab, bundle, commit, git, take_in, text};

#[tokio::test]
async fn a_checkout_is_the_base_and_shares_nothing() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    crate::lab::fetch(&source, lab.bare().to_str().unwrap(), Some("side"), None)
        .await
        .unwrap();
    let folder = lab.path("out/checkout");
    source
        .checkout(&base, None, CheckoutFiles::Written, &folder)
        .await
        .unwrap();
    assert_eq!(text(&folder, &["rev-parse", "HEAD"]), base.commit);
    assert_eq!(text(&folder, &["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(text(&folder, &["status", "--porcelain"]), "");
    assert_eq!(text(&folder, &["write-tree"]), base.tree);
    assert_eq!(text(&folder, &["remote"]), "");
    assert_eq!(text(&folder, &["log", "--format=%s"]), "two\none");
    assert_eq!(
        text(&folder, &["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main"
    );
    git(&folder, &["fsck", "--full", "--strict"]);
    assert!(!folder.join(".git/hooks").exists());
    assert!(!folder.join(".git/objects/info/alternates").exists());
    assert_eq!(
        std::fs::read_link(folder.join("link")).unwrap(),
        Path::new("README.md")
    );
    let objects = text(
        &folder,
        &[
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname)",
        ],
    );
    assert!(
        !objects.contains(&text(&lab.bare(), &["rev-parse", "side"])),
        "another branch"
    );
    let config = std::fs::read_to_string(folder.join(".git/config")).unwrap();
    assert!(!config.contains(lab.data().to_str().unwrap()), "{config}");
    assert!(
        source
            .checkout(&base, None, CheckoutFiles::Written, &folder)
            .await
            .is_err(),
        "it must not exist"
    );
    assert_eq!(
        text(&folder, &["status", "--porcelain"]),
        "",
        "a refusal changes nothing"
    );
    source
        .checkout(&base, None, CheckoutFiles::Written, Path::new("relative"))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn work_is_in_the_working_tree_only() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("README.md"), "# changed\n").unwrap();
    std::fs::create_dir(sandbox.join("new")).unwrap();
    std::fs::write(sandbox.join("new/file"), [0, 159, 146, 150]).unwrap();
    std::fs::remove_file(sandbox.join("src/lib.rs")).unwrap();
    commit(&sandbox, "work");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    let folder = lab.path("clean");
    source
        .checkout(&base, Some(&work), CheckoutFiles::Written, &folder)
        .await
        .unwrap();
    assert_eq!(text(&folder, &["rev-parse", "HEAD"]), base.commit);
    assert_eq!(
        text(&folder, &["status", "--porcelain"]),
        " M README.md\n D src/lib.rs\n?? new/"
    );
    git(&folder, &["fsck", "--full", "--strict"]);
    git(&folder, &["add", "-A"]);
    assert_eq!(text(&folder, &["write-tree"]), work.tree);
    assert!(!folder.join(".git/objects/info/alternates").exists());
}

#[tokio::test]
async fn a_packed_checkout_has_the_objects_and_writes_no_file() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("README.md"), "# changed\n").unwrap();
    commit(&sandbox, "work");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    for (name, work) in [("base", None), ("work", Some(&work))] {
        let folder = lab.path(name);
        let packed = source.checkout(&base, work, CheckoutFiles::Packed, &folder);
        packed.await.unwrap();
        let entries = std::fs::read_dir(&folder).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [".git"]);
        assert_eq!(text(&folder, &["rev-parse", "HEAD"]), base.commit);
        assert_eq!(text(&folder, &["write-tree"]), base.tree);
        let tree = work.map_or(&base.tree, |work| &work.tree);
        // Every object of it is there.
        git(&folder, &["read-tree", "--reset", "-u", tree]);
        git(&folder, &["fsck", "--full", "--strict"]);
    }
}

#[tokio::test]
async fn no_filter_hook_or_link_of_the_repository_runs_or_leads_out() {
    let lab = Lab::new();
    let seed = lab.path("seed");
    std::fs::write(seed.join(".gitattributes"), "* filter=evil diff=evil\n").unwrap();
    std::fs::create_dir(seed.join("outside-link")).unwrap();
    std::fs::write(seed.join("outside-link/file"), "inside\n").unwrap();
    commit(&seed, "attributes");
    git(&seed, &["push", "-q", lab.bare().to_str().unwrap(), "main"]);
    let marker = lab.path("ran");
    let evil = format!("touch {}", marker.display());
    // A configuration that the user who runs the server may have.
    for (key, value) in [("filter.evil.smudge", &evil), ("diff.evil.textconv", &evil)] {
        git(&lab.bare(), &["config", key, value]);
    }
    let (source, base) = lab.local().await;
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("README.md"), "# changed\n").unwrap();
    commit(&sandbox, "work");
    for (key, value) in [("core.fsmonitor", &evil), ("core.pager", &evil)] {
        git(&sandbox, &["config", key, value]);
    }
    let made = bundle(&sandbox, &base.commit);
    std::fs::remove_file(&marker).ok();
    let work = take_in(&source, &base, &made).await.unwrap();
    source
        .checkout(
            &base,
            Some(&work),
            CheckoutFiles::Written,
            &lab.path("clean"),
        )
        .await
        .unwrap();
    assert_eq!(work.changed.len(), 1);
    assert!(!marker.exists());
}

/// Most checkouts are of a commit that was checked out before; only so many are kept.
#[tokio::test]
async fn the_pack_of_a_commit_is_made_once_and_kept_for_a_while() {
    let lab = Lab::new();
    let config = pullwright_source::SourceConfig {
        git: lab.telling_git(),
        allow_local_paths: true,
        ..lab.config(&[])
    };
    let source = pullwright_source::GitSource::new(config).unwrap();
    let url = lab.bare();
    let made = || {
        let calls = lab.calls();
        let packing = calls.lines().filter(|line| line.contains(" pack-objects "));
        packing.count()
    };
    let mut bases = Vec::new();
    for number in 0..3 {
        let base = crate::lab::fetch(&source, url.to_str().unwrap(), None, None);
        let base = base.await.unwrap();
        for twice in 0..2 {
            let into = lab.path(&format!("checkout-{number}-{twice}"));
            let files = CheckoutFiles::Written;
            source.checkout(&base, None, files, &into).await.unwrap();
            assert_eq!(text(&into, &["write-tree"]), base.tree);
            git(&into, &["fsck", "--full", "--strict"]);
        }
        assert_eq!(made(), number + 1);
        bases.push(base);
        std::fs::write(lab.path("seed/next"), number.to_string()).unwrap();
        commit(&lab.path("seed"), "next");
        git(
            &lab.path("seed"),
            &["push", "-q", url.to_str().unwrap(), "main"],
        );
    }
    let kept = bases[0].mirror.join("checkouts");
    // One that was killed in the middle.
    std::fs::create_dir(kept.join("unfinished-1")).unwrap();
    for (base, packed) in [(&bases[2], 3), (&bases[1], 3), (&bases[0], 4)] {
        let into = lab.path(&format!("again-{packed}-{}", base.commit));
        let files = CheckoutFiles::Written;
        source.checkout(base, None, files, &into).await.unwrap();
        git(&into, &["fsck", "--full", "--strict"]);
        assert_eq!(made(), packed, "the last two are kept");
    }
    let left = std::fs::read_dir(&kept).unwrap().flatten();
    let left = left.filter(|entry| entry.path().is_dir());
    assert_eq!(left.count(), 2);
}

#[tokio::test]
async fn a_data_folder_may_have_an_odd_name() {
    let lab = Lab::new();
    let config = pullwright_source::SourceConfig {
        allow_local_paths: true,
        ..pullwright_source::SourceConfig::new(lab.path("a:b \"c\" \\d"))
    };
    let source = pullwright_source::GitSource::new(config).unwrap();
    let url = lab.bare();
    let base = crate::lab::fetch(&source, url.to_str().unwrap(), None, None);
    let base = base.await.unwrap();
    let into = lab.path("checkout");
    let files = CheckoutFiles::Written;
    source.checkout(&base, None, files, &into).await.unwrap();
    assert_eq!(text(&into, &["write-tree"]), base.tree);
}
