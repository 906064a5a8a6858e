/* SPDX-License-Identifier: MIT */
/* Owns the counts that are shown, the messages of those who subscribed to them, each at its own interval, and
 * the alerts (E-55 to E-58, E-64, E-65). It changes nothing else. The nouns tell it what has happened; hub.c asks it
 * for alerts behind each call. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "protocol/dialects/emprops/requirements.h"
#include "protocol/json.h"

#define LISTED_MAX 500      /* workers, and kinds (E-58) */
#define CLEAR_PERCENT 80    /* of the threshold (E-65) */
#define CRITICAL_TIMES 10   /* the threshold */
#define AVERAGE_WEIGHT 0.05 /* of the newest waiting time */
#define STATUS_CONFLATE 1   /* jobs have numbers with the highest bit */

/* --- counting ----------------------------------------------------------------------------------------------------- */

/* The hour slides on to this second. */
static void slide(struct hub *hub, uint64_t second)
{
    uint64_t steps = second > hub->hour_second ? second - hub->hour_second : 0;
    if (steps > HOUR_SECONDS)
        steps = HOUR_SECONDS;
    for (uint64_t i = 0; i < steps; i++) {
        uint32_t *oldest = &hub->hour[(second - i) % HOUR_SECONDS];
        hub->hour_count -= *oldest;
        *oldest = 0;
    }
    if (second > hub->hour_second)
        hub->hour_second = second;
}

void statistics_ended(struct hub *hub, enum job_status status, uint64_t wall_ms)
{
    uint64_t second = wall_ms / 1000;
    slide(hub, hub->wall_ms / 1000);
    if (status != COMPLETED || second + HOUR_SECONDS <= hub->hour_second || second > hub->hour_second)
        return;
    hub->hour[second % HOUR_SECONDS]++;
    hub->hour_count++;
}

void statistics_waited(struct hub *hub, uint64_t ms)
{
    double seconds = (double)ms / 1000;
    if (!hub->waited_once)
        hub->wait_average_seconds = seconds;
    hub->waited_once = true;
    hub->wait_average_seconds += AVERAGE_WEIGHT * (seconds - hub->wait_average_seconds);
}

static uint64_t pending(const struct hub *hub)
{
    return (uint64_t)hub->counts[QUEUED] + hub->counts[DELAYED];
}

/* --- alerts ------------------------------------------------------------------------------------------------------- */

/* Members of an alert behind the first: `{` or a type stands before. */
static void put_alert(struct buf *out, const char *severity, const char *category, const char *text)
{
    message_literal(out, "severity", severity);
    message_literal(out, "category", category);
    message_literal(out, "message", text);
}

static void put_deep(const struct hub *hub, struct buf *out)
{
    put_alert(out, hub->very_deep ? "critical" : "warning", "resource_constraint",
              "Queue depth exceeding normal capacity");
    buf_put_text(out, ",\"details\":{\"current_queue_depth\":");
    buf_put_u64(out, pending(hub));
    message_u64(out, "normal_threshold", hub->settings->queue_threshold);
    message_u64(out, "available_workers", hub->available_workers);
    buf_put_text(out, "},\"actions_recommended\":[\"Consider scaling up workers\",\"Review job priorities\"]");
}

static void put_lacking(const struct hub *hub, struct buf *out)
{
    uint32_t at = 0;
    uint64_t waiting = 0;
    const struct group *group;
    while ((group = slab_next(&hub->groups, &at, NULL)) != NULL)
        waiting += group->lacking && group->root != NONE ? job_at(hub, group->root)->nodes[TREE_GROUP].size : 0;
    put_alert(out, "warning", "no_matching_worker", "Jobs are waiting that no connected worker can do");
    buf_put_text(out, ",\"details\":{\"waiting_jobs\":");
    buf_put_u64(out, waiting);
    message_u64(out, "different_requirements", hub->lacking_groups);
    buf_put_text(out, "},\"actions_recommended\":[\"Connect workers with the required capabilities\","
                      "\"Review job requirements\"]");
}

static void tell(struct hub *hub, void (*put)(const struct hub *hub, struct buf *out))
{
    struct buf *out = effects_open(hub, 0);
    message_begin(out, "system_alert");
    put(hub, out);
    message_end(out, slice_of(NULL, 0), hub->wall_ms);
    effects_publish(hub, slice_text(HUB_CHANNEL_ALERTS), slice_of(NULL, 0), 0, effects_message(hub));
}

/* Whether it is to be told now: it has just begun, or lasts. */
static bool is_news(const struct hub *hub, bool began, uint64_t told_ms)
{
    return began || hub->now_ms - told_ms >= hub->settings->alert_interval_ms;
}

void statistics_alerts(struct hub *hub)
{
    uint64_t depth = pending(hub), threshold = hub->settings->queue_threshold;
    bool deep = depth > threshold || (hub->deep && depth * 100 >= threshold * CLEAR_PERCENT && depth > 0);
    bool very_deep = depth > CRITICAL_TIMES * threshold, lacking = hub->lacking_groups > 0;
    bool news = deep && is_news(hub, !hub->deep || (very_deep && !hub->very_deep), hub->deep_told_ms);
    hub->deep = deep;
    hub->very_deep = very_deep;
    if (news) {
        hub->deep_told_ms = hub->now_ms;
        tell(hub, put_deep);
    }
    news = lacking && is_news(hub, !hub->lacking, hub->lacking_told_ms);
    hub->lacking = lacking;
    if (news) {
        hub->lacking_told_ms = hub->now_ms;
        tell(hub, put_lacking);
    }
}

uint64_t statistics_due(const struct hub *hub)
{
    uint64_t due = UINT64_MAX;
    if (hub->deep)
        due = hub->deep_told_ms + hub->settings->alert_interval_ms;
    if (hub->lacking && hub->lacking_told_ms + hub->settings->alert_interval_ms < due)
        due = hub->lacking_told_ms + hub->settings->alert_interval_ms;
    return due;
}

/* --- the message -------------------------------------------------------------------------------------------------- */

/* With at most three digits behind the point. */
static void put_seconds(struct buf *out, double seconds)
{
    put_double(out, (double)(uint64_t)(seconds * 1000 + 0.5) / 1000);
}

static void put_first(struct buf *out, const char *name, uint64_t value)
{
    buf_put_text(out, "{\"");
    buf_put_text(out, name);
    buf_put_text(out, "\":");
    buf_put_u64(out, value);
}

static void put_jobs(const struct hub *hub, struct buf *out)
{
    size_t cursor = 0;
    uint32_t listed = 0;
    const struct kind *kind;
    put_first(out, "queued", hub->counts[QUEUED]);
    message_u64(out, "retry_waiting", hub->counts[DELAYED]);
    message_u64(out, "assigned", hub->counts[ASSIGNED]);
    message_u64(out, "in_progress", hub->counts[IN_PROGRESS]);
    message_u64(out, "completed", hub->counts[COMPLETED]);
    message_u64(out, "failed", hub->counts[FAILED]);
    message_u64(out, "cancelled", hub->counts[CANCELLED]);
    message_u64(out, "completed_last_hour", hub->hour_count);
    message_member(out, "average_wait_seconds");
    put_seconds(out, hub->wait_average_seconds);
    buf_put_text(out, ",\"by_type\":{");
    while (listed < LISTED_MAX && (kind = map_next(&hub->kind_map, &cursor)) != NULL) {
        if (kind->live == 0)
            continue;
        buf_put_text(out, listed++ > 0 ? "," : "");
        json_put_string(out, kind->name);
        buf_put_byte(out, ':');
        buf_put_u64(out, kind->live);
    }
    buf_put_text(out, "}}");
}

static void put_worker(const struct hub *hub, const struct worker *worker, struct buf *out)
{
    uint32_t listed = 0;
    buf_put_text(out, "{\"worker_id\":");
    json_put_string(out, worker->id);
    message_literal(out, "status", worker_status_text((enum worker_status)worker->status));
    message_json(out, "load", text_slice(worker->load));
    buf_put_text(out, ",\"current_jobs\":[");
    for (uint32_t at = worker->jobs; at != NONE && listed < EMPROPS_CLAIM_MAX; at = job_at(hub, at)->list_older) {
        buf_put_text(out, listed++ > 0 ? "," : "");
        job_put_id(job_at(hub, at), out);
    }
    buf_put_byte(out, ']');
    if (worker->heartbeat_wall_ms != 0)
        message_u64(out, "last_heartbeat", worker->heartbeat_wall_ms);
    message_json(out, "connector_status", text_slice(worker->connectors));
    buf_put_byte(out, '}');
}

/* Room for what put_workers writes. */
static size_t workers_bytes(const struct hub *hub)
{
    size_t bytes = 0;
    uint32_t listed = 0;
    for (const struct list_node *node = list_first(&hub->living_workers); node != NULL && listed < LISTED_MAX;
         node = list_next(&hub->living_workers, node), listed++) {
        const struct worker *worker = list_entry(node, struct worker, living);
        bytes += 1024 + text_slice(worker->load).bytes + text_slice(worker->connectors).bytes +
                 (JOB_ID_LETTERS + 16) * (size_t)EMPROPS_CLAIM_MAX;
    }
    return bytes;
}

static void put_workers(const struct hub *hub, struct buf *out)
{
    uint32_t listed = 0, total = 0;
    for (int i = 0; i < WORKER_STATUSES; i++)
        total += hub->worker_counts[i];
    put_first(out, "total", total);
    message_u64(out, "idle", hub->worker_counts[WORKER_IDLE]);
    message_u64(out, "busy", hub->worker_counts[WORKER_BUSY]);
    buf_put_text(out, ",\"list\":[");
    for (const struct list_node *node = list_first(&hub->living_workers); node != NULL && listed < LISTED_MAX;
         node = list_next(&hub->living_workers, node)) {
        buf_put_text(out, listed++ > 0 ? "," : "");
        put_worker(hub, list_entry(node, struct worker, living), out);
    }
    buf_put_text(out, "]}");
}

static size_t slab_bytes(const struct slab *slab)
{
    return slab->count_made * (slab->object_bytes + sizeof(struct slab_slot));
}

static void put_system(const struct hub *hub, struct buf *out)
{
    size_t bytes = slab_bytes(&hub->jobs) + slab_bytes(&hub->groups) + slab_bytes(&hub->classes) +
                   slab_bytes(&hub->workers) + slab_bytes(&hub->sessions) + slab_bytes(&hub->clients) +
                   slab_bytes(&hub->subscriptions) + slab_bytes(&hub->subscription_sets) + hub->cache_bytes +
                   hub->bucket_count * sizeof *hub->buckets + hub->effects.capacity + hub->chunk_bytes;
    put_first(out, "uptime_seconds", (hub->now_ms - hub->began_ms) / 1000);
    message_u64(out, "connections", hub->sessions.count_live);
    message_u64(out, "clients", hub->client_sessions);
    message_u64(out, "monitors", hub->monitors);
    message_u64(out, "messages_in", hub->requests);
    message_u64(out, "messages_out", hub->messages_out);
    message_u64(out, "memory_bytes", bytes);
    buf_put_byte(out, '}');
}

/* An active alert, without `type`. */
static void put_active(const struct hub *hub, struct buf *out, bool comma,
                       void (*put)(const struct hub *hub, struct buf *out))
{
    size_t at = out->used + (comma ? 1 : 0);
    buf_put_text(out, comma ? "," : "");
    put(hub, out);
    if (!out->overflow)
        out->data[at] = '{'; /* instead of the comma before its first member */
    buf_put_byte(out, '}');
}

/* E-64, E-58 */
static void put_status(struct hub *hub, uint32_t sections, struct slice id)
{
    size_t room = 4096 + (sections & HUB_SECTION_WORKERS ? workers_bytes(hub) : 0) +
                  (sections & HUB_SECTION_JOBS ? LISTED_MAX * (EMPROPS_TYPE_BYTES_MAX * 6 + 24) : 0);
    struct buf *out = effects_open(hub, room);
    slide(hub, hub->wall_ms / 1000);
    message_begin(out, "system_status");
    message_u64(out, "active_workers", hub->worker_counts[WORKER_IDLE] + hub->worker_counts[WORKER_BUSY]);
    message_u64(out, "pending_jobs", pending(hub));
    message_u64(out, "active_jobs", hub->counts[ASSIGNED] + hub->counts[IN_PROGRESS]);
    message_u64(out, "completed_jobs_last_hour", hub->hour_count);
    message_literal(out, "system_health",
                    hub->deep && hub->very_deep ? "critical"
                    : hub->deep || hub->lacking ? "degraded"
                                                : "healthy");
    buf_put_text(out, ",\"alerts\":[");
    if (hub->deep)
        put_active(hub, out, false, put_deep);
    if (hub->lacking)
        put_active(hub, out, hub->deep, put_lacking);
    buf_put_byte(out, ']');
    static const struct {
        enum hub_section section;
        const char *name;
        void (*put)(const struct hub *hub, struct buf *out);
    } parts[] = {{HUB_SECTION_JOBS, "jobs", put_jobs},
                 {HUB_SECTION_WORKERS, "workers", put_workers},
                 {HUB_SECTION_SYSTEM, "system", put_system}};
    for (size_t i = 0; i < 3; i++) {
        if (!(sections & parts[i].section))
            continue;
        message_member(out, parts[i].name);
        parts[i].put(hub, out);
    }
    message_end(out, id, hub->wall_ms);
}

/* --- subscribers -------------------------------------------------------------------------------------------------- */

/* On the grid that began with the subscription; times that were missed are not made up for. */
void statistics_send(struct hub *hub, struct subscriptions *set)
{
    uint64_t period_ms = (uint64_t)set->interval_s * 1000;
    const struct session *session = slab_at(&hub->sessions, set->session);
    if (hub->status_calls[set->sections] != hub->calls) { /* the same for all whose time has come at this moment */
        put_status(hub, set->sections, slice_of(NULL, 0));
        hub->status_messages[set->sections] = effects_message(hub);
        hub->status_calls[set->sections] = hub->calls;
    }
    effects_publish_to(hub, session->connection, STATUS_CONFLATE, hub->status_messages[set->sections]);
    set->next_ms += ((hub->now_ms - set->next_ms) / period_ms + 1) * period_ms;
    wheel_set(&hub->set_wheel, &set->timer, set->next_ms);
}

void statistics_resume(struct hub *hub, struct subscriptions *set)
{
    set->next_ms = hub->now_ms + (uint64_t)set->interval_s * 1000;
    wheel_set(&hub->set_wheel, &set->timer, set->next_ms);
}

/* E-56 */
void statistics_subscribe(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    struct subscriptions *set = session_subscriptions(hub, session);
    struct buf *out = effects_open(hub, 0);
    set->interval_s = (uint32_t)hub_number(fields, FIELD_INTERVAL, 5);
    set->sections = (uint32_t)hub_number(fields, FIELD_SECTIONS, HUB_SECTIONS);
    message_begin(out, "subscription_confirmed");
    message_literal(out, "subscription_type", "stats");
    message_u64(out, "update_interval", set->interval_s);
    if (set->interval_s != 0)
        message_u64(out, "next_broadcast", hub->wall_ms + (uint64_t)set->interval_s * 1000);
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    hub_ack(hub, fields, "subscribe_stats");
    if (set->interval_s != 0)
        statistics_resume(hub, set);
    else
        wheel_cancel(&hub->set_wheel, &set->timer);
    session_hear_alerts(hub, session);
}

/* E-57 */
void statistics_now(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    (void)session;
    put_status(hub, (uint32_t)hub_number(fields, FIELD_SECTIONS, HUB_SECTIONS), fields->at[FIELD_ID]);
    effects_send(hub);
    hub_ack(hub, fields, "request_stats");
}
