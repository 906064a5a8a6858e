/* SPDX-License-Identifier: MIT */
/* Owns the tables of the dialect crypto (crypto.md): services, their groups, entry paths, and how names, times and ids
 * are written. It never sees a connection or a request.
 * The other parts of the dialect and the schedule service read it. */
#include "core/check.h"
#include "protocol/dialects/crypto/crypto.h"
#include "protocol/dialects/crypto/source_pool.h"
#include "protocol/json.h"
#include "protocol/timestamp.h"

const struct crypto_service_row crypto_services[CRYPTO_SERVICES] = {
    [CRYPTO_MARKET_DATA] = {"market_data", "Prices, volumes and market caps of coins", "/ws/market_data"},
    [CRYPTO_EXPLORERS] = {"explorers", "What block explorers report about their networks", "/ws/data"},
    [CRYPTO_NEWS] = {"news", "Articles of several news sources", "/ws/news"},
    [CRYPTO_SENTIMENT] = {"sentiment", "The mood of the market and of social media", "/ws/sentiment"},
    [CRYPTO_WHALE_TRACKING] = {"whale_tracking", "Very large transactions and wallets", "/ws/whale_tracking"},
    [CRYPTO_RPC_NODES] = {"rpc_nodes", "State of RPC nodes, and what happens on their chains", "/ws/data"},
    [CRYPTO_ONCHAIN] = {"onchain", "Figures taken from the chains, and contract events", "/ws/data"},
    [CRYPTO_HEALTH_CHECKER] = {"health_checker", "Which data providers are healthy", "/ws/health"},
    [CRYPTO_POOL_MANAGER] = {"pool_manager", "Which source each service uses, and failovers", "/ws/pool_status"},
    [CRYPTO_SCHEDULER] = {"scheduler", "Tasks of the schedule and when they run next", "/ws/scheduler_status"},
    [CRYPTO_HUGGINGFACE] = {"huggingface", "Models and data sets for machine learning", "/ws/huggingface"},
    [CRYPTO_PERSISTENCE] = {"persistence", "Stored records, exports and backups", "/ws/persistence"},
    [CRYPTO_SYSTEM] = {"system", "Replies, and each 30 seconds the status of one's own connection", "All endpoints"},
    [CRYPTO_ALL] = {"all", "Everything that the endpoint has", "/ws/all"},
};

const struct crypto_category crypto_categories[CRYPTO_CATEGORIES] = {
    {"data_collection", CRYPTO_MARKET_DATA, CRYPTO_HEALTH_CHECKER},
    {"monitoring", CRYPTO_HEALTH_CHECKER, CRYPTO_HUGGINGFACE},
    {"integration", CRYPTO_HUGGINGFACE, CRYPTO_TOPICS},
    {"system", CRYPTO_SYSTEM, CRYPTO_SERVICES},
};

/* clang-format off */
const struct crypto_endpoint crypto_endpoints[CRYPTO_ENDPOINTS] = {
    {.path = "/ws", .description = "All services, by subscription",
     .first = 0, .end = CRYPTO_TOPICS},
    {.path = "/ws/master", .description = "All services, by subscription, with a catalogue to begin with",
     .first = 0, .end = CRYPTO_TOPICS, .welcomes = true},
    {.path = "/ws/all", .description = "All services from the beginning",
     .first = 0, .end = CRYPTO_TOPICS, .subscribes = true, .status = true},
    {.path = "/ws/data", .description = "The data collection services, by subscription",
     .first = CRYPTO_MARKET_DATA, .end = CRYPTO_HEALTH_CHECKER},
    {.path = "/ws/market_data", .description = "Market data only",
     .first = CRYPTO_MARKET_DATA, .end = CRYPTO_MARKET_DATA + 1, .subscribes = true},
    {.path = "/ws/whale_tracking", .description = "Whale tracking only",
     .first = CRYPTO_WHALE_TRACKING, .end = CRYPTO_WHALE_TRACKING + 1, .subscribes = true},
    {.path = "/ws/news", .description = "News only",
     .first = CRYPTO_NEWS, .end = CRYPTO_NEWS + 1, .subscribes = true},
    {.path = "/ws/sentiment", .description = "Sentiment only",
     .first = CRYPTO_SENTIMENT, .end = CRYPTO_SENTIMENT + 1, .subscribes = true},
    {.path = "/ws/monitoring", .description = "The monitoring services, by subscription",
     .first = CRYPTO_HEALTH_CHECKER, .end = CRYPTO_HUGGINGFACE},
    {.path = "/ws/health", .description = "Health of providers only",
     .first = CRYPTO_HEALTH_CHECKER, .end = CRYPTO_HEALTH_CHECKER + 1, .subscribes = true},
    {.path = "/ws/pool_status", .description = "Source pools only",
     .first = CRYPTO_POOL_MANAGER, .end = CRYPTO_POOL_MANAGER + 1, .subscribes = true},
    {.path = "/ws/scheduler_status", .description = "The schedule only",
     .first = CRYPTO_SCHEDULER, .end = CRYPTO_SCHEDULER + 1, .subscribes = true},
    {.path = "/ws/integration", .description = "The integration services, by subscription",
     .first = CRYPTO_HUGGINGFACE, .end = CRYPTO_TOPICS},
    {.path = "/ws/huggingface", .alias = "/ws/ai", .description = "Machine learning services only",
     .first = CRYPTO_HUGGINGFACE, .end = CRYPTO_HUGGINGFACE + 1, .subscribes = true},
    {.path = "/ws/persistence", .description = "Persistence only",
     .first = CRYPTO_PERSISTENCE, .end = CRYPTO_PERSISTENCE + 1, .subscribes = true},
};
/* clang-format on */

enum crypto_service crypto_service_find(struct slice name)
{
    enum crypto_service service = 0;
    while (service < CRYPTO_SERVICES && !slice_is(name, crypto_services[service].name))
        service++;
    return service;
}

struct slice crypto_path(struct slice path)
{
    bool slash = path.bytes > 1 && path.data[path.bytes - 1] == '/';
    return slice_of(path.data, path.bytes - slash);
}

const struct crypto_endpoint *crypto_endpoint_find(struct slice path)
{
    for (size_t i = 0; i < CRYPTO_ENDPOINTS; i++) {
        const struct crypto_endpoint *endpoint = &crypto_endpoints[i];
        if (slice_is(path, endpoint->path) || (endpoint->alias != NULL && slice_is(path, endpoint->alias)))
            return endpoint;
    }
    return NULL;
}

bool crypto_sources_entry(const char *entry, enum crypto_service *topic, struct slice *names)
{
    const char *equals = strchr(entry, '=');
    if (equals == NULL)
        return false;
    *topic = crypto_service_find(slice_of(entry, (size_t)(equals - entry)));
    *names = slice_text(equals + 1);
    return *topic < CRYPTO_TOPICS && source_names_valid(*names);
}

void crypto_put_time(struct buf *out, const char *name, uint64_t wall_ms)
{
    buf_put_byte(out, '"');
    buf_put_text(out, name);
    buf_put_text(out, "\":\"");
    timestamp_put_iso_ms(out, (int64_t)wall_ms);
    buf_put_byte(out, '"');
}

void crypto_put_client_id(struct buf *out, uint64_t number, uint64_t connected_ms)
{
    buf_put_text(out, "\"client_");
    buf_put_u64(out, number);
    buf_put_byte(out, '_');
    buf_put_u64(out, connected_ms / 1000);
    buf_put_byte(out, '"');
}

void crypto_put_names(struct buf *out, const uint8_t *services, uint32_t count)
{
    buf_put_byte(out, '[');
    for (uint32_t i = 0; i < count; i++) {
        check_op(services[i], <, CRYPTO_SERVICES);
        if (i > 0)
            buf_put_byte(out, ',');
        json_put_string(out, slice_text(crypto_services[services[i]].name));
    }
    buf_put_byte(out, ']');
}

void crypto_put_counts(struct buf *out, const uint64_t counts[CENSUS_COUNTS])
{
    bool first = true;
    buf_put_byte(out, '{');
    for (enum crypto_service service = 0; service < CRYPTO_ALL; service++) {
        if (counts[service] == 0)
            continue;
        if (!first)
            buf_put_byte(out, ',');
        first = false;
        json_put_string(out, slice_text(crypto_services[service].name));
        buf_put_byte(out, ':');
        buf_put_u64(out, counts[service]);
    }
    buf_put_byte(out, '}');
}
