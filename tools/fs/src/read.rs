//! The `read` tool.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroU64;

use pullwright_tool_kit::{Output, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Files, missing, text};

mod image;
mod pager;

use pager::Pager;

/// How many lines one answer shows unless asked otherwise.
const DEFAULT_LIMIT: u64 = 2000;

/// Prevents the search for a line number from reading a disk image.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// How much is read at a time; also enough to tell what kind of file it is.
const CHUNK_BYTES: usize = 64 * 1024;

/// Read a text file as numbered lines, or look at an image (png, jpg, gif, webp). Each line is its
/// number, a tab and the text; the number and the tab are not part of the file. Long files come in
/// pages: the last line of the answer says how to go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// The file, relative to the workspace or absolute inside it.
    path: String,
    /// The first line to show, counted from 1. Default 1.
    offset: Option<u64>,
    /// How many lines to show. Default 2000.
    limit: Option<NonZeroU64>,
}

pub(crate) fn read(files: &Files, args: &Read) -> Result<Output, Refusal> {
    let opened = files
        .workspace
        .locate(&args.path)
        .and_then(|place| place.open_file());
    let (mut file, stat) = opened.map_err(|error| missing::refusal(files, error))?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let failed = |error| Refusal::new(format!("cannot read `{}`: {error}", args.path));
    let mut head = vec![0; CHUNK_BYTES];
    let read = fill(&mut file, &mut head).map_err(failed)?;
    head.truncate(read);
    if let Some(media_type) = image::media_type(&head) {
        return image::show(&args.path, media_type, head, file, size);
    }
    if text::is_binary(&head) {
        return Err(Refusal::new(format!(
            "`{}` is a binary file of {size} bytes; look at it with a shell command such as file or xxd",
            args.path
        )));
    }
    if size > MAX_FILE_BYTES {
        return Err(Refusal::new(format!(
            "`{}` has {size} bytes, more than read goes through ({MAX_FILE_BYTES}); use grep, or a shell command such as sed -n '1,100p'",
            args.path
        )));
    }
    let limit = args.limit.map_or(DEFAULT_LIMIT, NonZeroU64::get);
    let mut pager = Pager::new(args.offset.unwrap_or(1).max(1), limit);
    while !head.is_empty() {
        pager.push(&head);
        head.resize(CHUNK_BYTES, 0);
        let read = fill(&mut file, &mut head).map_err(failed)?;
        head.truncate(read);
    }
    pager.finish(&args.path).map(Output::text)
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
