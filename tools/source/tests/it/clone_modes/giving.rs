//! What goes out: changes on moved bases, on branches that grow, to forks, after a restart.

use pullwright_core::source::Tip;

use super::*;

/// Somebody moves `main` by more than the first step fetches.
const MOVED: usize = 20;

async fn onto(bed: &Bed, base: &Base) -> Base {
    let since = Some(base.commit.as_str());
    bed.fetch(Some("main"), None, since).await.unwrap()
}

#[tokio::test]
async fn a_change_catches_up_with_a_branch_that_moved() {
    for way in WAYS {
        for merges in [false, true] {
            let bed = Bed::new(way).await;
            let base = bed.base().await;
            let work = bed.work(&base, "sandbox").await;
            grow(&bed.lab, MOVED);
            let onto = onto(&bed, &base).await;
            let brought = bed.source.bring_onto(&base, &work, &onto).await.unwrap();
            assert_eq!(brought.follows, Some(true), "{way:?}");
            let there = brought.work.unwrap();
            let paths: Vec<&str> = there.changed.iter().map(|one| &*one.path).collect();
            assert_eq!(paths, ["README.md", "new-sandbox"], "{way:?}");
            bed.checkout(&onto, Some(&there), "checks").await;
            let moved = Some(Moved {
                onto: &onto,
                work: &there,
                merges,
            });
            let run = run();
            let push = Push {
                moved,
                ..plain(&base, &work, &run)
            };
            let pushed = bed.push(push).await.unwrap();
            let bare = bed.lab.bare();
            let own = match merges {
                true => format!("{}^1", pushed.commit),
                false => pushed.commit.clone(),
            };
            let stands_on = match merges {
                true => &base.commit,
                false => &onto.commit,
            };
            assert_eq!(text(&bare, &["rev-parse", &format!("{own}^")]), *stands_on);
            let range = format!("main..{}", pushed.commit);
            assert_eq!(log(&bare, &range), 1 + usize::from(merges), "{way:?}");
            git(
                &bare,
                &["fsck", "--full", "--strict", "--connectivity-only"],
            );
            let again = bed.push(push).await.unwrap();
            assert_eq!(again, pushed, "{way:?}: a retry finds its own commit");
        }
    }
}

#[tokio::test]
async fn a_branch_that_was_rewritten_is_told_from_one_that_moved() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        let work = bed.work(&base, "sandbox").await;
        rewrite(&bed.lab);
        grow(&bed.lab, 3);
        let onto = onto(&bed, &base).await;
        let brought = bed.source.bring_onto(&base, &work, &onto).await.unwrap();
        assert_eq!(brought.follows, Some(false), "{way:?}");
        assert_eq!(brought.work.unwrap().changed.len(), 2, "{way:?}");
    }
}

/// No more is fetched than tells.
#[tokio::test]
async fn a_short_way_is_not_made_a_long_one() {
    let bed = Bed::new(Way::Shallow).await;
    let base = bed.base().await;
    grow(&bed.lab, 5);
    let sent = bed.server.sent();
    let onto = onto(&bed, &base).await;
    let mirror = &onto.mirror;
    assert!(
        mirror.join("shallow").exists(),
        "it is not the whole history"
    );
    let more = bed.server.sent() - sent;
    assert!(more < (PAST / 2) * NOISE_BYTES, "{more}");
    let without = bed.work(&base, "sandbox").await;
    let brought = {
        grow(&bed.lab, 5);
        let newest = bed.fetch(Some("main"), None, None).await.unwrap();
        bed.source.bring_onto(&base, &without, &newest).await
    };
    let brought = brought.unwrap();
    assert_eq!(brought.follows, None, "nobody asked for what tells");
    assert_eq!(brought.work.unwrap().changed.len(), 2);
}

/// Another machine has neither commit, and makes again what the first one was about to push, and did.
#[tokio::test]
async fn a_change_that_was_brought_onto_a_commit_is_brought_there_again_elsewhere() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        let work = bed.work(&base, "sandbox").await;
        grow(&bed.lab, MOVED);
        let onto = onto(&bed, &base).await;
        let brought = bed.source.bring_onto(&base, &work, &onto).await.unwrap();
        let there = brought.work.unwrap();
        let run = run();
        let push = Push {
            moved: Some(Moved {
                onto: &onto,
                work: &there,
                merges: false,
            }),
            ..plain(&base, &work, &run)
        };
        let pushed = bed.push(push).await.unwrap();
        grow(&bed.lab, MOVED);

        let elsewhere = elsewhere(&bed, way);
        let base = at(&elsewhere, &bed, &base.commit).await;
        let work = elsewhere.restore(&run, &base, Some(&work.tree), &work.patch);
        let work = work.await.unwrap();
        let onto = at(&elsewhere, &bed, &onto.commit).await;
        let brought = elsewhere.bring_onto(&base, &work, &onto).await.unwrap();
        let follows = (way != Way::Shallow).then_some(true);
        assert_eq!(brought.follows, follows, "{way:?}");
        let again = brought.work.unwrap();
        assert_eq!(again.tree, there.tree, "{way:?}");
        let push = Push {
            moved: Some(Moved {
                onto: &onto,
                work: &again,
                merges: false,
            }),
            ..plain(&base, &work, &run)
        };
        let found = elsewhere.push(push).await.unwrap();
        assert_eq!(found, pushed, "{way:?}: it is there already");
    }
}

/// The source of another machine.
fn elsewhere(bed: &Bed, way: Way) -> GitSource {
    let config = SourceConfig {
        data_dir: bed.lab.path("other-data"),
        ..config(&bed.lab, &bed.server, way.mode())
    };
    GitSource::new(config).unwrap()
}

async fn at(source: &GitSource, bed: &Bed, commit: &str) -> Base {
    let wanted = Wanted {
        branch: Some("main"),
        commit: Some(commit),
        ..Wanted::default()
    };
    fetch(source, &bed.url(), wanted).await.unwrap()
}

#[tokio::test]
async fn a_branch_grows_and_is_found_again() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        let run = run();
        let work = bed.work(&base, "first").await;
        let first = bed.push(plain(&base, &work, &run)).await.unwrap();
        let base = bed.fetch(Some(BRANCH), None, None).await.unwrap();
        assert_eq!(base.commit, first.commit, "{way:?}");
        let sandbox = bed.checkout(&base, None, "second").await;
        std::fs::write(sandbox.join("more"), "more\n").unwrap();
        commit(&sandbox, "more");
        let bundle = bundle(&sandbox, &base.commit);
        let work = take_in(&bed.source, &base, &bundle).await.unwrap();
        let push = Push {
            grows: true,
            ..plain(&base, &work, &run)
        };
        let second = bed.push(push).await.unwrap();
        let bare = bed.lab.bare();
        assert_eq!(
            text(&bare, &["rev-parse", &format!("{BRANCH}^")]),
            first.commit
        );
        assert_eq!(bed.push(push).await.unwrap(), second, "{way:?}");
        git(
            &bare,
            &["update-ref", &format!("refs/heads/{BRANCH}"), "side"],
        );
        let error = bed.push(push).await.unwrap_err();
        assert!(
            error.message.contains("somebody pushed"),
            "{way:?}: {error}"
        );
    }
}

#[tokio::test]
async fn work_is_found_again_after_a_restart_and_elsewhere() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        let work = bed.work(&base, "sandbox").await;
        grow(&bed.lab, 2);
        let run = run();
        let here = bed.source.restore(&run, &base, Some(&work.tree), b"");
        assert_eq!(here.await.unwrap(), work, "{way:?}");
        let elsewhere = elsewhere(&bed, way);
        let there = at(&elsewhere, &bed, &base.commit).await;
        let again = elsewhere.restore(&run, &there, Some(&work.tree), &work.patch);
        let again = again.await.unwrap();
        assert_eq!(again.tree, work.tree, "{way:?}");
        assert_eq!(again.patch, work.patch, "{way:?}");
        let pushed = elsewhere.push(plain(&there, &again, &run)).await.unwrap();
        let bare = bed.lab.bare();
        assert_eq!(
            text(&bare, &["rev-parse", BRANCH]),
            pushed.commit,
            "{way:?}"
        );
    }
}

/// The code host makes the commit: the branch begins where the change is put, and what comes of it is found there.
#[tokio::test]
async fn a_branch_for_the_host_begins_on_a_base_that_moved() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        let work = bed.work(&base, "sandbox").await;
        grow(&bed.lab, MOVED);
        let onto = onto(&bed, &base).await;
        let brought = bed.source.bring_onto(&base, &work, &onto).await.unwrap();
        let there = brought.work.unwrap();
        let run = run();
        let push = Push {
            moved: Some(Moved {
                onto: &onto,
                work: &there,
                merges: false,
            }),
            begun_at: std::slice::from_ref(&onto.commit),
            ..plain(&base, &work, &run)
        };
        let begun = bed.source.begin(push).await.unwrap();
        assert_eq!(begun, Tip::At(onto.commit.clone()), "{way:?}");
        let bare = bed.lab.bare();
        let tip = || text(&bare, &["rev-parse", BRANCH]);
        assert_eq!(tip(), onto.commit, "{way:?}");
        bed.source.take_back(push).await.unwrap();
        assert_eq!(bed.source.look(push).await.unwrap(), Tip::Absent, "{way:?}");
        bed.source.begin(push).await.unwrap();
        let pushed = bed.push(push).await.unwrap();
        assert_eq!(tip(), pushed.commit, "{way:?}");
        let sent = bed.server.sent();
        let found = bed.source.look(push).await.unwrap();
        assert_eq!(found, Tip::Ours(pushed), "{way:?}");
        let more = bed.server.sent() - sent;
        let has_files = more > NOISE_BYTES;
        assert!(!has_files || way == Way::Unfiltered, "{way:?}: {more}");
    }
}

/// A base that the branches of the repository do not hold any more, or that a fork does not hold yet.
#[tokio::test]
async fn what_a_repository_lacks_below_the_change_is_sent_along() {
    for way in WAYS {
        for is_fork in [false, true] {
            let bed = Bed::new(way).await;
            let fork = bed.lab.path("remote/fork/repo.git");
            let bare = bed.lab.bare();
            git(
                &bed.lab.path("remote"),
                &["clone", "-q", "--bare", "owner/repo.git", "fork/repo.git"],
            );
            grow(&bed.lab, 5);
            let base = bed.base().await;
            let work = bed.work(&base, "sandbox").await;
            let to = bed.source.accept(&bed.server.url("fork/repo.git")).unwrap();
            if !is_fork {
                rewrite(&bed.lab);
            }
            let run = run();
            let push = Push {
                to: is_fork.then_some(&to),
                ..plain(&base, &work, &run)
            };
            let pushed = bed.push(push).await.unwrap();
            let there = if is_fork { &fork } else { &bare };
            assert_eq!(
                text(there, &["rev-parse", BRANCH]),
                pushed.commit,
                "{way:?}"
            );
            assert_eq!(log(there, BRANCH), PAST + 2 + 5 + 1, "{way:?}");
            git(there, &["fsck", "--full", "--strict"]);
            assert!(!there.join("shallow").exists(), "{way:?}");
            assert_eq!(bed.push(push).await.unwrap(), pushed, "{way:?}");
        }
    }
}

/// Somebody moves the branch while the run is at work, and the change stays where it is: no more is sent than the
/// commit that it stands on.
#[tokio::test]
async fn a_change_is_pushed_on_the_commit_that_it_was_made_on() {
    for way in WAYS {
        let bed = Bed::new(way).await;
        let base = bed.base().await;
        let work = bed.work(&base, "sandbox").await;
        grow(&bed.lab, 3);
        let run = run();
        let pushed = bed.push(plain(&base, &work, &run)).await.unwrap();
        let bare = bed.lab.bare();
        let parent = text(&bare, &["rev-parse", &format!("{}^", pushed.commit)]);
        assert_eq!(parent, base.commit, "{way:?}");
        git(&bare, &["fsck", "--full", "--strict"]);
    }
}
