//! The run store: a contract that every store keeps, and what is each one's own.

mod access_contract;
mod contract;
mod deliveries;
mod follow;
mod messages;
mod owners;
mod paging;
mod parking;
pub(crate) mod postgres;
mod retention;
mod sqlite;
mod sqlite_retention;
mod tokens;
