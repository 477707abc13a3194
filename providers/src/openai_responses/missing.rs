//! Items that stand in the response at its end, and never came by themselves.
//!
//! The end need not look like the stream: some services read the whole text again for it, and give
//! items other ids, leave some out, merge texts, move calls behind them, or write arguments another
//! way. A call that is taken for a new one runs twice, which is worse than an item left out. So an
//! item is missing only if no streamed one can be it, and each kind only as far as there is more of
//! it than was streamed.

use std::collections::HashMap;

use pullwright_protocol::Item;
use serde_json::value::RawValue;

use super::told::{Identity, Said, Told};

/// What is missing, and how it stands among what is there.
pub(super) struct Missing<'a> {
    /// Each with its place in the output.
    pub(super) items: Vec<(u64, &'a RawValue)>,
    /// The places that the streamed items have beside them, in the order of these.
    pub(super) places: Vec<u64>,
}

/// Those of `output` that are not among the `streamed` ones, which are in the order of their places.
pub(super) fn missing<'a>(output: Vec<&'a RawValue>, streamed: &[(u64, Item)]) -> Missing<'a> {
    let mut places = Places::new(streamed.len());
    let mut output: Vec<(u64, &RawValue)> = (0..).zip(output).collect();
    if !streamed.is_empty() {
        let unknown = without_known_ids(output, streamed, &mut places);
        output = without_twins(unknown, streamed, &mut places);
    }
    Missing {
        items: output,
        places: places.all(),
    }
}

/// An item of the output, where it stands there, and what names it.
type Named<'a> = (u64, &'a RawValue, Identity);

/// Most services keep their ids, which spares us a look at the rest.
fn without_known_ids<'a>(
    output: Vec<(u64, &'a RawValue)>,
    streamed: &[(u64, Item)],
    places: &mut Places,
) -> Vec<Named<'a>> {
    let mut known = HashMap::new();
    for (index, (_, item)) in streamed.iter().enumerate() {
        for name in Identity::of_item(item).names() {
            known.entry(name).or_insert(index);
        }
    }
    let named = output.into_iter().filter_map(|(place, raw)| {
        let identity = Identity::of(raw);
        let found = identity.names().find_map(|name| known.get(&name));
        match found {
            Some(index) => places.set(*index, place),
            None => return Some((place, raw, identity)),
        }
        None
    });
    named.collect()
}

/// Whether the first, of the output, may be the second, a streamed one.
type Sign = fn(&Told, &Told) -> bool;

/// Each item of the output has at most one streamed twin, by the strongest sign there is.
fn without_twins<'a>(
    output: Vec<Named<'a>>,
    streamed: &[(u64, Item)],
    places: &mut Places,
) -> Vec<(u64, &'a RawValue)> {
    const SURE: [Sign; 2] = [Told::says_the_same, Told::shares_words];
    const ALIKE: [Sign; 2] = [Told::is_alike_in_the_same_place, Told::is_alike];
    if output.is_empty() {
        return Vec::new();
    }
    let told = streamed
        .iter()
        .map(|(place, item)| Told::streamed(*place, item));
    let mut streamed: Vec<(usize, Told)> = told.enumerate().collect();
    let words = Words::of(streamed.iter().map(|(_, told)| told));
    streamed.retain(|(index, _)| !places.is_set(*index));
    let told = |(place, raw, identity)| (raw, Told::at_the_end(place, raw, identity));
    let mut output: Vec<(&RawValue, Told)> = output.into_iter().map(told).collect();
    let mut pair_off = |output: &mut Vec<(&RawValue, Told)>, sign: Sign| {
        output.retain(|(_, end)| {
            let twin = streamed.iter().position(|(_, told)| sign(end, told));
            if let Some(twin) = twin {
                places.set(streamed.remove(twin).0, end.place);
            }
            twin.is_none()
        });
    };
    for sign in SURE {
        pair_off(&mut output, sign);
    }
    output.retain(|(_, end)| !words.hold(end));
    for sign in ALIKE {
        pair_off(&mut output, sign);
    }
    let missing = output.into_iter().map(|(raw, end)| (end.place, raw));
    missing.collect()
}

/// All words of each kind of item: an end may cut them in another way.
struct Words(HashMap<String, String>);

impl Words {
    fn of<'a>(streamed: impl Iterator<Item = &'a Told>) -> Self {
        let mut words: HashMap<String, String> = HashMap::new();
        for told in streamed {
            if let Said::Words(said) = &told.said {
                words.entry(told.kind.clone()).or_default().push_str(said);
            }
        }
        Self(words)
    }

    fn hold(&self, told: &Told) -> bool {
        let Said::Words(said) = &told.said else {
            return false;
        };
        let words = self.0.get(&told.kind);
        words.is_some_and(|words| words.contains(said.as_str()))
    }
}

/// Where the streamed items stand in the output.
struct Places(Vec<Option<u64>>);

impl Places {
    fn new(count: usize) -> Self {
        Self(vec![None; count])
    }

    fn is_set(&self, index: usize) -> bool {
        self.0[index].is_some()
    }

    /// The first one counts.
    fn set(&mut self, index: usize, place: u64) {
        self.0[index].get_or_insert(place);
    }

    /// What the output lacks stays behind what it came after.
    fn all(self) -> Vec<u64> {
        let mut last = 0;
        let places = self.0.into_iter().map(|place| {
            last = place.unwrap_or(last);
            last
        });
        places.collect()
    }
}
