/* SPDX-License-Identifier: MIT */
/* Proves the read interface of crypto: services, endpoints, clients, origins, its page about itself. Run by
 * unit_protocol. */
#include "core/random.h"
#include "protocol/dialects/crypto/crypto.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/crypto/crypto_host.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

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
