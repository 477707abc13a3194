//! Fields that a reply can do without, each with a value of another type than documented: nothing of the
//! text, the calls and the end may be lost by it.

mod wire;

use serde_json::{Value, json};
use wire::Wire;

use crate::{
    anthropic_recordings, anthropic_reply, chat_recordings, gemini_recordings, gemini_stream,
    ollama_recordings, ollama_stream, openai_stream, responses_recordings,
};

const CHAT: Wire = Wire {
    open: openai_stream::open_chat,
    frames: openai_stream::done,
    frame: "data:",
    sides: &[
        "id",
        "object",
        "created",
        "model",
        "service_tier",
        "system_fingerprint",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "prompt_cache_hit_tokens",
        "x_groq",
        "logprobs",
        "role",
        "refusal",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "annotations",
        "provider",
        "timings",
    ],
    closed: &["arguments", "content"],
};

#[tokio::test]
async fn a_chat_loses_nothing_by_them() {
    let mut events = vec![
        openai_stream::chunk(
            &json!({ "role": "assistant", "refusal": null, "reasoning_content": "hm", "reasoning": "hm",
            "reasoning_details": [{ "type": "reasoning.text", "text": "hm" }] }),
            None,
        ),
        openai_stream::chunk(&json!({ "content": "a word", "annotations": [] }), None),
        openai_stream::chunk(
            &json!({ "tool_calls": [{ "index": 0, "id": "c1", "type": "function",
            "function": { "name": "read", "arguments": "{\"path\":\"a\"}" } }] }),
            None,
        ),
        openai_stream::chunk(&json!({}), Some("tool_calls")),
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7,
            "prompt_tokens_details": { "cached_tokens": 1 }, "prompt_cache_hit_tokens": 1 },
            "x_groq": { "usage": { "prompt_tokens": 3 } } }),
    ];
    for event in &mut events {
        event["created"] = json!(1);
        event["service_tier"] = json!("default");
        event["system_fingerprint"] = json!("fp");
    }
    CHAT.check_each(&events).await;
    for path in chat_recordings::streams() {
        let bytes = chat_recordings::bytes(&path);
        let name = path.display().to_string();
        CHAT.check_recording(&bytes, &name).await;
    }
}

const RESPONSES: Wire = Wire {
    open: openai_stream::open_responses,
    frames: openai_stream::frames,
    frame: "data:",
    sides: &[
        "sequence_number",
        "obfuscation",
        "logprobs",
        "summary_index",
        "content_index",
        "item_id",
        "usage",
        "input_tokens",
        "output_tokens",
        "input_tokens_details",
        "cached_tokens",
        "input_transformations",
        "created_at",
        "service_tier",
        "summary",
        "status",
        "metadata",
        "annotations",
    ],
    closed: &["arguments", "text", "tools"],
};

#[tokio::test]
async fn a_response_loses_nothing_by_them() {
    let message = json!({ "type": "message", "id": "m", "status": "completed", "role": "assistant",
        "content": [{ "type": "output_text", "text": "a word", "annotations": [], "logprobs": [] }] });
    let reasoning = json!({ "type": "reasoning", "id": "r", "summary": [{ "type": "summary_text", "text": "hm" }],
        "encrypted_content": "e" });
    let call = json!({ "type": "function_call", "id": "f", "call_id": "c1", "name": "read", "arguments": "{}",
        "status": "completed" });
    let done = |index: usize, item: &Value| {
        json!({ "type": "response.output_item.done", "sequence_number": 4,
        "output_index": index, "item": item })
    };
    let events = [
        json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "x", "created_at": 1 } }),
        json!({ "type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1, "item_id": "r" }),
        json!({ "type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "hm" }),
        done(0, &reasoning),
        json!({ "type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "a word",
            "logprobs": [], "obfuscation": "xx" }),
        done(1, &message),
        json!({ "type": "response.output_item.added", "output_index": 2, "item": call }),
        done(2, &call),
        json!({ "type": "response.completed", "response": { "id": "x", "service_tier": "default",
            "usage": { "input_tokens": 3, "output_tokens": 4, "input_tokens_details": { "cached_tokens": 1 } },
            "input_transformations": [{ "reason": "prefix_mismatch" }], "metadata": {} } }),
    ];
    RESPONSES.check_each(&events).await;
    for path in responses_recordings::streams() {
        let bytes = responses_recordings::bytes(&path);
        let name = path.display().to_string();
        RESPONSES.check_recording(&bytes, &name).await;
    }
}

const ANTHROPIC: Wire = Wire {
    open: anthropic_recordings::open,
    frames: anthropic_reply::frames,
    frame: "data:",
    sides: &[
        "message",
        "usage",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
        "service_tier",
        "stop_details",
        "stop_sequence",
        "category",
        "context_management",
        "citations",
    ],
    closed: &["input", "error"],
};

#[tokio::test]
async fn a_message_loses_nothing_by_them() {
    let call = json!({ "type": "tool_use", "id": "t1", "name": "read", "input": {} });
    let mut blocks = anthropic_reply::text_block(0, "a word");
    blocks.extend([
        json!({ "type": "content_block_start", "index": 1, "content_block": call }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "{}" } }),
        json!({ "type": "content_block_stop", "index": 1 }),
    ]);
    let mut events = anthropic_reply::reply_events(&blocks, "tool_use");
    let end = events.len() - 2;
    events[end]["delta"]["stop_details"] = json!({ "category": "cyber" });
    events[end]["delta"]["stop_sequence"] = json!(null);
    ANTHROPIC.check_each(&events).await;
    for path in anthropic_recordings::streams() {
        for bytes in anthropic_recordings::replies(&path) {
            let name = path.display().to_string();
            ANTHROPIC.check_recording(&bytes, &name).await;
        }
    }
}

const GEMINI: Wire = Wire {
    open: gemini_stream::open,
    frames: gemini_stream::frames,
    frame: "data:",
    sides: &[
        "usageMetadata",
        "promptTokenCount",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "totalTokenCount",
        "promptTokensDetails",
        "modelVersion",
        "responseId",
        "finishMessage",
        "safetyRatings",
        "promptFeedback",
        "index",
        "role",
        "id",
    ],
    closed: &["args"],
};

#[tokio::test]
async fn a_candidate_loses_nothing_by_them() {
    let call = json!([{ "functionCall": { "id": "f1", "name": "read", "args": {} } }]);
    let mut last = gemini_stream::event(&call, Some("STOP"));
    last["candidates"][0]["finishMessage"] = json!("done");
    last["candidates"][0]["safetyRatings"] = json!([]);
    let mut first = gemini_stream::event(&json!([{ "text": "a word" }]), None);
    first["promptFeedback"] = json!({ "safetyRatings": [] });
    GEMINI.check_each(&[first, last]).await;
    for path in gemini_recordings::streams() {
        let bytes = gemini_recordings::bytes(&path);
        let name = path.display().to_string();
        GEMINI.check_recording(&bytes, &name).await;
    }
}

const OLLAMA: Wire = Wire {
    open: ollama_stream::open,
    frames: ollama_stream::lines,
    frame: "",
    sides: &[
        "model",
        "created_at",
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
        "role",
        "thinking",
        "id",
    ],
    closed: &["arguments"],
};

#[tokio::test]
async fn a_line_loses_nothing_by_them() {
    let call = json!({ "id": "c1", "function": { "name": "read", "arguments": {} } });
    let mut first =
        ollama_stream::said(&json!({ "role": "assistant", "content": "a word", "thinking": "hm" }));
    first["created_at"] = json!("now");
    let events = [
        first,
        ollama_stream::said(&json!({ "role": "assistant", "content": "", "tool_calls": [call] })),
        ollama_stream::done("stop"),
    ];
    OLLAMA.check_each(&events).await;
    for path in ollama_recordings::streams() {
        let bytes = std::fs::read(&path).unwrap();
        OLLAMA
            .check_recording(&bytes, &path.display().to_string())
            .await;
    }
}

/// What a reply cannot do without is still an error when it makes no sense.
#[tokio::test]
async fn text_calls_and_ends_of_another_type_are_errors() {
    let cases: [(&Wire, Value); 6] = [
        (&CHAT, json!({ "choices": "none" })),
        (
            &CHAT,
            openai_stream::chunk(
                &json!({ "tool_calls": [{ "function": { "name": 1 } }] }),
                None,
            ),
        ),
        (
            &RESPONSES,
            json!({ "type": "response.output_text.delta", "delta": {} }),
        ),
        (
            &ANTHROPIC,
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": 1 } }),
        ),
        (&GEMINI, json!({ "candidates": "none" })),
        (&OLLAMA, json!({ "message": { "content": [] } })),
    ];
    for (wire, event) in cases {
        let replies = wire.replies(vec![vec![event.clone()]]).await;
        let end = replies[0].end.as_ref().unwrap_err();
        assert!(end.contains("makes no sense"), "{event}: {end}");
    }
}

#[tokio::test]
async fn an_error_in_another_form_is_still_said() {
    let cases: [(&Wire, Value); 4] = [
        (&CHAT, json!({ "error": "too busy" })),
        (&ANTHROPIC, json!({ "type": "error", "error": "too busy" })),
        (&GEMINI, json!({ "error": "too busy" })),
        (
            &GEMINI,
            json!({ "error": { "code": "none", "message": "too busy", "details": {} } }),
        ),
    ];
    for (wire, event) in cases {
        let replies = wire.replies(vec![vec![event.clone()]]).await;
        let end = replies[0].end.as_ref().unwrap_err();
        assert!(end.contains("too busy"), "{event}: {end}");
    }
}
