/* SPDX-License-Identifier: MIT */
/* Owns the shapes of what publishers may send (I-11, I-12, 5.2, 5.4) and turns them into requests to the node. It keeps
 * nothing. The ingest side calls it. */
#include "protocol/dialects/rnn/rnn_events.h"
#include "protocol/dialects/rnn/rnn_tables.h"
#include "protocol/dialects/rnn/shapes.h"

#include <string.h>

#define VALUES(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct shape_field peer_fields[] = {/* N-21 */
                                                 {"id", SHAPE_TEXT, NULL, NULL},
                                                 {"addresses", SHAPE_ARRAY, "[]", NULL},
                                                 {"last_seen", SHAPE_INT, "0", NULL},
                                                 {"is_relay", SHAPE_BOOL, "false", NULL},
                                                 {"can_be_relay", SHAPE_BOOL, "false", NULL},
                                                 {"connection_quality", SHAPE_INT, "0", NULL},
                                                 {"metadata", SHAPE_OBJECT, "{}", NULL},
                                                 {.name = NULL}};

static const struct shape_field blacklist_fields[] = {/* N-22 */
                                                      {"peer_id", SHAPE_TEXT, NULL, NULL},
                                                      {"reason", SHAPE_TEXT, "\"\"", NULL},
                                                      {"added_at", SHAPE_INT, "0", NULL},
                                                      {"expires_at", SHAPE_INT, "0", NULL},
                                                      {.name = NULL}};

static const struct shape_field session_fields[] = {/* N-23 */
                                                    {"session_id", SHAPE_TEXT, NULL, NULL},
                                                    {"remote_peer_id", SHAPE_TEXT, "\"\"", NULL},
                                                    {"start_time", SHAPE_INT, "0", NULL},
                                                    {"duration_seconds", SHAPE_INT, "", NULL},
                                                    {"bytes_sent", SHAPE_INT, "0", NULL},
                                                    {"bytes_recv", SHAPE_INT, "0", NULL},
                                                    {"earnings", SHAPE_NUMBER, "0", NULL},
                                                    {.name = NULL}};
enum { SESSION_START = 2, SESSION_DURATION = 3, SESSION_FIELDS = 7 };

static const struct shape_field candidate_fields[] =
    {/* N-24 */
     {"node_id", SHAPE_TEXT, NULL, NULL},         {"peer_id", SHAPE_TEXT, "\"\"", NULL},
     {"endpoint", SHAPE_TEXT, "\"\"", NULL},      {"latency", SHAPE_TEXT, "", NULL},
     {"latency_ms", SHAPE_INT, "0", NULL},        {"reputation_score", SHAPE_NUMBER, "0", NULL},
     {"pricing_per_gb", SHAPE_NUMBER, "0", NULL}, {"capacity", SHAPE_INT, "0", NULL},
     {"last_seen", SHAPE_INT, "0", NULL},         {"is_connected", SHAPE_BOOL, "false", NULL},
     {"is_preferred", SHAPE_BOOL, "false", NULL}, {.name = NULL}};
enum { CANDIDATE_LATENCY = 3, CANDIDATE_LATENCY_MS = 4 };

static const struct shape_field workflow_fields[] = {/* N-26 */
                                                     {"id", SHAPE_ID, NULL, NULL},
                                                     {"name", SHAPE_TEXT, NULL, NULL},
                                                     {"description", SHAPE_TEXT, "\"\"", NULL},
                                                     {"status", SHAPE_TEXT, "\"\"", NULL},
                                                     {"job_count", SHAPE_INT, "0", NULL},
                                                     {"config", SHAPE_OBJECT, "{}", NULL},
                                                     {"created_at", SHAPE_INT, "0", NULL},
                                                     {"updated_at", SHAPE_INT, "0", NULL},
                                                     {.name = NULL}};

static const struct shape_field service_fields[] = {/* N-25, N-33; those behind INTERFACES only in the list */
                                                    {"id", SHAPE_ID, NULL, NULL},
                                                    {"name", SHAPE_TEXT, NULL, NULL},
                                                    {"description", SHAPE_TEXT, "\"\"", NULL},
                                                    {"service_type", SHAPE_TEXT, NULL,
                                                     VALUES("DOCKER", "DATA", "STANDALONE")},
                                                    {"type", SHAPE_TEXT, "", NULL},
                                                    {"status", SHAPE_TEXT, "\"ACTIVE\"", NULL},
                                                    {"pricing_amount", SHAPE_NUMBER, "", NULL},
                                                    {"pricing_type", SHAPE_TEXT, "", NULL},
                                                    {"pricing_interval", SHAPE_INT, "", NULL},
                                                    {"pricing_unit", SHAPE_TEXT, "", NULL},
                                                    {"capabilities", SHAPE_OBJECT, "", NULL},
                                                    {"interfaces", SHAPE_ARRAY, "[]", NULL},
                                                    {"config", SHAPE_OBJECT, "{}", NULL},
                                                    {"created_at", SHAPE_INT, "0", NULL},
                                                    {"updated_at", SHAPE_INT, "0", NULL},
                                                    {.name = NULL}};
enum { ID, NAME, DESCRIPTION, SERVICE_TYPE, CATEGORY, STATUS, INTERFACES = 11, CONFIG, CREATED, UPDATED };

static const struct shape_field capability_fields[] = {/* N-38 */
                                                       {"peer_id", SHAPE_TEXT, NULL, NULL},
                                                       {"capabilities", SHAPE_OBJECT, NULL, NULL},
                                                       {.name = NULL}};

static const struct shape_field node_fields[] = {/* I-11 */
                                                 {"quic_connections", SHAPE_INT, "", NULL},
                                                 {"relay_mode", SHAPE_BOOL, "", NULL},
                                                 {"nat_mode", SHAPE_BOOL, "", NULL},
                                                 {.name = NULL}};

static const struct topic {
    const char *name;
    enum rnn_list list;
    const struct shape_field *fields;
} topics[] = {
    {"peers", RNN_LIST_PEERS, peer_fields},
    {"blacklist", RNN_LIST_BLACKLIST, blacklist_fields},
    {"relay_sessions", RNN_LIST_SESSIONS, session_fields},
    {"relay_candidates", RNN_LIST_CANDIDATES, candidate_fields},
    {"services", RNN_LIST_SERVICES, service_fields},
    {"peer_services", RNN_LIST_PEER_SERVICES, service_fields},
    {"peer_capabilities", RNN_LIST_CAPABILITIES, capability_fields},
    {"workflows", RNN_LIST_WORKFLOWS, workflow_fields},
    {"node", RNN_LIST_NODE, node_fields},
};

static int refuse(struct ingest_call *call, int status, const char *field, const char *message)
{
    call->field = field;
    call->message = message;
    return status;
}

static int read_object(struct ingest_call *call, struct slice body, struct json_member *members, size_t count)
{
    switch (json_find_members(body, RNN_DEPTH_MAX, false, members, count)) {
    case JSON_MEMBERS_OK:
        return 0;
    case JSON_MEMBERS_NOT_OBJECT:
        return refuse(call, 422, "", "must be an object");
    default:
        return refuse(call, 400, "", "is not JSON");
    }
}

/* --- items -------------------------------------------------------------------------------------------------------- */

static struct slice since(const struct buf *space, size_t *mark)
{
    struct slice slice = buf_since(space, *mark);
    *mark = space->used;
    return slice;
}

/* The members [from, to) of an item, behind a brace or a comma. */
static void put_fields(struct buf *out, const struct shape_field *fields, const struct json_member *found,
                       unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        shape_put(&fields[i], &found[i], out);
}

/* "id" as a string (N-25, N-26, G-29). */
static void put_id_text(struct buf *out, const struct json_member *id)
{
    buf_put_text(out, "{\"id\":\"");
    buf_put(out, id->raw);
    buf_put_byte(out, '"');
}

static void write_service(struct buf *space, const struct json_member *found, struct rnn_item *item)
{
    size_t mark = space->used;
    put_id_text(space, &found[ID]);
    put_fields(space, service_fields, found, NAME, SERVICE_TYPE);
    buf_put_text(space, ",\"type\":");
    buf_put(space, found[SERVICE_TYPE].text);
    put_fields(space, service_fields, found, CONFIG, CREATED);
    put_fields(space, service_fields, found, STATUS, STATUS + 1);
    put_fields(space, service_fields, found, CREATED, UPDATED + 1);
    buf_put_byte(space, '}');
    item->text = since(space, &mark);
    buf_put_byte(space, '{');
    put_fields(space, service_fields, found, ID, INTERFACES);
    item->found = since(space, &mark);
    put_fields(space, service_fields, found, INTERFACES, CONFIG);
    buf_put_byte(space, '}');
    item->found_tail = since(space, &mark);
    for (unsigned i = NAME; i <= DESCRIPTION; i++) {
        uint8_t *start = space->data + space->used;
        if (found[i].token == JSON_ERROR)
            continue;
        size_t begin = space->used;
        json_unescape(found[i].raw, space);
        for (size_t n = 0; n < space->used - begin; n++)
            if (start[n] >= 'A' && start[n] <= 'Z')
                start[n] = (uint8_t)(start[n] - 'A' + 'a');
        buf_put_byte(space, '\n');
    }
    item->words = since(space, &mark);
    bool active = found[STATUS].token == JSON_ERROR ||
                  json_raw_equal(found[STATUS].raw, found[STATUS].escaped, slice_text("ACTIVE"));
    item->number = rnn_service_bit(found[SERVICE_TYPE].raw) | (active ? RNN_ACTIVE : 0);
}

static void write_session(struct buf *space, const struct json_member *found, struct rnn_item *item)
{
    size_t mark = space->used;
    bool computed = found[SESSION_DURATION].token == JSON_ERROR;
    item->number = shape_u64(&session_fields[SESSION_START], &found[SESSION_START]);
    if (!computed) {
        shape_put_all(session_fields, found, space);
        item->text = since(space, &mark);
        return;
    }
    buf_put_byte(space, '{');
    put_fields(space, session_fields, found, 0, SESSION_DURATION);
    buf_put_text(space, ",\"duration_seconds\":");
    item->text = since(space, &mark);
    put_fields(space, session_fields, found, SESSION_DURATION + 1, SESSION_FIELDS);
    buf_put_byte(space, '}');
    item->tail = since(space, &mark);
}

static void write_candidate(struct buf *space, const struct json_member *found, struct rnn_item *item)
{
    size_t mark = space->used;
    if (found[CANDIDATE_LATENCY].token != JSON_ERROR) {
        shape_put_all(candidate_fields, found, space);
    } else {
        buf_put_byte(space, '{');
        put_fields(space, candidate_fields, found, 0, CANDIDATE_LATENCY);
        buf_put_text(space, ",\"latency\":\"");
        buf_put_u64(space, shape_u64(&candidate_fields[CANDIDATE_LATENCY_MS], &found[CANDIDATE_LATENCY_MS]));
        buf_put_text(space, "ms\"");
        for (unsigned i = CANDIDATE_LATENCY_MS; candidate_fields[i].name != NULL; i++)
            shape_put(&candidate_fields[i], &found[i], space);
        buf_put_byte(space, '}');
    }
    item->text = since(space, &mark);
}

static void write_workflow(struct buf *space, const struct json_member *found, struct rnn_item *item)
{
    size_t mark = space->used;
    put_id_text(space, &found[ID]);
    for (unsigned i = 1; workflow_fields[i].name != NULL; i++)
        shape_put(&workflow_fields[i], &found[i], space);
    buf_put_byte(space, '}');
    item->text = since(space, &mark);
}

/* The key of an item: its first field, as text. */
static bool take_key(const struct json_member *first, struct buf *space, struct slice *key)
{
    size_t mark = space->used;
    json_unescape(first->raw, space);
    *key = buf_since(space, mark);
    return key->bytes > 0 && key->bytes <= RNN_ID_BYTES_MAX;
}

/* One item, checked and written; `space` has room for it. */
static int put_item(struct ingest_call *call, const struct topic *topic, struct slice object, struct buf *space)
{
    struct json_member found[SHAPE_FIELDS_MAX];
    struct shape_fault fault;
    struct rnn_item item = {.key = slice_text("")};
    if (!shape_check(topic->fields, object, found, &fault))
        return refuse(call, fault.status, fault.field, fault.message);
    if (!take_key(&found[0], space, &item.key))
        return refuse(call, 422, topic->fields[0].name, "must have 1 to 100 bytes");
    size_t mark = space->used;
    switch (topic->list) {
    case RNN_LIST_SERVICES:
    case RNN_LIST_PEER_SERVICES:
        write_service(space, found, &item);
        break;
    case RNN_LIST_SESSIONS:
        write_session(space, found, &item);
        break;
    case RNN_LIST_CANDIDATES:
        write_candidate(space, found, &item);
        break;
    case RNN_LIST_WORKFLOWS:
        write_workflow(space, found, &item);
        break;
    case RNN_LIST_CAPABILITIES:
        item.text = found[1].text;
        break;
    case RNN_LIST_BLACKLIST:
        item.number = shape_u64(&blacklist_fields[3], &found[3]);
        /* fall through */
    case RNN_LIST_PEERS:
    case RNN_LIST_NODE:
        shape_put_all(topic->fields, found, space);
        item.text = since(space, &mark);
        break;
    }
    rnn_put_item(call->text, &item);
    return call->text->overflow || space->overflow ? refuse(call, 422, "", "too large") : 0;
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* An item is written at most so much longer than it came: every name once more, defaults, both forms of a service. */
#define ITEM_GROWTH 4
#define ITEM_EXTRA 1024
#define ITEM_ROOM (256U << 10)

static int put_each(struct ingest_call *call, const struct topic *topic, struct slice array)
{
    uint8_t *memory = call->text->data + call->text->capacity; /* put_items has left room there */
    struct json_reader reader;
    struct json_value value;
    enum json_token token;
    json_init(&reader, array, RNN_DEPTH_MAX);
    json_next(&reader, &value); /* the bracket */
    while ((token = json_next(&reader, &value)) != JSON_ARRAY_END) {
        struct slice object;
        struct buf space = buf_of(memory, ITEM_ROOM);
        if (token == JSON_ERROR || !json_skip(&reader, &value, &object))
            return refuse(call, 400, "items", "is not JSON");
        if (object.bytes * ITEM_GROWTH + ITEM_EXTRA > ITEM_ROOM)
            return refuse(call, 422, "items", "holds an item of more than 63 KiB");
        int status = put_item(call, topic, object, &space);
        if (status != 0)
            return status;
    }
    return 0;
}

static int put_items(struct ingest_call *call, const struct topic *topic, struct slice array)
{
    if (call->text->capacity - call->text->used < 2 * ITEM_ROOM) {
        call->text->overflow = true;
        return refuse(call, 413, "items", "are too large");
    }
    call->text->capacity -= ITEM_ROOM; /* where each item is written first */
    int status = put_each(call, topic, array);
    call->text->capacity += ITEM_ROOM;
    return status;
}

/* Ids as strings or numbers. */
static int put_ids(struct ingest_call *call, struct slice array)
{
    struct json_reader reader;
    struct json_value value;
    enum json_token token;
    json_init(&reader, array, RNN_DEPTH_MAX);
    json_next(&reader, &value);
    while ((token = json_next(&reader, &value)) != JSON_ARRAY_END) {
        uint8_t memory[RNN_ID_BYTES_MAX * 6 + 1];
        struct buf space = buf_of(memory, sizeof memory);
        if ((token != JSON_STRING && token != JSON_NUMBER) || value.raw.bytes > RNN_ID_BYTES_MAX * 6)
            return refuse(call, 422, "ids", "must hold ids of 1 to 100 bytes");
        json_unescape(value.raw, &space);
        if (space.used == 0 || space.used > RNN_ID_BYTES_MAX)
            return refuse(call, 422, "ids", "must hold ids of 1 to 100 bytes");
        rnn_put_part(call->text, buf_slice(&space));
    }
    return call->text->overflow ? refuse(call, 422, "ids", "are too many") : 0;
}

static bool text_of(const struct json_member *member, size_t bytes_max, struct buf *space, struct slice *text)
{
    size_t mark = space->used;
    *text = slice_text("");
    if (member->token == JSON_ERROR)
        return true;
    if (member->token != JSON_STRING || member->raw.bytes > bytes_max * 6)
        return false;
    json_unescape(member->raw, space);
    *text = buf_since(space, mark);
    return text->bytes <= bytes_max;
}

static int take_table(struct ingest_call *call, const struct topic *topic, struct slice body)
{
    enum { OP, ITEMS, IDS, PEER, PEER_NAME, MEMBERS };
    struct json_member members[MEMBERS] = {
        {.name = "op"}, {.name = "items"}, {.name = "ids"}, {.name = "peer_id"}, {.name = "peer_name"}};
    uint8_t memory[RNN_ID_BYTES_MAX * 16];
    struct buf space = buf_of(memory, sizeof memory);
    struct rnn_operation operation = {.list = (uint8_t)topic->list};
    int status = read_object(call, body, members, MEMBERS);
    if (status != 0)
        return status;
    static const char *const kinds[] = {"upsert", "delete", "replace"};
    for (size_t i = 0; i < 3 && members[OP].token == JSON_STRING; i++)
        if (json_raw_equal(members[OP].raw, members[OP].escaped, slice_text(kinds[i])))
            operation.kind = (uint8_t)kinds[i][0];
    if (operation.kind == 0)
        return refuse(call, 422, "op", "must be upsert, delete or replace");
    if (!text_of(&members[PEER], RNN_ID_BYTES_MAX, &space, &operation.peer) ||
        !text_of(&members[PEER_NAME], RNN_ID_BYTES_MAX, &space, &operation.peer_name))
        return refuse(call, 422, "peer_id", "must be a string of at most 100 bytes, and so must peer_name");
    if (topic->list == RNN_LIST_PEER_SERVICES && operation.peer.bytes == 0)
        return refuse(call, 422, "peer_id", "is missing: whose services are they");
    if (topic->list != RNN_LIST_PEER_SERVICES)
        operation.peer = operation.peer_name = slice_text("");
    bool deletes = operation.kind == 'd';
    const struct json_member *list = &members[deletes ? IDS : ITEMS];
    if (list->token != JSON_ARRAY_BEGIN)
        return refuse(call, 422, deletes ? "ids" : "items", "must be an array");
    size_t mark = call->text->used;
    rnn_put_operation(call->text, &operation);
    status = deletes ? put_ids(call, list->text) : put_items(call, topic, list->text);
    call->kind = INGEST_REQUEST;
    call->request_kind = RNN_TABLE;
    call->body = buf_since(call->text, mark);
    return status;
}

/* What is not named stays as it is: the three are kept apart in the item's parts. */
static int take_node(struct ingest_call *call, struct slice body)
{
    struct json_member found[SHAPE_FIELDS_MAX];
    struct shape_fault fault;
    struct rnn_item item = {.key = slice_text("node")};
    if (!shape_check(node_fields, body, found, &fault))
        return refuse(call, fault.status, fault.field, fault.message);
    size_t mark = call->text->used;
    rnn_put_operation(call->text,
                      &(struct rnn_operation){
                          .kind = 'u', .list = RNN_LIST_NODE, .peer = slice_text(""), .peer_name = slice_text("")});
    item.text = found[0].token == JSON_ERROR ? slice_text("") : found[0].text;
    item.tail = found[1].token == JSON_ERROR ? slice_text("") : found[1].text;
    item.found = found[2].token == JSON_ERROR ? slice_text("") : found[2].text;
    rnn_put_item(call->text, &item);
    call->kind = INGEST_REQUEST;
    call->request_kind = RNN_TABLE;
    call->body = buf_since(call->text, mark);
    return 0;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* 5.4, Q-33: the payload as it came. */
static int take_event(struct ingest_call *call, struct slice body)
{
    enum { TYPE, PAYLOAD, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "type"}, {.name = "payload"}};
    struct json_member found[SHAPE_FIELDS_MAX];
    struct shape_fault fault;
    int status = read_object(call, body, members, MEMBERS);
    if (status != 0)
        return status;
    const struct rnn_event *event = members[TYPE].token == JSON_STRING ? rnn_event_find(members[TYPE].raw) : NULL;
    if (event == NULL)
        return refuse(call, 422, "type", "must be the type of an event message, such as docker.build.output");
    if (members[PAYLOAD].token == JSON_ERROR)
        return refuse(call, 422, "payload", "is missing");
    if (!shape_check(event->fields, members[PAYLOAD].text, found, &fault))
        return refuse(call, 422, fault.field, fault.message);
    size_t mark = call->text->used;
    rnn_begin(call->text, event->type);
    buf_put(call->text, members[PAYLOAD].text);
    rnn_end(call->text, call->wall_ms);
    call->kind = INGEST_REQUEST;
    call->request_kind = RNN_EVENT;
    call->body = buf_since(call->text, mark);
    return call->text->overflow ? refuse(call, 422, "payload", "is too large") : 0;
}

/* --- the two ways in ---------------------------------------------------------------------------------------------- */

static const struct topic *topic_find(struct slice name)
{
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        if (slice_is(name, topics[i].name))
            return &topics[i];
    return NULL;
}

static int unknown_topic(struct ingest_call *call)
{
    return refuse(call, 404, "",
                  "unknown topic; there are peers, blacklist, relay_sessions, relay_candidates, services, "
                  "peer_services, peer_capabilities, workflows, node and events");
}

static int rnn_take(struct ingest_call *call, struct slice name, struct slice body)
{
    const struct topic *topic = topic_find(name);
    if (slice_is(name, "events"))
        return take_event(call, body);
    if (topic == NULL)
        return unknown_topic(call);
    return topic->list == RNN_LIST_NODE ? take_node(call, body) : take_table(call, topic, body);
}

static int rnn_read(struct ingest_call *call, struct slice name)
{
    const struct topic *topic = topic_find(name);
    if (topic == NULL)
        return unknown_topic(call);
    size_t mark = call->text->used;
    buf_put_byte(call->text, (uint8_t)topic->list);
    call->kind = INGEST_REQUEST;
    call->request_kind = RNN_READ;
    call->body = buf_since(call->text, mark);
    return 0;
}

int rnn_put_services(struct ingest_call *call, struct slice array)
{
    return put_items(call, topic_find(slice_text("peer_services")), array);
}

const struct dialect_ingest rnn_ingest = {
    .take = rnn_take, .read = rnn_read, .serve_topic = "peer_services", .serve = rnn_serve, .results = rnn_results};
