/* SPDX-License-Identifier: MIT */
/* Owns the frames that the kernel reads in sends without a copy, and decides which sends are such: long ones to peers
 * where the kernel has not copied all the same. It never frees a frame: it holds references and drops them when the
 * memory comes back. Called by conn_write (begin), conn (cancel, cut) and the completion switch in shard.c.
 *
 * Between two turns (pins_check):
 *   - `bytes`, and its gauge, is the sum over all pins;
 *   - a pin holds a reference of this shard on each of its segments;
 *   - a connection counts its pins, and names the one whose result it waits for. */
#include "shards/conn/pin.h"

#include "core/check.h"
#include "core/frame.h"
#include "core/ring.h"
#include "core/slab.h"
#include "core/stats.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/outbox.h"
#include "shards/shard.h"

#include <errno.h>
#include <stdlib.h>

int pins_init(struct pins *pins, uint16_t shards)
{
    pins->chunks = calloc(PIN_MEMORIES(shards), sizeof *pins->chunks);
    return pins->chunks == NULL ? -ENOMEM : slab_init(&pins->slab, sizeof(struct pin), PINS_MAX);
}

void pins_destroy(struct pins *pins)
{
    slab_destroy(&pins->slab);
    free(pins->chunks);
}

/* A piece costs the kernel the same however short it is, so the pieces of a vector are to be long on the average. */
static bool is_worth_it(const struct shard *shard, const struct conn *conn, uint32_t count)
{
    const struct server_settings *settings = &shard->config->server;
    return settings->zero_copy == ZERO_COPY_AUTO && !conn->copied && count <= PIN_SEGMENTS_MAX &&
           conn->outbox.inflight.bytes >= settings->zero_copy_bytes_min * count && ring_has_zero_copy(shard->ring);
}

static bool is_within_budget(struct shard *shard, const struct conn *conn)
{
    if (conn->pins < PINS_PER_CONNECTION_MAX && shard->pins->slab.count_live < PINS_MAX &&
        shard->pins->bytes + conn->outbox.inflight.bytes <= shard->config->server.zero_copy_pinned_max / shard->count)
        return true;
    stats_add(&shard->stats, STAT_PINNED_FULL, 1);
    return false;
}

static struct conn *conn_of(struct shard *shard, const struct pin *pin)
{
    return conn_get(shard, pin->conn);
}

static void count_bytes(struct shard *shard, uint64_t change)
{
    shard->pins->bytes += change;
    stats_set(&shard->stats, STAT_PINNED_BYTES, shard->pins->bytes);
}

static void pin_free(struct shard *shard, struct handle handle, struct pin *pin)
{
    for (uint32_t i = 0; i < pin->segment_count; i++)
        frame_release(shard->idle, pin->segments[i], shard->number, 1);
    struct conn *conn = conn_of(shard, pin);
    if (conn != NULL)
        conn->pins--;
    count_bytes(shard, 0U - (uint64_t)pin->bytes);
    slab_free(&shard->pins->slab, handle.index);
}

static struct pin *pin_take(struct shard *shard, struct conn *conn, struct handle *handle)
{
    struct pin *pin = slab_alloc(&shard->pins->slab, handle);
    if (pin == NULL)
        return NULL;
    pin->conn = conn_handle(conn);
    pin->bytes = (uint32_t)conn->outbox.inflight.bytes;
    pin->segment_count = (uint8_t)outbox_inflight_segments(&conn->outbox, pin->segments, PIN_SEGMENTS_MAX);
    for (uint32_t i = 0; i < pin->segment_count; i++)
        frame_ref(pin->segments[i], shard->number, 1);
    conn->pins++;
    count_bytes(shard, pin->bytes);
    return pin;
}

/* The number of the memory in which a segment lies, known to our ring; or ARENA_NOWHERE. Where an arena lies never
 * changes, so that of another shard may be asked. */
static uint32_t registered(struct shard *shard, const struct segment *segment)
{
    const struct arena *arena = &shard->all[segment->home]->frames->arena;
    uint32_t chunk = arena_chunk_of(arena, segment->data);
    if (chunk == ARENA_NOWHERE)
        return ARENA_NOWHERE;
    uint32_t number = segment->home * ARENA_CHUNKS_MAX + chunk;
    uint8_t *state = &shard->pins->chunks[number];
    if (*state == PIN_CHUNK_NEW) {
        bool good = ring_register_memory(shard->ring, number, arena_chunk(arena, chunk), ARENA_CHUNK_BYTES) == 0;
        *state = good ? PIN_CHUNK_REGISTERED : PIN_CHUNK_REFUSED;
        stats_add(&shard->stats, good ? STAT_CHUNKS_REGISTERED : STAT_CHUNKS_REFUSED, 1);
    }
    return *state == PIN_CHUNK_REGISTERED ? number : ARENA_NOWHERE;
}

static int begin(struct shard *shard, const struct conn *conn, const struct pin *pin, struct ring_tag tag,
                 const struct iovec *vector, uint32_t count)
{
    uint32_t number = count == 1 ? registered(shard, pin->segments[0]) : ARENA_NOWHERE;
    if (number == ARENA_NOWHERE)
        return ring_begin_send_zero_copy(shard->ring, conn->socket, tag, vector, count);
    return ring_begin_send_registered(shard->ring, conn->socket, tag, vector->iov_base, (uint32_t)vector->iov_len,
                                      number);
}

/* Without a canary (CMakeLists.txt): its array holds addresses of our own frames, and each long send comes through
 * here. */
__attribute__((no_stack_protector)) bool pin_begin_send(struct shard *shard, struct conn *conn,
                                                        const struct iovec *vector, uint32_t count)
{
    struct handle handle;
    if (!is_worth_it(shard, conn, count) || !is_within_budget(shard, conn))
        return false;
    struct pin *pin = pin_take(shard, conn, &handle);
    if (pin == NULL)
        return false;
    struct ring_tag tag = {.index = handle.index, .generation = handle.generation};
    if (begin(shard, conn, pin, tag, vector, count) != 0) {
        pin_free(shard, handle, pin);
        return false;
    }
    conn->pin = (uint16_t)(handle.index + 1);
    return true;
}

struct ring_tag pin_tag(const struct shard *shard, const struct conn *conn)
{
    check(conn->pin != 0);
    struct handle handle = slab_handle(&shard->pins->slab, conn->pin - 1U);
    return (struct ring_tag){.index = handle.index, .generation = handle.generation};
}

/* The memory is ours again. Where the kernel copied it will copy again (loopback, a device that cannot gather): that
 * connection copies from now on, which is cheaper. */
static void give_back(struct shard *shard, struct handle handle, struct pin *pin, bool copied)
{
    struct conn *conn = conn_of(shard, pin);
    stats_add(&shard->stats, copied ? STAT_BYTES_ZERO_COPIED : STAT_BYTES_ZERO_COPY, pin->sent);
    pin_free(shard, handle, pin);
    if (conn == NULL)
        return;
    conn->copied = conn->copied || copied;
    conn_advance(shard, conn); /* it may have waited for this */
}

void pin_on_completion(struct shard *shard, const struct ring_completion *completion)
{
    struct handle handle = {.index = completion->tag.index, .generation = completion->tag.generation};
    struct pin *pin = slab_get(&shard->pins->slab, handle);
    check(pin != NULL); /* only its last completion frees it */
    struct conn *conn = conn_of(shard, pin);
    bool is_result = !pin->held;
    pin->held = true;
    if (is_result)
        pin->sent = completion->result > 0 ? (uint32_t)completion->result : 0;
    if (is_result) {                          /* first: as long as it is sending, the connection names its pin */
        check(conn != NULL && conn->sending); /* it waits for the result */
        conn_on_sent(shard, conn, completion->result);
    }
    if (!completion->more)
        give_back(shard, handle, pin, is_result || completion->result == RING_COPIED);
}

void pin_cut(struct shard *shard, const struct segment *segment, uint64_t serial)
{
    uint32_t cursor = 0;
    for (struct pin *pin; (pin = slab_next(&shard->pins->slab, &cursor, NULL)) != NULL;) {
        struct conn *conn = conn_of(shard, pin);
        bool holds = false;
        for (uint32_t i = 0; i < pin->segment_count; i++)
            holds = holds || (pin->segments[i] == segment && segment->serial == serial);
        if (!holds || conn == NULL || conn->state == CONN_DYING)
            continue;
        stats_add(&shard->stats, STAT_SLOW_CUT, 1);
        conn_terminate(shard, conn, CLOSE_SLOW);
    }
}

void pins_check(const struct shard *shard)
{
    uint64_t bytes = 0;
    uint32_t cursor = 0, index, of_conns = 0, counted = 0;
    for (const struct pin *pin; (pin = slab_next(&shard->pins->slab, &cursor, &index)) != NULL;) {
        const struct conn *conn = slab_get(&shard->conns->slab, pin->conn);
        bytes += pin->bytes;
        of_conns += conn != NULL;
        check(pin->held || (conn != NULL && conn->sending && conn->pin == index + 1));
        for (uint32_t i = 0; i < pin->segment_count; i++)
            check_op(pin->segments[i]->shares[shard->number].refs, >, 0);
    }
    check_op(bytes, ==, shard->pins->bytes);
    check_op(bytes, ==, stats_get(&shard->stats, STAT_PINNED_BYTES));
    cursor = 0;
    for (const struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, NULL)) != NULL;)
        counted += conn->pins;
    check_op(counted, ==, of_conns);
}
