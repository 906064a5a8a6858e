/* SPDX-License-Identifier: MIT */
/* shards/service_life: what leaves when, of a service that keeps records. The job hub runs at its home over a simulated
 * disk, whose steps the test takes one by one; clients connect to both shards. */
#include "core/work.h"
#include "shards/storage/store.h"
#include "tests/unit/shards/world.h"

#include "shards/channel/service_life.h"
#include "shards/storage/storage.h"
#include "tests/sim/sim_disk.h"

#include <stdalign.h>

static const char *const sets[] = {"emprops.listen=127.0.0.1:3002", "emprops.store=disk", "emprops.messages_max=0",
                                   NULL};
static const char *const tables[] = {"emprops_one", "emprops_two", "emprops_three", "emprops_four", NULL};

struct kept {
    struct world world;
    struct sim_disk *disk;
    alignas(64) struct storage storage;
    uint32_t answered;
};

static void on_answered(void *user, uint16_t origin)
{
    struct kept *kept = user;
    (void)origin;
    kept->answered++;
}

/* A process begins on the disk. */
static void process_begin(struct kept *kept)
{
    char text[256];
    struct buf why = buf_of(text, sizeof text);
    struct store *store;
    sim_disk_insert(kept->disk);
    cr_assert_eq(store_open(&store, "disk", tables, &why), 0, "%.*s", (int)why.used, text);
    cr_assert_eq(storage_init(&kept->storage, store, 2, on_answered, kept), 0);
    world_begin_with(&kept->world, 2, 65536, sets, &kept->storage);
    world_settle(&kept->world);
}

/* Storage takes all its steps, and the shards what follows. */
static void storage_settle(struct kept *kept)
{
    for (unsigned idle = 0; idle < 4;) {
        bool moved = storage_tick(&kept->storage, kept->world.shards[0]->now_ms);
        world_settle(&kept->world);
        idle = moved || !storage_is_quiet(&kept->storage) ? 0 : idle + 1;
    }
}

static void process_end(struct kept *kept)
{
    storage_settle(kept);
    world_end(&kept->world);
    storage_destroy(&kept->storage);
}

static void kept_begin(struct kept *kept)
{
    static const struct sim_disk_faults none;
    *kept = (struct kept){.disk = sim_disk_create(1, &none)};
    cr_assert_not_null(kept->disk);
    process_begin(kept);
}

static void kept_end(struct kept *kept)
{
    process_end(kept);
    sim_disk_destroy(kept->disk);
}

/* The next message must begin so and contain that. */
static void expect_like(struct world *world, struct peer *peer, const char *begin, const char *part)
{
    char payload[4096];
    int opcode = peer_next(world, peer, payload, sizeof payload);
    cr_assert_eq(opcode, WS_TEXT, "nothing (%d) instead of %s", opcode, begin);
    cr_assert_eq(strncmp(payload, begin, strlen(begin)), 0, "%s instead of %s", payload, begin);
    cr_assert_not_null(strstr(payload, part), "no %s in %s", part, payload);
}

#define TYPE(name) "{\"type\":\"" name "\""

static void client_register(struct kept *kept, struct peer *peer, const char *id)
{
    char text[256];
    peer_upgrade(&kept->world, peer, "/");
    expect_like(&kept->world, peer, TYPE("connection_established"), "");
    snprintf(text, sizeof text, TYPE("register_client") ",\"client_type\":\"job_client\",\"client_id\":\"%s\"}", id);
    peer_text(&kept->world, peer, text);
    storage_settle(kept);
    expect_like(&kept->world, peer, TYPE("client_registered"), id);
}

static void submit(struct kept *kept, struct peer *peer)
{
    peer_text(&kept->world, peer, TYPE("submit_job") ",\"job_type\":\"x\",\"payload\":{}}");
}

static void leave(struct kept *kept, struct peer *peer)
{
    sim_peer_reset(kept->world.network, peer->number);
    world_settle(&kept->world);
}

Test(service_life, answers_503_until_all_records_are_loaded)
{
    static struct kept kept;
    static struct peer peer;
    kept_begin(&kept);
    peer_upgrade(&kept.world, &peer, "/");
    cr_assert_not(service_host_all_up(kept.world.shards[0]));
    peer_text(&kept.world, &peer, TYPE("register_client") ",\"client_type\":\"job_client\",\"client_id\":\"c\"}");
    cr_assert_gt(world_sum(&kept.world, STAT_SERVICE_REFUSED), 0);
    storage_settle(&kept);
    cr_assert(service_host_all_up(kept.world.shards[0]) && service_host_all_up(kept.world.shards[1]));
    leave(&kept, &peer);
    kept_end(&kept);
}

Test(service_life, says_nothing_of_a_unit_before_it_is_kept)
{
    static struct kept kept;
    static struct peer peer;
    kept_begin(&kept);
    storage_settle(&kept);
    client_register(&kept, &peer, "c");
    uint64_t commits = storage_count(&kept.storage, STORAGE_COMMITS);
    submit(&kept, &peer);
    peer_expect_nothing(&kept.world, &peer);
    cr_assert_eq(storage_count(&kept.storage, STORAGE_COMMITS), commits, "the disk has not been asked yet");
    cr_assert_not(service_host_is_quiet(kept.world.shards[0]) && service_host_is_quiet(kept.world.shards[1]));
    storage_settle(&kept);
    expect_like(&kept.world, &peer, TYPE("job_accepted"), "\"status\":\"queued\"");
    cr_assert_gt(storage_count(&kept.storage, STORAGE_COMMITS), commits);
    cr_assert(service_host_is_quiet(kept.world.shards[0]) && service_host_is_quiet(kept.world.shards[1]));
    leave(&kept, &peer);
    kept_end(&kept);
}

/* What waits when the disk is free shares one sync; a request that keeps nothing waits behind those that do. */
Test(service_life, units_that_wait_share_a_commit_and_leave_in_order)
{
    static struct kept kept;
    static struct peer peers[3];
    kept_begin(&kept);
    storage_settle(&kept);
    for (unsigned i = 0; i < 3; i++) {
        char id[2] = {(char)('a' + i), 0};
        client_register(&kept, &peers[i], id);
    }
    uint64_t commits = storage_count(&kept.storage, STORAGE_COMMITS);
    for (unsigned i = 0; i < 3; i++)
        submit(&kept, &peers[i]);
    for (unsigned i = 0; i < 3; i++)
        peer_expect_nothing(&kept.world, &peers[i]);
    storage_settle(&kept);
    cr_assert_eq(storage_count(&kept.storage, STORAGE_COMMITS), commits + 1);
    for (unsigned i = 0; i < 3; i++) {
        char position[24];
        snprintf(position, sizeof position, "\"position\":%u", i + 1);
        expect_like(&kept.world, &peers[i], TYPE("job_accepted"), position);
        leave(&kept, &peers[i]);
    }
    kept_end(&kept);
}

/* Nobody is told of what is not kept: who waits gets an error, all sessions of the dialect are closed, on both shards,
 * and the next life begins from what the disk has as soon as there is room. */
Test(service_life, a_failed_commit_ends_the_life_and_the_next_one_begins_from_the_disk)
{
    static struct kept kept;
    static struct peer peers[2], late;
    kept_begin(&kept);
    storage_settle(&kept);
    client_register(&kept, &peers[0], "a");
    client_register(&kept, &peers[1], "b");
    submit(&kept, &peers[0]);
    storage_settle(&kept);
    expect_like(&kept.world, &peers[0], TYPE("job_accepted"), "\"position\":1");

    sim_disk_set_full(kept.disk, true);
    submit(&kept, &peers[1]);
    storage_settle(&kept);
    cr_assert_eq(world_sum(&kept.world, STAT_SERVICE_LIVES_ENDED), 1);
    cr_assert_not(service_host_all_up(kept.world.shards[0]));
    expect_like(&kept.world, &peers[1], TYPE("error"), "");
    peer_expect_close(&kept.world, &peers[0], 1012);
    peer_expect_close(&kept.world, &peers[1], 1012);
    leave(&kept, &peers[0]);
    leave(&kept, &peers[1]);
    world_advance(&kept.world, 3000);
    storage_settle(&kept);
    cr_assert_not(service_host_all_up(kept.world.shards[0]), "there is no room yet");

    sim_disk_set_full(kept.disk, false);
    for (unsigned second = 0; second < 5; second++) {
        world_advance(&kept.world, 1000);
        storage_settle(&kept);
    }
    cr_assert(service_host_all_up(kept.world.shards[0]));
    client_register(&kept, &late, "b");
    submit(&kept, &late);
    storage_settle(&kept);
    expect_like(&kept.world, &late, TYPE("job_accepted"), "\"position\":2");
    leave(&kept, &late);
    kept_end(&kept);
}

Test(service_life, a_process_that_begins_anew_knows_what_was_acknowledged)
{
    static struct kept kept;
    static struct peer peer;
    kept_begin(&kept);
    storage_settle(&kept);
    client_register(&kept, &peer, "c");
    for (unsigned i = 0; i < 3; i++)
        submit(&kept, &peer);
    storage_settle(&kept);
    leave(&kept, &peer);
    process_end(&kept);
    process_begin(&kept);
    storage_settle(&kept);
    client_register(&kept, &peer, "c");
    char payload[4096];
    while (peer_next(&kept.world, &peer, payload, sizeof payload) > 0)
        ; /* what it is told of its jobs */
    submit(&kept, &peer);
    storage_settle(&kept);
    expect_like(&kept.world, &peer, TYPE("job_accepted"), "\"position\":4");
    leave(&kept, &peer);
    kept_end(&kept);
}

/* A shard that waits in its ring is woken for an answer; one that is about to wait looks first. */
Test(service_life, an_answer_keeps_a_shard_from_sleeping)
{
    static struct kept kept;
    static struct peer peer;
    kept_begin(&kept);
    storage_settle(&kept);
    client_register(&kept, &peer, "c");
    submit(&kept, &peer);
    kept.answered = 0;
    while (storage_tick(&kept.storage, kept.world.shards[0]->now_ms))
        ;
    cr_assert_eq(kept.answered, 1);
    cr_assert(service_host_has_answers(kept.world.shards[0]) || service_host_has_answers(kept.world.shards[1]));
    world_settle(&kept.world);
    expect_like(&kept.world, &peer, TYPE("job_accepted"), "");
    leave(&kept, &peer);
    kept_end(&kept);
}
