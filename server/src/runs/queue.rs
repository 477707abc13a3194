//! Who waits for a place, and who gets the next one.
//!
//! The queue goes by rounds. A caller's runs stand one in each round, so that everybody's next run comes
//! before anybody's one after that, and a run's round never changes. A run that a limit of its caller or its
//! repository holds up lets others pass and keeps its turn. Between the two limits it could be passed for
//! ever, each being used up again before the other has room, so that after some rounds its caller's other
//! runs leave it room under their limit. Nobody else waits for that.

use std::collections::{BTreeMap, HashMap, HashSet};

use pullwright_protocol::RunId;

use super::Caller;

#[cfg(test)]
mod tests;

/// For how many rounds others may pass a run that is held up.
const PATIENCE: u64 = 3;

/// How many runs may have a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// All together.
    pub(super) total: usize,
    /// Of one named caller, unless it has a limit of its own.
    pub(super) per_caller: Option<usize>,
    /// On one repository.
    pub(super) per_repository: Option<usize>,
}

/// A run that wants a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) run: RunId,
    pub(super) caller: Caller,
    /// What the repository is counted by.
    pub(super) repository: String,
}

/// The runs that have a place, and those that wait for one, in order.
#[derive(Debug)]
pub(super) struct Queue {
    places: Places,
    placed: HashMap<RunId, Ticket>,
    waiting: BTreeMap<Turn, Ticket>,
    /// The latest round of which a run has got a place.
    round: u64,
    arrivals: u64,
}

/// When a waiting run has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    round: u64,
    arrival: u64,
}

impl Queue {
    pub(super) fn new(places: Places) -> Self {
        Self {
            places,
            placed: HashMap::new(),
            waiting: BTreeMap::new(),
            round: 0,
            arrivals: 0,
        }
    }

    /// Puts a run at the end of its caller's, who has at most one in each round.
    pub(super) fn join(&mut self, ticket: Ticket) {
        let same_caller = |other: &&Ticket| other.caller.name == ticket.caller.name;
        let mut waiting = self.waiting.iter().rev();
        let last = waiting.find(|(_, other)| same_caller(other));
        let last = last.map_or(0, |(turn, _)| turn.round);
        self.put(last.max(self.round) + 1, ticket);
    }

    /// Puts a run that has waited before, elsewhere, ahead of all that have not.
    pub(super) fn rejoin(&mut self, ticket: Ticket) {
        self.put(0, ticket);
    }

    fn put(&mut self, round: u64, ticket: Ticket) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.waiting.insert(Turn { round, arrival }, ticket);
        self.fill();
    }

    /// Forgets a run, whether it waits or has a place.
    pub(super) fn leave(&mut self, run: &RunId) {
        if self.placed.remove(run).is_none() {
            self.waiting.retain(|_, ticket| ticket.run != *run);
        }
        self.fill();
    }

    /// Gives places to those whose turn it is, as long as there are any that they may have.
    fn fill(&mut self) {
        while let Some((turn, ticket)) = self.next() {
            self.round = self.round.max(turn.round);
            self.placed.insert(ticket.run.clone(), ticket);
        }
    }

    fn next(&mut self) -> Option<(Turn, Ticket)> {
        if self.placed.len() >= self.places.total {
            return None;
        }
        let mut taken = Taken::by(self.placed.values());
        let mut waiting = self.waiting.iter();
        let (turn, _) = waiting.find(|(turn, ticket)| {
            let has_room = taken.leaves_room_for(ticket, &self.places);
            if !has_room && self.is_overdue(**turn) {
                taken.keep_room_for(ticket);
            }
            has_room
        })?;
        let turn = *turn;
        self.waiting.remove(&turn).map(|ticket| (turn, ticket))
    }

    fn is_overdue(&self, turn: Turn) -> bool {
        self.round > turn.round + PATIENCE
    }

    pub(super) fn has_place(&self, run: &RunId) -> bool {
        self.placed.contains_key(run)
    }

    /// How many runs have their turn before a waiting one, and itself.
    pub(super) fn position(&self, run: &RunId) -> Option<usize> {
        let mut waiting = self.waiting.values();
        waiting
            .position(|ticket| ticket.run == *run)
            .map(|ahead| ahead + 1)
    }

    pub(super) fn placed(&self) -> usize {
        self.placed.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// How many places are taken, by whom and for which repository.
#[derive(Default)]
struct Taken<'t> {
    callers: HashMap<&'t str, usize>,
    repositories: HashMap<&'t str, usize>,
    /// Whose oldest run has room kept for it.
    kept: HashSet<&'t str>,
}

impl<'t> Taken<'t> {
    fn by(placed: impl Iterator<Item = &'t Ticket>) -> Self {
        let mut taken = Self::default();
        placed.for_each(|ticket| taken.add(ticket));
        taken
    }

    fn add(&mut self, ticket: &'t Ticket) {
        if let Some(name) = &ticket.caller.name {
            *self.callers.entry(name).or_default() += 1;
        }
        *self.repositories.entry(&ticket.repository).or_default() += 1;
    }

    /// Under its caller's limit, once for each caller: as soon as its repository has room it is then the
    /// first to take it.
    fn keep_room_for(&mut self, ticket: &'t Ticket) {
        if let Some(name) = ticket.caller.name.as_deref()
            && self.kept.insert(name)
        {
            *self.callers.entry(name).or_default() += 1;
        }
    }

    fn leaves_room_for(&self, ticket: &Ticket, places: &Places) -> bool {
        let below = |taken: Option<&usize>, most: Option<usize>| {
            most.is_none_or(|most| taken.copied().unwrap_or(0) < most)
        };
        let name = ticket.caller.name.as_deref();
        let of_caller = name.and_then(|name| self.callers.get(name));
        let own = ticket.caller.max_concurrent.or(places.per_caller);
        let of_repository = self.repositories.get(ticket.repository.as_str());
        below(of_caller, own.filter(|_| name.is_some()))
            && below(of_repository, places.per_repository)
    }
}
