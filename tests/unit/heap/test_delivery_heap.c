/* SPDX-License-Identifier: MIT */
/* Counts the calls of the heap while a warm shard delivers a million messages over the real ring: there are none, from
 * the publish to the completed send. The program is linked with --wrap for each function of the heap, so that every
 * call of our own code comes through here; what the C library does within itself is not counted. */
#include "core/log.h"
#include "core/ring.h"
#include "core/work.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "shards/turn/shard_parts.h"
#include "shards/turn/shard_tick.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUBSCRIBERS 200
#define PAYLOAD_BYTES 64
#define MESSAGES_PER_TURN 10
#define WARM_TURNS 200
#define TURNS 500 /* SUBSCRIBERS * MESSAGES_PER_TURN * TURNS is a million */
#define PLAIN 0   /* index in dialects[] */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *memory);

static uint64_t heap_calls;

void *__wrap_malloc(size_t bytes)
{
    heap_calls++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    heap_calls++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    heap_calls++;
    return __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    heap_calls++;
    return __real_aligned_alloc(alignment, bytes);
}

void __wrap_free(void *memory)
{
    heap_calls += memory != NULL; /* NULL is no memory: the C library returns at once */
    __real_free(memory);
}

struct server {
    struct config *config;
    struct ring *ring;
    struct shard *shard;
    uint16_t port;
};

static void begin(struct server *server)
{
    const struct ring_options ring_options = {.entries = 1024,
                                              .sockets_max = SUBSCRIBERS + 8,
                                              .receive_buffers = 64,
                                              .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
                                              .allow_direct = true};
    struct ring_listen_options listen_options = {.backlog = SUBSCRIBERS};
    struct ring_address bound;
    uint8_t memory[1024];
    char why[256];
    struct buf findings = buf_of(memory, sizeof memory);
    log_redirect(-1);
    cr_assert_eq(config_load(&(struct config_source){0}, &server->config, &findings), 0);
    cr_assert_eq(ring_create(&server->ring, &ring_options, why, sizeof why), 0, "%s", why);
    listen_options.address = (struct ring_address){.bytes = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}};
    int socket = ring_listen(server->ring, &listen_options, &bound);
    cr_assert_geq(socket, 0);
    server->port = bound.port;
    struct listener listener = {.role = ROLE_SESSION, .dialects = 1U << PLAIN, .socket = (uint32_t)socket};
    struct shard_options options = {.count = 1,
                                    .all = &server->shard,
                                    .ring = server->ring,
                                    .config = server->config,
                                    .listeners = &listener,
                                    .listener_count = 1};
    server->shard = shard_create(&options);
    cr_assert_not_null(server->shard);
}

static void end(struct server *server)
{
    atomic_store(&server->shard->stage, STAGE_STOP);
    while (shard_tick(server->shard, false))
        ;
    shard_destroy(server->shard);
    ring_destroy(server->ring);
    config_free(server->config);
}

static int subscribe(const struct server *server)
{
    static const char request[] = "GET /plain/c HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(server->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(send(fd, request, sizeof request - 1, 0), (ssize_t)(sizeof request - 1));
    return fd;
}

static void publish(struct shard *shard)
{
    static const uint8_t payload[PAYLOAD_BYTES];
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_PUBLISH, 1 + sizeof payload);
    errand->dialect = PLAIN;
    errand->publish.event.opcode = WS_BINARY;
    errand->publish.event.channel = errand_put(errand, slice_text("c"));
    errand->publish.event.payload = errand_put(errand, slice_of(payload, sizeof payload));
    errand_ask(shard, errand, 0);
}

static uint64_t read_all(const int fds[SUBSCRIBERS])
{
    static uint8_t sink[1 << 16];
    uint64_t bytes = 0;
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        for (ssize_t n; (n = recv(fds[i], sink, sizeof sink, MSG_DONTWAIT)) > 0;)
            bytes += (uint64_t)n;
    return bytes;
}

/* Publishes that many turns' messages, each turn's when all of the one before have been sent: what is in flight at
 * once, and with it what the pools have to hold, does not depend on how soon the kernel takes it. Who never comes to
 * the end meets the program's --timeout. */
static void deliver(struct shard *shard, const int fds[SUBSCRIBERS], unsigned turns)
{
    uint64_t wanted = stats_get(&shard->stats, STAT_DELIVERED);
    for (unsigned turn = 0; turn < turns; turn++) {
        for (unsigned n = 0; n < MESSAGES_PER_TURN; n++)
            publish(shard);
        wanted += MESSAGES_PER_TURN * SUBSCRIBERS;
        do {
            shard_tick(shard, false);
            read_all(fds);
        } while (stats_get(&shard->stats, STAT_DELIVERED) < wanted);
    }
}

Test(delivery, calls_the_heap_not_once_in_a_million)
{
    struct server server = {0};
    int fds[SUBSCRIBERS];
    begin(&server);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        fds[i] = subscribe(&server);
    while (stats_get(&server.shard->stats, STAT_SUBSCRIPTIONS) < SUBSCRIBERS)
        shard_tick(server.shard, false);
    cr_assert_eq(stats_get(&server.shard->stats, STAT_SUBSCRIPTIONS), SUBSCRIBERS);
    deliver(server.shard, fds, WARM_TURNS);
    uint64_t calls = heap_calls, delivered = stats_get(&server.shard->stats, STAT_DELIVERED);
    cr_assert_gt(calls, SUBSCRIBERS, "the calls are counted");
    deliver(server.shard, fds, TURNS);
    cr_assert_eq(stats_get(&server.shard->stats, STAT_DELIVERED) - delivered, 1000000);
    cr_assert_eq(heap_calls - calls, 0);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        close(fds[i]);
    end(&server);
}
