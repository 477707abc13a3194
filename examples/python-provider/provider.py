#!/usr/bin/env python3
"""A provider plugin in one file: any OpenAI-compatible chat endpoint becomes a model of Pullwright.

It speaks JSON-RPC 2.0 over standard input and output, one message a line: `provider.info`, and the
subscription `provider.stream`, whose notifications carry a reply piece by piece. Every reply has a thread of
its own, so that several are under way at once and each can be cancelled.
"""

import http.client
import json
import os
import sys
import threading
import urllib.parse

BASE_URL = os.environ.get("CHAT_BASE_URL", "http://127.0.0.1:11434/v1")
MODEL = os.environ.get("CHAT_MODEL", "qwen3")
KEY = os.environ.get("CHAT_API_KEY", "")
NAME = os.environ.get("CHAT_NAME", "chat")

IDLE_SECONDS = 120

write_lock = threading.Lock()
cancelled = {}  # by subscription id: set once nobody wants the reply any more


def say(message):
    """One message, whole: threads take turns. Blocks while nobody reads, which loses nothing."""
    with write_lock:
        sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def answer(request_id, result):
    say({"jsonrpc": "2.0", "id": request_id, "result": result})


def refuse(request_id, code, message):
    say({"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}})


def tell(subscription, delta):
    params = {"subscription": subscription, "result": delta}
    say({"jsonrpc": "2.0", "method": "provider.delta", "params": params})


def text_of(parts):
    return "\n".join(part["text"] for part in parts if part["kind"] == "text")


def messages_of(request):
    """The conversation as chat messages. One message of the assistant holds all that it said in a row."""
    messages = [{"role": "system", "content": request["system"]}] if request["system"] else []
    for item in request["items"]:
        content = item["content"]
        kind = content["kind"]
        if kind == "user":
            messages.append({"role": "user", "content": text_of(content["parts"])})
        elif kind == "tool_result":
            text = text_of(content["parts"])
            messages.append({"role": "tool", "tool_call_id": content["call_id"], "content": text})
        elif kind in ("text", "tool_call"):
            if messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            said = messages[-1]
            if kind == "text":
                said["content"] = (said["content"] or "") + content["text"]
            else:
                function = {"name": content["name"], "arguments": content["arguments"]}
                call = {"id": content["call_id"], "type": "function", "function": function}
                said.setdefault("tool_calls", []).append(call)
    return messages


def body_of(request):
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool["description"],
                "parameters": json.loads(tool["input_schema"]),
            },
        }
        for tool in request["tools"]
    ]
    body = {
        "model": MODEL,
        "messages": messages_of(request),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if tools:
        body["tools"] = tools
    if request.get("max_output_tokens"):
        body["max_tokens"] = request["max_output_tokens"]
    return body


class Failed(Exception):
    def __init__(self, kind, message, retryable, retry_after_ms=None):
        super().__init__(message)
        self.delta = {
            "type": "error",
            "error": {
                "kind": kind,
                "message": message,
                "retryable": retryable,
                "retry_after_ms": retry_after_ms,
            },
        }


def rejected(response):
    text = response.read(4096).decode(errors="replace")
    message = f"the endpoint answered {response.status}: {text}"
    if response.status == 429:
        after = response.headers.get("retry-after", "")
        return Failed("rate_limited", message, True, int(after) * 1000 if after.isdigit() else None)
    if response.status in (401, 403):
        return Failed("provider_auth", message, False)
    if response.status >= 500:
        return Failed("overloaded", message, True)
    return Failed("provider_request", message, False)


def events(body):
    """The chunks of a streamed answer."""
    url = urllib.parse.urlsplit(BASE_URL)
    https = url.scheme == "https"
    connect = http.client.HTTPSConnection if https else http.client.HTTPConnection
    connection = connect(url.hostname, url.port, timeout=IDLE_SECONDS)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    if KEY:
        headers["Authorization"] = f"Bearer {KEY}"
    try:
        path = url.path.rstrip("/") + "/chat/completions"
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise rejected(response)
        for line in response:
            line = line.strip()
            if line == b"data: [DONE]":
                return
            if line.startswith(b"data: "):
                yield json.loads(line[len(b"data: ") :])
    finally:
        connection.close()


STOPS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}


def deltas(request):
    """A reply, piece by piece: what is streamed first, then the items as a whole, then the end."""
    text, calls, stop, usage = "", {}, None, None
    yield {"type": "started", "request_id": None}
    for chunk in events(body_of(request)):
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or []:
            piece = choice.get("delta") or {}
            stop = choice.get("finish_reason") or stop
            if piece.get("content"):
                text += piece["content"]
                yield {"type": "text", "delta": piece["content"]}
            for part in piece.get("tool_calls") or []:
                yield from call_piece(calls, part)
    if stop is None:
        raise Failed("transport", "the answer ended before its end", True)
    if text:
        yield item({"kind": "text", "text": text})
    for call in calls.values():
        yield item({"kind": "tool_call", **call})
    if usage:
        yield {"type": "usage", "usage": usage_of(usage)}
    yield {"type": "end", "stop": STOPS.get(stop, "other"), "raw": stop}


def call_piece(calls, part):
    index = part.get("index", len(calls))
    function = part.get("function") or {}
    if index not in calls:
        call_id = part.get("id") or f"call_{index}"
        calls[index] = {"call_id": call_id, "name": function.get("name", ""), "arguments": ""}
        yield {"type": "tool_call_started", "call_id": call_id, "name": calls[index]["name"]}
    if function.get("arguments"):
        call = calls[index]
        call["arguments"] += function["arguments"]
        yield {"type": "tool_call_arguments", "call_id": call["call_id"], "delta": function["arguments"]}


def item(content):
    return {"type": "item", "item": {"content": content}}


def usage_of(usage):
    details = usage.get("prompt_tokens_details") or {}
    return {
        "input_tokens": usage.get("prompt_tokens", 0),
        "cached_tokens": details.get("cached_tokens", 0),
        "cache_write_tokens": 0,
        "output_tokens": usage.get("completion_tokens", 0),
    }


def reply(subscription, request):
    stop = cancelled[subscription]
    try:
        for delta in deltas(request):
            if stop.is_set():
                return
            tell(subscription, delta)
    except Failed as failed:
        tell(subscription, failed.delta)
    except (OSError, http.client.HTTPException, ValueError) as error:
        tell(subscription, Failed("transport", f"the endpoint cannot be used: {error}", True).delta)
    finally:
        cancelled.pop(subscription, None)


def handle(request_id, method, params):
    if method == "provider.info":
        return answer(request_id, {"provenance": {"provider": NAME, "wire": "chat", "model": MODEL}})
    if method == "provider.stream":
        if not isinstance(params, dict) or not isinstance(params.get("items"), list) or "tools" not in params:
            return refuse(request_id, -32602, "a request has `system`, `tools` and `items`")
        subscription = f"reply-{request_id}"
        cancelled[subscription] = threading.Event()
        answer(request_id, subscription)
        thread = threading.Thread(target=reply, args=(subscription, params), daemon=True)
        return thread.start()
    if method == "provider.cancel":
        wanted = params[0] if isinstance(params, list) and params else None
        stop = cancelled.get(wanted)
        if stop:
            stop.set()
        return answer(request_id, stop is not None)
    return refuse(request_id, -32601, f"there is no method {method}")


def main():
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            handle(request.get("id"), request.get("method"), request.get("params"))
        except (ValueError, AttributeError) as error:
            refuse(None, -32700, f"this line is no request: {error}")


if __name__ == "__main__":
    main()
