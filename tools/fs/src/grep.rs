//! The `grep` tool, on ripgrep's own parts.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use grep_matcher::LineTerminator;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use pullwright_tool_kit::{Output, Place, Refusal};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::page::Page;
use crate::stop::Stop;
use crate::tree::Tree;
use crate::{Files, missing, pattern};

mod sink;

use sink::FileSink;

/// How many results one answer shows unless asked otherwise.
const DEFAULT_LIMIT: u64 = 200;

/// Prevents the answer from being mostly context.
const MAX_CONTEXT_LINES: usize = 50;

/// Prevents a search from reading disk images and dumps.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Prevents a file without line ends, or a search across lines, from taking the server's memory.
const MAX_SEARCH_BUFFER_BYTES: usize = 128 * 1024 * 1024;

/// Search the text of files with a regular expression (Rust syntax: no look-around, no
/// back-references). Skips binary files and what .gitignore excludes. Matching lines are shown under
/// their file as `number:text`, context lines as `number-text`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grep {
    /// The regular expression.
    pattern: String,
    /// The folder or file to search, relative to the workspace or absolute inside it. Default: the
    /// workspace.
    path: Option<String>,
    /// Search only files that match this glob: `*.rs`, `src/**/*.{ts,tsx}`.
    glob: Option<String>,
    /// content: the matching lines (default). files: the paths of files with a match. count: each
    /// path with its number of matching lines.
    #[serde(default)]
    output_mode: OutputMode,
    /// How many lines to show around each match. Default 0.
    context: Option<usize>,
    /// Ignore case. Default false.
    #[serde(default)]
    case_insensitive: bool,
    /// Take the pattern as plain text, not as a regular expression. Default false.
    #[serde(default)]
    literal: bool,
    /// Let the pattern match across lines; `.` then matches line ends too. Default false.
    #[serde(default)]
    multiline: bool,
    /// Whether to search what .gitignore excludes too. Default false.
    #[serde(default)]
    include_ignored: bool,
    /// How many results (lines, or files) to skip, to see the next page. Default 0.
    offset: Option<u64>,
    /// How many results to show. Default 200.
    limit: Option<NonZeroU64>,
}

/// What an answer of `grep` consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputMode {
    #[default]
    Content,
    Files,
    Count,
}

pub(crate) fn grep(files: &Files, args: &Grep, stop: &Stop) -> Result<Output, Refusal> {
    let place = files.workspace.locate(args.path.as_deref().unwrap_or("."));
    let place = place.map_err(|error| missing::refusal(files, error))?;
    let mut search = Search {
        files,
        mode: args.output_mode,
        filter: args.glob.as_deref().map(pattern::matcher).transpose()?,
        matcher: matcher(args)?,
        searcher: searcher(args),
        page: Page::new(
            args.offset.unwrap_or(0),
            args.limit.map_or(DEFAULT_LIMIT, NonZeroU64::get),
        ),
        skipped: Vec::new(),
        stopped: false,
    };
    match place.open_folder() {
        Ok(_) => search.folder(place.path(), args.include_ignored, stop),
        Err(_) => search
            .file(&place, stop)
            .map_err(|error| missing::refusal(files, error))?,
    }
    Ok(Output::text(search.answer(args)))
}

struct Search<'a> {
    files: &'a Files,
    mode: OutputMode,
    filter: Option<GlobMatcher>,
    matcher: RegexMatcher,
    searcher: Searcher,
    page: Page,
    /// Files that were not searched to the end, and why.
    skipped: Vec<String>,
    stopped: bool,
}

impl Search<'_> {
    fn folder(&mut self, below: &Path, include_ignored: bool, stop: &Stop) {
        let tree = Tree::new(self.files.workspace.root(), below, include_ignored);
        for path in tree.files() {
            self.stopped |= stop.is_due();
            if self.stopped {
                return;
            }
            let inner = path.strip_prefix(below).unwrap_or(&path);
            if self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.is_match(inner))
            {
                self.found_file(&path, stop);
            }
        }
    }

    /// A file that the walk came upon. It is found again from the workspace, because the walk goes
    /// by names; a symlink is passed over, as its target has a name of its own.
    fn found_file(&mut self, path: &Path, stop: &Stop) {
        let Some(place) = path
            .to_str()
            .and_then(|text| self.files.workspace.locate(text).ok())
        else {
            return;
        };
        if place.path() == path {
            // What vanished meanwhile, or is no regular file, has nothing to match.
            let _ = self.file(&place, stop);
        }
    }

    fn file(&mut self, place: &Place, stop: &Stop) -> Result<(), pullwright_tool_kit::PathError> {
        let (file, stat) = place.open_file()?;
        let path: PathBuf = place.path().to_owned();
        if u64::try_from(stat.st_size).unwrap_or(0) > MAX_FILE_BYTES {
            self.skipped
                .push(format!("{} is too large", path.display()));
            return Ok(());
        }
        let mut sink = FileSink::new(&path, self.mode, &self.matcher, &mut self.page, stop);
        let done = self.searcher.search_file(&self.matcher, &file, &mut sink);
        self.stopped |= sink.finish();
        if let Err(error) = done {
            self.skipped.push(format!("{}: {error}", path.display()));
        }
        Ok(())
    }

    fn answer(self, args: &Grep) -> String {
        let what = match self.mode {
            OutputMode::Content => "lines",
            OutputMode::Files | OutputMode::Count => "files",
        };
        let mut text = match self.page.seen() {
            0 if args.include_ignored => "no matches\n".to_owned(),
            0 => "no matches; to search what .gitignore excludes too, pass include_ignored: true\n"
                .to_owned(),
            _ => self.page.finish(what),
        };
        if let Some(first) = self.skipped.first() {
            let count = self.skipped.len();
            text.push_str(&format!("[{count} files not searched, such as: {first}]\n"));
        }
        if self.stopped {
            text.push_str(&Stop::note());
        }
        text
    }
}

fn matcher(args: &Grep) -> Result<RegexMatcher, Refusal> {
    let mut builder = RegexMatcherBuilder::new();
    builder
        .case_insensitive(args.case_insensitive)
        .fixed_strings(args.literal)
        .multi_line(true)
        .dot_matches_new_line(args.multiline)
        .crlf(true);
    if args.multiline {
        builder.line_terminator(None);
    }
    builder
        .build(&args.pattern)
        .map_err(|error| wrong_pattern(&args.pattern, &error))
}

fn wrong_pattern(pattern: &str, error: &grep_regex::Error) -> Refusal {
    use grep_regex::ErrorKind;
    let advice = match error.kind() {
        ErrorKind::NotAllowed(_) => "to match across lines, pass multiline: true",
        _ if ["(?=", "(?!", "(?<=", "(?<!"]
            .iter()
            .any(|look| pattern.contains(look)) =>
        {
            "there is no look-around: search for more and read the matches"
        }
        _ => {
            "to match ( ) [ ] { } . * + ? | ^ $ as they are, put a backslash before them or pass literal: true"
        }
    };
    Refusal::new(format!("the pattern is wrong; {advice}\n{error}"))
}

fn searcher(args: &Grep) -> Searcher {
    let context = match args.output_mode {
        OutputMode::Content => args.context.unwrap_or(0).min(MAX_CONTEXT_LINES),
        OutputMode::Files | OutputMode::Count => 0,
    };
    SearcherBuilder::new()
        .line_terminator(LineTerminator::crlf())
        .multi_line(args.multiline)
        .before_context(context)
        .after_context(context)
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(MAX_SEARCH_BUFFER_BYTES))
        .build()
}
