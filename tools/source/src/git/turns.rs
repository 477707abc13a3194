//! Turns of the calls that work on this machine alone. When many runs end at once, more of them at a time only
//! get in each other's way, and in the way of this process.

use std::num::NonZero;
use std::sync::LazyLock;
use std::time::Duration;

use pullwright_core::source::SourceError;
use pullwright_protocol::FailureKind;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long a call waits for its turn. Longer than a queue in which all that could run here is one after the
/// other, and short enough that a machine whose disk hangs is heard of.
const TURN_LIMIT: Duration = Duration::from_secs(15 * 60);

static SHORT: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(Turns::Short.count()));
static WHOLE_TREE: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(Turns::WholeTree.count()));

/// Those among whom a call takes its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    Short,
    /// Those that write or pack a whole tree, which takes minutes for a large one: the short ones do not queue
    /// behind them.
    WholeTree,
}

impl Turns {
    /// Waits for the turn of the call `git name`.
    pub(super) async fn take(self, name: &str) -> Result<SemaphorePermit<'static>, SourceError> {
        let turn = timeout(TURN_LIMIT, self.all().acquire()).await;
        let turn = turn.map_err(|_| busy(name))?;
        turn.map_err(|error| SourceError::new(FailureKind::Internal, error.to_string()))
    }

    /// How many have theirs at the same time.
    pub(super) fn count(self) -> usize {
        const SHORT_PER_PROCESSOR: usize = 2;
        const LEAST_SHORT: usize = 4;
        const LEAST_WHOLE_TREE: usize = 2;

        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        match self {
            Self::Short => (processors * SHORT_PER_PROCESSOR).max(LEAST_SHORT),
            Self::WholeTree => processors.max(LEAST_WHOLE_TREE),
        }
    }

    pub(super) fn all(self) -> &'static Semaphore {
        match self {
            Self::Short => &SHORT,
            Self::WholeTree => &WHOLE_TREE,
        }
    }
}

fn busy(name: &str) -> SourceError {
    SourceError::new(
        FailureKind::Limit,
        format!(
            "`git {name}` was not started: git is busy for other runs, and its turn did not come within {} s; \
             lower `[server] max_concurrent_runs`, or give the data folder a faster disk",
            TURN_LIMIT.as_secs()
        ),
    )
}
