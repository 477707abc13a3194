//! Check: the project's own checks, on a clean checkout of exactly the tree that is pushed.

use std::time::Duration;

use pullwright_protocol::{CheckPhase, CheckReport, Event, Stage};

use super::command::run_shell;
use super::detect::Commands;
use super::{Prepared, Run};
use crate::agent::Halt;
use crate::source::Work;

impl Run<'_> {
    /// Checks the work in a fresh sandbox, with every earlier process killed, and answers the
    /// checks that the change broke. The fresh sandbox stays, so that a repair starts from it.
    pub(super) async fn check(&mut self, prepared: &Prepared) -> Result<Vec<CheckReport>, Halt> {
        if prepared.commands.checks.is_empty() {
            return Ok(Vec::new());
        }
        self.close_sandbox().await?;
        let Some(work) = self.work.clone() else {
            return Ok(Vec::new());
        };
        self.open_on_work(prepared, &work).await?;
        let after = self.run_checks(&prepared.commands, &work.tree, CheckPhase::After);
        self.after = after.await?;
        let broken = broken(&self.before, &self.after);
        if !broken.is_empty() {
            // A repair starts without what the checks left behind.
            self.settle(&work.tree).await?;
        }
        Ok(broken)
    }

    /// A fresh sandbox with the work.
    pub(super) async fn open_on_work(
        &mut self,
        prepared: &Prepared,
        work: &Work,
    ) -> Result<(), Halt> {
        let (base, commands) = (&prepared.base, &prepared.commands);
        self.open_sandbox(base, Some(work), commands).await?;
        self.set_up(commands).await
    }

    pub(super) async fn run_checks(
        &self,
        commands: &Commands,
        tree: &str,
        phase: CheckPhase,
    ) -> Result<Vec<CheckReport>, Halt> {
        let sandbox = self.sandbox()?;
        let limit = Duration::from_secs(self.parts.config.checks.timeout_sec);
        let mut reports = Vec::new();
        for command in &commands.checks {
            let when = match phase {
                CheckPhase::Before => "before the work",
                CheckPhase::After => "on the change",
            };
            self.status(Stage::Check, format!("{command} ({when})"))
                .await;
            let ran = run_shell(sandbox.as_ref(), command, limit).await?;
            let report = CheckReport {
                command: command.clone(),
                exit_code: ran.exit_code,
                duration_ms: u64::try_from(ran.duration.as_millis()).unwrap_or(u64::MAX),
                tree: tree.to_owned(),
                phase,
                output_tail: ran.output_tail,
            };
            let event = Event::Checked {
                report: report.clone(),
            };
            self.log.emit(event).await;
            reports.push(report);
        }
        Ok(reports)
    }
}

/// The checks that passed before and fail after.
pub(super) fn broken(before: &[CheckReport], after: &[CheckReport]) -> Vec<CheckReport> {
    let passed_before = |command: &str| {
        let report = before.iter().find(|report| report.command == command);
        report.is_some_and(CheckReport::passed)
    };
    let is_broken = |report: &&CheckReport| !report.passed() && passed_before(&report.command);
    after.iter().filter(is_broken).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(command: &str, exit_code: Option<i32>, phase: CheckPhase) -> CheckReport {
        CheckReport {
            command: command.to_owned(),
            exit_code,
            duration_ms: 1,
            tree: String::new(),
            phase,
            output_tail: String::new(),
        }
    }

    #[test]
    fn only_what_the_change_broke_is_broken() {
        let before = [
            report("a", Some(0), CheckPhase::Before),
            report("b", Some(1), CheckPhase::Before),
            report("c", Some(0), CheckPhase::Before),
            report("d", Some(0), CheckPhase::Before),
        ];
        let after = [
            report("a", Some(0), CheckPhase::After),
            report("b", Some(1), CheckPhase::After),
            report("c", Some(2), CheckPhase::After),
            report("d", None, CheckPhase::After),
        ];
        let broken = broken(&before, &after);
        let commands: Vec<&str> = broken
            .iter()
            .map(|report| report.command.as_str())
            .collect();
        assert_eq!(commands, ["c", "d"]);
    }
}
