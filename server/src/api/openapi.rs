//! The description of this API: OpenAPI 3.1, <https://spec.openapis.org/oas/v3.1.1>.
//!
//! [`operations`] is the table of what there is; the schemas come from the very types that are read and
//! written. What is said here is compared with the router, and with answers of a real server, by tests.

mod operation;
mod operations;
mod parts;
mod schemas;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// The version of OpenAPI that the document is written in.
const OPENAPI: &str = "3.1.1";

const ABOUT: &str = "One sentence in, a pull request out. Where API keys are in use, each request but \
    the open ones carries one. HEAD works where GET does. Unknown fields, and unknown \
    parameters where there are any, are refused. \
    What `/v1` answers today it answers tomorrow: within `/v1` there may be new routes, parameters, \
    fields, kinds of events and frames, and words of enumerations; nothing is taken away or changes \
    its meaning.";

static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The document.
#[must_use]
pub fn document() -> Value {
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "Pullwright",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "paths": paths(),
        "components": {
            "schemas": schemas::all(),
            "parameters": parts::parameters(),
            "headers": parts::headers(),
            "responses": parts::problems(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, made by `pullwright keys create`. Not needed on a \
                        server that only its own machine reaches and that has no keys.",
                },
            },
        },
    })
}

pub(super) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in operations::ALL {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.described();
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The committed document; with this variable set, a test writes it.
    const WRITE: &str = "PULLWRIGHT_WRITE_SCHEMA";

    #[test]
    fn the_committed_document_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == text,
            "set {WRITE}=1 and run this test to write {path} anew"
        );
    }

    #[test]
    fn each_part_is_there_and_used() {
        let document = document();
        let mut used = BTreeSet::new();
        references(&document, &mut used);
        for reference in &used {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for kind in ["schemas", "parameters", "headers", "responses"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(used.contains(&reference), "{reference} is of no use");
            }
        }
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.insert(reference.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
}
