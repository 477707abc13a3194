//! What a pull request says of where its run comes from.

use pullwright_protocol::RunOrigin;

/// The lines before the evidence: what is settled, and who asked for it. Nothing of a run over the API.
pub(super) fn asked_for(origin: Option<&RunOrigin>) -> String {
    let Some(origin) = origin else {
        return String::new();
    };
    let fixes = origin.issue.map(|issue| format!("Fixes #{issue}."));
    let asked = origin.asked_by.as_deref().filter(|login| is_login(login));
    let asked = asked.map(|login| format!("Asked for by @{login}."));
    let said: Vec<String> = fixes.into_iter().chain(asked).collect();
    match said.is_empty() {
        true => String::new(),
        false => format!("{}\n\n", said.join(" ")),
    }
}

/// Nothing else may be called by what is meant for a person.
fn is_login(login: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !login.is_empty() && login.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(asked_by: Option<&str>, issue: Option<u64>) -> RunOrigin {
        RunOrigin {
            asked_by: asked_by.map(str::to_owned),
            thread: 12,
            issue,
            repair: None,
        }
    }

    #[test]
    fn an_issue_is_settled_and_whoever_asked_is_told() {
        assert_eq!(asked_for(None), "");
        let whole = origin(Some("ann"), Some(12));
        assert_eq!(asked_for(Some(&whole)), "Fixes #12. Asked for by @ann.\n\n");
        assert_eq!(asked_for(Some(&origin(None, None))), "");
    }

    #[test]
    fn what_is_no_login_calls_nobody() {
        for odd in ["", "org/team", "ann bob", "a@b", "ann\n@bob"] {
            assert_eq!(asked_for(Some(&origin(Some(odd), None))), "", "{odd:?}");
        }
    }
}
