/* SPDX-License-Identifier: MIT */
/* What a shard answers over the simulated network: Date, what each status owes on each listener, HEAD, HTTP/1.0, and
 * bodies that are not understood. How a head is written is test_http1.c's. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

static const char *const publisher[] = {"ingest.keys=secret plain/*", "plain.retain=1", NULL};

/* Sends a request and gives the head of the answer, NUL-terminated; *content: how many bytes have come behind it. */
static const char *ask(struct world *world, struct peer *peer, const char *text, uint32_t *content)
{
    static char head[2048];
    peer_say(world, peer, text);
    peer_receive(world, peer);
    const char *end = memmem(peer->data, peer->used, "\r\n\r\n", 4);
    cr_assert_not_null(end, "no answer to %s", text);
    uint32_t bytes = (uint32_t)(end + 4 - (const char *)peer->data);
    cr_assert_lt(bytes, sizeof head);
    memcpy(head, peer->data, bytes);
    head[bytes] = '\0';
    *content = peer->used - bytes;
    peer_forget(peer, peer->used);
    return head;
}

static void expect_answer(struct world *world, uint16_t port, const char *text, const char *status,
                          const char *const *fields)
{
    static struct peer peer;
    uint32_t content;
    peer = (struct peer){0};
    peer_connect(world, &peer, port);
    const char *head = ask(world, &peer, text, &content);
    cr_assert_eq(strncmp(head + 9, status, strlen(status)), 0, "%s\n%s", text, head);
    cr_assert_not_null(strstr(head, "\r\nDate: "), "%s\n%s", text, head);
    for (; *fields != NULL; fields++)
        cr_assert_not_null(strstr(head, *fields), "%s\nwithout %s:\n%s", text, *fields, head);
    sim_peer_close(world->network, peer.number);
    world_settle(world);
}

#define FIELDS(...)                                                                                                    \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__ __VA_OPT__(, ) NULL                                                                                \
    }
#define HEAD_OF(line) line "\r\nHost: localhost\r\n"
#define WITH_KEY "X-Ingest-Key: secret\r\n"

/* RFC 9110 section 6.6.1 (W1) */
Test(conn_write, dates_every_response_by_the_second)
{
    struct world world;
    static struct peer peer;
    char before[64], after[64];
    uint32_t content;
    world_begin(&world, 1, 65536, NULL);
    peer_connect(&world, &peer, ADMIN_PORT);
    const char *date = strstr(ask(&world, &peer, HEAD_OF("GET /healthz HTTP/1.1") "\r\n", &content), "\r\nDate: ");
    cr_assert_not_null(date);
    snprintf(before, sizeof before, "%.39s", date);
    world_advance(&world, 1000);
    date = strstr(ask(&world, &peer, HEAD_OF("GET /healthz HTTP/1.1") "\r\n", &content), "\r\nDate: ");
    cr_assert_not_null(date);
    snprintf(after, sizeof after, "%.39s", date);
    cr_assert_str_neq(before, after, "a second later");
    uint8_t memory[TIMESTAMP_HTTP_BYTES];
    struct buf now = buf_of(memory, sizeof memory);
    timestamp_put_http(&now, (int64_t)world.shards[0]->wall_ms);
    cr_assert_eq(memcmp(after + 8, memory, sizeof memory), 0, "%s", after);
    world_end(&world);
}

/* RFC 9110 sections 15.5.2, 15.5.6, 15.5.16, 15.5.22 on all kinds of listener (W1, W2, W8) */
Test(conn_write, owes_the_same_on_every_listener)
{
    struct world world;
    world_begin(&world, 1, 65536, publisher);
    expect_answer(&world, INGEST_PORT, HEAD_OF("POST /ingest/v1/plain/a HTTP/1.1") "\r\n", "401",
                  FIELDS("\r\nWWW-Authenticate: Bearer\r\n"));
    expect_answer(&world, INGEST_PORT, HEAD_OF("PUT /ingest/v1/plain/a HTTP/1.1") WITH_KEY "\r\n", "405",
                  FIELDS("\r\nAllow: GET, HEAD, POST\r\n"));
    expect_answer(&world, INGEST_PORT, HEAD_OF("POST /ingest/v1/ws HTTP/1.1") WITH_KEY "\r\n", "405",
                  FIELDS("\r\nAllow: GET\r\n"));
    expect_answer(
        &world, INGEST_PORT, HEAD_OF("GET /ingest/v1/ws HTTP/1.1") WITH_KEY "\r\n", "426",
        FIELDS("\r\nUpgrade: websocket\r\n", "\r\nSec-WebSocket-Version: 13\r\n", "\r\nConnection: Upgrade\r\n"));
    expect_answer(&world, INGEST_PORT, HEAD_OF("POST /ingest/v1/rustorium/blocks HTTP/1.1") WITH_KEY "\r\n", "403",
                  FIELDS());
    expect_answer(&world, ADMIN_PORT, HEAD_OF("PUT /metrics HTTP/1.1") "\r\n", "405",
                  FIELDS("\r\nAllow: GET, HEAD\r\n"));
    expect_answer(&world, ADMIN_PORT, HEAD_OF("GET /nowhere HTTP/1.1") "\r\n", "404",
                  FIELDS("\r\nContent-Type: application/json\r\n"));
    expect_answer(&world, DIALECT_PORT, HEAD_OF("POST /plain/a HTTP/1.1") "\r\n", "405", FIELDS("\r\nAllow: GET\r\n"));
    expect_answer(&world, DIALECT_PORT, HEAD_OF("GET /plain/a HTTP/1.1") "\r\n", "426",
                  FIELDS("\r\nUpgrade: websocket\r\n", "\r\nConnection: Upgrade\r\n"));
    expect_answer(&world, DIALECT_PORT, "nonsense\r\n\r\n", "400", FIELDS("\r\nConnection: close\r\n"));
    world_end(&world);
}

/* RFC 9110 sections 8.4, 15.5.16 (W8) */
Test(conn_write, refuses_a_content_coding_before_the_content)
{
    struct world world;
    world_begin(&world, 1, 65536, publisher);
    for (unsigned i = 0; i < 4; i++) {
        static const char *const codings[] = {"gzip", "identity, gzip", "zstd", "identity"};
        char text[300];
        snprintf(text, sizeof text,
                 HEAD_OF("POST /ingest/v1/plain/a HTTP/1.1") WITH_KEY
                 "Content-Encoding: %s\r\nContent-Length: 2\r\n\r\nhi",
                 codings[i]);
        if (i < 3)
            expect_answer(&world, INGEST_PORT, text, "415",
                          FIELDS("\r\nAccept-Encoding: identity\r\n", "\r\nConnection: close\r\n"));
        else
            expect_answer(&world, INGEST_PORT, text, "202", FIELDS());
    }
    cr_assert_eq(world_sum(&world, STAT_PUBLISHED), 1, "nothing in a coding was published");
    world_end(&world);
}

/* RFC 9110 sections 9.1, 9.3.2: HEAD wherever GET works, and no content, whatever the status */
Test(conn_write, answers_head_with_the_head_of_get)
{
    static const struct {
        uint16_t port;
        const char *rest;
        const char *status;
    } cases[] = {
        {ADMIN_PORT, " /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "200"},
        {ADMIN_PORT, " /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"},
        {ADMIN_PORT, " /healthz HTTP/1.1\r\n\r\n", "400"},
        {INGEST_PORT, " /ingest/v1/plain/a HTTP/1.1\r\nHost: localhost\r\n" WITH_KEY "\r\n", "200"},
        {INGEST_PORT, " /ingest/v1/plain/b HTTP/1.1\r\nHost: localhost\r\n" WITH_KEY "\r\n", "404"},
        {INGEST_PORT, " /ingest/v1/plain/a HTTP/1.1\r\nHost: localhost\r\n\r\n", "401"},
    };
    struct world world;
    world_begin(&world, 1, 65536, publisher);
    expect_answer(&world, INGEST_PORT,
                  HEAD_OF("POST /ingest/v1/plain/a HTTP/1.1") WITH_KEY "Content-Length: 2\r\n\r\nhi", "202", FIELDS());
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct peer peer;
        char text[200];
        uint32_t content = 1;
        peer = (struct peer){0};
        peer_connect(&world, &peer, cases[i].port);
        snprintf(text, sizeof text, "HEAD%s", cases[i].rest);
        const char *head = ask(&world, &peer, text, &content);
        cr_assert_eq(strncmp(head + 9, cases[i].status, 3), 0, "%s\n%s", text, head);
        cr_assert_not_null(strstr(head, "\r\nContent-Length: "));
        cr_assert_null(strstr(head, "\r\nContent-Length: 0\r\n"), "that of GET: %s", head);
        cr_assert_eq(content, 0, "no content: %s", text);
        sim_peer_close(world.network, peer.number);
        world_settle(&world);
    }
    world_end(&world);
}

/* RFC 9112 section 9.3, RFC 9110 section 10.1.1: no 100 for a peer that cannot know it */
Test(conn_write, tells_a_peer_of_http_1_0_what_becomes_of_the_connection)
{
    struct world world;
    world_begin(&world, 1, 65536, publisher);
    expect_answer(&world, ADMIN_PORT, "GET /healthz HTTP/1.0\r\n\r\n", "200", FIELDS("\r\nConnection: close\r\n"));
    expect_answer(&world, ADMIN_PORT, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200",
                  FIELDS("\r\nConnection: keep-alive\r\n"));
    expect_answer(&world, INGEST_PORT,
                  "POST /ingest/v1/plain/a HTTP/1.0\r\n" WITH_KEY "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
                  "202", FIELDS("\r\nConnection: close\r\n"));
    world_end(&world);
}

/* RFC 9110 section 7.4 (L8): on loopback listeners of operators and publishers, by 421; elsewhere everybody may call
 * us as they like */
Test(conn_write, refuses_foreign_hosts_on_loopback_listeners)
{
    static const char *const sets[] = {"ingest.keys=secret plain/*", "hosts=own.example", NULL};
    static const uint8_t loopback[][16] = {{[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}, {[15] = 1}};
    static const struct {
        const char *fields, *here, *elsewhere;
    } cases[] = {
        {"HTTP/1.1\r\nHost: evil.example:9401\r\n", "421", "401"},
        {"HTTP/1.1\r\nHost: localhost\r\n", "401", "401"},
        {"HTTP/1.1\r\nHost: own.example\r\n", "401", "401"},
        {"HTTP/1.1\r\nHost: [::1]:9400\r\n", "401", "401"},
        {"HTTP/1.0\r\n", "401", "401"},
    };
    struct world world;
    world_begin(&world, 1, 65536, sets);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char publish[200], metrics[200];
        snprintf(publish, sizeof publish, "GET /ingest/v1/plain/a %s\r\n", cases[i].fields);
        snprintf(metrics, sizeof metrics, "GET /metrics %s\r\n", cases[i].fields);
        expect_answer(&world, INGEST_PORT, publish, cases[i].elsewhere, FIELDS());
        for (unsigned a = 0; a < 2; a++) {
            struct listener *listeners = world.shards[0]->listeners->items;
            memcpy(listeners[1].address.bytes, loopback[a], 16);
            memcpy(listeners[2].address.bytes, loopback[a], 16);
            expect_answer(&world, INGEST_PORT, publish, cases[i].here, FIELDS());
            expect_answer(&world, ADMIN_PORT, metrics,
                          cases[i].here[0] == '4' && cases[i].here[1] == '2' ? "421" : "200", FIELDS());
            memset(listeners[1].address.bytes, 0, 16);
            memset(listeners[2].address.bytes, 0, 16);
        }
    }
    world_end(&world);
}

/* The rule "Origin's host is Host" at a loopback address holds for known hosts only (L8, A-14) */
Test(conn_write, believes_no_host_that_was_made_to_point_here)
{
    static const char *const sets[] = {"echo.origin_check=true", "hosts=own.example", NULL};
    static const struct {
        const char *name, *elsewhere, *here;
    } cases[] = {{"evil.example", "101", "403"}, {"own.example", "101", "101"}, {"localhost", "101", "101"}};
    struct world world;
    world_begin(&world, 1, 65536, sets);
    for (unsigned i = 0; i < 6; i++) {
        char text[400];
        struct listener *listener = &world.shards[0]->listeners->items[0];
        memcpy(listener->address.bytes, i < 3 ? (uint8_t[16]){0} : (uint8_t[16]){[15] = 1}, 16);
        snprintf(text, sizeof text,
                 "GET /echo HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 cases[i % 3].name, cases[i % 3].name);
        const char *status = i < 3 ? cases[i % 3].elsewhere : cases[i % 3].here;
        expect_answer(&world, DIALECT_PORT, text, status,
                      strcmp(status, "403") == 0 ? FIELDS("\r\nVary: Origin\r\n") : FIELDS());
    }
    world_end(&world);
}

/* RFC 9110 section 10.1.1, RFC 9112 section 9.3: what is refused instead of a 100 says that the rest is not read */
Test(conn_write, sends_100_when_the_content_is_wanted_and_only_then)
{
    struct world world;
    static struct peer peer;
    world_begin(&world, 1, 65536, publisher);
    peer_connect(&world, &peer, INGEST_PORT);
    peer_say(&world, &peer,
             HEAD_OF("POST /ingest/v1/plain/a HTTP/1.1") WITH_KEY "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    peer_receive(&world, &peer);
    cr_assert_eq(peer.used, strlen("HTTP/1.1 100 Continue\r\n\r\n"));
    cr_assert_eq(memcmp(peer.data, "HTTP/1.1 100 Continue\r\n\r\n", peer.used), 0);
    peer_forget(&peer, peer.used);
    peer_say(&world, &peer, "hi");
    cr_assert_eq(peer_response(&world, &peer), 202);
    expect_answer(&world, INGEST_PORT,
                  HEAD_OF("POST /ingest/v1/plain/a HTTP/1.1") "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
                  "401", FIELDS("\r\nConnection: close\r\n"));
    world_end(&world);
}
