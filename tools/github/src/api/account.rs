//! What all tool servers of a process know of the accounts that they ask GitHub as.
//!
//! GitHub counts by account: what one run learns of a limit holds for all of them.

mod cache;
mod content;
mod limits;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

pub(super) use self::cache::{Cache, Cached};
pub(super) use self::content::Content;
pub(super) use self::limits::{Limits, Resource};
use super::app::Slots;

/// How many requests of one account are under way at the same time: GitHub allows a hundred of all programs
/// together.
const SIDE_BY_SIDE: usize = 10;

/// How many accounts are remembered. Beyond, those go that nobody uses and that no limit holds up.
const MAX_ACCOUNTS: usize = 1024;

/// What is known of the accounts that GitHub is asked as. Cloning it is cheap, and the clones share all they know:
/// a process has one, for all its tool servers.
#[derive(Clone, Default)]
pub struct Accounts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Its keys are random, so that what is made of a token says nothing about it.
    hasher: RandomState,
    known: Mutex<HashMap<u64, Arc<Account>>>,
    cache: Arc<Cache>,
    slots: Slots,
}

/// One account at one host.
pub(super) struct Account {
    /// Its number, under which answers to it are cached.
    pub(super) number: u64,
    pub(super) limits: Limits,
    pub(super) content: Content,
    /// Whose turn it is to ask.
    pub(super) turns: Semaphore,
}

/// Whom GitHub counts a request for.
#[derive(Clone, Copy, Hash)]
pub(super) enum Who<'a> {
    /// Everybody at this address.
    Anonymous,
    /// Whoever holds this token.
    Token(&'a str),
    /// The GitHub App itself.
    App(&'a str),
    /// The installation of an App on an owner's account.
    Installation(u64),
}

impl Accounts {
    pub(super) fn account(&self, host: &str, who: Who<'_>) -> Arc<Account> {
        let number = self.0.hasher.hash_one((host, who));
        let mut known = lock(&self.0.known);
        if known.len() >= MAX_ACCOUNTS && !known.contains_key(&number) {
            known.retain(|_, account| Arc::strong_count(account) > 1 || account.is_held_up());
        }
        let account = known
            .entry(number)
            .or_insert_with(|| Arc::new(Account::new(number)));
        Arc::clone(account)
    }

    pub(super) fn cache(&self) -> &Arc<Cache> {
        &self.0.cache
    }

    /// A number that tells a secret from others, and nothing else about it.
    pub(super) fn fingerprint(&self, secret: &str) -> u64 {
        self.0.hasher.hash_one(secret)
    }

    /// The tokens of GitHub Apps.
    pub(super) fn slots(&self) -> &Slots {
        &self.0.slots
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts(…)")
    }
}

impl Account {
    fn new(number: u64) -> Self {
        Self {
            number,
            limits: Limits::default(),
            content: Content::default(),
            turns: Semaphore::new(SIDE_BY_SIDE),
        }
    }

    fn is_held_up(&self) -> bool {
        self.limits.hold_up() || self.content.was_created()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_by_whom_github_counts() {
        let accounts = Accounts::default();
        let one = accounts.account("h", Who::Token("ghp_a"));
        let shared = accounts.clone().account("h", Who::Token("ghp_a"));
        assert!(Arc::ptr_eq(&one, &shared));
        for other in [
            accounts.account("h", Who::Token("ghp_b")),
            accounts.account("i", Who::Token("ghp_a")),
            accounts.account("h", Who::App("ghp_a")),
            accounts.account("h", Who::Anonymous),
        ] {
            assert!(!Arc::ptr_eq(&one, &other));
        }
        assert!(!format!("{accounts:?}").contains("ghp"));
    }

    #[test]
    fn accounts_that_nobody_uses_are_forgotten() {
        let accounts = Accounts::default();
        let used = accounts.account("h", Who::Installation(0));
        for number in 1..=MAX_ACCOUNTS as u64 {
            accounts.account("h", Who::Installation(number));
        }
        assert!(lock(&accounts.0.known).len() <= 2);
        let again = accounts.account("h", Who::Installation(0));
        assert!(Arc::ptr_eq(&used, &again));
    }
}
