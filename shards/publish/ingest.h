/* SPDX-License-Identifier: MIT */
/* The publisher API over HTTP (requirements, section 8): who may publish what, objects from bodies, and the answers.
 * The publisher WebSocket (publisher.h) uses the same check and the same way to a home. */
#ifndef RINGCAST_SHARDS_INGEST_H
#define RINGCAST_SHARDS_INGEST_H

#include "core/buf.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/siphash.h"

struct conn;
struct dialect;
struct errand;
struct http1_request;
struct shard;

#define INGEST_TEXT_BYTES (INGEST_BODY_BYTES_MAX + (64U << 10)) /* untouched pages cost nothing */

/* A shard's. */
struct publishers {
    struct list acking; /* those with acknowledgements due in this turn */
    uint8_t *memory;    /* INGEST_TEXT_BYTES, for what a dialect builds from one object */
    struct buf text;    /* in it */
};

/* An object on its way from a publisher to its home. */
struct ingest_object {
    uint8_t dialect;
    struct slice topic;
    struct slice body;
    bool binary;         /* application/octet-stream or data_base64 */
    bool json;           /* body is one JSON value that has been checked */
    struct slice source; /* X-Source, or data NULL */
    bool merge;
};

/* Why it was refused. */
struct ingest_refusal {
    const char *field; /* "" when no field is to blame */
    const char *message;
};

/* An answered errand of a connection's own (any kind but SUBSCRIBE). */
void ingest_on_answer(struct shard *shard, struct errand *errand);

/* The index of the configured dialect of that name that takes ingest, or -1. */
int ingest_dialect(const struct shard *shard, struct slice name);
/* The index of the ingest key of a request (X-Ingest-Key, then Authorization: Bearer; never the query: I-2), or -1. A
 * request without any key has that of its connection's certificate: the entry "certificate:COMMON_NAME". */
int ingest_key(const struct shard *shard, const struct conn *conn, const struct http1_request *request);
/* What stays of a key over a reload, and the index of the key of that name, or -1. */
struct hash128 ingest_key_name(const struct shard *shard, uint32_t key);
int ingest_key_named(const struct shard *shard, struct hash128 name);
/* Whether that key may publish to dialect/topic. */
bool ingest_permitted(const struct shard *shard, uint32_t key, const struct dialect *dialect, struct slice topic);
/* Checks one object with its dialect and asks its home, with `ticket` for the answer. 0, or an HTTP status and
 * *refusal. The caller has seen to it that there is room (errand_has_room). */
int ingest_submit(struct shard *shard, const struct conn *conn, const struct ingest_object *object, uint64_t ticket,
                  struct ingest_refusal *refusal);

/* A message of a publisher that wants to be asked (dialect_ingest.serve): its errand is under way. 0, or an HTTP status and
 * *refusal. */
int ingest_serve(struct shard *shard, const struct conn *conn, uint8_t dialect, struct slice message,
                 struct ingest_refusal *refusal);
/* What it has found (dialect_ingest.results), who listens to `channel`. Nobody waits for the answer. Likewise. */
int ingest_results(struct shard *shard, uint8_t dialect, struct slice message, struct slice channel,
                   struct ingest_refusal *refusal);

/* Asks the home for a topic's stored state (I-15), likewise. */
int ingest_query(struct shard *shard, const struct conn *conn, uint8_t dialect, struct slice topic,
                 struct ingest_refusal *refusal);

#endif
