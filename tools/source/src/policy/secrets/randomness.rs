//! Whether text looks drawn at random, or written by a person.

/// Parts of what people write in the place of a secret.
const PLACEHOLDERS: &[&str] = &[
    "example",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "dummy",
    "sample",
    "redacted",
    "your",
    "xxxx",
    "1234567890",
    "abcdef",
    "0000",
    "****",
    "....",
    "test",
    "fake",
    "todo",
    "${",
    "{{",
    "<",
    "$(",
    "%(",
];

/// Shannon's entropy of the bytes, in bits a byte.
pub(super) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = text.len() as f64;
    let share = |count: u32| f64::from(count) / total;
    let counts = counts.into_iter().filter(|count| *count > 0);
    -counts
        .map(|count| share(count) * share(count).log2())
        .sum::<f64>()
}

/// Whether a person wrote it to stand for a secret.
pub(super) fn is_placeholder(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|part| text.contains(part))
}

/// Whether it has letters and digits, as most random text has and most names have not.
pub(super) fn is_mixed(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_bytes() {
        assert!(entropy(b"aaaa").abs() < 1e-9);
        assert!((entropy(b"abab") - 1.0).abs() < 1e-9);
        assert!((entropy(b"abcdefgh") - 3.0).abs() < 1e-9);
    }

    #[test]
    fn placeholders_are_known() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_xxxxxxxxxxxxxxxxxxxx",
            "${TOKEN_OF_MINE_123}",
            "<your-key-9>",
        ] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
        assert!(!is_placeholder(b"q8Zr2LpVw9TkYc5Hn3Ds"));
    }
}
