/* SPDX-License-Identifier: MIT */
/* Owns the table of addresses that the configuration asks for: who serves where, whether two want the same, and the
 * listening sockets of each shard's ring. It never accepts. Called by server at the start. */
#include "shards/process/ports.h"

#include "core/check.h"
#include "core/log.h"
#include "protocol/dialect.h"
#include "protocol/tls/tls.h"
#include "shards/config/config_listen.h"
#include "shards/conn/conn_log.h"
#include "shards/conn/role.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 4096
#define PORT_TRIES 20
#define PORT_WAIT_MS 25

static void log_failure(const char *message, const char *what, const char *why)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, message);
    log_text(&line, "listen", what);
    log_text(&line, "error", why);
    log_end(&line);
}

static bool same_address(const struct ring_address *a, const struct ring_address *b)
{
    return a->port == b->port && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* `dialect` and `mount` count for ROLE_SESSION only. */
static bool add_listener(struct ports *ports, enum role role, uint32_t dialect, unsigned mount, const char *text)
{
    struct listen listen;
    int error = config_parse_listen(text, &listen);
    check(error == 0); /* config_load has checked it */
    for (uint32_t a = 0; a < listen.count; a++) {
        const struct ring_address *address = &listen.addresses[a];
        struct listener *found = NULL;
        for (uint32_t i = 0; i < ports->count; i++)
            if (same_address(&ports->items[i].address, address))
                found = &ports->items[i];
        if (found == NULL && ports->count == LISTENERS_MAX) {
            log_failure("too many listeners", text, "at most 32 addresses; merge or remove some");
            return false;
        }
        bool by_name = listen.count > 1;
        if (found == NULL) {
            ports->by_name |= by_name ? 1U << ports->count : 0;
            found = &ports->items[ports->count++];
            *found = (struct listener){.role = role,
                                       .address = *address,
                                       .tls = listen.tls,
                                       .client = listen.client,
                                       .socket = RING_SOCKET_NONE};
        } else if (found->role != role) {
            log_failure("address used twice", text, "ingest, admin and dialects need addresses of their own");
            return false;
        } else if (!by_name) {
            ports->by_name &= ~(1U << (found - ports->items));
        }
        if (role == ROLE_SESSION) {
            found->dialects |= 1U << dialect;
            found->mounts[dialect] |= 1U << mount;
        }
    }
    return true;
}

/* Whether a path of dialect a, on a listener that both share, is also one of dialect b; then it is logged. */
static bool clash(const struct ports *ports, const struct listener *listener, uint32_t a, uint32_t b, const char *path)
{
    const struct dialect_settings *of_a = ports->config->dialects[a], *of_b = ports->config->dialects[b];
    uint8_t memory[512];
    struct buf whole = buf_of(memory, sizeof memory);
    buf_put_text(&whole, of_a->prefix);
    buf_put_text(&whole, path);
    struct slice prefix = slice_text(of_b->prefix);
    if (!slice_starts(buf_slice(&whole), prefix) ||
        dialects[b]->route(of_b, slice_skip(buf_slice(&whole), prefix.bytes)) == DIALECT_PATH_NONE)
        return false;
    struct log_line line;
    log_begin(&line, LOG_ERROR, "two dialects own one path");
    log_text(&line, "first", dialects[a]->name);
    log_text(&line, "second", dialects[b]->name);
    log_slice(&line, "path", buf_slice(&whole));
    log_u64(&line, "port", listener->address.port);
    log_text(&line, "hint", "give one of them a prefix, or another port");
    log_end(&line);
    return true;
}

/* Two owners of one path on one listener are never decided silently (G-2). */
static bool paths_are_disjoint(const struct ports *ports, const struct listener *listener)
{
    for (uint32_t a = 0; a < ports->config->dialect_count; a++)
        for (uint32_t b = 0; b < ports->config->dialect_count; b++)
            for (const char *const *path = dialects[a]->paths; *path != NULL; path++)
                if (a != b && listener->dialects & 1U << a && listener->dialects & 1U << b &&
                    clash(ports, listener, a, b, *path))
                    return false;
    return true;
}

bool ports_collect(struct ports *ports, const struct config *config)
{
    *ports = (struct ports){.config = config};
    for (uint32_t d = 0; d < config->dialect_count; d++) {
        const struct option_texts *texts;
        for (unsigned mount = 0; (texts = dialect_listen(dialects[d], config->dialects[d], mount)) != NULL; mount++)
            for (uint32_t i = 0; i < texts->count; i++)
                if (!add_listener(ports, ROLE_SESSION, d, mount, texts->items[i]))
                    return false;
    }
    for (uint32_t i = 0; i < config->ingest.listen.count; i++)
        if (!add_listener(ports, ROLE_INGEST, 0, 0, config->ingest.listen.items[i]))
            return false;
    for (uint32_t i = 0; i < config->admin.listen.count; i++)
        if (!add_listener(ports, ROLE_OPERATOR, 0, 0, config->admin.listen.items[i]))
            return false;
    for (uint32_t i = 0; i < ports->count; i++)
        if (!paths_are_disjoint(ports, &ports->items[i]))
            return false;
    if (ports->count == 0)
        log_failure("nothing to serve", "none", "configure at least one listener");
    return ports->count > 0;
}

static void address_text(const struct ring_address *address, char *out, size_t bytes)
{
    struct buf text = buf_of(out, bytes - 1);
    conn_put_address(&text, address);
    out[text.used] = '\0';
}

/* Every shard listens with SO_REUSEPORT, which a second instance could join unseen: a plain bind finds out first. It
 * does not listen: who came in that moment would be accepted and reset, and who came behind it refused, before there is
 * a server. */
static int probe_port(const struct ring_address *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    bool v4 = memcmp(address->bytes, mapped, sizeof mapped) == 0;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    memcpy(&in6.sin6_addr, address->bytes, sizeof address->bytes);
    memcpy(&in.sin_addr, address->bytes + 12, 4);
    int one = 1;
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    int result = v4 ? bind(fd, (struct sockaddr *)&in, sizeof in) : bind(fd, (struct sockaddr *)&in6, sizeof in6);
    result = result != 0 ? -errno : 0;
    close(fd);
    return result;
}

static const uint8_t v4_any[16] = {[10] = 0xff, [11] = 0xff}, v6_any[16] = {0};

static void log_missing(const struct ring_address *address, int error, const char *hint)
{
    char text[64];
    struct log_line line;
    address_text(address, text, sizeof text);
    log_begin(&line, LOG_WARN, "not available here");
    log_text(&line, "listen", text);
    log_errno(&line, "error", error);
    log_text(&line, "hint", hint);
    log_end(&line);
}

static void take_out(struct ports *ports, uint32_t index)
{
    uint32_t below = (1U << index) - 1;
    ports->by_name = (ports->by_name & below) | (ports->by_name >> 1 & ~below);
    ports->count--;
    memmove(&ports->items[index], &ports->items[index + 1], (ports->count - index) * sizeof ports->items[0]);
}

/* The kernel cuts the queue of each listening socket to this (listen(2)). */
static void check_backlog(void)
{
    unsigned most;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%u", &most) == 1 && most < BACKLOG) {
        struct log_line line;
        log_begin(&line, LOG_WARN, "net.core.somaxconn is low");
        log_u64(&line, "value", most);
        log_u64(&line, "wanted", BACKLOG);
        log_text(&line, "hint", "when many connect at once some are refused; sysctl net.core.somaxconn=4096");
        log_end(&line);
    }
    fclose(file);
}

bool ports_settle(struct ports *ports)
{
    for (uint32_t i = 0; i < ports->count;) {
        struct ring_address *address = &ports->items[i].address;
        int error = probe_port(address);
        bool is_missing = error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
        if (is_missing && (ports->by_name & 1U << i) != 0) {
            log_missing(address, error, "localhost is the other loopback address alone");
            take_out(ports, i);
            continue;
        }
        if (is_missing && memcmp(address->bytes, v6_any, sizeof v6_any) == 0) {
            log_missing(address, error, "the machine has no IPv6: 0.0.0.0 instead");
            memcpy(address->bytes, v4_any, sizeof v4_any);
        }
        i++;
    }
    check_backlog();
    if (ports->count == 0)
        log_failure("nothing to serve", "localhost", "the machine has no loopback address: is the interface lo up?");
    return ports->count > 0;
}

/* The sockets of a process that has just been killed live until the kernel has taken its rings apart: a moment longer
 * than it. */
static int wait_for_port(const struct ring_address *address)
{
    int error;
    for (int tries = 0; (error = probe_port(address)) == -EADDRINUSE && tries < PORT_TRIES; tries++)
        nanosleep(&(struct timespec){.tv_nsec = PORT_WAIT_MS * 1000000L}, NULL);
    return error;
}

static const char *const client_words[] = {
    [TLS_CLIENT_NONE] = "true",
    [TLS_CLIENT_OPTIONAL] = "client certificates optional",
    [TLS_CLIENT_REQUIRED] = "client certificates required",
};

bool ports_listen(const struct ports *ports, struct ring *ring, bool first, struct listener *of_shard)
{
    const struct server_settings *settings = &ports->config->server;
    for (uint32_t i = 0; i < ports->count; i++) {
        const struct listener *listener = &ports->items[i];
        char text[64];
        address_text(&listener->address, text, sizeof text);
        struct ring_listen_options options = {
            .address = listener->address,
            .backlog = BACKLOG,
            .send_buffer_bytes = (uint32_t)settings->send_buffer_bytes,
            .receive_buffer_bytes = (uint32_t)settings->receive_buffer_bytes,
            .notsent_lowat_bytes = (uint32_t)settings->notsent_lowat_bytes,
        };
        int error = first ? wait_for_port(&listener->address) : 0;
        int socket = error != 0 ? error : ring_listen(ring, &options, NULL);
        if (socket < 0) {
            struct log_line line;
            log_begin(&line, LOG_ERROR, "cannot listen");
            log_text(&line, "listen", text);
            log_errno(&line, "error", socket);
            if (socket == -EADDRINUSE)
                log_text(&line, "hint", "another process uses this port; stop it or configure another");
            log_end(&line);
            return false;
        }
        of_shard[i] = *listener;
        of_shard[i].socket = (uint32_t)socket;
        if (!first)
            continue;
        struct log_line line;
        log_begin(&line, LOG_INFO, "listening");
        log_text(&line, "listen", text);
        log_text(&line, "for", role_names[listener->role]);
        if (listener->tls)
            log_text(&line, "tls", client_words[listener->client]);
        for (uint32_t d = 0; d < ports->config->dialect_count; d++)
            if (listener->dialects & 1U << d)
                log_text(&line, "dialect", dialects[d]->name);
        log_end(&line);
    }
    return true;
}
