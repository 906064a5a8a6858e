/* SPDX-License-Identifier: MIT */
/* What another process has used, read from /proc. */
#ifndef RINGCAST_BENCH_PROCESS_H
#define RINGCAST_BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds on a CPU of all its threads, those of its io_uring workers included. False: no such process. */
bool process_cpu_ns(uint64_t pid, uint64_t *ns);

#endif
