/* SPDX-License-Identifier: MIT */
/* Owns who leaves when, and the count of what roamers see between coming and leaving. It never opens or closes a socket
 * itself. Called by the worker's loop and by connections.
 *
 * A worker's roamers leave in turn, evenly over each second. A close frame says goodbye; when the server has ended the
 * stream, the same slot connects again at once. One that has not come back when its turn comes again sits it out. */
#include "bench/bench_roamer.h"

#include "core/clock.h"

#define VISIT_NS 1000000000

void roamers_begin(struct worker *worker)
{
    worker->roam_cursor = 0;
}

static void leave(struct worker *worker, struct connection *connection)
{
    uint8_t code[2];
    store_be16(code, WS_CLOSE_NORMAL);
    connection->state = CONNECTION_LEAVING;
    worker->apart.left++;
    connection_put_frame(worker, connection, WS_CLOSE, slice_of(code, sizeof code));
    connection_flush(worker, connection);
}

uint64_t roamers_work(struct worker *worker)
{
    if (worker->roamer_count == 0)
        return UINT64_MAX;
    uint64_t now_ns = clock_monotonic_ns();
    for (;;) {
        uint64_t due_ns = worker->bench->run.start_ns + worker->roam_cursor * VISIT_NS / worker->roamer_count;
        if (due_ns > now_ns)
            return due_ns;
        struct connection *connection = worker->roamers[worker->roam_cursor++ % worker->roamer_count];
        if (connection->state == CONNECTION_OPEN)
            leave(worker, connection);
        else
            worker->apart.stayed_out++;
    }
}

void roamer_on_ended(struct worker *worker, struct connection *connection)
{
    if (connection->state != CONNECTION_LEFT || connection_sends(connection) || worker->phase == PHASE_END)
        return;
    for (uint32_t i = 0; i < worker->bench->publishers_per_channel; i++)
        connection->tracks[i] = (struct track){0};
    worker->opening++;
    connection_begin(worker, connection, worker->ring.now_ns);
}

void roamer_on_delivery(struct worker *worker, struct connection *connection, const struct frames_event *event)
{
    struct track *track = &connection->tracks[event->stamp.source];
    if (event->stamp.sequence == STAMP_HELLO)
        return;
    if (!track->hello)
        track->next = event->stamp.sequence; /* what came before the visit is nobody's loss */
    track->hello = true;
    uint32_t gaps = track->gaps;
    enum track_result result = track_take(track, event->stamp.sequence);
    worker->apart.roaming_messages++;
    worker->apart.roaming.repeated += result == TRACK_REPEATED;
    worker->apart.roaming.late += result == TRACK_LATE;
    worker->apart.roaming.lost += track->gaps > gaps ? track->gaps - gaps : 0;
}
