//! A repository's own form of a description: its headings and check boxes stay, and our part stands where it asks
//! what the change is.
//!
//! The form is the repository's and may say what it likes, but it calls nobody, and it cannot swallow our part.

/// Headings under which a maintainer looks for what a change is.
const DESCRIPTION_WORDS: &[&str] = &[
    "description",
    "summary",
    "overview",
    "what",
    "change",
    "about",
    "proposal",
];

/// Breaks a mention apart without showing.
const BREAK: char = '\u{200b}';

/// What stands before and after our part.
pub(super) fn around(form: &str) -> (String, String) {
    let form = harmless(form);
    let form = form.trim();
    if form.is_empty() {
        return (String::new(), String::new());
    }
    match description_end(form) {
        Some(end) => {
            let (before, after) = form.split_at(end);
            (format!("{}\n\n", before.trim_end()), below(after))
        }
        None => (String::new(), below(form)),
    }
}

fn below(text: &str) -> String {
    match text.trim() {
        "" => String::new(),
        text => format!("\n\n{text}\n"),
    }
}

/// Where the line ends that asks for the description, if there is one that our part can stand below.
fn description_end(form: &str) -> Option<usize> {
    let (mut at, mut is_code) = (0, false);
    for line in form.split_inclusive('\n') {
        at += line.len();
        let text = line.trim();
        if text.starts_with("```") || text.starts_with("~~~") {
            is_code = !is_code;
        }
        if !is_code && is_description_heading(text) {
            return is_closed(&form[..at]).then_some(at);
        }
    }
    None
}

fn is_description_heading(line: &str) -> bool {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    let title = title.to_ascii_lowercase();
    (1..=6).contains(&level)
        && title.starts_with(' ')
        && DESCRIPTION_WORDS.iter().any(|word| title.contains(word))
}

/// Whether nothing is open that would hide what follows.
fn is_closed(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.matches("<details").count() == lower.matches("</details").count()
}

/// Without comments, which are for whoever fills it in by hand and could hold our markers; without control
/// characters; and calling nobody.
fn harmless(form: &str) -> String {
    let form = form.replace("\r\n", "\n").replace('\r', "\n");
    let form = without_comments(&form);
    let mut safe = String::with_capacity(form.len());
    let mut chars = form.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_control() && c != '\n' && c != '\t' {
            continue;
        }
        safe.push(c);
        let calls = c == '@' && chars.peek().is_some_and(|next| next.is_alphanumeric());
        let refers = c == '#' && chars.peek().is_some_and(char::is_ascii_digit);
        if calls || refers {
            safe.push(BREAK);
        }
    }
    safe
}

fn without_comments(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        left.push_str(before);
        // One that is not closed hides all that follows.
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    left.push_str(rest);
    // What is left of both sides of a comment must not make another one.
    left.replace("<!--", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "<!-- Thank you! -->\r\n## Description\r\n\r\nPlease describe it.\r\n\r\n\
        ## Checklist\r\n- [ ] I have added tests\r\n- [ ] cc @org/team, see #12\r\n";

    #[test]
    fn headings_and_boxes_stay_and_our_part_is_below_the_description() {
        let (before, after) = around(FORM);
        assert_eq!(before, "## Description\n\n");
        assert_eq!(
            after,
            "\n\nPlease describe it.\n\n## Checklist\n- [ ] I have added tests\n- [ ] cc @\u{200b}org/team, see \
             #\u{200b}12\n"
        );
    }

    #[test]
    fn without_a_heading_for_it_our_part_comes_first() {
        let (before, after) = around("- [ ] Signed\n\n### Tests\n");
        assert_eq!(
            (before.as_str(), after.as_str()),
            ("", "\n\n- [ ] Signed\n\n### Tests\n")
        );
        assert_eq!(
            around(" \n<!-- only this -->\n"),
            (String::new(), String::new())
        );
    }

    #[test]
    fn a_form_cannot_swallow_our_part() {
        for form in [
            "<details>\n\n## Description\n",
            "```\n## Description\n",
            "<!-- never closed\n## Description\n",
        ] {
            let (before, _) = around(form);
            assert_eq!(before, "", "{form}");
        }
    }

    #[test]
    fn a_form_holds_no_marker_of_ours() {
        let (before, after) =
            around("<!-- pullwright:begin -->\n# What\n<!<!-- x -->-- pullwright:end -->");
        let whole = before + &after;
        assert!(!whole.contains("<!--"), "{whole}");
    }
}
