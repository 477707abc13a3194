//! An answer against the document: status, headers, media type, and the names of its fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::exchange::Exchange;
use crate::api::server::data;

/// What only some answers of their kind have.
const SOMETIMES: [&str; 4] = ["Link", "Retry-After", "Cache-Control", "X-Accel-Buffering"];

pub(super) fn check(document: &Value, exchange: &Exchange) {
    let Exchange {
        method,
        path,
        status,
        headers,
        body,
    } = exchange;
    let shown = format!("{method} {path} {status}");
    let said = &document["paths"][path][method]["responses"][status.to_string()];
    let said = resolved(document, said);
    assert!(said.is_object(), "{shown} is not in the document: {body}");
    for name in said["headers"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys())
    {
        let is_there = headers.contains_key(&name.to_lowercase());
        assert!(
            is_there || SOMETIMES.contains(&name.as_str()),
            "{shown}: {name}"
        );
    }
    let Some(content) = said["content"].as_object() else {
        assert_eq!(body, "", "{shown}");
        return;
    };
    let media_type = &headers["content-type"];
    let content = content.get(media_type);
    let content = content.unwrap_or_else(|| panic!("{shown}: {media_type}"));
    match media_type.as_str() {
        "text/event-stream" => {
            let schema = &content["schema"]["properties"]["data"]["contentSchema"];
            let events = data(body);
            assert!(!events.is_empty(), "{shown}: {body}");
            events
                .iter()
                .for_each(|event| fields(document, schema, event, &shown));
        }
        json if json.ends_with("json") => {
            let value = serde_json::from_str(body).expect("JSON");
            fields(document, &content["schema"], &value, &shown);
        }
        _ => assert!(!body.is_empty(), "{shown}"),
    }
}

/// Checks the names of a value's fields, where the schema has some of its own.
fn fields(document: &Value, schema: &Value, value: &Value, shown: &str) {
    let schema = resolved(document, schema);
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let there: BTreeSet<&String> = value.as_object().expect("an object").keys().collect();
    let known: BTreeSet<&String> = properties.keys().collect();
    assert!(there.is_subset(&known), "{shown}: {there:?} {known:?}");
    for required in schema["required"].as_array().into_iter().flatten() {
        let name = required.as_str().expect("a name");
        assert!(value.get(name).is_some(), "{shown}: {name} is missing");
    }
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("a reference within");
            document.pointer(pointer).expect("what it refers to")
        }
        None => value,
    }
}
