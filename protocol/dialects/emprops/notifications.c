/* SPDX-License-Identifier: MIT */
/* Owns who is told what of a job: its submitter and subscribers each on the channel of their session, all with a
 * filter together by one channel (E-28, E-37, E-51 to E-63). A session that both reach gets the event once (E-59). It
 * never changes a job. */
#include "protocol/dialects/emprops/filter.h"
#include "protocol/dialects/emprops/hub_parts.h"

#include "protocol/json_merge.h"

#include <errno.h>

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* E-61 */
void put_update(const struct hub *hub, const struct job *job, const struct change *change, struct buf *out)
{
    message_begin(out, "job_update");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_literal(out, "status", status_name(change->status));
    if (change->first)
        message_json(out, "previous_status", slice_text("null"));
    else
        message_literal(out, "previous_status", status_name(change->previous));
    if (change->worker)
        message_text(out, "worker_id", worker_at(hub, job->worker)->id);
    message_json(out, "progress", change->number);
    message_json(out, "message", change->message);
    message_json(out, "current_step", change->step);
    message_json(out, "estimated_completion", change->estimated);
    message_json(out, "connector_details", change->connector);
    message_json(out, "error", change->error);
    message_json(out, "error_details", change->details);
    message_end(out, slice_of(NULL, 0), hub->wall_ms);
}

void put_result(struct buf *out, const char *name, struct slice json, bool whole)
{
    message_member(out, name);
    if (whole) {
        buf_put(out, json);
        return;
    }
    message_scalars(out, json, EMPROPS_MESSAGE_BYTES_MAX / 2); /* the message has other members */
    buf_put_text(out, ",\"");
    buf_put_text(out, name);
    buf_put_text(out, "_truncated\":true");
}

/* E-62 */
void put_completed(const struct hub *hub, const struct job *job, struct slice result, struct slice processing,
                   bool whole, struct buf *out)
{
    message_begin(out, "job_completed");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_literal(out, "status", "completed");
    message_text(out, "worker_id", worker_at(hub, job->worker)->id);
    message_u64(out, "priority", job->priority);
    message_json(out, "processing_time", processing);
    put_result(out, "result", result, whole);
}

/* --- delivery ----------------------------------------------------------------------------------------------------- */

/* One event on its way to all who follow the job. */
struct delivery {
    struct event looked_at; /* by filters */
    uint8_t key[2 * (EMPROPS_NAME_BYTES_MAX + 1) + FILTER_BYTES_MAX + 16];
    uint64_t except;
    uint32_t conflate;
    const char *type;
    struct message message, reduced; /* the second to those who take no chunks, when the first is too long for them */
};

static void prepare(const struct hub *hub, const struct job *job, enum job_status status, struct slice except,
                    struct delivery *delivery)
{
    struct buf key = buf_of(delivery->key, sizeof delivery->key);
    filter_put_key(&key, group_at(hub, job->group)->kind->name, text_slice(job->customer), except);
    check(!key.overflow);
    delivery->looked_at =
        (struct event){.level = (uint32_t)filter_state(status) << 8 | job->priority, .key = buf_slice(&key)};
}

/* Whether the session gets the event by the channel of notifications. */
static bool by_filter(const struct hub *hub, const struct session *session, const struct delivery *delivery)
{
    const struct subscriptions *set = session_subscriptions(hub, session);
    return set->filter != NULL && set->filter_joined && filter_matches(text_slice(set->filter), &delivery->looked_at);
}

static void deliver_to(struct hub *hub, const struct session *session, struct delivery *delivery)
{
    if (session->connection == delivery->except || by_filter(hub, session, delivery))
        return;
    bool long_one = session->chunked || delivery->message.bytes <= EMPROPS_MESSAGE_BYTES_MAX;
    long_publish(hub, session, delivery->conflate, delivery->type, long_one ? delivery->message : delivery->reduced);
}

/* The submitter's sessions, and those that have subscribed to this job. */
static void deliver_direct(struct hub *hub, const struct job *job, struct delivery *delivery)
{
    if (job->client != NONE) {
        for (uint32_t at = client_at(hub, job->client)->sessions; at != NONE;) {
            const struct session *session = slab_at(&hub->sessions, at);
            deliver_to(hub, session, delivery);
            at = session->client_older;
        }
    } else {
        const struct session *session = session_at(hub, job->session);
        if (session != NULL)
            deliver_to(hub, session, delivery);
    }
    for (uint32_t at = job->subscriptions; at != NONE;) {
        const struct subscription *one = slab_at(&hub->subscriptions, at);
        const struct subscriptions *set = slab_at(&hub->subscription_sets, one->owner);
        const struct session *session = set->session == NONE ? NULL : slab_at(&hub->sessions, set->session);
        if (session != NULL && !session_owns(hub, session, job))
            deliver_to(hub, session, delivery);
        at = one->job_older;
    }
}

/* Who caused the event listens by a class that it is not for (E-63): the others of the class get it one by one. */
static struct slice pass_over(struct hub *hub, struct delivery *delivery)
{
    const struct session *session = map_get(&hub->session_map, slice_of(&delivery->except, sizeof delivery->except));
    if (session == NULL || !by_filter(hub, session, delivery))
        return slice_of(NULL, 0);
    struct slice variant = text_slice(session_subscriptions(hub, session)->filter);
    for (struct list_node *node = list_first(&hub->filtered); node != NULL; node = list_next(&hub->filtered, node)) {
        struct subscriptions *set = list_entry(node, struct subscriptions, filtered);
        const struct session *other = slab_at(&hub->sessions, set->session);
        if (other == session || !set->filter_joined || !slice_equal(text_slice(set->filter), variant))
            continue;
        set->filter_joined = false;
        deliver_to(hub, other, delivery);
        set->filter_joined = true;
    }
    return variant;
}

static void deliver(struct hub *hub, const struct job *job, enum job_status status, struct delivery *delivery,
                    bool direct)
{
    struct slice except = slice_of(NULL, 0);
    prepare(hub, job, status, except, delivery);
    if (direct)
        deliver_direct(hub, job, delivery);
    if (list_empty(&hub->filtered))
        return;
    if (delivery->except != 0) {
        except = pass_over(hub, delivery);
        prepare(hub, job, status, except, delivery);
    }
    bool whole = delivery->message.bytes <= EMPROPS_MESSAGE_BYTES_MAX;
    effects_publish(hub, slice_text(HUB_CHANNEL_NOTIFICATIONS), delivery->looked_at.key, delivery->looked_at.level,
                    whole ? delivery->message : delivery->reduced);
}

/* Not 0, and rarely another job's: what waits is only replaced by the newest of the same (E-37). */
static uint32_t conflate_of(const struct job *job)
{
    return (uint32_t)job->sequence | 1U << 31;
}

void notify_update(struct hub *hub, const struct job *job, const struct change *change)
{
    struct delivery delivery = {
        .except = change->except, .conflate = change->progress ? conflate_of(job) : 0, .type = "job_update"};
    size_t bytes = change->message.bytes + change->step.bytes + change->estimated.bytes + change->connector.bytes +
                   change->error.bytes + change->details.bytes;
    put_update(hub, job, change, effects_open(hub, bytes));
    delivery.message = effects_message(hub);
    deliver(hub, job, change->status, &delivery, !change->first);
}

static struct message completed(struct hub *hub, const struct job *job, struct slice result, struct slice processing,
                                bool whole)
{
    struct buf *out = effects_open(hub, result.bytes);
    put_completed(hub, job, result, processing, whole, out);
    message_end(out, slice_of(NULL, 0), hub->wall_ms);
    return effects_message(hub);
}

void notify_completed(struct hub *hub, const struct job *job, struct slice result, struct slice processing)
{
    struct delivery delivery = {.type = "job_completed"};
    delivery.message = completed(hub, job, result, processing, true);
    if (delivery.message.bytes > EMPROPS_MESSAGE_BYTES_MAX)
        delivery.reduced = completed(hub, job, result, processing, false);
    deliver(hub, job, COMPLETED, &delivery, true);
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

/* E-51 */
void notify_subscribe_job(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    struct job *job = submit_find(hub, session, fields);
    if (job == NULL)
        return;
    bool ended = status_ended((enum job_status)job->status);
    int error = ended || session_owns(hub, session, job) ? 0 : subscription_add(hub, session, job);
    if (error == -ENOSPC) {
        hub_count(hub, COUNT_refused_subscriptions);
        hub_invalid(hub, "job_id", "Too many subscriptions", fields);
        return;
    }
    if (error != 0)
        hub->effects.lost = true;
    struct buf *out = effects_open(hub, 0);
    message_begin(out, "subscription_confirmed");
    message_literal(out, "subscription_type", "job");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    if (ended) {
        submit_fetch(hub, job, WAIT_COMPLETED, fields);
        return;
    }
    struct change change = {.status = job_seen(job), .first = true, .worker = job_seen(job) != QUEUED};
    if (job->details != NULL) {
        change.number = text_slice(job->details->progress);
        change.message = text_slice(job->details->message);
        change.estimated = text_slice(job->details->estimated);
    }
    put_update(hub, job, &change, effects_open(hub, change.message.bytes + change.estimated.bytes));
    effects_send(hub);
    hub_ack(hub, fields, "subscribe_job");
}

static void confirm(struct hub *hub, uint64_t number, const struct hub_fields *fields)
{
    uint8_t memory[32];
    struct buf id = buf_of(memory, sizeof memory);
    struct buf *out = effects_open(hub, fields->at[FIELD_FILTER_JSON].bytes);
    if (!hub_has(fields, FIELD_FILTER)) {
        message_begin(out, "subscription_confirmed");
        message_literal(out, "subscription_type", "job_notifications");
        message_json(out, "enabled", slice_text("false"));
    } else {
        put_connection_id(&id, "sub-", number);
        message_begin(out, "job_notifications_subscribed");
        message_text(out, "subscription_id", buf_slice(&id));
        message_json(out, "filters_applied", fields->at[FIELD_FILTER_JSON]);
    }
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    hub_ack(hub, fields, "subscribe_job_notifications");
}

/* Has the session listen with this filter (a shared variant). Where it may be told of a job in another way as well, it
 * listens by a variant of its own, and the hub learns from the channel when that has begun. */
static void join(struct hub *hub, const struct session *session, struct subscriptions *set, struct slice variant)
{
    uint8_t memory[FILTER_BYTES_MAX + 16];
    struct buf own = buf_of(memory, sizeof memory);
    bool submits = session->client != NONE && client_at(hub, session->client)->submits;
    bool alone = set->count > 0 || session->submitted || submits;
    if (alone)
        filter_put_own(&own, variant, session->connection);
    else
        buf_put(&own, variant);
    check(!own.overflow);
    struct text *filter = text_make(buf_slice(&own));
    if (filter == NULL) {
        hub->effects.lost = true;
        return;
    }
    text_drop(&set->filter);
    set->filter = filter;
    set->filter_joined = !alone;
    if (!list_linked(&set->filtered))
        list_push_back(&hub->filtered, &set->filtered);
    effects_item(hub, HUB_JOIN, slice_text(HUB_CHANNEL_NOTIFICATIONS), buf_slice(&own));
}

void notify_subscribe(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    struct subscriptions *set = session_subscriptions(hub, session);
    text_drop(&set->filter_json);
    if (hub_has(fields, FIELD_FILTER)) {
        set->filter_json = text_make(fields->at[FIELD_FILTER_JSON]);
        join(hub, session, set, fields->at[FIELD_FILTER]);
    } else {
        if (list_linked(&set->filtered)) {
            list_remove(&set->filtered);
            effects_item(hub, HUB_LEAVE, slice_text(HUB_CHANNEL_NOTIFICATIONS), slice_of(NULL, 0));
        }
        text_drop(&set->filter);
        set->filter_joined = false;
    }
    confirm(hub, ++hub->last_subscription, fields);
}

void notify_rejoin(struct hub *hub, struct session *session)
{
    struct subscriptions *set = session_subscriptions(hub, session);
    uint8_t memory[FILTER_BYTES_MAX + 16];
    struct buf shared = buf_of(memory, sizeof memory);
    struct slice old = text_slice(set->filter);
    bool own = filter_owner(old) != 0;
    buf_put(&shared, slice_of(old.data, old.bytes - (own ? 9 : 1)));
    buf_put_byte(&shared, 0);
    join(hub, session, set, buf_slice(&shared));
}

void notify_interest(struct hub *hub, struct slice variant, bool added)
{
    uint64_t connection = filter_owner(variant);
    const struct session *session = map_get(&hub->session_map, slice_of(&connection, sizeof connection));
    if (connection == 0 || session == NULL)
        return;
    struct subscriptions *set = session_subscriptions(hub, session);
    if (set->filter != NULL && slice_equal(text_slice(set->filter), variant))
        set->filter_joined = added;
}

/* --- other news --------------------------------------------------------------------------------------------------- */

/* E-66, E-67: with the time of the hub. */
void notify_pass_on(struct hub *hub, const struct hub_fields *fields)
{
    uint8_t memory[64];
    struct buf stamp = buf_of(memory, sizeof memory);
    buf_put_text(&stamp, "{\"timestamp\":");
    buf_put_u64(&stamp, hub->wall_ms);
    buf_put_byte(&stamp, '}');
    struct buf *out = effects_open(hub, fields->at[FIELD_TEXT].bytes);
    if (!hub->effects.lost && json_merge(fields->at[FIELD_TEXT], buf_slice(&stamp), 1, out) != 0)
        hub->effects.lost = true;
    effects_publish(hub, slice_text(HUB_CHANNEL_MONITORS), slice_of(NULL, 0), 0, effects_message(hub));
}
