/* SPDX-License-Identifier: MIT */
/* A shard: everything one thread owns. Shards share nothing but frames (immutable), mail rings and statistics. This
 * header shows what every part needs of it, and that there are parts; whoever works with a part includes that part's
 * header. They lie in one block (turn/shard_parts.h); load a part once per function, not per member of an audience. */
#ifndef RINGCAST_SHARDS_SHARD_H
#define RINGCAST_SHARDS_SHARD_H

#include "core/siphash.h"
#include "core/stats.h"

#define SCRATCH_BYTES (512U << 10) /* untouched pages cost nothing */

struct config;
struct flight;
struct depot_host;
struct offload;
struct process_state;
struct ring;
struct work;

/* The frame memories of a shard: of channels, and of what only one connection gets (answers.h). */
enum { FRAMES_CHANNELS, FRAMES_ANSWERS, FRAMES_OPERATORS, FRAME_MEMORIES };

/* How far a stop has come; moved on by the server, the same for all shards. */
enum stage {
    STAGE_RUN,
    STAGE_QUIESCE,  /* no new connections, nothing more is published; what was acknowledged is on its way */
    STAGE_FAREWELL, /* every connection is closed behind what waits for it */
    STAGE_STOP,     /* every connection is ended */
};

struct shard {
    uint16_t number;
    uint16_t count; /* of all shards */
    struct shard *const *all;
    struct siphash_key key; /* the same in all shards: homes */
    struct ring *ring;
    const struct config *config;
    const struct process_state *process; /* NULL: there is none (simulation) */
    struct offload *offload;             /* for what computes long; NULL: that is done at once (simulation) */
    struct stats stats;

    /* time of this turn */
    uint64_t now_ms;
    uint64_t wall_ms;
    struct work *work; /* of this turn, in units that have prices */

    /* the parts, floor by floor */
    struct wheel *wheel;
    struct frame_memory *frames; /* [FRAME_MEMORIES]; the first holds what channels publish */
    struct frame_idle *idle;
    struct mailbox *mail;
    struct errands *errands;
    struct quotas *quotas;
    struct conns *conns;
    struct listeners *listeners;
    struct flush *flush;
    struct answers *answers;
    struct progress *progress;
    struct tls_side *tls;
    struct pins *pins;
    struct codec *codec;
    struct audiences *audiences;
    struct channels *channels;
    struct service_host *services;
    struct depot_host *depots;
    struct sessions *sessions;
    struct publishers *publishers;
    struct turn *turn;

    /* a stop */
    uint32_t stage_seen;
    _Atomic uint32_t stage;
    _Atomic bool quiet;           /* in QUIESCE: nothing is outstanding here */
    _Atomic uint64_t farewell_ms; /* set before FAREWELL: the time over which its closes are spread */

    /* a reload */
    _Atomic(const struct config *) config_next;
    _Atomic(const struct config *) config_seen;

    _Atomic uint64_t beat_ms; /* time of the last tick, for liveness */

    struct flight *flight; /* what happened last (note.h) */

    uint8_t *scratch; /* SCRATCH_BYTES, for one call */
};

#endif
