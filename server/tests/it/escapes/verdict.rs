//! Whether a case escaped, and whether it came to what it says.

use super::case::Case;
use super::launch::Ran;
use super::leftovers;
use super::stage::Stage;

/// What a script prints when it did what it must not.
const ESCAPED: &str = "ESCAPED";

/// More than the command line needs to pass bytes on. With a debug build's own code.
const PEAK_KB: u64 = 200 * 1024;

/// What got out, or was reached.
pub(super) fn escape(ran: &Ran, stage: &mut Stage) -> Option<String> {
    let (out, err) = (ran.stdout.text(), ran.stderr.text());
    let secret = &stage.baits.secret;
    if out.contains(&**secret) || err.contains(&**secret) {
        return Some("it read the host's secret".to_owned());
    }
    if out.contains(ESCAPED) {
        return Some("it says that it escaped".to_owned());
    }
    stage.baits.disturbed().or_else(|| leftovers::of(stage))
}

/// What is not as the case says.
pub(super) fn surprise(case: &Case, ran: &Ran) -> Option<String> {
    if !ran.in_time {
        return Some(format!("it did not end within {} s", case.seconds()));
    }
    let codes = match case.codes.is_empty() {
        true => vec![case.code.unwrap_or(0)],
        false => case.codes.clone(),
    };
    let (out, err) = (ran.stdout.text(), ran.stderr.text());
    let first = |texts: &[String], is_wrong: &dyn Fn(&str) -> bool| {
        texts.iter().find(|text| is_wrong(text)).cloned()
    };
    if case.interrupt.is_none() && !codes.contains(&ran.code) {
        return Some(format!("it ended with {} instead of {codes:?}", ran.code));
    }
    if let Some(expected) = &case.stdout
        && out != *expected
    {
        return Some(format!("it did not say {expected:?}"));
    }
    if let Some(expected) = &case.stdout_hex
        && ran.stdout.hex() != *expected
    {
        return Some(format!(
            "it did not say the bytes {expected}, but {}",
            ran.stdout.hex()
        ));
    }
    if let Some(expected) = case.stdout_bytes
        && ran.stdout.bytes != expected
    {
        return Some(format!(
            "it said {} bytes instead of {expected}",
            ran.stdout.bytes
        ));
    }
    if let Some(missing) = first(&case.contains, &|text| !out.contains(text)) {
        return Some(format!("standard output lacks {missing:?}"));
    }
    if let Some(present) = first(&case.lacks, &|text| out.contains(text)) {
        return Some(format!("standard output contains {present:?}"));
    }
    if let Some(missing) = first(&case.stderr, &|text| !err.contains(text)) {
        return Some(format!("standard error lacks {missing:?}"));
    }
    let peak = ran.peak_kb.filter(|peak| *peak > PEAK_KB);
    peak.map(|peak| format!("the command line took {peak} KiB of memory"))
}
