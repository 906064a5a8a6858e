/* SPDX-License-Identifier: MIT */
/* Owns the layout of units: appending operations and pulling them out again.
 * It never interprets a key or a value and never sends anything.
 * Called by shards, which fill units and read pieces of a scan, and by storage, which does it the other way round. */
#include "shards/storage/unit.h"

#include "core/check.h"
#include "core/limits.h"

#include <errno.h>
#include <stdlib.h>

#define UNIT_BYTES_MIN 512U

static int grow(struct unit *unit, uint64_t bytes)
{
    uint64_t wanted = unit->used + bytes;
    if (wanted > UINT32_MAX)
        return -EMSGSIZE;
    if (wanted <= unit->capacity)
        return 0;
    uint64_t capacity = unit->capacity * (uint64_t)2;
    capacity = capacity < UNIT_BYTES_MIN ? UNIT_BYTES_MIN : capacity;
    capacity = capacity < wanted ? wanted : capacity > UINT32_MAX ? UINT32_MAX : capacity;
    uint8_t *data = realloc(unit->data, capacity);
    if (data == NULL)
        return -ENOMEM;
    unit->data = data;
    unit->capacity = (uint32_t)capacity;
    return 0;
}

static void put_bytes(struct unit *unit, const void *data, size_t bytes)
{
    if (bytes > 0)
        memcpy(unit->data + unit->used, data, bytes);
    unit->used += (uint32_t)bytes;
}

static int append(struct unit *unit, enum unit_kind kind, uint8_t table, struct slice key, struct slice value)
{
    if (key.bytes == 0 || key.bytes > STORE_KEY_BYTES_MAX || value.bytes > STORE_VALUE_BYTES_MAX)
        return -EMSGSIZE;
    int error = grow(unit, UNIT_OPERATION_BYTES + key.bytes + value.bytes);
    if (error != 0)
        return error;
    uint8_t head[UNIT_OPERATION_BYTES] = {(uint8_t)kind, table};
    uint16_t key_bytes = (uint16_t)key.bytes;
    uint32_t value_bytes = (uint32_t)value.bytes;
    memcpy(head + 2, &key_bytes, sizeof key_bytes);
    memcpy(head + 4, &value_bytes, sizeof value_bytes);
    put_bytes(unit, head, sizeof head);
    put_bytes(unit, key.data, key.bytes);
    put_bytes(unit, value.data, value.bytes);
    unit->operations++;
    return 0;
}

int unit_put(struct unit *unit, uint8_t table, struct slice key, struct slice value)
{
    return append(unit, UNIT_PUT, table, key, value);
}

int unit_delete(struct unit *unit, uint8_t table, struct slice key)
{
    return append(unit, UNIT_DELETE, table, key, (struct slice){0});
}

bool unit_next(const struct unit *unit, uint32_t *at, struct unit_operation *operation)
{
    if (*at >= unit->used)
        return false;
    check_op(unit->used - *at, >=, UNIT_OPERATION_BYTES);
    const uint8_t *head = unit->data + *at;
    uint16_t key_bytes;
    uint32_t value_bytes;
    memcpy(&key_bytes, head + 2, sizeof key_bytes);
    memcpy(&value_bytes, head + 4, sizeof value_bytes);
    check_op((uint64_t)UNIT_OPERATION_BYTES + key_bytes + value_bytes, <=, unit->used - *at);
    check(head[0] == UNIT_PUT || head[0] == UNIT_DELETE);
    operation->kind = (enum unit_kind)head[0];
    operation->table = head[1];
    operation->key = slice_of(head + UNIT_OPERATION_BYTES, key_bytes);
    operation->value = slice_of(head + UNIT_OPERATION_BYTES + key_bytes, value_bytes);
    *at += UNIT_OPERATION_BYTES + key_bytes + value_bytes;
    return true;
}

void unit_clear(struct unit *unit)
{
    unit->used = 0;
    unit->operations = 0;
}

void unit_release(struct unit *unit)
{
    free(unit->data);
    *unit = (struct unit){0};
}
