use proptest::prelude::*;

use super::*;

const GB: u64 = 1 << 30;
const DISK: u64 = 1 << 60;

/// A sandbox that writes, on a disk that others use too.
struct Simulation {
    watch: Watch,
    now: Duration,
    last_walk: Duration,
    walk_takes: Duration,
    walks: u32,
    looks: u32,
    /// Bytes a second.
    rate: u64,
    others: u64,
    used: u64,
    by_others: u64,
}

impl Simulation {
    fn new(limit: u64, rate: u64, walk_takes: Duration) -> Self {
        Self {
            watch: Watch::new(limit),
            now: Duration::ZERO,
            last_walk: Duration::ZERO,
            walk_takes,
            walks: 0,
            looks: 0,
            rate,
            others: 0,
            used: 0,
            by_others: 0,
        }
    }

    /// Until it is over the limit or the time is up; whether it was the former.
    fn run(&mut self, time: Duration) -> bool {
        while self.now < time {
            self.looks += 1;
            match self.watch.next(self.free(), self.now - self.last_walk) {
                Step::Exceeded => return true,
                Step::Sleep(sleep) => {
                    assert!(sleep > Duration::ZERO, "it spins");
                    self.pass(sleep);
                }
                Step::Walk => {
                    self.walks += 1;
                    // What was counted is what was there when the look began.
                    let (used, free) = (self.used, self.free());
                    self.pass(self.walk_takes);
                    self.watch.walked(used, free, self.walk_takes);
                    self.last_walk = self.now;
                }
            }
        }
        false
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.used += written(self.rate, time);
        self.by_others += written(self.others, time);
    }

    fn free(&self) -> u64 {
        DISK.saturating_sub(self.used + self.by_others)
    }
}

fn written(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_micros() / 1_000_000).unwrap()
}

#[test]
fn the_first_thing_is_a_look() {
    assert_eq!(Watch::new(GB).next(DISK, Duration::ZERO), Step::Walk);
}

#[test]
fn what_is_just_allowed_is_allowed() {
    let mut watch = Watch::new(GB);
    watch.walked(GB, DISK, Duration::ZERO);
    assert_ne!(watch.next(DISK, Duration::ZERO), Step::Exceeded);
    watch.walked(GB + 1, DISK, Duration::ZERO);
    assert_eq!(watch.next(DISK, Duration::ZERO), Step::Exceeded);
}

#[test]
fn an_idle_sandbox_is_left_alone() {
    let mut idle = Simulation::new(8 * GB, 0, Duration::from_millis(50));
    assert!(!idle.run(Duration::from_secs(3600)));
    assert!(idle.walks <= 7, "{} walks", idle.walks);
    assert!(idle.looks <= 7300, "{} looks", idle.looks);
}

#[test]
fn what_others_write_does_not_exceed() {
    let mut idle = Simulation::new(8 * GB, 0, Duration::from_millis(50));
    idle.others = GB / 10;
    assert!(!idle.run(Duration::from_secs(3600)));
    assert!(idle.walks < 250, "{} walks", idle.walks);
}

#[test]
fn a_fast_writer_is_caught_early() {
    let mut fast = Simulation::new(8 * GB, 2 * GB, Duration::from_millis(20));
    assert!(fast.run(Duration::from_secs(60)));
    assert!(fast.used < 9 * GB, "{} MB", fast.used >> 20);
}

#[test]
fn limits_at_the_edge_do_not_spin() {
    for limit in [0, 1, u64::MAX] {
        let mut watch = Watch::new(limit);
        watch.walked(0, DISK, Duration::ZERO);
        assert!(matches!(
            watch.next(DISK, Duration::ZERO),
            Step::Sleep(_) | Step::Walk
        ));
    }
}

proptest! {
    #[test]
    fn nobody_gets_far_beyond_the_limit(
        limit in 1..64 * GB,
        rate in 1..2 * GB,
        walk_ms in 1..2000_u64,
        others in 0..GB,
    ) {
        let walk = Duration::from_millis(walk_ms);
        let mut writer = Simulation::new(limit, rate, walk);
        writer.others = others;
        let expected = Duration::from_secs(limit / rate);
        // A slow writer, whom others may hide, is found by the looks now and then.
        let slack = ACTIVE_INTERVAL.max(walk * IDLE_REST) + walk * (REST + 2) + LONGEST_SLEEP * 2;
        prop_assert!(writer.run((expected + slack) * 2), "never caught");
        let allowed = limit / LEAST_PART + 1 + written(rate, LONGEST_SLEEP + walk * (REST + 3));
        let beyond = writer.used - limit;
        prop_assert!(beyond <= allowed, "{beyond} of {allowed}");
    }

    #[test]
    fn looking_takes_a_small_part_of_the_time(
        limit in 1..64 * GB,
        rate in 0..GB,
        walk_ms in 1..5000_u64,
    ) {
        let mut writer = Simulation::new(limit, rate, Duration::from_millis(walk_ms));
        writer.run(Duration::from_secs(600));
        let looking = writer.walk_takes * writer.walks;
        prop_assert!(looking <= writer.now / 2 + writer.walk_takes * 3);
    }
}
