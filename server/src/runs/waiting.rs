//! A run that waits for a place: it says where it stands, and can be called off.

use std::time::Duration;

use pullwright_core::log::stamp;
use pullwright_core::run::OwnedRun;
use pullwright_core::store::StoreError;
use pullwright_protocol::{Event, Stage};
use tokio::time::{Instant, sleep, sleep_until};

use super::Runs;
use super::line::Seat;
use super::supervise::Stopped;

/// How often a run looks for its position at most: nobody wants to see every step of a busy queue, and a
/// long queue would do nothing but count.
const LOOKING_INTERVAL: Duration = Duration::from_secs(1);

/// Up to here every position is told, and beyond only steps of as many.
const NEAR: usize = 10;

/// How long to wait before a position is told again that the store did not take.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// What a waiting run knows of its place.
#[derive(Default)]
struct Told {
    position: Option<usize>,
    at: Option<Instant>,
}

impl Runs {
    /// Waits until the run has its place, and answers why it gets none.
    pub(super) async fn wait_for_place(
        &self,
        owned: &mut OwnedRun,
        seat: &Seat,
    ) -> Result<(), Stopped> {
        let called_off = called_off(owned.clone(), self.shared.config.max_queue);
        tokio::pin!(called_off);
        let mut told = Told::default();
        loop {
            // A run with a place is cancelled by its executor: it may have been under way elsewhere.
            let position = tokio::select! {
                biased;
                () = owned.hand_over.soon.cancelled() => return Err(Stopped::HandedOver),
                () = seat.place() => return Ok(()),
                why = &mut called_off => return Err(why),
                position = told.next(seat) => position,
            };
            // Not dropped for a place: an event on its way would have a number that nobody knows of.
            tokio::select! {
                biased;
                why = &mut called_off => return Err(why),
                () = self.tell(owned, position) => {}
            }
            told.note(position);
        }
    }

    async fn tell(&self, owned: &mut OwnedRun, position: usize) {
        let status = Event::Status {
            stage: Stage::Queued,
            message: format!("{} in the queue", ordinal(position)),
        };
        let event = stamp(owned.last_seq + 1, status);
        loop {
            let events = vec![event.clone()];
            let appended = self.shared.store.append(&owned.id, owned.epoch, events);
            match appended.await {
                Ok(()) => {
                    owned.last_seq += 1;
                    return;
                }
                // It may be in the log all the same; asking again finds out.
                Err(StoreError::Database { what, source, .. }) => {
                    tracing::warn!(run = %owned.id, what, %source, "a position is not told");
                    sleep(RETRY_WAIT).await;
                }
                // The next heartbeat hears the same and calls the run off.
                Err(_) => return,
            }
        }
    }
}

async fn called_off(owned: OwnedRun, max_queue: Duration) -> Stopped {
    tokio::select! {
        biased;
        () = owned.cancel.cancelled() => Stopped::CancelledWaiting,
        () = owned.hand_over.soon.cancelled() => Stopped::HandedOver,
        () = owned.hand_over.now.cancelled() => Stopped::HandedOver,
        () = sleep(max_queue) => Stopped::WaitedTooLong,
    }
}

impl Told {
    /// The next position worth telling.
    async fn next(&self, seat: &Seat) -> usize {
        let mut changes = seat.changes();
        let mut looked_at = self.at;
        loop {
            if let Some(at) = looked_at {
                sleep_until(at + LOOKING_INTERVAL).await;
            }
            looked_at = Some(Instant::now());
            changes.mark_unchanged();
            match seat.position() {
                Some(position) if is_worth_telling(self.position, position) => return position,
                _ => {}
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn note(&mut self, position: usize) {
        self.position = Some(position);
        self.at = Some(Instant::now());
    }
}

fn is_worth_telling(told: Option<usize>, position: usize) -> bool {
    told.is_none_or(|told| match told.abs_diff(position) {
        0 => false,
        steps => position <= NEAR || steps >= NEAR,
    })
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_english() {
        let numbers = [
            1, 2, 3, 4, 10, 11, 12, 13, 21, 22, 23, 101, 111, 112, 113, 122,
        ];
        let expected =
            "1st 2nd 3rd 4th 10th 11th 12th 13th 21st 22nd 23rd 101st 111th 112th 113th 122nd";
        let said: Vec<_> = numbers.into_iter().map(ordinal).collect();
        assert_eq!(said.join(" "), expected);
    }

    #[test]
    fn far_positions_are_told_in_large_steps() {
        for (told, position, worth) in [
            (None, 50, true),
            (Some(50), 49, false),
            (Some(50), 41, false),
            (Some(50), 40, true),
            (Some(50), 60, true),
            (Some(11), 10, true),
            (Some(10), 9, true),
            (Some(3), 3, false),
            (Some(3), 4, true),
            (Some(10), 11, false),
        ] {
            assert_eq!(
                is_worth_telling(told, position),
                worth,
                "{told:?} {position}"
            );
        }
    }
}
