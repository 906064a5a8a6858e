/* SPDX-License-Identifier: MIT */
/* SQLite's way to the system with one operation that fails: the n-th write, sync, cut or opening of a file, counted
 * over all files. */
#ifndef RINGCAST_TESTS_FAULT_VFS_H
#define RINGCAST_TESTS_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind { FAULT_WRITE_FULL, FAULT_WRITE, FAULT_SYNC, FAULT_TRUNCATE, FAULT_OPEN, FAULT_READ, FAULT_KINDS };

struct fault_vfs {
    enum fault_kind kind; /* what fails */
    uint64_t at;          /* counted from 1; 0: nothing does */
    uint64_t seen[FAULT_KINDS];
    bool hit;
};

/* Takes the place of the default way in this process, for good; the plan may be changed at any time. */
struct fault_vfs *fault_vfs_install(void);
void fault_vfs_plan(struct fault_vfs *vfs, enum fault_kind kind, uint64_t at);

/* The n-th allocation of SQLite fails from now on, once; 0: none does. Whether one has failed since the last call.
 * The first call has to come before SQLite is used. */
bool fault_heap_plan(uint64_t at);

#endif
