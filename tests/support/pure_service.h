/* SPDX-License-Identifier: MIT */
/* The service of a dialect without a server (pure_host.h): units of effects that happen in order and not before what
 * they keep is on the disk, a disk that survives the process, and a process that may be killed. It is the model of what
 * a service host and a store do. */
#ifndef RINGCAST_TESTS_SUPPORT_PURE_SERVICE_H
#define RINGCAST_TESTS_SUPPORT_PURE_SERVICE_H

#include "tests/support/pure_host.h"

/* Begins a life of the service from what is on the disk. */
void pure_service_begin(struct pure_host *host);
/* Ends it; what has not happened yet never does. The disk stays as it is. */
void pure_service_end(struct pure_host *host);
/* Forgets the disk. */
void pure_records_free(struct pure_host *host);

/* A request of a connection, which waits for the answer; what it leads to happens, unless it is held back. */
void pure_ask_from(struct pure_host *host, struct pure_conn *conn, uint32_t tag, uint32_t kind, struct slice body);
/* A request of nobody's connection. Its HTTP status, and the answer appended to `reply`; it may not be held back. */
int pure_ask(struct pure_host *host, uint32_t kind, struct slice body, struct buf *reply);

/* Takes what the last call of the service has led to: one unit. */
void pure_collect(struct pure_host *host);
/* Lets all units happen, and what follows from them, unless they are held back. */
void pure_pump(struct pure_host *host);
/* Commits are held back from now on: nothing gets to the disk and nothing is said; or (false) all of them happen. */
void pure_hold(struct pure_host *host, bool hold);
/* The process ends at this moment, with all its connections, and another begins from what is on the disk. */
void pure_crash(struct pure_host *host);

#endif
