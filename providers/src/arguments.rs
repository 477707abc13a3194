//! The arguments of a tool call for APIs that take objects only.

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// The argument text as a JSON object; what is none is wrapped into one.
pub(crate) fn object(arguments: &str) -> Box<RawValue> {
    match RawValue::from_string(arguments.trim().to_owned()) {
        Ok(object) if object.get().starts_with('{') => object,
        _ => to_raw_value(&json!({ "invalid_json": arguments }))
            .unwrap_or_else(|_| RawValue::NULL.to_owned()),
    }
}
