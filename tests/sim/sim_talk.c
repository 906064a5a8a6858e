/* SPDX-License-Identifier: MIT */
/* Owns the conversations of honest clients: messages and requests, and the answers that have to come in their order.
 * It never connects and never ends a connection.
 * Called by sim_client.c for clients that are open. */
#include "tests/sim/sim_talk.h"

#include "core/work.h"
#include "tests/sim/sim_text.h"

#include <stdio.h>

#define ECHO_BYTES_MAX 9000

/* --- echo --------------------------------------------------------------------------------------------------------- */

static uint8_t echo_byte(uint32_t number, size_t at)
{
    return (uint8_t)(number * 31 + at * 7);
}

static void say_echo(struct sim_world *world, struct sim_client *client)
{
    uint8_t payload[ECHO_BYTES_MAX];
    uint32_t bytes = (uint32_t)random_below(&world->random, random_chance(&world->random, 1, 4) ? ECHO_BYTES_MAX : 150);
    if (client->expected_count > 4)
        return;
    uint32_t number = (uint32_t)client->requested++;
    for (uint32_t i = 0; i < bytes; i++)
        payload[i] = echo_byte(number, i);
    sim_client_expect(client, (struct sim_expected){.number = number, .bytes = bytes});
    if (!random_chance(&world->random, 1, 3)) {
        sim_wire_put_frame(&client->wire, &world->random, 2, true, slice_of(payload, bytes));
        return;
    }
    uint32_t first = (uint32_t)random_below(&world->random, bytes + 1U); /* in two fragments, a pong between them */
    sim_wire_put_frame(&client->wire, &world->random, 2, false, slice_of(payload, first));
    sim_wire_put_frame(&client->wire, &world->random, 10, true, slice_text(""));
    sim_wire_put_frame(&client->wire, &world->random, 0, true, slice_of(payload + first, bytes - first));
}

static void hear_echo(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    struct sim_expected expected = sim_client_next_expected(world, client);
    bool same = frame->opcode == 2 && frame->payload.bytes == expected.bytes;
    for (size_t i = 0; same && i < expected.bytes; i++)
        same = frame->payload.data[i] == echo_byte(expected.number, i);
    if (!same)
        sim_fail(world, "client %u: echo %u came back changed or out of order", client->number, expected.number);
    sim_trace(world, "client %u: echo %u", client->number, expected.number);
}

/* --- plain -------------------------------------------------------------------------------------------------------- */

static void say_plain(struct sim_world *world, struct sim_client *client)
{
    uint8_t content[64];
    struct sim_model *model = &world->model;
    if (!world->plan.client_publish || world->stage != STAGE_RUN || world->calm)
        return;
    if (model->channels[client->readers[0].channel].latest)
        return; /* these have one publisher, so that the newest is known */
    if (client->stream == SIM_NONE)
        client->stream = (client->number + 1) * 8 + 7; /* publishers have those below 7 of each 8 */
    uint32_t number =
        sim_model_begin(model, &(struct sim_message){.channel = client->readers[0].channel,
                                                     .stream = client->stream,
                                                     .bytes = 9 + (uint32_t)random_below(&world->random, 50)});
    size_t bytes = sim_model_content(model, number, content, sizeof content);
    sim_wire_put_frame(&client->wire, &world->random, 1, true, slice_of(content, bytes));
}

static void hear_plain(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    uint32_t message;
    const char *wrong =
        sim_model_arrive(&world->model, client->readers, client->reader_count, frame->payload, &message);
    if (wrong != NULL)
        sim_fail(world, "client %u: message %d: %s", client->number, (int)message, wrong);
    sim_trace(world, "client %u: message %u", client->number, message);
}

/* --- rustorium ---------------------------------------------------------------------------------------------------- */

static void request(struct sim_world *world, struct sim_client *client, const char *type, const char *data,
                    struct sim_expected expected)
{
    char text[256];
    expected.number = (uint32_t)++client->requested;
    int bytes =
        snprintf(text, sizeof text, "{\"type\":\"%s\",\"id\":\"r%u\",\"data\":%s}", type, expected.number, data);
    sim_wire_put_frame(&client->wire, &world->random, 1, true, slice_of(text, (size_t)bytes));
    sim_client_expect(client, expected);
}

static void subscribe_state(struct sim_world *world, struct sim_client *client)
{
    char data[128], key[16];
    uint32_t number = client->subscription_count;
    if (number == SIM_SUBSCRIPTIONS_MAX)
        return;
    struct sim_subscription *subscription = &client->subscriptions[client->subscription_count++];
    *subscription = (struct sim_subscription){.asked = sim_model_now(&world->model)};
    sim_model_key(key, (uint32_t)random_below(&world->random, SIM_KEYS));
    switch (random_below(&world->random, 4)) {
    case 0:
        snprintf(data, sizeof data, "{\"channel\":\"state\"}");
        break;
    case 1:
        subscription->exact = true;
        memcpy(subscription->prefix, key, sizeof key);
        snprintf(data, sizeof data, "{\"channel\":\"state\",\"filter\":{\"key\":\"%s\"}}", key);
        break;
    default:
        snprintf(subscription->prefix, sizeof subscription->prefix, "%c", key[0]);
        snprintf(data, sizeof data, "{\"filter\":{\"key_prefix\":\"%c\"},\"channel\":\"state\"}", key[0]);
    }
    request(world, client, "subscribe", data, (struct sim_expected){.good = true, .subscription = number});
}

static void subscribe_chain(struct sim_world *world, struct sim_client *client)
{
    char data[128];
    struct sim_chain_channel *channel = sim_chain_subscribe(world, client, data, sizeof data);
    if (channel != NULL)
        request(world, client, "subscribe", data,
                (struct sim_expected){.good = true, .subscription = SIM_NONE, .chain = channel});
}

static void unsubscribe(struct sim_world *world, struct sim_client *client)
{
    char data[128];
    for (uint32_t i = 0; i < client->subscription_count; i++) {
        struct sim_subscription *subscription = &client->subscriptions[i];
        if (subscription->confirmed == 0 || subscription->left != 0)
            continue;
        subscription->left = sim_model_now(&world->model);
        snprintf(data, sizeof data, "{\"subscription_id\":\"%s\"}", client->subscription_ids[i]);
        request(world, client, "unsubscribe", data, (struct sim_expected){.good = true, .subscription = i});
        return;
    }
}

static void err(struct sim_world *world, struct sim_client *client)
{
    static const char *const mistakes[][2] = {
        {"subscribe", "{\"channel\":\"weather\"}"},
        {"subscribe", "{\"channel\":\"state\",\"filter\":{\"colour\":1}}"},
        {"subscribe", "{\"channel\":\"blocks\",\"filter\":{\"confirmations\":0}}"},
        {"unsubscribe", "{\"subscription_id\":\"none\"}"},
        {"unsubscribe", "{}"},
    };
    size_t i = random_below(&world->random, sizeof mistakes / sizeof mistakes[0]);
    request(world, client, mistakes[i][0], mistakes[i][1], (struct sim_expected){.subscription = SIM_NONE});
}

static void say_rustorium(struct sim_world *world, struct sim_client *client)
{
    if (client->expected_count > SIM_EXPECTED_MAX / 2 || client->refused)
        return;
    switch (random_below(&world->random, 6)) {
    case 0:
        unsubscribe(world, client);
        break;
    case 1:
        err(world, client);
        break;
    case 2:
        request(world, client, "ping", "{}", (struct sim_expected){.good = true, .subscription = SIM_NONE});
        break;
    case 3:
        subscribe_chain(world, client);
        break;
    default:
        subscribe_state(world, client);
    }
}

/* The text between `before` and the next quote; nothing when it does not occur. */
static struct slice text_behind(struct slice text, const char *before)
{
    struct slice name = slice_text(before);
    for (; text.bytes >= name.bytes; text = slice_skip(text, 1)) {
        if (!slice_starts(text, name))
            continue;
        text = slice_skip(text, name.bytes);
        size_t bytes = 0;
        while (bytes < text.bytes && text.data[bytes] != '"')
            bytes++;
        return slice_of(text.data, bytes);
    }
    return slice_of(NULL, 0);
}

static uint64_t number_of(struct slice text)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] >= '0' && text.data[i] <= '9')
            value = value * 10 + (uint64_t)(text.data[i] - '0');
    return value;
}

static void hear_answer(struct sim_world *world, struct sim_client *client, struct slice text, bool good)
{
    struct sim_expected expected = sim_client_next_expected(world, client);
    char id[16];
    snprintf(id, sizeof id, "r%u", expected.number);
    if (!slice_is(text_behind(text, "\"id\":\""), id) || good != expected.good)
        sim_fail(world, "client %u: expected the %s answer to %s, got %.*s", client->number,
                 expected.good ? "good" : "bad", id, (int)text.bytes, text.data);
    sim_trace(world, "client %u: answer %s", client->number, id);
    if (sim_limits_exceeded(world, client))
        sim_fail(world, "client %u: one attempt more of its key or address than is allowed", client->number);
    if (expected.chain != NULL)
        expected.chain->confirmed = sim_model_now(&world->model);
    if (expected.subscription == SIM_NONE)
        return;
    struct sim_subscription *subscription = &client->subscriptions[expected.subscription];
    if (subscription->left != 0) {
        subscription->gone = true;
        return;
    }
    struct slice given = text_behind(text, "\"subscription_id\":\"");
    subscription->confirmed = sim_model_now(&world->model);
    snprintf(client->subscription_ids[expected.subscription], sizeof client->subscription_ids[0], "%.*s",
             (int)given.bytes, given.data);
}

static void hear_state(struct sim_world *world, struct sim_client *client, struct slice text)
{
    uint64_t number = number_of(text_behind(text, "\"id\":\"state"));
    uint32_t message = (uint32_t)number_of(text_behind(text, "\"value\":\""));
    const char *wrong =
        sim_model_arrive_state(&world->model, &client->view, client->subscriptions, client->subscription_count, number,
                               text_behind(text, "\"key\":\""), message);
    if (wrong != NULL)
        sim_fail(world, "client %u: state %llu, message %u: %s", client->number, (unsigned long long)number, message,
                 wrong);
    sim_trace(world, "client %u: state %llu", client->number, (unsigned long long)number);
}

static void hear_chain(struct sim_world *world, struct sim_client *client, struct slice text, bool block)
{
    const char *wrong =
        block ? sim_chain_hear_block(world, client, text) : sim_chain_hear_transaction(world, client, text);
    if (wrong != NULL)
        sim_fail(world, "client %u: %s %s: %.*s", client->number, block ? "block" : "transaction", wrong,
                 (int)text.bytes, text.data);
    sim_trace(world, "client %u: %.*s", client->number, text.bytes < 40 ? (int)text.bytes : 40, text.data);
}

/* The close that follows says why. */
static void hear_refusal(struct sim_world *world, struct sim_client *client, struct slice text)
{
    bool lost = world->reloaded && client->key == SIM_RUSTORIUM_KEYS - 1;
    if (sim_text_behind(text, "\"code\":4000").data != NULL && lost)
        return;
    if (sim_text_behind(text, "\"code\":4001").data == NULL || !sim_limits_key_full(world, client))
        sim_fail(world, "client %u: refused, although there are places and attempts for it", client->number);
    client->refused = true;
}

static void hear_rustorium(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    struct slice type = text_behind(frame->payload, "{\"type\":\"");
    if (slice_is(type, "state_update"))
        hear_state(world, client, frame->payload);
    else if (slice_is(type, "new_block") || slice_is(type, "tx_confirmed"))
        hear_chain(world, client, frame->payload, slice_is(type, "new_block"));
    else if (slice_is(type, "error") && slice_starts(slice_skip(frame->payload, 16), slice_text("\"id\":null")))
        hear_refusal(world, client, frame->payload);
    else if (!slice_is(type, "heartbeat"))
        hear_answer(world, client, frame->payload, !slice_is(type, "error"));
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

void sim_talk_act(struct sim_world *world, struct sim_client *client)
{
    client->wake_ms = sim_world_ms() + 20 + random_below(&world->random, 1500);
    if (world->calm)
        return;
    if (random_chance(&world->random, 1, 10))
        sim_wire_put_frame(&client->wire, &world->random, 9, true, slice_text("?"));
    switch (client->kind) {
    case SIM_PLAIN:
        say_plain(world, client);
        break;
    case SIM_ECHO:
        say_echo(world, client);
        break;
    case SIM_RUSTORIUM:
        say_rustorium(world, client);
        break;
    case SIM_JOBS:
        sim_jobs_say(world, client);
        break;
    case SIM_EVENTS:
        sim_events_say(world, client);
        break;
    case SIM_CRYPTO:
        sim_crypto_say(world, client);
        break;
    case SIM_HOSTILE:
        break;
    }
}

void sim_talk_on_message(struct sim_world *world, struct sim_client *client, const struct sim_frame *frame)
{
    switch (client->kind) {
    case SIM_PLAIN:
        hear_plain(world, client, frame);
        break;
    case SIM_ECHO:
        hear_echo(world, client, frame);
        break;
    case SIM_RUSTORIUM:
        hear_rustorium(world, client, frame);
        break;
    case SIM_JOBS:
        sim_jobs_hear(world, client, frame);
        break;
    case SIM_EVENTS:
        sim_events_hear(world, client, frame);
        break;
    case SIM_CRYPTO:
        sim_crypto_hear(world, client, frame);
        break;
    case SIM_HOSTILE:
        break;
    }
}
