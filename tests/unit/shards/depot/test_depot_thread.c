/* SPDX-License-Identifier: MIT */
/* Proves the thread of a depot with a depot of a few lines over real files and records in memory: who is answered what and when, limits,
 * turns between shards, lives that end and begin, sleep and stop. What a power cut leaves is in unit_sim (test_depot_crash.c). Run by
 * unit_shards. */
#include "core/log.h"
#include "core/ring_sim.h"
#include "shards/depot/depot_thread.h"
#include "tests/unit/shards/depot/depot_dir.h"

#include <stdatomic.h>
#include <time.h>

/* The kinds of the test's depot; a body is text. */
enum { KEEP = 1, COUNT, LATER };

struct little {
    const struct depot_disk *disk;
    unsigned records, left, steps;
};

static unsigned opened, closed; /* lives */

static int little_open(void *state, const struct depot_disk *disk)
{
    struct little *little = state;
    little->disk = disk;
    opened++;
    return 0;
}

static void little_close(void *state)
{
    (void)state;
    closed++;
}

static int little_load(void *state, struct slice key, struct slice value, const char **why)
{
    struct little *little = state;
    *why = "is none of this test";
    little->records++;
    return slice_equal(key, value) ? 0 : -EINVAL;
}

static bool little_keeps(void *state, const char *name)
{
    (void)state;
    return strcmp(name, "kept") == 0;
}

static void little_loaded(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct little *little = state;
    (void)now_ms;
    (void)wall_ms;
    cr_assert_eq(little->disk->sweep(little->disk->user, little_keeps, little), 0);
}

/* Writes what it is told into a file and keeps a record of it. */
static void keep(struct little *little, const struct depot_request *request)
{
    struct slice text = slice_of(request->body.data, request->body.bytes);
    uint64_t bytes;
    if (little->disk->length(little->disk->user, "kept", &bytes) != 0) {
        bytes = 0;
        cr_assert_eq(little->disk->create(little->disk->user, "kept"), 0);
    }
    cr_assert_eq(little->disk->write(little->disk->user, "kept", bytes, text), 0);
    cr_assert_eq(little->disk->put(little->disk->user, text, text), 0);
    little->records++;
}

static enum depot_answer little_request(void *state, const struct depot_request *request)
{
    struct little *little = state;
    buf_put_text(request->failure, "failed");
    cr_assert_neq(request->ticket, 0);
    switch (request->kind) {
    case DEPOT_LEFT:
        little->left++;
        return DEPOT_DONE;
    case KEEP:
        keep(little, request);
        buf_put_text(request->reply, "kept");
        return DEPOT_DONE;
    case COUNT:
        buf_put_u64(request->reply, little->records);
        buf_put_byte(request->reply, '/');
        buf_put_u64(request->reply, little->left);
        return DEPOT_DONE;
    default:
        return DEPOT_LATER;
    }
}

static enum depot_answer little_later(void *state, const struct depot_request *request)
{
    struct little *little = state;
    if (++little->steps % 3 != 0)
        return DEPOT_LATER;
    buf_put_text(request->reply, "in three steps");
    return DEPOT_DONE;
}

static uint64_t little_due(const void *state)
{
    (void)state;
    return UINT64_MAX;
}

static void little_timer(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    (void)state;
    (void)now_ms;
    (void)wall_ms;
}

static const struct depot little = {
    .state_bytes = sizeof(struct little),
    .open = little_open,
    .close = little_close,
    .load = little_load,
    .loaded = little_loaded,
    .request = little_request,
    .later = little_later,
    .due = little_due,
    .timer = little_timer,
};

/* --- a server in small -------------------------------------------------------------------------------------------- */

static struct depot_dir dir;
static struct depot_thread *thread;
static struct sim_network *network; /* whose clock the thread goes by */
static _Atomic uint32_t bells[2];

static void on_answered(void *user, uint16_t origin)
{
    (void)user;
    atomic_fetch_add(&bells[origin], 1);
}

/* Over the root of `dir`. */
static void begin_there(void)
{
    char text[256];
    struct buf why = buf_of(text, sizeof text);
    log_redirect(-1);
    network = sim_network_create(1, &(struct sim_faults){0}, 4096);
    thread = aligned_alloc(64, (sizeof *thread + 63) & ~(size_t)63);
    cr_assert_not_null(thread);
    opened = closed = 0;
    bells[0] = bells[1] = 0;
    cr_assert_eq(depot_thread_open(thread, &little, dir.root, 2, on_answered, NULL, &why), 0, "%.*s", (int)why.used,
                 text);
}

static void begin(void)
{
    depot_dir_make(&dir);
    begin_there();
}

static void end(void)
{
    depot_thread_close(thread);
    cr_expect_eq(opened, closed);
    free(thread);
    sim_network_destroy(network);
    depot_dir_remove(&dir);
}

static bool post(uint16_t origin, uint32_t kind, const char *body)
{
    static char bodies[128][16];
    static unsigned next;
    char *text = bodies[next++ % 128];
    struct depot_task *task = depot_task_make((void *)(uintptr_t)kind);
    (void)snprintf(text, 16, "%s", body);
    task->request.kind = kind;
    task->request.connection = origin + 1U; /* one of each shard */
    task->request.body = (struct span){(uint8_t *)text, strlen(text)};
    if (depot_thread_post(thread, origin, task))
        return true;
    depot_task_free(task);
    return false;
}

static void expect(uint16_t origin, uint32_t kind, int status, const char *reply)
{
    struct depot_task *task = depot_thread_take(thread, origin);
    cr_assert_not_null(task, "%s", reply);
    cr_expect_eq((uintptr_t)task->user, kind);
    cr_expect_eq(task->status, status, "%d", task->status);
    cr_expect(slice_is(buf_slice(&task->reply), reply), "%.*s, not %s", (int)task->reply.used,
              (const char *)task->reply.data, reply);
    depot_task_free(task);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

Test(depot_thread, answers_each_shard_in_the_order_of_its_requests_behind_one_commit)
{
    begin();
    cr_assert(post(0, KEEP, "a") && post(0, KEEP, "b") && post(1, KEEP, "c") && post(1, COUNT, "") &&
              post(0, COUNT, ""));
    cr_expect_null(depot_thread_take(thread, 0));
    (void)depot_thread_round(thread);
    expect(0, KEEP, 200, "kept");
    expect(0, KEEP, 200, "kept");
    expect(0, COUNT, 200, "3/0");
    expect(1, KEEP, 200, "kept");
    cr_expect_not_null(depot_thread_take(thread, 1));
    cr_expect_eq(depot_thread_count(thread, DEPOT_COMMITS), 1);
    cr_expect_eq(depot_thread_count(thread, DEPOT_WRITTEN), 3);
    cr_expect(bells[0] > 0 && bells[1] > 0);
    end();
}

/* A task is taken of each shard in turn: what one has posted does not stand before another's. */
Test(depot_thread, serves_shards_in_turn)
{
    begin();
    for (unsigned i = 0; i < 40; i++)
        cr_assert(post(0, KEEP, "x"));
    cr_assert(post(1, COUNT, ""));
    (void)depot_thread_round(thread);
    struct depot_task *task = depot_thread_take(thread, 1);
    cr_assert_not_null(task);
    cr_expect(slice_is(buf_slice(&task->reply), "1/0") || slice_is(buf_slice(&task->reply), "0/0"));
    depot_task_free(task);
    for (unsigned i = 0; i < 40; i++)
        expect(0, KEEP, 200, "kept");
    end();
}

Test(depot_thread, takes_so_many_of_a_shard_and_no_more)
{
    begin();
    for (unsigned i = 0; i < DESK_TASKS_MAX; i++)
        cr_assert(post(0, KEEP, "x"));
    cr_expect_not(post(0, KEEP, "x"));
    cr_expect(post(1, KEEP, "x")); /* the other shard has places of its own */
    (void)depot_thread_round(thread);
    (void)depot_thread_round(thread);
    expect(1, KEEP, 200, "kept");
    for (unsigned i = 0; i < DESK_TASKS_MAX; i++)
        expect(0, KEEP, 200, "kept");
    cr_expect(post(0, DEPOT_LEFT, ""));
    (void)depot_thread_round(thread);
    expect(0, DEPOT_LEFT, 200, "");
    end();
}

Test(depot_thread, goes_on_later_between_other_requests)
{
    begin();
    cr_assert(post(0, LATER, ""));
    cr_expect_eq(depot_thread_round(thread), 0); /* at once again */
    cr_expect_null(depot_thread_take(thread, 0));
    cr_assert(post(1, KEEP, "a"));
    cr_expect_eq(depot_thread_round(thread), 0);
    expect(1, KEEP, 200, "kept");
    cr_expect_neq(depot_thread_round(thread), 0);
    expect(0, LATER, 200, "in three steps");
    end();
}

/* N-60: what a connection has asked behind it is not begun before. */
Test(depot_thread, answers_a_connection_in_its_order_also_what_goes_on_later)
{
    begin();
    cr_assert(post(0, KEEP, "a") && post(0, LATER, "") && post(0, KEEP, "b") && post(0, LATER, "") &&
              post(0, COUNT, "") && post(1, KEEP, "c"));
    cr_expect_eq(depot_thread_round(thread), 0);
    expect(0, KEEP, 200, "kept");
    expect(1, KEEP, 200, "kept");
    cr_expect_null(depot_thread_take(thread, 0));
    for (unsigned i = 0; i < 8; i++)
        (void)depot_thread_round(thread);
    expect(0, LATER, 200, "in three steps");
    expect(0, KEEP, 200, "kept");
    expect(0, LATER, 200, "in three steps");
    expect(0, COUNT, 200, "3/0");
    end();
}

/* Those that waited behind one that has failed are run in the next life. */
Test(depot_thread, forgets_nobody_who_waits_behind_another_when_a_life_ends)
{
    begin();
    cr_assert(post(0, LATER, "") && post(0, KEEP, "a"));
    (void)depot_thread_round(thread);
    thread->files.failed = -EIO;
    cr_expect_eq(depot_thread_round(thread), 0); /* not in a second, as with nobody waiting */
    expect(0, LATER, 200, "failed");
    (void)depot_thread_round(thread);
    expect(0, KEEP, 200, "kept");
    end();
}

/* What could not be kept is not said by anybody of that round, and the next life has what was kept before. */
Test(depot_thread, says_the_failure_of_all_whose_commit_failed_and_begins_anew)
{
    begin();
    cr_assert(post(0, KEEP, "a"));
    (void)depot_thread_round(thread);
    expect(0, KEEP, 200, "kept");
    thread->files.failed = -EIO; /* as a sync would leave it that an eviction made */
    cr_assert(post(0, KEEP, "b") && post(1, COUNT, "") && post(1, LATER, ""));
    (void)depot_thread_round(thread);
    expect(0, KEEP, 200, "failed");
    expect(1, COUNT, 200, "failed");
    expect(1, LATER, 200, "failed");
    cr_expect_eq(depot_thread_count(thread, DEPOT_LIVES_LOST), 1);
    cr_assert(post(0, COUNT, ""));
    (void)depot_thread_round(thread);
    expect(0, COUNT, 200, "1/0");
    cr_expect_eq(opened, 2);
    cr_expect_eq(depot_thread_count(thread, DEPOT_LOST), 0);
    end();
}

Test(depot_thread, throws_away_files_in_the_making_that_nobody_wants_when_the_process_begins)
{
    depot_dir_make(&dir);
    cr_assert_eq(mkdir(depot_dir_path(&dir, "root/" DEPOT_STAGING), 0700), 0);
    depot_dir_write(&dir, "root/" DEPOT_STAGING "/orphan", "x");
    depot_dir_write(&dir, "root/" DEPOT_STAGING "/kept", "x");
    begin_there();
    cr_expect(depot_dir_holds(&dir, "root/" DEPOT_STAGING "/orphan", NULL));
    cr_expect(depot_dir_holds(&dir, "root/" DEPOT_STAGING "/kept", "x"));
    end();
}

/* --- the thread itself -------------------------------------------------------------------------------------------- */

static void await(uint16_t origin, uint32_t kind, const char *reply)
{
    for (unsigned i = 0; !desk_has_answers(&thread->desk, origin) && i < 100000; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* an emergency brake: 100 s */
    expect(origin, kind, 200, reply);
}

Test(depot_thread, sleeps_is_woken_and_does_what_was_posted_before_the_stop)
{
    begin();
    cr_assert_eq(depot_thread_start(thread), 0);
    for (unsigned i = 0; i < 50; i++) {
        cr_assert(post((uint16_t)(i % 2), KEEP, "x"));
        await((uint16_t)(i % 2), KEEP, "kept");
    }
    for (unsigned i = 0; i < DESK_TASKS_MAX; i++)
        cr_assert(post(0, i == 10 ? LATER : KEEP, "y"));
    depot_thread_stop(thread);
    for (unsigned i = 0; i < DESK_TASKS_MAX; i++) {
        struct depot_task *task = depot_thread_take(thread, 0);
        cr_assert_not_null(task, "%u", i);
        cr_expect(slice_is(buf_slice(&task->reply), "kept") || slice_is(buf_slice(&task->reply), "in three steps"));
        depot_task_free(task);
    }
    cr_expect_eq(depot_thread_count(thread, DEPOT_WRITTEN), 50 + DESK_TASKS_MAX - 1);
    end();
}
