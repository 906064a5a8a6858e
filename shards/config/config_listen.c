/* SPDX-License-Identifier: MIT */
/* Owns the form of a listening address: host, port, and whether TLS is spoken there. It resolves no names and opens no
 * socket. Called by the checks of the configuration and by ports. */
#include "shards/config/config_listen.h"
#include "protocol/tls/tls.h"
#include "shards/config/config_parts.h"

#include <arpa/inet.h>
#include <errno.h>

static int parse_port(const char *text, uint16_t *port)
{
    uint32_t value = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return -EINVAL;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (uint32_t)(text[i] - '0');
    if (value > UINT16_MAX)
        return -EINVAL;
    *port = (uint16_t)value;
    return 0;
}

static void map_v4(struct in_addr v4, struct ring_address *out)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96, RFC 4291 section 2.5.5.2 */
    memcpy(out->bytes, prefix, sizeof prefix);
    memcpy(out->bytes + sizeof prefix, &v4, sizeof v4);
}

/* The part before the port. */
static int parse_host(const char *host, struct ring_address addresses[2])
{
    struct in_addr v4;
    struct in6_addr v6;
    size_t bytes = strlen(host);
    if (strcmp(host, "*") == 0) /* the unspecified IPv6 address, which takes IPv4 too */
        return 1;
    if (strcmp(host, "localhost") == 0) {
        map_v4((struct in_addr){.s_addr = htonl(INADDR_LOOPBACK)}, &addresses[0]);
        addresses[1].bytes[15] = 1; /* ::1 */
        return 2;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        map_v4(v4, &addresses[0]);
        return 1;
    }
    char inner[INET6_ADDRSTRLEN];
    if (bytes < 4 || bytes - 2 >= sizeof inner || host[0] != '[' || host[bytes - 1] != ']')
        return -EINVAL;
    memcpy(inner, host + 1, bytes - 2);
    inner[bytes - 2] = '\0';
    if (inet_pton(AF_INET6, inner, &v6) != 1)
        return -EINVAL;
    memcpy(addresses[0].bytes, &v6, sizeof v6);
    return 1;
}

static int parse_address(struct slice word, struct listen *out)
{
    char text[INET6_ADDRSTRLEN + 10];
    uint16_t port;
    if (word.bytes >= sizeof text)
        return -EINVAL;
    memcpy(text, word.data, word.bytes);
    text[word.bytes] = '\0';
    char *colon = strrchr(text, ':');
    if (colon == NULL || parse_port(colon + 1, &port) != 0)
        return -EINVAL;
    *colon = '\0';
    out->addresses[0].port = out->addresses[1].port = port;
    int count = parse_host(text, out->addresses);
    out->count = count < 0 ? 0 : (uint32_t)count;
    return count < 0 ? count : 0;
}

int config_parse_listen(const char *text, struct listen *out)
{
    struct slice rest = slice_text(text);
    *out = (struct listen){0};
    if (rest.bytes == 0 || text[0] == ' ' || text[rest.bytes - 1] == ' ' ||
        parse_address(slice_next_word(&rest), out) != 0)
        return -EINVAL;
    for (struct slice word = slice_next_word(&rest); word.bytes > 0; word = slice_next_word(&rest)) {
        if (!out->tls && slice_is(word, "tls"))
            out->tls = true;
        else if (out->tls && out->client == TLS_CLIENT_NONE && slice_is(word, "client=optional"))
            out->client = TLS_CLIENT_OPTIONAL;
        else if (out->tls && out->client == TLS_CLIENT_NONE && slice_is(word, "client=required"))
            out->client = TLS_CLIENT_REQUIRED;
        else
            return -EINVAL;
    }
    return 0;
}

bool config_listen_wants_certificate(const char *text)
{
    struct listen listen;
    return config_parse_listen(text, &listen) == 0 && listen.client == TLS_CLIENT_REQUIRED;
}
