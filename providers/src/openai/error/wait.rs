//! The wait that an error's words ask for: "Please try again in 1m2.5s".

use std::time::Duration;

/// What stands before the wait.
const BEFORE: &str = "try again in ";

pub(super) fn in_words(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once(BEFORE)?;
    let mut total = Duration::ZERO;
    let mut rest = rest;
    while let Some((amount, unit, after)) = next(rest) {
        total = total.checked_add(Duration::try_from_secs_f64(amount * unit).ok()?)?;
        rest = after;
    }
    (total > Duration::ZERO).then_some(total)
}

/// The next amount, its unit in seconds, and what follows.
fn next(text: &str) -> Option<(f64, f64, &str)> {
    let text = text.trim_start_matches(' ');
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let amount = text[..digits].parse().ok()?;
    let rest = text[digits..].trim_start_matches(' ');
    let letters = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let unit = match &rest[..letters] {
        "ms" | "milliseconds" => 0.001,
        "s" | "second" | "seconds" => 1.0,
        "m" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        _ => return None,
    };
    Some((amount, unit, &rest[letters..]))
}
