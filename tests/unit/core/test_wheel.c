/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/wheel: single rules, then random operations against a model that knows every timer's expiry
 * and sorts. The model is exact: also the order of timers of one time is compared. */
#include "core/random.h"
#include "core/wheel.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct wheel wheel; /* 11 KiB: not for the stack; each test is a process of its own */

Test(wheel, has_nothing_to_do_when_empty)
{
    wheel_init(&wheel, 1000);
    cr_assert_eq(wheel_next_ms(&wheel), UINT64_MAX);
    wheel_advance(&wheel, UINT64_MAX);
    cr_assert_null(wheel_pop(&wheel));
    cr_assert_eq(wheel.count, 0);
}

Test(wheel, expires_a_timer_at_its_time_and_not_before)
{
    struct wheel_timer timer = {.expiry_ms = 0};
    wheel_init(&wheel, 1000);
    wheel_set(&wheel, &timer, 1005);
    cr_assert(wheel_timer_set(&timer));
    cr_assert_eq(wheel_next_ms(&wheel), 1005);
    wheel_advance(&wheel, 1004);
    cr_assert_null(wheel_pop(&wheel));
    wheel_advance(&wheel, 1005);
    cr_assert_eq(wheel_next_ms(&wheel), 1005, "not later than now while one waits to be popped");
    cr_assert_eq(wheel_pop(&wheel), &timer);
    cr_assert(!wheel_timer_set(&timer));
    cr_assert_null(wheel_pop(&wheel));
    cr_assert_eq(wheel.count, 0);
    cr_assert_eq(wheel_next_ms(&wheel), UINT64_MAX);
}

Test(wheel, expires_a_timer_of_the_present_or_past_at_the_next_advance)
{
    struct wheel_timer present = {.expiry_ms = 0}, past = {.expiry_ms = 0};
    wheel_init(&wheel, 1000);
    wheel_set(&wheel, &present, 1000);
    wheel_set(&wheel, &past, 3);
    cr_assert_null(wheel_pop(&wheel), "not in this round, or setting in a handler would never end");
    cr_assert_leq(wheel_next_ms(&wheel), 1000);
    wheel_advance(&wheel, 1000);
    cr_assert_eq(wheel_pop(&wheel), &present);
    cr_assert_eq(wheel_pop(&wheel), &past);
    cr_assert_null(wheel_pop(&wheel));
}

Test(wheel, takes_an_earlier_time_as_the_last_one)
{
    struct wheel_timer timer = {.expiry_ms = 0};
    wheel_init(&wheel, 1000);
    wheel_advance(&wheel, 500);
    wheel_set(&wheel, &timer, 900);
    wheel_advance(&wheel, 0);
    cr_assert_eq(wheel_pop(&wheel), &timer, "900 has passed already");
    cr_assert_eq(wheel.now_ms, 1000);
}

Test(wheel, forgets_a_cancelled_timer)
{
    struct wheel_timer timer = {.expiry_ms = 0};
    wheel_init(&wheel, 0);
    wheel_cancel(&wheel, &timer);
    wheel_set(&wheel, &timer, 100000);
    wheel_cancel(&wheel, &timer);
    wheel_cancel(&wheel, &timer);
    cr_assert_eq(wheel.count, 0);
    cr_assert_eq(wheel_next_ms(&wheel), UINT64_MAX);
    wheel_advance(&wheel, 200000);
    cr_assert_null(wheel_pop(&wheel));
}

Test(wheel, moves_a_timer_that_is_set_again)
{
    struct wheel_timer timer = {.expiry_ms = 0};
    wheel_init(&wheel, 0);
    wheel_set(&wheel, &timer, 10);
    wheel_set(&wheel, &timer, 20);
    cr_assert_eq(wheel.count, 1);
    wheel_advance(&wheel, 10);
    cr_assert_null(wheel_pop(&wheel));
    wheel_set(&wheel, &timer, 15);
    wheel_advance(&wheel, 15);
    cr_assert_eq(wheel_pop(&wheel), &timer);
}

Test(wheel, lets_timers_that_have_expired_be_cancelled_and_moved)
{
    struct wheel_timer timers[3];
    memset(timers, 0, sizeof timers);
    wheel_init(&wheel, 0);
    for (int i = 0; i < 3; i++)
        wheel_set(&wheel, &timers[i], 10);
    wheel_advance(&wheel, 10);
    cr_assert_eq(wheel_pop(&wheel), &timers[0]);
    wheel_cancel(&wheel, &timers[1]);
    wheel_set(&wheel, &timers[2], 30);
    cr_assert_null(wheel_pop(&wheel));
    wheel_advance(&wheel, 30);
    cr_assert_eq(wheel_pop(&wheel), &timers[2]);
    cr_assert_eq(wheel.count, 0);
}

Test(wheel, reaches_every_distance)
{
    struct wheel_timer timer = {.expiry_ms = 0};
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t expiry = (uint64_t)1 << bit;
        wheel_init(&wheel, 0);
        wheel_set(&wheel, &timer, expiry);
        wheel_advance(&wheel, expiry - 1);
        cr_assert_null(wheel_pop(&wheel), "bit %u", bit);
        cr_assert_eq(wheel_next_ms(&wheel), expiry);
        wheel_advance(&wheel, expiry);
        cr_assert_eq(wheel_pop(&wheel), &timer, "bit %u", bit);
    }
}

Test(wheel, expires_the_last_millisecond_there_is)
{
    struct wheel_timer timer = {.expiry_ms = 0};
    wheel_init(&wheel, UINT64_MAX - 100);
    wheel_set(&wheel, &timer, UINT64_MAX);
    wheel_advance(&wheel, UINT64_MAX - 1);
    cr_assert_null(wheel_pop(&wheel));
    wheel_advance(&wheel, UINT64_MAX);
    cr_assert_eq(wheel_pop(&wheel), &timer);
}

/* Nine years in one step, with timers far beyond: a wheel that walks its slots one by one would run for hours, and into
 * the program's --timeout; this one takes a thousandth of a second. */
Test(wheel, jumps_over_empty_time_at_no_cost)
{
    const uint64_t nine_years = (uint64_t)9 * 365 * 86400 * 1000;
    struct wheel_timer near = {.expiry_ms = 0}, never = {.expiry_ms = 0};
    for (int i = 0; i < 1000; i++) {
        wheel_init(&wheel, 12345);
        memset(&never, 0, sizeof never);
        wheel_set(&wheel, &near, nine_years);
        wheel_set(&wheel, &never, UINT64_MAX);
        wheel_advance(&wheel, nine_years + 1);
        cr_assert_eq(wheel_pop(&wheel), &near);
        wheel_advance(&wheel, UINT64_MAX - 1);
        cr_assert_null(wheel_pop(&wheel));
    }
}

/* Who sleeps until wheel_next_ms and then advances comes to every timer at its very millisecond, within at most one
 * stop a level for each. */
Test(wheel, is_driven_by_its_own_next_time)
{
    enum { TIMERS = 200 };
    struct wheel_timer timers[TIMERS];
    struct random random;
    for (uint64_t seed = 0; seed < 50; seed++) {
        random_init(&random, seed);
        memset(timers, 0, sizeof timers);
        wheel_init(&wheel, random_u64(&random) >> (1 + random_below(&random, 63)));
        for (int i = 0; i < TIMERS; i++)
            wheel_set(&wheel, &timers[i], wheel.now_ms + (random_u64(&random) >> (1 + random_below(&random, 63))));
        int popped = 0, stops = 0;
        for (; wheel.count != 0; stops++) {
            uint64_t next = wheel_next_ms(&wheel);
            cr_assert(next > wheel.now_ms || stops == 0, "no progress, seed %lu", seed); /* some may be due at first */
            wheel_advance(&wheel, next);
            for (struct wheel_timer *timer; (timer = wheel_pop(&wheel)) != NULL; popped++)
                cr_assert(timer->expiry_ms == next, "seed %lu", seed);
        }
        cr_assert_eq(popped, TIMERS);
        cr_assert_leq(stops, TIMERS * WHEEL_LEVELS);
    }
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

enum { MODEL_TIMERS = 60 };

enum model_state { IDLE, WAITING, EXPIRED };

struct model_timer {
    struct wheel_timer timer;
    enum model_state state;
    uint64_t due_ms; /* its expiry, or the time of setting when that was later */
    uint64_t order;  /* of setting */
};

struct model {
    struct model_timer timers[MODEL_TIMERS];
    uint64_t now_ms;
    uint64_t order;
    uint64_t seed;
};

static bool comes_before(const struct model_timer *a, const struct model_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static struct model_timer *earliest(struct model *model, enum model_state state)
{
    struct model_timer *first = NULL;
    for (int i = 0; i < MODEL_TIMERS; i++) {
        struct model_timer *timer = &model->timers[i];
        if (timer->state == state && (first == NULL || comes_before(timer, first)))
            first = timer;
    }
    return first;
}

/* In the future at any distance, in the past, or at the very time of another timer. */
static uint64_t any_expiry(struct model *model, struct random *random)
{
    uint64_t distance = random_u64(random) >> random_below(random, 64);
    switch (random_below(random, 8)) {
    case 0:
        return model->now_ms - distance % (model->now_ms + 1);
    case 1:
    case 2:
        return model->timers[random_below(random, MODEL_TIMERS)].due_ms;
    default:
        return distance < UINT64_MAX - model->now_ms ? model->now_ms + distance : UINT64_MAX;
    }
}

static void set(struct model *model, struct random *random)
{
    struct model_timer *timer = &model->timers[random_below(random, MODEL_TIMERS)];
    uint64_t expiry = any_expiry(model, random);
    wheel_set(&wheel, &timer->timer, expiry);
    timer->state = WAITING;
    timer->due_ms = expiry > model->now_ms ? expiry : model->now_ms;
    timer->order = model->order++;
}

static void cancel(struct model *model, struct random *random)
{
    struct model_timer *timer = &model->timers[random_below(random, MODEL_TIMERS)];
    wheel_cancel(&wheel, &timer->timer);
    timer->state = IDLE;
}

/* Often just before, at or after the next expiry; sometimes back, sometimes ages on. */
static void advance(struct model *model, struct random *random)
{
    struct model_timer *first = earliest(model, WAITING);
    uint64_t to = model->now_ms;
    if (first != NULL && random_chance(random, 1, 2))
        to = first->due_ms - 1 + random_below(random, 3);
    else if (random_chance(random, 1, 8))
        to -= random_below(random, 1000);
    else
        to += random_below(random, (uint64_t)1 << random_below(random, random_chance(random, 1, 20) ? 62 : 24));
    if (to > UINT64_MAX - 1000) /* near the end of time, where sums would wrap */
        to = model->now_ms;
    wheel_advance(&wheel, to);
    if (to > model->now_ms)
        model->now_ms = to;
    for (int i = 0; i < MODEL_TIMERS; i++)
        if (model->timers[i].state == WAITING && model->timers[i].due_ms <= model->now_ms)
            model->timers[i].state = EXPIRED;
}

static void pop(struct model *model)
{
    struct model_timer *expected = earliest(model, EXPIRED);
    cr_assert_eq(wheel_pop(&wheel), expected == NULL ? NULL : &expected->timer, "seed %lu", model->seed);
    if (expected != NULL)
        expected->state = IDLE;
}

static void expect_agreement(struct model *model)
{
    uint64_t count = 0;
    for (int i = 0; i < MODEL_TIMERS; i++) {
        cr_assert_eq(wheel_timer_set(&model->timers[i].timer), model->timers[i].state != IDLE);
        count += model->timers[i].state != IDLE;
    }
    cr_assert_eq(wheel.count, count);
    uint64_t next = wheel_next_ms(&wheel);
    struct model_timer *first = earliest(model, WAITING);
    if (count == 0)
        cr_assert_eq(next, UINT64_MAX);
    else if (earliest(model, EXPIRED) != NULL || first->due_ms <= model->now_ms)
        cr_assert_leq(next, model->now_ms, "seed %lu", model->seed);
    else
        cr_assert(next <= first->due_ms && next > model->now_ms, "seed %lu", model->seed);
}

static void run_model(uint64_t seed)
{
    static struct model model;
    struct random random;
    random_init(&random, seed);
    memset(&model, 0, sizeof model);
    model.seed = seed;
    model.now_ms = random_u64(&random) >> (1 + random_below(&random, 63));
    if (random_chance(&random, 1, 4)) /* where many digits change at once */
        model.now_ms = ((uint64_t)1 << (6 * random_below(&random, 10) + 6)) - 1 - random_below(&random, 3);
    wheel_init(&wheel, model.now_ms);
    for (int step = 0; step < 400; step++) {
        switch (random_below(&random, 8)) {
        case 0:
        case 1:
        case 2:
            set(&model, &random);
            break;
        case 3:
            cancel(&model, &random);
            break;
        case 4:
        case 5:
            advance(&model, &random);
            break;
        default: /* sets and cancels of other steps fall between these pops */
            pop(&model);
        }
        expect_agreement(&model);
    }
}

Test(wheel, agrees_with_a_sorted_list)
{
    for (uint64_t seed = 0; seed < 300; seed++)
        run_model(seed);
}
