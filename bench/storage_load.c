/* SPDX-License-Identifier: MIT */
/* Owns the store and the file that ringcast-storage writes, and the loops that write them.
 * It never judges a figure.
 * Called by storage_main.c. */
#include "bench/storage_load.h"

#include "bench/bare.h"
#include "core/check.h"
#include "core/clock.h"
#include "shards/storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const tables[] = {"records", NULL};

static void on_answered(void *user, uint16_t origin)
{
    (void)origin;
    struct load *load = user;
    (void)sem_post(&load->answered);
}

static int open_store(struct load *load, const char *folder, struct buf *why)
{
    char path[PATH_MAX];
    struct store *store;
    (void)snprintf(path, sizeof path, "%s/ringcast-storage.db", folder);
    int error = store_open(&store, path, tables, why);
    if (error != 0)
        return error;
    error = storage_init(&load->storage, store, 1, on_answered, load);
    if (error == 0)
        error = storage_start(&load->storage, -1);
    return error;
}

int load_open(struct load *load, const char *folder, uint32_t bytes, uint32_t group, struct buf *why)
{
    char path[PATH_MAX];
    memset(load, 0, sizeof *load);
    load->bytes = bytes;
    load->value = malloc((size_t)bytes * group);
    (void)snprintf(path, sizeof path, "%s/ringcast-storage.bare", folder);
    load->bare = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (load->value == NULL || load->bare < 0 || sem_init(&load->answered, 0, 0) != 0) {
        buf_put_text(why, path);
        buf_put_text(why, ": cannot be made; a folder for files is wanted");
        return load->bare < 0 ? -errno : -ENOMEM;
    }
    memset(load->value, 'v', (size_t)bytes * group);
    return open_store(load, folder, why);
}

void load_close(struct load *load, const char *folder)
{
    static const char *const names[] = {".bare", ".db", ".db-wal", ".db.lock"};
    storage_stop(&load->storage);
    storage_destroy(&load->storage);
    (void)close(load->bare);
    free(load->value);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/ringcast-storage%s", folder, names[i]);
        (void)unlink(path);
    }
}

int64_t load_append(struct load *load, uint32_t records)
{
    return bare_append(load->bare, load->value, (size_t)load->bytes * records);
}

static struct storage_request *make_put(struct load *load)
{
    struct storage_request *request = calloc(1, sizeof *request);
    char key[32];
    check(request != NULL);
    (void)snprintf(key, sizeof key, "job-%016lx", (unsigned long)load->sequence++);
    request->kind = STORAGE_COMMIT;
    request->life = 1;
    int error = unit_put(&request->unit, 0, slice_text(key), slice_of(load->value, load->bytes));
    check(error == 0);
    return request;
}

/* Takes what has been answered, waits when nothing has; how many, or the status of one that failed. */
static int collect(struct load *load)
{
    struct storage_request *answer;
    int count = 0, error = 0;
    while ((answer = storage_take(&load->storage, 0)) == NULL)
        (void)sem_wait(&load->answered);
    for (; answer != NULL; answer = storage_take(&load->storage, 0)) {
        count++;
        error = answer->status != 0 ? answer->status : error;
        unit_release(&answer->unit);
        free(answer);
    }
    return error != 0 ? error : count;
}

int64_t load_put_many(struct load *load, uint32_t window, uint32_t total)
{
    uint32_t posted = 0, answered = 0;
    uint64_t began = clock_monotonic_ns();
    while (answered < total) {
        for (; posted < total && posted - answered < window; posted++)
            if (!storage_post(&load->storage, 0, make_put(load)))
                return -ENOBUFS;
        storage_ring(&load->storage, 0);
        int count = collect(load);
        if (count < 0)
            return count;
        answered += (uint32_t)count;
    }
    return (int64_t)(clock_monotonic_ns() - began);
}

int64_t load_put(struct load *load)
{
    return load_put_many(load, 1, 1);
}
