//! Runs as a table for people.

use pullwright_core::log::now_ms;
use pullwright_core::store::RunRecord;

/// How many characters of an id tell one run from another: ids begin with the time, to the millisecond.
const ID_CHARS: usize = 13;

/// The longest that a column may be.
const OUTCOME_CHARS: usize = 22;
const REPOSITORY_CHARS: usize = 40;
const PROMPT_CHARS: usize = 60;

/// One line for each run.
pub(super) fn of(runs: &[RunRecord]) -> String {
    let now = now_ms();
    let lines = runs.iter().map(|run| line(run, now));
    lines.collect::<Vec<_>>().join("\n")
}

fn line(run: &RunRecord, now_ms: u64) -> String {
    let id: String = run.id.0.chars().take(ID_CHARS).collect();
    let outcome = match run.outcome {
        Some(outcome) => outcome.to_string(),
        None if run.cancel_requested => "ends".to_owned(),
        None if run.parked_until_ms.is_some() => "waits for its forge".to_owned(),
        None => "under way".to_owned(),
    };
    let repository = run.request.repo_url.trim_end_matches(".git");
    let repository = match repository.split_once("://") {
        Some((_, rest)) => rest,
        None => repository,
    };
    let prompt = run.request.prompt.lines().next().unwrap_or_default();
    format!(
        "{id}  {:>6}  {:OUTCOME_CHARS$}  {:REPOSITORY_CHARS$}  {}",
        age(now_ms.saturating_sub(run.created_at_ms)),
        cut(&outcome, OUTCOME_CHARS),
        cut(repository, REPOSITORY_CHARS),
        cut(prompt, PROMPT_CHARS),
    )
}

/// How long ago, in the largest unit that is not zero.
pub(in crate::cli) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The text in at most `most` characters, without what moves a cursor.
fn cut(text: &str, most: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let plain: Vec<char> = plain.collect();
    match plain.len() <= most {
        true => plain.into_iter().collect(),
        false => plain
            .into_iter()
            .take(most - 1)
            .chain(std::iter::once('…'))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_bounded_and_plain() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("a\u{1b}[2Jb", 10), "a [2Jb");
    }

    #[test]
    fn an_age_has_one_unit() {
        for (ms, shown) in [
            (0, "0 s"),
            (59_999, "59 s"),
            (61_000, "1 min"),
            (7_200_000, "2 h"),
            (200_000_000, "2 d"),
        ] {
            assert_eq!(age(ms), shown);
        }
    }
}
