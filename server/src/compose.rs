//! Puts the parts together: the only place that knows them all.

mod executor;
mod host_tools;
mod known_secrets;
mod lock_file;
mod providers;
mod reload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pullwright_core::config::{Config, CredentialConfig, Runs, SandboxConfig, ToolLink};
use pullwright_core::run::{HostTools, Providers, RunParts};
use pullwright_core::sandbox::SandboxHost;
use pullwright_core::store::RunStore;
use pullwright_github::Accounts;
use pullwright_protocol::forge::ForgeCredential;
use pullwright_source::{GitSource, Identity, OwnCredential, SourceConfig};

pub use executor::Executor;
pub(crate) use host_tools::missed_deliveries;
pub use lock_file::LockFile;
pub use reload::Reload;

use crate::metrics::{Metrics, ObservedStore};
use crate::store::{PostgresAddress, PostgresStore, SqliteStore, Store};
use crate::traces::Traces;

/// The largest bundle that is taken out of a sandbox, in bytes.
const MAX_BUNDLE_BYTES: u64 = 512 * 1024 * 1024;

/// How long after the longest run a mirror may still be wanted, by what a run does when its time is over.
const MIRROR_GRACE: Duration = Duration::from_secs(15 * 60);

/// What differs between the commands that run runs.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Where runs, mirrors and, without a database, the store live.
    pub data_dir: PathBuf,
    /// The database that holds the runs of several servers.
    pub database: Option<PostgresAddress>,
    /// Whether a repository may be a local path: never for a server.
    pub allow_local_paths: bool,
    /// Where what happens is counted.
    pub metrics: Metrics,
    /// Where it is traced.
    pub traces: Traces,
    /// Where the configuration was read, if from a file: the accepted tools are recorded beside it.
    pub config_file: Option<PathBuf>,
    /// What is known of the accounts at GitHub, also after the configuration was read anew.
    pub accounts: Accounts,
}

/// Everything runs share, on this machine and this configuration.
///
/// # Errors
/// When the data folder or the store cannot be used.
pub async fn parts(
    config: Config,
    sandboxes: Arc<dyn SandboxHost>,
    setting: &Setting,
) -> anyhow::Result<RunParts> {
    let store = open_store(&setting.data_dir, setting.database.as_ref()).await?;
    parts_with(store, config, sandboxes, setting)
}

/// The same on a store that is open already.
///
/// # Errors
/// When the data folder cannot be used.
pub fn parts_with(
    store: Arc<dyn Store>,
    config: Config,
    sandboxes: Arc<dyn SandboxHost>,
    setting: &Setting,
) -> anyhow::Result<RunParts> {
    make_data_dir(&setting.data_dir)?;
    let store = ObservedStore::new(store, setting.metrics.clone(), setting.traces.clone());
    parts_on(Arc::new(store), config, sandboxes, setting)
}

/// The store in the database, if there is one, or else in the data folder.
///
/// # Errors
/// When it cannot be used.
pub async fn open_store(
    data_dir: &Path,
    database: Option<&PostgresAddress>,
) -> anyhow::Result<Arc<dyn Store>> {
    match database {
        Some(address) => Ok(Arc::new(PostgresStore::open(address).await?)),
        None => {
            make_data_dir(data_dir)?;
            let file = store_file(data_dir);
            Ok(Arc::new(SqliteStore::open(&file).await?))
        }
    }
}

/// The store in the database, as it is, if there is one, or else in the data folder.
///
/// # Errors
/// When it cannot be used, and when a database's tables are not of this version.
pub async fn open_store_as_it_is(
    data_dir: &Path,
    database: Option<&PostgresAddress>,
) -> anyhow::Result<Arc<dyn Store>> {
    match database {
        Some(address) => Ok(Arc::new(PostgresStore::open_as_it_is(address).await?)),
        None => open_store(data_dir, None).await,
    }
}

fn make_data_dir(data_dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make the data folder {}", data_dir.display()))
}

/// Whether a data folder holds a store.
#[must_use]
pub fn has_store(data_dir: &Path) -> bool {
    store_file(data_dir).exists()
}

fn store_file(data_dir: &Path) -> PathBuf {
    data_dir.join("runs.sqlite")
}

/// The same on the store of the parts before.
fn parts_on(
    store: Arc<dyn RunStore>,
    config: Config,
    sandboxes: Arc<dyn SandboxHost>,
    setting: &Setting,
) -> anyhow::Result<RunParts> {
    let config = Arc::new(config);
    let source = Arc::new(source(&config, setting)?);
    Ok(RunParts {
        keeps_up: keeps_up(sandboxes.as_ref(), setting),
        store,
        files: Arc::clone(&source) as _,
        source,
        sandboxes,
        providers: Arc::new(providers::ProviderRows::new(Arc::clone(&config))),
        host_tools: Arc::new(host_tools::HostRows {
            accounts: setting.accounts.clone(),
        }),
        approval: Arc::new(LockFile::beside(setting.config_file.as_deref())),
        runs_dir: setting.data_dir.join("runs"),
        notice: None,
        config,
    })
}

/// Keeping the work costs a look at all its files after each turn. A server that goes on by itself, on the
/// same machine, finds them where they are.
fn keeps_up(sandboxes: &dyn SandboxHost, setting: &Setting) -> bool {
    let is_command_line = setting.allow_local_paths;
    setting.database.is_some() || is_command_line || !sandboxes.shares_checkout()
}

/// The control plane's git.
///
/// # Errors
/// When its folder cannot be made.
pub fn source(config: &Config, setting: &Setting) -> anyhow::Result<GitSource> {
    Ok(GitSource::new(source_config(config, setting))?)
}

/// Where the control plane's git keeps its folders.
#[must_use]
pub fn git_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("git")
}

fn source_config(config: &Config, setting: &Setting) -> SourceConfig {
    SourceConfig {
        hosts: config.repositories.hosts.clone(),
        own_credentials: config.credentials.values().map(own_credential).collect(),
        allow_local_paths: setting.allow_local_paths,
        clone_mode: config.repositories.clone,
        max_clone_bytes: config.repositories.max_clone_mb * 1024 * 1024,
        mirror_cache_bytes: config.repositories.mirror_cache_mb * 1024 * 1024,
        min_free_bytes: config.repositories.min_free_mb * 1024 * 1024,
        mirror_idle: Duration::from_secs_f64(config.budget.max_minutes * 60.0) + MIRROR_GRACE,
        max_bundle_bytes: MAX_BUNDLE_BYTES,
        policy: config.policy.clone(),
        secrets: known_secrets::of(config),
        identity: Identity {
            name: config.commit.name.clone(),
            email: config.commit.email.clone(),
        },
        ..SourceConfig::new(git_dir(&setting.data_dir))
    }
}

fn own_credential(row: &CredentialConfig) -> OwnCredential {
    let password = std::env::var(&row.password_env).ok();
    OwnCredential {
        credential: ForgeCredential {
            origin: row.origin.clone(),
            username: row.username.clone(),
            password: password.filter(|password| !password.is_empty()),
        },
        variable: row.password_env.clone(),
    }
}

/// The `[sandbox]` of a configuration, with the programs of the tool servers that run in it: a row
/// that names a program of this machine must find it inside.
#[must_use]
pub fn sandbox_config(config: &Config) -> SandboxConfig {
    let mut sandbox = config.sandbox.clone();
    let inside = config
        .tools
        .values()
        .filter(|row| row.runs == Runs::Sandbox);
    let programs = inside.filter_map(|row| match &row.link {
        ToolLink::Command { command, .. } => Some(PathBuf::from(command)),
        _ => None,
    });
    let named = programs.filter(|program| program.is_absolute() && program.is_file());
    sandbox.local.read_only.extend(named);
    sandbox
}

/// Opens the sandbox host a configuration asks for, and tries it.
///
/// # Errors
/// When this machine or this version refuses it.
pub async fn sandbox_host(
    config: &Config,
    data_dir: &Path,
) -> anyhow::Result<Arc<dyn SandboxHost>> {
    let tool_host = std::env::current_exe().context("cannot find this program's own file")?;
    let host = pullwright_sandbox::open_host(&sandbox_config(config), data_dir, &tool_host)?;
    host.check().await?;
    Ok(host)
}

/// The links of the tool servers on the host.
#[must_use]
pub fn host_tools() -> Arc<dyn HostTools> {
    Arc::new(host_tools::HostRows::default())
}

/// Loads `plugins.toml` and completes its rows that name a preset.
///
/// # Errors
/// When the file cannot be read or used.
pub fn load_config(path: &Path) -> anyhow::Result<Config> {
    let mut config = Config::load(path)?;
    providers::complete(&mut config)
        .map_err(|message| anyhow::anyhow!("{}: {message}", path.display()))?;
    Ok(config)
}

/// The models of a configuration.
#[must_use]
pub fn providers(config: Arc<Config>) -> Arc<dyn Providers> {
    Arc::new(providers::ProviderRows::new(config))
}
