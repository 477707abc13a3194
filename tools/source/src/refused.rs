//! A push that the remote has understood and does not take, since a rule of its own forbids it.

use crate::failure::plain;

/// How much of the remote's words is kept, in characters: rules come first, and what they are about after them.
const KEPT_CHARS: usize = 800;

/// How git repeats that the remote takes no branch, before the reason in parentheses.
const REJECTED: &str = "[remote rejected]";
/// How such reasons read where the remote has made up its mind.
const DECIDED: &[&str] = &["declined", "refusing to allow", "prohibited", "protected"];
/// What servers say meanwhile of their own work.
const CHATTER: &[&str] = &["resolving deltas", "processed ", "total ", "compressing "];

/// What helps, by what the remote says. The first that is heard counts.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["push protection", "secret"],
        "take the secret out of the change, or allow it where the message says",
    ),
    (
        &["without `workflow", "without workflow", "update workflow"],
        "give the token the right to push workflows",
    ),
    (
        &["verified signature", "gpg", "unsigned"],
        "turn on verified commits (`[commit] verified`), or leave such branches out of the rule",
    ),
    (
        &["gh001", "large file", "file size", "exceeds"],
        "leave the file out of the change, or have the limit raised",
    ),
    (
        &[
            "branch name",
            "creations being restricted",
            "cannot create ref",
        ],
        "ask for a `branch` that the rule takes, or leave such branches out of it",
    ),
    (
        &["email", "e-mail"],
        "set `email` in [commit] to one that the rule takes",
    ),
    (
        &["commit message", "commit_message"],
        "ask in the prompt for a message that the rule takes",
    ),
    (
        &["file path", "path restriction", "file extension"],
        "leave such files out of the change, or have the rule changed",
    ),
    (
        &["pull request"],
        "leave such branches out of the rule: they are what a pull request is made from",
    ),
];
const OTHERWISE: &str = "see to what the rule asks for, leave such branches out of it, or use an account that may \
                         bypass it";

/// What a remote says that takes no such push, and what helps; nothing where git failed for another reason.
pub(crate) fn by_rule(said: &str) -> Option<(String, &'static str)> {
    let reason = said.lines().find_map(rejection)?;
    let low = reason.to_ascii_lowercase();
    if !DECIDED.iter().any(|phrase| low.contains(phrase)) {
        return None;
    }
    let words = words(said).unwrap_or_else(|| plain(reason));
    let heard = without_names(&format!("{words}\n{reason}"), branch(said)).to_ascii_lowercase();
    let hears = |phrases: &[&str]| phrases.iter().any(|phrase| heard.contains(phrase));
    let remedy = REMEDIES.iter().find(|(phrases, _)| hears(phrases));
    Some((words, remedy.map_or(OTHERWISE, |(_, remedy)| remedy)))
}

/// What is in parentheses at the end of git's line on a branch that was not taken.
fn rejection(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(REJECTED)?;
    let (_, reason) = rest.split_once('(')?;
    Some(reason.trim_end().trim_end_matches(')'))
}

/// The branch that was not taken.
fn branch(said: &str) -> Option<&str> {
    let line = said.lines().find(|line| line.contains(REJECTED))?;
    let (_, rest) = line.split_once(":refs/heads/")?;
    rest.split_whitespace().next()
}

/// The words without addresses and names of branches, which may hold any word and say nothing of the rule.
fn without_names(words: &str, branch: Option<&str>) -> String {
    let bare = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.to_ascii_lowercase()
    };
    let branch = branch.map(bare);
    let is_name = |word: &&str| {
        word.contains("://") || word.contains("refs/heads/") || branch == Some(bare(word))
    };
    let words = words.split_whitespace().filter(|word| !is_name(word));
    words.collect::<Vec<_>>().join(" ")
}

/// What the remote itself says, on one line.
fn words(said: &str) -> Option<String> {
    let lines = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("remote:"));
    let lines = lines.map(|line| plain(line.trim())).filter(|line| {
        let low = line.to_ascii_lowercase();
        !line.is_empty() && !CHATTER.iter().any(|chatter| low.starts_with(chatter))
    });
    let words = lines.collect::<Vec<_>>().join(" | ");
    (!words.is_empty()).then(|| words.chars().take(KEPT_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(remote: &[&str], reason: &str) -> Option<(String, &'static str)> {
        let remote: String = remote
            .iter()
            .map(|line| format!("remote: {line}        \n"))
            .collect();
        by_rule(&format!(
            "{remote}To https://a.example/o/r.git\n!\t0:refs/heads/b\t[remote rejected] ({reason})\nDone\n\
             error: failed to push some refs to 'https://a.example/o/r.git'\n"
        ))
    }

    #[test]
    fn the_rule_is_repeated_and_what_helps_is_said() {
        let violations = "push declined due to repository rule violations";
        let found = "error: GH013: Repository rule violations found for refs/heads/b.";
        for (remote, reason, expected, remedy) in [
            (
                vec![found, "", "- Commits must have verified signatures."],
                violations,
                "Commits must have verified signatures",
                "verified commits",
            ),
            (
                vec![found, "- Changes must be made through a pull request."],
                violations,
                "through a pull request",
                "what a pull request is made from",
            ),
            (
                vec![
                    found,
                    "- Cannot create ref due to creations being restricted.",
                ],
                violations,
                "creations being restricted",
                "ask for a `branch`",
            ),
            (
                vec![
                    found,
                    "- GITHUB PUSH PROTECTION",
                    "  Push cannot contain secrets",
                ],
                violations,
                "Push cannot contain secrets",
                "take the secret out",
            ),
            (
                vec![
                    "error: GH013: Repository rule violations found for refs/heads/rotate-the-secret.",
                    "- Commits must have verified signatures.",
                ],
                violations,
                "rotate-the-secret",
                "verified commits",
            ),
            (
                vec![
                    found,
                    "Review all repository rules at https://a.example/o/secrets/rules?ref=refs%2Fheads%2Fb",
                    "- Commits must have verified signatures.",
                ],
                violations,
                "o/secrets",
                "verified commits",
            ),
            (
                vec!["error: GH006: Protected branch update failed for refs/heads/b."],
                "protected branch hook declined",
                "GH006",
                "leave such branches out",
            ),
            (
                vec![
                    "error: File a.bin is 120.00 MB; this exceeds GitHub's file size limit of 100.00 MB",
                ],
                "pre-receive hook declined",
                "a.bin is 120.00 MB",
                "leave the file out",
            ),
            (
                vec![],
                "refusing to allow a Personal Access Token to create or update workflow `.github/workflows/x.yml` \
                 without `workflow` scope",
                ".github/workflows/x.yml",
                "push workflows",
            ),
        ] {
            let (words, helps) = heard(&remote, reason).expect(expected);
            assert!(words.contains(expected), "{words}");
            assert!(helps.contains(remedy), "{helps}");
        }
    }

    #[test]
    fn the_name_of_the_branch_is_no_rule() {
        let (words, helps) = by_rule(
            "remote: `pullwright/rotate-the-secret`: commits must have a verified signature\n\
             !\t0:refs/heads/pullwright/rotate-the-secret\t[remote rejected] (pre-receive hook declined)\n",
        )
        .unwrap();
        assert!(words.contains("rotate-the-secret"), "{words}");
        assert!(helps.contains("verified commits"), "{helps}");
    }

    #[test]
    fn a_remote_that_broke_has_decided_nothing() {
        for reason in ["failed to update ref", "unpacker error", "cannot lock ref"] {
            assert_eq!(heard(&["fatal: out of memory"], reason), None, "{reason}");
        }
        assert_eq!(by_rule("error: RPC failed; HTTP 500 declined"), None);
    }

    #[test]
    fn what_a_remote_says_is_bounded_and_moves_no_cursor() {
        let long = format!("\u{1b}[2J{}", "x".repeat(5000));
        let (words, _) = heard(&["Resolving deltas: 100% (1/1)", &long], "hook declined").unwrap();
        assert!(words.starts_with("[2Jx"), "{words}");
        assert_eq!(words.chars().count(), KEPT_CHARS);
    }
}
