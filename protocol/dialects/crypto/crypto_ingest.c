/* SPDX-License-Identifier: MIT */
/* Owns the shapes of what is ingested for the dialect crypto (crypto.md): checks the documented fields, brings times
 * into their format, stamps the object and finds out its source (I-9, I-14, Q-1, Q-8, Q-16). All else passes as it
 * came. It never delivers and keeps nothing: the object goes to the schedule service. The publisher API calls it
 * through the dialect's table. */
#include "core/check.h"
#include "protocol/dialects/crypto/crypto.h"
#include "protocol/dialects/crypto/schedule.h"
#include "protocol/dialects/crypto/source_pool.h"
#include "protocol/json.h"
#include "protocol/timestamp.h"
#include "protocol/utf8.h"

/* --- shapes ------------------------------------------------------------------------------------------------------- */

enum shape {
    SHAPE_NUMBER,
    SHAPE_INTEGER,
    SHAPE_STRING,
    SHAPE_BOOL,
    SHAPE_TIME,
    SHAPE_ARRAY,   /* of anything */
    SHAPE_OBJECT,  /* likewise */
    SHAPE_NUMBERS, /* an object whose values are numbers */
    SHAPE_LIST,    /* an array of objects with `fields` */
    SHAPE_TABLE,   /* an object whose values are objects with `fields` */
};

struct field {
    const char *name; /* NULL: the last */
    enum shape shape;
    const struct field *fields;
};

static const char *const wanted[] = {
    [SHAPE_NUMBER] = "must be a number",
    [SHAPE_INTEGER] = "must be a whole number",
    [SHAPE_STRING] = "must be a string",
    [SHAPE_BOOL] = "must be true or false",
    [SHAPE_TIME] = "must be a time in UTC: 2024-01-23T12:34:56.789Z, or unix seconds or milliseconds",
    [SHAPE_ARRAY] = "must be an array",
    [SHAPE_OBJECT] = "must be an object",
    [SHAPE_NUMBERS] = "must be an object of numbers",
    [SHAPE_LIST] = "must be an array of objects",
    [SHAPE_TABLE] = "must be an object of objects",
};

#define FIELDS(...) ((const struct field[]){__VA_ARGS__, {NULL, 0, NULL}})
#define OPEN FIELDS({"timestamp", SHAPE_TIME, NULL})

static const struct field *const shapes[CRYPTO_TOPICS] = {
    /* C-39 */
    [CRYPTO_MARKET_DATA] =
        FIELDS({"prices", SHAPE_NUMBERS, NULL}, {"volumes", SHAPE_NUMBERS, NULL}, {"market_caps", SHAPE_OBJECT, NULL},
               {"price_changes", SHAPE_OBJECT, NULL}, {"source", SHAPE_STRING, NULL}, {"timestamp", SHAPE_TIME, NULL}),
    [CRYPTO_EXPLORERS] = OPEN, /* C-40 */
    /* C-41 */
    [CRYPTO_NEWS] =
        FIELDS({"articles", SHAPE_LIST,
                FIELDS({"title", SHAPE_STRING, NULL}, {"source", SHAPE_STRING, NULL}, {"url", SHAPE_STRING, NULL},
                       {"published_at", SHAPE_TIME, NULL})},
               {"sources", SHAPE_ARRAY, NULL}, {"categories", SHAPE_ARRAY, NULL}, {"timestamp", SHAPE_TIME, NULL}),
    /* C-42 */
    [CRYPTO_SENTIMENT] = FIELDS({"overall_sentiment", SHAPE_STRING, NULL}, {"sentiment_score", SHAPE_NUMBER, NULL},
                                {"social_volume", SHAPE_INTEGER, NULL}, {"trending_topics", SHAPE_ARRAY, NULL},
                                {"sentiment_by_source", SHAPE_OBJECT, NULL}, {"timestamp", SHAPE_TIME, NULL}),
    /* C-43 */
    [CRYPTO_WHALE_TRACKING] =
        FIELDS({"large_transactions", SHAPE_LIST,
                FIELDS({"hash", SHAPE_STRING, NULL}, {"value", SHAPE_NUMBER, NULL}, {"from", SHAPE_STRING, NULL},
                       {"to", SHAPE_STRING, NULL}, {"timestamp", SHAPE_TIME, NULL})},
               {"whale_wallets", SHAPE_ARRAY, NULL}, {"total_volume", SHAPE_NUMBER, NULL},
               {"alert_threshold", SHAPE_NUMBER, NULL}, {"timestamp", SHAPE_TIME, NULL}),
    [CRYPTO_RPC_NODES] = OPEN, /* C-44 */
    [CRYPTO_ONCHAIN] = OPEN,   /* C-45 */
    /* C-46 */
    [CRYPTO_HEALTH_CHECKER] = FIELDS({"overall_health", SHAPE_STRING, NULL}, {"healthy_count", SHAPE_INTEGER, NULL},
                                     {"unhealthy_count", SHAPE_INTEGER, NULL}, {"total_providers", SHAPE_INTEGER, NULL},
                                     {"providers", SHAPE_TABLE,
                                      FIELDS({"status", SHAPE_STRING, NULL}, {"response_time_ms", SHAPE_NUMBER, NULL},
                                             {"last_check", SHAPE_TIME, NULL})},
                                     {"timestamp", SHAPE_TIME, NULL}),
    /* C-47 */
    [CRYPTO_POOL_MANAGER] = FIELDS({"pools", SHAPE_TABLE,
                                    FIELDS({"active_source", SHAPE_STRING, NULL},
                                           {"available_sources", SHAPE_ARRAY, NULL}, {"health", SHAPE_STRING, NULL})},
                                   {"active_sources", SHAPE_ARRAY, NULL}, {"inactive_sources", SHAPE_ARRAY, NULL},
                                   {"failover_count", SHAPE_INTEGER, NULL}, {"timestamp", SHAPE_TIME, NULL}),
    /* C-48 */
    [CRYPTO_SCHEDULER] =
        FIELDS({"running", SHAPE_BOOL, NULL}, {"total_jobs", SHAPE_INTEGER, NULL}, {"active_jobs", SHAPE_INTEGER, NULL},
               {"jobs", SHAPE_LIST,
                FIELDS({"id", SHAPE_STRING, NULL}, {"next_run", SHAPE_TIME, NULL}, {"status", SHAPE_STRING, NULL})},
               {"timestamp", SHAPE_TIME, NULL}),
    /* C-49 */
    [CRYPTO_HUGGINGFACE] = FIELDS({"total_models", SHAPE_INTEGER, NULL}, {"total_datasets", SHAPE_INTEGER, NULL},
                                  {"available_models", SHAPE_ARRAY, NULL}, {"available_datasets", SHAPE_ARRAY, NULL},
                                  {"last_refresh", SHAPE_TIME, NULL}, {"timestamp", SHAPE_TIME, NULL}),
    /* C-50 */
    [CRYPTO_PERSISTENCE] = FIELDS({"storage_location", SHAPE_STRING, NULL}, {"total_records", SHAPE_INTEGER, NULL},
                                  {"storage_size", SHAPE_STRING, NULL}, {"last_save", SHAPE_TIME, NULL},
                                  {"active_writers", SHAPE_INTEGER, NULL}, {"timestamp", SHAPE_TIME, NULL}),
};

static int fail(struct ingest_call *call, int status, const char *field, const char *message)
{
    call->field = field;
    call->message = message;
    return status;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

/* A valid text that is read token by token and copied, with some times rewritten. */
struct walk {
    struct ingest_call *call;
    struct json_reader reader;
    const uint8_t *copied; /* of the text, all before it */
    bool empty;            /* the outermost object has no member */
};

/* A string or number as a time. */
static bool read_time(const struct json_value *value, int64_t *unix_ms)
{
    uint8_t memory[64];
    struct buf space = buf_of(memory, sizeof memory);
    uint64_t number;
    if (value->token == JSON_NUMBER)
        return json_u64(value->raw, &number) && timestamp_from_number(number, unix_ms);
    if (value->token != JSON_STRING)
        return false;
    struct slice text = json_resolve(value->raw, value->escaped, &space);
    return !space.overflow && timestamp_parse_iso(text, unix_ms);
}

/* A time that stands in its format already stays as it is. */
static bool take_time(struct walk *walk, const struct json_value *value)
{
    struct buf *out = walk->call->text;
    uint8_t memory[TIMESTAMP_ISO_MS_BYTES];
    struct buf text = buf_of(memory, sizeof memory);
    int64_t unix_ms;
    if (!read_time(value, &unix_ms))
        return false;
    timestamp_put_iso_ms(&text, unix_ms);
    if (value->token == JSON_STRING && slice_equal(value->raw, buf_slice(&text)))
        return true;
    bool quoted = value->token == JSON_STRING;
    buf_put(out, slice_of(walk->copied, (size_t)(value->raw.data - quoted - walk->copied)));
    json_put_string(out, buf_slice(&text));
    walk->copied = value->raw.data + value->raw.bytes + quoted;
    return true;
}

static bool is_integer(struct slice raw)
{
    int64_t integer;
    uint64_t whole;
    return json_i64(raw, &integer) || json_u64(raw, &whole);
}

static bool take_numbers(struct walk *walk)
{
    struct json_value value;
    while (json_next(&walk->reader, &value) == JSON_KEY)
        if (json_next(&walk->reader, &value) != JSON_NUMBER)
            return false;
    return true;
}

static int take_members(struct walk *walk, const struct field *fields);

/* Objects with fields, in an array or under names. 0, or 422. */
static int take_objects(struct walk *walk, const struct field *field)
{
    struct json_value value;
    enum json_token end = field->shape == SHAPE_LIST ? JSON_ARRAY_END : JSON_OBJECT_END;
    while (json_next(&walk->reader, &value) != end) {
        if (field->shape == SHAPE_TABLE)
            (void)json_next(&walk->reader, &value);
        if (value.token != JSON_OBJECT_BEGIN)
            return fail(walk->call, 422, field->name, wanted[field->shape]);
        int status = take_members(walk, field->fields);
        if (status != 0)
            return status;
    }
    return 0;
}

/* The value of a documented field. 0, or 422. */
static int take_field(struct walk *walk, const struct field *field)
{
    struct json_value value;
    struct slice text;
    enum json_token token = json_next(&walk->reader, &value);
    bool good = false;
    switch (field->shape) {
    case SHAPE_NUMBER:
        good = token == JSON_NUMBER;
        break;
    case SHAPE_INTEGER:
        good = token == JSON_NUMBER && is_integer(value.raw);
        break;
    case SHAPE_STRING:
        good = token == JSON_STRING;
        break;
    case SHAPE_BOOL:
        good = token == JSON_TRUE || token == JSON_FALSE;
        break;
    case SHAPE_TIME:
        good = take_time(walk, &value);
        break;
    case SHAPE_ARRAY:
        good = token == JSON_ARRAY_BEGIN && json_skip(&walk->reader, &value, &text);
        break;
    case SHAPE_OBJECT:
        good = token == JSON_OBJECT_BEGIN && json_skip(&walk->reader, &value, &text);
        break;
    case SHAPE_NUMBERS:
        good = token == JSON_OBJECT_BEGIN && take_numbers(walk);
        break;
    case SHAPE_LIST:
    case SHAPE_TABLE:
        if (token == (field->shape == SHAPE_LIST ? JSON_ARRAY_BEGIN : JSON_OBJECT_BEGIN))
            return take_objects(walk, field);
        break;
    }
    return good ? 0 : fail(walk->call, 422, field->name, wanted[field->shape]);
}

/* Behind the '{' of an object, to behind its '}'. Recursion is as deep as the tables above. */
static int take_members(struct walk *walk, const struct field *fields)
{
    struct json_value key, value;
    struct slice text;
    int status = 0;
    while (status == 0 && json_next(&walk->reader, &key) == JSON_KEY) {
        const struct field *field = fields;
        walk->empty = false;
        while (field->name != NULL && !json_raw_equal(key.raw, key.escaped, slice_text(field->name)))
            field++;
        if (field->name != NULL) {
            status = take_field(walk, field);
        } else {
            (void)json_next(&walk->reader, &value);
            check(json_skip(&walk->reader, &value, &text));
        }
    }
    return status;
}

/* --- one object --------------------------------------------------------------------------------------------------- */

/* Header, then field, then "default". 0, or 422. */
static int find_source(struct ingest_call *call, const struct json_member *member, struct buf *space,
                       struct slice *source)
{
    const char *field = "source";
    if (call->source.bytes > 0) {
        field = "X-Source";
        *source = call->source;
    } else if (member->token == JSON_STRING && member->raw.bytes > 0) {
        *source = json_resolve(member->raw, member->escaped, space);
    } else {
        *source = slice_text("default");
    }
    if (space->overflow || !source_name_valid(*source))
        return fail(call, 422, field, "must be 1-64 bytes of UTF-8");
    return 0;
}

/* How long ago the data was made, by its own timestamp. */
static uint64_t delay_of(const struct ingest_call *call, const struct json_member *timestamp)
{
    struct json_value value = {.token = timestamp->token, .raw = timestamp->raw, .escaped = timestamp->escaped};
    int64_t unix_ms;
    if (!read_time(&value, &unix_ms) || unix_ms < 0 || (uint64_t)unix_ms > call->wall_ms)
        return 0;
    return call->wall_ms - (uint64_t)unix_ms;
}

/* Behind the head: the object from '{' to '}', times in their format, with a timestamp. 0, or 422. */
static int put_object(struct ingest_call *call, enum crypto_service topic, struct slice body, bool stamped)
{
    struct walk walk = {.call = call, .empty = true};
    struct json_value value;
    json_init(&walk.reader, body, JSON_DEPTH_MAX);
    (void)json_next(&walk.reader, &value);
    walk.copied = walk.reader.at - 1;
    int status = take_members(&walk, shapes[topic]);
    if (status != 0)
        return status;
    buf_put(call->text, slice_of(walk.copied, (size_t)(walk.reader.at - 1 - walk.copied)));
    if (!stamped) { /* C-34 */
        if (!walk.empty)
            buf_put_byte(call->text, ',');
        crypto_put_time(call->text, "timestamp", call->wall_ms);
    }
    buf_put_byte(call->text, '}');
    return 0;
}

static int find_topic(struct ingest_call *call, struct slice name, enum crypto_service *topic)
{
    *topic = crypto_service_find(name);
    return *topic < CRYPTO_TOPICS ? 0 : fail(call, 404, "", "unknown topic; there are the 12 services with data");
}

int crypto_ingest(struct ingest_call *call, struct slice name, struct slice body)
{
    enum { SOURCE, TIMESTAMP, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "source"}, {.name = "timestamp"}};
    uint8_t memory[SOURCE_NAME_BYTES_MAX];
    struct buf space = buf_of(memory, sizeof memory);
    enum crypto_service topic;
    int status = find_topic(call, name, &topic);
    if (status != 0)
        return status;
    enum json_members result = json_find_members(body, JSON_DEPTH_MAX, false, members, MEMBERS);
    if (result == JSON_MEMBERS_NOT_OBJECT)
        return fail(call, 422, "", "must be an object");
    if (result != JSON_MEMBERS_OK)
        return fail(call, 400, "", "not JSON");
    struct schedule_head head = {.topic = (uint8_t)topic, .merge = call->merge};
    status = find_source(call, &members[SOURCE], &space, &head.source);
    if (status != 0)
        return status;
    head.delay_ms = delay_of(call, &members[TIMESTAMP]);
    schedule_put_head(call->text, &head);
    status = put_object(call, topic, body, members[TIMESTAMP].token != JSON_ERROR);
    if (status == 0 && call->text->overflow)
        status = fail(call, 422, "", "too large");
    call->kind = INGEST_REQUEST;
    call->request_kind = SCHEDULE_PUT;
    call->body = buf_slice(call->text);
    return status;
}

int crypto_read(struct ingest_call *call, struct slice name)
{
    enum crypto_service topic;
    int status = find_topic(call, name, &topic);
    if (status != 0)
        return status;
    buf_put_byte(call->text, (uint8_t)topic);
    call->kind = INGEST_REQUEST;
    call->request_kind = SCHEDULE_READ;
    call->body = buf_slice(call->text);
    return 0;
}
