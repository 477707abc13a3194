//! What the search found in one file.

use std::io;
use std::path::Path;

use grep_matcher::Matcher as _;
use grep_regex::RegexMatcher;
use grep_searcher::{Searcher, Sink, SinkContext, SinkMatch};

use super::OutputMode;
use crate::page::Page;
use crate::stop::Stop;
use crate::text;

/// Prevents one line, such as minified code, from filling the page.
const MAX_LINE_BYTES: usize = 500;

/// How much of a cut line is shown before its match.
const BYTES_BEFORE_MATCH: usize = 100;

/// Takes the matches of one file to the page.
pub(super) struct FileSink<'a> {
    path: &'a Path,
    mode: OutputMode,
    matcher: &'a RegexMatcher,
    page: &'a mut Page,
    stop: &'a Stop,
    has_heading: bool,
    /// A gap in front of the next line, where context groups are apart.
    gap: bool,
    count: u64,
    stopped: bool,
}

impl<'a> FileSink<'a> {
    pub(super) fn new(
        path: &'a Path,
        mode: OutputMode,
        matcher: &'a RegexMatcher,
        page: &'a mut Page,
        stop: &'a Stop,
    ) -> Self {
        Self {
            path,
            mode,
            matcher,
            page,
            stop,
            has_heading: false,
            gap: false,
            count: 0,
            stopped: false,
        }
    }

    /// Adds what is known only at the end of the file; says whether the search had to stop.
    pub(super) fn finish(self) -> bool {
        let path = self.path.to_string_lossy();
        match self.mode {
            _ if self.count == 0 => {}
            OutputMode::Content => {}
            OutputMode::Files if self.page.wants_next() => self.page.add(&path),
            OutputMode::Count if self.page.wants_next() => {
                self.page.add(&format!("{path}:{}", self.count));
            }
            OutputMode::Files | OutputMode::Count => {}
        }
        self.stopped
    }

    fn line(&mut self, number: Option<u64>, mark: char, line: &[u8], shown_from: usize) {
        if !self.page.wants_next() {
            return;
        }
        if !self.has_heading {
            self.page.add_heading(&self.path.to_string_lossy());
        } else if self.gap {
            self.page.add_heading("--");
        }
        (self.has_heading, self.gap) = (true, false);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let before = if shown_from > 0 { "[...] " } else { "" };
        let text = text::cut(&line[shown_from.min(line.len())..], MAX_LINE_BYTES);
        let number = number.unwrap_or(0);
        self.page.add(&format!("{number}{mark}{before}{text}"));
    }

    /// Where to begin showing a line that is too long to be shown whole.
    fn start_near_match(&self, line: &[u8]) -> usize {
        if line.len() <= MAX_LINE_BYTES {
            return 0;
        }
        let found = self.matcher.find(line).ok().flatten();
        let near = found.map_or(0, |found| found.start().saturating_sub(BYTES_BEFORE_MATCH));
        let is_start = |at: &usize| (line[*at] & 0b1100_0000) != 0b1000_0000;
        (near..line.len()).find(is_start).unwrap_or(near)
    }
}

impl Sink for FileSink<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.stopped |= self.stop.is_due();
        for (index, line) in found.lines().enumerate() {
            self.count += 1;
            if self.mode == OutputMode::Content {
                let number = found.line_number().map(|first| first + index as u64);
                let from = self.start_near_match(line);
                self.line(number, ':', line, from);
            }
        }
        Ok(!self.stopped && self.mode != OutputMode::Files)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        self.line(context.line_number(), '-', context.bytes(), 0);
        Ok(true)
    }

    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        self.gap = self.has_heading;
        Ok(true)
    }
}
