/* SPDX-License-Identifier: MIT */
/* Owns the memory of bytes that wait.
 * It never looks at them.
 * Called by sim_wire.c and sim_tls.c. */
#include "tests/sim/sim_bytes.h"

#include "core/check.h"

#include <stdlib.h>

static void compact(struct sim_bytes *bytes)
{
    if (bytes->at == 0)
        return;
    memmove(bytes->data, bytes->data + bytes->at, bytes->used - bytes->at);
    bytes->used -= bytes->at;
    bytes->at = 0;
}

void sim_bytes_put(struct sim_bytes *bytes, const void *data, size_t count)
{
    if (count == 0)
        return;
    if (bytes->used + count > bytes->capacity)
        compact(bytes);
    if (bytes->used + count > bytes->capacity) {
        size_t capacity = bytes->capacity == 0 ? 1024 : bytes->capacity;
        while (capacity < bytes->used + count)
            capacity *= 2;
        bytes->data = realloc(bytes->data, capacity);
        check(bytes->data != NULL);
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->used, data, count);
    bytes->used += count;
}

struct slice sim_bytes_waiting(const struct sim_bytes *bytes)
{
    return slice_skip(slice_of(bytes->data, bytes->used), bytes->at);
}

void sim_bytes_free(struct sim_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct sim_bytes){0};
}
