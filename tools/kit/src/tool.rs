//! The definition of a tool.

use std::borrow::Cow;

use pullwright_protocol::tool::{EDIT_FORMAT_META_KEY, ROLE_META_KEY, VIEW_META_KEY};
use pullwright_protocol::{Part, ToolView};
use rmcp::model::{
    ContentBlock, JsonObject, MetaObject, Resource, ResourceContents, Tool, ToolAnnotations,
};
use schemars::JsonSchema;
use serde_json::Value;

use crate::call::Attachment;
use crate::schema::input_schema;

/// What a tool says of itself. Its description is the doc comment of its argument type.
#[derive(Clone, Debug)]
pub struct ToolDef {
    name: Cow<'static, str>,
    description: Option<String>,
    read_only: bool,
    idempotent: bool,
    view: ToolView,
    role: Option<&'static str>,
    edit_format: Option<&'static str>,
    schema: Option<JsonObject>,
}

impl ToolDef {
    /// A tool of this name.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            description: None,
            read_only: false,
            idempotent: false,
            view: ToolView::Plain,
            role: None,
            edit_format: None,
            schema: None,
        }
    }

    /// It changes nothing, so calls of one turn may run side by side.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self.idempotent = true;
        self
    }

    /// The same call twice does the same as once, so it may be tried again.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// How its calls are shown.
    #[must_use]
    pub fn view(mut self, view: ToolView) -> Self {
        self.view = view;
        self
    }

    /// Its role in the pipeline; a tool with a role is never offered to a model.
    #[must_use]
    pub fn role(mut self, role: &'static str) -> Self {
        self.role = Some(role);
        self
    }

    /// The format in which it changes files; a model is offered the one that suits it.
    #[must_use]
    pub fn edit_format(mut self, format: &'static str) -> Self {
        self.edit_format = Some(format);
        self
    }

    /// The schema of its arguments, word for word, instead of the one of its argument type: for a schema
    /// that comes from elsewhere. Its `description` is the tool's.
    #[must_use]
    pub fn schema(mut self, schema: JsonObject) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Its description, instead of the doc comment of its argument type.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    pub(crate) fn name(&self) -> &Cow<'static, str> {
        &self.name
    }

    /// The MCP definition, with the schema and the description of `Args`.
    pub(crate) fn describe<Args: JsonSchema>(&self) -> Tool {
        let mut schema = self.schema.clone().unwrap_or_else(input_schema::<Args>);
        let description = match &self.description {
            Some(text) => text.clone(),
            None => match schema.remove("description") {
                Some(Value::String(text)) => text,
                _ => String::new(),
            },
        };
        let mut meta = MetaObject::default();
        if self.view != ToolView::Plain
            && let Ok(view) = serde_json::to_value(&self.view)
        {
            meta.insert(VIEW_META_KEY.to_owned(), view);
        }
        if let Some(role) = self.role {
            meta.insert(ROLE_META_KEY.to_owned(), Value::String(role.to_owned()));
        }
        if let Some(format) = self.edit_format {
            meta.insert(EDIT_FORMAT_META_KEY.to_owned(), format.into());
        }
        let mut tool = Tool::new(self.name.clone(), description, schema).with_annotations(
            ToolAnnotations::new()
                .read_only(self.read_only)
                .idempotent(self.idempotent),
        );
        if !meta.is_empty() {
            tool.meta = Some(meta);
        }
        tool
    }
}

pub(crate) fn attached(attachment: Attachment) -> ContentBlock {
    match attachment {
        Attachment::Audio { media_type, data } => ContentBlock::audio(data, media_type),
        Attachment::Document {
            uri,
            media_type,
            text,
        } => {
            let contents = ResourceContents::text(text, uri).with_mime_type(media_type);
            ContentBlock::resource(contents)
        }
        Attachment::Link { uri, name } => ContentBlock::resource_link(Resource::new(uri, name)),
    }
}

pub(crate) fn content_of(part: Part) -> ContentBlock {
    match part {
        Part::Text { text } => ContentBlock::text(text),
        Part::Image { media_type, data } => ContentBlock::image(data, media_type),
    }
}
