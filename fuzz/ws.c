/* SPDX-License-Identifier: MIT */
/* Owns a second decoder of WebSocket streams, which reads them whole and by position (RFC 6455 section 5), and the
 * comparison of what it finds with what ws_next yields from any pieces of them. It never looks into the parser. The
 * input is one byte of settings and the stream. */
#include "protocol/ws.h"
#include "core/limits.h"
#include "fuzz/fuzz.h"
#include "tests/unit/protocol/naive_utf8.h"

/* A protocol as text: "data 1 ab.." for messages, "control 9 .." for control frames, "open .." for what was cut off,
 * "error 1002". Payload in hexadecimal. */
struct record {
    char *text;
    size_t used, capacity;
};

static void record_init(struct record *record, size_t stream_bytes)
{
    record->capacity = stream_bytes * 40 + 256;
    record->text = malloc(record->capacity);
    record->used = 0;
    expect(record->text != NULL);
}

static void record_put(struct record *record, const char *kind, unsigned number, struct slice payload)
{
    static const char digits[] = "0123456789abcdef";
    int n = snprintf(record->text + record->used, record->capacity - record->used, "%s %u ", kind, number);
    record->used += (size_t)n;
    expect(record->used + 2 * payload.bytes + 2 <= record->capacity);
    for (size_t i = 0; i < payload.bytes; i++) {
        record->text[record->used++] = digits[payload.data[i] >> 4];
        record->text[record->used++] = digits[payload.data[i] & 15];
    }
    record->text[record->used++] = '\n';
}

static bool record_equal(const struct record *a, const struct record *b)
{
    return slice_equal(slice_of(a->text, a->used), slice_of(b->text, b->used));
}

/* --- the second decoder ------------------------------------------------------------------------------------------- */

struct oracle {
    const struct ws_limits *limits;
    struct slice stream;
    uint8_t *message; /* payload of the open message */
    size_t message_bytes;
    size_t boundary;    /* of its last whole character, when it is text */
    uint64_t announced; /* of the open message, all its frames */
    bool compressed;    /* the open message is */
    unsigned opcode;    /* of the open message; 0: none */
    uint32_t empty;
    size_t error_at; /* bytes of the stream that prove it */
};

struct head {
    bool final, masked, compressed;
    unsigned opcode;
    uint64_t length;
    uint8_t key[4];
    size_t bytes;
};

/* Whether the stream has `n` bytes from `at`. */
static bool has(const struct oracle *oracle, size_t at, size_t n)
{
    return oracle->stream.bytes - at >= n;
}

static unsigned fault(struct oracle *oracle, size_t proven_at, unsigned code)
{
    oracle->error_at = proven_at;
    return code;
}

/* The close code for a head, 0: none so far (head->bytes 0 when it is not complete). */
static unsigned read_head(struct oracle *oracle, size_t at, struct head *head)
{
    const uint8_t *p = oracle->stream.data + at;
    *head = (struct head){0};
    if (!has(oracle, at, 1))
        return 0;
    head->final = p[0] >= 128;
    head->opcode = p[0] % 16;
    bool control = head->opcode >= 8;
    unsigned reserved = p[0] / 16 % 8;
    bool may_compress = oracle->limits->allow_compressed && head->opcode != 0 && !control; /* RFC 7692 section 6 */
    head->compressed = reserved == 4;
    if ((reserved != 0 && !(head->compressed && may_compress)) || (head->opcode >= 3 && head->opcode <= 7) ||
        head->opcode >= 11 || (control && !head->final) || (!control && (head->opcode == 0) != (oracle->opcode != 0)))
        return fault(oracle, at + 1, 1002);
    if (!has(oracle, at, 2))
        return 0;
    head->masked = p[1] >= 128;
    unsigned small = p[1] % 128;
    if (head->masked != oracle->limits->require_mask || (control && small > 125))
        return fault(oracle, at + 2, 1002);
    size_t extra = small == 126 ? 2 : small == 127 ? 8 : 0;
    if (small == 127 && has(oracle, at, 3) && p[2] >= 128)
        return fault(oracle, at + 3, 1002);
    if (!has(oracle, at, 2 + extra))
        return 0;
    head->length = extra == 0 ? small : 0;
    for (size_t i = 0; i < extra; i++)
        head->length = head->length * 256 + p[2 + i];
    if ((extra == 2 && head->length < 126) || (extra == 8 && head->length < 65536))
        return fault(oracle, at + 2 + extra, 1002);
    uint64_t bytes_max = oracle->limits->message_bytes_max;
    if (head->compressed || (!control && head->opcode == 0 && oracle->compressed))
        bytes_max = ws_compressed_bytes_max(bytes_max);
    if (!control && (head->length > bytes_max || oracle->announced + head->length > bytes_max))
        return fault(oracle, at + 2 + extra, 1009);
    if (!control && !head->final && head->length == 0 && oracle->empty == oracle->limits->empty_fragments_max)
        return fault(oracle, at + 2 + extra, 1008);
    size_t bytes = 2 + extra + (head->masked ? 4 : 0);
    if (!has(oracle, at, bytes))
        return 0;
    for (size_t i = 0; i < 4 && head->masked; i++)
        head->key[i] = p[2 + extra + i];
    head->bytes = bytes;
    return 0;
}

/* Adds payload to the open message; 1007 at the first byte of text that nothing can mend. */
static unsigned add_payload(struct oracle *oracle, size_t at, const struct head *head, size_t here)
{
    for (size_t i = 0; i < here; i++) {
        oracle->message[oracle->message_bytes++] = oracle->stream.data[at + i] ^ head->key[i % 4];
        if (oracle->opcode != 1 || oracle->compressed)
            continue; /* the text of a compressed message is not seen here */
        struct slice tail = slice_of(oracle->message + oracle->boundary, oracle->message_bytes - oracle->boundary);
        switch (naive_utf8_read(tail)) {
        case NAIVE_UTF8_INVALID:
            return fault(oracle, at + i + 1, 1007);
        case NAIVE_UTF8_WHOLE:
            oracle->boundary = oracle->message_bytes;
            break;
        case NAIVE_UTF8_CUT:
            break;
        }
    }
    return 0;
}

/* One frame; *at moves behind it. 0, or the close code; *cut: the stream ends within it. */
static unsigned read_frame(struct oracle *oracle, size_t *at, struct record *record, bool *cut)
{
    struct head head;
    unsigned code = read_head(oracle, *at, &head);
    *cut = code == 0 && head.bytes == 0;
    if (code != 0 || *cut)
        return code;
    size_t from = *at + head.bytes, left = oracle->stream.bytes - from;
    size_t here = head.length < left ? (size_t)head.length : left;
    *cut = here < head.length;
    *at = from + here;
    if (head.opcode >= 8) {
        uint8_t payload[125];
        for (size_t i = 0; i < here; i++)
            payload[i] = oracle->stream.data[from + i] ^ head.key[i % 4];
        if (here > 0 || !*cut)
            record_put(record, *cut ? "open control" : "control", head.opcode, slice_of(payload, here));
        return 0;
    }
    if (head.opcode != 0) {
        oracle->opcode = head.opcode;
        oracle->compressed = head.compressed;
    }
    oracle->announced += head.length;
    oracle->empty += !head.final && head.length == 0;
    code = add_payload(oracle, from, &head, here);
    if (code != 0 || *cut || !head.final)
        return code;
    if (oracle->opcode == 1 && !oracle->compressed &&
        naive_utf8_read(slice_of(oracle->message, oracle->message_bytes)) != NAIVE_UTF8_WHOLE)
        return fault(oracle, *at, 1007);
    record_put(record, oracle->compressed ? "compressed" : "data", oracle->opcode,
               slice_of(oracle->message, oracle->message_bytes));
    oracle->message_bytes = oracle->boundary = 0;
    oracle->announced = 0;
    oracle->opcode = 0;
    oracle->empty = 0;
    return 0;
}

static void oracle_read(struct oracle *oracle, struct record *record)
{
    size_t at = 0;
    bool cut = false;
    unsigned code = 0;
    while (code == 0 && !cut && at < oracle->stream.bytes)
        code = read_frame(oracle, &at, record, &cut);
    if (code != 0)
        record_put(record, "error", code, (struct slice){0});
}

/* --- the parser in pieces ----------------------------------------------------------------------------------------- */

struct reader {
    struct ws_parser parser;
    struct record *record;
    uint8_t *message;
    size_t message_bytes;
    bool in_message; /* a piece of it has come */
    uint8_t control[WS_CONTROL_BYTES_MAX];
    size_t control_bytes;
    unsigned control_opcode; /* of one that has begun; 0: none */
    bool failed;
};

static void expect_close(struct slice payload);

static void reader_event(struct reader *reader, const struct ws_event *event)
{
    if (event->kind == WS_DATA) {
        expect(event->first == !reader->in_message);
        reader->in_message = !event->last;
        if (event->payload.bytes > 0)
            memcpy(reader->message + reader->message_bytes, event->payload.data, event->payload.bytes);
        reader->message_bytes += event->payload.bytes;
        if (event->last)
            record_put(reader->record, event->compressed ? "compressed" : "data", event->opcode,
                       slice_of(reader->message, reader->message_bytes));
        if (event->last)
            reader->message_bytes = 0;
        return;
    }
    expect(event->first == (reader->control_opcode == 0));
    expect(event->payload.bytes <= sizeof reader->control - reader->control_bytes);
    if (event->payload.bytes > 0)
        memcpy(reader->control + reader->control_bytes, event->payload.data, event->payload.bytes);
    reader->control_bytes += event->payload.bytes;
    reader->control_opcode = event->opcode;
    if (!event->last)
        return;
    record_put(reader->record, "control", event->opcode, slice_of(reader->control, reader->control_bytes));
    if (event->opcode == WS_CLOSE)
        expect_close(slice_of(reader->control, reader->control_bytes));
    reader->control_bytes = reader->control_opcode = 0;
}

/* One piece of the stream in memory of its own. */
static void reader_feed(struct reader *reader, const struct ws_limits *limits, struct slice piece)
{
    uint8_t *copy = fuzz_copy(piece);
    struct span input = {.data = copy, .bytes = piece.bytes};
    struct ws_event event;
    while (ws_next(&reader->parser, limits, &input, &event) == WS_DATA || event.kind == WS_CONTROL) {
        expect(fuzz_inside(event.payload, slice_of(copy, piece.bytes)));
        reader_event(reader, &event);
    }
    if (event.kind == WS_NEED_MORE)
        expect(input.bytes == 0);
    if (event.kind == WS_ERROR) {
        expect(event.reason != NULL && strlen(event.reason) <= 123);
        record_put(reader->record, "error", event.close_code, (struct slice){0});
        reader->failed = true;
        expect(ws_next(&reader->parser, limits, &input, &event) == WS_ERROR); /* sticky */
    }
    free(copy);
}

/* Feeds `step` bytes at a time (0: as chance has it); returns how many were fed until the error or the end. */
static size_t read_pieces(const struct ws_limits *limits, struct slice stream, size_t step, struct record *record)
{
    struct random random = fuzz_random(stream);
    struct reader reader = {.record = record, .message = malloc(stream.bytes + 1)};
    size_t at = 0;
    ws_parser_init(&reader.parser);
    while (!reader.failed && at < stream.bytes) {
        size_t left = stream.bytes - at, n = step != 0 ? step : 1 + (size_t)random_below(&random, 20);
        n = n < left ? n : left;
        reader_feed(&reader, limits, slice_of(stream.data + at, n));
        at += n;
    }
    if (!reader.failed && reader.control_bytes > 0)
        record_put(record, "open control", reader.control_opcode, slice_of(reader.control, reader.control_bytes));
    if (!reader.failed && stream.bytes > 0 && (reader.message_bytes > 0 || reader.control_bytes > 0))
        expect(ws_in_message(&reader.parser));
    free(reader.message);
    return at;
}

/* --- writers and close payloads ----------------------------------------------------------------------------------- */

static bool may_travel(unsigned code)
{
    static const uint16_t registered[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};
    for (size_t i = 0; i < sizeof registered / sizeof registered[0]; i++)
        if (registered[i] == code)
            return true;
    return code >= 3000 && code < 5000;
}

/* RFC 6455 sections 5.5.1, 7.4; then the frame that says the same is written and read back. */
static void expect_close(struct slice payload)
{
    struct slice reason;
    uint16_t error, code = ws_close_parse(payload, &reason, &error);
    unsigned sent = payload.bytes < 2 ? 1005U : payload.data[0] * 256U + payload.data[1];
    struct slice text = slice_skip(payload, 2);
    bool travels = payload.bytes != 1 && (payload.bytes == 0 || may_travel(sent));

    expect(code == sent);
    if (!travels) {
        expect(error == 1002 && reason.bytes == 0);
        return;
    }
    bool good = naive_utf8_read(text) == NAIVE_UTF8_WHOLE;
    expect(error == (good ? 0 : 1007));
    if (!good)
        return;
    expect(slice_equal(reason, text));
    char words[WS_CONTROL_BYTES_MAX + 16];
    uint8_t frame[127];
    memcpy(words, text.data == NULL ? (const uint8_t *)"" : text.data, text.bytes);
    words[text.bytes] = '\0';
    size_t bytes = ws_close_write(frame, code, words), kept = strlen(words);
    expect(bytes == (code == 1005 ? 2 : 4 + kept) && frame[0] == 0x88 && frame[1] == bytes - 2);
    expect(ws_frame_bytes(slice_of(frame, bytes)) == bytes && ws_frame_bytes(slice_of(frame, 1)) == 0);
    expect(code == 1005 || memcmp(frame + 4, words, kept) == 0);

    /* a reason that is too long is cut between two characters */
    char longer[4 * WS_CONTROL_BYTES_MAX + 1] = "";
    if (code == 1005 || kept == 0)
        return;
    for (size_t used = 0; used + kept < sizeof longer; used += kept)
        memcpy(longer + used, words, kept + 1);
    bytes = ws_close_write(frame, code, longer);
    expect(bytes <= 127 && naive_utf8_read(slice_of(frame + 4, bytes - 4)) == NAIVE_UTF8_WHOLE);
}

/* A client's frame around the bytes is read back as their message. */
static void expect_written(struct slice payload)
{
    static const struct ws_limits limits = {.message_bytes_max = UINT64_C(1) << 32, .require_mask = true};
    uint8_t head[14], plain[WS_HEADER_BYTES_MAX], key[4] = {0};
    memcpy(key, payload.data, payload.bytes < 4 ? payload.bytes : 4);
    size_t head_bytes = ws_header_write_masked(head, WS_BINARY, payload.bytes, key), at = 0;
    size_t plain_bytes = ws_header_write(plain, WS_BINARY, payload.bytes);
    expect(plain_bytes == ws_header_bytes(payload.bytes) && head_bytes == plain_bytes + 4);
    expect(ws_frame_bytes(slice_of(plain, plain_bytes)) == plain_bytes + payload.bytes);
    expect(ws_frame_bytes(slice_of(plain, plain_bytes - 1)) == 0);
    uint8_t compressed[WS_HEADER_BYTES_MAX];
    expect(ws_header_write_compressed(compressed, WS_BINARY, payload.bytes) == plain_bytes);
    expect(compressed[0] == (plain[0] | 0x40) && memcmp(compressed + 1, plain + 1, plain_bytes - 1) == 0);

    uint8_t *wire = malloc(head_bytes + payload.bytes);
    memcpy(wire, head, head_bytes);
    memcpy(wire + head_bytes, payload.data, payload.bytes);
    uint8_t phase = 0;
    struct random random = fuzz_random(payload);
    while (at < payload.bytes) {
        size_t n = 1 + (size_t)random_below(&random, payload.bytes - at);
        phase = ws_mask(wire + head_bytes + at, n, key, phase);
        at += n;
        expect(phase == at % 4);
    }
    struct ws_parser parser;
    struct ws_event event;
    struct span input = {.data = wire, .bytes = head_bytes + payload.bytes};
    ws_parser_init(&parser);
    expect(ws_next(&parser, &limits, &input, &event) == WS_DATA && event.first && event.last);
    expect(event.opcode == WS_BINARY && slice_equal(event.payload, payload) && input.bytes == 0);
    free(wire);
}

/* bit 0: a client's side; bits 1-2: empty fragments allowed; bits 3-4: message size; bit 5: compression agreed on. */
static struct ws_limits limits_of(uint8_t byte)
{
    static const uint64_t sizes[] = {64, 300, 70000, UINT64_C(1) << 40};
    return (struct ws_limits){.require_mask = (byte & 1) == 0,
                              .empty_fragments_max = byte >> 1 & 3,
                              .allow_compressed = (byte & 32) != 0,
                              .message_bytes_max = sizes[byte >> 3 & 3]};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    struct ws_limits limits = limits_of(data[0]);
    struct slice stream = slice_of(data + 1, bytes - 1);
    struct oracle oracle = {.limits = &limits, .stream = stream, .message = malloc(stream.bytes)};
    struct record expected, read;

    record_init(&expected, stream.bytes);
    record_init(&read, stream.bytes);
    oracle_read(&oracle, &expected);
    for (size_t step = 0; step < 3; step++) {
        read.used = 0;
        size_t fed = read_pieces(&limits, stream, step == 2 ? stream.bytes : step, &read);
        if (!record_equal(&expected, &read))
            fprintf(stderr, "expected\n%.*s\nread\n%.*s\n", (int)expected.used, expected.text, (int)read.used,
                    read.text);
        expect(record_equal(&expected, &read));
        if (step == 1)
            expect(fed == (oracle.error_at != 0 ? oracle.error_at : stream.bytes));
    }
    expect_close(slice_of(stream.data, stream.bytes < WS_CONTROL_BYTES_MAX ? stream.bytes : WS_CONTROL_BYTES_MAX));
    expect_written(stream);
    free(oracle.message);
    free(expected.text);
    free(read.text);
    return 0;
}
