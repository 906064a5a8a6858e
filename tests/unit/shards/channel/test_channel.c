/* SPDX-License-Identifier: MIT */
/* Channels at their homes, with listeners on two shards: the seam between history and delivery, receivers, retention,
 * exhausted frame memory, and what a reload changes. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#define PLAIN 0 /* index in dialects[] */

static const char *const retaining[] = {"plain.retain=10", NULL};

/* The home's answer to a subscription of nobody; the caller frees it. */
static struct errand *subscribe_encoded(struct shard *home, const char *channel, uint32_t history_max, uint8_t encoding)
{
    struct slice name = slice_text(channel);
    struct errand *errand = errand_make(&home->errands->pool, ERRAND_SUBSCRIBE, name.bytes);
    errand->dialect = PLAIN;
    errand->subscribe.channel = errand_put(errand, name);
    errand->subscribe.history_max = history_max;
    errand->subscribe.encoding = encoding;
    channel_subscribe(home, errand);
    return errand;
}

static struct errand *subscribe(struct shard *home, const char *channel, uint32_t history_max)
{
    return subscribe_encoded(home, channel, history_max, DEFLATE_CLASS_PLAIN);
}

static void unsubscribe(struct shard *home, struct errand *errand)
{
    const struct mail mail = {
        .kind = MAIL_UNSUBSCRIBE, .from = home->number, .unsubscribe = {.class_index = errand->subscribe.class_index}};
    for (uint32_t i = 0; i < errand->subscribe.frame_count; i++)
        frame_release(home->idle, errand->subscribe.frames[i].segment, home->number, 1);
    channel_on_unsubscribe(home, &mail);
    errand_free(&home->errands->pool, errand);
}

static int publish(struct shard *home, const char *channel, const char *payload, uint32_t *receivers)
{
    struct slice name = slice_text(channel), text = slice_text(payload);
    struct errand *errand = errand_make(&home->errands->pool, ERRAND_PUBLISH, name.bytes + text.bytes);
    errand->dialect = PLAIN;
    errand->publish.event.opcode = WS_TEXT;
    errand->publish.event.channel = errand_put(errand, name);
    errand->publish.event.payload = errand_put(errand, text);
    channel_publish(home, errand);
    int status = errand->status;
    *receivers = errand->publish.receivers;
    errand_free(&home->errands->pool, errand);
    return status;
}

Test(channel, lives_as_long_as_somebody_listens)
{
    struct world world;
    uint32_t receivers;
    world_begin(&world, 1, 65536, NULL);
    struct shard *home = world.shards[0];
    cr_assert_eq(publish(home, "c", "x", &receivers), 202);
    cr_assert_eq(receivers, 0);
    cr_assert_null(channel_find(home, PLAIN, slice_text("c")), "nobody listens and nothing is retained");
    struct errand *first = subscribe(home, "c", 0), *second = subscribe(home, "c", 0);
    cr_assert_eq(first->subscribe.class_index, second->subscribe.class_index);
    cr_assert_eq(publish(home, "c", "x", &receivers), 202);
    cr_assert_eq(receivers, 2);
    unsubscribe(home, first);
    cr_assert_eq(publish(home, "c", "x", &receivers), 202);
    cr_assert_eq(receivers, 1);
    unsubscribe(home, second);
    cr_assert_eq(stats_get(&home->stats, STAT_CHANNELS), 0);
    cr_assert_eq(stats_get(&home->stats, STAT_CLASSES), 0);
    cr_assert_eq(stats_get(&home->stats, STAT_PUBLISHED), 3);
    world_end(&world);
}

Test(channel, mails_what_is_pending_before_it_answers_a_subscription)
{
    struct world world;
    uint32_t receivers;
    world_begin(&world, 1, 65536, retaining);
    struct shard *home = world.shards[0];
    struct errand *first = subscribe(home, "c", 0);
    publish(home, "c", "one", &receivers);
    publish(home, "c", "two", &receivers);
    cr_assert_not(list_empty(&home->channels->pending));
    uint64_t posted = stats_get(&home->stats, STAT_MAIL_POSTED);
    struct errand *second = subscribe(home, "c", 10);
    cr_assert(list_empty(&home->channels->pending));
    cr_assert_eq(stats_get(&home->stats, STAT_MAIL_POSTED), posted + 1, "one range for both messages");
    cr_assert_eq(second->subscribe.frame_count, 1);
    cr_assert_eq(second->subscribe.frame_messages[0], 2, "and history holds them for the newcomer");
    unsubscribe(home, first);
    unsubscribe(home, second);
    world_settle(&world);
    world_end(&world);
}

/* O-5: between what is retained and what is delivered nothing is lost and nothing comes twice. */
Test(channel, gives_newcomers_history_and_then_everything)
{
    struct world world;
    static struct peer peers[8];
    char text[16];
    world_begin(&world, 2, 65536, retaining);
    for (unsigned i = 0; i < 8; i++) {
        peer_connect(&world, &peers[i], DIALECT_PORT);
        /* Asked for between two messages, while both are under way. */
        snprintf(text, sizeof text, "m%u", 2 * i);
        world_publish(&world, 0, "c", text);
        peer_ask_upgrade(&world, &peers[i], "/plain/c?last=100");
        world_turn(&world);
        snprintf(text, sizeof text, "m%u", 2 * i + 1);
        world_publish(&world, 1, "c", text);
        world_settle(&world);
        cr_assert_eq(peer_response(&world, &peers[i]), 101);
    }
    for (unsigned i = 0; i < 8; i++) {
        unsigned next = UINT32_MAX;
        char payload[64];
        for (unsigned n = 0; peer_next(&world, &peers[i], payload, sizeof payload) == WS_TEXT; n++) {
            unsigned number = (unsigned)strtoul(payload + 1, NULL, 10);
            if (n > 0)
                cr_assert_eq(number, next, "peer %u got %u instead of %u", i, number, next);
            next = number + 1;
        }
        cr_assert_eq(next, 16, "peer %u", i);
    }
    world_end(&world);
}

Test(channel, delivers_in_order_to_both_shards)
{
    struct world world;
    static struct peer peers[6];
    char text[16];
    bool used[2] = {false, false};
    world_begin(&world, 2, 65536, NULL);
    for (unsigned i = 0; i < 6; i++)
        peer_upgrade(&world, &peers[i], "/plain/c");
    for (unsigned i = 0; i < 2; i++)
        used[i] = world.shards[i]->audiences->slab.count_live > 0;
    cr_assert(used[0] && used[1], "the seed gives both shards a listener");
    for (unsigned n = 0; n < 50; n++) {
        snprintf(text, sizeof text, "%u", n);
        world_publish(&world, 1, "c", text);
        if (n % 7 == 0)
            world_turn(&world);
    }
    world_settle(&world);
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned n = 0; n < 50; n++) {
            snprintf(text, sizeof text, "%u", n);
            peer_expect(&world, &peers[i], text);
        }
        peer_expect_nothing(&world, &peers[i]);
    }
    cr_assert_eq(world_sum(&world, STAT_DELIVERED), 300);
    world_end(&world);
}

Test(channel, sends_more_history_than_an_outbox_may_hold)
{
    static const char *const sets[] = {"plain.retain=100", "plain.outbox_bytes_max=1KiB", NULL};
    struct world world;
    static struct peer peer;
    char text[101];
    world_begin(&world, 1, 65536, sets);
    memset(text, 'h', 100);
    text[100] = '\0';
    for (unsigned n = 0; n < 100; n++) {
        world_publish(&world, 0, "c", text);
        world_publish(&world, 0, "other", text);
        world_turn(&world);
    }
    peer_upgrade(&world, &peer, "/plain/c,other?last=100");
    for (unsigned n = 0; n < 200; n++)
        peer_expect(&world, &peer, text);
    world_end(&world);
}

Test(channel, gives_the_newest_message_whatever_its_length)
{
    static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536};
    struct world world;
    world_begin(&world, 1, 65536, retaining);
    struct shard *home = world.shards[0];
    struct errand *none = errand_make(&home->errands->pool, ERRAND_NEWEST, 1);
    none->newest.channel = errand_put(none, slice_text("c"));
    channel_newest(home, none);
    cr_assert_eq(none->status, 404);
    errand_free(&home->errands->pool, none);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *text = calloc(1, lengths[i] + 1);
        uint32_t receivers;
        memset(text, 'a' + (int)i, lengths[i]);
        cr_assert_eq(publish(home, "c", text, &receivers), 202);
        struct errand *errand = errand_make(&home->errands->pool, ERRAND_NEWEST, 1);
        errand->newest.channel = errand_put(errand, slice_text("c"));
        channel_newest(home, errand);
        cr_assert_eq(errand->status, 200);
        cr_assert_eq(errand->reply_bytes, lengths[i]);
        cr_assert_eq(memcmp(errand->reply, text, lengths[i]), 0);
        errand_free(&home->errands->pool, errand);
        free(text);
    }
    world_end(&world);
}

Test(channel, ends_when_what_it_retained_is_too_old)
{
    static const char *const sets[] = {"plain.retain=10", "plain.retain_age=5s", NULL};
    struct world world;
    world_begin(&world, 1, 65536, sets);
    world_publish(&world, 0, "c", "x");
    world_settle(&world);
    for (unsigned s = 0; s < 4; s++)
        world_advance(&world, 1000);
    cr_assert_eq(world_sum(&world, STAT_CHANNELS), 1);
    world_advance(&world, 1000);
    world_advance(&world, 1000);
    cr_assert_eq(world_sum(&world, STAT_CHANNELS), 0);
    cr_assert(list_empty(&world.shards[0]->frames->segments));
    world_end(&world);
}

Test(channel, lets_its_log_go_when_it_is_quiet_and_begins_small_again)
{
    struct world world;
    uint32_t receivers;
    world_begin(&world, 1, 65536, NULL);
    struct shard *home = world.shards[0];
    static char text[3000];
    memset(text, 'x', sizeof text - 1);
    struct errand *listener = subscribe(home, "c", 0);
    struct channel *channel = channel_find(home, PLAIN, slice_text("c"));
    for (unsigned i = 0; i < 100; i++)
        publish(home, "c", text, &receivers);
    cr_assert_gt(channel->logs[0].segment_bytes, 4 * SEGMENT_BYTES_MIN);
    world_advance(&world, 1000);
    world_advance(&world, 1000);
    cr_assert_null(channel->logs[0].tail);
    cr_assert(list_empty(&home->frames->segments));
    publish(home, "c", "x", &receivers);
    cr_assert_eq(channel->logs[0].tail->capacity, SEGMENT_BYTES_MIN);
    unsubscribe(home, listener);
    world_end(&world);
}

/* Frame memory has a hard budget: publishers are refused, the reader who holds the oldest frames is ended, and it goes
 * on. */
Test(channel, refuses_when_frame_memory_is_exhausted_and_recovers)
{
    static const char *const sets[] = {"frame_memory=1MiB", "plain.outbox_bytes_max=64MiB", NULL};
    struct world world;
    static struct peer slow, fast;
    static char text[20001];
    uint32_t receivers;
    int status = 202;
    world_begin(&world, 1, 4096, sets);
    struct shard *home = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    peer_upgrade(&world, &slow, "/plain/c");
    peer_upgrade(&world, &fast, "/plain/other");
    unsigned taken = 0;
    for (; taken < 200 && status == 202; taken += status == 202) {
        status = publish(home, "c", text, &receivers);
        world_settle(&world);
    }
    cr_assert_eq(status, 429);
    cr_assert_gt(taken, 20);
    cr_assert_lt(taken, 55, "the budget is hard");
    cr_assert_leq(home->frames->bytes, home->frames->bytes_max);
    for (unsigned i = 0; i < 100 && status == 429; i++) {
        world_advance(&world, 10);
        status = publish(home, "c", text, &receivers);
        world_settle(&world);
    }
    cr_assert_eq(status, 202);
    cr_assert_eq(world_open(&world), 1, "only the slow reader is gone");
    cr_assert_eq(world_sum(&world, STAT_SLOW_CUT), 1);
    cr_assert_eq(publish(home, "other", "hello", &receivers), 202);
    world_settle(&world);
    peer_expect(&world, &fast, "hello");
    world_end(&world);
}

/* Listeners of two compressions need two frames: without memory for both, neither is delivered. */
Test(channel, refuses_a_message_before_anybody_gets_it)
{
    static const char *const sets[] = {"frame_memory=1MiB", "plain.retain=1", NULL};
    static char filler[800001], text[180001];
    struct world world;
    uint32_t receivers;
    world_begin(&world, 1, 65536, sets);
    struct shard *home = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    memset(filler, 'x', sizeof filler - 1);
    struct errand *first = subscribe_encoded(home, "c", 0, DEFLATE_CLASS_PLAIN);
    struct errand *second = subscribe_encoded(home, "c", 0, DEFLATE_CLASSES - 1);
    cr_assert_neq(first->subscribe.class_index, second->subscribe.class_index);
    publish(home, "c", "old", &receivers);
    cr_assert_eq(receivers, 2);
    cr_assert_eq(publish(home, "filler", filler, &receivers), 202);
    fanout_flush(home);
    uint64_t posted = stats_get(&home->stats, STAT_MAIL_POSTED);
    cr_assert_eq(publish(home, "c", text, &receivers), 429);
    cr_assert(list_empty(&home->channels->pending));
    cr_assert_leq(stats_get(&home->stats, STAT_MAIL_POSTED), posted + 1, "no more than the cut");
    struct history *history = &channel_find(home, PLAIN, slice_text("c"))->history;
    cr_assert_eq(history->count, 1);
    cr_assert_eq(history->entries[history->head].frame.bytes, 5, "what is retained is the old one");
    world_settle(&world);
    unsubscribe(home, first);
    unsubscribe(home, second);
    world_end(&world);
}

/* What had been built of a message that is refused stands in the channel's log: that is let go as any other. */
Test(channel, lets_the_log_of_a_refused_message_go)
{
    static const char *const sets[] = {"frame_memory=1MiB", "plain.retain=1", NULL};
    static char filler[800001], text[180001];
    struct world world;
    uint32_t receivers;
    world_begin(&world, 1, 65536, sets);
    struct shard *home = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    memset(filler, 'x', sizeof filler - 1);
    cr_assert_eq(publish(home, "filler", filler, &receivers), 202);
    struct errand *first = subscribe_encoded(home, "c", 0, DEFLATE_CLASS_PLAIN);
    struct errand *second = subscribe_encoded(home, "c", 0, DEFLATE_CLASSES - 1);
    cr_assert_eq(publish(home, "c", text, &receivers), 429, "there is room for one of two frames");
    const struct channel *channel = channel_find(home, PLAIN, slice_text("c"));
    cr_assert_not_null(channel->logs[DEFLATE_CLASS_PLAIN].tail);
    channel_check(home, channel);
    for (unsigned s = 0; s < 3; s++)
        world_advance(&world, 1000);
    cr_assert_null(channel->logs[DEFLATE_CLASS_PLAIN].tail);
    unsubscribe(home, first);
    unsubscribe(home, second);
    world_end(&world);
}

static void reload(struct world *world, const char *const *sets)
{
    struct config *before = world->config;
    world->config = world_config(sets);
    for (uint16_t i = 0; i < world->count; i++)
        atomic_store(&world->shards[i]->config_next, world->config);
    world_settle(world);
    for (uint16_t i = 0; i < world->count; i++)
        cr_assert_eq(atomic_load(&world->shards[i]->config_seen), world->config);
    config_free(before);
}

Test(channel, follows_a_reload_of_what_is_retained)
{
    static const char *const more[] = {"plain.retain=3", NULL};
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, NULL);
    peer_upgrade(&world, &peer, "/plain/c");
    reload(&world, more);
    for (unsigned i = 0; i < 5; i++)
        world_publish(&world, 0, "c", "x");
    world_publish(&world, 0, "gone", "x");
    world_settle(&world);
    cr_assert_eq(channel_find(world.shards[0], PLAIN, slice_text("c"))->history.count, 3);
    reload(&world, NULL);
    cr_assert_eq(channel_find(world.shards[0], PLAIN, slice_text("c"))->history.count, 0);
    world_advance(&world, 1000);
    world_advance(&world, 1000);
    cr_assert_null(channel_find(world.shards[0], PLAIN, slice_text("gone")), "it had nothing but what it retained");
    world_end(&world);
}

/* --- growth ------------------------------------------------------------------------------------------------------- */

static struct errand *subscribe_filtered(struct shard *home, struct slice variant)
{
    struct slice name = slice_text("state");
    struct errand *errand = errand_make(&home->errands->pool, ERRAND_SUBSCRIBE, name.bytes + variant.bytes);
    errand->dialect = 2; /* rustorium, which has filters */
    errand->subscribe.channel = errand_put(errand, name);
    errand->subscribe.variant = errand_put(errand, variant);
    channel_subscribe(home, errand);
    return errand;
}

static struct errand *subscribe_variant(struct shard *home, unsigned number)
{
    uint8_t variant[12] = {0, 0, '=', 8};
    memcpy(variant + 4, &(uint64_t){number}, 8);
    return subscribe_filtered(home, slice_of(variant, sizeof variant));
}

/* Every publish tries every filter, and clients choose them. */
Test(channel, refuses_filters_beyond_a_budget)
{
    static const char *const sets[] = {"channel_filters_max=1024B", NULL};
    struct world world;
    struct errand *errands[20];
    world_begin(&world, 1, 65536, sets);
    struct shard *home = world.shards[0];
    unsigned taken = 0;
    while (taken < 20 && (errands[taken] = subscribe_variant(home, taken))->status == 200)
        taken++;
    cr_assert_eq(taken, 1024 / (64 + 12));
    cr_assert_eq(errands[taken]->status, 503);
    cr_assert_eq(world_sum(&world, STAT_CLASSES_REFUSED), 1);
    errand_free(&home->errands->pool, errands[taken]);
    struct errand *all = subscribe_filtered(home, slice_of(NULL, 0));
    cr_assert_eq(all->status, 200, "M9: who wants all has no filter to be tried, and always a place");
    unsubscribe(home, all);
    struct errand *known = subscribe_variant(home, 0);
    cr_assert_eq(known->status, 200, "a filter that is there costs nothing");
    unsubscribe(home, known);
    unsubscribe(home, errands[0]);
    errands[0] = subscribe_variant(home, taken);
    cr_assert_eq(errands[0]->status, 200, "one has left, so there is room");
    while (taken > 0)
        unsubscribe(home, errands[--taken]);
    cr_assert_eq(world_sum(&world, STAT_CHANNELS), 0);
    world_end(&world);
}

/* A turn looks at some of them, however many there are; a round looks at all. */
Test(channel, sweeps_many_channels_a_few_a_turn)
{
    enum { MANY = 5000 };
    static const char *const sets[] = {"plain.retain=1", "plain.retain_age=1500ms", NULL};
    struct world world;
    char name[16];
    uint32_t receivers;
    world_begin(&world, 1, 65536, sets);
    struct shard *home = world.shards[0];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%u", i);
        cr_assert_eq(publish(home, name, "x", &receivers), 202);
    }
    sim_clock_advance(UINT64_C(1000000000));
    world_turn(&world);
    cr_assert_eq(home->channels->active_count, MANY, "what is retained is to expire");
    cr_assert_gt(home->channels->sweep_left, MANY / 2, "one turn does a part");
    world_turn(&world);
    world_turn(&world);
    world_turn(&world);
    world_turn(&world);
    cr_assert_eq(home->channels->sweep_left, 0);
    cr_assert_null(channel_find(home, PLAIN, slice_text("0"))->logs[0].tail, "quiet logs have let go");
    sim_clock_advance(UINT64_C(1000000000));
    for (unsigned i = 0; i < 8; i++)
        world_turn(&world);
    cr_assert_eq(world_sum(&world, STAT_CHANNELS), 0);
    cr_assert_eq(home->channels->active_count, 0);
    world_end(&world);
}

/* When memory is full the segment names its channel; nobody else's history is touched. */
Test(channel, makes_room_by_what_the_oldest_segment_retains_alone)
{
    static const char *const sets[] = {"frame_memory=1MiB", "plain.retain=100", NULL};
    static char text[3001];
    struct world world;
    uint32_t receivers;
    world_begin(&world, 1, 65536, sets);
    struct shard *home = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    publish(home, "old", text, &receivers);
    publish(home, "young", text, &receivers);
    struct history *old = &channel_find(home, PLAIN, slice_text("old"))->history;
    struct history *young = &channel_find(home, PLAIN, slice_text("young"))->history;
    cr_assert_eq(old->entries[0].frame.segment->owner.low, channel_find(home, PLAIN, slice_text("old"))->id.low);
    world_advance(&world, 100);
    channels_cut_oldest(home);
    cr_assert_eq(old->count, 0);
    cr_assert_eq(young->count, 1);
    world_advance(&world, 100);
    channels_cut_oldest(home);
    cr_assert_eq(young->count, 0);
    world_settle(&world);
    world_end(&world);
}

/* It is not swept any more by then: nothing else would ever end it. */
Test(channel, ends_a_quiet_channel_whose_history_has_made_room)
{
    struct world world;
    uint32_t receivers;
    world_begin(&world, 1, 65536, retaining);
    struct shard *home = world.shards[0];
    publish(home, "old", "x", &receivers);
    for (unsigned i = 0; i < 4; i++)
        world_advance(&world, 1000);
    cr_assert_eq(home->channels->active_count, 0);
    cr_assert_eq(channel_find(home, PLAIN, slice_text("old"))->history.count, 1);
    channels_cut_oldest(home);
    for (unsigned i = 0; i < 4; i++)
        world_advance(&world, 1000);
    cr_assert_eq(world_sum(&world, STAT_CHANNELS), 0);
    world_end(&world);
}
