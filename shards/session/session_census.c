/* SPDX-License-Identifier: MIT */
/* Owns the walks over all sessions of a dialect: the census that a dialect asks for, and the counts of each second. It
 * changes nothing, but for the walk that closes the sessions of a service which has begun anew. Called by the table of
 * errands (a census comes by), by mail (a restart) and shard_tick. */
#include "core/buf.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/slab.h"
#include "core/work.h"
#include "protocol/dialect.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/mail/errand.h"
#include "shards/mail/mail.h"
#include "shards/session/session.h"
#include "shards/session/session_parts.h"
#include "shards/shard.h"

#include <stdlib.h>

#define CLOSED_PER_TURN 256 /* connections looked at */

/* Appends one piece to the reply of a errand; false when memory is out. */
static bool append_reply(struct errand *errand, struct slice piece, size_t *capacity)
{
    size_t comma = errand->reply_bytes > 0 ? 1 : 0;
    size_t wanted = errand->reply_bytes + comma + piece.bytes;
    if (wanted > *capacity) {
        *capacity = wanted * 2;
        uint8_t *grown = realloc(errand->reply, *capacity);
        if (grown == NULL)
            return false;
        errand->reply = grown;
    }
    if (comma)
        errand->reply[errand->reply_bytes] = ',';
    memcpy(errand->reply + errand->reply_bytes + comma, piece.data, piece.bytes);
    errand->reply_bytes = wanted;
    return true;
}

static bool is_of(const struct conn *conn, uint8_t dialect)
{
    return conn->state == CONN_OPEN && conn->role == ROLE_SESSION && conn->dialect == dialect;
}

static void describe(struct shard *shard, struct errand *errand, struct conn *conn)
{
    struct dialect_call call = session_call_about(shard, conn);
    struct buf out = buf_of(shard->scratch, SCRATCH_BYTES);
    work_spend(shard->work, WORK_DESCRIBE, 1);
    dialects[errand->dialect]->census->describe(&call, &out, errand->census.counts);
    check(!out.overflow);
    if (!append_reply(errand, buf_slice(&out), &errand->census.reply_capacity))
        errand->status = 503;
}

void session_describe_all(struct shard *shard, struct errand *errand)
{
    while (work_left(shard->work)) {
        struct conn *conn = errand->status == 200 ? slab_next(&shard->conns->slab, &errand->census.at, NULL) : NULL;
        if (conn == NULL) {
            errand->census.at = 0;
            errand->census.walked = true;
            return;
        }
        work_spend(shard->work, WORK_LOOK, 1);
        if (is_of(conn, errand->dialect))
            describe(shard, errand, conn);
    }
}

void session_count_begin(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    if (sessions->counting)
        return; /* many: they take more than a second */
    memset(sessions->counted, 0, sizeof sessions->counted);
    sessions->count_at = 0;
    sessions->counting = true;
}

static void publish_counts(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    for (uint8_t d = 0; d < shard->config->dialect_count; d++)
        for (uint32_t n = 0; n < CENSUS_COUNTS; n++)
            atomic_store_explicit(&sessions->counts[d][n], sessions->counted[d][n], memory_order_relaxed);
    sessions->counting = false;
}

void session_count_go_on(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    while (sessions->counting && work_left(shard->work)) {
        struct conn *conn = slab_next(&shard->conns->slab, &sessions->count_at, NULL);
        if (conn == NULL) {
            publish_counts(shard);
            return;
        }
        work_spend(shard->work, WORK_LOOK, 1);
        if (conn->dialect == DIALECT_NONE || !is_of(conn, conn->dialect) || dialects[conn->dialect]->census == NULL)
            continue;
        struct dialect_call call = session_call_about(shard, conn);
        work_spend(shard->work, WORK_DESCRIBE, 1);
        dialects[conn->dialect]->census->describe(&call, NULL, sessions->counted[conn->dialect]);
    }
}

void session_on_restart(struct shard *shard, const struct mail *mail)
{
    shard->sessions->closing |= 1U << mail->restart.dialect;
    shard->sessions->closing_at = 0;
}

void session_close_some(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    for (uint32_t n = 0; n < CLOSED_PER_TURN && sessions->closing != 0; n++) {
        struct conn *conn = slab_next(&shard->conns->slab, &sessions->closing_at, NULL);
        if (conn == NULL)
            sessions->closing = 0;
        else if (conn->role == ROLE_SESSION && conn->state == CONN_OPEN && sessions->closing & 1U << conn->dialect)
            conn_close(shard, conn, CLOSE_RESTART, 0, NULL);
    }
}
