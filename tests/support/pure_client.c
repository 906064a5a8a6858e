/* SPDX-License-Identifier: MIT */
/* Owns what clients and publishers do to a pure host (pure_client.h): it makes their requests and calls, in the order
 * in which a server would. It never carries an action out. Used by unit tests and transcripts. */
#include "tests/support/pure_client.h"

#include "protocol/handshake.h"
#include "protocol/http1.h"

#include <stdio.h>
#include <stdlib.h>

/* --- connections -------------------------------------------------------------------------------------------------- */

struct http1_request pure_parse(const char *head, int *result)
{
    struct http1_request request = {.path = slice_text("")};
    size_t scanned = 0, head_bytes = 0;
    const char *why = "";
    *result = http1_parse_head(slice_text(head), &scanned, &request, &head_bytes, &why);
    static uint8_t memory[HTTP_TARGET_BYTES_MAX];
    struct buf path = buf_of(memory, sizeof memory);
    request.path = http1_path_normalize(request.path, &path); /* as conn_read.c does */
    return request;
}

/* Ends what was on the connection before, and gives it a new session. */
struct pure_conn *pure_begin(struct pure_host *host, uint32_t index)
{
    if (index >= host->conn_count)
        abort();
    struct pure_conn *conn = &host->conns[index];
    if (conn->open)
        abort();
    if (conn->session != NULL)
        pure_end(host, conn);
    for (size_t i = 0; i < conn->inbox_count; i++)
        free(conn->inbox[i].data);
    free(conn->inbox);
    *conn = (struct pure_conn){.number = ++host->numbers, .session = pure_memory(host->dialect->session_bytes)};
    return conn;
}

/* What the session says about a request's Origin before the dialect sees it. */
static bool origin_allowed(const struct pure_host *host, const struct http1_request *request)
{
    const struct dialect_settings *common = host->settings;
    return !common->origin_check ||
           handshake_origin_allowed(http1_header(request, "Origin"), request->host,
                                    (const char *const *)common->origins.items, common->origins.count);
}

int pure_request(struct pure_host *host, uint32_t index, const char *method, const char *target, const char *headers)
{
    return pure_request_with(host, index, method, target, headers, NULL);
}

int pure_request_with(struct pure_host *host, uint32_t index, const char *method, const char *target,
                      const char *headers, const char *content)
{
    static char head[65536];
    int result;
    snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, target, headers);
    struct http1_request request = pure_parse(head, &result);
    if (result != HTTP1_OK)
        return result;
    if (host->dialect->route(host->settings, request.path) != DIALECT_PATH_REST)
        return 404;
    struct pure_conn *conn = pure_begin(host, index);
    struct actions *out = pure_actions(host);
    struct dialect_call call = pure_call(host, conn, out);
    call.origin_allowed = origin_allowed(host, &request);
    host->dialect->rest->request(&call, &request, request.path);
    if (out->count == 0 && host->dialect->rest->content != NULL)
        host->dialect->rest->content(&call, slice_text(content == NULL ? "" : content));
    pure_apply(host, conn, out);
    pure_end(host, conn);
    return conn->refused_status;
}

/* An upgrade request with further header lines (with CRLF). 101, or the status that it was refused with. */
int pure_connect(struct pure_host *host, uint32_t index, const char *target, const char *headers)
{
    char lines[20000], head[20200];
    int result;
    snprintf(lines, sizeof lines,
             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s",
             headers);
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", target, lines);
    struct http1_request request = pure_parse(head, &result);
    if (result != HTTP1_OK)
        return result;
    enum dialect_path path = host->dialect->route(host->settings, request.path);
    if (path == DIALECT_PATH_NONE)
        return 404;
    if (path == DIALECT_PATH_REST)
        return pure_request(host, index, "GET", target, lines);
    struct pure_conn *conn = pure_begin(host, index);
    struct actions *out = pure_actions(host);
    struct dialect_call call = pure_call(host, conn, out);
    call.origin_allowed = origin_allowed(host, &request);
    if (call.origin_allowed || host->dialect->checks_origin)
        host->dialect->open(&call, &request, request.path);
    else
        action_respond_json(out, 403, slice_text("{\"error\":\"Origin not allowed\"}"));
    pure_apply(host, conn, out);
    if (conn->refused_status != 0) {
        pure_end(host, conn);
        return conn->refused_status;
    }
    return conn->open || conn->close_code != 0 ? 101 : 0;
}

/* The client closes. */
void pure_disconnect(struct pure_host *host, uint32_t index)
{
    if (!host->conns[index].open)
        return;
    pure_end(host, &host->conns[index]);
    if (host->service != NULL)
        pure_pump(host); /* who has left was a listener */
}

void pure_farewell(struct pure_host *host)
{
    for (uint32_t i = 0; i < host->conn_count; i++) {
        struct pure_conn *conn = &host->conns[i];
        if (!conn->open)
            continue;
        struct actions *out = pure_actions(host);
        struct dialect_call call = pure_call(host, conn, out);
        if (host->dialect->farewell != NULL)
            host->dialect->farewell(&call);
        action_close(out, WS_CLOSE_GOING_AWAY, "going away");
        pure_apply(host, conn, out);
    }
}

static void pure_too_big(struct pure_host *host, struct dialect_call *call)
{
    if (host->dialect->too_big != NULL)
        host->dialect->too_big(call);
    action_close(call->out, WS_CLOSE_TOO_BIG, "message too big");
}

/* A message of the client, within the limits or not. */
void pure_send(struct pure_host *host, uint32_t index, enum ws_opcode opcode, struct slice message)
{
    const struct dialect_settings *common = host->settings;
    struct pure_conn *conn = &host->conns[index];
    if (!conn->open)
        return;
    struct actions *out = pure_actions(host);
    struct dialect_call call = pure_call(host, conn, out);
    uint8_t *copy = pure_exact(message);
    struct slice own = slice_of(copy, message.bytes);
    uint64_t count = bucket_count(&conn->window, host->now_ms, common->messages_window_ms);
    if (message.bytes > common->message_bytes_max)
        pure_too_big(host, &call);
    else if (common->messages_max == 0 || count <= common->messages_max)
        host->dialect->message(&call, opcode, own);
    else if (host->dialect->over_limit != NULL)
        host->dialect->over_limit(&call, opcode, own, count);
    else
        action_close(out, WS_CLOSE_POLICY, "message rate limit exceeded");
    pure_apply(host, conn, out);
    free(copy);
}

void pure_send_text(struct pure_host *host, uint32_t index, const char *text)
{
    pure_send(host, index, WS_TEXT, slice_text(text));
}

/* The next message that the connection has received; NULL: none. NUL-terminated behind its bytes. */
const struct pure_message *pure_take(struct pure_host *host, uint32_t index)
{
    struct pure_conn *conn = &host->conns[index];
    return conn->inbox_read == conn->inbox_count ? NULL : &conn->inbox[conn->inbox_read++];
}

const char *pure_take_text(struct pure_host *host, uint32_t index)
{
    const struct pure_message *message = pure_take(host, index);
    return message == NULL ? "(nothing)" : message->opcode == WS_TEXT ? (const char *)message->data : "(binary)";
}

/* Lets a heartbeat or the timer of a connection happen. */
static void pure_wake(struct pure_host *host, struct pure_conn *conn, bool heartbeat)
{
    struct actions *out = pure_actions(host);
    struct dialect_call call = pure_call(host, conn, out);
    if (heartbeat) {
        conn->heartbeat_ms += host->dialect->heartbeat_ms;
        host->dialect->heartbeat(&call);
    } else {
        conn->timer_ms = 0;
        host->dialect->timer(&call);
    }
    pure_apply(host, conn, out);
}

/* Moves the clock on; heartbeats and timers, also the service's, happen in their order when they are due. */
void pure_advance(struct pure_host *host, uint64_t ms)
{
    const struct service *service = host->dialect->service;
    uint64_t until = host->now_ms + ms;
    for (;;) {
        uint64_t next_ms = service != NULL && service->due != NULL ? service->due(host->service) : UINT64_MAX;
        struct pure_conn *next = NULL;
        bool heartbeat = false;
        for (uint32_t i = 0; i < host->conn_count; i++) {
            struct pure_conn *conn = &host->conns[i];
            if (conn->open && host->dialect->heartbeat != NULL && conn->heartbeat_ms < next_ms) {
                next = conn;
                next_ms = conn->heartbeat_ms;
                heartbeat = true;
            }
            if (conn->open && conn->timer_ms != 0 && conn->timer_ms < next_ms) {
                next = conn;
                next_ms = conn->timer_ms;
                heartbeat = false;
            }
        }
        uint64_t depot_ms = host->depot != NULL ? host->dialect->depot->due(host->depot->state) : UINT64_MAX;
        bool depot = depot_ms < next_ms;
        next_ms = depot ? depot_ms : next_ms;
        if (next_ms > until)
            break;
        host->now_ms = next_ms > host->now_ms ? next_ms : host->now_ms;
        if (depot) {
            host->dialect->depot->timer(host->depot->state, host->now_ms, pure_wall_ms(host));
        } else if (next != NULL) {
            pure_wake(host, next, heartbeat);
        } else {
            service->timer(host->service, host->now_ms, pure_wall_ms(host));
            pure_collect(host);
            pure_pump(host);
        }
    }
    host->now_ms = until;
}

/* --- ingest ------------------------------------------------------------------------------------------------------- */

static int carry_out(struct pure_host *host, const struct ingest_call *call)
{
    switch (call->kind) {
    case INGEST_PUBLISH:
        pure_publish(host, &call->event);
        return 202;
    case INGEST_REQUEST: {
        struct buf reply = buf_of(host->reply, sizeof host->reply - 1);
        int status = pure_ask(host, call->request_kind, call->body, &reply);
        host->reply[reply.used] = '\0';
        return status;
    }
    case INGEST_NEWEST: {
        const struct pure_message *newest = pure_newest(host, call->event.channel);
        if (newest == NULL)
            return 404;
        pure_name(host->reply, sizeof host->reply, slice_of(newest->data, newest->bytes));
        return 200;
    }
    }
    return 500;
}

static void pure_failed(struct pure_host *host, const struct ingest_call *call)
{
    pure_name(host->field, sizeof host->field, slice_text(call->field));
    pure_name(host->reply, sizeof host->reply, slice_text(call->message));
}

/* 202 or the status of the refusal. */
int pure_ingest_bytes(struct pure_host *host, const char *topic, struct slice body, bool binary, bool json)
{
    struct buf text = buf_of(pure_memory(PURE_BODY_BYTES), PURE_BODY_BYTES);
    struct ingest_call call = {
        .settings = host->settings, .wall_ms = pure_wall_ms(host), .binary = binary, .json = json, .text = &text};
    if (host->source != NULL)
        call.source = slice_text(host->source);
    call.merge = host->merge;
    int status = host->dialect->ingest->take(&call, slice_text(topic), body);
    if (status == 0)
        status = carry_out(host, &call);
    else
        pure_failed(host, &call);
    free(text.data);
    return status;
}

void pure_serving(struct pure_host *host, const char *channel, const char *name, bool comes)
{
    host->dialect->service->interest(host->service, slice_text(channel), slice_text(name), comes);
    pure_advance(host, 0); /* it may want to say something about that */
}

int pure_results(struct pure_host *host, const char *channel, const char *message)
{
    struct buf text = buf_of(pure_memory(PURE_BODY_BYTES), PURE_BODY_BYTES);
    struct ingest_call call = {
        .settings = host->settings, .wall_ms = pure_wall_ms(host), .text = &text, .source = slice_text(channel)};
    int status = host->dialect->ingest->results(&call, slice_text(message));
    if (status == 0)
        status = carry_out(host, &call);
    else
        pure_failed(host, &call);
    free(text.data);
    return status;
}

int pure_ingest(struct pure_host *host, const char *topic, const char *body)
{
    return pure_ingest_bytes(host, topic, slice_text(body), false, false);
}

/* 200 with host->reply, or the status of the refusal. */
int pure_read(struct pure_host *host, const char *topic)
{
    uint8_t memory[256];
    struct buf text = buf_of(memory, sizeof memory);
    struct ingest_call call = {.settings = host->settings, .wall_ms = PURE_WALL_MS, .text = &text};
    int status = host->dialect->ingest->read(&call, slice_text(topic));
    if (status == 0)
        return carry_out(host, &call);
    pure_failed(host, &call);
    return status;
}
