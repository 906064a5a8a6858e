/* SPDX-License-Identifier: MIT */
/* Owns the client's side of the dialect aitbc (aitbc.md): paths, admission, permissions, heartbeats, snapshots.
 * It never holds a job or an event: they are the service's (aitbc_streams.c), shapes of ingest are
 * aitbc_ingest.c's. Sessions and channels call it through the table at the end. */
#include "protocol/dialects/aitbc/aitbc.h"

#include "core/check.h"
#include "protocol/action.h"
#include "protocol/dialects/aitbc/aitbc_streams.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "protocol/timestamp.h"
#include "protocol/token.h"

#include <stdlib.h>

#define MESSAGE_DEPTH_MAX 32 /* K-27 */
#define NARROWING_BYTES_MAX 512

/* Bits of dialect_call.mounts: `listen`, then the *_listen options in the order of the table. */
enum { MOUNT_ALL = 1, MOUNT_JOBS = 2, MOUNT_BLOCKCHAIN = 4, MOUNT_MARKETPLACE = 8 };

struct aitbc_session {
    char *job;  /* its id, NUL-terminated, owned; NULL: events */
    bool ended; /* the job had ended before the connection came; its timer closes it */
};

/* What a reply is for. */
enum tag {
    TAG_FIND,     /* whether the job is there, before the upgrade */
    TAG_SNAPSHOT, /* the first status */
    TAG_STATUS,   /* a heartbeat's answer */
    TAG_WAITED,   /* whether the job has come meanwhile */
    TAG_SYNC,     /* the newest sync_status */
};

static void refuse(struct dialect_call *call, int status, const char *content)
{
    action_respond_json(call->out, status, slice_text(content));
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

enum part { PART_NONE, PART_JOB, PART_EVENTS };

/* The decoded id of a job goes to `id`. */
static enum part find_part(struct slice path, struct buf *id)
{
    static const char api[] = "/api", jobs[] = "/v1/jobs/", tail[] = "/ws";
    size_t head_bytes = sizeof jobs - 1, tail_bytes = sizeof tail - 1;
    if (slice_starts(path, slice_text("/api/")))
        path = slice_skip(path, sizeof api - 1);
    if (slice_is(path, "/v1/events"))
        return PART_EVENTS;
    if (!slice_starts(path, slice_text(jobs)) || path.bytes <= head_bytes + tail_bytes)
        return PART_NONE;
    struct slice name = slice_of(path.data + head_bytes, path.bytes - head_bytes - tail_bytes);
    if (!slice_is(slice_skip(path, head_bytes + name.bytes), tail))
        return PART_NONE;
    size_t mark = id->used;
    return http1_percent_decode(name, id) && job_id_valid(buf_since(id, mark)) ? PART_JOB : PART_NONE;
}

static enum dialect_path aitbc_route(const void *settings, struct slice path)
{
    uint8_t memory[JOB_ID_BYTES_MAX];
    struct buf id = buf_of(memory, sizeof memory);
    (void)settings;
    return find_part(path, &id) == PART_NONE ? DIALECT_PATH_NONE : DIALECT_PATH_SOCKET;
}

/* The events that the listener has. */
static unsigned mounted_events(const struct dialect_call *call)
{
    unsigned set = 0;
    if ((call->mounts & (MOUNT_ALL | MOUNT_BLOCKCHAIN)) != 0)
        set |= AITBC_BLOCKCHAIN_EVENTS;
    if ((call->mounts & (MOUNT_ALL | MOUNT_MARKETPLACE)) != 0)
        set |= AITBC_MARKETPLACE_EVENTS;
    return set;
}

/* --- narrowing (A-5, A-47) ---------------------------------------------------------------------------------------- */

/* `?source=`; 0: it is none. */
static unsigned source_events(struct slice source)
{
    if (slice_is(source, "blockchain"))
        return AITBC_BLOCKCHAIN_EVENTS;
    return slice_is(source, "marketplace") ? AITBC_MARKETPLACE_EVENTS : 0;
}

/* `?types=`, names with commas; 0: one of them is none. */
static unsigned type_events(struct slice names)
{
    unsigned set = 0;
    for (bool more = true; more;) {
        const uint8_t *comma = names.bytes == 0 ? NULL : memchr(names.data, ',', names.bytes);
        struct slice name = slice_of(names.data, comma == NULL ? names.bytes : (size_t)(comma - names.data));
        enum aitbc_event type = aitbc_event_named(name);
        if (type == AITBC_EVENT_TYPES)
            return 0;
        set |= 1U << type;
        more = comma != NULL;
        names = slice_skip(names, name.bytes + 1);
    }
    return set;
}

/* One of the two parameters held against the events that are there: only names of those are good. False: it is
 * wrong. */
static bool narrow(const struct http1_request *request, const char *name, unsigned (*events)(struct slice),
                   unsigned *set)
{
    uint8_t memory[NARROWING_BYTES_MAX];
    struct buf value = buf_of(memory, sizeof memory);
    int found = http1_query_get(request->query, name, &value);
    unsigned wanted = found > 0 ? events(buf_slice(&value)) : 0;
    if (found == 0)
        return true;
    if (wanted == 0 || (wanted & ~*set) != 0)
        return false;
    *set = wanted;
    return true;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* What a connection asks for. */
struct wish {
    struct slice job; /* no bytes: events */
    unsigned events;
};

static const char *aitbc_permission_fault(struct slice word)
{
    static const char jobs[] = "jobs:";
    if (slice_is(word, "jobs") || slice_is(word, "blockchain") || slice_is(word, "marketplace"))
        return NULL;
    if (slice_starts(word, slice_text(jobs))) {
        struct slice pattern = slice_skip(word, sizeof jobs - 1);
        if (pattern.bytes > 1 && pattern.data[pattern.bytes - 1] == '*')
            pattern.bytes--;
        if (job_id_valid(pattern))
            return NULL;
    }
    return "a permission behind a key is jobs, jobs:ID, jobs:PREFIX*, blockchain or marketplace";
}

/* Whether `jobs`, `jobs:ID` or `jobs:PREFIX*` covers the job. */
static bool covers_job(struct slice word, struct slice job)
{
    static const char jobs[] = "jobs:";
    if (slice_is(word, "jobs"))
        return true;
    return slice_starts(word, slice_text(jobs)) && grant_pattern_matches(slice_skip(word, sizeof jobs - 1), job);
}

/* a key without words may do everything. */
static bool permits(const struct grant *grant, const struct wish *wish)
{
    bool job = wish->job.bytes == 0;
    unsigned events = wish->events;
    if (grant->word_count == 0)
        return true;
    for (uint32_t i = 0; i < grant->word_count; i++) {
        struct slice word = grant->words[i];
        job = job || covers_job(word, wish->job);
        if (slice_is(word, "blockchain"))
            events &= ~AITBC_BLOCKCHAIN_EVENTS;
        if (slice_is(word, "marketplace"))
            events &= ~AITBC_MARKETPLACE_EVENTS;
    }
    return job && events == 0;
}

/* The index of the key that the request carries (-1: a public stream without one), or a 401. */
static bool find_key(struct dialect_call *call, const struct http1_request *request, bool is_public, int *index,
                     struct slice *key)
{
    const struct dialect_settings *common = call->settings;
    size_t mark = call->out->text.used;
    *index = -1;
    if (is_public && !token_given(request, "api_key"))
        return true;
    if (token_from_request(request, "api_key", &call->out->text)) {
        *key = buf_since(&call->out->text, mark);
        *index = grant_find(&common->grants, *key);
    }
    if (*index < 0)
        refuse(call, 401, "{\"error\":\"Authentication failed\"}");
    return *index >= 0;
}

/* --- opening (Q-13) ----------------------------------------------------------------------------------------------- */

/* 401, 400 and 403 of the permission, in this order; the place of the key. */
static bool admit(struct dialect_call *call, const struct http1_request *request, struct wish *wish)
{
    const struct aitbc_settings *settings = call->settings;
    const struct dialect_settings *common = &settings->common;
    bool is_public = wish->job.bytes > 0 ? settings->jobs_public : settings->events_public;
    struct slice key = {0};
    int index;
    if (!find_key(call, request, is_public, &index, &key))
        return false;
    if (wish->events != 0 && (!narrow(request, "source", source_events, &wish->events) ||
                              !narrow(request, "types", type_events, &wish->events))) {
        refuse(call, 400, "{\"error\":\"Unknown source or event type\"}");
        return false;
    }
    if (index < 0)
        return true;
    if (!permits(&common->grants.items[index], wish)) {
        refuse(call, 403, "{\"error\":\"Insufficient permissions\"}");
        return false;
    }
    action_acquire(call->out, QUOTA_KEY, key, (uint32_t)common->connections_per_key, 0); /* */
    return true;
}

static void open_events(struct dialect_call *call, unsigned set)
{
    const struct aitbc_settings *settings = call->settings;
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    aitbc_events_put(text, set);
    action_accept(call->out);
    action_subscribe(call->out, slice_text(AITBC_EVENTS), buf_since(text, mark), 0);
    if (settings->sync_snapshot && (set & 1U << AITBC_SYNC_STATUS) != 0)
        action_request(call->out, AITBC_READ_SYNC, slice_text(""), TAG_SYNC);
}

/* The connection remembers its job; then the service is asked for it. */
static void open_job(struct dialect_call *call, struct slice job)
{
    struct aitbc_session *session = call->session;
    session->job = malloc(job.bytes + 1);
    if (session->job == NULL) {
        refuse(call, 503, "{\"error\":\"Out of memory\"}");
        return;
    }
    memcpy(session->job, job.data, job.bytes);
    session->job[job.bytes] = '\0';
    action_request(call->out, AITBC_READ_JOB, slice_text(session->job), TAG_FIND);
}

static void aitbc_open(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    const struct dialect_settings *common = call->settings;
    uint8_t memory[JOB_ID_BYTES_MAX];
    struct buf id = buf_of(memory, sizeof memory);
    enum part part = find_part(path, &id);
    struct wish wish = {.job = buf_slice(&id), .events = part == PART_EVENTS ? mounted_events(call) : 0};
    bool mounted = part == PART_JOB ? (call->mounts & (MOUNT_ALL | MOUNT_JOBS)) != 0 : wish.events != 0;
    if (!mounted) {
        refuse(call, 404, "{\"error\":\"Not found\"}");
        return;
    }
    if (common->connections_per_address > 0)
        action_acquire(call->out, QUOTA_ADDRESS, slice_text(""), (uint32_t)common->connections_per_address, 0);
    if (!call->origin_allowed)
        action_respond(call->out, &(struct http1_answer){.status = 403,
                                                         .content_type = "application/json",
                                                         .content = slice_text("{\"error\":\"Origin not allowed\"}"),
                                                         .varies_by_origin = true});
    else if (!admit(call, request, &wish))
        return;
    else if (part == PART_JOB)
        open_job(call, wish.job);
    else
        open_events(call, wish.events);
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

/* Whether a status message says that the job has ended. */
static bool has_ended(struct slice message)
{
    struct json_member state = {.name = "state"};
    check(json_find_members(message, JSON_DEPTH_MAX, false, &state, 1) == JSON_MEMBERS_OK);
    return job_state_ended(job_state_named(state.raw));
}

/* The answer to the upgrade. A job that has ended gets no further event, so nothing is subscribed to. */
static void found_job(struct dialect_call *call, const struct dialect_reply *reply)
{
    const struct aitbc_settings *settings = call->settings;
    struct aitbc_session *session = call->session;
    bool found = reply->status == 200;
    if (!found && reply->status != 404) {
        refuse(call, 503, "{\"error\":\"Service unavailable\"}");
    } else if (!found && settings->unknown_job == AITBC_UNKNOWN_JOB_REJECT) {
        refuse(call, 404, "{\"error\":\"Job not found\"}");
    } else if (found && has_ended(reply->body)) {
        session->ended = true;
        action_accept(call->out);
        action_send(call->out, WS_TEXT, reply->body);
        action_timer(call->out, settings->jobs.close_after_end_ms);
    } else {
        action_accept(call->out);
        action_subscribe(call->out, slice_text(session->job), slice_text(""), 0);
        action_request(call->out, AITBC_READ_JOB, slice_text(session->job), TAG_SNAPSHOT);
    }
}

static void aitbc_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    const struct aitbc_settings *settings = call->settings;
    bool found = reply->status == 200;
    switch ((enum tag)reply->tag) {
    case TAG_FIND:
        found_job(call, reply);
        return;
    case TAG_WAITED:
        if (!found)
            action_close(call->out, WS_CLOSE_NORMAL, "job not found"); /* */
        return;
    case TAG_SNAPSHOT:
        if (!found)
            action_timer(call->out, settings->unknown_job_wait_ms);
        break;
    case TAG_STATUS:
    case TAG_SYNC:
        break;
    }
    if (found)
        action_send(call->out, WS_TEXT, reply->body);
}

static void aitbc_timer(struct dialect_call *call)
{
    const struct aitbc_session *session = call->session;
    if (session->ended)
        action_close(call->out, WS_CLOSE_NORMAL, "job finished");
    else
        action_request(call->out, AITBC_READ_JOB, slice_text(session->job), TAG_WAITED);
}

/* --- messages (A-48 to A-51) -------------------------------------------------------------------------------------- */

static bool is_ping(struct slice message)
{
    struct json_member type = {.name = "type"};
    return json_find_members(message, MESSAGE_DEPTH_MAX, false, &type, 1) == JSON_MEMBERS_OK &&
           type.token == JSON_STRING && json_raw_equal(type.raw, type.escaped, slice_text("ping"));
}

static void send_pong(struct dialect_call *call)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, "{\"type\":\"pong\",\"timestamp\":\"");
    timestamp_put_iso(text, (int64_t)call->wall_ms);
    buf_put_text(text, "\"}");
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

/* The documented monitor of a job takes every message for a status: so its heartbeat is answered with one. */
static void aitbc_message(struct dialect_call *call, enum ws_opcode opcode, struct slice message)
{
    const struct aitbc_session *session = call->session;
    if (opcode == WS_BINARY)
        action_close(call->out, WS_CLOSE_UNSUPPORTED, "binary messages are not supported");
    else if (is_ping(message) && session->job != NULL)
        action_request(call->out, AITBC_READ_JOB, slice_text(session->job), TAG_STATUS);
    else if (is_ping(message))
        send_pong(call);
}

static void aitbc_end(void *state)
{
    struct aitbc_session *session = state;
    free(session->job);
    session->job = NULL;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void aitbc_traits(const void *settings, struct slice channel, struct channel_traits *traits)
{
    bool events = slice_is(channel, AITBC_EVENTS);
    (void)settings;
    *traits = (struct channel_traits){.policy = events ? POLICY_LOSSLESS : POLICY_CONFLATE};
}

#define AT(field) offsetof(struct aitbc_settings, field)

static const char *const unknown_job_choices[] = {"reject", "wait", NULL};

static const struct option aitbc_options[] = {
    OPTION("jobs_listen", TEXTS, AT(jobs_listen), "", .doc = "Addresses that serve job states only."),
    OPTION("blockchain_listen", TEXTS, AT(blockchain_listen), "",
           .doc = "Addresses that serve blockchain events; on one with marketplace_listen too the streams are merged."),
    OPTION("marketplace_listen", TEXTS, AT(marketplace_listen), "", .doc = "Addresses that serve marketplace events."),
    OPTION("jobs_public", BOOL, AT(jobs_public), "false", .reloadable = true, .doc = "Job states need no key."),
    OPTION("events_public", BOOL, AT(events_public), "true", .reloadable = true,
           .doc = "Events need no key; one that is given must be good all the same."),
    OPTION("unknown_job", CHOICE, AT(unknown_job), "reject", .choices = unknown_job_choices, .reloadable = true,
           .doc = "A job that nobody has reported: reject with 404, or wait for its first status."),
    OPTION("unknown_job_wait", DURATION, AT(unknown_job_wait_ms), "60s", .reloadable = true,
           .doc = "How long such a connection waits; 0: for ever."),
    OPTION("close_after_end", DURATION, AT(jobs.close_after_end_ms), "30s", .reloadable = true,
           .doc = "From the end of a job to the close of its connections; 0: they stay."),
    OPTION("job_retention", DURATION, AT(jobs.retention_ms), "24h", .min = 1000, .reloadable = true,
           .doc = "How long the last status of a job that has ended can be read."),
    OPTION("jobs_memory", SIZE, AT(jobs.memory_bytes), "64MiB", .min = 64U << 10, .reloadable = true,
           .doc = "Memory for jobs; beyond it those that have ended are forgotten, then new ones are refused."),
    OPTION("detect_forks", BOOL, AT(detect_forks), "true", .reloadable = true,
           .doc = "A block with the height of another and a different hash gives fork_detected."),
    OPTION("sync_snapshot", BOOL, AT(sync_snapshot), "false", .reloadable = true,
           .doc = "A new connection gets the newest sync_status at once."),
    OPTION("offers_memory", SIZE, AT(offers_memory_bytes), "16MiB", .min = 64U << 10, .reloadable = true,
           .doc = "Memory for prices and expiry of offers; those that changed longest ago are forgotten beyond it."),
    {.name = NULL},
};

static const struct dialect_default aitbc_defaults[] = {
    {"origin_check", "true"},
    {"connections_per_address", "10"},
    {"duration_max", "24h"},
    {NULL, NULL},
};

const struct dialect aitbc_dialect = {
    .name = "aitbc",
    .settings_bytes = sizeof(struct aitbc_settings),
    .options = aitbc_options,
    .defaults = aitbc_defaults,
    .session_bytes = sizeof(struct aitbc_session),
    .home_key = "aitbc",
    .service = &aitbc_streams_service,
    .checks_origin = true,
    .permission_fault = aitbc_permission_fault,
    .paths =
        (const char *const[]){"/v1/jobs/example/ws", "/api/v1/jobs/example/ws", "/v1/events", "/api/v1/events", NULL},
    .route = aitbc_route,
    .open = aitbc_open,
    .refused = dialect_refuse,
    .message = aitbc_message,
    .replied = aitbc_replied,
    .timer = aitbc_timer,
    .end = aitbc_end,
    .traits = aitbc_traits,
    .matches = aitbc_events_match,
    .ingest = &(const struct dialect_ingest){.take = aitbc_ingest, .read = aitbc_read},
};
