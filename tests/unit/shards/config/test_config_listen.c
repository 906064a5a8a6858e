/* SPDX-License-Identifier: MIT */
/* Addresses that are listened on: both families, what stands behind one, and what is none. Run by unit_shards. */
#include "core/ring.h"
#include "protocol/tls/tls.h"
#include "shards/config/config.h"
#include "shards/config/config_listen.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static void expect_address(const struct ring_address *address, const char *hexadecimal, uint16_t port)
{
    char text[33];
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", address->bytes[i]);
    cr_expect_str_eq(text, hexadecimal);
    cr_expect_eq(address->port, port);
}

Test(config_listen, parses_addresses_of_both_families) /* K-1 */
{
    struct listen l;
    const struct ring_address *a = l.addresses;
    cr_assert_eq(config_parse_listen("127.0.0.1:9500", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000ffff7f000001", 9500);
    cr_assert_eq(config_parse_listen("0.0.0.0:0", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000ffff00000000", 0);
    cr_assert_eq(config_parse_listen("[::1]:65535", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000000000000001", 65535);
    cr_assert_eq(config_parse_listen("[2001:db8::7]:80", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "20010db8000000000000000000000007", 80);
    cr_assert_eq(config_parse_listen("*:9072", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000000000000000", 9072);
    cr_assert_eq(config_parse_listen("localhost:9500", &l), 0);
    cr_expect_eq(l.count, 2);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000ffff7f000001", 9500);
    expect_address(&a[1], "00000000000000000000000000000001", 9500);
}

Test(config_listen, reads_what_stands_behind_an_address) /* K-4 */
{
    struct listen l;
    cr_assert_eq(config_parse_listen("*:443 tls", &l), 0);
    cr_expect(l.tls && l.client == TLS_CLIENT_NONE && l.addresses[0].port == 443);
    cr_assert_eq(config_parse_listen("localhost:443 tls client=optional", &l), 0);
    cr_expect(l.tls && l.client == TLS_CLIENT_OPTIONAL && l.count == 2);
    cr_assert_eq(config_parse_listen("[::1]:443  tls  client=required", &l), 0);
    cr_expect(l.tls && l.client == TLS_CLIENT_REQUIRED);
}

Test(config_listen, refuses_what_is_no_address)
{
    static const char *const bad[] = {"",
                                      ":",
                                      ":80",
                                      "80",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:080000",
                                      "127.0.0.1:8x",
                                      "256.0.0.1:80",
                                      "::1:80",
                                      "[::1:80",
                                      "::1]:80",
                                      "[]:80",
                                      "[::1]80",
                                      "[127.0.0.1]:80",
                                      "example.org:80",
                                      "LOCALHOST:80",
                                      "**:80",
                                      " 127.0.0.1:80",
                                      "127.0.0.1:80 ",
                                      "127.0.0.1:80 ssl",
                                      "127.0.0.1:80 tls tls",
                                      "127.0.0.1:80 client=required",
                                      "127.0.0.1:80 tls client=sometimes",
                                      "127.0.0.1:80 tls client=required client=optional",
                                      "tls 127.0.0.1:80",
                                      "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80"};
    struct listen l;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(config_parse_listen(bad[i], &l), -EINVAL, "%s", bad[i]);
}
