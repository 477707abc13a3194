//! Full, shallow and blobless clones of one repository with a history: each does what the others do.

mod failing;
mod giving;
mod taking;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pullwright_core::config::CloneMode;
use pullwright_core::source::{
    Base, CheckoutFiles, Fetch, Moved, Push, Pushed, Source, SourceError, Work,
};
use pullwright_protocol::forge::ForgeCredential;
use pullwright_source::{GitSource, SourceConfig};

use crate::http_backend::{Behaviour, HttpBackend};
use crate::lab::{Lab, bundle, commit, git, run, take_in, text};

/// More commits than the first two steps together would have to fetch.
const PAST: usize = 60;
/// What each of them replaces, in bytes: random, so that nothing packs it.
const NOISE_BYTES: usize = 8 << 10;
const BRANCH: &str = "pullwright/change-1";

/// A way to clone, and whether the server filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Full,
    Shallow,
    Blobless,
    /// Asked for, and not done by the server.
    Unfiltered,
}

const WAYS: [Way; 4] = [Way::Full, Way::Shallow, Way::Blobless, Way::Unfiltered];

impl Way {
    fn mode(self) -> CloneMode {
        match self {
            Self::Full => CloneMode::Full,
            Self::Shallow => CloneMode::Shallow,
            Self::Blobless | Self::Unfiltered => CloneMode::Blobless,
        }
    }

    /// How many packs bring a commit that is not here.
    fn packs(self) -> usize {
        match self {
            Self::Blobless => 2,
            _ => 1,
        }
    }
}

/// A server with the repository, and a source that clones it in one way.
struct Bed {
    lab: Lab,
    server: HttpBackend,
    source: GitSource,
}

impl Bed {
    async fn new(way: Way) -> Self {
        Self::with(way, Behaviour::Open).await
    }

    async fn with(way: Way, behaviour: Behaviour) -> Self {
        let lab = Lab::new();
        grow(&lab, PAST);
        let filters = (way != Way::Unfiltered).to_string();
        git(&lab.bare(), &["config", "uploadpack.allowFilter", &filters]);
        let server = lab.serve(behaviour).await;
        let source = GitSource::new(config(&lab, &server, way.mode())).unwrap();
        Self {
            lab,
            server,
            source,
        }
    }

    fn url(&self) -> String {
        self.server.url("owner/repo.git")
    }

    async fn base(&self) -> Base {
        self.fetch(Some("main"), None, None).await.unwrap()
    }

    async fn fetch(
        &self,
        branch: Option<&str>,
        commit: Option<&str>,
        since: Option<&str>,
    ) -> Result<Base, SourceError> {
        fetch(
            &self.source,
            &self.url(),
            Wanted {
                branch,
                commit,
                since,
                credential: None,
            },
        )
        .await
    }

    async fn checkout(&self, base: &Base, work: Option<&Work>, name: &str) -> PathBuf {
        let into = self.lab.path(name);
        let made = self
            .source
            .checkout(base, work, CheckoutFiles::Written, &into);
        made.await.unwrap();
        into
    }

    /// Changes a file and adds one, in a sandbox.
    async fn work(&self, base: &Base, name: &str) -> Work {
        let sandbox = self.checkout(base, None, name).await;
        std::fs::write(sandbox.join("README.md"), "# one\nmine\n").unwrap();
        std::fs::write(sandbox.join(format!("new-{name}")), "new\n").unwrap();
        commit(&sandbox, "mine");
        take_in(&self.source, base, &bundle(&sandbox, &base.commit))
            .await
            .unwrap()
    }

    async fn push(&self, push: Push<'_>) -> Result<Pushed, SourceError> {
        self.source.push(push).await
    }

    fn main(&self) -> String {
        text(&self.lab.bare(), &["rev-parse", "main"])
    }
}

#[derive(Clone, Copy, Default)]
struct Wanted<'a> {
    branch: Option<&'a str>,
    commit: Option<&'a str>,
    since: Option<&'a str>,
    credential: Option<&'a ForgeCredential>,
}

async fn fetch(source: &GitSource, url: &str, wanted: Wanted<'_>) -> Result<Base, SourceError> {
    let repository = source.accept(url)?;
    let Wanted {
        branch,
        commit,
        since,
        credential,
    } = wanted;
    let fetch = Fetch {
        repository: &repository,
        branch,
        commit,
        since,
        credential,
    };
    source.fetch(fetch).await
}

fn config(lab: &Lab, server: &HttpBackend, clone_mode: CloneMode) -> SourceConfig {
    SourceConfig {
        clone_mode,
        ..lab.config(&[server.host()])
    }
}

fn plain<'a>(base: &'a Base, work: &'a Work, run: &'a pullwright_protocol::RunId) -> Push<'a> {
    Push {
        run,
        base,
        work,
        moved: None,
        to: None,
        branch: BRANCH,
        grows: false,
        begun_at: &[],
        message: "Change it",
        credential: None,
    }
}

/// Adds so many commits to `main`, each of which replaces a file of noise. Names go on from run to run.
fn grow(lab: &Lab, commits: usize) {
    let bare = lab.bare();
    let begin = text(&bare, &["rev-parse", "main"]);
    let count = text(&bare, &["rev-list", "--count", "main"]);
    let mut seed = count.parse::<u64>().unwrap();
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet", "--force"])
        .current_dir(&bare)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = import.stdin.take().unwrap();
    for number in 0..commits {
        seed += 1;
        let time = 1_700_000_000 + seed;
        let from = match number {
            0 => format!("from {begin}\n"),
            _ => String::new(),
        };
        let head = format!(
            "commit refs/heads/main\ncommitter A <a@example.com> {time} +0000\ndata 2\nc\n{from}M 100644 inline \
             noise/{}\ndata {NOISE_BYTES}\n",
            seed % 3
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&noise(seed)).unwrap();
        stream.write_all(b"\n").unwrap();
    }
    drop(stream);
    assert!(import.wait().unwrap().success());
}

fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(NOISE_BYTES).collect()
}

/// Whoever rewrites `main` begins it anew, with the same files.
fn rewrite(lab: &Lab) {
    let bare = lab.bare();
    let tree = text(&bare, &["rev-parse", "main^{tree}"]);
    let anew = text(&bare, &["commit-tree", &tree, "-m", "anew"]);
    git(&bare, &["update-ref", "refs/heads/main", &anew]);
}

fn log(folder: &Path, rev: &str) -> usize {
    text(folder, &["log", "--format=%H", rev]).lines().count()
}
