/* SPDX-License-Identifier: MIT */
/* Owns the shapes of what is ingested for the dialect aitbc (aitbc.md): checks each object and rewrites it with its
 * documented fields first, in their order, times in their format, further fields of events behind them (I-14, Q-1,
 * It never delivers and keeps nothing: the rewritten object goes to the service. The publisher API calls it
 * through the dialect's table. */
#include "protocol/dialects/aitbc/aitbc.h"

#include "core/check.h"
#include "protocol/dialects/aitbc/aitbc_streams.h"
#include "protocol/dialects/aitbc/forks.h"
#include "protocol/dialects/aitbc/offers.h"
#include "protocol/json.h"
#include "protocol/timestamp.h"

#include <stdlib.h>

#define STRING_BYTES_MAX 128 /* of ids, hashes, names, escapes resolved */
#define ERROR_BYTES_MAX 1024 /* of the error of a job, escapes resolved */
#define NUMBER_BYTES_MAX 32
#define FIELDS_MAX 8

_Static_assert(STRING_BYTES_MAX <= OFFER_ID_BYTES_MAX && STRING_BYTES_MAX <= FORK_HASH_BYTES_MAX,
               "the service has room for them");

enum presence {
    REQUIRED,
    OPTIONAL, /* left out when it is not there */
    STAMPED,  /* the time of arrival when it is not there */
    LISTED,   /* [] when it is not there */
};

/* A field, and what it must be. `put` appends its value; false: it is something else. */
struct field {
    const char *name; /* NULL: no more */
    enum presence presence;
    bool (*put)(struct ingest_call *call, const struct json_member *member);
    const char *label; /* how an error calls it */
    const char *wanted;
};

/* An object: its documented fields in their order. */
struct shape {
    struct field fields[FIELDS_MAX];
    bool open;          /* further fields are passed on */
    const char *hidden; /* but this one; NULL: none */
};

static int fail(struct ingest_call *call, int status, const char *field, const char *message)
{
    call->field = field;
    call->message = message;
    return status;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static bool is_string(enum json_token token, struct slice raw, size_t bytes_max)
{
    uint8_t memory[ERROR_BYTES_MAX];
    struct buf text = buf_of(memory, bytes_max);
    if (token != JSON_STRING)
        return false;
    json_unescape(raw, &text);
    return !text.overflow && text.used > 0;
}

static bool put_string(struct ingest_call *call, const struct json_member *member)
{
    buf_put(call->text, member->text);
    return is_string(member->token, member->raw, STRING_BYTES_MAX);
}

/* The type of an event, which has been found to be one. */
static bool put_type(struct ingest_call *call, const struct json_member *member)
{
    buf_put_byte(call->text, '"');
    json_unescape(member->raw, call->text);
    buf_put_byte(call->text, '"');
    return true;
}

static bool put_error(struct ingest_call *call, const struct json_member *member)
{
    buf_put(call->text, member->text);
    return is_string(member->token, member->raw, ERROR_BYTES_MAX);
}

static bool put_string_or_null(struct ingest_call *call, const struct json_member *member)
{
    if (member->token != JSON_NULL)
        return put_string(call, member);
    buf_put(call->text, member->text);
    return true;
}

static bool put_whole(struct ingest_call *call, const struct json_member *member)
{
    uint64_t value;
    buf_put(call->text, member->text);
    return member->token == JSON_NUMBER && json_u64(member->raw, &value);
}

/* Passed on as written. */
static bool put_number(struct ingest_call *call, const struct json_member *member)
{
    buf_put(call->text, member->text);
    return member->token == JSON_NUMBER && member->raw.bytes <= NUMBER_BYTES_MAX && member->raw.data[0] != '-';
}

/* */
static bool put_fraction(struct ingest_call *call, const struct json_member *member)
{
    char text[NUMBER_BYTES_MAX + 1];
    if (!put_number(call, member))
        return false;
    memcpy(text, member->raw.data, member->raw.bytes);
    text[member->raw.bytes] = '\0';
    return strtod(text, NULL) <= 1.0;
}

static bool put_bool(struct ingest_call *call, const struct json_member *member)
{
    buf_put(call->text, member->text);
    return member->token == JSON_TRUE || member->token == JSON_FALSE;
}

static bool put_list(struct ingest_call *call, const struct json_member *member)
{
    buf_put(call->text, member->text);
    return member->token == JSON_ARRAY_BEGIN;
}

static bool put_hashes(struct ingest_call *call, const struct json_member *member)
{
    struct json_reader list;
    struct json_value hash;
    buf_put(call->text, member->text);
    json_init(&list, member->text, JSON_DEPTH_MAX);
    if (json_next(&list, &hash) != JSON_ARRAY_BEGIN)
        return false;
    while (json_next(&list, &hash) == JSON_STRING)
        if (!is_string(hash.token, hash.raw, STRING_BYTES_MAX))
            return false;
    return hash.token == JSON_ARRAY_END;
}

/* G-11: text in UTC, or a number of seconds or milliseconds. */
static bool read_time(const struct json_member *member, int64_t *unix_ms)
{
    uint8_t memory[64];
    struct buf space = buf_of(memory, sizeof memory);
    uint64_t number;
    if (member->token == JSON_NUMBER)
        return json_u64(member->raw, &number) && timestamp_from_number(number, unix_ms);
    if (member->token != JSON_STRING)
        return false;
    struct slice text = json_resolve(member->raw, member->escaped, &space);
    return !space.overflow && timestamp_parse_iso(text, unix_ms);
}

static void put_iso(struct ingest_call *call, int64_t unix_ms)
{
    buf_put_byte(call->text, '"');
    timestamp_put_iso(call->text, unix_ms);
    buf_put_byte(call->text, '"');
}

static bool put_time(struct ingest_call *call, const struct json_member *member)
{
    int64_t unix_ms;
    if (!read_time(member, &unix_ms))
        return false;
    put_iso(call, unix_ms);
    return true;
}

static bool put_job_id(struct ingest_call *call, const struct json_member *member)
{
    uint8_t memory[JOB_ID_BYTES_MAX];
    struct buf space = buf_of(memory, sizeof memory);
    if (member->token != JSON_STRING)
        return false;
    struct slice id = json_resolve(member->raw, member->escaped, &space);
    if (space.overflow || !job_id_valid(id))
        return false;
    json_put_string(call->text, id);
    return true;
}

static bool put_state(struct ingest_call *call, const struct json_member *member)
{
    uint8_t memory[16];
    struct buf space = buf_of(memory, sizeof memory);
    if (member->token != JSON_STRING)
        return false;
    struct slice name = json_resolve(member->raw, member->escaped, &space);
    if (space.overflow || job_state_named(name) == JOB_STATES)
        return false;
    json_put_string(call->text, name);
    return true;
}

static bool put_ttl(struct ingest_call *call, const struct json_member *member)
{
    uint64_t seconds;
    buf_put(call->text, member->text);
    return member->token == JSON_NUMBER && json_u64(member->raw, &seconds) && seconds >= 1 &&
           seconds <= JOB_TTL_SECONDS_MAX;
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static void put_name(struct ingest_call *call, struct slice text)
{
    struct buf *out = call->text;
    if (out->used > 0 && out->data[out->used - 1] != '{')
        buf_put_byte(out, ',');
    buf_put(out, text);
    buf_put_byte(out, ':');
}

static void put_plain_name(struct ingest_call *call, const char *name)
{
    uint8_t memory[64];
    struct buf quoted = buf_of(memory, sizeof memory);
    json_put_string(&quoted, slice_text(name));
    check(!quoted.overflow);
    put_name(call, buf_slice(&quoted));
}

static bool is_documented(const struct shape *shape, const struct json_value *key)
{
    for (const struct field *field = shape->fields; field < shape->fields + FIELDS_MAX && field->name != NULL; field++)
        if (json_raw_equal(key->raw, key->escaped, slice_text(field->name)))
            return true;
    return shape->hidden != NULL && json_raw_equal(key->raw, key->escaped, slice_text(shape->hidden));
}

/* The members of the object (valid JSON) that the shape does not name, as written. */
static void put_further(struct ingest_call *call, const struct shape *shape, struct slice object)
{
    struct json_reader reader;
    struct json_value key, value;
    struct slice text;
    json_init(&reader, object, JSON_DEPTH_MAX);
    (void)json_next(&reader, &value);
    while (json_next(&reader, &key) == JSON_KEY) {
        (void)json_next(&reader, &value);
        (void)json_skip(&reader, &value, &text);
        if (is_documented(shape, &key))
            continue;
        put_name(call, slice_of(key.raw.data - 1, key.raw.bytes + 2));
        buf_put(call->text, text);
    }
}

/* 0 or 422. An error of an object inside has been told by itself already. */
static int put_field(struct ingest_call *call, const struct field *field, const struct json_member *member)
{
    bool there = member->token != JSON_ERROR;
    if (!there && field->presence == OPTIONAL)
        return 0;
    put_plain_name(call, field->name);
    if (!there && field->presence == STAMPED)
        put_iso(call, (int64_t)call->wall_ms);
    else if (!there && field->presence == LISTED)
        buf_put_text(call->text, "[]");
    else if (!there || !field->put(call, member))
        return call->field[0] != '\0' ? 422 : fail(call, 422, field->label, field->wanted);
    return 0;
}

/* Rewrites an object (valid JSON). 0 or 422. */
static int put_object(struct ingest_call *call, const struct shape *shape, struct slice object)
{
    struct json_member members[FIELDS_MAX];
    size_t count = 0;
    int status = 0;
    for (; count < FIELDS_MAX && shape->fields[count].name != NULL; count++)
        members[count].name = shape->fields[count].name;
    check(json_find_members(object, JSON_DEPTH_MAX, false, members, count) == JSON_MEMBERS_OK);
    buf_put_byte(call->text, '{');
    for (size_t i = 0; i < count && status == 0; i++)
        status = put_field(call, &shape->fields[i], &members[i]);
    if (status == 0 && shape->open)
        put_further(call, shape, object);
    buf_put_byte(call->text, '}');
    return status;
}

static bool put_inner(struct ingest_call *call, const struct shape *shape, const struct json_member *member)
{
    return member->token == JSON_OBJECT_BEGIN && put_object(call, shape, member->text) == 0;
}

/* --- shapes ------------------------------------------------------------------------------------------------------- */

#define STRING "must be a string of 1-128 bytes"
#define WHOLE "must be a whole number, 0 or more"
#define NUMBER "must be a number, 0 or more, of at most 32 characters"
#define TIME "must be a time in UTC: 2026-05-11T10:00:00Z, or unix seconds or milliseconds"
#define OBJECT "must be an object"

/* */
static const struct shape job_shape = {
    .fields = {{"job_id", REQUIRED, put_job_id, "job_id", "must be 1-128 of A-Z a-z 0-9 . _ : -"},
               {"state", REQUIRED, put_state, "state",
                "must be QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED or EXPIRED"},
               {"assigned_miner_id", OPTIONAL, put_string_or_null, "assigned_miner_id", STRING ", or null"},
               {"timestamp", OPTIONAL, put_time, "timestamp", TIME},
               {"progress", OPTIONAL, put_fraction, "progress", "must be a number from 0 to 1"},
               {"error", OPTIONAL, put_error, "error", "must be a string of 1-1024 bytes"},
               {"ttl_seconds", OPTIONAL, put_ttl, "ttl_seconds", "must be a whole number from 1 to 315360000"}},
};

/* */
static const struct shape block_shape = {
    .fields = {{"height", REQUIRED, put_whole, "block.height", WHOLE},
               {"hash", REQUIRED, put_string, "block.hash", STRING},
               {"timestamp", STAMPED, put_time, "block.timestamp", TIME},
               {"transactions", LISTED, put_list, "block.transactions", "must be an array"}},
    .open = true,
};

#define OFFER_FIELDS(new_offer, price)                                                                                 \
    {"id", REQUIRED, put_string, "offer.id", STRING}, {"gpu_type", new_offer, put_string, "offer.gpu_type", STRING},   \
        {"gpu_memory", new_offer, put_whole, "offer.gpu_memory", WHOLE},                                               \
        {"price_per_hour", price, put_number, "offer.price_per_hour", NUMBER},                                         \
        {"currency", new_offer, put_string, "offer.currency", STRING},                                                 \
    {                                                                                                                  \
        "previous_price", OPTIONAL, put_number, "offer.previous_price", NUMBER                                         \
    }

/* all; A-45: id and price; else the id alone */
static const struct shape new_offer_shape = {
    .fields = {OFFER_FIELDS(REQUIRED, REQUIRED)}, .open = true, .hidden = "expires_at"};
static const struct shape price_shape = {
    .fields = {OFFER_FIELDS(OPTIONAL, REQUIRED)}, .open = true, .hidden = "expires_at"};
static const struct shape offer_shape = {
    .fields = {OFFER_FIELDS(OPTIONAL, OPTIONAL)}, .open = true, .hidden = "expires_at"};

static bool put_block(struct ingest_call *call, const struct json_member *member)
{
    return put_inner(call, &block_shape, member);
}

static bool put_new_offer(struct ingest_call *call, const struct json_member *member)
{
    return put_inner(call, &new_offer_shape, member);
}

static bool put_price(struct ingest_call *call, const struct json_member *member)
{
    return put_inner(call, &price_shape, member);
}

static bool put_offer(struct ingest_call *call, const struct json_member *member)
{
    return put_inner(call, &offer_shape, member);
}

#define TYPE_FIELD                                                                                                     \
    {                                                                                                                  \
        "type", REQUIRED, put_type, "type", STRING                                                                     \
    }
#define STAMP_FIELD                                                                                                    \
    {                                                                                                                  \
        "timestamp", STAMPED, put_time, "timestamp", TIME                                                              \
    }
#define OFFER_EVENT(put)                                                                                               \
    {                                                                                                                  \
        .fields = {TYPE_FIELD, {"offer", REQUIRED, put, "offer", OBJECT}, STAMP_FIELD}, .open = true,                  \
        .hidden = "expires_at"                                                                                         \
    }

/* */
static const struct shape event_shapes[AITBC_EVENT_TYPES] = {
    [AITBC_NEW_BLOCK] = {.fields = {TYPE_FIELD, {"block", REQUIRED, put_block, "block", OBJECT}}, .open = true},
    [AITBC_TRANSACTION_CONFIRMED] = {.fields = {TYPE_FIELD,
                                                {"tx_hash", REQUIRED, put_string, "tx_hash", STRING},
                                                {"block_height", OPTIONAL, put_whole, "block_height", WHOLE},
                                                {"confirmations", OPTIONAL, put_whole, "confirmations", WHOLE},
                                                {"timestamp", OPTIONAL, put_time, "timestamp", TIME}},
                                     .open = true},
    [AITBC_TRANSACTION_PENDING] =
        {.fields = {TYPE_FIELD, {"tx_hash", REQUIRED, put_string, "tx_hash", STRING}, STAMP_FIELD}, .open = true},
    [AITBC_FORK_DETECTED] = {.fields = {TYPE_FIELD,
                                        {"height", REQUIRED, put_whole, "height", WHOLE},
                                        {"hashes", REQUIRED, put_hashes, "hashes",
                                         "must be an array of strings of 1-128 bytes"},
                                        STAMP_FIELD},
                             .open = true},
    [AITBC_SYNC_STATUS] = {.fields = {TYPE_FIELD,
                                      {"syncing", REQUIRED, put_bool, "syncing", "must be true or false"},
                                      {"current_height", OPTIONAL, put_whole, "current_height", WHOLE},
                                      {"highest_height", OPTIONAL, put_whole, "highest_height", WHOLE},
                                      STAMP_FIELD},
                           .open = true},
    [AITBC_NEW_OFFER] = {.fields = {TYPE_FIELD, {"offer", REQUIRED, put_new_offer, "offer", OBJECT}},
                         .open = true,
                         .hidden = "expires_at"},
    [AITBC_OFFER_MATCHED] = {.fields = {TYPE_FIELD,
                                        {"offer", REQUIRED, put_offer, "offer", OBJECT},
                                        {"job_id", OPTIONAL, put_string, "job_id", STRING},
                                        STAMP_FIELD},
                             .open = true,
                             .hidden = "expires_at"},
    [AITBC_OFFER_EXPIRED] = OFFER_EVENT(put_offer),
    [AITBC_OFFER_CANCELLED] = OFFER_EVENT(put_offer),
    [AITBC_PRICE_UPDATE] = OFFER_EVENT(put_price),
};

/* --- topics ------------------------------------------------------------------------------------------------------- */

/* When the offer expires, said beside it or inside it, in milliseconds since 1970; 0: not said. 0 or 422. */
static int find_expiry(struct ingest_call *call, struct slice body, uint64_t *expiry_wall_ms)
{
    struct json_member outer[] = {{.name = "expires_at"}, {.name = "offer"}}, inner = {.name = "expires_at"};
    int64_t unix_ms;
    *expiry_wall_ms = 0;
    check(json_find_members(body, JSON_DEPTH_MAX, false, outer, 2) == JSON_MEMBERS_OK);
    if (outer[1].token == JSON_OBJECT_BEGIN)
        check(json_find_members(outer[1].text, JSON_DEPTH_MAX, false, &inner, 1) == JSON_MEMBERS_OK);
    const struct json_member *given = outer[0].token != JSON_ERROR ? &outer[0] : &inner;
    if (given->token == JSON_ERROR)
        return 0;
    if (!read_time(given, &unix_ms))
        return fail(call, 422, "expires_at", TIME);
    *expiry_wall_ms = unix_ms < 1 ? 1 : (uint64_t)unix_ms;
    return 0;
}

/* The type of an event; 0, 400 or 422. */
static int find_type(struct ingest_call *call, struct slice body, unsigned allowed, enum aitbc_event *type)
{
    uint8_t memory[32];
    struct buf space = buf_of(memory, sizeof memory);
    struct json_member member = {.name = "type"};
    enum json_members result = json_find_members(body, JSON_DEPTH_MAX, false, &member, 1);
    if (result == JSON_MEMBERS_NOT_OBJECT)
        return fail(call, 422, "", OBJECT);
    if (result != JSON_MEMBERS_OK)
        return fail(call, 400, "", "not JSON");
    *type = AITBC_EVENT_TYPES;
    if (member.token == JSON_STRING) {
        struct slice name = json_resolve(member.raw, member.escaped, &space);
        *type = space.overflow ? AITBC_EVENT_TYPES : aitbc_event_named(name);
    }
    if (*type != AITBC_EVENT_TYPES && (allowed >> *type & 1) != 0)
        return 0;
    return fail(call, 422, "type",
                allowed == AITBC_BLOCKCHAIN_EVENTS
                    ? "must be new_block, transaction_confirmed, transaction_pending, fork_detected or sync_status"
                    : "must be new_offer, offer_matched, offer_expired, offer_cancelled or price_update");
}

static int ingest_event(struct ingest_call *call, struct slice body, unsigned allowed)
{
    enum aitbc_event type;
    uint64_t expiry_wall_ms = 0;
    uint8_t expiry[sizeof expiry_wall_ms];
    int status = find_type(call, body, allowed, &type);
    if (status == 0 && allowed == AITBC_MARKETPLACE_EVENTS)
        status = find_expiry(call, body, &expiry_wall_ms);
    if (status != 0)
        return status;
    store_be64(expiry, expiry_wall_ms);
    buf_put(call->text, slice_of(expiry, sizeof expiry));
    call->request_kind = AITBC_EVENT + (uint32_t)type;
    return put_object(call, &event_shapes[type], body);
}

static int ingest_job(struct ingest_call *call, struct slice body)
{
    enum json_members result = json_find_members(body, JSON_DEPTH_MAX, false, NULL, 0);
    if (result == JSON_MEMBERS_NOT_OBJECT)
        return fail(call, 422, "", OBJECT);
    if (result != JSON_MEMBERS_OK)
        return fail(call, 400, "", "not JSON");
    call->request_kind = AITBC_JOB;
    return put_object(call, &job_shape, body);
}

static int unknown_topic(struct ingest_call *call)
{
    return fail(call, 404, "", "unknown topic; there are jobs, blockchain and marketplace");
}

int aitbc_ingest(struct ingest_call *call, struct slice topic, struct slice body)
{
    int status;
    call->kind = INGEST_REQUEST;
    call->field = call->message = "";
    if (slice_is(topic, "jobs"))
        status = ingest_job(call, body);
    else if (slice_is(topic, "blockchain"))
        status = ingest_event(call, body, AITBC_BLOCKCHAIN_EVENTS);
    else if (slice_is(topic, "marketplace"))
        status = ingest_event(call, body, AITBC_MARKETPLACE_EVENTS);
    else
        status = unknown_topic(call);
    if (status == 0 && call->text->overflow)
        status = fail(call, 422, "", "too large");
    call->body = buf_slice(call->text);
    return status;
}

int aitbc_read(struct ingest_call *call, struct slice topic)
{
    call->kind = INGEST_REQUEST;
    call->body = slice_text("");
    if (slice_is(topic, "jobs"))
        call->request_kind = AITBC_READ_JOBS;
    else if (slice_is(topic, "blockchain"))
        call->request_kind = AITBC_READ_CHAIN;
    else if (slice_is(topic, "marketplace"))
        call->request_kind = AITBC_READ_OFFERS;
    else
        return unknown_topic(call);
    return 0;
}
