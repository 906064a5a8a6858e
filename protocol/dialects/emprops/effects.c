/* SPDX-License-Identifier: MIT */
/* Owns what the current call leads to: messages, records and answers, written one behind the other into one block of
 * memory and given out in order. It never decides who gets what. All nouns of the hub write here; hub.c gives out. */
#include "protocol/dialects/emprops/hub_parts.h"

#include <stdlib.h>

#define FRAME_BYTES 4096             /* of a message besides what its opener counts */
#define MEMORY_KEPT_BYTES (1U << 20) /* between calls */

/* Grows `*memory` to hold `bytes`; false: no memory, and this call's effects are lost as a whole. */
static bool reserve(struct effects *effects, uint8_t **memory, size_t *capacity, size_t bytes)
{
    if (bytes <= *capacity)
        return true;
    size_t wanted = *capacity * 2 > bytes ? *capacity * 2 : bytes;
    uint8_t *grown = realloc(*memory, wanted);
    if (grown == NULL) {
        effects->lost = true;
        return false;
    }
    *memory = grown;
    *capacity = wanted;
    return true;
}

struct buf *effects_open(struct hub *hub, size_t bytes_max)
{
    struct effects *effects = &hub->effects;
    size_t bytes = bytes_max + FRAME_BYTES;
    if (effects->lost || !reserve(effects, &effects->memory, &effects->capacity, effects->used + bytes))
        effects->open = buf_of(NULL, 0);
    else
        effects->open = buf_of(effects->memory + effects->used, bytes);
    return &effects->open;
}

/* Copies bytes behind what is there; where they lie. */
static size_t keep(struct hub *hub, struct slice bytes)
{
    struct effects *effects = &hub->effects;
    size_t at = effects->used;
    if (effects->lost || !reserve(effects, &effects->memory, &effects->capacity, at + bytes.bytes))
        return 0;
    if (bytes.bytes > 0)
        memcpy(effects->memory + at, bytes.data, bytes.bytes);
    effects->used += bytes.bytes;
    return at;
}

static struct pending_effect *append(struct hub *hub, enum effect_kind kind)
{
    struct effects *effects = &hub->effects;
    if (effects->lost)
        return &effects->nowhere;
    if (effects->count == effects->items_capacity) {
        uint32_t capacity = effects->items_capacity == 0 ? 64 : effects->items_capacity * 2;
        struct pending_effect *items = realloc(effects->items, capacity * sizeof *items);
        if (items == NULL) {
            effects->lost = true;
            return &effects->nowhere;
        }
        effects->items = items;
        effects->items_capacity = capacity;
    }
    struct pending_effect *item = &effects->items[effects->count++];
    *item = (struct pending_effect){.kind = kind};
    return item;
}

struct message effects_message(struct hub *hub)
{
    struct effects *effects = &hub->effects;
    struct message message = {.at = effects->used, .bytes = effects->open.used};
    if (effects->lost)
        return (struct message){0};
    check(!effects->open.overflow);
    effects->used += message.bytes;
    return message;
}

/* What lies at an offset; when nothing was written there may be no memory at all. */
static struct slice lying_at(const struct effects *effects, size_t at, size_t bytes)
{
    return bytes == 0 ? slice_text("") : slice_of(effects->memory + at, bytes);
}

struct slice effects_text(const struct hub *hub, struct message message)
{
    return lying_at(&hub->effects, message.at, message.bytes);
}

static struct pending_effect *publish(struct hub *hub, struct slice channel, struct slice key, struct message message)
{
    size_t channel_at = keep(hub, channel), key_at = keep(hub, key);
    struct pending_effect *item = append(hub, EFFECT_PUBLISH);
    item->channel = channel_at;
    item->channel_bytes = channel.bytes;
    item->key = key_at;
    item->key_bytes = key.bytes;
    item->payload = message.at;
    item->payload_bytes = message.bytes;
    hub->messages_out++;
    return item;
}

void effects_publish(struct hub *hub, struct slice channel, struct slice key, uint32_t level, struct message message)
{
    publish(hub, channel, key, message)->level = level;
}

void hub_put_session_channel(struct buf *out, uint64_t connection)
{
    buf_put_text(out, HUB_SESSION_PREFIX);
    buf_put_u64(out, connection);
}

static struct pending_effect *publish_to(struct hub *hub, uint64_t connection, struct message message)
{
    uint8_t memory[32];
    struct buf channel = buf_of(memory, sizeof memory);
    hub_put_session_channel(&channel, connection);
    return publish(hub, buf_slice(&channel), slice_of(NULL, 0), message);
}

void effects_publish_to(struct hub *hub, uint64_t connection, uint32_t conflate, struct message message)
{
    publish_to(hub, connection, message)->conflate = conflate;
}

void effects_close(struct hub *hub, uint64_t connection, uint16_t code, const char *reason)
{
    struct pending_effect *item = publish_to(hub, connection, (struct message){0});
    item->close_code = code;
    item->close_reason = reason;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

void effects_item(struct hub *hub, enum hub_item item, struct slice first, struct slice second)
{
    struct effects *effects = &hub->effects;
    size_t bytes = 32 + first.bytes + second.bytes;
    if (effects->lost || !reserve(effects, &effects->reply, &effects->reply_capacity, effects->reply_used + bytes))
        return;
    struct buf out = buf_of(effects->reply + effects->reply_used, bytes);
    hub_put_item(&out, item, first, second);
    effects->reply_used += out.used;
}

void effects_send(struct hub *hub)
{
    if (!hub->effects.lost)
        check(!hub->effects.open.overflow);
    effects_item(hub, HUB_SEND, buf_slice(&hub->effects.open), slice_of(NULL, 0));
    hub->messages_out++;
}

void effects_said(struct hub *hub, struct slice items)
{
    struct effects *effects = &hub->effects;
    size_t bytes = effects->reply_used + items.bytes;
    if (items.bytes == 0 || effects->lost || !reserve(effects, &effects->reply, &effects->reply_capacity, bytes))
        return;
    memcpy(effects->reply + effects->reply_used, items.data, items.bytes);
    effects->reply_used = bytes;
}

void effects_reply(struct hub *hub, uint64_t ticket, int status)
{
    struct effects *effects = &hub->effects;
    size_t bytes = effects->reply_used, at = keep(hub, slice_of(effects->reply, bytes));
    struct pending_effect *item = append(hub, EFFECT_REPLY);
    item->ticket = ticket;
    item->status = status;
    item->payload = at;
    item->payload_bytes = bytes;
    effects->reply_used = 0;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static struct pending_effect *record(struct hub *hub, enum effect_kind kind, enum hub_table table, struct slice key)
{
    size_t at = keep(hub, key);
    struct pending_effect *item = append(hub, kind);
    item->table = (uint8_t)table;
    item->key = at;
    item->key_bytes = key.bytes;
    return item;
}

void effects_put(struct hub *hub, enum hub_table table, struct slice key)
{
    struct message value = effects_message(hub);
    struct pending_effect *item = record(hub, EFFECT_PUT, table, key);
    item->payload = value.at;
    item->payload_bytes = value.bytes;
}

void effects_delete(struct hub *hub, enum hub_table table, struct slice key)
{
    (void)record(hub, EFFECT_DELETE, table, key);
}

void effects_fetch(struct hub *hub, enum hub_table table, struct slice key, uint64_t number)
{
    record(hub, EFFECT_FETCH, table, key)->ticket = number;
}

/* --- giving out --------------------------------------------------------------------------------------------------- */

static void forget_all(struct effects *effects)
{
    effects->count = effects->at = 0;
    effects->used = effects->reply_used = 0;
    if (effects->capacity > MEMORY_KEPT_BYTES) {
        free(effects->memory);
        effects->memory = NULL;
        effects->capacity = 0;
    }
    if (effects->reply_capacity > MEMORY_KEPT_BYTES) {
        free(effects->reply);
        effects->reply = NULL;
        effects->reply_capacity = 0;
    }
}

bool effects_next(struct hub *hub, struct effect *effect)
{
    struct effects *effects = &hub->effects;
    if (effects->lost) {
        forget_all(effects);
        effects->lost = false;
        effect->kind = EFFECT_RESTART;
        return true;
    }
    if (effects->at == effects->count) {
        forget_all(effects);
        return false;
    }
    const struct pending_effect *item = &effects->items[effects->at++];
    struct slice payload = lying_at(effects, item->payload, item->payload_bytes);
    struct slice key = lying_at(effects, item->key, item->key_bytes);
    *effect = (struct effect){.kind = item->kind, .table = item->table, .ticket = item->ticket, .status = item->status};
    if (item->kind == EFFECT_PUBLISH) {
        effect->event = (struct event){.channel = lying_at(effects, item->channel, item->channel_bytes),
                                       .payload = payload,
                                       .opcode = WS_TEXT,
                                       .level = item->level,
                                       .key = key,
                                       .conflate = item->conflate,
                                       .close_code = item->close_code,
                                       .close_reason = item->close_reason};
    } else {
        effect->key = key;
        effect->body = payload;
    }
    return true;
}

void effects_free(struct hub *hub)
{
    free(hub->effects.memory);
    free(hub->effects.items);
    free(hub->effects.reply);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

struct text *text_make(struct slice bytes)
{
    if (bytes.data == NULL)
        return NULL;
    struct text *text = malloc(sizeof *text + bytes.bytes);
    if (text == NULL)
        return NULL;
    *text = (struct text){.users = 1, .bytes = (uint32_t)bytes.bytes};
    if (bytes.bytes > 0)
        memcpy(text->data, bytes.data, bytes.bytes);
    return text;
}

struct text *text_share(struct text *text)
{
    if (text != NULL)
        text->users++;
    return text;
}

void text_drop(struct text **text)
{
    if (*text != NULL && --(*text)->users == 0)
        free(*text);
    *text = NULL;
}
