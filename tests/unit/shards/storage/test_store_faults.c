/* SPDX-License-Identifier: MIT */
/* The store when each of its operations fails once, and when its process is killed: what was said to be kept is
 * there, whole transactions only. */
#include "core/random.h"
#include "tests/unit/shards/storage/fault_vfs.h"
#include "tests/unit/shards/storage/store_dir.h"

#include <signal.h>

/* --- each operation fails once ------------------------------------------------------------------------------------ */

#define TRANSACTIONS 14U
#define KEYS 12U

/* What the store has to have: of each key the transaction that wrote it last, 0: none. */
struct model {
    uint8_t kept[KEYS];
};

/* Transaction `number` touches three keys: two puts of different lengths, a delete. */
static size_t value_bytes(uint32_t number, uint32_t key)
{
    return number % 5 == 4 ? 70000 : 100 + 700 * key;
}

static void change_model(struct model *model, uint32_t number)
{
    model->kept[number % KEYS] = (uint8_t)number;
    model->kept[number * 5 % KEYS] = (uint8_t)number;
    model->kept[(number * 7 + 3) % KEYS] = 0;
}

static int put(struct store *store, uint32_t number, uint32_t key)
{
    static uint8_t value[70000];
    uint8_t name = (uint8_t)key;
    memset(value, (int)number, value_bytes(number, key));
    return store_put(store, 0, slice_of(&name, 1), slice_of(value, value_bytes(number, key)));
}

static int transact(struct store *store, uint32_t number)
{
    uint8_t gone = (uint8_t)((number * 7 + 3) % KEYS);
    int error = store_begin(store);
    if (error != 0)
        return error;
    error = put(store, number, number % KEYS);
    if (error == 0)
        error = put(store, number, number * 5 % KEYS);
    if (error == 0)
        error = store_delete(store, 0, slice_of(&gone, 1));
    if (error == 0)
        return store_commit(store);
    store_rollback(store);
    return error;
}

static bool is_as(struct store *store, const struct model *model)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        uint8_t name = (uint8_t)key;
        struct slice value = {0};
        int found = store_get(store, 0, slice_of(&name, 1), &value);
        cr_assert_geq(found, 0, "%s", store_why(store));
        if (found != (model->kept[key] != 0))
            return false;
        if (found == 0)
            continue;
        bool is_right = value.bytes == value_bytes(model->kept[key], key) && value.data[0] == model->kept[key] &&
                        memcmp(value.data, value.data + 1, value.bytes - 1) == 0;
        if (!is_right)
            return false;
    }
    return true;
}

struct outcome {
    struct model model, perhaps; /* without and with the transaction whose sync failed */
    uint32_t failed;
    bool opened, unsure, broken;
};

/* All transactions, upkeep in between; an error is followed by the next, as storage does it. */
static void work(const struct store_dir *dir, const struct fault_vfs *vfs, struct outcome *outcome)
{
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store;
    *outcome = (struct outcome){0};
    if (store_open(&store, dir->path, store_dir_tables, &why) != 0) {
        cr_assert_eq(strncmp(text, dir->path, strlen(dir->path)), 0, "%s", text);
        return;
    }
    outcome->opened = true;
    for (uint32_t number = 1; number <= TRANSACTIONS; number++) {
        bool was_broken = store_is_broken(store);
        int error = transact(store, number);
        cr_assert(!was_broken || error != 0, "committed by a broken store");
        if (error == 0) {
            change_model(&outcome->model, number);
        } else {
            outcome->failed++;
            cr_assert_str_neq(store_why(store), "");
        }
        if (!was_broken && store_is_broken(store) && vfs->kind == FAULT_SYNC) {
            outcome->unsure = true;
            outcome->perhaps = outcome->model;
            change_model(&outcome->perhaps, number);
        }
        cr_assert(error == 0 || is_as(store, &outcome->model), "after %u: %s", number, store_why(store));
        if (number % 4 == 0)
            (void)store_tidy(store, true);
    }
    cr_assert(is_as(store, &outcome->model), "%s", store_why(store));
    outcome->broken = store_is_broken(store);
    store_close(store);
}

/* The n-th operation of the kind fails. Whether it came to that. */
static bool fail_once(enum fault_kind kind, uint64_t n, struct fault_vfs *vfs)
{
    struct store_dir dir = store_dir_make_fast();
    struct outcome outcome;
    fault_vfs_plan(vfs, kind, n);
    work(&dir, vfs, &outcome);
    bool hit = vfs->hit;
    fault_vfs_plan(vfs, kind, 0);
    struct store *store = store_dir_open(&dir);
    cr_assert(is_as(store, &outcome.model) || (outcome.unsure && is_as(store, &outcome.perhaps)),
              "kind %d, operation %lu", (int)kind, (unsigned long)n);
    cr_assert(outcome.failed <= 1 || outcome.broken, "kind %d, operation %lu: one fault, %u failures", (int)kind,
              (unsigned long)n, outcome.failed);
    cr_assert(outcome.broken || transact(store, 1) == 0);
    cr_assert(kind != FAULT_SYNC || !hit || !outcome.opened || outcome.broken || outcome.failed == 0);
    store_close(store);
    store_dir_remove(&dir);
    return hit;
}

static void fail_each(enum fault_kind kind, uint64_t least)
{
    struct fault_vfs *vfs = fault_vfs_install();
    uint64_t n = 1;
    while (fail_once(kind, n, vfs))
        n++;
    cr_assert_geq(n, least, "only %lu operations", (unsigned long)n);
}

Test(store_faults, keeps_its_word_when_any_write_finds_no_room)
{
    fail_each(FAULT_WRITE_FULL, 300);
}

Test(store_faults, keeps_its_word_when_any_write_fails)
{
    fail_each(FAULT_WRITE, 300);
}

Test(store_faults, keeps_its_word_when_any_sync_fails)
{
    fail_each(FAULT_SYNC, 20);
}

Test(store_faults, keeps_its_word_when_any_file_cannot_be_cut_or_opened)
{
    fail_each(FAULT_OPEN, 2);
    fail_each(FAULT_TRUNCATE, 1);
}

Test(store_faults, keeps_its_word_when_any_read_fails)
{
    struct store_dir dir = store_dir_make_fast();
    struct fault_vfs *vfs = fault_vfs_install();
    fault_vfs_plan(vfs, FAULT_READ, 0);
    struct outcome outcome;
    work(&dir, vfs, &outcome);
    uint64_t opened = 0;
    for (uint64_t n = 1; opened == 0; n++) { /* until opening, which reads all, no longer meets it */
        char text[512];
        struct buf why = buf_of(text, sizeof text);
        struct store *store;
        fault_vfs_plan(vfs, FAULT_READ, n);
        int error = store_open(&store, dir.path, store_dir_tables, &why);
        cr_assert(error != 0 || !vfs->hit, "read %lu", (unsigned long)n);
        if (error != 0)
            continue;
        opened = n;
        fault_vfs_plan(vfs, FAULT_READ, 0);
        cr_assert(is_as(store, &outcome.model));
        store_close(store);
    }
    cr_assert_gt(opened, 5);
    store_dir_remove(&dir);
}

/* Opening, a few transactions and closing, with the n-th allocation of SQLite failing. Whether it came to that. */
static bool starve_once(const struct store_dir *dir, uint64_t n)
{
    struct model model = {{0}};
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store;
    uint32_t failed = 0;
    fault_heap_plan(n);
    int error = store_open(&store, dir->path, store_dir_tables, &why);
    cr_assert(error == 0 || error == -ENOMEM, "allocation %lu: %d %s", (unsigned long)n, error, text);
    for (uint32_t number = 1; error == 0 && number <= 3; number++) {
        int result = transact(store, number);
        cr_assert(result == 0 || result == -ENOMEM, "allocation %lu: %d %s", (unsigned long)n, result,
                  store_why(store));
        if (result == 0)
            change_model(&model, number);
        failed += result != 0;
    }
    cr_assert_leq(failed, 1);
    if (error == 0) {
        cr_assert(!store_is_broken(store), "allocation %lu: %s", (unsigned long)n, store_why(store));
        store_close(store);
    }
    bool hit = fault_heap_plan(0);
    store = store_dir_open(dir);
    cr_assert(is_as(store, &model), "allocation %lu", (unsigned long)n);
    store_close(store);
    return hit;
}

Test(store_faults, keeps_its_word_when_any_allocation_fails)
{
    uint64_t n = 1;
    bool hit = true;
    for (; hit; n++) {
        struct store_dir dir = store_dir_make_fast();
        hit = starve_once(&dir, n);
        store_dir_remove(&dir);
    }
    cr_assert_gt(n, 300);
}

/* The kernel forgets after a failed sync which pages are not on the disk; a second sync would be a lie. */
Test(store_faults, commits_nothing_more_after_a_sync_that_failed)
{
    struct fault_vfs *vfs = fault_vfs_install();
    struct store_dir dir = store_dir_make_fast();
    fault_vfs_plan(vfs, FAULT_SYNC, 0);
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_put(store, 0, "first", "1"), 0);
    fault_vfs_plan(vfs, FAULT_SYNC, 1);
    cr_assert_eq(store_dir_put(store, 0, "second", "2"), -EIO);
    cr_assert(store_is_broken(store));
    cr_assert_not_null(strstr(store_why(store), "a sync failed"), "%s", store_why(store));
    cr_assert_eq(strncmp(store_why(store), dir.path, strlen(dir.path)), 0);
    fault_vfs_plan(vfs, FAULT_SYNC, 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(store_dir_put(store, 0, "third", "3"), -EIO);
    cr_assert_eq(store_tidy(store, true), -EIO);
    cr_assert_eq(store_probe(store, 10), -EIO);
    cr_assert(!store_wants_tidying(store));
    cr_assert_eq(vfs->seen[FAULT_WRITE], 0, "nothing is written any more");
    store_dir_has(store, 0, "first", "1"); /* it may still be read */
    store_dir_has(store, 0, "second", NULL);
    store_close(store);
    cr_assert_eq(vfs->seen[FAULT_WRITE], 0, "not even when it is closed");

    fault_vfs_plan(vfs, FAULT_SYNC, 0);
    store = store_dir_open(&dir);
    cr_assert_geq(vfs->seen[FAULT_SYNC], 2, "what the log holds is written and synced anew");
    store_dir_has(store, 0, "first", "1");
    cr_assert_eq(store_dir_put(store, 0, "third", "3"), 0);
    store_close(store);
    store_dir_remove(&dir);
}

/* A checkpoint whose sync fails has perhaps not written what the log then no longer holds. */
Test(store_faults, commits_nothing_more_after_a_checkpoint_whose_sync_failed)
{
    struct fault_vfs *vfs = fault_vfs_install();
    for (uint64_t n = 1; n <= 2; n++) {
        struct store_dir dir = store_dir_make_fast();
        fault_vfs_plan(vfs, FAULT_SYNC, 0);
        struct store *store = store_dir_open(&dir);
        for (uint32_t number = 1; number < 10; number++)
            cr_assert_eq(transact(store, number), 0);
        cr_assert(store_wants_tidying(store));
        fault_vfs_plan(vfs, FAULT_SYNC, n);
        cr_assert_eq(store_tidy(store, true), -EIO);
        cr_assert(vfs->hit);
        cr_assert(store_is_broken(store));
        cr_assert_eq(store_dir_put(store, 0, "a", "1"), -EIO);
        store_close(store);
        fault_vfs_plan(vfs, FAULT_SYNC, 0);
        struct model model = {{0}};
        for (uint32_t number = 1; number < 10; number++)
            change_model(&model, number);
        store = store_dir_open(&dir);
        cr_assert(is_as(store, &model));
        store_close(store);
        store_dir_remove(&dir);
    }
}

/* --- kill -9 ------------------------------------------------------------------------------------------------------ */

#define RECORDS 4U

static int put_numbered(struct store *store, uint32_t number)
{
    int error = store_begin(store);
    for (uint32_t i = 0; error == 0 && i < RECORDS; i++) {
        char key[16];
        uint8_t value[1024];
        (void)snprintf(key, sizeof key, "%c%u", (char)('a' + i), number % 100);
        memset(value, (int)i, sizeof value);
        memcpy(value, &number, sizeof number);
        error = store_put(store, 0, slice_text(key), slice_of(value, sizeof value));
    }
    return error == 0 ? store_commit(store) : error;
}

/* Commits from `number` on without an end, and says each that is kept. */
static _Noreturn void commit_until_killed(const struct store_dir *dir, uint32_t number, int said)
{
    char text[512];
    struct buf why = buf_of(text, sizeof text);
    struct store *store;
    if (store_open(&store, dir->path, store_dir_tables, &why) != 0)
        _exit(1);
    for (;; number++) {
        if (put_numbered(store, number) != 0 || write(said, &number, sizeof number) != sizeof number)
            _exit(2);
        if (number % 50 == 0 && store_tidy(store, true) != 0)
            _exit(3);
    }
}

/* The number in the records of the key's last digits; all RECORDS have the same, or none is there. */
static uint32_t number_of(struct store *store, uint32_t slot)
{
    uint32_t numbers[RECORDS] = {0};
    for (uint32_t i = 0; i < RECORDS; i++) {
        char key[16];
        struct slice value;
        (void)snprintf(key, sizeof key, "%c%u", (char)('a' + i), slot);
        if (store_get(store, 0, slice_text(key), &value) == 1)
            memcpy(&numbers[i], value.data, sizeof numbers[i]);
        cr_assert_eq(numbers[i], numbers[0], "slot %u: a transaction in part", slot);
    }
    return numbers[0];
}

/* Everything up to `acknowledged`, at most one transaction more. */
static void expect_kept(struct store *store, uint32_t acknowledged)
{
    for (uint32_t slot = 0; slot < 100; slot++) {
        uint32_t found = number_of(store, slot);
        uint32_t wanted = acknowledged - (acknowledged + 100 - slot) % 100; /* the last of the slot that was said */
        wanted = wanted > acknowledged ? 0 : wanted;
        cr_assert(found == wanted || found == acknowledged + 1, "slot %u: %u, not %u (of %u)", slot, found, wanted,
                  acknowledged);
    }
}

Test(store_faults, has_every_acknowledged_transaction_after_kill_9_at_any_moment)
{
    struct store_dir dir = store_dir_make_fast();
    struct random random;
    uint32_t acknowledged = 0;
    random_init(&random, 9);
    for (int round = 0; round < 40; round++) {
        int said[2], status;
        uint32_t number = 0;
        cr_assert_eq(pipe(said), 0);
        pid_t child = fork();
        if (child == 0)
            commit_until_killed(&dir, acknowledged + 1, said[1]);
        (void)close(said[1]);
        uint32_t enough = acknowledged + 1 + (uint32_t)random_below(&random, 120);
        while (number < enough && read(said[0], &number, sizeof number) == sizeof number) {
        }
        cr_assert_eq(number, enough);
        usleep((useconds_t)random_below(&random, 400));
        cr_assert_eq(kill(child, SIGKILL), 0);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status));
        while (read(said[0], &number, sizeof number) == sizeof number) {
        }
        (void)close(said[0]);
        struct store *store = store_dir_open(&dir);
        expect_kept(store, number);
        acknowledged = number_of(store, (number + 1) % 100) == number + 1 ? number + 1 : number;
        store_close(store);
    }
    store_dir_remove(&dir);
}
