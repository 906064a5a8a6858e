/* SPDX-License-Identifier: MIT */
/* Owns the publisher WebSocket: reading its envelope, the window of objects under way, and acknowledgements in order.
 * It never interprets an object. Called by the connection's files through its role, by ingest (answers) and shard_tick
 * (acknowledgements).
 *
 * The window is a row of entries in the order of arrival. An entry is done when its home has answered; the
 * acknowledgement names the seq of the last entry before which nothing is open, so it is cumulative. A refused object
 * gets its nack at once and counts as done. */
#include "shards/publish/publisher.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/work.h"
#include "protocol/base64.h"
#include "protocol/dialect.h"
#include "protocol/json.h"
#include "shards/channel/audience.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/outbox.h"
#include "shards/mail/errand.h"
#include "shards/mail/mail.h"
#include "shards/publish/ingest.h"
#include "shards/shard.h"

#include <stdlib.h>

/* One object of INGEST_BODY_BYTES_MAX in base64 and its envelope. */
#define MESSAGE_BYTES_MAX (INGEST_BODY_BYTES_MAX / 3 * 4 + 4096)
#define PING_INTERVAL_MS 30000
#define IDLE_TIMEOUT_MS 90000

enum entry_state { ENTRY_OPEN, ENTRY_ACCEPTED, ENTRY_REFUSED };

struct entry {
    uint64_t seq;
    enum entry_state state;
};

struct publisher {
    struct list_node acking; /* in shard.acking */
    struct handle conn;
    uint32_t key; /* index of its ingest key in `config` */
    const struct config *config;
    struct hash128 key_name;
    char *serving;  /* the channel of its questions (I-13); NULL: it is asked nothing */
    bool asked;     /* to be asked */
    uint64_t first; /* ticket of the oldest entry */
    uint64_t next;  /* ticket of the next object */
    struct entry entries[PUBLISHER_WINDOW];
};

/* Who is asked questions may still answer them. */
static bool may_serve(const struct shard *shard, const struct conn *conn, uint32_t key)
{
    const struct publisher *publisher = conn->user;
    return publisher->serving == NULL || ingest_permitted(shard, key, dialects[conn->dialect],
                                                          slice_text(dialects[conn->dialect]->ingest->serve_topic));
}

/* role.reload: finds its key again, or closes. */
static void revoke(struct shard *shard, struct conn *conn)
{
    struct publisher *publisher = conn->user;
    int key = ingest_key_named(shard, publisher->key_name);
    if (key < 0 || !may_serve(shard, conn, (uint32_t)key))
        conn_close(shard, conn, CLOSE_REVOKED, 0, NULL);
    else
        publisher->key = (uint32_t)key;
    publisher->config = shard->config;
    work_spend(shard->work, WORK_KEY, shard->config->ingest.grants.count);
}

/* role.end */
static void end(struct shard *shard, struct conn *conn)
{
    struct publisher *publisher = conn->user;
    (void)shard;
    if (list_linked(&publisher->acking))
        list_remove(&publisher->acking);
    free(publisher->serving);
    free(publisher);
    conn->user = NULL;
}

/* role.leave */
static void leave(struct shard *shard, struct conn *conn, uint8_t why)
{
    (void)why;
    audience_leave_all(shard, conn);
}

bool publisher_open(struct shard *shard, struct conn *conn, uint32_t key, const struct handshake *handshake)
{
    struct publisher *publisher = calloc(1, sizeof *publisher);
    if (publisher == NULL)
        return false;
    publisher->conn = conn_handle(conn);
    publisher->key = key;
    publisher->config = shard->config;
    publisher->key_name = ingest_key_name(shard, key);
    if (!conn_accept(shard, conn, handshake, ROLE_PUBLISHER)) {
        free(publisher);
        return true;
    }
    conn->user = publisher;
    return true;
}

static void send_nack(struct shard *shard, struct conn *conn, const uint64_t *seq, struct slice error)
{
    uint8_t memory[1024];
    struct buf out = buf_of(memory, sizeof memory);
    buf_put_text(&out, "{\"op\":\"nack\",\"seq\":");
    if (seq == NULL)
        buf_put_text(&out, "null");
    else
        buf_put_u64(&out, *seq);
    buf_put_text(&out, ",\"error\":");
    json_put_string(&out, error);
    buf_put_byte(&out, '}');
    check(!out.overflow);
    conn_send_message(shard, conn, WS_TEXT, buf_slice(&out));
}

static struct entry *entry_at(struct publisher *publisher, uint64_t ticket)
{
    return &publisher->entries[ticket % PUBLISHER_WINDOW];
}

static bool window_full(const struct publisher *publisher)
{
    return publisher->next - publisher->first == PUBLISHER_WINDOW;
}

/* Lets done entries go from the front; the last accepted one is to be acknowledged. */
static bool advance(struct publisher *publisher, uint64_t *seq)
{
    bool any = false;
    while (publisher->first < publisher->next && entry_at(publisher, publisher->first)->state != ENTRY_OPEN) {
        const struct entry *entry = entry_at(publisher, publisher->first++);
        if (entry->state == ENTRY_ACCEPTED) {
            *seq = entry->seq;
            any = true;
        }
    }
    return any;
}

static void send_ack(struct shard *shard, struct conn *conn, struct publisher *publisher)
{
    uint64_t seq;
    if (!advance(publisher, &seq))
        return;
    uint8_t memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    buf_put_text(&out, "{\"op\":\"ack\",\"seq\":");
    buf_put_u64(&out, seq);
    buf_put_byte(&out, '}');
    conn_send_message(shard, conn, WS_TEXT, buf_slice(&out));
}

/* role.resume: goes on reading, unless the window is full. */
static void resume(struct shard *shard, struct conn *conn)
{
    if (window_full(conn->user))
        return; /* an acknowledgement goes on with it */
    if (errand_has_room(shard))
        conn_unpark(shard, conn);
    else
        conn_wait_for_room(shard, conn);
}

void publisher_send_acks(struct shard *shard)
{
    struct list_node *node;
    while ((node = list_pop_front(&shard->publishers->acking)) != NULL) {
        struct publisher *publisher = list_entry(node, struct publisher, acking);
        struct conn *conn = conn_get(shard, publisher->conn);
        check(conn != NULL);
        if (conn->state == CONN_OPEN)
            send_ack(shard, conn, publisher);
        if (conn->parked && !conn->yielded)
            resume(shard, conn);
    }
}

void publisher_on_answer(struct shard *shard, struct conn *conn, const struct errand *errand)
{
    struct publisher *publisher = conn->user;
    struct entry *entry = entry_at(publisher, errand->ticket);
    check_op(entry->state, ==, ENTRY_OPEN);
    entry->state = errand->status == 202 ? ENTRY_ACCEPTED : ENTRY_REFUSED;
    if (!list_linked(&publisher->acking))
        list_push_back(&shard->publishers->acking, &publisher->acking);
    if (errand->status == 202 || conn->state != CONN_OPEN)
        return;
    struct slice message = errand->reply_bytes > 0 ? slice_of(errand->reply, errand->reply_bytes)
                           : errand->status == 429 ? slice_text("Frame memory is exhausted; try again later")
                                                   : slice_text("Service unavailable; try again later");
    send_nack(shard, conn, &entry->seq, message);
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

/* The channel's name is kept: what it finds is that one's. */
static bool begin_serving(struct shard *shard, struct conn *conn, struct errand *errand)
{
    struct publisher *publisher = conn->user;
    struct slice channel = errand->subscribe.channel;
    publisher->serving = strndup((const char *)channel.data, channel.bytes);
    conn->dialect = errand->dialect;
    return publisher->serving != NULL && audience_join(shard, conn, errand);
}

void publisher_on_serving(struct shard *shard, struct errand *errand)
{
    struct conn *conn = conn_get(shard, errand->conn);
    check_op(errand->subscribe.frame_count, ==, 0);
    if (conn == NULL || conn->state != CONN_OPEN) {
        struct mail mail = {.kind = MAIL_UNSUBSCRIBE, .unsubscribe = {.class_index = errand->subscribe.class_index}};
        if (errand->status == 200)
            mail_post(shard, errand->home, mail);
    } else if (errand->status != 200) {
        conn_close(shard, conn, CLOSE_OVERLOAD, 0, NULL);
    } else if (!begin_serving(shard, conn, errand)) {
        conn_close(shard, conn, CLOSE_MEMORY, 0, NULL);
    } else {
        conn_send_message(shard, conn, WS_TEXT, errand->subscribe.confirm);
    }
}

/* --- the envelope ------------------------------------------------------------------------------------------------- */

enum { OP, DIALECT, TOPIC, SEQ, DATA, DATA_BASE64, MEMBERS };

enum op { OPERATION_PUBLISH, OPERATION_SERVE, OPERATION_RESULTS };

struct envelope {
    enum op op;
    uint64_t seq;
    struct ingest_object object;
    const char *error; /* NULL: good */
    bool has_seq;
};

/* A string's value (RFC 8259 section 7: any character may be escaped), itself or in `space`. False: no string, or no
 * room. */
static bool take_string(const struct json_member *member, struct buf *space, struct slice *value)
{
    if (member->token != JSON_STRING)
        return false;
    *value = json_resolve(member->raw, member->escaped, space);
    return !space->overflow;
}

/* Decodes data_base64 into the shard's scratch memory, or a block of its own (*block, to be freed) when it is larger.
 * What is escaped (PHP writes "\/" for each slash) is resolved in front of that. */
static const char *decode_base64(struct shard *shard, const struct json_member *member, struct slice *body,
                                 uint8_t **block)
{
    size_t text_bytes = member->escaped ? member->raw.bytes : 0, bytes = member->raw.bytes / 4 * 3;
    uint8_t *memory = shard->scratch;
    if (member->token != JSON_STRING)
        return "data_base64 must be a string of base64";
    if (text_bytes + bytes > SCRATCH_BYTES && (memory = *block = malloc(text_bytes + bytes)) == NULL)
        return "Out of memory; try again later";
    struct buf space = buf_of(memory, text_bytes), out = buf_of(memory + text_bytes, bytes);
    struct slice text = json_resolve(member->raw, member->escaped, &space);
    check(!space.overflow);
    if (!base64_decode(text, &out))
        return "data_base64 is not base64 with padding";
    *body = buf_slice(&out);
    return NULL;
}

/* The values of op, dialect and topic lie in the message or in `space`. */
static struct envelope read_envelope(struct shard *shard, struct slice message, struct buf *space, uint8_t **block)
{
    struct json_member members[MEMBERS] = {{.name = "op"},  {.name = "dialect"}, {.name = "topic"},
                                           {.name = "seq"}, {.name = "data"},    {.name = "data_base64"}};
    struct envelope e = {.error = "Not a JSON object"};
    struct slice op, name, topic;
    if (json_find_members(message, JSON_DEPTH_MAX, false, members, MEMBERS) != JSON_MEMBERS_OK)
        return e;
    e.has_seq = members[SEQ].token == JSON_NUMBER && json_u64(members[SEQ].raw, &e.seq);
    if (!take_string(&members[OP], space, &op) ||
        !(slice_is(op, "publish") || slice_is(op, "serve") || slice_is(op, "results"))) {
        e.error = "op must be \"publish\", \"serve\" or \"results\"";
    } else if (slice_is(op, "results")) {
        e.op = OPERATION_RESULTS;
        e.error = NULL;
    } else if (slice_is(op, "serve")) {
        e.op = OPERATION_SERVE;
        int dialect = take_string(&members[DIALECT], space, &name) ? ingest_dialect(shard, name) : -1;
        e.error = dialect < 0                                ? "Unknown dialect"
                  : dialects[dialect]->ingest->serve == NULL ? "This dialect asks nobody"
                                                             : NULL;
        e.object.dialect = (uint8_t)dialect;
    } else if (!e.has_seq) {
        e.error = "seq must be an integer of 0 or more";
    } else if (!take_string(&members[DIALECT], space, &name) || !take_string(&members[TOPIC], space, &topic)) {
        e.error = space->overflow ? "dialect and topic are too long" : "dialect and topic must be strings";
    } else if ((members[DATA].token == JSON_ERROR) == (members[DATA_BASE64].token == JSON_ERROR)) {
        e.error = "Either data or data_base64 is needed";
    } else {
        int dialect = ingest_dialect(shard, name);
        e.error = dialect < 0 ? "Unknown dialect" : NULL;
        e.object = (struct ingest_object){.dialect = (uint8_t)dialect,
                                          .topic = topic,
                                          .body = members[DATA].text,
                                          .binary = members[DATA_BASE64].token != JSON_ERROR,
                                          .json = members[DATA].token != JSON_ERROR};
        if (e.error == NULL && e.object.binary)
            e.error = decode_base64(shard, &members[DATA_BASE64], &e.object.body, block);
    }
    return e;
}

static void publish(struct shard *shard, struct conn *conn, struct envelope *e)
{
    struct publisher *publisher = conn->user;
    struct ingest_refusal refusal = {.field = "", .message = "This key may not publish to this topic"};
    uint64_t ticket = publisher->next;
    *entry_at(publisher, ticket) = (struct entry){.seq = e->seq};
    if (!ingest_permitted(shard, publisher->key, dialects[e->object.dialect], e->object.topic) ||
        ingest_submit(shard, conn, &e->object, ticket, &refusal) != 0) {
        send_nack(shard, conn, &e->seq, slice_text(refusal.message));
        return;
    }
    publisher->next++;
    if (window_full(publisher) || !errand_has_room(shard)) {
        conn_park(shard, conn);
        resume(shard, conn);
    }
}

/* One dialect and one peer a connection. */
static void serve(struct shard *shard, struct conn *conn, const struct envelope *e, struct slice message)
{
    struct publisher *publisher = conn->user;
    struct ingest_refusal refusal = {.field = "", .message = "This key may not publish to this topic"};
    const struct dialect *dialect = dialects[e->object.dialect];
    bool first = !publisher->asked;
    if (!first)
        refusal.message = "This connection serves a peer already; open another one";
    if (first && ingest_permitted(shard, publisher->key, dialect, slice_text(dialect->ingest->serve_topic)) &&
        ingest_serve(shard, conn, e->object.dialect, message, &refusal) == 0)
        publisher->asked = true;
    else
        send_nack(shard, conn, e->has_seq ? &e->seq : NULL, slice_text(refusal.message));
}

static void take_results(struct shard *shard, struct conn *conn, const struct envelope *e, struct slice message)
{
    struct publisher *publisher = conn->user;
    struct ingest_refusal refusal = {.message = "This connection serves no peer; send {\"op\":\"serve\"} first"};
    if (publisher->serving == NULL ||
        ingest_results(shard, conn->dialect, message, slice_text(publisher->serving), &refusal) != 0) {
        send_nack(shard, conn, e->has_seq ? &e->seq : NULL, slice_text(refusal.message));
        return;
    }
    if (!errand_has_room(shard)) {
        conn_park(shard, conn);
        resume(shard, conn);
    }
}

/* role.message */
static void on_message(struct shard *shard, struct conn *conn, enum ws_opcode opcode, struct slice message)
{
    uint8_t *block = NULL, names[4 * CHANNEL_NAME_BYTES_MAX];
    struct buf space = buf_of(names, sizeof names);
    if (shard->stage_seen != STAGE_RUN)
        return; /* not acknowledged: the publisher knows */
    if (opcode != WS_TEXT) {
        conn_close(shard, conn, CLOSE_UNSUPPORTED, 0, NULL);
        return;
    }
    if (((struct publisher *)conn->user)->config != shard->config)
        revoke(shard, conn); /* a reload has not come to it yet */
    if (conn->state != CONN_OPEN)
        return;
    struct envelope e = read_envelope(shard, message, &space, &block);
    if (e.error != NULL)
        send_nack(shard, conn, e.has_seq ? &e.seq : NULL, slice_text(e.error));
    else if (e.op == OPERATION_SERVE)
        serve(shard, conn, &e, message);
    else if (e.op == OPERATION_RESULTS)
        take_results(shard, conn, &e, message);
    else
        publish(shard, conn, &e);
    free(block);
}

/* role.limits: those of everybody who publishes, whatever the dialects say. */
static struct role_limits limits(const struct shard *shard, const struct conn *conn)
{
    (void)shard, (void)conn;
    return (struct role_limits){
        .ping_interval_ms = PING_INTERVAL_MS,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .message_bytes_max = MESSAGE_BYTES_MAX,
        .outbox_bytes_max = RESPONSE_BYTES_MAX,
    };
}

const struct conn_role publisher_role = {
    .message = on_message,
    .resume = resume,
    .reload = revoke,
    .leave = leave,
    .end = end,
    .limits = limits,
};
