/* SPDX-License-Identifier: MIT */
/* Proves the dialect crypto (section 3 of the requirements) in its corners: paths, limits, REST, shapes of ingest, the
 * order of actions; tests/transcripts/crypto-*.txt are its conversations. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/dialects/crypto/crypto.h"
#include "protocol/dialects/crypto/schedule.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct pure_host host;

static void start(const char *option, const char *value)
{
    pure_init(&host, "crypto");
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    pure_start(&host);
}

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

/* --- REST --------------------------------------------------------------------------------------------------------- */

static int get(const char *target, const char *headers)
{
    int status = pure_request(&host, 9, "GET", target, headers);
    if (strcmp(host.content_type, "application/json") == 0)
        cr_assert(json_valid(slice_text(host.content), JSON_DEPTH_MAX), "%s", host.content);
    return status;
}

static const char *extra(void)
{
    return host.conns[9].refused_extra;
}

/* C-52, C-63 */
Test(crypto, lists_services_with_their_intervals)
{
    start("news_interval", "1500ms");
    cr_assert_eq(get("/ws/services", ""), 200);
    cr_assert_eq(strncmp(host.content,
                         "{\"status\":\"success\",\"data\":{\"services\":{\"data_collection\":[{\"name\":"
                         "\"market_data\",\"description\":\"",
                         92),
                 0);
    const char *at = host.content;
    for (size_t i = 0; i < CRYPTO_SERVICES; i++) {
        char name[64];
        snprintf(name, sizeof name, "{\"name\":\"%s\",", crypto_services[i].name);
        cr_assert_not_null(at = strstr(at, name), "%s in its order", name);
    }
    cr_assert_not_null(strstr(host.content, "\"update_interval_seconds\":5,\"endpoint\":\"/ws/market_data\"}"));
    cr_assert_not_null(strstr(host.content, "\"update_interval_seconds\":1.5,\"endpoint\":\"/ws/news\"}"));
    cr_assert_not_null(strstr(host.content, "\"update_interval_seconds\":20,\"endpoint\":\"/ws/pool_status\"}"));
    cr_assert_not_null(strstr(host.content, "\"endpoint\":\"All endpoints\"}"));
    cr_assert_not_null(strstr(host.content, "]},\"total_services\":14,\"api_version\":\"2.0.0\"},\"timestamp\":\""
                                            "2024-01-23T12:34:56.000Z\"}"));
    pure_close(&host);
}

/* C-53 */
Test(crypto, lists_endpoints_with_their_addresses)
{
    start("prefix", "/crypto");
    cr_assert_eq(get("/ws/endpoints", ""), 200);
    cr_assert_not_null(strstr(host.content, "{\"path\":\"/crypto/ws\",\"url\":\"ws://localhost/crypto/ws\",\"descr"));
    cr_assert_not_null(strstr(host.content, "\"url\":\"ws://localhost/crypto/ws/huggingface\""));
    cr_assert_not_null(strstr(host.content, "\"auto_subscribe\":[\"huggingface\"],\"aliases\":[\"/crypto/ws/ai\"]}"));
    cr_assert_not_null(strstr(host.content, "\"auto_subscribe\":[\"health_checker\"],\"aliases\":[]}"));
    uint32_t count = 0;
    for (const char *at = host.content; (at = strstr(at, "{\"path\":")) != NULL; at++)
        count++;
    cr_assert_eq(count, 15);
    struct actions *out = pure_actions(&host);
    struct pure_conn *conn = pure_begin(&host, 9);
    struct dialect_call call = pure_call(&host, conn, out);
    int result;
    struct http1_request request = pure_parse("GET /ws/endpoints HTTP/1.1\r\nHost: [::1]:7860\r\n\r\n", &result);
    call.secure = true;
    host.dialect->rest->request(&call, &request, request.path);
    pure_apply(&host, conn, out);
    cr_assert_not_null(strstr(host.content, "\"url\":\"wss://[::1]:7860/crypto/ws/all\""));
    pure_end(&host, conn);
    pure_close(&host);
}

/* C-54 */
Test(crypto, tells_methods_and_origins)
{
    static const char *const targets[] = {"/ws/stats", "/ws/services", "/ws/endpoints", "/docs"};
    start(NULL, NULL);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(pure_request(&host, 9, "HEAD", targets[i], ""), 200);
        cr_assert_str_eq(extra(), "Access-Control-Allow-Origin: *\r\n");
        static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH"};
        for (size_t m = 0; m < 4; m++) {
            cr_assert_eq(pure_request(&host, 9, methods[m], targets[i], ""), 405);
            cr_assert_str_eq(extra(), "Allow: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Origin: *\r\n");
        }
        cr_assert_eq(pure_connect(&host, 9, targets[i], ""), 400);
    }
    cr_assert_eq(pure_request(&host, 9, "POST", "/ws/nonsense", ""), 404);
    pure_close(&host);
}

/* The preflight of the Fetch standard: a page that sends its key in a header is asked for first, and without it (C-54). */
Test(crypto, answers_a_preflight_without_a_key)
{
    start("keys", "secret");
    cr_assert_eq(pure_request(&host, 9, "OPTIONS", "/ws/stats",
                              "Origin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n"),
                 204);
    cr_assert_str_eq(extra(), "Allow: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Origin: *\r\n"
                              "Access-Control-Allow-Methods: GET, HEAD\r\n"
                              "Access-Control-Allow-Headers: Authorization, X-Api-Key\r\n"
                              "Access-Control-Max-Age: 600\r\n");
    cr_assert_str_empty(host.content);
    cr_assert_eq(get("/ws/stats", ""), 401);
    pure_close(&host);
    start("origin_check", "true");
    cr_assert_eq(pure_request(&host, 9, "OPTIONS", "/docs", "Origin: https://evil.example\r\n"), 204);
    cr_assert_str_eq(extra(), "Allow: GET, HEAD, OPTIONS\r\nVary: Origin\r\n");
    pure_close(&host);
}

Test(crypto, lets_pages_of_allowed_origins_read)
{
    pure_init(&host, "crypto");
    cr_assert_eq(pure_set(&host, "origin_check", "true"), 0);
    cr_assert_eq(pure_set(&host, "origins", "https://good.example"), 0);
    pure_start(&host);
    cr_assert_eq(get("/ws/stats", "Origin: https://good.example\r\n"), 200);
    cr_assert_str_eq(extra(), "Vary: Origin\r\nAccess-Control-Allow-Origin: https://good.example\r\n");
    cr_assert_eq(get("/ws/stats", "Origin: https://evil.example\r\n"), 200);
    cr_assert_str_eq(extra(), "Vary: Origin\r\n");
    cr_assert_eq(get("/ws/stats", ""), 200);
    cr_assert_str_eq(extra(), "Vary: Origin\r\n");
    pure_close(&host);
    char header[600];
    start("origin_check", "true");
    memset(header, 'h', sizeof header);
    memcpy(header, "Origin: http://localhost:", 25);
    memset(header + 25, '0', 300); /* a port, written at length */
    memcpy(header + 325, "\r\n", 3);
    cr_assert_eq(get("/ws/stats", header), 200);
    cr_assert_str_eq(extra(), "Vary: Origin\r\n");
    pure_close(&host);
}

/* C-55 */
Test(crypto, has_a_page_about_itself)
{
    start(NULL, NULL);
    cr_assert_eq(get("/docs", ""), 200);
    cr_assert_str_eq(host.content_type, "text/html; charset=utf-8");
    for (size_t i = 0; i < CRYPTO_ENDPOINTS; i++)
        cr_expect_not_null(strstr(host.content, crypto_endpoints[i].path), "%s", crypto_endpoints[i].path);
    cr_assert_not_null(strstr(host.content, "subscription_confirmed"));
    pure_close(&host);
}

/* What a census of that many connections would be, in a random order. */
static struct buf make_census(uint32_t count, uint64_t counts[CENSUS_COUNTS])
{
    static const uint8_t services[] = {CRYPTO_SYSTEM, CRYPTO_MARKET_DATA, CRYPTO_PERSISTENCE};
    struct buf census = buf_of(pure_memory(count * 80), count * 80);
    struct random random;
    uint32_t *numbers = pure_memory(count * sizeof *numbers);
    random_init(&random, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = (uint32_t)random_below(&random, i + 1);
        numbers[i] = numbers[other];
        numbers[other] = i + 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_byte(&census, ',');
        crypto_put_census(&census, numbers[i], PURE_WALL_MS + numbers[i], PURE_WALL_MS + 1000, services, i % 4);
        cr_assert_not(census.overflow);
    }
    free(numbers);
    memset(counts, 0, CENSUS_COUNTS * sizeof counts[0]);
    counts[CRYPTO_ALL] = count;
    return census;
}

/* C-51: a thousand clients, in the order in which they came, from where one asks. */
Test(crypto, lists_a_thousand_clients)
{
    static const struct {
        uint32_t clients;
        const char *query;
        uint32_t first, shown;
        bool truncated;
    } cases[] = {{0, "", 1, 0, false},
                 {999, "", 1, 999, false},
                 {1000, "", 1, 1000, false},
                 {1001, "", 1, 1000, true},
                 {1001, "?limit=1001", 1, 1000, true},
                 {1001, "?offset=1", 2, 1000, true},
                 {1001, "?offset=2", 3, 999, true},
                 {1001, "?offset=1001", 1, 0, true},
                 {30, "?limit=0", 1, 0, true},
                 {30, "?limit=10&offset=25", 26, 5, true}};
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char target[64], head[256], client[64];
        uint64_t counts[CENSUS_COUNTS];
        int result;
        struct buf census = make_census(cases[i].clients, counts);
        struct actions *out = pure_actions(&host);
        struct pure_conn *conn = pure_begin(&host, 9);
        struct dialect_call call = pure_call(&host, conn, out);
        snprintf(target, sizeof target, "/ws/stats%s", cases[i].query);
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
        struct http1_request request = pure_parse(head, &result);
        host.dialect->rest->request(&call, &request, request.path);
        cr_assert(out->count == 1 && out->items[0].kind == ACTION_CENSUS);
        uint32_t tag = out->items[0].census.tag;
        out->count = 0;
        host.dialect->replied(
            &call, &(struct dialect_reply){.tag = tag, .status = 200, .body = buf_slice(&census), .counts = counts});
        pure_apply(&host, conn, out);
        cr_assert_eq(conn->refused_status, 200);
        cr_assert(json_valid(slice_text(host.content), JSON_DEPTH_MAX));
        const char *at = host.content;
        uint32_t shown = 0;
        for (; (at = strstr(at, "{\"client_id\":\"")) != NULL; at++, shown++) {
            snprintf(client, sizeof client, "{\"client_id\":\"client_%u_1706013", cases[i].first + shown);
            cr_assert_eq(strncmp(at, client, strlen(client)), 0, "%.60s", at);
        }
        cr_expect_eq(shown, cases[i].shown, "%u clients, %s", cases[i].clients, cases[i].query);
        cr_expect_eq(strstr(host.content, "\"clients_truncated\":true") != NULL, cases[i].truncated);
        pure_end(&host, conn);
        free(census.data);
    }
    pure_close(&host);
}

Test(crypto, a_census_that_fails_is_told)
{
    start(NULL, NULL);
    struct actions *out = pure_actions(&host);
    struct pure_conn *conn = pure_begin(&host, 9);
    struct dialect_call call = pure_call(&host, conn, out);
    int result;
    struct http1_request request = pure_parse("GET /ws/stats HTTP/1.1\r\nHost: h\r\n\r\n", &result);
    host.dialect->rest->request(&call, &request, request.path);
    uint32_t tag = out->items[0].census.tag;
    out->count = 0;
    host.dialect->replied(&call, &(struct dialect_reply){.tag = tag, .status = 503, .body = slice_text("")});
    pure_apply(&host, conn, out);
    cr_assert_eq(conn->refused_status, 503);
    pure_end(&host, conn);
    pure_close(&host);
}

/* --- ingest ------------------------------------------------------------------------------------------------------- */

/* I-9, I-14, Q-1, Q-8, C-34, C-39 to C-50: what is stored of what is ingested; NULL: the same text. */
Test(crypto, keeps_objects_and_brings_times_into_format)
{
    static const struct {
        const char *topic, *body, *stored;
    } cases[] = {
        {"explorers", "{}", "{\"timestamp\":\"2024-01-23T12:34:56.000Z\"}"},
        {"explorers", " { \"a\" : [1.50, 1e2, {}] } \n",
         "{ \"a\" : [1.50, 1e2, {}] ,\"timestamp\":\"2024-01-23T12:34:56.000Z\"}"},
        {"rpc_nodes", "{\"timestamp\":\"2024-01-23T12:00:00.120Z\",\"b\":null}", NULL},
        {"onchain", "{\"timestamp\":\"2024-01-23T12:00:00Z\"}", "{\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"onchain", "{\"timestamp\":\"2024-01-23T12:00:00.1Z\"}", "{\"timestamp\":\"2024-01-23T12:00:00.100Z\"}"},
        {"onchain", "{\"timestamp\": 1706011200 ,\"x\":1}", "{\"timestamp\": \"2024-01-23T12:00:00.000Z\" ,\"x\":1}"},
        {"onchain", "{\"timestamp\":1706011200007}", "{\"timestamp\":\"2024-01-23T12:00:00.007Z\"}"},
        {"onchain", "{\"timest\\u0061mp\":1706011200}", "{\"timest\\u0061mp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"market_data",
         "{\"prices\":{\"bitcoin\":45000.00,\"ethereum\":3200},\"volumes\":{},\"market_caps\":{\"x\":null},"
         "\"price_changes\":{},\"source\":\"coingecko\",\"extra\":{\"timestamp\":5},\"timestamp\":"
         "\"2025-11-11T10:30:00.000Z\"}",
         NULL},
        {"news",
         "{\"articles\":[{\"title\":\"t\",\"source\":\"s\",\"url\":\"u\",\"published_at\":1706011200},{\"published_"
         "at\":"
         "\"2024-01-23T12:00:00Z\",\"more\":1},{}],\"sources\":[\"a\"],\"categories\":[],\"timestamp\":1706011200}",
         "{\"articles\":[{\"title\":\"t\",\"source\":\"s\",\"url\":\"u\",\"published_at\":\"2024-01-23T12:00:00.000Z\"}"
         ","
         "{\"published_at\":\"2024-01-23T12:00:00.000Z\",\"more\":1},{}],\"sources\":[\"a\"],\"categories\":[],"
         "\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"sentiment",
         "{\"overall_sentiment\":\"bullish\",\"sentiment_score\":0.75,\"social_volume\":125000,\"trending_topics\":"
         "[\"Bitcoin\"],\"sentiment_by_source\":{\"twitter\":0.8},\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         NULL},
        {"whale_tracking",
         "{\"large_transactions\":[{\"hash\":\"0x\",\"value\":1,\"from\":\"a\",\"to\":\"b\",\"timestamp\":0}],"
         "\"whale_wallets\":[],\"total_volume\":5,\"alert_threshold\":1,\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         "{\"large_transactions\":[{\"hash\":\"0x\",\"value\":1,\"from\":\"a\",\"to\":\"b\",\"timestamp\":"
         "\"1970-01-01T00:00:00.000Z\"}],\"whale_wallets\":[],\"total_volume\":5,\"alert_threshold\":1,\"timestamp\":"
         "\"2024-01-23T12:00:00.000Z\"}"},
        {"huggingface",
         "{\"total_models\":25,\"total_datasets\":10,\"available_models\":[\"m\"],\"available_datasets\":[],"
         "\"last_refresh\":1706011200,\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         "{\"total_models\":25,\"total_datasets\":10,\"available_models\":[\"m\"],\"available_datasets\":[],"
         "\"last_refresh\":\"2024-01-23T12:00:00.000Z\",\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"persistence",
         "{\"storage_location\":\"/data\",\"total_records\":1500000,\"storage_size\":\"2.5 GB\",\"last_save\":"
         "\"2024-01-23T12:00:00.000Z\",\"active_writers\":3,\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         NULL},
        {"health_checker",
         "{\"overall_health\":\"healthy\",\"healthy_count\":45,\"unhealthy_count\":2,\"total_providers\":47,"
         "\"providers\":{\"coingecko\":{\"status\":\"healthy\",\"response_time_ms\":150,\"last_check\":1706011200}},"
         "\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         "{\"overall_health\":\"healthy\",\"healthy_count\":45,\"unhealthy_count\":2,\"total_providers\":47,"
         "\"providers\":{\"coingecko\":{\"status\":\"healthy\",\"response_time_ms\":150,\"last_check\":"
         "\"2024-01-23T12:00:00.000Z\"}},\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(NULL, NULL);
        cr_assert_eq(pure_ingest(&host, cases[i].topic, cases[i].body), 202, "%s: %s", cases[i].body, host.reply);
        cr_assert_eq(pure_read(&host, cases[i].topic), 200);
        cr_expect_str_eq(host.reply, cases[i].stored != NULL ? cases[i].stored : cases[i].body, "%s", host.reply);
        pure_close(&host);
    }
}

/* Q-8, I-4: a documented field has its documented type; the one that is wrong is named. */
Test(crypto, names_the_field_that_is_wrong)
{
    static const struct {
        const char *topic, *body;
        int status;
        const char *field;
    } cases[] = {
        {"gold", "{}", 404, ""},
        {"system", "{}", 404, ""},
        {"all", "{}", 404, ""},
        {"news", "", 400, ""},
        {"news", "{\"a\":01}", 400, ""},
        {"news", "{\"a\":\"\xff\"}", 400, ""},
        {"news", "{} {}", 400, ""},
        {"news", "[]", 422, ""},
        {"news", "7", 422, ""},
        {"explorers", "{\"timestamp\":\"now\"}", 422, "timestamp"},
        {"explorers", "{\"timestamp\":-1}", 422, "timestamp"},
        {"explorers", "{\"timestamp\":null}", 422, "timestamp"},
        {"market_data", "{\"prices\":[]}", 422, "prices"},
        {"market_data", "{\"prices\":{\"a\":{}}}", 422, "prices"},
        {"market_data", "{\"volumes\":{\"a\":\"1\"}}", 422, "volumes"},
        {"market_data", "{\"market_caps\":1}", 422, "market_caps"},
        {"market_data", "{\"price_changes\":null}", 422, "price_changes"},
        {"market_data", "{\"source\":7}", 422, "source"},
        {"news", "{\"articles\":{}}", 422, "articles"},
        {"news", "{\"articles\":[7]}", 422, "articles"},
        {"news", "{\"articles\":[{},{\"title\":1}]}", 422, "title"},
        {"news", "{\"articles\":[{\"published_at\":\"x\"}]}", 422, "published_at"},
        {"news", "{\"sources\":\"a\"}", 422, "sources"},
        {"sentiment", "{\"sentiment_score\":\"0.5\"}", 422, "sentiment_score"},
        {"sentiment", "{\"social_volume\":0.5}", 422, "social_volume"},
        {"sentiment", "{\"overall_sentiment\":1}", 422, "overall_sentiment"},
        {"whale_tracking", "{\"large_transactions\":[{\"value\":\"1\"}]}", 422, "value"},
        {"health_checker", "{\"providers\":[]}", 422, "providers"},
        {"health_checker", "{\"providers\":{\"a\":7}}", 422, "providers"},
        {"health_checker", "{\"providers\":{\"a\":{\"status\":1}}}", 422, "status"},
        {"pool_manager", "{\"pools\":{\"a\":{\"available_sources\":{}}}}", 422, "available_sources"},
        {"pool_manager", "{\"failover_count\":1.5}", 422, "failover_count"},
        {"scheduler", "{\"running\":1}", 422, "running"},
        {"scheduler", "{\"jobs\":[{\"next_run\":true}]}", 422, "next_run"},
        {"huggingface", "{\"available_models\":5}", 422, "available_models"},
        {"persistence", "{\"total_records\":\"many\"}", 422, "total_records"},
    };
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(pure_ingest(&host, cases[i].topic, cases[i].body), cases[i].status, "%s", cases[i].body);
        cr_expect_str_eq(host.field, cases[i].field, "%s", cases[i].body);
    }
    cr_assert_eq(pure_read(&host, "gold"), 404);
    cr_assert_eq(pure_read(&host, "news"), 404, "nothing was taken");
    pure_close(&host);
}

/* Q-16, I-9 */
Test(crypto, finds_out_the_source)
{
    static const struct {
        const char *header, *body, *source;
    } cases[] = {
        {NULL, "{}", "default"},
        {NULL, "{\"source\":\"f\"}", "f"},
        {"h", "{\"source\":\"f\"}", "h"},
        {"h", "{}", "h"},
        {NULL, "{\"source\":\"\"}", "default"},
        {NULL, "{\"source\":7}", "default"},
        {NULL, "{\"source\":\"caf\\u00e9\"}", "caf\xc3\xa9"},
        {NULL, "{\"source\":\"01234567890123456789012345678901234567890123456789012345678901234\"}", NULL},
        {"01234567890123456789012345678901234567890123456789012345678901234", "{}", NULL},
        {"\xff", "{}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[128];
        start(NULL, NULL);
        host.source = cases[i].header;
        cr_expect_eq(pure_ingest(&host, "onchain", cases[i].body), cases[i].source != NULL ? 202 : 422);
        if (cases[i].source == NULL) {
            cr_expect_str_eq(host.field, cases[i].header != NULL ? "X-Source" : "source");
        } else {
            cr_assert_eq(pure_read(&host, "pool_manager"), 200);
            snprintf(expected, sizeof expected, "{\"pools\":{\"onchain\":{\"active_source\":\"%s\",", cases[i].source);
            cr_expect_eq(strncmp(host.reply, expected, strlen(expected)), 0, "%s", host.reply);
        }
        pure_close(&host);
    }
}

/* C-46: how old the data was when it came. */
Test(crypto, tells_how_long_data_took)
{
    start(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "onchain", "{\"source\":\"a\",\"timestamp\":\"2024-01-23T12:34:55.250Z\"}"), 202);
    cr_assert_eq(pure_ingest(&host, "onchain", "{\"source\":\"b\",\"timestamp\":\"2999-01-01T00:00:00Z\"}"), 202);
    cr_assert_eq(pure_read(&host, "health_checker"), 200);
    cr_assert_not_null(strstr(host.reply, "\"a\":{\"status\":\"healthy\",\"response_time_ms\":750,"), "%s", host.reply);
    cr_assert_not_null(strstr(host.reply, "\"b\":{\"status\":\"healthy\",\"response_time_ms\":0,"));
    pure_close(&host);
}

Test(crypto, checks_the_order_of_sources)
{
    static const struct {
        const char *value;
        const char *why; /* NULL: good */
    } cases[] = {
        {"", NULL},
        {"market_data=a", NULL},
        {"market_data=a b c,news=a", NULL},
        {"gold=a", "is no order of sources"},
        {"system=a", "is no order of sources"},
        {"market_data", "is no order of sources"},
        {"market_data=", "is no order of sources"},
        {"market_data=a a", "is no order of sources"},
        {"news=a,news=b", "has an order already"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256] = "";
        struct buf why = buf_of(text, sizeof text - 1);
        pure_init(&host, "crypto");
        cr_assert_eq(pure_set(&host, "sources", cases[i].value), 0);
        int result = host.dialect->check_settings(host.settings, &why);
        cr_expect_eq(result == 0, cases[i].why == NULL, "%s", cases[i].value);
        cr_expect(cases[i].why == NULL || strstr(text, cases[i].why) != NULL, "%s", text);
        pure_start(&host);
        pure_close(&host);
    }
}
