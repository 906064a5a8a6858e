/* SPDX-License-Identifier: MIT */
/* The chain service alone: requests go in, what it would publish is written down as one line. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_RIG_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_RIG_H

#include "protocol/dialects/rustorium/chain.h"
#include "protocol/dialects/rustorium/chain_filter.h"
#include "protocol/dialects/rustorium/rustorium.h"
#include "protocol/service.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct rustorium_settings settings;
static void *chain;
static char events[1 << 20]; /* of the last request: "block 5@1 | tx t@1 | ..." */
static char reply[1 << 16];
static const struct event *last_event;

static inline void open_chain(void)
{
    settings.chain_memory_bytes = 64 << 20;
    settings.state_retained = 1000;
    chain = calloc(1, chain_service.state_bytes);
    cr_assert_eq(chain_service.open(chain, &settings), 0);
}

static inline void close_chain(void)
{
    chain_service.close(chain);
    free(chain);
}

static inline void listen_to(const char *channel, uint32_t level, bool added)
{
    uint8_t memory[16];
    struct buf out = buf_of(memory, sizeof memory);
    chain_filter_put(&out, &(struct chain_filter){.level = level, .kind = CHAIN_FILTER_ANY, .key = slice_text("")});
    chain_service.interest(chain, slice_text(channel), buf_slice(&out), added);
}

/* The text behind `"name":"` or `"name":`, up to the next quote, comma or brace. */
static inline void member_of(const char *payload, const char *name, char out[200])
{
    char pattern[40];
    snprintf(pattern, sizeof pattern, "\"%s\":", name);
    const char *at = strstr(payload, pattern);
    cr_assert_not_null(at, "%s in %s", name, payload);
    at += strlen(pattern);
    at += *at == '"';
    size_t bytes = strcspn(at, "\",}");
    snprintf(out, 200, "%.*s", (int)bytes, at);
}

static inline void note(const struct event *event)
{
    char payload[8192], value[200];
    size_t used = strlen(events);
    bool tx = slice_is(event->channel, CHAIN_CHANNEL_TRANSACTIONS),
         block = slice_is(event->channel, CHAIN_CHANNEL_BLOCKS);
    cr_assert_lt(event->payload.bytes, sizeof payload);
    memcpy(payload, event->payload.data, event->payload.bytes);
    payload[event->payload.bytes] = '\0';
    member_of(payload, tx ? "tx_hash" : block ? "hash" : "key", value);
    snprintf(events + used, sizeof events - used, "%s%s@%u ", tx ? "t:" : block ? "" : "s:", value, event->level);
    cr_assert_eq(event->opcode, WS_TEXT);
    last_event = event;
}

static inline int request(enum chain_request kind, const char *body)
{
    static uint8_t scratch_memory[4096];
    static struct event event;
    struct buf answer = buf_of(reply, sizeof reply - 1), scratch = buf_of(scratch_memory, sizeof scratch_memory);
    struct service_request asked = {.kind = kind, .body = slice_text(body)};
    events[0] = '\0';
    int status = chain_service.request(chain, &asked, &answer);
    reply[answer.used] = '\0';
    while (service_next_event(&chain_service, chain, &scratch, &event))
        note(&event);
    return status;
}

static inline int block(const char *hash, const char *parent, const char *txs)
{
    char body[2048];
    snprintf(body, sizeof body,
             "{\"number\":7,\"hash\":\"%s\",\"parent_hash\":\"%s\",\"timestamp\":\"2024-01-23T12:34:56Z\","
             "\"transactions\":[%s]}",
             hash, parent, txs);
    return request(CHAIN_BLOCK, body);
}

static inline void assert_events(const char *expected)
{
    cr_assert_str_eq(events, expected);
}

#endif
