//! The control plane's git as one value.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pullwright_core::source::{
    Base, Brought, CheckoutFiles, Fetch, HostedChange, Push, Pushed, Repository, Source,
    SourceError, Tip, Unfit, Work,
};
use pullwright_protocol::forge::ForgeCredential;
use pullwright_protocol::{FailureKind, RunId};
use tokio::io::AsyncRead;
use tokio::sync::OnceCell;

use crate::config::SourceConfig;
use crate::git::Call;
use crate::host::{Host, HostRule};
use crate::known_secret::Finder;
use crate::locks::Locks;
use crate::policy::Rules;
use crate::remote::Remote;
use crate::url::UrlPolicy;
use crate::used_credentials::UsedCredentials;
use crate::{
    checkout, failure, hosted, mirror, objects, onto, own, push, quarantine, restore, run_folder,
    shelf, version,
};

/// The control plane's git. Cheap to clone; clones share the mirrors' locks.
#[derive(Clone, Debug)]
pub struct GitSource {
    config: Arc<SourceConfig>,
    policy: Arc<UrlPolicy>,
    rules: Arc<Rules>,
    used: Arc<UsedCredentials>,
    locks: Locks,
    version: Arc<OnceCell<String>>,
}

impl GitSource {
    /// Checks the configuration and makes the data folder.
    pub fn new(mut config: SourceConfig) -> Result<Self, SourceError> {
        let policy = url_policy(&config)?;
        let rules = Rules::new(&config.policy)?;
        config.data_dir = prepare(&config.data_dir)?;
        run_folder::sweep(&config.data_dir);
        let locks = Locks::default();
        shrink_aside(&config, &locks);
        Ok(Self {
            config: Arc::new(config),
            policy: Arc::new(policy),
            rules: Arc::new(rules),
            used: Arc::default(),
            locks,
            version: Arc::default(),
        })
    }

    /// The folder of a run, which [`Source::discard`] removes: a fitting place for its checkout.
    pub fn run_dir(&self, run: &RunId) -> Result<PathBuf, SourceError> {
        run_folder::of(&self.config.data_dir, run)
    }

    /// What `git version` says; an error if git is missing or too old. Asked once.
    pub async fn git_version(&self) -> Result<&str, SourceError> {
        let version = self
            .version
            .get_or_try_init(|| version::check(&self.config))
            .await?;
        Ok(version)
    }

    pub(crate) fn config(&self) -> &SourceConfig {
        &self.config
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    /// Finds the secrets that a change must not hold.
    pub(crate) fn finder(&self) -> Finder {
        let used = self.used.all();
        Finder::new(self.config.secrets.iter().chain(&used))
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    pub(crate) async fn remote<'a>(
        &'a self,
        repository: &Repository,
        credential: Option<&'a ForgeCredential>,
    ) -> Result<Remote<'a>, SourceError> {
        self.git_version().await?;
        let credential = match credential {
            Some(credential) => Some(credential),
            None => own::for_repository(&self.config.own_credentials, repository)?,
        };
        self.used.note(credential);
        Remote::open(&self.config, &self.policy, repository, credential).await
    }

    /// Makes an empty bare repository without hooks, or leaves an existing one as it is.
    pub(crate) async fn init_bare(&self, path: &Path) -> Result<(), SourceError> {
        let args = [
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--object-format=sha1",
        ];
        let call = Call::local(&self.config, args).git_dir(path);
        self.local(call, "making a bare repository").await.map(drop)
    }

    /// Runs a call on local files of our own and answers what it printed.
    pub(crate) async fn local(&self, call: Call, what: &str) -> Result<Vec<u8>, SourceError> {
        let output = call.run(&self.config).await?;
        if output.success {
            return Ok(output.stdout);
        }
        Err(SourceError::new(
            FailureKind::Internal,
            format!(
                "{what} failed; git said: {}",
                failure::last_words(&output.stderr)
            ),
        ))
    }
}

#[async_trait]
impl Source for GitSource {
    fn accept(&self, url: &str) -> Result<Repository, SourceError> {
        self.policy.accept(url).map(|accepted| accepted.repository)
    }

    async fn fetch(&self, fetch: Fetch<'_>) -> Result<Base, SourceError> {
        mirror::fetch(self, fetch).await
    }

    async fn known(
        &self,
        repository: &Repository,
        branch: &str,
        commit: &str,
    ) -> Result<Option<Base>, SourceError> {
        mirror::known_to(self, repository, branch, commit).await
    }

    async fn checkout(
        &self,
        base: &Base,
        work: Option<&Work>,
        files: CheckoutFiles,
        into: &Path,
    ) -> Result<(), SourceError> {
        checkout::checkout(self, base, work, files, into).await
    }

    async fn take_in(
        &self,
        run: &RunId,
        base: &Base,
        bundle: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<Work, SourceError> {
        quarantine::take_in(self, run, base, bundle).await
    }

    async fn restore(
        &self,
        run: &RunId,
        base: &Base,
        tree: Option<&str>,
        patch: &[u8],
    ) -> Result<Work, SourceError> {
        restore::restore(self, run, base, tree, patch).await
    }

    async fn bring_onto(
        &self,
        base: &Base,
        work: &Work,
        onto: &Base,
    ) -> Result<Brought, SourceError> {
        onto::bring_onto(self, base, work, onto).await
    }

    async fn push(&self, push: Push<'_>) -> Result<Pushed, SourceError> {
        push::push(self, push).await
    }

    async fn as_files(&self, push: Push<'_>) -> Result<Result<HostedChange, Unfit>, SourceError> {
        hosted::as_files(self, push).await
    }

    async fn look(&self, push: Push<'_>) -> Result<Tip, SourceError> {
        hosted::look(self, push).await
    }

    async fn begin(&self, push: Push<'_>) -> Result<Tip, SourceError> {
        hosted::begin(self, push).await
    }

    async fn made(
        &self,
        push: Push<'_>,
        commit: &str,
    ) -> Result<Result<Pushed, String>, SourceError> {
        hosted::made(self, push, commit).await
    }

    async fn take_back(&self, push: Push<'_>) -> Result<(), SourceError> {
        hosted::take_back(self, push).await
    }

    async fn discard(&self, run: &RunId) -> Result<(), SourceError> {
        let (config, run) = (Arc::clone(&self.config), run.clone());
        objects::blocking(move || run_folder::remove(&config.data_dir, &run)).await
    }
}

/// A full shelf takes its time to look through, and nobody waits for it.
fn shrink_aside(config: &SourceConfig, locks: &Locks) {
    let (config, locks) = (config.clone(), locks.clone());
    std::thread::spawn(move || shelf::shrink(&config, &locks));
}

fn url_policy(config: &SourceConfig) -> Result<UrlPolicy, SourceError> {
    let bad = |entry: &str, why: String| {
        SourceError::new(
            FailureKind::Config,
            format!("`{entry}` in `[repositories] hosts` cannot be used: {why}"),
        )
    };
    Ok(UrlPolicy {
        rules: config
            .hosts
            .iter()
            .map(|entry| HostRule::parse(entry).map_err(|why| bad(entry, why)))
            .collect::<Result<_, _>>()?,
        private_hosts: config
            .private_hosts
            .iter()
            .map(|entry| Host::parse(entry).map_err(|why| bad(entry, why)))
            .collect::<Result<_, _>>()?,
        allow_local_paths: config.allow_local_paths,
    })
}

/// Makes the data folder and answers its absolute path. Mirrors are for this user alone; run
/// folders are not, since a sandbox with a user of its own works on a checkout in them.
fn prepare(data_dir: &Path) -> Result<PathBuf, SourceError> {
    let failed = |error: std::io::Error| {
        SourceError::new(
            FailureKind::Config,
            format!(
                "the data folder `{}` cannot be used: {error}",
                data_dir.display()
            ),
        )
    };
    for folder in ["mirrors", "runs"] {
        std::fs::create_dir_all(data_dir.join(folder)).map_err(failed)?;
    }
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(data_dir.join("mirrors"), private).map_err(failed)?;
    data_dir.canonicalize().map_err(failed)
}
