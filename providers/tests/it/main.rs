//! Providers behind the provider protocol.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod access;
mod anthropic_errors;
mod anthropic_http;
mod anthropic_properties;
mod anthropic_recordings;
mod anthropic_reply;
mod anthropic_request;
mod chat_recordings;
mod chat_reply;
mod child;
mod client;
mod compaction;
mod discover;
mod gemini_errors;
mod gemini_http;
mod gemini_recordings;
mod gemini_reply;
mod gemini_request;
mod gemini_stream;
mod http_server;
mod kit;
mod misfits;
mod notices;
mod ollama_http;
mod ollama_recordings;
mod ollama_reply;
mod ollama_request;
mod ollama_stream;
mod open;
mod openai_errors;
mod openai_request;
mod openai_stream;
mod prefix;
mod presets;
mod properties;
mod recordings;
mod responses_missing;
mod responses_properties;
mod responses_recordings;
mod scripted;
mod sdk;
mod side_fields;
mod sse;
mod stdio;
mod streams;
