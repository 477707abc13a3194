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
mod discover;
mod gemini_errors;
mod gemini_http;
mod gemini_recordings;
mod gemini_reply;
mod gemini_request;
mod gemini_stream;
mod http_server;
mod kit;
mod ollama_http;
mod ollama_recordings;
mod ollama_reply;
mod ollama_request;
mod ollama_stream;
mod open;
mod presets;
mod recordings;
mod scripted;
mod sse;
mod stdio;
mod streams;
