/* SPDX-License-Identifier: MIT */
/* A unit: puts and deletes in one block of memory, in their order; what becomes one transaction, and the form in
 * which records travel between shards and storage. Layout of an operation, in the machine's own byte order (it never
 * leaves the process):
 *
 *     0  u8   kind     enum unit_kind
 *     1  u8   table
 *     2  u16  bytes of the key
 *     4  u32  bytes of the value (0 of a delete)
 *     8  key, value, and nothing between operations */
#ifndef RINGCAST_SHARDS_STORAGE_UNIT_H
#define RINGCAST_SHARDS_STORAGE_UNIT_H

#include "core/bytes.h"

enum unit_kind { UNIT_PUT = 1, UNIT_DELETE };

struct unit {
    uint8_t *data; /* malloc'd; NULL when nothing was ever appended */
    uint32_t used, capacity;
    uint32_t operations;
};

struct unit_operation {
    enum unit_kind kind;
    uint8_t table;
    struct slice key, value; /* borrowed from the unit */
};

#define UNIT_OPERATION_BYTES 8

/* Append. 0; -ENOMEM; -EMSGSIZE when key or value are beyond what a store takes (store.h) or the unit beyond 4 GiB:
 * the unit is then as it was before. */
int unit_put(struct unit *unit, uint8_t table, struct slice key, struct slice value);
int unit_delete(struct unit *unit, uint8_t table, struct slice key);
/* The operation at *at, which moves on; false behind the last. Begin with *at = 0. */
bool unit_next(const struct unit *unit, uint32_t *at, struct unit_operation *operation);
/* Empty, its memory kept. */
void unit_clear(struct unit *unit);
/* Gives the memory back; the unit is empty and may be used again. */
void unit_release(struct unit *unit);

#endif
