/* SPDX-License-Identifier: MIT */
/* shards/outbox against a model that keeps one entry per message: random pushes, replacements, sends, cuts and
 * drops. */
#include "core/frame_memory.h"
#include "shards/conn/outbox.h"

#include "core/limits.h"
#include "core/random.h"
#include "protocol/ws.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET ((size_t)64 << 20)
#define MODEL_MAX 4096
#define VECTORS 64

struct fixture {
    struct frame_memory memory;
    struct frame_idle idle;
    struct outbox_pool pool;
    struct outbox outbox;
    struct frame_log logs[3]; /* 0: replies */
};

static void begin(struct fixture *f, uint32_t nodes)
{
    memset(f, 0, sizeof *f);
    frame_memory_init(&f->memory, 0, 1, BUDGET);
    outbox_pool_init(&f->pool, nodes, 0, &f->idle);
}

/* One finished text message of `bytes` payload bytes at the end of a log. */
static struct frame message(struct fixture *f, unsigned log, uint32_t bytes, uint8_t fill)
{
    uint32_t total = (uint32_t)ws_header_bytes(bytes) + bytes;
    uint8_t *at = frame_append_reserve(&f->memory, &f->idle, &f->logs[log], total);
    cr_assert_not_null(at);
    size_t header = ws_header_write(at, WS_TEXT, bytes);
    memset(at + header, fill, bytes);
    return frame_append_commit(&f->logs[log], total);
}

static enum outbox_result push(struct fixture *f, struct frame frame, uint32_t messages, uint32_t source,
                               uint32_t conflate)
{
    enum outbox_result result = outbox_push(&f->outbox, &f->pool, frame, messages, source, conflate);
    outbox_check(&f->outbox);
    return result;
}

static void reclaim(struct fixture *f)
{
    for (struct segment *segment; (segment = frame_idle_pop(&f->idle, 0)) != NULL;)
        frame_reclaim(&f->memory, segment);
}

/* Everything is empty: no segment is held by anybody. */
static void end(struct fixture *f)
{
    cr_assert_eq(f->outbox.all.slices, 0);
    for (unsigned i = 0; i < 3; i++)
        frame_log_release(&f->memory, &f->idle, &f->logs[i]);
    reclaim(f);
    cr_assert(list_empty(&f->memory.segments), "a reference has been lost");
    outbox_pool_destroy(&f->pool);
    frame_memory_destroy(&f->memory);
}

Test(outbox, holds_one_slice_for_a_member_of_one_channel_however_far_behind)
{
    struct fixture f;
    begin(&f, 1024);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(push(&f, message(&f, 1, 8, 'a'), 1, 0, 0), OUTBOX_PUSHED);
    cr_assert_eq(f.outbox.all.slices, 1);
    cr_assert_eq(f.outbox.all.messages, 100);
    cr_assert_eq(f.outbox.all.bytes, 1000); /* of one segment */
    cr_assert_eq(f.pool.count, 0, "no node has been made");
    cr_assert_eq(outbox_drop_waiting(&f.outbox, &f.pool), 100);
    end(&f);
}

Test(outbox, does_not_merge_what_another_channel_came_between)
{
    struct fixture f;
    begin(&f, 1024);
    for (unsigned i = 0; i < 6; i++)
        push(&f, message(&f, 1 + i % 2, 10, 'a'), 1, 0, 0);
    cr_assert_eq(f.outbox.all.slices, 6);
    outbox_drop_waiting(&f.outbox, &f.pool);
    end(&f);
}

Test(outbox, grows_the_last_slice_in_flight_and_keeps_the_rest)
{
    struct fixture f;
    struct iovec vector[VECTORS];
    begin(&f, 1024);
    push(&f, message(&f, 1, 10, 'a'), 1, 0, 0);
    cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), 1);
    cr_assert_eq(vector[0].iov_len, 12);
    push(&f, message(&f, 1, 20, 'b'), 1, 0, 0);
    cr_assert_eq(f.outbox.all.slices, 1, "it continues what is being sent");
    cr_assert_eq(outbox_waiting(&f.outbox), 22);
    cr_assert_eq(outbox_sent(&f.outbox, &f.pool), 1);
    outbox_check(&f.outbox);
    cr_assert_eq(f.outbox.all.bytes, 22);
    cr_assert_eq(frame_data(f.outbox.first.frame)[2], 'b');
    outbox_drop_waiting(&f.outbox, &f.pool);
    end(&f);
}

Test(outbox, takes_what_grew_back_when_what_waits_is_dropped)
{
    struct fixture f;
    struct iovec vector[VECTORS];
    begin(&f, 1024);
    push(&f, message(&f, 1, 10, 'a'), 1, 0, 0);
    push(&f, message(&f, 2, 10, 'b'), 1, 0, 0);
    cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), 2);
    push(&f, message(&f, 2, 30, 'c'), 1, 0, 0);
    push(&f, message(&f, 1, 30, 'd'), 1, 0, 0);
    cr_assert_eq(outbox_drop_waiting(&f.outbox, &f.pool), 2);
    outbox_check(&f.outbox);
    cr_assert_eq(f.outbox.all.bytes, 24);
    cr_assert_eq(f.outbox.all.slices, 2);
    cr_assert_eq(push(&f, message(&f, 0, 5, 'e'), 0, 0, 0), OUTBOX_PUSHED);
    cr_assert_eq(outbox_sent(&f.outbox, &f.pool), 2);
    outbox_check(&f.outbox);
    cr_assert_eq(f.outbox.all.bytes, 7);
    cr_assert_eq(f.outbox.all.messages, 0);
    outbox_drop_waiting(&f.outbox, &f.pool);
    end(&f);
}

Test(outbox, keeps_only_the_newest_of_a_source_that_waits)
{
    struct fixture f;
    struct iovec vector[VECTORS];
    begin(&f, 1024);
    cr_assert_eq(push(&f, message(&f, 1, 10, 'a'), 1, 7, 1), OUTBOX_PUSHED);
    cr_assert_eq(push(&f, message(&f, 1, 20, 'b'), 1, 7, 1), OUTBOX_REPLACED);
    cr_assert_eq(push(&f, message(&f, 2, 10, 'c'), 1, 8, 1), OUTBOX_PUSHED, "another source");
    cr_assert_eq(f.outbox.all.slices, 2);
    cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), 2);
    cr_assert_eq(push(&f, message(&f, 1, 30, 'd'), 1, 7, 1), OUTBOX_PUSHED, "what is being sent stays");
    cr_assert_eq(push(&f, message(&f, 1, 40, 'e'), 1, 7, 1), OUTBOX_REPLACED);
    cr_assert_eq(outbox_sent(&f.outbox, &f.pool), 2);
    outbox_check(&f.outbox);
    cr_assert_eq(f.outbox.all.slices, 1);
    cr_assert_eq(frame_data(f.outbox.first.frame)[2], 'e');
    outbox_drop_waiting(&f.outbox, &f.pool);
    end(&f);
}

Test(outbox, puts_what_replaces_an_older_message_behind_the_replies_between)
{
    struct fixture f;
    struct iovec vector[VECTORS];
    begin(&f, 1024);
    push(&f, message(&f, 1, 20, 'a'), 1, 7, 1);
    push(&f, message(&f, 0, 30, 'r'), 0, 0, 0); /* perhaps a status newer than a */
    cr_assert_eq(push(&f, message(&f, 1, 40, 'b'), 1, 7, 1), OUTBOX_REPLACED);
    cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), 2);
    cr_assert_eq(vector[0].iov_len, 32);
    cr_assert_eq(vector[1].iov_len, 42);
    cr_assert_eq(outbox_sent(&f.outbox, &f.pool), 1);
    end(&f);
}

Test(outbox, replaces_only_a_newest_message_with_the_same_number)
{
    struct fixture f;
    begin(&f, 1024);
    cr_assert_eq(push(&f, message(&f, 1, 10, 'a'), 1, 7, 5), OUTBOX_PUSHED);
    cr_assert_eq(push(&f, message(&f, 1, 10, 'b'), 1, 7, 6), OUTBOX_PUSHED);
    cr_assert_eq(push(&f, message(&f, 1, 10, 'c'), 1, 7, 5), OUTBOX_PUSHED,
                 "its elder is not the newest of the source");
    cr_assert_eq(push(&f, message(&f, 1, 10, 'd'), 1, 7, 5), OUTBOX_REPLACED);
    cr_assert_eq(push(&f, message(&f, 1, 10, 'e'), 1, 7, 0), OUTBOX_PUSHED, "0 replaces nothing");
    cr_assert_eq(push(&f, message(&f, 1, 10, 'f'), 1, 7, 0), OUTBOX_PUSHED);
    cr_assert_eq(f.outbox.all.slices, 5);
    outbox_drop_waiting(&f.outbox, &f.pool);
    end(&f);
}

/* C-57, K-15 */
Test(outbox, charges_for_all_but_the_newest_of_each_source_and_number)
{
    struct fixture f;
    struct iovec vector[VECTORS];
    begin(&f, 1024);
    push(&f, message(&f, 1, 100, 'a'), 1, 7, 1);
    cr_assert_eq(outbox_charged(&f.outbox), 0);
    cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), 1);
    push(&f, message(&f, 1, 100, 'b'), 1, 7, 1);
    push(&f, message(&f, 2, 100, 'c'), 1, 8, 1);
    cr_assert_eq(outbox_charged(&f.outbox), 0);
    struct frame large = message(&f, 0, 1000, 'l'), small = message(&f, 0, 6, 's');
    cr_assert(outbox_takes(&f.outbox, large, 0, 0, 10), "one message may be larger than the budget");
    push(&f, message(&f, 0, 10, 'r'), 0, 0, 0);
    cr_assert_eq(outbox_charged(&f.outbox), 12, "the reply");
    cr_assert(outbox_takes(&f.outbox, small, 0, 0, 20));
    cr_assert_not(outbox_takes(&f.outbox, small, 0, 0, 19));
    cr_assert(outbox_takes(&f.outbox, large, 7, 1, 1), "the newest of its number");
    struct frame other = message(&f, 1, 50, 'd'), again = message(&f, 1, 60, 'e');
    cr_assert_eq(outbox_charge(&f.outbox, other, 7, 2), 0);
    push(&f, other, 1, 7, 2);
    cr_assert_eq(outbox_charge(&f.outbox, again, 7, 1), 102, "what it cannot replace any more");
    cr_assert_eq(push(&f, again, 1, 7, 1), OUTBOX_PUSHED);
    cr_assert_eq(outbox_charged(&f.outbox), 12 + 102);
    cr_assert_eq(outbox_charge(&f.outbox, again, 7, 0), 62);
    cr_assert_eq(outbox_charge(&f.outbox, again, 0, 0), 62);
    cr_assert_eq(outbox_sent(&f.outbox, &f.pool), 1);
    cr_assert_eq(outbox_charged(&f.outbox), 12 + 102);
    cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), 5);
    cr_assert_eq(outbox_charged(&f.outbox), 0, "what is being sent is charged to nobody");
    outbox_sent(&f.outbox, &f.pool);
    end(&f);
}

Test(outbox, counts_whole_messages_when_a_send_is_cut_at_any_byte)
{
    static const uint32_t sizes[] = {0, 5, 125, 126, 300, 1};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    uint32_t total = 0;
    for (unsigned i = 0; i < COUNT; i++)
        total += sizes[i] + (uint32_t)ws_header_bytes(sizes[i]);
    for (uint32_t cut = 0; cut < total; cut++) {
        struct fixture f;
        struct iovec vector[VECTORS];
        begin(&f, 1024);
        uint32_t at = 0, whole = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            struct frame frame = message(&f, i < 3 ? 1 : 2, sizes[i], 'a');
            push(&f, frame, 1, 0, 0);
            at += frame.bytes;
            whole += at <= cut;
        }
        cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), 2);
        push(&f, message(&f, 2, 50, 'z'), 1, 0, 0);
        cr_assert_eq(outbox_cut(&f.outbox, &f.pool, cut), whole, "cut at %u", cut);
        outbox_check(&f.outbox);
        cr_assert_eq(f.outbox.all.bytes, total - cut + 52);
        cr_assert_eq(f.outbox.all.messages, COUNT - whole + 1);
        cr_assert_eq(f.outbox.inflight.bytes, 0);
        cr_assert_eq(outbox_drop_waiting(&f.outbox, &f.pool), COUNT - whole + 1);
        end(&f);
    }
}

Test(outbox, refuses_a_slice_when_the_pool_is_empty_and_takes_it_again_later)
{
    struct fixture f;
    struct iovec vector[VECTORS];
    begin(&f, 512); /* one block */
    for (unsigned i = 0; i < 513; i++)
        cr_assert_eq(push(&f, message(&f, 1 + i % 2, 1, 'a'), 1, 0, 0), OUTBOX_PUSHED);
    cr_assert_eq(f.outbox.all.slices, 513, "one inside, 512 nodes");
    cr_assert_eq(push(&f, message(&f, 0, 1, 'c'), 0, 0, 0), OUTBOX_FULL);
    cr_assert_eq(outbox_begin_send(&f.outbox, vector, VECTORS), VECTORS);
    outbox_sent(&f.outbox, &f.pool);
    outbox_check(&f.outbox);
    cr_assert_eq(push(&f, message(&f, 0, 1, 'c'), 0, 0, 0), OUTBOX_PUSHED);
    outbox_drop_waiting(&f.outbox, &f.pool);
    end(&f);
}

Test(outbox, gives_one_reader_a_bounded_number_of_slices)
{
    struct fixture f;
    begin(&f, 8 * OUTBOX_SLICES_MAX);
    for (unsigned i = 0; i < OUTBOX_SLICES_MAX; i++)
        cr_assert_eq(push(&f, message(&f, 1 + i % 2, 1, 'a'), 1, 0, 0), OUTBOX_PUSHED);
    cr_assert_eq(push(&f, message(&f, 0, 1, 'b'), 0, 0, 0), OUTBOX_FULL);
    outbox_drop_waiting(&f.outbox, &f.pool);
    end(&f);
}

Test(outbox, knows_which_segments_it_holds_in_which_life)
{
    struct fixture f;
    begin(&f, 1024);
    struct frame a = message(&f, 1, 1, 'a'), b = message(&f, 2, 1, 'b'), c = message(&f, 0, 1, 'c');
    push(&f, a, 1, 0, 0);
    push(&f, b, 1, 0, 0);
    cr_assert(outbox_holds(&f.outbox, a.segment, a.segment->serial));
    cr_assert(outbox_holds(&f.outbox, b.segment, b.segment->serial));
    cr_assert_not(outbox_holds(&f.outbox, c.segment, c.segment->serial));
    cr_assert_not(outbox_holds(&f.outbox, a.segment, a.segment->serial + 1));
    outbox_drop_waiting(&f.outbox, &f.pool);
    cr_assert_not(outbox_holds(&f.outbox, a.segment, a.segment->serial));
    end(&f);
}

/* --- against the model -------------------------------------------------------------------------------------------- */

struct entry { /* one message that has not been taken by the kernel */
    uint32_t bytes;
    uint32_t messages;
    uint32_t source;
    uint32_t conflate;
    uint8_t fill;
    bool superseded; /* by a newer one of the same source and number that could not replace it */
};

struct model {
    struct entry entries[MODEL_MAX];
    uint32_t count;
    uint32_t inflight; /* entries of them */
};

static uint64_t model_bytes(const struct model *m, uint32_t from, uint32_t to)
{
    uint64_t bytes = 0;
    for (uint32_t i = from; i < to; i++)
        bytes += m->entries[i].bytes;
    return bytes;
}

static uint32_t model_messages(const struct model *m, uint32_t from, uint32_t to)
{
    uint32_t messages = 0;
    for (uint32_t i = from; i < to; i++)
        messages += m->entries[i].messages;
    return messages;
}

static void model_remove(struct model *m, uint32_t at, uint32_t count)
{
    memmove(m->entries + at, m->entries + at + count, (m->count - at - count) * sizeof m->entries[0]);
    m->count -= count;
}

static bool model_replace(struct model *m, const struct entry *entry)
{
    if (entry->source == 0 || entry->conflate == 0)
        return false;
    for (uint32_t i = m->count; i-- > m->inflight;) {
        if (m->entries[i].source != entry->source)
            continue;
        if (m->entries[i].conflate != entry->conflate)
            return false;
        model_remove(m, i, 1);
        m->entries[m->count++] = *entry; /* the newest is the last, whatever came between */
        return true;
    }
    return false;
}

/* An entry goes to the end: the newest before it with its source and number is charged from now on. */
static void model_supersede(struct model *m, const struct entry *entry)
{
    for (uint32_t i = m->count; entry->source != 0 && entry->conflate != 0 && i-- > m->inflight;) {
        if (m->entries[i].source == entry->source && m->entries[i].conflate == entry->conflate) {
            m->entries[i].superseded = true;
            return;
        }
    }
}

static uint64_t model_charged(const struct model *m)
{
    uint64_t bytes = 0;
    for (uint32_t i = m->inflight; i < m->count; i++)
        if (m->entries[i].source == 0 || m->entries[i].conflate == 0 || m->entries[i].superseded)
            bytes += m->entries[i].bytes;
    return bytes;
}

static void random_push(struct fixture *f, struct model *m, struct random *random)
{
    struct entry entry = {.fill = (uint8_t)random_u64(random)};
    unsigned log = (unsigned)random_below(random, 3);
    uint32_t bytes = (uint32_t)random_below(random, random_chance(random, 1, 20) ? 3000 : 200);
    entry.messages = log == 0 ? 0 : 1;
    if (log == 2 && random_chance(random, 1, 2)) {
        entry.source = 1 + (uint32_t)random_below(random, 2);
        entry.conflate = (uint32_t)random_below(random, 3);
    }
    struct frame frame = message(f, log, bytes, entry.fill);
    entry.bytes = frame.bytes;
    uint64_t charged = outbox_charged(&f->outbox);
    uint64_t charge = outbox_charge(&f->outbox, frame, entry.source, entry.conflate);
    enum outbox_result result = push(f, frame, entry.messages, entry.source, entry.conflate);
    if (result != OUTBOX_FULL)
        cr_assert_eq(outbox_charged(&f->outbox), charged + charge);
    if (model_replace(m, &entry)) {
        cr_assert_eq(result, OUTBOX_REPLACED);
    } else if (result == OUTBOX_PUSHED) {
        model_supersede(m, &entry);
        m->entries[m->count++] = entry;
    } else {
        cr_assert_eq(result, OUTBOX_FULL);
        cr_assert_gt(f->outbox.all.slices, 512, "the pool has nodes");
    }
}

/* The vector holds the messages of the model, in order; sets model->inflight. */
static void check_vector(struct model *m, const struct iovec *vector, uint32_t count)
{
    uint64_t bytes = 0, seen = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += vector[i].iov_len;
    m->inflight = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct slice wire = slice_of(vector[i].iov_base, vector[i].iov_len);
        while (wire.bytes > 0) {
            const struct entry *entry = &m->entries[m->inflight++];
            cr_assert_eq(ws_frame_bytes(wire), entry->bytes);
            if (entry->bytes > 2)
                cr_assert_eq(wire.data[entry->bytes - 1], entry->fill);
            wire = slice_skip(wire, entry->bytes);
            seen += entry->bytes;
        }
    }
    cr_assert_eq(bytes, seen);
}

/* Any range of what is in flight is found again. */
static void check_range(const struct outbox *outbox, const struct iovec *vector, uint32_t count, struct random *random)
{
    struct iovec part[VECTORS];
    uint64_t from = random_below(random, outbox->inflight.bytes);
    uint64_t bytes = 1 + random_below(random, outbox->inflight.bytes - from);
    uint32_t parts = outbox_in_flight(outbox, from, bytes, part, VECTORS);
    uint32_t at = 0;
    while (from >= vector[at].iov_len)
        from -= vector[at++].iov_len;
    for (uint32_t i = 0; i < parts; i++, at++) {
        cr_assert_lt(at, count);
        cr_assert_eq(part[i].iov_base, (uint8_t *)vector[at].iov_base + from);
        cr_assert_eq(part[i].iov_len, vector[at].iov_len - from < bytes ? vector[at].iov_len - from : bytes);
        bytes -= part[i].iov_len;
        from = 0;
    }
    cr_assert_eq(bytes, 0);
}

static void random_end_of_send(struct fixture *f, struct model *m, struct random *random)
{
    if (random_chance(random, 3, 4)) {
        cr_assert_eq(outbox_sent(&f->outbox, &f->pool), model_messages(m, 0, m->inflight));
        model_remove(m, 0, m->inflight);
        m->inflight = 0;
        return;
    }
    uint64_t cut = random_below(random, f->outbox.inflight.bytes);
    uint32_t whole = 0;
    while (model_bytes(m, 0, whole + 1) <= cut)
        whole++;
    cr_assert_eq(outbox_cut(&f->outbox, &f->pool, cut), model_messages(m, 0, whole));
    outbox_check(&f->outbox);
    cr_assert_eq(f->outbox.all.bytes, model_bytes(m, 0, m->count) - cut);
    m->inflight = 0;
    model_remove(m, 0, whole);
    cr_assert_eq(outbox_drop_waiting(&f->outbox, &f->pool), model_messages(m, 0, m->count));
    m->count = 0; /* a stream that was cut goes no further */
}

Test(outbox, agrees_with_a_model_over_random_operations)
{
    struct random random;
    static struct model m;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fixture f;
        struct iovec vector[VECTORS];
        random_init(&random, seed);
        begin(&f, 1024);
        m.count = m.inflight = 0;
        for (unsigned step = 0; step < 3000; step++) {
            uint64_t what = random_below(&random, 100);
            if (what < 60 && m.count < MODEL_MAX) {
                random_push(&f, &m, &random);
            } else if (what < 75 && f.outbox.inflight.bytes == 0 && f.outbox.all.slices > 0) {
                uint32_t max = 1 + (uint32_t)random_below(&random, VECTORS);
                uint32_t count = outbox_begin_send(&f.outbox, vector, max);
                check_vector(&m, vector, count);
                check_range(&f.outbox, vector, count, &random);
            } else if (what < 97 && f.outbox.inflight.bytes > 0) {
                random_end_of_send(&f, &m, &random);
            } else if (what >= 99) {
                cr_assert_eq(outbox_drop_waiting(&f.outbox, &f.pool), model_messages(&m, m.inflight, m.count));
                m.count = m.inflight;
            }
            outbox_check(&f.outbox);
            cr_assert_eq(f.outbox.all.bytes, model_bytes(&m, 0, m.count), "seed %lu step %u", seed, step);
            cr_assert_eq(f.outbox.inflight.bytes, model_bytes(&m, 0, m.inflight));
            cr_assert_eq(f.outbox.all.messages, model_messages(&m, 0, m.count));
            cr_assert_eq(f.outbox.inflight.messages, model_messages(&m, 0, m.inflight));
            cr_assert_eq(outbox_charged(&f.outbox), model_charged(&m));
            reclaim(&f);
        }
        if (f.outbox.inflight.bytes > 0)
            outbox_sent(&f.outbox, &f.pool);
        outbox_drop_waiting(&f.outbox, &f.pool);
        end(&f);
    }
}
