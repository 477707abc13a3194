//! Model providers, one file per wire format, and a kit for authors of provider plugins.
//!
//! - [`Provider`]: what an author writes: one struct that streams a model's reply.
//! - [`rpc_module`] and [`serve_stdio`]: turn it into a JSON-RPC peer, in-process or as a child.
//! - [`ScriptedProvider`]: plays a script file, for demos, tests and benchmarks.
//! - [`AnthropicMessages`]: speaks the Anthropic Messages API.
//! - [`Gemini`]: speaks the Gemini API.
//! - [`OpenAiResponses`]: speaks the Responses API.
//! - [`OpenAiChat`]: speaks Chat Completions, and the dialects of those who copied them.
//! - [`Ollama`]: speaks Ollama's own chat API.
//! - [`open`]: the built-in provider for a row of the configuration.
//! - [`discover`]: a model's limits, asked from its service.
//! - [`preset`]: what is well known about a vendor, so that its row need not say it.

mod access;
mod anthropic_messages;
mod arguments;
mod call_ids;
mod discover;
mod excerpt;
mod exchange;
mod function_tool;
mod gemini;
mod hash;
mod http;
mod kit;
mod lately;
mod lenient;
mod ndjson;
mod ollama;
mod open;
mod openai;
mod openai_chat;
mod openai_responses;
mod presets;
mod rejected_reasoning;
mod scripted;
mod secret;
mod sse;
mod transformations;
mod written;

pub use access::{Access, KeyCommand};
pub use anthropic_messages::{AnthropicConfig, AnthropicMessages, Reply, Thinking};
pub use discover::{DISCOVERY_TIMEOUT, DiscoverError, ModelLimits, discover};
pub use gemini::{Gemini, GeminiConfig, GeminiReply};
pub use http::{HttpClient, StreamLimits};
pub use kit::{Cancelled, DeltaSender, Finish, Provider, rpc_module, serve_lines, serve_stdio};
pub use ndjson::{LineParser, LineTooLong};
pub use ollama::{Ollama, OllamaConfig, OllamaReply};
pub use open::{DEFAULT_KEY_REFRESH, OpenError, ProviderSettings, WIRE_APIS, open};
pub use openai::OpenAiConfig;
pub use openai_chat::{
    CacheKey, CallIdForm, ChatQuirks, ChatReply, EffortKey, LimitKey, OpenAiChat,
};
pub use openai_responses::{OpenAiResponses, ResponsesReply};
pub use presets::{ModelFamily, Preset, parse_presets, preset, presets};
pub use scripted::{Script, ScriptError, ScriptedProvider};
pub use secret::Secret;
pub use sse::{EventTooLong, SseParser};
