//! The HTTP API, through a real port.

mod audit;
mod ending;
mod errors;
mod keys;
mod ownership;
mod pages;
mod rates;
mod retired;
mod secret_holder;
mod server;
mod streaming;
