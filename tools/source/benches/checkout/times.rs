//! How long something took, and how much of the processors.

use std::fmt;
use std::time::{Duration, Instant};

/// How many ticks of the kernel's clock are a second, on every machine that we know.
const TICKS_PER_SEC: f64 = 100.0;

/// The times of all rounds of one thing.
#[derive(Default)]
pub(crate) struct Times {
    wall: Vec<Duration>,
    processor_ms: f64,
}

/// When a round began.
pub(crate) struct Begin {
    at: Instant,
    processor_ms: f64,
}

impl Times {
    pub(crate) fn begin() -> Begin {
        Begin {
            at: Instant::now(),
            processor_ms: processor_ms(),
        }
    }

    pub(crate) fn end(&mut self, begin: Begin) {
        self.wall.push(begin.at.elapsed());
        self.wall.sort();
        self.processor_ms += processor_ms() - begin.processor_ms;
    }

    pub(crate) fn fastest_ms(&self) -> f64 {
        ms(self.wall[0])
    }

    pub(crate) fn mean_processor_ms(&self) -> f64 {
        self.processor_ms / f64::from(u32::try_from(self.wall.len()).unwrap())
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fastest, median) = (self.fastest_ms(), ms(self.wall[self.wall.len() / 2]));
        let processor = self.mean_processor_ms();
        write!(f, "{fastest:.0} | {median:.0} | {processor:.0}")
    }
}

/// What this process and its children, those that have ended, have used until now.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    // The state is the third field, the four times are the fourteenth to seventeenth.
    let times = after_name.split_whitespace().skip(11).take(4);
    let ticks: f64 = times.map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / TICKS_PER_SEC * 1000.0
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
