//! The names models know tools by.

/// The longest name model APIs take.
const MAX_NAME_CHARS: usize = 64;

/// Two tools would be known by one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tools {first} and {second} would both be called `{shown}`; rename one row in plugins.toml \
     or leave one tool out with `disabled_tools`"
)]
pub struct NameCollision {
    /// The name.
    pub shown: String,
    /// The tool that had it first.
    pub first: String,
    /// The tool that wants it too.
    pub second: String,
}

/// The name a model knows a tool by: the short one for the built-in file and shell tools, otherwise
/// `server__tool`. Characters that model APIs refuse become `_`; over-long names are cut.
pub(crate) fn shown_name(server: &str, tool: &str, short: bool) -> String {
    let full = if short {
        tool.to_owned()
    } else {
        format!("{server}__{tool}")
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    full.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .take(MAX_NAME_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_qualified_sanitised_and_cut() {
        assert_eq!(shown_name("git", "status", false), "git__status");
        assert_eq!(shown_name("fs", "read", true), "read");
        assert_eq!(
            shown_name("docs", "find.page/é", false),
            "docs__find_page__"
        );
        assert_eq!(shown_name("x", &"y".repeat(100), false).len(), 64);
    }
}
