/* SPDX-License-Identifier: MIT */
/* Owns what was published, what became of it, and the rules by which a reader's view is judged.
 * It never looks into the server and never acts; it is the oracle.
 * Called by publishers (begin, settle), clients (arrive) and the scenario (complete). */
#include "tests/sim/sim_model.h"

#include "core/check.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBER_DIGITS 8
#define CONTENT_HEAD (NUMBER_DIGITS + 1) /* "00000012:" */

uint64_t sim_model_now(struct sim_model *model)
{
    return ++model->events;
}

void sim_model_free(struct sim_model *model)
{
    free(model->messages);
    free(model->by_number);
}

uint32_t sim_model_channel(struct sim_model *model, const char *name, bool latest)
{
    check_op(model->channel_count, <, SIM_CHANNELS_MAX);
    struct sim_channel *channel = &model->channels[model->channel_count];
    snprintf(channel->name, sizeof channel->name, "%s", name);
    channel->latest = latest;
    return model->channel_count++;
}

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

uint32_t sim_model_begin(struct sim_model *model, const struct sim_message *message)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity == 0 ? 1024 : model->capacity * 2;
        model->messages = realloc(model->messages, model->capacity * sizeof *model->messages);
        check(model->messages != NULL);
    }
    struct sim_message *added = &model->messages[model->count];
    *added = *message;
    added->begun = sim_model_now(model);
    added->begun_ms = now_ms();
    added->next = added->previous = added->before = SIM_NONE;
    if (added->form > SIM_STATE) {
        added->before = model->newest[added->key];
        model->newest[added->key] = model->count;
    }
    if (added->bytes < CONTENT_HEAD)
        added->bytes = CONTENT_HEAD;
    return model->count++;
}

void sim_model_settle(struct sim_model *model, uint32_t message, enum sim_fate fate)
{
    struct sim_message *settled = &model->messages[message];
    settled->fate = fate;
    settled->settled = sim_model_now(model);
    settled->settled_ms = now_ms();
}

uint32_t sim_model_series(struct sim_model *model)
{
    check_op(model->series_count, <, SIM_SERIES_MAX);
    model->newest[model->series_count] = SIM_NONE;
    return model->series_count++;
}

bool sim_model_is_behind(const struct sim_model *model, uint32_t newer, uint32_t older)
{
    const struct sim_message *a = &model->messages[newer], *b = &model->messages[older];
    if (a->fate == SIM_REFUSED || b->fate == SIM_REFUSED)
        return false;
    return (a->stream == b->stream && newer > older) || (b->fate == SIM_ACCEPTED && a->begun > b->settled);
}

static uint8_t filler(uint32_t message, size_t at)
{
    return (uint8_t)('a' + (message * 7U + (uint32_t)at) % 26U);
}

size_t sim_model_content(const struct sim_model *model, uint32_t message, uint8_t *out, size_t room)
{
    size_t bytes = model->messages[message].bytes;
    char number[CONTENT_HEAD + 1];
    check_op(bytes, <=, room);
    snprintf(number, sizeof number, "%08u:", message);
    memcpy(out, number, CONTENT_HEAD);
    for (size_t i = CONTENT_HEAD; i < bytes; i++)
        out[i] = filler(message, i);
    return bytes;
}

void sim_model_key(char out[16], uint32_t key)
{
    snprintf(out, 16, "%c%u", key % 2 == 0 ? 'e' : 'o', key);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool has_seen(const uint8_t *seen, uint32_t seen_bytes, uint32_t message)
{
    return message / 8 < seen_bytes && (seen[message / 8] >> message % 8 & 1) != 0;
}

static void mark_seen(uint8_t **seen, uint32_t *seen_bytes, uint32_t message)
{
    if (message / 8 >= *seen_bytes) {
        uint32_t wanted = message / 4 + 64;
        *seen = realloc(*seen, wanted);
        check(*seen != NULL);
        memset(*seen + *seen_bytes, 0, wanted - *seen_bytes);
        *seen_bytes = wanted;
    }
    (*seen)[message / 8] = (uint8_t)((*seen)[message / 8] | 1U << message % 8);
}

bool sim_seen_has(const struct sim_seen *seen, uint32_t message)
{
    return has_seen(seen->bits, seen->bytes, message);
}

void sim_seen_add(struct sim_seen *seen, uint32_t message)
{
    mark_seen(&seen->bits, &seen->bytes, message);
}

void sim_seen_free(struct sim_seen *seen)
{
    free(seen->bits);
    *seen = (struct sim_seen){0};
}

/* The number in front of a payload that is whole, or SIM_NONE. */
static uint32_t recognise(const struct sim_model *model, struct slice payload)
{
    bool quoted = payload.bytes >= 2 && payload.data[0] == '"';
    if (quoted)
        payload = slice_of(payload.data + 1, payload.bytes - 2);
    uint32_t number = 0;
    if (payload.bytes < CONTENT_HEAD)
        return SIM_NONE;
    for (size_t i = 0; i < NUMBER_DIGITS; i++) {
        if (payload.data[i] < '0' || payload.data[i] > '9')
            return SIM_NONE;
        number = number * 10 + (uint32_t)(payload.data[i] - '0');
    }
    if (number >= model->count || model->messages[number].bytes != payload.bytes ||
        quoted != (model->messages[number].form == SIM_QUOTED))
        return SIM_NONE;
    for (size_t i = CONTENT_HEAD; i < payload.bytes; i++)
        if (payload.data[i] != filler(number, i))
            return SIM_NONE;
    return number;
}

/* The messages of one publisher's connection arrive in the order in which they were sent. */
static const char *check_stream(struct sim_reader *reader, uint32_t stream, uint32_t number)
{
    if (stream >= reader->streams) {
        uint32_t wanted = stream + 16;
        reader->newest = realloc(reader->newest, wanted * sizeof *reader->newest);
        check(reader->newest != NULL);
        memset(reader->newest + reader->streams, 0, (wanted - reader->streams) * sizeof *reader->newest);
        reader->streams = wanted;
    }
    if (reader->newest[stream] > number)
        return "an older message of the same publisher";
    reader->newest[stream] = number + 1;
    return NULL;
}

/* Its place behind the reader's last one, learned or compared. */
static const char *check_succession(struct sim_model *model, const struct sim_reader *reader, uint32_t number)
{
    if (reader->last == SIM_NONE)
        return NULL;
    struct sim_message *last = &model->messages[reader->last], *now = &model->messages[number];
    if (last->next != SIM_NONE && last->next != number)
        return "another reader saw another message next";
    if (now->previous != SIM_NONE && now->previous != reader->last)
        return "another reader saw another message before";
    last->next = number;
    now->previous = reader->last;
    return NULL;
}

const char *sim_model_arrive(struct sim_model *model, struct sim_reader *readers, uint32_t count, struct slice payload,
                             uint32_t *message)
{
    uint32_t number = *message = recognise(model, payload);
    struct sim_reader *reader = NULL;
    if (number == SIM_NONE)
        return "a payload that nobody published";
    struct sim_message *arrived = &model->messages[number];
    for (uint32_t i = 0; i < count; i++)
        if (readers[i].channel == arrived->channel)
            reader = &readers[i];
    if (reader == NULL)
        return "a message of a channel that was not asked for";
    if (arrived->fate == SIM_REFUSED)
        return "a message that was refused";
    if (has_seen(reader->seen, reader->seen_bytes, number))
        return "a message for the second time";
    if (arrived->fate == SIM_ACCEPTED && arrived->settled < reader->asked && ++reader->old > reader->history)
        return "more of the past than was asked for";
    const char *wrong = check_stream(reader, arrived->stream, number);
    if (wrong == NULL && !model->channels[reader->channel].latest)
        wrong = check_succession(model, reader, number);
    if (wrong != NULL)
        return wrong;
    mark_seen(&reader->seen, &reader->seen_bytes, number);
    arrived->seen = true;
    if (reader->first == SIM_NONE)
        reader->first = number;
    reader->last = number;
    reader->count++;
    model->deliveries++;
    return NULL;
}

static bool was_published(const struct sim_message *message)
{
    return message->fate == SIM_ACCEPTED || message->seen;
}

static const char *complete_lossless(const struct sim_model *model, const struct sim_reader *reader)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        const struct sim_message *message = &model->messages[i];
        if (message->channel != reader->channel || !was_published(message))
            continue;
        if (message->begun > reader->confirmed && !has_seen(reader->seen, reader->seen_bytes, i))
            return "a published message has not arrived";
        if (message->fate == SIM_ACCEPTED && message->settled < reader->asked)
            before++;
    }
    uint32_t kept = before < model->retain ? before : model->retain;
    return reader->count < (kept < reader->history ? kept : reader->history) ? "less history than was retained" : NULL;
}

/* Nothing that was published for certain after the last one seen, or after the subscription, may be missing. */
static const char *complete_latest(const struct sim_model *model, const struct sim_reader *reader)
{
    uint64_t bound = reader->confirmed;
    if (reader->last != SIM_NONE) {
        const struct sim_message *last = &model->messages[reader->last];
        if (last->fate != SIM_ACCEPTED)
            return NULL;
        bound = last->settled > bound ? last->settled : bound;
    }
    for (uint32_t i = 0; i < model->count; i++) {
        const struct sim_message *message = &model->messages[i];
        if (message->channel != reader->channel || message->fate != SIM_ACCEPTED)
            continue;
        bool behind = reader->last != SIM_NONE && model->messages[reader->last].stream == message->stream &&
                      i > reader->last && message->begun > reader->confirmed;
        if (message->begun > bound || behind)
            return "the newest message has not arrived";
    }
    return NULL;
}

const char *sim_model_complete(struct sim_model *model, const struct sim_reader *reader)
{
    if (reader->confirmed == 0)
        return NULL;
    return model->channels[reader->channel].latest ? complete_latest(model, reader) : complete_lossless(model, reader);
}

void sim_model_reader_free(struct sim_reader *reader)
{
    free(reader->seen);
    free(reader->newest);
    reader->seen = NULL;
    reader->newest = NULL;
    reader->seen_bytes = reader->streams = 0;
}

/* --- the state of rustorium --------------------------------------------------------------------------------------- */

static bool fits(const struct sim_subscription *subscription, uint32_t key)
{
    char name[16];
    sim_model_key(name, key);
    return subscription->exact ? strcmp(name, subscription->prefix) == 0
                               : strncmp(name, subscription->prefix, strlen(subscription->prefix)) == 0;
}

/* The home's numbers name one message each. */
static const char *check_number(struct sim_model *model, uint64_t number, uint32_t message)
{
    if (number == 0 || number > model->count)
        return "a number that the home cannot have given";
    if (number >= model->by_number_count) {
        uint32_t wanted = (uint32_t)number * 2 + 64;
        model->by_number = realloc(model->by_number, wanted * sizeof *model->by_number);
        check(model->by_number != NULL);
        for (uint32_t i = model->by_number_count; i < wanted; i++)
            model->by_number[i] = SIM_NONE;
        model->by_number_count = wanted;
    }
    if (model->by_number[number] != SIM_NONE && model->by_number[number] != message)
        return "one number for two events";
    model->by_number[number] = message;
    return NULL;
}

const char *sim_model_arrive_state(struct sim_model *model, struct sim_state_view *view,
                                   const struct sim_subscription *subscriptions, uint32_t count, uint64_t number,
                                   struct slice key, uint32_t message)
{
    char name[16];
    bool wanted = false;
    if (message >= model->count || model->messages[message].form != SIM_STATE)
        return "an event that nobody published";
    struct sim_message *arrived = &model->messages[message];
    sim_model_key(name, arrived->key);
    if (!slice_is(key, name))
        return "an event with another key";
    if (arrived->fate == SIM_REFUSED)
        return "an event that was refused";
    if (number <= view->last_number)
        return "event numbers do not rise";
    if (has_seen(view->seen, view->seen_bytes, message))
        return "an event for the second time";
    for (uint32_t i = 0; i < count; i++)
        wanted |= !subscriptions[i].gone && fits(&subscriptions[i], arrived->key);
    if (!wanted)
        return "an event that fits no subscription";
    const char *wrong = check_number(model, number, message);
    if (wrong != NULL)
        return wrong;
    view->last_number = number;
    mark_seen(&view->seen, &view->seen_bytes, message);
    arrived->seen = true;
    model->deliveries++;
    return NULL;
}

const char *sim_model_complete_state(struct sim_model *model, const struct sim_state_view *view,
                                     const struct sim_subscription *subscriptions, uint32_t count)
{
    for (uint32_t s = 0; s < count; s++) {
        const struct sim_subscription *subscription = &subscriptions[s];
        for (uint32_t i = 0; subscription->confirmed != 0 && i < model->count; i++) {
            const struct sim_message *message = &model->messages[i];
            if (message->form != SIM_STATE || !was_published(message) || !fits(subscription, message->key) ||
                message->begun < subscription->confirmed)
                continue;
            bool in_time =
                subscription->left == 0 || (message->fate == SIM_ACCEPTED && message->settled < subscription->left);
            if (in_time && !has_seen(view->seen, view->seen_bytes, i))
                return "a published event has not arrived";
        }
    }
    return NULL;
}
