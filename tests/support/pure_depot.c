/* SPDX-License-Identifier: MIT */
/* Owns a disk in memory and the running of a depot on it, for tests and harnesses that have no thread. It knows no
 * dialect. */
#include "tests/support/pure_depot.h"

#include "core/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Whether this change is the one that fails. */
static int change(struct pure_depot *pure)
{
    return ++pure->operations == pure->fails_at ? pure->error : 0;
}

static struct pure_file *find(const struct pure_depot *pure, const char *name, bool placed)
{
    for (size_t i = 0; i < pure->file_count; i++)
        if (pure->files[i].placed == placed && strcmp(pure->files[i].name, name) == 0)
            return &pure->files[i];
    return NULL;
}

static void take_out(struct pure_depot *pure, struct pure_file *file)
{
    free(file->name);
    free(file->data);
    *file = pure->files[--pure->file_count];
}

static int on_create(void *user, const char *name)
{
    struct pure_depot *pure = user;
    struct pure_file *file = find(pure, name, false);
    int error = change(pure);
    if (error != 0)
        return error;
    if (file == NULL) {
        pure->files = realloc(pure->files, (pure->file_count + 1) * sizeof *pure->files);
        check(pure->files != NULL);
        file = &pure->files[pure->file_count++];
        *file = (struct pure_file){.name = strdup(name)};
    }
    file->bytes = 0;
    return 0;
}

static int on_write(void *user, const char *name, uint64_t offset, struct slice bytes)
{
    struct pure_depot *pure = user;
    struct pure_file *file = find(pure, name, false);
    int error = change(pure);
    if (error != 0 || file == NULL)
        return error != 0 ? error : -ENOENT;
    size_t end = (size_t)offset + bytes.bytes;
    if (end > file->capacity) {
        file->data = realloc(file->data, end);
        check(file->data != NULL);
        memset(file->data + file->capacity, 0, end - file->capacity);
        file->capacity = end;
    }
    if (bytes.bytes > 0)
        memcpy(file->data + offset, bytes.data, bytes.bytes);
    file->bytes = end > file->bytes ? end : file->bytes;
    return 0;
}

static int on_read(void *user, const char *name, uint64_t offset, struct buf *out)
{
    const struct pure_file *file = find(user, name, false);
    if (file == NULL)
        return -ENOENT;
    size_t left = offset < file->bytes ? file->bytes - (size_t)offset : 0, room = out->capacity - out->used;
    if (left > 0)
        buf_put(out, slice_of(file->data + offset, left < room ? left : room));
    return 0;
}

static int on_length(void *user, const char *name, uint64_t *bytes)
{
    const struct pure_file *file = find(user, name, false);
    *bytes = file == NULL ? 0 : file->bytes;
    return file == NULL ? -ENOENT : 0;
}

static int on_remove(void *user, const char *name)
{
    struct pure_depot *pure = user;
    struct pure_file *file = find(pure, name, false);
    int error = change(pure);
    if (error == 0 && file != NULL)
        take_out(pure, file);
    return error;
}

static int on_sweep(void *user, depot_keeps_fn *keeps, void *state)
{
    struct pure_depot *pure = user;
    for (size_t i = pure->file_count; i-- > 0;)
        if (!pure->files[i].placed && !keeps(state, pure->files[i].name))
            take_out(pure, &pure->files[i]);
    return 0;
}

static int on_look(void *user, struct slice folder, struct slice path)
{
    const struct pure_depot *pure = user;
    char target[1500];
    snprintf(target, sizeof target, "%.*s/%.*s", (int)folder.bytes, (const char *)folder.data, (int)path.bytes,
             (const char *)path.data);
    size_t bytes = strlen(pure->link);
    return bytes > 0 && strncmp(target, pure->link, bytes) == 0 && (target[bytes] == '\0' || target[bytes] == '/')
               ? -ELOOP
               : 0;
}

static int on_place(void *user, const char *name, struct slice folder, struct slice path)
{
    struct pure_depot *pure = user;
    char target[1500];
    int error = change(pure);
    if (error == 0)
        error = on_look(user, folder, path);
    if (error != 0)
        return error;
    snprintf(target, sizeof target, "%.*s/%.*s", (int)folder.bytes, (const char *)folder.data, (int)path.bytes,
             (const char *)path.data);
    struct pure_file *former = find(pure, target, true);
    if (find(pure, name, false) == NULL)
        return former == NULL ? -ENOENT : 0;
    if (former != NULL)
        take_out(pure, former);
    struct pure_file *file = find(pure, name, false);
    free(file->name);
    file->name = strdup(target);
    file->placed = true;
    return 0;
}

static int on_room(void *user, uint64_t *bytes)
{
    const struct pure_depot *pure = user;
    *bytes = pure->room;
    return 0;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static struct pure_entry *find_entry(const struct pure_depot *pure, struct slice key)
{
    for (size_t i = 0; i < pure->entry_count; i++)
        if (slice_equal(slice_of(pure->entries[i].key, pure->entries[i].key_bytes), key))
            return &pure->entries[i];
    return NULL;
}

static uint8_t *copy(struct slice bytes)
{
    uint8_t *memory = malloc(bytes.bytes + 1);
    check(memory != NULL);
    if (bytes.bytes > 0)
        memcpy(memory, bytes.data, bytes.bytes);
    return memory;
}

static int on_put(void *user, struct slice key, struct slice value)
{
    struct pure_depot *pure = user;
    struct pure_entry *entry = find_entry(pure, key);
    int error = change(pure);
    if (error != 0)
        return error;
    if (entry == NULL) {
        pure->entries = realloc(pure->entries, (pure->entry_count + 1) * sizeof *pure->entries);
        check(pure->entries != NULL);
        entry = &pure->entries[pure->entry_count++];
        *entry = (struct pure_entry){.key = copy(key), .key_bytes = key.bytes};
    }
    free(entry->value);
    entry->value = copy(value);
    entry->value_bytes = value.bytes;
    return 0;
}

static int on_forget(void *user, struct slice key)
{
    struct pure_depot *pure = user;
    struct pure_entry *entry = find_entry(pure, key);
    int error = change(pure);
    if (error != 0 || entry == NULL)
        return error;
    free(entry->key);
    free(entry->value);
    *entry = pure->entries[--pure->entry_count];
    return 0;
}

static int on_entropy(void *user, void *out, size_t bytes)
{
    struct pure_depot *pure = user;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)random_u64(&pure->random);
    return 0;
}

/* --- lives -------------------------------------------------------------------------------------------------------- */

void pure_depot_init(struct pure_depot *pure, const struct depot *depot, uint64_t seed)
{
    memset(pure, 0, sizeof *pure);
    pure->depot = depot;
    pure->room = UINT64_C(1) << 40;
    pure->error = -EIO;
    random_init(&pure->random, seed);
    pure->disk = (struct depot_disk){.user = pure,
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
}

static void end_life(struct pure_depot *pure)
{
    if (pure->state == NULL)
        return;
    pure->depot->close(pure->state);
    free(pure->state);
    pure->state = NULL;
}

void pure_depot_free(struct pure_depot *pure)
{
    end_life(pure);
    while (pure->file_count > 0)
        take_out(pure, &pure->files[0]);
    for (size_t i = 0; i < pure->entry_count; i++) {
        free(pure->entries[i].key);
        free(pure->entries[i].value);
    }
    free(pure->entries);
    free(pure->files);
}

static int by_key(const void *a, const void *b)
{
    const struct pure_entry *one = a, *other = b;
    size_t common = one->key_bytes < other->key_bytes ? one->key_bytes : other->key_bytes;
    int order = memcmp(one->key, other->key, common);
    return order != 0 ? order : (one->key_bytes > other->key_bytes) - (one->key_bytes < other->key_bytes);
}

void pure_depot_life(struct pure_depot *pure, uint64_t now_ms, uint64_t wall_ms)
{
    const char *why;
    end_life(pure);
    pure->state = calloc(1, pure->depot->state_bytes);
    check(pure->state != NULL);
    check(pure->depot->open(pure->state, &pure->disk) == 0);
    if (pure->entry_count > 0)
        qsort(pure->entries, pure->entry_count, sizeof *pure->entries, by_key);
    for (size_t i = 0; i < pure->entry_count; i++) {
        const struct pure_entry *entry = &pure->entries[i];
        int error = pure->depot->load(pure->state, slice_of(entry->key, entry->key_bytes),
                                      slice_of(entry->value, entry->value_bytes), &why);
        check_op(error, ==, 0);
    }
    pure->depot->loaded(pure->state, now_ms, wall_ms);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

void pure_depot_ask(struct pure_depot *pure, uint32_t kind, uint64_t connection, struct slice head, struct slice body,
                    uint64_t now_ms, uint64_t wall_ms, struct buf *reply)
{
    uint8_t memory[DEPOT_FAILURE_BYTES_MAX], *mutable = copy(body);
    struct buf failure = buf_of(memory, sizeof memory);
    struct depot_request request = {.kind = kind,
                                    .connection = connection,
                                    .head = head,
                                    .body = {mutable, body.bytes},
                                    .ticket = ++pure->tickets,
                                    .now_ms = now_ms,
                                    .wall_ms = wall_ms,
                                    .reply = reply,
                                    .failure = &failure};
    enum depot_answer answer = pure->depot->request(pure->state, &request);
    while (answer == DEPOT_LATER)
        answer = pure->depot->later(pure->state, &request);
    check(!failure.overflow && !reply->overflow);
    free(mutable);
}

const struct pure_file *pure_depot_file(const struct pure_depot *pure, const char *target)
{
    return find(pure, target, true);
}

size_t pure_depot_staged(const struct pure_depot *pure)
{
    size_t count = 0;
    for (size_t i = 0; i < pure->file_count; i++)
        count += !pure->files[i].placed;
    return count;
}

void pure_depot_lose(struct pure_depot *pure, const char *name)
{
    struct pure_file *file = find(pure, name, false);
    check(file != NULL);
    take_out(pure, file);
}
