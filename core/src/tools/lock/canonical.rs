//! A definition as JSON that is the same whenever the definition is.

use std::fmt::Write as _;

use pullwright_protocol::tool::{ROLE_META_KEY, VIEW_META_KEY};
use rmcp::model::Tool;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The definition, without the `_meta` that means nothing here, with all keys in order.
pub(super) fn canonical(tool: &Tool) -> Value {
    // A definition prints as JSON by construction.
    let mut definition = serde_json::to_value(tool).unwrap_or_default();
    if let Some(meta) = definition.get_mut("_meta").and_then(Value::as_object_mut) {
        meta.retain(|key, _| key == VIEW_META_KEY || key == ROLE_META_KEY);
    }
    sorted(definition)
}

/// The SHA-256 of canonical JSON, in hexadecimal.
pub(super) fn fingerprint(canonical: &Value) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(canonical.to_string()) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Maps keep their order where some crate asks for that, so it is made the same.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries.into_iter();
            Value::Object(Map::from_iter(
                entries.map(|(key, value)| (key, sorted(value))),
            ))
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}
