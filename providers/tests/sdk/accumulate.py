"""Prints what a vendor's own library makes of each stream of a server, a line of JSON for each.

    accumulate.py WIRE BASE_URL COUNT

The server answers request number n with stream number n.
"""

import json
import sys
import warnings

import anthropic
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

PROMPT = [{"role": "user", "content": "hi"}]


def anthropic_messages(base):
    client = anthropic.Anthropic(api_key="key", base_url=base, max_retries=0)
    with client.beta.messages.stream(model="m", max_tokens=100, messages=PROMPT) as stream:
        message = stream.get_final_message()
    blocks = []
    for block in message.content:
        block = block.model_dump(mode="json", exclude_unset=True)
        match block["type"]:
            case "text":
                blocks.append({"text": block["text"]})
            case "thinking":
                blocks.append({"reasoning": block["thinking"], "signature": block.get("signature")})
            case "redacted_thinking":
                blocks.append({"reasoning": "", "data": block["data"]})
            case "tool_use":
                blocks.append({"call": block["id"], "name": block["name"], "input": block["input"]})
            case kind:
                blocks.append({"opaque": kind})
    usage = message.usage
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return {
        "blocks": blocks,
        "stop": message.stop_reason,
        "usage": [usage.input_tokens + read + written, read, written, usage.output_tokens],
    }


def openai_chat(base):
    client = openai.OpenAI(api_key="key", base_url=base, max_retries=0)
    state = ChatCompletionStreamState()
    for chunk in client.chat.completions.create(model="m", messages=PROMPT, stream=True):
        state.handle_chunk(chunk)
    # Not the final completion, which a reply that was cut by length does not have.
    choice = state.current_completion_snapshot.choices[0]
    message = choice.message
    calls = [
        {"call": call.id, "name": call.function.name, "arguments": arguments(call)}
        for call in message.tool_calls or []
    ]
    extra = message.model_extra or {}
    return {
        "text": message.content or "",
        "reasoning": extra.get("reasoning_content") or extra.get("reasoning") or "",
        "refusal": message.refusal or "",
        "calls": calls,
        "stop": choice.finish_reason or "",
    }


def arguments(call):
    """A call without arguments has an empty object of them, or nothing."""
    text = call.function.arguments
    return "" if text == "{}" else text


def openai_responses(base):
    client = openai.OpenAI(api_key="key", base_url=base, max_retries=0)
    with client.responses.stream(model="m", input="hi") as stream:
        response = stream.get_final_response()
    items = []
    for item in response.output:
        match item.type:
            case "message":
                parts = [part.text if part.type == "output_text" else part.refusal for part in item.content]
                items.append({"text": "".join(parts)})
            case "reasoning":
                summary = [part.text for part in item.summary]
                content = [part.text for part in item.content or []]
                items.append({"summary": summary, "content": content, "encrypted": item.encrypted_content is not None})
            case "function_call":
                items.append({"call": item.call_id, "name": item.name, "arguments": item.arguments})
            case "custom_tool_call":
                items.append({"call": item.call_id, "name": item.name, "arguments": item.input})
            case kind:
                items.append({"opaque": kind})
    usage = response.usage
    cached = usage.input_tokens_details.cached_tokens if usage.input_tokens_details else 0
    return {"items": items, "usage": [usage.input_tokens, cached, usage.output_tokens]}


def main():
    # Recordings of other vendors hold what the library's types do not.
    warnings.simplefilter("ignore")
    wire, base, count = sys.argv[1:]
    accumulate = globals()[wire]
    for _ in range(int(count)):
        try:
            said = accumulate(base)
        except Exception as error:  # What a library cannot read is for the test to judge.
            said = {"raised": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


main()
