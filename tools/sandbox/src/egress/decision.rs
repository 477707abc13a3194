//! What the rules of the moment say about a target.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::address::{AddressClass, classify};
use super::host::Target;
use super::refusal::Reason;
use super::rules::EgressRules;

/// That a target may be reached, for as long as the rules say so.
#[derive(Debug)]
pub(super) struct Grant<'a> {
    target: &'a Target,
    may_be_private: bool,
}

impl<'a> Grant<'a> {
    pub(super) fn ask(rules: &EgressRules, target: &'a Target) -> Result<Self, Reason> {
        rules.check(target)?;
        Ok(Self {
            target,
            may_be_private: rules.permits_private(target),
        })
    }

    /// Whether a name that has these addresses is what was meant. One bad address spoils all: it
    /// means that the name's owner, or who answers for him, is not to be trusted.
    pub(super) fn check_addresses(&self, addresses: &[IpAddr]) -> Result<(), Reason> {
        for address in addresses {
            match classify(*address) {
                AddressClass::Public => {}
                AddressClass::Private if self.may_be_private => {}
                AddressClass::Private => return Err(Reason::PrivateAddress),
                AddressClass::Forbidden => return Err(Reason::ForbiddenAddress),
            }
        }
        Ok(())
    }

    /// Waits until the rules take it back.
    pub(super) async fn revoked(&self, rules: &mut watch::Receiver<Arc<EgressRules>>) {
        while rules.changed().await.is_ok() {
            if !self.holds(&rules.borrow_and_update()) {
                return;
            }
        }
        // Nobody can change the rules any more.
        std::future::pending().await
    }

    fn holds(&self, rules: &EgressRules) -> bool {
        rules.check(self.target).is_ok()
            && (!self.may_be_private || rules.permits_private(self.target))
    }
}
