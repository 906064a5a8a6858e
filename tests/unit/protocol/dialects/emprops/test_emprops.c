/* SPDX-License-Identifier: MIT */
/* The dialect emprops at the session: paths, life of a connection, subscriptions that outlive it, long messages in
 * both directions (E-1, E-12, E-28, E-51, E-59, E-63, E-73 to E-87, K-22, Q-21, Q-23, Q-25). Run by unit_protocol. */
#include "protocol/base64.h"
#include "protocol/dialects/emprops/emprops.h"
#include "protocol/sha256.h"
#include "tests/unit/protocol/dialects/emprops/hub_talk.h"

static struct pure_host host;

static void start(void)
{
    pure_init(&host, "emprops");
    pure_set(&host, "messages_max", "0");
    pure_start(&host);
}

Test(emprops, upgrades_on_every_path_but_the_common_ones) /* E-1, Q-21 */
{
    static const char *const good[] = {"/", "/ws", "/emprops", "/any/thing?x=1"};
    start();
    for (uint32_t i = 0; i < 4; i++)
        cr_expect_eq(pure_connect(&host, i, good[i], ""), 101, "%s", good[i]);
    cr_expect_eq(pure_connect(&host, 9, "/healthz", ""), 404);
    cr_expect_eq(pure_connect(&host, 9, "/metrics", ""), 404);
    cr_expect_eq(host.dialect->route(host.settings, slice_text("")), DIALECT_PATH_SOCKET, "behind a prefix");
    cr_expect_eq(host.dialect->route(host.settings, slice_text("x")), DIALECT_PATH_NONE, "another word");
    pure_close(&host);
}

Test(emprops, gives_each_connection_an_id_of_its_own) /* E-7 */
{
    char first[64];
    start();
    come(&host, 0);
    come(&host, 1);
    for (uint32_t i = 0; i < 2; i++) {
        say(&host, i, "{\"type\":\"register_client\",\"client_type\":\"job_client\",\"client_id\":\"same\"}");
        const char *id = member_of(take(&host, i, "client_registered"), "assigned_connection_id");
        cr_assert_eq(strncmp(id, "conn-", 5), 0);
        cr_assert_geq(strlen(id), 11);
        if (i == 0)
            snprintf(first, sizeof first, "%s", id);
        else
            cr_assert_str_neq(first, id);
    }
    pure_close(&host);
}

Test(emprops, tells_the_submitter_wherever_it_is_registered) /* E-28, E-98 */
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    char job[32];
    snprintf(job, sizeof job, "%s", submit(&host, 0, ""));
    pure_disconnect(&host, 0);
    claim(&host, 1);
    say(&host, 1, "{\"type\":\"job_accepted_by_worker\",\"job_id\":\"%s\"}", job);
    come_client(&host, 2, "c");
    come_client(&host, 3, "c");
    say(&host, 1, "{\"type\":\"update_job_progress\",\"job_id\":\"%s\",\"progress\":1}", job);
    take(&host, 2, "job_update");
    take(&host, 3, "job_update");

    /* a job of an unregistered connection ends its news with it */
    come(&host, 4);
    const char *other = submit(&host, 4, "");
    pure_disconnect(&host, 4);
    come(&host, 4);
    say(&host, 2, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", other);
    take(&host, 2, "job_cancelled");
    take_none(&host, 4);
    pure_close(&host);
}

Test(emprops, tells_the_canceller_by_its_answer_only) /* E-59, E-63 */
{
    start();
    come_client(&host, 0, "c");
    for (uint32_t i = 1; i < 4; i++) { /* three monitors of one class */
        come(&host, i);
        say(&host, i, "{\"type\":\"subscribe_job_notifications\"}");
        take(&host, i, "job_notifications_subscribed");
    }
    const char *job = submit(&host, 0, "");
    for (uint32_t i = 1; i < 4; i++)
        take(&host, i, "job_update");
    say(&host, 2, "{\"type\":\"cancel_job\",\"job_id\":\"%s\",\"reason\":\"r\"}", job);
    take(&host, 2, "job_cancelled");
    for (uint32_t i = 0; i < 4; i++) {
        if (i != 2)
            cr_expect_str_eq(member_of(take(&host, i, "job_update"), "message"), "r");
        take_none(&host, i);
    }
    pure_close(&host);
}

Test(emprops, tells_each_event_once_however_many_ways_there_are) /* E-59 */
{
    start();
    come_client(&host, 0, "c");
    come_client(&host, 2, "d");
    come_worker(&host, 1, "w", "");
    char job[32];
    snprintf(job, sizeof job, "%s", submit(&host, 0, ""));
    for (uint32_t i = 0; i < 3; i += 2) {
        say(&host, i, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", job);
        take(&host, i, "subscription_confirmed");
        take(&host, i, "job_update");
        say(&host, i, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", job);
        take(&host, i, "subscription_confirmed");
        take(&host, i, "job_update");
        say(&host, i, "{\"type\":\"subscribe_job_notifications\",\"filters\":{\"status\":[\"in_progress\"]}}");
        take(&host, i, "job_notifications_subscribed");
    }
    claim(&host, 1);
    say(&host, 1, "{\"type\":\"update_job_progress\",\"job_id\":\"%s\",\"progress\":1}", job);
    for (uint32_t i = 0; i < 3; i += 2) {
        cr_expect_str_eq(member_of(take(&host, i, "job_update"), "status"), "assigned");
        cr_expect_str_eq(member_of(take(&host, i, "job_update"), "status"), "in_progress");
        take_none(&host, i);
        say(&host, i, "{\"type\":\"subscribe_job_notifications\",\"enabled\":false}");
        take(&host, i, "subscription_confirmed");
    }
    say(&host, 1, "{\"type\":\"complete_job\",\"job_id\":\"%s\",\"result\":{}}", job);
    for (uint32_t i = 0; i < 3; i += 2) {
        take(&host, i, "job_completed");
        take_none(&host, i);
    }
    pure_close(&host);
}

Test(emprops, takes_1000_job_subscriptions_of_a_connection) /* K-22, E-51 */
{
    pure_init(&host, "emprops");
    pure_set(&host, "messages_max", "0");
    pure_set(&host, "job_subscriptions_max", "3");
    pure_start(&host);
    come(&host, 0);
    come(&host, 1);
    char jobs[5][32];
    for (int i = 0; i < 5; i++)
        snprintf(jobs[i], sizeof jobs[i], "%s", submit(&host, 0, ""));
    for (int i = 0; i < 3; i++) {
        say(&host, 1, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", jobs[i]);
        take(&host, 1, "subscription_confirmed");
        take(&host, 1, "job_update");
    }
    say(&host, 1, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", jobs[3]);
    cr_assert_str_eq(member_of(member_of(take(&host, 1, "error"), "details"), "message"), "Too many subscriptions");
    say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", jobs[0]); /* one ends with its job */
    take(&host, 1, "job_update");
    say(&host, 1, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", jobs[3]);
    take(&host, 1, "subscription_confirmed");
    pure_close(&host);
}

/* What a client asks to be kept when it leaves (E-82). */
static void leave(const char *cleanup, uint64_t away_ms)
{
    say(&host, 1, "{\"type\":\"disconnect\",\"reason\":\"r\",\"cleanup_subscriptions\":%s}", cleanup);
    cr_assert_eq(host.conns[1].close_code, 1000);
    pure_advance(&host, away_ms);
    come_client(&host, 1, "watcher");
}

Test(emprops, keeps_subscriptions_of_a_client_that_wants_it) /* E-82 */
{
    start();
    come_client(&host, 0, "c");
    for (int round = 0; round < 3; round++) {
        come_client(&host, 1, "watcher");
        char job[32];
        snprintf(job, sizeof job, "%s", submit(&host, 0, ""));
        say(&host, 1, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", job);
        take(&host, 1, "subscription_confirmed");
        take(&host, 1, "job_update");
        say(&host, 1, "{\"type\":\"subscribe_job_notifications\",\"filters\":{\"status\":[\"queued\"]}}");
        take(&host, 1, "job_notifications_subscribed");
        say(&host, 1, "{\"type\":\"subscribe_stats\",\"interval_seconds\":2}");
        take(&host, 1, "subscription_confirmed");
        leave(round == 1 ? "true" : "false", round == 2 ? 300001 : 1000);
        say(&host, 0, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
        say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", job);
        if (round == 0) {
            take(&host, 1, "job_update");
            cr_expect_str_eq(member_of(take(&host, 1, "job_update"), "status"), "cancelled");
            pure_advance(&host, 2000);
            take(&host, 1, "system_status");
        } else {
            pure_advance(&host, 5000);
            take_none(&host, 1);
        }
        pure_disconnect(&host, 1);
        take(&host, 0, "job_accepted");
        take(&host, 0, "job_cancelled");
    }
    pure_close(&host);
}

Test(emprops, joins_what_was_kept_to_what_is_new) /* E-82 */
{
    start();
    come_client(&host, 0, "c");
    come_client(&host, 1, "watcher");
    const char *jobs[2] = {submit(&host, 0, ""), submit(&host, 0, "")};
    say(&host, 1, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", jobs[0]);
    say(&host, 1, "{\"type\":\"disconnect\",\"cleanup_subscriptions\":false}");
    come(&host, 1);
    say(&host, 1, "{\"type\":\"subscribe_job\",\"job_id\":\"%s\"}", jobs[1]);
    take(&host, 1, "subscription_confirmed");
    take(&host, 1, "job_update");
    say(&host, 1, "{\"type\":\"subscribe_job_notifications\",\"filters\":{\"status\":[\"failed\"]}}");
    take(&host, 1, "job_notifications_subscribed");
    say(&host, 1, "{\"type\":\"register_client\",\"client_type\":\"job_client\",\"client_id\":\"watcher\"}");
    take(&host, 1, "client_registered");
    for (int i = 0; i < 2; i++) {
        say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", jobs[i]);
        cr_expect_str_eq(member_of(take(&host, 1, "job_update"), "job_id"), jobs[i]);
    }
    take_none(&host, 1);
    pure_close(&host);
}

Test(emprops, registers_again_with_other_capabilities) /* E-12 */
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", ",\"subscribe_to_jobs\":true");
    const char *job = submit(&host, 0, "");
    take(&host, 1, "job_available");
    claim(&host, 1);
    say(&host, 1,
        "{\"type\":\"register_worker\",\"worker_id\":\"w\",\"capabilities\":{\"services\":[\"s\"]},"
        "\"subscribe_to_jobs\":true}");
    take(&host, 1, "worker_registered");
    say(&host, 0,
        "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{},\"requirements\":{\"service_type\":\"s\"}}");
    cr_expect_str_eq(member_of(take(&host, 0, "job_accepted"), "notified_workers"), "1");
    take(&host, 1, "job_available");
    say(&host, 1, "{\"type\":\"complete_job\",\"job_id\":\"%s\",\"result\":{}}", job);
    take(&host, 1, "job_completed_ack");
    pure_close(&host);
}

Test(emprops, says_goodbye_when_the_server_stops) /* E-83 */
{
    start();
    come(&host, 0);
    pure_farewell(&host);
    const char *text = take(&host, 0, "server_disconnect");
    cr_expect_str_eq(member_of(text, "estimated_downtime"), "60");
    cr_expect_str_eq(member_of(text, "reason"), "Server maintenance");
    cr_expect_eq(strtoull(member_of(text, "reconnect_after"), NULL, 10),
                 strtoull(member_of(text, "timestamp"), NULL, 10) + 60000);
    cr_expect_eq(host.conns[0].close_code, 1001);
    pure_close(&host);
}

Test(emprops, pings_by_message_every_30_seconds) /* E-81 */
{
    start();
    come(&host, 0);
    pure_advance(&host, 29999);
    take_none(&host, 0);
    pure_advance(&host, 1);
    take(&host, 0, "ping");
    pure_close(&host);
}

Test(emprops, takes_10_mebibytes_and_not_one_byte_more) /* E-73, E-74 */
{
    static char text[EMPROPS_MESSAGE_BYTES_MAX + 1];
    start();
    come(&host, 0);
    size_t bytes = EMPROPS_MESSAGE_BYTES_MAX;
    int head = snprintf(text, sizeof text, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{\"p\":\"");
    memset(text + head, 'x', bytes - (size_t)head - 3);
    memcpy(text + bytes - 3, "\"}}", 3);
    pure_send(&host, 0, WS_TEXT, slice_of(text, bytes));
    take(&host, 0, "job_accepted");
    come_worker(&host, 1, "w", "");
    say(&host, 1, "{\"type\":\"claim_job\"}");
    const struct pure_message *assigned = pure_take(&host, 1);
    cr_assert_not_null(assigned);
    cr_expect_leq(assigned->bytes, EMPROPS_MESSAGE_BYTES_MAX);
    cr_expect_not_null(strstr((const char *)assigned->data, "\"payload_truncated\":true"));
    pure_send(&host, 0, WS_TEXT, slice_of(text, bytes + 1));
    cr_expect_str_eq(member_of(take(&host, 0, "error"), "error_code"), "MESSAGE_TOO_LARGE");
    cr_expect_eq(host.conns[0].close_code, 1009);
    pure_close(&host);
}

Test(emprops, cuts_what_it_does_not_know_after_1024_bytes) /* E-72, Q-30 */
{
    char text[2000], filler[1100];
    start();
    come(&host, 0);
    memset(filler, 'y', sizeof filler);
    filler[1080] = '\0';
    snprintf(text, sizeof text, "{\"type\":\"zzz\",\"a\":\"%s\"}", filler);
    pure_send_text(&host, 0, text);
    const char *original = member_of(take(&host, 0, "unknown"), "original_message");
    cr_expect_str_eq(original + strlen(original) - 4, "y...");
    struct buf plain = buf_of(text, sizeof text);
    json_unescape(slice_text(original), &plain);
    cr_expect_eq(plain.used, 1024 + 3);
    pure_close(&host);
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

/* Sends a text in pieces. */
static void send_chunks(uint32_t conn, const char *id, struct slice text, uint32_t total, const char *hash)
{
    static char message[3 << 20], data[3 << 20];
    char own[SHA256_TEXT_BYTES + 1];
    size_t size = (text.bytes + total - 1) / total;
    sha256_text(text, own);
    for (uint32_t i = 0; i < total; i++) {
        struct slice rest = slice_skip(text, i * size);
        struct buf encoded = buf_of(data, sizeof data - 1);
        base64_encode(slice_of(rest.data, rest.bytes < size ? rest.bytes : size), &encoded);
        data[encoded.used] = '\0';
        int bytes = snprintf(message, sizeof message,
                             "{\"type\":\"chunked_message\",\"chunk_id\":\"%s\",\"chunk_index\":%u,\"total_chunks\":%u,"
                             "\"data\":\"%s\",\"data_hash\":\"%s\"}",
                             id, i, total, data, hash != NULL ? hash : own);
        pure_send(&host, conn, WS_TEXT, slice_of(message, (size_t)bytes));
    }
}

Test(emprops, gives_up_on_chunks_that_do_not_come) /* E-76 */
{
    start();
    come(&host, 0);
    say(&host, 0,
        "{\"type\":\"chunked_message\",\"chunk_id\":\"c\",\"chunk_index\":0,\"total_chunks\":2,\"data\":\"AAAA\","
        "\"data_hash\":\"ee0a306a96628694e5f6e4d21480e81f46a34aee62ec3da4bb54c5faf5f174ef\"}");
    pure_advance(&host, 59999);
    take(&host, 0, "ping");
    take_none(&host, 0);
    pure_advance(&host, 1);
    const char *error = take(&host, 0, "error");
    cr_expect_str_eq(member_of(error, "error_code"), "CHUNK_TIMEOUT");
    cr_expect_str_eq(member_of(member_of(error, "details"), "chunk_id"), "c");
    pure_close(&host);
}

Test(emprops, bounds_the_memory_of_chunks_by_connection_and_by_process) /* E-77, Q-30 */
{
    static char text[5000];
    pure_init(&host, "emprops");
    pure_set(&host, "chunk_total", "4000B");
    pure_set(&host, "chunk_memory", "6000B");
    pure_start(&host);
    come(&host, 0);
    come(&host, 1);
    memset(text, 'x', sizeof text);
    send_chunks(0, "a", slice_of(text, 4001), 3, NULL);
    const char *error = take(&host, 0, "error");
    cr_expect_str_eq(member_of(error, "error_code"), "CHUNK_INVALID");
    cr_expect_str_eq(member_of(member_of(error, "details"), "field"), "data");

    /* both at once are too much for the process: two of three pieces of each stay */
    char hash[SHA256_TEXT_BYTES + 1];
    sha256_text(slice_of(text, 4000), hash);
    for (uint32_t c = 0; c < 2; c++) {
        static char message[12000], data[8000];
        struct buf encoded = buf_of(data, sizeof data - 1);
        base64_encode(slice_of(text, 3500), &encoded);
        data[encoded.used] = '\0';
        snprintf(
            message, sizeof message,
            "{\"type\":\"chunked_message\",\"chunk_id\":\"b\",\"chunk_index\":0,\"total_chunks\":2,\"data\":\"%s\","
            "\"data_hash\":\"%s\"}",
            data, hash);
        pure_send_text(&host, c, message);
    }
    take_none(&host, 0);
    error = take(&host, 1, "error");
    cr_expect_str_eq(member_of(error, "error_code"), "CHUNK_INVALID");
    cr_expect_str_eq(member_of(member_of(error, "details"), "field"), "data");
    pure_disconnect(&host, 0); /* its memory is free */
    send_chunks(1, "c", slice_text("{\"type\":\"ping\"}"), 2, NULL);
    take(&host, 1, "chunked_message_complete");
    take(&host, 1, "pong");
    pure_close(&host);
}

Test(emprops, takes_a_large_result_in_chunks_and_gives_it_out_in_chunks) /* E-75, E-78 to E-80, Q-23 */
{
    static char text[3 << 20], whole[3 << 20];
    start();
    come_client(&host, 0, "c");
    come(&host, 2);
    say(&host, 2,
        "{\"type\":\"register_client\",\"client_type\":\"job_client\",\"client_id\":\"c\","
        "\"capabilities\":{\"chunked_messages\":true}}");
    take(&host, 2, "client_registered");
    come_worker(&host, 1, "w", "");
    const char *job = submit(&host, 0, "");
    begin_job(&host, 1, 0, job);
    take(&host, 2, "job_update");
    take(&host, 2, "job_update");
    int head = snprintf(text, sizeof text,
                        "{\"type\":\"complete_job\",\"job_id\":\"%s\",\"result\":{\"success\":true,\"blob\":\"", job);
    memset(text + head, 'z', 2 << 20);
    memcpy(text + head + (2 << 20), "\"}}", 4);
    send_chunks(1, "r", slice_text(text), 7, NULL);
    const struct pure_message *complete = pure_take(&host, 1);
    cr_assert_not_null(complete);
    cr_expect_not_null(strstr((const char *)complete->data, text), "the confirmation holds the whole");
    take(&host, 1, "job_completed_ack");

    /* one message to who takes no chunks, pieces to who does */
    const struct pure_message *one = pure_take(&host, 0);
    cr_assert(one != NULL && one->bytes > 2 << 20);
    struct buf out = buf_of(whole, sizeof whole);
    char hash[SHA256_TEXT_BYTES + 1] = "", own[SHA256_TEXT_BYTES + 1];
    uint64_t count = 0, total = 1;
    for (; count < total; count++) {
        const struct pure_message *piece = pure_take(&host, 2);
        struct json_member m[] = {{.name = "data"},
                                  {.name = "chunk_index"},
                                  {.name = "total_chunks"},
                                  {.name = "data_hash"},
                                  {.name = "original_type"}};
        uint64_t index = 99;
        cr_assert_not_null(piece);
        cr_assert_eq(json_find_members(slice_of(piece->data, piece->bytes), 4, false, m, 5), JSON_MEMBERS_OK);
        cr_assert(json_u64(m[1].raw, &index) && index == count && json_u64(m[2].raw, &total));
        cr_assert(base64_decode(m[0].raw, &out));
        memcpy(hash, m[3].raw.data, SHA256_TEXT_BYTES);
        cr_assert(slice_is(m[4].raw, "job_completed"));
    }
    cr_expect_eq(total, 9);
    sha256_text(buf_slice(&out), own);
    cr_expect_str_eq(hash, own);
    cr_expect(slice_equal(buf_slice(&out), slice_of(one->data, one->bytes)));
    pure_close(&host);
}

Test(emprops, answers_several_submissions_in_their_order) /* E-86 */
{
    start();
    come(&host, 0);
    for (int i = 0; i < 20; i++)
        say(&host, 0, "{\"type\":\"submit_job\",\"id\":\"m-%d\",\"job_type\":\"t\",\"payload\":{}}", i);
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "m-%d", i);
        cr_expect_str_eq(member_of(take(&host, 0, "job_accepted"), "request_id"), id);
        cr_expect_str_eq(member_of(take(&host, 0, "ack"), "message_id"), id);
    }
    pure_close(&host);
}

Test(emprops, has_progress_replaced_by_the_newest_only) /* E-37, K-15 */
{
    struct channel_traits traits;
    start();
    host.dialect->traits(host.settings, slice_text("session:1"), &traits);
    cr_expect_eq(traits.policy, POLICY_CONFLATE);
    cr_expect_eq(traits.retain_count, 0);
    pure_close(&host);
}
