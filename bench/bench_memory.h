/* SPDX-License-Identifier: MIT */
/* How much memory a process has, and how much the kernel uses for its connections. */
#ifndef RINGCAST_BENCH_MEMORY_H
#define RINGCAST_BENCH_MEMORY_H

#include "core/bytes.h"

struct memory {
    uint64_t resident_bytes;     /* pages of the process, shared ones in full */
    uint64_t proportional_bytes; /* shared pages divided by their users */
    uint64_t slab_bytes;         /* of the whole machine: sockets, files, inodes, ring tables */
    uint64_t socket_bytes;       /* of the whole machine: what waits in TCP sockets */
};

/* False: no such process. What this kernel does not tell is 0. */
bool memory_read(uint64_t pid, struct memory *memory);

/* "Name:   123 kB" in the text of smaps_rollup or meminfo, in bytes; 0 when it is not there. */
uint64_t memory_field(const char *text, const char *name);
/* The pages behind "mem" of sockstat's line "TCP:". */
uint64_t memory_tcp_pages(const char *text);

#endif
