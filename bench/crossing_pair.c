/* SPDX-License-Identifier: MIT */
/* Owns the two shards of ringcast-crossing, the threads that turn them, and the clock of their turns. A turn without
 * work is not taken: an awake shard looks for mail whoever publishes. It never prints. Called by crossing_main. */
#include "bench/crossing_pair.h"

#include "bench/meter_shard.h"
#include "core/check.h"
#include "core/ring_uring.h"
#include "core/spsc.h"
#include "core/thread.h"
#include "core/work.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define SHARDS 2
#define LOOKS 10000 /* in vain before a thread lets others run: with one core for both, the other side */

/* One shard and who turns it. What the other side reads lies in a cache line of its own. */
struct side {
    struct meter_shard *meter;
    struct crossing_cost cost;
    _Alignas(64) _Atomic uint64_t delivered; /* behind its last turn */
    _Alignas(64) uint64_t last;
};

struct crossing_pair {
    struct side sides[SHARDS];
    struct meter_shard meters[SHARDS];
    uint32_t subscribers; /* on each shard */
    struct side *publisher, *other;
    const struct crossing_load *load;
    _Atomic bool ended;
    int error;
};

static const uint8_t payload[CROSSING_BYTES_MAX];

/* Real time: that of the shards stands still (null_kernel.c). */
static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static bool has_mail(const struct shard *shard)
{
    bool any = false;
    for (uint16_t from = 0; from < SHARDS; from++)
        any |= spsc_count(&shard->mail->in[from]) > 0;
    return any;
}

static bool has_work(const struct side *side)
{
    const struct shard *shard = side->meter->shard;
    const struct io_uring *uring = &side->meter->ring->uring;
    return has_mail(shard) || io_uring_cq_ready(uring) > 0 || io_uring_sq_ready(uring) > 0 ||
           shard->flush->express.head != SLAB_NONE || shard->flush->bulk.head != SLAB_NONE;
}

static bool turn(struct side *side)
{
    if (!has_work(side))
        return false;
    uint64_t begun_ns = now_ns();
    shard_tick(side->meter->shard, false);
    side->cost.cpu_ns += now_ns() - begun_ns;
    side->cost.turns++;
    uint64_t delivered = stats_get(&side->meter->shard->stats, STAT_DELIVERED);
    if (delivered != side->last)
        atomic_store_explicit(&side->delivered, delivered, memory_order_release);
    side->last = delivered;
    return true;
}

/* What a thread does all the time. */
static void look(struct side *side, uint32_t *vain)
{
    *vain = turn(side) ? 0 : *vain + 1;
    if (*vain % LOOKS == LOOKS - 1)
        sched_yield();
}

/* Until neither shard has anything to do. */
static void settle(struct crossing_pair *pair)
{
    bool any = true;
    while (any) {
        any = false;
        for (unsigned i = 0; i < SHARDS; i++)
            any |= turn(&pair->sides[i]);
    }
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static int publish(struct crossing_pair *pair)
{
    struct side *side = pair->publisher;
    int error = 0;
    uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < pair->load->window && error == 0; i++)
        error = meter_shard_publish(side->meter, slice_of(payload, pair->load->bytes));
    side->cost.cpu_ns += now_ns() - begun_ns;
    return error;
}

static void run_together(struct crossing_pair *pair)
{
    for (uint64_t n = 0; n < pair->load->windows && pair->error == 0; n++) {
        pair->error = publish(pair);
        settle(pair);
    }
}

/* The publisher's thread. It looks at the other side only when its own has all and every message has been answered. */
static void run_publisher(void *argument)
{
    struct crossing_pair *pair = argument;
    struct side *side = pair->publisher;
    uint64_t each = (uint64_t)pair->load->window * pair->subscribers;
    uint64_t here = side->last, there = pair->other->last;
    uint32_t vain = 0;
    for (uint64_t n = 0; n < pair->load->windows && pair->error == 0; n++) {
        pair->error = publish(pair);
        here += each;
        there += each;
        while (pair->error == 0 && (side->last != here || side->meter->shard->errands->outstanding > 0 ||
                                    atomic_load_explicit(&pair->other->delivered, memory_order_acquire) != there))
            look(side, &vain);
    }
    atomic_store_explicit(&pair->ended, true, memory_order_release);
}

static void run_other(void *argument)
{
    struct crossing_pair *pair = argument;
    uint32_t vain = 0;
    while (!atomic_load_explicit(&pair->ended, memory_order_acquire))
        look(pair->other, &vain);
}

static int run_apart(struct crossing_pair *pair)
{
    struct thread publisher, other;
    atomic_store(&pair->ended, false);
    int error = thread_start(&other, "other", 1, run_other, pair);
    if (error < 0)
        return error;
    error = thread_start(&publisher, "publisher", 0, run_publisher, pair);
    if (error == 0)
        thread_join(&publisher);
    atomic_store(&pair->ended, true);
    thread_join(&other);
    return error;
}

int crossing_run(struct crossing_pair *pair, const struct crossing_load *load, struct crossing_cost *cost)
{
    check_op(load->bytes, <=, sizeof payload);
    uint16_t home = pair->meters[0].home;
    pair->load = load;
    pair->publisher = &pair->sides[load->elsewhere ? 1 - home : home];
    pair->other = &pair->sides[load->elsewhere ? home : 1 - home];
    for (unsigned i = 0; i < SHARDS; i++)
        pair->sides[i].cost = (struct crossing_cost){0};
    pair->error = 0;
    if (load->threads)
        pair->error = run_apart(pair);
    else
        run_together(pair);
    settle(pair); /* lendings that are still on their way home */
    *cost = (struct crossing_cost){.cpu_ns = pair->sides[0].cost.cpu_ns + pair->sides[1].cost.cpu_ns,
                                   .turns = pair->sides[0].cost.turns + pair->sides[1].cost.turns};
    return pair->error;
}

/* --- making and ending -------------------------------------------------------------------------------------------- */

static int subscribe(struct crossing_pair *pair)
{
    int error = 0;
    for (uint32_t i = 0; i < SHARDS * pair->subscribers && error == 0; i++) {
        int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC); /* closed as soon as the table has it */
        error = descriptor < 0 ? -errno : meter_shard_adopt(&pair->meters[i % SHARDS], descriptor, i);
    }
    settle(pair);
    for (unsigned i = 0; i < SHARDS && error == 0; i++)
        if (stats_get(&pair->meters[i].shard->stats, STAT_SUBSCRIPTIONS) != pair->subscribers)
            error = -ETIME;
    return error;
}

int crossing_open(struct crossing_pair **out, uint32_t subscribers)
{
    struct crossing_pair *pair = aligned_alloc(64, (sizeof *pair + 63) & ~(size_t)63);
    if (pair == NULL)
        return -ENOMEM;
    memset(pair, 0, sizeof *pair);
    pair->subscribers = subscribers;
    for (unsigned i = 0; i < SHARDS; i++)
        pair->sides[i].meter = &pair->meters[i];
    int error = meter_shards_open(pair->meters, SHARDS, subscribers, NULL);
    if (error == 0)
        error = subscribe(pair);
    if (error < 0)
        crossing_close(pair);
    else
        *out = pair;
    return error;
}

void crossing_close(struct crossing_pair *pair)
{
    meter_shards_close(pair->meters, SHARDS);
    free(pair);
}
