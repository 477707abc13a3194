//! The cases, as they are written.

use std::fmt;

use serde::Deserialize;

/// The files of cases. What they hold is part of the test, so that any user can run it.
const FILES: [(&str, &str); 9] = [
    (
        "file_system",
        include_str!("../../escapes/file_system.toml"),
    ),
    (
        "environment",
        include_str!("../../escapes/environment.toml"),
    ),
    ("processes", include_str!("../../escapes/processes.toml")),
    (
        "system_calls",
        include_str!("../../escapes/system_calls.toml"),
    ),
    ("network", include_str!("../../escapes/network.toml")),
    ("resources", include_str!("../../escapes/resources.toml")),
    ("lifetime", include_str!("../../escapes/lifetime.toml")),
    ("output", include_str!("../../escapes/output.toml")),
    (
        "honest_work",
        include_str!("../../escapes/honest_work.toml"),
    ),
];

/// What another sandbox can be asked, too.
const COMPARED: [&str; 4] = ["file_system", "environment", "processes", "network"];

pub(super) const ATTACKS: usize = 80;
pub(super) const HONEST: usize = 20;

/// No case needs longer, unless it says so.
const USUAL_SECONDS: u64 = 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

/// One row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// The file it is in.
    #[serde(skip)]
    pub(super) category: &'static str,
    pub(super) name: String,
    /// A script for bash. `@name@` is a bait or a place.
    pub(super) run: String,
    /// A script that prepares the workspace on the host.
    pub(super) plant: Option<String>,
    /// Lines of `[sandbox]`.
    pub(super) config: Option<String>,
    /// Lines of `[sandbox.network]`.
    pub(super) network: Option<String>,
    #[serde(default)]
    pub(super) allow: Vec<String>,
    /// What `run` reads.
    pub(super) input: Option<String>,
    /// The exit code; 0 if absent, 128 and the signal for one that ended the command.
    pub(super) code: Option<i32>,
    /// One of these instead.
    #[serde(default)]
    pub(super) codes: Vec<i32>,
    /// Standard output, exactly.
    pub(super) stdout: Option<String>,
    /// The same, in hexadecimal digits.
    pub(super) stdout_hex: Option<String>,
    /// How long it is.
    pub(super) stdout_bytes: Option<u64>,
    #[serde(default)]
    pub(super) contains: Vec<String>,
    #[serde(default)]
    pub(super) lacks: Vec<String>,
    /// What standard error contains.
    #[serde(default)]
    pub(super) stderr: Vec<String>,
    /// What is done to the command line once the script has said `ready`.
    pub(super) interrupt: Option<Interrupt>,
    /// Reads what the script writes as slowly as it can.
    #[serde(default)]
    pub(super) slow_reader: bool,
    /// The user who must run it.
    pub(super) only: Option<Who>,
    /// Programs without which it says nothing; `x86_64` where call numbers matter.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    /// Without a sandbox the attack succeeds.
    #[serde(default)]
    pub(super) outside: bool,
    /// Whether it is run in bubblewrap, too.
    pub(super) bwrap: Option<bool>,
    pub(super) seconds: Option<u64>,
    /// Why it does not hold yet. It must go on failing, or the mark be removed.
    pub(super) known_gap: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Who {
    Root,
    User,
}

/// What is done to the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Interrupt {
    Kill,
    Term,
    Int,
    Hup,
    /// Nobody reads what it writes any more.
    CloseOutput,
}

impl Case {
    /// All of them.
    pub(super) fn all() -> Vec<Self> {
        FILES
            .into_iter()
            .flat_map(|(name, text)| of_file(name, text))
            .collect()
    }

    pub(super) fn is_compared(&self) -> bool {
        self.bwrap.unwrap_or(COMPARED.contains(&self.category))
    }

    pub(super) fn is_honest(&self) -> bool {
        self.category == "honest_work"
    }

    pub(super) fn seconds(&self) -> u64 {
        self.seconds.unwrap_or(USUAL_SECONDS)
    }

    /// A case that expects nothing passes by accident.
    fn check(&self) {
        let says = self.stdout.is_some()
            || self.stdout_hex.is_some()
            || self.stdout_bytes.is_some()
            || !self.contains.is_empty();
        assert!(
            says || self.interrupt.is_some(),
            "{self}: it says nothing about its output, so a script that does not run would pass"
        );
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.category, self.name)
    }
}

fn of_file(category: &'static str, text: &str) -> Vec<Case> {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{category}: {error}"));
    let mut cases = file.case;
    for case in &mut cases {
        case.category = category;
        case.check();
    }
    cases
}

#[test]
fn there_are_enough_cases_and_none_twice() {
    let cases = Case::all();
    let mut names: Vec<_> = cases.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cases.len());
    let honest = cases.iter().filter(|case| case.is_honest()).count();
    assert!(honest >= HONEST, "{honest}");
    assert!(cases.len() - honest >= ATTACKS, "{}", cases.len() - honest);
    for (category, _) in FILES {
        assert!(
            cases.iter().any(|case| case.category == category),
            "{category}"
        );
    }
}
