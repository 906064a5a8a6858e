/* SPDX-License-Identifier: MIT */
/* Owns the client's half of a conversation with a ringcast server: HTTP for publishers, WebSocket for readers, over
 * one blocking socket. It is no part of the server and never runs in it, speaks no TLS and never prints a key. Called
 * by the commands `publish` and `subscribe`. */
#include "shards/client.h"

#include "core/buf.h"
#include "core/clock.h"
#include "core/limits.h"
#include "protocol/handshake.h"
#include "protocol/json.h"
#include "protocol/ws.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define TIMEOUT_SECONDS 30 /* to connect, to send, and for an answer */
#define CLOSE_WAIT_NS 2000000000
#define ANSWER_BYTES_MAX (1U << 20)
#define READ_BYTES 65536

static int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("ringcast: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_FAILURE;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

struct url {
    char authority[300]; /* as written, for Host */
    char host[256];
    char port[8];
    const char *target; /* begins with '/', or is "" */
};

static bool is_visible(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

static bool take_port(struct url *url, const char *text)
{
    if (*text == '\0') {
        snprintf(url->port, sizeof url->port, "80");
        return true;
    }
    size_t digits = strspn(text + 1, "0123456789");
    snprintf(url->port, sizeof url->port, "%s", text + 1);
    return *text == ':' && digits > 0 && digits <= 5 && text[1 + digits] == '\0';
}

/* `scheme` is "http://" or "ws://". */
static bool parse_url(const char *text, const char *scheme, struct url *url)
{
    size_t skip = strlen(scheme);
    if (strncmp(text, scheme, skip) != 0 || !is_visible(text))
        return false;
    const char *authority = text + skip;
    size_t bytes = strcspn(authority, "/?#");
    if (bytes == 0 || bytes >= sizeof url->authority || strchr(text, '#') != NULL || authority[bytes] == '?')
        return false;
    snprintf(url->authority, sizeof url->authority, "%.*s", (int)bytes, authority);
    url->target = authority + bytes;

    bool v6 = url->authority[0] == '[';
    const char *host = url->authority + (v6 ? 1 : 0);
    size_t host_bytes = strcspn(host, v6 ? "]" : ":");
    if (host_bytes == 0 || host_bytes >= sizeof url->host || (v6 && host[host_bytes] != ']'))
        return false;
    snprintf(url->host, sizeof url->host, "%.*s", (int)host_bytes, host);
    return take_port(url, host + host_bytes + (v6 ? 1 : 0));
}

/* --- the socket --------------------------------------------------------------------------------------------------- */

/* The descriptor, or -1 with a line on stderr. */
static int open_socket(const struct url *url)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
    int fd = -1, error = getaddrinfo(url->host, url->port, &hints, &found);
    if (error != 0) {
        fail("%s: %s", url->host, gai_strerror(error));
        return -1;
    }
    for (struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout); /* bounds connect too, socket(7) */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            error = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0)
        fail("%s: cannot connect: %s", url->authority, strerror(error == EINPROGRESS ? ETIMEDOUT : error));
    return fd;
}

static bool send_all(int fd, struct slice bytes)
{
    while (bytes.bytes > 0) {
        ssize_t n = send(fd, bytes.data, bytes.bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = slice_skip(bytes, (size_t)n);
    }
    return true;
}

/* Appends what comes next. Bytes, 0 at the end of the stream, -errno; -ENOBUFS when `out` is full. */
static int receive_some(int fd, struct buf *out)
{
    if (out->used == out->capacity)
        return -ENOBUFS;
    ssize_t n;
    do
        n = recv(fd, out->data + out->used, out->capacity - out->used, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    out->used += (size_t)n;
    return (int)n;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static const char head_end[] = "\r\n\r\n";

/* Bytes of the response head, its end included; 0 while it is not complete. */
static size_t head_bytes(const struct buf *answer)
{
    const uint8_t *end = memmem(answer->data, answer->used, head_end, sizeof head_end - 1);
    return end == NULL ? 0 : (size_t)(end - answer->data) + sizeof head_end - 1;
}

/* "HTTP/1.1 202 Accepted" (RFC 9112 section 4); 0 when it is no such line. */
static int status_of(struct slice head)
{
    if (!slice_starts(head, slice_text("HTTP/1.")) || head.bytes < 12)
        return 0;
    int status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (head.data[i] < '0' || head.data[i] > '9')
            return 0;
        status = status * 10 + (head.data[i] - '0');
    }
    return status;
}

static struct slice trim(struct slice text)
{
    while (text.bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_skip(text, 1);
    while (text.bytes > 0 && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

/* The value of the first field of that name, in any case; no bytes when there is none. */
static struct slice head_value(struct slice head, const char *name)
{
    size_t name_bytes = strlen(name);
    while (head.bytes > 0) {
        const uint8_t *end = memmem(head.data, head.bytes, "\r\n", 2);
        size_t bytes = end == NULL ? head.bytes : (size_t)(end - head.data);
        struct slice line = slice_of(head.data, bytes);
        head = slice_skip(head, bytes + 2);
        if (line.bytes > name_bytes && line.data[name_bytes] == ':' &&
            slice_is_nocase(slice_of(line.data, name_bytes), name))
            return trim(slice_skip(line, name_bytes + 1));
    }
    return slice_of(NULL, 0);
}

/* Whether the head and as much content as it announces are there; without Content-Length only the end of the stream
 * tells. */
static bool is_whole(const struct buf *answer)
{
    size_t head = head_bytes(answer);
    uint64_t content;
    return head > 0 && json_u64(head_value(slice_of(answer->data, head), "Content-Length"), &content) &&
           answer->used - head >= content;
}

/* Reads a whole answer. 0, or -errno when not even a head came. */
static int receive_answer(int fd, struct buf *answer)
{
    int n = 1;
    while (n > 0 && !is_whole(answer))
        n = receive_some(fd, answer);
    if (head_bytes(answer) > 0)
        return 0;
    return n == 0 ? -ECONNRESET : n;
}

static int report_refusal(const struct buf *answer, size_t head)
{
    size_t line = strcspn((const char *)answer->data, "\r");
    return fail("refused: %.*s%s%.*s", (int)(line > 9 ? line - 9 : 0), (const char *)answer->data + 9,
                answer->used > head ? " " : "", (int)(answer->used - head), (const char *)answer->data + head);
}

/* --- publish ------------------------------------------------------------------------------------------------------ */

/* Percent-encodes all but unreserved characters, ':' and the slash (RFC 3986 section 3.3). */
static void put_path(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~/:", c) != NULL) {
            buf_put_byte(out, c);
        } else {
            buf_put_byte(out, '%');
            buf_put_byte(out, (uint8_t) "0123456789ABCDEF"[c >> 4]);
            buf_put_byte(out, (uint8_t) "0123456789ABCDEF"[c & 15]);
        }
    }
}

static const char *content_type(const struct client_publish *publish)
{
    if (publish->ndjson)
        return "application/x-ndjson";
    return json_valid(publish->body, JSON_DEPTH_MAX) ? "application/json" : "text/plain; charset=utf-8";
}

static void put_post(struct buf *out, const struct url *url, const struct client_publish *publish)
{
    buf_put_text(out, "POST /ingest/v1/");
    put_path(out, publish->topic);
    buf_put_text(out, " HTTP/1.1\r\nHost: ");
    buf_put_text(out, url->authority);
    buf_put_text(out, "\r\nConnection: close\r\nContent-Type: ");
    buf_put_text(out, content_type(publish));
    buf_put_text(out, "\r\nContent-Length: ");
    buf_put_u64(out, publish->body.bytes);
    if (publish->key[0] != '\0') {
        buf_put_text(out, "\r\nAuthorization: Bearer ");
        buf_put_text(out, publish->key);
    }
    buf_put_text(out, head_end);
}

/* A refusal may come before all is sent, so a failed send is no reason not to listen. */
static int exchange(int fd, struct slice head, struct slice body, struct buf *answer)
{
    int unsent = send_all(fd, head) && send_all(fd, body) ? 0 : -errno;
    int error = receive_answer(fd, answer);
    if (error == 0)
        return 0;
    return fail("no answer: %s", strerror(unsent != 0 ? -unsent : -error));
}

static int post(int fd, struct slice head, struct slice body)
{
    uint8_t *memory = malloc(ANSWER_BYTES_MAX + 1);
    if (memory == NULL)
        return fail("out of memory");
    struct buf answer = buf_of(memory, ANSWER_BYTES_MAX);
    int code = exchange(fd, head, body, &answer);
    memory[answer.used] = '\0';
    if (code == 0) {
        size_t end = head_bytes(&answer);
        int status = status_of(buf_slice(&answer));
        if (status < 200 || status > 299)
            code = report_refusal(&answer, end);
        else if (answer.used > end)
            printf("%s\n", (const char *)memory + end);
    }
    free(memory);
    return code;
}

int client_publish(const struct client_publish *publish)
{
    struct url url;
    uint8_t memory[4096];
    struct buf head = buf_of(memory, sizeof memory);
    if (!parse_url(publish->url, "http://", &url) || (url.target[0] != '\0' && strcmp(url.target, "/") != 0)) {
        fail("%s: not an address; write http://HOST:PORT", publish->url);
        return EXIT_USAGE;
    }
    put_post(&head, &url, publish);
    if (head.overflow || !is_visible(publish->key))
        return fail("%s", head.overflow ? "topic or key is too long" : "the key is not visible ASCII");
    int fd = open_socket(&url);
    if (fd < 0)
        return EXIT_FAILURE;
    int code = post(fd, buf_slice(&head), publish->body);
    close(fd);
    return code;
}

/* --- subscribe: handshake ----------------------------------------------------------------------------------------- */

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

static int put_upgrade(struct buf *out, const struct url *url, const char *api_key)
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
    buf_put_text(out, head_end);
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

/* 0 with everything behind the head in `input`; else an exit code. */
static int upgrade(int fd, struct slice request, struct buf *input)
{
    struct handshake expected;
    if (!expected_accept(request, &expected))
        return fail("this address cannot be asked for");
    int n = send_all(fd, request) ? 1 : -errno;
    while (n > 0 && head_bytes(input) == 0)
        n = receive_some(fd, input);
    size_t head = head_bytes(input);
    if (head == 0)
        return fail("no answer: %s", strerror(n == 0 ? ECONNRESET : -n));
    if (status_of(buf_slice(input)) != 101) {
        receive_answer(fd, input);
        input->data[input->used] = '\0';
        return report_refusal(input, head);
    }
    /* RFC 6455 section 4.1, of the response: 4 */
    if (!slice_is(head_value(slice_of(input->data, head), "Sec-WebSocket-Accept"), expected.accept))
        return fail("the answer is no WebSocket handshake");
    memmove(input->data, input->data + head, input->used - head);
    input->used -= head;
    return 0;
}

/* --- subscribe: messages ------------------------------------------------------------------------------------------ */

struct reader {
    const struct client_subscribe *subscribe;
    int fd;
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
    send_all(reader->fd, slice_of(frame, head + payload.bytes)); /* a broken stream shows at the next receive */
}

static void begin_close(struct reader *reader)
{
    uint8_t payload[2];
    if (reader->closing)
        return;
    store_be16(payload, WS_CLOSE_NORMAL);
    send_control(reader, WS_CLOSE, slice_of(payload, sizeof payload));
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
        end(reader, fail("out of memory"));
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
        case WS_ERROR:
            end(reader, fail("the server broke the protocol: %u %s", event.close_code, event.reason));
            break;
        }
    }
}

/* Waits for bytes, a signal or the end of the wait for the peer's close. Signals come in here and nowhere else. */
static void wait_and_read(struct reader *reader, struct buf *input, const sigset_t *unblocked)
{
    struct pollfd poll = {.fd = reader->fd, .events = POLLIN};
    struct timespec wait = {0}, *timeout = NULL;
    if (reader->closing) {
        uint64_t now = clock_monotonic_ns();
        uint64_t left = now < reader->close_by_ns ? reader->close_by_ns - now : 0;
        wait = (struct timespec){.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
        timeout = &wait;
    }
    fflush(stdout);
    int ready = ppoll(&poll, 1, timeout, unblocked);
    if (interrupted)
        begin_close(reader);
    if (ready == 0)
        end(reader, EXIT_SUCCESS);
    if (ready <= 0)
        return;
    buf_reset(input);
    int n = receive_some(reader->fd, input);
    if (n <= 0)
        end(reader, reader->closing ? EXIT_SUCCESS : fail("connection lost: %s", strerror(n == 0 ? ECONNRESET : -n)));
    else
        take(reader, (struct span){.data = input->data, .bytes = input->used});
}

static int read_messages(int fd, const struct client_subscribe *subscribe, struct buf *input, const sigset_t *unblocked)
{
    struct reader reader = {.subscribe = subscribe, .fd = fd};
    ws_parser_init(&reader.parser);
    take(&reader, (struct span){.data = input->data, .bytes = input->used});
    while (!reader.done)
        wait_and_read(&reader, input, unblocked);
    free(reader.message);
    if (fflush(stdout) != 0 && reader.code == EXIT_SUCCESS)
        return fail("cannot write: %s", strerror(errno));
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
    struct url url;
    sigset_t unblocked;
    static uint8_t request_memory[HTTP_HEAD_BYTES_MAX], input_memory[READ_BYTES + 1];
    struct buf request = buf_of(request_memory, sizeof request_memory), input = buf_of(input_memory, READ_BYTES);
    if (!parse_url(subscribe->url, "ws://", &url)) {
        fail("%s: not an address; write ws://HOST:PORT/PATH", subscribe->url);
        return EXIT_USAGE;
    }
    if (put_upgrade(&request, &url, subscribe->key) != 0 || request.overflow || !is_visible(subscribe->key))
        return fail("address or key is too long or not visible ASCII");
    int fd = open_socket(&url);
    if (fd < 0)
        return EXIT_FAILURE;
    int code = upgrade(fd, buf_slice(&request), &input);
    if (code == 0) {
        take_signals(&unblocked);
        code = read_messages(fd, subscribe, &input, &unblocked);
    }
    close(fd);
    return code;
}
