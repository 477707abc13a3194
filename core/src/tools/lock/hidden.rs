//! Characters that a person does not see and a model reads.

use std::collections::BTreeSet;

use serde_json::Value;

/// How many are named.
const MAX_NAMED: usize = 8;

/// Their code points, such as `U+200B`, wherever they are in the definition.
pub(super) fn hidden_characters(definition: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    collect(definition, &mut found);
    let named = found.into_iter().take(MAX_NAMED);
    named.map(|c| format!("U+{:04X}", u32::from(c))).collect()
}

fn collect(value: &Value, found: &mut BTreeSet<char>) {
    match value {
        Value::String(text) => found.extend(text.chars().filter(|c| is_hidden(*c))),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(map) => {
            for (key, value) in map {
                found.extend(key.chars().filter(|c| is_hidden(*c)));
                collect(value, found);
            }
        }
        _ => {}
    }
}

/// Control characters but for white space, what changes the direction of writing, what has no width, and
/// the tags, which spell out text that is never shown. A joiner within an emoji is not among them.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
            | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
