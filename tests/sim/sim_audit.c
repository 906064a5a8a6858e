/* SPDX-License-Identifier: MIT */
/* Owns the checks of the shards' insides. It never changes anything.
 * It is the half of the oracle that knows how the server is built; the other half is sim_model.c.
 * Called by the scenario: every few steps, at rest, and at the end. */
#include "tests/sim/sim_audit.h"

#include "core/check.h"
#include "core/ring_sim.h"
#include "core/spsc.h"
#include "core/work.h"
#include "shards/mail/home.h"

#define PLACES_MAX 512

static uint64_t stat(const struct shard *shard, enum stat_id id)
{
    return stats_get(&shard->stats, id);
}

void sim_audit_posted(const struct sim_world *world, const struct mail *mail)
{
    const struct shard *shard = world->shards[mail->from];
    bool answer =
        mail->kind == MAIL_ANSWER && (mail->errand->kind == ERRAND_PUBLISH || mail->errand->kind == ERRAND_SUBMIT);
    if (answer && !list_empty(&shard->channels->pending))
        sim_fail(world, "shard %u answers a publisher before its listeners have the message", mail->from);
}

/* --- always ------------------------------------------------------------------------------------------------------- */

/* A name that is counted: of a key or an address. */
struct place {
    struct hash128 name;
    uint32_t count;
    uint32_t limit; /* 0: none */
};

struct places {
    struct place items[PLACES_MAX];
    uint32_t count;
};

static void add_place(struct places *places, struct hash128 name, uint32_t limit)
{
    for (uint32_t i = 0; i < places->count; i++) {
        if (places->items[i].name.low == name.low && places->items[i].name.high == name.high) {
            places->items[i].count++;
            return;
        }
    }
    check_op(places->count, <, PLACES_MAX);
    places->items[places->count++] = (struct place){.name = name, .count = 1, .limit = limit};
}

/* Who was in before a reload stays, whatever the new limit. */
static uint32_t key_limit(const struct sim_world *world, const struct conn *conn)
{
    uint32_t now = sim_world_per_key(world), before = world->plan.per_key;
    return strcmp(dialects[conn->dialect]->name, "rustorium") != 0 ? 0 : now > before ? now : before;
}

static void add_places(const struct sim_world *world, const struct shard *shard, const struct conn *conn,
                       struct places *places)
{
    if (conn->session.quotas & 1U << QUOTA_KEY)
        add_place(places, conn->session.key_name, key_limit(world, conn));
    if (conn->session.quotas & 1U << QUOTA_ADDRESS)
        add_place(places,
                  home_name(shard, 'a', conn->dialect, slice_of(conn->session.client, sizeof conn->session.client)),
                  world->plan.work.per_address);
    if (conn->placed) {
        struct ring_address peer = ring_peer(shard->ring, conn->socket);
        add_place(places, home_name(shard, 'p', 0, slice_of(peer.bytes, sizeof peer.bytes)),
                  world->plan.work.all_per_address);
    }
}

static void check_shard(const struct sim_world *world, const struct shard *shard, struct places *places)
{
    uint32_t cursor = 0;
    shard_check(shard);
    for (struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, NULL)) != NULL;)
        add_places(world, shard, conn, places);
    if (stat(shard, STAT_RING_STALE) != 0)
        sim_fail(world, "shard %u: a completion for a connection that has ended", shard->number);
}

static void collect(const struct sim_world *world, struct places *places)
{
    places->count = 0;
    for (uint16_t i = 0; i < world->plan.shards; i++)
        check_shard(world, world->shards[i], places);
    for (uint32_t i = 0; i < places->count; i++)
        if (places->items[i].limit > 0 && places->items[i].count > places->items[i].limit)
            sim_fail(world, "%u connections of one key or address, %u are allowed", places->items[i].count,
                     places->items[i].limit);
}

void sim_audit_always(const struct sim_world *world)
{
    struct places places;
    collect(world, &places);
}

/* --- at rest ------------------------------------------------------------------------------------------------------ */

static uint32_t list_count(const struct list *list)
{
    uint32_t count = 0;
    for (const struct list_node *node = list->head.next; node != &list->head; node = node->next)
        count++;
    return count;
}

static void check_still(const struct sim_world *world, const struct shard *shard)
{
    uint32_t mails = shard->mail->backlogged;
    for (uint16_t from = 0; from < shard->count; from++)
        mails += spsc_count(&shard->mail->in[from]);
    uint32_t lists = list_count(&shard->errands->behind) + list_count(&shard->channels->pending) +
                     list_count(&shard->publishers->acking) + list_count(&shard->conns->doomed) +
                     list_count(&shard->conns->starved) + list_count(&shard->conns->parked) +
                     list_count(&shard->conns->yielded);
    if (mails != 0 || lists != 0 || shard->errands->outstanding != 0)
        sim_fail(world, "shard %u at rest: %u mails, %u waiting, %u errands outstanding", shard->number, mails, lists,
                 shard->errands->outstanding);
}

/* A class of a home and the audiences of all shards agree on who listens. */
static void check_class(const struct sim_world *world, const struct shard *home, const struct class *class)
{
    uint32_t listeners = 0;
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        const struct audiences *audiences = world->shards[i]->audiences;
        uint32_t slot = class->index < audiences->by_class_count[home->number]
                            ? audiences->by_class[home->number][class->index]
                            : 0;
        uint32_t members = slot == 0 ? 0 : ((const struct audience *)slab_at(&audiences->slab, slot - 1))->count;
        if (members != class->counts[i])
            sim_fail(world, "class %u of home %u counts %u listeners at shard %u, which has %u", class->index,
                     home->number, class->counts[i], i, members);
        listeners += members;
    }
    if (listeners != class->listeners || listeners == 0)
        sim_fail(world, "class %u of home %u counts %u listeners of %u", class->index, home->number, class->listeners,
                 listeners);
}

static uint32_t slices_of(const struct outbox *outbox, const struct segment *segment)
{
    uint32_t count = outbox->all.slices > 0 && outbox->first.frame.segment == segment;
    for (const struct outbox_node *node = outbox->rest; node != NULL; node = node->next)
        count += node->slice.frame.segment == segment;
    return count;
}

/* What outboxes of a shard refer to. */
static uint32_t outbox_references(const struct shard *shard, const struct segment *segment)
{
    uint32_t cursor = 0, index, count = 0;
    for (const struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, &index)) != NULL;)
        count += slices_of(&conn->outbox, segment);
    return count;
}

/* What the kernel still reads for a shard. */
static uint32_t pin_references(const struct shard *shard, const struct segment *segment)
{
    uint32_t cursor = 0, count = 0;
    for (const struct pin *pin; (pin = slab_next(&shard->pins->slab, &cursor, NULL)) != NULL;)
        for (uint32_t i = 0; i < pin->segment_count; i++)
            count += pin->segments[i] == segment;
    return count;
}

static uint32_t home_references(const struct shard *home, const struct segment *segment)
{
    uint32_t count = 0;
    size_t cursor = 0;
    for (const struct channel *channel; (channel = map_next(&home->channels->map, &cursor)) != NULL;) {
        for (uint32_t i = 0; i < DEFLATE_CLASSES; i++)
            count += channel->logs[i].tail == segment;
        for (uint32_t i = 0; i < channel->history.count; i++)
            count += channel->history.entries[(channel->history.head + i) % channel->history.capacity].frame.segment ==
                     segment;
    }
    return count;
}

static void check_segment(const struct sim_world *world, const struct shard *home, const struct segment *segment)
{
    uint32_t lendings = 0;
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        const struct segment_share *share = &segment->shares[i];
        uint32_t references = outbox_references(world->shards[i], segment) + pin_references(world->shards[i], segment);
        if (i == home->number)
            references += home_references(home, segment);
        else
            lendings += share->lendings;
        if (share->refs != references)
            sim_fail(world, "segment %llu of home %u: %u references at shard %u, of which %u are known",
                     (unsigned long long)segment->serial, home->number, share->refs, i, references);
    }
    if (segment->lent != lendings)
        sim_fail(world, "segment %llu of home %u: lent %u times, %u are known", (unsigned long long)segment->serial,
                 home->number, segment->lent, lendings);
}

static void check_homes(const struct sim_world *world, const struct shard *home)
{
    uint32_t cursor = 0, index, audiences = 0;
    for (const struct class *class; (class = slab_next(&home->channels->classes, &cursor, &index)) != NULL;)
        check_class(world, home, class);
    for (unsigned i = 0; i < FRAME_MEMORIES; i++)
        for (struct list_node *node = list_first(&home->frames[i].segments); node != NULL;
             node = list_next(&home->frames[i].segments, node))
            check_segment(world, home, list_entry(node, struct segment, node));
    cursor = 0;
    for (const struct audience *audience; (audience = slab_next(&home->audiences->slab, &cursor, &index)) != NULL;)
        audiences += audience->count;
    if (audiences != stat(home, STAT_SUBSCRIPTIONS))
        sim_fail(world, "shard %u: %u members of audiences, %llu subscriptions", home->number, audiences,
                 (unsigned long long)stat(home, STAT_SUBSCRIPTIONS));
}

static void check_places(const struct sim_world *world, const struct places *places)
{
    uint32_t held = 0, known = 0;
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        size_t cursor = 0;
        for (const struct quota *quota; (quota = map_next(&world->shards[i]->quotas->map, &cursor)) != NULL;)
            held += quota->held;
    }
    for (uint32_t i = 0; i < places->count; i++) {
        uint16_t home = home_of(world->shards[0], places->items[i].name);
        const struct quota *quota =
            map_get(&world->shards[home]->quotas->map, slice_of(&places->items[i].name, sizeof places->items[i].name));
        known += places->items[i].count;
        if (quota == NULL || quota->held != places->items[i].count)
            sim_fail(world, "a key or address holds %u places at its home, and has %u connections",
                     quota == NULL ? 0 : quota->held, places->items[i].count);
    }
    if (held != known)
        sim_fail(world, "%u places are held, %u by connections", held, known);
}

void sim_audit_rest(const struct sim_world *world)
{
    struct places places;
    collect(world, &places);
    check_places(world, &places);
    for (uint16_t i = 0; i < world->plan.shards; i++) {
        check_still(world, world->shards[i]);
        check_homes(world, world->shards[i]);
    }
}

/* --- empty -------------------------------------------------------------------------------------------------------- */

static uint32_t free_nodes(const struct outbox_pool *pool)
{
    uint32_t count = 0;
    for (const struct outbox_node *node = pool->free; node != NULL; node = node->next)
        count++;
    return count;
}

static void check_shard_empty(const struct sim_world *world, const struct shard *shard)
{
    const char *left = NULL;
    size_t cursor = 0;
    if (shard->conns->slab.count_live != 0)
        left = "connections";
    else if (shard->audiences->slab.count_live != 0)
        left = "audiences";
    else if (shard->channels->classes.count_live != 0)
        left = "filter classes";
    else if (shard->tls->handshaking != 0 || shard->tls->buffers.pool.taken != 0 ||
             !list_empty(&shard->tls->buffers.short_of))
        left = "handshakes or buffers of TLS";
    else if (shard->conns->input_bytes != 0)
        left = "input";
    else if (free_nodes(&shard->flush->outbox_pool) != shard->flush->outbox_pool.count)
        left = "outbox nodes";
    else if (stat(shard, STAT_IN_FLIGHT) != 0)
        left = "messages in flight";
    else if (shard->flush->express.count + shard->flush->bulk.count > 0)
        left = "flush queues";
    for (const struct channel *channel; left == NULL && (channel = map_next(&shard->channels->map, &cursor)) != NULL;)
        if (channel->history.count == 0)
            left = "a channel that nobody listens to and that retains nothing";
    if (left != NULL)
        sim_fail(world, "shard %u, when everybody had gone, still had: %s", shard->number, left);
}

void sim_audit_empty(const struct sim_world *world)
{
    uint32_t listeners = world->plan.shards * SIM_LISTENERS;
    sim_audit_rest(world);
    sim_trust_check_empty(world);
    for (uint16_t i = 0; i < world->plan.shards; i++)
        check_shard_empty(world, world->shards[i]);
    if (sim_sockets_open(world->network) != listeners || sim_operations_pending(world->network) != listeners)
        sim_fail(world, "%u sockets and %u operations are left; only %u listeners should be",
                 sim_sockets_open(world->network), sim_operations_pending(world->network), listeners);
}
