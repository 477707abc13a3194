//! Whether an error means that the conversation is too long.

/// How services name it.
const NAMES: [&str; 4] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
    "model_max_prompt_tokens_exceeded",
];

/// How services say it, in lower case.
const TEXTS: [&str; 13] = [
    "maximum context length",
    "maximum prompt length",
    "maximum allowed input length",
    "context size",
    "context window",
    "context length",
    "prompt is too long",
    "input is too long",
    "input token count",
    "reduce the length of the messages",
    "too large for model with",
    "exceeds the model's maximum",
    "token count exceeds",
];

/// A reply limit above the model's own is not one: compaction would not mend it.
pub(super) fn is_overflow(names: &[String], message: &str) -> bool {
    let said = message.to_lowercase();
    if names.iter().any(|name| NAMES.contains(&name.as_str())) {
        return true;
    }
    TEXTS.iter().any(|text| said.contains(text)) && !is_reply_limit_alone(&said)
}

/// vLLM shows its sum: `(40000 > 32768 - 12)` is the limit's fault, `(8192 > 32768 - 30000)` is not.
fn is_reply_limit_alone(said: &str) -> bool {
    let about_limit = ["max_tokens", "max_completion_tokens"]
        .iter()
        .any(|key| said.contains(key));
    let is_too_large = about_limit && said.contains("is too large");
    is_too_large && sum(said).is_none_or(|(limit, context)| limit > context)
}

/// The first two numbers of such a sum.
fn sum(said: &str) -> Option<(u64, u64)> {
    let (_, sum) = said.rsplit_once('(')?;
    let (limit, rest) = sum.split_once(" > ")?;
    let (context, _) = rest.split_once(" - ")?;
    Some((limit.parse().ok()?, context.parse().ok()?))
}
