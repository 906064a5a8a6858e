/* SPDX-License-Identifier: MIT */
/* Proves the dialect aitbc where its transcripts (tests/transcripts/aitbc-*.txt) do not reach: mounts, order of
 * refusal, permissions, sessions, and each figure at, before and behind its limit. What is ingested is in
 * test_aitbc_ingest.c. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/dialects/aitbc/aitbc.h"
#include "protocol/dialects/aitbc/aitbc_streams.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/aitbc/aitbc_host.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define OFFER_BODY                                                                                                     \
    "{\"type\":\"new_offer\",\"offer\":{\"id\":\"o\",\"gpu_type\":\"g\",\"gpu_memory\":1,\"price_per_hour\":1,"        \
    "\"currency\":\"AITBC\"}}"

/* --- paths and mounts --------------------------------------------------------------------------------------------- */

/* */
Test(aitbc, owns_its_paths)
{
    static const struct {
        const char *path;
        bool owned;
    } cases[] = {
        {"/v1/events", true},
        {"/api/v1/events", true},
        {"/v1/jobs/a/ws", true},
        {"/api/v1/jobs/a/ws", true},
        {"/v1/jobs/A.b_c:d-9/ws", true},
        {"/v1/jobs/%61/ws", true},
        {"/v1/jobs/ws/ws", true},
        {"/", false},
        {"/v1/events/", false},
        {"/api/v1/events/", false},
        {"/apiv1/events", false},
        {"/API/v1/events", false},
        {"/v1/Events", false},
        {"/v1/jobs", false},
        {"/v1/jobs/", false},
        {"/v1/jobs/ws", false},
        {"/v1/jobs//ws", false},
        {"/v1/jobs/a", false},
        {"/v1/jobs/a/", false},
        {"/v1/jobs/a/WS", false},
        {"/v1/jobs/a/b/ws", false},
        {"/v1/jobs/a%2fb/ws", false},
        {"/v1/jobs/%00/ws", false},
        {"/v1/jobs/%c3%a9/ws", false},
        {"/v1/jobs/%6/ws", false},
        {"/v1/jobs/a+b/ws", false},
        {"/v2/events", false},
        {"/api/api/v1/events", false},
    };
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(host.dialect->route(host.settings, slice_text(cases[i].path)),
                     cases[i].owned ? DIALECT_PATH_SOCKET : DIALECT_PATH_NONE, "%s", cases[i].path);
    for (const char *const *path = host.dialect->paths; *path != NULL; path++)
        cr_expect_eq(host.dialect->route(host.settings, slice_text(*path)), DIALECT_PATH_SOCKET, "%s", *path);
    pure_close(&host);
}

Test(aitbc, job_ids_end_at_128_bytes)
{
    char path[200], id[130];
    start(NULL, NULL);
    for (int bytes = 127; bytes <= 129; bytes++) {
        memset(id, 'x', sizeof id);
        snprintf(path, sizeof path, "/v1/jobs/%.*s/ws", bytes, id);
        cr_assert_eq(host.dialect->route(host.settings, slice_text(path)),
                     bytes <= 128 ? DIALECT_PATH_SOCKET : DIALECT_PATH_NONE, "%d", bytes);
    }
    pure_close(&host);
}

/* bit 0 mounts all, then jobs, blockchain, marketplace. */
Test(aitbc, serves_what_is_mounted)
{
    static const struct {
        uint32_t mounts;
        const char *target;
        int status;
    } cases[] = {
        {1, JOB_PATH, 101},
        {2, JOB_PATH, 101},
        {4, JOB_PATH, 404},
        {8, JOB_PATH, 404},
        {12, JOB_PATH, 404},
        {14, JOB_PATH, 101},
        {2, EVENTS_PATH, 404},
        {4, EVENTS_PATH, 101},
        {4, EVENTS_PATH "?source=blockchain", 101},
        {4, EVENTS_PATH "?source=marketplace", 400},
        {4, EVENTS_PATH "?types=new_offer", 400},
        {4, EVENTS_PATH "?types=new_block,fork_detected,new_block", 101},
        {8, EVENTS_PATH "?types=new_offer", 101},
        {8, EVENTS_PATH "?types=new_offer,sync_status", 400},
        {12, EVENTS_PATH "?types=new_offer,sync_status", 101},
        {12, EVENTS_PATH "?source=blockchain&types=sync_status", 101},
        {1, EVENTS_PATH "?source=blockchain&types=new_offer", 400},
        {1, EVENTS_PATH "?types=New_block", 400},
        {1, EVENTS_PATH "?types=new_block,", 400},
        {1, EVENTS_PATH "?types=new%5Fblock", 101},
        {1, EVENTS_PATH "?types=%zz", 400},
        {1, EVENTS_PATH "?source=", 400},
        {1, "/api" EVENTS_PATH "?other=1", 101},
    };
    start_public("connections_per_address", "0");
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        host.mounts = cases[i].mounts;
        cr_expect_eq(pure_connect(&host, i, cases[i].target, ""), cases[i].status, "%u %s", cases[i].mounts,
                     cases[i].target);
    }
    pure_close(&host);
}

/* what a listener gets is its set, whatever that is; the order of all is one. */
Test(aitbc, random_sets_of_types_agree_with_a_model)
{
    enum { CONNS = 12 };
    static const char *const names[AITBC_EVENT_TYPES] = {
        "new_block", "transaction_confirmed", "transaction_pending", "fork_detected",   "sync_status",
        "new_offer", "offer_matched",         "offer_expired",       "offer_cancelled", "price_update",
    };
    static const char *const bodies[AITBC_EVENT_TYPES] = {
        "{\"type\":\"new_block\",\"block\":{\"height\":1,\"hash\":\"a\"}}",
        "{\"type\":\"transaction_confirmed\",\"tx_hash\":\"t\"}",
        "{\"type\":\"transaction_pending\",\"tx_hash\":\"t\"}",
        "{\"type\":\"fork_detected\",\"height\":1,\"hashes\":[]}",
        "{\"type\":\"sync_status\",\"syncing\":false}",
        OFFER_BODY,
        "{\"type\":\"offer_matched\",\"offer\":{\"id\":\"o\"}}",
        "{\"type\":\"offer_expired\",\"offer\":{\"id\":\"o\"}}",
        "{\"type\":\"offer_cancelled\",\"offer\":{\"id\":\"o\"}}",
        "{\"type\":\"price_update\",\"offer\":{\"id\":\"o\",\"price_per_hour\":2}}",
    };
    unsigned sets[CONNS];
    struct random random;
    random_init(&random, 47);
    start_public("connections_per_address", "0");
    for (uint32_t c = 0; c < CONNS; c++) {
        char target[512] = EVENTS_PATH "?types=";
        sets[c] = 1 + (unsigned)random_below(&random, (1 << AITBC_EVENT_TYPES) - 1);
        bool first = true;
        for (int type = 0; type < AITBC_EVENT_TYPES; type++) {
            if ((sets[c] >> type & 1) == 0)
                continue;
            snprintf(target + strlen(target), sizeof target - strlen(target), "%s%s", first ? "" : ",", names[type]);
            first = false;
        }
        cr_assert_eq(pure_connect(&host, c, target, ""), 101, "%s", target);
    }
    for (int step = 0; step < 500; step++) {
        unsigned type = (unsigned)random_below(&random, AITBC_EVENT_TYPES);
        char wanted[64];
        snprintf(wanted, sizeof wanted, "{\"type\":\"%s\"", names[type]);
        cr_assert_eq(pure_ingest(&host, type < AITBC_NEW_OFFER ? "blockchain" : "marketplace", bodies[type]), 202);
        for (uint32_t c = 0; c < CONNS; c++) {
            const char *found = pure_take_text(&host, c);
            if (sets[c] >> type & 1)
                cr_assert_eq(strncmp(found, wanted, strlen(wanted)), 0, "%s", found);
            else
                cr_assert_str_eq(found, "(nothing)");
        }
    }
    pure_close(&host);
}

Test(aitbc, events_are_lossless_and_statuses_replace_each_other)
{
    struct channel_traits traits;
    start(NULL, NULL);
    host.dialect->traits(host.settings, slice_text(AITBC_EVENTS), &traits);
    cr_assert(traits.policy == POLICY_LOSSLESS && traits.retain_count == 0);
    host.dialect->traits(host.settings, slice_text("events"), &traits);
    cr_assert(traits.policy == POLICY_CONFLATE && traits.retain_count == 0, "a job of that name");
    cr_assert_not(job_id_valid(slice_text(AITBC_EVENTS)));
    cr_assert_not_null(host.dialect->home_key);
    pure_close(&host);
}

/* --- admission ---------------------------------------------------------------------------------------------------- */

/* K-5 to K-7, K-17, K-19 to K-23, K-25, column A */
Test(aitbc, has_its_documented_limits)
{
    start(NULL, NULL);
    const struct aitbc_settings *settings = host.settings;
    const struct dialect_settings *common = &settings->common;
    cr_assert(common->origin_check && common->close_on_revoke && settings->events_public && !settings->jobs_public);
    cr_assert_eq(common->connections_per_address, 10);
    cr_assert_eq(common->connections_per_key, 0);
    cr_assert_eq(common->duration_max_ms, 24 * 3600 * 1000);
    cr_assert(common->ping_interval_ms == 30000 && common->idle_timeout_ms == 90000);
    cr_assert(common->message_bytes_max == 65536 && common->messages_max == 100 && common->messages_window_ms == 1000);
    cr_assert_eq(common->outbox_bytes_max, 4 << 20);
    cr_assert(settings->unknown_job == AITBC_UNKNOWN_JOB_REJECT && settings->unknown_job_wait_ms == 60000);
    cr_assert(settings->jobs.close_after_end_ms == 30000 && settings->jobs.retention_ms == 24 * 3600 * 1000);
    cr_assert(settings->detect_forks && !settings->sync_snapshot && common->group_ipv6);
    cr_assert_eq(common->trusted_proxies.count, 0);
    pure_close(&host);
}

/* with everything wrong at once, repairing one thing after the other. */
Test(aitbc, refuses_in_order)
{
    static const char evil[] = "Origin: https://evil.example\r\n";
    pure_init(&host, "aitbc");
    pure_set(&host, "keys", "key-alpha,key-chain blockchain");
    pure_set(&host, "connections_per_address", "1");
    pure_start(&host);
    cr_assert_eq(pure_connect(&host, 1, EVENTS_PATH, ""), 101);
    host.mounts = 4;
    cr_assert_eq(pure_connect(&host, 0, "/v1/jobs/none/ws?api_key=wrong", evil), 404);
    cr_assert_str_eq(host.conns[0].refused_content, "{\"error\":\"Not found\"}");
    host.mounts = 1;
    cr_assert_eq(pure_connect(&host, 0, "/v1/jobs/none/ws?api_key=wrong", evil), 429);
    cr_assert_str_eq(host.conns[0].refused_content, "{\"error\":\"Too many connections\"}");
    cr_assert_str_eq(host.conns[0].refused_extra, "Retry-After: 5\r\n");
    pure_disconnect(&host, 1);
    cr_assert_eq(pure_connect(&host, 0, "/v1/jobs/none/ws?api_key=wrong", evil), 403);
    cr_assert_str_eq(host.conns[0].refused_content, "{\"error\":\"Origin not allowed\"}");
    cr_assert_eq(pure_connect(&host, 0, "/v1/jobs/none/ws?api_key=wrong", ""), 401);
    cr_assert_str_eq(host.conns[0].refused_content, "{\"error\":\"Authentication failed\"}");
    cr_assert_str_eq(host.conns[0].refused_extra, "WWW-Authenticate: Bearer\r\n");
    cr_assert_eq(pure_connect(&host, 0, "/v1/jobs/none/ws?api_key=key-chain", ""), 403);
    cr_assert_str_eq(host.conns[0].refused_content, "{\"error\":\"Insufficient permissions\"}");
    cr_assert_eq(pure_connect(&host, 0, "/v1/jobs/none/ws?api_key=key-alpha", ""), 404);
    cr_assert_str_eq(host.conns[0].refused_content, "{\"error\":\"Job not found\"}");
    cr_assert_eq(pure_connect(&host, 0, EVENTS_PATH "?types=x", ""), 400);
    cr_assert_str_eq(host.conns[0].refused_content, "{\"error\":\"Unknown source or event type\"}");
    cr_assert_eq(pure_connect(&host, 0, EVENTS_PATH, ""), 101, "refused ones hold no place");
    pure_close(&host);
}

/* */
Test(aitbc, streams_may_be_public_or_not)
{
    start("events_public", "false");
    cr_assert_eq(pure_connect(&host, 0, EVENTS_PATH, ""), 401);
    cr_assert_eq(pure_connect(&host, 0, EVENTS_PATH "?api_key=key-alpha", ""), 101);
    pure_close(&host);
    start("jobs_public", "true");
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    cr_assert_eq(pure_connect(&host, 0, JOB_PATH, ""), 101);
    cr_assert_eq(pure_connect(&host, 1, JOB_PATH "?api_key=wrong", ""), 401, "a key that is given must be good");
    cr_assert_eq(pure_connect(&host, 1, JOB_PATH, "Authorization: Basic a2V5\r\n"), 101, "that is no key");
    cr_assert_eq(pure_connect(&host, 2, JOB_PATH, "Authorization: Bearer wrong\r\n"), 401);
    pure_close(&host);
}

/* Nobody gets in without keys where one is needed. */
Test(aitbc, lets_nobody_see_jobs_without_keys)
{
    pure_init(&host, "aitbc");
    pure_start(&host);
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    cr_assert_eq(pure_connect(&host, 0, JOB_PATH, ""), 401);
    cr_assert_eq(pure_connect(&host, 0, JOB_PATH "?api_key=", ""), 401);
    pure_close(&host);
}

/* */
Test(aitbc, judges_permissions)
{
    static const char *const good[] = {"jobs",    "blockchain", "marketplace",   "jobs:a",
                                       "jobs:a*", "jobs:a:b-*", "jobs:A.b_c:d-9"};
    static const char *const bad[] = {"job",     "Jobs",     "jobs:", "jobs:*", "jobs:a**",
                                      "jobs:*a", "jobs:a/b", "*",     "all",    "blockchain:x"};
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect_null(host.dialect->permission_fault(slice_text(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not_null(host.dialect->permission_fault(slice_text(bad[i])), "%s", bad[i]);
    pure_close(&host);
}

/* without a list, this host and the loopback names. */
Test(aitbc, checks_origins_by_default)
{
    static const struct {
        const char *header;
        int status;
    } cases[] = {
        {"", 101},
        {"Origin: http://localhost:3000\r\n", 101},
        {"Origin: https://127.0.0.1\r\n", 101},
        {"Origin: http://[::1]:1\r\n", 101},
        {"Origin: http://localhost.evil.example\r\n", 403},
        {"Origin: null\r\n", 403},
        {"Origin: https://evil.example\r\n", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(NULL, NULL);
        cr_expect_eq(pure_connect(&host, 0, EVENTS_PATH, cases[i].header), cases[i].status, "%s", cases[i].header);
        pure_close(&host);
    }
    start("origin_check", "false");
    cr_expect_eq(pure_connect(&host, 0, EVENTS_PATH, "Origin: https://evil.example\r\n"), 101);
    pure_close(&host);
}

/* every session with a key holds the key's place, so that a reload finds it. */
Test(aitbc, sessions_with_a_key_hold_its_place)
{
    start(NULL, NULL);
    cr_assert_eq(pure_connect(&host, 0, EVENTS_PATH "?api_key=key-alpha", ""), 101);
    cr_assert_eq(host.conns[0].held_count, 2);
    cr_assert_eq(host.quotas[host.conns[0].held[1]].kind, QUOTA_KEY);
    cr_assert_str_eq(host.quotas[host.conns[0].held[1]].name, "key-alpha");
    cr_assert_eq(pure_connect(&host, 1, EVENTS_PATH, ""), 101);
    cr_assert_eq(host.conns[1].held_count, 1);
    pure_close(&host);
}

/* ten of an address, whatever they are connected to. */
Test(aitbc, eleventh_connection_of_an_address_is_refused)
{
    start_public(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(pure_connect(&host, i, i % 2 ? JOB_PATH : EVENTS_PATH, ""), 101, "%u", i);
    cr_assert_eq(pure_connect(&host, 10, EVENTS_PATH, ""), 429);
    cr_assert_eq(pure_connect(&host, 10, JOB_PATH, ""), 429);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert(host.conns[i].open);
    pure_disconnect(&host, 3);
    cr_assert_eq(pure_connect(&host, 10, JOB_PATH, ""), 101);
    pure_close(&host);
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

/* */
Test(aitbc, message_101_of_a_second_ends_its_connection_only)
{
    start_public(NULL, NULL);
    pure_connect(&host, 0, EVENTS_PATH, "");
    pure_connect(&host, 1, EVENTS_PATH, "");
    for (int window = 0; window < 2; window++) {
        for (int i = 0; i < 100; i++) {
            pure_send_text(&host, 0, "{\"type\":\"ping\"}");
            cr_assert_str_eq(pure_take_text(&host, 0),
                             window == 0 ? "{\"type\":\"pong\",\"timestamp\":\"2024-01-23T12:34:56Z\"}"
                                         : "{\"type\":\"pong\",\"timestamp\":\"2024-01-23T12:34:57Z\"}");
        }
        if (window == 0)
            pure_advance(&host, 1000);
    }
    cr_assert(host.conns[0].open);
    pure_advance(&host, 999);
    pure_send_text(&host, 0, "ignored, but counted");
    cr_assert_eq(host.conns[0].close_code, 1008);
    cr_assert_str_eq(host.conns[0].close_reason, "message rate limit exceeded");
    cr_assert(host.conns[1].open);
    pure_close(&host);
}

/* only {"type":"ping"} is answered, whatever stands beside it. */
Test(aitbc, answers_pings_and_ignores_the_rest)
{
    static const struct {
        const char *message;
        bool answered;
    } cases[] = {
        {"{\"type\":\"ping\"}", true},
        {" {\"a\":{},\"type\":\"p\\u0069ng\"} ", true},
        {"{\"type\":\"pong\",\"type\":\"ping\"}", true},
        {"{\"type\":\"ping\",\"type\":\"pong\"}", false},
        {"{\"type\":\"Ping\"}", false},
        {"{\"type\":1}", false},
        {"{\"type\":[\"ping\"]}", false},
        {"{\"type\":\"ping\"", false},
        {"{\"type\":\"ping\"}}", false},
        {"\"ping\"", false},
        {"", false},
        {"{}", false},
    };
    start_public(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    pure_connect(&host, 0, EVENTS_PATH, "");
    pure_connect(&host, 1, JOB_PATH, "");
    cr_assert_str_eq(pure_take_text(&host, 1), QUEUED_STATUS);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pure_send_text(&host, 0, cases[i].message);
        pure_send_text(&host, 1, cases[i].message);
        cr_expect_eq(pure_take(&host, 0) != NULL, cases[i].answered, "%s", cases[i].message);
        cr_expect_str_eq(pure_take_text(&host, 1), cases[i].answered ? QUEUED_STATUS : "(nothing)", "%s",
                         cases[i].message);
    }
    cr_assert(host.conns[0].open && host.conns[1].open);
    pure_send(&host, 1, WS_BINARY, slice_text("{\"type\":\"ping\"}"));
    cr_assert_eq(host.conns[1].close_code, 1003);
    pure_close(&host);
}

/* 30 s after the end for who was there, 30 s after the upgrade for who comes later. */
Test(aitbc, closes_30_seconds_after_the_end_or_after_a_later_upgrade)
{
    start_public(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    pure_connect(&host, 0, JOB_PATH, "");
    cr_assert_eq(pure_ingest(&host, "jobs", "{\"job_id\":\"j\",\"state\":\"CANCELLED\"}"), 202);
    pure_advance(&host, 20000);
    pure_connect(&host, 1, JOB_PATH, "");
    cr_assert_not_null(strstr(pure_take_text(&host, 1), "\"state\":\"CANCELLED\""));
    pure_advance(&host, 9999);
    cr_assert(host.conns[0].open);
    pure_advance(&host, 1);
    cr_assert_eq(host.conns[0].close_code, 1000);
    cr_assert_str_eq(host.conns[0].close_reason, "job finished");
    pure_advance(&host, 19999);
    cr_assert(host.conns[1].open);
    pure_advance(&host, 1);
    cr_assert_eq(host.conns[1].close_code, 1000);
    cr_assert_str_eq(host.conns[1].close_reason, "job finished");
    cr_assert_null(pure_take(&host, 1));
    pure_advance(&host, 24 * 3600 * 1000 - 50000 - 1);
    cr_assert_eq(pure_connect(&host, 0, JOB_PATH, ""), 101);
    pure_advance(&host, 1);
    cr_assert_eq(pure_connect(&host, 1, JOB_PATH, ""), 404);
    pure_close(&host);
}

/* */
Test(aitbc, waits_60_seconds_for_an_unknown_job)
{
    start_public("unknown_job", "wait");
    cr_assert_eq(pure_connect(&host, 0, "/v1/jobs/none/ws", ""), 101);
    cr_assert_eq(pure_connect(&host, 1, JOB_PATH, ""), 101);
    pure_advance(&host, 59999);
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    cr_assert_str_eq(pure_take_text(&host, 1), QUEUED_STATUS);
    cr_assert(host.conns[0].open);
    pure_advance(&host, 1);
    cr_assert_eq(host.conns[0].close_code, 1000);
    cr_assert_str_eq(host.conns[0].close_reason, "job not found");
    cr_assert(host.conns[1].open);
    cr_assert_null(pure_take(&host, 1));
    pure_close(&host);
}

/* */
Test(aitbc, newest_sync_status_may_greet)
{
    static const char status[] = "{\"type\":\"sync_status\",\"syncing\":true,\"timestamp\":\"2026-05-11T10:00:00Z\"}";
    start_public("sync_snapshot", "true");
    cr_assert_eq(pure_connect(&host, 0, EVENTS_PATH, ""), 101);
    cr_assert_null(pure_take(&host, 0), "there is none yet");
    cr_assert_eq(pure_ingest(&host, "blockchain", "{\"type\":\"sync_status\",\"syncing\":false}"), 202);
    cr_assert_eq(pure_ingest(&host, "blockchain", status), 202);
    cr_assert_eq(pure_connect(&host, 1, EVENTS_PATH, ""), 101);
    cr_assert_str_eq(pure_take_text(&host, 1), status);
    cr_assert_null(pure_take(&host, 1));
    cr_assert_eq(pure_connect(&host, 2, EVENTS_PATH "?source=marketplace", ""), 101);
    cr_assert_null(pure_take(&host, 2));
    pure_close(&host);
}

Test(aitbc, forks_may_be_the_publishers_business)
{
    start_public("detect_forks", "false");
    pure_connect(&host, 0, EVENTS_PATH "?types=fork_detected", "");
    cr_assert_eq(pure_ingest(&host, "blockchain", "{\"type\":\"new_block\",\"block\":{\"height\":1,\"hash\":\"a\"}}"),
                 202);
    cr_assert_eq(pure_ingest(&host, "blockchain", "{\"type\":\"new_block\",\"block\":{\"height\":1,\"hash\":\"b\"}}"),
                 202);
    cr_assert_null(pure_take(&host, 0));
    pure_close(&host);
}

/* beside or inside, in any form of time. PURE_WALL_MS is 2024-01-23T12:34:56Z. */
Test(aitbc, offers_expire_at_their_time)
{
    static const struct {
        const char *beside, *inside;
    } forms[] = {
        {",\"expires_at\":\"2024-01-23T12:35:06Z\"", ""},
        {"", ",\"expires_at\":\"2024-01-23T12:35:06.000Z\""},
        {"", ",\"expires_at\":1706013306"},
        {",\"expires_at\":1706013306000", ",\"expires_at\":1"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        char body[512];
        start_public(NULL, NULL);
        pure_connect(&host, 0, EVENTS_PATH, "");
        snprintf(body, sizeof body,
                 "{\"type\":\"new_offer\",\"offer\":{\"id\":\"o\",\"gpu_type\":\"g\",\"gpu_memory\":24,\"price_per_"
                 "hour\":0.5,"
                 "\"currency\":\"AITBC\"%s}%s}",
                 forms[i].inside, forms[i].beside);
        cr_assert_eq(pure_ingest(&host, "marketplace", body), 202);
        cr_assert_str_eq(pure_take_text(&host, 0),
                         "{\"type\":\"new_offer\",\"offer\":{\"id\":\"o\",\"gpu_type\":\"g\",\"gpu_memory\":24,"
                         "\"price_per_hour\":0.5,\"currency\":\"AITBC\"}}");
        pure_advance(&host, 9999);
        cr_assert_null(pure_take(&host, 0));
        pure_advance(&host, 1);
        cr_assert_str_eq(
            pure_take_text(&host, 0),
            "{\"type\":\"offer_expired\",\"offer\":{\"id\":\"o\"},\"timestamp\":\"2024-01-23T12:35:06Z\"}");
        pure_advance(&host, 1000000);
        cr_assert_null(pure_take(&host, 0));
        pure_close(&host);
    }
}

Test(aitbc, offers_that_are_gone_do_not_expire)
{
    static const char *const ends[] = {"offer_matched", "offer_cancelled", "offer_expired"};
    for (size_t i = 0; i < 3; i++) {
        char body[128];
        start_public(NULL, NULL);
        cr_assert_eq(
            pure_ingest(&host, "marketplace",
                        "{\"type\":\"price_update\",\"offer\":{\"id\":\"o\",\"price_per_hour\":1},\"expires_at\":"
                        "\"2024-01-23T12:35:06Z\"}"),
            202);
        snprintf(body, sizeof body, "{\"type\":\"%s\",\"offer\":{\"id\":\"\\u006f\"}}", ends[i]);
        cr_assert_eq(pure_ingest(&host, "marketplace", body), 202);
        pure_connect(&host, 0, EVENTS_PATH, "");
        pure_advance(&host, 20000);
        cr_assert_null(pure_take(&host, 0), "%s", ends[i]);
        pure_close(&host);
    }
}
