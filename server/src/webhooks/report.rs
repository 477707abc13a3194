//! What people are told of a run: from its events to the text of its comment.

use pullwright_protocol::{CheckPhase, CheckReport, Event, Outcome, RunId, Stage};

/// How each comment of ours begins, so that none of them is taken for somebody's word.
pub(super) const MARKER_PREFIX: &str = "<!-- pullwright:";
/// How the external id of each check of ours begins.
pub(super) const CHECK_PREFIX: &str = "pullwright:";

/// How far a run is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    stage: Option<Stage>,
    /// The commit that it has pushed.
    pub(super) commit: Option<String>,
    pull_request: Option<u64>,
    /// What its checks said of the change at last.
    checks: Vec<CheckReport>,
    outcome: Option<Outcome>,
    /// The model's own words at the end.
    pub(super) summary: String,
}

impl Progress {
    /// Goes on by an event.
    pub(super) fn see(&mut self, event: Event) {
        match event {
            Event::Status { stage, .. } => self.stage = Some(stage),
            Event::RepairAsked => self.checks.clear(),
            Event::Checked { report } if report.phase == CheckPhase::After => {
                self.checks.retain(|check| check.command != report.command);
                self.checks.push(report);
            }
            Event::BranchPushed { commit, .. } => self.commit = Some(commit),
            Event::PullRequestOpened { number, .. } => self.pull_request = Some(number),
            Event::Done {
                outcome, summary, ..
            } => {
                self.outcome = Some(outcome);
                self.summary = summary;
            }
            _ => {}
        }
    }

    /// Whether nothing more is to be seen.
    pub(super) fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether the checks of the change passed, as far as there are any.
    pub(super) fn passes(&self) -> bool {
        self.checks.iter().all(CheckReport::passed)
    }

    /// The comment's text.
    pub(super) fn comment(&self, run: &RunId, mention: &str) -> String {
        let mut text = format!("**Pullwright** {}.\n\n", self.headline());
        if !self.checks.is_empty() {
            text.push_str(&format!("{}\n", self.evidence()));
        }
        text.push_str(&format!(
            "Run `{run}`. To say something to it, mention `{mention}` in a comment here{}.",
            match self.pull_request {
                Some(_) => " or on the pull request",
                None => "",
            }
        ));
        text
    }

    /// One line for a check of our own.
    pub(super) fn title(&self) -> String {
        match (self.passes(), self.checks.len()) {
            (_, 0) => "No checks are known".to_owned(),
            (true, _) => "The checks pass".to_owned(),
            (false, _) => "The change breaks checks".to_owned(),
        }
    }

    /// What the checks said, as Markdown.
    pub(super) fn evidence(&self) -> String {
        let line = |check: &CheckReport| {
            let said = match check.exit_code {
                Some(0) => "passed".to_owned(),
                Some(code) => format!("failed with exit code {code}"),
                None => "did not end in time".to_owned(),
            };
            let seconds = check.duration_ms as f64 / 1000.0;
            format!("- {}: {said} after {seconds:.1} s\n", code(&check.command))
        };
        self.checks.iter().map(line).collect()
    }

    fn headline(&self) -> String {
        let proposed = |number: u64| format!("has proposed its change in #{number}");
        match (self.outcome, self.pull_request) {
            (None, _) => format!("is at work: it {}", doing(self.stage)),
            (Some(Outcome::PullRequest), Some(number)) => proposed(number),
            (Some(Outcome::PullRequest), None) => "has proposed its change".to_owned(),
            (Some(Outcome::BranchOnly), _) => "has pushed a branch".to_owned(),
            (Some(Outcome::PatchOnly), _) => {
                "has made a change that could not be pushed; its patch is kept".to_owned()
            }
            (Some(Outcome::NoChanges), _) => "has changed nothing".to_owned(),
            (Some(Outcome::Failed(kind)), _) => {
                format!("could not finish ({kind}); what it has made is kept")
            }
            (Some(Outcome::Cancelled), _) => "was cancelled; what it has made is kept".to_owned(),
            (Some(Outcome::BudgetReached), _) => {
                "has used up its budget; what it has made is kept".to_owned()
            }
        }
    }
}

fn doing(stage: Option<Stage>) -> &'static str {
    match stage {
        None | Some(Stage::Queued) => "waits for its turn",
        Some(Stage::Clone) => "fetches the repository",
        Some(Stage::Sandbox) => "prepares its sandbox",
        Some(Stage::Work) => "works on the change",
        Some(Stage::Check) => "runs the project's checks",
        Some(Stage::Publish) => "publishes the change",
    }
}

/// Code in one line that nothing in it can end.
fn code(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(MAX_CHARS).collect();
    let runs = line.split(|c| c != '`');
    let longest = runs.map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    format!("{fence} {line} {fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(command: &str, exit_code: Option<i32>) -> Event {
        let report = CheckReport {
            command: command.to_owned(),
            exit_code,
            duration_ms: 1200,
            tree: String::new(),
            phase: CheckPhase::After,
            output_tail: String::new(),
        };
        Event::Checked { report }
    }

    #[test]
    fn a_comment_says_what_is_done_and_calls_nobody() {
        let mut progress = Progress::default();
        let run = RunId("1".to_owned());
        assert!(
            progress
                .comment(&run, "@pullwright")
                .contains("waits for its turn")
        );
        progress.see(Event::Status {
            stage: Stage::Check,
            message: "@everyone".to_owned(),
        });
        progress.see(checked("sh `test`.sh", Some(1)));
        progress.see(checked("sh `test`.sh", Some(0)));
        let text = progress.comment(&run, "@pullwright");
        assert!(text.contains("runs the project's checks"), "{text}");
        assert!(
            text.contains("`` sh `test`.sh ``: passed after 1.2 s"),
            "{text}"
        );
        assert!(!text.contains("@everyone"), "{text}");
        assert!(
            !super::super::mention::mentions(&text, "@pullwright"),
            "{text}"
        );
        assert!(!progress.has_ended() && progress.passes());
    }
}
