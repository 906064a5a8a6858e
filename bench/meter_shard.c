/* SPDX-License-Identifier: MIT */
/* Owns the shard that a meter drives: its configuration, ring and making. It never reads a clock and changes nothing in the
 * shard but by the calls that its own thread would make. Called by transmit_server, callgrind_main and micro_delivery. */
#include "bench/meter_shard.h"

#include "core/log.h"
#include "core/ring_uring.h"

#include <errno.h>

#define PLAIN 0 /* index in dialects[] */
#define CHANNEL "c"
#define RING_ENTRIES 1024 /* as the server's */
#define TURNS_MAX 1000000 /* in which something must have come to its end */

const char meter_request[] = "GET /plain/" CHANNEL " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static int open_shard(struct meter_shard *meter)
{
    struct listener listener = {
        .kind = LISTENER_DIALECTS, .dialects = 1U << PLAIN, .mounts = {[PLAIN] = 1}, .socket = RING_SOCKET_NONE};
    const struct shard_options options = {.count = 1,
                                          .all = &meter->shard,
                                          .ring = meter->ring,
                                          .config = meter->config,
                                          .listeners = &listener,
                                          .listener_count = 1};
    meter->shard = shard_create(&options);
    return meter->shard == NULL ? -ENOMEM : 0;
}

int meter_shard_open(struct meter_shard *meter, uint32_t conns, const char *const *sets)
{
    uint8_t memory[1024];
    char why[256];
    struct buf findings = buf_of(memory, sizeof memory);
    const struct ring_options ring_options = {.entries = RING_ENTRIES,
                                              .sockets_max = conns,
                                              .receive_buffers = RECEIVE_BUFFER_COUNT,
                                              .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
                                              .memories_max = PIN_MEMORIES(1),
                                              .allow_direct = true};
    *meter = (struct meter_shard){0};
    log_redirect(-1); /* a line for each connection that ends */
    int error = config_load(&(struct config_source){.sets = sets}, &meter->config, &findings);
    if (error == 0)
        error = ring_create(&meter->ring, &ring_options, why, sizeof why);
    return error < 0 ? error : open_shard(meter);
}

void meter_shard_close(struct meter_shard *meter)
{
    if (meter->shard != NULL) {
        atomic_store(&meter->shard->stage, STAGE_STOP);
        while (shard_tick(meter->shard, false))
            ;
        shard_destroy(meter->shard);
    }
    if (meter->ring != NULL)
        ring_destroy(meter->ring);
    if (meter->config != NULL)
        config_free(meter->config);
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
    struct parcel *parcel = parcel_make(&meter->shard->parcels, PARCEL_PUBLISH, name.bytes + payload.bytes);
    if (parcel == NULL)
        return -ENOMEM;
    parcel->dialect = PLAIN;
    parcel->event.opcode = WS_BINARY;
    parcel->event.channel = parcel_put(parcel, name);
    parcel->event.payload = parcel_put(parcel, payload);
    shard_ask(meter->shard, parcel, 0);
    return 0;
}
