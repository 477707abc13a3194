//! A part of a long answer, and how to get the next.

/// Prevents one answer from filling the model's context.
pub(crate) const MAX_PAGE_BYTES: usize = 64 * 1024;

/// Takes in any number of results and keeps one page of them.
#[derive(Debug)]
pub(crate) struct Page {
    skip: u64,
    limit: u64,
    seen: u64,
    shown: u64,
    full: bool,
    text: String,
}

impl Page {
    /// A page of at most `limit` results after the first `skip`.
    pub(crate) fn new(skip: u64, limit: u64) -> Self {
        Self {
            skip,
            limit,
            seen: 0,
            shown: 0,
            full: false,
            text: String::new(),
        }
    }

    /// Counts a result, and says whether it belongs on the page.
    pub(crate) fn wants_next(&mut self) -> bool {
        self.seen += 1;
        self.seen > self.skip && !self.full
    }

    /// Adds a line for the result that [`Page::wants_next`] let in.
    pub(crate) fn add(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.shown += 1;
        self.full = self.shown >= self.limit || self.text.len() >= MAX_PAGE_BYTES;
    }

    /// Adds a line that is no result, such as a heading.
    pub(crate) fn add_heading(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// How many results there were in all.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The page, and a line that says what is not on it. `what` names the results.
    pub(crate) fn finish(mut self, what: &str) -> String {
        let (first, last) = (self.skip + 1, self.skip + self.shown);
        if self.shown == 0 {
            let seen = self.seen;
            self.add_heading(&format!(
                "[there are only {seen} {what}, all before this offset]"
            ));
        } else if self.shown < self.seen {
            let next = match last < self.seen {
                true => format!("; go on with offset: {last}"),
                false => String::new(),
            };
            let note = format!("[{what} {first}-{last} of {} shown{next}]", self.seen);
            self.add_heading(&note);
        }
        self.text
    }
}
