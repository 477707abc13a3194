/*
 * The interface of a native plugin of Pullwright, version 1: a pipe of messages behind four functions.
 *
 * A message is one JSON-RPC message in UTF-8, without a line break. It belongs to whoever passes it, only
 * for the call: who wants to keep it copies it, and nobody frees memory of the other side.
 *
 * No function may block, but for open and close, or let an exception cross the border. A library is never
 * unloaded. The same in Rust: core/protocol/src/abi.rs.
 */
#ifndef PULLWRIGHT_PLUGIN_H
#define PULLWRIGHT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. */
#define PULLWRIGHT_ABI_VERSION 1u

/* The longest message either side takes, in bytes. A longer one is answered with CLOSED. */
#define PULLWRIGHT_MAX_MESSAGE_BYTES (16u * 1024u * 1024u)

/* What becomes of a message. */
enum {
    PULLWRIGHT_TAKEN = 0, /* it was taken over */
    PULLWRIGHT_FULL = 1,  /* there is no room for it now; offer the same one again a little later */
    PULLWRIGHT_CLOSED = 2 /* no message will ever be taken again */
};

/* What a plugin may call, from any thread, until pullwright_plugin_close has returned. */
typedef struct pullwright_host {
    void *context; /* passed back as it is */
    int (*on_message)(void *context, const uint8_t *message, size_t length);
    void (*on_closed)(void *context); /* the plugin has ended by itself: at most once, nothing after it */
} pullwright_host;

/* Answers PULLWRIGHT_ABI_VERSION. */
uint32_t pullwright_plugin_abi_version(void);

/* Starts an instance, or answers NULL. The struct is valid for the call only: copy it. */
void *pullwright_plugin_open(const pullwright_host *host);

/* Offers a message to an instance. May be called from any thread, but never twice at the same time. */
int pullwright_plugin_send(void *instance, const uint8_t *message, size_t length);

/* Ends an instance, once. Nothing of the host may be called any more when this has returned. */
void pullwright_plugin_close(void *instance);

#ifdef __cplusplus
}
#endif

#endif
