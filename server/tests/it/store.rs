//! The run store: a contract that every store keeps, and what is each one's own.

mod contract;
mod postgres;
mod sqlite;
