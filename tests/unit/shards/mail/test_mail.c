/* SPDX-License-Identifier: MIT */
/* shards/mail between two shards: order over a full ring, the doorbell and sleep, and lendings that come home. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

static void post_numbered(struct shard *from, uint64_t number)
{
    mail_post(from, 1, (struct mail){.kind = MAIL_CUT, .cut = {.serial = number}});
}

static void expect_numbered(struct shard *to, uint64_t number)
{
    struct spsc_item item;
    struct mail mail;
    cr_assert(spsc_pop(&to->mail->in[0], &item));
    memcpy(&mail, &item, sizeof mail);
    cr_assert_eq(mail.kind, MAIL_CUT);
    cr_assert_eq(mail.from, 0);
    cr_assert_eq(mail.cut.serial, number);
}

Test(mail, keeps_order_when_the_ring_is_full)
{
    struct world world;
    world_begin(&world, 2, 65536, NULL);
    struct shard *from = world.shards[0], *to = world.shards[1];
    uint64_t posted = 0, taken = 0;
    while (posted < MAIL_RING_ITEMS)
        post_numbered(from, posted++);
    cr_assert_eq(from->mail->backlogged, 0, "as many as the ring holds");
    while (posted < MAIL_RING_ITEMS + 1000)
        post_numbered(from, posted++);
    cr_assert_eq(from->mail->backlogged, 1000);
    cr_assert_not(errand_has_room(from), "a shard with a backlog takes nothing in");
    while (taken < 600)
        expect_numbered(to, taken++);
    post_numbered(from, posted++);
    cr_assert_eq(from->mail->backlogged, 1001, "what is posted now stands behind, although the ring has room");
    mail_push_backlog(from);
    cr_assert_eq(from->mail->backlogged, 401);
    while (taken < posted - 401)
        expect_numbered(to, taken++);
    mail_push_backlog(from);
    cr_assert_eq(from->mail->backlogged, 0);
    cr_assert(errand_has_room(from));
    while (taken < posted)
        expect_numbered(to, taken++);
    world_end(&world);
}

Test(mail, is_drained_within_its_budget)
{
    struct world world;
    world_begin(&world, 2, 65536, NULL);
    for (unsigned i = 0; i < 25; i++)
        post_numbered(world.shards[0], i);
    cr_assert_eq(mail_drain(world.shards[1], 10), 10);
    cr_assert_eq(mail_drain(world.shards[1], 10), 10);
    cr_assert_eq(mail_drain(world.shards[1], 10), 5);
    cr_assert_eq(mail_drain(world.shards[1], 10), 0);
    world_end(&world);
}

Test(mail, wakes_a_sleeper_once_and_never_one_who_is_awake)
{
    struct world world;
    world_begin(&world, 2, 65536, NULL);
    struct shard *from = world.shards[0], *to = world.shards[1];
    post_numbered(from, 0);
    mail_ring_doorbells(from);
    cr_assert_eq(stats_get(&from->stats, STAT_DOORBELLS), 0, "it is awake");
    cr_assert_not(mail_try_sleep(to), "there is mail");
    cr_assert_not(atomic_load(&to->mail->asleep));
    mail_drain(to, 10);
    cr_assert(mail_try_sleep(to));
    mail_ring_doorbells(from);
    cr_assert_eq(stats_get(&from->stats, STAT_DOORBELLS), 0, "nothing is new");
    post_numbered(from, 1);
    post_numbered(from, 2);
    mail_ring_doorbells(from);
    mail_ring_doorbells(from);
    cr_assert_eq(stats_get(&from->stats, STAT_DOORBELLS), 1, "one for all that was posted");
    mail_awake(to);
    mail_drain(to, 10);
    world_end(&world);
}

Test(mail, to_itself_keeps_a_shard_awake)
{
    struct world world;
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    mail_post(shard, 0, (struct mail){.kind = MAIL_CUT});
    mail_ring_doorbells(shard);
    cr_assert_eq(stats_get(&shard->stats, STAT_DOORBELLS), 0);
    cr_assert_not(mail_try_sleep(shard));
    mail_drain(shard, 1);
    cr_assert(mail_try_sleep(shard));
    mail_awake(shard);
    world_end(&world);
}

Test(mail, brings_lendings_home)
{
    struct world world;
    struct frame_log log = {0};
    world_begin(&world, 2, 65536, NULL);
    struct shard *home = world.shards[0], *other = world.shards[1];
    cr_assert_not_null(frame_append_reserve(home->frames, home->idle, &log, 100));
    struct segment *segment = frame_append_commit(&log, 100).segment;
    mail_hand_over(home, 1, segment);
    mail_hand_over(home, 1, segment);
    mail_hand_over(home, 0, segment);
    cr_assert_eq(segment->lent, 2);
    frame_log_release(home->frames, home->idle, &log);
    mail_take_over(other, segment);
    frame_release(other->idle, segment, 1, 1);
    mail_take_over(other, segment); /* again, before the idle list was looked at */
    mail_return_idle(other);
    world_settle(&world);
    cr_assert_eq(segment->lent, 2, "it is held");
    frame_release(other->idle, segment, 1, 1);
    mail_return_idle(other);
    mail_drain(home, 10);
    cr_assert_eq(segment->lent, 0);
    cr_assert_not(list_empty(&home->frames->segments), "the home holds it still");
    mail_take_over(home, segment);
    frame_release(home->idle, segment, 0, 1);
    mail_return_idle(home);
    cr_assert(list_empty(&home->frames->segments));
    world_end(&world);
}
