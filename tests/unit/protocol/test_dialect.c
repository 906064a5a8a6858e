/* SPDX-License-Identifier: MIT */
/* Proves what all dialects share: the list of actions and its bounds, the common options and each dialect's defaults,
 * admission by HTTP status. Run by unit_protocol. */
#include "tests/unit/protocol/pure_client.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct actions out;
static uint8_t text_memory[256];

static void begin(void)
{
    out = (struct actions){.text = buf_of(text_memory, sizeof(text_memory))};
}

Test(dialect, actions_stand_in_order_with_their_arguments)
{
    struct event event = {.channel = slice_text("c"), .payload = slice_text("p"), .opcode = WS_BINARY, .level = 7};
    begin();
    action_acquire(&out, QUOTA_KEY, slice_text("k"), 10, 60);
    action_respond(&out, 404, "text/plain", slice_text("no"), "X: y\r\n");
    action_accept(&out);
    action_send(&out, WS_TEXT, slice_text("hello"));
    action_subscribe(&out, slice_text("ch"), slice_text("v"), 5);
    action_unsubscribe(&out, slice_text("ch2"));
    action_publish(&out, &event);
    action_close(&out, 4001, "Rate limited");
    cr_assert_eq(out.count, 8);
    cr_assert_not(out.overflow);
    const struct action *a = out.items;
    cr_assert(a[0].kind == ACTION_ACQUIRE && a[0].acquire.quota == QUOTA_KEY && slice_is(a[0].acquire.name, "k"));
    cr_assert(a[0].acquire.limit == 10 && a[0].acquire.window_ms == 60);
    cr_assert(a[1].kind == ACTION_RESPOND && a[1].respond.status == 404 && slice_is(a[1].respond.content, "no"));
    cr_assert(strcmp(a[1].respond.content_type, "text/plain") == 0 && strcmp(a[1].respond.extra, "X: y\r\n") == 0);
    cr_assert_eq(a[2].kind, ACTION_ACCEPT);
    cr_assert(a[3].kind == ACTION_SEND && a[3].send.opcode == WS_TEXT && slice_is(a[3].send.payload, "hello"));
    cr_assert(a[4].kind == ACTION_SUBSCRIBE && slice_is(a[4].subscribe.channel, "ch"));
    cr_assert(slice_is(a[4].subscribe.variant, "v") && a[4].subscribe.history_max == 5);
    cr_assert(a[5].kind == ACTION_UNSUBSCRIBE && slice_is(a[5].unsubscribe.channel, "ch2"));
    cr_assert(a[6].kind == ACTION_PUBLISH && slice_is(a[6].publish.payload, "p") && a[6].publish.level == 7);
    cr_assert(a[7].kind == ACTION_CLOSE && a[7].close.code == 4001 && strcmp(a[7].close.reason, "Rate limited") == 0);
}

Test(dialect, too_many_actions_are_remembered_as_overflow)
{
    begin();
    for (int i = 0; i < ACTIONS_MAX; i++)
        action_accept(&out);
    cr_assert_not(out.overflow);
    action_close(&out, 1000, "");
    cr_assert(out.overflow);
    cr_assert_eq(out.count, ACTIONS_MAX);
    cr_assert_eq(out.items[ACTIONS_MAX - 1].kind, ACTION_ACCEPT);
}

Test(dialect, too_much_text_is_remembered_as_overflow)
{
    begin();
    for (size_t i = 0; i <= sizeof(text_memory); i++)
        buf_put_byte(&out.text, 'x');
    action_send(&out, WS_TEXT, buf_slice(&out.text));
    cr_assert(out.overflow);
    cr_assert_eq(out.count, 0);
}

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
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
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
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
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
