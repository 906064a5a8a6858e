/* SPDX-License-Identifier: MIT */
/* Owns the reading of URLs and the look-up of their hosts. It never opens a connection. Called when the bench starts
 * and whenever a request line is written. */
#include "bench/bench_url.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

static bool wrong(struct buf *why, const char *text, const char *what)
{
    buf_put_text(why, what);
    buf_put_text(why, ": ");
    buf_put_text(why, text);
    return false;
}

/* "host", "host:port" or "[v6]:port" into host and port. */
static bool split_authority(struct url *url)
{
    const char *host = url->authority;
    size_t host_bytes = strcspn(host, ":");
    const char *rest = host + host_bytes;
    if (host[0] == '[') {
        const char *end = strchr(host, ']');
        if (!end)
            return false;
        host++;
        host_bytes = (size_t)(end - host);
        rest = end + 1;
    }
    if (host_bytes == 0 || (rest[0] != '\0' && rest[0] != ':'))
        return false;
    memcpy(url->host, host, host_bytes);
    url->host[host_bytes] = '\0';
    const char *port = rest[0] == ':' ? rest + 1 : url->tls ? "443" : "80";
    size_t digits = strspn(port, "0123456789");
    if (digits == 0 || digits > 5 || port[digits] != '\0')
        return false;
    memcpy(url->port, port, digits + 1);
    return true;
}

bool url_parse(struct url *url, const char *text, const char *scheme, bool tls, struct buf *why)
{
    memset(url, 0, sizeof *url);
    size_t scheme_bytes = strlen(scheme);
    bool secure = strncmp(text, scheme, scheme_bytes) == 0 && text[scheme_bytes] == 's';
    size_t secure_bytes = secure ? 1 : 0;
    if (strncmp(text, scheme, scheme_bytes) != 0 || strncmp(text + scheme_bytes + secure_bytes, "://", 3) != 0)
        return wrong(why, text,
                     strcmp(scheme, "ws") == 0 ? "a ws:// or wss:// URL is needed"
                                               : "an http:// or https:// URL is needed");
    url->tls = secure || tls;
    const char *authority = text + scheme_bytes + secure_bytes + 3;
    size_t authority_bytes = strcspn(authority, "/?#");
    const char *path = authority + authority_bytes;
    size_t path_bytes = strcspn(path, "#");
    if (authority_bytes > URL_HOST_BYTES_MAX || path_bytes >= URL_PATH_BYTES_MAX)
        return wrong(why, text, "the URL is too long");
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c == 0x7f)
            return wrong(why, text, "no spaces or control characters in a URL");
    memcpy(url->authority, authority, authority_bytes);
    size_t slash = path[0] == '/' ? 0 : 1;
    url->path[0] = '/';
    memcpy(url->path + slash, path, path_bytes);
    if (!split_authority(url))
        return wrong(why, text, "host and port cannot be read");
    return true;
}

bool url_resolve(struct url *url, struct buf *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(url->host, url->port, &hints, &found);
    if (error != 0)
        return wrong(why, url->host, gai_strerror(error));
    memcpy(&url->address, found->ai_addr, found->ai_addrlen);
    url->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

void url_put_path(const struct url *url, const char *channel, struct buf *out)
{
    static const char place[] = "{channel}";
    const char *from = url->path;
    for (const char *at; (at = strstr(from, place)) != NULL; from = at + sizeof place - 1) {
        buf_put(out, slice_of(from, (size_t)(at - from)));
        buf_put_text(out, channel);
    }
    buf_put_text(out, from);
}

void url_put_topic(const struct url *url, const char *channel, struct buf *out)
{
    uint8_t memory[URL_PATH_BYTES_MAX + 1];
    struct buf path = buf_of(memory, sizeof memory);
    url_put_path(url, channel, &path);
    size_t end = 0;
    size_t begin = 0;
    while (end < path.used && memory[end] != '?') {
        if (memory[end] == '/')
            begin = end + 1;
        end++;
    }
    buf_put(out, slice_of(memory + begin, end - begin));
}

bool url_source_address(const struct url *url, const char *text, struct sockaddr_storage *out, struct buf *why)
{
    struct addrinfo hints = {
        .ai_family = url->address.ss_family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    if (getaddrinfo(text, NULL, &hints, &found) != 0)
        return wrong(why, text, "not an address of the server's family");
    memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}
