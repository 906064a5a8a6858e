/* SPDX-License-Identifier: MIT */
/* Owns the steps of storage: which requests share a transaction, when it is synced, who is answered, and what follows
 * from a failure. It never answers before the sync, never waits for anything but the store, and knows no service.
 * Called by its thread (storage_thread.c) or by the simulation.
 *
 *             nothing waits              units were applied
 *     GATHERS -------------> (sleeps)    ------------------> SYNCS --+
 *        |  ^                                                        |
 *        |  +------------ TIDIES <------------- ANSWERS <------------+
 *        +--------------- only reads ------------->^
 *
 * Units are applied, and records read, in the order in which a shard has posted them, inside the one transaction: so
 * a read sees what it must, and waits for the sync like everything else. When the transaction fails, its reads are
 * done again without it. */
#include "shards/storage/storage.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "shards/storage/store.h"

#include <errno.h>

#define PROBE_BYTES_EXTRA (64U << 10)

static void count(struct storage *storage, enum storage_count which, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&storage->counts[which], memory_order_relaxed);
    atomic_store_explicit(&storage->counts[which], now + n, memory_order_relaxed);
}

/* --- the state ---------------------------------------------------------------------------------------------------- */

static void log_state(const struct storage *storage, enum storage_state state, int error)
{
    struct log_line line;
    if (state == STORAGE_WORKING) {
        log_begin(&line, LOG_WARN, "the store works again");
    } else {
        log_begin(&line, LOG_ERROR, "the store keeps nothing: requests that need it are refused");
        log_text(&line, "why", store_why(storage->store));
        log_errno(&line, "error", error);
        log_text(&line, "passes",
                 store_is_broken(storage->store) ? "no, the server has to be started anew" : "by itself");
    }
    log_end(&line);
}

/* What the last attempt to commit says about the store. */
static void set_state(struct storage *storage, int error)
{
    enum storage_state state = error == 0 ? STORAGE_WORKING : error == -ENOSPC ? STORAGE_FULL : STORAGE_FAILED;
    uint32_t condition = (uint32_t)state << 16 | (uint32_t)-error;
    uint32_t before = atomic_load_explicit(&storage->condition, memory_order_relaxed);
    if (state != STORAGE_WORKING)
        storage->retry_ms = storage->now_ms + STORAGE_RETRY_MS;
    if (condition == before)
        return;
    atomic_store_explicit(&storage->condition, condition, memory_order_relaxed);
    log_state(storage, state, error);
}

static bool wants_probe(const struct storage *storage)
{
    return storage_state(storage, NULL) != STORAGE_WORKING && !store_is_broken(storage->store);
}

static enum storage_count reason_of(int error)
{
    switch (error) {
    case -ENOSPC:
        return STORAGE_REFUSED_FULL;
    case -EROFS:
        return STORAGE_REFUSED_ROFS;
    case -EIO:
    case -EBADMSG:
        return STORAGE_REFUSED_IO;
    default:
        return STORAGE_REFUSED_OTHER;
    }
}

/* --- gathering ---------------------------------------------------------------------------------------------------- */

/* At a stop nothing may be left behind for want of room. */
static bool has_reply_room(const struct storage *storage, const struct storage_port *port)
{
    if (atomic_load_explicit(&storage->stopping, memory_order_relaxed))
        return true;
    uint64_t taken = atomic_load_explicit(&port->reply_bytes_taken, memory_order_acquire);
    return port->reply_bytes_given - taken < STORAGE_REPLY_BYTES_MAX;
}

/* The port's next request, or NULL when there is none. */
static struct storage_request *next_of(struct storage_port *port)
{
    struct spsc_item item;
    if (port->held == NULL && spsc_pop(&port->in, &item))
        port->held = (struct storage_request *)(uintptr_t)item.words[0];
    return port->held;
}

/* Whether the request has to wait for a later round, and everything behind it. */
static bool has_to_wait(struct storage *storage, struct storage_port *port, const struct storage_request *request)
{
    const struct storage_group *group = &storage->group;
    if (request->kind == STORAGE_COMMIT)
        return group->bytes > 0 && group->bytes + request->bytes > STORAGE_GROUP_BYTES_MAX;
    if (group->read_bytes >= STORAGE_GROUP_READS_MAX)
        return true;
    atomic_store_explicit(&port->wants_room, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with storage_take's */
    if (!has_reply_room(storage, port))
        return true;
    atomic_store_explicit(&port->wants_room, false, memory_order_relaxed);
    return false;
}

static int apply_operation(struct store *store, const struct unit_operation *operation)
{
    return operation->kind == UNIT_PUT ? store_put(store, operation->table, operation->key, operation->value)
                                       : store_delete(store, operation->table, operation->key);
}

static void apply_unit(struct storage *storage, const struct unit *unit)
{
    struct storage_group *group = &storage->group;
    struct unit_operation operation;
    if (!group->open)
        group->error = store_begin(storage->store);
    group->open = group->open || group->error == 0;
    for (uint32_t at = 0; group->error == 0 && unit_next(unit, &at, &operation);)
        group->error = apply_operation(storage->store, &operation);
    if (group->error != 0) {
        store_rollback(storage->store);
        group->open = false;
    }
}

static void gather_commit(struct storage *storage, struct storage_port *port, struct storage_request *request)
{
    struct storage_group *group = &storage->group;
    if (request->life <= port->life_failed[request->stream]) {
        request->status = -ECANCELED;
        count(storage, STORAGE_REFUSED_LIFE, 1);
        return;
    }
    request->status = 0;
    group->units++;
    group->operations += request->unit.operations;
    group->bytes += request->bytes;
    if (group->error == 0)
        apply_unit(storage, &request->unit);
}

static int fetch(struct store *store, struct storage_request *request)
{
    struct slice key = slice_of(request->key, request->key_bytes), value;
    int found = store_get(store, request->table, key, &value);
    if (found <= 0)
        return found < 0 ? found : -ENOENT;
    return unit_put(&request->unit, request->table, key, value);
}

static uint32_t piece_bytes(const struct storage_request *request)
{
    return request->bytes_max < STORAGE_PIECE_BYTES_MAX ? request->bytes_max : STORAGE_PIECE_BYTES_MAX;
}

static int scan(struct store *store, struct storage_request *request)
{
    struct store_record record;
    int found = store_scan_begin(store, request->table, slice_of(request->key, request->key_bytes));
    if (found == 0)
        found = store_scan_next(store, &record);
    while (found == 1) {
        int error = unit_put(&request->unit, request->table, record.key, record.value);
        found = error != 0 ? error : request->unit.used >= piece_bytes(request) ? 2 : store_scan_next(store, &record);
    }
    store_scan_end(store);
    request->more = found == 2;
    return found < 0 ? found : 0;
}

static void read_for(struct storage *storage, struct storage_request *request)
{
    unit_clear(&request->unit);
    request->status = request->kind == STORAGE_FETCH ? fetch(storage->store, request) : scan(storage->store, request);
    if (request->status < 0)
        unit_release(&request->unit);
}

static void add(struct storage_group *group, struct storage_request *request)
{
    request->next = NULL;
    if (group->last == NULL)
        group->first = request;
    else
        group->last->next = request;
    group->last = request;
}

static void gather_from(struct storage *storage, struct storage_port *port)
{
    struct storage_request *request;
    while ((request = next_of(port)) != NULL && !has_to_wait(storage, port, request)) {
        port->held = NULL;
        if (request->kind == STORAGE_COMMIT) {
            gather_commit(storage, port, request);
        } else {
            read_for(storage, request);
            storage->group.read_bytes += request->unit.used;
            port->reply_bytes_given += request->unit.used;
        }
        add(&storage->group, request);
    }
}

static void gather(struct storage *storage)
{
    storage->group = (struct storage_group){0};
    for (uint16_t i = 0; i < storage->count; i++)
        gather_from(storage, &storage->ports[(storage->turn + i) % storage->count]);
    storage->turn = (uint16_t)((storage->turn + 1) % storage->count);
    if (storage->group.first == NULL)
        return;
    storage->active_ms = storage->now_ms;
    storage->phase = storage->group.units > 0 ? STORAGE_SYNCS : STORAGE_ANSWERS;
}

/* --- the sync ----------------------------------------------------------------------------------------------------- */

static int commit(struct storage *storage)
{
    uint64_t began = clock_monotonic_ns();
    int error = store_commit(storage->store);
    uint64_t took = clock_monotonic_ns() - began;
    count(storage, STORAGE_SYNC_NS, took);
    if (took > storage_count(storage, STORAGE_SYNC_NS_MAX))
        atomic_store_explicit(&storage->counts[STORAGE_SYNC_NS_MAX], took, memory_order_relaxed);
    return error;
}

static void count_group(struct storage *storage)
{
    const struct storage_group *group = &storage->group;
    count(storage, STORAGE_COMMITS, 1);
    count(storage, STORAGE_UNITS, group->units);
    count(storage, STORAGE_OPERATIONS, group->operations);
    count(storage, STORAGE_UNIT_BYTES, group->bytes);
}

/* Nothing of the group is kept: its units fail, and what their streams have sent behind them. Its reads may have seen
 * them. */
static void fail_group(struct storage *storage, int error)
{
    struct storage_group *group = &storage->group;
    for (struct storage_request *request = group->first; request != NULL; request = request->next) {
        struct storage_port *port = &storage->ports[request->origin];
        if (request->kind != STORAGE_COMMIT) {
            port->reply_bytes_given -= request->unit.used;
            read_for(storage, request);
            port->reply_bytes_given += request->unit.used;
        } else if (request->status == 0) {
            request->status = error;
            if (request->life > port->life_failed[request->stream])
                port->life_failed[request->stream] = request->life;
            count(storage, reason_of(error), 1);
        }
    }
    storage->failed_bytes = (uint32_t)(group->bytes < STORAGE_GROUP_BYTES_MAX ? group->bytes : STORAGE_GROUP_BYTES_MAX);
}

static void sync_group(struct storage *storage)
{
    struct storage_group *group = &storage->group;
    int error = group->error != 0 ? group->error : commit(storage);
    group->open = false;
    if (error == 0)
        count_group(storage);
    set_state(storage, error); /* before the reads write over the store's line about it */
    if (error != 0)
        fail_group(storage, error);
    storage->phase = STORAGE_ANSWERS;
}

/* --- answering ---------------------------------------------------------------------------------------------------- */

static void count_read(struct storage *storage, const struct storage_request *request)
{
    count(storage, request->kind == STORAGE_FETCH ? STORAGE_FETCHES : STORAGE_PIECES, 1);
    count(storage, STORAGE_READ_BYTES, request->unit.used);
    if (request->status < 0 && request->status != -ENOENT)
        count(storage, STORAGE_FAILED_READS, 1);
}

/* As soon as it is pushed, the request is its maker's again. */
static void answer(struct storage *storage, struct storage_request *request)
{
    struct storage_port *port = &storage->ports[request->origin];
    if (request->kind != STORAGE_COMMIT)
        count_read(storage, request);
    struct spsc_item item = {.words = {(uintptr_t)request}};
    bool pushed = spsc_push(&port->out, &item);
    check(pushed);
    port->answered = true;
}

static void ring_shards(struct storage *storage)
{
    atomic_thread_fence(memory_order_seq_cst);
    for (uint16_t i = 0; i < storage->count; i++) {
        if (!storage->ports[i].answered)
            continue;
        storage->ports[i].answered = false;
        count(storage, STORAGE_DOORBELLS, 1);
        storage->answered(storage->user, i);
    }
}

static void answer_group(struct storage *storage)
{
    struct storage_request *request = storage->group.first;
    while (request != NULL) {
        struct storage_request *next = request->next;
        answer(storage, request);
        request = next;
    }
    storage->group = (struct storage_group){0};
    ring_shards(storage);
    storage->phase = STORAGE_TIDIES;
}

/* --- upkeep ------------------------------------------------------------------------------------------------------- */

static void probe(struct storage *storage)
{
    uint64_t began = clock_monotonic_ns();
    int error = store_probe(storage->store, storage->failed_bytes + PROBE_BYTES_EXTRA);
    count(storage, STORAGE_TIDY_NS, clock_monotonic_ns() - began);
    count(storage, error == 0 ? STORAGE_CHECKPOINTS : STORAGE_FAILED_TIDYING, 1);
    set_state(storage, error);
}

static void log_tidying(const struct storage *storage, int error)
{
    struct log_line line;
    log_begin(&line, LOG_WARN, "the store's log could not be emptied; it grows, nothing is lost");
    log_text(&line, "why", store_why(storage->store));
    log_errno(&line, "error", error);
    log_end(&line);
}

/* A checkpoint that fails for want of room takes nothing from anybody; one that breaks the store ends the commits. */
static void tidy(struct storage *storage, bool idle)
{
    bool wanted = store_wants_tidying(storage->store);
    uint64_t began = clock_monotonic_ns();
    int error = store_tidy(storage->store, idle);
    if (error != 0 && storage->tidy_ms == 0)
        log_tidying(storage, error);
    storage->tidy_ms = error != 0 ? storage->now_ms + STORAGE_RETRY_MS : 0;
    if (error != 0) {
        count(storage, STORAGE_FAILED_TIDYING, 1);
    } else if (wanted && !store_wants_tidying(storage->store)) {
        count(storage, STORAGE_CHECKPOINTS, 1);
        count(storage, STORAGE_TIDY_NS, clock_monotonic_ns() - began);
    }
}

/* Reads and checkpoints break a store too; what its every commit would say by now is what its upkeep says. */
static void notice_broken(struct storage *storage)
{
    if (store_is_broken(storage->store) && storage_state(storage, NULL) == STORAGE_WORKING)
        set_state(storage, store_tidy(storage->store, false));
}

static bool is_probe_due(const struct storage *storage)
{
    return wants_probe(storage) && storage->now_ms >= storage->retry_ms;
}

static void tidy_between(struct storage *storage)
{
    if (is_probe_due(storage))
        probe(storage);
    else if (!store_is_broken(storage->store) && storage->now_ms >= storage->tidy_ms)
        tidy(storage, false);
    notice_broken(storage);
    storage->phase = STORAGE_GATHERS;
}

/* When the log is to be tidied, if nothing comes before; 0: there is nothing to tidy. */
static uint64_t idle_tidy_ms(const struct storage *storage)
{
    if (!store_wants_tidying(storage->store))
        return 0;
    uint64_t due = storage->active_ms + STORAGE_IDLE_MS;
    return due > storage->tidy_ms ? due : storage->tidy_ms;
}

static void tidy_idle(struct storage *storage)
{
    uint64_t due = idle_tidy_ms(storage);
    if (is_probe_due(storage))
        probe(storage);
    else if (due != 0 && storage->now_ms >= due)
        tidy(storage, true);
    notice_broken(storage);
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

bool storage_tick(struct storage *storage, uint64_t now_ms)
{
    storage->now_ms = now_ms;
    switch (storage->phase) {
    case STORAGE_GATHERS:
        gather(storage);
        if (storage->phase != STORAGE_GATHERS)
            return true;
        tidy_idle(storage);
        return false;
    case STORAGE_SYNCS:
        sync_group(storage);
        return true;
    case STORAGE_ANSWERS:
        answer_group(storage);
        return true;
    case STORAGE_TIDIES:
        tidy_between(storage);
        return true;
    }
    return false;
}

uint64_t storage_wake_ms(const struct storage *storage)
{
    uint64_t tidying = idle_tidy_ms(storage);
    if (!wants_probe(storage))
        return tidying;
    return tidying != 0 && tidying < storage->retry_ms ? tidying : storage->retry_ms;
}

bool storage_is_quiet(const struct storage *storage)
{
    if (storage->phase != STORAGE_GATHERS)
        return false;
    for (uint16_t i = 0; i < storage->count; i++) {
        const struct storage_port *port = &storage->ports[i];
        bool waits = port->held != NULL ? port->held->kind == STORAGE_COMMIT || has_reply_room(storage, port)
                                        : spsc_count(&port->in) > 0;
        if (waits)
            return false;
    }
    return true;
}
