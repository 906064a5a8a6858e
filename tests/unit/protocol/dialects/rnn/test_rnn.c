/* SPDX-License-Identifier: MIT */
/* The dialect rnn at the session and at the node: logins, tokens that end, tables over half a minute, what is told to whom
 * and what is not built again, searches in pieces, bounds, lives. What single messages look like stands in the transcripts. Run
 * by unit_protocol. */
#include "protocol/dialects/rnn/rnn.h"
#include "protocol/jwt.h"
#include "protocol/password.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET "a secret of the tests, of 32 characters or more"

static struct pure_host host;

/* The next text that a connection has got, or NULL. */
static const char *next_text(uint32_t index)
{
    const struct pure_message *message = pure_take(&host, index);
    return message == NULL ? NULL : (const char *)message->data;
}

static void begin(void)
{
    pure_init(&host, "rnn");
    cr_assert_eq(pure_set(&host, "secrets", "a secret of the tests 32 characters or more"), 0);
    pure_set(&host, "peer_id", "self");
}

static const char *path_of(const char *user, int64_t lifetime_s)
{
    static char path[1024];
    uint8_t memory[900];
    struct buf token = buf_of(memory, sizeof memory);
    int64_t now_s = (int64_t)(pure_wall_ms(&host) / 1000);
    jwt_make(&token, slice_text("a secret of the tests 32 characters or more"), slice_text(user), now_s,
             now_s + lifetime_s);
    snprintf(path, sizeof path, "/api/ws?token=%.*s", (int)token.used, (const char *)token.data);
    return path;
}

static void come(uint32_t index)
{
    cr_assert_eq(pure_connect(&host, index, path_of("op", 3600), ""), 101);
    const char *greeting = next_text(index);
    cr_assert(strncmp(greeting, "{\"type\":\"connected\"", 19) == 0, "%s", greeting);
}

/* How many messages of the type have come, all others passed over; the last one of it in `last`. */
static unsigned count(uint32_t index, const char *type, char *last, size_t bytes)
{
    char begins[64];
    unsigned found = 0;
    snprintf(begins, sizeof begins, "{\"type\":\"%s\"", type);
    for (const char *text; (text = next_text(index)) != NULL;) {
        if (strncmp(text, begins, strlen(begins)) != 0)
            continue;
        found++;
        if (last != NULL)
            snprintf(last, bytes, "%s", text);
    }
    return found;
}

static int login(const char *content)
{
    return pure_request_with(&host, 9, "POST", "/api/auth/login", "Content-Type: application/json\r\n", content);
}

Test(rnn, logs_in) /* N-2, N-3, Q-34, Q-52 */
{
    static const char *const malformed[] = {"",
                                            "{",
                                            "[]",
                                            "{}",
                                            "{\"username\":\"op\"}",
                                            "{\"username\":\"op\",\"password\":7}",
                                            "{\"username\":\"op\",\"username\":\"x\",\"password\":\"secret\"}"};
    char hash[PASSWORD_HASH_BYTES_MAX], user[512];
    struct jwt_claims claims;
    begin();
    cr_assert(password_hash(slice_text("secret"), hash));
    snprintf(user, sizeof user, "op %s", hash);
    cr_assert_eq(pure_set(&host, "users", user), 0);
    pure_set(&host, "logins_failed_max", "2");
    pure_start(&host);
    const struct rnn_settings *settings = host.settings;
    cr_assert_eq(login("{\"username\":\"op\",\"password\":\"secret\"}"), 200);
    char *token = strstr(host.content, "{\"token\":\"");
    cr_assert_not_null(token, "%s", host.content);
    token += 10;
    struct slice text = slice_of(token, strcspn(token, "\""));
    cr_expect_eq(jwt_check(text, &settings->secrets, (int64_t)(pure_wall_ms(&host) / 1000), &claims), JWT_GOOD);
    cr_expect(slice_is(slice_of(claims.subject, claims.subject_bytes), "op"));
    cr_expect_eq(claims.expires_s - claims.issued_s, 86400);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        cr_expect_eq(login(malformed[i]), 400, "%s", malformed[i]);
    cr_expect_eq(login("{\"username\":\"op\",\"password\":\"secrets\"}"), 401);
    cr_expect_eq(login("{\"username\":\"nobody\",\"password\":\"secret\"}"), 401);
    cr_expect_eq(login("{\"username\":\"op\",\"password\":\"secret\"}"), 429, "two failures of this address");
    pure_advance(&host, 60000);
    cr_expect_eq(login("{\"username\":\"op\",\"password\":\"secret\"}"), 200, "the next minute");
    pure_close(&host);
}

Test(rnn, refuses_settings_that_let_nobody_or_anybody_in) /* N-3 */
{
    struct rnn_settings settings = {.common.listen = {.count = 1}};
    uint8_t memory[512];
    char *short_one[] = {"short"}, *good[] = {SECRET}, *no_hash[] = {"op"}, *plain[] = {"op secret"};
    struct buf why = buf_of(memory, sizeof memory);
    cr_expect_neq(rnn_check_settings(&settings, &why), 0, "no secret");
    settings.secrets = (struct option_texts){short_one, 1};
    cr_expect_neq(rnn_check_settings(&settings, &why), 0, "a short one");
    settings.secrets = (struct option_texts){good, 1};
    cr_expect_eq(rnn_check_settings(&settings, &why), 0);
    settings.users = (struct option_texts){no_hash, 1};
    cr_expect_neq(rnn_check_settings(&settings, &why), 0, "no hash");
    settings.users = (struct option_texts){plain, 1};
    cr_expect_neq(rnn_check_settings(&settings, &why), 0, "a password in the clear");
    buf_put_byte(&why, '\0');
    cr_expect_null(strstr((const char *)memory, "secret "), "no password is repeated: %s", (const char *)memory);
}

Test(rnn, ends_with_its_token_when_asked_to) /* N-6 */
{
    begin();
    pure_set(&host, "close_on_expiry", "true");
    pure_set(&host, "idle_timeout", "0");
    pure_start(&host);
    cr_assert_eq(pure_connect(&host, 0, path_of("op", 60), ""), 101);
    pure_advance(&host, (60 + JWT_LEEWAY_S) * 1000 - 1500);
    cr_expect_eq(host.conns[0].close_code, 0);
    pure_advance(&host, 3000);
    cr_expect_eq(host.conns[0].close_code, 1008);
    pure_close(&host);
}

Test(rnn, tells_its_tables_at_their_intervals) /* N-8, N-20 to N-26; SN-2 */
{
    static const struct {
        const char *type;
        unsigned times;
    } rows[] = {{"node.status", 6},       {"peers.updated", 3},  {"blacklist.updated", 1}, {"services.updated", 2},
                {"workflows.updated", 2}, {"relay.sessions", 0}, {"relay.candidates", 0}};
    begin();
    pure_set(&host, "idle_timeout", "0");
    pure_start(&host);
    for (uint32_t i = 0; i < 7; i++)
        come(i);
    for (uint32_t i = 0; i < 7; i++)
        cr_assert_null(next_text(i), "nothing has been told yet, so there is no snapshot");
    pure_advance(&host, 30000);
    for (uint32_t i = 0; i < 7; i++)
        cr_expect_eq(count(i, rows[i].type, NULL, 0), rows[i].times, "%s", rows[i].type);
    pure_close(&host);
}

Test(rnn, tells_who_comes_all_that_has_been_told) /* N-8, Q-35, Q-44 */
{
    static const char *const types[] = {"node.status", "peers.updated", "blacklist.updated", "services.updated",
                                        "workflows.updated"};
    begin();
    pure_set(&host, "idle_timeout", "0");
    pure_start(&host);
    cr_assert_eq(pure_ingest(&host, "node", "{\"quic_connections\":5}"), 202);
    pure_advance(&host, 30000);
    come(0);
    for (size_t i = 0; i < 5; i++) {
        char begins[64];
        const char *text = next_text(0);
        snprintf(begins, sizeof begins, "{\"type\":\"%s\"", types[i]);
        cr_assert(text != NULL && strncmp(text, begins, strlen(begins)) == 0, "%s: %s", types[i], text);
        if (i == 0)
            cr_expect_not_null(strstr(text, "\"uptime_seconds\":30,"), "%s", text);
        if (i == 0)
            cr_expect_not_null(strstr(text, "\"quic_connections\":5,"), "%s", text);
    }
    cr_expect_null(next_text(0));
    pure_close(&host);
}

Test(rnn, counts_on_while_a_session_lasts) /* N-23 */
{
    char last[1024] = "", session[256];
    begin();
    pure_set(&host, "idle_timeout", "0");
    pure_set(&host, "relay_mode", "true");
    pure_start(&host);
    snprintf(session, sizeof session, "{\"op\":\"upsert\",\"items\":[{\"session_id\":\"s\",\"start_time\":%llu}]}",
             (unsigned long long)(pure_wall_ms(&host) / 1000 - 10));
    cr_assert_eq(pure_ingest(&host, "relay_sessions", session), 202);
    come(0);
    pure_advance(&host, 5000);
    cr_expect_eq(count(0, "relay.sessions", last, sizeof last), 1);
    cr_expect_not_null(strstr(last, "\"duration_seconds\":15,"), "%s", last);
    pure_advance(&host, 5000);
    cr_expect_eq(count(0, "relay.sessions", last, sizeof last), 1);
    cr_expect_not_null(strstr(last, "\"duration_seconds\":20,"), "%s", last);
    pure_close(&host);
}

Test(rnn, lets_entries_of_the_blacklist_end) /* N-22 */
{
    char last[1024] = "", entry[256];
    begin();
    pure_set(&host, "idle_timeout", "0");
    pure_start(&host);
    snprintf(entry, sizeof entry,
             "{\"op\":\"upsert\",\"items\":[{\"peer_id\":\"a\",\"expires_at\":%llu},{\"peer_id\":\"b\"}]}",
             (unsigned long long)(pure_wall_ms(&host) / 1000 + 40));
    cr_assert_eq(pure_ingest(&host, "blacklist", entry), 202);
    come(0);
    pure_advance(&host, 30000);
    cr_expect_eq(count(0, "blacklist.updated", last, sizeof last), 1);
    cr_expect_not_null(strstr(last, "\"peer_id\":\"a\""), "%s", last);
    pure_advance(&host, 30000);
    cr_expect_eq(count(0, "blacklist.updated", last, sizeof last), 1);
    cr_expect_null(strstr(last, "\"peer_id\":\"a\""), "%s", last);
    cr_expect_not_null(strstr(last, "\"peer_id\":\"b\""), "%s", last);
    pure_close(&host);
}

Test(rnn, tells_of_capabilities_only_when_they_change) /* N-38, Q-36 */
{
    static const char *const same =
        "{\"op\":\"upsert\",\"items\":[{\"peer_id\":\"p\",\"capabilities\":{\"gpu\":true}}]}";
    char last[512];
    begin();
    pure_start(&host);
    come(0);
    cr_assert_eq(pure_ingest(&host, "peer_capabilities", same), 202);
    cr_expect_eq(count(0, "peer.capabilities.updated", last, sizeof last), 1);
    cr_expect_not_null(strstr(last, "{\"peer_id\":\"p\",\"capabilities\":{\"gpu\":true},\"updated_at\":"), "%s", last);
    cr_assert_eq(pure_ingest(&host, "peer_capabilities", same), 202);
    cr_expect_eq(count(0, "peer.capabilities.updated", last, sizeof last), 0);
    pure_close(&host);
}

/* Each peer whose capabilities have changed is told, and no other: which of a, b and c, in any order. */
static void expect_told(const char *operation, bool a, bool b, bool c)
{
    const bool wanted[] = {a, b, c};
    unsigned told[3] = {0};
    cr_assert_eq(pure_ingest(&host, "peer_capabilities", operation), 202, "%s", operation);
    for (const char *text; (text = next_text(0)) != NULL;)
        for (unsigned i = 0; i < 3; i++) {
            char peer[32];
            snprintf(peer, sizeof peer, "{\"peer_id\":\"%c\"", "abc"[i]);
            told[i] += strstr(text, peer) != NULL;
        }
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(told[i], wanted[i] ? 1 : 0, "%c after %s", "abc"[i], operation);
}

Test(rnn, tells_of_each_peer_whose_capabilities_change) /* N-38 */
{
    begin();
    pure_start(&host);
    come(0);
    expect_told("{\"op\":\"upsert\",\"items\":[{\"peer_id\":\"a\",\"capabilities\":{}},{\"peer_id\":\"b\","
                "\"capabilities\":{}}]}",
                true, true, false);
    expect_told("{\"op\":\"upsert\",\"items\":[{\"peer_id\":\"a\",\"capabilities\":{}},{\"peer_id\":\"b\","
                "\"capabilities\":{\"x\":1}}]}",
                false, true, false);
    expect_told("{\"op\":\"replace\",\"items\":[{\"peer_id\":\"a\",\"capabilities\":{}},{\"peer_id\":\"c\","
                "\"capabilities\":{}}]}",
                false, true, true);
    expect_told("{\"op\":\"delete\",\"ids\":[\"a\",\"b\"]}", true, false, false);
    pure_close(&host);
}

/* Publishes `number` services of a peer (NULL: own), from `first` on. */
static void publish_services(const char *peer, unsigned first, unsigned number)
{
    size_t room = (size_t)number * 160 + 256, used;
    char *text = malloc(room);
    cr_assert_not_null(text);
    used = (size_t)snprintf(text, room, "{\"op\":\"upsert\",\"peer_id\":\"%s\",\"items\":[", peer == NULL ? "" : peer);
    for (unsigned i = 0; i < number; i++)
        used += (size_t)snprintf(
            text + used, room - used, "%s{\"id\":%u,\"name\":\"service %u\",\"service_type\":\"%s\",\"status\":\"%s\"}",
            i > 0 ? "," : "", first + i, first + i, i % 2 ? "DATA" : "DOCKER", i % 4 == 3 ? "STOPPED" : "ACTIVE");
    snprintf(text + used, room - used, "]}");
    cr_assert_eq(pure_ingest(&host, peer == NULL ? "services" : "peer_services", text), 202, "%s", host.reply);
    free(text);
}

/* How many services a search finds, in how many partial answers. */
static unsigned find(uint32_t index, const char *payload, unsigned *partial)
{
    char message[512];
    unsigned found = 0;
    *partial = 0;
    snprintf(message, sizeof message, "{\"type\":\"service.search.request\",\"payload\":%s}", payload);
    pure_send_text(&host, index, message);
    for (const char *text; (text = next_text(index)) != NULL;) {
        if (strncmp(text, "{\"type\":\"service.search.response\"", 33) != 0)
            continue;
        if (strstr(text, "\"complete\":true") != NULL) {
            cr_expect_not_null(strstr(text, "\"services\":[]"), "%s", text);
            return found;
        }
        ++*partial;
        unsigned here = 0;
        for (const char *at = text; (at = strstr(at, "\"peer_name\":")) != NULL; at++)
            here++;
        cr_expect(here > 0 && here <= 50, "%u", here);
        found += here;
    }
    cr_assert(false, "there is no last answer");
    return 0;
}

Test(rnn, finds_in_pieces_what_is_far_apart) /* N-29 to N-34 */
{
    unsigned partial;
    begin();
    pure_set(&host, "messages_max", "0");
    pure_start(&host);
    publish_services(NULL, 1, 7);
    for (unsigned i = 0; i < 40; i++)
        publish_services("far", i * 500, 500);
    publish_services("near", 90000, 60);
    come(0);
    cr_expect_eq(find(0, "{\"query\":\"service 19999\"}", &partial), 1, "behind several pieces");
    cr_expect_eq(find(0, "{\"query\":\"SERVICE 9005\",\"peer_ids\":[\"near\"]}", &partial), 10);
    cr_expect_eq(partial, 1);
    cr_expect_eq(find(0, "{\"peer_ids\":[\"near\"]}", &partial), 60);
    cr_expect_eq(partial, 2, "at most 50 in an answer");
    cr_expect_eq(find(0, "{\"peer_ids\":[\"near\",\"self\"],\"active_only\":true,\"service_type\":\"data\"}", &partial),
                 15 + 2);
    cr_expect_eq(find(0, "{}", &partial), 20067);
    cr_expect_eq(find(0, "{\"query\":\"nothing like it\"}", &partial), 0);
    pure_close(&host);
}

/* Own services of some size: a table, and what is found in it, are larger than what a call of the dialect can write. */
Test(rnn, tells_and_finds_what_is_large) /* N-8, N-25, N-34 */
{
    static char text[64 * 1024];
    unsigned partial, services = 120;
    size_t fill = 20000;
    begin();
    pure_set(&host, "messages_max", "0");
    pure_set(&host, "services_interval", "100ms");
    pure_start(&host);
    for (unsigned i = 0; i < services; i++) {
        size_t used =
            (size_t)snprintf(text, sizeof text,
                             "{\"op\":\"upsert\",\"items\":[{\"id\":%u,\"name\":\"large\",\"service_type\":\"DATA\","
                             "\"config\":{\"x\":\"",
                             i);
        memset(text + used, 'x', fill);
        used += fill;
        used += (size_t)snprintf(text + used, sizeof text - used, "\"},\"capabilities\":{\"y\":\"");
        memset(text + used, 'y', fill);
        used += fill;
        snprintf(text + used, sizeof text - used, "\"}}]}");
        cr_assert_eq(pure_ingest(&host, "services", text), 202);
    }
    pure_advance(&host, 100);
    come(0);
    cr_expect_eq(count(0, "services.updated", NULL, 0), 1, "the snapshot");
    cr_expect_eq(host.conns[0].close_code, 0);
    cr_expect_eq(find(0, "{\"query\":\"large\"}", &partial), services);
    cr_expect_eq(host.conns[0].close_code, 0);
    pure_close(&host);
}

Test(rnn, finds_behind_very_many_peers) /* N-32, N-34 */
{
    char operation[256], peers[64];
    unsigned partial, number = 20000;
    begin();
    pure_set(&host, "messages_max", "0");
    pure_start(&host);
    for (unsigned i = 0; i < number; i++) {
        snprintf(operation, sizeof operation,
                 "{\"op\":\"upsert\",\"peer_id\":\"peer %u\",\"items\":[{\"id\":%u,\"name\":\"s "
                 "%u\",\"service_type\":\"DATA\"}]}",
                 i, i, i % 1000);
        cr_assert_eq(pure_ingest(&host, "peer_services", operation), 202);
    }
    come(0);
    cr_expect_eq(find(0, "{\"query\":\"s 999\"}", &partial), number / 1000);
    cr_expect_eq(partial, number / 1000, "an answer for each peer");
    snprintf(peers, sizeof peers, "{\"peer_ids\":[\"peer 7\",\"peer %u\",\"nobody\"]}", number - 1);
    cr_expect_eq(find(0, peers, &partial), 2);
    pure_close(&host);
}

Test(rnn, keeps_searches_of_two_apart) /* N-36, N-37 */
{
    unsigned partial;
    begin();
    pure_start(&host);
    publish_services("p", 0, 60);
    come(0);
    come(1);
    pure_hold(&host, true);
    pure_send_text(&host, 0,
                   "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"service 1\",\"request_id\":\"a\"}}");
    pure_send_text(&host, 1,
                   "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"service 59\",\"request_id\":\"b\"}}");
    pure_hold(&host, false);
    pure_pump(&host);
    for (uint32_t i = 0; i < 2; i++)
        for (const char *text; (text = next_text(i)) != NULL;)
            cr_expect_not_null(strstr(text, i == 0 ? "\"request_id\":\"a\"" : "\"request_id\":\"b\""), "%s", text);
    pure_disconnect(&host, 0);
    cr_expect_eq(find(1, "{\"query\":\"service 59\"}", &partial), 1);
    pure_close(&host);
}

#define FOUND_BY(serial, id, complete)                                                                                 \
    "{\"op\":\"results\",\"search_id\":" serial ",\"complete\":" complete ",\"services\":[{\"id\":" id                 \
    ",\"name\":\"n\",\"service_type\":\"DATA\"}]}"

/* The next response, all else passed over; NULL: none. */
static const char *next_response(uint32_t index)
{
    const char *text = NULL;
    do
        text = next_text(index);
    while (text != NULL && strstr(text, "service.search.response") == NULL);
    return text;
}

static void expect_response(uint32_t index, const char *part)
{
    const char *text = next_response(index);
    cr_assert_not_null(text, "%s", part);
    cr_assert_not_null(strstr(text, part), "%s: %s", part, text);
}

Test(rnn, hears_live_peers_each_in_its_own_search) /* I-13, N-34, N-35 */
{
    begin();
    pure_start(&host);
    pure_serving(&host, "serve:a", "A", true);
    pure_serving(&host, "serve:b", "B", true);
    come(0);
    come(1);
    pure_send_text(&host, 0,
                   "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"x\",\"request_id\":\"one\"}}");
    pure_send_text(&host, 1,
                   "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"x\",\"request_id\":\"two\"}}");
    cr_expect_eq(pure_results(&host, "serve:b", FOUND_BY("2", "22", "true")), 202);
    cr_expect_null(next_response(0), "the other search is another's");
    expect_response(1, "\"request_id\":\"two\"");
    cr_expect_eq(pure_results(&host, "serve:a", FOUND_BY("1", "11", "false")), 202);
    expect_response(0, "\"id\":11,");
    cr_expect_eq(pure_results(&host, "serve:a", FOUND_BY("9", "99", "true")), 202, "of no search: passed over");
    cr_expect_eq(pure_results(&host, "serve:x", FOUND_BY("1", "99", "true")), 202, "of nobody who was asked");
    pure_serving(&host, "serve:a", "A", false); /* it leaves, and was not done */
    cr_expect_null(next_response(0));
    expect_response(1, "\"error\":\"No response from: a\",\"complete\":true,\"request_id\":\"two\"");
    pure_advance(&host, 4999);
    cr_expect_null(next_response(0), "b still has a millisecond");
    pure_advance(&host, 1);
    expect_response(0, "\"error\":\"No response from: a, b\",\"complete\":true,\"request_id\":\"one\"");
    cr_expect_eq(pure_results(&host, "serve:b", FOUND_BY("1", "99", "true")), 202, "too late");
    pure_close(&host);
}

Test(rnn, bounds_what_live_peers_leave_unheard) /* of searches whose client has gone: nothing is kept for ever */
{
    char message[3000], long_text[2001];
    unsigned taken = 0;
    begin();
    pure_start(&host);
    pure_serving(&host, "serve:a", "A", true);
    come(0);
    pure_send_text(&host, 0, "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"x\"}}");
    pure_disconnect(&host, 0);
    memset(long_text, 'd', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    snprintf(message, sizeof message,
             "{\"search_id\":1,\"complete\":false,\"services\":[{\"id\":1,\"name\":\"n\",\"description\":\"%s\","
             "\"service_type\":\"DATA\"}]}",
             long_text);
    while (taken < 10000 && pure_results(&host, "serve:a", message) == 202)
        taken++;
    cr_expect(taken > 1000 && taken < 3000, "4 MiB of about 2.3 KB: %u", taken);
    cr_expect_not_null(strstr(host.reply, "4 MiB"), "%s", host.reply);
    for (unsigned i = 0; i < 300; i++) { /* more searches than may wait: those beyond ask nobody */
        come(1);
        pure_send_text(&host, 1, "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"x\"}}");
        pure_disconnect(&host, 1);
    }
    come(1);
    pure_send_text(&host, 1, "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"x\"}}");
    expect_response(1, "\"complete\":true");
    pure_disconnect(&host, 1);
    pure_advance(&host, 10001);
    come(1);
    pure_send_text(&host, 1, "{\"type\":\"service.search.request\",\"payload\":{\"query\":\"x\",\"request_id\":5}}");
    cr_expect_eq(pure_results(&host, "serve:a", FOUND_BY("1", "99", "true")), 202, "that one is forgotten");
    pure_advance(&host, 5000);
    expect_response(1, "\"error\":\"No response from: a\",\"complete\":true,\"request_id\":5");
    pure_close(&host);
}

Test(rnn, refuses_what_is_beyond_its_memory_and_keeps_the_rest)
{
    begin();
    cr_assert_eq(pure_set(&host, "memory", "8KiB"), 0);
    pure_start(&host);
    publish_services("p", 0, 4);
    char text[8192], *at = text + sprintf(text, "{\"op\":\"upsert\",\"items\":[");
    for (unsigned i = 0; i < 60; i++)
        at += sprintf(at, "%s{\"id\":\"peer %u\",\"addresses\":[]}", i > 0 ? "," : "", i);
    strcpy(at, "]}");
    cr_expect_eq(pure_ingest(&host, "peers", text), 422);
    cr_assert_eq(pure_read(&host, "peers"), 200);
    cr_expect(strcmp(host.reply, "{\"items\":[]}") == 0, "all or nothing");
    cr_expect_eq(pure_ingest(&host, "peers", "{\"op\":\"upsert\",\"items\":[{\"id\":\"one\"}]}"), 202);
    pure_close(&host);
}

Test(rnn, takes_a_table_anew_that_fills_more_than_half_of_its_memory)
{
    char text[8192], *at = text + sprintf(text, "{\"op\":\"replace\",\"items\":[");
    begin();
    cr_assert_eq(pure_set(&host, "memory", "12KiB"), 0);
    pure_start(&host);
    for (unsigned i = 0; i < 30; i++)
        at += sprintf(at, "%s{\"id\":\"peer %u\",\"addresses\":[]}", i > 0 ? "," : "", i);
    strcpy(at, "]}");
    for (unsigned i = 0; i < 5; i++)
        cr_expect_eq(pure_ingest(&host, "peers", text), 202, "%u: %s", i, host.reply);
    pure_close(&host);
}

Test(rnn, has_the_documented_limits) /* N-11 to N-14, N-18 */
{
    begin();
    pure_start(&host);
    const struct dialect_settings *common = host.settings;
    cr_expect_eq(common->ping_interval_ms, 54000);
    cr_expect_eq(common->send_timeout_ms, 10000);
    cr_expect_eq(common->idle_timeout_ms, 60000);
    cr_expect_eq(common->message_bytes_max, 10485760);
    cr_expect_eq(common->messages_max, 200);
    cr_expect_eq(common->messages_window_ms, 1000);
    cr_expect_eq(common->connections_per_key, 32);
    pure_close(&host);
}

Test(rnn, pings_in_json_when_asked_to) /* N-11 */
{
    static const char *const settings[] = {"false", "true"};
    for (unsigned i = 0; i < 2; i++) {
        begin();
        pure_set(&host, "json_ping", settings[i]);
        pure_set(&host, "idle_timeout", "0");
        pure_start(&host);
        come(0);
        pure_advance(&host, 54000);
        cr_expect_eq(count(0, "ping", NULL, 0), i);
        pure_close(&host);
    }
}

/* What replaces what for a reader that is behind is the engine's (POLICY_CONFLATE): here, which messages may be. */
Test(rnn, lets_the_newest_of_a_table_replace_and_no_event) /* N-27, 5.4 */
{
    struct rnn_settings settings = {.peer_id = "self", .peer_name = "", .dht_node_id = "", .memory_bytes = 1U << 20};
    static uint8_t memory[65536];
    uint64_t seen = 0;
    struct effect effect;
    void *node = calloc(1, rnn_node.state_bytes);
    cr_assert_not_null(node);
    for (unsigned i = 0; i < RNN_PERIODICS; i++)
        settings.interval_ms[i] = 1000;
    settings.relay_mode = settings.nat_mode = true;
    cr_assert_eq(rnn_node.open(node, &settings), 0);
    rnn_node.loaded(node, 0, 1);
    rnn_node.interest(node, slice_text(RNN_CHANNEL), slice_text(""), true);
    rnn_node.timer(node, 1000, 1001);
    for (;;) {
        struct buf scratch = buf_of(memory, sizeof memory);
        effect = (struct effect){.kind = EFFECT_PUBLISH};
        if (!rnn_node.next(node, &scratch, &effect))
            break;
        cr_assert_eq(effect.kind, EFFECT_PUBLISH);
        cr_expect(effect.event.conflate > 0 && !(seen & UINT64_C(1) << effect.event.conflate));
        seen |= UINT64_C(1) << effect.event.conflate;
    }
    cr_expect_eq(__builtin_popcountll(seen), RNN_PERIODICS, "a number for each table");
    struct service_request event = {.kind = RNN_EVENT, .body = slice_text("{}"), .ticket = 1, .now_ms = 1001};
    struct buf scratch = buf_of(memory, sizeof memory);
    cr_assert_eq(rnn_node.request(node, &event, &scratch), 202);
    buf_reset(&scratch);
    cr_assert(rnn_node.next(node, &scratch, &effect));
    cr_expect_eq(effect.event.conflate, 0);
    rnn_node.close(node);
    free(node);
}

Test(rnn, has_all_that_was_acknowledged_in_its_next_life) /* Q-54, N-7 */
{
    begin();
    pure_set(&host, "peer_id", "");
    pure_start(&host);
    publish_services("p", 0, 3);
    publish_services(NULL, 1, 3);
    cr_assert_eq(pure_ingest(&host, "services", "{\"op\":\"delete\",\"ids\":[2]}"), 202);
    cr_assert_eq(pure_ingest(&host, "services",
                             "{\"op\":\"upsert\",\"items\":[{\"id\":3,\"name\":\"new\",\"service_type\":\"DATA\"}]}"),
                 202);
    cr_assert_eq(pure_ingest(&host, "node", "{\"relay_mode\":true,\"quic_connections\":7}"), 202);
    static char before[PURE_REPLY_BYTES];
    char id[512];
    cr_assert_eq(pure_connect(&host, 0, path_of("op", 3600), ""), 101);
    snprintf(id, sizeof id, "%s", next_text(0));
    cr_assert_not_null(strstr(id, "\"peer_id\":\"12D3KooW"), "%s", id);
    cr_assert_eq(pure_read(&host, "services"), 200);
    snprintf(before, sizeof before, "%s", host.reply);
    pure_crash(&host);
    cr_assert_eq(pure_read(&host, "services"), 200);
    cr_expect_str_eq(host.reply, before);
    cr_assert_eq(pure_connect(&host, 1, path_of("op", 3600), ""), 101);
    const char *again = next_text(1);
    cr_expect_eq(strncmp(id, again, strcspn(id, "}")), 0, "%s %s", id, again);
    cr_assert_eq(pure_read(&host, "node"), 200);
    cr_expect_not_null(strstr(host.reply, "\"quic_connections\":7"));
    unsigned partial;
    cr_expect_eq(find(1, "{\"peer_ids\":[\"p\"]}", &partial), 3);
    pure_close(&host);
}
