//! What the composition root says about the control plane's git.

use std::path::PathBuf;
use std::time::Duration;

use pullwright_core::config::{CloneMode, PolicyConfig};

use crate::known_secret::KnownSecret;
use crate::own::OwnCredential;

/// Default cap of one mirror, against a clone that fills the disk: 4 GiB.
const DEFAULT_MAX_CLONE_BYTES: u64 = 4 << 30;
/// Default cap of one bundle, against a sandbox that sends without end: 512 MiB.
const DEFAULT_MAX_BUNDLE_BYTES: u64 = 512 << 20;

/// Default room of all mirrors together: 20 GiB.
const DEFAULT_MIRROR_CACHE_BYTES: u64 = 20 << 30;
/// Default of what a fetch leaves free, for the runs under way: 1 GiB.
const DEFAULT_MIN_FREE_BYTES: u64 = 1 << 30;
/// Default of how long a run may be silent about its mirror: as long as a run may take.
const DEFAULT_MIRROR_IDLE: Duration = Duration::from_secs(2 * 3600);

/// The control plane's git, configured.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Where mirrors, run folders and quarantines live. Nothing else writes there.
    pub data_dir: PathBuf,
    /// The allowed hosts: `host` (https), `host:port` (https and http), `ssh://host[:port]`.
    pub hosts: Vec<String>,
    /// Hosts that may resolve to private addresses although they are listed without a port.
    pub private_hosts: Vec<String>,
    /// What to authenticate with where a caller brings no credential, by origin.
    pub own_credentials: Vec<OwnCredential>,
    /// Whether a local path or a `file://` URL is accepted. Only for the command line.
    pub allow_local_paths: bool,
    /// How much of a repository is fetched.
    pub clone_mode: CloneMode,
    /// The largest size of a mirror, in bytes.
    pub max_clone_bytes: u64,
    /// The room of all mirrors together, in bytes. When they have more, those that were used longest ago go.
    pub mirror_cache_bytes: u64,
    /// What a fetch leaves free of the disk, in bytes.
    pub min_free_bytes: u64,
    /// How long after its last use a mirror may still be somebody's.
    pub mirror_idle: Duration,
    /// The largest size of a bundle taken in, in bytes.
    pub max_bundle_bytes: u64,
    /// What a change may hold.
    pub policy: PolicyConfig,
    /// The secrets of this server, which no change may hold. The credentials that it fetches and pushes with are
    /// looked for as well.
    pub secrets: Vec<KnownSecret>,
    /// Author and committer of what is pushed.
    pub identity: Identity,
    /// The git program: a path, or a name found in `PATH`.
    pub git: PathBuf,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// Who makes the commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The email address.
    pub email: String,
}

/// Bounds of the waits, each against a peer or a disk that hangs.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Resolving a host name.
    pub resolve: Duration,
    /// Asking a remote for its branches.
    pub ask: Duration,
    /// Bringing a mirror up to date, the wait for another fetch of it included.
    pub fetch: Duration,
    /// Pushing.
    pub push: Duration,
    /// A git process that only works on local files.
    pub local: Duration,
    /// A transfer slower than 1 kB/s.
    pub stall: Duration,
}

impl SourceConfig {
    /// Defaults: git from `PATH`, finite limits, no host allowed, no local path.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            hosts: Vec::new(),
            private_hosts: Vec::new(),
            own_credentials: Vec::new(),
            allow_local_paths: false,
            clone_mode: CloneMode::default(),
            max_clone_bytes: DEFAULT_MAX_CLONE_BYTES,
            mirror_cache_bytes: DEFAULT_MIRROR_CACHE_BYTES,
            min_free_bytes: DEFAULT_MIN_FREE_BYTES,
            mirror_idle: DEFAULT_MIRROR_IDLE,
            max_bundle_bytes: DEFAULT_MAX_BUNDLE_BYTES,
            policy: PolicyConfig::default(),
            secrets: Vec::new(),
            identity: Identity {
                name: "Pullwright".into(),
                email: "pullwright@localhost".into(),
            },
            git: "git".into(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(10),
            ask: Duration::from_secs(60),
            fetch: Duration::from_secs(15 * 60),
            push: Duration::from_secs(5 * 60),
            local: Duration::from_secs(3 * 60),
            stall: Duration::from_secs(30),
        }
    }
}
