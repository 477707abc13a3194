//! Model providers, one file per wire format, and a kit for authors of provider plugins.
//!
//! - [`Provider`]: what an author writes: one struct that streams a model's reply.
//! - [`rpc_module`] and [`serve_stdio`]: turn it into a JSON-RPC peer, in-process or as a child.
//! - [`ScriptedProvider`]: plays a script file, for demos, tests and benchmarks.
//! - [`AnthropicMessages`]: speaks the Anthropic Messages API.
//! - [`Gemini`]: speaks the Gemini API.
//! - [`Ollama`]: speaks Ollama's own chat API.
//! - [`open`]: the built-in provider for a row of the configuration.
//! - [`discover`]: a model's limits, asked from its service.
//! - [`preset`]: what is well known about a vendor, so that its row need not say it.

mod anthropic_messages;
mod arguments;
mod call_ids;
mod discover;
mod exchange;
mod gemini;
mod http;
mod kit;
mod ndjson;
mod ollama;
mod open;
mod presets;
mod scripted;
mod secret;
mod sse;

pub use anthropic_messages::{
    AnthropicConfig, AnthropicMessages, Reply, RequestWriter, Thinking, request_body,
};
pub use discover::{DISCOVERY_TIMEOUT, DiscoverError, ModelLimits, discover};
pub use gemini::{Gemini, GeminiConfig, GeminiReply};
pub use http::{HttpClient, StreamTimeouts};
pub use kit::{Cancelled, DeltaSender, Finish, Provider, rpc_module, serve_lines, serve_stdio};
pub use ndjson::{LineParser, LineTooLong};
pub use ollama::{Ollama, OllamaConfig, OllamaReply};
pub use open::{OpenError, ProviderSettings, WIRE_APIS, open};
pub use presets::{ModelFamily, Preset, parse_presets, preset, presets};
pub use scripted::{Script, ScriptError, ScriptedProvider};
pub use secret::Secret;
pub use sse::{EventTooLong, SseParser};
