/* SPDX-License-Identifier: MIT */
/* The sources of one thing, of which one is active at a time: the first healthy one in order of preference. Preferred
 * are those that the configuration names, in its order, then the others in the order in which they were first seen. A
 * source is healthy when its last data is at most `fresh_ms` old. While none is, the active one stays. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_CRYPTO_SOURCE_POOL_H
#define RINGCAST_PROTOCOL_DIALECTS_CRYPTO_SOURCE_POOL_H

#include "core/buf.h"

#define SOURCES_MAX 16 /* of one pool */
#define SOURCE_NAME_BYTES_MAX 64

struct source {
    uint8_t name[SOURCE_NAME_BYTES_MAX]; /* UTF-8 */
    uint8_t name_bytes;
    bool configured;
    bool seen;
    uint64_t serial;   /* of this source in this pool, never used twice */
    uint64_t last_ms;  /* of its last data: monotonic, */
    uint64_t wall_ms;  /* and the other clock */
    uint64_t delay_ms; /* how old that data was when it came; 0 when it did not say */
};

struct source_pool {
    struct source items[SOURCES_MAX]; /* in order of preference */
    uint32_t count;
    uint32_t active;    /* index; of a pool that is not empty */
    uint64_t failovers; /* changes of the active source, from one that had given data */
    uint64_t serials;
};

static inline struct slice source_name(const struct source *source)
{
    return slice_of(source->name, source->name_bytes);
}

static inline bool source_healthy(const struct source *source, uint64_t now_ms, uint64_t fresh_ms)
{
    return source->seen && now_ms - source->last_ms <= fresh_ms;
}

/* 1-SOURCE_NAME_BYTES_MAX bytes of UTF-8. */
bool source_name_valid(struct slice name);
/* A configured order: 1-SOURCES_MAX different names with a space between each two. */
bool source_names_valid(struct slice names);

/* Makes `names` (valid, or empty: none) the configured order. What is known of a source stays; those that then are too
 * many are forgotten, the least preferred first. */
void source_pool_configure(struct source_pool *pool, struct slice names);
/* Notes that the source has given data, and chooses anew. The source, to be compared with source_pool_active; NULL when
 * there are SOURCES_MAX others that are configured or healthy. One that is neither makes room. */
const struct source *source_pool_note(struct source_pool *pool, struct slice name, uint64_t now_ms, uint64_t wall_ms,
                                      uint64_t delay_ms, uint64_t fresh_ms);
/* Chooses the active source for this moment. */
void source_pool_choose(struct source_pool *pool, uint64_t now_ms, uint64_t fresh_ms);
/* NULL: the pool is empty. */
const struct source *source_pool_active(const struct source_pool *pool);

#endif
