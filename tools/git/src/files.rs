//! Files of the workspace as they are: never through a link, never blocking on a pipe.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// What was found where a file was looked for.
pub(crate) enum Opened {
    /// A regular file, open for reading.
    Regular(File, Metadata),
    /// Something else.
    Other,
}

/// Opens a regular file for reading.
pub(crate) fn open_file(path: &Path) -> io::Result<Opened> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(Opened::Other);
    }
    // What is at the path may have changed since: a link is not followed, a pipe does not block.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    let metadata = file.metadata()?;
    Ok(if metadata.is_file() {
        Opened::Regular(file, metadata)
    } else {
        Opened::Other
    })
}

/// Whether git would call the file executable.
pub(crate) fn is_executable(metadata: &Metadata) -> bool {
    metadata.mode() & 0o100 != 0
}

/// `name` in `folder`, both as git writes them.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_vec();
    }
    [folder, b"/", name].concat()
}

/// A path of git's as one of the file system, below `root`.
pub(crate) fn below(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

/// A path for people: as it is where that is safe to print, otherwise quoted like git quotes it.
pub(crate) fn shown(path: &[u8]) -> String {
    let plain = |text: &str| {
        !text
            .chars()
            .any(|char| char.is_control() || matches!(char, '"' | '\\'))
    };
    match std::str::from_utf8(path) {
        Ok(text) if plain(text) => text.to_owned(),
        _ => quoted(path),
    }
}

fn quoted(path: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in path {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            0x20..0x7f => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_is_shown_as_it_is() {
        assert_eq!(shown("src/häuser.rs".as_bytes()), "src/häuser.rs");
        assert_eq!(shown(b"a\nb\xff\""), r#""a\nb\377\"""#);
    }
}
