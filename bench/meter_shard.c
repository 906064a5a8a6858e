/* SPDX-License-Identifier: MIT */
/* Owns the shards that a meter drives: their configuration, rings and making. It never reads a clock and changes
 * nothing in a shard but by the calls that its own thread would make. Called by transmit_server, callgrind_main,
 * micro_delivery and crossing_pair. */
#include "bench/meter_shard.h"

#include "core/log.h"
#include "core/ring_uring.h"
#include "core/work.h"

#include <errno.h>
#include <stdlib.h>

#define PLAIN 0 /* index in dialects[] */
#define CHANNEL "c"
#define RING_ENTRIES 1024 /* as the server's */
#define TURNS_MAX 1000000 /* in which something must have come to its end */

const char meter_request[] = "GET /plain/" CHANNEL " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static int open_shard(struct meter_shard *meters, uint16_t number, uint16_t count)
{
    struct meter_shard *meter = &meters[number];
    struct listener listener = {
        .role = ROLE_SESSION, .dialects = 1U << PLAIN, .mounts = {[PLAIN] = 1}, .socket = RING_SOCKET_NONE};
    const struct shard_options options = {.number = number,
                                          .count = count,
                                          .all = meters->all,
                                          .ring = meter->ring,
                                          .config = meters->config,
                                          .listeners = &listener,
                                          .listener_count = 1};
    meter->shard = meters->all[number] = shard_create(&options);
    if (meter->shard == NULL)
        return -ENOMEM;
    meter->home = channel_home(meter->shard, PLAIN, slice_text(CHANNEL));
    return 0;
}

int meter_shards_open(struct meter_shard *meters, uint16_t count, uint32_t conns, const char *const *sets)
{
    uint8_t memory[1024];
    char why[256];
    struct buf findings = buf_of(memory, sizeof memory);
    const struct ring_options ring_options = {.entries = RING_ENTRIES,
                                              .sockets_max = conns,
                                              .receive_buffers = RECEIVE_BUFFER_COUNT,
                                              .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
                                              .memories_max = PIN_MEMORIES(count),
                                              .allow_direct = true};
    memset(meters, 0, count * sizeof *meters);
    log_redirect(-1); /* a line for each connection that ends */
    int error = config_load(&(struct config_source){.sets = sets}, &meters->config, &findings);
    meters->all = calloc(count, sizeof(struct shard *));
    if (error == 0 && meters->all == NULL)
        error = -ENOMEM;
    for (uint16_t i = 0; i < count && error == 0; i++)
        error = ring_create(&meters[i].ring, &ring_options, why, sizeof why);
    for (uint16_t i = 0; i < count && error == 0; i++)
        error = open_shard(meters, i, count);
    return error;
}

int meter_shard_open(struct meter_shard *meter, uint32_t conns, const char *const *sets)
{
    return meter_shards_open(meter, 1, conns, sets);
}

/* In turn, because the end of one's connections is mail to the others. */
static void stop_all(struct meter_shard *meters, uint16_t count)
{
    bool ended[SHARDS_MAX] = {false};
    for (uint16_t i = 0; i < count; i++) {
        ended[i] = meters[i].shard == NULL;
        if (!ended[i])
            atomic_store(&meters[i].shard->stage, STAGE_STOP);
    }
    for (uint16_t left = count; left > 0;) {
        left = 0;
        for (uint16_t i = 0; i < count; i++) {
            ended[i] = ended[i] || !shard_tick(meters[i].shard, false);
            left = (uint16_t)(left + !ended[i]);
        }
    }
}

void meter_shards_close(struct meter_shard *meters, uint16_t count)
{
    stop_all(meters, count);
    for (uint16_t i = 0; i < count; i++)
        if (meters[i].shard != NULL)
            shard_destroy(meters[i].shard);
    for (uint16_t i = 0; i < count; i++)
        if (meters[i].ring != NULL)
            ring_destroy(meters[i].ring);
    if (meters->config != NULL)
        config_free(meters->config);
    free(meters->all);
}

void meter_shard_close(struct meter_shard *meter)
{
    meter_shards_close(meter, 1);
}

int meter_shard_adopt(struct meter_shard *meter, int descriptor, uint32_t n)
{
    /* One address each, because the server limits the connections of one. */
    const struct ring_address peer = {.bytes = {[10] = 0xff,
                                                [11] = 0xff,
                                                [12] = 10,
                                                [13] = (uint8_t)(n >> 16),
                                                [14] = (uint8_t)(n >> 8),
                                                [15] = (uint8_t)n}};
    int32_t socket = ring_slot_take(meter->ring, descriptor, &peer);
    if (socket < 0)
        return socket;
    conn_open(meter->shard, (uint32_t)socket, 0);
    return 0;
}

int meter_shard_await(struct meter_shard *meter, enum stat_id stat, uint64_t wanted)
{
    for (unsigned turn = 0; stats_get(&meter->shard->stats, stat) != wanted; turn++) {
        if (turn == TURNS_MAX)
            return -ETIME;
        shard_tick(meter->shard, false);
    }
    return 0;
}

int meter_shard_publish(struct meter_shard *meter, struct slice payload)
{
    struct slice name = slice_text(CHANNEL);
    struct errand *errand = errand_make(&meter->shard->errands->pool, ERRAND_PUBLISH, name.bytes + payload.bytes);
    if (errand == NULL)
        return -ENOMEM;
    errand->dialect = PLAIN;
    errand->publish.event.opcode = WS_BINARY;
    errand->publish.event.channel = errand_put(errand, name);
    errand->publish.event.payload = errand_put(errand, payload);
    errand_ask(meter->shard, errand, meter->home);
    return 0;
}
