/* SPDX-License-Identifier: MIT */
/* A shard: everything one thread owns. Shards share nothing but frames (immutable), mail rings and statistics. shard_tick is
 * the table of contents of the server. */
#ifndef RINGCAST_SHARDS_SHARD_H
#define RINGCAST_SHARDS_SHARD_H

#include "core/flight.h"
#include "core/ring.h"
#include "core/stats.h"
#include "shards/audience.h"
#include "shards/channel.h"
#include "shards/config.h"
#include "shards/conn.h"
#include "shards/listener.h"
#include "shards/mail.h"
#include "shards/message.h"
#include "shards/pin.h"
#include "shards/quota.h"
#include "shards/service_host.h"
#include "shards/spin.h"

#define FLUSH_VECTORS 8192
#define SCRATCH_BYTES (512U << 10)                              /* untouched pages cost nothing */
#define INGEST_TEXT_BYTES (INGEST_BODY_BYTES_MAX + (64U << 10)) /* untouched pages cost nothing */

_Static_assert(FLUSH_VECTORS >= SEND_SLICES_MAX, "one send fits");

#define REFUSED_MAX 2048 /* accepted sockets that wait for their close to be submitted */

/* How far a stop has come; moved on by the server, the same for all shards. */
enum stage {
    STAGE_RUN,
    STAGE_QUIESCE,  /* no new connections, nothing more is published; what was acknowledged is on its way */
    STAGE_FAREWELL, /* every connection is closed behind what waits for it */
    STAGE_STOP,     /* every connection is ended */
};

/* Connections to be flushed, in order, each once: a circle with a place for every connection that there may be. It begins again at
 * its first place whenever it is empty, so as much of it takes memory as is used. */
struct flush_queue {
    struct conn **places;
    uint32_t capacity;
    uint32_t head; /* place of the first */
    uint32_t count;
};

struct shard {
    uint16_t number;
    uint16_t count; /* of all shards */
    struct server *server;
    struct shard *const *all;
    struct siphash_key key; /* the same in all shards: homes */
    struct ring *ring;
    const struct config *config;
    struct stats stats;

    /* time of this tick */
    uint64_t now_ms;
    uint64_t wall_ms;

    /* connections */
    struct slab conns;
    struct wheel wheel;
    struct listener *listeners;
    uint32_t listener_count;
    uint32_t refused[REFUSED_MAX]; /* sockets (listener_refuse) */
    uint32_t refused_count;
    struct flush_queue express, bulk;
    struct list starved; /* to arm their receive again: no buffers, or the submission queue was full */
    struct list parked;  /* to unpark when there is room for publishing */
    struct list doomed;  /* slow readers found in a delivery loop */
    struct outbox_pool outbox_pool;
    struct pins pins;
    size_t input_bytes;

    struct tls_side tls;

    /* frames */
    struct frame_memory frames;
    struct frame_idle idle;
    struct codec codec;
    struct frame_log replies; /* wire bytes that only one connection gets */

    /* channels, quotas, services */
    struct audiences audiences;
    struct channels channels;
    struct quotas quotas;
    struct service_host services;

    /* sessions of each dialect, read by all shards */
    _Atomic uint64_t sessions[DIALECTS_MAX];
    _Atomic uint64_t counts[DIALECTS_MAX][CENSUS_COUNTS]; /* once a second, of dialects with `describe` */

    /* other shards */
    struct mailbox mail;
    struct parcel_pool parcels;
    uint32_t outstanding; /* parcels that were asked and not answered */
    uint64_t outstanding_bytes;
    struct list answers; /* parcels whose answer waits until what they published is in all mailboxes */

    /* a stop */
    _Atomic uint32_t stage;
    uint32_t stage_seen;
    _Atomic bool quiet;       /* in QUIESCE: nothing is outstanding here */
    uint32_t farewell_at;     /* slot cursor of the paced farewell */
    _Atomic uint32_t open;    /* connections, for the server to watch */
    _Atomic uint32_t clients; /* of these, all but operators' */

    /* a reload */
    _Atomic(const struct config *) config_next;
    _Atomic(const struct config *) config_seen;

    _Atomic uint64_t beat_ms; /* time of the last tick, for liveness */
    uint64_t began_ns;        /* this turn */
    struct spin spin;         /* before sleeping */
    struct bucket log_bucket;
    struct wheel_timer second; /* once-a-second work */

    /* ingest */
    struct list acking;     /* publishers with acknowledgements due in this tick */
    uint8_t *ingest_memory; /* INGEST_TEXT_BYTES, for what a dialect builds from one object */
    struct buf ingest_text;

    struct flight flight; /* what happened last */

    /* scratch memory of one call */
    struct actions actions;
    uint64_t recent_counts[CENSUS_COUNTS]; /* of dialect_call, summed over the shards */
    struct iovec vectors[FLUSH_VECTORS];
    uint32_t vectors_used;
    struct iovec seal_vectors[SEND_SLICES_MAX];
    uint8_t tls_plain[TLS_PLAIN_BYTES_MAX];
    uint8_t tls_out[TLS_OUT_ROOM];
    uint8_t text[SCRATCH_BYTES];
    uint8_t scratch[SCRATCH_BYTES];
};

/* What a shard is made from. */
struct shard_options {
    uint16_t number, count;
    struct server *server; /* may be NULL (simulation) */
    struct shard *const *all;
    struct siphash_key key;
    uint8_t ticket_secret[32]; /* the same in all shards, and so is the time from which it counts */
    uint64_t started_s;
    struct ring *ring;                /* owned by the shard from now on */
    const struct config *config;      /* owned by the server */
    const struct listener *listeners; /* templates, copied; each socket already listening or RING_SOCKET_NONE */
    uint32_t listener_count;
};

/* A shard on the heap, or NULL when memory is out. */
struct shard *shard_create(const struct shard_options *options);
/* After its last tick; all connections have ended. */
void shard_destroy(struct shard *shard);

/* One turn: completions, mail, timers, flush, then submit and wait. Waits at most until something is to be done, not at all
 * when `may_wait` is false. Each phase is bounded. False: the shard has stopped and is not to be ticked again. */
bool shard_tick(struct shard *shard, bool may_wait);

/* Asserts what holds for it and all its parts between two turns (shard_check.c). */
void shard_check(const struct shard *shard);

/* The home of a name; the same on every shard. */
uint16_t shard_home(const struct shard *shard, struct hash128 name);
/* The name of something exact over all shards: its kind, a dialect, and bytes. */
struct hash128 shard_name(const struct shard *shard, char kind, uint8_t dialect, struct slice bytes);

/* The common settings of a dialect. */
static inline const struct dialect_settings *shard_dialect_settings(const struct shard *shard, uint8_t dialect)
{
    return shard->config->dialects[dialect];
}

/* Where the next connection on a queue is to be put; so many places lie in a row from there on. */
static inline struct conn **flush_queue_end(const struct flush_queue *queue, uint32_t *room)
{
    uint32_t place = queue->head + queue->count;
    check_op(queue->count, <, queue->capacity);
    *room = place < queue->capacity ? queue->capacity - place : queue->capacity - queue->count;
    return &queue->places[place < queue->capacity ? place : place - queue->capacity];
}

/* Asks the parcel's home; the answer comes back to whoever made it. */
void shard_ask(struct shard *shard, struct parcel *parcel, uint16_t home);
/* It has come back. */
void shard_answered(struct shard *shard, const struct parcel *parcel);
/* Whether this shard may take in another publish now. */
bool shard_has_room(const struct shard *shard);
/* Into the flight recorder (flight.def). */
static inline void shard_note(struct shard *shard, enum flight_kind kind, uint32_t index, int64_t first, int64_t second)
{
    flight_note(&shard->flight, shard->now_ms, kind, index, first, second);
}
/* Whether one more log line about a single connection is within the rate limit. */
bool shard_may_log(struct shard *shard);

#endif
