/* SPDX-License-Identifier: MIT */
/* Owns the shards of ringcast-growth: their making, their turns, and what is asked of them. It never counts anything
 * and never reaches past what the shards' own thread may call. Called by growth_main. */
#include "bench/growth_world.h"

#include "bench/meter_shard.h"
#include "core/check.h"
#include "core/log.h"
#include "core/ring_uring.h"
#include "core/work.h"
#include "shards/session/session_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define PLAIN 0           /* index in dialects[] */
#define RING_ENTRIES 1024 /* as the server's */
#define TURNS_MAX 1000000 /* in which something must have come to its end */
#define CONNECT_BATCH 512 /* so that the requests find receive buffers */
#define SETTING_BYTES 48

static int load_config(struct growth_world *world, uint32_t conns_max, uint32_t retain)
{
    uint8_t memory[1024];
    struct buf findings = buf_of(memory, sizeof memory);
    char connections[SETTING_BYTES], retained[SETTING_BYTES];
    snprintf(connections, sizeof connections, "connections_max=%u", conns_max * world->count);
    snprintf(retained, sizeof retained, "plain.retain=%u", retain);
    const char *const sets[] = {connections, retained, "frame_memory=64GiB", NULL};
    return config_load(&(struct config_source){.sets = sets}, &world->config, &findings);
}

static int open_shard(struct growth_world *world, uint16_t number, uint32_t conns_max)
{
    char why[256];
    const struct ring_options ring_options = {.entries = RING_ENTRIES,
                                              .sockets_max = conns_max,
                                              .receive_buffers = RECEIVE_BUFFER_COUNT,
                                              .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
                                              .memories_max = PIN_MEMORIES(world->count),
                                              .allow_direct = true};
    struct listener listener = {
        .role = ROLE_SESSION, .dialects = 1U << PLAIN, .mounts = {[PLAIN] = 1}, .socket = RING_SOCKET_NONE};
    int error = ring_create(&world->rings[number], &ring_options, why, sizeof why);
    if (error < 0)
        return error;
    const struct shard_options options = {.number = number,
                                          .count = world->count,
                                          .all = world->shards,
                                          .ring = world->rings[number],
                                          .config = world->config,
                                          .listeners = &listener,
                                          .listener_count = 1};
    world->shards[number] = shard_create(&options);
    return world->shards[number] == NULL ? -ENOMEM : 0;
}

int growth_world_open(struct growth_world *world, uint16_t shards, uint32_t conns_max, uint32_t retain)
{
    *world = (struct growth_world){.count = shards};
    log_redirect(-1); /* a line for each connection that ends */
    int error = load_config(world, conns_max, retain);
    for (uint16_t i = 0; i < shards && error == 0; i++)
        error = open_shard(world, i, conns_max);
    return error;
}

/* One address each, because the server limits the connections of one. */
static int connect_one(struct growth_world *world, struct shard *shard)
{
    uint32_t n = world->connected;
    const struct ring_address peer = {.bytes = {[10] = 0xff,
                                                [11] = 0xff,
                                                [12] = 10,
                                                [13] = (uint8_t)(n >> 16),
                                                [14] = (uint8_t)(n >> 8),
                                                [15] = (uint8_t)n}};
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC); /* closed as soon as the table has it */
    if (descriptor < 0)
        return -errno;
    int32_t socket = ring_slot_take(shard->ring, descriptor, &peer);
    if (socket < 0)
        return socket;
    conn_open(shard, (uint32_t)socket, 0);
    world->connected++;
    return 0;
}

int growth_world_connect(struct growth_world *world, uint16_t shard, uint32_t count)
{
    uint64_t listening = growth_sum(world, STAT_SUBSCRIPTIONS);
    for (uint32_t i = 0; i < count; i++) {
        int error = connect_one(world, world->shards[shard]);
        if (error < 0)
            return error;
        if ((i + 1) % CONNECT_BATCH == 0 || i + 1 == count)
            growth_await(world, STAT_SUBSCRIPTIONS, listening + i + 1);
    }
    return 0;
}

uint16_t growth_world_home(const struct growth_world *world, struct slice channel)
{
    return channel_home(world->shards[0], PLAIN, channel);
}

struct conn *growth_conn(struct growth_world *world, uint16_t shard, uint32_t slot)
{
    return slab_at(&world->shards[shard]->conns->slab, slot);
}

void growth_subscribe(struct shard *shard, struct conn *conn, const struct slice *channels, uint32_t count)
{
    struct dialect_call call = session_call_begin(shard, conn);
    for (uint32_t i = 0; i < count; i++)
        action_subscribe(call.out, channels[i], slice_text(""), 0);
    session_run_call(shard, conn, NULL);
}

void growth_unsubscribe(struct shard *shard, struct conn *conn, struct slice channel)
{
    struct dialect_call call = session_call_begin(shard, conn);
    action_unsubscribe(call.out, channel);
    session_run_call(shard, conn, NULL);
}

void growth_publish(struct shard *home, struct slice channel, struct slice payload)
{
    struct errand *errand = errand_make(&home->errands->pool, ERRAND_PUBLISH, channel.bytes + payload.bytes);
    check(errand != NULL);
    errand->dialect = PLAIN;
    errand->publish.event.opcode = WS_BINARY;
    errand->publish.event.channel = errand_put(errand, channel);
    errand->publish.event.payload = errand_put(errand, payload);
    errand_ask(home, errand, home->number);
}

uint64_t growth_sum(const struct growth_world *world, enum stat_id stat)
{
    uint64_t sum = 0;
    for (uint16_t i = 0; i < world->count; i++)
        sum += stats_get(&world->shards[i]->stats, stat);
    return sum;
}

void growth_await(struct growth_world *world, enum stat_id stat, uint64_t wanted)
{
    for (unsigned turn = 0; growth_sum(world, stat) != wanted; turn++) {
        check_op(turn, <, TURNS_MAX);
        for (uint16_t i = 0; i < world->count; i++)
            shard_tick(world->shards[i], false);
    }
}
