/* SPDX-License-Identifier: MIT */
/* Which hashes blocks of a height had: two of them are a fork. Remembered are the FORK_HEIGHTS_MAX heights that
 * came last, and FORK_HASHES_MAX hashes of each; further ones are not told as forks. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_AITBC_FORKS_H
#define RINGCAST_PROTOCOL_DIALECTS_AITBC_FORKS_H

#include "core/buf.h"
#include "core/list.h"
#include "core/map.h"

#define FORK_HEIGHTS_MAX 1000
#define FORK_HASHES_MAX 16
#define FORK_HASH_BYTES_MAX 128

struct forks {
    struct map by_height;
    struct list heights; /* oldest first */
    uint32_t count;
};

struct fork_height;

void forks_init(struct forks *forks, struct siphash_key key);
void forks_close(struct forks *forks);

/* A block has come. The height, when this hash (escapes resolved) competes with others that were there before; else, or
 * when memory is out, NULL. */
const struct fork_height *forks_add(struct forks *forks, uint64_t height, struct slice hash);
/* Appends {"type":"fork_detected","height":...,"hashes":[...],"timestamp":"..."}, the hashes in the order in which they
 * came. */
void forks_print(const struct fork_height *height, uint64_t wall_ms, struct buf *out);

#endif
