//! The JSON Schema of a tool's arguments, as a model reads it.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of `Args`, with every reference inlined: some model APIs refuse `$ref`.
pub(crate) fn input_schema<Args: JsonSchema>() -> JsonObject {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Args>();
    let mut schema = schema.to_value();
    tidy(&mut schema);
    let mut object = match schema {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    };
    for noise in ["$schema", "title"] {
        object.remove(noise);
    }
    object
}

/// Takes out what only Rust knows: where doc comments were wrapped, and number formats such as
/// `uint64`, which are not JSON Schema's and which some model APIs refuse.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if matches!(object.get("format"), Some(Value::String(format)) if is_rust_number(format))
            {
                object.remove("format");
            }
            if let Some(Value::String(description)) = object.get_mut("description") {
                *description = unwrapped(description);
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn is_rust_number(format: &str) -> bool {
    format.starts_with("uint") || format.starts_with("int")
}

/// The text with its paragraphs and lists, but without the line breaks inside them.
fn unwrapped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut after_break = true;
    for line in text.lines() {
        let stands_alone = line.is_empty() || line.starts_with(['-', '*', '#', ' ', '`']);
        if !whole.is_empty() {
            whole.push(if after_break || stands_alone {
                '\n'
            } else {
                ' '
            });
        }
        whole.push_str(line);
        after_break = line.is_empty();
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_are_joined_and_lists_are_kept() {
        let text = "One sentence\nover two lines.\n\nA list:\n- one\n- two";
        let whole = "One sentence over two lines.\n\nA list:\n- one\n- two";
        assert_eq!(unwrapped(text), whole);
    }

    /// Arguments.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only described")]
    struct Args {
        /// A number
        /// of lines.
        limit: Option<u64>,
    }

    #[test]
    fn what_only_rust_knows_is_left_out() {
        let schema = Value::Object(input_schema::<Args>());
        let expected = serde_json::json!({
            "description": "Arguments.",
            "type": "object",
            "properties": {"limit": {
                "description": "A number of lines.", "type": ["integer", "null"], "minimum": 0
            }}
        });
        assert_eq!(schema, expected);
    }
}
