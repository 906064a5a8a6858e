/* SPDX-License-Identifier: MIT */
/* Frames that the kernel still reads: a send without a copy names them until the peer has acknowledged them, long after
 * its result and perhaps after its connection has ended. Each such send has a pin of its own, which holds the
 * references.
 *
 *            pin_take             result, more to come          the memory comes back
 *   (none) -----------> SENDING ------------------------> HELD -----------------------> (none)
 *                          |  result, nothing to come                                      ^
 *                          +---------------------------------------------------------------+
 *
 * Frames that lie in the arena of their home are in memory that the ring has registered when it first sent from it.
 *
 * A stalled peer holds its pins as long as it lives: their bytes have a budget per shard, beyond which sends copy, and
 * a connection that ends with pins is reset, so that the kernel lets go. */
#ifndef RINGCAST_SHARDS_PIN_H
#define RINGCAST_SHARDS_PIN_H

#include "core/frame.h"
#include "core/frame_memory.h"
#include "core/ring.h"
#include "core/slab.h"

struct shard;
struct conn;

#define PIN_SEGMENTS_MAX 8
#define PINS_MAX 65535              /* of a shard: conn.pin has 16 bits */
#define PINS_PER_CONNECTION_MAX 255 /* conn.pins has 8 */

struct pin {
    struct handle conn; /* may be gone */
    uint32_t sent;      /* HELD: bytes that the kernel has taken */
    uint32_t bytes;     /* of the budget */
    bool held;
    uint8_t segment_count;
    struct segment *segments[PIN_SEGMENTS_MAX];
};

enum pin_chunk { PIN_CHUNK_NEW, PIN_CHUNK_REGISTERED, PIN_CHUNK_REFUSED };

struct pins {
    struct slab slab;
    uint64_t bytes;
    uint8_t *chunks; /* enum pin_chunk of each chunk of each shard's arena, as this shard's ring knows it */
};

/* Numbers that a shard's ring has for the chunks of all shards (ring_options.memories_max). */
#define PIN_MEMORIES(shards) ((uint32_t)(shards)*ARENA_CHUNKS_MAX)

/* 0 or -ENOMEM. */
int pins_init(struct pins *pins, uint16_t shards);
void pins_destroy(struct pins *pins);

/* Begins the send that the outbox has just named without a copy, if that is allowed, worth it and within the budget.
 * False: it is to be begun with a copy. */
bool pin_begin_send(struct shard *shard, struct conn *conn, const struct iovec *vector, uint32_t count);
/* The tag of the send that the connection has in flight without a copy. */
struct ring_tag pin_tag(const struct shard *shard, const struct conn *conn);
/* RING_SEND_ZERO_COPY completed. */
void pin_on_completion(struct shard *shard, const struct ring_completion *completion);
/* Ends the connections that have left a pin on this segment: frame memory is full. */
void pin_cut(struct shard *shard, const struct segment *segment, uint64_t serial);
/* Asserts what holds between two turns: see pin.c. */
void pins_check(const struct shard *shard);

#endif
