/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-growth: the server's work with many channels, members or shards. Each piece of work is done
 * over and over inside ringcast_counted, where bench/growth has callgrind count, and timed. It never touches a socket.
 * Called by bench/growth. */
#include "bench/growth_world.h"
#include "core/check.h"
#include "core/random.h"
#include "core/work.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHANNELS_PER_CONN 127 /* and GROWTH_COMMON */
#define CONNS_PER_BATCH 64    /* that subscribe at once */
#define CHANNELS_MAX 1000000
#define MEMBERS_MAX 1000000
#define PICKS 1000 /* channels that are published to again and again */
#define COUNT 4000 /* of one piece of work */
#define WARM 400   /* before it */
#define PAYLOAD_BYTES 512
#define GROWING_MEMBERS 64 /* on each listening shard */
#define FIXED_MEMBERS 1008 /* on all listening shards */

static struct growth_world world;
static uint8_t payload[PAYLOAD_BYTES];
static struct random dice;

/* --- work --------------------------------------------------------------------------------------------------------- */

struct job {
    const char *name; /* its stage, in the table */
    void (*run)(const struct job *work, uint32_t count);
    uint32_t amount; /* what the curve is drawn over: channels, members */
};

/* What is counted: bench/growth gives this name to --toggle-collect. */
void ringcast_counted(const struct job *work, uint32_t count);
__attribute__((noinline)) void ringcast_counted(const struct job *work, uint32_t count)
{
    work->run(work, count);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static size_t used_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void say(const char *name, const char *field, double value)
{
    printf("{\"stage\": \"%s\", \"%s\": %.2f}\n", name, field, value);
}

static void measure(const struct job *work)
{
    work->run(work, WARM);
    double begun_ns = now_ns();
    ringcast_counted(work, COUNT);
    printf("{\"stage\": \"%s\", \"count\": %d, \"ns\": %.2f}\n", work->name, COUNT, (now_ns() - begun_ns) / COUNT);
}

/* --- channels ----------------------------------------------------------------------------------------------------- */

#define NAME_BYTES 16

/* Without the library's formatting, which would be counted. */
static struct slice channel_name(uint32_t number, char memory[NAME_BYTES])
{
    memcpy(memory, "channel-00000000", NAME_BYTES);
    for (size_t at = NAME_BYTES; number > 0; number /= 10)
        memory[--at] = (char)('0' + number % 10);
    return slice_of(memory, NAME_BYTES);
}

static uint32_t pick(const struct job *work, uint32_t n)
{
    uint32_t picks = work->amount < PICKS ? work->amount : PICKS;
    return (uint32_t)((uint64_t)n * work->amount / picks);
}

static void publish_to(uint32_t channel, bool delivers)
{
    char memory[NAME_BYTES];
    enum stat_id stat = delivers ? STAT_DELIVERED : STAT_PUBLISHED;
    uint64_t before = growth_sum(&world, stat);
    growth_publish(world.shards[0], channel_name(channel, memory), slice_of(payload, sizeof payload));
    growth_await(&world, stat, before + 1);
}

/* To one of PICKS channels, spread over all; each has been published to lately. */
static void run_publish(const struct job *work, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        publish_to(pick(work, (uint32_t)random_below(&dice, work->amount < PICKS ? work->amount : PICKS)), true);
}

/* To any of all channels. */
static void run_publish_anywhere(const struct job *work, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        publish_to((uint32_t)random_below(&dice, work->amount), true);
}

/* The connection in slot 0 listens to nothing but GROWTH_COMMON between two times. */
static void come_and_go(struct slice channel)
{
    struct shard *shard = world.shards[0];
    struct conn *conn = growth_conn(&world, 0, 0);
    uint64_t before = growth_sum(&world, STAT_SUBSCRIPTIONS);
    growth_subscribe(shard, conn, &channel, 1);
    growth_await(&world, STAT_SUBSCRIPTIONS, before + 1);
    growth_unsubscribe(shard, conn, channel);
    shard_tick(shard, false); /* its home hears of it */
}

static void run_come_and_go(const struct job *work, uint32_t count)
{
    char memory[NAME_BYTES];
    for (uint32_t i = 0; i < count; i++)
        come_and_go(channel_name((uint32_t)random_below(&dice, work->amount), memory));
}

static void run_new_channel(const struct job *work, uint32_t count)
{
    char memory[NAME_BYTES];
    for (uint32_t i = 0; i < count; i++)
        come_and_go(channel_name(work->amount + i, memory));
}

/* One connection listens to the channels [from, to). */
static void listen_to(uint32_t slot, uint32_t from, uint32_t to)
{
    static char memory[CHANNELS_PER_CONN][NAME_BYTES];
    struct slice names[CHANNELS_PER_CONN];
    for (uint32_t i = from; i < to; i++)
        names[i - from] = channel_name(i, memory[i - from]);
    growth_subscribe(world.shards[0], growth_conn(&world, 0, slot), names, to - from);
}

/* Each of the channels gets one listener; those in slots from 1 on share them. */
static void listen_to_all(uint32_t channels)
{
    uint64_t before = growth_sum(&world, STAT_SUBSCRIPTIONS);
    for (uint32_t from = 0, slot = 1; from < channels; from += CHANNELS_PER_CONN, slot++) {
        uint32_t to = from + CHANNELS_PER_CONN < channels ? from + CHANNELS_PER_CONN : channels;
        listen_to(slot, from, to);
        if (slot % CONNS_PER_BATCH == 0 || to == channels)
            growth_await(&world, STAT_SUBSCRIPTIONS, before + to);
    }
}

static int measure_channels(uint32_t channels)
{
    const struct job works[] = {{"subscribe and unsubscribe", run_come_and_go, channels},
                                {"make and end a channel", run_new_channel, channels},
                                {"publish", run_publish, channels},
                                {"publish anywhere", run_publish_anywhere, channels}};
    uint32_t conns = 1 + (channels + CHANNELS_PER_CONN - 1) / CHANNELS_PER_CONN;
    int error = growth_world_open(&world, 1, conns, 0);
    if (error == 0)
        error = growth_world_connect(&world, 0, conns);
    if (error < 0)
        return error;
    size_t before = used_bytes();
    listen_to_all(channels);
    say("channel and listener", "bytes", (double)(used_bytes() - before) / channels);
    for (uint32_t i = 0; i < PICKS; i++)
        publish_to(pick(&works[0], i % (channels < PICKS ? channels : PICKS)), true);
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        measure(&works[i]);
    return 0;
}

/* --- retained messages -------------------------------------------------------------------------------------------- */

static void run_retain(const struct job *work, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        publish_to(pick(work, (uint32_t)random_below(&dice, work->amount < PICKS ? work->amount : PICKS)), false);
}

static int measure_retained(uint32_t channels)
{
    const struct job work = {"publish to who retains one", run_retain, channels};
    int error = growth_world_open(&world, 1, 1, 1);
    if (error < 0)
        return error;
    size_t before = used_bytes();
    for (uint32_t i = 0; i < channels; i++)
        publish_to(i, false);
    say("channel and retained message", "bytes", (double)(used_bytes() - before) / channels);
    measure(&work);
    return 0;
}

/* --- members ------------------------------------------------------------------------------------------------------ */

/* Any member leaves the channel, and is back a turn later. */
static void run_members(const struct job *work, uint32_t count)
{
    struct shard *shard = world.shards[0];
    const struct slice common = slice_text(GROWTH_COMMON);
    for (uint32_t i = 0; i < count; i++) {
        struct conn *conn = growth_conn(&world, 0, (uint32_t)random_below(&dice, work->amount));
        growth_unsubscribe(shard, conn, common);
        growth_subscribe(shard, conn, &common, 1);
        growth_await(&world, STAT_SUBSCRIPTIONS, work->amount);
    }
}

static int measure_members(uint32_t members)
{
    const struct job work = {"unsubscribe and subscribe", run_members, members};
    int error = growth_world_open(&world, 1, members, 0);
    if (error == 0)
        error = growth_world_connect(&world, 0, members);
    if (error == 0)
        measure(&work);
    return error;
}

/* --- shards ------------------------------------------------------------------------------------------------------- */

/* A turn of the home, or of all others: what is not to be counted is taken by the other function. */
static void turn(uint16_t home, bool of_home)
{
    for (uint16_t i = 0; i < world.count; i++)
        if ((i == home) == of_home)
            shard_tick(world.shards[i], false);
}

void ringcast_home(uint16_t home);
__attribute__((noinline)) void ringcast_home(uint16_t home)
{
    turn(home, true);
}

void ringcast_listeners(uint16_t home);
__attribute__((noinline)) void ringcast_listeners(uint16_t home)
{
    turn(home, false);
}

/* A publish, its deliveries, their completions, and the frame's way home: two turns of each shard. */
static void run_round(uint16_t home, uint64_t receivers)
{
    uint64_t delivered = growth_sum(&world, STAT_DELIVERED);
    growth_publish(world.shards[home], slice_text(GROWTH_COMMON), slice_of(payload, sizeof payload));
    ringcast_home(home);
    ringcast_listeners(home);
    ringcast_listeners(home);
    ringcast_home(home);
    check_op(growth_sum(&world, STAT_DELIVERED), ==, delivered + receivers);
}

/* Without others the home has the members itself. */
static int measure_shards(uint16_t shards, bool fixed, uint32_t rounds)
{
    uint16_t listening = shards == 1 ? 1 : shards - 1;
    uint32_t members = fixed ? FIXED_MEMBERS / listening : GROWING_MEMBERS;
    int error = growth_world_open(&world, shards, members, 0);
    uint16_t home = error == 0 ? growth_world_home(&world, slice_text(GROWTH_COMMON)) : 0;
    for (uint16_t i = 0; i < shards && error == 0; i++)
        if (i != home || shards == 1)
            error = growth_world_connect(&world, i, members);
    if (error < 0)
        return error;
    for (uint32_t i = 0; i < rounds; i++)
        run_round(home, (uint64_t)members * listening);
    say("members of each", "count", members);
    return 0;
}

/* --- program ------------------------------------------------------------------------------------------------------ */

static uint32_t number(const char *text, uint32_t max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    return *text == '\0' || *end != '\0' || value > max ? 0 : (uint32_t)value;
}

static int run(int count, char **arguments)
{
    const char *what = count > 2 ? arguments[1] : "";
    if (strcmp(what, "channels") == 0 && count == 3 && number(arguments[2], CHANNELS_MAX) > 0)
        return measure_channels(number(arguments[2], CHANNELS_MAX));
    if (strcmp(what, "retained") == 0 && count == 3 && number(arguments[2], CHANNELS_MAX) > 0)
        return measure_retained(number(arguments[2], CHANNELS_MAX));
    if (strcmp(what, "members") == 0 && count == 3 && number(arguments[2], MEMBERS_MAX) > 1)
        return measure_members(number(arguments[2], MEMBERS_MAX));
    bool fixed = count == 5 && strcmp(arguments[3], "fixed") == 0;
    bool growing = count == 5 && strcmp(arguments[3], "growing") == 0;
    if (strcmp(what, "shards") == 0 && (fixed || growing) && number(arguments[2], SHARDS_MAX) > 0 &&
        number(arguments[4], 1000000) > 0)
        return measure_shards((uint16_t)number(arguments[2], SHARDS_MAX), fixed, number(arguments[4], 1000000));
    return 1;
}

int main(int count, char **arguments)
{
    random_init(&dice, 1);
    int error = run(count, arguments);
    if (error == 1)
        fputs("Usage: ringcast-growth channels|retained COUNT\n"
              "       ringcast-growth members COUNT\n"
              "       ringcast-growth shards COUNT fixed|growing ROUNDS\n",
              stderr);
    else if (error < 0)
        fprintf(stderr, "ringcast-growth: %s\n", strerror(-error));
    return error == 1 ? 2 : error < 0;
}
