/* SPDX-License-Identifier: MIT */
/* The wire bytes of a message, plain and compressed, which class gets which, and what comes out of a compressed message
 * that came in. */
#include "core/frame.h"
#include "core/random.h"
#include "core/work.h"
#include "protocol/deflate.h"
#include "shards/conn/message.h"
#include "tests/unit/shards/world.h"

static const uint8_t compressed_class = DEFLATE_CLASS_PLAIN + 1;

/* The bytes of a frame, which belongs to the log. */
static struct slice wire_of(struct frame frame)
{
    return slice_of(frame_data(frame), frame.bytes);
}

static struct frame build(struct shard *shard, struct frame_log *log, struct slice payload, uint8_t class)
{
    return message_frame(shard, shard->frames, log, WS_TEXT, payload, class);
}

Test(message, is_a_header_and_the_payload)
{
    struct world world;
    struct frame_log log = {0};
    static char text[70001];
    static const size_t bytes[] = {0, 1, 125, 126, 65535, 65536, 70000}, header[] = {2, 2, 2, 4, 4, 10, 10};
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    for (unsigned i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        struct slice payload = slice_of(text, bytes[i]);
        struct slice wire = wire_of(build(shard, &log, payload, DEFLATE_CLASS_PLAIN));
        cr_assert_eq(wire.bytes, header[i] + bytes[i]);
        cr_assert_eq(wire.data[0], 0x80 | WS_TEXT, "final, and not compressed");
        cr_assert_eq(ws_frame_bytes(wire), wire.bytes);
        cr_assert(slice_equal(slice_of(wire.data + header[i], bytes[i]), payload));
    }
    frame_log_release(shard->frames, shard->idle, &log);
    world_end(&world);
}

Test(message, comes_back_from_its_compressed_form)
{
    struct world world;
    struct frame_log log = {0};
    static char text[5001];
    struct slice content;
    const char *reason;
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    for (unsigned round = 0; round < 2; round++) {
        struct slice wire = wire_of(build(shard, &log, slice_text(text), compressed_class));
        cr_assert_lt(wire.bytes, 100, "%zu bytes", wire.bytes);
        cr_assert_eq(wire.data[0], 0xC0 | WS_TEXT, "RSV1 (RFC 7692 section 6)");
        cr_assert_eq(
            message_inflate(shard, slice_of(wire.data + 2, wire.bytes - 2), sizeof text, true, &content, &reason), 0,
            "round %u: nothing of the message before is needed", round);
        cr_assert(slice_equal(content, slice_text(text)));
    }
    cr_assert_eq(stats_get(&shard->stats, STAT_DEFLATED), 2);
    cr_assert_eq(stats_get(&shard->stats, STAT_INFLATED), 2);
    frame_log_release(shard->frames, shard->idle, &log);
    world_end(&world);
}

Test(message, stays_plain_when_compressing_does_not_make_it_shorter)
{
    struct world world;
    struct frame_log log = {0};
    struct random random;
    uint8_t noise[1000];
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    random_init(&random, 7);
    for (unsigned i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)random_below(&random, 256);
    struct slice wire = wire_of(build(shard, &log, slice_of(noise, sizeof noise), compressed_class));
    cr_assert_eq(wire.bytes, 4 + sizeof noise);
    cr_assert_eq(wire.data[0], 0x80 | WS_TEXT);
    cr_assert_eq(memcmp(wire.data + 4, noise, sizeof noise), 0);
    cr_assert_eq(wire_of(build(shard, &log, slice_of(noise, 0), compressed_class)).bytes, 2, "nothing at all");
    frame_log_release(shard->frames, shard->idle, &log);
    world_end(&world);
}

Test(message, is_none_when_frame_memory_is_exhausted)
{
    static const char *const sets[] = {"frame_memory=1MiB", NULL};
    struct world world;
    struct frame_log log = {0};
    static char text[600001];
    world_begin(&world, 1, 65536, sets);
    struct shard *shard = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    struct frame first = build(shard, &log, slice_text(text), DEFLATE_CLASS_PLAIN);
    cr_assert_gt(first.bytes, 0);
    frame_ref(first.segment, shard->number, 1); /* by a reader */
    cr_assert_eq(build(shard, &log, slice_text(text), DEFLATE_CLASS_PLAIN).bytes, 0);
    frame_release(shard->idle, first.segment, shard->number, 1);
    frame_log_release(shard->frames, shard->idle, &log);
    world_end(&world);
}

Test(message, is_compressed_from_the_dialects_threshold_on)
{
    static const char *const sets[] = {"plain.compression_threshold=100B", NULL};
    struct world world;
    world_begin(&world, 1, 65536, sets);
    struct shard *shard = world.shards[0];
    uint8_t plain = 0;
    while (strcmp(dialects[plain]->name, "plain") != 0)
        plain++;
    cr_assert_eq(message_class(shard, plain, compressed_class, 99), DEFLATE_CLASS_PLAIN);
    cr_assert_neq(message_class(shard, plain, compressed_class, 100), DEFLATE_CLASS_PLAIN);
    cr_assert_eq(message_class(shard, plain, DEFLATE_CLASS_PLAIN, 1000), DEFLATE_CLASS_PLAIN,
                 "who has not asked for it gets none");
    world_end(&world);
}

/* K-24: the limit is on what a message becomes, and it is noticed before it has become that. */
Test(message, that_would_become_too_large_is_refused_with_1009)
{
    struct world world;
    struct frame_log log = {0};
    static char text[100001];
    struct slice content;
    const char *reason;
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    struct slice wire = wire_of(build(shard, &log, slice_text(text), compressed_class));
    size_t header = wire.bytes < 128 ? 2 : 4;
    struct slice payload = slice_of(wire.data + header, wire.bytes - header);
    cr_assert_eq(message_inflate(shard, payload, sizeof text - 1, true, &content, &reason), 0);
    cr_assert_eq(message_inflate(shard, payload, sizeof text - 2, true, &content, &reason), WS_CLOSE_TOO_BIG);
    cr_assert_leq(shard->codec->content_bytes, 256U << 10);
    frame_log_release(shard->frames, shard->idle, &log);
    world_end(&world);
}

Test(message, that_is_no_deflate_or_no_text_says_so)
{
    struct world world;
    struct slice content;
    const char *reason = NULL;
    static const uint8_t stored_ff[] = {0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00}, reserved[] = {0x07};
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    cr_assert_eq(message_inflate(shard, slice_of(reserved, sizeof reserved), 100, true, &content, &reason),
                 WS_CLOSE_INVALID_DATA, "block type 3");
    cr_assert_not_null(reason);
    cr_assert_eq(message_inflate(shard, slice_of(stored_ff, sizeof stored_ff), 100, false, &content, &reason), 0,
                 "one byte 0xff, as binary");
    cr_assert_eq(content.bytes, 1);
    cr_assert_eq(message_inflate(shard, slice_of(stored_ff, sizeof stored_ff), 100, true, &content, &reason),
                 WS_CLOSE_INVALID_DATA, "which is no UTF-8");
    world_end(&world);
}

/* An idle shard does not keep what one large message needed. */
Test(message, gives_the_memory_of_a_large_one_back_with_the_next)
{
    struct world world;
    struct frame_log log = {0};
    static char text[1000001];
    struct slice content;
    const char *reason;
    world_begin(&world, 1, 65536, NULL);
    struct shard *shard = world.shards[0];
    memset(text, 'x', sizeof text - 1);
    struct slice large = wire_of(build(shard, &log, slice_text(text), compressed_class));
    cr_assert_eq(
        message_inflate(shard, slice_of(large.data + 4, large.bytes - 4), sizeof text, true, &content, &reason), 0);
    cr_assert_eq(content.bytes, sizeof text - 1);
    cr_assert_gt(shard->codec->content_bytes, 256U << 10);
    text[5000] = '\0';
    struct slice small = wire_of(build(shard, &log, slice_text(text), compressed_class));
    cr_assert_eq(
        message_inflate(shard, slice_of(small.data + 2, small.bytes - 2), sizeof text, true, &content, &reason), 0);
    cr_assert_leq(shard->codec->content_bytes, 256U << 10);
    frame_log_release(shard->frames, shard->idle, &log);
    world_end(&world);
}
