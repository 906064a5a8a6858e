/* SPDX-License-Identifier: MIT */
/* Proves what aitbc takes from publishers: shapes of objects, the field that is wrong, limits of size and depth. Run by
 * unit_protocol. */
#include "protocol/dialects/aitbc/aitbc.h"
#include "protocol/json.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/aitbc/aitbc_host.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static int normalise(const char *topic, const char *body, char out[1000])
{
    uint8_t memory[900];
    struct buf text = buf_of(memory, sizeof memory);
    struct ingest_call call = {.settings = host.settings, .wall_ms = PURE_WALL_MS + 999, .text = &text};
    int status = host.dialect->ingest->take(&call, slice_text(topic), slice_text(body));
    size_t head = strcmp(topic, "jobs") == 0 ? 0 : 8;
    if (status == 0)
        snprintf(out, 1000, "%.*s", (int)(call.body.bytes - head), (const char *)call.body.data + head);
    else
        snprintf(out, 1000, "%d %s: %s", status, call.field, call.message);
    return status;
}

/* G-11, I-7, I-14, Q-1, Q-8 */
Test(aitbc, rewrites_objects_in_documented_order)
{
#define STAMP "\"timestamp\":\"2024-01-23T12:34:56Z\""
    static const struct {
        const char *topic, *body, *expected;
    } cases[] = {
        {"jobs",
         " {\"ttl_seconds\":5, \"x\":1, \"error\":\"e\\n\", \"progress\":1.0e0,\"timestamp\":1706013296789,"
         "\"assigned_miner_id\":\"m\\u00e9\",\"state\":\"R\\u0055NNING\",\"job_id\":\"\\u0061\"}",
         "{\"job_id\":\"a\",\"state\":\"RUNNING\",\"assigned_miner_id\":\"m\\u00e9\"," STAMP
         ",\"progress\":1.0e0,\"error\":\"e\\n\",\"ttl_seconds\":5}"},
        {"jobs", "{\"job_id\":\"a\",\"state\":\"QUEUED\",\"assigned_miner_id\":null}",
         "{\"job_id\":\"a\",\"state\":\"QUEUED\",\"assigned_miner_id\":null}"},
        {"jobs", "{\"job_id\":\"a\",\"state\":\"QUEUED\",\"state\":\"RUNNING\",\"progress\":0}",
         "{\"job_id\":\"a\",\"state\":\"RUNNING\",\"progress\":0}"},
        {"blockchain",
         "{ \"node\" : [1, 2], \"block\" : { \"miner\":\"m\", \"transactions\":[\"t\", "
         "{\"a\":{}}],\"timestamp\":1706013296,"
         "\"hash\":\"0x\\/1\",\"height\":18446744073709551615 }, \"type\":\"new_block\" }",
         "{\"type\":\"new_block\",\"block\":{\"height\":18446744073709551615,\"hash\":\"0x\\/1\"," STAMP
         ",\"transactions\":[\"t\", {\"a\":{}}],\"miner\":\"m\"},\"node\":[1, 2]}"},
        {"blockchain", "{\"type\":\"new\\u005fblock\",\"block\":{\"height\":0,\"hash\":\"h\"}}",
         "{\"type\":\"new_block\",\"block\":{\"height\":0,\"hash\":\"h\"," STAMP ",\"transactions\":[]}}"},
        {"blockchain", "{\"type\":\"transaction_confirmed\",\"tx_hash\":\"t\"}",
         "{\"type\":\"transaction_confirmed\",\"tx_hash\":\"t\"}"},
        {"blockchain",
         "{\"type\":\"transaction_confirmed\",\"timestamp\":1706013296,\"tx_hash\":\"t\",\"block_height\":1}",
         "{\"type\":\"transaction_confirmed\",\"tx_hash\":\"t\",\"block_height\":1," STAMP "}"},
        {"blockchain", "{\"type\":\"transaction_pending\",\"tx_hash\":\"t\",\"expires_at\":5}",
         "{\"type\":\"transaction_pending\",\"tx_hash\":\"t\"," STAMP ",\"expires_at\":5}"},
        {"blockchain", "{\"type\":\"fork_detected\",\"hashes\":[\"a\", \"b\"],\"height\":3}",
         "{\"type\":\"fork_detected\",\"height\":3,\"hashes\":[\"a\", \"b\"]," STAMP "}"},
        {"blockchain", "{\"type\":\"sync_status\",\"highest_height\":2,\"current_height\":1,\"syncing\":false}",
         "{\"type\":\"sync_status\",\"syncing\":false,\"current_height\":1,\"highest_height\":2," STAMP "}"},
        {"marketplace",
         "{\"offer\":{\"currency\":\"AITBC\",\"price_per_hour\":8E-1,\"gpu_memory\":24,\"gpu_type\":\"g\",\"id\":\"o\","
         "\"expires_at\":1706013296,\"zone\":null},\"expires_at\":1706013296,\"type\":\"new_offer\",\"by\":\"p\"}",
         "{\"type\":\"new_offer\",\"offer\":{\"id\":\"o\",\"gpu_type\":\"g\",\"gpu_memory\":24,\"price_per_hour\":8E-1,"
         "\"currency\":\"AITBC\",\"zone\":null},\"by\":\"p\"}"},
        {"marketplace", "{\"type\":\"offer_matched\",\"job_id\":\"render 17\",\"offer\":{\"id\":\"o\"}}",
         "{\"type\":\"offer_matched\",\"offer\":{\"id\":\"o\"},\"job_id\":\"render 17\"," STAMP "}"},
        {"marketplace", "{\"type\":\"offer_expired\",\"offer\":{\"gpu_memory\":1,\"id\":\"o\"}}",
         "{\"type\":\"offer_expired\",\"offer\":{\"id\":\"o\",\"gpu_memory\":1}," STAMP "}"},
        {"marketplace",
         "{\"type\":\"price_update\",\"offer\":{\"id\":\"o\",\"price_per_hour\":0,\"previous_price\":3}}",
         "{\"type\":\"price_update\",\"offer\":{\"id\":\"o\",\"price_per_hour\":0,\"previous_price\":3}," STAMP "}"},
    };
    char found[1000];
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(normalise(cases[i].topic, cases[i].body, found), 0, "%s", found);
        cr_expect_str_eq(found, cases[i].expected, "%s", found);
        cr_expect(json_valid(slice_text(found), 8));
    }
    pure_close(&host);
}

/* I-4, I-14, A-18 */
Test(aitbc, names_the_field_that_is_wrong)
{
#define JOB(more) "{\"job_id\":\"j\",\"state\":\"RUNNING\"," more "}"
#define BLOCK(block) "{\"type\":\"new_block\",\"block\":" block "}"
#define OFFER(type, offer) "{\"type\":\"" type "\",\"offer\":" offer "}"
#define LONG64 "0123456789012345678901234567890123456789012345678901234567890123"
    static const struct {
        const char *topic, *body, *expected;
    } cases[] = {
        {"jobs", "", "400 : "},
        {"jobs", "{", "400 : "},
        {"jobs", "7", "422 : "},
        {"jobs", "{}", "422 job_id: "},
        {"jobs", "{\"job_id\":\"\",\"state\":\"QUEUED\"}", "422 job_id: "},
        {"jobs", "{\"job_id\":\"a b\",\"state\":\"QUEUED\"}", "422 job_id: "},
        {"jobs", "{\"job_id\":7,\"state\":\"QUEUED\"}", "422 job_id: "},
        {"jobs", "{\"job_id\":\"" LONG64 LONG64 "x\",\"state\":\"QUEUED\"}", "422 job_id: "},
        {"jobs", "{\"job_id\":\"j\"}", "422 state: "},
        {"jobs", "{\"job_id\":\"j\",\"state\":\"queued\"}", "422 state: "},
        {"jobs", "{\"job_id\":\"j\",\"state\":\"PAUSED\"}", "422 state: "},
        {"jobs", "{\"job_id\":\"j\",\"state\":null}", "422 state: "},
        {"jobs", JOB("\"assigned_miner_id\":5"), "422 assigned_miner_id: "},
        {"jobs", JOB("\"assigned_miner_id\":\"\""), "422 assigned_miner_id: "},
        {"jobs", JOB("\"timestamp\":\"yesterday\""), "422 timestamp: "},
        {"jobs", JOB("\"timestamp\":null"), "422 timestamp: "},
        {"jobs", JOB("\"progress\":1.0000001"), "422 progress: "},
        {"jobs", JOB("\"progress\":1e400"), "422 progress: "},
        {"jobs", JOB("\"progress\":-0.1"), "422 progress: "},
        {"jobs", JOB("\"progress\":50"), "422 progress: "},
        {"jobs", JOB("\"progress\":\"0.5\""), "422 progress: "},
        {"jobs", JOB("\"progress\":0.0000000000000000000000000000000"), "422 progress: "},
        {"jobs", JOB("\"error\":\"\""), "422 error: "},
        {"jobs", JOB("\"error\":{}"), "422 error: "},
        {"jobs", JOB("\"ttl_seconds\":0"), "422 ttl_seconds: "},
        {"jobs", JOB("\"ttl_seconds\":1.5"), "422 ttl_seconds: "},
        {"jobs", JOB("\"ttl_seconds\":315360001"), "422 ttl_seconds: "},
        {"jobs", JOB("\"ttl_seconds\":\"5\""), "422 ttl_seconds: "},
        {"blockchain", "", "400 : "},
        {"blockchain", "[]", "422 : "},
        {"blockchain", "{}", "422 type: "},
        {"blockchain", "{\"type\":\"block\"}", "422 type: "},
        {"blockchain", "{\"type\":7}", "422 type: "},
        {"blockchain", OFFER("new_offer", "{}"), "422 type: "},
        {"blockchain", "{\"type\":\"new_block\"}", "422 block: "},
        {"blockchain", BLOCK("[]"), "422 block: "},
        {"blockchain", BLOCK("{}"), "422 block.height: "},
        {"blockchain", BLOCK("{\"height\":-1,\"hash\":\"h\"}"), "422 block.height: "},
        {"blockchain", BLOCK("{\"height\":1}"), "422 block.hash: "},
        {"blockchain", BLOCK("{\"height\":1,\"hash\":\"\"}"), "422 block.hash: "},
        {"blockchain", BLOCK("{\"height\":1,\"hash\":\"h\",\"timestamp\":\"x\"}"), "422 block.timestamp: "},
        {"blockchain", BLOCK("{\"height\":1,\"hash\":\"h\",\"transactions\":{}}"), "422 block.transactions: "},
        {"blockchain", "{\"type\":\"transaction_confirmed\"}", "422 tx_hash: "},
        {"blockchain", "{\"type\":\"transaction_pending\",\"tx_hash\":1}", "422 tx_hash: "},
        {"blockchain", "{\"type\":\"transaction_confirmed\",\"tx_hash\":\"t\",\"confirmations\":-1}",
         "422 confirmations: "},
        {"blockchain", "{\"type\":\"fork_detected\",\"hashes\":[]}", "422 height: "},
        {"blockchain", "{\"type\":\"fork_detected\",\"height\":1}", "422 hashes: "},
        {"blockchain", "{\"type\":\"fork_detected\",\"height\":1,\"hashes\":[1]}", "422 hashes: "},
        {"blockchain", "{\"type\":\"fork_detected\",\"height\":1,\"hashes\":[\"a\",\"\"]}", "422 hashes: "},
        {"blockchain", "{\"type\":\"sync_status\"}", "422 syncing: "},
        {"blockchain", "{\"type\":\"sync_status\",\"syncing\":1}", "422 syncing: "},
        {"marketplace", BLOCK("{\"height\":1,\"hash\":\"h\"}"), "422 type: "},
        {"marketplace", "{\"type\":\"new_offer\"}", "422 offer: "},
        {"marketplace", OFFER("new_offer", "{\"id\":\"o\"}"), "422 offer.gpu_type: "},
        {"marketplace", OFFER("new_offer", "{\"id\":\"o\",\"gpu_type\":\"g\",\"gpu_memory\":24,\"price_per_hour\":1}"),
         "422 offer.currency: "},
        {"marketplace", OFFER("new_offer", "{\"id\":\"o\",\"gpu_type\":\"g\",\"gpu_memory\":24.5}"),
         "422 offer.gpu_memory: "},
        {"marketplace", OFFER("price_update", "{\"id\":\"o\"}"), "422 offer.price_per_hour: "},
        {"marketplace", OFFER("price_update", "{\"id\":\"o\",\"price_per_hour\":\"1\"}"), "422 offer.price_per_hour: "},
        {"marketplace", OFFER("offer_matched", "{}"), "422 offer.id: "},
        {"marketplace", OFFER("offer_cancelled", "{\"id\":\"\"}"), "422 offer.id: "},
        {"marketplace", OFFER("offer_expired", "\"o\""), "422 offer: "},
        {"marketplace", OFFER("offer_expired", "{\"id\":\"o\",\"expires_at\":\"soon\"}"), "422 expires_at: "},
        {"weather", "{}", "404 : "},
        {"", "{}", "404 : "},
    };
    char found[1000];
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        normalise(cases[i].topic, cases[i].body, found);
        cr_expect_eq(strncmp(found, cases[i].expected, strlen(cases[i].expected)), 0, "%s: %s", cases[i].body, found);
        cr_expect_gt(strlen(found), strlen(cases[i].expected), "and says what would be right");
    }
    cr_expect_eq(normalise("jobs", JOB("\"ttl_seconds\":315360000"), found), 0);
    cr_expect_eq(normalise("jobs", JOB("\"progress\":1"), found), 0);
    cr_expect_eq(normalise("jobs", JOB("\"progress\":0.000000000000000000000000000000"), found), 0, "32 characters");
    cr_expect_eq(normalise("jobs", "{\"job_id\":\"" LONG64 LONG64 "\",\"state\":\"QUEUED\"}", found), 0, "128 bytes");
    pure_close(&host);
}

Test(aitbc, says_when_an_object_is_too_large_for_it)
{
    char body[1200], found[1000];
    start(NULL, NULL);
    snprintf(body, sizeof body, "{\"type\":\"transaction_pending\",\"tx_hash\":\"t\",\"x\":\"%01000d\"}", 0);
    cr_assert_eq(normalise("blockchain", body, found), 422);
    pure_close(&host);
}

/* K-27, Q-7 */
Test(aitbc, takes_64_levels)
{
    char body[512];
    start_public(NULL, NULL);
    pure_connect(&host, 0, EVENTS_PATH, "");
    for (int levels = 63; levels <= 65; levels++) {
        int inner = levels - 1; /* the outermost object is the first */
        snprintf(body, sizeof body, "{\"type\":\"transaction_pending\",\"tx_hash\":\"t\",\"x\":%.*s%.*s}", inner,
                 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", inner,
                 "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
        cr_assert_eq(pure_ingest(&host, "blockchain", body), levels <= 64 ? 202 : 400, "%d", levels);
        cr_assert_eq(pure_take(&host, 0) != NULL, levels <= 64);
    }
    pure_close(&host);
}

/* I-15 */
Test(aitbc, has_no_state_at_first)
{
    static const char *const topics[] = {"jobs", "blockchain", "marketplace"};
    start(NULL, NULL);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(pure_read(&host, topics[i]), 404);
        cr_assert_str_eq(host.reply, "No state");
    }
    cr_assert_eq(pure_read(&host, "weather"), 404);
    pure_close(&host);
}

/* A message of many megabytes passes, and its memory is given back. */
Test(aitbc, passes_large_events_on)
{
    size_t bytes = 900000;
    char *body = pure_memory(bytes + 200);
    start_public(NULL, NULL);
    pure_connect(&host, 0, EVENTS_PATH, "");
    int head = snprintf(body, 200, "{\"type\":\"sync_status\",\"syncing\":true,\"x\":\"");
    memset(body + head, 'x', bytes);
    strcpy(body + head + bytes, "\"}");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pure_ingest(&host, "blockchain", body), 202);
        const struct pure_message *message = pure_take(&host, 0);
        cr_assert_gt(message->bytes, bytes);
    }
    cr_assert_eq(pure_ingest(&host, "blockchain", "{\"type\":\"sync_status\",\"syncing\":false}"), 202);
    cr_assert_eq(pure_read(&host, "blockchain"), 200);
    cr_assert_not_null(strstr(host.reply, "\"syncing\":false"));
    pure_close(&host);
    free(body);
}

/* A session owns its job's id; calling end twice is harmless. */
Test(aitbc, frees_its_job_at_the_end)
{
    start_public(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "jobs", QUEUED), 202);
    pure_connect(&host, 0, JOB_PATH, "");
    host.dialect->end(host.conns[0].session);
    cr_assert_null(*(char **)host.conns[0].session);
    pure_close(&host);
}
