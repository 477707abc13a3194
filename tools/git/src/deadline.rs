//! Work that may never end.
//!
//! The git library loops for ever on an object file that was cut off in the middle, and a thread
//! cannot be stopped from outside. So the work gets a thread of its own, which is left behind when
//! its time is up and ends with the process.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A damaged repository can keep the git library busy for ever; an intact one takes seconds. Well
/// below the time after which the control plane gives up a bundle that does not begin.
pub(crate) const DAMAGED_REPOSITORY_TIMEOUT: Duration = Duration::from_secs(20);

/// What `work` gives, unless it takes longer than `limit` or panics.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let run = move || {
        // Nobody is there to take the result once the time is up.
        let _ = sender.send(work());
    };
    thread::Builder::new()
        .name("git".to_owned())
        .spawn(run)
        .ok()?;
    receiver.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_time_gives_its_result_and_other_work_nothing() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let (_keep, never) = mpsc::channel::<()>();
        assert_eq!(
            within(Duration::from_millis(10), move || never.recv().is_ok()),
            None
        );
        assert_eq!(
            within(Duration::from_secs(60), || -> u8 { panic!("on purpose") }),
            None
        );
    }
}
