//! Refusals, of which an attacker can cause any number, as a bounded number of entries.

use std::collections::HashMap;

use super::audit::{Action, AuditEntry};

/// How many different refusals get an entry of their own between two summaries: with a summary every
/// minute, an attacker with any number of addresses adds some megabytes to the record in a day.
const MOST_KINDS: usize = 64;

/// The refusals since the last summary.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The entry of each that was recorded, and how often the same came again.
    known: HashMap<Kind, (AuditEntry, u64)>,
    others: u64,
}

/// Who was refused, from where, and why.
type Kind = (Option<String>, Option<String>, Option<String>);

impl Refusals {
    /// Notes a refusal. The first of its kind is answered, to be recorded at once.
    pub(super) fn note(&mut self, entry: AuditEntry) -> Option<AuditEntry> {
        let kind = (
            entry.actor.clone(),
            entry.address.clone(),
            entry.detail.clone(),
        );
        if let Some((_, again)) = self.known.get_mut(&kind) {
            *again += 1;
            return None;
        }
        if self.known.len() == MOST_KINDS {
            self.others += 1;
            return None;
        }
        self.known.insert(kind, (entry.clone(), 0));
        Some(entry)
    }

    /// What came again since the last summary, to be recorded now.
    pub(super) fn summary(&mut self) -> Vec<AuditEntry> {
        let again = self.known.drain().map(|(_, repeated)| repeated);
        let again = again.filter(|(_, times)| *times > 0);
        let mut entries: Vec<_> = again
            .map(|(entry, times)| repeated(&entry, times))
            .collect();
        if self.others > 0 {
            let others = AuditEntry::now(None, Action::AccessRefused).refused();
            entries.push(AuditEntry {
                count: std::mem::take(&mut self.others),
                ..others.saying("more refusals of other kinds within a minute")
            });
        }
        entries
    }
}

fn repeated(entry: &AuditEntry, times: u64) -> AuditEntry {
    let now = AuditEntry::now(entry.actor.as_deref(), entry.action).refused();
    AuditEntry {
        address: entry.address.clone(),
        detail: entry.detail.clone(),
        count: times,
        ..now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(from: u32, why: &str) -> AuditEntry {
        let entry = AuditEntry::now(None, Action::AccessRefused).refused();
        entry
            .from(std::net::Ipv4Addr::from(from).into())
            .saying(why)
    }

    #[test]
    fn what_comes_again_is_counted_once_a_minute() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(refusal(1, "wrong key")).is_some());
        for _ in 0..1000 {
            assert_eq!(refusals.note(refusal(1, "wrong key")), None);
        }
        assert!(
            refusals.note(refusal(1, "no key")).is_some(),
            "another reason"
        );
        let summary = refusals.summary();
        assert_eq!(summary.len(), 1);
        assert_eq!(summary[0].count, 1000);
        assert_eq!(summary[0].address.as_deref(), Some("0.0.0.1"));
        assert!(refusals.summary().is_empty());
        assert!(
            refusals.note(refusal(1, "wrong key")).is_some(),
            "a new minute"
        );
    }

    #[test]
    fn any_number_of_addresses_makes_a_bounded_number_of_entries() {
        let mut refusals = Refusals::default();
        let recorded = (0..10_000).filter(|n| refusals.note(refusal(*n, "no key")).is_some());
        assert_eq!(recorded.count(), MOST_KINDS);
        let summary = refusals.summary();
        assert_eq!(summary.len(), 1);
        assert_eq!(summary[0].count, 10_000 - MOST_KINDS as u64);
    }
}
