//! Commits that a code host makes: what they can be made of, the branch they are put on, and what came of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pullwright_core::source::{Base, HostedChange, Push, Pushed, Source, Tip, Unfit, Work};
use pullwright_protocol::RunId;
use pullwright_source::GitSource;

use crate::lab::{Lab, bundle, bundle_tree, commit, git, git_with, run, take_in, text};

const BRANCH: &str = "pullwright/add-new-1";

/// A push, and all that it borrows.
struct Made {
    lab: Lab,
    source: GitSource,
    base: Base,
    work: Work,
    run: RunId,
}

impl Made {
    /// Work that a shell makes in a sandbox.
    async fn by(script: &str) -> Self {
        let lab = Lab::new();
        let (seed, bare) = (lab.path("seed"), lab.bare());
        git(&seed, &["config", "core.fileMode", "false"]);
        git(&seed, &["update-index", "--chmod=+x", "run.sh"]);
        git(&seed, &["commit", "-q", "-m", "three"]);
        git(&seed, &["push", "-q", bare.to_str().unwrap(), "main"]);
        let (source, base) = lab.local().await;
        let sandbox = lab.sandbox(&source, &base).await;
        let status = std::process::Command::new("sh")
            .args(["-ec", script])
            .current_dir(&sandbox)
            .status();
        assert!(status.unwrap().success());
        commit(&sandbox, "work");
        let bundle = bundle(&sandbox, &base.commit);
        let work = take_in(&source, &base, &bundle).await.unwrap();
        Self {
            lab,
            source,
            base,
            work,
            run: run(),
        }
    }

    fn push(&self, is_begun: bool) -> Push<'_> {
        Push {
            run: &self.run,
            base: &self.base,
            work: &self.work,
            moved: None,
            to: None,
            branch: BRANCH,
            grows: false,
            begun_at: match is_begun {
                true => std::slice::from_ref(&self.base.commit),
                false => &[],
            },
            message: "Add new\n\nWith a body.\n\nCo-authored-by: Ann <ann@example.com>\n",
            credential: None,
        }
    }

    async fn as_files(&self) -> Result<HostedChange, Unfit> {
        self.source.as_files(self.push(false)).await.unwrap()
    }

    fn tip(&self) -> String {
        text(
            &self.lab.bare(),
            &[
                "for-each-ref",
                "--format=%(objectname)",
                &format!("refs/heads/{BRANCH}"),
            ],
        )
    }

    /// A commit on the branch, as a host makes it.
    fn host_commits(&self, tree: &str) -> String {
        let (bare, quarantine) = (self.lab.bare(), &self.work.quarantine);
        let commit = [
            "commit-tree",
            tree,
            "-p",
            &self.base.commit,
            "-m",
            "Add new",
        ];
        let commit = text(quarantine, &commit);
        let to = format!("{commit}:refs/heads/{BRANCH}");
        let push = ["push", "-q", "--force", bare.to_str().unwrap(), &to];
        git(quarantine, &push);
        commit
    }
}

#[tokio::test]
async fn a_change_of_regular_files_is_one() {
    let made = Made::by(
        "printf 'new\\n' > new; mkdir -p a/b; printf '\\0\\377' > a/b/c; : > empty; \
         git rm -q README.md src/lib.rs",
    )
    .await;
    let change = made.as_files().await.unwrap();
    assert_eq!(change.parent, made.base.commit);
    assert_eq!(change.title, "Add new");
    assert_eq!(
        change.body,
        "With a body.\n\nCo-authored-by: Ann <ann@example.com>"
    );
    let added = change.additions.iter();
    let added: Vec<_> = added
        .map(|file| (file.path.as_str(), STANDARD.decode(&file.contents).unwrap()))
        .collect();
    let expected: [(&str, &[u8]); 3] = [("a/b/c", &[0, 255]), ("empty", b""), ("new", b"new\n")];
    assert_eq!(added, expected.map(|(path, bytes)| (path, bytes.to_vec())));
    assert_eq!(change.deletions, ["README.md", "src/lib.rs"]);
}

#[tokio::test]
async fn what_a_host_does_not_write_is_named() {
    let table = [
        ("echo x > x; chmod +x x", Unfit::Executable("x".to_owned())),
        (
            "echo more >> run.sh",
            Unfit::Executable("run.sh".to_owned()),
        ),
        ("chmod -x run.sh", Unfit::Executable("run.sh".to_owned())),
        ("ln -s README.md other", Unfit::Symlink("other".to_owned())),
        ("rm link; echo x > link", Unfit::Symlink("link".to_owned())),
        (
            "git rm -q src/lib.rs; echo file > src",
            Unfit::Swapped("src/lib.rs".to_owned()),
        ),
        (
            "rm README.md; mkdir README.md; echo x > README.md/x",
            Unfit::Swapped("README.md/x".to_owned()),
        ),
        (
            "mkdir many; for n in $(seq 1001); do echo $n > many/$n; done",
            Unfit::Files {
                files: 1001,
                most: 1000,
            },
        ),
        (
            "for n in $(seq 11); do head -c 1000000 /dev/zero > big$n; done",
            Unfit::Size { most_mib: 10 },
        ),
    ];
    for (script, expected) in table {
        let made = Made::by(script).await;
        assert_eq!(made.as_files().await, Err(expected), "{script}");
    }
    // What is gone is gone, whatever it was.
    let made = Made::by("rm link run.sh").await;
    assert_eq!(made.as_files().await.unwrap().deletions, ["link", "run.sh"]);
}

#[tokio::test]
async fn a_path_that_is_no_text_is_named() {
    let mut made = Made::by("echo new > new").await;
    let sandbox = made.lab.path("sandbox");
    let blob = text(&sandbox, &["hash-object", "-w", "new"]);
    let entry = [format!("100644 blob {blob}\t").as_bytes(), b"caf\xe9\0"].concat();
    let tree = git_with(&sandbox, &["mktree", "-z"], &entry);
    let tree = String::from_utf8(tree).unwrap();
    let bundle = bundle_tree(&sandbox, &made.base.commit, tree.trim());
    made.work = take_in(&made.source, &made.base, &bundle).await.unwrap();
    let unfit = made.as_files().await.unwrap_err();
    assert!(matches!(unfit, Unfit::Path(_)), "{unfit}");
}

#[tokio::test]
async fn a_merge_is_named() {
    let made = Made::by("echo new > new").await;
    let moved = pullwright_core::source::Moved {
        onto: &made.base,
        work: &made.work,
        merges: true,
    };
    let push = Push {
        moved: Some(moved),
        ..made.push(false)
    };
    let unfit = made.source.as_files(push).await.unwrap();
    assert_eq!(unfit, Err(Unfit::Merge));
}

#[tokio::test]
async fn the_branch_is_made_at_the_parent_and_taken_back() {
    let made = Made::by("echo new > new").await;
    let source = &made.source;
    assert_eq!(source.look(made.push(false)).await.unwrap(), Tip::Absent);
    let at_parent = Tip::At(made.base.commit.clone());
    assert_eq!(source.begin(made.push(true)).await.unwrap(), at_parent);
    assert_eq!(made.tip(), made.base.commit);
    assert_eq!(source.begin(made.push(true)).await.unwrap(), at_parent);
    // Whoever has not made it must not take it for its own.
    let error = source.look(made.push(false)).await.unwrap_err();
    assert!(error.message.contains("other work"), "{error}");
    let error = source.push(made.push(false)).await.unwrap_err();
    assert!(error.message.contains("other work"), "{error}");
    source.take_back(made.push(true)).await.unwrap();
    assert_eq!(made.tip(), "");
}

#[tokio::test]
async fn why_a_branch_is_not_taken_back_is_said() {
    let made = Made::by("echo new > new").await;
    made.source.begin(made.push(true)).await.unwrap();
    let bare = made.lab.bare();
    git(&bare, &["config", "receive.denyDeletes", "true"]);
    let error = made.source.take_back(made.push(true)).await.unwrap_err();
    for said in ["refuses the push", "denying ref deletion"] {
        assert!(error.message.contains(said), "{error}");
    }
    assert_eq!(made.tip(), made.base.commit);
}

#[tokio::test]
async fn a_branch_that_is_begun_takes_a_commit_of_ours() {
    let made = Made::by("echo x > x; chmod +x x").await;
    made.source.begin(made.push(true)).await.unwrap();
    let pushed = made.source.push(made.push(true)).await.unwrap();
    assert_eq!(made.tip(), pushed.commit);
    let parent = text(&made.lab.bare(), &["rev-parse", &format!("{BRANCH}^")]);
    assert_eq!(parent, made.base.commit);
    // Nothing of it is taken back.
    made.source.take_back(made.push(true)).await.unwrap_err();
    assert_eq!(made.tip(), pushed.commit);
}

/// The work is put on another commit by now.
#[tokio::test]
async fn a_branch_that_is_begun_elsewhere_is_the_runs_too() {
    let made = Made::by("echo new > new").await;
    let (source, bare) = (&made.source, made.lab.bare());
    let begun_at = [text(&bare, &["rev-parse", "main^"])];
    let branch = format!("refs/heads/{BRANCH}");
    let begin = || git(&bare, &["update-ref", &branch, &begun_at[0]]);
    let push = Push {
        begun_at: &begun_at,
        ..made.push(false)
    };
    begin();
    let found = source.look(push).await.unwrap();
    assert_eq!(found, Tip::At(begun_at[0].clone()));
    let begun = source.begin(push).await.unwrap();
    assert_eq!(begun, Tip::At(made.base.commit.clone()));
    assert_eq!(made.tip(), made.base.commit);
    begin();
    let pushed = source.push(push).await.unwrap();
    assert_eq!(made.tip(), pushed.commit);
    begin();
    source.take_back(push).await.unwrap();
    assert_eq!(made.tip(), "");
    // Nothing is left to be taken back.
    source.take_back(push).await.unwrap();
}

#[tokio::test]
async fn what_the_host_made_is_held_against_what_was_checked() {
    let made = Made::by("echo new > new").await;
    let source = &made.source;
    source.begin(made.push(true)).await.unwrap();
    let error = source.made(made.push(true), &made.base.commit).await;
    let error = error.unwrap_err();
    assert!(error.passes, "it may come yet: {error}");
    let commit = made.host_commits(&made.work.tree);
    let pushed = source.made(made.push(true), &commit).await.unwrap();
    let pushed = pushed.unwrap();
    let expected = Pushed {
        branch: BRANCH.to_owned(),
        commit: commit.clone(),
    };
    assert_eq!(pushed, expected);
    assert_eq!(
        source.begin(made.push(true)).await.unwrap(),
        Tip::Ours(expected)
    );

    let wrong = made.host_commits(&made.base.tree);
    let mismatch = source.made(made.push(true), &wrong).await.unwrap();
    let mismatch = mismatch.unwrap_err();
    assert!(mismatch.contains(&made.base.tree), "{mismatch}");
    // It is somebody else's where the host says that it made another one.
    let error = source.made(made.push(true), &commit).await.unwrap_err();
    assert!(error.message.contains("other work"), "{error}");
    git(
        &made.lab.bare(),
        &["update-ref", "-d", &format!("refs/heads/{BRANCH}")],
    );
    let error = source.made(made.push(true), &commit).await.unwrap_err();
    assert!(
        !error.passes && error.message.contains("deleted"),
        "{error}"
    );
}
