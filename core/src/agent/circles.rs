//! Whether a model goes in circles: the same calls with the same results, or nothing but failures.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use pullwright_protocol::{Content, Item, Part, ToolCall};

/// The longest round that is looked for, in turns.
const LONGEST_ROUND: usize = 4;

/// How often one turn may be the same, and a round of several. Who waits for something asks again, too.
const SAME_TURNS: usize = 5;
const SAME_ROUNDS: usize = 3;

/// How many turns in a row may fail as a whole.
const FAILED_TURNS: u32 = 10;

/// After so many turns without a circle the next one is told again, and not the end at once.
const FORGIVEN_AFTER: u32 = 20;

/// What is remembered of a model's turns.
#[derive(Debug, Default)]
pub(super) struct Circles {
    recent: VecDeque<u64>,
    failed: u32,
    turns: u32,
    told_at: Option<u32>,
}

/// A turn's calls with their results.
#[derive(Debug, Default)]
pub(super) struct Turn {
    hasher: DefaultHasher,
    succeeded: bool,
}

/// A circle that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Circle {
    /// The model is to be told, once.
    Tell(String),
    /// It was told, and goes on.
    End(String),
}

impl Turn {
    /// Takes a call and the item that answers it.
    pub(super) fn add(&mut self, call: &ToolCall, result: &Item) {
        (&call.name, call.arguments.trim()).hash(&mut self.hasher);
        if let Content::ToolResult {
            parts, is_error, ..
        } = &result.content
        {
            for part in parts {
                match part {
                    Part::Text { text } => text.hash(&mut self.hasher),
                    Part::Image { data, .. } => data.hash(&mut self.hasher),
                }
            }
            self.succeeded |= !is_error;
        }
    }
}

impl Circles {
    /// Takes a turn, and says whether it closes a circle.
    pub(super) fn take(&mut self, turn: &Turn) -> Option<Circle> {
        self.turns += 1;
        self.failed = if turn.succeeded { 0 } else { self.failed + 1 };
        self.recent.push_back(turn.hasher.finish());
        if self.recent.len() > SAME_TURNS.max(LONGEST_ROUND * SAME_ROUNDS) {
            self.recent.pop_front();
        }
        let what = self.round().or_else(|| self.failures())?;
        // What comes next is counted anew.
        self.recent.clear();
        self.failed = 0;
        let was_told = self
            .told_at
            .is_some_and(|at| self.turns - at <= FORGIVEN_AFTER);
        self.told_at = Some(self.turns);
        Some(match was_told {
            true => Circle::End(what),
            false => Circle::Tell(what),
        })
    }

    fn round(&self) -> Option<String> {
        (1..=LONGEST_ROUND).find_map(|length| {
            let times = if length == 1 { SAME_TURNS } else { SAME_ROUNDS };
            self.repeats(length, times).then(|| match length {
                1 => format!("the same calls ended the same way {times} times in a row"),
                _ => format!("the same {length} steps ended the same way {times} times in a row"),
            })
        })
    }

    /// Whether the last `length` turns are what the ones before them are, `times` times in all.
    fn repeats(&self, length: usize, times: usize) -> bool {
        let Some(first) = self.recent.len().checked_sub(length * times) else {
            return false;
        };
        let newest_first = self.recent.iter().rev();
        let earlier = self.recent.range(first..).rev().skip(length);
        earlier.zip(newest_first).all(|(one, other)| one == other)
    }

    fn failures(&self) -> Option<String> {
        let too_many = self.failed >= FAILED_TURNS;
        too_many.then(|| format!("every call of the last {FAILED_TURNS} turns failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(name: &str, result: &str, is_error: bool) -> Turn {
        let call = ToolCall {
            call_id: "1".to_owned(),
            name: name.to_owned(),
            arguments: "{}".to_owned(),
        };
        let mut turn = Turn::default();
        turn.add(&call, &Item::tool_result("1", result, is_error));
        turn
    }

    /// The turns after which something is found.
    fn found(turns: impl IntoIterator<Item = Turn>) -> Vec<(usize, bool)> {
        let mut circles = Circles::default();
        let found = turns.into_iter().enumerate().filter_map(|(at, turn)| {
            let circle = circles.take(&turn)?;
            Some((at + 1, matches!(circle, Circle::End(_))))
        });
        found.collect()
    }

    #[test]
    fn the_same_turn_again_and_again_is_told_and_then_the_end() {
        let same = (0..12).map(|_| turn("bash", "no", false));
        assert_eq!(found(same), [(5, false), (10, true)]);
    }

    #[test]
    fn a_round_of_several_is_found_from_wherever_it_begins() {
        let names = ["x", "y", "a", "b", "c", "a", "b", "c", "a", "b", "c", "d"];
        let round = names.map(|name| turn(name, "", false));
        assert_eq!(found(round), [(11, false)]);
    }

    #[test]
    fn another_result_is_no_circle() {
        let waiting = (0..50).map(|second| turn("bash", &second.to_string(), false));
        assert_eq!(found(waiting), []);
    }

    #[test]
    fn another_picture_is_another_result() {
        let call = ToolCall {
            call_id: "1".to_owned(),
            name: "screenshot".to_owned(),
            arguments: "{}".to_owned(),
        };
        let looking = (0..20).map(|number| {
            let mut turn = Turn::default();
            let picture = Part::Image {
                media_type: "image/png".to_owned(),
                data: format!("{number}"),
            };
            let result = Content::ToolResult {
                call_id: "1".to_owned(),
                parts: vec![picture],
                is_error: false,
            };
            turn.add(&call, &Item::neutral(result));
            turn
        });
        assert_eq!(found(looking), []);
    }

    #[test]
    fn nothing_but_failures_is_one_whatever_they_are() {
        let failing = (0..9).map(|number| turn("edit", &number.to_string(), true));
        assert_eq!(found(failing), []);
        let failing = (0..25).map(|number| turn("edit", &number.to_string(), true));
        assert_eq!(found(failing), [(10, false), (20, true)]);
    }

    #[test]
    fn who_went_on_well_for_long_is_told_again() {
        let same = || (0..5).map(|_| turn("bash", "no", false));
        let well = (0..30).map(|number| turn("bash", &number.to_string(), false));
        assert_eq!(
            found(same().chain(well).chain(same())),
            [(5, false), (40, false)]
        );
    }
}
