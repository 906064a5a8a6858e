/* SPDX-License-Identifier: MIT */
/* shards/fanout: one frame for all classes that match, ranges per class and tick, and the answers behind them. The
 * classes are those of the dialect rustorium. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#define RUSTORIUM 2 /* index in dialects[] */
#define CHANNEL "transactions"

static const uint8_t any[] = {0, 0, '*', 0}, only_a[] = {0, 0, '=', 1, 'a'}, only_b[] = {0, 0, '=', 1, 'b'};

static struct class *listen_to(struct shard *shard, const char *channel, struct slice variant, uint16_t origin)
{
    struct slice name = slice_text(channel);
    struct errand *errand = errand_make(&shard->errands->pool, ERRAND_SUBSCRIBE, name.bytes + variant.bytes);
    errand->dialect = RUSTORIUM;
    errand->origin = origin;
    errand->subscribe.channel = errand_put(errand, name);
    errand->subscribe.variant = errand_put(errand, variant);
    channel_subscribe(shard, errand);
    cr_assert_eq(errand->status, 200);
    struct class *class = slab_at(&shard->channels->classes, errand->subscribe.class_index);
    errand->origin = shard->number;
    errand_free(&shard->errands->pool, errand);
    return class;
}

static struct class *listen_as(struct shard *shard, struct slice variant, uint16_t origin)
{
    return listen_to(shard, CHANNEL, variant, origin);
}

static void leave_as(struct shard *shard, struct class *class, uint16_t origin)
{
    struct mail mail = {.kind = MAIL_UNSUBSCRIBE, .from = origin, .unsubscribe = {.class_index = class->index}};
    channel_on_unsubscribe(shard, &mail);
}

static uint32_t publish_to(struct shard *shard, const char *channel, const char *key)
{
    struct event event = {.opcode = WS_TEXT, .key = slice_text(key), .payload = slice_text("payload")};
    uint32_t receivers;
    cr_assert_eq(fanout_publish(shard, channel_find(shard, RUSTORIUM, slice_text(channel)), &event, &receivers), 202);
    return receivers;
}

static uint32_t publish(struct shard *shard, const char *key)
{
    return publish_to(shard, CHANNEL, key);
}

Test(fanout, builds_one_frame_for_all_classes_that_match)
{
    struct world world;
    world_begin(&world, 2, 65536, NULL);
    struct shard *home = world.shards[0];
    struct class *all = listen_as(home, slice_of(any, sizeof any), 0);
    struct class *a = listen_as(home, slice_of(only_a, sizeof only_a), 1);
    struct class *b = listen_as(home, slice_of(only_b, sizeof only_b), 1);
    listen_as(home, slice_of(only_a, sizeof only_a), 0);
    cr_assert_eq(publish(home, "a"), 3);
    cr_assert_eq(publish(home, "b"), 2);
    cr_assert_eq(publish(home, "c"), 1);
    cr_assert_eq(all->pending.messages, 3, "adjacent frames are one range");
    cr_assert_eq(all->pending.frame.bytes, 3 * 9);
    cr_assert_eq(all->pending.last_bytes, 9);
    cr_assert_eq(a->pending.messages, 1);
    cr_assert_eq(a->pending.frame.segment, all->pending.frame.segment);
    cr_assert_eq(a->pending.frame.offset, all->pending.frame.offset);
    cr_assert_eq(b->pending.frame.offset, all->pending.frame.offset + 9);
    uint64_t posted = stats_get(&home->stats, STAT_MAIL_POSTED);
    cr_assert(fanout_flush(home));
    cr_assert_eq(stats_get(&home->stats, STAT_MAIL_POSTED), posted + 4,
                 "per class one mail to each shard that listens");
    cr_assert_not(fanout_flush(home), "nothing is pending");
    world_settle(&world);
    leave_as(home, all, 0);
    leave_as(home, a, 0);
    leave_as(home, a, 1);
    leave_as(home, b, 1);
    world_settle(&world);
    world_end(&world);
}

Test(fanout, mails_first_what_a_frame_does_not_continue)
{
    struct world world;
    world_begin(&world, 1, 65536, NULL);
    struct shard *home = world.shards[0];
    struct class *all = listen_as(home, slice_of(any, sizeof any), 0);
    struct class *a = listen_as(home, slice_of(only_a, sizeof only_a), 0);
    uint64_t posted = stats_get(&home->stats, STAT_MAIL_POSTED);
    publish(home, "a");
    publish(home, "b");
    publish(home, "a");
    cr_assert_eq(
        stats_get(&home->stats, STAT_MAIL_POSTED), posted + 2,
        "class a's second is not adjacent: all that is pending goes first, so that no channel overtakes another");
    cr_assert_eq(a->pending.messages, 1);
    cr_assert_eq(all->pending.frame.bytes, 0, "its three messages went with it");
    world_settle(&world);
    leave_as(home, all, 0);
    leave_as(home, a, 0);
    world_end(&world);
}

/* a block comes before its transactions, and the next block behind them. */
Test(fanout, keeps_the_order_over_channels_that_live_together)
{
    struct world world;
    world_begin(&world, 2, 65536, NULL);
    struct shard *home = world.shards[0];
    struct class *blocks = listen_to(home, "blocks", slice_of(any, sizeof any), 1);
    struct class *transactions = listen_as(home, slice_of(any, sizeof any), 1);
    const struct class *const wanted[] = {blocks, transactions, blocks};
    publish_to(home, "blocks", "1");
    publish(home, "a");
    publish(home, "b");
    publish_to(home, "blocks", "2");
    fanout_flush(home);
    struct spsc *ring = &world.shards[1]->mail->in[0];
    cr_assert_eq(spsc_count(ring), 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct mail mail;
        memcpy(&mail, &ring->items[(atomic_load(&ring->head) + i) & ring->mask], sizeof mail);
        cr_assert_eq(mail.kind, MAIL_DELIVER);
        cr_assert_eq(mail.deliver.class_index, wanted[i]->index);
    }
    world_settle(&world);
    leave_as(home, blocks, 1);
    leave_as(home, transactions, 1);
    world_end(&world);
}

Test(fanout, builds_nothing_when_no_class_matches)
{
    struct world world;
    world_begin(&world, 1, 65536, NULL);
    struct shard *home = world.shards[0];
    struct class *a = listen_as(home, slice_of(only_a, sizeof only_a), 0);
    cr_assert_eq(publish(home, "b"), 0);
    cr_assert_null(channel_find(home, RUSTORIUM, slice_text(CHANNEL))->logs[0].tail);
    leave_as(home, a, 0);
    world_end(&world);
}

Test(fanout, drops_what_is_pending_with_the_last_listener)
{
    struct world world;
    world_begin(&world, 1, 65536, NULL);
    struct shard *home = world.shards[0];
    struct class *a = listen_as(home, slice_of(only_a, sizeof only_a), 0);
    publish(home, "a");
    leave_as(home, a, 0);
    cr_assert(list_empty(&home->channels->pending));
    cr_assert_not(fanout_flush(home));
    mail_return_idle(home);
    cr_assert(list_empty(&home->frames->segments), "nothing holds the frame");
    world_end(&world);
}

Test(fanout, holds_answers_back_until_every_mailbox_has_the_message)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 2, 65536, NULL);
    peer_upgrade(&world, &peer, "/plain/c");
    uint16_t home_number = channel_home(world.shards[0], 0, slice_text("c"));
    struct shard *home = world.shards[home_number], *other = world.shards[1 - home_number];
    /* A full ring to the other shard: whatever else is posted there has to wait. */
    for (unsigned i = 0; i <= MAIL_RING_ITEMS; i++)
        mail_post(home, other->number, (struct mail){.kind = MAIL_CUT});
    cr_assert_eq(home->mail->backlogged, 1);
    world_publish(&world, home_number, "c", "x");
    mail_drain(home, 10);
    fanout_flush(home);
    cr_assert_not(list_empty(&home->errands->behind));
    cr_assert_eq(home->errands->outstanding, 1);
    world_settle(&world);
    cr_assert_eq(home->errands->outstanding, 0);
    peer_expect(&world, &peer, "x");
    world_end(&world);
}
