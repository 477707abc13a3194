//! Names of spans and attributes.
//!
//! `gen_ai.*` are those of the semantic conventions for generative AI, version 0.1.0
//! (`docs/gen-ai/client-inference.md`, `execute-tool.md` and `gen-ai-agent-spans.md` of
//! `open-telemetry/semantic-conventions-genai`); `error.*`, `process.*` and `vcs.*` those of the general
//! ones; `pullwright.*` are our own.

pub(super) const AGENT: &str = "pullwright";

/// The span of a run: `invoke_agent` and the agent's name.
pub(super) const ROOT: &str = "invoke_agent pullwright";
pub(super) const CHAT: &str = "chat";
pub(super) const EXECUTE_TOOL: &str = "execute_tool";
pub(super) const CHECK_BEFORE: &str = "check before";
pub(super) const CHECK_AFTER: &str = "check after";
pub(super) const PUSH: &str = "push";
pub(super) const PULL_REQUEST: &str = "pull_request";

pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const AGENT_NAME: &str = "gen_ai.agent.name";
pub(super) const AGENT_VERSION: &str = "gen_ai.agent.version";
pub(super) const CONVERSATION: &str = "gen_ai.conversation.id";
pub(super) const COMPACTED: &str = "gen_ai.conversation.compacted";
pub(super) const PROVIDER: &str = "gen_ai.provider.name";
pub(super) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(super) const REQUEST_STREAM: &str = "gen_ai.request.stream";
pub(super) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub(super) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(super) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(super) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub(super) const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
pub(super) const TOOL_NAME: &str = "gen_ai.tool.name";
pub(super) const TOOL_TYPE: &str = "gen_ai.tool.type";
pub(super) const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";

// Content, which is sent only where it is asked for.
pub(super) const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
pub(super) const INPUT_MESSAGES: &str = "gen_ai.input.messages";
pub(super) const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
pub(super) const TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
pub(super) const TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";
pub(super) const COMMAND_LINE: &str = "process.command_line";

pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const EXIT_CODE: &str = "process.exit.code";
pub(super) const REPOSITORY: &str = "vcs.repository.url.full";
pub(super) const BASE_NAME: &str = "vcs.ref.base.name";
pub(super) const BASE_REVISION: &str = "vcs.ref.base.revision";
pub(super) const HEAD_NAME: &str = "vcs.ref.head.name";
pub(super) const HEAD_REVISION: &str = "vcs.ref.head.revision";
pub(super) const CHANGE_ID: &str = "vcs.change.id";

pub(super) const STAGE: &str = "pullwright.stage";
pub(super) const OUTCOME: &str = "pullwright.outcome";
pub(super) const USD: &str = "pullwright.usd";
pub(super) const PROVIDER_ROW: &str = "pullwright.provider";
pub(super) const TOOL_SERVER: &str = "pullwright.tool_server";
pub(super) const ATTEMPT: &str = "pullwright.attempt";
pub(super) const HANDED_ON: &str = "pullwright.handed_on";

pub(super) const RETRY: &str = "pullwright.retry";
pub(super) const ERROR: &str = "pullwright.error";

/// The name of a provider in the conventions, where they have one. What speaks the format of OpenAI and is
/// not known by its row counts as OpenAI's, as the conventions say.
pub(super) fn provider(row: &str, wire: &str) -> String {
    let known = match (row, wire) {
        ("deepseek" | "groq", _) => row,
        ("mistral", _) => "mistral_ai",
        ("xai", _) => "x_ai",
        (_, "anthropic_messages") => "anthropic",
        (_, "openai_chat" | "openai_responses") => "openai",
        (_, "gemini") => "gcp.gemini",
        (_, other) => other,
    };
    known.to_owned()
}
