/* SPDX-License-Identifier: MIT */
/* The vocabulary between dialects, services and shards: what is published. */
#ifndef RINGCAST_PROTOCOL_EVENT_H
#define RINGCAST_PROTOCOL_EVENT_H

#include "protocol/ws.h"

/* One message for the listeners of one channel. The slices are borrowed for the call. */
struct event {
    struct slice channel;  /* its name inside the dialect, 1-CHANNEL_NAME_BYTES_MAX bytes */
    struct slice payload;  /* the message as receivers get it, without frame header */
    enum ws_opcode opcode; /* WS_TEXT (payload is valid UTF-8) or WS_BINARY */
    /* What dialect.matches compares with a variant; a dialect without filters leaves them zero. */
    uint32_t level;
    struct slice key;
    /* Of POLICY_CONFLATE: a message that waits for a slow reader as its newest of the channel is replaced by one with
     * the same number; 0: never. */
    uint32_t conflate;
    /* Not 0: behind the payload (which may be empty: then no message is sent) each listener is closed with this
     * code. */
    uint16_t close_code;
    const char *close_reason; /* a literal */
};

/* What a slow reader of a channel gets (requirements O-6). */
enum channel_policy {
    POLICY_LOSSLESS, /* everything, or a close with 1013 */
    POLICY_LATEST,   /* of what waits, only the newest message of the channel */
    POLICY_CONFLATE, /* everything, but event.conflate says which waiting message a newer one replaces */
};

/* How a channel behaves; a pure function of its dialect's settings and its name. */
struct channel_traits {
    enum channel_policy policy;
    uint32_t retain_count;  /* newest messages kept for later subscribers; 0: none */
    uint64_t retain_age_ms; /* and how long; 0: no bound by age */
};

#endif
