/* SPDX-License-Identifier: MIT */
/* Owns the jobs: their states, last messages, and what time does to them (TTL, the close behind the end, forgetting).
 * It never checks shapes (the dialect has), never knows who listens, and allocates only what a change needs.
 * The service of the dialect aitbc calls it. */
#include "protocol/dialects/aitbc/job_status.h"

#include "core/check.h"
#include "protocol/json.h"
#include "protocol/timestamp.h"

#include <stdlib.h>

#define RETRY_MS 1000 /* an expiry that found no memory */

/* What stands in a message, each as JSON text; no bytes: left out. */
struct status {
    enum job_state state;
    struct slice miner;
    struct slice timestamp;
    struct slice progress;
    struct slice error;
};

enum phase {
    PHASE_LIVE,  /* timer: its TTL, if it has one */
    PHASE_ENDED, /* timer: the close of its listeners */
    PHASE_KEPT,  /* timer: forgetting it */
};

struct job {
    struct list_node changed; /* in job_status.changed */
    struct list_node kept;    /* in job_status.kept, of PHASE_KEPT */
    struct wheel_timer timer;
    enum phase phase;
    uint64_t ended_ms;
    struct slice id;
    struct status status; /* its slices lie in the message */
    uint8_t *message;
    size_t message_bytes;
    uint8_t bytes[]; /* of the id */
};

static const char *const state_names[JOB_STATES] = {
    [JOB_QUEUED] = "QUEUED", [JOB_RUNNING] = "RUNNING",     [JOB_COMPLETED] = "COMPLETED",
    [JOB_FAILED] = "FAILED", [JOB_CANCELLED] = "CANCELLED", [JOB_EXPIRED] = "EXPIRED",
};

enum job_state job_state_named(struct slice name)
{
    enum job_state state = JOB_QUEUED;
    while (state < JOB_STATES && !slice_is(name, state_names[state]))
        state++;
    return state;
}

bool job_state_ended(enum job_state state)
{
    return state >= JOB_COMPLETED;
}

static bool is_id_byte(uint8_t c)
{
    uint8_t lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == ':' || c == '-';
}

bool job_id_valid(struct slice id)
{
    for (size_t i = 0; i < id.bytes; i++)
        if (!is_id_byte(id.data[i]))
            return false;
    return id.bytes >= 1 && id.bytes <= JOB_ID_BYTES_MAX;
}

void job_status_init(struct job_status *all, struct siphash_key key)
{
    *all = (struct job_status){0};
    map_init(&all->jobs, key);
    list_init(&all->changed);
    list_init(&all->kept);
    wheel_init(&all->wheel, 0);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Of a job without its message: itself, and its share of the map. */
static size_t job_bytes(struct slice id)
{
    return sizeof(struct job) + id.bytes + 2 * sizeof(struct map_entry);
}

static void forget(struct job_status *all, struct job *job)
{
    wheel_cancel(&all->wheel, &job->timer);
    list_remove(&job->changed);
    if (list_linked(&job->kept))
        list_remove(&job->kept);
    map_remove(&all->jobs, job->id);
    all->count--;
    all->bytes -= job_bytes(job->id) + job->message_bytes;
    free(job->message);
    free(job);
}

void job_status_close(struct job_status *all)
{
    while (!list_empty(&all->changed))
        forget(all, list_entry(list_first(&all->changed), struct job, changed));
    map_free(&all->jobs);
}

/* Makes room for so many bytes more, at the cost of jobs that have ended, oldest first; false: there is not so much. */
static bool make_room(struct job_status *all, const struct job_settings *settings, size_t bytes)
{
    while (all->bytes + bytes > settings->memory_bytes && !list_empty(&all->kept))
        forget(all, list_entry(list_first(&all->kept), struct job, kept));
    return all->bytes + bytes <= settings->memory_bytes;
}

/* A job without status, in no list; NULL when memory is out. */
static struct job *add_job(struct job_status *all, struct slice id)
{
    struct job *job = malloc(sizeof *job + id.bytes);
    if (job == NULL)
        return NULL;
    *job = (struct job){.phase = PHASE_LIVE};
    memcpy(job->bytes, id.data, id.bytes);
    job->id = slice_of(job->bytes, id.bytes);
    if (map_put(&all->jobs, job->id, job) != 0) {
        free(job);
        return NULL;
    }
    list_push_back(&all->changed, &job->changed);
    all->count++;
    all->bytes += job_bytes(id);
    return job;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* Appends one member and returns its value where it stands now. */
static struct slice put_member(struct buf *out, const char *name, struct slice value)
{
    size_t mark;
    buf_put_text(out, ",\"");
    buf_put_text(out, name);
    buf_put_text(out, "\":");
    mark = out->used;
    buf_put(out, value);
    return buf_since(out, mark);
}

static struct slice put_member_if(struct buf *out, const char *name, struct slice value)
{
    return value.bytes == 0 ? (struct slice){0} : put_member(out, name, value);
}

static size_t message_bytes_max(struct slice id, const struct status *status)
{
    static const char names[] = "{\"job_id\":\"\",\"state\":\"COMPLETED\",\"assigned_miner_id\":,\"timestamp\":,"
                                "\"progress\":,\"error\":}";
    return sizeof names + id.bytes + status->miner.bytes + status->timestamp.bytes + status->progress.bytes +
           status->error.bytes;
}

/* The message of A-16: members in the documented order. False when memory is out. */
static bool set_status(struct job_status *all, struct job *job, const struct status *status)
{
    size_t capacity = message_bytes_max(job->id, status);
    uint8_t *message = malloc(capacity);
    if (message == NULL)
        return false;
    struct buf out = buf_of(message, capacity);
    struct status placed = {.state = status->state};
    buf_put_text(&out, "{\"job_id\":\"");
    buf_put(&out, job->id);
    buf_put_text(&out, "\",\"state\":\"");
    buf_put_text(&out, state_names[status->state]);
    buf_put_byte(&out, '"');
    placed.miner = put_member(&out, "assigned_miner_id", status->miner);
    placed.timestamp = put_member(&out, "timestamp", status->timestamp);
    placed.progress = put_member_if(&out, "progress", status->progress);
    placed.error = put_member_if(&out, "error", status->error);
    buf_put_byte(&out, '}');
    check(!out.overflow);
    free(job->message); /* `status` may have pointed into it */
    all->bytes += out.used - job->message_bytes;
    job->message = message;
    job->message_bytes = out.used;
    job->status = placed;
    list_remove(&job->changed);
    list_push_back(&all->changed, &job->changed);
    return true;
}

static struct event message_event(const struct job *job)
{
    bool ended = job_state_ended(job->status.state);
    return (struct event){.channel = job->id,
                          .payload = slice_of(job->message, job->message_bytes),
                          .opcode = WS_TEXT,
                          .conflate = ended ? 0 : 1 + (uint32_t)job->status.state}; /* */
}

/* --- updates ------------------------------------------------------------------------------------------------------ */

enum { JOB_ID, STATE, MINER, TIMESTAMP, PROGRESS, ERROR, TTL, MEMBERS };

/* What the job is to be after the update; `before` NULL: it is new.. */
static struct status merge(const struct status *before, enum job_state state, const struct json_member *given)
{
    bool lost = before != NULL && before->state == JOB_RUNNING && state == JOB_QUEUED;
    struct status status = {.state = state, .miner = slice_text("null")};
    if (before != NULL && !lost) {
        status.miner = before->miner;
        status.progress = before->progress;
    }
    if (given[MINER].token != JSON_ERROR)
        status.miner = given[MINER].text;
    if (state == JOB_QUEUED)
        status.miner = slice_text("null");
    if (given[PROGRESS].token != JSON_ERROR)
        status.progress = given[PROGRESS].text;
    else if (state == JOB_COMPLETED)
        status.progress = slice_text("1.0");
    if (state == JOB_FAILED && given[ERROR].token != JSON_ERROR)
        status.error = given[ERROR].text;
    if (given[TIMESTAMP].token != JSON_ERROR)
        status.timestamp = given[TIMESTAMP].text;
    return status;
}

/* A time that was not given does not count as a change. */
static bool is_change(const struct status *before, const struct status *after)
{
    return before->state != after->state || !slice_equal(before->miner, after->miner) ||
           !slice_equal(before->progress, after->progress) || !slice_equal(before->error, after->error) ||
           (after->timestamp.bytes > 0 && !slice_equal(before->timestamp, after->timestamp));
}

/* A time as JSON text. */
static struct slice put_time(struct buf *out, uint64_t wall_ms)
{
    buf_put_byte(out, '"');
    timestamp_put_iso(out, (int64_t)wall_ms);
    buf_put_byte(out, '"');
    return buf_slice(out);
}

static void begin_kept(struct job_status *all, const struct job_settings *settings, struct job *job)
{
    job->phase = PHASE_KEPT;
    list_push_back(&all->kept, &job->kept);
    wheel_set(&all->wheel, &job->timer, job->ended_ms + settings->retention_ms);
}

static void begin_end(struct job_status *all, const struct job_settings *settings, struct job *job, uint64_t now_ms)
{
    job->ended_ms = now_ms;
    job->phase = PHASE_ENDED;
    if (settings->close_after_end_ms == 0)
        begin_kept(all, settings, job);
    else
        wheel_set(&all->wheel, &job->timer, now_ms + settings->close_after_end_ms);
}

static int refuse(struct buf *reply, int status, const char *why)
{
    buf_put_text(reply, why);
    return status;
}

/* The job of the update, made when it is new and there is room for it and its status: what is known already is never
 * refused its next state. 0 or 503. */
static int job_for(struct job_status *all, const struct job_settings *settings, struct slice id,
                   const struct status *status, struct job **found, struct buf *reply)
{
    struct job *job = map_get(&all->jobs, id);
    if (!make_room(all, settings, message_bytes_max(id, status) + job_bytes(id)) && job == NULL)
        return refuse(reply, 503, "aitbc.jobs_memory is used up by jobs that have not ended");
    if (job == NULL)
        job = add_job(all, id);
    if (job == NULL)
        return refuse(reply, 503, "out of memory");
    *found = job;
    return 0;
}

int job_status_update(struct job_status *all, const struct job_settings *settings, struct slice body, uint64_t now_ms,
                      uint64_t wall_ms, struct buf *reply)
{
    uint8_t memory[TIMESTAMP_ISO_BYTES + 2];
    struct buf time = buf_of(memory, sizeof memory);
    struct json_member given[MEMBERS] = {{.name = "job_id"},     {.name = "state"},    {.name = "assigned_miner_id"},
                                         {.name = "timestamp"},  {.name = "progress"}, {.name = "error"},
                                         {.name = "ttl_seconds"}};
    check(json_find_members(body, JSON_DEPTH_MAX, false, given, MEMBERS) == JSON_MEMBERS_OK);
    enum job_state state = job_state_named(given[STATE].raw);
    check_op(state, <, JOB_STATES);
    struct job *job = map_get(&all->jobs, given[JOB_ID].raw);
    bool fresh = job == NULL;
    if (!fresh && job_state_ended(job->status.state))
        return refuse(reply, 409, "the job has ended");
    struct status status = merge(fresh ? NULL : &job->status, state, given);
    if (fresh || is_change(&job->status, &status)) {
        if (status.timestamp.bytes == 0)
            status.timestamp = put_time(&time, wall_ms);
        int refused = job_for(all, settings, given[JOB_ID].raw, &status, &job, reply);
        if (refused != 0)
            return refused;
        if (!set_status(all, job, &status)) {
            if (fresh)
                forget(all, job);
            return refuse(reply, 503, "out of memory");
        }
        all->announced = job;
    }
    uint64_t ttl_seconds;
    if (job_state_ended(state)) {
        begin_end(all, settings, job, now_ms);
    } else if (given[TTL].token != JSON_ERROR) {
        check(json_u64(given[TTL].raw, &ttl_seconds) && ttl_seconds <= JOB_TTL_SECONDS_MAX);
        wheel_set(&all->wheel, &job->timer, now_ms + ttl_seconds * 1000);
    }
    return 202;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

int job_status_read(const struct job_status *all, struct slice id, struct buf *reply)
{
    const struct job *job = map_get(&all->jobs, id);
    if (job == NULL)
        return refuse(reply, 404, "no such job");
    buf_put(reply, slice_of(job->message, job->message_bytes));
    return 200;
}

int job_status_read_all(const struct job_status *all, struct buf *reply)
{
    if (all->count == 0)
        return refuse(reply, 404, "No state");
    buf_put_text(reply, "{\"count\":");
    buf_put_u64(reply, all->count);
    buf_put_text(reply, ",\"jobs\":[");
    size_t first = reply->used;
    for (const struct list_node *node = all->changed.head.prev; node != &all->changed.head; node = node->prev) {
        const struct job *job = list_entry(node, const struct job, changed);
        if (job->message_bytes + sizeof ",]}" - 1 > reply->capacity - reply->used)
            break;
        if (reply->used > first)
            buf_put_byte(reply, ',');
        buf_put(reply, slice_of(job->message, job->message_bytes));
    }
    buf_put_text(reply, "]}");
    return 200;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

uint64_t job_status_due(const struct job_status *all)
{
    return wheel_next_ms(&all->wheel);
}

void job_status_advance(struct job_status *all, uint64_t now_ms)
{
    wheel_advance(&all->wheel, now_ms);
}

/* */
static bool expire(struct job_status *all, const struct job_settings *settings, struct job *job, uint64_t now_ms,
                   uint64_t wall_ms, struct event *event)
{
    uint8_t memory[TIMESTAMP_ISO_BYTES + 2];
    struct buf time = buf_of(memory, sizeof memory);
    struct status status = job->status;
    status.state = JOB_EXPIRED;
    status.timestamp = put_time(&time, wall_ms);
    if (!set_status(all, job, &status)) {
        wheel_set(&all->wheel, &job->timer, now_ms + RETRY_MS);
        return false;
    }
    begin_end(all, settings, job, now_ms);
    *event = message_event(job);
    return true;
}

/* What the expired timer of a job was for; false: no event comes of it. */
static bool on_timer(struct job_status *all, const struct job_settings *settings, struct job *job, uint64_t now_ms,
                     uint64_t wall_ms, struct event *event)
{
    switch (job->phase) {
    case PHASE_LIVE:
        return expire(all, settings, job, now_ms, wall_ms, event);
    case PHASE_ENDED:
        begin_kept(all, settings, job);
        *event = (struct event){.channel = job->id, .close_code = WS_CLOSE_NORMAL, .close_reason = "job finished"};
        return true;
    case PHASE_KEPT:
        forget(all, job);
        return false;
    }
    check(false);
    return false;
}

bool job_status_next(struct job_status *all, const struct job_settings *settings, uint64_t now_ms, uint64_t wall_ms,
                     struct event *event)
{
    struct wheel_timer *timer;
    if (all->announced != NULL) {
        *event = message_event(all->announced);
        all->announced = NULL;
        return true;
    }
    while ((timer = wheel_pop(&all->wheel)) != NULL)
        if (on_timer(all, settings, list_entry(timer, struct job, timer), now_ms, wall_ms, event))
            return true;
    return false;
}
