//! Runs that begin on a code host.

mod emulated;
mod examples;
mod missed;
mod people;
mod reception;
mod repairs;
mod runs;
pub(crate) mod sender;
