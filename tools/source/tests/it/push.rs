//! Pushing: one commit of our own, with a lease, again and again if need be.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pullwright_core::source::{Base, Push, Pushed, Source, SourceError, Work};
use pullwright_protocol::FailureKind;
use pullwright_source::GitSource;

use crate::http_backend::Behaviour;
use crate::lab::{Lab, bundle, commit, fetch, git, run, take_in, text};

const BRANCH: &str = "pullwright/add-new-1";

async fn work(lab: &Lab, source: &GitSource, base: &Base) -> (PathBuf, Work) {
    let sandbox = lab.sandbox(source, base).await;
    std::fs::write(sandbox.join("new"), "new\n").unwrap();
    commit(&sandbox, "a message of the model");
    std::fs::write(sandbox.join("README.md"), "# more\n").unwrap();
    commit(&sandbox, "another");
    let taken = take_in(source, base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    (sandbox, taken)
}

async fn push(
    source: &GitSource,
    base: &Base,
    work: &Work,
    branch: &str,
) -> Result<Pushed, SourceError> {
    push_with(source, base, work, branch, "Add new\n\nWith a body.\n").await
}

async fn push_with(
    source: &GitSource,
    base: &Base,
    work: &Work,
    branch: &str,
    message: &str,
) -> Result<Pushed, SourceError> {
    source
        .push(Push {
            run: &run(),
            base,
            work,
            moved: None,
            to: None,
            branch,
            grows: base.branch == BRANCH,
            begun_at: &[],
            message,
            credential: None,
        })
        .await
}

/// A change on top of one that was pushed before.
async fn more_work(lab: &Lab, source: &GitSource, branch: &str, line: &str) -> (Base, Work) {
    let url = lab.bare();
    let base = fetch(source, url.to_str().unwrap(), Some(branch), None);
    let base = base.await.unwrap();
    let _ = std::fs::remove_dir_all(lab.path("sandbox"));
    let sandbox = lab.sandbox(source, &base).await;
    std::fs::write(sandbox.join("more"), line).unwrap();
    commit(&sandbox, "more");
    let taken = take_in(source, &base, &bundle(&sandbox, &base.commit)).await;
    (base, taken.unwrap())
}

#[tokio::test]
async fn a_branch_grows_by_one_commit() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (_, first) = work(&lab, &source, &base).await;
    let first = push(&source, &base, &first, BRANCH).await.unwrap();
    let (base, second) = more_work(&lab, &source, BRANCH, "more\n").await;
    assert_eq!(base.commit, first.commit);
    let pushed = push(&source, &base, &second, BRANCH).await.unwrap();
    let parent = text(&lab.bare(), &["rev-parse", &format!("{BRANCH}^")]);
    assert_eq!(parent, first.commit);
    let again = push(&source, &base, &second, BRANCH).await.unwrap();
    assert_eq!(again, pushed, "a retry finds its own commit");
}

#[tokio::test]
async fn a_branch_that_moved_or_went_is_left_alone() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (_, first) = work(&lab, &source, &base).await;
    push(&source, &base, &first, BRANCH).await.unwrap();
    let (base, second) = more_work(&lab, &source, BRANCH, "more\n").await;
    let name = format!("refs/heads/{BRANCH}");
    git(&lab.bare(), &["update-ref", &name, "side"]);
    let moved = push(&source, &base, &second, BRANCH).await.unwrap_err();
    assert_eq!(moved.kind, FailureKind::Push);
    assert!(moved.message.contains("somebody pushed"), "{moved}");
    let side = text(&lab.bare(), &["rev-parse", "side"]);
    assert_eq!(text(&lab.bare(), &["rev-parse", BRANCH]), side);
    git(&lab.bare(), &["update-ref", "-d", &name]);
    let gone = push(&source, &base, &second, BRANCH).await.unwrap_err();
    assert_eq!(gone.kind, FailureKind::Push);
    assert!(gone.message.contains("deleted"), "{gone}");
}

/// Somebody pushes between our question and our push.
#[tokio::test]
async fn a_branch_that_moves_meanwhile_is_left_alone() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (_, first) = work(&lab, &source, &base).await;
    push(&source, &base, &first, BRANCH).await.unwrap();
    let wrapper = lab.git_after(&format!(
        "case \" $* \" in *\" push \"*) git --git-dir={bare} update-ref refs/heads/{BRANCH} side;; esac",
        bare = lab.bare().display()
    ));
    let mut config = lab.config(&[]);
    (config.git, config.allow_local_paths) = (wrapper, true);
    let source = GitSource::new(config).unwrap();
    let (base, second) = more_work(&lab, &source, BRANCH, "more\n").await;
    let error = push(&source, &base, &second, BRANCH).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Push);
    assert!(error.message.contains("somebody pushed"), "{error}");
    let side = text(&lab.bare(), &["rev-parse", "side"]);
    assert_eq!(text(&lab.bare(), &["rev-parse", BRANCH]), side);
}

#[tokio::test]
async fn over_http_one_commit_of_our_own() {
    let lab = Lab::new();
    let server = lab.serve(Behaviour::Open).await;
    let source = lab.source(&[server.host()]);
    let base = fetch(&source, &server.url("owner/repo.git"), None, None)
        .await
        .unwrap();
    let (_, work) = work(&lab, &source, &base).await;
    let pushed = push(&source, &base, &work, BRANCH).await.unwrap();
    let bare = lab.bare();
    assert_eq!(text(&bare, &["rev-parse", BRANCH]), pushed.commit);
    assert_eq!(
        text(&bare, &["rev-parse", &format!("{BRANCH}^{{tree}}")]),
        work.tree
    );
    assert_eq!(
        text(&bare, &["rev-parse", &format!("{BRANCH}^")]),
        base.commit
    );
    let format = "--format=%an <%ae>|%cn <%ce>|%B";
    assert_eq!(
        text(&bare, &["log", "-1", format, BRANCH]).trim_end(),
        "Pullwright <pullwright@localhost>|Pullwright <pullwright@localhost>|Add new\n\nWith a body."
    );
    git(&bare, &["fsck", "--full", "--strict"]);

    let again = push(&source, &base, &work, BRANCH).await.unwrap();
    assert_eq!(again, pushed, "a retry finds its own branch");
}

#[tokio::test]
async fn a_branch_with_other_work_is_left_alone() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (sandbox, first) = work(&lab, &source, &base).await;
    let pushed = push(&source, &base, &first, BRANCH).await.unwrap();
    std::fs::write(sandbox.join("new"), "newer\n").unwrap();
    commit(&sandbox, "more");
    let second = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    let error = push(&source, &base, &second, BRANCH).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Push);
    assert!(error.message.contains("other work"), "{error}");
    assert_eq!(text(&lab.bare(), &["rev-parse", BRANCH]), pushed.commit);
}

/// Somebody pushes between our question and our push: the lease holds.
#[tokio::test]
async fn a_branch_that_appears_meanwhile_is_left_alone() {
    let lab = Lab::new();
    let wrapper = lab.git_after(&format!(
        "case \" $* \" in *\" push \"*) git --git-dir={bare} update-ref refs/heads/{BRANCH} side;; esac",
        bare = lab.bare().display()
    ));
    let mut config = lab.config(&[]);
    (config.git, config.allow_local_paths) = (wrapper, true);
    let source = GitSource::new(config).unwrap();
    let base = fetch(&source, lab.bare().to_str().unwrap(), None, None)
        .await
        .unwrap();
    let (_, work) = work(&lab, &source, &base).await;
    let error = push(&source, &base, &work, BRANCH).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Push);
    assert!(error.message.contains("other work"), "{error}");
    let side = text(&lab.bare(), &["rev-parse", "side"]);
    assert_eq!(text(&lab.bare(), &["rev-parse", BRANCH]), side);
}

#[tokio::test]
async fn a_hook_and_a_missing_right_are_told_apart() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (_, work) = work(&lab, &source, &base).await;
    let hook = lab.bare().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'sign your commits' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = push(&source, &base, &work, BRANCH).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Credential, "{error}");
    for words in [
        "refuses the push to the branch",
        "sign your commits",
        "an account that may bypass it",
    ] {
        assert!(error.message.contains(words), "{error}");
    }

    let server = lab.serve(Behaviour::ReadOnly).await;
    let source = lab.source(&[server.host()]);
    let base = fetch(&source, &server.url("owner/repo.git"), None, None)
        .await
        .unwrap();
    let error = push(&source, &base, &work, BRANCH).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Credential, "{error}");
    assert!(error.message.contains("push to"), "{error}");
}

#[tokio::test]
async fn what_must_not_be_pushed_is_not() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (_, good) = work(&lab, &source, &base).await;
    let before = git(&lab.bare(), &["for-each-ref"]);
    for branch in ["main", "-x", "a..b", "refs/heads/x", "", "HEAD"] {
        push(&source, &base, &good, branch).await.unwrap_err();
    }
    let refused = Work {
        refusals: vec!["`x` is a submodule".into()],
        ..good.clone()
    };
    let error = push(&source, &base, &refused, BRANCH).await.unwrap_err();
    assert!(error.message.contains("is a submodule"), "{error}");
    let empty = take_in(&source, &base, b"").await.unwrap();
    let error = push(&source, &base, &empty, BRANCH).await.unwrap_err();
    assert!(error.message.contains("nothing changed"), "{error}");
    assert_eq!(git(&lab.bare(), &["for-each-ref"]), before);
}

#[tokio::test]
async fn discard_removes_what_a_run_left() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (_, work) = work(&lab, &source, &base).await;
    assert!(work.quarantine.exists());
    source.discard(&run()).await.unwrap();
    assert!(!work.quarantine.exists());
    assert_eq!(
        std::fs::read_dir(lab.data().join("trash")).unwrap().count(),
        0
    );
    source.discard(&run()).await.unwrap();
    let error = source
        .discard(&pullwright_protocol::RunId("../mirrors".into()))
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Internal);
    assert!(base.mirror.exists());
}

#[tokio::test]
async fn the_words_of_a_message_never_lose_the_work() {
    let lab = Lab::new();
    let (source, base) = lab.local().await;
    let (_, work) = work(&lab, &source, &base).await;
    let long = "é".repeat(100_000);
    for (branch, message, kept) in [
        (
            "nul",
            "Add\0 new\u{1b}[31m\r\n\r\nBody\n",
            "Add new[31m\n\nBody",
        ),
        ("long", &long, &"é".repeat(32 << 10)),
    ] {
        let pushed = push_with(&source, &base, &work, branch, message).await;
        pushed.unwrap();
        let said = text(&lab.bare(), &["log", "-1", "--format=%B", branch]);
        assert!(said == kept, "{branch}: {} bytes", said.len());
    }
    let empty = push_with(&source, &base, &work, "empty", "\0 \n").await;
    let error = empty.unwrap_err();
    assert!(error.message.contains("message is empty"), "{error}");
}
