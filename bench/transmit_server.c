/* SPDX-License-Identifier: MIT */
/* Owns the path of ringcast-transmit that leads through the server: a whole shard over the real ring, whose subscribers
 * are forged peers, from the publish of a message to the completion of the last send. It never reads a clock. Called by
 * transmit_main. */
#include "bench/meter_shard.h"
#include "bench/transmit.h"
#include "core/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum mode { MODE_COPY, MODE_ZERO_COPY };

struct server {
    struct peers *peers;
    struct transmit_load load;
    struct meter_shard meter;
    uint8_t *payload;
    uint64_t round_bytes; /* to all peers */
};

/* The peers keep descriptors of their own, by which they see what has been sent. */
static int adopt(struct server *server)
{
    int error = 0;
    for (uint32_t i = 0; i < server->load.conns && error == 0; i++) {
        int descriptor = fcntl(peers_socket(server->peers, i), F_DUPFD_CLOEXEC, 0);
        error = descriptor < 0 ? -errno : meter_shard_adopt(&server->meter, descriptor, i);
    }
    return error;
}

/* Every peer asks for the channel, and acknowledges the answer. */
static int subscribe(struct server *server)
{
    shard_tick(server->meter.shard, false); /* the receives are armed, and the ring has its owner */
    int error = peers_say(server->peers, slice_text(meter_request));
    if (error == 0)
        error = meter_shard_await(&server->meter, STAT_SUBSCRIPTIONS, server->load.conns);
    shard_tick(server->meter.shard, false);
    int64_t answered = error < 0 ? error : peers_acknowledge(server->peers);
    return answered < 0 ? (int)answered : 0;
}

static void server_close(void *state)
{
    struct server *server = state;
    meter_shard_close(&server->meter);
    if (server->peers != NULL)
        peers_close(server->peers);
    free(server->payload);
    free(server);
}

static int server_open(void **out, const struct transmit_path *path, const struct transmit_load *load)
{
    static const char *const copying[] = {"zero_copy=off", NULL};
    /* Between two answers of the peers more is on its way than any server would allow itself. */
    static const char *const in_place[] = {"zero_copy=auto", "zero_copy_min=1B", "zero_copy_pinned_max=64GiB", NULL};
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
        error = meter_shard_open(&server->meter, load->conns, path->mode == MODE_ZERO_COPY ? in_place : copying);
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

static int server_round(void *state)
{
    struct server *server = state;
    uint64_t delivered = stats_get(&server->meter.shard->stats, STAT_DELIVERED);
    int error = 0;
    for (uint32_t i = 0; i < server->load.window && error == 0; i++)
        error = meter_shard_publish(&server->meter, slice_of(server->payload, server->load.size));
    uint64_t wanted = delivered + (uint64_t)server->load.window * server->load.conns;
    return error < 0 ? error : meter_shard_await(&server->meter, STAT_DELIVERED, wanted);
}

static int server_answer(void *state)
{
    const struct server *server = state;
    int64_t result = peers_acknowledge(server->peers);
    if (result < 0)
        return (int)result;
    return (uint64_t)result == server->round_bytes ? 0 : -ENOBUFS; /* the window was too small */
}

/* Turns until all memory is back, as a shard does that has nothing else to do: the kernel hands over some of it at a
 * time. */
static int server_collect(void *state)
{
    struct server *server = state;
    return meter_shard_await(&server->meter, STAT_PINNED_BYTES, 0);
}

/* The server counts bytes; a send is one message of the window's each. */
static struct transmit_usage server_usage(const void *state)
{
    const struct server *server = state;
    const struct stats *stats = &server->meter.shard->stats;
    uint64_t send_bytes = server->round_bytes / server->load.conns;
    uint64_t copied = stats_get(stats, STAT_BYTES_ZERO_COPIED) / send_bytes;
    return (struct transmit_usage){.notified = stats_get(stats, STAT_BYTES_ZERO_COPY) / send_bytes + copied,
                                   .copied = copied};
}

#define PATH(variable, name_, mode_, doc_)                                                                             \
    const struct transmit_path variable = {.name = name_,                                                              \
                                           .doc = doc_,                                                                \
                                           .open = server_open,                                                        \
                                           .round = server_round,                                                      \
                                           .answer = server_answer,                                                    \
                                           .collect = server_collect,                                                  \
                                           .usage = server_usage,                                                      \
                                           .close = server_close,                                                      \
                                           .mode = mode_}

PATH(transmit_shard, "shard", MODE_COPY, "the server's whole path, from the publish to the completed sends");
PATH(transmit_shard_zero_copy, "shard-zero-copy", MODE_ZERO_COPY, "the same with zero_copy=auto for every size");
