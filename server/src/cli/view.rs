//! A run as a person reads it in a terminal.

use pullwright_protocol::frame::NamedFrame;
use pullwright_protocol::{CheckPhase, Frame};

/// How many lines of a tool's output are shown, from its end.
const OUTPUT_LINES: usize = 12;

/// How many characters of a line are shown.
const LINE_CHARS: usize = 160;

/// Turns frames into lines.
pub(super) struct View {
    colours: bool,
    thinking: String,
}

#[derive(Clone, Copy)]
enum Colour {
    Dim,
    Red,
    Green,
    Blue,
    Bold,
}

impl View {
    pub(super) fn new(colours: bool) -> Self {
        Self {
            colours,
            thinking: String::new(),
        }
    }

    /// The lines that show `frame`.
    pub(super) fn render(&mut self, frame: &Frame) -> String {
        if let Frame::Named(NamedFrame::AiThinking { delta }) = frame {
            self.thinking.push_str(delta);
            return String::new();
        }
        let mut lines = self.take_thinking();
        match frame {
            Frame::Named(named) => self.render_named(named, &mut lines),
            Frame::Tool {
                name,
                arguments,
                output,
                is_error,
            } => {
                let name = name.trim_start_matches("Tool: ");
                self.tool(name, &arguments.to_string(), *is_error, &mut lines);
                self.output(output, &mut lines);
            }
        }
        lines.join("\n")
    }

    fn render_named(&self, frame: &NamedFrame, lines: &mut Vec<String>) {
        match frame {
            NamedFrame::Status { stage, message } => {
                let stage = serde_json::to_value(stage).unwrap_or_default();
                let stage = stage.as_str().unwrap_or_default();
                let stage = self.paint(Colour::Blue, &format!("{stage:>8}"));
                lines.push(format!("{stage}  {}", plain(message)));
            }
            NamedFrame::AiMessage { message } => {
                lines.push(String::new());
                lines.extend(message.lines().map(|line| self.paint(Colour::Bold, line)));
            }
            NamedFrame::ToolRead { filepath, is_error } => {
                self.tool("read", filepath, *is_error, lines);
            }
            NamedFrame::ToolEdit {
                filepath,
                old_str,
                new_str,
                is_error,
            } => {
                self.tool("edit", filepath, *is_error, lines);
                if !*is_error {
                    self.change(Colour::Red, '-', old_str, lines);
                    self.change(Colour::Green, '+', new_str, lines);
                }
            }
            NamedFrame::ToolBash {
                command,
                output,
                exit_code,
            } => {
                self.tool(
                    "bash",
                    command,
                    exit_code.is_none_or(|code| code != 0),
                    lines,
                );
                self.output(output, lines);
            }
            NamedFrame::Check {
                command,
                exit_code,
                duration_ms,
                phase,
                ..
            } => {
                let when = match phase {
                    CheckPhase::Before => "before",
                    CheckPhase::After => "after",
                };
                let verdict = match exit_code {
                    Some(0) => self.paint(Colour::Green, "passed"),
                    Some(code) => self.paint(Colour::Red, &format!("failed with exit code {code}")),
                    None => self.paint(Colour::Red, "did not end in time"),
                };
                let command = plain(command);
                lines.push(format!(
                    "          {command} ({when}): {verdict}, {duration_ms} ms"
                ));
            }
            NamedFrame::Error {
                kind,
                message,
                retrying,
                attempt,
            } => {
                let again = match retrying {
                    true => format!(" (attempt {attempt}; trying again)"),
                    false => String::new(),
                };
                let error = format!("   error  {kind}: {message}{again}");
                lines.extend(error.lines().map(|line| self.paint(Colour::Red, line)));
            }
            NamedFrame::PullRequest { url, number, .. } => {
                lines.push(self.paint(Colour::Green, &format!("pull request #{number}: {url}")));
            }
            NamedFrame::Done {
                outcome,
                branch,
                summary,
                usage,
                ..
            } => {
                lines.push(String::new());
                let branch = branch.as_ref().map(|branch| format!(" ({branch})"));
                let line = format!("done: {outcome}{}", branch.unwrap_or_default());
                lines.push(self.paint(Colour::Bold, &line));
                lines.extend(summary.lines().map(plain));
                let usd = usage.usd.map(|usd| format!(", ${usd:.4}"));
                lines.push(self.paint(
                    Colour::Dim,
                    &format!(
                        "{} input tokens ({} % of them cached), {} output tokens{}",
                        usage.input_tokens,
                        usage.cached_percent(),
                        usage.output_tokens,
                        usd.unwrap_or_default()
                    ),
                ));
                let used = usage.sandbox.map(|used| format!("sandboxes: {used}"));
                lines.extend(used.map(|line| self.paint(Colour::Dim, &line)));
            }
            NamedFrame::AiThinking { .. }
            | NamedFrame::AiMessageDelta { .. }
            | NamedFrame::ToolOutputDelta { .. } => {}
        }
    }

    /// Thinking comes in pieces; it is shown as a whole once something else happens.
    fn take_thinking(&mut self) -> Vec<String> {
        let thinking = std::mem::take(&mut self.thinking);
        let lines = thinking.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| self.paint(Colour::Dim, &format!("  thinks  {line}")))
            .collect()
    }

    fn tool(&self, name: &str, what: &str, failed: bool, lines: &mut Vec<String>) {
        let what = cut(what.lines().next().unwrap_or_default());
        let line = format!("{name:>8}  {what}");
        lines.push(match failed {
            true => self.paint(Colour::Red, &line),
            false => line,
        });
    }

    fn output(&self, output: &str, lines: &mut Vec<String>) {
        let all: Vec<&str> = output.lines().collect();
        let shown = all.len().saturating_sub(OUTPUT_LINES);
        if shown > 0 {
            lines.push(self.paint(Colour::Dim, &format!("          [{shown} more lines]")));
        }
        let line = |line: &&str| self.paint(Colour::Dim, &format!("          {}", cut(line)));
        lines.extend(all[shown..].iter().map(line));
    }

    fn change(&self, colour: Colour, sign: char, text: &str, lines: &mut Vec<String>) {
        let line = |line: &str| self.paint(colour, &format!("        {sign} {}", cut(line)));
        lines.extend(text.lines().take(OUTPUT_LINES).map(line));
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        let text = plain(text);
        if !self.colours {
            return text;
        }
        let code = match colour {
            Colour::Dim => "2",
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Blue => "34",
            Colour::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// What tools and models write may hold escape sequences; a terminal must not obey them.
fn plain(line: &str) -> String {
    let harmless = |c: &char| !c.is_control() || *c == '\t';
    line.chars().filter(harmless).collect()
}

fn cut(line: &str) -> String {
    let mut shown: String = plain(line).chars().take(LINE_CHARS + 1).collect();
    if shown.chars().count() > LINE_CHARS {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_never_reach_the_terminal() {
        let mut view = View::new(false);
        let shown = view.render(&Frame::Named(NamedFrame::ToolBash {
            command: "printf '\u{1b}[2J'".to_owned(),
            output: "\u{1b}]0;owned\u{7}text".to_owned(),
            exit_code: Some(0),
        }));
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains("text"));
    }

    #[test]
    fn last_words_cannot_write_to_the_terminal_either() {
        let mut view = View::new(false);
        let shown = view.render(&Frame::Named(NamedFrame::Done {
            outcome: pullwright_protocol::Outcome::NoChanges,
            pr_url: None,
            branch: None,
            patch_url: None,
            summary: "\u{1b}]52;c;b3duZWQ=\u{7}Nothing to do.\nReally.".to_owned(),
            usage: pullwright_protocol::RunUsage::default(),
        }));
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains("Nothing to do.\nReally."));
    }

    #[test]
    fn thinking_is_shown_as_a_whole() {
        let mut view = View::new(false);
        for delta in ["I look", " around"] {
            let delta = delta.to_owned();
            let frame = Frame::Named(NamedFrame::AiThinking { delta });
            assert_eq!(view.render(&frame), "");
        }
        let message = "Found it.".to_owned();
        let shown = view.render(&Frame::Named(NamedFrame::AiMessage { message }));
        assert_eq!(shown, "  thinks  I look around\n\nFound it.");
    }
}
