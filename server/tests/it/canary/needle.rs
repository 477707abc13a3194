//! What is looked for, in each way that it can be written.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use url::form_urlencoded;

/// A secret, in each way that it can be written.
#[derive(Clone)]
pub(super) struct Needle {
    forms: Vec<Vec<u8>>,
}

impl Needle {
    pub(super) fn new(secret: &str) -> Self {
        let escaped: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let small = escaped
            .replace("%2B", "%2b")
            .replace("%2F", "%2f")
            .replace("%3D", "%3d");
        let basic = STANDARD_NO_PAD.encode(format!("x-access-token:{secret}"));
        let alone = STANDARD_NO_PAD.encode(secret);
        let forms = [secret.to_owned(), escaped, small, basic, alone];
        Self {
            forms: forms.into_iter().map(String::into_bytes).collect(),
        }
    }

    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        self.forms.iter().any(|form| holds(text, form))
    }

    /// What stands around it, for a message.
    pub(super) fn context(&self, text: &str) -> String {
        let at = |form: &Vec<u8>| text.find(std::str::from_utf8(form).unwrap());
        let Some(at) = self.forms.iter().find_map(at) else {
            return String::new();
        };
        let from = text[..at].char_indices().rev().nth(300);
        let from = from.map_or(0, |(place, _)| place);
        text[from..at].to_owned()
    }

    /// The files that hold it. Pipes and sockets are none, and what is removed meanwhile is gone.
    pub(super) fn files_below(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => found.extend(self.files_below(&path)),
                Ok(kind) if kind.is_file() => {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    if self.is_in(&bytes) {
                        found.push(path.display().to_string());
                    }
                }
                _ => {}
            }
        }
        found
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    let first = part[0];
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(part) {
            return true;
        }
        from += at + 1;
    }
    false
}
