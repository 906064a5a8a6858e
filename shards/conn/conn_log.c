/* SPDX-License-Identifier: MIT */
/* Owns what is said about single connections: why they end, counted and logged, and lines about them within a rate. It
 * never says what a peer sent, but for the answer that refused it. Called by the files of the connection and their
 * users. */
#include "shards/conn/conn_log.h"

#include "core/bucket.h"
#include "core/buf.h"
#include "core/log.h"
#include "core/ring.h"
#include "core/stats.h"
#include "protocol/dialect.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_tls.h"
#include "shards/shard.h"

#include <arpa/inet.h>

#define LOG_LINES_PER_SECOND 100
#define LOGGED_BYTES_MAX 256 /* of an answer that refuses */

static const struct {
    uint16_t code;
    const char *text;
    const char *fault;
    enum stat_id stat;
} reasons[CLOSE_REASONS] = {
#define CLOSE(id, code, text, fault) [CLOSE_##id] = {(code), (text), #fault, STAT_CLOSED_##id},
#include "core/close.def"
#undef CLOSE
};

uint16_t close_code(enum close_reason reason)
{
    return reasons[reason].code;
}

const char *close_text(enum close_reason reason)
{
    return reasons[reason].text;
}

void conn_put_address(struct buf *out, const struct ring_address *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    bool v4 = memcmp(address->bytes, mapped, sizeof mapped) == 0;
    char text[INET6_ADDRSTRLEN];
    inet_ntop(v4 ? AF_INET : AF_INET6, address->bytes + (v4 ? sizeof mapped : 0), text, sizeof text);
    buf_put_text(out, v4 ? "" : "[");
    buf_put_text(out, text);
    buf_put_text(out, v4 ? ":" : "]:");
    buf_put_u64(out, address->port);
}

/* Whether one more line about a single connection is within the rate limit. */
static bool may_log(struct shard *shard)
{
    if (bucket_count(&shard->conns->log_lines, shard->now_ms, 1000) <= LOG_LINES_PER_SECOND)
        return true;
    stats_add(&shard->stats, STAT_LOG_SUPPRESSED, 1);
    return false;
}

bool conn_log_begin(struct shard *shard, const struct conn *conn, enum log_level level, const char *message,
                    struct log_line *line)
{
    if (!log_enabled(level) || !may_log(shard))
        return false;
    uint8_t memory[INET6_ADDRSTRLEN + 16];
    struct buf address = buf_of(memory, sizeof memory);
    struct ring_address peer = ring_peer(shard->ring, conn->socket);
    conn_put_address(&address, &peer);
    log_begin(line, level, message);
    log_u64(line, "conn", conn_id(shard, conn));
    log_slice(line, "remote", buf_slice(&address));
    if (conn->dialect != DIALECT_NONE)
        log_text(line, "dialect", dialects[conn->dialect]->name);
    struct slice subject = conn_tls_subject(conn);
    if (subject.bytes > 0)
        log_slice(line, "subject", subject);
    return true;
}

void conn_log_end(struct shard *shard, const struct conn *conn)
{
    stats_add(&shard->stats, reasons[conn->why].stat, 1);
    bool was_probe = conn->why == CLOSE_PEER_GONE && !conn->heard; /* a load balancer's, at no fault */
    bool quiet = was_probe || strcmp(reasons[conn->why].fault, "none") == 0;
    struct log_line line;
    if (!conn_log_begin(shard, conn, quiet ? LOG_DEBUG : LOG_INFO, "connection ended", &line))
        return;
    log_text(&line, "reason", reasons[conn->why].text);
    log_text(&line, "fault", reasons[conn->why].fault);
    if (conn->close_code != 0)
        log_u64(&line, "code", conn->close_code);
    log_u64(&line, "age_ms", shard->now_ms - conn->accepted_ms);
    log_u64(&line, "messages_in", conn->session.messages_in);
    log_u64(&line, "bytes_out", conn->bytes_out);
    log_u64(&line, "unsent_bytes", conn->outbox.all.bytes);
    log_end(&line);
}

void conn_log_refusal(struct shard *shard, const struct conn *conn, int status, struct slice content)
{
    struct log_line line;
    if (!conn_log_begin(shard, conn, LOG_INFO, "request refused", &line))
        return;
    log_u64(&line, "status", (uint64_t)status);
    log_slice(&line, "answer",
              slice_of(content.data, content.bytes < LOGGED_BYTES_MAX ? content.bytes : LOGGED_BYTES_MAX));
    log_end(&line);
}
