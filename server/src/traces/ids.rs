//! The ids of a run's spans, derived from the run's own: a run that goes on at another server stays in the
//! same trace, under the same root, though the servers never speak of it.

use opentelemetry::trace::{SpanId, TraceId};
use pullwright_protocol::RunId;
use sha2::{Digest, Sha256};

/// The ids of one run.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    run: RunId,
    trace: TraceId,
}

impl Ids {
    pub(super) fn of(run: &RunId) -> Self {
        // A run's id begins with the time, and samplers read a trace's id as a random number.
        let digest = Sha256::digest(run.0.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self {
            run: run.clone(),
            trace: TraceId::from_bytes(bytes),
        }
    }

    /// The first half of the SHA-256 of the run's id.
    pub(super) fn trace(&self) -> TraceId {
        self.trace
    }

    /// The span of the whole run.
    pub(super) fn root(&self) -> SpanId {
        self.span(0)
    }

    /// The span that is known by the event with this number.
    pub(super) fn span(&self, seq: u64) -> SpanId {
        let hash = Sha256::new()
            .chain_update(self.run.0.as_bytes())
            .chain_update(seq.to_be_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash.finalize()[..8]);
        SpanId::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_same_everywhere_and_differ_between_runs_and_spans() {
        let run = |text: &str| Ids::of(&RunId(text.to_owned()));
        let (one, again, other) = (run("a"), run("a"), run("b"));
        assert_eq!(one.trace(), again.trace());
        assert_eq!(one.root(), again.root());
        assert_eq!(one.span(7), again.span(7));
        assert_ne!(one.trace(), other.trace());
        assert_ne!(one.root(), other.root());
        assert_ne!(one.span(7), one.span(8));
        assert_eq!(
            one.trace().to_string(),
            "ca978112ca1bbdcafac231b39a23dc4d",
            "the beginning of the SHA-256 of `a`"
        );
    }
}
