/* SPDX-License-Identifier: MIT */
/* Proves whose address a request counts for: nobody's word but a trusted proxy's. Run by unit_shards. */
#include "protocol/http1.h"
#include "shards/config/forwarded.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>

static void put(const char *text, uint8_t *address)
{
    uint8_t v4[4];
    memset(address, 0, FORWARDED_ADDRESS_BYTES);
    if (inet_pton(AF_INET, text, v4) == 1) {
        address[10] = address[11] = 0xff;
        memcpy(address + 12, v4, 4);
    } else {
        cr_assert_eq(inet_pton(AF_INET6, text, address), 1, "%s", text);
    }
}

/* The client of a request from `peer` with these header lines, as text. */
static const char *client_of(const char *proxies, bool group, const char *peer, const char *headers)
{
    static char text[INET6_ADDRSTRLEN];
    static char head[2048];
    struct dialect_settings settings = {.group_ipv6 = group};
    char list[256], *items[8];
    struct http1_request request;
    size_t scanned = 0, bytes = 0;
    const char *why = "";
    uint8_t from[FORWARDED_ADDRESS_BYTES], client[FORWARDED_ADDRESS_BYTES];
    snprintf(list, sizeof list, "%s", proxies);
    settings.trusted_proxies.items = items;
    for (char *item = strtok(list, " "); item != NULL; item = strtok(NULL, " "))
        items[settings.trusted_proxies.count++] = item;
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", headers);
    cr_assert_eq(http1_parse_head(slice_text(head), &scanned, &request, &bytes, &why), HTTP1_OK, "%s", headers);
    put(peer, from);
    forwarded_client(&settings, &request, from, client);
    inet_ntop(AF_INET6, client, text, sizeof text);
    return strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text;
}

#define XFF "X-Forwarded-For: "

Test(forwarded, believes_trusted_proxies_only)
{
    static const struct {
        const char *proxies, *peer, *headers, *client;
    } rows[] = {
        {"", "10.0.0.1", "", "10.0.0.1"},
        {"", "10.0.0.1", XFF "192.0.2.9\r\n", "10.0.0.1"},
        {"10.0.0.2", "10.0.0.1", XFF "192.0.2.9\r\n", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "10.0.0.1", XFF "192.0.2.9\r\n", "192.0.2.9"},
        {"10.0.0.1", "10.0.0.1", "x-forwarded-for:192.0.2.9 \r\n", "192.0.2.9"},
        {"10.0.0.0/8", "10.200.3.4", XFF "192.0.2.9\r\n", "192.0.2.9"},
        {"10.0.0.0/8", "11.0.0.1", XFF "192.0.2.9\r\n", "11.0.0.1"},
        {"10.0.0.0/15", "10.1.0.1", XFF "192.0.2.9\r\n", "192.0.2.9"},
        {"10.0.0.0/15", "10.2.0.1", XFF "192.0.2.9\r\n", "10.2.0.1"},
        {"0.0.0.0/0", "11.0.0.1", XFF "2001:db8::7\r\n", "2001:db8::7"},
        {"::/0", "11.0.0.1", XFF "", "11.0.0.1"},
        {"::1 fd00::/8", "fd12::3", XFF "2001:db8::7\r\n", "2001:db8::7"},
        {"fd00::/8", "fe00::3", XFF "2001:db8::7\r\n", "fe00::3"},
        /* what a client claims stands before what the proxies have added */
        {"10.0.0.1", "10.0.0.1", XFF "198.51.100.1, 192.0.2.9\r\n", "192.0.2.9"},
        {"10.0.0.1", "10.0.0.1", XFF "198.51.100.1\r\n" XFF "192.0.2.9\r\n", "192.0.2.9"},
        {"10.0.0.1", "10.0.0.1", XFF "10.0.0.1 , 192.0.2.9\r\n", "192.0.2.9"},
        /* past further proxies */
        {"10.0.0.1 10.0.0.2", "10.0.0.1", XFF "198.51.100.1, 192.0.2.9, 10.0.0.2\r\n", "192.0.2.9"},
        {"10.0.0.1 10.0.0.2", "10.0.0.1", XFF "192.0.2.9\r\nA: b\r\n" XFF "10.0.0.2\r\n", "192.0.2.9"},
        {"10.0.0.0/8", "10.0.0.1", XFF "10.0.0.3,10.0.0.2\r\n", "10.0.0.3"},
        /* what cannot be read ends the search */
        {"10.0.0.1", "10.0.0.1", XFF "unknown\r\n", "10.0.0.1"},
        {"10.0.0.1 10.0.0.2", "10.0.0.1", XFF "192.0.2.9, , 10.0.0.2\r\n", "10.0.0.2"},
        {"10.0.0.1 10.0.0.2", "10.0.0.1", XFF "192.0.2.9, 300.1.1.1, 10.0.0.2\r\n", "10.0.0.2"},
        /* with a port */
        {"10.0.0.1", "10.0.0.1", XFF "192.0.2.9:4711\r\n", "192.0.2.9"},
        {"10.0.0.1", "10.0.0.1", XFF "[2001:db8::7]:4711\r\n", "2001:db8::7"},
        {"10.0.0.1", "10.0.0.1", XFF "[2001:db8::7]\r\n", "2001:db8::7"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char headers[512];
        size_t bytes = strlen(rows[i].headers);
        bool whole = bytes == 0 || rows[i].headers[bytes - 1] == '\n';
        snprintf(headers, sizeof headers, "%s%s", rows[i].headers, whole ? "" : "\r\n");
        cr_expect_str_eq(client_of(rows[i].proxies, false, rows[i].peer, headers), rows[i].client, "%zu", i);
    }
}

Test(forwarded, groups_the_addresses_of_one_subnet)
{
    cr_expect_str_eq(client_of("", true, "2001:db8:1:2:3:4:5:6", ""), "2001:db8:1:2::");
    cr_expect_str_eq(client_of("", false, "2001:db8:1:2:3:4:5:6", ""), "2001:db8:1:2:3:4:5:6");
    cr_expect_str_eq(client_of("", true, "192.0.2.9", ""), "192.0.2.9", "IPv4 stays exact");
    cr_expect_str_eq(client_of("10.0.0.1", true, "10.0.0.1", XFF "2001:db8:1:2:ffff::1\r\n"), "2001:db8:1:2::");
}

Test(forwarded, knows_networks)
{
    static const char *const good[] = {"127.0.0.1", "::1",        "10.0.0.0/8", "fd00::/8",           "0.0.0.0/0",
                                       "::/0",      "1.2.3.4/32", "::1/128",    "::ffff:10.0.0.0/104"};
    static const char *const bad[] = {
        "",         "/",         "10.0.0.0/",   "10.0.0.0/33", "::/129", "10.0.0.0/8 ", "10.0.0.0/-1", "10.0.0.0/0008",
        "10.0.0/8", "localhost", "10.0.0.1:80", "[::1]",       "*"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(forwarded_is_network(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(forwarded_is_network(bad[i]), "%s", bad[i]);
}
