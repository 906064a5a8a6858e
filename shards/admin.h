/* SPDX-License-Identifier: MIT */
/* The operator's listener: health and metrics. Any shard answers for all: statistics are readable by anybody. */
#ifndef RINGCAST_SHARDS_ADMIN_H
#define RINGCAST_SHARDS_ADMIN_H

#include "shards/conn.h"

void admin_on_request(struct shard *shard, struct conn *conn, const struct http1_request *request);

#endif
