/* SPDX-License-Identifier: MIT */
/* The operators' pages: health and metrics (the role operator_role). Any shard answers for all: statistics are readable
 * by anybody. */
#ifndef RINGCAST_SHARDS_ADMIN_H
#define RINGCAST_SHARDS_ADMIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What the pages say of the process; the server's, read by all shards. */
struct process_state {
    const char *version, *commit;
    uint64_t started_s; /* since 1970 */
    _Atomic bool reload_ok;
};

#endif
