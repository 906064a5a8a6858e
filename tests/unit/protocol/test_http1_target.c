/* SPDX-License-Identifier: MIT */
/* Proves targets of HTTP requests: authorities, paths and their escapes (RFC 3986 section 6.2.2.2), values of a query.
 * Run by unit_protocol. */
#include "protocol/http1.h"
#include "tests/unit/guard.h"
#include "tests/unit/protocol/http1_rig.h"

#include <criterion/criterion.h>

Test(http1, splits_authorities)
{
    struct slice host;
    uint32_t port;
    cr_assert(http1_authority(slice_text("a.example"), &host, &port));
    cr_assert(slice_is(host, "a.example") && port == 0);
    cr_assert(http1_authority(slice_text("[fe80::1]:8443"), &host, &port));
    cr_assert(slice_is(host, "[fe80::1]") && port == 8443);
    cr_assert_not(http1_authority(slice_text(""), &host, &port));
}

static void assert_decoded(const char *text, const char *expected, size_t expected_bytes)
{
    char memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    uint8_t *placed = guard_place(text, strlen(text));
    buf_put_text(&out, "<");
    cr_assert_eq(http1_percent_decode(slice_of(placed, strlen(text)), &out), expected != NULL, "%s", text);
    if (expected == NULL)
        cr_assert(slice_is(buf_slice(&out), "<"), "%s: something was left", text);
    else
        cr_assert(slice_equal(buf_since(&out, 1), slice_of(expected, expected_bytes)), "%s", text);
    guard_free(placed, strlen(text));
}

/* RFC 3986 section 6.2.2.2 */
Test(http1, writes_unreserved_characters_of_a_path_as_themselves)
{
    static const char *const rows[][2] = {
        {"/ws", "/ws"},
        {"/%77s", "/ws"},
        {"/%77%73", "/ws"},
        {"%2f%2F/", "%2f%2F/"},
        {"/%41%5A%61%7a%30%39%2D%2e%5F%7E", "/AZaz09-._~"},
        {"/%40%5B%60%7B%2f%3A%2c%25%00%7f%80%20%3f", "/%40%5B%60%7B%2f%3A%2c%25%00%7f%80%20%3f"},
        {"/%2577s", "/%2577s"}, /* an encoded % is decoded by whoever decodes, once */
        {"/%77s%", "/%77s%"},   /* a bad escape: nothing is touched */
        {"/%%377s", "/%%377s"},
        {"/%7", "/%7"},
        {"/%7g%77", "/%7g%77"},
        {"/%77+%77", "/w+w"},
        {"*", "*"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t bytes = strlen(rows[i][0]);
        uint8_t *placed = guard_place(rows[i][0], bytes), *room = guard_place(rows[i][0], bytes);
        struct buf out = buf_of(room, bytes);
        struct slice path = http1_path_normalize(slice_of(placed, bytes), &out);
        cr_assert(slice_is(path, rows[i][1]), "%s: %.*s", rows[i][0], (int)path.bytes, (const char *)path.data);
        if (path.bytes == bytes)
            cr_assert(path.data == placed || path.data == room);
        guard_free(placed, bytes);
        guard_free(room, bytes);
    }
}

Test(http1, decodes_percent_escapes)
{
    assert_decoded("", "", 0);
    assert_decoded("a+b", "a+b", 3);
    assert_decoded("%41%7a%7A%2F%00%ff", "Azz/\0\xFF", 6);
    assert_decoded("%", NULL, 0);
    assert_decoded("a%4", NULL, 0);
    assert_decoded("%4g", NULL, 0);
    assert_decoded("%%41", NULL, 0);

    char memory[2];
    struct buf out = buf_of(memory, sizeof memory);
    cr_assert(http1_percent_decode(slice_text("%41b"), &out));
    cr_assert_not(http1_percent_decode(slice_text("c"), &out));
}

Test(http1, finds_query_values)
{
    static const struct {
        const char *query, *name;
        int result;
        const char *value;
    } rows[] = {
        {"a=1&b=2&a=3", "a", 1, "1"},
        {"a=1&b=2", "b", 1, "2"},
        {"a=1&b=2", "c", 0, ""},
        {"", "a", 0, ""},
        {"a", "a", 1, ""},
        {"a=", "a", 1, ""},
        {"&&a=x&", "a", 1, "x"},
        {"aa=1&a=2", "a", 1, "2"},
        {"a=1", "aa", 0, ""},
        {"A=1", "a", 0, ""},
        {"a=b=c", "a", 1, "b=c"},
        {"a=x+y%2B%26", "a", 1, "x y+&"},
        {"%61=1", "a", 1, "1"},
        {"a+b=1", "a b", 1, "1"},
        {"%6=1&a=2", "a", 1, "2"},
        {"a=%6&a=2", "a", -1, ""},
        {"a=123456789", "a", -1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char memory[8];
        struct buf out = buf_of(memory, sizeof memory);
        size_t bytes = strlen(rows[i].query);
        uint8_t *placed = guard_place(rows[i].query, bytes);
        cr_assert_eq(http1_query_get(slice_of(placed, bytes), rows[i].name, &out), rows[i].result, "%s", rows[i].query);
        if (rows[i].value != NULL)
            cr_assert(slice_is(buf_slice(&out), rows[i].value), "%s", rows[i].query);
        guard_free(placed, bytes);
    }
}

/* RFC 9110 section 7.4 (L8) */
Test(http1, knows_hosts_that_no_other_page_can_have_pointed_here)
{
    static const struct {
        const char *host;
        bool known;
    } rows[] = {
        {"localhost", true},
        {"LOCALHOST:9400", true},
        {"app.localhost", true},
        {"127.0.0.1:80", true},
        {"10.1.2.3", true},
        {"[::1]:9400", true},
        {"own.example", true},
        {"OWN.example:9400", true},
        {"evil.example", false},
        {"notlocalhost", false},
        {".localhost", false},
        {"localhost.evil.example", false},
        {"127.0.0.1.example", false},
        {"256.0.0.1", false},
        {"1.2.3", false},
        {"1.2.3.4.5", false},
        {"1.2.3.", false},
        {"sub.own.example", false},
        {"", false},
        {"user@localhost", false},
    };
    static const char *const names[] = {"other.example", "own.example"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(http1_host_known(slice_text(rows[i].host), names, 2), rows[i].known, "%s", rows[i].host);
    cr_assert_not(http1_host_known(slice_text("own.example"), NULL, 0));
}
