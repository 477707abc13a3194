//! How a mirror was cloned, which its name says: one repository has a mirror of its own for each mode that was ever
//! configured, and none of them ever becomes one of another mode. Those that are used no more go as all do.

use std::path::Path;

use pullwright_core::config::CloneMode;

/// How the names of mirrors end that lack something.
const SHALLOW: &str = "-shallow";
const BLOBLESS: &str = "-blobless";
/// The mark of a mirror without contents whose remote sent all of them.
const UNFILTERED: &str = "unfiltered";

pub(crate) fn file_name(stem: &str, mode: CloneMode) -> String {
    let end = match mode {
        CloneMode::Full => "",
        CloneMode::Shallow => SHALLOW,
        CloneMode::Blobless => BLOBLESS,
    };
    format!("{stem}{end}.git")
}

/// How the mirror was cloned.
pub(crate) fn of(mirror: &Path) -> CloneMode {
    let stem = mirror.file_stem().unwrap_or_default().to_string_lossy();
    match stem {
        stem if stem.ends_with(SHALLOW) => CloneMode::Shallow,
        stem if stem.ends_with(BLOBLESS) => CloneMode::Blobless,
        _ => CloneMode::Full,
    }
}

/// Notes whether the remote has left out the contents, as it was asked to. It is told when that is found out.
pub(crate) fn note_filter(mirror: &Path, filters: bool) {
    let mark = mirror.join(UNFILTERED);
    if filters {
        let _ = std::fs::remove_file(mark);
        return;
    }
    if !mark.exists() {
        tracing::warn!(
            mirror = %mirror.display(),
            "the remote cannot leave contents out, so this clone is a full one; set `[repositories] clone` to \
             \"full\", or \"shallow\" for less"
        );
    }
    // Without it, this is told again.
    let _ = std::fs::write(mark, "");
}

/// Whether commits of the mirror may lack the contents of their files.
pub(crate) fn lacks_contents(mirror: &Path) -> bool {
    of(mirror) == CloneMode::Blobless && !mirror.join(UNFILTERED).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_named_after_its_mode() {
        for mode in CloneMode::ALL {
            for stem in ["shallow-1f2e", "r-shallow-1f2e", "r-blobless-1f2e"] {
                assert_eq!(of(Path::new(&file_name(stem, mode))), mode, "{stem}");
            }
        }
    }
}
