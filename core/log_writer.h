/* SPDX-License-Identifier: MIT */
/* The thread that writes log lines, so that nobody else waits for whoever reads them. */
#ifndef RINGCAST_CORE_LOG_WRITER_H
#define RINGCAST_CORE_LOG_WRITER_H

#include "core/bytes.h"

/* Starts it; until then log_end writes by itself. 0 or -errno. */
int log_writer_start(void);
/* Writes what waits, for `ms` at most, and ends the thread. False: whoever reads did not take all of it in time; then
 * the thread stays where it is until the process ends, and what is logged from now on is dropped. Nothing when it
 * does not run. */
bool log_writer_stop(uint64_t ms);
/* Waits until everything that was logged is written, for `ms` at most. Safe in a signal handler. */
bool log_writer_flush(uint64_t ms);
/* Takes a line, or counts it as dropped. False: no thread runs, the line is still the caller's. Any thread; it never
 * waits. */
bool log_writer_put(struct slice line);
/* Lines that were dropped since the start: for want of room, and those that could not be written. */
uint64_t log_writer_dropped(void);

#endif
