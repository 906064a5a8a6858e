/* SPDX-License-Identifier: MIT */
/* One blocking connection of a command's client, in plain text or with TLS. For client_*.c only. */
#ifndef RINGCAST_SHARDS_CLIENT_LINK_H
#define RINGCAST_SHARDS_CLIENT_LINK_H

#include "shards/client/client.h"
#include "shards/client/client_http.h"

struct client_link;

/* Connects and, for a secure address, shakes hands; NULL with a line on stderr. */
struct client_link *client_link_open(const struct client_url *url, const struct client_trust *trust);
/* Says goodbye and closes. */
void client_link_close(struct client_link *link);
/* False when the connection is broken; errno says why. */
bool client_link_send(struct client_link *link, struct slice bytes);
/* Appends what comes next, after at most one wait. Bytes, 0 at the end of the stream, -errno; -ENOBUFS when `out` is
 * full, -EAGAIN when what came was TLS's own or no whole record. */
int client_link_receive(struct client_link *link, struct buf *out);
/* Whether client_link_receive would give bytes without looking at the socket. */
bool client_link_pending(const struct client_link *link);
/* For poll. */
int client_link_descriptor(const struct client_link *link);

#endif
