/* SPDX-License-Identifier: MIT */
/* A service: the stateful half of a dialect, a pure state machine that runs at one shard (the home of its key). It
 * takes requests and then yields their effects one by one, so that one request may cause very many without a buffer
 * for them: what is to be published, answered, kept, forgotten, read. It owns its memory, within a bound that its
 * settings give.
 *
 * The host's side of it:
 *   - All effects that one call yields are one unit. The PUTs and DELETEs of a unit are one atomic transaction; its
 *     PUBLISHes and REPLYs leave in their order, after that transaction is synced and never before those of an earlier
 *     unit of the same service. A unit that keeps nothing leaves at once when nothing before it waits.
 *   - When a transaction fails, nothing of its unit or of a later one is said, the requests behind them are answered
 *     503, and this life of the service ends (close); the next begins from what the store has. So a service needs no
 *     way back.
 *   - A life begins with open, then load for every record of each indexed table, tables in their order and records by
 *     key, then loaded. Requests before that are answered 503. */
#ifndef RINGCAST_PROTOCOL_SERVICE_H
#define RINGCAST_PROTOCOL_SERVICE_H

#include "core/buf.h"
#include "protocol/event.h"

#define SERVICE_KEY_BYTES_MAX 256U          /* of a record */
#define SERVICE_VALUE_BYTES_MAX (16U << 20) /* likewise */

struct service_request {
    uint32_t kind;     /* the service's own enum */
    struct slice body; /* borrowed until `next` has returned false */
    uint64_t ticket;   /* of the host, for EFFECT_REPLY; never 0 */
    uint64_t now_ms;   /* monotonic */
    uint64_t wall_ms;
};

enum effect_kind {
    EFFECT_PUBLISH, /* `event`, to its channel */
    EFFECT_REPLY,   /* `ticket`, `status`, `body`: the answer to a request that returned SERVICE_LATER */
    EFFECT_PUT,     /* `table`, `key`, `body`: a record is to be kept, instead of any before with that key */
    EFFECT_DELETE,  /* `table`, `key`; nothing happens when there is no such record */
    /* `ticket`, `table`, `key`: a record is wanted; service.fetched gets it, in this turn or a later one */
    EFFECT_FETCH,
    EFFECT_RESTART, /* memory was out in the middle of a change: this unit counts as one whose transaction failed */
};

struct effect {
    enum effect_kind kind;
    struct event event;
    uint64_t ticket; /* of FETCH the service's own, never 0 */
    int status;
    uint8_t table; /* index into service.tables */
    struct slice key;
    struct slice body;
};

/* A table of records that survive the process; its name in the store is DIALECT_NAME. */
struct service_table {
    const char *name; /* NULL behind the last */
    bool indexed;     /* its records are handed to `load`; those of others are only fetched */
};

#define SERVICE_LATER 0 /* of request: the answer is an effect of this or of a later call */

struct service {
    const char *name;
    size_t state_bytes;                 /* zeroed before open */
    const struct service_table *tables; /* NULL: it keeps nothing, and costs the store nothing */

    /* `settings` is the dialect's struct and stays valid until `settings` is called with another. 0 or -ENOMEM. */
    int (*open)(void *state, const void *settings);
    void (*close)(void *state);
    /* New settings after a reload. */
    void (*settings)(void *state, const void *settings);

    /* One record of an indexed table. 0, -ENOMEM, or -EINVAL with what is wrong with the record as a literal in *why.
     * NULL, with `loaded` and `fetched`: it has no tables. */
    int (*load)(void *state, uint8_t table, struct slice key, struct slice value, const char **why);
    /* All records have been loaded; effects follow through `next`. */
    void (*loaded)(void *state, uint64_t now_ms, uint64_t wall_ms);

    /* Answers with an HTTP status (200, 202, 404, 409, 422, 503); on 200 `reply` holds the content, on an error one
     * short sentence. Or SERVICE_LATER. Is not called again before `next` has returned false. */
    int (*request)(void *state, const struct service_request *request, struct buf *reply);
    /* The record that a FETCH asked for: 200 with its value (borrowed until `next` has returned false), 404, or 503
     * when it could not be read. */
    void (*fetched)(void *state, uint64_t ticket, int status, struct slice value, uint64_t now_ms, uint64_t wall_ms);
    /* The next effect that follows from the last call; the caller has emptied `scratch` and zeroed `effect`, whose
     * slices lie in `scratch` or in the state and are good until the next call. False: no more. */
    bool (*next)(void *state, struct buf *scratch, struct effect *effect);
    /* When the service wants to be called without a request: monotonic milliseconds, UINT64_MAX: never. Asked after
     * each call. NULL, with `timer`: it never does. */
    uint64_t (*due)(const void *state);
    /* That time has come; effects follow through `next`. It may come late, never early. */
    void (*timer)(void *state, uint64_t now_ms, uint64_t wall_ms);
    /* A class of listeners of one of the dialect's channels has got its first member (added) or lost its last.
     * Listeners with the same variant are several classes when they have agreed on different compression: so it is to
     * be counted. It has no effects: a service that wants some says so by `due`. */
    void (*interest)(void *state, struct slice channel, struct slice variant, bool added);
};

/* The next effect of a service without tables, which answers at once: an event. */
static inline bool service_next_event(const struct service *service, void *state, struct buf *scratch,
                                      struct event *event)
{
    struct effect effect = {.kind = EFFECT_PUBLISH};
    if (!service->next(state, scratch, &effect))
        return false;
    *event = effect.event;
    return true;
}

#endif
