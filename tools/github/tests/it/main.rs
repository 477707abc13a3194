//! GitHub's tools against a peer that fails on purpose, and against an emulator of GitHub.
#![cfg(test)]

mod accounts;
mod app;
mod client;
mod commit;
mod details;
mod emulated;
mod fault_server;
mod fork;
mod model_tools;
mod neutral;
mod peers;
mod preflight;
mod pull_request;
mod rules;
mod talk;
mod transport;
