/* SPDX-License-Identifier: MIT */
/* Owns the content of requests to a dialect's paths of plain HTTP: small ones (dialect_rest.content_bytes_max), gathered
 * whole before the dialect sees them. It never reads one. Called by session.c and by the connection's files through its
 * role. */
#include "protocol/dialect.h"
#include "protocol/http1.h"
#include "shards/conn/conn.h"
#include "shards/session/session_parts.h"
#include "shards/shard.h"

#include <stdlib.h>
#include <string.h>

struct session_body {
    struct http1_body reader;
    size_t used, capacity;
    uint8_t data[];
};

size_t session_body_held(const struct conn *conn)
{
    return conn->body ? conn->session.body->capacity : 0;
}

/* It may have been a secret. */
static void body_free(struct shard *shard, struct session_body *body)
{
    input_give(shard, body->capacity);
    explicit_bzero(body->data, body->used);
    free(body);
}

void session_body_drop(struct shard *shard, struct conn *conn)
{
    if (!conn->body)
        return;
    conn->body = false;
    body_free(shard, conn->session.body);
    conn->session.body = NULL;
}

static void refuse(struct shard *shard, struct conn *conn, int status, const char *why)
{
    conn->keep_alive = false;
    session_body_drop(shard, conn);
    conn_refuse(shard, conn, status, why);
}

/* It is all there. */
static void hand_over(struct shard *shard, struct conn *conn)
{
    struct session_body *body = conn->session.body;
    conn->body = false;
    conn->session.body = NULL;
    struct dialect_call call = session_call_begin(shard, conn);
    dialects[conn->dialect]->rest->content(&call, slice_of(body->data, body->used));
    session_run_call(shard, conn, NULL);
    body_free(shard, body);
}

void session_body_begin(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    size_t most = dialects[conn->dialect]->rest->content_bytes_max;
    if (request->content_length > most) {
        refuse(shard, conn, 413, "Content too large");
        return;
    }
    size_t capacity = request->chunked ? most : (size_t)request->content_length;
    if (!input_take(shard, conn, capacity))
        return;
    struct session_body *body = malloc(sizeof *body + capacity);
    if (body == NULL) {
        input_give(shard, capacity);
        refuse(shard, conn, 503, "Out of memory");
        return;
    }
    body->used = 0;
    body->capacity = capacity;
    http1_body_init(&body->reader, request, most);
    conn->session.body = body;
    conn->body = true;
    if (request->expect_continue && !conn_continue(shard, conn))
        return;
    if (!request->chunked && capacity == 0)
        hand_over(shard, conn);
}

void session_body_take(struct shard *shard, struct conn *conn, struct slice *input)
{
    struct session_body *body = conn->session.body;
    for (;;) {
        struct slice part;
        switch (http1_body_next(&body->reader, input, &part)) {
        case HTTP1_BODY_MORE:
            return;
        case HTTP1_BODY_PART:
            memcpy(body->data + body->used, part.data, part.bytes);
            body->used += part.bytes;
            break;
        case HTTP1_BODY_END:
            hand_over(shard, conn);
            return;
        case HTTP1_BODY_BAD:
            refuse(shard, conn, 400, "Malformed chunked body");
            return;
        case HTTP1_BODY_LARGE:
            refuse(shard, conn, 413, "Content too large");
            return;
        }
    }
}
