/* SPDX-License-Identifier: MIT */
/* Owns the store of the simulation: records in memory, and on the simulated disk a log of transactions from which
 * they can be had again. It never shares code or layout with the store on SQLite; what both promise is
 * shards/storage/store.h. Called by storage through that seam.
 *
 * An area of the disk:
 *
 *     0    header   u64 magic, u64 generation, u64 check       alone in its sector
 *     512  records  u32 bytes, u32 0, u64 serial, u64 check; the operations as in a unit (shards/storage/unit.h)
 *
 * A transaction counts when its record is whole: a checksum over all of it, and serials without a gap from 1. The
 * area with a whole header and the higher generation counts. Tidying writes all records into the other area, syncs
 * it, then writes and syncs its header; store_open does so too, so that nothing is built upon what a failed sync
 * has left behind. */
#include "core/check.h"
#include "core/siphash.h"
#include "shards/storage/store.h"
#include "shards/storage/unit.h"
#include "tests/sim/sim_disk.h"

#include <errno.h>
#include <stdlib.h>

#define MAGIC 0x676f6c2d6d697321U
#define RECORDS_AT SIM_DISK_SECTOR
#define TIDY_BYTES_DUE (64U << 10)
#define TIDY_BYTES_IDLE (8U << 10)
#define SNAPSHOT_BYTES (16U << 10) /* of a record of a snapshot */

struct header {
    uint64_t magic, generation, check;
};

struct log_record {
    uint32_t bytes, zero;
    uint64_t serial, check;
};

struct kept {
    uint32_t key_bytes, value_bytes;
    uint8_t data[]; /* key, value */
};

struct kept_table {
    struct kept **items; /* in the order of their keys */
    uint32_t count, capacity;
};

struct undo {
    uint8_t table;
    struct kept *before; /* NULL: there was none */
    struct kept *after;  /* NULL: there is none now */
};

struct store {
    struct sim_disk *disk; /* NULL: memory */
    uint32_t tables;
    struct kept_table table[STORE_TABLES_MAX];
    unsigned area;
    uint64_t generation, serial;
    size_t log_at, tidied_at; /* where the next record goes; where the log ended after the last tidying */
    bool open;
    struct unit transaction; /* what will be its record */
    struct undo *undo;
    uint32_t undos, undo_capacity;
    uint8_t scan_table;
    uint32_t scan_at;
    int broken;
    const char *why;
};

/* --- records in memory -------------------------------------------------------------------------------------------- */

static struct slice key_of(const struct kept *kept)
{
    return slice_of(kept->data, kept->key_bytes);
}

static struct slice value_of(const struct kept *kept)
{
    return slice_of(kept->data + kept->key_bytes, kept->value_bytes);
}

static int compare(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* The place of the first record that is not before the key. */
static uint32_t place_of(const struct kept_table *table, struct slice key)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(key_of(table->items[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct kept *find(const struct kept_table *table, struct slice key, uint32_t *place)
{
    *place = place_of(table, key);
    bool is_there = *place < table->count && slice_equal(key_of(table->items[*place]), key);
    return is_there ? table->items[*place] : NULL;
}

static int reserve_item(struct kept_table *table)
{
    if (table->count < table->capacity)
        return 0;
    uint32_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
    struct kept **items = realloc(table->items, capacity * sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    table->items = items;
    table->capacity = capacity;
    return 0;
}

/* `to` comes where `from` is, or would be; either may be NULL. There is room. */
static void replace(struct kept_table *table, struct kept *from, struct kept *to)
{
    uint32_t place;
    struct kept *found = find(table, key_of(from != NULL ? from : to), &place);
    check(found == from);
    if (from != NULL && to != NULL) {
        table->items[place] = to;
    } else if (to != NULL) {
        memmove(table->items + place + 1, table->items + place, (table->count - place) * sizeof *table->items);
        table->items[place] = to;
        table->count++;
    } else {
        table->count--;
        memmove(table->items + place, table->items + place + 1, (table->count - place) * sizeof *table->items);
    }
}

static struct kept *make_kept(struct slice key, struct slice value)
{
    struct kept *kept = malloc(sizeof *kept + key.bytes + value.bytes);
    if (kept == NULL)
        return NULL;
    kept->key_bytes = (uint32_t)key.bytes;
    kept->value_bytes = (uint32_t)value.bytes;
    if (key.bytes > 0)
        memcpy(kept->data, key.data, key.bytes);
    if (value.bytes > 0)
        memcpy(kept->data + key.bytes, value.data, value.bytes);
    return kept;
}

static struct kept_table *table_of(struct store *store, uint8_t table)
{
    check_op(table, <, store->tables);
    return &store->table[table];
}

/* --- changes and their undoing ------------------------------------------------------------------------------------ */

static int reserve_undo(struct store *store)
{
    if (store->undos < store->undo_capacity)
        return 0;
    uint32_t capacity = store->undo_capacity == 0 ? 64 : store->undo_capacity * 2;
    struct undo *undo = realloc(store->undo, capacity * sizeof *undo);
    if (undo == NULL)
        return -ENOMEM;
    store->undo = undo;
    store->undo_capacity = capacity;
    return 0;
}

static int no_memory(struct store *store)
{
    store->why = "sim: there is not enough memory";
    return -ENOMEM;
}

/* Changes the records in memory; what was there is kept until the transaction ends. */
static int change(struct store *store, enum unit_kind kind, uint8_t number, struct slice key, struct slice value)
{
    struct kept_table *table = table_of(store, number);
    uint32_t place;
    struct kept *before = find(table, key, &place), *after = NULL;
    if (reserve_undo(store) != 0 || reserve_item(table) != 0)
        return no_memory(store);
    if (kind == UNIT_PUT && (after = make_kept(key, value)) == NULL)
        return no_memory(store);
    if (before == NULL && after == NULL)
        return 0;
    replace(table, before, after);
    store->undo[store->undos++] = (struct undo){.table = number, .before = before, .after = after};
    return 0;
}

static void undo_all(struct store *store)
{
    while (store->undos > 0) {
        struct undo *undo = &store->undo[--store->undos];
        replace(&store->table[undo->table], undo->after, undo->before);
        free(undo->after);
    }
}

static void forget_undo(struct store *store)
{
    while (store->undos > 0)
        free(store->undo[--store->undos].before);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static uint64_t check_of_header(const struct header *header)
{
    static const struct siphash_key key = {1, 2};
    return siphash(&key, slice_of(header, offsetof(struct header, check)));
}

static uint64_t check_of_record(const struct log_record *record, uint64_t generation, struct slice payload)
{
    struct siphash_key key = {generation, record->serial};
    return siphash(&key, payload) ^ record->bytes;
}

static int fail(struct store *store, int error, const char *why)
{
    if (store->disk->opened != store) { /* the process has ended meanwhile */
        store->broken = -EIO;
        store->why = "sim: the process is gone";
        return -EIO;
    }
    store->why = why;
    return error;
}

static int sync_area(struct store *store, unsigned area)
{
    int error = sim_disk_sync(store->disk, area);
    if (error == 0)
        return 0;
    store->broken = -EIO;
    return fail(store, -EIO, "sim: a sync failed");
}

static int append(struct store *store, unsigned area, uint64_t generation, uint64_t serial, size_t *at,
                  struct slice payload)
{
    struct log_record record = {.bytes = (uint32_t)payload.bytes, .serial = serial};
    record.check = check_of_record(&record, generation, payload);
    int error = sim_disk_write(store->disk, area, *at, slice_of(&record, sizeof record));
    if (error == 0)
        error = sim_disk_write(store->disk, area, *at + sizeof record, payload);
    if (error != 0)
        return fail(store, error, error == -ENOSPC ? "sim: there is no room" : "sim: a write failed");
    *at += sizeof record + payload.bytes;
    return 0;
}

static struct slice operations_of(const struct unit *unit)
{
    return slice_of(unit->data, unit->used);
}

/* All records, in as many log records as it takes. */
static int write_snapshot(struct store *store, unsigned area, uint64_t generation, uint64_t *serial, size_t *at)
{
    struct unit unit = {0};
    int error = 0;
    for (uint32_t table = 0; table < store->tables; table++) {
        for (uint32_t i = 0; error == 0 && i < store->table[table].count; i++) {
            const struct kept *kept = store->table[table].items[i];
            error = unit_put(&unit, (uint8_t)table, key_of(kept), value_of(kept));
            if (error != 0 || unit.used < SNAPSHOT_BYTES)
                continue;
            error = append(store, area, generation, ++*serial, at, operations_of(&unit));
            unit_clear(&unit);
        }
    }
    if (error == 0 && unit.used > 0)
        error = append(store, area, generation, ++*serial, at, operations_of(&unit));
    unit_release(&unit);
    return error;
}

/* Into the other area, which counts as soon as its header is on the disk. */
static int rewrite(struct store *store)
{
    unsigned area = 1 - store->area;
    struct header header = {.magic = MAGIC, .generation = store->generation + 1};
    uint64_t serial = 0;
    size_t at = RECORDS_AT;
    header.check = check_of_header(&header);
    sim_disk_clear(store->disk, area, 0);
    int error = write_snapshot(store, area, header.generation, &serial, &at);
    if (error == 0)
        error = sync_area(store, area);
    if (error == 0) {
        error = sim_disk_write(store->disk, area, 0, slice_of(&header, sizeof header));
        error = error == 0 ? sync_area(store, area) : fail(store, error, "sim: a write failed");
    }
    if (error != 0) {
        if (store->broken == 0)
            sim_disk_clear(store->disk, area, 0); /* a header that was written in part, or in whole and not synced */
        return error;
    }
    store->area = area;
    store->generation = header.generation;
    store->serial = serial;
    store->log_at = store->tidied_at = at;
    return 0;
}

/* --- recovery ----------------------------------------------------------------------------------------------------- */

static bool read_header(struct slice area, uint64_t *generation)
{
    struct header header;
    if (area.bytes < sizeof header)
        return false;
    memcpy(&header, area.data, sizeof header);
    *generation = header.generation;
    return header.magic == MAGIC && header.check == check_of_header(&header);
}

/* The planted bug's way: whatever looks like an operation, as far as it goes. */
static bool is_whole_operation(const struct store *store, struct slice rest)
{
    uint16_t key_bytes;
    uint32_t value_bytes;
    if (rest.bytes < UNIT_OPERATION_BYTES)
        return false;
    memcpy(&key_bytes, rest.data + 2, sizeof key_bytes);
    memcpy(&value_bytes, rest.data + 4, sizeof value_bytes);
    return (rest.data[0] == UNIT_PUT || rest.data[0] == UNIT_DELETE) && rest.data[1] < store->tables && key_bytes > 0 &&
           (uint64_t)UNIT_OPERATION_BYTES + key_bytes + value_bytes <= rest.bytes;
}

static int replay(struct store *store, struct slice payload)
{
    struct unit unit = {.data = (uint8_t *)(uintptr_t)payload.data, .used = (uint32_t)payload.bytes};
    struct unit_operation operation;
    int error = 0;
    for (uint32_t at = 0;
         error == 0 && is_whole_operation(store, slice_skip(payload, at)) && unit_next(&unit, &at, &operation);)
        error = change(store, operation.kind, operation.table, operation.key, operation.value);
    forget_undo(store);
    return error;
}

static int replay_area(struct store *store, struct slice area)
{
    size_t at = RECORDS_AT;
    int error = 0;
    while (error == 0 && at + sizeof(struct log_record) <= area.bytes) {
        struct log_record record;
        memcpy(&record, area.data + at, sizeof record);
        struct slice payload = slice_skip(area, at + sizeof record);
        bool fits = record.bytes > 0 && record.bytes <= payload.bytes;
        payload.bytes = fits ? record.bytes : payload.bytes;
        bool is_whole = fits && record.check == check_of_record(&record, store->generation, payload);
        if (record.serial != store->serial + 1 || (!is_whole && !store->disk->faults.shows_torn))
            return 0;
        error = replay(store, payload);
        store->serial++;
        at += sizeof record + payload.bytes;
    }
    return error;
}

static int recover(struct store *store)
{
    uint64_t generations[SIM_DISK_AREAS] = {0};
    struct slice areas[SIM_DISK_AREAS];
    bool whole[SIM_DISK_AREAS];
    for (unsigned i = 0; i < SIM_DISK_AREAS; i++) {
        areas[i] = sim_disk_read(store->disk, i);
        whole[i] = read_header(areas[i], &generations[i]);
    }
    if (!whole[0] && !whole[1])
        return rewrite(store); /* nothing was ever opened to its end */
    store->area = !whole[0] || (whole[1] && generations[1] > generations[0]) ? 1 : 0;
    store->generation = generations[store->area];
    int error = replay_area(store, areas[store->area]);
    return error == 0 ? rewrite(store) : error;
}

/* --- store.h ------------------------------------------------------------------------------------------------------ */

int store_open(struct store **opened, const char *path, const char *const *tables, struct buf *why)
{
    struct sim_disk *disk = strcmp(path, "memory") == 0 ? NULL : sim_disk_inserted();
    *opened = NULL;
    if (disk != NULL && disk->opened != NULL) {
        buf_put_text(why, "sim: is in use");
        return -EBUSY;
    }
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        buf_put_text(why, "sim: there is not enough memory");
        return -ENOMEM;
    }
    store->disk = disk;
    store->why = "";
    while (tables[store->tables] != NULL)
        store->tables++;
    check_op(store->tables, <=, STORE_TABLES_MAX);
    int error = 0;
    if (disk != NULL) {
        disk->opened = store;
        disk->ended = false;
        error = recover(store);
    }
    if (error != 0) {
        buf_put_text(why, store->why);
        store_close(store);
        return error;
    }
    *opened = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store->open)
        store_rollback(store);
    if (store->disk != NULL && store->disk->opened == store)
        store->disk->opened = NULL;
    for (uint32_t table = 0; table < store->tables; table++) {
        for (uint32_t i = 0; i < store->table[table].count; i++)
            free(store->table[table].items[i]);
        free(store->table[table].items);
    }
    forget_undo(store);
    free(store->undo);
    unit_release(&store->transaction);
    free(store);
}

static bool is_gone(struct store *store)
{
    return store->disk != NULL && store->disk->opened != store;
}

int store_begin(struct store *store)
{
    check(!store->open);
    if (is_gone(store))
        return fail(store, -EIO, "");
    if (store->broken != 0)
        return store->broken;
    store->open = true;
    return 0;
}

int store_put(struct store *store, uint8_t table, struct slice key, struct slice value)
{
    check(store->open);
    if (unit_put(&store->transaction, table, key, value) != 0)
        return no_memory(store);
    return change(store, UNIT_PUT, table, key, value);
}

int store_delete(struct store *store, uint8_t table, struct slice key)
{
    check(store->open);
    if (unit_delete(&store->transaction, table, key) != 0)
        return no_memory(store);
    return change(store, UNIT_DELETE, table, key, (struct slice){0});
}

static int write_transaction(struct store *store)
{
    size_t at = store->log_at;
    if (store->disk == NULL || store->transaction.used == 0)
        return 0;
    if (is_gone(store))
        return fail(store, -EIO, "");
    int error = store->broken;
    if (error == 0)
        error =
            append(store, store->area, store->generation, store->serial + 1, &at, operations_of(&store->transaction));
    if (error == 0)
        error = sync_area(store, store->area);
    if (error != 0) {
        if (store->broken == 0)
            sim_disk_clear(store->disk, store->area, store->log_at); /* the next one is written over it */
        return error;
    }
    store->serial++;
    store->log_at = at;
    return 0;
}

int store_commit(struct store *store)
{
    check(store->open);
    int error = write_transaction(store);
    if (error != 0) {
        store_rollback(store);
        return error;
    }
    forget_undo(store);
    unit_clear(&store->transaction);
    store->open = false;
    return 0;
}

void store_rollback(struct store *store)
{
    undo_all(store);
    unit_clear(&store->transaction);
    store->open = false;
}

int store_get(struct store *store, uint8_t table, struct slice key, struct slice *value)
{
    uint32_t place;
    const struct kept *kept = find(table_of(store, table), key, &place);
    if (kept == NULL)
        return 0;
    *value = value_of(kept);
    return 1;
}

int store_scan_begin(struct store *store, uint8_t table, struct slice after)
{
    uint32_t place;
    store->scan_table = table;
    store->scan_at = find(table_of(store, table), after, &place) != NULL ? place + 1 : place;
    return 0;
}

int store_scan_next(struct store *store, struct store_record *record)
{
    const struct kept_table *table = &store->table[store->scan_table];
    if (store->scan_at >= table->count)
        return 0;
    const struct kept *kept = table->items[store->scan_at++];
    *record = (struct store_record){.key = key_of(kept), .value = value_of(kept)};
    return 1;
}

void store_scan_end(struct store *store)
{
    store->scan_at = UINT32_MAX;
}

bool store_wants_tidying(const struct store *store)
{
    return store->disk != NULL && store->broken == 0 && store->log_at - store->tidied_at >= TIDY_BYTES_IDLE;
}

int store_tidy(struct store *store, bool idle)
{
    if (store->disk == NULL)
        return 0;
    if (is_gone(store))
        return fail(store, -EIO, "");
    if (store->broken != 0 || store->log_at - store->tidied_at < (idle ? TIDY_BYTES_IDLE : TIDY_BYTES_DUE))
        return store->broken;
    return rewrite(store);
}

int store_probe(struct store *store, uint32_t bytes)
{
    if (store->disk == NULL)
        return 0;
    if (is_gone(store))
        return fail(store, -EIO, "");
    if (store->broken != 0)
        return store->broken;
    uint8_t *zeros = calloc(1, bytes);
    if (zeros == NULL)
        return no_memory(store);
    int error = sim_disk_write(store->disk, store->area, store->log_at, slice_of(zeros, bytes));
    free(zeros);
    if (error != 0)
        fail(store, error, "sim: there is no room");
    if (!is_gone(store))
        sim_disk_clear(store->disk, store->area, store->log_at);
    return error;
}

const char *store_why(const struct store *store)
{
    return store->why;
}

bool store_is_broken(const struct store *store)
{
    return store->broken != 0;
}
