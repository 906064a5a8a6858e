/* SPDX-License-Identifier: MIT */
/* Owns the life of one client connection: socket, handshake, frames in, bytes out. It never counts or times messages
 * and never decides what to publish. Called by the worker that the connection belongs to. */
#include "bench/bench_connection.h"

#include "bench/bench_opening.h"
#include "bench/bench_roamer.h"
#include "bench/bench_slow.h"
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

/* Of who reads nothing. What lies there unread is another machine's memory; on one machine it would count against
 * the limit of the server's kernel for all sockets (net.ipv4.tcp_mem), beyond which every send of every connection
 * is dear. */
static const int stalled_receive_bytes = 4096;

/* A stream socket, bound to one of the source addresses if there are any. The descriptor or -errno. */
static int open_socket(const struct worker *worker, const struct connection *connection)
{
    const struct bench *bench = worker->bench;
    const struct url *url = url_of(worker, connection);
    int fd = socket(url->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connection->role == ROLE_SLOW && worker->bench->options->slow_bytes == 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &stalled_receive_bytes, sizeof stalled_receive_bytes);
    if (bench->source_count == 0 || connection_publishes(connection))
        return fd;
    /* The port is chosen at connect, by the whole 4-tuple. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
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

/* A session of its own for a connection that speaks TLS; what the last visit of a roamer has left goes. */
static bool begin_secure(struct worker *worker, struct connection *connection)
{
    const struct url *url = url_of(worker, connection);
    secure_destroy(connection->secure);
    connection->secure = NULL;
    if (!url->tls)
        return true;
    outgoing_free(&connection->out);
    connection->secure = secure_create(&worker->secure, url->host);
    if (!connection->secure)
        bench_fail(worker->bench, "out of memory for TLS");
    return connection->secure != NULL;
}

void connection_begin(struct worker *worker, struct connection *connection, uint64_t due_ns)
{
    connection->begun_ns = due_ns;
    connection->state = CONNECTION_CONNECTING;
    if (!begin_secure(worker, connection))
        return;
    connection->opening = malloc(sizeof *connection->opening);
    check(connection->opening != NULL);
    connection->opening->used = 0;
    frames_init(&connection->frames);
    if (worker->bench->options->speak == SPEAK_NATS && connection->role != ROLE_PUBLISHER_HTTP) {
        connection->frames.raw = true;
        connection->nats = connection->nats ? connection->nats : malloc(sizeof *connection->nats);
        check(connection->nats != NULL);
        nats_init(connection->nats);
    }
    int fd = open_socket(worker, connection);
    int error = fd < 0 ? fd : bench_ring_adopt(&worker->ring, connection->slot, fd);
    if (error < 0) {
        fail_connect(worker, connection, error);
        return;
    }
    const struct url *url = url_of(worker, connection);
    bench_ring_connect(&worker->ring, connection->slot, (const struct sockaddr *)&url->address, url->address_bytes);
}

/* The stream is there, secured if it has to be: asks for what is served on it. */
static void begin_opening(struct worker *worker, struct connection *connection)
{
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

static void on_connect(struct worker *worker, struct connection *connection, int32_t result)
{
    if (result < 0) {
        fail_connect(worker, connection, result);
        return;
    }
    if (connection->role == ROLE_SLOW)
        slow_begin(worker, connection);
    else
        bench_ring_receive(&worker->ring, connection->slot);
    if (!connection->secure) {
        begin_opening(worker, connection);
        return;
    }
    struct slice none = slice_of(NULL, 0);
    struct slice plain;
    connection->state = CONNECTION_SECURING;
    secure_read(&worker->secure, connection->secure, &none, &plain); /* our hello */
    connection_flush(worker, connection);
}

static void fail_refused(struct worker *worker, const struct connection *connection, const struct buf *why)
{
    const struct url *url = url_of(worker, connection);
    bench_fail(worker->bench, "%s%s: %.*s", url->authority, url->path, (int)why->used, (const char *)why->data);
}

/* NATS subscribes by a line, not by the URL. */
static void subscribe_nats(struct worker *worker, struct connection *connection)
{
    const struct bench *bench = worker->bench;
    char memory[CHANNEL_NAME_BYTES];
    char subject[URL_PATH_BYTES_MAX + CHANNEL_NAME_BYTES] = "";
    struct buf name = buf_of(subject, sizeof subject - 1);
    url_put_topic(&bench->url, bench_channel_name(bench, connection->channel, memory), &name);
    uint8_t text[NATS_LINE_BYTES_MAX + sizeof subject];
    struct buf lines = buf_of(text, sizeof text);
    nats_put_connect(&lines, connection_publishes(connection) ? NULL : subject);
    check(!lines.overflow);
    connection_put_frame(worker, connection, WS_BINARY, buf_slice(&lines));
    connection_flush(worker, connection);
}

static void on_opening(struct worker *worker, struct connection *connection, struct slice *input, bool ended)
{
    uint8_t memory[768];
    struct buf why = buf_of(memory, sizeof memory);
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
        if (connection->nats)
            subscribe_nats(worker, connection);
        worker_on_open(worker, connection);
        return;
    }
}

static void on_answers(struct worker *worker, struct connection *connection, struct slice input, bool ended)
{
    uint8_t memory[768];
    struct buf why = buf_of(memory, sizeof memory);
    enum opening_result result = OPENING_DONE;
    while (result == OPENING_DONE && (input.bytes > 0 || ended))
        result = opening_answer(connection->opening, &input, ended, &why);
    if (result == OPENING_REFUSED && worker->phase != PHASE_END)
        fail_refused(worker, connection, &why);
    if (result == OPENING_REFUSED)
        connection->state = CONNECTION_CLOSED;
}

void connection_put_frame(struct worker *worker, struct connection *connection, enum ws_opcode opcode,
                          struct slice payload)
{
    outgoing_put_frame(&connection->out, &worker->random, opcode, payload);
}

static void on_close_frame(struct worker *worker, struct connection *connection, struct slice payload)
{
    struct slice reason;
    uint16_t error;
    uint16_t code = ws_close_parse(payload, &reason, &error);
    char text[160];
    snprintf(text, sizeof text, "closed by the server with %u %.*s", code, (int)reason.bytes,
             (const char *)reason.data);
    connection_put_frame(worker, connection, WS_CLOSE, payload);
    connection_flush(worker, connection);
    worker_on_lost(worker, connection, code, text);
}

static void on_nats(struct worker *worker, struct connection *connection, struct slice input)
{
    struct nats_event event;
    enum nats_result result;
    while ((result = nats_next(connection->nats, &input, &event)) != NATS_MORE) {
        switch (result) {
        case NATS_MORE:
            break;
        case NATS_MESSAGE:
            worker_on_message(
                worker, connection,
                &(struct frames_event){.stamped = event.stamped, .stamp = event.stamp, .bytes = event.bytes});
            break;
        case NATS_PING:
            connection_put_frame(worker, connection, WS_BINARY, slice_text("PONG\r\n"));
            connection_flush(worker, connection);
            break;
        case NATS_REFUSED:
        case NATS_BAD:
            bench_fail(worker->bench, "the server says: %.*s", (int)event.text.bytes, (const char *)event.text.data);
            return;
        }
    }
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
        case FRAMES_PIECE:
            on_nats(worker, connection, event.payload);
            break;
        case FRAMES_CONTROL:
            if (event.opcode == WS_PING) {
                connection_put_frame(worker, connection, WS_PONG, event.payload);
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

static void fail_tls(struct worker *worker, struct connection *connection, const char *why)
{
    const struct url *url = url_of(worker, connection);
    connection->state = CONNECTION_CLOSED;
    if (worker->phase != PHASE_END)
        bench_fail(worker->bench, "%s: TLS: %s", url->authority, why);
}

static void on_end(struct worker *worker, struct connection *connection, int32_t result)
{
    if (connection->state == CONNECTION_SECURING)
        fail_tls(worker, connection, "the server ended the connection during the handshake");
    else if (connection->state == CONNECTION_OPENING)
        on_opening(worker, connection, &(struct slice){0}, true);
    else if (connection->role == ROLE_PUBLISHER_HTTP)
        on_answers(worker, connection, slice_of(NULL, 0), true);
    else if (connection->state == CONNECTION_OPEN)
        worker_on_lost(worker, connection, ENDS_WITHOUT_CLOSE,
                       result == 0 ? "ended by the server without a close frame" : strerror(-result));
    if (connection->state == CONNECTION_LEAVING)
        worker->open--;
    connection->state = connection->state == CONNECTION_LEAVING ? CONNECTION_LEFT : CONNECTION_CLOSED;
    bench_ring_drop(&worker->ring, connection->slot);
    if (connection->role == ROLE_ROAMER)
        roamer_on_ended(worker, connection);
}

/* Bytes as the server meant them. */
static void on_input(struct worker *worker, struct connection *connection, struct slice input)
{
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

static void on_ciphertext(struct worker *worker, struct connection *connection, struct slice ciphertext)
{
    struct secure *secure = connection->secure;
    enum tls_result result;
    do {
        struct slice plain;
        result = secure_read(&worker->secure, secure, &ciphertext, &plain);
        if (connection->state == CONNECTION_SECURING && tls_established(secure->session))
            begin_opening(worker, connection);
        if (result == TLS_DATA)
            on_input(worker, connection, plain);
    } while (result == TLS_DATA);
    if (result == TLS_ERROR || result == TLS_NOT_TLS)
        fail_tls(worker, connection, tls_why(secure->session));
    connection_flush(worker, connection); /* what TLS has to say */
}

static void on_receive(struct worker *worker, struct connection *connection, const struct bench_ring_event *event)
{
    if (connection->role == ROLE_SLOW && event->result > 0)
        counts_add(&worker->counts.slow_bytes, (uint64_t)event->result);
    if (event->result <= 0)
        on_end(worker, connection, event->result);
    else if (connection->secure)
        on_ciphertext(worker, connection, event->data);
    else
        on_input(worker, connection, event->data);
}

static void on_read(struct worker *worker, struct connection *connection, const struct bench_ring_event *event)
{
    if (event->result != -ENOBUFS)
        on_receive(worker, connection, event);
    slow_on_read(worker, connection);
}

static struct outgoing *wire_of(struct connection *connection)
{
    return connection->secure ? &connection->secure->wire : &connection->out;
}

static void on_send(struct worker *worker, struct connection *connection, int32_t result)
{
    struct outgoing *wire = wire_of(connection);
    if (result < 0) {
        if (connection->state == CONNECTION_OPEN)
            worker_on_lost(worker, connection, ENDS_WITHOUT_CLOSE, strerror(-result));
        outgoing_free(&connection->out);
        outgoing_free(wire);
        if (connection->role == ROLE_ROAMER)
            roamer_on_ended(worker, connection);
        return;
    }
    struct slice rest = outgoing_sent(wire, (size_t)result);
    if (rest.bytes > 0)
        bench_ring_send(&worker->ring, connection->slot, rest.data, rest.bytes);
    else
        connection_flush(worker, connection); /* what has waited to be sealed */
    if (connection_waiting(connection) == 0 && !connection_publishes(connection) && connection->role != ROLE_ECHO) {
        outgoing_free(&connection->out); /* they rarely send */
        outgoing_free(wire);
    }
    if (connection->role == ROLE_ROAMER)
        roamer_on_ended(worker, connection);
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
    case BENCH_RING_READ:
        on_read(worker, connection, event);
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
    if (connection->secure && !secure_seal(connection->secure, &connection->out))
        fail_tls(worker, connection, tls_why(connection->secure->session));
    struct slice bytes = outgoing_begin(wire_of(connection));
    if (bytes.bytes > 0)
        bench_ring_send(&worker->ring, connection->slot, bytes.data, bytes.bytes);
}

void connection_free(struct connection *connection)
{
    outgoing_free(&connection->out);
    secure_destroy(connection->secure);
    free(connection->opening);
    free(connection->nats);
}
