//! The schemas of what is read and written, from the types themselves.

use pullwright_protocol::{Frame, LoggedEvent, RunRequest};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::api::answers::{
    AuditPage, CancelAccepted, DeliveryTaken, EventPage, Health, MessageAccepted, RunAccepted,
    RunPage, Version,
};
use crate::api::body::SaidToRun;
use crate::problem::Problem;

/// All schemas by their names.
pub(super) fn all() -> Map<String, Value> {
    let mut written = generator(SchemaSettings::for_serialize);
    add::<RunPage>(&mut written);
    add::<RunAccepted>(&mut written);
    add::<CancelAccepted>(&mut written);
    add::<MessageAccepted>(&mut written);
    add::<DeliveryTaken>(&mut written);
    add::<EventPage>(&mut written);
    add::<LoggedEvent>(&mut written);
    add::<Frame>(&mut written);
    add::<AuditPage>(&mut written);
    add::<Health>(&mut written);
    add::<Version>(&mut written);
    add::<Problem<'_>>(&mut written);
    let mut schemas = written.take_definitions(true);
    schemas.insert("NewRun".to_owned(), read::<RunRequest>());
    schemas.insert("SaidToRun".to_owned(), read::<SaidToRun>());
    schemas.insert("GithubDelivery".to_owned(), json!({ "type": "object" }));
    schemas.insert("Document".to_owned(), json!({ "type": "object" }));
    schemas
}

/// The schema of a body. What a request may leave out, a run's record always has: so one type may have two.
fn read<T: JsonSchema>() -> Value {
    let settings = |settings: SchemaSettings| {
        settings
            .for_deserialize()
            .with(|settings| settings.inline_subschemas = true)
    };
    let mut schema = generator(settings).into_root_schema_for::<T>();
    schema.remove("title");
    schema.into()
}

fn generator(settings: impl FnOnce(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    let usual = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings(usual.with_transform(PlainWords)).into_generator()
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// Takes out of descriptions what only documentation of code can follow: links, and line breaks of the
/// source.
#[derive(Clone, Debug)]
struct PlainWords;

impl Transform for PlainWords {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            let paragraphs = text.split("\n\n").map(|text| text.replace('\n', " "));
            let paragraphs = paragraphs.collect::<Vec<_>>().join("\n\n");
            *text = paragraphs.replace("[`", "`").replace("`]", "`");
        }
        transform_subschemas(self, schema);
    }
}
