//! Work out of a sandbox: honest, and as hostile as git's plumbing can make it.

use std::path::{Path, PathBuf};

use pullwright_core::source::{Base, CheckoutFiles, Source, SourceError, Work};
use pullwright_protocol::FailureKind;
use pullwright_source::{GitSource, SourceConfig};

use crate::lab::{Lab, bundle, bundle_tree, commit, fetch, git, git_with, take_in, text};

struct Bench {
    lab: Lab,
    source: GitSource,
    base: Base,
    sandbox: PathBuf,
}

impl Bench {
    async fn new() -> Self {
        let lab = Lab::new();
        let (source, base) = lab.local().await;
        let sandbox = lab.sandbox(&source, &base).await;
        Self {
            lab,
            source,
            base,
            sandbox,
        }
    }

    async fn take(&self, bundle: &[u8]) -> Result<Work, SourceError> {
        take_in(&self.source, &self.base, bundle).await
    }

    /// Commits the sandbox's folder as it is and takes it in.
    async fn committed(&self) -> Work {
        commit(&self.sandbox, "work");
        self.take(&bundle(&self.sandbox, &self.base.commit))
            .await
            .unwrap()
    }

    /// Takes in a tree of raw entries, beside the base's own.
    async fn planted(&self, entries: &[(&str, &str, &[u8])]) -> Result<Work, SourceError> {
        let mut tree = git(&self.sandbox, &["ls-tree", &self.base.commit]);
        for (mode, name, content) in entries {
            let (kind, id) = match *mode {
                "040000" => ("tree", plant_tree(&self.sandbox, content)),
                "160000" => ("commit", self.base.commit.clone()),
                _ => ("blob", plant_blob(&self.sandbox, content)),
            };
            tree.extend(format!("{mode} {kind} {id}\t{name}\n").into_bytes());
        }
        let tree = plant(&self.sandbox, &tree);
        self.take(&bundle_tree(&self.sandbox, &self.base.commit, &tree))
            .await
    }

    /// Nothing of a refused bundle stays behind.
    fn assert_clean(&self) {
        let run = self.source.run_dir(&crate::lab::run()).unwrap();
        let left = std::fs::read_dir(run).map_or(0, Iterator::count);
        assert_eq!(left, 0);
    }
}

fn plant_blob(folder: &Path, content: &[u8]) -> String {
    let id = git_with(folder, &["hash-object", "-w", "--stdin"], content);
    String::from_utf8(id).unwrap().trim().to_owned()
}

/// A tree with one file of this name, which may be one that git would not take.
fn plant_tree(folder: &Path, name: &[u8]) -> String {
    let id = plant_blob(folder, b"x\n");
    let name = String::from_utf8_lossy(name);
    plant(folder, format!("100644 blob {id}\t{name}\n").as_bytes())
}

/// Writes a tree object byte by byte: `mktree` takes neither odd modes nor odd names.
fn plant(folder: &Path, listing: &[u8]) -> String {
    let text = String::from_utf8_lossy(listing);
    let mut rows: Vec<(String, Vec<u8>)> = text.lines().map(row).collect();
    rows.sort();
    let tree: Vec<u8> = rows.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let args = ["hash-object", "-w", "-t", "tree", "--literally", "--stdin"];
    String::from_utf8(git_with(folder, &args, &tree))
        .unwrap()
        .trim()
        .to_owned()
}

fn row(line: &str) -> (String, Vec<u8>) {
    let (head, name) = line.split_once('\t').unwrap();
    let mut words = head.split(' ');
    let (mode, kind, id) = (
        words.next().unwrap(),
        words.next().unwrap(),
        words.next().unwrap(),
    );
    let mut bytes = format!("{} {name}\0", mode.trim_start_matches('0')).into_bytes();
    bytes.extend(
        (0..40)
            .step_by(2)
            .map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()),
    );
    let slash = if kind == "tree" { "/" } else { "" };
    (format!("{name}{slash}"), bytes)
}

#[tokio::test]
async fn honest_work_comes_in_whole() {
    let bench = Bench::new().await;
    let sandbox = &bench.sandbox;
    std::fs::write(sandbox.join("README.md"), "# changed").unwrap();
    std::fs::write(sandbox.join("binary"), [0_u8, 1, 2, 255]).unwrap();
    std::fs::remove_file(sandbox.join("src/lib.rs")).unwrap();
    std::fs::remove_file(sandbox.join("run.sh")).unwrap();
    std::os::unix::fs::symlink("src", sandbox.join("run.sh")).unwrap();
    let work = bench.committed().await;
    assert_eq!(work.refusals, Vec::<String>::new());
    assert_eq!(work.tree, text(sandbox, &["rev-parse", "HEAD^{tree}"]));
    let changed: Vec<String> = work
        .changed
        .iter()
        .map(|change| format!("{} {}", change.status, change.path))
        .collect();
    assert_eq!(
        changed,
        ["M README.md", "A binary", "T run.sh", "D src/lib.rs"]
    );
    let fresh = bench.lab.path("fresh");
    bench
        .source
        .checkout(&bench.base, None, CheckoutFiles::Written, &fresh)
        .await
        .unwrap();
    git_with(&fresh, &["apply", "--index", "-"], &work.patch);
    assert_eq!(
        text(&fresh, &["write-tree"]),
        work.tree,
        "the patch is the work"
    );
}

#[tokio::test]
async fn nothing_is_no_work() {
    let bench = Bench::new().await;
    let work = bench.take(b"").await.unwrap();
    assert!(work.is_empty() && work.patch.is_empty() && work.refusals.is_empty());
    assert_eq!(work.tree, bench.base.tree);
    let work = bench.committed().await;
    assert!(work.is_empty(), "an empty commit is no work either");
    bench
        .source
        .checkout(
            &bench.base,
            Some(&work),
            CheckoutFiles::Written,
            &bench.lab.path("clean"),
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn the_history_of_a_sandbox_does_not_matter() {
    let bench = Bench::new().await;
    git(&bench.sandbox, &["checkout", "-q", "--orphan", "strange"]);
    std::fs::write(bench.sandbox.join("new"), "new\n").unwrap();
    commit(&bench.sandbox, "unrelated");
    let work = bench
        .take(&bundle(&bench.sandbox, &bench.base.commit))
        .await
        .unwrap();
    assert_eq!(work.changed.len(), 1, "only the tree counts");
    assert!(work.refusals.is_empty());
}

#[tokio::test]
async fn what_policy_forbids_ends_as_a_patch_with_the_reason() {
    let bench = Bench::new().await;
    let out = "leads out of the repository";
    for (mode, name, content, reason) in [
        ("160000", "sub", "", "is a submodule"),
        ("120000", "passwd", "/etc/passwd", out),
        ("120000", "up", "../x", out),
        ("120000", "through", "src/../../x", out),
        ("120000", "config", ".git/config", "into `.git`"),
        ("120000", "self", "self", "circles"),
        (
            "120000",
            ".gitignore",
            "README.md",
            "place of a file that git reads",
        ),
        (
            "100644",
            ".gitattributes",
            "* filter=evil\n",
            "can start a program",
        ),
        (
            "100644",
            ".gitattributes",
            "*.x diff=evil\n",
            "can start a program",
        ),
        (
            "100644",
            ".gitmodules",
            "[submodule \"a\"]\n\tpath = a\n\turl = https://x/y\n",
            "submodules",
        ),
        ("104755", "setuid", "x", "file mode 104755"),
        ("120000", ".github", "src", "place of a file that git reads"),
        ("120000", ".GitHub", "src", "place of a file that git reads"),
    ] {
        let work = bench
            .planted(&[(mode, name, content.as_bytes())])
            .await
            .unwrap();
        assert_eq!(work.refusals.len(), 1, "{name}: {:?}", work.refusals);
        assert!(
            work.refusals[0].contains(reason),
            "{name}: {:?}",
            work.refusals
        );
        assert_eq!(work.changed.len(), 1);
        assert!(!work.patch.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_stays_inside_is_taken() {
    let bench = Bench::new().await;
    for (mode, name, content) in [
        ("120000", "inside", "src/lib.rs"),
        ("120000", "dangling", "src/none"),
        ("100644", ".gitattributes", "*.rs diff=rust\n* text=auto\n"),
        ("100755", "tool", "#!/bin/sh\n"),
    ] {
        let work = bench
            .planted(&[(mode, name, content.as_bytes())])
            .await
            .unwrap();
        assert_eq!(work.refusals, Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn a_symlink_that_leads_out_only_through_another_is_found() {
    let bench = Bench::new().await;
    let entries: [(&str, &str, &[u8]); 2] = [("120000", "a", b"."), ("120000", "b", b"a/a/../x")];
    let work = bench.planted(&entries).await.unwrap();
    assert_eq!(work.refusals.len(), 1, "{:?}", work.refusals);
    assert!(work.refusals[0].starts_with("`b`"), "{:?}", work.refusals);
}

#[tokio::test]
async fn what_git_itself_forbids_does_not_come_in() {
    let bench = Bench::new().await;
    for (mode, name, content, reason) in [
        ("040000", ".git", "config", "hasDotgit"),
        ("040000", ".GIT", "config", "hasDotgit"),
        ("040000", "GIT~1", "config", "hasDotgit"),
        ("040000", "..", "x", "hasDotdot"),
        ("100644", ".git", "gitdir: /etc", "hasDotgit"),
        ("100644", "a/b", "x", "fullPathname"),
        ("120000", ".gitmodules", "README.md", "gitmodulesSymlink"),
        (
            "100644",
            ".gitmodules",
            "[submodule \"a\"]\n\tpath = a\n\turl = -x\n",
            "gitmodulesUrl",
        ),
        ("040000", "sub", ".git", "hasDotgit"),
    ] {
        let error = bench
            .planted(&[(mode, name, content.as_bytes())])
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Export, "{name}: {error}");
        assert!(error.message.contains(reason), "{name}: {error}");
    }
    bench.assert_clean();
}

#[tokio::test]
async fn a_broken_bundle_is_an_error_and_leaves_nothing() {
    let bench = Bench::new().await;
    std::fs::write(bench.sandbox.join("new"), "new\n".repeat(1000)).unwrap();
    commit(&bench.sandbox, "work");
    let good = bundle(&bench.sandbox, &bench.base.commit);
    let mut corrupt = good.clone();
    let middle = good.len() - 30;
    corrupt[middle] ^= 0xff;
    let header_end = good
        .windows(2)
        .position(|window| window == b"\n\n")
        .unwrap()
        + 2;
    let two = |head: &str| [head.as_bytes(), &good[header_end..]].concat();
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    for (name, bytes) in [
        ("garbage", b"not a bundle at all\n\n".to_vec()),
        ("no newline", vec![b'x'; 200_000]),
        ("binary", vec![0xff, 0, 10, 10]),
        ("truncated", good[..good.len() - 40].to_vec()),
        ("header only", good[..header_end].to_vec()),
        ("corrupt", corrupt),
        ("no reference", two("# v2 git bundle\n\n")),
        (
            "two references",
            two(&format!("# v2 git bundle\n{a} x\n{b} y\n\n")),
        ),
        (
            "a missing commit",
            two(&format!("# v2 git bundle\n{a} x\n\n")),
        ),
        (
            "a tree for a commit",
            two(&format!("# v2 git bundle\n{} x\n\n", bench.base.tree)),
        ),
        (
            "a filter",
            two(&format!("# v3 git bundle\n@filter=blob:none\n{a} x\n\n")),
        ),
        ("an odd line", two("# v2 git bundle\n--upload-pack=x y\n\n")),
    ] {
        let error = bench.take(&bytes).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Export, "{name}: {error}");
    }
    bench.assert_clean();
    bench.take(&good).await.unwrap();
}

#[tokio::test]
async fn a_bundle_on_a_commit_that_we_do_not_have_is_an_error() {
    let bench = Bench::new().await;
    commit(&bench.sandbox, "unknown");
    let unknown = text(&bench.sandbox, &["rev-parse", "HEAD"]);
    std::fs::write(bench.sandbox.join("new"), "new\n").unwrap();
    commit(&bench.sandbox, "work");
    let error = bench
        .take(&bundle(&bench.sandbox, &unknown))
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Export, "{error}");
    bench.assert_clean();
}

#[tokio::test]
async fn a_bundle_beyond_the_limit_is_not_read_on() {
    let lab = Lab::new();
    let config = SourceConfig {
        allow_local_paths: true,
        max_bundle_bytes: 10_000,
        ..lab.config(&[])
    };
    let source = GitSource::new(config).unwrap();
    let base = fetch(&source, lab.bare().to_str().unwrap(), None, None)
        .await
        .unwrap();
    let mut endless = tokio::io::repeat(b'x');
    let error = source
        .take_in(&crate::lab::run(), &base, &mut endless)
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Limit, "{error}");
}

#[tokio::test]
async fn large_files_are_left_out_of_the_patch_or_refused() {
    let bench = Bench::new().await;
    std::fs::write(bench.sandbox.join("README.md"), "# small\n").unwrap();
    std::fs::write(bench.sandbox.join("large"), vec![0; 30 << 20]).unwrap();
    std::fs::write(bench.sandbox.join("huge"), vec![0; 96_000_000]).unwrap();
    let work = bench.committed().await;
    assert_eq!(work.refusals.len(), 1, "{:?}", work.refusals);
    assert!(
        work.refusals[0].starts_with("`huge` has 91 MiB"),
        "{:?}",
        work.refusals
    );
    let patch = String::from_utf8(work.patch.clone()).unwrap();
    assert!(
        patch.starts_with("2 of the changed files are too large"),
        "{patch}"
    );
    let fresh = bench.lab.path("fresh");
    bench
        .source
        .checkout(&bench.base, None, CheckoutFiles::Written, &fresh)
        .await
        .unwrap();
    git_with(&fresh, &["apply", "--index", "-"], &work.patch);
    assert_eq!(text(&fresh, &["status", "--porcelain"]), "M  README.md");
}

#[tokio::test]
async fn deleting_a_submodule_or_a_workflow_is_refused_too() {
    let lab = Lab::new();
    let seed = lab.path("seed");
    std::fs::create_dir_all(seed.join(".github/workflows")).unwrap();
    std::fs::write(seed.join(".github/workflows/ci.yml"), "on: push\n").unwrap();
    commit(&seed, "ci");
    git(&seed, &["push", "-q", lab.bare().to_str().unwrap(), "main"]);
    let (source, base) = lab.local().await;
    let sandbox = lab.sandbox(&source, &base).await;
    std::fs::remove_dir_all(sandbox.join(".github")).unwrap();
    commit(&sandbox, "work");
    let work = take_in(&source, &base, &bundle(&sandbox, &base.commit))
        .await
        .unwrap();
    assert_eq!(work.changed[0].status, 'D');
    assert!(work.refusals[0].contains("`.github/workflows/ci.yml` may run with the"));
}

/// Ten folders in each of ten folders, twelve times over, of one object each.
#[tokio::test]
async fn a_tree_that_unfolds_without_end_is_left() {
    let bench = Bench::new().await;
    for leaf in [&b""[..], b"x"] {
        let mut listing = match leaf {
            b"" => Vec::new(),
            name => format!("100644 blob {}\tf\n", plant_blob(&bench.sandbox, name)).into_bytes(),
        };
        for _ in 0..12 {
            let tree = plant(&bench.sandbox, &listing);
            listing = (0..10)
                .flat_map(|n| format!("040000 tree {tree}\td{n}\n").into_bytes())
                .collect();
        }
        let tree = plant(&bench.sandbox, &listing);
        let bomb = bundle_tree(&bench.sandbox, &bench.base.commit, &tree);
        let error = bench.take(&bomb).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Limit, "{error}");
    }
    bench.assert_clean();
}
