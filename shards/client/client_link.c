/* SPDX-License-Identifier: MIT */
/* Owns the socket of a command's client and the TLS on it. It never reads more than it is asked for and knows nothing
 * of HTTP. Called by client_publish.c, client_subscribe.c and client_http.c. */
#include "shards/client/client_link.h"

#include "protocol/tls/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_SECONDS 30 /* to connect, to send, and for an answer */
#define AUTHORITIES_FOLDER "/etc/ssl/certs"
#define FILE_BYTES_MAX (4U << 20) /* of authorities, of a certificate, of a key */

struct client_link {
    int fd;
    struct tls_context *context; /* NULL: plain text */
    struct tls *tls;
    struct slice rest;  /* of `cipher`: not taken yet */
    struct slice plain; /* of `opened`: not handed out yet */
    bool ended;         /* close_notify has come */
    uint8_t cipher[TLS_RECORD_BYTES_MAX];
    uint8_t opened[TLS_PLAIN_BYTES_MAX];
    uint8_t out[TLS_OUT_ROOM];
};

/* --- the socket --------------------------------------------------------------------------------------------------- */

static int connect_socket(const struct client_url *url)
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

/* Bytes, 0 at the end of the stream, -errno. */
static int receive_some(int fd, uint8_t *data, size_t bytes)
{
    ssize_t n;
    do
        n = recv(fd, data, bytes, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return (int)n;
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

/* One step of the session with the bytes that are there; what it has to say is sent. */
static enum tls_result step(struct client_link *link)
{
    struct buf plain = buf_of(link->opened, sizeof link->opened), out = buf_of(link->out, sizeof link->out);
    enum tls_result result = tls_read(link->tls, &link->rest, &plain, &out, (uint64_t)time(NULL));
    send_all(link->fd, buf_slice(&out)); /* a broken stream shows at the next receive */
    link->plain = result == TLS_DATA ? buf_slice(&plain) : slice_of(NULL, 0);
    link->ended = result == TLS_CLOSED;
    return result;
}

/* Reads ciphertext when none is left. 1, 0 at the end of the stream, -errno. */
static int refill(struct client_link *link)
{
    if (link->rest.bytes > 0)
        return 1;
    int n = receive_some(link->fd, link->cipher, sizeof link->cipher);
    if (n > 0)
        link->rest = slice_of(link->cipher, (size_t)n);
    return n > 0 ? 1 : n;
}

static bool shake_hands(struct client_link *link, const struct client_url *url)
{
    enum tls_result result = step(link); /* our hello */
    int error = 1;
    while (!tls_established(link->tls) && result == TLS_NEED_MORE && (error = refill(link)) > 0)
        result = step(link);
    if (tls_established(link->tls) && result != TLS_ERROR)
        return true;
    if (result == TLS_ERROR)
        client_fail("%s: tls: %s", url->authority, tls_why(link->tls));
    else
        client_fail("%s: tls: %s", url->authority,
                    error < 0 ? strerror(-error) : "the server has closed the connection");
    return false;
}

/* A file's content in memory of its own, or no bytes with a line on stderr. */
static struct slice read_file(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = in == NULL ? NULL : malloc(FILE_BYTES_MAX);
    size_t bytes = text == NULL ? 0 : fread(text, 1, FILE_BYTES_MAX, in);
    if (bytes == 0) {
        client_fail("%s: %s", path, in == NULL ? strerror(errno) : "cannot be read");
        free(text);
        text = NULL;
    }
    if (in != NULL)
        fclose(in);
    return slice_of(text, bytes);
}

/* The three files that trust may name. */
struct trust_texts {
    struct slice authorities, certificate, key;
};

static bool read_trust(const struct client_trust *trust, struct trust_texts *out)
{
    const char *key = trust->key != NULL ? trust->key : trust->certificate;
    *out = (struct trust_texts){0};
    if (trust->authorities != NULL && (out->authorities = read_file(trust->authorities)).bytes == 0)
        return false;
    if (trust->certificate == NULL)
        return true;
    return (out->certificate = read_file(trust->certificate)).bytes > 0 && (out->key = read_file(key)).bytes > 0;
}

static void free_text(struct slice text)
{
    if (text.bytes > 0)
        explicit_bzero((void *)(uintptr_t)text.data, text.bytes);
    free((void *)(uintptr_t)text.data);
}

static struct tls_context *make_context(const struct client_trust *trust)
{
    struct trust_texts texts;
    struct tls_context *context = NULL;
    char why[256] = "out of memory";
    if (read_trust(trust, &texts)) {
        struct tls_settings settings = {.allow_tls12 = true,
                                        .authorities = texts.authorities,
                                        .identities[0] = {.chain = texts.certificate, .key = texts.key},
                                        .identity_count = trust->certificate != NULL ? 1 : 0};
        if (tls_start(0))
            context = tls_context_create_client(&settings, !trust->anybody, AUTHORITIES_FOLDER, why, sizeof why);
        if (context == NULL)
            client_fail("tls: %s", why);
    }
    free_text(texts.authorities);
    free_text(texts.certificate);
    free_text(texts.key);
    return context;
}

/* The host when it is an address: 4 or 16 bytes; no bytes: a name. */
static struct slice address_of(const char *host, uint8_t address[16])
{
    if (inet_pton(AF_INET, host, address) == 1)
        return slice_of(address, 4);
    return slice_of(address, inet_pton(AF_INET6, host, address) == 1 ? 16 : 0);
}

/* 127.1, 0177.0.0.1: the resolver takes these for addresses, a certificate's wildcard would take them for names. */
static bool is_odd_address(const char *host)
{
    const char *dot = strrchr(host, '.'), *last = dot == NULL ? host : dot + 1;
    return *last != '\0' && last[strspn(last, "0123456789")] == '\0';
}

static bool begin_tls(struct client_link *link, const struct client_url *url, const struct client_trust *trust)
{
    link->context = make_context(trust);
    if (link->context == NULL)
        return false;
    uint8_t memory[16];
    struct slice address = address_of(url->host, memory);
    if (address.bytes == 0 && is_odd_address(url->host)) {
        client_fail("%s: tls: write an address as four numbers from 0 to 255", url->host);
        return false;
    }
    link->tls = tls_create_client_at(link->context, url->host, address);
    if (link->tls == NULL) {
        client_fail("tls: out of memory");
        return false;
    }
    return shake_hands(link, url);
}

/* --- both --------------------------------------------------------------------------------------------------------- */

struct client_link *client_link_open(const struct client_url *url, const struct client_trust *trust)
{
    struct client_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        client_fail("out of memory");
        return NULL;
    }
    link->fd = connect_socket(url);
    if (link->fd >= 0 && (!url->secure || begin_tls(link, url, trust)))
        return link;
    client_link_close(link);
    return NULL;
}

void client_link_close(struct client_link *link)
{
    if (link->tls != NULL) {
        struct buf out = buf_of(link->out, sizeof link->out);
        tls_close(link->tls, &out);
        send_all(link->fd, buf_slice(&out));
        tls_destroy(link->tls);
    }
    tls_context_release(link->context);
    if (link->fd >= 0)
        close(link->fd);
    free(link);
}

bool client_link_send(struct client_link *link, struct slice bytes)
{
    if (link->tls == NULL)
        return send_all(link->fd, bytes);
    while (bytes.bytes > 0) {
        size_t part = bytes.bytes < TLS_PLAIN_BYTES_MAX ? bytes.bytes : TLS_PLAIN_BYTES_MAX;
        struct buf out = buf_of(link->out, sizeof link->out);
        errno = EPROTO;
        if (!tls_seal(link->tls, slice_of(bytes.data, part), &out) || !send_all(link->fd, buf_slice(&out)))
            return false;
        bytes = slice_skip(bytes, part);
    }
    return true;
}

/* Appends opened bytes, as many as there is room for. */
static int hand_out(struct client_link *link, struct buf *out)
{
    size_t room = out->capacity - out->used;
    size_t part = link->plain.bytes < room ? link->plain.bytes : room;
    buf_put(out, slice_of(link->plain.data, part));
    link->plain = slice_skip(link->plain, part);
    return (int)part;
}

int client_link_receive(struct client_link *link, struct buf *out)
{
    if (out->used == out->capacity)
        return -ENOBUFS;
    if (link->tls == NULL) {
        int n = receive_some(link->fd, out->data + out->used, out->capacity - out->used);
        out->used += n > 0 ? (size_t)n : 0;
        return n;
    }
    while (link->plain.bytes == 0) {
        if (link->ended)
            return 0;
        int n = refill(link);
        if (n <= 0)
            return n;
        enum tls_result result = step(link);
        if (result == TLS_ERROR) {
            client_fail("tls: %s", tls_why(link->tls));
            return -EPROTO;
        }
        if (result == TLS_NEED_MORE)
            return -EAGAIN;
    }
    return hand_out(link, out);
}

bool client_link_pending(const struct client_link *link)
{
    return link->plain.bytes > 0 || link->rest.bytes > 0 || link->ended;
}

int client_link_descriptor(const struct client_link *link)
{
    return link->fd;
}
