/* SPDX-License-Identifier: MIT */
/* Owns a model of an outbox, a plain row of messages, and drives both through the same operations: what a send would
 * put on the wire, how many messages it holds, what is left when it ends early. It never sends. The input is a row of
 * steps; at the end all memory of frames must be back. */
#include "shards/conn/outbox.h"
#include "core/frame_memory.h"
#include "fuzz/fuzz.h"
#include "protocol/ws.h"

#define ITEMS_MAX 512
#define LOGS 4
#define VECTORS_MAX 8
#define SOURCES 3

struct item {
    uint32_t bytes; /* left of it, header included */
    uint32_t messages;
    uint32_t source;
    uint32_t conflate; /* 0: never replaced */
    bool superseded;   /* one with the same source and number waits behind it */
    uint8_t fill;      /* every byte of its payload */
    uint32_t offset;   /* of what is left, in its frame */
};

struct run {
    struct fuzz_input input;
    struct frame_memory memory;
    struct frame_idle idle;
    struct frame_log logs[LOGS];
    struct outbox_pool pool;
    struct outbox outbox;
    struct item items[ITEMS_MAX];
    uint32_t count;
    uint64_t inflight_bytes; /* from the front */
    uint32_t inflight_items; /* whole or grown slices: items that the send names */
    uint8_t fill;
};

static uint64_t sum_bytes(const struct run *run, uint32_t from, uint32_t to)
{
    uint64_t sum = 0;
    for (uint32_t i = from; i < to; i++)
        sum += run->items[i].bytes;
    return sum;
}

static uint32_t sum_messages(const struct run *run, uint32_t from, uint32_t to)
{
    uint32_t sum = 0;
    for (uint32_t i = from; i < to; i++)
        sum += run->items[i].messages;
    return sum;
}

static void remove_items(struct run *run, uint32_t from, uint32_t count)
{
    memmove(&run->items[from], &run->items[from + count], (run->count - from - count) * sizeof run->items[0]);
    run->count -= count;
}

/* What waits, but the newest of each source and number. */
static uint64_t sum_charged(const struct run *run)
{
    uint64_t sum = 0;
    for (uint32_t i = run->inflight_items; i < run->count; i++)
        if (run->items[i].source == 0 || run->items[i].conflate == 0 || run->items[i].superseded)
            sum += run->items[i].bytes;
    return sum;
}

/* The model and the outbox say the same. */
static void expect_same(const struct run *run)
{
    outbox_check(&run->outbox);
    expect(run->outbox.all.bytes == sum_bytes(run, 0, run->count));
    expect(run->outbox.all.messages == sum_messages(run, 0, run->count));
    expect(run->outbox.inflight.bytes == run->inflight_bytes);
    expect(run->outbox.inflight.messages == sum_messages(run, 0, run->inflight_items));
    expect(outbox_waiting(&run->outbox) == sum_bytes(run, run->inflight_items, run->count));
    expect(outbox_charged(&run->outbox) == sum_charged(run));
    expect((run->outbox.all.slices == 0) == (run->count == 0));
}

/* A byte of the wire bytes of a message: header, then `fill`. */
static uint8_t wire_byte(const struct item *item, uint32_t whole_bytes, uint32_t at)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    uint64_t payload = whole_bytes <= 127 ? whole_bytes - 2 : whole_bytes - 4;
    size_t header_bytes = ws_header_write(header, WS_BINARY, payload);
    return at < header_bytes ? header[at] : item->fill;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* Replies have a log of their own, so that a slice holds either messages or replies. */
static bool append_frame(struct run *run, bool reply, uint32_t payload, struct frame *frame)
{
    struct frame_log *log = &run->logs[reply ? 0 : 1 + fuzz_below(&run->input, LOGS - 1)];
    uint32_t bytes = (uint32_t)ws_header_bytes(payload) + payload;
    uint8_t *at = frame_append_reserve(&run->memory, &run->idle, log, bytes);
    if (at == NULL)
        return false; /* out of budget */
    size_t header = ws_header_write(at, WS_BINARY, payload);
    memset(at + header, ++run->fill, payload);
    *frame = frame_append_commit(log, bytes);
    return true;
}

/* The last item of that source, or run->count. */
static uint32_t newest_of(const struct run *run, uint32_t source)
{
    for (uint32_t i = run->count; source != 0 && i-- > 0;)
        if (run->items[i].source == source)
            return i;
    return run->count;
}

/* What waits with that source and number is not the newest of it any more. */
static void supersede(struct run *run, uint32_t source, uint32_t conflate)
{
    for (uint32_t i = run->inflight_items; source != 0 && conflate != 0 && i < run->count; i++)
        run->items[i].superseded |= run->items[i].source == source && run->items[i].conflate == conflate;
}

static void step_push(struct run *run)
{
    struct frame frame;
    uint32_t source = fuzz_below(&run->input, 4) == 0 ? 1 + fuzz_below(&run->input, SOURCES) : 0;
    uint32_t messages = source != 0 || fuzz_below(&run->input, 8) != 0 ? 1 : 0;
    uint32_t conflate = source != 0 ? fuzz_below(&run->input, 3) : 0, payload = fuzz_below(&run->input, 3000);
    if (run->count == ITEMS_MAX || !append_frame(run, messages == 0, payload, &frame))
        return;
    uint32_t at = newest_of(run, source);
    if (at < run->inflight_items || at == run->count || conflate == 0 || run->items[at].conflate != conflate)
        at = run->count;
    enum outbox_result result = outbox_push(&run->outbox, &run->pool, frame, messages, source, conflate);
    if (result == OUTBOX_FULL)
        return;
    expect((result == OUTBOX_REPLACED) == (at < run->count));
    if (at < run->count)
        remove_items(run, at, 1); /* the newest is the last, whatever came between */
    else
        supersede(run, source, conflate);
    run->items[run->count++] = (struct item){
        .bytes = frame.bytes, .messages = messages, .source = source, .conflate = conflate, .fill = run->fill};
    expect(outbox_holds(&run->outbox, frame.segment, frame.segment->serial));
    expect(!outbox_holds(&run->outbox, frame.segment, frame.segment->serial + 1));
}

/* The vectors name the bytes of whole items from the front. */
static void step_begin(struct run *run)
{
    struct iovec vectors[VECTORS_MAX];
    uint32_t max = 1 + fuzz_below(&run->input, VECTORS_MAX), item = 0, at = 0;
    if (run->inflight_bytes > 0)
        return;
    uint32_t count = outbox_begin_send(&run->outbox, vectors, max);
    expect(count <= max && (count == 0) == (run->count == 0));
    for (uint32_t v = 0; v < count; v++) {
        const uint8_t *bytes = vectors[v].iov_base;
        for (size_t i = 0; i < vectors[v].iov_len; i++) {
            expect(item < run->count);
            const struct item *model = &run->items[item];
            expect(bytes[i] == wire_byte(model, model->bytes + model->offset, model->offset + at));
            if (++at == model->bytes) {
                item++;
                at = 0;
            }
        }
    }
    expect(at == 0);
    run->inflight_items = item;
    run->inflight_bytes = sum_bytes(run, 0, item);
}

static void step_sent(struct run *run)
{
    if (run->inflight_bytes == 0)
        return;
    uint32_t messages = sum_messages(run, 0, run->inflight_items);
    remove_items(run, 0, run->inflight_items);
    run->inflight_bytes = run->inflight_items = 0;
    expect(outbox_sent(&run->outbox, &run->pool) == messages);
}

/* The send ended early: what it took goes, a message cut in the middle does not count. The stream is then cut for
 * good. */
static void step_cut(struct run *run)
{
    if (run->inflight_bytes == 0)
        return;
    uint64_t bytes = fuzz_below(&run->input, 65536) % run->inflight_bytes, left = bytes;
    uint32_t messages = 0, whole = 0;
    while (whole < run->count && run->items[whole].bytes <= left && left > 0) {
        messages += run->items[whole].messages;
        left -= run->items[whole++].bytes;
    }
    remove_items(run, 0, whole);
    if (left > 0) {
        run->items[0].bytes -= (uint32_t)left;
        run->items[0].offset += (uint32_t)left;
    }
    run->inflight_bytes = run->inflight_items = 0;
    expect(outbox_cut(&run->outbox, &run->pool, bytes) == messages);
    expect_same(run);
    messages = sum_messages(run, 0, run->count);
    run->count = 0;
    expect(outbox_drop_waiting(&run->outbox, &run->pool) == messages);
}

static void step_drop(struct run *run)
{
    uint32_t messages = sum_messages(run, run->inflight_items, run->count);
    run->count = run->inflight_items;
    expect(outbox_drop_waiting(&run->outbox, &run->pool) == messages);
}

static void reclaim(struct run *run)
{
    for (struct segment *segment; (segment = frame_idle_pop(&run->idle, 0)) != NULL;)
        frame_reclaim(&run->memory, segment);
}

static void step(struct run *run)
{
    switch (fuzz_below(&run->input, 16)) {
    case 0:
    case 1:
        step_begin(run);
        break;
    case 2:
    case 3:
        step_sent(run);
        break;
    case 4:
        step_cut(run);
        break;
    case 5:
        step_drop(run);
        break;
    case 6:
        reclaim(run);
        break;
    case 7:
        frame_log_release(&run->memory, &run->idle, &run->logs[fuzz_below(&run->input, LOGS)]);
        break;
    default:
        step_push(run);
    }
    expect_same(run);
}

static void finish(struct run *run)
{
    step_sent(run);
    step_drop(run);
    expect_same(run);
    for (uint32_t i = 0; i < LOGS; i++)
        frame_log_release(&run->memory, &run->idle, &run->logs[i]);
    reclaim(run);
    expect(list_empty(&run->memory.segments)); /* what is left is cached */
    outbox_pool_destroy(&run->pool);
    frame_memory_destroy(&run->memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct run *run = fuzz_zeroed(sizeof *run);
    run->input = (struct fuzz_input){data, bytes};
    uint8_t shape = fuzz_byte(&run->input);
    frame_memory_init(&run->memory, 0, 1, (shape & 1) != 0 ? 64U << 10 : 16U << 20);
    outbox_pool_init(&run->pool, (shape & 2) != 0 ? 0 : 4096, 0, &run->idle);
    while (run->input.left > 0)
        step(run);
    finish(run);
    free(run);
    return 0;
}
