//! How many cases of each category held.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::case::Case;
use crate::sandbox::bench::is_root;

const ROOT: &str = "root";
const USER: &str = "user";

/// What came of one case.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) passed: bool,
    pub(super) skipped: bool,
    pub(super) bubblewrap: Bubblewrap,
}

/// What came of it in bubblewrap.
#[derive(Default)]
pub(super) enum Bubblewrap {
    #[default]
    NotRun,
    Held,
    /// How it escaped.
    Escaped(String),
}

/// What came of all cases, as each user.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Table {
    users: BTreeMap<String, User>,
}

#[derive(Default, Serialize, Deserialize)]
struct User {
    categories: BTreeMap<String, Counts>,
    /// What we hold and bubblewrap does not.
    ahead: Vec<String>,
    skipped: Vec<String>,
    seconds: f64,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    passed: usize,
    cases: usize,
    bubblewrap_held: usize,
    bubblewrap_cases: usize,
}

impl Table {
    pub(super) fn add(&mut self, case: &Case, tally: Tally) {
        let user = self.own();
        if tally.skipped {
            return user.skipped.push(case.to_string());
        }
        let counts = user.categories.entry(case.category.to_owned()).or_default();
        counts.cases += 1;
        counts.passed += usize::from(tally.passed);
        match tally.bubblewrap {
            Bubblewrap::NotRun => return,
            Bubblewrap::Held => counts.bubblewrap_held += 1,
            Bubblewrap::Escaped(how) => user.ahead.push(format!("{case} ({how})")),
        }
        counts.bubblewrap_cases += 1;
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.own().seconds = time.as_secs_f64();
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.users.extend(other.users);
    }

    /// Whether an ordinary user ran the cases.
    pub(super) fn has_user(&self) -> bool {
        self.users.contains_key(USER)
    }

    /// Prints it, and keeps it where the other products of tests are.
    pub(super) fn print(&self) {
        let text = self.text();
        eprintln!("{text}");
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("escapes.txt");
        // An ordinary user may not write there, and has told already.
        let _ = std::fs::write(place, text);
    }

    fn own(&mut self) -> &mut User {
        let name = if is_root() { ROOT } else { USER };
        self.users.entry(name.to_owned()).or_default()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, user) in &self.users {
            user.write(name, &mut text).unwrap();
        }
        text
    }
}

impl User {
    fn write(&self, name: &str, text: &mut String) -> std::fmt::Result {
        writeln!(text, "as {name}, in {:.0} s:", self.seconds)?;
        writeln!(
            text,
            "  {:<14} {:>10} {:>12}",
            "category", "passed", "bubblewrap"
        )?;
        let mut all = Counts::default();
        for (category, counts) in &self.categories {
            counts.write(category, text)?;
            all = all.plus(*counts);
        }
        all.write("all", text)?;
        for (what, cases) in [
            ("held here and not in bubblewrap", &self.ahead),
            ("skipped", &self.skipped),
        ] {
            let mut cases = cases.clone();
            cases.sort();
            writeln!(text, "  {what}: {}", cases.len())?;
            cases
                .iter()
                .try_for_each(|case| writeln!(text, "    {case}"))?;
        }
        Ok(())
    }
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            cases: self.cases + other.cases,
            bubblewrap_held: self.bubblewrap_held + other.bubblewrap_held,
            bubblewrap_cases: self.bubblewrap_cases + other.bubblewrap_cases,
        }
    }

    fn write(self, name: &str, text: &mut String) -> std::fmt::Result {
        let ours = format!("{}/{}", self.passed, self.cases);
        let theirs = match self.bubblewrap_cases {
            0 => String::new(),
            cases => format!("{}/{cases}", self.bubblewrap_held),
        };
        writeln!(text, "  {name:<14} {ours:>10} {theirs:>12}")
    }
}
