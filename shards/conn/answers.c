/* SPDX-License-Identifier: MIT */
/* Owns the budgets of what single connections are told, and whom they end when they are used up. It never looks into an
 * answer and never touches what channels publish. Called by conn_write for each answer, and by the shard when it is
 * made. */
#include "shards/conn/answers.h"

#include "core/limits.h"
#include "core/stats.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/shard.h"

#define CLIENTS_BYTES_MIN (2U * INGEST_BODY_BYTES_MAX) /* of a shard: the largest response, and others beside it */
#define OPERATORS_BYTES (8U << 20)                     /* of a shard: metrics for many who ask at once */
#define LOOKED_AT_MAX 256                              /* of the oldest segments, in a search for the largest holder */

static size_t first_bytes(const struct frame_memory *memory)
{
    return frame_header_bytes(memory) + SEGMENT_BYTES_MIN;
}

static void init(struct shard *shard, struct answer_budget *budget, uint8_t number, size_t bytes_max,
                 uint32_t connections_max)
{
    struct frame_memory *memory = &shard->frames[number];
    *budget = (struct answer_budget){.bytes_max = bytes_max, .mark = bytes_max};
    frame_memory_init_plain(memory, number, shard->number, shard->count, 2 * bytes_max);
    memory->bytes_max += connections_max * first_bytes(memory);
}

void answers_init(struct shard *shard, uint32_t connections_max)
{
    size_t share = shard->config->server.answer_memory_bytes / shard->count;
    init(shard, &shard->answers->clients, FRAMES_ANSWERS, share < CLIENTS_BYTES_MIN ? CLIENTS_BYTES_MIN : share,
         connections_max);
    init(shard, &shard->answers->operators, FRAMES_OPERATORS, OPERATORS_BYTES, connections_max);
}

/* Whose the segment is; NULL: it ends, or has ended. */
static struct conn *holder_of(struct shard *shard, const struct list_node *node)
{
    const struct segment *segment = list_entry(node, struct segment, node);
    struct handle handle = {.index = (uint32_t)segment->owner.low, .generation = (uint32_t)segment->owner.high};
    struct conn *conn = handle.generation == 0 ? NULL : conn_get(shard, handle);
    return conn == NULL || conn->state == CONN_DYING ? NULL : conn;
}

/* The connection that holds most of the oldest segments, with its weight; NULL: all of them are about to come back. */
static struct conn *largest_holder(struct shard *shard, const struct frame_memory *memory)
{
    const struct list *segments = &memory->segments;
    struct conn *conn, *largest = NULL;
    uint32_t n = 0;
    for (struct list_node *node = list_first(segments); node != NULL && n < LOOKED_AT_MAX;
         node = list_next(segments, node), n++)
        if ((conn = holder_of(shard, node)) != NULL)
            conn->weight = 0;
    n = 0;
    for (struct list_node *node = list_first(segments); node != NULL && n < LOOKED_AT_MAX;
         node = list_next(segments, node), n++) {
        if ((conn = holder_of(shard, node)) == NULL)
            continue;
        uint32_t weight = conn->weight + (list_entry(node, struct segment, node)->capacity + 1023) / 1024;
        conn->weight = weight & 0xFFFFFF;
        if (largest == NULL || conn->weight > largest->weight)
            largest = conn;
    }
    return largest;
}

/* Ends who holds most when `bytes` more do not fit. */
static void make_room(struct shard *shard, const struct frame_memory *memory, struct answer_budget *budget,
                      size_t bytes)
{
    size_t alive = frame_memory_alive(memory);
    if (alive <= budget->bytes_max)
        budget->mark = budget->bytes_max;
    if (alive + bytes <= budget->mark)
        return;
    budget->mark = alive + bytes;
    struct conn *holder = largest_holder(shard, memory);
    if (holder == NULL)
        return;
    budget->mark += (size_t)holder->weight << 10;
    stats_add(&shard->stats, STAT_SLOW_ANSWERS, 1);
    conn_drop_waiting(shard, holder, true);
    conn_terminate(shard, holder, CLOSE_SLOW);
}

/* The log of a connection: its tail is what ends the outbox, when that is a segment of its own that goes no further. */
static struct frame_log log_of(const struct shard *shard, const struct conn *conn, const struct frame_memory *memory)
{
    struct frame end = outbox_end(&conn->outbox);
    if (end.bytes == 0 || end.segment->home != shard->number || end.segment->memory != memory->number ||
        end.offset + end.bytes != end.segment->used)
        return (struct frame_log){.segment_bytes = SEGMENT_BYTES_MIN};
    uint32_t next =
        end.segment->capacity < ANSWER_SEGMENT_BYTES_MAX / 2 ? 2 * end.segment->capacity : ANSWER_SEGMENT_BYTES_MAX;
    return (struct frame_log){.tail = end.segment, .segment_bytes = next};
}

bool answer_begin(struct shard *shard, struct conn *conn, size_t bytes, struct answer *answer)
{
    bool operates = conn_role(conn)->operates;
    struct answer_budget *budget = operates ? &shard->answers->operators : &shard->answers->clients;
    answer->memory = &shard->frames[operates ? FRAMES_OPERATORS : FRAMES_ANSWERS];
    answer->log = log_of(shard, conn, answer->memory);
    struct segment *tail = answer->log.tail;
    if (tail == NULL || bytes > tail->capacity - tail->used) {
        size_t more = frame_header_bytes(answer->memory) +
                      (bytes > answer->log.segment_bytes ? bytes : answer->log.segment_bytes);
        bool first = conn->outbox.all.slices == 0 && more <= first_bytes(answer->memory);
        make_room(shard, answer->memory, budget, more);
        if (!first && frame_memory_alive(answer->memory) + more > 2 * budget->bytes_max)
            conn_terminate(shard, conn, CLOSE_MEMORY);
        if (conn->state == CONN_DYING)
            return false;
        answer->log = log_of(shard, conn, answer->memory); /* what waited may have been dropped */
    }
    if (answer->log.tail != NULL)
        frame_ref(answer->log.tail, shard->number, 1);
    return true;
}

void answer_end(struct shard *shard, struct conn *conn, struct answer *answer)
{
    if (answer->log.tail != NULL)
        answer->log.tail->owner = (struct hash128){.low = conn->index, .high = conn->generation};
    frame_log_release(answer->memory, shard->idle, &answer->log);
}
