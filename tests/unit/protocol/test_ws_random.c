/* SPDX-License-Identifier: MIT */
/* Proves the frame parser against an oracle that reads a whole stream by the letter of the RFC, and against the
 * writers, with random streams. Run by unit_protocol. */
#include "tests/unit/protocol/ws_stream.h"

/* --- random streams against an oracle ----------------------------------------------------------------------------- */

/* The close code that the front of a stream deserves for its header, 0 for none; *whole and its parts when it is
 * complete. `open`: the opcode of the message that is open, `had`: its bytes so far. */
struct head {
    unsigned fin, opcode, compressed; /* compressed: of a first frame */
    uint64_t length;
    size_t bytes;
    bool whole;
};

static unsigned oracle_head(const uint8_t *p, size_t n, unsigned open, uint64_t had, uint64_t most, struct head *head)
{
    *head = (struct head){0};
    if (n < 1)
        return 0;
    head->fin = p[0] / 128;
    head->opcode = p[0] % 16;
    unsigned control = head->opcode >= 8, reserved = p[0] % 128 / 16;
    head->compressed = reserved == 4;
    if ((reserved != 0 && reserved != 4) || (reserved == 4 && (control || head->opcode == 0)) ||
        (head->opcode > 2 && head->opcode != 8 && head->opcode != 9 && head->opcode != 10))
        return 1002;
    if (control ? !head->fin : (head->opcode == 0) != (open != 0))
        return 1002;
    if (n < 2)
        return 0;
    unsigned short_length = p[1] % 128;
    if (p[1] < 128 || (control && short_length > 125))
        return 1002;
    size_t form = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
    if (form == 8 && n > 2 && p[2] > 127)
        return 1002;
    if (n < 2 + form)
        return 0;
    head->length = form == 0 ? short_length : 0;
    for (size_t i = 0; i < form; i++)
        head->length = head->length * 256 + p[2 + i];
    if ((form == 2 && head->length < 126) || (form == 8 && head->length < 65536))
        return 1002;
    if (head->compressed)
        most = 4096 + 4096 / 4 + 64;
    if (!control && had + head->length > most)
        return 1009;
    head->bytes = 2 + form + 4;
    head->whole = n >= head->bytes;
    return 0;
}

/* Reads a whole stream (no longer than the buffers below) by the letter of the RFC. */
static void oracle_read(const struct stream *stream, struct log *log, bool *incomplete)
{
    static uint8_t message[70000];
    uint8_t frame[4096];
    unsigned open = 0, empty = 0, compressed = 0, code;
    size_t had = 0, at = 0;
    struct head head;

    for (; at < stream->bytes; at += head.bytes + head.length) {
        const uint8_t *p = stream->data + at;
        size_t n = stream->bytes - at;
        if ((code = oracle_head(p, n, open, had, compressed ? 4096 + 4096 / 4 + 64 : 4096, &head)) != 0) {
            log_error(log, code);
            return;
        }
        bool control = head.opcode >= 8, silent = !control && !head.fin && head.length == 0;
        if (head.bytes != 0 && silent && ++empty > deflating.empty_fragments_max) {
            log_error(log, 1008);
            return;
        }
        if (!head.whole)
            break;
        size_t here = n - head.bytes < head.length ? n - head.bytes : (size_t)head.length;
        for (size_t i = 0; i < here; i++)
            frame[i] = p[head.bytes + i] ^ p[head.bytes - 4 + i % 4];
        if (control) {
            if (here < head.length)
                break;
            log_whole(log, head.opcode, slice_of(frame, here));
            continue;
        }
        compressed = head.opcode != 0 ? head.compressed : compressed;
        open = head.opcode != 0 ? head.opcode : open;
        memcpy(message + had, frame, here);
        had += here;
        bool ended = head.fin && here == head.length;
        enum naive_utf8 text = open == 1 && !compressed ? naive_utf8_read(slice_of(message, had)) : NAIVE_UTF8_WHOLE;
        if (text == NAIVE_UTF8_INVALID || (ended && text == NAIVE_UTF8_CUT)) {
            log_error(log, 1007);
            return;
        }
        if (here < head.length)
            break;
        if (!ended)
            continue;
        log_text(log, compressed ? "Z" : "");
        log_whole(log, open, slice_of(message, had));
        open = empty = compressed = 0;
        had = 0;
    }
    *incomplete = open != 0 || at < stream->bytes;
}

/* Mostly what a good client sends, with a fault now and then. */
static void random_stream(struct random *random, struct stream *stream)
{
    unsigned open = 0;

    stream->bytes = 0;
    for (uint64_t frames = 1 + random_below(random, 8); frames > 0; frames--) {
        uint8_t key[4], payload[400];
        uint8_t fin = random_chance(random, 1, 2) ? 0x80 : 0;
        size_t bytes = random_chance(random, 1, 8) ? 120 + random_below(random, 280) : random_below(random, 12);
        unsigned opcode = open ? 0 : 1 + (unsigned)random_below(random, 2);
        if (random_chance(random, 1, 4)) {
            opcode = 8 + (unsigned)random_below(random, 3);
            fin = 0x80;
            bytes %= 126;
        } else {
            open = !fin;
        }
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)random_u64(random);
        for (size_t i = 0; i < bytes; i++)
            payload[i] = (uint8_t)('a' + random_below(random, 26));
        if (bytes >= 4 && random_chance(random, 1, 2))
            naive_utf8_put((uint32_t)random_below(random, 0x110000), payload + random_below(random, bytes - 3));
        bool odd = random_chance(random, 1, 60);
        bool compressed = opcode != 0 && opcode < 8 && random_chance(random, 1, 3);
        size_t form = odd ? 2 : bytes < 126 ? 0 : 2;
        stream_frame_as(stream, (uint8_t)(fin | opcode | (compressed ? 0x40 : 0)), form,
                        random_chance(random, 1, 100) ? NULL : key, payload, bytes);
    }
    if (random_chance(random, 1, 4))
        stream->data[random_below(random, stream->bytes)] ^= (uint8_t)(1U << random_below(random, 8));
    if (random_chance(random, 1, 4))
        stream->bytes -= random_below(random, stream->bytes);
}

static void feed_in_pieces(struct random *random, struct reader *reader, const struct stream *stream)
{
    uint64_t piece_max = 1 + random_below(random, random_chance(random, 1, 2) ? 8 : 600);

    for (size_t at = 0; at < stream->bytes;) {
        size_t bytes = 1 + random_below(random, piece_max);
        bytes = bytes < stream->bytes - at ? bytes : stream->bytes - at;
        reader_feed(reader, stream->data + at, bytes);
        at += bytes;
    }
}

Test(ws, reads_random_streams_like_the_oracle_however_they_are_cut)
{
    static struct stream stream;
    static struct reader reader;
    static struct log expected;
    struct random random;
    unsigned faults = 0, clean = 0;

    random_init(&random, 6455);
    for (int round = 0; round < 4000; round++) {
        bool incomplete = false;
        random_stream(&random, &stream);
        expected.used = 0;
        expected.text[0] = '\0';
        oracle_read(&stream, &expected, &incomplete);
        reader_init(&reader, &deflating);
        feed_in_pieces(&random, &reader, &stream);
        cr_assert_str_eq(reader.log.text, expected.text, "round %d, got:\n%s\nexpected:\n%s", round, reader.log.text,
                         expected.text);
        if (!reader.failed)
            cr_assert_eq(ws_in_message(&reader.parser), incomplete, "round %d", round);
        faults += reader.failed;
        clean += !reader.failed && !incomplete;
    }
    cr_assert(faults > 400 && clean > 400, "%u streams with a fault and %u without prove little", faults, clean);
}

Test(ws, reads_what_it_writes)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 4000, 65535, 65536};
    static uint8_t wire[14 + 65536], back[65536];
    const struct ws_limits limits = {.message_bytes_max = 65536, .empty_fragments_max = 0, .require_mask = true};
    static const uint8_t key[4] = {9, 8, 7, 6};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t head = ws_header_write_masked(wire, WS_BINARY, sizes[i], key);
        for (size_t j = 0; j < sizes[i]; j++)
            wire[head + j] = (uint8_t)(j * 31);
        ws_mask(wire + head, sizes[i], key, 0);
        struct ws_parser parser;
        struct ws_event event;
        struct span input = {wire, head + sizes[i]};
        ws_parser_init(&parser);
        cr_assert_eq(ws_next(&parser, &limits, &input, &event), WS_DATA);
        cr_assert(event.first && event.last && event.payload.bytes == sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            back[j] = (uint8_t)(j * 31);
        cr_assert(slice_equal(event.payload, slice_of(back, sizes[i])));
    }
}
