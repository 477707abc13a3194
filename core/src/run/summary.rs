//! The model's last words, as a title and a body.

/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 72;

/// What the change is called and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) title: String,
    pub(super) body: String,
}

impl Summary {
    /// Takes the first line as the title; the task itself where the model said nothing.
    pub(super) fn parse(last_words: &str, prompt: &str) -> Self {
        let words = match last_words.trim() {
            "" => prompt.trim(),
            words => words,
        };
        let (first, rest) = words.split_once('\n').unwrap_or((words, ""));
        let plain = first
            .trim_start_matches('#')
            .trim()
            .trim_matches('*')
            .trim();
        let title = shortened(plain);
        let body = if title == plain { rest } else { words };
        Self {
            title,
            body: body.trim().to_owned(),
        }
    }

    /// Title and body, as a commit message.
    pub(super) fn whole(&self) -> String {
        match self.body.as_str() {
            "" => self.title.clone(),
            body => format!("{}\n\n{body}", self.title),
        }
    }
}

/// Cut at the last word that fits.
fn shortened(line: &str) -> String {
    if line.chars().count() <= MAX_TITLE_CHARS {
        return line.to_owned();
    }
    let head: String = line.chars().take(MAX_TITLE_CHARS - 1).collect();
    let cut = head.rfind(' ').unwrap_or(head.len());
    format!("{}…", head[..cut].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_title() {
        let summary = Summary::parse("## **Fix the parser**\n\nIt was wrong.\n", "task");
        assert_eq!(summary.title, "Fix the parser");
        assert_eq!(summary.body, "It was wrong.");
        assert_eq!(summary.whole(), "Fix the parser\n\nIt was wrong.");
    }

    #[test]
    fn a_long_first_line_is_cut_and_kept_in_the_body() {
        let line = "word ".repeat(30);
        let summary = Summary::parse(&line, "task");
        assert!(summary.title.chars().count() <= MAX_TITLE_CHARS);
        assert!(summary.title.ends_with("word…"));
        assert_eq!(summary.body, line.trim());
    }

    #[test]
    fn a_silent_model_leaves_the_task_as_the_title() {
        assert_eq!(Summary::parse(" \n", "Do it").whole(), "Do it");
    }
}
