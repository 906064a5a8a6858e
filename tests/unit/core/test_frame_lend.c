/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/frame between shards: the protocol of lendings, step by step in the interleavings that matter,
 * then in random ones. Mail is an array here, so that every delay can be played. */
#include "core/limits.h"
#include "core/random.h"
#include "tests/unit/core/frame_shard.h"

#include <signal.h>

/* A segment of shard 0, lent to shard 1, whose home has let go of everything. */
struct loan {
    struct shard home, other;
    struct frame frame;
};

static void begin_loan(struct loan *loan)
{
    struct frame_log log = {.tail = NULL};
    begin(&loan->home, 0, ROOMY);
    begin(&loan->other, 1, ROOMY);
    loan->frame = append(&loan->home, &log, 7, 1000);
    frame_lend(loan->frame.segment);
    release_log(&loan->home, &log);
    reclaim_idle(&loan->home);
    cr_assert_eq(alive_count(&loan->home), 1, "lent: not freed");
}

Test(frame_lend, lives_while_another_shard_holds_it)
{
    struct loan loan;
    begin_loan(&loan);
    frame_borrow(loan.frame.segment, 1);
    frame_ref(loan.frame.segment, 1, 10); /* ten receivers there */
    release(&loan.other, loan.frame);
    for (int i = 0; i < 10; i++) {
        cr_assert_null(frame_idle_pop(&loan.other.idle, 1));
        cr_assert(filled_with(loan.frame, 7));
        release(&loan.other, loan.frame);
    }
    cr_assert_eq(frame_idle_pop(&loan.other.idle, 1), loan.frame.segment);
    cr_assert_eq(frame_take_lendings(loan.frame.segment, 1), 1);
    cr_assert_eq(frame_take_lendings(loan.frame.segment, 1), 0, "taken");
    frame_return(&loan.home.memory, loan.frame.segment, 1);
    expect_all_returned(&loan.home);
    expect_all_returned(&loan.other);
}

/* The return of the first lending and the second lending cross each other on their ways. */
Test(frame_lend, survives_being_lent_again_while_a_return_is_on_its_way)
{
    struct loan loan;
    begin_loan(&loan);
    struct segment *segment = loan.frame.segment;
    frame_ref(segment, 0, 1); /* the home's history, say */
    frame_borrow(segment, 1);
    release(&loan.other, loan.frame);
    cr_assert_eq(frame_idle_pop(&loan.other.idle, 1), segment);
    uint32_t on_its_way = frame_take_lendings(segment, 1);

    frame_lend(segment);
    release(&loan.home, loan.frame);
    reclaim_idle(&loan.home);
    frame_return(&loan.home.memory, segment, on_its_way);
    cr_assert_eq(alive_count(&loan.home), 1, "the second lending is still out");

    frame_borrow(segment, 1);
    cr_assert(filled_with(loan.frame, 7));
    release(&loan.other, loan.frame);
    cr_assert_eq(frame_idle_pop(&loan.other.idle, 1), segment);
    frame_return(&loan.home.memory, segment, frame_take_lendings(segment, 1));
    expect_all_returned(&loan.home);
    expect_all_returned(&loan.other);
}

/* The second lending arrives between the last release and the emptying of the idle list. */
Test(frame_lend, sends_home_nothing_that_was_lent_again_before_the_list_was_emptied)
{
    struct loan loan;
    begin_loan(&loan);
    struct segment *segment = loan.frame.segment;
    frame_lend(segment);
    frame_borrow(segment, 1);
    release(&loan.other, loan.frame);
    frame_borrow(segment, 1);
    cr_assert_null(frame_idle_pop(&loan.other.idle, 1));
    release(&loan.other, loan.frame);
    cr_assert_eq(frame_idle_pop(&loan.other.idle, 1), segment);
    cr_assert_eq(frame_take_lendings(segment, 1), 2, "both go home in one mail");
    frame_return(&loan.home.memory, segment, 2);
    expect_all_returned(&loan.home);
    expect_all_returned(&loan.other);
}

/* The last lending comes home while the segment lies on the home's own idle list: whoever is second frees it. */
Test(frame_lend, is_freed_once_when_the_return_meets_an_idle_segment)
{
    struct shard home, other;
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    begin(&other, 1, ROOMY);
    struct frame frame = append(&home, &log, 7, 1000);
    frame_lend(frame.segment);
    frame_borrow(frame.segment, 1);
    release(&other, frame);
    cr_assert_eq(frame_idle_pop(&other.idle, 1), frame.segment);
    release_log(&home, &log);
    frame_return(&home.memory, frame.segment, frame_take_lendings(frame.segment, 1));
    cr_assert_eq(alive_count(&home), 1, "the idle list still names it");
    reclaim_idle(&home);
    expect_all_returned(&home);
    expect_all_returned(&other);
}

Test(frame_lend, waits_for_the_lendings_of_all_shards)
{
    struct shard home, others[2];
    struct frame_log log = {.tail = NULL};
    begin(&home, 0, ROOMY);
    struct frame frame = append(&home, &log, 7, 1000);
    for (uint16_t i = 0; i < 2; i++) {
        begin(&others[i], (uint16_t)(i + 1), ROOMY);
        frame_lend(frame.segment);
        frame_borrow(frame.segment, others[i].number);
        release(&others[i], frame);
        cr_assert_eq(frame_idle_pop(&others[i].idle, others[i].number), frame.segment);
    }
    release_log(&home, &log);
    reclaim_idle(&home);
    frame_return(&home.memory, frame.segment, frame_take_lendings(frame.segment, 2));
    cr_assert_eq(alive_count(&home), 1);
    frame_return(&home.memory, frame.segment, frame_take_lendings(frame.segment, 1));
    expect_all_returned(&home);
    for (int i = 0; i < 2; i++)
        expect_all_returned(&others[i]);
}

Test(frame_lend, stops_when_more_is_released_than_is_held, .signal = SIGABRT)
{
    struct loan loan;
    begin_loan(&loan);
    frame_borrow(loan.frame.segment, 1);
    frame_release(&loan.other.idle, loan.frame.segment, 1, 2);
}

Test(frame_lend, stops_when_more_comes_home_than_was_lent, .signal = SIGABRT)
{
    struct loan loan;
    begin_loan(&loan);
    frame_return(&loan.home.memory, loan.frame.segment, 2);
}

Test(frame_lend, stops_when_the_home_borrows_from_itself, .signal = SIGABRT)
{
    struct loan loan;
    begin_loan(&loan);
    frame_borrow(loan.frame.segment, 0);
}

/* --- property: three shards, mail that takes its time ------------------------------------------------------------- */

enum { HELD_MAX = 40, MAIL_MAX = 64, LOGS = 2 };

struct mail { /* a slice lent, or (bytes == 0) lendings that go home */
    struct frame frame;
    uint32_t lendings;
    uint8_t fill;
};

struct mailbox {
    struct mail items[MAIL_MAX];
    int count;
};

struct held {
    struct frame frame;
    uint8_t fill;
};

struct world {
    struct shard shards[SHARDS];
    struct frame_log logs[SHARDS][LOGS];
    struct held held[SHARDS][HELD_MAX];
    int held_count[SHARDS];
    struct mailbox mail[SHARDS][SHARDS]; /* [from][to] */
    struct random random;
    uint64_t refused;
    uint64_t published;
};

static struct world world;

static void deliver_one(uint16_t from, uint16_t to)
{
    struct mailbox *box = &world.mail[from][to];
    if (box->count == 0)
        return;
    struct mail mail = box->items[0];
    box->count--;
    memmove(&box->items[0], &box->items[1], (size_t)box->count * sizeof *box->items);
    if (mail.frame.bytes == 0) {
        frame_return(&world.shards[to].memory, mail.frame.segment, mail.lendings);
        return;
    }
    frame_borrow(mail.frame.segment, to);
    if (world.held_count[to] < HELD_MAX)
        world.held[to][world.held_count[to]++] = (struct held){.frame = mail.frame, .fill = mail.fill};
    else
        release(&world.shards[to], mail.frame);
}

static void post(uint16_t from, uint16_t to, struct mail mail)
{
    struct mailbox *box = &world.mail[from][to];
    if (box->count == MAIL_MAX)
        deliver_one(from, to);
    box->items[box->count++] = mail;
}

static uint32_t any_size(struct random *random)
{
    static const uint32_t most[] = {300, 300, 300, 6000, 2 * SEGMENT_BYTES_MAX};
    uint64_t kind = random_below(random, random_chance(random, 1, 10) ? 5 : 4);
    return 1 + (uint32_t)random_below(random, most[kind]);
}

static void publish(uint16_t home)
{
    struct shard *shard = &world.shards[home];
    struct frame_log *log = &world.logs[home][random_below(&world.random, LOGS)];
    uint32_t bytes = any_size(&world.random);
    uint8_t *at = reserve(shard, log, bytes);
    if (at == NULL) {
        world.refused++;
        return;
    }
    uint8_t fill = (uint8_t)random_u64(&world.random);
    memset(at, fill, bytes);
    struct frame frame = frame_append_commit(log, bytes);
    world.published++;
    if (world.held_count[home] < HELD_MAX && random_chance(&world.random, 2, 3)) {
        frame_ref(frame.segment, home, 1);
        world.held[home][world.held_count[home]++] = (struct held){.frame = frame, .fill = fill};
    }
    for (uint16_t to = 0; to < SHARDS; to++) {
        if (to != home && random_chance(&world.random, 1, 2)) {
            frame_lend(frame.segment);
            post(home, to, (struct mail){.frame = frame, .fill = fill});
        }
    }
}

static void drop_one(uint16_t at)
{
    if (world.held_count[at] == 0)
        return;
    struct held *held = &world.held[at][random_below(&world.random, (uint64_t)world.held_count[at])];
    cr_assert(filled_with(held->frame, held->fill), "written over while it was held");
    release(&world.shards[at], held->frame);
    *held = world.held[at][--world.held_count[at]];
}

static void send_again(uint16_t at)
{
    if (world.held_count[at] == 0 || world.held_count[at] == HELD_MAX)
        return;
    struct held held = world.held[at][random_below(&world.random, (uint64_t)world.held_count[at])];
    if (held.frame.segment->home == at) { /* a replay from history to somebody elsewhere */
        uint16_t to = (uint16_t)((at + 1 + random_below(&world.random, SHARDS - 1)) % SHARDS);
        frame_lend(held.frame.segment);
        post(at, to, (struct mail){.frame = held.frame, .fill = held.fill});
    } else { /* one more receiver here */
        frame_ref(held.frame.segment, at, 1);
        world.held[at][world.held_count[at]++] = held;
    }
}

static void empty_idle(uint16_t at)
{
    for (struct segment *segment; (segment = frame_idle_pop(&world.shards[at].idle, at)) != NULL;) {
        if (segment->home == at)
            frame_reclaim(&world.shards[at].memory, segment);
        else
            post(at, segment->home,
                 (struct mail){.frame = {.segment = segment}, .lendings = frame_take_lendings(segment, at)});
    }
}

static void world_step(void)
{
    uint16_t at = (uint16_t)random_below(&world.random, SHARDS);
    switch (random_below(&world.random, 8)) {
    case 0:
    case 1:
        publish(at);
        break;
    case 2:
    case 3:
        deliver_one(at, (uint16_t)random_below(&world.random, SHARDS));
        break;
    case 4:
        drop_one(at);
        drop_one(at);
        break;
    case 5:
        send_again(at);
        break;
    case 6:
        if (random_chance(&world.random, 1, 10))
            release_log(&world.shards[at], &world.logs[at][random_below(&world.random, LOGS)]);
        break;
    default:
        empty_idle(at);
    }
    expect_sound(&world.shards[at]);
}

/* Everybody lets go, and the mail is delivered until there is none. */
static void world_settle(void)
{
    for (uint16_t at = 0; at < SHARDS; at++)
        for (int i = 0; i < LOGS; i++)
            release_log(&world.shards[at], &world.logs[at][i]);
    for (int round = 0; round < 3 * MAIL_MAX; round++) {
        for (uint16_t at = 0; at < SHARDS; at++) {
            for (uint16_t from = 0; from < SHARDS; from++)
                deliver_one(from, at);
            while (world.held_count[at] != 0)
                drop_one(at);
            empty_idle(at);
        }
    }
}

Test(frame_lend, comes_home_whatever_the_interleaving)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        memset(&world, 0, sizeof world);
        random_init(&world.random, seed);
        for (uint16_t at = 0; at < SHARDS; at++)
            begin(&world.shards[at], at, (size_t)1 << 19);
        for (int step = 0; step < 3000; step++)
            world_step();
        world_settle();
        for (uint16_t at = 0; at < SHARDS; at++)
            expect_all_returned(&world.shards[at]);
        cr_assert_gt(world.published, 300, "seed %lu", seed);
        cr_assert_gt(world.refused, 0, "the budget was reached, seed %lu", seed);
    }
}
