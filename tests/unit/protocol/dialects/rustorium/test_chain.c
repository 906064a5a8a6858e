/* SPDX-License-Identifier: MIT */
/* Proves the chain service: confirmations and reorganisations, its bounds, and what it
 * answers when memory is out. Random branches are in test_chain_model.c. Run by unit_protocol. */
#include "protocol/dialects/rustorium/chain_branch.h"
#include "tests/unit/protocol/dialects/rustorium/chain_rig.h"
#include "tests/unit/starve.h"

#include <malloc.h>

/* */
Test(chain, gives_each_level_that_is_listened_to)
{
    open_chain();
    listen_to("blocks", 1, true);
    listen_to("blocks", 3, true);
    listen_to("transactions", 1, true);
    listen_to("transactions", 2, true);
    cr_assert_eq(block("a", "?", "\"1\",\"2\""), 202);
    assert_events("a@1 t:1@1 t:2@1 ");
    block("b", "a", "\"3\"");
    assert_events("t:1@2 t:2@2 b@1 t:3@1 ");
    block("c", "b", "");
    assert_events("a@3 t:3@2 c@1 ");
    block("d", "c", "");
    assert_events("b@3 d@1 ");
    close_chain();
}

Test(chain, gives_nothing_that_nobody_listens_to)
{
    open_chain();
    block("a", "?", "\"1\"");
    assert_events("");
    listen_to("transactions", 2, true);
    listen_to("transactions", 2, true);
    listen_to("transactions", 2, false);
    block("b", "a", "\"2\"");
    assert_events("t:1@2 ");
    listen_to("transactions", 2, false);
    block("c", "b", "");
    assert_events("");
    listen_to("state", 0, true);
    block("d", "c", "");
    assert_events("");
    close_chain();
}

/* whole messages, the object as it was ingested, one counter per type. */
Test(chain, builds_messages_around_the_objects)
{
    static uint8_t scratch_memory[2048];
    struct buf answer = buf_of(reply, sizeof reply), scratch = buf_of(scratch_memory, sizeof scratch_memory);
    struct event event;
    open_chain();
    listen_to("blocks", 1, true);
    listen_to("transactions", 1, true);
    block("z", "?", "");
    struct service_request asked = {
        .kind = CHAIN_BLOCK,
        .body = slice_text("{\"number\":900,\"hash\":\"0x0900\",\"parent_hash\":\"z\",\"timestamp\":"
                           "\"2024-01-23T12:34:56Z\",\"transactions\":[\"\\u0041\"]}")};
    cr_assert_eq(chain_service.request(chain, &asked, &answer), 202);
    cr_assert(service_next_event(&chain_service, chain, &scratch, &event));
    cr_assert(slice_is(
        event.payload,
        "{\"type\":\"new_block\",\"id\":\"block2\",\"data\":{\"number\":900,\"hash\":\"0x0900\",\"parent_hash\":"
        "\"z\",\"timestamp\":\"2024-01-23T12:34:56Z\",\"transactions\":[\"\\u0041\"]},\"error\":null}"));
    cr_assert(event.level == 1 && event.key.bytes == 0);
    cr_assert(service_next_event(&chain_service, chain, &scratch, &event));
    cr_assert(
        slice_is(event.payload,
                 "{\"type\":\"tx_confirmed\",\"id\":\"tx1\",\"data\":{\"tx_hash\":\"\\u0041\",\"block_number\":900,"
                 "\"timestamp\":\"2024-01-23T12:34:56Z\",\"confirmations\":1},\"error\":null}"));
    cr_assert(slice_is(event.key, "A"), "compared with its escapes resolved");
    cr_assert_not(service_next_event(&chain_service, chain, &scratch, &event));
    close_chain();
}

/* */
Test(chain, drops_what_an_abandoned_branch_had_to_come)
{
    open_chain();
    listen_to("blocks", 1, true);
    listen_to("blocks", 2, true);
    listen_to("transactions", 2, true);
    block("a", "?", "");
    block("b", "a", "\"1\"");
    assert_events("a@2 b@1 ");
    block("B", "a", "\"2\"");
    assert_events("B@1 ");
    block("C", "B", "");
    assert_events("B@2 t:2@2 C@1 ");
    block("X", "unknown", "\"3\"");
    assert_events("X@1 ");
    block("Y", "X", "");
    assert_events("X@2 t:3@2 Y@1 ");
    block("D", "C", ""); /* C is abandoned, so it is unknown */
    assert_events("D@1 ");
    close_chain();
}

/* */
Test(chain, delivers_a_transaction_once_per_level)
{
    open_chain();
    listen_to("transactions", 1, true);
    listen_to("transactions", 2, true);
    listen_to("transactions", 3, true);
    block("a", "?", "");
    block("b", "a", "\"1\",\"2\",\"1\"");
    assert_events("t:1@1 t:2@1 ");
    block("c", "b", "\"2\"");
    assert_events("t:1@2 t:2@2 ");
    block("B", "a", "\"2\",\"3\"");
    assert_events("t:3@1 ");
    block("C", "B", "\"1\"");
    assert_events("t:3@2 ");
    block("D", "C", "");
    assert_events("t:2@3 t:3@3 ");
    block("E", "D", "");
    assert_events("t:1@3 ");
    /* and through a third branch */
    block("x", "?", "\"1\",\"2\",\"3\",\"4\",\"4\",\"1\"");
    assert_events("t:4@1 ");
    block("y", "x", "");
    assert_events("t:4@2 ");
    block("z", "y", "");
    assert_events("t:4@3 ");
    close_chain();
}

Test(chain, delivers_a_block_once_per_level)
{
    open_chain();
    listen_to("blocks", 1, true);
    listen_to("blocks", 2, true);
    block("a", "?", "");
    block("b", "a", "");
    assert_events("a@2 b@1 ");
    block("b", "a", "");
    assert_events("");
    block("c", "b", "");
    assert_events("b@2 c@1 ");
    block("b", "a", "");
    block("c", "b", "");
    assert_events("");
    block("d", "c", "");
    assert_events("c@2 d@1 ");
    close_chain();
}

Test(chain, refuses_a_block_that_extends_itself)
{
    open_chain();
    listen_to("blocks", 1, true);
    block("a", "?", "");
    block("b", "a", "\"1\"");
    cr_assert_eq(block("a", "b", ""), 409);
    cr_assert_eq(block("b", "b", "\"1\",\"2\""), 409);
    assert_events("");
    cr_assert_eq(block("c", "b", "\"2\""), 202);
    assert_events("c@1 ");
    cr_assert_eq(block("s", "s", ""), 202, "its own unknown parent: a new branch");
    cr_assert_eq(block("s", "s", ""), 409);
    close_chain();
}

/* */
Test(chain, counts_to_a_thousand)
{
    char hash[24], parent[24];
    open_chain();
    listen_to("blocks", 1000, true);
    listen_to("transactions", 999, true);
    for (int i = 0; i < 1100; i++) {
        snprintf(hash, sizeof hash, "h%d", i);
        snprintf(parent, sizeof parent, "h%d", i - 1);
        block(hash, parent, i == 0 ? "\"first\"" : "");
        if (i == 998)
            assert_events("t:first@999 ");
        else if (i < 999)
            assert_events("");
        else {
            char expected[40];
            snprintf(expected, sizeof expected, "h%d@1000 ", i - 999);
            assert_events(expected);
        }
    }
    cr_assert_eq(request(CHAIN_READ_BLOCKS, ""), 200);
    cr_assert_not_null(strstr(reply, "\"hash\":\"h1099\""));
    cr_assert_not_null(strstr(reply, ",\"blocks\":1000,\"forgotten\":0}"));
    close_chain();
}

Test(chain, forgets_the_oldest_when_memory_is_full)
{
    char hash[24], parent[24];
    open_chain();
    settings.chain_memory_bytes = 64 << 10;
    listen_to("blocks", 1, true);
    listen_to("blocks", 900, true);
    for (int i = 0; i < 950; i++) {
        snprintf(hash, sizeof hash, "h%d", i);
        snprintf(parent, sizeof parent, "h%d", i - 1);
        cr_assert_eq(block(hash, parent, ""), 202);
        cr_assert(strncmp(events, hash, strlen(hash)) == 0, "no 900 confirmations, but the first");
    }
    unsigned blocks, forgotten;
    cr_assert_eq(request(CHAIN_READ_BLOCKS, ""), 200);
    cr_assert_eq(sscanf(strstr(reply, ",\"blocks\":"), ",\"blocks\":%u,\"forgotten\":%u", &blocks, &forgotten), 2);
    cr_assert_eq(blocks + forgotten, 950);
    cr_assert(blocks > 20 && blocks < 300, "%u", blocks);
    close_chain();
}

Test(chain, refuses_what_does_not_fit_at_all)
{
    static char txs[1800], body[200000];
    open_chain();
    settings.chain_memory_bytes = 8 << 10;
    listen_to("blocks", 1, true);
    char *at = txs;
    for (int i = 0; i < 150; i++)
        at += sprintf(at, "%s\"%d\"", i == 0 ? "" : ",", i);
    cr_assert_eq(block("big", "?", txs), 422);
    assert_events("");
    cr_assert_eq(request(CHAIN_READ_BLOCKS, ""), 404);
    cr_assert_str_eq(reply, "No state");
    sprintf(body, "{\"key\":\"k\",\"value\":\"%0100000d\",\"block_number\":1,\"timestamp\":\"2024-01-23T12:34:56Z\"}",
            0);
    cr_assert_eq(request(CHAIN_STATE, body), 422);
    cr_assert_eq(request(CHAIN_READ_STATE, ""), 404);
    cr_assert_eq(block("small", "?", "\"1\""), 202);
    assert_events("small@1 ");
    close_chain();
}

/* I-15 */
Test(chain, keeps_the_newest_value_of_each_key)
{
    open_chain();
    settings.state_retained = 3;
    cr_assert_eq(request(CHAIN_STATE, "{\"key\":\"a\",\"value\":\"AA==\",\"block_number\":1,\"timestamp\":\"T\"}"),
                 202);
    assert_events("s:a@0 ");
    request(CHAIN_STATE, "{\"key\":\"b\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"T\"}");
    request(CHAIN_STATE, "{\"key\":\"\\u0061\",\"value\":\"AAAA\",\"block_number\":2,\"timestamp\":\"T\"}");
    cr_assert(slice_is(last_event->key, "a"));
    cr_assert_eq(request(CHAIN_READ_STATE, ""), 200);
    cr_assert_str_eq(
        reply, "{\"keys\":2,\"state\":[{\"key\":\"\\u0061\",\"value\":\"AAAA\",\"block_number\":2,\"timestamp\":\"T\"},"
               "{\"key\":\"b\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"T\"}]}");
    settings.state_retained = 2;
    request(CHAIN_STATE, "{\"key\":\"c\",\"value\":\"\",\"block_number\":3,\"timestamp\":\"T\"}");
    request(CHAIN_READ_STATE, "");
    cr_assert_null(strstr(reply, "\"b\""), "the one that changed longest ago is forgotten");
    settings.state_retained = 0;
    request(CHAIN_STATE, "{\"key\":\"d\",\"value\":\"\",\"block_number\":3,\"timestamp\":\"T\"}");
    assert_events("s:d@0 ");
    cr_assert_eq(request(CHAIN_READ_STATE, ""), 404);
    close_chain();
}

Test(chain, forgets_values_before_blocks)
{
    char body[5000];
    open_chain();
    settings.chain_memory_bytes = 64 << 10;
    block("a", "?", "");
    for (int i = 0; i < 100; i++) {
        snprintf(body, sizeof body, "{\"key\":\"k%d\",\"value\":\"%04000d\",\"block_number\":1,\"timestamp\":\"T\"}", i,
                 0);
        cr_assert_eq(request(CHAIN_STATE, body), 202);
    }
    unsigned keys;
    cr_assert_eq(request(CHAIN_READ_STATE, ""), 200);
    cr_assert_eq(sscanf(reply, "{\"keys\":%u", &keys), 1);
    cr_assert(keys > 10 && keys < 16, "%u", keys);
    cr_assert_eq(request(CHAIN_READ_BLOCKS, ""), 200);
    cr_assert_not_null(strstr(reply, ",\"blocks\":1,\"forgotten\":0}"));
    close_chain();
}

/* What does not fit the reply is left out, or said. */
Test(chain, answers_reads_within_the_reply)
{
    char small[100];
    open_chain();
    block("a", "?", "");
    request(CHAIN_STATE, "{\"key\":\"a\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"T\"}");
    request(CHAIN_STATE, "{\"key\":\"b\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"T\"}");
    struct buf answer = buf_of(small, sizeof small);
    struct service_request asked = {.kind = CHAIN_READ_STATE};
    cr_assert_eq(chain_service.request(chain, &asked, &answer), 200);
    cr_assert(
        slice_is(buf_slice(&answer),
                 "{\"keys\":2,\"state\":[{\"key\":\"b\",\"value\":\"\",\"block_number\":1,\"timestamp\":\"T\"}]}"));
    answer = buf_of(small, 30);
    asked.kind = CHAIN_READ_BLOCKS;
    cr_assert_eq(chain_service.request(chain, &asked, &answer), 503);
    cr_assert(slice_is(buf_slice(&answer), "too large to be read"));
    close_chain();
}

/* R-22 with tx_source ingest */
Test(chain, passes_ready_made_transactions_on)
{
    settings.tx_source = RUSTORIUM_TX_INGEST;
    open_chain();
    listen_to("transactions", 1, true);
    listen_to("blocks", 1, true);
    block("a", "?", "\"1\"");
    assert_events("a@1 ");
    cr_assert_eq(request(CHAIN_READ_TX, ""), 404);
    cr_assert_eq(request(CHAIN_TX, "{\"tx_hash\":\"1\",\"block_number\":7,\"timestamp\":\"T\",\"confirmations\":5}"),
                 202);
    assert_events("t:1@5 ");
    cr_assert(slice_is(last_event->key, "1"));
    cr_assert_eq(request(CHAIN_READ_TX, ""), 200);
    cr_assert_str_eq(
        reply,
        "{\"count\":1,\"newest\":{\"tx_hash\":\"1\",\"block_number\":7,\"timestamp\":\"T\",\"confirmations\":5}}");
    close_chain();
    settings.tx_source = RUSTORIUM_TX_DERIVE;
}

Test(chain, new_settings_count_from_the_next_request)
{
    static struct rustorium_settings smaller;
    char hash[24], parent[24];
    open_chain();
    for (int i = 0; i < 300; i++) {
        snprintf(hash, sizeof hash, "h%d", i);
        snprintf(parent, sizeof parent, "h%d", i - 1);
        block(hash, parent, "");
    }
    smaller = settings;
    smaller.chain_memory_bytes = 16 << 10;
    chain_service.settings(chain, &smaller);
    block("last", "h299", "");
    request(CHAIN_READ_BLOCKS, "");
    unsigned blocks;
    cr_assert_eq(sscanf(strstr(reply, ",\"blocks\":"), ",\"blocks\":%u", &blocks), 1);
    cr_assert(blocks > 5 && blocks < 60, "%u", blocks);
    close_chain();
}

/* A block of `count` new transactions behind a. */
static const char *large_block(int count)
{
    static char body[3 << 20];
    char *at =
        body +
        sprintf(body, "{\"number\":7,\"hash\":\"B\",\"parent_hash\":\"a\",\"timestamp\":\"T\",\"transactions\":[\"2\"");
    for (int i = 0; i < count; i++)
        at += sprintf(at, ",\"x%d\"", i);
    strcpy(at, "]}");
    return body;
}

static void assert_starved(const char *body)
{
    starve_begin();
    int status = request(CHAIN_BLOCK, body);
    starve_end();
    cr_assert_eq(status, 503);
    cr_assert_str_eq(reply, "out of memory");
    assert_events("");
}

/* A block that finds no memory changes nothing, and the next one is taken. */
Test(chain, answers_503_when_there_is_no_memory_for_the_block)
{
    if (!STARVE_WORKS)
        return;
    open_chain();
    listen_to("blocks", 1, true);
    listen_to("transactions", 1, true);
    block("a", "?", "\"1\"");
    block("b", "a", "\"2\"");
    assert_starved(large_block(100000));
    cr_assert_eq(block("c", "b", "\"1\",\"2\",\"3\""), 202, "b is still the head");
    assert_events("c@1 t:3@1 ");
    close_chain();
}

/* The block itself finds room in the heap, the growing map does not: what it holds already is taken out again. */
Test(chain, answers_503_when_there_is_no_memory_for_the_map)
{
    if (!STARVE_WORKS)
        return;
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    open_chain();
    listen_to("blocks", 1, true);
    listen_to("transactions", 1, true);
    block("a", "?", "\"1\"");
    block("b", "a", "\"2\"");
    void *room = malloc(5 << 19), *wall = malloc(64); /* 2.5 MiB between what there is and a wall */
    cr_assert(room != NULL && wall != NULL);
    free(room);
    assert_starved(large_block(20000));
    free(wall);
    cr_assert_eq(block("c", "b", "\"1\",\"2\",\"x0\",\"x9000\""), 202, "b is still the head");
    assert_events("c@1 t:x0@1 t:x9000@1 ");
    close_chain();
}
