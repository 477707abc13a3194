//! Work that is brought onto another commit, and pushed there.

use std::path::Path;

use pullwright_core::source::{Base, Brought, Moved, Push, Pushed, Source, SourceError, Work};
use pullwright_source::GitSource;

use crate::lab::{Lab, bundle, commit, fetch, git, run, take_in, text};

const BRANCH: &str = "pullwright/change-1";

/// Work that changes `README.md` and adds a file.
async fn work(lab: &Lab, source: &GitSource, base: &Base) -> Work {
    let sandbox = lab.sandbox(source, base).await;
    std::fs::write(sandbox.join("README.md"), "# one\nmine\n").unwrap();
    std::fs::write(sandbox.join("new"), "new\n").unwrap();
    commit(&sandbox, "mine");
    take_in(source, base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap()
}

/// Somebody pushes this to `main`. Answers the new commit, fetched.
async fn moved(lab: &Lab, source: &GitSource, file: &str, content: &str) -> Base {
    let seed = lab.path("seed");
    std::fs::write(seed.join(file), content).unwrap();
    commit(&seed, "theirs");
    push_seed(lab);
    newest(lab, source).await
}

fn push_seed(lab: &Lab) {
    let bare = lab.bare();
    git(
        &lab.path("seed"),
        &["push", "-q", "--force", bare.to_str().unwrap(), "main"],
    );
}

async fn newest(lab: &Lab, source: &GitSource) -> Base {
    fetch(source, lab.bare().to_str().unwrap(), Some("main"), None)
        .await
        .unwrap()
}

async fn push(
    source: &GitSource,
    base: &Base,
    work: &Work,
    moved: Moved<'_>,
) -> Result<Pushed, SourceError> {
    source
        .push(Push {
            run: &run(),
            base,
            work,
            moved: Some(moved),
            to: None,
            branch: BRANCH,
            grows: false,
            begun_at: &[],
            message: "Change it\n\nWith a body.",
            credential: None,
        })
        .await
}

fn parents(bare: &Path, commit: &str) -> String {
    text(bare, &["log", "-1", "--format=%P", commit])
}

#[tokio::test]
async fn a_clean_change_is_put_on_the_newest_commit() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = work(&lab, &source, &base).await;
    let onto = moved(&lab, &source, "theirs", "theirs\n").await;
    let brought = source.bring_onto(&base, &work, &onto).await.unwrap();
    assert_eq!(brought.follows, Some(true));
    let there = brought.work.unwrap();
    let paths: Vec<&str> = there.changed.iter().map(|changed| &*changed.path).collect();
    assert_eq!(
        paths,
        ["README.md", "new"],
        "what others changed is no part of it"
    );
    let moved = Moved {
        onto: &onto,
        work: &there,
        merges: false,
    };
    let pushed = push(&source, &base, &work, moved).await.unwrap();
    assert_eq!(parents(&lab.bare(), &pushed.commit), onto.commit);
    let files = text(&lab.bare(), &["ls-tree", "-r", "--name-only", BRANCH]);
    assert!(files.contains("new") && files.contains("theirs"), "{files}");
    let again = push(&source, &base, &work, moved).await.unwrap();
    assert_eq!(again, pushed, "a retry finds its own commit");
}

#[tokio::test]
async fn the_newest_commit_is_merged_where_that_is_wanted() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = work(&lab, &source, &base).await;
    let onto = moved(&lab, &source, "theirs", "theirs\n").await;
    let there = source
        .bring_onto(&base, &work, &onto)
        .await
        .unwrap()
        .work
        .unwrap();
    let moved = Moved {
        onto: &onto,
        work: &there,
        merges: true,
    };
    let pushed = push(&source, &base, &work, moved).await.unwrap();
    let bare = lab.bare();
    let own = text(&bare, &["rev-parse", &format!("{}^1", pushed.commit)]);
    assert_eq!(
        parents(&bare, &pushed.commit),
        format!("{own} {}", onto.commit)
    );
    assert_eq!(parents(&bare, &own), base.commit);
    assert_eq!(
        text(&bare, &["rev-parse", &format!("{own}^{{tree}}")]),
        work.tree
    );
    assert_eq!(
        text(&bare, &["rev-parse", &format!("{BRANCH}^{{tree}}")]),
        there.tree
    );
    assert_eq!(
        text(&bare, &["log", "-1", "--format=%s", BRANCH]),
        "Merge branch 'main'"
    );
    let again = push(&source, &base, &work, moved).await.unwrap();
    assert_eq!(again, pushed, "a retry finds its own commits");
}

#[tokio::test]
async fn both_sides_of_one_file_are_merged_line_by_line() {
    let lab = Lab::new();
    let (source, _) = lab.local().await;
    let lines = "1\n2\n3\n4\n5\n6\n7\n8\n";
    let base = moved(&lab, &source, "lines", lines).await;
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("lines"), lines.replace('1', "one")).unwrap();
    commit(&sandbox, "mine");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    let onto = moved(&lab, &source, "lines", &lines.replace('8', "eight")).await;
    let there = source
        .bring_onto(&base, &work, &onto)
        .await
        .unwrap()
        .work
        .unwrap();
    let content = text(
        &there.quarantine,
        &["show", &format!("{}:lines", there.tree)],
    );
    assert_eq!(content, "one\n2\n3\n4\n5\n6\n7\neight");
}

#[tokio::test]
async fn what_conflicts_is_named_and_nothing_is_changed() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = work(&lab, &source, &base).await;
    let onto = moved(&lab, &source, "README.md", "# one\ntheirs\n").await;
    let brought = source.bring_onto(&base, &work, &onto).await.unwrap();
    let expected = Brought {
        follows: Some(true),
        work: Err(vec!["README.md".to_owned()]),
    };
    assert_eq!(brought, expected);
}

/// No merge driver runs, whatever the repository says of one.
#[tokio::test]
async fn attributes_start_no_program() {
    let lab = Lab::new();
    let (source, _) = lab.local().await;
    let base = moved(&lab, &source, ".gitattributes", "* merge=evil\n").await;
    let work = work(&lab, &source, &base).await;
    let evil = lab.path("evil");
    let driver = format!("touch {}", evil.display());
    git(&work.quarantine, &["config", "merge.evil.driver", &driver]);
    let onto = moved(&lab, &source, "README.md", "# one\ntheirs\n").await;
    let brought = source.bring_onto(&base, &work, &onto).await.unwrap();
    assert_eq!(brought.work, Err(vec!["README.md".to_owned()]));
    assert!(!evil.exists());
}

#[tokio::test]
async fn files_too_large_to_merge_are_in_the_way() {
    let lab = Lab::new();
    let (source, _) = lab.local().await;
    let large = "line\n".repeat(1 << 20);
    let base = moved(&lab, &source, "large", &large).await;
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::write(sandbox.join("large"), format!("first\n{large}")).unwrap();
    commit(&sandbox, "mine");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    let onto = moved(&lab, &source, "large", &format!("{large}last\n")).await;
    let brought = source.bring_onto(&base, &work, &onto).await.unwrap();
    assert_eq!(brought.work, Err(vec!["large".to_owned()]));
    // What only one side changed is taken, however large.
    let other = moved(&lab, &source, "theirs", "theirs\n").await;
    git(
        &lab.path("seed"),
        &["checkout", "-q", &base.commit, "--", "large"],
    );
    let onto = moved(&lab, &source, "theirs", "more\n").await;
    assert_ne!(onto.commit, other.commit);
    assert!(
        source
            .bring_onto(&base, &work, &onto)
            .await
            .unwrap()
            .work
            .is_ok()
    );
}

#[tokio::test]
async fn a_rewritten_branch_is_told_and_its_old_commits_stay_away() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = work(&lab, &source, &base).await;
    let seed = lab.path("seed");
    git(&seed, &["reset", "-q", "--hard", "HEAD~1"]);
    let onto = moved(&lab, &source, "theirs", "theirs\n").await;
    let brought = source.bring_onto(&base, &work, &onto).await.unwrap();
    assert_eq!(brought.follows, Some(false));
    let there = brought.work.unwrap();
    let moved = Moved {
        onto: &onto,
        work: &there,
        merges: false,
    };
    push(&source, &base, &work, moved).await.unwrap();
    let files = text(&lab.bare(), &["ls-tree", "-r", "--name-only", BRANCH]);
    assert_eq!(files, "README.md\nnew\ntheirs");
}

#[tokio::test]
async fn what_the_branch_has_already_is_nothing_there() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = work(&lab, &source, &base).await;
    std::fs::write(lab.path("seed").join("README.md"), "# one\nmine\n").unwrap();
    let onto = moved(&lab, &source, "new", "new\n").await;
    let there = source
        .bring_onto(&base, &work, &onto)
        .await
        .unwrap()
        .work
        .unwrap();
    assert!(there.is_empty());
    let moved = Moved {
        onto: &onto,
        work: &there,
        merges: false,
    };
    let error = push(&source, &base, &work, moved).await.unwrap_err();
    assert!(error.message.contains("nothing changed"), "{error}");
}

/// The policy holds for the change as it is there.
#[tokio::test]
async fn the_policy_looks_again() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::create_dir_all(sandbox.join(".github/workflows")).unwrap();
    std::fs::write(sandbox.join(".github/workflows/x.yml"), "on: push\n").unwrap();
    commit(&sandbox, "mine");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    let onto = moved(&lab, &source, "theirs", "theirs\n").await;
    let there = source
        .bring_onto(&base, &work, &onto)
        .await
        .unwrap()
        .work
        .unwrap();
    assert!(!there.refusals.is_empty());
    let moved = Moved {
        onto: &onto,
        work: &there,
        merges: false,
    };
    assert!(push(&source, &base, &work, moved).await.is_err());
}

#[tokio::test]
async fn a_change_is_pushed_to_another_repository() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let work = work(&lab, &source, &base).await;
    let fork = lab.path("remote/robot/repo.git");
    std::fs::create_dir_all(fork.parent().unwrap()).unwrap();
    git(
        &lab.path(""),
        &["init", "-q", "--bare", fork.to_str().unwrap()],
    );
    let to = source.accept(fork.to_str().unwrap()).unwrap();
    let push = Push {
        run: &run(),
        base: &base,
        work: &work,
        moved: None,
        to: Some(&to),
        branch: BRANCH,
        grows: false,
        begun_at: &[],
        message: "Change it",
        credential: None,
    };
    let pushed = source.push(push).await.unwrap();
    assert_eq!(parents(&fork, &pushed.commit), base.commit);
    assert_eq!(source.push(push).await.unwrap(), pushed);
    let heads = text(
        &lab.bare(),
        &["for-each-ref", "--format=%(refname:short)", "refs/heads"],
    );
    assert_eq!(heads, "main\nside");
}
