//! The title and the description of a pull request: what the model wrote is quoted and disarmed,
//! what the framework recorded is shown as it is.

mod form;
mod neutral;
mod shorten;

use pullwright_tool_kit::protocol::RunId;

use self::neutral::neutral;
use self::shorten::shorten_lines;
pub(crate) use self::shorten::shorten_markdown;

/// GitHub refuses a longer description.
const MAX_DESCRIPTION_CHARS: usize = 65_536;
/// GitHub refuses titles over 256 characters, which this stays below even when [`neutral`] adds one
/// to each; and long ones are cut in every list.
const MAX_TITLE_CHARS: usize = 120;
/// A summary longer than this hides the evidence below it.
const MAX_SUMMARY_CHARS: usize = 16_000;
/// The shortest code fence of Markdown.
const MIN_FENCE: usize = 3;

/// Our own part of a description, so that an update leaves the words of people alone. Neither can
/// come from a model: `<!--` does not pass [`neutral`].
const BEGIN: &str = "<!-- pullwright:begin -->";
const END: &str = "<!-- pullwright:end -->";

/// The title in one line, without anything GitHub or git acts on.
pub(crate) fn title(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.is_empty() {
        return "Changes by Pullwright".to_owned();
    }
    if line.chars().count() <= MAX_TITLE_CHARS {
        return neutral(&line);
    }
    let kept: String = line.chars().take(MAX_TITLE_CHARS - 1).collect();
    neutral(&format!("{}…", kept.trim_end()))
}

/// What our part of a description says.
#[derive(Clone, Copy)]
pub(crate) struct Ours<'a> {
    /// Who proposes, if that is known.
    pub(crate) run: Option<&'a RunId>,
    /// What the model wrote.
    pub(crate) summary: &'a str,
    /// What the framework recorded.
    pub(crate) evidence: &'a str,
}

/// The description of a new pull request, in the repository's own form if it has one.
pub(crate) fn new_description(form: Option<&str>, ours: Ours<'_>) -> String {
    let (before, after) = form::around(form.unwrap_or_default());
    whole(&before, ours, &after)
}

/// The description of one that exists, of which only our own part is replaced.
pub(crate) fn description(existing: Option<&str>, ours: Ours<'_>) -> String {
    let (before, after) = around_ours(existing.unwrap_or_default());
    whole(&before, ours, &after)
}

/// Whether a description says that this run proposes it.
pub(crate) fn is_of_run(description: Option<&str>, run: &RunId) -> bool {
    let marker = run_marker(run);
    !marker.is_empty() && description.is_some_and(|text| text.contains(&marker))
}

/// Does not show. The id is the framework's own, but what is no id makes no marker.
fn run_marker(run: &RunId) -> String {
    let is_plain = run
        .0
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match is_plain && !run.0.is_empty() {
        true => format!("<!-- pullwright:run {run} -->"),
        false => String::new(),
    }
}

fn whole(before: &str, ours: Ours<'_>, after: &str) -> String {
    let theirs = before.chars().count() + after.chars().count();
    let ours = our_part(ours, MAX_DESCRIPTION_CHARS.saturating_sub(theirs));
    format!("{before}{ours}{after}")
}

/// Whether nobody else wrote into the description.
pub(crate) fn is_all_ours(existing: Option<&str>) -> bool {
    let (before, after) = around_ours(existing.unwrap_or_default());
    before.is_empty() && after.trim().is_empty()
}

/// What stands before and after our part.
fn around_ours(existing: &str) -> (String, String) {
    // GitHub's own editor turns line ends into CRLF.
    let existing = existing.replace("\r\n", "\n");
    match (existing.find(BEGIN), existing.rfind(END)) {
        (Some(begin), Some(end)) if begin < end => (
            existing[..begin].to_owned(),
            existing[end + END.len()..].to_owned(),
        ),
        _ if existing.trim().is_empty() => (String::new(), String::new()),
        _ => (format!("{}\n\n", existing.trim_end()), String::new()),
    }
}

fn our_part(ours: Ours<'_>, room: usize) -> String {
    let marker = ours.run.map(run_marker).filter(|marker| !marker.is_empty());
    let marker = marker
        .map(|marker| format!("{marker}\n"))
        .unwrap_or_default();
    let head = format!("{BEGIN}\n{marker}{}", quoted_summary(ours.summary));
    let tail = format!("\n{END}");
    let left = room.saturating_sub(head.chars().count() + tail.chars().count());
    // The markers inside would make the next update cut at the wrong place.
    let evidence = ours.evidence.replace(BEGIN, "").replace(END, "");
    format!("{head}{}{tail}", shorten_markdown(evidence.trim(), left))
}

/// The model's words in a fence that they cannot close.
pub(crate) fn quoted_summary(summary: &str) -> String {
    let summary = shorten_lines(neutral(summary).trim(), MAX_SUMMARY_CHARS);
    if summary.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(MIN_FENCE.max(longest_run(&summary, '`') + 1));
    format!("### Summary\n\nThe model's own words:\n\n{fence}text\n{summary}\n{fence}\n\n")
}

fn longest_run(text: &str, of: char) -> usize {
    let runs = text.split(|char| char != of);
    runs.map(|run| run.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{description as described, *};

    fn description(existing: Option<&str>, summary: &str, evidence: &str) -> String {
        let ours = Ours {
            run: None,
            summary,
            evidence,
        };
        described(existing, ours)
    }

    #[test]
    fn a_title_is_one_short_line_that_nobody_is_called_by() {
        assert_eq!(title("Add\n\t a  parser\r\n"), "Add a parser");
        assert_eq!(title(" \n "), "Changes by Pullwright");
        assert_eq!(title("fixes #1 @all"), "fixes #\u{200b}1 @\u{200b}all");
        let long = title(&"word ".repeat(100));
        assert!(
            long.chars().count() == MAX_TITLE_CHARS && long.ends_with('…'),
            "{long}"
        );
    }

    #[test]
    fn an_update_leaves_the_words_of_people_alone() {
        let first = description(Some("Please review.\r\n"), "one", "**ok**");
        assert!(
            first.starts_with("Please review.\n\n<!-- pullwright:begin"),
            "{first}"
        );
        let edited = format!("{first}\n\nReviewed by me.");
        let second = description(Some(&edited), "two", "**better**");
        assert!(second.starts_with("Please review.\n\n"), "{second}");
        assert!(second.ends_with("\n\nReviewed by me."), "{second}");
        assert!(
            second.contains("two") && !second.contains("one"),
            "{second}"
        );
        assert!(!is_all_ours(Some(&second)));
        assert!(is_all_ours(Some(&description(None, "one", ""))) && is_all_ours(None));
    }

    #[test]
    fn an_update_with_the_same_words_changes_nothing() {
        let first = description(None, "one", "**ok**");
        assert_eq!(description(Some(&first), "one", "**ok**"), first);
        let beside = description(Some("mine"), "one", "**ok**");
        assert_eq!(description(Some(&beside), "one", "**ok**"), beside);
    }

    #[test]
    fn a_description_stays_within_the_limit() {
        for theirs in [String::new(), "x".repeat(30_000)] {
            let body = description(
                Some(&theirs),
                &"@a `````\n".repeat(20_000),
                &"```\nline\n```\n".repeat(20_000),
            );
            assert!(
                body.chars().count() <= MAX_DESCRIPTION_CHARS,
                "{}",
                body.chars().count()
            );
            assert!(body.ends_with(END));
        }
    }

    #[test]
    fn evidence_cannot_hold_our_markers() {
        let body = description(None, "s", &format!("a {END} b"));
        assert_eq!(body.matches(END).count(), 1, "{body}");
    }

    #[test]
    fn a_new_description_keeps_the_form_of_the_repository() {
        let run = RunId("0199-ab".to_owned());
        let ours = Ours {
            run: Some(&run),
            summary: "one",
            evidence: "**ok**",
        };
        let form = "## What does it do?\n\n## Checklist\n- [ ] Tests\n";
        let first = new_description(Some(form), ours);
        assert!(
            first.starts_with(
                "## What does it do?\n\n<!-- pullwright:begin -->\n<!-- pullwright:run 0199-ab -->"
            ),
            "{first}"
        );
        assert!(
            first.ends_with("<!-- pullwright:end -->\n\n## Checklist\n- [ ] Tests\n"),
            "{first}"
        );
        let ticked = first.replace("- [ ]", "- [x]");
        let second = described(
            Some(&ticked),
            Ours {
                summary: "two",
                ..ours
            },
        );
        assert!(
            second.contains("- [x] Tests") && second.contains("two"),
            "{second}"
        );
        assert!(is_of_run(Some(&second), &run));
        assert!(!is_of_run(Some(&second), &RunId("0199".to_owned())));
    }
}
