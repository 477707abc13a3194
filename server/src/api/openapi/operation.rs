//! What is said of one method of one route.

use serde_json::{Map, Value, json};

/// The refusals that every route behind the gate may give: a bad parameter, no key, no right, too often,
/// a store that fails.
const GATED: &[u16] = &[400, 401, 403, 429, 503];
/// Those of the open routes: a bad or foreign host.
const OPEN: &[u16] = &[400, 403];

/// One method of one route.
pub(super) struct Operation {
    /// In lower case.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What generated clients call it.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// Whether it is answered without a key.
    pub(super) is_open: bool,
    /// By their names among the components.
    pub(super) parameters: &'static [&'static str],
    /// The schema of the JSON that it takes.
    pub(super) body: Option<&'static str>,
    pub(super) answers: &'static [Answer],
    /// The statuses of its problems, beside those that all routes have.
    pub(super) refusals: &'static [u16],
}

/// An answer that is no problem.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// By their names among the components.
    pub(super) headers: &'static [&'static str],
    pub(super) content: &'static [Content],
}

/// A media type, and what it holds.
pub(super) enum Content {
    /// JSON of this schema.
    Json(&'static str),
    /// Server-Sent Events; the `data` of each is JSON of this schema.
    EventStream(&'static str),
    /// Text of this media type.
    Text(&'static str),
}

impl Operation {
    /// As the document has it.
    pub(super) fn described(&self) -> Value {
        let mut described = json!({
            "operationId": self.id,
            "summary": self.summary,
            "responses": self.responses(),
        });
        if !self.description.is_empty() {
            described["description"] = json!(self.description);
        }
        if !self.parameters.is_empty() {
            let parameters = self.parameters.iter();
            described["parameters"] = parameters.map(|name| part("parameters", name)).collect();
        }
        if let Some(schema) = self.body {
            described["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": part("schemas", schema) } },
            });
        }
        if self.is_open {
            described["security"] = json!([]);
        }
        described
    }

    fn responses(&self) -> Map<String, Value> {
        let answers = self.answers.iter();
        let answers = answers.map(|answer| (answer.status, answer.described()));
        let usual = if self.is_open { OPEN } else { GATED };
        let refusals = usual.iter().chain(self.refusals);
        let refusals = refusals.map(|status| (*status, part("responses", &status.to_string())));
        let responses = answers.chain(refusals);
        responses
            .map(|(status, response)| (status.to_string(), response))
            .collect()
    }
}

impl Answer {
    fn described(&self) -> Value {
        let mut described = json!({ "description": self.description });
        if !self.headers.is_empty() {
            let headers = self.headers.iter();
            let headers = headers.map(|name| ((*name).to_owned(), part("headers", name)));
            described["headers"] = Value::Object(headers.collect());
        }
        if !self.content.is_empty() {
            let content = self.content.iter().map(Content::described);
            described["content"] = Value::Object(content.collect());
        }
        described
    }
}

impl Content {
    fn described(&self) -> (String, Value) {
        match self {
            Self::Json(schema) => {
                let schema = part("schemas", schema);
                ("application/json".to_owned(), json!({ "schema": schema }))
            }
            Self::EventStream(schema) => {
                let stream = json!({ "schema": event(schema) });
                ("text/event-stream".to_owned(), stream)
            }
            Self::Text(media_type) => {
                let text = json!({ "schema": { "type": "string" } });
                ((*media_type).to_owned(), text)
            }
        }
    }
}

/// One event of a stream, once its lines are read. OpenAPI 3.1 has no word for a stream of them; this is
/// what 3.2 calls its `itemSchema`.
fn event(schema: &str) -> Value {
    json!({
        "type": "object",
        "description": "One event of the stream. Lines that begin with a colon are none: they keep the \
            connection awake.",
        "properties": {
            "id": {
                "type": "string",
                "description": "Its number in the run's log. Two last events without one say that the \
                    log cannot be read any more.",
            },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": part("schemas", schema),
            },
        },
        "required": ["data"],
    })
}

/// A reference to a component.
fn part(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
