/* SPDX-License-Identifier: MIT */
/* Owns the pace at which slow subscribers read: at most one read of a bounded size at a time. It never looks at what
 * comes and closes nothing. Called by the worker's loop and by connections. */
#include "bench/bench_slow.h"

#include "core/clock.h"

#define HANDSHAKE_BYTES 4096
#define SWEEPS_PER_S 10

static void read_some(struct worker *worker, struct connection *connection, uint64_t bytes)
{
    connection->reading = true;
    bench_ring_read(&worker->ring, connection->slot, (size_t)bytes);
}

void slow_begin(struct worker *worker, struct connection *connection)
{
    read_some(worker, connection, HANDSHAKE_BYTES);
}

uint64_t slow_work(struct worker *worker)
{
    uint64_t bytes = worker->bench->options->slow_bytes;
    if (bytes == 0 || worker->slow_count == 0 || worker->phase == PHASE_DRAIN || worker->phase == PHASE_END)
        return UINT64_MAX;
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns < worker->slow_ns)
        return worker->slow_ns;
    worker->slow_ns = now_ns + 1000000000 / SWEEPS_PER_S;
    for (uint32_t i = 0; i < worker->slow_count; i++) {
        struct connection *connection = worker->slow[i];
        if (connection->state == CONNECTION_OPEN && !connection->reading)
            read_some(worker, connection, (bytes + SWEEPS_PER_S - 1) / SWEEPS_PER_S);
    }
    return worker->slow_ns;
}

void slow_on_read(struct worker *worker, struct connection *connection)
{
    connection->reading = false;
    if (connection->state == CONNECTION_SECURING || connection->state == CONNECTION_OPENING)
        read_some(worker, connection, HANDSHAKE_BYTES);
    else if (worker->phase == PHASE_DRAIN && connection->state != CONNECTION_CLOSED)
        bench_ring_receive(&worker->ring, connection->slot);
}

void slow_drain(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->slow_count; i++) {
        struct connection *connection = worker->slow[i];
        if (connection->state == CONNECTION_OPEN && !connection->reading)
            bench_ring_receive(&worker->ring, connection->slot);
    }
}
