/* SPDX-License-Identifier: MIT */
/* Proves the dialect crypto (section 3 of the requirements) in its corners: paths, limits, the order of actions,
 * commands; tests/transcripts/crypto-*.txt are its conversations. Run by unit_protocol. */
#include "protocol/dialects/crypto/crypto.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/crypto/crypto_host.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Connects and takes the greeting. */
static void start_connected(const char *target)
{
    start(NULL, NULL);
    cr_assert_eq(pure_connect(&host, 0, target, ""), 101);
    cr_assert_not_null(pure_take(&host, 0));
}

/* The text of the next message begins so. */
static void assert_next(const char *expected)
{
    const char *found = pure_take_text(&host, 0);
    cr_assert_eq(strncmp(found, expected, strlen(expected)), 0, "%s instead of %s", found, expected);
}

#define SYSTEM(type, data) "{\"service\":\"system\",\"type\":\"" type "\",\"data\":" data

/* --- paths -------------------------------------------------------------------------------------------------------- */

/* C-3 to C-18, C-51 to C-55 */
Test(crypto, owns_what_lies_under_ws_and_docs)
{
    static const char *const sockets[] = {"/ws",
                                          "/ws/master",
                                          "/ws/all",
                                          "/ws/data",
                                          "/ws/market_data",
                                          "/ws/whale_tracking",
                                          "/ws/news",
                                          "/ws/sentiment",
                                          "/ws/health",
                                          "/ws/pool_status",
                                          "/ws/scheduler_status",
                                          "/ws/monitoring",
                                          "/ws/ai",
                                          "/ws/huggingface",
                                          "/ws/persistence",
                                          "/ws/integration",
                                          "/ws/",
                                          "/ws/all/"};
    static const char *const rest[] = {"/ws/stats",  "/ws/services", "/ws/endpoints", "/ws/stats/",
                                       "/docs",      "/docs/",       "/ws/nonsense",  "/ws//",
                                       "/ws/news/x", "/ws/News",     "/ws/explorers"};
    static const char *const others[] = {"/", "", "/wsx", "/w", "/docs/x", "/WS", "/v1/events", "*"};
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++)
        cr_expect_eq(host.dialect->route(host.settings, slice_text(sockets[i])), DIALECT_PATH_SOCKET, "%s", sockets[i]);
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        cr_expect_eq(host.dialect->route(host.settings, slice_text(rest[i])), DIALECT_PATH_REST, "%s", rest[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_eq(host.dialect->route(host.settings, slice_text(others[i])), DIALECT_PATH_NONE, "%s", others[i]);
    pure_close(&host);
}

/* --- the order of actions ----------------------------------------------------------------------------------------- */

/* C-27, C-36, C-64: what a message makes the session do. */
static void assert_actions(const char *message, const char *expected)
{
    static const char letters[] = {[ACTION_SEND] = 'S',
                                   [ACTION_SUBSCRIBE] = '+',
                                   [ACTION_UNSUBSCRIBE] = '-',
                                   [ACTION_REQUEST] = '?',
                                   [ACTION_CLOSE] = 'C'};
    struct actions *out = pure_actions(&host);
    struct dialect_call call = pure_call(&host, &host.conns[0], out);
    char found[ACTIONS_MAX + 1] = "";
    host.dialect->message(&call, WS_TEXT, slice_text(message));
    for (uint32_t i = 0; i < out->count; i++)
        found[i] = letters[out->items[i].kind];
    cr_expect_str_eq(found, expected, "%s: %s", message, found);
    pure_actions_free(&host, out);
}

Test(crypto, confirms_before_updates_and_leaves_before_confirming)
{
    start_connected("/ws");
    assert_actions("{\"action\":\"subscribe\",\"service\":\"news\"}", "S+?");
    assert_actions("{\"action\":\"subscribe\",\"service\":\"news\"}", "S");
    assert_actions("{\"action\":\"subscribe\",\"service\":\"system\"}", "S");
    assert_actions("{\"action\":\"subscribe\",\"service\":\"all\"}", "S+++++++++++?");
    assert_actions("{\"action\":\"subscribe\",\"service\":\"all\"}", "S");
    assert_actions("{\"action\":\"unsubscribe\",\"service\":\"news\"}", "-S");
    assert_actions("{\"action\":\"unsubscribe\",\"service\":\"news\"}", "S");
    assert_actions("{\"action\":\"unsubscribe\",\"service\":\"system\"}", "S");
    assert_actions("{\"action\":\"unsubscribe\",\"service\":\"all\"}", "-----------S");
    pure_close(&host);
}

/* C-57: of what waits for a slow reader only the newest update of a service is kept. */
Test(crypto, channels_keep_the_latest_only)
{
    struct channel_traits traits;
    start(NULL, NULL);
    host.dialect->traits(host.settings, slice_text("market_data"), &traits);
    cr_assert(traits.policy == POLICY_LATEST && traits.retain_count == 0);
    pure_close(&host);
}

/* C-38: one update a tick, whatever the number of subscribers and of subscriptions to the same. */
Test(crypto, delivers_each_tick_once)
{
    start_connected("/ws/market_data");
    for (uint32_t i = 1; i < 100; i++)
        cr_assert_eq(pure_connect(&host, i, "/ws/market_data", ""), 101);
    pure_send_text(&host, 0, "{\"action\":\"subscribe\",\"service\":\"market_data\"}");
    assert_next(SYSTEM("subscription_confirmed", "{\"service\":\"market_data\""));
    for (int i = 0; i < 500; i++)
        cr_assert_eq(pure_ingest(&host, "market_data", i < 499 ? "{\"prices\":{}}" : "{\"prices\":{\"btc\":9}}"), 202);
    pure_advance(&host, 5000);
    for (uint32_t i = 0; i < 100; i++) {
        if (i > 0)
            cr_assert_not_null(pure_take(&host, i));
        cr_assert_not_null(strstr(pure_take_text(&host, i), "\"data\":{\"prices\":{\"btc\":9},"));
        cr_assert_null(pure_take(&host, i));
    }
    pure_close(&host);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

/* K-27: the outermost object is depth 1. */
Test(crypto, takes_32_levels)
{
    char text[256];
    start_connected("/ws");
    for (size_t depth = 32; depth <= 33; depth++) {
        size_t arrays = depth - 1, used = (size_t)snprintf(text, sizeof text, "{\"action\":\"ping\",\"data\":");
        memset(text + used, '[', arrays);
        memset(text + used + arrays, ']', arrays);
        strcpy(text + used + 2 * arrays, "}");
        pure_send_text(&host, 0, text);
        if (depth == 32)
            assert_next(SYSTEM("pong", "[["));
        else
            assert_next(SYSTEM("error", "{\"message\":\"Invalid message format\"}"));
    }
    pure_close(&host);
}

/* C-25, K-27: duplicate keys: the last wins. */
Test(crypto, takes_the_last_of_a_repeated_key)
{
    start_connected("/ws");
    pure_send_text(&host, 0, "{\"action\":\"fly\",\"action\":\"ping\",\"data\":1,\"data\":2}");
    assert_next(SYSTEM("pong", "2,"));
    pure_send_text(&host, 0, "{\"acti\\u006fn\":\"pin\\u0067\",\"data\":{}}");
    assert_next(SYSTEM("pong", "{},"));
    pure_close(&host);
}

/* C-23: the time of the last message, this one included; the connection's own time stays. */
Test(crypto, status_tells_the_last_activity)
{
    start_connected("/ws");
    pure_advance(&host, 1500);
    pure_send_text(&host, 0, "{\"action\":\"get_status\"}");
    cr_assert_not_null(strstr(pure_take_text(&host, 0), "\"connected_at\":\"2024-01-23T12:34:56.000Z\","
                                                        "\"last_activity\":\"2024-01-23T12:34:57.500Z\""));
    cr_assert_eq(pure_connect(&host, 1, "/ws/all", ""), 101);
    pure_send_text(&host, 0, "{\"action\":\"get_status\"}");
    cr_assert_not_null(strstr(pure_take_text(&host, 0), "\"total_clients\":2}"));
    pure_close(&host);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

/* One message over the limit in the present window; whether the connection is still open. */
static bool exceed(void)
{
    for (int i = 0; i <= 100; i++)
        pure_send_text(&host, 0, "{\"action\":\"ping\"}");
    for (int i = 0; i < 100; i++)
        assert_next(SYSTEM("pong", "{}"));
    assert_next(SYSTEM("error", "{\"message\":\"Rate limit exceeded\"}"));
    cr_assert_null(pure_take(&host, 0));
    return host.conns[0].open;
}

/* C-58: ten seconds of it are borne, more are not. */
Test(crypto, persistent_excess_ends_the_connection)
{
    start_connected("/ws");
    for (int second = 0; second <= 10; second++) {
        cr_assert(exceed(), "second %d", second);
        pure_advance(&host, second < 10 ? 1000 : 1);
    }
    pure_send_text(&host, 0, "{\"action\":\"ping\"}");
    assert_next(SYSTEM("error", "{\"message\":\"Rate limit exceeded\"}"));
    cr_assert_eq(host.conns[0].close_code, 1008);
    cr_assert_str_eq(host.conns[0].close_reason, "Rate limit exceeded");
    pure_close(&host);
}

/* C-58: a second without excess, and the time begins anew. */
Test(crypto, a_pause_forgives_excess)
{
    start_connected("/ws");
    for (int round = 0; round < 5; round++) {
        for (int second = 0; second < 9; second++) {
            cr_assert(exceed());
            pure_advance(&host, 1000);
        }
        pure_advance(&host, 1001);
    }
    pure_close(&host);
}

/* C-56, C-57, C-58, K-1, K-17, K-19, K-20, K-25 */
Test(crypto, has_its_documented_defaults)
{
    static const uint64_t seconds[CRYPTO_TOPICS] = {5, 10, 60, 30, 15, 20, 30, 30, 20, 15, 60, 30};
    start(NULL, NULL);
    const struct crypto_settings *settings = host.settings;
    const struct dialect_settings *common = &settings->common;
    cr_assert(common->message_bytes_max == 64 << 10 && common->messages_max == 100 &&
              common->messages_window_ms == 1000);
    cr_assert(common->outbox_bytes_max == 1 << 20 && common->connections_per_address == 0);
    cr_assert(common->ping_interval_ms == 30000 && common->idle_timeout_ms == 90000 && common->duration_max_ms == 0);
    cr_assert(!common->origin_check && settings->resend_unchanged && host.dialect->heartbeat_ms == 30000);
    for (size_t i = 0; i < CRYPTO_TOPICS; i++)
        cr_expect_eq(settings->interval_ms[i], seconds[i] * 1000, "%s", crypto_services[i].name);
    pure_close(&host);
}

/* C-58: 64 KiB are read, one byte more is not. */
Test(crypto, message_size_is_limited)
{
    static char text[65538];
    start_connected("/ws");
    memset(text, ' ', 65537);
    memcpy(text, "{\"action\":\"ping\"}", 17);
    pure_send(&host, 0, WS_TEXT, slice_of(text, 65536));
    assert_next(SYSTEM("pong", "{}"));
    pure_send(&host, 0, WS_TEXT, slice_of(text, 65537));
    cr_assert_eq(host.conns[0].close_code, 1009);
    pure_close(&host);
}
