//! Who may do what: API keys, what each of them is granted, how often anybody may call, and a record of
//! what was done.
//!
//! A request is let in by [`Access`], which makes a [`Visitor`] of it; the handlers ask the visitor what
//! it may do. Keys and the record live in the [`AccessStore`], beside the runs.
//!
//! What is absent on purpose: accounts, passwords and sessions. A key is a line in a client's
//! configuration, and TLS is the business of the proxy in front.

mod address;
mod audit;
mod gate;
mod grant;
mod key;
mod owners;
mod rates;
mod recorder;
mod refusals;
mod repository;
mod secret;
mod standing;
mod store;
mod visitor;

pub use address::Peer;
pub use audit::{Action, AuditEntry, Audited, Verdict};
pub use gate::Access;
pub(crate) use gate::gate;
pub use grant::{Grant, Scope, UnknownScope};
pub use key::{BadKeyName, Key, KeyName, KeyState, NewKey, StoredKey};
pub use owners::KeyOwners;
pub use recorder::Recorder;
pub(crate) use repository::spellings;
pub use repository::{BadRepositories, RepositoryGlob};
pub use secret::{Digest, NotASecret, Secret};
pub use store::{AccessStore, KeyMade};
pub use visitor::Visitor;
