/* SPDX-License-Identifier: MIT */
/* Owns the client's half of a WebSocket (RFC 6455): handshake, masked control frames, messages as lines. It sends no
 * message, negotiates no extension and never prints a key. Called by the command `subscribe`. */
#include "shards/client/client.h"

#include "core/clock.h"
#include "core/limits.h"
#include "protocol/handshake.h"
#include "protocol/ws.h"
#include "shards/client/client_http.h"
#include "shards/client/client_link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLOSE_WAIT_NS 2000000000
#define READ_BYTES 65536

/* --- handshake ---------------------------------------------------------------------------------------------------- */

/* RFC 4648 section 4, of 16 bytes: 5 groups of three and one byte over. */
static void put_base64_key(struct buf *out, const uint8_t key[16])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 15; i += 3) {
        uint32_t group = (uint32_t)(key[i] << 16 | key[i + 1] << 8 | key[i + 2]);
        for (int shift = 18; shift >= 0; shift -= 6)
            buf_put_byte(out, (uint8_t)digits[group >> shift & 63]);
    }
    buf_put_byte(out, (uint8_t)digits[key[15] >> 2]);
    buf_put_byte(out, (uint8_t)digits[key[15] << 4 & 63]);
    buf_put_text(out, "==");
}

static int put_upgrade(struct buf *out, const struct client_url *url, const char *api_key)
{
    uint8_t key[16];
    int error = clock_entropy(key, sizeof key);
    buf_put_text(out, "GET ");
    buf_put_text(out, url->target[0] == '\0' ? "/" : url->target);
    buf_put_text(out, " HTTP/1.1\r\nHost: ");
    buf_put_text(out, url->authority);
    buf_put_text(out,
                 "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
    put_base64_key(out, key);
    if (api_key[0] != '\0') {
        buf_put_text(out, "\r\nX-Api-Key: ");
        buf_put_text(out, api_key);
    }
    buf_put_text(out, CLIENT_HEAD_END);
    return error;
}

/* What the server has to answer is what our own server would: the request is read back by the server's half. */
static bool expected_accept(struct slice request, struct handshake *expected)
{
    struct http1_request parsed;
    size_t scanned = 0, bytes;
    const char *why;
    return http1_parse_head(request, &scanned, &parsed, &bytes, &why) == HTTP1_OK &&
           handshake_check(&parsed, expected, &why) == 0;
}

/* Whether one of the fields of that name has the token, in any case (RFC 9110 section 5.6.1). */
static bool has_token(struct slice head, const char *name, const char *token)
{
    struct slice value;
    while (client_head_next(&head, name, &value)) {
        while (value.bytes > 0) {
            size_t bytes = 0;
            while (bytes < value.bytes && strchr(", \t", value.data[bytes]) == NULL)
                bytes++;
            if (slice_is_nocase(slice_of(value.data, bytes), token))
                return true;
            value = slice_skip(value, bytes < value.bytes ? bytes + 1 : bytes);
        }
    }
    return false;
}

static uint32_t count_fields(struct slice head, const char *name)
{
    struct slice value;
    uint32_t count = 0;
    while (client_head_next(&head, name, &value))
        count++;
    return count;
}

/* What a 101 lacks or has too much of (RFC 6455 section 4.1, the checks 2 to 6 of the answer), or NULL. We ask for no
 * extension and for no subprotocol. */
static const char *answer_fault(struct slice head, const char *accept)
{
    if (!slice_starts(head, slice_text("HTTP/1.1 ")))
        return "101 without HTTP/1.1";
    if (count_fields(head, "Upgrade") != 1 || !slice_is_nocase(client_head_value(head, "Upgrade"), "websocket"))
        return "no Upgrade: websocket";
    if (!has_token(head, "Connection", "upgrade"))
        return "no Connection: Upgrade";
    if (count_fields(head, "Sec-WebSocket-Accept") != 1 ||
        !slice_is(client_head_value(head, "Sec-WebSocket-Accept"), accept))
        return "Sec-WebSocket-Accept is not what belongs to our key";
    if (count_fields(head, "Sec-WebSocket-Extensions") > 0)
        return "an extension that nobody has asked for";
    if (count_fields(head, "Sec-WebSocket-Protocol") > 0)
        return "a subprotocol that nobody has asked for";
    return NULL;
}

/* 0 with everything behind the head in `input`; else an exit code. */
static int upgrade(struct client_link *link, struct slice request, struct buf *input)
{
    struct handshake expected;
    if (!expected_accept(request, &expected))
        return client_fail("this address cannot be asked for");
    int error = client_link_send(link, request) ? 0 : -errno;
    error = error != 0 ? error : client_receive_head(link, input);
    if (error != 0)
        return client_fail("no answer: %s", strerror(-error));
    size_t head = client_head_bytes(input);
    if (client_status(buf_slice(input)) != 101) {
        client_receive_answer(link, input);
        input->data[input->used] = '\0';
        return client_report_refusal(input, head);
    }
    const char *fault = answer_fault(slice_of(input->data, head), expected.accept);
    if (fault != NULL)
        return client_fail("the answer is no WebSocket handshake: %s", fault);
    memmove(input->data, input->data + head, input->used - head);
    input->used -= head;
    return 0;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

struct reader {
    const struct client_subscribe *subscribe;
    struct client_link *link;
    struct ws_parser parser;
    uint8_t *message; /* the present one, grown as needed */
    size_t message_bytes, message_capacity;
    uint8_t control[WS_CONTROL_BYTES_MAX];
    size_t control_bytes;
    uint64_t printed;
    bool closing; /* our close is sent: only the peer's is waited for */
    bool done;
    uint64_t close_by_ns;
    int code;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

/* A client's frame (RFC 6455 section 5.3): masked, with a fresh key. */
static void send_control(struct reader *reader, enum ws_opcode opcode, struct slice payload)
{
    uint8_t frame[14 + WS_CONTROL_BYTES_MAX], key[4];
    if (clock_entropy(key, sizeof key) != 0)
        return;
    size_t head = ws_header_write_masked(frame, opcode, payload.bytes, key);
    if (payload.bytes > 0)
        memcpy(frame + head, payload.data, payload.bytes);
    ws_mask(frame + head, payload.bytes, key, 0);
    client_link_send(reader->link,
                     slice_of(frame, head + payload.bytes)); /* a broken stream shows at the next receive */
}

static void send_close(struct reader *reader, uint16_t code)
{
    uint8_t payload[2];
    store_be16(payload, code);
    send_control(reader, WS_CLOSE, slice_of(payload, sizeof payload));
}

static void begin_close(struct reader *reader)
{
    if (reader->closing)
        return;
    send_close(reader, WS_CLOSE_NORMAL);
    reader->closing = true;
    reader->close_by_ns = clock_monotonic_ns() + CLOSE_WAIT_NS;
}

static void print_header(enum ws_opcode opcode, size_t bytes)
{
    uint64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    char text[32];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    printf("%s.%03uZ %s %zu ", text, (unsigned)(now % 1000), opcode == WS_TEXT ? "text" : "binary", bytes);
}

static void print_message(struct reader *reader, enum ws_opcode opcode)
{
    if (reader->subscribe->header)
        print_header(opcode, reader->message_bytes);
    if (reader->message_bytes > 0)
        fwrite(reader->message, 1, reader->message_bytes, stdout);
    putchar('\n');
    reader->message_bytes = 0;
    reader->printed++;
    if (reader->printed == reader->subscribe->count)
        begin_close(reader);
}

static bool message_append(struct reader *reader, struct slice piece)
{
    size_t wanted = reader->message_bytes + piece.bytes;
    if (wanted > reader->message_capacity) {
        size_t capacity = wanted < 4096 ? 4096 : 2 * wanted;
        uint8_t *grown = realloc(reader->message, capacity);
        if (grown == NULL)
            return false;
        reader->message = grown;
        reader->message_capacity = capacity;
    }
    if (piece.bytes > 0)
        memcpy(reader->message + reader->message_bytes, piece.data, piece.bytes);
    reader->message_bytes = wanted;
    return true;
}

static void end(struct reader *reader, int code)
{
    reader->done = true;
    reader->code = code;
}

static void on_close(struct reader *reader)
{
    struct slice payload = slice_of(reader->control, reader->control_bytes), reason = {0};
    uint16_t error, code = ws_close_parse(payload, &reason, &error);
    if (reader->closing) {
        end(reader, EXIT_SUCCESS);
        return;
    }
    fflush(stdout); /* the last messages come first */
    fprintf(stderr, "ringcast: closed by the server: %u%s%.*s\n", code, reason.bytes > 0 ? " " : "", (int)reason.bytes,
            (const char *)reason.data);
    uint8_t echo[2];
    store_be16(echo, error != 0 ? error : code);
    send_control(reader, WS_CLOSE, slice_of(echo, code == WS_CLOSE_NO_STATUS ? 0 : sizeof echo));
    end(reader, code == WS_CLOSE_NORMAL ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void on_control(struct reader *reader, const struct ws_event *event)
{
    if (event->first)
        reader->control_bytes = 0;
    if (event->payload.bytes > 0)
        memcpy(reader->control + reader->control_bytes, event->payload.data, event->payload.bytes);
    reader->control_bytes += event->payload.bytes;
    if (!event->last)
        return;
    if (event->opcode == WS_PING && !reader->closing)
        send_control(reader, WS_PONG, slice_of(reader->control, reader->control_bytes));
    else if (event->opcode == WS_CLOSE)
        on_close(reader);
}

static void on_data(struct reader *reader, const struct ws_event *event)
{
    if (reader->closing)
        return;
    if (!message_append(reader, event->payload))
        end(reader, client_fail("out of memory"));
    else if (event->last)
        print_message(reader, event->opcode);
}

static void take(struct reader *reader, struct span input)
{
    static const struct ws_limits limits = {.message_bytes_max = WS_MESSAGE_BYTES_MAX,
                                            .empty_fragments_max = WS_EMPTY_FRAGMENTS_MAX,
                                            .require_mask = false};
    struct ws_event event;
    while (!reader->done) {
        switch (ws_next(&reader->parser, &limits, &input, &event)) {
        case WS_NEED_MORE:
            return;
        case WS_DATA:
            on_data(reader, &event);
            break;
        case WS_CONTROL:
            on_control(reader, &event);
            break;
        case WS_ERROR: /* RFC 6455 section 7.1.7: the peer is told */
            if (!reader->closing)
                send_close(reader, event.close_code);
            end(reader, client_fail("the server broke the protocol: %u %s", event.close_code, event.reason));
            break;
        }
    }
}

/* Waits for bytes, a signal or the end of the wait for the peer's close. Signals come in here and nowhere else. */
static void wait_and_read(struct reader *reader, struct buf *input, const sigset_t *unblocked)
{
    struct pollfd poll = {.fd = client_link_descriptor(reader->link), .events = POLLIN};
    struct timespec wait = {0}, *timeout = client_link_pending(reader->link) ? &wait : NULL;
    if (timeout == NULL && reader->closing) {
        uint64_t now = clock_monotonic_ns();
        uint64_t left = now < reader->close_by_ns ? reader->close_by_ns - now : 0;
        wait = (struct timespec){.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
        timeout = &wait;
    }
    fflush(stdout);
    int ready = ppoll(&poll, 1, timeout, unblocked);
    if (interrupted)
        begin_close(reader);
    bool pending = client_link_pending(reader->link);
    if (ready == 0 && !pending)
        end(reader, EXIT_SUCCESS);
    if (ready <= 0 && !pending)
        return;
    buf_reset(input);
    int n = client_link_receive(reader->link, input);
    if (n == -EAGAIN)
        return;
    if (n <= 0)
        end(reader,
            reader->closing ? EXIT_SUCCESS : client_fail("connection lost: %s", strerror(n == 0 ? ECONNRESET : -n)));
    else
        take(reader, (struct span){.data = input->data, .bytes = input->used});
}

static int read_messages(struct client_link *link, const struct client_subscribe *subscribe, struct buf *input,
                         const sigset_t *unblocked)
{
    struct reader reader = {.subscribe = subscribe, .link = link};
    ws_parser_init(&reader.parser);
    take(&reader, (struct span){.data = input->data, .bytes = input->used});
    while (!reader.done)
        wait_and_read(&reader, input, unblocked);
    free(reader.message);
    if (fflush(stdout) != 0 && reader.code == EXIT_SUCCESS)
        return client_fail("cannot write: %s", strerror(errno));
    return reader.code;
}

/* Blocks SIGINT and SIGTERM; *unblocked is for ppoll. */
static void take_signals(sigset_t *unblocked)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigprocmask(SIG_BLOCK, &blocked, unblocked);
}

int client_subscribe(const struct client_subscribe *subscribe)
{
    struct client_url url;
    sigset_t unblocked;
    static uint8_t request_memory[HTTP_HEAD_BYTES_MAX], input_memory[READ_BYTES + 1];
    struct buf request = buf_of(request_memory, sizeof request_memory), input = buf_of(input_memory, READ_BYTES);
    if (!client_url_parse(subscribe->url, "ws", &url)) {
        client_fail("%s: not an address; write ws://HOST:PORT/PATH or wss://HOST:PORT/PATH", subscribe->url);
        return CLIENT_USAGE;
    }
    if (put_upgrade(&request, &url, subscribe->key) != 0 || request.overflow || !client_is_visible(subscribe->key))
        return client_fail("address or key is too long or not visible ASCII");
    struct client_link *link = client_link_open(&url, &subscribe->trust);
    if (link == NULL)
        return EXIT_FAILURE;
    int code = upgrade(link, buf_slice(&request), &input);
    if (code == 0) {
        take_signals(&unblocked);
        code = read_messages(link, subscribe, &input, &unblocked);
    }
    client_link_close(link);
    return code;
}
