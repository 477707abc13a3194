//! A call's arguments, and what is wrong with them in words a model can act on.

use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::Refusal;

/// How alike two names must be to suggest one for the other; 1.0 is equal.
const ALIKE: f64 = 0.75;

/// Wrong arguments are the model's to mend, so they are a refusal, not a protocol error.
pub(crate) fn parse_arguments<Args: DeserializeOwned>(
    arguments: JsonObject,
    schema: &JsonObject,
) -> Result<Args, Refusal> {
    // Known before the parse takes the arguments, used only if it fails.
    let problems = problems(&arguments, schema);
    serde_json::from_value(Value::Object(arguments)).map_err(|error| {
        let reason = match problems.is_empty() {
            true => error.to_string(),
            false => problems.join("; "),
        };
        Refusal::new(format!("the arguments do not fit the tool: {reason}"))
    })
}

/// Every argument that the schema does not allow, and every one it misses.
fn problems(arguments: &JsonObject, schema: &JsonObject) -> Vec<String> {
    let none = JsonObject::new();
    let known = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let unknown = arguments
        .keys()
        .filter(|name| closed && !known.contains_key(*name));
    let mut problems: Vec<String> = unknown.map(|name| unknown_field(name, known)).collect();
    for (name, value) in arguments {
        problems.extend(
            known
                .get(name)
                .and_then(|schema| wrong_type(name, value, schema)),
        );
    }
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| !arguments.contains_key(*name));
    problems.extend(missing.map(|name| format!("`{name}` is missing")));
    problems
}

fn unknown_field(name: &str, known: &JsonObject) -> String {
    if let Some(nearest) = nearest(name, known.keys()) {
        return format!("there is no `{name}`, did you mean `{nearest}`?");
    }
    let known: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
    format!("there is no `{name}`, only {}", known.join(", "))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let likeness = |other: &String| {
        let part_of = name.contains(other.as_str()) || other.contains(name);
        strsim::jaro_winkler(name, other).max(if part_of { ALIKE } else { 0.0 })
    };
    known
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

fn wrong_type(name: &str, value: &Value, schema: &Value) -> Option<String> {
    let wanted: Vec<&str> = match schema.get("type")? {
        Value::String(wanted) => vec![wanted],
        Value::Array(wanted) => wanted.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if wanted.iter().any(|wanted| is_of_type(value, wanted)) {
        return None;
    }
    let wanted: Vec<&str> = wanted
        .into_iter()
        .filter(|wanted| *wanted != "null")
        .collect();
    Some(format!(
        "`{name}` must be of type {}, but is {}",
        wanted.join(" or "),
        type_of(value)
    ))
}

fn is_of_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        wanted => type_of(value) == wanted,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments of a tool.
    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Edit {
        path: String,
        old_str: String,
        limit: Option<usize>,
    }

    fn refusal(arguments: Value) -> String {
        let schema = schemars::schema_for!(Edit).to_value();
        let schema = schema.as_object().unwrap();
        let arguments = arguments.as_object().unwrap().clone();
        parse_arguments::<Edit>(arguments, schema).unwrap_err().0
    }

    #[test]
    fn an_unknown_field_names_the_nearest() {
        let said = refusal(serde_json::json!({"file_path": "a", "old_string": "b"}));
        assert_eq!(
            said,
            "the arguments do not fit the tool: there is no `file_path`, did you mean `path`?; \
             there is no `old_string`, did you mean `old_str`?; `path` is missing; `old_str` is missing"
        );
    }

    #[test]
    fn a_field_like_no_other_lists_them_all() {
        let said = refusal(serde_json::json!({"path": "a", "old_str": "b", "zzz": 1}));
        assert!(
            said.ends_with("there is no `zzz`, only `limit`, `old_str`, `path`"),
            "{said}"
        );
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let said = refusal(serde_json::json!({"path": "a", "old_str": "b", "limit": "5"}));
        assert!(
            said.ends_with("`limit` must be of type integer, but is string"),
            "{said}"
        );
    }

    #[test]
    fn what_the_schema_cannot_say_is_said_by_the_parser() {
        let said = refusal(serde_json::json!({"path": "a", "old_str": "b", "limit": -5}));
        assert!(said.contains("invalid value: integer `-5`"), "{said}");
    }
}
