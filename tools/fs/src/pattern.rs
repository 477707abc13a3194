//! Glob patterns.

use globset::{GlobBuilder, GlobMatcher};
use pullwright_tool_kit::Refusal;

/// The pattern's matcher, for paths relative to the searched folder. Like in `.gitignore`, a pattern
/// without a slash matches names in any folder.
pub(crate) fn matcher(pattern: &str) -> Result<GlobMatcher, Refusal> {
    let plain = pattern.strip_prefix("./").unwrap_or(pattern);
    if plain.is_empty() {
        return Err(Refusal::new("the glob is empty; `**` matches every file"));
    }
    if plain.starts_with('/') || plain.split('/').any(|part| part == "..") {
        return Err(Refusal::new(format!(
            "the glob `{pattern}` must be relative and without `..`; give the folder as path"
        )));
    }
    let anywhere = format!("**/{plain}");
    let pattern_from_here = if plain.contains('/') {
        plain
    } else {
        &anywhere
    };
    GlobBuilder::new(pattern_from_here)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| {
            Refusal::new(format!(
                "the glob `{pattern}` is wrong: {}; escape [ ] {{ }} * ? with a backslash to match them as they are",
                error.kind()
            ))
        })
}
