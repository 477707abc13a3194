//! Whether an error means that a service does not take its model's reasoning back: it was changed, stands in
//! another conversation or another account than it was said in, or some of it is missing.

/// How services say it, in lower case. Gateways pass on the words of others, so they are the same for all.
const TEXTS: [&str; 9] = [
    "`signature` in `thinking` block",
    "thinking.signature",
    "`thinking` or `redacted_thinking` blocks",
    "expected `thinking` or `redacted_thinking`",
    "of type 'reasoning' was provided without its required",
    "without its required 'reasoning' item",
    "encrypted content could not be",
    "thought_signature",
    "thought signature",
];

/// An error without a status is one in the stream.
pub(crate) fn is_rejected_reasoning(status: Option<u16>, message: &str) -> bool {
    let is_about_the_request = matches!(status, None | Some(400 | 422));
    let said = message.to_lowercase();
    is_about_the_request && TEXTS.iter().any(|text| said.contains(text))
}
