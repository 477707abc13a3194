//! A patch as its text says it.

/// What happens to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileChange {
    pub(super) path: String,
    pub(super) change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add {
        content: String,
    },
    Delete,
    Update {
        move_to: Option<String>,
        parts: Vec<Part>,
    },
}

/// A change in one place of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Lines to look for first, one after the other.
    pub(super) headers: Vec<String>,
    /// The lines as they are.
    pub(super) old: Vec<String>,
    /// The lines as they shall be.
    pub(super) new: Vec<String>,
    /// Whether it is at the end of the file.
    pub(super) at_end: bool,
}

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const END_OF_FILE: &str = "*** End of File";
const ADD: &str = "*** Add File: ";
const DELETE: &str = "*** Delete File: ";
const UPDATE: &str = "*** Update File: ";
const MOVE: &str = "*** Move to: ";

/// The changes of a patch, or a sentence that says what is wrong with it, and where.
pub(super) fn patch(text: &str) -> Result<Vec<FileChange>, String> {
    let lines: Vec<&str> = text.trim().lines().collect();
    let lines = without_wrapping(&lines);
    let [first, inner @ .., last] = lines else {
        return Err(format!(
            "the patch must begin with `{BEGIN}` and end with `{END}`"
        ));
    };
    if first.trim() != BEGIN {
        return Err(format!("the first line of the patch must be `{BEGIN}`"));
    }
    if last.trim() != END {
        return Err(format!("the last line of the patch must be `{END}`"));
    }
    let mut reader = Reader {
        lines: inner,
        at: 0,
    };
    let mut changes = Vec::new();
    while let Some(line) = reader.next() {
        changes.push(reader.file(line)?);
    }
    if changes.is_empty() {
        return Err("the patch changes no file".to_owned());
    }
    Ok(changes)
}

/// Models like to put a shell's here-document or a code fence around it.
fn without_wrapping<'l, 'a>(lines: &'l [&'a str]) -> &'l [&'a str] {
    match lines {
        [first, inner @ .., last]
            if (first.starts_with("<<") || first.ends_with("<<'EOF'")) && last.trim() == "EOF" =>
        {
            inner
        }
        [first, inner @ .., last] if first.starts_with("```") && last.trim() == "```" => inner,
        lines => lines,
    }
}

struct Reader<'l, 'a> {
    lines: &'l [&'a str],
    at: usize,
}

impl<'a> Reader<'_, 'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at)?;
        self.at += 1;
        Some(line)
    }

    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    /// The line's number in the patch, whose first line is the one before ours.
    fn error(&self, what: &str) -> String {
        format!("line {} of the patch: {what}", self.at + 1)
    }

    fn file(&mut self, line: &str) -> Result<FileChange, String> {
        let header = line.trim();
        let (path, change) = if let Some(path) = header.strip_prefix(ADD) {
            (path, self.added()?)
        } else if let Some(path) = header.strip_prefix(DELETE) {
            (path, Change::Delete)
        } else if let Some(path) = header.strip_prefix(UPDATE) {
            (path, self.updated(path)?)
        } else {
            let what =
                format!("`{header}` is none of `{ADD}PATH`, `{DELETE}PATH` and `{UPDATE}PATH`");
            return Err(self.error(&what));
        };
        Ok(FileChange {
            path: path.trim().to_owned(),
            change,
        })
    }

    fn added(&mut self) -> Result<Change, String> {
        let mut content = String::new();
        while let Some(line) = self.peek().filter(|line| !is_file_header(line)) {
            self.at += 1;
            let Some(text) = line.strip_prefix('+') else {
                return Err(self.error("every line of a new file must begin with `+`"));
            };
            content += text;
            content.push('\n');
        }
        Ok(Change::Add { content })
    }

    fn updated(&mut self, path: &str) -> Result<Change, String> {
        let moved = self.peek().and_then(|line| line.trim().strip_prefix(MOVE));
        let move_to = moved.map(|path| path.trim().to_owned());
        self.at += usize::from(move_to.is_some());
        let mut parts = Vec::new();
        while self.peek().is_some_and(|line| !is_file_header(line)) {
            parts.push(self.part()?);
        }
        if parts.is_empty() && move_to.is_none() {
            return Err(self.error(&format!("the update of `{}` changes nothing", path.trim())));
        }
        Ok(Change::Update { move_to, parts })
    }

    fn part(&mut self) -> Result<Part, String> {
        let mut part = Part::default();
        while let Some(header) = self.peek().and_then(part_header) {
            self.at += 1;
            part.headers
                .extend(Some(header.to_owned()).filter(|text| !text.is_empty()));
        }
        let mut has_lines = false;
        while let Some(line) = self.peek() {
            if is_file_header(line) || part_header(line).is_some() {
                break;
            }
            self.at += 1;
            if line.trim() == END_OF_FILE {
                part.at_end = true;
                break;
            }
            self.line(line, &mut part)?;
            has_lines = true;
        }
        if !has_lines {
            return Err(self.error("a part of an update has no lines"));
        }
        Ok(part)
    }

    fn line(&self, line: &str, part: &mut Part) -> Result<(), String> {
        let kept = |text: &str, part: &mut Part| {
            part.old.push(text.to_owned());
            part.new.push(text.to_owned());
        };
        match (line.chars().next(), line.get(1..)) {
            (None, _) => kept("", part),
            (Some(' '), Some(text)) => kept(text, part),
            (Some('-'), Some(text)) => part.old.push(text.to_owned()),
            (Some('+'), Some(text)) => part.new.push(text.to_owned()),
            _ => {
                let what = format!("`{line}` begins with neither a space nor `-`, `+` or `@@`");
                return Err(self.error(&what));
            }
        }
        Ok(())
    }
}

fn is_file_header(line: &str) -> bool {
    let line = line.trim();
    [ADD, DELETE, UPDATE]
        .iter()
        .any(|header| line.starts_with(header.trim_end()))
}

/// What a part is to look for; empty where it says nothing.
fn part_header(line: &str) -> Option<&str> {
    match line.trim_end() {
        "@@" => Some(""),
        line => line.strip_prefix("@@ "),
    }
}
