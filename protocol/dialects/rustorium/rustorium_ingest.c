/* SPDX-License-Identifier: MIT */
/* Owns the shapes of what is ingested for the dialect rustorium (rustorium.md): checks each object and rewrites it with
 * exactly its documented fields, in their order, times in their format (I-14, Q-1).
 * It never delivers and keeps nothing: the rewritten object goes to the chain service.
 * The publisher API calls it through the dialect's table. */
#include "protocol/base64.h"
#include "protocol/dialects/rustorium/rustorium.h"

#include "protocol/dialects/rustorium/chain.h"
#include "protocol/json.h"
#include "protocol/timestamp.h"

#define NAME_TEXT_BYTES_MAX 128 /* of a hash or a key, escapes resolved */

static int fail(struct ingest_call *call, int status, const char *field, const char *message)
{
    call->field = field;
    call->message = message;
    return status;
}

static void put_name(struct ingest_call *call, const char *name)
{
    buf_put_byte(call->text, call->text->used == 0 ? '{' : ',');
    json_put_string(call->text, slice_text(name));
    buf_put_byte(call->text, ':');
}

/* Each put_ function appends one member of the object, or fails with 422. */

static int put_number(struct ingest_call *call, const struct json_member *member, uint64_t min, uint64_t max,
                      const char *wanted)
{
    uint64_t value;
    if (member->token != JSON_NUMBER || !json_u64(member->raw, &value) || value < min || value > max)
        return fail(call, 422, member->name, wanted);
    put_name(call, member->name);
    buf_put(call->text, member->raw);
    return 0;
}

static int put_block_number(struct ingest_call *call, const struct json_member *member)
{
    return put_number(call, member, 0, UINT64_MAX, "must be a whole number, 0 or more");
}

static bool is_name(enum json_token token, struct slice raw)
{
    uint8_t memory[NAME_TEXT_BYTES_MAX];
    struct buf text = buf_of(memory, sizeof memory);
    if (token != JSON_STRING)
        return false;
    json_unescape(raw, &text);
    return !text.overflow && text.used > 0;
}

/* A hash or key, passed on as written. */
static int put_string(struct ingest_call *call, const struct json_member *member)
{
    if (!is_name(member->token, member->raw))
        return fail(call, 422, member->name, "must be a string of 1-128 bytes");
    put_name(call, member->name);
    buf_put(call->text, member->text);
    return 0;
}

static int put_hashes(struct ingest_call *call, const struct json_member *member)
{
    struct json_reader list;
    struct json_value hash;
    if (member->token != JSON_ARRAY_BEGIN)
        return fail(call, 422, member->name, "must be an array of strings");
    put_name(call, member->name);
    json_init(&list, member->text, JSON_DEPTH_MAX);
    (void)json_next(&list, &hash);
    buf_put_byte(call->text, '[');
    for (bool first = true; json_next(&list, &hash) != JSON_ARRAY_END; first = false) {
        if (!is_name(hash.token, hash.raw))
            return fail(call, 422, member->name, "must be an array of strings of 1-128 bytes");
        if (!first)
            buf_put_byte(call->text, ',');
        buf_put(call->text, slice_of(hash.raw.data - 1, hash.raw.bytes + 2));
    }
    buf_put_byte(call->text, ']');
    return 0;
}

/* G-11, Q-1: what is already in the field's format stays as it is, every other accepted form becomes it. */
static int put_timestamp(struct ingest_call *call, const struct json_member *member)
{
    uint8_t memory[64];
    struct buf space = buf_of(memory, sizeof memory);
    uint64_t number;
    int64_t unix_ms = 0;
    bool good = false;
    if (member->token == JSON_STRING) {
        struct slice text = json_resolve(member->raw, member->escaped, &space);
        good = !space.overflow && timestamp_parse_iso(text, &unix_ms);
    } else if (member->token == JSON_NUMBER) {
        good = json_u64(member->raw, &number) && timestamp_from_number(number, &unix_ms);
    }
    if (!good)
        return fail(call, 422, member->name,
                    "must be a time in UTC: 2024-01-23T12:34:56Z, or unix seconds or milliseconds");
    put_name(call, member->name);
    buf_put_byte(call->text, '"');
    timestamp_put_iso(call->text, unix_ms);
    buf_put_byte(call->text, '"');
    return 0;
}

/* The timestamp of a state may be missing and is then the time of arrival. */
static int put_timestamp_or_now(struct ingest_call *call, const struct json_member *member)
{
    if (member->token != JSON_ERROR)
        return put_timestamp(call, member);
    put_name(call, member->name);
    buf_put_byte(call->text, '"');
    timestamp_put_iso(call->text, (int64_t)call->wall_ms);
    buf_put_byte(call->text, '"');
    return 0;
}

static int put_base64(struct ingest_call *call, const struct json_member *member)
{
    if (member->token != JSON_STRING)
        return fail(call, 422, member->name, "must be a string in base64");
    size_t mark = call->text->used;
    bool good = base64_valid(json_resolve(member->raw, member->escaped, call->text));
    call->text->used = mark; /* what was resolved there is not part of the object */
    if (!good)
        return fail(call, 422, member->name, "must be base64 with padding");
    put_name(call, member->name);
    buf_put(call->text, member->text);
    return 0;
}

static int put_confirmations(struct ingest_call *call, const struct json_member *member)
{
    return put_number(call, member, 1, UINT32_MAX, "must be a whole number, 1 or more");
}

#define FIELDS_MAX 5

/* A topic: the fields of its objects in their documented order. */
struct shape {
    const char *topic;
    uint32_t request;
    uint32_t read;
    struct {
        const char *name; /* NULL: no more */
        int (*put)(struct ingest_call *call, const struct json_member *member);
    } fields[FIELDS_MAX];
};

static const struct shape shapes[] = {
    /* */
    {CHAIN_CHANNEL_BLOCKS,
     CHAIN_BLOCK,
     CHAIN_READ_BLOCKS,
     {{"number", put_block_number},
      {"hash", put_string},
      {"parent_hash", put_string},
      {"timestamp", put_timestamp},
      {"transactions", put_hashes}}},
    /* */
    {CHAIN_CHANNEL_STATE,
     CHAIN_STATE,
     CHAIN_READ_STATE,
     {{"key", put_string},
      {"value", put_base64},
      {"block_number", put_block_number},
      {"timestamp", put_timestamp_or_now}}},
    /* */
    {CHAIN_CHANNEL_TRANSACTIONS,
     CHAIN_TX,
     CHAIN_READ_TX,
     {{"tx_hash", put_string},
      {"block_number", put_block_number},
      {"timestamp", put_timestamp},
      {"confirmations", put_confirmations}}},
};

/* 0, 404 or 409. */
static int find_shape(struct ingest_call *call, struct slice topic, const struct shape **found)
{
    const struct rustorium_settings *settings = call->settings;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (!slice_is(topic, shapes[i].topic))
            continue;
        if (shapes[i].request == CHAIN_TX && settings->tx_source == RUSTORIUM_TX_DERIVE) /* */
            return fail(call, 409, "", "transactions are derived from blocks; rustorium.tx_source is not ingest");
        *found = &shapes[i];
        return 0;
    }
    return fail(call, 404, "", "unknown topic; there are blocks, state and transactions");
}

int rustorium_ingest(struct ingest_call *call, struct slice topic, struct slice body)
{
    const struct shape *shape;
    struct json_member members[FIELDS_MAX];
    size_t count = 0;
    int status = find_shape(call, topic, &shape);
    if (status != 0)
        return status;
    for (; count < FIELDS_MAX && shape->fields[count].name != NULL; count++)
        members[count].name = shape->fields[count].name;
    enum json_members result = json_find_members(body, JSON_DEPTH_MAX, false, members, count);
    if (result == JSON_MEMBERS_NOT_OBJECT)
        return fail(call, 422, "", "must be an object");
    if (result != JSON_MEMBERS_OK)
        return fail(call, 400, "", "not JSON");
    for (size_t i = 0; i < count && status == 0; i++)
        status = shape->fields[i].put(call, &members[i]);
    buf_put_byte(call->text, '}');
    if (status == 0 && call->text->overflow)
        status = fail(call, 422, "", "too large");
    call->kind = INGEST_REQUEST;
    call->request_kind = shape->request;
    call->body = buf_slice(call->text);
    return status;
}

int rustorium_read(struct ingest_call *call, struct slice topic)
{
    const struct shape *shape;
    int status = find_shape(call, topic, &shape);
    if (status != 0)
        return status;
    call->kind = INGEST_REQUEST;
    call->request_kind = shape->read;
    call->body = slice_text("");
    return 0;
}
