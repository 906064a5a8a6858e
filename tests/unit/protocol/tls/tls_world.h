/* SPDX-License-Identifier: MIT */
/* A server and a client for it in memory, as most tests of TLS begin. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_TLS_TLS_WORLD_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_TLS_TLS_WORLD_H

#include "tests/unit/protocol/tls/tls_pair.h"

#include <criterion/criterion.h>

/* Test() of this suite begins with it: one context for each side. */
struct world {
    struct tls_context *client, *server;
};

static inline struct world world_of(const struct tls_settings *settings, const char *identity)
{
    pair_start(0);
    return (struct world){pair_client_context(identity, settings->allow_tls12), pair_server_context(settings)};
}

static inline void world_end(struct world *world)
{
    tls_context_release(world->client);
    tls_context_release(world->server);
    cr_assert_eq(pair_memory_bytes(), 0u, "%llu bytes are still held", (unsigned long long)tls_memory_bytes());
}

struct open_pair {
    struct world world;
    struct pair pair;
};

static inline void open_pair(struct open_pair *open, bool tls12)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    settings.allow_tls12 = tls12;
    open->world = world_of(&settings, NULL);
    pair_open(&open->pair, open->world.client, open->world.server, TLS_CLIENT_NONE, "localhost");
    pair_assert_works(&open->pair);
    cr_assert_str_eq(tls_version(open->pair.server.tls), tls12 ? "TLSv1.2" : "TLSv1.3");
    buf_reset(&open->pair.server.plain);
}

static inline void close_pair(struct open_pair *open)
{
    pair_destroy(&open->pair);
    world_end(&open->world);
}

#endif
