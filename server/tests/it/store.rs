//! The run store: a contract that every store keeps, and what is each one's own.

mod contract;
pub(crate) mod postgres;
mod sqlite;
