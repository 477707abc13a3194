//! The run store: a contract that every store keeps, and what is SQLite's own.

mod contract;
mod sqlite;
