/* SPDX-License-Identifier: MIT */
/* Owns the question whose address a request counts for. It never keeps one and believes no header of a peer that is not
 * configured as a proxy. Called by session (requests) and config_check (the form of trusted_proxies). */
#include "shards/config/forwarded.h"

#include "protocol/http1.h"

#include <arpa/inet.h>

#define ADDRESS_BITS 128
#define MAPPED_BITS 96 /* of ::ffff:0:0/96, before an IPv4 address (RFC 4291 section 2.5.5.2) */
#define SUBNET_BYTES 8 /* of the /64 that one IPv6 subscriber has (RFC 6177) */

static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

struct network {
    uint8_t address[FORWARDED_ADDRESS_BYTES];
    unsigned bits; /* of the address that count */
};

static bool is_v4(const uint8_t *address)
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

/* "192.0.2.1" or "2001:db8::1" */
static bool read_address(struct slice text, uint8_t *address)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t v4[4], v6[FORWARDED_ADDRESS_BYTES];
    if (text.bytes == 0 || text.bytes >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    if (inet_pton(AF_INET, copy, v4) == 1) {
        memcpy(address, mapped, sizeof mapped);
        memcpy(address + sizeof mapped, v4, sizeof v4);
        return true;
    }
    if (inet_pton(AF_INET6, copy, v6) != 1)
        return false;
    memcpy(address, v6, sizeof v6);
    return true;
}

/* The same, also with a port behind it, IPv6 then in brackets: proxies write both. */
static bool read_node(struct slice text, uint8_t *address)
{
    struct slice host;
    uint32_t port;
    if (read_address(text, address))
        return true;
    if (!http1_authority(text, &host, &port))
        return false;
    if (host.data[0] == '[')
        host = slice_of(host.data + 1, host.bytes - 2);
    return read_address(host, address);
}

static bool read_network(struct slice text, struct network *network)
{
    const uint8_t *slash = text.bytes == 0 ? NULL : memchr(text.data, '/', text.bytes);
    struct slice address = slice_of(text.data, slash == NULL ? text.bytes : (size_t)(slash - text.data));
    if (!read_address(address, network->address))
        return false;
    unsigned first = is_v4(network->address) && memchr(address.data, ':', address.bytes) == NULL ? MAPPED_BITS : 0;
    network->bits = ADDRESS_BITS;
    if (slash == NULL)
        return true;
    struct slice digits = slice_skip(text, address.bytes + 1);
    unsigned bits = 0;
    if (digits.bytes < 1 || digits.bytes > 3)
        return false;
    for (size_t i = 0; i < digits.bytes; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        bits = bits * 10 + (unsigned)(digits.data[i] - '0');
    }
    network->bits = first + bits;
    return network->bits <= ADDRESS_BITS;
}

bool forwarded_is_network(const char *text)
{
    struct network network;
    return read_network(slice_text(text), &network);
}

static bool is_inside(const struct network *network, const uint8_t *address)
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address, address, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || (network->address[whole] & mask) == (address[whole] & mask);
}

static bool is_trusted(const struct option_texts *proxies, const uint8_t *address)
{
    struct network network;
    for (uint32_t i = 0; i < proxies->count; i++)
        if (read_network(slice_text(proxies->items[i]), &network) && is_inside(&network, address))
            return true;
    return false;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Cuts the last entry off a list with commas. */
static struct slice last_entry(struct slice *list)
{
    size_t begin = list->bytes;
    while (begin > 0 && list->data[begin - 1] != ',')
        begin--;
    struct slice entry = slice_skip(*list, begin);
    list->bytes = begin == 0 ? 0 : begin - 1;
    while (entry.bytes > 0 && is_blank(entry.data[0]))
        entry = slice_skip(entry, 1);
    while (entry.bytes > 0 && is_blank(entry.data[entry.bytes - 1]))
        entry.bytes--;
    return entry;
}

/* Goes back from the proxy that *client is, field by field from the last one. */
static void follow(const struct option_texts *proxies, const struct http1_request *request, uint8_t *client)
{
    for (uint32_t i = request->header_count; i-- > 0;) {
        struct slice list = request->headers[i].value;
        if (!slice_is_nocase(request->headers[i].name, "x-forwarded-for"))
            continue;
        while (list.bytes > 0) {
            struct slice entry = last_entry(&list);
            if (!read_node(entry, client) || !is_trusted(proxies, client))
                return;
        }
    }
}

void forwarded_client(const struct dialect_settings *settings, const struct http1_request *request, const uint8_t *peer,
                      uint8_t *client)
{
    memcpy(client, peer, FORWARDED_ADDRESS_BYTES);
    if (is_trusted(&settings->trusted_proxies, peer))
        follow(&settings->trusted_proxies, request, client);
    if (settings->group_ipv6 && !is_v4(client))
        memset(client + SUBNET_BYTES, 0, FORWARDED_ADDRESS_BYTES - SUBNET_BYTES);
}
