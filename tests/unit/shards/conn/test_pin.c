/* SPDX-License-Identifier: MIT */
/* shards/pin: which sends go without a copy, what they hold and until when. The simulated kernel gives memory back
 * within milliseconds of its clock, or late when the fault says so, and fails the test when it was changed
 * meanwhile. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#include <errno.h>

#define PLAIN 0
#define LONG 16384
#define LATE_MS 300000

static const char *const small_budget[] = {"zero_copy_pinned_max=40KiB", NULL};
static const char *const switched_off[] = {"zero_copy=off", NULL};

static void begin(struct world *world, const char *const *sets, const struct sim_faults *faults)
{
    world_begin(world, 1, 1 << 20, sets);
    sim_set_faults(world->network, faults);
}

static int publish(struct world *world, const char *channel, char fill, uint32_t bytes)
{
    static uint8_t payload[100000];
    uint32_t receivers;
    struct channel *found = channel_find(world->shards[0], PLAIN, slice_text(channel));
    cr_assert_not_null(found);
    memset(payload, fill, bytes);
    struct event event = {.opcode = WS_TEXT, .payload = slice_of(payload, bytes)};
    int status = fanout_publish(world->shards[0], found, &event, &receivers);
    world_settle(world);
    return status;
}

static void expect_message(struct world *world, struct peer *peer, char fill, uint32_t bytes)
{
    static char payload[100000];
    cr_assert_eq(peer_next(world, peer, payload, sizeof payload), WS_TEXT);
    cr_assert_eq(strlen(payload), bytes);
    cr_assert_eq(payload[0], fill);
    cr_assert_eq(payload[bytes - 1], fill);
}

static uint64_t pinned(const struct world *world)
{
    return world_sum(world, STAT_PINNED_BYTES);
}

static uint32_t segments(const struct shard *shard)
{
    uint32_t count = 0;
    for (struct list_node *n = list_first(&shard->frames->segments); n != NULL;
         n = list_next(&shard->frames->segments, n))
        count++;
    return count;
}

Test(pin, sends_in_place_what_is_long_and_lets_go_when_it_comes_back)
{
    struct world world;
    static struct peer peer;
    begin(&world, NULL, &calm);
    peer_upgrade(&world, &peer, "/plain/c");
    uint64_t copied = world_sum(&world, STAT_BYTES_OUT);
    publish(&world, "c", 'a', LONG);
    cr_assert_eq(pinned(&world), LONG + 4);
    cr_assert_eq(world_sum(&world, STAT_DELIVERED), 1, "the kernel has taken it");
    expect_message(&world, &peer, 'a', LONG);
    publish(&world, "c", 'b', 100);
    cr_assert_eq(pinned(&world), LONG + 4, "short ones are copied, and need not wait");
    expect_message(&world, &peer, 'b', 100);
    world_advance(&world, 10);
    cr_assert_eq(pinned(&world), 0);
    cr_assert_eq(world_sum(&world, STAT_BYTES_ZERO_COPY), LONG + 4);
    cr_assert_eq(world_sum(&world, STAT_BYTES_OUT), copied + 102);
    world_end(&world);
}

Test(pin, never_sends_in_place_when_it_is_switched_off)
{
    struct world world;
    static struct peer peer;
    begin(&world, switched_off, &calm);
    peer_upgrade(&world, &peer, "/plain/c");
    publish(&world, "c", 'a', LONG);
    expect_message(&world, &peer, 'a', LONG);
    cr_assert_eq(pinned(&world), 0);
    world_end(&world);
}

/* Two more arrive while the first send is under way, each in a segment of its own. */
Test(pin, holds_every_piece_of_a_gathered_send)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 8192, NULL);
    peer_upgrade(&world, &peer, "/plain/c");
    publish(&world, "c", 'a', LONG);
    publish(&world, "c", 'b', 20000);
    publish(&world, "c", 'c', 20000);
    cr_assert_eq(pinned(&world), LONG + 4, "the others wait");
    expect_message(&world, &peer, 'a', LONG);
    cr_assert_eq(pinned(&world), LONG + 4 + 2 * (20000 + 4));
    cr_assert_eq(world.shards[0]->pins->slab.count_live, 2);
    expect_message(&world, &peer, 'b', 20000);
    expect_message(&world, &peer, 'c', 20000);
    for (char fill = 'd'; fill < 'h'; fill++) { /* they would lie where the pieces were, had one been let go */
        publish(&world, "c", fill, 20000);
        expect_message(&world, &peer, fill, 20000);
    }
    world_advance(&world, 10);
    cr_assert_eq(pinned(&world), 0);
    world_end(&world);
}

Test(pin, copies_to_a_peer_for_whom_the_kernel_copied)
{
    const struct sim_faults faults = {.copied = 1000};
    struct world world;
    static struct peer peer;
    begin(&world, NULL, &faults);
    peer_upgrade(&world, &peer, "/plain/c");
    publish(&world, "c", 'a', LONG);
    world_advance(&world, 10);
    cr_assert_eq(world_sum(&world, STAT_BYTES_ZERO_COPIED), LONG + 4);
    publish(&world, "c", 'b', LONG);
    cr_assert_eq(pinned(&world), 0);
    expect_message(&world, &peer, 'a', LONG);
    expect_message(&world, &peer, 'b', LONG);
    world_advance(&world, 10);
    cr_assert_eq(world_sum(&world, STAT_BYTES_ZERO_COPIED), LONG + 4);
    cr_assert_eq(world_sum(&world, STAT_BYTES_ZERO_COPY), 0);
    world_end(&world);
}

/* An unprivileged process may pin only so much (RLIMIT_MEMLOCK): nothing is lost but the advantage. */
Test(pin, sends_with_a_copy_what_the_kernel_would_not_pin)
{
    const struct sim_faults faults = {.unpinnable = 1000};
    struct world world;
    static struct peer peer;
    begin(&world, NULL, &faults);
    peer_upgrade(&world, &peer, "/plain/c");
    publish(&world, "c", 'a', LONG);
    publish(&world, "c", 'b', LONG);
    world_advance(&world, 10);
    expect_message(&world, &peer, 'a', LONG);
    expect_message(&world, &peer, 'b', LONG);
    cr_assert_eq(pinned(&world), 0);
    cr_assert_eq(world_sum(&world, STAT_PINNED_FULL), 1, "that connection copies from then on");
    cr_assert_eq(world_sum(&world, STAT_BYTES_ZERO_COPY), 0);
    world_end(&world);
}

Test(pin, copies_beyond_the_budget_and_counts_it)
{
    const struct sim_faults faults = {.pinned = 1000};
    struct world world;
    static struct peer peer;
    begin(&world, small_budget, &faults);
    peer_upgrade(&world, &peer, "/plain/c");
    for (int i = 0; i < 3; i++) {
        publish(&world, "c", 'a', LONG);
        expect_message(&world, &peer, 'a', LONG);
    }
    cr_assert_eq(pinned(&world), 2 * (LONG + 4));
    cr_assert_eq(world_sum(&world, STAT_PINNED_FULL), 1);
    world_advance(&world, LATE_MS);
    cr_assert_eq(pinned(&world), 0);
    world_end(&world);
}

/* Frames outlive their log and their channel while the kernel reads them; the ring checks that they stay as they
 * are. */
Test(pin, keeps_frames_whose_channel_has_gone)
{
    const struct sim_faults faults = {.pinned = 1000};
    struct world world;
    static struct peer peer;
    begin(&world, NULL, &faults);
    peer_upgrade(&world, &peer, "/plain/c");
    publish(&world, "c", 'a', LONG);
    for (int i = 0; i < 3; i++)
        publish(&world, "c", (char)('b' + i), 1000);
    for (int i = 0; i < 5; i++)
        world_advance(&world, 1000);
    cr_assert_eq(pinned(&world), LONG + 4);
    cr_assert_eq(segments(world.shards[0]), 1, "the pinned one");
    world_advance(&world, LATE_MS);
    world_advance(&world, 1000);
    cr_assert_eq(pinned(&world), 0);
    cr_assert_eq(segments(world.shards[0]), 0);
    world_end(&world);
}

/* Its peer stalls, so only a reset makes the kernel let go; and the next connection in the slot is not taken for it. */
Test(pin, resets_a_connection_that_ends_with_pins)
{
    const struct sim_faults faults = {.pinned = 1000, .copied = 1000};
    struct world world;
    static struct peer peer, next;
    begin(&world, NULL, &faults);
    peer_upgrade(&world, &peer, "/plain/c");
    publish(&world, "c", 'a', LONG);
    cr_assert_eq(pinned(&world), LONG + 4);
    sim_peer_shutdown(world.network, peer.number);
    world_settle(&world);
    for (int i = 0; i < 100 && world_open(&world) > 0; i++)
        world_advance(&world, 100);
    cr_assert_eq(world_open(&world), 0);
    cr_assert_eq(pinned(&world), 0);
    cr_assert_eq(sim_peer_receive(world.network, peer.number, peer.data, sizeof peer.data), -ECONNRESET);
    peer_upgrade(&world, &next, "/plain/c");
    publish(&world, "c", 'b', LONG);
    cr_assert_eq(pinned(&world), LONG + 4, "the copy was the other connection's");
    world_end(&world);
}

Test(pin, ends_the_reader_whose_pins_hold_the_oldest_frames_when_memory_is_full)
{
    static const char *const sets[] = {"frame_memory=1MiB", NULL};
    const struct sim_faults faults = {.pinned = 1000};
    struct world world;
    static struct peer stalled, other;
    int status = 202;
    begin(&world, sets, &faults);
    peer_upgrade(&world, &stalled, "/plain/c");
    peer_upgrade(&world, &other, "/plain/other");
    for (int i = 0; i < 100 && status == 202; i++)
        status = publish(&world, "c", 'a', LONG);
    cr_assert_eq(status, 429);
    cr_assert_eq(world_sum(&world, STAT_IN_FLIGHT), 0, "nothing waits: the kernel has it all");
    for (int i = 0; i < 100 && world_open(&world) > 1; i++) {
        world_advance(&world, 10);
        publish(&world, "other", 'b', LONG);
    }
    cr_assert_eq(world_open(&world), 1);
    cr_assert_eq(world_sum(&world, STAT_SLOW_CUT), 1);
    world_advance(&world, 10);
    cr_assert_eq(publish(&world, "other", 'b', LONG), 202);
    world_end(&world);
}

/* As long as its send is in flight a connection names its pin to the cancel: the pin goes behind the result. */
Test(pin, outlives_the_cancel_that_could_not_be_begun)
{
    const struct sim_faults full = {.queue_full = 1000};
    enum { WINDOW = 2000 };
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, WINDOW, NULL);
    for (unsigned i = 0; i < 8;
         i++) { /* whether the memory comes back with the result or later is the kernel's choice */
        uint32_t cursor = 0;
        peer_upgrade(&world, &peer, "/plain/c");
        publish(&world, "c", 'a', WINDOW - 4); /* the window is full: of the next nothing is taken */
        publish(&world, "c", 'b', LONG);
        struct conn *conn = slab_next(&world.shards[0]->conns->slab, &cursor, NULL);
        cr_assert(conn->sending && conn->pin != 0);
        sim_set_faults(world.network, &full);
        conn_terminate(world.shards[0], conn, CLOSE_SHUTDOWN);
        sim_peer_reset(world.network, peer.number);
        for (unsigned turn = 0; turn < 10; turn++)
            world_turn(&world);
        sim_set_faults(world.network, &calm);
        world_settle(&world);
        cr_assert_eq(world_open(&world), 0);
    }
    world_end(&world);
}

/* A busy log gets its segments from the arena, which the ring is told of once; another shard's ring is told, too. */
Test(pin, sends_from_memory_that_the_ring_knows)
{
    struct world world;
    static struct peer peers[8];
    world_begin(&world, 2, 1 << 20, NULL);
    for (unsigned i = 0; i < 8; i++)
        peer_upgrade(&world, &peers[i], "/plain/c");
    uint16_t home = channel_home(world.shards[0], PLAIN, slice_text("c"));
    struct channel *channel = channel_find(world.shards[home], PLAIN, slice_text("c"));
    cr_assert(world.shards[0]->conns->slab.count_live > 0 && world.shards[1]->conns->slab.count_live > 0);
    static uint8_t payload[LONG];
    memset(payload, 'x', sizeof payload);
    for (unsigned n = 0; n < 3; n++) {
        struct event event = {.opcode = WS_TEXT, .payload = slice_of(payload, sizeof payload)};
        uint32_t receivers;
        cr_assert_eq(fanout_publish(world.shards[home], channel, &event, &receivers), 202);
        world_settle(&world);
        for (unsigned i = 0; i < 8; i++) {
            peer_receive(&world, &peers[i]);
            peer_forget(&peers[i], peers[i].used);
        }
    }
    cr_assert_eq(world.shards[home]->frames->arena.chunks_opened, 1);
    cr_assert_eq(world_sum(&world, STAT_CHUNKS_REGISTERED), 2, "by each ring once");
    cr_assert_eq(world_sum(&world, STAT_CHUNKS_REFUSED), 0);
    world_advance(&world, 10);
    cr_assert_gt(world_sum(&world, STAT_BYTES_ZERO_COPY), 0);
    world_end(&world);
}
