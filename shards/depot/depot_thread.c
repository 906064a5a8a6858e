/* SPDX-License-Identifier: MIT */
/* Owns the lives of a depot: rounds of requests with one commit, what happens when that fails, and the loading of what
 * was kept. It never looks into a request. Shards post and take through it; the server makes and ends it. */
#include "shards/depot/depot_thread.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/log.h"
#include "shards/storage/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_MAX 64  /* requests that share a commit */
#define AGAIN_MS 1000 /* until another life is tried */
#define TABLE 0

static void add(struct depot_thread *thread, enum depot_count count, uint64_t value)
{
    atomic_fetch_add_explicit(&thread->counts[count], value, memory_order_relaxed);
}

uint64_t depot_thread_count(const struct depot_thread *thread, enum depot_count count)
{
    return atomic_load_explicit(&thread->counts[count], memory_order_relaxed);
}

static void note_sync(struct depot_thread *thread, uint64_t ns)
{
    add(thread, DEPOT_SYNC_NS, ns);
    if (ns > depot_thread_count(thread, DEPOT_SYNC_NS_MAX))
        atomic_store_explicit(&thread->counts[DEPOT_SYNC_NS_MAX], ns, memory_order_relaxed);
}

/* --- what a depot may do with its disk ---------------------------------------------------------------------------- */

static int on_create(void *user, const char *name)
{
    struct depot_thread *thread = user;
    return depot_files_create(&thread->files, name);
}

static int on_write(void *user, const char *name, uint64_t offset, struct slice bytes)
{
    struct depot_thread *thread = user;
    int error = depot_files_write(&thread->files, name, offset, bytes);
    add(thread, DEPOT_WRITTEN, error == 0 ? bytes.bytes : 0);
    return error;
}

static int on_read(void *user, const char *name, uint64_t offset, struct buf *out)
{
    struct depot_thread *thread = user;
    return depot_files_read(&thread->files, name, offset, out);
}

static int on_length(void *user, const char *name, uint64_t *bytes)
{
    struct depot_thread *thread = user;
    return depot_files_length(&thread->files, name, bytes);
}

static int on_remove(void *user, const char *name)
{
    struct depot_thread *thread = user;
    return depot_files_remove(&thread->files, name);
}

/* In the first life only: what a failed commit has left in the log the next process may find, and then it wants its file. */
static int on_sweep(void *user, depot_keeps_fn *keeps, void *state)
{
    struct depot_thread *thread = user;
    return depot_thread_count(thread, DEPOT_LIVES_LOST) == 0 ? depot_files_sweep(&thread->files, keeps, state) : 0;
}

static int on_place(void *user, const char *name, struct slice folder, struct slice path)
{
    struct depot_thread *thread = user;
    int error = depot_files_place(&thread->files, name, folder, path);
    add(thread, DEPOT_PLACED, error == 0);
    return error;
}

static int on_look(void *user, struct slice folder, struct slice path)
{
    struct depot_thread *thread = user;
    return depot_files_look(&thread->files, folder, path);
}

static int on_room(void *user, uint64_t *bytes)
{
    struct depot_thread *thread = user;
    return depot_files_room(&thread->files, bytes);
}

static int on_entropy(void *user, void *out, size_t bytes)
{
    (void)user;
    return clock_entropy(out, bytes);
}

/* A change that fails spoils the whole transaction: the store has rolled it back. */
static int changed(struct depot_thread *thread, int error)
{
    thread->damaged |= error != 0;
    return error;
}

static int begin(struct depot_thread *thread)
{
    if (thread->open || thread->damaged)
        return thread->damaged ? -EIO : 0;
    int error = store_begin(thread->store);
    thread->open = error == 0;
    return changed(thread, error);
}

static int on_put(void *user, struct slice key, struct slice value)
{
    struct depot_thread *thread = user;
    int error = begin(thread);
    return error != 0 ? error : changed(thread, store_put(thread->store, TABLE, key, value));
}

static int on_forget(void *user, struct slice key)
{
    struct depot_thread *thread = user;
    int error = begin(thread);
    return error != 0 ? error : changed(thread, store_delete(thread->store, TABLE, key));
}

/* --- lives -------------------------------------------------------------------------------------------------------- */

static void end_life(struct depot_thread *thread)
{
    if (thread->open)
        store_rollback(thread->store);
    thread->open = thread->damaged = false;
    if (thread->state == NULL)
        return;
    thread->depot->close(thread->state);
    free(thread->state);
    thread->state = NULL;
}

/* Files first: a record never says more than they hold. 0 or -errno. */
static int settle(struct depot_thread *thread)
{
    uint64_t from_ns = clock_monotonic_ns();
    int error = depot_files_sync(&thread->files);
    if (error == 0 && thread->damaged)
        error = -EIO;
    if (error == 0 && thread->open)
        error = store_commit(thread->store);
    if (error == 0 && thread->open)
        add(thread, DEPOT_COMMITS, 1);
    note_sync(thread, clock_monotonic_ns() - from_ns);
    if (error == 0)
        thread->open = false;
    return error;
}

static int load_all(struct depot_thread *thread, const char **why)
{
    struct store_record record;
    int more, error = store_scan_begin(thread->store, TABLE, slice_of(NULL, 0));
    *why = "cannot be read";
    if (error != 0)
        return error;
    while ((more = store_scan_next(thread->store, &record)) == 1 && error == 0)
        error = thread->depot->load(thread->state, record.key, record.value, why);
    store_scan_end(thread->store);
    return error != 0 ? error : more < 0 ? more : 0;
}

/* 0 or -errno, with a word about a record. */
static int begin_life(struct depot_thread *thread, const char **why)
{
    *why = "out of memory";
    thread->state = calloc(1, thread->depot->state_bytes);
    if (thread->state == NULL)
        return -ENOMEM;
    int error = thread->depot->open(thread->state, &thread->disk);
    if (error != 0) {
        free(thread->state);
        thread->state = NULL;
        return error;
    }
    error = load_all(thread, why);
    if (error == 0) {
        thread->depot->loaded(thread->state, clock_monotonic_ns() / 1000000, clock_wall_ms());
        *why = "what was on its way cannot be kept";
        error = settle(thread);
    }
    if (error != 0)
        end_life(thread);
    atomic_store_explicit(&thread->counts[DEPOT_LOST], error != 0, memory_order_relaxed);
    return error;
}

static void log_loss(struct depot_thread *thread, int error)
{
    struct log_line line;
    add(thread, DEPOT_LIVES_LOST, 1);
    log_begin(&line, LOG_ERROR, "files and records of uploads could not be kept; unanswered requests have failed");
    log_errno(&line, "error", -error);
    log_text(&line, "store", store_why(thread->store));
    log_end(&line);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct depot_task *depot_task_make(void *user)
{
    struct depot_task *task = malloc(sizeof *task);
    if (task == NULL)
        return NULL;
    task->node = (struct list_node){0};
    task->request = (struct depot_request){0};
    task->user = user;
    task->status = 200;
    task->reply = buf_of(task->reply_memory, sizeof task->reply_memory);
    task->failure = buf_of(task->failure_memory, sizeof task->failure_memory);
    task->request.reply = &task->reply;
    task->request.failure = &task->failure;
    return task;
}

void depot_task_free(struct depot_task *task)
{
    free(task);
}

bool depot_thread_post(struct depot_thread *thread, uint16_t origin, struct depot_task *task)
{
    task->origin = origin;
    return desk_post(&thread->desk, origin, task);
}

struct depot_task *depot_thread_take(struct depot_thread *thread, uint16_t origin)
{
    return desk_take(&thread->desk, origin);
}

static void note_answer(struct depot_thread *thread, struct depot_task *task, enum depot_answer answer)
{
    check(!task->reply.overflow && !task->failure.overflow);
    list_push_back(answer == DEPOT_DONE ? &thread->ready : &thread->going_on, &task->node);
}

static void set_time(struct depot_task *task)
{
    task->request.now_ms = clock_monotonic_ns() / 1000000;
    task->request.wall_ms = clock_wall_ms();
}

/* Runs what has been posted, as many as share a commit. */
static void run_requests(struct depot_thread *thread)
{
    struct depot_task *task;
    uint16_t origin;
    for (unsigned i = 0; i < ROUND_MAX && (task = desk_next(&thread->desk, &origin)) != NULL; i++) {
        if (thread->state == NULL) {
            task->status = 503;
            list_push_back(&thread->ready, &task->node);
            continue;
        }
        task->request.ticket = ++thread->tickets;
        set_time(task);
        note_answer(thread, task, thread->depot->request(thread->state, &task->request));
    }
}

/* One step of each that goes on. */
static void go_on(struct depot_thread *thread)
{
    struct list_node *last = thread->going_on.head.prev, *node;
    while (thread->state != NULL && (node = list_pop_front(&thread->going_on)) != NULL) {
        struct depot_task *task = list_entry(node, struct depot_task, node);
        set_time(task);
        note_answer(thread, task, thread->depot->later(thread->state, &task->request));
        if (node == last)
            break;
    }
}

static void answer_all(struct depot_thread *thread)
{
    struct list_node *node;
    while ((node = list_pop_front(&thread->ready)) != NULL) {
        struct depot_task *task = list_entry(node, struct depot_task, node);
        desk_answer(&thread->desk, task->origin, task);
    }
}

/* What none of them may say is taken back. */
static void fail_all(struct depot_thread *thread)
{
    struct list_node *node;
    while ((node = list_pop_front(&thread->going_on)) != NULL)
        list_push_back(&thread->ready, node);
    for (node = list_first(&thread->ready); node != NULL; node = list_next(&thread->ready, node)) {
        struct depot_task *task = list_entry(node, struct depot_task, node);
        buf_reset(&task->reply);
        buf_put(&task->reply, buf_slice(&task->failure));
    }
}

/* Lets the replies out, or the failures. */
static void say(struct depot_thread *thread)
{
    int error = thread->state == NULL ? 0 : settle(thread);
    if (error != 0) {
        log_loss(thread, error);
        end_life(thread);
        fail_all(thread);
    }
    answer_all(thread);
}

uint64_t depot_thread_round(struct depot_thread *thread)
{
    const char *why;
    if (thread->state == NULL && begin_life(thread, &why) != 0 && desk_is_stopping(&thread->desk))
        thread->state = NULL; /* what waits is answered all the same */
    run_requests(thread);
    uint64_t now_ms = clock_monotonic_ns() / 1000000;
    if (thread->state != NULL && thread->depot->due(thread->state) <= now_ms)
        thread->depot->timer(thread->state, now_ms, clock_wall_ms());
    say(thread);
    if (thread->state == NULL)
        return AGAIN_MS;
    if (!list_empty(&thread->going_on)) {
        go_on(thread);
        say(thread);
    }
    if (thread->state == NULL || !list_empty(&thread->going_on))
        return 0;
    uint64_t due_ms = thread->depot->due(thread->state);
    return due_ms == UINT64_MAX ? UINT64_MAX : due_ms > now_ms ? due_ms - now_ms : 1;
}

/* --- making and ending -------------------------------------------------------------------------------------------- */

int depot_thread_open(struct depot_thread *thread, const struct depot *depot, const char *root, uint16_t shards,
                      desk_answered_fn *answered, void *user, struct buf *why)
{
    static const char *const tables[] = {"files", NULL};
    char path[4096];
    const char *what;
    memset(thread, 0, sizeof *thread);
    thread->depot = depot;
    thread->disk = (struct depot_disk){.user = thread,
                                       .create = on_create,
                                       .write = on_write,
                                       .read = on_read,
                                       .length = on_length,
                                       .remove = on_remove,
                                       .sweep = on_sweep,
                                       .place = on_place,
                                       .look = on_look,
                                       .room = on_room,
                                       .put = on_put,
                                       .forget = on_forget,
                                       .entropy = on_entropy};
    list_init(&thread->ready);
    list_init(&thread->going_on);
    int error = depot_files_open(&thread->files, root, why);
    if (error != 0)
        return error;
    if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", root, DEPOT_STAGING, DEPOT_STORE) >= sizeof path)
        error = -ENAMETOOLONG;
    if (error == 0)
        error = store_open(&thread->store, path, tables, why);
    if (error != 0) {
        depot_files_close(&thread->files);
        return error;
    }
    error = desk_init(&thread->desk, shards, answered, user);
    what = "out of memory";
    if (error == 0 && (error = begin_life(thread, &what)) != 0)
        desk_destroy(&thread->desk);
    if (error == 0)
        return 0;
    buf_put_text(why, path);
    buf_put_text(why, ": ");
    buf_put_text(why, what);
    store_close(thread->store);
    depot_files_close(&thread->files);
    return error;
}

static uint64_t run_round(void *user)
{
    return depot_thread_round(user);
}

int depot_thread_start(struct depot_thread *thread)
{
    return desk_start(&thread->desk, "depot", run_round, thread);
}

void depot_thread_stop(struct depot_thread *thread)
{
    desk_stop(&thread->desk);
}

void depot_thread_close(struct depot_thread *thread)
{
    end_life(thread);
    desk_destroy(&thread->desk);
    store_close(thread->store);
    depot_files_close(&thread->files);
}
