/* SPDX-License-Identifier: MIT */
/* Owns the frames that the kernel reads in sends without a copy, and decides which sends are such: long ones to peers where
 * the kernel has not copied all the same. It never frees a frame: it holds references and drops them when the memory comes
 * back. Called by conn_write (begin), conn (cancel, cut) and the completion switch in shard.c. */
#include "shards/pin.h"

#include "core/check.h"
#include "shards/shard.h"

int pins_init(struct pins *pins)
{
    return slab_init(&pins->slab, sizeof(struct pin), PINS_MAX);
}

void pins_destroy(struct pins *pins)
{
    slab_destroy(&pins->slab);
}

/* A piece costs the kernel the same however short it is, so the pieces of a vector are to be long on the average. */
static bool is_worth_it(const struct shard *shard, const struct conn *conn, uint32_t count)
{
    const struct server_settings *settings = &shard->config->server;
    return settings->zero_copy == ZERO_COPY_AUTO && !conn->copied && count <= PIN_SEGMENTS_MAX &&
           conn->outbox.inflight_bytes >= settings->zero_copy_bytes_min * count && ring_has_zero_copy(shard->ring);
}

static bool is_within_budget(struct shard *shard, const struct conn *conn)
{
    if (conn->pins < PINS_PER_CONNECTION_MAX && shard->pins.slab.count_live < PINS_MAX &&
        shard->pins.bytes + conn->outbox.inflight_bytes <= shard->config->server.zero_copy_pinned_max / shard->count)
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
    shard->pins.bytes += change;
    stats_set(&shard->stats, STAT_PINNED_BYTES, shard->pins.bytes);
}

static void pin_free(struct shard *shard, struct handle handle, struct pin *pin)
{
    for (uint32_t i = 0; i < pin->segment_count; i++)
        frame_release(&shard->idle, pin->segments[i], shard->number, 1);
    struct conn *conn = conn_of(shard, pin);
    if (conn != NULL)
        conn->pins--;
    count_bytes(shard, 0U - (uint64_t)pin->bytes);
    slab_free(&shard->pins.slab, handle.index);
}

static struct pin *pin_take(struct shard *shard, struct conn *conn, struct handle *handle)
{
    struct pin *pin = slab_alloc(&shard->pins.slab, handle);
    if (pin == NULL)
        return NULL;
    pin->conn = conn_handle(conn);
    pin->bytes = (uint32_t)conn->outbox.inflight_bytes;
    pin->segment_count = (uint8_t)outbox_inflight_segments(&conn->outbox, pin->segments, PIN_SEGMENTS_MAX);
    for (uint32_t i = 0; i < pin->segment_count; i++)
        frame_ref(pin->segments[i], shard->number, 1);
    conn->pins++;
    count_bytes(shard, pin->bytes);
    return pin;
}

bool pin_begin_send(struct shard *shard, struct conn *conn, const struct iovec *vector, uint32_t count)
{
    struct handle handle;
    if (!is_worth_it(shard, conn, count) || !is_within_budget(shard, conn))
        return false;
    struct pin *pin = pin_take(shard, conn, &handle);
    if (pin == NULL)
        return false;
    struct ring_tag tag = {.index = handle.index, .generation = handle.generation};
    if (ring_begin_send_zero_copy(shard->ring, conn->socket, tag, vector, count) != 0) {
        pin_free(shard, handle, pin);
        return false;
    }
    conn->pin = (uint16_t)(handle.index + 1);
    return true;
}

struct ring_tag pin_tag(const struct shard *shard, const struct conn *conn)
{
    check(conn->pin != 0);
    struct handle handle = slab_handle(&shard->pins.slab, conn->pin - 1U);
    return (struct ring_tag){.index = handle.index, .generation = handle.generation};
}

/* The memory is ours again. Where the kernel copied it will copy again (loopback, a device that cannot gather): that connection
 * copies from now on, which is cheaper. */
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
    struct pin *pin = slab_get(&shard->pins.slab, handle);
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
    for (struct pin *pin; (pin = slab_next(&shard->pins.slab, &cursor, NULL)) != NULL;) {
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
