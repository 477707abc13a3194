//! Providers behind the provider protocol.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod anthropic_errors;
mod anthropic_http;
mod anthropic_recordings;
mod anthropic_reply;
mod anthropic_request;
mod child;
mod client;
mod http_server;
mod kit;
mod open;
mod recordings;
mod scripted;
mod sse;
mod stdio;
