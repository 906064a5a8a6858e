/* SPDX-License-Identifier: MIT */
/* Owns the message that is being given out, and which part a request goes to: jobs, forks, offers.
 * It never checks shapes (the dialect has) and never knows who listens.
 * The service host calls it at the home of the dialect aitbc, through the table at the end. */
#include "protocol/dialects/aitbc/aitbc_streams.h"

#include "core/check.h"
#include "protocol/dialects/aitbc/aitbc.h"
#include "protocol/dialects/aitbc/forks.h"
#include "protocol/dialects/aitbc/offers.h"
#include "protocol/json.h"
#include "protocol/service.h"
#include "protocol/timestamp.h"

#include <stdlib.h>

#define EXPIRY_BYTES 8
#define MESSAGE_BYTES_KEPT 65536 /* of the memory for messages, between two requests */
#define PREVIOUS_PRICE ",\"previous_price\":"
#define CURRENCY ",\"currency\":"

/* Bytes that grow with the largest message. */
struct text {
    uint8_t *data;
    size_t used, capacity;
};

struct streams {
    const struct aitbc_settings *settings;
    struct job_status jobs;
    struct forks forks;
    struct offers offers;
    struct text sync; /* the newest sync_status; none: used 0 */
    struct text message;
    bool pending; /* the message is still to be given out */
    enum aitbc_event pending_type;
    const struct fork_height *pending_fork; /* behind it */
    uint64_t now_ms;                        /* of the last request or timer */
    uint64_t wall_ms;
};

/* --- event types -------------------------------------------------------------------------------------------------- */

static const char *const type_names[AITBC_EVENT_TYPES] = {
    [AITBC_NEW_BLOCK] = "new_block",
    [AITBC_TRANSACTION_CONFIRMED] = "transaction_confirmed",
    [AITBC_TRANSACTION_PENDING] = "transaction_pending",
    [AITBC_FORK_DETECTED] = "fork_detected",
    [AITBC_SYNC_STATUS] = "sync_status",
    [AITBC_NEW_OFFER] = "new_offer",
    [AITBC_OFFER_MATCHED] = "offer_matched",
    [AITBC_OFFER_EXPIRED] = "offer_expired",
    [AITBC_OFFER_CANCELLED] = "offer_cancelled",
    [AITBC_PRICE_UPDATE] = "price_update",
};

enum aitbc_event aitbc_event_named(struct slice name)
{
    enum aitbc_event type = AITBC_NEW_BLOCK;
    while (type < AITBC_EVENT_TYPES && !slice_is(name, type_names[type]))
        type++;
    return type;
}

void aitbc_events_put(struct buf *out, unsigned set)
{
    uint8_t bytes[2];
    store_be16(bytes, (uint16_t)set);
    buf_put(out, slice_of(bytes, sizeof bytes));
}

bool aitbc_events_match(struct slice variant, const struct event *event)
{
    return variant.bytes == 0 || (load_be16(variant.data) >> event->level & 1) != 0;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* Empties the text and makes room for so many bytes; false when memory is out. */
static bool text_begin(struct text *text, size_t bytes)
{
    text->used = 0;
    if (bytes <= text->capacity)
        return true;
    uint8_t *data = realloc(text->data, bytes);
    if (data == NULL)
        return false;
    text->data = data;
    text->capacity = bytes;
    return true;
}

static void text_put(struct text *text, struct slice piece)
{
    check(piece.bytes <= text->capacity - text->used);
    if (piece.bytes > 0)
        memcpy(text->data + text->used, piece.data, piece.bytes);
    text->used += piece.bytes;
}

static void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

static bool text_set(struct text *text, struct slice content)
{
    if (!text_begin(text, content.bytes))
        return false;
    text_put(text, content);
    return true;
}

static struct slice text_slice(const struct text *text)
{
    return slice_of(text->data, text->used);
}

static int refuse(struct buf *reply, int status, const char *why)
{
    buf_put_text(reply, why);
    return status;
}

/* The message goes out as it came. */
static int pass_on(struct streams *streams, struct slice message, struct buf *reply)
{
    streams->pending = text_set(&streams->message, message);
    return streams->pending ? 202 : refuse(reply, 503, "out of memory");
}

/* --- the chain ---------------------------------------------------------------------------------------------------- */

static int take_block(struct streams *streams, struct slice message, struct buf *reply)
{
    struct json_member block = {.name = "block"}, fields[] = {{.name = "height"}, {.name = "hash"}};
    uint8_t memory[FORK_HASH_BYTES_MAX];
    struct buf space = buf_of(memory, sizeof memory);
    uint64_t height = 0;
    int status = pass_on(streams, message, reply);
    if (status != 202 || !streams->settings->detect_forks)
        return status;
    check(json_find_members(message, JSON_DEPTH_MAX, false, &block, 1) == JSON_MEMBERS_OK);
    check(json_find_members(block.text, JSON_DEPTH_MAX, false, fields, 2) == JSON_MEMBERS_OK);
    check(json_u64(fields[0].raw, &height));
    struct slice hash = json_resolve(fields[1].raw, fields[1].escaped, &space);
    check(!space.overflow);
    streams->pending_fork = forks_add(&streams->forks, height, hash);
    return 202;
}

static int take_sync(struct streams *streams, struct slice message, struct buf *reply)
{
    if (!text_set(&streams->sync, message))
        return refuse(reply, 503, "out of memory");
    return pass_on(streams, message, reply);
}

static int read_sync(const struct streams *streams, struct buf *reply)
{
    if (streams->sync.used == 0)
        return refuse(reply, 404, "No state");
    buf_put(reply, text_slice(&streams->sync));
    return 200;
}

static int read_chain(const struct streams *streams, struct buf *reply)
{
    if (streams->sync.used == 0 && streams->forks.count == 0)
        return refuse(reply, 404, "No state");
    buf_put_text(reply, "{\"heights\":");
    buf_put_u64(reply, streams->forks.count);
    buf_put_text(reply, ",\"sync_status\":");
    buf_put(reply, streams->sync.used == 0 ? slice_text("null") : text_slice(&streams->sync));
    buf_put_byte(reply, '}');
    return 200;
}

/* --- the market --------------------------------------------------------------------------------------------------- */

enum { OFFER_ID, OFFER_PRICE, OFFER_CURRENCY, OFFER_PREVIOUS, OFFER_MEMBERS };

/* Reads the offer of a message; its text is offer->text. */
static void read_offer(struct slice message, struct json_member *offer, struct json_member *fields)
{
    static const char *const names[OFFER_MEMBERS] = {"id", "price_per_hour", "currency", "previous_price"};
    for (size_t i = 0; i < OFFER_MEMBERS; i++)
        fields[i].name = names[i];
    offer->name = "offer";
    check(json_find_members(message, JSON_DEPTH_MAX, false, offer, 1) == JSON_MEMBERS_OK);
    check(json_find_members(offer->text, JSON_DEPTH_MAX, false, fields, OFFER_MEMBERS) == JSON_MEMBERS_OK);
}

/* The wall clock's time on the monotonic one; what has passed already is due now. */
static uint64_t monotonic(const struct streams *streams, uint64_t wall_ms)
{
    return wall_ms > streams->wall_ms ? streams->now_ms + (wall_ms - streams->wall_ms) : streams->now_ms;
}

/* Remembers the offer; what is not remembered is delivered all the same. `expiry_wall_ms` 0: not said. */
static void remember(struct streams *streams, const struct offer_facts *facts, bool fresh, uint64_t expiry_wall_ms)
{
    uint64_t unsaid = fresh ? UINT64_MAX : 0;
    offers_put(&streams->offers, facts, expiry_wall_ms == 0 ? unsaid : monotonic(streams, expiry_wall_ms),
               streams->settings->offers_memory_bytes);
}

static int take_new_offer(struct streams *streams, struct slice message, uint64_t expiry_wall_ms, struct buf *reply)
{
    struct json_member offer, fields[OFFER_MEMBERS];
    read_offer(message, &offer, fields);
    int status = pass_on(streams, message, reply);
    if (status == 202)
        remember(streams,
                 &(struct offer_facts){.id = fields[OFFER_ID].text,
                                       .price = fields[OFFER_PRICE].text,
                                       .currency = fields[OFFER_CURRENCY].text},
                 true, expiry_wall_ms);
    return status;
}

/* what the update leaves out and the market knows is put at the end of its offer. */
static int take_price(struct streams *streams, struct slice message, uint64_t expiry_wall_ms, struct buf *reply)
{
    struct json_member offer, fields[OFFER_MEMBERS];
    struct offer_facts known = {0};
    read_offer(message, &offer, fields);
    bool is_known = offers_get(&streams->offers, fields[OFFER_ID].text, &known);
    bool add_currency = fields[OFFER_CURRENCY].token == JSON_ERROR && known.currency.bytes > 0;
    bool add_previous = fields[OFFER_PREVIOUS].token == JSON_ERROR && is_known;
    size_t inside = (size_t)(offer.text.data - message.data) + offer.text.bytes - 1;
    struct text *out = &streams->message;
    if (!text_begin(out, message.bytes + sizeof(CURRENCY PREVIOUS_PRICE) + known.currency.bytes + known.price.bytes))
        return refuse(reply, 503, "out of memory");
    text_put(out, slice_of(message.data, inside));
    if (add_currency) {
        text_put(out, slice_text(CURRENCY));
        text_put(out, known.currency);
    }
    if (add_previous) {
        text_put(out, slice_text(PREVIOUS_PRICE));
        text_put(out, known.price);
    }
    text_put(out, slice_skip(message, inside));
    streams->pending = true;
    remember(streams,
             &(struct offer_facts){.id = fields[OFFER_ID].text,
                                   .price = fields[OFFER_PRICE].text,
                                   .currency = add_currency ? known.currency : fields[OFFER_CURRENCY].text},
             false, expiry_wall_ms);
    return 202;
}

static int take_offer_end(struct streams *streams, struct slice message, struct buf *reply)
{
    struct json_member offer, fields[OFFER_MEMBERS];
    read_offer(message, &offer, fields);
    int status = pass_on(streams, message, reply);
    if (status == 202)
        offers_remove(&streams->offers, fields[OFFER_ID].text);
    return status;
}

static int read_offers(const struct streams *streams, struct buf *reply)
{
    if (streams->offers.count == 0)
        return refuse(reply, 404, "No state");
    offers_print(&streams->offers, reply);
    return 200;
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

static int take_event(struct streams *streams, enum aitbc_event type, struct slice body, struct buf *reply)
{
    check_op(body.bytes, >, EXPIRY_BYTES);
    uint64_t expiry_wall_ms = load_be64(body.data);
    struct slice message = slice_skip(body, EXPIRY_BYTES);
    streams->pending_type = type;
    switch (type) {
    case AITBC_NEW_BLOCK:
        return take_block(streams, message, reply);
    case AITBC_SYNC_STATUS:
        return take_sync(streams, message, reply);
    case AITBC_NEW_OFFER:
        return take_new_offer(streams, message, expiry_wall_ms, reply);
    case AITBC_PRICE_UPDATE:
        return take_price(streams, message, expiry_wall_ms, reply);
    case AITBC_OFFER_MATCHED:
    case AITBC_OFFER_EXPIRED:
    case AITBC_OFFER_CANCELLED:
        return take_offer_end(streams, message, reply);
    case AITBC_TRANSACTION_CONFIRMED:
    case AITBC_TRANSACTION_PENDING:
    case AITBC_FORK_DETECTED:
        return pass_on(streams, message, reply);
    case AITBC_EVENT_TYPES:
        break;
    }
    check(type < AITBC_EVENT_TYPES);
    return refuse(reply, 404, "no such event");
}

static int streams_request(void *state, const struct service_request *request, struct buf *reply)
{
    struct streams *streams = state;
    check(!streams->pending && streams->pending_fork == NULL);
    streams->now_ms = request->now_ms;
    streams->wall_ms = request->wall_ms;
    switch (request->kind) {
    case AITBC_READ_JOB:
        return job_status_read(&streams->jobs, request->body, reply);
    case AITBC_READ_JOBS:
        return job_status_read_all(&streams->jobs, reply);
    case AITBC_READ_CHAIN:
        return read_chain(streams, reply);
    case AITBC_READ_SYNC:
        return read_sync(streams, reply);
    case AITBC_READ_OFFERS:
        return read_offers(streams, reply);
    case AITBC_JOB:
        return job_status_update(&streams->jobs, &streams->settings->jobs, request->body, request->now_ms,
                                 request->wall_ms, reply);
    default:
        check_op(request->kind, >=, AITBC_EVENT);
        return take_event(streams, (enum aitbc_event)(request->kind - AITBC_EVENT), request->body, reply);
    }
}

/* --- giving out --------------------------------------------------------------------------------------------------- */

static struct event event_of(enum aitbc_event type, struct slice payload)
{
    return (struct event){
        .channel = slice_text(AITBC_EVENTS), .payload = payload, .opcode = WS_TEXT, .level = (uint32_t)type};
}

/* */
static bool expire_offer(struct streams *streams, struct buf *scratch, struct event *event)
{
    buf_reset(scratch);
    buf_put_text(scratch, "{\"type\":\"offer_expired\",\"offer\":{\"id\":");
    if (!offers_expire(&streams->offers, scratch))
        return false;
    buf_put_text(scratch, "},\"timestamp\":\"");
    timestamp_put_iso(scratch, (int64_t)streams->wall_ms);
    buf_put_text(scratch, "\"}");
    check(!scratch->overflow);
    *event = event_of(AITBC_OFFER_EXPIRED, buf_slice(scratch));
    return true;
}

static bool streams_next(void *state, struct buf *scratch, struct effect *effect)
{
    struct event *event = &effect->event;
    struct streams *streams = state;
    if (streams->pending) {
        streams->pending = false;
        *event = event_of(streams->pending_type, text_slice(&streams->message));
        return true;
    }
    if (streams->pending_fork != NULL) {
        buf_reset(scratch);
        forks_print(streams->pending_fork, streams->wall_ms, scratch);
        check(!scratch->overflow);
        streams->pending_fork = NULL;
        *event = event_of(AITBC_FORK_DETECTED, buf_slice(scratch));
        return true;
    }
    if (job_status_next(&streams->jobs, &streams->settings->jobs, streams->now_ms, streams->wall_ms, event) ||
        expire_offer(streams, scratch, event))
        return true;
    if (streams->message.capacity > MESSAGE_BYTES_KEPT)
        text_free(&streams->message);
    return false;
}

static uint64_t streams_due(const void *state)
{
    const struct streams *streams = state;
    uint64_t jobs = job_status_due(&streams->jobs), offers = offers_due(&streams->offers);
    return jobs < offers ? jobs : offers;
}

static void streams_timer(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct streams *streams = state;
    streams->now_ms = now_ms;
    streams->wall_ms = wall_ms;
    job_status_advance(&streams->jobs, now_ms);
    offers_advance(&streams->offers, now_ms);
}

/* --- the service -------------------------------------------------------------------------------------------------- */

static int streams_open(void *state, const void *settings)
{
    struct streams *streams = state;
    /* those who choose ids and hashes do not know where the memory lies; the order of the maps shows nowhere */
    struct siphash_key key = {.k0 = (uint64_t)(uintptr_t)state, .k1 = (uint64_t)(uintptr_t)&aitbc_streams_service};
    streams->settings = settings;
    job_status_init(&streams->jobs, key);
    forks_init(&streams->forks, key);
    offers_init(&streams->offers, key);
    return 0;
}

static void streams_close(void *state)
{
    struct streams *streams = state;
    job_status_close(&streams->jobs);
    forks_close(&streams->forks);
    offers_close(&streams->offers);
    text_free(&streams->sync);
    text_free(&streams->message);
}

static void streams_settings(void *state, const void *settings)
{
    struct streams *streams = state;
    streams->settings = settings; /* times already running run on */
}

const struct service aitbc_streams_service = {
    .name = "aitbc_streams",
    .state_bytes = sizeof(struct streams),
    .open = streams_open,
    .close = streams_close,
    .settings = streams_settings,
    .request = streams_request,
    .next = streams_next,
    .due = streams_due,
    .timer = streams_timer,
};
