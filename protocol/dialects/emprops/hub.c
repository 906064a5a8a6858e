/* SPDX-License-Identifier: MIT */
/* Owns the hub as a service: takes requests, timers and records, hands them to the nouns, and sees to it that each
 * request is answered once. It knows the rules of none of them. The service host calls it, through the table at the
 * end. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdlib.h>

/* --- answers ------------------------------------------------------------------------------------------------------ */

void hub_answer(struct hub *hub)
{
    check(!hub->answered);
    effects_reply(hub, hub->ticket, 200);
    hub->answered = true;
}

void hub_fault(struct hub *hub, enum message_fault fault, struct slice details, const struct hub_fields *fields)
{
    message_error(effects_open(hub, details.bytes), fault, details, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
}

void hub_fault_job(struct hub *hub, enum message_fault fault, const struct job *job, const struct hub_fields *fields)
{
    uint8_t memory[EMPROPS_NAME_BYTES_MAX * 6 + 64];
    struct buf details = buf_of(memory, sizeof memory);
    buf_put_text(&details, "{\"job_id\":");
    json_put_string(&details, fields->at[FIELD_JOB_ID]);
    if (job != NULL)
        message_literal(&details, "status", status_name((enum job_status)job->status));
    buf_put_byte(&details, '}');
    check(!details.overflow);
    hub_fault(hub, fault, buf_slice(&details), fields);
}

void hub_invalid(struct hub *hub, const char *field, const char *what, const struct hub_fields *fields)
{
    message_invalid(effects_open(hub, 0), field, what, slice_of(NULL, 0), fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
}

void hub_ack(struct hub *hub, const struct hub_fields *fields, const char *type)
{
    if (!hub_has(fields, FIELD_ID))
        return;
    message_ack(effects_open(hub, 0), fields->at[FIELD_ID], slice_text(type), "processed", hub->wall_ms);
    effects_send(hub);
}

/* --- what waits for a record -------------------------------------------------------------------------------------- */

struct waiting *hub_wait(struct hub *hub, enum wait_kind kind, uint32_t jobs, const struct hub_fields *fields)
{
    struct waiting *waiting = calloc(1, sizeof *waiting + jobs * sizeof waiting->jobs[0]);
    struct text *id = text_make(fields->at[FIELD_ID]);
    if (waiting == NULL || (hub_has(fields, FIELD_ID) && id == NULL)) {
        hub->effects.lost = true;
        free(waiting);
        text_drop(&id);
        return NULL;
    }
    waiting->kind = kind;
    waiting->id = id;
    waiting->ticket = hub->ticket;
    waiting->connection = hub_number(fields, FIELD_SESSION, 0);
    waiting->worker = NONE;
    /* what has been said already comes with the rest, in one answer */
    waiting->said = text_make(slice_of(hub->effects.reply, hub->effects.reply_used));
    hub->effects.reply_used = 0;
    hub->answered = true;
    return waiting;
}

void hub_fetch(struct hub *hub, struct waiting *waiting, enum hub_table table, struct slice key)
{
    waiting->number = ++hub->last_wait;
    if (map_put(&hub->waiting, slice_of(&waiting->number, sizeof waiting->number), waiting) != 0) {
        hub->effects.lost = true; /* and with it all that waits: the next life knows nothing of it */
        hub_wait_end(hub, waiting);
        return;
    }
    effects_fetch(hub, table, key, waiting->number);
}

void hub_wait_end(struct hub *hub, struct waiting *waiting)
{
    if (waiting->worker != NONE)
        worker_drop(hub, worker_at(hub, waiting->worker));
    text_drop(&waiting->id);
    text_drop(&waiting->said);
    free(waiting);
}

struct job *job_of_wait(const struct hub *hub, const struct waiting *waiting, uint32_t place)
{
    return place < waiting->count ? slab_get(&hub->jobs, waiting->jobs[place]) : NULL;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void run_timers(struct hub *hub)
{
    struct wheel_timer *timer;
    wheel_advance(&hub->job_wheel, hub->now_ms);
    while ((timer = wheel_pop(&hub->job_wheel)) != NULL)
        job_timer(hub, list_entry(timer, struct job, timer));
    wheel_advance(&hub->worker_wheel, hub->now_ms);
    while ((timer = wheel_pop(&hub->worker_wheel)) != NULL)
        worker_timer(hub, list_entry(timer, struct worker, timer));
    wheel_advance(&hub->group_wheel, hub->now_ms);
    while ((timer = wheel_pop(&hub->group_wheel)) != NULL)
        group_timer(hub, list_entry(timer, struct group, unmatched));
    wheel_advance(&hub->set_wheel, hub->now_ms);
    while ((timer = wheel_pop(&hub->set_wheel)) != NULL)
        subscriptions_timer(hub, list_entry(timer, struct subscriptions, timer));
}

/* Each call that knows the time begins here: with what has become due, and with connections that have ended. */
static void begin(struct hub *hub, uint64_t now_ms, uint64_t wall_ms)
{
    hub->now_ms = now_ms;
    hub->wall_ms = wall_ms;
    hub->calls++;
    sessions_sweep(hub);
    run_timers(hub);
}

static void end(struct hub *hub)
{
    jobs_sweep(hub);
    statistics_alerts(hub);
}

static int hub_load(void *state, uint8_t table, struct slice key, struct slice value, const char **why)
{
    return record_load(state, table, key, value, why);
}

static void hub_loaded(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct hub *hub = state;
    hub->ids = (struct siphash_key){.k0 = wall_ms, .k1 = now_ms ^ UINT64_C(0x656d70726f707321)};
    hub->began_ms = now_ms;
    hub->now_ms = now_ms;
    hub->wall_ms = wall_ms;
    record_settle(hub);
    hub->loaded = true;
    begin(hub, now_ms, wall_ms);
    end(hub);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void reserve(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    uint64_t bytes = hub_number(fields, FIELD_BYTES, 0), others = hub->chunk_bytes - session->reserved_bytes;
    bool room = bytes == 0 || others + bytes <= hub->settings->chunk_memory_bytes;
    if (room) {
        hub->chunk_bytes = others + bytes;
        session->reserved_bytes = bytes;
    }
    if (!room)
        hub_count(hub, COUNT_refused_chunk_memory);
    effects_reply(hub, hub->ticket, room ? 200 : 422);
    hub->answered = true;
}

/* E-82, Q-28 */
static void disconnect(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    uint8_t code[2];
    store_be16(code, WS_CLOSE_NORMAL);
    if (session->worker != NONE)
        worker_die(hub, worker_at(hub, session->worker));
    session_disconnect(hub, session, hub_has(fields, FIELD_KEEP));
    hub_ack(hub, fields, "disconnect");
    effects_item(hub, HUB_CLOSE, slice_of(code, 2), slice_of(NULL, 0));
}

static void registered(struct hub *hub, int error, const struct hub_fields *fields)
{
    if (error == -ENOSPC)
        hub_count(hub, COUNT_refused_capabilities);
    if (error == -ENOSPC)
        hub_invalid(hub, "capabilities", "Too many workers with different capabilities", fields);
    else if (error != 0)
        hub->effects.lost = true;
}

/* What a session asks that is a worker's. */
static void worker_request(struct hub *hub, enum hub_request kind, struct session *session,
                           const struct hub_fields *fields)
{
    if (session->worker == NONE) {
        hub_fault(hub, FAULT_NOT_REGISTERED, slice_of(NULL, 0), fields);
        return;
    }
    struct worker *worker = worker_at(hub, session->worker);
    if (hub_has(fields, FIELD_WORKER_ID) && !slice_equal(fields->at[FIELD_WORKER_ID], worker->id)) {
        hub_invalid(hub, "worker_id", "Must be the registered worker", fields);
        return;
    }
    bool heard = worker->hearing != HEARING_NOTHING;
    switch (kind) {
    case HUB_CLAIM:
        claim_jobs(hub, worker, fields);
        return;
    case HUB_ACCEPT:
        claim_accept(hub, worker, fields);
        return;
    case HUB_PROGRESS:
        claim_progress(hub, worker, fields);
        return;
    case HUB_COMPLETE:
        claim_complete(hub, worker, fields);
        break;
    case HUB_FAIL:
        claim_fail(hub, worker, fields);
        break;
    case HUB_HEARTBEAT:
        worker_heartbeat(hub, worker, fields);
        return;
    case HUB_WORKER_STATUS:
        registered(hub, worker_change(hub, worker, fields), fields);
        hub_ack(hub, fields, "worker_status");
        return;
    case HUB_PASS_ON:
        notify_pass_on(hub, fields);
        return;
    case HUB_JOINED:
        hearing_joined(hub, worker);
        return;
    default:
        return; /* HUB_TOUCH */
    }
    hearing_put(hub, worker);
    if (!heard)
        hub->offer_to = worker;
}

static void session_request(struct hub *hub, enum hub_request kind, struct session *session,
                            const struct hub_fields *fields)
{
    switch (kind) {
    case HUB_REGISTER_CLIENT:
        registered(hub, session_register_client(hub, session, fields), fields);
        break;
    case HUB_REGISTER_WORKER:
        registered(hub, worker_register(hub, session, fields), fields);
        break;
    case HUB_SUBMIT:
        submit_job(hub, session, fields);
        break;
    case HUB_STATUS:
        submit_status(hub, session, fields);
        break;
    case HUB_CANCEL:
        submit_cancel(hub, session, fields);
        break;
    case HUB_SUBSCRIBE_JOB:
        notify_subscribe_job(hub, session, fields);
        break;
    case HUB_NOTIFICATIONS:
        notify_subscribe(hub, session, fields);
        break;
    case HUB_STATS:
        statistics_subscribe(hub, session, fields);
        break;
    case HUB_STATS_NOW:
        statistics_now(hub, session, fields);
        break;
    case HUB_DISCONNECT:
        disconnect(hub, session, fields);
        break;
    case HUB_RESERVE:
        reserve(hub, session, fields);
        break;
    default:
        worker_request(hub, kind, session, fields);
    }
}

/* I-15: for operators, as JSON and not as items. */
static void put_counters(struct hub *hub)
{
    static const char *const names[] = {
#define COUNTER(name, what) #name,
#include "protocol/dialects/emprops/counters.def"
#undef COUNTER
    };
    uint8_t memory[2048];
    struct buf out = buf_of(memory, sizeof memory);
    for (size_t i = 0; i < HUB_COUNTERS; i++) {
        buf_put_text(&out, i == 0 ? "{\"" : ",\"");
        buf_put_text(&out, names[i]);
        buf_put_text(&out, "\":");
        buf_put_u64(&out, hub->counters[i]);
    }
    buf_put_byte(&out, '}');
    check(!out.overflow);
    effects_said(hub, buf_slice(&out));
    effects_reply(hub, hub->ticket, 200);
}

static int hub_request(void *state, const struct service_request *request, struct buf *reply)
{
    struct hub *hub = state;
    struct hub_fields fields;
    (void)reply;
    check_op(request->kind, <, HUB_REQUESTS);
    if (!hub->loaded)
        return 503;
    begin(hub, request->now_ms, request->wall_ms);
    hub_take_fields(request->body, &fields);
    hub->ticket = request->ticket;
    hub->answered = false;
    hub->offer_to = NULL;
    hub->requests++;
    if (request->kind == HUB_ALERT) {
        struct buf *out = effects_open(hub, fields.at[FIELD_TEXT].bytes);
        buf_put(out, fields.at[FIELD_TEXT]);
        effects_publish(hub, slice_text(HUB_CHANNEL_ALERTS), slice_of(NULL, 0), 0, effects_message(hub));
        effects_reply(hub, hub->ticket, 202);
    } else if (request->kind == HUB_COUNTERS_NOW) {
        put_counters(hub);
    } else {
        struct session *session = session_of(hub, hub_number(&fields, FIELD_SESSION, 0));
        if (session != NULL && session->worker != NONE)
            worker_at(hub, session->worker)->heard_ms = hub->now_ms; /* E-47: whatever it says */
        if (session == NULL)
            hub->effects.lost = true;
        else
            session_request(hub, (enum hub_request)request->kind, session, &fields);
        if (!hub->answered)
            hub_answer(hub);
        if (hub->offer_to != NULL)
            hearing_offer_waiting(hub, hub->offer_to);
    }
    check(hub->effects.lost || hub->effects.reply_used == 0);
    end(hub);
    return SERVICE_LATER;
}

static void hub_fetched(void *state, uint64_t ticket, int status, struct slice value, uint64_t now_ms, uint64_t wall_ms)
{
    struct hub *hub = state;
    begin(hub, now_ms, wall_ms);
    struct waiting *waiting = map_remove(&hub->waiting, slice_of(&ticket, sizeof ticket));
    check(waiting != NULL);
    if (status != 200)
        hub_count(hub, COUNT_failed_fetches);
    if (waiting->kind == WAIT_CLAIM) {
        claim_fetched(hub, waiting, status, value);
    } else {
        effects_said(hub, text_slice(waiting->said));
        submit_fetched(hub, waiting, status, value);
        effects_reply(hub, waiting->ticket, 200);
        hub_wait_end(hub, waiting);
    }
    end(hub);
}

static bool hub_next(void *state, struct buf *scratch, struct effect *effect)
{
    (void)scratch;
    return effects_next(state, effect);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static uint64_t hub_due(const void *state)
{
    const struct hub *hub = state;
    if (!hub->loaded)
        return UINT64_MAX;
    if (!list_empty(&hub->gone))
        return hub->now_ms;
    const struct wheel *wheels[] = {&hub->job_wheel, &hub->worker_wheel, &hub->group_wheel, &hub->set_wheel};
    uint64_t due = statistics_due(hub);
    for (size_t i = 0; i < 4; i++) {
        uint64_t next = wheel_next_ms(wheels[i]);
        due = next < due ? next : due;
    }
    return due;
}

static void hub_timer(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct hub *hub = state;
    begin(hub, now_ms, wall_ms);
    end(hub);
}

static void hub_interest(void *state, struct slice channel, struct slice variant, bool added)
{
    struct hub *hub = state;
    struct slice prefix = slice_text(HUB_SESSION_PREFIX);
    uint64_t connection;
    if (slice_is(channel, HUB_CHANNEL_NOTIFICATIONS))
        notify_interest(hub, variant, added);
    else if (slice_starts(channel, prefix) && json_u64(slice_skip(channel, prefix.bytes), &connection))
        sessions_interest(hub, connection, added);
}

/* --- the service -------------------------------------------------------------------------------------------------- */

static int hub_open(void *state, const void *settings)
{
    struct hub *hub = state;
    hub->settings = settings;
    /* those who choose names do not know where the memory lies; the order of the maps shows in no message but
     * by_type */
    hub->secret = (struct siphash_key){.k0 = (uint64_t)(uintptr_t)state, .k1 = (uint64_t)(uintptr_t)&emprops_hub};
    map_init(&hub->waiting, hub->secret);
    wheel_init(&hub->job_wheel, 0);
    wheel_init(&hub->worker_wheel, 0);
    wheel_init(&hub->group_wheel, 0);
    wheel_init(&hub->set_wheel, 0);
    if (jobs_init(hub) == 0 && queue_init(hub) == 0 && workers_init(hub) == 0 && sessions_init(hub) == 0)
        return 0;
    emprops_hub.close(state);
    return -ENOMEM;
}

static void hub_close(void *state)
{
    struct hub *hub = state;
    size_t cursor = 0;
    struct waiting *waiting;
    while ((waiting = map_next(&hub->waiting, &cursor)) != NULL) {
        text_drop(&waiting->id);
        text_drop(&waiting->said);
        free(waiting);
    }
    map_free(&hub->waiting);
    jobs_free(hub);
    queue_free(hub);
    workers_free(hub);
    sessions_free(hub);
    effects_free(hub);
}

static void hub_settings(void *state, const void *settings)
{
    struct hub *hub = state;
    hub->settings = settings; /* times that run already run on */
}

static const struct service_table tables[] = {[HUB_TABLE_JOBS] = {"jobs", true},
                                              [HUB_TABLE_STATES] = {"states", true},
                                              [HUB_TABLE_PAYLOADS] = {"payloads", false},
                                              [HUB_TABLE_RESULTS] = {"results", false},
                                              {NULL, false}};

const struct service emprops_hub = {
    .name = "hub",
    .state_bytes = sizeof(struct hub),
    .tables = tables,
    .open = hub_open,
    .close = hub_close,
    .settings = hub_settings,
    .load = hub_load,
    .loaded = hub_loaded,
    .request = hub_request,
    .fetched = hub_fetched,
    .next = hub_next,
    .due = hub_due,
    .timer = hub_timer,
    .interest = hub_interest,
};
