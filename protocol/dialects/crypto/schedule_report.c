/* SPDX-License-Identifier: MIT */
/* Owns the objects that the server makes of its own schedule: health of sources, pools, jobs.
 * It changes nothing and keeps nothing: each object is made when it is sent.
 * The schedule service calls it. */
#include "protocol/dialects/crypto/schedule_report.h"

#include "core/check.h"
#include "protocol/json.h"

/* "healthy" when all are, "degraded" when some, "unhealthy" when none (C-46). */
static const char *health_of(uint32_t healthy, uint32_t total)
{
    return healthy == 0 ? "unhealthy" : healthy < total ? "degraded" : "healthy";
}

static void put_member(struct buf *out, const char *name)
{
    buf_put_byte(out, '"');
    buf_put_text(out, name);
    buf_put_text(out, "\":");
}

static void put_count(struct buf *out, const char *name, uint64_t count)
{
    put_member(out, name);
    buf_put_u64(out, count);
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    put_member(out, name);
    json_put_string(out, slice_text(text));
}

/* --- sources by name ---------------------------------------------------------------------------------------------- */

/* One source may serve several topics; each name is told once, where it first stands in the order of the topics. */
struct named_source {
    struct slice name;
    const struct source *latest; /* where it last gave data */
    bool healthy;                /* for one topic at least */
    bool active;                 /* likewise */
};

struct named_sources {
    struct named_source items[CRYPTO_TOPICS * SOURCES_MAX];
    uint32_t count;
};

static struct named_source *named(struct named_sources *all, const struct source *source)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (slice_equal(all->items[i].name, source_name(source)))
            return &all->items[i];
    all->items[all->count] = (struct named_source){.name = source_name(source), .latest = source};
    return &all->items[all->count++];
}

static void gather(struct named_sources *all, const struct schedule_topic *topics, uint64_t now_ms)
{
    all->count = 0;
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++) {
        const struct source_pool *pool = &topics[t].sources;
        for (uint32_t i = 0; i < pool->count; i++) {
            const struct source *source = &pool->items[i];
            struct named_source *item = named(all, source);
            item->healthy |= source_healthy(source, now_ms, schedule_fresh_ms(&topics[t]));
            item->active |= i == pool->active;
            if (source->seen && (!item->latest->seen || source->last_ms > item->latest->last_ms))
                item->latest = source;
        }
    }
}

/* --- health ------------------------------------------------------------------------------------------------------- */

static void put_provider(struct buf *out, const struct named_source *item)
{
    json_put_string(out, item->name);
    buf_put_text(out, ":{");
    put_text(out, "status", item->healthy ? "healthy" : "unhealthy");
    if (item->latest->seen) {
        buf_put_byte(out, ',');
        put_count(out, "response_time_ms", item->latest->delay_ms);
        buf_put_byte(out, ',');
        crypto_put_time(out, "last_check", item->latest->wall_ms);
    }
    buf_put_byte(out, '}');
}

void schedule_report_health(struct buf *out, const struct schedule_topic *topics, uint64_t now_ms, uint64_t wall_ms)
{
    struct named_sources all;
    uint32_t healthy = 0;
    gather(&all, topics, now_ms);
    for (uint32_t i = 0; i < all.count; i++)
        healthy += all.items[i].healthy;
    buf_put_byte(out, '{');
    put_text(out, "overall_health", health_of(healthy, all.count));
    buf_put_byte(out, ',');
    put_count(out, "healthy_count", healthy);
    buf_put_byte(out, ',');
    put_count(out, "unhealthy_count", all.count - healthy);
    buf_put_byte(out, ',');
    put_count(out, "total_providers", all.count);
    buf_put_text(out, ",\"providers\":{");
    for (uint32_t i = 0; i < all.count; i++) {
        if (i > 0)
            buf_put_byte(out, ',');
        put_provider(out, &all.items[i]);
    }
    buf_put_text(out, "},");
    crypto_put_time(out, "timestamp", wall_ms);
    buf_put_byte(out, '}');
}

/* --- pools -------------------------------------------------------------------------------------------------------- */

static void put_pool(struct buf *out, const char *name, const struct schedule_topic *topic, uint64_t now_ms)
{
    const struct source_pool *pool = &topic->sources;
    uint32_t healthy = 0;
    put_member(out, name);
    buf_put_text(out, "{\"active_source\":");
    json_put_string(out, source_name(source_pool_active(pool)));
    buf_put_text(out, ",\"available_sources\":[");
    for (uint32_t i = 0; i < pool->count; i++) {
        if (i > 0)
            buf_put_byte(out, ',');
        json_put_string(out, source_name(&pool->items[i]));
        healthy += source_healthy(&pool->items[i], now_ms, schedule_fresh_ms(topic));
    }
    buf_put_text(out, "],");
    put_text(out, "health", health_of(healthy, pool->count));
    buf_put_byte(out, '}');
}

static void put_source_names(struct buf *out, const char *name, const struct named_sources *all, bool active)
{
    put_member(out, name);
    buf_put_byte(out, '[');
    size_t first = out->used;
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->items[i].active != active)
            continue;
        if (out->used > first)
            buf_put_byte(out, ',');
        json_put_string(out, all->items[i].name);
    }
    buf_put_byte(out, ']');
}

void schedule_report_pools(struct buf *out, const struct schedule_topic *topics, uint64_t now_ms, uint64_t wall_ms)
{
    struct named_sources all;
    uint64_t failovers = 0;
    gather(&all, topics, now_ms);
    buf_put_text(out, "{\"pools\":{");
    size_t first = out->used;
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++) {
        failovers += topics[t].sources.failovers;
        if (topics[t].sources.count == 0)
            continue;
        if (out->used > first)
            buf_put_byte(out, ',');
        put_pool(out, crypto_services[t].name, &topics[t], now_ms);
    }
    buf_put_text(out, "},");
    put_source_names(out, "active_sources", &all, true);
    buf_put_byte(out, ',');
    put_source_names(out, "inactive_sources", &all, false);
    buf_put_byte(out, ',');
    put_count(out, "failover_count", failovers);
    buf_put_byte(out, ',');
    crypto_put_time(out, "timestamp", wall_ms);
    buf_put_byte(out, '}');
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

struct job_counts {
    uint64_t total, active;
};

/* Whether there is something to be sent at the topic's next tick. */
static bool has_work(const struct schedule_topic *topics, uint32_t topic)
{
    return topics[topic].object != NULL || topic == CRYPTO_HEALTH_CHECKER || topic == CRYPTO_POOL_MANAGER ||
           topic == CRYPTO_SCHEDULER;
}

static void put_own_job(struct buf *out, const struct schedule_topic *topics, uint32_t topic, uint64_t next_wall_ms)
{
    buf_put_text(out, "{\"id\":\"");
    buf_put_text(out, crypto_services[topic].name);
    buf_put_text(out, "_collection\",");
    crypto_put_time(out, "next_run", next_wall_ms);
    buf_put_byte(out, ',');
    put_text(out, "status", has_work(topics, topic) ? "running" : "waiting");
    buf_put_byte(out, '}');
}

/* The elements of `jobs` of an ingested object, as text without the brackets; they are counted. */
static struct slice ingested_jobs(struct slice object, struct job_counts *counts)
{
    struct json_member jobs = {.name = "jobs"}, status = {.name = "status"};
    struct json_reader reader;
    struct json_value job;
    struct slice text, all;
    if (object.bytes == 0)
        return object;
    check(json_find_members(object, JSON_DEPTH_MAX, false, &jobs, 1) == JSON_MEMBERS_OK);
    if (jobs.token != JSON_ARRAY_BEGIN)
        return slice_of(object.data, 0);
    json_init(&reader, jobs.text, JSON_DEPTH_MAX);
    (void)json_next(&reader, &job);
    all = slice_of(jobs.text.data + 1, 0);
    while (json_next(&reader, &job) != JSON_ARRAY_END) {
        check(json_skip(&reader, &job, &text));
        check(json_find_members(text, JSON_DEPTH_MAX, false, &status, 1) == JSON_MEMBERS_OK);
        counts->total++;
        counts->active +=
            status.token == JSON_STRING && json_raw_equal(status.raw, status.escaped, slice_text("running"));
        all.bytes = (size_t)(text.data + text.bytes - all.data);
    }
    return all;
}

void schedule_report_jobs(struct buf *out, const struct schedule_topic *topics, uint64_t now_ms, uint64_t wall_ms)
{
    struct job_counts counts = {.total = CRYPTO_TOPICS};
    struct slice others = ingested_jobs(schedule_object(&topics[CRYPTO_SCHEDULER]), &counts);
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++)
        counts.active += has_work(topics, t);
    buf_put_text(out, "{\"running\":true,");
    put_count(out, "total_jobs", counts.total);
    buf_put_byte(out, ',');
    put_count(out, "active_jobs", counts.active);
    buf_put_text(out, ",\"jobs\":[");
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++) {
        uint64_t next_ms = topics[t].interval.next_ms;
        if (t > 0)
            buf_put_byte(out, ',');
        put_own_job(out, topics, t, wall_ms + (next_ms > now_ms ? next_ms - now_ms : 0));
    }
    if (others.bytes > 0)
        buf_put_byte(out, ',');
    buf_put(out, others);
    buf_put_text(out, "],");
    crypto_put_time(out, "timestamp", wall_ms);
    buf_put_byte(out, '}');
}
