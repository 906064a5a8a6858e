/* SPDX-License-Identifier: MIT */
/* Storage on its thread, over the store on SQLite: several shards at once, sleeping and waking, the drain, and what
 * the disk says. The steps one by one are in tests/unit/sim/test_storage_steps.c. */
#include "core/log.h"
#include "shards/storage/storage.h"
#include "tests/unit/shards/storage/fault_vfs.h"
#include "tests/unit/shards/storage/store_dir.h"

#include <pthread.h>
#include <semaphore.h>

#define SHARDS 4U

struct party {
    struct storage storage;
    sem_t answered[SHARDS];
};

static void on_answered(void *user, uint16_t origin)
{
    struct party *party = user;
    cr_assert_eq(sem_post(&party->answered[origin]), 0);
}

static struct party *begin(const char *path)
{
    struct party *party = aligned_alloc(64, sizeof *party);
    cr_assert_not_null(party);
    char text[512] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    struct store *store;
    log_redirect(-1);
    cr_assert_eq(store_open(&store, path, store_dir_tables, &why), 0, "%s", text);
    for (uint32_t i = 0; i < SHARDS; i++)
        cr_assert_eq(sem_init(&party->answered[i], 0, 0), 0);
    cr_assert_eq(storage_init(&party->storage, store, SHARDS, on_answered, party), 0);
    cr_assert_eq(storage_start(&party->storage, -1), 0);
    return party;
}

static void end(struct party *party)
{
    storage_destroy(&party->storage);
    free(party);
}

static struct storage_request *make_put(uint32_t shard, uint32_t number)
{
    struct storage_request *request = calloc(1, sizeof *request);
    char key[32], value[64];
    (void)snprintf(key, sizeof key, "%u-%06u", shard, number);
    (void)snprintf(value, sizeof value, "{\"number\": %u}", number);
    request->kind = STORAGE_COMMIT;
    request->life = 1;
    request->ticket = number;
    cr_assert_eq(unit_put(&request->unit, 0, slice_text(key), slice_text(value)), 0);
    return request;
}

static void discard(struct storage_request *request)
{
    unit_release(&request->unit);
    free(request);
}

/* --- many shards -------------------------------------------------------------------------------------------------- */

#define PUTS 3000U

struct producer {
    struct party *party;
    uint16_t shard;
    uint32_t window;
};

/* Keeps a window of puts under way, sleeps on its doorbell, demands answers in its own order. */
static void *produce(void *argument)
{
    const struct producer *producer = argument;
    struct storage *storage = &producer->party->storage;
    struct storage_request *answer;
    uint32_t posted = 0, answered = 0;
    while (answered < PUTS) {
        while (posted < PUTS && posted - answered < producer->window)
            cr_assert(storage_post(storage, producer->shard, make_put(producer->shard, posted++)));
        storage_ring(storage, producer->shard);
        cr_assert_eq(sem_wait(&producer->party->answered[producer->shard]), 0);
        while ((answer = storage_take(storage, producer->shard)) != NULL) {
            cr_assert_eq(answer->ticket, answered);
            cr_assert_eq(answer->status, 0);
            answered++;
            discard(answer);
        }
    }
    return NULL;
}

Test(storage, answers_many_shards_each_in_its_order_and_sleeps_in_between)
{
    struct store_dir dir = store_dir_make_fast();
    struct party *party = begin(dir.path);
    struct producer producers[SHARDS];
    pthread_t threads[SHARDS];
    for (uint16_t i = 0; i < SHARDS; i++) {
        producers[i] = (struct producer){party, i, i == 0 ? 1 : 1U << (2 * i)};
        cr_assert_eq(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (uint16_t i = 0; i < SHARDS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    storage_stop(&party->storage);
    cr_assert_eq(storage_count(&party->storage, STORAGE_UNITS), SHARDS * PUTS);
    cr_assert_leq(storage_count(&party->storage, STORAGE_COMMITS), SHARDS * PUTS);
    cr_assert_geq(storage_count(&party->storage, STORAGE_COMMITS), PUTS, "shard 0 has one at a time");
    cr_assert_eq(storage_state(&party->storage, NULL), STORAGE_WORKING);
    end(party);
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_count(store, 0), SHARDS * PUTS);
    store_close(store);
    store_dir_remove(&dir);
}

Test(storage, commits_and_answers_at_a_stop_all_that_was_posted)
{
    struct party *party = begin("memory");
    struct storage_request *answer;
    for (uint16_t shard = 0; shard < SHARDS; shard++)
        for (uint32_t i = 0; i < STORAGE_OUTSTANDING_MAX; i++)
            cr_assert(storage_post(&party->storage, shard, make_put(shard, i))); /* and no bell is rung */
    storage_stop(&party->storage);
    for (uint16_t shard = 0; shard < SHARDS; shard++) {
        uint32_t answered = 0;
        while ((answer = storage_take(&party->storage, shard)) != NULL) {
            cr_assert_eq(answer->ticket, answered++);
            cr_assert_eq(answer->status, 0);
            discard(answer);
        }
        cr_assert_eq(answered, STORAGE_OUTSTANDING_MAX);
    }
    end(party);
}

/* Records that a shard has not taken hold up its reads; at a stop there is no waiting for it. */
Test(storage, answers_at_a_stop_reads_that_waited_for_room)
{
    struct party *party = begin("memory");
    struct storage_request *request = make_put(0, 0), *answer;
    uint8_t *value = calloc(1, 10U << 20);
    cr_assert_eq(unit_put(&request->unit, 1, slice_text("long"), slice_of(value, 10U << 20)), 0);
    free(value);
    cr_assert(storage_post(&party->storage, 0, request));
    for (int i = 0; i < 6; i++) {
        request = calloc(1, sizeof *request);
        request->kind = STORAGE_FETCH;
        request->table = 1;
        request->key_bytes = 4;
        memcpy(request->key, "long", 4);
        cr_assert(storage_post(&party->storage, 0, request));
    }
    storage_ring(&party->storage, 0);
    storage_stop(&party->storage);
    int answered = 0;
    for (; (answer = storage_take(&party->storage, 0)) != NULL; answered++) {
        cr_assert_eq(answer->status, 0);
        discard(answer);
    }
    cr_assert_eq(answered, 7);
    end(party);
}

Test(storage, is_woken_once_for_what_was_posted_together)
{
    struct party *party = begin("memory");
    for (int round = 0; round < 20; round++) {
        while (atomic_load(&party->storage.asleep) == 0)
            sched_yield();
        uint64_t wakes = storage_count(&party->storage, STORAGE_WAKES);
        for (uint32_t i = 0; i < 10; i++)
            cr_assert(storage_post(&party->storage, 0, make_put(0, i)));
        storage_ring(&party->storage, 0);
        storage_ring(&party->storage, 0);
        for (uint32_t answered = 0; answered < 10;) {
            struct storage_request *answer = storage_take(&party->storage, 0);
            if (answer == NULL)
                continue;
            discard(answer);
            answered++;
        }
        while (atomic_load(&party->storage.asleep) == 0)
            sched_yield();
        cr_assert_eq(storage_count(&party->storage, STORAGE_WAKES), wakes + 1);
    }
    storage_stop(&party->storage);
    end(party);
}

/* --- what the disk says ------------------------------------------------------------------------------------------- */

/* Posts one put and waits for its answer. */
static int put_and_wait(struct party *party, uint32_t number, uint32_t life)
{
    struct storage_request *request = make_put(0, number), *answer;
    request->life = life;
    cr_assert(storage_post(&party->storage, 0, request));
    storage_ring(&party->storage, 0);
    while ((answer = storage_take(&party->storage, 0)) == NULL)
        cr_assert_eq(sem_wait(&party->answered[0]), 0);
    int status = answer->status;
    discard(answer);
    return status;
}

Test(storage, says_that_the_disk_is_full_and_works_again_by_itself)
{
    struct fault_vfs *vfs = fault_vfs_install();
    struct store_dir dir = store_dir_make_fast();
    struct party *party = begin(dir.path);
    cr_assert_eq(put_and_wait(party, 1, 1), 0);
    fault_vfs_plan(vfs, FAULT_WRITE_FULL, 1);
    cr_assert_eq(put_and_wait(party, 2, 1), -ENOSPC);
    int error = 0;
    enum storage_state state = storage_state(&party->storage, &error);
    cr_assert_str_eq(storage_state_name(state), "full");
    cr_assert_eq(error, ENOSPC);
    cr_assert_eq(put_and_wait(party, 3, 1), -ECANCELED, "the life is over");
    while (storage_state(&party->storage, &error) != STORAGE_WORKING) /* within a second, with no request */
        sched_yield();
    cr_assert_eq(error, 0);
    cr_assert_eq(put_and_wait(party, 4, 2), 0);
    cr_assert_eq(storage_count(&party->storage, STORAGE_REFUSED_FULL), 1);
    storage_stop(&party->storage);
    end(party);
    struct store *store = store_dir_open(&dir);
    cr_assert_eq(store_dir_count(store, 0), 2);
    store_close(store);
    store_dir_remove(&dir);
}

Test(storage, keeps_nothing_more_after_a_failed_sync)
{
    struct fault_vfs *vfs = fault_vfs_install();
    struct store_dir dir = store_dir_make_fast();
    struct party *party = begin(dir.path);
    cr_assert_eq(put_and_wait(party, 1, 1), 0);
    fault_vfs_plan(vfs, FAULT_SYNC, 1);
    cr_assert_eq(put_and_wait(party, 2, 1), -EIO);
    for (uint32_t life = 2; life < 5; life++)
        cr_assert_eq(put_and_wait(party, 3, life), -EIO);
    int error = 0;
    cr_assert_str_eq(storage_state_name(storage_state(&party->storage, &error)), "failed");
    cr_assert_eq(error, EIO);
    cr_assert_eq(storage_count(&party->storage, STORAGE_REFUSED_IO), 4);
    storage_stop(&party->storage);
    end(party);
    store_dir_remove(&dir);
}

static void damage_pages(const char *path)
{
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    for (long page = 20; page < 9000; page++) {
        cr_assert_eq(fseek(file, page * 4096, SEEK_SET), 0);
        cr_assert_eq(fwrite("damaged, damaged", 16, 1, file), 1);
    }
    cr_assert_eq(fclose(file), 0);
}

/* 40 MB, more than SQLite's cache has. */
static void put_long_records(const struct store_dir *dir)
{
    static uint8_t value[20000];
    struct store *store = store_dir_open(dir);
    cr_assert_eq(store_begin(store), 0);
    for (uint32_t i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%06u", i);
        cr_assert_eq(store_put(store, 0, slice_text(key), slice_of(value, sizeof value)), 0);
    }
    cr_assert_eq(store_commit(store), 0);
    store_close(store);
}

/* Scans on until a piece fails; its status. */
static int scan_all(struct party *party)
{
    struct storage_request *scan = calloc(1, sizeof *scan);
    struct unit_operation operation;
    int status;
    scan->kind = STORAGE_SCAN;
    scan->bytes_max = STORAGE_PIECE_BYTES_MAX;
    do {
        unit_clear(&scan->unit);
        cr_assert(storage_post(&party->storage, 0, scan));
        storage_ring(&party->storage, 0);
        cr_assert_eq(sem_wait(&party->answered[0]), 0);
        cr_assert_eq((void *)storage_take(&party->storage, 0), (void *)scan);
        for (uint32_t at = 0; unit_next(&scan->unit, &at, &operation);) {
            scan->key_bytes = (uint16_t)operation.key.bytes;
            memcpy(scan->key, operation.key.data, operation.key.bytes);
        }
        status = scan->status;
    } while (status == 0 && scan->more);
    discard(scan);
    return status;
}

Test(storage, says_that_it_has_failed_when_a_read_has_met_damage)
{
    struct store_dir dir = store_dir_make_fast();
    put_long_records(&dir);
    struct party *party = begin(dir.path);
    damage_pages(dir.path);
    cr_assert_eq(scan_all(party), -EBADMSG);
    storage_stop(&party->storage);
    int error = 0;
    cr_assert_eq(storage_state(&party->storage, &error), STORAGE_FAILED);
    cr_assert_eq(error, EBADMSG);
    cr_assert_eq(storage_count(&party->storage, STORAGE_FAILED_READS), 1);
    end(party);
    store_dir_remove(&dir);
}

/* --- units -------------------------------------------------------------------------------------------------------- */

Test(unit, gives_back_what_was_put_in_its_order)
{
    struct unit unit = {0};
    struct unit_operation operation;
    uint8_t bytes[5000];
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (uint32_t i = 0; i < 600; i++) {
        struct slice key = slice_of(bytes + i, i % STORE_KEY_BYTES_MAX + 1);
        int error =
            i % 3 == 2 ? unit_delete(&unit, (uint8_t)i, key) : unit_put(&unit, (uint8_t)i, key, slice_of(bytes, i * 8));
        cr_assert_eq(error, 0);
    }
    cr_assert_eq(unit.operations, 600);
    uint32_t at = 0;
    for (uint32_t i = 0; i < 600; i++) {
        cr_assert(unit_next(&unit, &at, &operation));
        cr_assert_eq((int)operation.kind, i % 3 == 2 ? UNIT_DELETE : UNIT_PUT);
        cr_assert_eq(operation.table, (uint8_t)i);
        cr_assert(slice_equal(operation.key, slice_of(bytes + i, i % STORE_KEY_BYTES_MAX + 1)));
        cr_assert(slice_equal(operation.value, slice_of(bytes, i % 3 == 2 ? 0 : i * 8)));
    }
    cr_assert(!unit_next(&unit, &at, &operation));
    unit_clear(&unit);
    at = 0;
    cr_assert(!unit_next(&unit, &at, &operation));
    unit_release(&unit);
}

Test(unit, takes_no_key_or_value_that_a_store_would_not_take)
{
    struct unit unit = {0};
    uint8_t *bytes = calloc(1, STORE_VALUE_BYTES_MAX + 1);
    cr_assert_eq(unit_put(&unit, 0, (struct slice){0}, slice_text("x")), -EMSGSIZE);
    cr_assert_eq(unit_put(&unit, 0, slice_of(bytes, STORE_KEY_BYTES_MAX + 1), slice_text("x")), -EMSGSIZE);
    cr_assert_eq(unit_delete(&unit, 0, slice_of(bytes, STORE_KEY_BYTES_MAX + 1)), -EMSGSIZE);
    cr_assert_eq(unit_put(&unit, 0, slice_text("x"), slice_of(bytes, STORE_VALUE_BYTES_MAX + 1)), -EMSGSIZE);
    cr_assert_eq(unit.used, 0);
    cr_assert_eq(unit_put(&unit, 0, slice_of(bytes, STORE_KEY_BYTES_MAX), slice_of(bytes, STORE_VALUE_BYTES_MAX)), 0);
    unit_release(&unit);
    free(bytes);
}
