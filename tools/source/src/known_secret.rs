//! The secrets that this server itself holds, and all forms in which one of them may stand in a text.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A shorter value is found everywhere, and is no secret that keeps anybody out, in bytes.
const MIN_BYTES: usize = 8;
/// The same of one line of several: the parts of a key in PEM are longer, in bytes.
const MIN_LINE_BYTES: usize = 16;

/// A secret, by the name under which it is configured.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownSecret {
    name: String,
    value: String,
}

impl KnownSecret {
    /// One that is called `name`, such as the variable it comes from. Fewer than eight bytes are not looked for.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }

    /// What is looked for: itself, or its lines where it has several.
    fn parts(&self) -> Vec<&str> {
        let value = self.value.trim();
        if !value.contains('\n') {
            return Some(value)
                .filter(|value| value.len() >= MIN_BYTES)
                .into_iter()
                .collect();
        }
        let lines = value.lines().map(str::trim);
        lines
            .filter(|line| line.len() >= MIN_LINE_BYTES && !line.starts_with("-----"))
            .collect()
    }
}

impl fmt::Debug for KnownSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownSecret({})", self.name)
    }
}

/// Finds all of them at once.
pub(crate) struct Finder {
    automaton: Option<AhoCorasick>,
    /// The name that goes with each form.
    names: Vec<String>,
}

/// A place where one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'f> {
    pub(crate) name: &'f str,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Finder {
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = &'s KnownSecret>) -> Self {
        let (mut forms, mut names) = (Vec::new(), Vec::new());
        for secret in secrets {
            let all: BTreeSet<Vec<u8>> = secret.parts().into_iter().flat_map(forms_of).collect();
            names.extend(std::iter::repeat_n(secret.name.clone(), all.len()));
            forms.extend(all);
        }
        let automaton = (!forms.is_empty()).then(|| AhoCorasick::new(forms).ok());
        Self {
            automaton: automaton.flatten(),
            names,
        }
    }

    pub(crate) fn find<'f>(&'f self, text: &'f [u8]) -> impl Iterator<Item = Found<'f>> {
        let all = self.automaton.as_ref();
        let hits = all.map(|all| all.find_iter(text)).into_iter().flatten();
        hits.map(|hit| Found {
            name: &self.names[hit.pattern().as_usize()],
            start: hit.start(),
            end: hit.end(),
        })
    }

    /// The text without them.
    pub(crate) fn redact(&self, text: &str) -> String {
        let (mut out, mut from) = (Vec::new(), 0);
        for found in self.find(text.as_bytes()) {
            out.extend(&text.as_bytes()[from..found.start]);
            out.extend("…".as_bytes());
            from = found.end;
        }
        out.extend(&text.as_bytes()[from..]);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Itself, in hexadecimal digits, as a URL has it, and in base64 wherever it begins in what was encoded.
fn forms_of(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    let lower = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    forms.push(lower.to_ascii_uppercase().into_bytes());
    forms.push(lower.into_bytes());
    forms.extend([true, false].map(|upper| percent_encoded(bytes, upper)));
    for shift in 0..3 {
        forms.push(base64_at(&STANDARD_NO_PAD, bytes, shift));
        forms.push(base64_at(&URL_SAFE_NO_PAD, bytes, shift));
    }
    forms
}

fn percent_encoded(bytes: &[u8], upper: bool) -> Vec<u8> {
    let mut out = String::new();
    for byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let _ = match (plain, upper) {
            (true, _) => write!(out, "{}", char::from(*byte)),
            (false, true) => write!(out, "%{byte:02X}"),
            (false, false) => write!(out, "%{byte:02x}"),
        };
    }
    out.into_bytes()
}

/// The digits that depend on these bytes alone, behind `shift` others.
fn base64_at(engine: &impl Engine, bytes: &[u8], shift: usize) -> Vec<u8> {
    const BITS_PER_DIGIT: usize = 6;
    let padded = [vec![0; shift], bytes.to_vec()].concat();
    let first = (shift * 8).div_ceil(BITS_PER_DIGIT);
    let last = padded.len() * 8 / BITS_PER_DIGIT;
    engine.encode(&padded).into_bytes()[first..last].to_vec()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const VALUE: &str = "p4ss/w0rd+of:Mine";

    fn names(secrets: &[KnownSecret], text: &[u8]) -> Vec<String> {
        let finder = Finder::new(secrets);
        finder
            .find(text)
            .map(|found| found.name.to_owned())
            .collect()
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let secrets = [KnownSecret::new("MY_KEY", VALUE)];
        let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut texts = vec![
            VALUE.to_owned(),
            hex.to_uppercase(),
            hex,
            "https://h/?k=p4ss%2Fw0rd%2Bof%3AMine&x".to_owned(),
            "https://h/?k=p4ss%2fw0rd%2bof%3aMine&x".to_owned(),
        ];
        for before in ["", "a", "ab", "abc", "user:"] {
            texts.push(STANDARD.encode(format!("{before}{VALUE}")));
            texts.push(URL_SAFE_NO_PAD.encode(format!("{before}{VALUE}{before}")));
        }
        for text in texts {
            let text = format!("key = \"{text}\"\n");
            assert_eq!(names(&secrets, text.as_bytes()), ["MY_KEY"], "{text}");
        }
        assert_eq!(names(&secrets, b"p4ss/w0rd+of:Min"), [""; 0]);
    }

    #[test]
    fn the_lines_of_a_key_are_found_one_by_one() {
        let pem =
            "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEAq8Zr2LpVw9TkYc5\nshort\n-----END KEY-----\n";
        let secrets = [KnownSecret::new("APP_KEY", pem)];
        assert_eq!(
            names(&secrets, b"x MIIEpAIBAAKCAQEAq8Zr2LpVw9TkYc5 y"),
            ["APP_KEY"]
        );
        assert_eq!(names(&secrets, b"-----BEGIN KEY-----\nshort"), [""; 0]);
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        for value in ["", "1234567", "  \n ", "a\nb\nc"] {
            let secrets = [KnownSecret::new("SHORT", value)];
            assert_eq!(names(&secrets, b"1234567 a b c"), [""; 0], "{value:?}");
        }
    }

    #[test]
    fn nothing_shows_the_value() {
        let secret = KnownSecret::new("MY_KEY", VALUE);
        assert_eq!(format!("{secret:?}"), "KnownSecret(MY_KEY)");
        let finder = Finder::new([&secret]);
        assert_eq!(finder.redact(&format!("a/{VALUE}/b")), "a/…/b");
    }
}
