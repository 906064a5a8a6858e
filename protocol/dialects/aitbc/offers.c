/* SPDX-License-Identifier: MIT */
/* Owns the offers that are open: id, price, currency, time of expiry.
 * It never builds a message and never decides what ends an offer.
 * The service of the dialect aitbc calls it. */
#include "protocol/dialects/aitbc/offers.h"

#include "core/check.h"
#include "protocol/json.h"

#include <stdlib.h>

struct offer {
    struct list_node changed;
    struct wheel_timer timer; /* its expiry, if it has one */
    size_t cost;
    struct slice key; /* the id, escapes resolved */
    struct offer_facts facts;
    uint8_t bytes[];
};

void offers_init(struct offers *offers, struct siphash_key key)
{
    *offers = (struct offers){0};
    map_init(&offers->by_id, key);
    list_init(&offers->changed);
    wheel_init(&offers->wheel, 0);
}

/* The value of a string that is JSON text. */
static struct slice string_value(struct slice text, struct buf *space)
{
    struct slice raw = slice_of(text.data + 1, text.bytes - 2);
    return json_resolve(raw, memchr(raw.data, '\\', raw.bytes) != NULL, space);
}

static struct offer *find(const struct offers *offers, struct slice id)
{
    uint8_t memory[OFFER_ID_BYTES_MAX];
    struct buf space = buf_of(memory, sizeof memory);
    struct slice key = string_value(id, &space);
    check(!space.overflow);
    return map_get(&offers->by_id, key);
}

static void forget(struct offers *offers, struct offer *offer)
{
    wheel_cancel(&offers->wheel, &offer->timer);
    list_remove(&offer->changed);
    map_remove(&offers->by_id, offer->key);
    offers->count--;
    offers->bytes -= offer->cost;
    free(offer);
}

static struct offer *oldest(const struct offers *offers)
{
    return list_entry(list_first(&offers->changed), struct offer, changed);
}

void offers_close(struct offers *offers)
{
    while (offers->count > 0)
        forget(offers, oldest(offers));
    map_free(&offers->by_id);
}

bool offers_get(const struct offers *offers, struct slice id, struct offer_facts *facts)
{
    const struct offer *offer = find(offers, id);
    if (offer == NULL)
        return false;
    *facts = offer->facts;
    return true;
}

static struct slice keep(struct buf *space, struct slice text)
{
    size_t mark = space->used;
    buf_put(space, text);
    return buf_since(space, mark);
}

static struct offer *make(const struct offer_facts *facts, size_t bytes_max)
{
    size_t bytes = 2 * facts->id.bytes + facts->price.bytes + facts->currency.bytes;
    size_t cost = sizeof(struct offer) + bytes + 2 * sizeof(struct map_entry);
    struct offer *offer = cost > bytes_max ? NULL : malloc(sizeof *offer + bytes);
    if (offer == NULL)
        return NULL;
    struct buf space = buf_of(offer->bytes, bytes);
    *offer = (struct offer){.cost = cost};
    offer->facts.id = keep(&space, facts->id);
    offer->facts.price = keep(&space, facts->price);
    offer->facts.currency = keep(&space, facts->currency);
    offer->key = string_value(offer->facts.id, &space);
    check(!space.overflow);
    return offer;
}

bool offers_put(struct offers *offers, const struct offer_facts *facts, uint64_t expiry_ms, size_t bytes_max)
{
    struct offer *offer = make(facts, bytes_max), *before = find(offers, facts->id);
    if (offer == NULL)
        return false;
    if (expiry_ms == 0)
        expiry_ms = before != NULL && wheel_timer_set(&before->timer) ? before->timer.expiry_ms : UINT64_MAX;
    if (before != NULL)
        forget(offers, before);
    while (offers->count > 0 && offers->bytes + offer->cost > bytes_max)
        forget(offers, oldest(offers));
    if (map_put(&offers->by_id, offer->key, offer) != 0) {
        free(offer);
        return false;
    }
    list_push_back(&offers->changed, &offer->changed);
    offers->count++;
    offers->bytes += offer->cost;
    if (expiry_ms != UINT64_MAX)
        wheel_set(&offers->wheel, &offer->timer, expiry_ms);
    return true;
}

void offers_remove(struct offers *offers, struct slice id)
{
    struct offer *offer = find(offers, id);
    if (offer != NULL)
        forget(offers, offer);
}

static void put_offer(const struct offer *offer, struct buf *out)
{
    buf_put_text(out, "{\"id\":");
    buf_put(out, offer->facts.id);
    buf_put_text(out, ",\"price_per_hour\":");
    buf_put(out, offer->facts.price);
    if (offer->facts.currency.bytes > 0) {
        buf_put_text(out, ",\"currency\":");
        buf_put(out, offer->facts.currency);
    }
    buf_put_byte(out, '}');
}

void offers_print(const struct offers *offers, struct buf *out)
{
    buf_put_text(out, "{\"count\":");
    buf_put_u64(out, offers->count);
    buf_put_text(out, ",\"offers\":[");
    size_t first = out->used;
    for (const struct list_node *node = offers->changed.head.prev; node != &offers->changed.head; node = node->prev) {
        const struct offer *offer = list_entry(node, const struct offer, changed);
        if (offer->cost + sizeof(",{\"id\":,\"price_per_hour\":,\"currency\":}]}") > out->capacity - out->used)
            break;
        if (out->used > first)
            buf_put_byte(out, ',');
        put_offer(offer, out);
    }
    buf_put_text(out, "]}");
}

uint64_t offers_due(const struct offers *offers)
{
    return wheel_next_ms(&offers->wheel);
}

void offers_advance(struct offers *offers, uint64_t now_ms)
{
    wheel_advance(&offers->wheel, now_ms);
}

bool offers_expire(struct offers *offers, struct buf *out)
{
    struct wheel_timer *timer = wheel_pop(&offers->wheel);
    if (timer == NULL)
        return false;
    struct offer *offer = list_entry(timer, struct offer, timer);
    buf_put(out, offer->facts.id);
    forget(offers, offer);
    return true;
}
