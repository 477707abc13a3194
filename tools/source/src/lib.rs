//! The control plane's git: mirror, checkout, quarantine, policy, push.
//!
//! [`GitSource`] implements [`pullwright_core::source::Source`] with the git command line for
//! everything that touches the network or a working tree, and libgit2 for reading objects.
//!
//! What is absent on purpose: no git process ever runs in a folder that a sandbox has written, no
//! credential is ever in an argument, the environment, a URL or a file, no redirect is followed, and
//! no history made in a sandbox is ever pushed.

mod absent;
mod address;
mod bundle;
mod checkout;
mod clone_mode;
mod config;
mod contents;
mod credential;
mod cut_push;
mod damage;
mod diff;
mod extent;
mod failure;
mod files;
mod git;
mod history;
mod host;
mod hosted;
mod kept_pack;
mod known_secret;
mod locks;
mod message;
mod mirror;
mod objects;
mod onto;
mod own;
mod patch;
mod policy;
mod push;
mod quarantine;
mod refname;
mod refused;
mod remote;
mod restore;
mod run_folder;
mod shelf;
mod source;
mod transfer;
mod url;
mod used_credentials;
mod version;

pub use config::{Identity, SourceConfig, Timeouts};
pub use known_secret::KnownSecret;
pub use mirror::mirrored;
pub use own::OwnCredential;
pub use refname::is_branch_name;
pub use source::GitSource;
pub use url::is_local_path;
