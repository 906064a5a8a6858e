/* SPDX-License-Identifier: MIT */
/* Owns a small model of the chain service and drives both through the same requests: which blocks and transactions are
 * given out at which level of confirmation, in which order, under which numbers. It
 * never looks into the service. The input is a row of steps. Where memory is so small that blocks are forgotten, order
 * and shape are still checked, the exact events are not. */
#include "protocol/dialects/rustorium/chain.h"
#include "fuzz/fuzz.h"
#include "protocol/dialects/rustorium/chain_branch.h"
#include "protocol/dialects/rustorium/chain_filter.h"
#include "protocol/dialects/rustorium/rustorium.h"
#include "protocol/json.h"
#include "protocol/service.h"

#define NAMES 24  /* block hashes, and transactions: h0.., t0.. */
#define TXS_MAX 6 /* of a block */
#define LEVELS 40 /* that are listened to */
#define STEPS_MAX 300
#define KEYS 6
#define CLASSES_MAX 16
#define EXPECTED_MAX 4096

struct model_block {
    uint32_t hash, parent;
    uint32_t txs[TXS_MAX];
    uint32_t tx_count;
    uint32_t number;
};

struct expected {
    bool tx;
    uint32_t name, level;
};

/* The plainest account: what has been given out, as sets of (name, level). */
struct model {
    struct model_block branch[STEPS_MAX];
    uint32_t count;
    bool block_given[NAMES][LEVELS + 1];
    bool tx_given[NAMES][LEVELS + 1];
    uint32_t block_listeners[LEVELS + 1], tx_listeners[LEVELS + 1];
    uint64_t last_block, last_tx, last_state;
    bool key_known[KEYS];
    uint32_t keys;
    uint64_t txs_taken;
    struct expected expected[EXPECTED_MAX];
    uint32_t expected_count, expected_next;
};

struct class
{
    bool used, transactions;
    uint8_t variant[512];
    size_t bytes;
    uint32_t levels[3];
    uint32_t level_count;
};

struct run {
    struct fuzz_input input;
    struct rustorium_settings settings;
    void *state;
    struct model model;
    struct class classes[CLASSES_MAX];
    bool exact;    /* nothing has been forgotten */
    bool large;    /* there may be keys that the model does not know, and blocks too large to be read */
    uint32_t many; /* blocks made by step_many */
    uint8_t body[1U << 17], reply[8192], scratch[4096];
};

/* --- the model ---------------------------------------------------------------------------------------------------- */

static uint32_t on_branch(const struct model *model, uint32_t hash)
{
    uint32_t i = 0;
    while (i < model->count && model->branch[i].hash != hash)
        i++;
    return i;
}

/* Whether an earlier place of the branch, or of the same block, holds the transaction. */
static bool is_silent(const struct model *model, uint32_t block, uint32_t tx)
{
    uint32_t name = model->branch[block].txs[tx];
    for (uint32_t b = 0; b <= block; b++)
        for (uint32_t t = 0; t < (b == block ? tx : model->branch[b].tx_count); t++)
            if (model->branch[b].txs[t] == name)
                return true;
    return false;
}

static void expect_later(struct model *model, bool tx, uint32_t name, uint32_t level)
{
    expect(model->expected_count < EXPECTED_MAX);
    model->expected[model->expected_count++] = (struct expected){tx, name, level};
}

/* A transaction counts as given out at a level only when somebody listened. */
static void model_confirm(struct model *model, uint32_t block)
{
    uint32_t level = model->count - block;
    const struct model_block *b = &model->branch[block];
    if (level > LEVELS)
        return;
    if (model->block_listeners[level] > 0 && !model->block_given[b->hash][level]) {
        model->block_given[b->hash][level] = true;
        expect_later(model, false, b->hash, level);
    }
    for (uint32_t t = 0; t < b->tx_count && model->tx_listeners[level] > 0; t++) {
        if (model->tx_given[b->txs[t]][level] || is_silent(model, block, t))
            continue;
        model->tx_given[b->txs[t]][level] = true;
        expect_later(model, true, b->txs[t], level);
    }
}

/* 202 or 409. */
static int model_add(struct model *model, const struct model_block *block)
{
    uint32_t fork = on_branch(model, block->parent), same = on_branch(model, block->hash);
    uint32_t kept = fork < model->count ? fork + 1 : 0;
    if (same < kept)
        return 409;
    model->count = kept;
    model->branch[model->count++] = *block;
    model->expected_count = model->expected_next = 0;
    for (uint32_t i = 0; i < model->count; i++)
        model_confirm(model, i);
    return 202;
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */

/* A name, now and then with an escape in it: the same name for the service. */
static void put_name(struct run *run, struct buf *out, char letter, uint32_t number)
{
    buf_put_byte(out, '"');
    if (fuzz_below(&run->input, 4) == 0) {
        buf_put_text(out, "\\u00");
        buf_put_hex(out, (uint8_t)letter, 2);
    } else {
        buf_put_byte(out, (uint8_t)letter);
    }
    buf_put_u64(out, number);
    buf_put_byte(out, '"');
}

static struct slice block_body(struct run *run, const struct model_block *block)
{
    struct buf out = buf_of(run->body, sizeof run->body);
    buf_put_text(&out, "{\"number\":");
    buf_put_u64(&out, block->number);
    buf_put_text(&out, ",\"hash\":");
    put_name(run, &out, 'h', block->hash);
    buf_put_text(&out, ",\"parent_hash\":");
    put_name(run, &out, 'h', block->parent);
    buf_put_text(&out, ",\"timestamp\":\"2026-01-01T00:00:00Z\",\"transactions\":[");
    for (uint32_t i = 0; i < block->tx_count; i++) {
        if (i > 0)
            buf_put_byte(&out, ',');
        put_name(run, &out, 't', block->txs[i]);
    }
    buf_put_text(&out, "]}");
    expect(!out.overflow);
    return buf_slice(&out);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static int request(struct run *run, uint32_t kind, struct slice body, struct buf *reply)
{
    uint8_t *copy = fuzz_copy(body);
    struct service_request call = {.kind = kind, .body = slice_of(copy, body.bytes), .wall_ms = 1};
    *reply = buf_of(run->reply, sizeof run->reply);
    int status = chain_service.request(run->state, &call, reply);
    free(copy);
    expect(!reply->overflow);
    return status;
}

/* {"type":TYPE,"id":"ID<number>",...}: the data object. */
static struct slice expect_envelope(struct slice payload, const char *type, const char *id, uint64_t number)
{
    char wanted[128], found[128];
    struct json_member members[] = {{.name = "type"}, {.name = "id"}, {.name = "data"}, {.name = "error"}};
    expect(json_find_members(payload, JSON_DEPTH_MAX, true, members, 4) == JSON_MEMBERS_OK);
    expect(slice_is(members[0].raw, type) && members[2].token == JSON_OBJECT_BEGIN && members[3].token == JSON_NULL);
    snprintf(wanted, sizeof wanted, "%s%llu", id, (unsigned long long)number);
    snprintf(found, sizeof found, "%.*s", (int)members[1].raw.bytes, (const char *)members[1].raw.data);
    expect(strcmp(wanted, found) == 0);
    return members[2].text;
}

/* Whether member `name` of the object is letter + number, escapes resolved. */
static bool is_named(struct slice object, const char *name, char letter, uint32_t number)
{
    char wanted[16];
    struct json_member member = {.name = name};
    expect(json_find_members(object, JSON_DEPTH_MAX, true, &member, 1) == JSON_MEMBERS_OK &&
           member.token == JSON_STRING);
    snprintf(wanted, sizeof wanted, "%c%u", letter, number);
    return json_raw_equal(member.raw, member.escaped, slice_text(wanted));
}

static void expect_confirmed(struct run *run, const struct event *event)
{
    struct model *model = &run->model;
    bool tx = slice_is(event->channel, CHAIN_CHANNEL_TRANSACTIONS);
    struct slice data = tx ? expect_envelope(event->payload, "tx_confirmed", "tx", ++model->last_tx)
                           : expect_envelope(event->payload, "new_block", "block", ++model->last_block);
    expect(tx || slice_is(event->channel, CHAIN_CHANNEL_BLOCKS));
    expect(event->opcode == WS_TEXT && event->level >= 1 && event->level <= CHAIN_LEVEL_MAX);
    if (!run->exact)
        return;
    expect(model->expected_next < model->expected_count);
    struct expected wanted = model->expected[model->expected_next++];
    expect(wanted.tx == tx && wanted.level == event->level);
    expect(is_named(data, tx ? "tx_hash" : "hash", tx ? 't' : 'h', wanted.name));
    if (tx) {
        struct json_member confirmations = {.name = "confirmations"};
        uint64_t level = 0;
        json_find_members(data, JSON_DEPTH_MAX, true, &confirmations, 1);
        expect(json_u64(confirmations.raw, &level) && level == wanted.level);
    }
}

static void drain(struct run *run)
{
    struct buf scratch = buf_of(run->scratch, sizeof run->scratch);
    struct event event;
    while (service_next_event(&chain_service, run->state, &scratch, &event))
        expect_confirmed(run, &event);
    expect(!run->exact || run->model.expected_next == run->model.expected_count);
    run->model.expected_count = run->model.expected_next = 0;
}

/* The one event of a record. */
static struct slice expect_record(struct run *run, const char *channel, const char *type, const char *id,
                                  uint64_t number)
{
    struct buf scratch = buf_of(run->scratch, sizeof run->scratch);
    struct event event, none;
    expect(service_next_event(&chain_service, run->state, &scratch, &event));
    expect(slice_is(event.channel, channel) && event.opcode == WS_TEXT && event.key.bytes > 0);
    struct slice data = expect_envelope(event.payload, type, id, number);
    uint8_t *copy = fuzz_copy(data);
    expect(!service_next_event(&chain_service, run->state, &scratch, &none));
    struct slice kept = slice_of(run->body, data.bytes);
    memcpy(run->body, copy, data.bytes);
    free(copy);
    return kept;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void step_block(struct run *run, bool on_head)
{
    struct model *model = &run->model;
    struct model_block block = {.number = model->count, .hash = fuzz_below(&run->input, NAMES)};
    struct buf reply;
    block.parent = on_head && model->count > 0 ? model->branch[model->count - 1].hash : fuzz_below(&run->input, NAMES);
    block.tx_count = fuzz_below(&run->input, TXS_MAX + 1);
    for (uint32_t i = 0; i < block.tx_count; i++)
        block.txs[i] = fuzz_below(&run->input, NAMES);
    struct model_block told = block;
    if (run->settings.tx_source == RUSTORIUM_TX_INGEST)
        block.tx_count = 0; /* not derived */
    int status = request(run, CHAIN_BLOCK, block_body(run, &told), &reply);
    if (run->exact)
        expect(status == model_add(model, &block));
    expect(status == 202 || status == 409 || (status == 422 && run->large));
    expect((status == 202) == (reply.used == 0));
    drain(run);
}

/* So many blocks that the first are forgotten; each on the one before, or each instead of all before. */
static void step_many(struct run *run, bool on_head)
{
    struct model_block block = {.number = 0};
    struct buf reply;
    run->exact = false;
    for (uint32_t i = 0; i < 1200; i++) {
        block.hash = 1000 + run->many++;
        block.parent = on_head ? block.hash - 1 : 999;
        block.tx_count = 1;
        block.txs[0] = i;
        request(run, CHAIN_BLOCK, block_body(run, &block), &reply);
        drain(run);
    }
}

static void step_state(struct run *run)
{
    struct model *model = &run->model;
    uint32_t key = fuzz_below(&run->input, KEYS);
    struct buf out = buf_of(run->body, sizeof run->body), reply;
    buf_put_text(&out, "{\"key\":");
    put_name(run, &out, 'k', key);
    buf_put_text(&out, ",\"value\":\"AAAA\",\"block_number\":1,\"timestamp\":\"2026-01-01T00:00:00Z\"}");
    expect(request(run, CHAIN_STATE, buf_slice(&out), &reply) == 202);
    struct slice data = expect_record(run, CHAIN_CHANNEL_STATE, "state_update", "state", ++model->last_state);
    expect(is_named(data, "key", 'k', key));
    model->keys += !model->key_known[key];
    model->key_known[key] = true;
}

/* A value, or a block, that is larger than a reply, or than all the memory that there may be. */
static void step_large(struct run *run)
{
    struct buf out = buf_of(run->body, sizeof run->body), reply;
    bool block = fuzz_below(&run->input, 2) == 1;
    uint32_t bytes = fuzz_below(&run->input, 2) == 1 ? 20000 : 100000;
    bool fits = bytes < run->settings.chain_memory_bytes / 2;
    buf_put_text(
        &out, block ? "{\"number\":1,\"hash\":\"h0\",\"parent_hash\":\"h0\",\"timestamp\":\"\",\"transactions\":[\"t0\""
                    : "{\"key\":");
    if (!block)
        put_name(run, &out, 'l', fuzz_below(&run->input, KEYS));
    buf_put_text(&out, block ? "" : ",\"value\":\"");
    while (out.used < bytes)
        buf_put_text(&out, block ? ",\"t0\"" : "AAAA");
    buf_put_text(&out, block ? "]}" : "\",\"block_number\":1,\"timestamp\":\"2026-01-01T00:00:00Z\"}");
    run->exact = false; /* keys and blocks that the model does not know */
    run->large = true;
    int status = request(run, block ? CHAIN_BLOCK : CHAIN_STATE, buf_slice(&out), &reply);
    expect(status == 202 || status == 422 || (block && status == 409));
    expect(block || (status == 202) == fits);
    if (!block && status == 202)
        expect_record(run, CHAIN_CHANNEL_STATE, "state_update", "state", ++run->model.last_state);
    else
        drain(run);
}

/* A reload leaves so little memory that all but the head is forgotten. */
static void step_shrink(struct run *run)
{
    run->exact = false;
    run->large = true;
    run->settings.chain_memory_bytes = 4096;
    chain_service.settings(run->state, &run->settings);
}

static void step_tx(struct run *run)
{
    struct model *model = &run->model;
    uint32_t tx = fuzz_below(&run->input, NAMES), level = 1 + fuzz_below(&run->input, 60000);
    struct buf out = buf_of(run->body, sizeof run->body), reply;
    buf_put_text(&out, "{\"tx_hash\":");
    put_name(run, &out, 't', tx);
    buf_put_text(&out, ",\"block_number\":1,\"timestamp\":\"2026-01-01T00:00:00Z\",\"confirmations\":");
    buf_put_u64(&out, level);
    buf_put_byte(&out, '}');
    expect(request(run, CHAIN_TX, buf_slice(&out), &reply) == 202);
    struct slice data = expect_record(run, CHAIN_CHANNEL_TRANSACTIONS, "tx_confirmed", "tx", ++model->last_tx);
    expect(is_named(data, "tx_hash", 't', tx));
    model->txs_taken++;
}

/* What the reply's member says, or the 404 of nothing. */
static void expect_count(struct run *run, uint32_t kind, const char *name, uint64_t wanted)
{
    struct buf reply;
    struct json_member member = {.name = name};
    uint64_t count = 0;
    int status = request(run, kind, slice_text(""), &reply);
    expect(status == (wanted == 0 ? 404 : 200));
    if (wanted == 0)
        return;
    expect(json_find_members(buf_slice(&reply), JSON_DEPTH_MAX, true, &member, 1) == JSON_MEMBERS_OK);
    expect(json_u64(member.raw, &count) && count == wanted);
}

static void step_read(struct run *run)
{
    const struct model *model = &run->model;
    uint64_t keys = model->keys < run->settings.state_retained ? model->keys : run->settings.state_retained;
    struct buf reply;
    if (run->exact)
        expect_count(run, CHAIN_READ_BLOCKS, "blocks", model->count);
    int status = request(run, CHAIN_READ_BLOCKS, slice_text(""), &reply);
    expect(status == 404 || status == 200 || (status == 503 && run->large));
    drain(run);
    status = request(run, CHAIN_READ_STATE, slice_text(""), &reply);
    expect(status == 404 || (status == 200 && json_valid(buf_slice(&reply), JSON_DEPTH_MAX)));
    drain(run);
    if (run->settings.chain_memory_bytes > 1U << 20 && !run->large)
        expect_count(run, CHAIN_READ_STATE, "keys", keys);
    expect_count(run, CHAIN_READ_TX, "count", model->txs_taken);
    drain(run);
}

/* A class of listeners comes or goes. */
static void step_interest(struct run *run)
{
    struct class *class = &run->classes[fuzz_below(&run->input, CLASSES_MAX)];
    if (!class->used) {
        uint8_t memory[3][CHAIN_FILTER_BYTES_MAX];
        struct slice filters[3];
        struct buf variant = buf_of(class->variant, sizeof class->variant);
        class->transactions = fuzz_below(&run->input, 2) == 1;
        class->level_count = 1 + fuzz_below(&run->input, 3);
        for (uint32_t i = 0; i < class->level_count; i++) {
            struct buf out = buf_of(memory[i], sizeof memory[i]);
            class->levels[i] = 1 + fuzz_below(&run->input, LEVELS);
            for (uint32_t k = 0; k < i; k++)
                if (class->levels[k] == class->levels[i])
                    class->level_count = i; /* a union would count it once */
            struct chain_filter filter = {.level = class->levels[i], .kind = CHAIN_FILTER_ANY};
            chain_filter_put(&out, &filter);
            filters[i] = buf_slice(&out);
        }
        chain_filter_union(filters, class->level_count, &variant);
        class->bytes = variant.used;
    }
    class->used = !class->used;
    uint32_t *listeners = class->transactions ? run->model.tx_listeners : run->model.block_listeners;
    for (uint32_t i = 0; i < class->level_count; i++)
        listeners[class->levels[i]] += class->used ? 1U : UINT32_MAX;
    chain_service.interest(run->state,
                           slice_text(class->transactions ? CHAIN_CHANNEL_TRANSACTIONS : CHAIN_CHANNEL_BLOCKS),
                           slice_of(class->variant, class->bytes), class->used);
}

/* A union of filters matches what any of them does; equal sets have equal bytes. */
static void step_filters(struct run *run)
{
    static const char *const keys[] = {"", "a", "ab", "abc", "b"};
    struct chain_filter filters[8];
    struct slice encoded[8], backwards[8];
    uint8_t memory[8][CHAIN_FILTER_BYTES_MAX], one[1024], two[1024];
    struct buf variant = buf_of(one, sizeof one), again = buf_of(two, sizeof two);
    uint32_t count = 1 + fuzz_below(&run->input, 8);
    for (uint32_t i = 0; i < count; i++) {
        static const enum chain_filter_kind kinds[] = {CHAIN_FILTER_ANY, CHAIN_FILTER_KEY, CHAIN_FILTER_PREFIX};
        struct buf out = buf_of(memory[i], sizeof memory[i]);
        filters[i].level = fuzz_below(&run->input, 3);
        filters[i].kind = kinds[fuzz_below(&run->input, 3)];
        filters[i].key = slice_text(filters[i].kind == CHAIN_FILTER_ANY ? "" : keys[1 + fuzz_below(&run->input, 4)]);
        chain_filter_put(&out, &filters[i]);
        encoded[i] = backwards[count - 1 - i] = buf_slice(&out);
    }
    chain_filter_union(encoded, count, &variant);
    chain_filter_union(backwards, count, &again);
    expect(!variant.overflow && slice_equal(buf_slice(&variant), buf_slice(&again)));
    for (uint32_t level = 0; level < 3; level++) {
        for (uint32_t k = 0; k < 5; k++) {
            struct event event = {.level = level, .key = slice_text(keys[k])};
            bool any = false;
            for (uint32_t i = 0; i < count; i++)
                any |= filters[i].level == level &&
                       (filters[i].kind == CHAIN_FILTER_ANY ||
                        (filters[i].kind == CHAIN_FILTER_KEY ? slice_equal(event.key, filters[i].key)
                                                             : slice_starts(event.key, filters[i].key)));
            expect(chain_filter_matches(buf_slice(&variant), &event) == any);
        }
    }
}

static void step(struct run *run)
{
    switch (fuzz_below(&run->input, 17)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        step_block(run, true);
        break;
    case 5:
    case 6:
    case 7:
        step_block(run, false);
        break;
    case 8:
        step_state(run);
        break;
    case 9:
        step_tx(run);
        break;
    case 10:
        step_read(run);
        break;
    case 11:
        switch (fuzz_below(&run->input, 64)) {
        case 63:
            step_many(run, true);
            break;
        case 62:
            step_many(run, false);
            break;
        case 61:
            step_shrink(run);
            break;
        case 60:
            step_large(run);
            break;
        }
        break;
    case 16:
        step_filters(run);
        break;
    default:
        step_interest(run);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct run *run = fuzz_zeroed(sizeof *run);
    run->input = (struct fuzz_input){data, bytes};
    uint8_t shape = fuzz_byte(&run->input);
    run->settings = (struct rustorium_settings){
        .tx_source = (shape & 1) != 0 ? RUSTORIUM_TX_INGEST : RUSTORIUM_TX_DERIVE,
        .chain_memory_bytes = (shape & 2) != 0 ? 64U << 10 : 64U << 20,
        .state_retained = (shape & 4) != 0 ? 3 : 1000,
    };
    run->exact = (shape & 2) == 0;
    run->state = fuzz_zeroed(chain_service.state_bytes);
    expect(chain_service.open(run->state, &run->settings) == 0);
    for (uint32_t steps = 0; run->input.left > 0 && steps < STEPS_MAX; steps++)
        step(run);
    chain_service.close(run->state);
    free(run->state);
    free(run);
    return 0;
}
