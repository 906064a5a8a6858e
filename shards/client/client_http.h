/* SPDX-License-Identifier: MIT */
/* What both clients need of HTTP/1.1: addresses and whole answers. For client_*.c only. */
#ifndef RINGCAST_SHARDS_CLIENT_HTTP_H
#define RINGCAST_SHARDS_CLIENT_HTTP_H

#include "core/buf.h"

struct client_link;

#define CLIENT_USAGE 2 /* exit code for an address that is none */
#define CLIENT_HEAD_END "\r\n\r\n"

struct client_url {
    char authority[300]; /* as written, for Host */
    char host[256];
    char port[8];
    bool secure;        /* https or wss */
    const char *target; /* begins with '/', or is "" */
};

/* Prints "ringcast: ..." to stderr and returns EXIT_FAILURE. */
int client_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whether it is ASCII without spaces and control characters: what may stand in a request. */
bool client_is_visible(const char *text);
/* SCHEME://HOST[:PORT][TARGET], `scheme` being "http" or "ws", with or without an 's' behind it; the target points into
 * the text. */
bool client_url_parse(const char *text, const char *scheme, struct client_url *url);

/* Reads until the head of the final answer is there: interim ones (1xx) are taken away. 0 or -errno. */
int client_receive_head(struct client_link *link, struct buf *answer);
/* Reads a whole answer behind what `answer` holds already. 0, or -errno when not even a head came. */
int client_receive_answer(struct client_link *link, struct buf *answer);
/* Bytes of the response head, its end included; 0 while it is not complete. */
size_t client_head_bytes(const struct buf *answer);
/* "HTTP/1.1 202 Accepted", "HTTP/1.0 202 " (RFC 9112 section 4); 0 when it is no such line. */
int client_status(struct slice head);
/* The next field of that name in *head, which is moved behind it. */
bool client_head_next(struct slice *head, const char *name, struct slice *value);
/* The value of the first field of that name, in any case; no bytes when there is none. */
struct slice client_head_value(struct slice head, const char *name);
/* Prints status and content, which are followed by a NUL, and returns EXIT_FAILURE. `head` is its bytes. */
int client_report_refusal(const struct buf *answer, size_t head);

#endif
