//! What comes in: first runs, later runs, many runs.

use pullwright_core::source::RepositoryFiles;

use super::*;
use crate::lab::token;

/// All commits of `main`.
const ALL: usize = PAST + 2;

#[tokio::test]
async fn a_first_run_has_its_files_and_as_much_history_as_is_wanted() {
    let mut sent = Vec::new();
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        assert_eq!(base.commit, bed.main(), "{way:?}");
        let into = bed.checkout(&base, None, "checkout").await;
        assert_eq!(text(&into, &["write-tree"]), base.tree, "{way:?}");
        assert_eq!(text(&into, &["status", "--porcelain"]), "", "{way:?}");
        let all = match way {
            Way::Shallow => 1,
            _ => ALL,
        };
        assert_eq!(log(&into, "HEAD"), all, "{way:?}");
        assert_eq!(bed.server.packs(), way.packs(), "{way:?}");
        sent.push(bed.server.sent());
        let notices = bed.source.notices(&base).await.unwrap().join("\n");
        let said = match way {
            Way::Full | Way::Unfiltered => "",
            Way::Shallow => "the history before this commit is not fetched",
            Way::Blobless => "what files held in earlier commits is not fetched",
        };
        assert_eq!(notices, said, "{way:?}");
        let noise = bed.source.read(&base, "noise/1", NOISE_BYTES).await;
        assert_eq!(noise.unwrap().unwrap().len(), NOISE_BYTES, "{way:?}");
    }
    let [full, shallow, blobless, unfiltered] = sent[..] else {
        panic!("{sent:?}");
    };
    assert!(shallow * 8 < full, "{sent:?}");
    assert!(blobless * 8 < full, "{sent:?}");
    assert!(unfiltered * 10 > full * 9, "{sent:?}");
}

/// The sandbox's repository knows no other one, and none is asked when something is missing.
#[tokio::test]
async fn a_checkout_asks_nobody_for_what_it_lacks() {
    let bed = Bed::new(Way::Blobless).await;
    let base = bed.base().await;
    let into = bed.checkout(&base, None, "checkout").await;
    let config = std::fs::read_to_string(into.join(".git/config")).unwrap();
    assert!(
        !config.contains("remote") && !config.contains("promisor"),
        "{config}"
    );
    let packs = std::fs::read_dir(into.join(".git/objects/pack")).unwrap();
    let names: Vec<_> = packs.map(|entry| entry.unwrap().file_name()).collect();
    let names = format!("{names:?}");
    assert!(!names.contains("promisor"), "{names}");
    let asked = bed.server.seen().len();
    let earlier = Command::new("git")
        .current_dir(&into)
        .args(["cat-file", "-p", "HEAD~9:noise/0"])
        .output();
    assert!(!earlier.unwrap().status.success());
    assert_eq!(bed.server.seen().len(), asked);
    assert!(text(&into, &["log", "--name-only", "-1", "--format="]).starts_with("noise/"));
}

#[tokio::test]
async fn a_branch_that_moved_is_fetched_as_it_was_at_first() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let first = bed.base().await;
        let (packs, sent) = (bed.server.packs(), bed.server.sent());
        grow(&bed.lab, 1);
        let second = bed.base().await;
        assert_eq!(second.commit, bed.main(), "{way:?}");
        assert_eq!(second.mirror, first.mirror, "{way:?}");
        assert_eq!(bed.server.packs() - packs, way.packs(), "{way:?}");
        let more = bed.server.sent() - sent;
        assert!(more < 3 * NOISE_BYTES, "{way:?}: {more}");
        for (base, name) in [(&first, "first"), (&second, "second")] {
            let into = bed.checkout(base, None, name).await;
            assert_eq!(text(&into, &["write-tree"]), base.tree, "{way:?}");
            let is_cut = log(&into, "HEAD") == 1;
            assert_eq!(is_cut, way == Way::Shallow, "{way:?}");
        }
        let packs = bed.server.packs();
        bed.base().await;
        assert_eq!(bed.server.packs(), packs, "{way:?}: nothing moved");
    }
}

#[tokio::test]
async fn twenty_runs_share_one_fetch_in_each_way() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let runs = (0..20).map(|_| bed.base());
        let bases = futures_util::future::join_all(runs).await;
        assert!(bases.iter().all(|base| *base == bases[0]));
        assert_eq!(bed.server.packs(), way.packs(), "{way:?}");
    }
}

/// Twenty runs that come to their end at once see the same move, and one of them fetches what tells.
#[tokio::test]
async fn twenty_runs_that_catch_up_share_what_they_fetch() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        grow(&bed.lab, 20);
        let since = Some(base.commit.as_str());
        let packs = bed.server.packs();
        let runs = (0..20).map(|_| bed.fetch(Some("main"), None, since));
        for onto in futures_util::future::join_all(runs).await {
            assert_eq!(onto.unwrap().commit, bed.main(), "{way:?}");
        }
        let steps = match way {
            Way::Shallow => 2,
            _ => 0,
        };
        assert_eq!(bed.server.packs() - packs, way.packs() + steps, "{way:?}");
    }
}

#[tokio::test]
async fn a_run_goes_on_from_a_commit_that_the_branch_has_left_behind() {
    for behaviour in [Behaviour::Open, Behaviour::FirstProtocol] {
        for way in [Way::Full, Way::Shallow, Way::Unfiltered] {
            let bed = Bed::with(way, behaviour.clone()).await;
            let earlier = text(&bed.lab.bare(), &["rev-parse", "main~30"]);
            let base = bed.fetch(Some("main"), Some(&earlier), None).await;
            let base = base.unwrap();
            assert_eq!(base.commit, earlier, "{way:?}");
            let into = bed.checkout(&base, None, "checkout").await;
            assert_eq!(text(&into, &["write-tree"]), base.tree, "{way:?}");
            let missing = "1".repeat(40);
            let error = bed.fetch(Some("main"), Some(&missing), None).await;
            let error = error.unwrap_err();
            assert!(error.message.contains("is no longer in branch"), "{error}");
        }
    }
    let bed = Bed::new(Way::Blobless).await;
    let earlier = text(&bed.lab.bare(), &["rev-parse", "main~30"]);
    let base = bed.fetch(Some("main"), Some(&earlier), None).await.unwrap();
    let into = bed.checkout(&base, None, "checkout").await;
    assert_eq!(text(&into, &["write-tree"]), base.tree);
}

#[tokio::test]
async fn contents_come_with_the_credential_of_the_run() {
    for way in WAYS {
        let (user, password) = ("x-access-token".to_owned(), "right-one".to_owned());
        let bed = Bed::with(way, Behaviour::Password { user, password }).await;
        let right = token(&bed.server.origin(), "right-one");
        let wanted = Wanted {
            credential: Some(&right),
            ..Wanted::default()
        };
        let base = fetch(&bed.source, &bed.url(), wanted).await.unwrap();
        let into = bed.checkout(&base, None, "checkout").await;
        assert_eq!(text(&into, &["write-tree"]), base.tree, "{way:?}");
        assert_eq!(bed.server.leaks(), Vec::<String>::new(), "{way:?}");
        let error = fetch(&bed.source, &bed.url(), Wanted::default()).await;
        assert!(error.unwrap_err().message.contains("private"), "{way:?}");
    }
}

/// What a mirror lacks is no damage to it, and what is damaged is fetched anew.
#[tokio::test]
async fn a_mirror_that_lacks_something_is_whole_and_one_that_is_damaged_is_not() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        std::fs::remove_dir_all(base.mirror.join("checkouts")).unwrap();
        let packs = bed.server.packs();
        assert_eq!(bed.base().await, base);
        assert_eq!(bed.server.packs(), packs, "{way:?}");
        std::fs::remove_dir_all(base.mirror.join("checkouts")).unwrap();
        std::fs::remove_dir_all(base.mirror.join("objects")).unwrap();
        std::fs::create_dir_all(base.mirror.join("objects/pack")).unwrap();
        assert_eq!(bed.base().await, base);
        let into = bed.checkout(&base, None, "checkout").await;
        assert_eq!(text(&into, &["write-tree"]), base.tree, "{way:?}");
    }
}

/// Each mode has a mirror of its own, so that runs under way keep theirs; what is known is found in any.
#[tokio::test]
async fn another_mode_begins_a_mirror_of_its_own() {
    let bed = Bed::new(Way::Shallow).await;
    let shallow = bed.base().await;
    let work = bed.work(&shallow, "sandbox").await;
    let full = GitSource::new(config(&bed.lab, &bed.server, CloneMode::Full)).unwrap();
    let known = full
        .known(&shallow.repository, "main", &shallow.commit)
        .await;
    assert_eq!(known.unwrap().unwrap(), shallow);
    let wanted = Wanted {
        commit: Some(&shallow.commit),
        ..Wanted::default()
    };
    let base = fetch(&full, &bed.url(), wanted).await.unwrap();
    assert_ne!(base.mirror, shallow.mirror);
    let run = run();
    let restored = full.restore(&run, &base, Some(&work.tree), &work.patch);
    let restored = restored.await.unwrap();
    assert_eq!(restored.tree, work.tree);
    assert_ne!(
        restored.quarantine, work.quarantine,
        "what is fetched from now on is not seen from the old one"
    );
    let into = bed.lab.path("checkout");
    let made = full.checkout(&base, None, CheckoutFiles::Written, &into);
    made.await.unwrap();
    assert_eq!(log(&into, "HEAD"), ALL);
    let known = full
        .known(&shallow.repository, "main", &shallow.commit)
        .await;
    assert_eq!(known.unwrap().unwrap(), base, "its own comes first");
    let again = bed.base().await;
    assert_eq!(again, shallow, "and the other one is still there");
}

/// fsck looks into the file that git reads of submodules, which comes after the commits.
#[tokio::test]
async fn a_repository_with_submodules_and_one_commit_is_taken_in_each_way() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let seed = bed.lab.path("seed");
        git(&seed, &["checkout", "-q", "--orphan", "single"]);
        let modules = "[submodule \"x\"]\n\tpath = x\n\turl = https://a.example/x\n";
        std::fs::write(seed.join(".gitmodules"), modules).unwrap();
        commit(&seed, "single");
        git(
            &seed,
            &["push", "-q", bed.lab.bare().to_str().unwrap(), "single"],
        );
        let base = bed.fetch(Some("single"), None, None).await.unwrap();
        let into = bed.checkout(&base, None, "checkout").await;
        assert_eq!(text(&into, &["write-tree"]), base.tree, "{way:?}");
        assert!(
            !into.join(".git/shallow").exists(),
            "{way:?}: nothing is cut off"
        );
        let notices = bed.source.notices(&base).await.unwrap();
        assert!(
            notices.iter().all(|notice| !notice.contains("fetched")),
            "{notices:?}"
        );
    }
}
