/* SPDX-License-Identifier: MIT */
/* A service: the stateful half of a dialect, a pure state machine that runs at one shard (the home of its key). It
 * takes requests, answers each at once, and then yields the events to be published, one by one, so that one request may
 * cause very many without a buffer for them. It owns its memory, within a bound that its settings give. */
#ifndef RINGCAST_PROTOCOL_SERVICE_H
#define RINGCAST_PROTOCOL_SERVICE_H

#include "core/buf.h"
#include "protocol/event.h"

struct service_request {
    uint32_t kind;     /* the service's own enum */
    struct slice body; /* borrowed for the call */
    uint64_t now_ms;   /* monotonic */
    uint64_t wall_ms;
};

struct service {
    const char *name;
    size_t state_bytes; /* zeroed before open */

    /* `settings` is the dialect's struct and stays valid until `settings` is called with another. 0 or -ENOMEM. */
    int (*open)(void *state, const void *settings);
    void (*close)(void *state);
    /* New settings after a reload. */
    void (*settings)(void *state, const void *settings);

    /* Answers with an HTTP status (200, 202, 404, 409, 422, 503); on 200 `reply` holds the content, on an error one
     * short sentence. Is not called again before `next` has returned false. */
    int (*request)(void *state, const struct service_request *request, struct buf *reply);
    /* The next event that follows from the last request; the caller has emptied `scratch`, and the event's slices lie
     * in `scratch` or in the state and are good until the next call. False: no more. */
    bool (*next)(void *state, struct buf *scratch, struct event *event);
    /* When the service wants to be called without a request: monotonic milliseconds, UINT64_MAX: never. Asked after
     * each call. NULL, with `timer`: it never does. */
    uint64_t (*due)(const void *state);
    /* That time has come; events follow through `next`. It may come late, never early. */
    void (*timer)(void *state, uint64_t now_ms, uint64_t wall_ms);
    /* A class of listeners of one of the dialect's channels has got its first member (added) or lost its last.
     * Listeners with the same variant are several classes when they have agreed on different compression: so it is to
     * be counted. */
    void (*interest)(void *state, struct slice channel, struct slice variant, bool added);
};

#endif
