//! The HTTP API, through a real port.

mod ending;
mod errors;
mod server;
mod streaming;
