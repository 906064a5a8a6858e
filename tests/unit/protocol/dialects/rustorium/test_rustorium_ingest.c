/* SPDX-License-Identifier: MIT */
/* Proves what rustorium takes from publishers: shapes of objects, the field that is wrong, sizes. Run by
 * unit_protocol. */
#include "protocol/json.h"
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/rustorium/rustorium_host.h"

#include <criterion/criterion.h>
#include <stdio.h>

static int normalise(const char *topic, const char *body, char out[1000])
{
    uint8_t memory[900];
    struct buf text = buf_of(memory, sizeof memory);
    struct ingest_call call = {.settings = host.settings, .wall_ms = PURE_WALL_MS + 999, .text = &text};
    int status = host.dialect->ingest->take(&call, slice_text(topic), slice_text(body));
    if (status == 0)
        snprintf(out, 1000, "%.*s", (int)call.body.bytes, (const char *)call.body.data);
    else
        snprintf(out, 1000, "%d %s: %s", status, call.field, call.message);
    return status;
}

/* I-8, I-14, Q-1, Q-7, Q-8: what comes in and what the service gets. */
Test(rustorium, rewrites_objects_in_documented_order)
{
    static const struct {
        const char *topic, *body, *expected;
    } cases[] = {
        {"blocks",
         " { \"transactions\" : [ \"a\" , \"\\u0062\" ], \"x\":{\"number\":1}, "
         "\"timestamp\":\"2024-01-23T12:34:56Z\",\n\"hash\":\"h\\/\", \"parent_hash\":\"p\","
         "\"number\":18446744073709551615}",
         "{\"number\":18446744073709551615,\"hash\":\"h\\/"
         "\",\"parent_hash\":\"p\",\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[\"a\","
         "\"\\u0062\"]}"},
        {"blocks", "{\"number\":0,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":1706013296,\"transactions\":[]}",
         "{\"number\":0,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[]"
         "}"},
        {"blocks",
         "{\"number\":1,\"number\":2,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":1706013296789,\"transactions\":"
         "[]}",
         "{\"number\":2,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[]"
         "}"},
        {"state", "{\"key\":\"k\",\"value\":\"\\/+A=\",\"block_number\":1}",
         "{\"key\":\"k\",\"value\":\"\\/+A=\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56Z\"}"},
        {"state", "{\"key\":\"k\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56.789Z\"}",
         "{\"key\":\"k\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56Z\"}"},
        {"state", "{\"key\":\"k\",\"value\":\"AAAA\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:5\\u0036Z\"}",
         "{\"key\":\"k\",\"value\":\"AAAA\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56Z\"}"},
        {"transactions",
         "{\"confirmations\":4294967295,\"timestamp\":\"1969-12-31T23:59:59Z\",\"block_number\":5,\"tx_hash\":\"t\"}",
         "{\"tx_hash\":\"t\",\"block_number\":5,\"timestamp\":\"1969-12-31T23:59:59Z\",\"confirmations\":4294967295}"},
    };
    char found[1000];
    start("tx_source", "ingest");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(normalise(cases[i].topic, cases[i].body, found), 0, "%s", found);
        cr_expect_str_eq(found, cases[i].expected, "%s", found);
        cr_expect(json_valid(slice_text(found), 8));
    }
    pure_close(&host);
}

/* I-4, I-14 */
Test(rustorium, names_the_field_that_is_wrong)
{
#define BLOCK(number, hash, timestamp, txs)                                                                            \
    "{\"number\":" number ",\"hash\":" hash ",\"parent_hash\":\"p\",\"timestamp\":" timestamp ",\"transactions\":" txs \
    "}"
#define VALUE(key, value) "{\"key\":" key ",\"value\":" value ",\"block_number\":1}"
#define LONG64 "0123456789012345678901234567890123456789012345678901234567890123"
    static const struct {
        const char *topic, *body, *expected;
    } cases[] = {
        {"blocks", "", "400 : "},
        {"blocks", "{", "400 : "},
        {"blocks", "[]", "422 : "},
        {"blocks", "{}", "422 number: "},
        {"blocks", BLOCK("-1", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("1.5", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("\"1\"", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("18446744073709551616", "\"h\"", "0", "[]"), "422 number: "},
        {"blocks", BLOCK("1", "\"\"", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "7", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "null", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "\"" LONG64 LONG64 "x\"", "0", "[]"), "422 hash: "},
        {"blocks", BLOCK("1", "\"h\"", "\"yesterday\"", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "-1", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "1.5", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "\"\"", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "null", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "\"2024-01-23T12:34:56Z" LONG64 "\"", "[]"), "422 timestamp: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "{}"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "null"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "[1]"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "[\"a\",[\"b\"]]"), "422 transactions: "},
        {"blocks", BLOCK("1", "\"h\"", "0", "[\"a\",\"\"]"), "422 transactions: "},
        {"blocks", "{\"number\":1,\"hash\":\"h\",\"timestamp\":0,\"transactions\":[]}", "422 parent_hash: "},
        {"state", VALUE("\"\"", "\"\""), "422 key: "},
        {"state", VALUE("\"k\"", "null"), "422 value: "},
        {"state", VALUE("\"k\"", "\"A\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AAA\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"A===\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"====\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA=A\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AB==\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AAB=\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA-_\""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AAA \""), "422 value: "},
        {"state", VALUE("\"k\"", "\"AA==AAAA\""), "422 value: "},
        {"state", "{\"key\":\"k\",\"value\":\"\"}", "422 block_number: "},
        {"state", "{\"key\":\"k\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"x\"}", "422 timestamp: "},
        {"transactions", "{\"tx_hash\":\"t\",\"block_number\":1,\"timestamp\":0,\"confirmations\":0}",
         "422 confirmations: "},
        {"transactions", "{\"tx_hash\":\"t\",\"block_number\":1,\"timestamp\":0,\"confirmations\":4294967296}",
         "422 confirmations: "},
        {"transactions", "{\"tx_hash\":\"t\",\"block_number\":1,\"confirmations\":1}", "422 timestamp: "},
        {"block", "{}", "404 : "},
        {"", "{}", "404 : "},
    };
    char found[1000];
    start("tx_source", "ingest");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        normalise(cases[i].topic, cases[i].body, found);
        cr_expect_eq(strncmp(found, cases[i].expected, strlen(cases[i].expected)), 0, "%s: %s", cases[i].body, found);
        cr_expect_gt(strlen(found), strlen(cases[i].expected), "and says what would be right");
    }
    cr_assert_eq(normalise("blocks", BLOCK("1", "\"" LONG64 LONG64 "\"", "0", "[\"" LONG64 LONG64 "\"]"), found), 0,
                 "128 bytes");
    pure_close(&host);
}

Test(rustorium, says_when_an_object_is_too_large_for_it)
{
    char body[1200], found[1000];
    start(NULL, NULL);
    snprintf(body, sizeof body, "{\"key\":\"k\",\"value\":\"%01000d\",\"block_number\":1}", 0);
    cr_assert_eq(normalise("state", body, found), 422);
    cr_assert_str_eq(found, "422 : too large");
    pure_close(&host);
}

/* */
Test(rustorium, transactions_are_derived_or_ingested)
{
    start(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "transactions", "{}"), 409);
    cr_assert_eq(pure_read(&host, "transactions"), 409);
    cr_assert_eq(pure_read(&host, "blocks"), 404);
    cr_assert_str_eq(host.reply, "No state");
    cr_assert_eq(pure_read(&host, "weather"), 404);
    pure_close(&host);
}

/* The widest transaction event fits where it is built. */
Test(rustorium, longest_hash_makes_an_event)
{
    char body[2000], hash[800] = "";
    start_connected();
    for (int i = 0; i < 128; i++)
        strcat(hash, "\\u0001");
    pure_send_text(&host, 0, "{\"type\":\"subscribe\",\"id\":\"s\",\"data\":{\"channel\":\"transactions\"}}");
    pure_take(&host, 0);
    snprintf(body, sizeof body,
             "{\"number\":18446744073709551615,\"hash\":\"h\",\"parent_hash\":\"p\",\"timestamp\":0,\"transactions\":["
             "\"%s\"]}",
             hash);
    cr_assert_eq(pure_ingest(&host, "blocks", body), 202);
    cr_assert_not_null(strstr(pure_take_text(&host, 0), hash));
    pure_close(&host);
}
