//! A tool's answer, as a model can read it.

use pullwright_protocol::Part;
use rmcp::model::{CallToolResult, ContentBlock, Resource, ResourceContents};
use serde_json::Value;

/// The kinds of pictures that model APIs take; another one would end the run.
const PICTURES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// A tool's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolAnswer {
    /// What the model sees.
    pub parts: Vec<Part>,
    /// The same in the tool's own structure.
    pub structured: Option<Value>,
    /// Whether the tool says that it failed.
    pub is_error: bool,
}

pub(super) fn answer_of(result: CallToolResult) -> ToolAnswer {
    let mut parts: Vec<Part> = result.content.into_iter().map(part_of).collect();
    if parts.is_empty() {
        let structured = result.structured_content.as_ref();
        parts.push(Part::text(
            structured.map_or_else(String::new, Value::to_string),
        ));
    }
    ToolAnswer {
        parts,
        structured: result.structured_content,
        is_error: result.is_error.unwrap_or(false),
    }
}

fn part_of(block: ContentBlock) -> Part {
    match block {
        ContentBlock::Text(text) => Part::text(text.text),
        ContentBlock::Image(image) => picture(image.mime_type, image.data),
        ContentBlock::Resource(embedded) => embedded_part(embedded.resource),
        ContentBlock::ResourceLink(link) => Part::text(link_line(&link)),
        ContentBlock::Audio(audio) => Part::text(format!(
            "[audio of type {}, which cannot be played here]",
            audio.mime_type
        )),
        _ => Part::text("[content of an unknown kind]"),
    }
}

fn picture(media_type: String, data: String) -> Part {
    if !PICTURES.contains(&media_type.as_str()) {
        return Part::text(format!(
            "[a picture of type {media_type}, which cannot be shown here]"
        ));
    }
    if !is_base64(&data) {
        return Part::text("[a picture that is not encoded as base64]");
    }
    Part::Image { media_type, data }
}

fn embedded_part(resource: ResourceContents) -> Part {
    match resource {
        ResourceContents::TextResourceContents { uri, text, .. } => {
            Part::text(format!("[resource {uri}]\n{text}"))
        }
        ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob,
            ..
        } => {
            let media_type = mime_type.unwrap_or_else(|| "unknown".to_owned());
            if PICTURES.contains(&media_type.as_str()) {
                return picture(media_type, blob);
            }
            let bytes = blob.len() / 4 * 3;
            Part::text(format!(
                "[resource {uri}: about {bytes} bytes of type {media_type}, which cannot be shown here]"
            ))
        }
        _ => Part::text("[a resource of an unknown kind]"),
    }
}

/// A link is named, never fetched: it may point anywhere.
fn link_line(link: &Resource) -> String {
    let name = link.title.as_ref().unwrap_or(&link.name);
    match &link.description {
        Some(description) => format!(
            "[link to the resource {} ({name}): {description}]",
            link.uri
        ),
        None => format!("[link to the resource {} ({name})]", link.uri),
    }
}

fn is_base64(data: &str) -> bool {
    let digits = data.trim_end_matches('=');
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    !digits.is_empty()
        && data.len().is_multiple_of(4)
        && data.len() - digits.len() <= 2
        && digits.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(content: Value) -> Vec<Part> {
        let result = serde_json::from_value(json!({ "content": content })).unwrap();
        answer_of(result).parts
    }

    #[test]
    fn pictures_are_shown_where_a_model_can_see_them() {
        let picture = |kind: &str, data: &str| {
            read(json!([{ "type": "image", "mimeType": kind, "data": data }]))
        };
        let shown = Part::Image {
            media_type: "image/png".to_owned(),
            data: "AAAA".to_owned(),
        };
        assert_eq!(picture("image/png", "AAAA"), [shown]);
        for bad in [
            picture("image/svg+xml", "AAAA"),
            picture("image/png", "not base64"),
            picture("image/png", "===="),
            picture("image/png", ""),
        ] {
            assert!(matches!(&bad[..], [Part::Text { .. }]), "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_named() {
        let parts = read(json!([
            { "type": "audio", "mimeType": "audio/wav", "data": "AAAA" },
            { "type": "resource_link", "uri": "file:///etc/passwd", "name": "passwords" },
            { "type": "resource", "resource": { "uri": "x://a", "text": "inside" } },
            { "type": "resource", "resource": { "uri": "x://b", "blob": "AAAA", "mimeType": "application/zip" } },
        ]));
        let texts = [
            "[audio of type audio/wav, which cannot be played here]",
            "[link to the resource file:///etc/passwd (passwords)]",
            "[resource x://a]\ninside",
            "[resource x://b: about 3 bytes of type application/zip, which cannot be shown here]",
        ];
        assert_eq!(parts, texts.map(Part::text));
    }

    #[test]
    fn structure_alone_is_an_answer_too() {
        let result = json!({ "content": [], "structuredContent": { "n": 1 } });
        let answer = answer_of(serde_json::from_value(result).unwrap());
        assert_eq!(answer.parts, [Part::text("{\"n\":1}")]);
    }
}
