/* SPDX-License-Identifier: MIT */
/* A ws(s):// or http(s):// URL (RFC 3986; RFC 6455 section 3), its address, and its path with the channel's name put
 * in. */
#ifndef RINGCAST_BENCH_URL_H
#define RINGCAST_BENCH_URL_H

#include "core/buf.h"

#include <sys/socket.h>

#define URL_HOST_BYTES_MAX 255
#define URL_PATH_BYTES_MAX 2047

struct url {
    char host[URL_HOST_BYTES_MAX + 1];
    char authority[URL_HOST_BYTES_MAX + 1]; /* host and port as written, for the Host field */
    char port[6];
    bool tls;
    char path[URL_PATH_BYTES_MAX + 1]; /* with query; begins with '/' */
    struct sockaddr_storage address;   /* filled by url_resolve */
    socklen_t address_bytes;
};

/* `scheme`: "ws" or "http"; with an s behind it in the text, or with `tls`, the URL means TLS. False with a sentence in
 * `why`. */
bool url_parse(struct url *url, const char *text, const char *scheme, bool tls, struct buf *why);
/* Looks the host up. False with a sentence in `why`. */
bool url_resolve(struct url *url, struct buf *why);
/* The path with every {channel} replaced. */
void url_put_path(const struct url *url, const char *channel, struct buf *out);
/* The last part of such a path, without the query. */
void url_put_topic(const struct url *url, const char *channel, struct buf *out);
/* A numeric address, port 0, of the same family as the URL's. False with a sentence in `why`. */
bool url_source_address(const struct url *url, const char *text, struct sockaddr_storage *out, struct buf *why);

#endif
