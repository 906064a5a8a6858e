/* SPDX-License-Identifier: MIT */
/* Owns what publishers send and what they are answered; it tells the model what was begun, accepted and refused.
 * It never repeats a message: what is not answered stays undecided.
 * Called by the scenario. */
#include "tests/sim/sim_publisher.h"

#include "core/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTENT_MAX 32768
#define BATCH_MAX 40
#define STREAM_STEP 8 /* more than there are publishers: streams of different ones differ */

void sim_publisher_make(struct sim_world *world, struct sim_publisher *publisher, uint32_t number)
{
    char name[16];
    *publisher = (struct sim_publisher){.number = number, .wire = {.peer = -1}, .stream = number};
    publisher->way = (enum sim_way)random_below(&world->random, SIM_WAYS);
    snprintf(name, sizeof name, "late%u", number);
    sim_model_channel(&world->model, name, true); /* its own: so its newest message is known */
}

/* --- what is published ------------------------------------------------------------------------------------------------- */

/* A channel that this publisher may publish to. */
static uint32_t choose_channel(struct sim_world *world, const struct sim_publisher *publisher)
{
    const struct sim_model *model = &world->model;
    char own[16];
    snprintf(own, sizeof own, "late%u", publisher->number);
    for (;;) {
        uint32_t channel = (uint32_t)random_below(&world->random, model->channel_count);
        if (!model->channels[channel].latest || strcmp(model->channels[channel].name, own) == 0)
            return channel;
    }
}

static struct sim_outstanding *add_outstanding(struct sim_publisher *publisher, uint32_t message)
{
    check_op(publisher->outstanding_count, <, SIM_OUTSTANDING_MAX);
    struct sim_outstanding *added = &publisher->outstanding[publisher->outstanding_count++];
    *added = (struct sim_outstanding){.message = message, .seq = ++publisher->seq};
    return added;
}

static uint32_t begin_plain(struct sim_world *world, struct sim_publisher *publisher, uint32_t channel,
                            enum sim_form form)
{
    uint32_t bytes = (uint32_t)random_below(&world->random, world->plan.message_bytes_max);
    uint32_t message = sim_model_begin(
        &world->model,
        &(struct sim_message){.channel = channel, .stream = publisher->stream, .bytes = bytes, .form = form});
    add_outstanding(publisher, message);
    return message;
}

/* An object of rustorium's state: its value is the number of the message. */
static size_t begin_state(struct sim_world *world, struct sim_publisher *publisher, char *out, size_t room)
{
    char key[16];
    uint32_t number = (uint32_t)random_below(&world->random, SIM_KEYS);
    sim_model_key(key, number);
    uint32_t message = sim_model_begin(
        &world->model,
        &(struct sim_message){.channel = SIM_NONE, .stream = publisher->stream, .key = number, .form = SIM_STATE});
    add_outstanding(publisher, message);
    return (size_t)snprintf(out, room, "{\"key\":\"%s\",\"value\":\"%08u\",\"block_number\":%u}", key, message,
                            message);
}

/* The next block of the publisher's own chain. */
static size_t begin_block(struct sim_publisher *publisher, char *out, size_t room)
{
    uint32_t number = ++publisher->blocks;
    add_outstanding(publisher, SIM_NONE);
    return (size_t)snprintf(out, room,
                            "{\"number\":%u,\"hash\":\"h%u-%u\",\"parent_hash\":\"h%u-%u\",\"timestamp\":1700000000,"
                            "\"transactions\":[\"t%u-%u\"]}",
                            number, publisher->number, number, publisher->number, number - 1, publisher->number,
                            number);
}

/* --- by HTTP --------------------------------------------------------------------------------------------------------- */

static void put_request(struct sim_world *world, struct sim_publisher *publisher, const char *topic, const char *type,
                        const uint8_t *content, size_t bytes)
{
    char head[512];
    bool chunked = random_chance(&world->random, 1, 4);
    snprintf(head, sizeof head,
             "POST /ingest/v1/%s HTTP/1.1\r\nHost: sim\r\nX-Ingest-Key: " SIM_INGEST_KEY "\r\nContent-Type: %s\r\n",
             topic, type);
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
    uint32_t kind = (uint32_t)random_below(&world->random, 6), count = 1;
    uint32_t channel = choose_channel(world, publisher);
    size_t bytes = 0;
    if (batch)
        count += (uint32_t)random_below(&world->random, BATCH_MAX);
    for (uint32_t i = 0; i < count && bytes < CONTENT_MAX; i++) {
        if (kind == 0)
            bytes += begin_block(publisher, (char *)content + bytes, CONTENT_MAX);
        else if (kind <= 2)
            bytes += begin_state(world, publisher, (char *)content + bytes, CONTENT_MAX);
        else
            bytes += sim_model_content(&world->model, begin_plain(world, publisher, channel, SIM_RAW), content + bytes,
                                       CONTENT_MAX);
        if (batch)
            content[bytes++] = '\n';
    }
    if (kind <= 2)
        snprintf(topic, sizeof topic, "rustorium/%s", kind == 0 ? "blocks" : "state");
    else
        snprintf(topic, sizeof topic, "plain/%s", world->model.channels[channel].name);
    put_request(world, publisher, topic,
                batch       ? "application/x-ndjson"
                : kind <= 2 ? "application/json"
                            : "text/plain",
                content, bytes);
}

static void settle(struct sim_world *world, struct sim_publisher *publisher, struct sim_outstanding *outstanding,
                   enum sim_fate fate)
{
    if (outstanding->message != SIM_NONE)
        sim_model_settle(&world->model, outstanding->message, fate);
    if (fate == SIM_ACCEPTED)
        publisher->accepted++;
    else
        publisher->refused++;
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

static void on_response(struct sim_world *world, struct sim_publisher *publisher, const struct sim_response *response)
{
    struct slice text = response->content;
    uint64_t accepted = 0, omitted = 0, index;
    uint32_t refused = 0, count = publisher->outstanding_count;
    sim_trace(world, "publisher %u: status %d for %u", publisher->number, response->status, count);
    if (response->status != 202 && response->status != 422 && response->status != 429 && response->status != 503)
        sim_fail(world, "publisher %u: status %d", publisher->number, response->status);
    bool counted = next_number(&text, "\"accepted\":", &accepted);
    while (counted && next_number(&text, "{\"index\":", &index)) {
        if (index >= count || publisher->outstanding[index].refused)
            sim_fail(world, "publisher %u: an error for object %llu of %u", publisher->number,
                     (unsigned long long)index, count);
        publisher->outstanding[index].refused = true;
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
        if (refused_one || omitted == 0)
            settle(world, publisher, &publisher->outstanding[i], refused_one ? SIM_REFUSED : SIM_ACCEPTED);
        else
            publisher->undecided++; /* nobody has said which */
    }
    publisher->outstanding_count = 0;
}

/* --- by socket --------------------------------------------------------------------------------------------------------- */

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
    static uint8_t content[CONTENT_MAX];
    static char text[CONTENT_MAX * 2];
    uint32_t kind = (uint32_t)random_below(&world->random, 4);
    uint32_t channel = choose_channel(world, publisher);
    const char *name = world->model.channels[channel].name;
    size_t used;
    if (kind == 0) {
        char object[256];
        begin_state(world, publisher, object, sizeof object);
        used = (size_t)snprintf(
            text, sizeof text,
            "{\"op\":\"publish\",\"dialect\":\"rustorium\",\"topic\":\"state\",\"data\":%s,\"seq\":%llu}", object,
            (unsigned long long)publisher->seq);
    } else {
        bool raw = kind == 1;
        uint32_t message = begin_plain(world, publisher, channel, raw ? SIM_RAW : SIM_QUOTED);
        size_t bytes = sim_model_content(&world->model, message, content, sizeof content);
        used = (size_t)snprintf(text, sizeof text,
                                "{\"op\":\"publish\",\"dialect\":\"plain\",\"topic\":\"%s\",\"seq\":%llu,\"%s\":\"",
                                name, (unsigned long long)publisher->seq, raw ? "data_base64" : "data");
        if (raw) {
            used += base64(content, bytes, text + used);
        } else {
            memcpy(text + used, content, bytes);
            used += bytes;
        }
        memcpy(text + used, "\"}", 2);
        used += 2;
    }
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

static void on_nack(struct sim_world *world, struct sim_publisher *publisher, uint64_t seq)
{
    sim_trace(world, "publisher %u: nack %llu", publisher->number, (unsigned long long)seq);
    for (uint32_t i = 0; i < publisher->outstanding_count; i++) {
        struct sim_outstanding *outstanding = &publisher->outstanding[i];
        if (outstanding->seq != seq || outstanding->refused)
            continue;
        outstanding->refused = true;
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
        sim_trace(world, "publisher %u: close %u", publisher->number, text.bytes >= 2 ? load_be16(text.data) : 0U);
        sim_wire_put_frame(&publisher->wire, &world->random, 8, true, frame->payload);
        publisher->open = false;
    } else if (slice_starts(text, slice_text("{\"op\":\"ack\"")) && next_number(&text, "\"seq\":", &seq)) {
        on_ack(world, publisher, seq);
    } else if (slice_starts(text, slice_text("{\"op\":\"nack\"")) && next_number(&text, "\"seq\":", &seq)) {
        on_nack(world, publisher, seq);
    } else {
        sim_fail(world, "publisher %u: got %.*s", publisher->number, (int)text.bytes, text.data);
    }
}

/* --- steps ----------------------------------------------------------------------------------------------------------- */

/* What has not been answered stays undecided. */
static void give_up(struct sim_world *world, struct sim_publisher *publisher)
{
    sim_trace(world, "publisher %u: connection ended, %u undecided", publisher->number, publisher->outstanding_count);
    publisher->undecided += publisher->outstanding_count;
    publisher->outstanding_count = 0;
    publisher->open = false;
    sim_wire_close(&publisher->wire, false);
}

static void connect(struct sim_world *world, struct sim_publisher *publisher)
{
    if (!sim_wire_connect(&publisher->wire, world->network, SIM_PORT_INGEST,
                          sim_world_address(200 + publisher->number)))
        return;
    publisher->stream += STREAM_STEP;
    publisher->seq = publisher->acknowledged = 0;
    sim_trace(world, "publisher %u connects", publisher->number);
    if (publisher->way == SIM_BY_SOCKET)
        sim_wire_put_text(&publisher->wire,
                          "GET /ingest/v1/ws HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer " SIM_INGEST_KEY
                          "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
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
        else if (publisher->way != SIM_BY_SOCKET)
            on_response(world, publisher, &response);
    }
    while (publisher->open && (result = sim_wire_frame(&publisher->wire, &frame, &why)) > 0)
        on_frame(world, publisher, &frame);
    if (result < 0)
        sim_fail(world, "publisher %u: %s", publisher->number, why);
}

static void publish(struct sim_world *world, struct sim_publisher *publisher)
{
    if (publisher->wire.peer < 0) {
        connect(world, publisher);
    } else if (publisher->way != SIM_BY_SOCKET) {
        if (publisher->outstanding_count == 0)
            post(world, publisher);
    } else if (publisher->open) {
        uint64_t count = 1 + random_below(&world->random, 20);
        while (count-- > 0 && publisher->outstanding_count < SIM_OUTSTANDING_MAX)
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
