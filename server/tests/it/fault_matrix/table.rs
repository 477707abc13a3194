//! The table of a stage: what came of each way to fail.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::case::Played;
use super::fault::Times;
use super::stage::Stage;

const HEAD: &str = "\
| fails with | when | how often | outcome | waited | pull requests | work kept as |
|---|---|---|---|---|---|---|
";

/// The table.
pub(super) fn of(stage: Stage, played: &[Played]) -> String {
    let mut table = format!("# {}\n\n{HEAD}", stage.name());
    for played in played {
        let times = match played.plan.times {
            Times::Once => "once",
            Times::Long => "4 times",
            Times::Always => "always",
        };
        let _ = writeln!(
            table,
            "| {} | {} | {times} | {} | {} | {} | {} |",
            played.plan.fault.name,
            played.moment(),
            played.outcome,
            waited(played),
            played.pull_requests,
            kept(played),
        );
    }
    table
}

/// Fails where the table is another than the one that is kept, or writes it.
pub(super) fn compare(stage: Stage, table: &str) {
    let file = file(stage);
    if std::env::var("UPDATE_FIXTURES").as_deref() == Ok("1") {
        std::fs::write(&file, table).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let shown = file.display();
    assert_eq!(
        table, known,
        "{shown} is another; UPDATE_FIXTURES=1 writes it"
    );
}

/// A limit that a look-up has met is over when the work is done, or is not, as the machine is fast.
fn waited(played: &Played) -> &'static str {
    match played.has_waited && played.plan.stage != Stage::Rules {
        true => "yes",
        false => "",
    }
}

fn kept(played: &Played) -> String {
    if !played.has_work {
        return "no work yet".to_owned();
    }
    let kinds = [
        ("patch", played.has_patch),
        ("branch", played.branches > 0),
        ("verified commit", played.is_verified),
        ("pull request", played.pull_requests > 0),
        ("label", played.has_labels),
        ("people", played.has_people),
    ];
    let kept: Vec<&str> = kinds
        .into_iter()
        .filter_map(|(kind, is_kept)| is_kept.then_some(kind))
        .collect();
    match kept.is_empty() {
        true => "LOST".to_owned(),
        false => kept.join(", "),
    }
}

fn file(stage: Stage) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fault_matrix/table");
    folder.join(format!(
        "{}.md",
        stage.name().replace([',', ' '], "-").replace("--", "-")
    ))
}
