/* SPDX-License-Identifier: MIT */
/* Owns the events that publishers make up and the judgement of who reads them.
 * It never connects and never ends a connection.
 * Called by sim_talk.c and sim_client.c for clients of that kind, and by publishers for the objects. */
#include "tests/sim/sim_events.h"

#include "core/check.h"
#include "core/work.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_text.h"

#include <stdio.h>
#include <stdlib.h>

#define PER_HEIGHT 4U /* blocks of one height at most: so forks are frequent */
#define NOTICED_MS 1000

enum view { VIEW_ALL, VIEW_CHAIN, VIEW_MARKET, VIEW_BLOCKS };

static const struct path {
    uint16_t port;
    enum view view;
    const char *path;
} paths[] = {{SIM_PORT_AITBC, VIEW_ALL, "/v1/events"},
             {SIM_PORT_AITBC, VIEW_CHAIN, "/api/v1/events?source=blockchain"},
             {SIM_PORT_AITBC_CHAIN, VIEW_CHAIN, "/v1/events"},
             {SIM_PORT_AITBC, VIEW_MARKET, "/v1/events?source=marketplace"},
             {SIM_PORT_AITBC, VIEW_BLOCKS, "/v1/events?types=new_block,fork_detected"}};
#define PATHS (sizeof paths / sizeof paths[0])

static enum view view_of(const struct sim_client *client)
{
    return paths[client->events.path].view;
}

static bool shows(enum view view, uint32_t type)
{
    return view == VIEW_ALL || (view == VIEW_MARKET && type >= SIM_NEW_OFFER) ||
           (view == VIEW_CHAIN && type < SIM_NEW_OFFER) || (view == VIEW_BLOCKS && type == SIM_NEW_BLOCK);
}

static struct sim_message *message_at(struct sim_world *world, uint32_t message)
{
    return &world->model.messages[message];
}

void sim_events_start(struct sim_world *world)
{
    world->events.chain_series = sim_model_series(&world->model);
}

void sim_events_free(struct sim_world *world)
{
    for (int i = 0; i < SIM_VIEWS; i++) {
        free(world->events.orders[i].next);
        free(world->events.orders[i].previous);
    }
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* The message of an offer that came before and told a price. */
static uint32_t price_before(const struct sim_world *world, uint32_t message)
{
    return world->model.messages[message].before;
}

static uint32_t begin_market(struct sim_world *world, struct sim_stall *stall, struct sim_message *event)
{
    struct random *random = &world->random;
    if (stall->offer == SIM_NONE) {
        if (world->model.series_count + 64 > SIM_SERIES_MAX)
            return SIM_NONE;
        event->detail = SIM_NEW_OFFER;
        event->key = sim_model_series(&world->model);
        if (random_chance(random, 1, 3))
            event->due_ms = sim_world_ms() + random_below(random, 3000);
        return stall->offer = sim_model_begin(&world->model, event);
    }
    event->key = world->model.messages[stall->offer].key;
    event->detail = random_chance(random, 1, 3) ? SIM_OFFER_CANCELLED : SIM_PRICE_UPDATE;
    if (event->detail == SIM_OFFER_CANCELLED || random_chance(random, 1, 4))
        stall->offer = SIM_NONE; /* nothing more about it, at times without an end */
    return sim_model_begin(&world->model, event);
}

uint32_t sim_events_begin(struct sim_world *world, struct sim_stall *stall, bool market, uint32_t stream)
{
    struct sim_message event = {.channel = SIM_NONE, .stream = stream, .form = SIM_EVENT};
    if (market)
        return begin_market(world, stall, &event);
    event.key = world->events.chain_series;
    event.detail = (uint32_t)random_below(&world->random, SIM_NEW_OFFER);
    return sim_model_begin(&world->model, &event);
}

/* `previous`: the price that stands in an update as the one before; SIM_NONE: none does. */
static size_t put_update(const struct sim_world *world, uint32_t message, bool currency, uint32_t previous, char *out,
                         size_t room)
{
    char stamp[SIM_STAMP_BYTES], more[64] = "";
    sim_text_stamp(stamp, message);
    if (previous != SIM_NONE)
        snprintf(more, sizeof more, "%s,\"previous_price\":%u", currency ? ",\"currency\":\"AITBC\"" : "", previous);
    return (size_t)snprintf(out, room,
                            "{\"type\":\"price_update\",\"offer\":{\"id\":\"o%u\",\"price_per_hour\":%u%s},"
                            "\"timestamp\":\"%s\"}",
                            world->model.messages[message].key, message, more, stamp);
}

static size_t put_offer(const struct sim_world *world, uint32_t message, bool delivered, char *out, size_t room)
{
    const struct sim_message *event = &world->model.messages[message];
    char expiry[48] = "";
    if (!delivered && event->due_ms != 0)
        snprintf(expiry, sizeof expiry, ",\"expires_at\":%llu",
                 (unsigned long long)(SIM_WALL_START_S * 1000ULL + event->due_ms));
    return (size_t)snprintf(out, room,
                            "{\"type\":\"new_offer\",\"offer\":{\"id\":\"o%u\",\"gpu_type\":\"g\",\"gpu_memory\":24,"
                            "\"price_per_hour\":%u,\"currency\":\"AITBC\"}%s}",
                            event->key, message, expiry);
}

/* All but prices. */
static size_t put_event(const struct sim_world *world, uint32_t message, bool delivered, char *out, size_t room)
{
    const struct sim_message *event = &world->model.messages[message];
    char stamp[SIM_STAMP_BYTES];
    sim_text_stamp(stamp, message);
    switch (event->detail) {
    case SIM_NEW_BLOCK:
        return (size_t)snprintf(out, room,
                                "{\"type\":\"new_block\",\"block\":{\"height\":%u,\"hash\":\"b%08u\",\"timestamp\":"
                                "\"%s\",\"transactions\":[]}}",
                                message / PER_HEIGHT, message, stamp);
    case SIM_TX_CONFIRMED:
        return (size_t)snprintf(out, room,
                                "{\"type\":\"transaction_confirmed\",\"tx_hash\":\"t\",\"block_height\":1,"
                                "\"confirmations\":2,\"timestamp\":\"%s\",\"more\":{\"a\":[1]}}",
                                stamp);
    case SIM_TX_PENDING:
        return (size_t)snprintf(out, room, "{\"type\":\"transaction_pending\",\"tx_hash\":\"t\",\"timestamp\":\"%s\"}",
                                stamp);
    case SIM_SYNC_STATUS:
        return (size_t)snprintf(out, room,
                                "{\"type\":\"sync_status\",\"syncing\":true,\"current_height\":1,\"highest_height\":2,"
                                "\"timestamp\":\"%s\"}",
                                stamp);
    case SIM_OFFER_CANCELLED:
        return (size_t)snprintf(out, room,
                                "{\"type\":\"offer_cancelled\",\"offer\":{\"id\":\"o%u\"},\"timestamp\":\"%s\"}",
                                event->key, stamp);
    default:
        return put_offer(world, message, delivered, out, room);
    }
}

size_t sim_events_object(const struct sim_world *world, uint32_t message, char *out, size_t room)
{
    const struct sim_message *event = &world->model.messages[message];
    if (event->detail != SIM_PRICE_UPDATE)
        return put_event(world, message, false, out, room);
    /* Every other one leaves the price before to the server. */
    return put_update(world, message, true, message % 2 == 0 ? price_before(world, message) : SIM_NONE, out, room);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

void sim_events_make(struct sim_world *world, struct sim_client *client)
{
    client->events = (struct sim_event_view){.path = (uint8_t)random_below(&world->random, PATHS), .last = SIM_NONE};
}

uint16_t sim_events_port(const struct sim_client *client)
{
    return paths[client->events.path].port;
}

void sim_events_path(const struct sim_client *client, char *out, size_t room)
{
    snprintf(out, room, "%s", paths[client->events.path].path);
}

void sim_events_on_open(struct sim_world *world, struct sim_client *client)
{
    client->events.confirmed = sim_model_now(&world->model);
}

void sim_events_say(struct sim_world *world, struct sim_client *client)
{
    if (client->expected_count > 4)
        return;
    sim_wire_put_frame(&client->wire, &world->random, 1, true, slice_text("{\"type\":\"ping\",\"x\":1}"));
    sim_client_expect(client, (struct sim_expected){.number = (uint32_t)client->requested++});
}

/* --- one order for all -------------------------------------------------------------------------------------------- */

static void grow(struct sim_order *order, uint32_t count)
{
    if (count <= order->capacity)
        return;
    order->next = realloc(order->next, 2 * count * sizeof *order->next);
    order->previous = realloc(order->previous, 2 * count * sizeof *order->previous);
    check(order->next != NULL && order->previous != NULL);
    memset(order->next + order->capacity, 0, (2 * count - order->capacity) * sizeof *order->next);
    memset(order->previous + order->capacity, 0, (2 * count - order->capacity) * sizeof *order->previous);
    order->capacity = 2 * count;
}

/* The message's place behind the reader's last one, learned or compared. */
static const char *follow(struct sim_world *world, enum view view, uint32_t last, uint32_t message)
{
    struct sim_order *order = &world->events.orders[view];
    if (last == SIM_NONE)
        return NULL;
    grow(order, world->model.count);
    if (order->next[last] != 0 && order->next[last] != message + 1)
        return "another reader saw another event next";
    if (order->previous[message] != 0 && order->previous[message] != last + 1)
        return "another reader saw another event before";
    order->next[last] = message + 1;
    order->previous[message] = last + 1;
    return NULL;
}

/* --- forks -------------------------------------------------------------------------------------------------------- */

static bool has_forks(enum view view)
{
    return view != VIEW_MARKET;
}

/* Whether the reader has seen another block of this one's height. */
static bool forks(struct sim_world *world, const struct sim_event_view *view, uint32_t block)
{
    uint32_t first = block / PER_HEIGHT * PER_HEIGHT;
    for (uint32_t i = first; i < first + PER_HEIGHT && i < world->model.count; i++)
        if (i != block && message_at(world, i)->form == SIM_EVENT && message_at(world, i)->detail == SIM_NEW_BLOCK &&
            sim_seen_has(&view->seen, i))
            return true;
    return false;
}

/* Before anything else comes: the fork of the last block has come, if there is one; and all readers saw it, or none. */
static const char *check_no_fork(struct sim_world *world, enum view kind, struct sim_event_view *view)
{
    if (view->last == SIM_NONE || view->last_forked || !has_forks(kind) ||
        message_at(world, view->last)->detail != SIM_NEW_BLOCK)
        return NULL;
    struct sim_message *block = message_at(world, view->last);
    if ((forks(world, view, view->last) && !sim_world_starved(world)) || block->due_ms == 1)
        return "a fork has not been told";
    block->due_ms = 2;
    return NULL;
}

static const char *judge_fork(struct sim_world *world, enum view kind, struct sim_event_view *view, struct slice text)
{
    struct slice hashes = sim_text_between(text, "\"hashes\":[", ']');
    uint32_t height = sim_text_number(sim_text_behind(text, "\"height\":")), count = 0, hash = SIM_NONE;
    if (!has_forks(kind) || view->last == SIM_NONE || view->last_forked ||
        message_at(world, view->last)->detail != SIM_NEW_BLOCK || view->last / PER_HEIGHT != height)
        return "a fork that is not behind its block";
    for (; hashes.bytes >= 11; hashes = slice_skip(hashes, hashes.bytes > 11 ? 12 : 11), count++) {
        hash = sim_text_number(slice_of(hashes.data + 2, 8));
        if (hash / PER_HEIGHT != height || hash >= world->model.count || message_at(world, hash)->form != SIM_EVENT ||
            message_at(world, hash)->detail != SIM_NEW_BLOCK || message_at(world, hash)->fate == SIM_REFUSED)
            return "a fork with a hash that nobody published";
    }
    if (count < 2 || hash != view->last)
        return "a fork whose newest hash is not the last block's";
    struct sim_message *block = message_at(world, view->last);
    if (block->due_ms == 2)
        return "another reader saw no fork";
    block->due_ms = 1;
    view->last_forked = true;
    return NULL;
}

/* --- offers ------------------------------------------------------------------------------------------------------- */

/* The message that made the offer of a series. */
static uint32_t offer_of(struct sim_world *world, uint32_t series)
{
    uint32_t found = SIM_NONE;
    for (uint32_t i = series < SIM_SERIES_MAX ? world->model.newest[series] : SIM_NONE; i != SIM_NONE;
         i = message_at(world, i)->before)
        found = i;
    return found != SIM_NONE && message_at(world, found)->form == SIM_EVENT &&
                   message_at(world, found)->detail == SIM_NEW_OFFER
               ? found
               : SIM_NONE;
}

/* Whether the offer may have been taken off before it expired. */
static bool may_be_cancelled(struct sim_world *world, uint32_t series)
{
    for (uint32_t i = world->model.newest[series]; i != SIM_NONE; i = message_at(world, i)->before)
        if (message_at(world, i)->detail == SIM_OFFER_CANCELLED && message_at(world, i)->fate != SIM_REFUSED)
            return true;
    return false;
}

static const char *judge_expiry(struct sim_world *world, struct sim_event_view *view, struct slice text)
{
    uint32_t series = sim_text_number(sim_text_behind(text, "\"offer\":{\"id\":\"o"));
    uint32_t offer = series < world->model.series_count ? offer_of(world, series) : SIM_NONE;
    if (offer == SIM_NONE || message_at(world, offer)->due_ms == 0)
        return "the end of an offer that has none";
    if (sim_world_ms() < message_at(world, offer)->due_ms && !sim_world_wall_jumps(world))
        return "an offer that expires before its time";
    if (sim_seen_has(&view->expired, offer))
        return "an offer that expires twice";
    for (uint32_t i = world->model.newest[series]; i != SIM_NONE; i = message_at(world, i)->before)
        if (message_at(world, i)->detail == SIM_OFFER_CANCELLED && sim_seen_has(&view->seen, i))
            return "an offer that expires behind its end";
    sim_seen_add(&view->expired, offer);
    return NULL;
}

/* The price before is that of the newest message about the offer, or missing when the offer may be gone. */
static const char *check_price(struct sim_world *world, struct slice text, uint32_t message, bool *currency,
                               uint32_t *previous)
{
    struct slice given = sim_text_behind(text, "\"previous_price\":");
    *previous = given.data == NULL ? SIM_NONE : sim_text_number(given);
    uint32_t offer = offer_of(world, message_at(world, message)->key);
    const struct sim_message *made = message_at(world, offer);
    bool gone = made->fate != SIM_ACCEPTED || sim_world_starved(world) ||
                (made->due_ms != 0 && (made->due_ms <= sim_world_ms() || sim_world_wall_jumps(world))) ||
                may_be_cancelled(world, made->key);
    *currency = sim_text_behind(text, ",\"currency\":\"AITBC\"").data != NULL;
    if (!*currency && *previous != SIM_NONE && (message % 2 == 0 || !gone))
        return "the currency is missing";
    if (message % 2 == 0)
        return *previous == price_before(world, message) ? NULL : "another price than was published";
    if (*previous == SIM_NONE)
        return gone ? NULL : "the price before is missing";
    for (uint32_t i = message_at(world, message)->before; i != SIM_NONE; i = message_at(world, i)->before) {
        if (i == *previous)
            return message_at(world, i)->fate == SIM_REFUSED ? "a price before that was refused" : NULL;
        if (message_at(world, i)->fate == SIM_ACCEPTED && sim_model_is_behind(&world->model, message, i) &&
            !sim_world_starved(world))
            return "an older price before";
    }
    return "a price before that nobody published";
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

static uint32_t recognise(struct slice text)
{
    uint32_t message = SIM_NONE;
    if (slice_starts(text, slice_text("{\"type\":\"new_offer\"")))
        return sim_text_number(sim_text_behind(text, "\"price_per_hour\":"));
    return sim_text_stamped(sim_text_between(text, "\"timestamp\":\"", '"'), &message) ? message : SIM_NONE;
}

static const char *check_text(struct sim_world *world, struct slice text, uint32_t message)
{
    char expected[320];
    size_t bytes;
    uint32_t previous;
    bool currency;
    const char *wrong;
    if (message_at(world, message)->detail != SIM_PRICE_UPDATE) {
        bytes = put_event(world, message, true, expected, sizeof expected);
    } else {
        if ((wrong = check_price(world, text, message, &currency, &previous)) != NULL)
            return wrong;
        bytes = put_update(world, message, currency, previous, expected, sizeof expected);
    }
    return slice_equal(text, slice_of(expected, bytes)) ? NULL : "an event that was not published so";
}

static const char *judge(struct sim_world *world, enum view kind, struct sim_event_view *view, struct slice text)
{
    uint32_t message = recognise(text);
    if (message >= world->model.count || message_at(world, message)->form != SIM_EVENT)
        return "an event that nobody published";
    struct sim_message *event = message_at(world, message);
    if (event->fate == SIM_REFUSED)
        return "an event that was refused";
    if (!shows(kind, event->detail))
        return "an event that was not asked for";
    if (sim_seen_has(&view->seen, message))
        return "an event for the second time";
    if (view->last != SIM_NONE && sim_model_is_behind(&world->model, view->last, message))
        return "an older event behind a newer one";
    const char *wrong = check_text(world, text, message);
    if (wrong == NULL)
        wrong = follow(world, kind, view->last, message);
    event->seen = true;
    sim_seen_add(&view->seen, message);
    view->last = message;
    view->last_forked = false;
    return wrong;
}

static const char *hear(struct sim_world *world, struct sim_client *client, struct slice text)
{
    struct sim_event_view *view = &client->events;
    enum view kind = view_of(client);
    if (slice_starts(text, slice_text("{\"type\":\"fork_detected\"")))
        return judge_fork(world, kind, view, text);
    const char *wrong = check_no_fork(world, kind, view);
    if (wrong != NULL)
        return wrong;
    if (slice_starts(text, slice_text("{\"type\":\"offer_expired\"")))
        return shows(kind, SIM_NEW_OFFER) ? judge_expiry(world, view, text) : "an end that was not asked for";
    return judge(world, kind, view, text);
}

void sim_events_hear(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    struct slice text = frame->payload;
    if (slice_starts(text, slice_text("{\"type\":\"pong\",\"timestamp\":\"20"))) {
        sim_client_next_expected(world, client);
        return;
    }
    const char *wrong = hear(world, client, text);
    if (wrong != NULL)
        sim_fail(world, "client %u: %s: %.*s", client->number, wrong, (int)text.bytes, text.data);
    world->model.deliveries++;
    sim_trace(world, "client %u: event %d", client->number, (int)client->events.last);
}

/* --- at rest ------------------------------------------------------------------------------------------------------ */

static bool expiry_missing(struct sim_world *world, const struct sim_event_view *view, uint32_t message)
{
    const struct sim_message *offer = message_at(world, message);
    return world->calm && !sim_world_wall_jumps(world) && !sim_world_starved(world) && offer->detail == SIM_NEW_OFFER &&
           offer->fate == SIM_ACCEPTED && offer->due_ms != 0 && offer->due_ms + NOTICED_MS < sim_world_ms() &&
           !may_be_cancelled(world, offer->key) && !sim_seen_has(&view->expired, message);
}

const char *sim_events_complete(struct sim_world *world, const struct sim_client *client)
{
    const struct sim_event_view *view = &client->events;
    enum view kind = view_of(client);
    for (uint32_t i = 0; view->confirmed != 0 && i < world->model.count; i++) {
        const struct sim_message *event = message_at(world, i);
        if (event->form != SIM_EVENT || !shows(kind, event->detail) || event->begun < view->confirmed)
            continue;
        if ((event->fate == SIM_ACCEPTED || event->seen) && !sim_seen_has(&view->seen, i))
            return "a published event has not arrived";
        if (expiry_missing(world, view, i))
            return "an offer has not expired";
    }
    return NULL;
}
