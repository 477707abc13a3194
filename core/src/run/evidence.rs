//! What the framework recorded itself, as Markdown for the pull request.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pullwright_protocol::{BaseMove, CheckReport};

use super::OwnedRun;
use super::prompt::fence_for;
use crate::source::Work;

/// How much of a failing check's output is shown, in characters from its end.
const MAX_OUTPUT_CHARS: usize = 3000;

/// Names that mark a file as part of a check: a change to one can make the check say anything.
const CHECK_MARKS: &[&str] = &["test", "spec", "conftest"];
const CHECK_FILES: &[&str] = &[
    "Makefile",
    "makefile",
    "GNUmakefile",
    "package.json",
    "Cargo.toml",
    "build.rs",
    "pyproject.toml",
    "pytest.ini",
    "tox.ini",
    "setup.cfg",
    "go.mod",
];

/// What is proposed.
#[derive(Clone, Copy)]
pub(super) enum Proposed<'w> {
    /// This work.
    Work(&'w Work),
    /// What an earlier owner of the run has pushed as this commit. Its work is not here any more; the reports are
    /// those of that work.
    Commit(&'w str),
}

/// What is told beside the checks.
#[derive(Clone, Copy)]
pub(super) struct Beside<'t> {
    /// The files of the checks themselves that the whole change touches.
    pub(super) check_files: &'t [String],
    /// What is to be known of the commit that it is made on.
    pub(super) of_base: &'t [String],
}

pub(super) fn markdown(
    run: &OwnedRun,
    proposed: Proposed<'_>,
    beside: Beside<'_>,
    before: &[CheckReport],
    after: &[CheckReport],
    moved: Option<&BaseMove>,
    public_url: Option<&str>,
) -> String {
    let mut text = String::from("### Checks\n\n");
    if after.is_empty() {
        text.push_str("No check is configured for or was found in this repository.\n");
    } else {
        write_table(&mut text, before, after);
    }
    for report in after.iter().filter(|report| !report.passed()) {
        write_output(&mut text, report);
    }
    write_check_files(&mut text, beside.check_files);
    let of_work = match proposed {
        Proposed::Work(work) => &work.notices[..],
        Proposed::Commit(_) => &[],
    };
    write_notices(&mut text, of_work.iter().chain(beside.of_base));
    if let Some(moved) = moved {
        let _ = writeln!(text, "\n### Base\n\n{}", moved.told);
    }
    let (what, id) = match proposed {
        Proposed::Work(work) => ("tree", &work.tree[..]),
        Proposed::Commit(commit) => ("the tree of commit", commit),
    };
    let _ = write!(
        text,
        "\n<sub>Recorded by Pullwright in run {}, on {what} {id}: each check ran on a clean checkout of \
         exactly this tree.</sub>",
        run.id
    );
    write_how_to_steer(&mut text, run, public_url);
    text
}

/// The files of the checks themselves that some work touches, sorted.
pub(super) fn check_files(work: &Work) -> Vec<String> {
    let paths = work.changed.iter().map(|changed| &changed.path);
    let touched: BTreeSet<&String> = paths.filter(|path| belongs_to_checks(path)).collect();
    touched.into_iter().cloned().collect()
}

fn write_table(text: &mut String, before: &[CheckReport], after: &[CheckReport]) {
    text.push_str("| command | before | after | time |\n|---|---|---|---|\n");
    for report in after {
        let baseline = before.iter().find(|known| known.command == report.command);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} s |",
            code_span(&report.command),
            baseline.map_or("not run".to_owned(), verdict),
            verdict(report),
            seconds(report.duration_ms),
        );
    }
}

fn write_output(text: &mut String, report: &CheckReport) {
    let chars = report.output_tail.chars().count();
    let tail: String = report
        .output_tail
        .chars()
        .skip(chars.saturating_sub(MAX_OUTPUT_CHARS))
        .collect();
    let fence = fence_for(&tail);
    let _ = writeln!(
        text,
        "\n<details><summary>Output of a failing check</summary>\n\n{fence}text\n{}\n{fence}\n\n</details>",
        tail.trim_end()
    );
}

fn write_check_files(text: &mut String, check_files: &[String]) {
    if check_files.is_empty() {
        return;
    }
    text.push_str("\nFiles of the checks themselves that this change touches:\n");
    for path in check_files {
        let _ = writeln!(text, "- {}", code_span(path));
    }
}

/// A reader may want something else, and must not need to know what made the change to say so.
fn write_how_to_steer(text: &mut String, run: &OwnedRun, public_url: Option<&str>) {
    let id = &run.id;
    let shown = match public_url {
        Some(url) => format!("[run {id}]({url}/v1/runs/{id})"),
        None => format!("run {id}"),
    };
    let _ = write!(
        text,
        "\n\n<sub>Should something be different? Say so to {shown}, with `pullwright runs say {id} \"...\"` or \
         `POST /v1/runs/{id}/messages`: it goes on with this change.</sub>"
    );
}

fn write_notices<'n>(text: &mut String, notices: impl Iterator<Item = &'n String>) {
    let mut notices = notices.peekable();
    if notices.peek().is_some() {
        text.push_str("\nWorth a look:\n");
    }
    for notice in notices {
        let _ = writeln!(text, "- {}", one_line(notice));
    }
}

fn belongs_to_checks(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = path.to_ascii_lowercase();
    CHECK_FILES.contains(&name) || CHECK_MARKS.iter().any(|mark| lower.contains(mark))
}

fn verdict(report: &CheckReport) -> String {
    match report.exit_code {
        Some(0) => "passed".to_owned(),
        Some(code) => format!("failed (exit code {code})"),
        None => "did not end in time".to_owned(),
    }
}

/// Text as inline code in a table cell, whatever it holds.
fn code_span(text: &str) -> String {
    let one_line = one_line(text);
    let ticks = "`".repeat(fence_for(&one_line).len());
    format!("{ticks} {} {ticks}", one_line.replace('|', "\\|"))
}

fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "durations stay far below 2^52 ms"
)]
fn seconds(duration_ms: u64) -> f64 {
    duration_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use pullwright_protocol::{CheckPhase, RunId};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::run::HandOver;
    use crate::store::Epoch;

    #[test]
    fn the_evidence_of_what_only_the_branch_still_holds_is_that_of_its_commit() {
        let owned = OwnedRun {
            id: RunId("run".to_owned()),
            request: serde_json::from_str(r#"{"repoUrl": "r", "prompt": "p"}"#).unwrap(),
            epoch: Epoch(2),
            last_seq: 1,
            is_resumed: true,
            is_given_up: false,
            token: None,
            cancel: CancellationToken::new(),
            hand_over: HandOver::default(),
        };
        let report = CheckReport {
            command: "make test".to_owned(),
            exit_code: Some(0),
            duration_ms: 1200,
            tree: "t".to_owned(),
            phase: CheckPhase::After,
            output_tail: String::new(),
        };
        let check_files = ["Makefile".to_owned()];
        let commit = Proposed::Commit("abc");
        let text = markdown(
            &owned,
            commit,
            Beside {
                check_files: &check_files,
                of_base: &["2 files are\nodd".to_owned()],
            },
            &[],
            &[report],
            None,
            Some("https://p.example"),
        );
        assert!(text.contains("make test"), "{text}");
        assert!(text.contains(" Makefile "), "{text}");
        assert!(
            text.contains("Worth a look:\n- 2 files are odd\n"),
            "{text}"
        );
        assert!(
            text.contains("on the tree of commit abc: each check"),
            "{text}"
        );
    }

    #[test]
    fn what_is_worth_a_look_is_said_on_one_line_each() {
        let mut text = String::new();
        write_notices(&mut text, std::iter::empty());
        assert_eq!(text, "");
        let notices = ["a\n# b".to_owned(), "c".to_owned()];
        write_notices(&mut text, notices.iter());
        assert_eq!(text, "\nWorth a look:\n- a # b\n- c\n");
    }
}
