//! What a service says it did to a conversation before its model saw it.

use serde::Deserialize;

use crate::lenient::or_absent;

/// The most of a reason that is repeated.
const REASON_CHARS: usize = 200;

/// An entry of `input_transformations`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Transformation {
    #[serde(default, deserialize_with = "or_absent")]
    reason: Option<String>,
    #[serde(rename = "type", default, deserialize_with = "or_absent")]
    kind: Option<String>,
}

/// A sentence for people; none if nothing was done. It says no numbers, so that what happens again in the
/// next reply is told in the same words.
pub(crate) fn notice(provider: &str, all: &[Transformation]) -> Option<String> {
    let mut reasons: Vec<String> = all.iter().map(Transformation::why).collect();
    reasons.sort();
    reasons.dedup();
    (!reasons.is_empty()).then(|| {
        let reasons = reasons.join(", ");
        format!(
            "{provider}: the API left parts of the conversation out before the model saw it: {reasons}"
        )
    })
}

impl Transformation {
    fn why(&self) -> String {
        let why = self.reason.as_deref().or(self.kind.as_deref());
        why.unwrap_or("it does not say why")
            .chars()
            .take(REASON_CHARS)
            .collect()
    }
}
