use proptest::prelude::*;

use super::*;

/// What may happen to a queue.
#[derive(Clone, Debug)]
enum Step {
    Join {
        caller: u8,
        repository: u8,
    },
    Rejoin {
        repository: u8,
    },
    /// One of those that have a place ends.
    End(prop::sample::Index),
    /// One of those that wait is called off.
    CallOff(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..CALLERS, 0..REPOSITORIES).prop_map(|(caller, repository)| Step::Join { caller, repository }),
        1 => (0..REPOSITORIES).prop_map(|repository| Step::Rejoin { repository }),
        4 => any::<prop::sample::Index>().prop_map(Step::End),
        2 => any::<prop::sample::Index>().prop_map(Step::CallOff),
    ];
    prop::collection::vec(step, 1..120)
}

fn places() -> impl Strategy<Value = Places> {
    let limit = || prop::option::of(1..4usize);
    (1..5usize, limit(), limit()).prop_map(|(total, per_caller, per_repository)| Places {
        total,
        per_caller,
        per_repository,
    })
}

/// A queue with names for its runs.
struct Desk {
    queue: Queue,
    runs: u64,
}

/// The callers of [`Desk::join`] that there are, and the repositories.
const CALLERS: u8 = 4;
const REPOSITORIES: u8 = 3;

impl Desk {
    fn new(places: Places) -> Self {
        Self {
            queue: Queue::new(places),
            runs: 0,
        }
    }

    fn join(&mut self, caller: u8, repository: u8) -> RunId {
        let ticket = self.ticket(Some(caller), repository);
        let run = ticket.run.clone();
        self.queue.join(ticket);
        run
    }

    /// Runs are numbered in the order of their arrival; the third caller has a limit of its own, and
    /// the last one no name.
    fn ticket(&mut self, caller: Option<u8>, repository: u8) -> Ticket {
        self.runs += 1;
        Ticket {
            run: RunId(format!("{:05}", self.runs)),
            caller: Caller {
                name: caller.filter(|c| *c < 3).map(|c| format!("caller-{c}")),
                max_concurrent: (caller == Some(2)).then_some(1),
            },
            repository: format!("repository-{repository}"),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Join { caller, repository } => drop(self.join(*caller, *repository)),
            Step::Rejoin { repository } => {
                let ticket = self.ticket(None, *repository);
                self.queue.rejoin(ticket);
            }
            Step::End(which) => self.leave(which, placed(&self.queue)),
            Step::CallOff(which) => self.leave(which, waiting(&self.queue)),
        }
    }

    fn leave(&mut self, which: &prop::sample::Index, runs: Vec<RunId>) {
        if !runs.is_empty() {
            let run = which.get(&runs).clone();
            self.queue.leave(&run);
            assert!(!self.queue.has_place(&run));
            assert_eq!(self.queue.position(&run), None);
        }
    }
}

/// In the order of their arrival.
fn placed(queue: &Queue) -> Vec<RunId> {
    let mut placed: Vec<_> = queue.placed.keys().cloned().collect();
    placed.sort_by(|a, b| a.0.cmp(&b.0));
    placed
}

/// In the order of their turns.
fn waiting(queue: &Queue) -> Vec<RunId> {
    let waiting = queue.waiting.values();
    waiting.map(|ticket| ticket.run.clone()).collect()
}

fn taken_by<'t>(queue: &'t Queue, of: impl Fn(&'t Ticket) -> bool) -> usize {
    queue.placed.values().filter(|ticket| of(ticket)).count()
}

fn most_of_caller(queue: &Queue, caller: &Caller) -> usize {
    let most = caller.max_concurrent.or(queue.places.per_caller);
    most.filter(|_| caller.name.is_some()).unwrap_or(usize::MAX)
}

/// Whether a run would exceed a limit, counted anew and in another way than the queue does.
fn is_held_up(queue: &Queue, ticket: &Ticket) -> bool {
    let of_caller = taken_by(queue, |other| other.caller.name == ticket.caller.name);
    let on_repository = taken_by(queue, |other| other.repository == ticket.repository);
    let most = queue.places.per_repository.unwrap_or(usize::MAX);
    queue.placed.len() >= queue.places.total
        || of_caller >= most_of_caller(queue, &ticket.caller)
        || on_repository >= most
}

/// Whether its caller's place may be kept for another run that has waited for too long.
fn is_kept_for_another(queue: &Queue, turn: Turn, ticket: &Ticket) -> bool {
    let mut ahead = queue.waiting.range(..turn);
    ticket.caller.name.is_some()
        && ahead
            .any(|(turn, other)| queue.is_overdue(*turn) && other.caller.name == ticket.caller.name)
}

proptest! {
    #[test]
    fn limits_are_kept_and_no_place_is_left_empty(places in places(), steps in steps()) {
        let mut desk = Desk::new(places);
        for step in &steps {
            desk.take(step);
            let queue = &desk.queue;
            prop_assert!(queue.placed() <= places.total);
            for ticket in queue.placed.values() {
                let of_caller = taken_by(queue, |other| other.caller.name == ticket.caller.name);
                prop_assert!(of_caller <= most_of_caller(queue, &ticket.caller));
                let on_it = taken_by(queue, |other| other.repository == ticket.repository);
                prop_assert!(on_it <= places.per_repository.unwrap_or(usize::MAX));
            }
            for (turn, ticket) in &queue.waiting {
                let is_kept_free = is_kept_for_another(queue, *turn, ticket);
                prop_assert!(is_held_up(queue, ticket) || is_kept_free, "{ticket:?} could have a place");
            }
        }
    }

    #[test]
    fn positions_are_the_order_of_the_waiting(places in places(), steps in steps()) {
        let mut desk = Desk::new(places);
        for step in &steps {
            desk.take(step);
            for (ahead, run) in waiting(&desk.queue).iter().enumerate() {
                prop_assert_eq!(desk.queue.position(run), Some(ahead + 1));
                prop_assert!(!desk.queue.has_place(run));
            }
        }
    }

    /// Of one caller and one repository the first to come is the first to get a place.
    #[test]
    fn the_oldest_of_a_caller_is_first(places in places(), steps in steps()) {
        let mut desk = Desk::new(places);
        for step in steps.iter().filter(|step| !matches!(step, Step::Rejoin { .. })) {
            let before = waiting(&desk.queue);
            desk.take(step);
            let queue = &desk.queue;
            for run in before.iter().filter(|run| queue.has_place(run)) {
                let placed = &queue.placed[run];
                let passed = queue.waiting.values().find(|other| {
                    other.caller.name == placed.caller.name
                        && other.repository == placed.repository
                        && other.run.0 < run.0
                });
                prop_assert_eq!(passed, None, "passed by {}", run);
            }
        }
    }

    /// However many come later, and however they crowd its repository, a run gets its place after a
    /// bounded number of ends: of those that are here, of one of each caller in each round until it has
    /// been passed for too long, and of all places for each that is then still ahead of it.
    #[test]
    fn nobody_starves(places in places(), steps in steps(), which: prop::sample::Index) {
        let mut desk = Desk::new(places);
        steps.iter().for_each(|step| desk.take(step));
        let waiting: Vec<_> = desk.queue.waiting.clone().into_iter().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let (turn, Ticket { run, .. }) = which.get(&waiting).clone();
        let rounds = turn.round.saturating_sub(desk.queue.round) as usize;
        let callers = usize::from(CALLERS);
        let ahead = waiting.len() + callers * rounds;
        let mut left = places.total * (ahead + 2) + ahead + callers * (PATIENCE as usize + 2);
        let mut longest_first = placed(&desk.queue);
        while !desk.queue.has_place(&run) {
            prop_assert!(left > 0, "{run} still waits");
            left -= 1;
            for caller in 0..CALLERS {
                for repository in 0..REPOSITORIES {
                    desk.join(caller, repository);
                }
            }
            let placed = placed(&desk.queue).into_iter();
            let new: Vec<_> = placed.filter(|run| !longest_first.contains(run)).collect();
            longest_first.extend(new);
            desk.queue.leave(&longest_first.remove(0));
        }
    }

    /// A caller with many runs keeps another's single one waiting for no more than a round.
    #[test]
    fn callers_take_turns(many in 1..50usize, total in 1..5usize) {
        let places = Places { total, per_caller: None, per_repository: None };
        let mut desk = Desk::new(places);
        for _ in 0..total + many {
            desk.join(0, 0);
        }
        let single = desk.join(1, 0);
        let mut ends = 0;
        while !desk.queue.has_place(&single) {
            let oldest = placed(&desk.queue).remove(0);
            desk.queue.leave(&oldest);
            ends += 1;
        }
        prop_assert!(ends <= 2, "it waited for {ends} ends behind {many} runs of one caller");
    }
}

#[test]
fn a_run_that_its_repository_holds_up_lets_others_pass_and_keeps_its_turn() {
    let places = Places {
        total: 2,
        per_caller: None,
        per_repository: Some(1),
    };
    let mut desk = Desk::new(places);
    let first = desk.join(0, 0);
    let held_up = desk.join(0, 0);
    let other = desk.join(0, 1);
    assert!(desk.queue.has_place(&other), "it passes");
    assert_eq!(desk.queue.position(&held_up), Some(1));
    let later = desk.join(1, 0);
    desk.queue.leave(&first);
    assert!(desk.queue.has_place(&held_up));
    assert_eq!(desk.queue.position(&later), Some(1));
}

/// Each end leaves room under one of the two limits that hold it up, and somebody else takes it.
#[test]
fn a_run_between_two_limits_is_not_passed_for_ever() {
    let places = Places {
        total: 4,
        per_caller: Some(1),
        per_repository: Some(1),
    };
    let mut desk = Desk::new(places);
    let mut crowd = [(0, 0), (1, 1)].map(|(caller, repository)| desk.join(caller, repository));
    let held_up = desk.join(0, 1);
    let mut passed_by = 0;
    while !desk.queue.has_place(&held_up) {
        for (caller, placed) in (0..).zip(&mut crowd) {
            let next = desk.join(caller, caller);
            desk.queue.leave(placed);
            passed_by += u64::from(desk.queue.has_place(&next));
            *placed = next;
        }
        assert!(passed_by <= PATIENCE + 2, "{passed_by} have passed it");
    }
    assert!(passed_by >= PATIENCE, "{passed_by} have passed it");
}

/// What is kept for a run whose caller has a long one is nobody else's.
#[test]
fn runs_that_their_caller_holds_up_keep_no_repository_from_others() {
    let places = Places {
        total: 8,
        per_caller: Some(1),
        per_repository: Some(1),
    };
    let mut desk = Desk::new(places);
    let long = desk.join(0, 9);
    for repository in 0..REPOSITORIES {
        desk.join(0, repository);
    }
    for _ in 0..PATIENCE + 2 {
        let passing = desk.join(1, 8);
        desk.queue.leave(&passing);
    }
    for repository in 0..REPOSITORIES {
        let other = desk.join(3 + repository, repository);
        assert!(desk.queue.has_place(&other), "repository {repository}");
    }
    assert!(desk.queue.has_place(&long));
}

#[test]
fn a_caller_s_own_limit_counts_instead_of_everybody_s() {
    let places = Places {
        total: 10,
        per_caller: Some(2),
        per_repository: None,
    };
    let mut desk = Desk::new(places);
    for (caller, most) in [(0, 2), (1, 2), (2, 1), (3, 5)] {
        let runs: Vec<_> = (0..5).map(|_| desk.join(caller, 0)).collect();
        let placed = runs.iter().filter(|run| desk.queue.has_place(run)).count();
        assert_eq!(placed, most, "caller {caller}");
    }
}

#[test]
fn a_run_that_waited_elsewhere_is_ahead_of_new_ones() {
    let places = Places {
        total: 1,
        per_caller: None,
        per_repository: None,
    };
    let mut desk = Desk::new(places);
    let first = desk.join(0, 0);
    let new = desk.join(0, 0);
    let (one, two) = (desk.ticket(None, 0), desk.ticket(None, 0));
    let (one_s, two_s) = (one.run.clone(), two.run.clone());
    desk.queue.rejoin(one);
    desk.queue.rejoin(two);
    for next in [first, one_s, two_s, new] {
        assert!(desk.queue.has_place(&next), "{next}");
        desk.queue.leave(&next);
    }
}
