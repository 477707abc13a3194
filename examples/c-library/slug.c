/*
 * A tool server in one file of C: makes a slug, such as "a-fine-day", of a text.
 *
 * It answers every message within the call that brings it. Where the host has no room for the answer, the
 * message is not taken, so that the host offers it again: nothing is kept, and nothing is lost.
 */
#include "pullwright_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A piece of a message. */
typedef struct {
    const char *start;
    size_t length;
} span;

/* No JSON-RPC message of a client is nested deeper. */
enum { MAX_DEPTH = 64 };

static const char TOOLS[] =
    "{\"tools\":[{\"name\":\"slug\",\"description\":\"Makes a slug of a text: lower-case letters and digits, with dashes "
    "between the words.\",\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\","
    "\"description\":\"The text.\"}},\"required\":[\"text\"]},\"annotations\":{\"readOnlyHint\":true}}]}";

static const char WELCOME[] =
    "{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},"
    "\"serverInfo\":{\"name\":\"slug\",\"version\":\"1.0.0\"}}";

/* ---- reading JSON, just enough of it ---- */

static size_t skip_space(span json, size_t at) {
    while (at < json.length && strchr(" \t\r\n", json.start[at]) != NULL && json.start[at] != '\0') {
        at++;
    }
    return at;
}

/* The place after the string that begins at `at`; 0 if it has no end. */
static size_t skip_string(span json, size_t at) {
    for (at++; at < json.length; at++) {
        if (json.start[at] == '\\') {
            at++;
        } else if (json.start[at] == '"') {
            return at + 1;
        }
    }
    return 0;
}

/* The place after the value that begins at `at`; 0 if it has no end. */
static size_t skip_value(span json, size_t at) {
    int depth = 0;
    while (at < json.length) {
        char c = json.start[at];
        if (c == '"') {
            at = skip_string(json, at);
            if (at == 0) {
                return 0;
            }
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH) {
                return 0;
            }
            at++;
        } else if (c == '}' || c == ']') {
            if (depth-- == 0) {
                return at;
            }
            at++;
        } else if (c == ',' && depth == 0) {
            return at;
        } else {
            at++;
            continue;
        }
        if (depth == 0) {
            return at;
        }
    }
    return depth == 0 ? at : 0;
}

/* The value of a member of the object `json`; an empty span if there is none. */
static span member(span json, const char *key) {
    span none = {NULL, 0};
    size_t at = skip_space(json, 0);
    if (at >= json.length || json.start[at] != '{') {
        return none;
    }
    at++;
    for (;;) {
        at = skip_space(json, at);
        if (at >= json.length || json.start[at] != '"') {
            return none;
        }
        size_t end = skip_string(json, at);
        if (end == 0) {
            return none;
        }
        span name = {json.start + at + 1, end - at - 2};
        at = skip_space(json, end);
        if (at >= json.length || json.start[at] != ':') {
            return none;
        }
        at = skip_space(json, at + 1);
        end = skip_value(json, at);
        if (end <= at) {
            return none;
        }
        if (name.length == strlen(key) && memcmp(name.start, key, name.length) == 0) {
            span value = {json.start + at, end - at};
            return value;
        }
        at = skip_space(json, end);
        if (at >= json.length || json.start[at] != ',') {
            return none;
        }
        at++;
    }
}

static int is_text(span value, const char *text) {
    size_t length = strlen(text);
    return value.length == length + 2 && value.start[0] == '"' && memcmp(value.start + 1, text, length) == 0;
}

/* ---- answering ---- */

static int answer(const pullwright_host *host, span id, const char *key, const char *value) {
    size_t room = strlen("{\"jsonrpc\":\"2.0\",\"id\":,\"\":}") + id.length + strlen(key) + strlen(value) + 1;
    char *message = malloc(room);
    if (message == NULL) {
        return PULLWRIGHT_FULL;
    }
    int length = snprintf(message, room, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"%s\":%s}", (int)id.length, id.start, key, value);
    int taken = host->on_message(host->context, (const uint8_t *)message, (size_t)length);
    free(message);
    return taken;
}

/* What `\x` stands for does not matter here: it separates words. */
static char *slug_of(span text) {
    static const char BEFORE[] = "{\"content\":[{\"type\":\"text\",\"text\":\"";
    static const char AFTER[] = "\"}],\"isError\":false}";
    char *result = malloc(sizeof BEFORE + sizeof AFTER + text.length);
    if (result == NULL) {
        return NULL;
    }
    size_t at = sizeof BEFORE - 1, begin = at;
    memcpy(result, BEFORE, at);
    int between = 0;
    for (size_t i = 1; i + 1 < text.length; i++) {
        char c = text.start[i];
        if (c == '\\') {
            i += text.start[i + 1] == 'u' ? 5 : 1;
            between = 1;
            continue;
        }
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
        }
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) {
            between = 1;
            continue;
        }
        if (between && at > begin) {
            result[at++] = '-';
        }
        between = 0;
        result[at++] = c;
    }
    memcpy(result + at, AFTER, sizeof AFTER);
    return result;
}

static int call(const pullwright_host *host, span id, span params) {
    if (!is_text(member(params, "name"), "slug")) {
        return answer(host, id, "error", "{\"code\":-32602,\"message\":\"there is no such tool\"}");
    }
    span text = member(member(params, "arguments"), "text");
    if (text.length < 2 || text.start[0] != '"') {
        return answer(host, id, "result",
                      "{\"content\":[{\"type\":\"text\",\"text\":\"`text` must be a string\"}],\"isError\":true}");
    }
    char *result = slug_of(text);
    if (result == NULL) {
        return PULLWRIGHT_FULL;
    }
    int taken = answer(host, id, "result", result);
    free(result);
    return taken;
}

/* ---- the four functions ---- */

uint32_t pullwright_plugin_abi_version(void) { return PULLWRIGHT_ABI_VERSION; }

void *pullwright_plugin_open(const pullwright_host *host) {
    pullwright_host *copy = malloc(sizeof *copy);
    if (copy != NULL) {
        *copy = *host;
    }
    return copy;
}

int pullwright_plugin_send(void *instance, const uint8_t *message, size_t length) {
    const pullwright_host *host = instance;
    if (length > PULLWRIGHT_MAX_MESSAGE_BYTES) {
        return PULLWRIGHT_CLOSED;
    }
    span json = {(const char *)message, length};
    span id = member(json, "id"), method = member(json, "method");
    if (id.length == 0 || method.length == 0) {
        return PULLWRIGHT_TAKEN; /* a notification, or nothing that asks for an answer */
    }
    if (is_text(method, "initialize")) {
        return answer(host, id, "result", WELCOME);
    }
    if (is_text(method, "ping")) {
        return answer(host, id, "result", "{}");
    }
    if (is_text(method, "tools/list")) {
        return answer(host, id, "result", TOOLS);
    }
    if (is_text(method, "tools/call")) {
        return call(host, id, member(json, "params"));
    }
    return answer(host, id, "error", "{\"code\":-32601,\"message\":\"this server does not know the method\"}");
}

void pullwright_plugin_close(void *instance) { free(instance); }
