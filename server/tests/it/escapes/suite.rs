//! Runs all cases as this user, several at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::case::Case;
use super::launch::{self, Place, Ran};
use super::stage::Stage;
use super::table::{Bubblewrap, Table, Tally};
use super::tools::Missing;
use super::{leftovers, tools, verdict};

/// Cases at a time.
const WORKERS: usize = 4;

/// What an attack without a sandbox did shows by then, on a machine that is busy too.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// What has come of it so far.
struct Progress<'t> {
    waiting: VecDeque<Case>,
    table: &'t mut Table,
    failures: Vec<String>,
}

/// Answers what failed.
pub(super) fn run(table: &mut Table) -> Vec<String> {
    let only = std::env::var("PULLWRIGHT_ESCAPE").unwrap_or_default();
    let cases = Case::all()
        .into_iter()
        .filter(|case| case.to_string().contains(&only));
    let begun = Instant::now();
    let progress = Mutex::new(Progress {
        waiting: cases.filter(tools::applies).collect(),
        table,
        failures: tools::comparison_missing().into_iter().collect(),
    });
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&progress));
        }
    });
    let Progress {
        table, failures, ..
    } = progress
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    table.took(begun.elapsed());
    failures
}

fn work(progress: &Mutex<Progress<'_>>) {
    let lock = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(case) = lock().waiting.pop_front() else {
            return;
        };
        // A case whose baits cannot be laid must not stop the others.
        let tried = std::panic::catch_unwind(|| all_of(&case));
        let (tally, failures) = tried.unwrap_or_else(|_| {
            (
                Tally::default(),
                vec![format!("{case}: its stage broke down, as told above")],
            )
        });
        let mut progress = lock();
        progress.table.add(&case, tally);
        progress.failures.extend(failures);
    }
}

/// One case wherever it is to run.
fn all_of(case: &Case) -> (Tally, Vec<String>) {
    let mut tally = Tally::default();
    if let Some(why) = tools::missing(case) {
        eprintln!("SKIPPED: {case}: {why}");
        tally.skipped = true;
        let fails = matches!(why, Missing::Program(_)) && tools::must_be_there();
        let failure =
            fails.then(|| format!("{case}: {why}: install it, or unset PULLWRIGHT_REQUIRE_PEERS"));
        return (tally, failure.into_iter().collect());
    }
    let mut failures = Vec::new();
    let ours = inside(case);
    tally.passed = ours.is_none();
    match (&ours, &case.known_gap) {
        (Some(why), Some(gap)) => eprintln!("KNOWN GAP: {case}: {gap} ({why})"),
        (None, Some(_)) => failures.push(format!("{case}: it holds now; remove its `known_gap`")),
        (Some(why), None) => failures.push(format!("{case}: {why}")),
        (None, None) => {}
    }
    if case.outside && outside(case).is_none() {
        failures.push(format!(
            "{case}: the attack fails without a sandbox, too, so it says nothing"
        ));
    }
    if case.is_compared() && tools::has(tools::BUBBLEWRAP) {
        tally.bubblewrap = match compared(case) {
            Some(how) => Bubblewrap::Escaped(how),
            None => Bubblewrap::Held,
        };
        if let (Bubblewrap::Held, Some(why)) = (&tally.bubblewrap, &ours) {
            failures.push(format!("{case}: bubblewrap holds, and we do not: {why}"));
        }
    }
    (tally, failures)
}

/// What is wrong in our sandbox.
fn inside(case: &Case) -> Option<String> {
    let mut stage = Stage::new(case);
    let ran = launch::run(case, &stage, Place::Sandbox);
    let escape = verdict::escape(&ran, &mut stage).map(|what| format!("ESCAPED: {what}"));
    let wrong = escape.or_else(|| verdict::surprise(case, &ran));
    let wrong = wrong.or_else(|| swept(case, &ran));
    wrong.map(|wrong| format!("{wrong}\n{ran:#?}"))
}

/// How the attack succeeds without a sandbox.
fn outside(case: &Case) -> Option<String> {
    let mut stage = Stage::new(case);
    let ran = launch::run(case, &stage, Place::Outside);
    let begun = Instant::now();
    let mut how = verdict::escape(&ran, &mut stage);
    // A process that was killed is seen to be gone a moment later.
    while how.is_none() && begun.elapsed() < SHOWS_WITHIN {
        std::thread::sleep(PAUSE);
        how = verdict::escape(&ran, &mut stage);
    }
    leftovers::end(&stage);
    how
}

/// How it succeeds in bubblewrap.
fn compared(case: &Case) -> Option<String> {
    let mut stage = Stage::new(case);
    let ran = launch::run(case, &stage, Place::Bubblewrap);
    assert!(!ran.stderr.text().contains("bwrap:"), "{case}: {ran:?}");
    let how = verdict::escape(&ran, &mut stage);
    leftovers::end(&stage);
    how
}

/// The next start removes the groups of a command line that was killed.
fn swept(case: &Case, ran: &Ran) -> Option<String> {
    case.interrupt?;
    let mut next = case.clone();
    next.run = "true".to_owned();
    next.interrupt = None;
    let stage = Stage::new(&next);
    launch::run(&next, &stage, Place::Sandbox);
    let left = leftovers::groups(ran.pid);
    (!left.is_empty()).then(|| format!("the next start left the groups {}", left.join(", ")))
}
