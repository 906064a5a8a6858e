/* SPDX-License-Identifier: MIT */
/* Owns the life of one client connection: socket, handshake, frames in, bytes out. It never counts or times messages
 * and never decides what to publish. Called by the worker that the connection belongs to. */
#include "bench/bench_connection.h"

#include "bench/bench_opening.h"
#include "bench/bench_worker.h"
#include "core/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct url *url_of(const struct worker *worker, const struct connection *connection)
{
    return connection_publishes(connection) ? &worker->bench->publish_url : &worker->bench->url;
}

/* A stream socket, bound to one of the source addresses if there are any. The descriptor or -errno. */
static int open_socket(const struct worker *worker, const struct connection *connection)
{
    const struct bench *bench = worker->bench;
    const struct url *url = url_of(worker, connection);
    int fd = socket(url->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bench->source_count == 0 || connection_publishes(connection))
        return fd;
    /* The port is chosen at connect, by the whole 4-tuple. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    const struct sockaddr_storage *source = &bench->sources[connection->slot % bench->source_count];
    if (bind(fd, (const struct sockaddr *)source, url->address_bytes) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void fail_connect(struct worker *worker, const struct connection *connection, int error)
{
    const char *hint = "";
    if (error == -ECONNREFUSED)
        hint = " (is the server running?)";
    else if (error == -EADDRNOTAVAIL)
        hint = " (no source port is left: give more addresses with --bind-address)";
    else if (error == -EMFILE || error == -ENFILE)
        hint = " (raise the limit of open files: ulimit -n)";
    const struct url *url = url_of(worker, connection);
    bench_fail(worker->bench, "cannot connect to %s port %s: %s%s", url->host, url->port, strerror(-error), hint);
}

void connection_begin(struct worker *worker, struct connection *connection, uint64_t due_ns)
{
    connection->begun_ns = due_ns;
    connection->state = CONNECTION_CONNECTING;
    connection->opening = malloc(sizeof(*connection->opening));
    check(connection->opening != NULL);
    connection->opening->used = 0;
    frames_init(&connection->frames);
    int fd = open_socket(worker, connection);
    int error = fd < 0 ? fd : bench_ring_adopt(&worker->ring, connection->slot, fd);
    if (error < 0) {
        fail_connect(worker, connection, error);
        return;
    }
    const struct url *url = url_of(worker, connection);
    bench_ring_connect(&worker->ring, connection->slot, (const struct sockaddr *)&url->address, url->address_bytes);
}

static void on_connect(struct worker *worker, struct connection *connection, int32_t result)
{
    if (result < 0) {
        fail_connect(worker, connection, result);
        return;
    }
    bench_ring_receive(&worker->ring, connection->slot);
    if (connection->role == ROLE_PUBLISHER_HTTP) {
        connection->state = CONNECTION_OPEN;
        worker_on_open(worker, connection);
        return;
    }
    const struct bench *bench = worker->bench;
    char memory[CHANNEL_NAME_BYTES];
    connection->state = CONNECTION_OPENING;
    opening_request(connection->opening, &connection->out, &worker->random, url_of(worker, connection),
                    bench_channel_name(bench, connection->channel, memory),
                    connection_publishes(connection) ? bench->options->key : "");
    connection_flush(worker, connection);
}

static void fail_refused(struct worker *worker, const struct connection *connection, const struct buf *why)
{
    const struct url *url = url_of(worker, connection);
    bench_fail(worker->bench, "%s%s: %.*s", url->authority, url->path, (int)why->used, (const char *)why->data);
}

static void on_opening(struct worker *worker, struct connection *connection, struct slice *input, bool ended)
{
    uint8_t memory[768];
    struct buf why = buf_of(memory, sizeof(memory));
    switch (opening_response(connection->opening, input, ended, &why)) {
    case OPENING_MORE:
        return;
    case OPENING_REFUSED:
        fail_refused(worker, connection, &why);
        connection->state = CONNECTION_CLOSED;
        return;
    case OPENING_DONE:
        free(connection->opening);
        connection->opening = NULL;
        connection->state = CONNECTION_OPEN;
        worker_on_open(worker, connection);
        return;
    }
}

static void on_answers(struct worker *worker, struct connection *connection, struct slice input, bool ended)
{
    uint8_t memory[768];
    struct buf why = buf_of(memory, sizeof(memory));
    enum opening_result result = OPENING_DONE;
    while (result == OPENING_DONE && (input.bytes > 0 || ended))
        result = opening_answer(connection->opening, &input, ended, &why);
    if (result == OPENING_REFUSED && worker->phase != PHASE_END)
        fail_refused(worker, connection, &why);
    if (result == OPENING_REFUSED)
        connection->state = CONNECTION_CLOSED;
}

void connection_put_control(struct worker *worker, struct connection *connection, enum ws_opcode opcode,
                            struct slice payload)
{
    uint8_t key[4];
    uint64_t bits = random_u64(&worker->random);
    memcpy(key, &bits, sizeof(key));
    uint8_t frame[14 + WS_CONTROL_BYTES_MAX];
    size_t header = ws_header_write_masked(frame, opcode, payload.bytes, key);
    if (payload.bytes > 0)
        memcpy(frame + header, payload.data, payload.bytes);
    ws_mask(frame + header, payload.bytes, key, 0);
    outgoing_put(&connection->out, slice_of(frame, header + payload.bytes));
}

static void on_close_frame(struct worker *worker, struct connection *connection, struct slice payload)
{
    struct slice reason;
    uint16_t error;
    uint16_t code = ws_close_parse(payload, &reason, &error);
    char text[160];
    snprintf(text, sizeof(text), "closed by the server with %u %.*s", code, (int)reason.bytes,
             (const char *)reason.data);
    connection_put_control(worker, connection, WS_CLOSE, payload);
    connection_flush(worker, connection);
    worker_on_lost(worker, connection, text);
}

static void on_frames(struct worker *worker, struct connection *connection, struct slice input)
{
    struct frames_event event;
    while (input.bytes > 0 && connection->state == CONNECTION_OPEN) {
        switch (frames_next(&connection->frames, &input, &event)) {
        case FRAMES_MORE:
            break;
        case FRAMES_MESSAGE:
            worker_on_message(worker, connection, &event);
            break;
        case FRAMES_CONTROL:
            if (event.opcode == WS_PING) {
                connection_put_control(worker, connection, WS_PONG, event.payload);
                connection_flush(worker, connection);
            } else if (event.opcode == WS_CLOSE) {
                on_close_frame(worker, connection, event.payload);
            }
            break;
        case FRAMES_BAD:
            bench_fail(worker->bench, "the server breaks the protocol: %s", event.why);
            return;
        }
    }
}

/* Answers of the publisher WebSocket: acknowledgements need no look, a refusal ends the bench and is shown. */
static void watch_refusals(struct worker *worker, struct slice input)
{
    const uint8_t *found = memmem(input.data, input.bytes, "\"nack\"", 6);
    if (!found)
        return;
    const uint8_t *begin = memrchr(input.data, '{', (size_t)(found - input.data));
    const uint8_t *end = memchr(found, '}', input.bytes - (size_t)(found - input.data));
    begin = begin ? begin : found;
    end = end ? end + 1 : input.data + input.bytes;
    bench_fail(worker->bench, "the server refused a message: %.*s", (int)(end - begin), (const char *)begin);
}

static void on_end(struct worker *worker, struct connection *connection, int32_t result)
{
    if (connection->state == CONNECTION_OPENING)
        on_opening(worker, connection, &(struct slice){0}, true);
    else if (connection->role == ROLE_PUBLISHER_HTTP)
        on_answers(worker, connection, slice_of(NULL, 0), true);
    else if (connection->state == CONNECTION_OPEN)
        worker_on_lost(worker, connection,
                       result == 0 ? "ended by the server without a close frame" : strerror(-result));
    connection->state = CONNECTION_CLOSED;
    bench_ring_drop(&worker->ring, connection->slot);
}

static void on_receive(struct worker *worker, struct connection *connection, const struct bench_ring_event *event)
{
    struct slice input = event->data;
    if (event->result <= 0) {
        on_end(worker, connection, event->result);
        return;
    }
    if (connection->role == ROLE_PUBLISHER_HTTP) {
        on_answers(worker, connection, input, false);
        return;
    }
    if (connection->state == CONNECTION_OPENING)
        on_opening(worker, connection, &input, false);
    if (connection->role == ROLE_PUBLISHER_INGEST)
        watch_refusals(worker, input);
    if (connection->state == CONNECTION_OPEN)
        on_frames(worker, connection, input);
}

static void on_send(struct worker *worker, struct connection *connection, int32_t result)
{
    if (result < 0) {
        if (connection->state == CONNECTION_OPEN)
            worker_on_lost(worker, connection, strerror(-result));
        return;
    }
    struct slice rest = outgoing_sent(&connection->out, (size_t)result);
    if (rest.bytes > 0)
        bench_ring_send(&worker->ring, connection->slot, rest.data, rest.bytes);
    else if (connection->role == ROLE_SUBSCRIBER || connection->role == ROLE_IDLE)
        outgoing_free(&connection->out); /* they rarely send */
}

void connection_on_event(struct worker *worker, struct connection *connection, const struct bench_ring_event *event)
{
    switch (event->op) {
    case BENCH_RING_CONNECT:
        on_connect(worker, connection, event->result);
        break;
    case BENCH_RING_RECEIVE:
        on_receive(worker, connection, event);
        break;
    case BENCH_RING_SEND:
        on_send(worker, connection, event->result);
        break;
    case BENCH_RING_WAKE:
        break;
    }
}

void connection_flush(struct worker *worker, struct connection *connection)
{
    struct slice bytes = outgoing_begin(&connection->out);
    if (bytes.bytes > 0)
        bench_ring_send(&worker->ring, connection->slot, bytes.data, bytes.bytes);
}

void connection_free(struct connection *connection)
{
    outgoing_free(&connection->out);
    free(connection->opening);
}
