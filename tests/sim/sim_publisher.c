/* SPDX-License-Identifier: MIT */
/* Owns what publishers send and what they are answered; it tells the model what was begun, accepted and refused.
 * It never repeats a message: what is not answered stays undecided.
 * Called by the scenario. */
#include "tests/sim/sim_publisher.h"

#include "core/check.h"
#include "core/work.h"
#include "tests/sim/sim_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTENT_MAX SIM_OBJECT_BYTES_MAX
#define BATCH_MAX 40
#define BURST_MAX 20
#define OUTSTANDING_USUAL 128
#define FLOOD_MESSAGE_BYTES_MAX 200 /* of longer ones a flood takes too long */
#define FLOOD_STALL_STEPS 200
#define STREAM_STEP 8 /* more than there are publishers: streams of different ones differ */

void sim_publisher_make(struct sim_world *world, struct sim_publisher *publisher, uint32_t number)
{
    *publisher = (struct sim_publisher){.number = number, .wire = {.peer = -1}, .stream = number};
    publisher->way = (enum sim_way)random_below(&world->random, SIM_WAYS);
    publisher->floods = publisher->way == SIM_BY_SOCKET && random_chance(&world->random, 1, 3) &&
                        world->plan.message_bytes_max <= FLOOD_MESSAGE_BYTES_MAX;
    sim_objects_make(world, &publisher->objects, number);
}

/* --- what is published -------------------------------------------------------------------------------------------- */

static struct sim_outstanding *add_outstanding(struct sim_publisher *publisher, uint32_t message)
{
    check_op(publisher->outstanding_count, <, SIM_OUTSTANDING_MAX);
    struct sim_outstanding *added = &publisher->outstanding[publisher->outstanding_count++];
    *added = (struct sim_outstanding){.message = message, .seq = ++publisher->seq};
    return added;
}

/* The next object of that choice; its bytes, 0: none. */
static size_t begin(struct sim_world *world, struct sim_publisher *publisher, const struct sim_topic_choice *choice,
                    enum sim_form form, char *out)
{
    uint32_t message;
    size_t bytes =
        sim_objects_begin(world, &publisher->objects, choice, form, publisher->stream, out, CONTENT_MAX, &message);
    if (bytes > 0)
        add_outstanding(publisher, message);
    return bytes;
}

/* Every other one has a key that a reload takes away. */
static const char *key_of(const struct sim_publisher *publisher)
{
    return publisher->number % 2 == 1 ? SIM_INGEST_KEY_LOST : SIM_INGEST_KEY;
}

static bool has_lost_key(const struct sim_world *world, const struct sim_publisher *publisher)
{
    return publisher->number % 2 == 1 && world->reloaded;
}

/* --- by HTTP ------------------------------------------------------------------------------------------------------ */

static void put_request(struct sim_world *world, struct sim_publisher *publisher, const char *topic, const char *type,
                        const uint8_t *content, size_t bytes)
{
    char head[512];
    bool chunked = random_chance(&world->random, 1, 4);
    snprintf(head, sizeof head,
             "POST /ingest/v1/%s HTTP/1.1\r\nHost: localhost\r\nX-Ingest-Key: %s\r\nContent-Type: %s\r\n", topic,
             key_of(publisher), type);
    sim_wire_put_text(&publisher->wire, head);
    if (!chunked) {
        snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", bytes);
        sim_wire_put_text(&publisher->wire, head);
        sim_wire_put(&publisher->wire, content, bytes);
        return;
    }
    sim_wire_put_text(&publisher->wire, "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < bytes;) {
        size_t part = 1 + random_below(&world->random, bytes - at);
        snprintf(head, sizeof head, "%zx\r\n", part);
        sim_wire_put_text(&publisher->wire, head);
        sim_wire_put(&publisher->wire, content + at, part);
        sim_wire_put_text(&publisher->wire, "\r\n");
        at += part;
    }
    sim_wire_put_text(&publisher->wire, "0\r\n\r\n");
}

static void post(struct sim_world *world, struct sim_publisher *publisher)
{
    static uint8_t content[CONTENT_MAX * 2];
    char topic[64];
    bool batch = publisher->way == SIM_BY_BATCH;
    struct sim_topic_choice choice = sim_objects_choose(world, &publisher->objects);
    uint32_t count = 1;
    size_t bytes = 0;
    if (batch)
        count += (uint32_t)random_below(&world->random, BATCH_MAX);
    for (uint32_t i = 0; i < count && bytes < CONTENT_MAX; i++) {
        size_t added = begin(world, publisher, &choice, SIM_RAW, (char *)content + bytes);
        bytes += added;
        if (batch && added > 0)
            content[bytes++] = '\n';
    }
    if (bytes == 0)
        return;
    snprintf(topic, sizeof topic, "%s/%s", choice.dialect, choice.topic);
    put_request(world, publisher, topic,
                batch                             ? "application/x-ndjson"
                : choice.kind == SIM_OBJECT_PLAIN ? "text/plain"
                                                  : "application/json",
                content, bytes);
}

static bool says_unframed(struct slice words)
{
    return sim_text_behind(words, "Frame memory is exhausted").data != NULL;
}

/* A service that keeps what it is given (a branch, a job's status, the newest object, an offer) has taken it before it
 * finds no frame memory for the event of it. Those who miss that event are closed; what is kept may be told later. */
static bool may_be_kept(const struct sim_world *world, const struct sim_outstanding *outstanding)
{
    if (outstanding->message == SIM_NONE || !outstanding->unframed)
        return false;
    enum sim_form form = world->model.messages[outstanding->message].form;
    return form == SIM_BLOCK || form == SIM_JOB || form == SIM_OBJECT || form == SIM_EVENT;
}

static void leave_undecided(struct sim_world *world, struct sim_publisher *publisher,
                            const struct sim_outstanding *outstanding)
{
    publisher->undecided++;
    sim_chain_lost(world, outstanding->message);
}

static void settle(struct sim_world *world, struct sim_publisher *publisher, struct sim_outstanding *outstanding,
                   enum sim_fate fate)
{
    if (fate == SIM_REFUSED && may_be_kept(world, outstanding)) {
        leave_undecided(world, publisher, outstanding);
        return;
    }
    if (outstanding->message != SIM_NONE)
        sim_model_settle(&world->model, outstanding->message, fate);
    if (fate == SIM_ACCEPTED) {
        publisher->accepted++;
        if (has_lost_key(world, publisher) && world->reloaded_at != 0 && outstanding->message != SIM_NONE &&
            world->model.messages[outstanding->message].begun > world->reloaded_at)
            sim_fail(world, "publisher %u: accepted with a key that is gone", publisher->number);
        return;
    }
    publisher->refused++;
    sim_objects_refused(world, &publisher->objects, outstanding->message);
}

/* The number behind `name`; *at moves behind it. False when there is none. */
static bool next_number(struct slice *at, const char *name, uint64_t *value)
{
    for (struct slice wanted = slice_text(name); at->bytes >= wanted.bytes; *at = slice_skip(*at, 1)) {
        if (!slice_starts(*at, wanted))
            continue;
        *at = slice_skip(*at, wanted.bytes);
        *value = 0;
        for (; at->bytes > 0 && at->data[0] >= '0' && at->data[0] <= '9'; *at = slice_skip(*at, 1))
            *value = *value * 10 + (uint64_t)(at->data[0] - '0');
        return true;
    }
    return false;
}

static bool status_allowed(const struct sim_world *world, const struct sim_publisher *publisher, int status)
{
    uint32_t message = publisher->outstanding_count == 0 ? SIM_NONE : publisher->outstanding[0].message;
    bool job = message != SIM_NONE && world->model.messages[message].form == SIM_JOB;
    if (status == 401)
        return has_lost_key(world, publisher);
    if (status == 409)
        return job && sim_jobs_may_refuse(world, message);
    return status == 202 || status == 422 || status == 429 || status == 503;
}

static void on_response(struct sim_world *world, struct sim_publisher *publisher, const struct sim_response *response)
{
    struct slice text = response->content;
    uint64_t accepted = 0, omitted = 0, index;
    uint32_t refused = 0, count = publisher->outstanding_count;
    sim_trace(world, "publisher %u: status %d for %u", publisher->number, response->status, count);
    if (!status_allowed(world, publisher, response->status))
        sim_fail(world, "publisher %u: status %d", publisher->number, response->status);
    bool counted = next_number(&text, "\"accepted\":", &accepted);
    while (counted && next_number(&text, "{\"index\":", &index)) {
        if (index >= count || publisher->outstanding[index].refused)
            sim_fail(world, "publisher %u: an error for object %llu of %u", publisher->number,
                     (unsigned long long)index, count);
        publisher->outstanding[index].refused = true;
        publisher->outstanding[index].unframed = says_unframed(sim_text_between(text, "\"message\":\"", '"'));
        refused++;
    }
    text = response->content;
    (void)next_number(&text, "\"errors_omitted\":", &omitted);
    if (omitted > 0 && sim_heap_failed() == 0)
        sim_fail(world, "publisher %u: %llu errors are omitted", publisher->number, (unsigned long long)omitted);
    if (counted && accepted + refused + omitted != count)
        sim_fail(world, "publisher %u: %llu accepted and %u refused of %u", publisher->number,
                 (unsigned long long)accepted, refused, count);
    for (uint32_t i = 0; i < count; i++) {
        bool refused_one = !counted || publisher->outstanding[i].refused || accepted == 0;
        publisher->outstanding[i].unframed |= !counted && says_unframed(response->content);
        if (refused_one || omitted == 0) {
            settle(world, publisher, &publisher->outstanding[i], refused_one ? SIM_REFUSED : SIM_ACCEPTED);
        } else {
            leave_undecided(world, publisher, &publisher->outstanding[i]); /* nobody has said which */
        }
    }
    publisher->outstanding_count = 0;
}

/* --- by socket ---------------------------------------------------------------------------------------------------- */

static size_t base64(const uint8_t *in, size_t bytes, char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t three = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        out[used++] = alphabet[three >> 18];
        out[used++] = alphabet[three >> 12 & 63];
        out[used++] = left > 1 ? alphabet[three >> 6 & 63] : '=';
        out[used++] = left > 2 ? alphabet[three & 63] : '=';
    }
    return used;
}

static void send_object(struct sim_world *world, struct sim_publisher *publisher)
{
    static char content[CONTENT_MAX + 1], text[CONTENT_MAX * 2];
    struct sim_topic_choice choice = sim_objects_choose(world, &publisher->objects);
    bool plain = choice.kind == SIM_OBJECT_PLAIN, raw = plain && random_chance(&world->random, 1, 3);
    size_t bytes = begin(world, publisher, &choice, raw ? SIM_RAW : SIM_QUOTED, content);
    if (bytes == 0)
        return;
    const char *quote = plain ? "\"" : "";
    int head =
        snprintf(text, sizeof text, "{\"op\":\"publish\",\"dialect\":\"%s\",\"topic\":\"%s\",\"seq\":%llu,\"%s\":%s",
                 choice.dialect, choice.topic, (unsigned long long)publisher->seq, raw ? "data_base64" : "data", quote);
    size_t used = (size_t)head;
    if (raw) {
        used += base64((const uint8_t *)content, bytes, text + used);
    } else {
        memcpy(text + used, content, bytes);
        used += bytes;
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "%s}", quote);
    sim_wire_put_frame(&publisher->wire, &world->random, 1, true, slice_of(text, used));
}

static void drop_front(struct sim_publisher *publisher, uint32_t count)
{
    publisher->outstanding_count -= count;
    memmove(publisher->outstanding, publisher->outstanding + count,
            publisher->outstanding_count * sizeof publisher->outstanding[0]);
}

/* No acknowledgement will name what has been refused. */
static void drop_refused(struct sim_publisher *publisher)
{
    while (publisher->outstanding_count > 0 && publisher->outstanding[0].refused)
        drop_front(publisher, 1);
}

static void on_ack(struct sim_world *world, struct sim_publisher *publisher, uint64_t seq)
{
    uint32_t done = 0;
    if (seq <= publisher->acknowledged || seq > publisher->seq)
        sim_fail(world, "publisher %u: acknowledgement %llu behind %llu, sent are %llu", publisher->number,
                 (unsigned long long)seq, (unsigned long long)publisher->acknowledged,
                 (unsigned long long)publisher->seq);
    publisher->acknowledged = seq;
    for (; done < publisher->outstanding_count && publisher->outstanding[done].seq <= seq; done++)
        if (!publisher->outstanding[done].refused)
            settle(world, publisher, &publisher->outstanding[done], SIM_ACCEPTED);
    drop_front(publisher, done);
    drop_refused(publisher);
    sim_trace(world, "publisher %u: ack %llu", publisher->number, (unsigned long long)seq);
}

static void on_nack(struct sim_world *world, struct sim_publisher *publisher, uint64_t seq, bool unframed)
{
    sim_trace(world, "publisher %u: nack %llu", publisher->number, (unsigned long long)seq);
    for (uint32_t i = 0; i < publisher->outstanding_count; i++) {
        struct sim_outstanding *outstanding = &publisher->outstanding[i];
        if (outstanding->seq != seq || outstanding->refused)
            continue;
        outstanding->refused = true;
        outstanding->unframed = unframed;
        settle(world, publisher, outstanding, SIM_REFUSED);
        drop_refused(publisher);
        return;
    }
    sim_fail(world, "publisher %u: a nack for %llu, which is not outstanding", publisher->number,
             (unsigned long long)seq);
}

static void on_frame(struct sim_world *world, struct sim_publisher *publisher, const struct sim_frame *frame)
{
    struct slice text = frame->payload;
    uint64_t seq;
    if (frame->opcode == 9) {
        sim_wire_put_frame(&publisher->wire, &world->random, 10, true, frame->payload);
    } else if (frame->opcode == 8) {
        uint16_t code = text.bytes >= 2 ? load_be16(text.data) : 0;
        sim_trace(world, "publisher %u: close %u", publisher->number, code);
        if (code == 1008 && !has_lost_key(world, publisher))
            sim_fail(world, "publisher %u: its key is good, and it was closed with 1008", publisher->number);
        sim_wire_put_frame(&publisher->wire, &world->random, 8, true, frame->payload);
        publisher->open = false;
    } else if (slice_starts(text, slice_text("{\"op\":\"ack\"")) && next_number(&text, "\"seq\":", &seq)) {
        on_ack(world, publisher, seq);
    } else if (slice_starts(text, slice_text("{\"op\":\"nack\"")) && next_number(&text, "\"seq\":", &seq)) {
        on_nack(world, publisher, seq, says_unframed(frame->payload));
    } else {
        sim_fail(world, "publisher %u: got %.*s", publisher->number, (int)text.bytes, text.data);
    }
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* What has not been answered stays undecided. */
static void give_up(struct sim_world *world, struct sim_publisher *publisher)
{
    sim_trace(world, "publisher %u: connection ended, %u undecided", publisher->number, publisher->outstanding_count);
    for (uint32_t i = 0; i < publisher->outstanding_count; i++)
        leave_undecided(world, publisher, &publisher->outstanding[i]);
    publisher->outstanding_count = 0;
    publisher->open = false;
    sim_wire_close(&publisher->wire, false);
}

static void connect(struct sim_world *world, struct sim_publisher *publisher)
{
    if (!sim_trust_connect(world, &publisher->wire, SIM_PORT_INGEST, sim_world_publisher_address(publisher->number)))
        return;
    publisher->stream += STREAM_STEP;
    publisher->seq = publisher->acknowledged = 0;
    sim_trace(world, "publisher %u connects", publisher->number);
    if (publisher->way != SIM_BY_SOCKET)
        return;
    char head[320];
    snprintf(head, sizeof head,
             "GET /ingest/v1/ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             key_of(publisher));
    sim_wire_put_text(&publisher->wire, head);
}

static void read_answers(struct sim_world *world, struct sim_publisher *publisher)
{
    struct sim_response response;
    struct sim_frame frame;
    const char *why = "";
    int result = 0;
    while (!publisher->open && (result = sim_wire_response(&publisher->wire, &response, &why)) > 0) {
        if (response.status == 101)
            publisher->open = true;
        else if (response.status == 401 && !has_lost_key(world, publisher))
            sim_fail(world, "publisher %u: its key is good, and it was not let in", publisher->number);
        else if (publisher->way != SIM_BY_SOCKET)
            on_response(world, publisher, &response);
    }
    while (publisher->open && (result = sim_wire_frame(&publisher->wire, &frame, &why)) > 0)
        on_frame(world, publisher, &frame);
    if (result < 0)
        sim_fail(world, "publisher %u: %s", publisher->number, why);
}

/* Once, more than the server takes before its first acknowledgement, while the shards that could give it one stand
 * still. */
static void flood(struct sim_world *world, struct sim_publisher *publisher)
{
    publisher->floods = false;
    sim_trace(world, "publisher %u: a flood", publisher->number);
    sim_world_stall(world, (uint16_t)random_below(&world->random, world->plan.shards), FLOOD_STALL_STEPS);
    for (uint32_t left = SIM_OUTSTANDING_MAX; left > 0 && publisher->outstanding_count < SIM_OUTSTANDING_MAX; left--)
        send_object(world, publisher);
}

static void publish(struct sim_world *world, struct sim_publisher *publisher)
{
    if (publisher->wire.peer < 0) {
        connect(world, publisher);
    } else if (publisher->way != SIM_BY_SOCKET) {
        if (publisher->outstanding_count == 0)
            post(world, publisher);
    } else if (publisher->open && publisher->floods && random_chance(&world->random, 1, 50)) {
        flood(world, publisher);
    } else if (publisher->open) {
        uint64_t count = 1 + random_below(&world->random, BURST_MAX);
        while (count-- > 0 && publisher->outstanding_count < OUTSTANDING_USUAL)
            send_object(world, publisher);
    }
}

bool sim_publisher_step(struct sim_world *world, struct sim_publisher *publisher, bool may_publish)
{
    bool moved = false;
    if (publisher->wire.peer >= 0) {
        moved = sim_wire_pump(&publisher->wire, 65536, 65536);
        read_answers(world, publisher);
        if (publisher->wire.end != 0)
            give_up(world, publisher);
    }
    if (!may_publish || sim_world_ms() < publisher->wake_ms)
        return moved;
    publisher->wake_ms =
        sim_world_ms() + 1 + random_below(&world->random, random_chance(&world->random, 1, 8) ? 900 : 60);
    publish(world, publisher);
    return true;
}

void sim_publisher_check_rest(struct sim_world *world, struct sim_publisher *publisher)
{
    if (publisher->open && has_lost_key(world, publisher))
        sim_fail(world, "publisher %u: its key is gone, and it is still connected", publisher->number);
    if (publisher->wire.peer >= 0 && publisher->outstanding_count > 0)
        sim_fail(world, "publisher %u: %u objects have not been answered", publisher->number,
                 publisher->outstanding_count);
}

void sim_publisher_leave(struct sim_publisher *publisher)
{
    sim_wire_close(&publisher->wire, false);
}

void sim_publisher_free(struct sim_publisher *publisher)
{
    sim_wire_free(&publisher->wire);
}
