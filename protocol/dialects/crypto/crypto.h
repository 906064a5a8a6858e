/* SPDX-License-Identifier: MIT */
/* What the parts of the dialect crypto share: its settings, the tables of services and entry paths, and its REST and
 * ingest halves. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_CRYPTO_CRYPTO_H
#define RINGCAST_PROTOCOL_DIALECTS_CRYPTO_CRYPTO_H

#include "protocol/action.h"
#include "protocol/dialect.h"

/* The services in the order in which they are always listed (C-20, Q-14). */
enum crypto_service {
    CRYPTO_MARKET_DATA,
    CRYPTO_EXPLORERS,
    CRYPTO_NEWS,
    CRYPTO_SENTIMENT,
    CRYPTO_WHALE_TRACKING,
    CRYPTO_RPC_NODES,
    CRYPTO_ONCHAIN,
    CRYPTO_HEALTH_CHECKER,
    CRYPTO_POOL_MANAGER,
    CRYPTO_SCHEDULER,
    CRYPTO_HUGGINGFACE,
    CRYPTO_PERSISTENCE,
    CRYPTO_TOPICS,                 /* those before are channels and ingest topics of that name */
    CRYPTO_SYSTEM = CRYPTO_TOPICS, /* each connection's own status (C-37) */
    CRYPTO_ALL,                    /* stands for all of an entry path */
    CRYPTO_SERVICES,
};

#define CRYPTO_SUBSCRIPTIONS_MAX CRYPTO_ALL
#define CRYPTO_STATUS_INTERVAL_MS 30000 /* C-37 */

struct crypto_service_row {
    const char *name;
    const char *description;
    const char *endpoint; /* where it is the main thing */
};
extern const struct crypto_service_row crypto_services[CRYPTO_SERVICES];

/* Groups of services: [first, end). */
struct crypto_category {
    const char *name;
    enum crypto_service first, end;
};
#define CRYPTO_CATEGORIES 4
extern const struct crypto_category crypto_categories[CRYPTO_CATEGORIES];

/* An entry path (C-3 to C-17). Everywhere the topics [first, end), `system` and `all` can be subscribed to. */
struct crypto_endpoint {
    const char *path;
    const char *alias; /* NULL: none */
    const char *description;
    enum crypto_service first, end;
    bool subscribes; /* to its topics on connect */
    bool welcomes;   /* with the catalogue (C-32) */
    bool status;     /* `subscribes` covers `system` too (C-5) */
};
#define CRYPTO_ENDPOINTS 15
extern const struct crypto_endpoint crypto_endpoints[CRYPTO_ENDPOINTS];

struct crypto_settings {
    struct dialect_settings common;
    uint64_t interval_ms[CRYPTO_TOPICS];
    bool resend_unchanged;
    uint64_t memory_bytes;
    struct option_texts sources; /* "SERVICE=NAME NAME": the order in which sources are preferred */
};

/* The parts of an entry of `sources`. False when it is none: an unknown service, no name, or a name of the wrong
 * size. */
bool crypto_sources_entry(const char *entry, enum crypto_service *topic, struct slice *names);

/* The service of that name, or CRYPTO_SERVICES. */
enum crypto_service crypto_service_find(struct slice name);
/* The path without one '/' at its end. */
struct slice crypto_path(struct slice path);
/* Of a path as crypto_path gives it; NULL: it is none. */
const struct crypto_endpoint *crypto_endpoint_find(struct slice path);

/* "name":"2025-11-11T10:30:00.000Z" */
void crypto_put_time(struct buf *out, const char *name, uint64_t wall_ms);
/* The id of a connection (C-31), with quotes. */
void crypto_put_client_id(struct buf *out, uint64_t number, uint64_t connected_ms);
/* ["name",...] of `count` services, each given as a byte. */
void crypto_put_names(struct buf *out, const uint8_t *services, uint32_t count);
/* {"name":count,...} of the services that anybody has subscribed to. What `describe` counts: the subscriptions to each,
 * and at CRYPTO_ALL the connections. */
void crypto_put_counts(struct buf *out, const uint64_t counts[CENSUS_COUNTS]);

/* What the REST half keeps of a request until its answer is there; owned by the session, freed with free(). */
struct crypto_query;

/* Whether the path (as crypto_path gives it) is the REST half's: /docs, and all under /ws that is no entry path. */
bool crypto_rest_owns(struct slice path);
/* A request on such a path. Of /ws/stats: *query is set, and the census gets the tag. */
void crypto_rest(struct dialect_call *call, const struct http1_request *request, struct slice path, uint32_t tag,
                 struct crypto_query **query);
/* Its census has come; each session is told by crypto_put_census. */
void crypto_rest_replied(struct dialect_call *call, const struct crypto_query *query,
                         const struct dialect_reply *reply);
/* One connection, as a JSON string. */
void crypto_put_census(struct buf *out, uint64_t number, uint64_t connected_ms, uint64_t active_ms,
                       const uint8_t *services, uint32_t count);

int crypto_ingest(struct ingest_call *call, struct slice topic, struct slice body);
int crypto_read(struct ingest_call *call, struct slice topic);

#endif
