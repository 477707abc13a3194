//! The HTTP API, through a real port.

mod attack;
mod audit;
mod contract;
mod ending;
mod errors;
mod follow_ups;
mod keys;
mod lists;
mod ownership;
mod pages;
mod polling;
mod rates;
mod retired;
mod secret_holder;
pub(crate) mod server;
mod streaming;
