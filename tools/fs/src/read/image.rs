//! Images, as a model that can see takes them.

use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pullwright_tool_kit::protocol::Part;
use pullwright_tool_kit::{Output, Refusal};

/// Model APIs refuse images above about 5 MB in base64, and with them the whole request.
const MAX_IMAGE_BYTES: u64 = 3_750_000;

/// The media type of a file that begins with `head`, if it is an image that models take. The name
/// may lie, the bytes do not.
pub(super) fn media_type(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

/// The image that begins with `head` and goes on in `rest`.
pub(super) fn show(
    path: &str,
    media_type: &'static str,
    head: Vec<u8>,
    rest: File,
    size: u64,
) -> Result<Output, Refusal> {
    let mut bytes = head;
    let room = (MAX_IMAGE_BYTES + 1).saturating_sub(bytes.len() as u64);
    rest.take(room)
        .read_to_end(&mut bytes)
        .map_err(|error| Refusal::new(format!("cannot read `{path}`: {error}")))?;
    if size.max(bytes.len() as u64) > MAX_IMAGE_BYTES {
        return Err(Refusal::new(format!(
            "the image `{path}` has {size} bytes, more than can be shown ({MAX_IMAGE_BYTES}); make a smaller copy with a shell command"
        )));
    }
    let image = Part::Image {
        media_type: media_type.to_owned(),
        data: STANDARD.encode(&bytes),
    };
    let mut output = Output::text(format!("`{path}`: {media_type}, {} bytes", bytes.len()));
    output.parts.push(image);
    Ok(output)
}
