/* SPDX-License-Identifier: MIT */
/* Owns the part of HTTP/1.1 that the clients of the commands need: an address, a connection, a whole answer. It
 * speaks no TLS, follows no redirection and knows nothing of messages. Called by client_publish.c and
 * client_subscribe.c. */
#include "shards/client_http.h"

#include "protocol/json.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_SECONDS 30 /* to connect, to send, and for an answer */

int client_fail(const char *format, ...)
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

bool client_is_visible(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

static bool take_port(struct client_url *url, const char *text)
{
    if (*text == '\0') {
        snprintf(url->port, sizeof url->port, "80");
        return true;
    }
    size_t digits = strspn(text + 1, "0123456789");
    snprintf(url->port, sizeof url->port, "%s", text + 1);
    return *text == ':' && digits > 0 && digits <= 5 && text[1 + digits] == '\0';
}

bool client_url_parse(const char *text, const char *scheme, struct client_url *url)
{
    size_t skip = strlen(scheme);
    if (strncmp(text, scheme, skip) != 0 || !client_is_visible(text))
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

int client_connect(const struct client_url *url)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
    int fd = -1, error = getaddrinfo(url->host, url->port, &hints, &found);
    if (error != 0) {
        client_fail("%s: %s", url->host, gai_strerror(error));
        return -1;
    }
    for (struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd < 0) {
            error = errno;
            continue;
        }
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
        client_fail("%s: cannot connect: %s", url->authority, strerror(error == EINPROGRESS ? ETIMEDOUT : error));
    return fd;
}

bool client_send(int fd, struct slice bytes)
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

int client_receive(int fd, struct buf *out)
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

size_t client_head_bytes(const struct buf *answer)
{
    const uint8_t *end = memmem(answer->data, answer->used, CLIENT_HEAD_END, sizeof CLIENT_HEAD_END - 1);
    return end == NULL ? 0 : (size_t)(end - answer->data) + sizeof CLIENT_HEAD_END - 1;
}

int client_status(struct slice head)
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

struct slice client_head_value(struct slice head, const char *name)
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
    size_t head = client_head_bytes(answer);
    uint64_t content;
    return head > 0 && json_u64(client_head_value(slice_of(answer->data, head), "Content-Length"), &content) &&
           answer->used - head >= content;
}

int client_receive_answer(int fd, struct buf *answer)
{
    int n = 1;
    while (n > 0 && !is_whole(answer))
        n = client_receive(fd, answer);
    if (client_head_bytes(answer) > 0)
        return 0;
    return n == 0 ? -ECONNRESET : n;
}

int client_report_refusal(const struct buf *answer, size_t head)
{
    size_t line = strcspn((const char *)answer->data, "\r");
    return client_fail("refused: %.*s%s%.*s", (int)(line > 9 ? line - 9 : 0), (const char *)answer->data + 9,
                       answer->used > head ? " " : "", (int)(answer->used - head), (const char *)answer->data + head);
}
