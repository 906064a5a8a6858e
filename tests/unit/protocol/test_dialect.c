/* SPDX-License-Identifier: MIT */
/* Proves what all dialects share: the common options and each dialect's defaults,
 * admission by HTTP status. Run by unit_protocol. */
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(dialect, common_options_have_their_defaults)
{
    static struct dialect_settings s;
    cr_assert_eq(option_defaults(&s, dialect_common_options), 0);
    cr_assert(s.listen.count == 0 && s.keys.count == 0 && s.origins.count == 0 && !s.origin_check);
    cr_assert(s.prefix[0] == '\0' && s.keys_file[0] == '\0');
    cr_assert_eq(s.message_bytes_max, 65536);
    cr_assert(s.messages_max == 100 && s.messages_window_ms == 1000);
    cr_assert(s.connections_per_address == 0 && s.connections_per_key == 0);
    cr_assert_eq(s.outbox_bytes_max, 4 << 20);
    cr_assert(s.ping_interval_ms == 30000 && s.idle_timeout_ms == 90000 && s.duration_max_ms == 0);
    option_release(&s, dialect_common_options);
}

/* K-17, K-19 to K-21, K-25, column R; Q-18; O-7, O-8 */
Test(dialect, each_dialect_has_its_documented_limits)
{
    static struct pure_host host;
    static const struct {
        const char *name;
        uint64_t message_bytes, messages, window_ms, per_key;
    } rows[] = {
        {"plain", 64 << 10, 100, 1000, 0},
        {"echo", 1 << 20, 0, 1000, 0},
        {"rustorium", 64 << 10, 1000, 60000, 10},
        {"aitbc", 64 << 10, 100, 1000, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pure_init(&host, rows[i].name);
        const struct dialect_settings *s = host.settings;
        cr_expect_eq(s->message_bytes_max, rows[i].message_bytes, "%s", rows[i].name);
        cr_expect_eq(s->messages_max, rows[i].messages, "%s", rows[i].name);
        cr_expect_eq(s->messages_window_ms, rows[i].window_ms, "%s", rows[i].name);
        cr_expect_eq(s->connections_per_key, rows[i].per_key, "%s", rows[i].name);
        cr_expect_eq(s->outbox_bytes_max, 4 << 20);
        cr_expect_eq(s->listen.count, 0, "off unless configured");
        cr_expect(host.dialect->check_settings == NULL || host.dialect->check_settings(host.settings, NULL) == 0);
        pure_start(&host);
        pure_close(&host);
    }
}

static int admit(const char *target, const char *headers, struct pure_host *host)
{
    pure_init(host, "echo");
    pure_set(host, "keys", "k1,k2");
    pure_start(host);
    return pure_connect(host, 0, target, headers);
}

Test(dialect, admits_known_keys_only)
{
    static struct pure_host host;
    static const struct {
        const char *target, *headers;
        int status;
    } cases[] = {
        {"/echo?api_key=k1", "", 101},
        {"/echo?api_key=k2&x=1", "", 101},
        {"/echo", "X-Api-Key: k2\r\n", 101},
        {"/echo", "Authorization: Bearer k1\r\n", 101},
        {"/echo", "", 401},
        {"/echo?api_key=", "", 401},
        {"/echo?api_key=k", "", 401},
        {"/echo?api_key=k11", "", 401},
        {"/echo?key=k1", "", 401},
        {"/echo?api_key=k1", "X-Api-Key: wrong\r\n", 401},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(admit(cases[i].target, cases[i].headers, &host), cases[i].status, "%s %s", cases[i].target,
                     cases[i].headers);
        if (cases[i].status == 401) {
            cr_expect_str_eq(host.conns[0].refused_content, "{\"error\":\"Authentication failed\"}");
            cr_expect_str_eq(host.conns[0].refused_extra, "WWW-Authenticate: Bearer\r\n");
        }
        pure_close(&host);
    }
}

/* A file of keys without keys in it locks everybody out. */
Test(dialect, empty_keys_file_admits_nobody)
{
    static struct pure_host host;
    pure_init(&host, "echo");
    pure_set(&host, "keys_file", "keys.txt");
    pure_start(&host);
    cr_assert_eq(pure_connect(&host, 0, "/echo?api_key=", ""), 401);
    cr_assert_eq(pure_connect(&host, 0, "/echo", ""), 401);
    pure_close(&host);
}

Test(dialect, counts_connections_of_addresses_and_keys)
{
    static struct pure_host host;
    pure_init(&host, "echo");
    pure_set(&host, "keys", "k1,k2");
    pure_set(&host, "connections_per_address", "3");
    pure_set(&host, "connections_per_key", "2");
    pure_start(&host);
    cr_assert_eq(pure_connect(&host, 0, "/echo?api_key=k1", ""), 101);
    cr_assert_eq(pure_connect(&host, 1, "/echo?api_key=k1", ""), 101);
    cr_assert_eq(pure_connect(&host, 2, "/echo?api_key=k1", ""), 429, "of the key");
    cr_assert_str_eq(host.conns[2].refused_content, "{\"error\":\"Too many connections\"}");
    cr_assert_eq(pure_connect(&host, 2, "/echo?api_key=wrong", ""), 401, "its place is given back");
    cr_assert_eq(pure_connect(&host, 2, "/echo?api_key=k2", ""), 101);
    cr_assert_eq(pure_connect(&host, 3, "/echo?api_key=k2", ""), 429, "of the address");
    pure_disconnect(&host, 0);
    cr_assert_eq(pure_connect(&host, 3, "/echo?api_key=k2", ""), 101);
    pure_close(&host);
}
