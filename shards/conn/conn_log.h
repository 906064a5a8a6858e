/* SPDX-License-Identifier: MIT */
/* Lines about single connections. */
#ifndef RINGCAST_SHARDS_CONN_LOG_H
#define RINGCAST_SHARDS_CONN_LOG_H

#include "core/log.h"

struct conn;
struct ring_address;
struct shard;

/* "127.0.0.1:9500" or "[::1]:9500". */
void conn_put_address(struct buf *out, const struct ring_address *address);
/* Begins a line about a connection; false when nothing is to be logged: below the level or beyond the rate. */
bool conn_log_begin(struct shard *shard, const struct conn *conn, enum log_level level, const char *message,
                    struct log_line *line);
/* One line for a response that refuses (K-32). */
void conn_log_refusal(struct shard *shard, const struct conn *conn, int status, struct slice content);
/* It ends: counted by its reason; one line, at info when somebody is at fault, else at debug. Who connects and leaves
 * by a reset without a byte is at no fault. */
void conn_log_end(struct shard *shard, const struct conn *conn);

#endif
