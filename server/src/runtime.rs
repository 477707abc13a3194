//! The threads that asynchronous work runs on.

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

/// A runtime on half of the machine's processors. A run waits most of the time; what needs
/// processors is what it starts, besides the store's own thread. And with fewer threads, a task wakes
/// the next one on its own thread more often, which is much cheaper than waking another thread.
///
/// # Errors
/// The system gives no threads.
pub fn server_runtime() -> io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(2))
        .enable_all()
        .build()
}
