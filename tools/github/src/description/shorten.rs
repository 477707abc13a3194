//! Making text fit, at line ends.

const NOTE: &str = "[shortened: the rest is in the run's log]";

/// At most `room` characters of whole lines, with a note where something is left out.
pub(crate) fn shorten_lines(text: &str, room: usize) -> String {
    shorten(text, room, |_| String::new())
}

/// As [`shorten_lines`], and a code fence that was cut open is closed.
pub(crate) fn shorten_markdown(text: &str, room: usize) -> String {
    shorten(text, room, |kept| match open_fence(kept) {
        Some(fence) => format!("{fence}\n"),
        None => String::new(),
    })
}

fn shorten(text: &str, room: usize, closing: impl Fn(&str) -> String) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut kept = fitting(text, room);
    loop {
        let end = format!("{}{NOTE}", closing(kept));
        if kept.chars().count() + end.chars().count() <= room {
            return format!("{kept}{end}");
        }
        // Not even the note fits: nothing is better than a torn piece.
        if kept.is_empty() {
            return String::new();
        }
        kept = without_last_line(kept);
    }
}

/// The first `room` characters.
fn fitting(text: &str, room: usize) -> &str {
    let end = text
        .char_indices()
        .nth(room)
        .map_or(text.len(), |(at, _)| at);
    &text[..end]
}

fn without_last_line(text: &str) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    &body[..body.rfind('\n').map_or(0, |at| at + 1)]
}

/// The fence of the code block that `text` ends in.
fn open_fence(text: &str) -> Option<&str> {
    let mut open: Option<&str> = None;
    for line in text.lines() {
        let Some(fence) = fence_of(line) else {
            continue;
        };
        match open {
            None => open = Some(fence),
            Some(opened) if closes(opened, fence, line) => open = None,
            Some(_) => {}
        }
    }
    open
}

/// Markdown: the same character, at least as many of them, and nothing after.
fn closes(opened: &str, fence: &str, line: &str) -> bool {
    fence.len() >= opened.len() && fence.starts_with(&opened[..1]) && line.trim() == fence
}

fn fence_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let mark = line
        .chars()
        .next()
        .filter(|char| matches!(char, '`' | '~'))?;
    let length = line.chars().take_while(|char| *char == mark).count();
    (length >= 3).then(|| &line[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_whole() {
        assert_eq!(shorten_lines("a\nb", 3), "a\nb");
    }

    #[test]
    fn what_does_not_fit_ends_at_a_line_with_a_note() {
        let text = "first line\n".repeat(20);
        assert_eq!(
            shorten_lines(&text, 70),
            format!("first line\nfirst line\n{NOTE}")
        );
        assert_eq!(shorten_lines(&text, 10), "");
    }

    #[test]
    fn a_fence_cut_open_is_closed() {
        let text = format!("````text\n```\n{}````\n", "line\n".repeat(50));
        let short = shorten_markdown(&text, 100);
        assert!(short.ends_with(&format!("line\n````\n{NOTE}")), "{short}");
        let closed = format!("~~~\nx\n~~~\n{}", "line\n".repeat(50));
        assert!(
            !shorten_markdown(&closed, 100).contains("~~~\n["),
            "{closed}"
        );
    }
}
