/* SPDX-License-Identifier: MIT */
/* Owns the paths of ringcast-transmit that lead through the server: a whole shard over the real ring, whose subscribers are
 * forged peers, from the publish of a message to the completion of the last send. It never reads a clock and changes
 * nothing in the shard but by the calls its own thread would make. Called by transmit_main. */
#include "bench/transmit.h"
#include "core/log.h"
#include "core/ring_uring.h"
#include "shards/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define PLAIN 0 /* index in dialects[] */
#define RING_ENTRIES 1024
#define RING_BUFFERS 64
#define TURNS_MAX 1000000 /* in which something must have come to its end */

struct server {
    struct peers *peers;
    struct transmit_load load;
    struct config *config;
    struct ring *ring;
    struct shard *shard;
    uint8_t *payload;
    uint64_t round_bytes; /* to all peers */
};

static const struct ring_options ring_options = {.entries = RING_ENTRIES,
                                                 .receive_buffers = RING_BUFFERS,
                                                 .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
                                                 .allow_direct = true};

static uint64_t count_of(const struct server *server, enum stat_id stat)
{
    return stats_get(&server->shard->stats, stat);
}

/* Turns until a counter has come to `wanted`. 0 or -ETIME. */
static int turn_until(const struct server *server, enum stat_id stat, uint64_t wanted)
{
    for (unsigned turn = 0; count_of(server, stat) != wanted; turn++) {
        if (turn == TURNS_MAX)
            return -ETIME;
        shard_tick(server->shard, false);
    }
    return 0;
}

/* The peers' sockets become connections of the shard as if it had accepted them. The peers keep descriptors of their own, by
 * which they see what has been sent. */
static int adopt(const struct server *server)
{
    for (uint32_t i = 0; i < server->load.conns; i++) {
        const struct ring_address peer = {.bytes = {[10] = 0xff,
                                                    [11] = 0xff,
                                                    [12] = 10,
                                                    [13] = (uint8_t)(i >> 16),
                                                    [14] = (uint8_t)(i >> 8),
                                                    [15] = (uint8_t)i}};
        int descriptor = fcntl(peers_socket(server->peers, i), F_DUPFD_CLOEXEC, 0);
        int32_t socket = descriptor < 0 ? -errno : ring_slot_take(server->ring, descriptor, &peer);
        if (socket < 0)
            return socket;
        conn_open(server->shard, (uint32_t)socket, 0);
    }
    return 0;
}

/* Every peer asks for the channel, and acknowledges the answer. */
static int subscribe(const struct server *server)
{
    static const char request[] = "GET /plain/c HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    shard_tick(server->shard, false); /* the receives are armed, and the ring has its owner */
    int error = peers_say(server->peers, slice_of(request, sizeof request - 1));
    if (error == 0)
        error = turn_until(server, STAT_SUBSCRIPTIONS, server->load.conns);
    shard_tick(server->shard, false);
    int64_t answered = error < 0 ? error : peers_acknowledge(server->peers);
    return answered < 0 ? (int)answered : 0;
}

static int start(struct server *server)
{
    uint8_t memory[1024];
    char why[256];
    struct buf findings = buf_of(memory, sizeof memory);
    log_redirect(-1); /* a line for each connection that ends */
    int error = config_load(&(struct config_source){0}, &server->config, &findings);
    if (error < 0)
        return error;
    struct ring_options options = ring_options;
    options.sockets_max = server->load.conns + 8;
    error = ring_create(&server->ring, &options, why, sizeof why);
    if (error < 0)
        return error;
    struct listener listener = {
        .kind = LISTENER_DIALECTS, .dialects = 1U << PLAIN, .mounts = {[PLAIN] = 1}, .socket = RING_SOCKET_NONE};
    const struct shard_options shard_options = {.count = 1,
                                                .all = &server->shard,
                                                .ring = server->ring,
                                                .config = server->config,
                                                .listeners = &listener,
                                                .listener_count = 1};
    server->shard = shard_create(&shard_options);
    return server->shard == NULL ? -ENOMEM : 0;
}

static void server_close(void *state)
{
    struct server *server = state;
    if (server->shard != NULL) {
        atomic_store(&server->shard->stage, STAGE_STOP);
        while (shard_tick(server->shard, false))
            ;
        shard_destroy(server->shard);
    }
    if (server->ring != NULL)
        ring_destroy(server->ring);
    if (server->config != NULL)
        config_free(server->config);
    if (server->peers != NULL)
        peers_close(server->peers);
    free(server->payload);
    free(server);
}

static int server_open(void **out, const struct transmit_path *path, const struct transmit_load *load)
{
    (void)path;
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return -ENOMEM;
    uint8_t header[WS_HEADER_BYTES_MAX];
    server->load = *load;
    server->round_bytes =
        (uint64_t)(ws_header_write(header, WS_BINARY, load->size) + load->size) * load->window * load->conns;
    server->payload = calloc(1, load->size + 1U);
    int error = server->payload == NULL ? -ENOMEM : peers_open(&server->peers, load->first_peer, load->conns);
    if (error == 0)
        error = start(server);
    if (error == 0)
        error = adopt(server);
    if (error == 0)
        error = subscribe(server);
    if (error < 0) {
        server_close(server);
        return error;
    }
    *out = server;
    return 0;
}

static int publish(const struct server *server)
{
    struct slice name = slice_text("c"), payload = slice_of(server->payload, server->load.size);
    struct parcel *parcel = parcel_make(&server->shard->parcels, PARCEL_PUBLISH, name.bytes + payload.bytes);
    if (parcel == NULL)
        return -ENOMEM;
    parcel->dialect = PLAIN;
    parcel->event.opcode = WS_BINARY;
    parcel->event.channel = parcel_put(parcel, name);
    parcel->event.payload = parcel_put(parcel, payload);
    shard_ask(server->shard, parcel, 0);
    return 0;
}

static int server_round(void *state)
{
    const struct server *server = state;
    uint64_t wanted = count_of(server, STAT_DELIVERED) + (uint64_t)server->load.window * server->load.conns;
    int error = 0;
    for (uint32_t i = 0; i < server->load.window && error == 0; i++)
        error = publish(server);
    return error < 0 ? error : turn_until(server, STAT_DELIVERED, wanted);
}

static int server_answer(void *state)
{
    const struct server *server = state;
    int64_t result = peers_acknowledge(server->peers);
    if (result < 0)
        return (int)result;
    return (uint64_t)result == server->round_bytes ? 0 : -ENOBUFS; /* the window was too small */
}

/* What has come back is waiting in the kernel: one turn fetches it, the next one takes it. */
static int server_collect(void *state)
{
    const struct server *server = state;
    shard_tick(server->shard, false);
    shard_tick(server->shard, false);
    return 0;
}

static struct transmit_usage server_usage(const void *state)
{
    (void)state;
    return (struct transmit_usage){0};
}

const struct transmit_path transmit_server = {.name = "shard",
                                              .doc = "the server's whole path, from the publish to the completed sends",
                                              .open = server_open,
                                              .round = server_round,
                                              .answer = server_answer,
                                              .collect = server_collect,
                                              .usage = server_usage,
                                              .close = server_close};
