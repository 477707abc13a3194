//! A tool as the APIs declare it that took the form over from Chat Completions.

use pullwright_protocol::ToolSpec;
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Debug, Serialize)]
pub(crate) struct FunctionTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a RawValue,
}

impl<'a> FunctionTool<'a> {
    pub(crate) fn of(spec: &'a ToolSpec) -> Self {
        Self {
            kind: "function",
            function: Function {
                name: &spec.name,
                description: &spec.description,
                parameters: spec.input_schema.as_raw(),
            },
        }
    }
}
