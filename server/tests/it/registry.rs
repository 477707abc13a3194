//! The registry of runs: its queue, runs that change their owner, and a server that stops. The
//! executor is a stand-in that does what a test tells it; store and registry are the real ones.

mod going_on;
mod handing_over;
mod process;
mod queueing;
mod races;
pub(crate) mod stage;
mod taking_up;
