//! The report, for a person or for a program.

use pullwright_sandbox::Machine;
use pullwright_sandbox::machine::{Finding, State};
use serde::Serialize;

/// The width of a state, and of most names.
const STATE_WIDTH: usize = 7;
const NAME_WIDTH: usize = 23;

/// The width of what is said beside them.
const TEXT_WIDTH: usize = 72;

/// Everything that was found, by section.
#[derive(Default, Serialize)]
pub(super) struct Report {
    /// Whether a run can start.
    works: Works,
    sections: Vec<Section>,
    machine: Option<Machine>,
}

/// True until something says otherwise.
#[derive(Serialize)]
#[serde(transparent)]
struct Works(bool);

#[derive(Serialize)]
struct Section {
    name: &'static str,
    findings: Vec<Finding>,
}

impl Default for Works {
    fn default() -> Self {
        Self(true)
    }
}

impl Report {
    pub(super) fn works(&self) -> bool {
        self.works.0
    }

    pub(super) fn add(&mut self, name: &'static str, findings: impl IntoIterator<Item = Finding>) {
        let at = self
            .sections
            .iter()
            .position(|section| section.name == name);
        let at = at.unwrap_or_else(|| {
            self.sections.push(Section {
                name,
                findings: Vec::new(),
            });
            self.sections.len() - 1
        });
        self.sections[at].findings.extend(findings);
    }

    /// Something without which no run can start.
    pub(super) fn unusable(&mut self, finding: Finding) {
        self.works.0 = false;
        self.add("configuration", [finding]);
    }

    pub(super) fn open_sandbox(&mut self, finding: Finding) {
        self.works.0 &= finding.state != State::No;
        self.add("sandbox", [finding]);
    }

    /// What was asked for by name counts, whether or not runs use it.
    pub(super) fn modal(&mut self, findings: Vec<Finding>) {
        self.works.0 &= findings.iter().all(|finding| finding.state != State::No);
        self.add("Modal", findings);
    }

    pub(super) fn machine(&mut self, mut machine: Machine) {
        let kernel = Finding::ok("kernel", machine.kernel.clone());
        let container = machine.container.as_ref().map(|kind| {
            Finding::ok(
                "container",
                format!("this is a container ({kind}), so its settings count too"),
            )
        });
        let section = "machine (as sandbox `local` uses it)";
        self.add(section, [kernel].into_iter().chain(container));
        self.add(section, std::mem::take(&mut machine.findings));
        self.machine = Some(machine);
    }

    /// As a person reads it in a terminal.
    pub(super) fn text(&self, colours: bool) -> String {
        let mut lines = Vec::new();
        for section in &self.sections {
            lines.push(section.name.to_owned());
            for finding in &section.findings {
                lines.extend(render(finding, colours));
            }
            lines.push(String::new());
        }
        lines.push(self.verdict().to_owned());
        lines.join("\n")
    }

    fn verdict(&self) -> &'static str {
        let findings = self.sections.iter().flat_map(|section| &section.findings);
        let any = |state| findings.clone().any(|finding| finding.state == state);
        if !self.works() {
            "Runs cannot start here."
        } else if any(State::No) {
            "Runs can start here; what needs a line that says `no` fails until it is mended."
        } else if any(State::Partial) {
            "Runs can start here, with what is said above."
        } else {
            "Runs can start here."
        }
    }
}

fn render(finding: &Finding, colours: bool) -> Vec<String> {
    let state = format!("{:STATE_WIDTH$}", finding.state.name());
    let state = match colours {
        true => format!("\u{1b}[{}m{state}\u{1b}[0m", colour(finding.state)),
        false => state,
    };
    let mut texts = wrap("", &finding.meaning);
    if let Some(remedy) = &finding.remedy {
        texts.extend(wrap("→ ", remedy));
    }
    let mut texts = texts.into_iter();
    let first = texts.next().unwrap_or_default();
    let mut lines = vec![format!("  {state}  {:NAME_WIDTH$}  {first}", finding.name)];
    let blank = " ".repeat(2 + STATE_WIDTH + 2 + NAME_WIDTH + 2);
    lines.extend(texts.map(|text| format!("{blank}{text}")));
    lines
}

/// The lines of a text, the first of them after `mark`.
fn wrap(mark: &str, text: &str) -> Vec<String> {
    let mut lines = vec![mark.to_owned()];
    let mut is_empty = true;
    for word in text.split_whitespace().map(harmless) {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if !is_empty && line + 1 + word.chars().count() > TEXT_WIDTH {
            lines.push(" ".repeat(mark.chars().count()));
            is_empty = true;
        }
        if let Some(line) = lines.last_mut() {
            let space = if is_empty { "" } else { " " };
            line.push_str(&format!("{space}{word}"));
        }
        is_empty = false;
    }
    lines
}

fn colour(state: State) -> &'static str {
    match state {
        State::Ok => "32",
        State::Partial => "33",
        State::No => "31",
    }
}

/// Versions and errors come from elsewhere: a terminal must not obey them.
fn harmless(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        let mut report = Report::default();
        report.add("machine", findings);
        report
    }

    #[test]
    fn a_finding_is_a_line_with_its_remedy_below() {
        let report = report(vec![
            Finding::ok("git", "2.39"),
            Finding::partial("limit of memory", "each\n process").remedy("be \u{1b}[1mroot"),
        ]);
        assert_eq!(
            report.text(false),
            "machine\n  \
             ok       git                      2.39\n  \
             partial  limit of memory          each process\n                                    \
             → be [1mroot\n\nRuns can start here, with what is said above."
        );
    }

    #[test]
    fn long_texts_are_wrapped_under_themselves() {
        let long = "word ".repeat(20);
        let lines = wrap("→ ", &long);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("→ word") && lines[1].starts_with("  word"));
        assert!(lines.iter().all(|line| line.chars().count() <= TEXT_WIDTH));
        assert_eq!(wrap("", ""), [""]);
        assert_eq!(wrap("", &"x".repeat(200)).len(), 1);
    }

    #[test]
    fn only_what_a_run_needs_makes_it_unusable() {
        let mut report = report(vec![Finding::no("limit of processor time", "none")]);
        assert!(report.works());
        report.open_sandbox(Finding::partial("sandbox `none`", "isolates nothing"));
        assert!(report.works());
        assert!(report.text(false).ends_with("until it is mended."));
        report.open_sandbox(Finding::no("sandbox `local`", "refused"));
        assert!(!report.works());
        assert!(report.text(false).ends_with("\nRuns cannot start here."));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["works"], false);
        assert_eq!(json["sections"][1]["findings"][1]["state"], "no");
    }
}
