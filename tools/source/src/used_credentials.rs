//! The credentials that were used last: they come and go with runs, and no change may hold one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use pullwright_protocol::forge::ForgeCredential;

use crate::known_secret::KnownSecret;

/// How many are remembered: more than there are runs at work at once.
const MAX_REMEMBERED: usize = 1024;

#[derive(Default)]
pub(crate) struct UsedCredentials(Mutex<VecDeque<KnownSecret>>);

impl UsedCredentials {
    pub(crate) fn note(&self, credential: Option<&ForgeCredential>) {
        let Some((credential, password)) =
            credential.and_then(|credential| Some((credential, credential.password.as_ref()?)))
        else {
            return;
        };
        let name = format!("the credential for `{}`", credential.origin);
        let secret = KnownSecret::new(name, password);
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains(&secret) {
            return;
        }
        if used.len() == MAX_REMEMBERED {
            used.pop_front();
        }
        used.push_back(secret);
    }

    pub(crate) fn all(&self) -> Vec<KnownSecret> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.iter().cloned().collect()
    }
}

impl fmt::Debug for UsedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UsedCredentials")
    }
}
