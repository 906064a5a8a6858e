/* SPDX-License-Identifier: MIT */
/* Owns the cases of ringcast-micro about bytes in and bytes out: frames, request heads, JSON, UTF-8, compression. It
 * never reads a clock. Called by micro_main. */
#include "bench/micro.h"
#include "core/check.h"
#include "protocol/deflate.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "protocol/utf8.h"
#include "protocol/ws.h"

#include <errno.h>
#include <stdlib.h>

/* A block of bytes, and room for what becomes of them. */
struct text {
    uint8_t *in;
    size_t bytes;
    uint8_t *out;
    void *memory; /* of a deflater */
};

static void text_close(void *state)
{
    struct text *text = state;
    free(text->in);
    free(text->out);
    free(text->memory);
    free(text);
}

static struct text *text_make(size_t bytes)
{
    struct text *text = calloc(1, sizeof *text);
    if (text == NULL)
        return NULL;
    text->bytes = bytes;
    text->in = malloc(bytes + 64);
    text->out = malloc(bytes + 64);
    if (text->in != NULL && text->out != NULL)
        return text;
    text_close(text);
    return NULL;
}

/* Repeats a sample up to the given length. */
static void fill(uint8_t *at, size_t bytes, const char *sample)
{
    size_t sample_bytes = strlen(sample);
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)sample[i % sample_bytes];
}

/* --- WebSocket frames --------------------------------------------------------------------------------------------- */

static int open_frame(void **state, const struct micro_case *self, enum ws_opcode opcode, const uint8_t key[4])
{
    uint8_t header[14];
    size_t header_bytes = ws_header_write_masked(header, opcode, self->bytes, key);
    struct text *text = text_make(header_bytes + self->bytes);
    if (text == NULL)
        return -ENOMEM;
    memcpy(text->in, header, header_bytes);
    fill(text->in + header_bytes, self->bytes, "{\"block\":123456,\"hash\":\"0123456789abcdef\"}");
    *state = text;
    return 0;
}

/* Each pass masks again what the last one has unmasked: the same work. */
static int open_binary(void **state, const struct micro_case *self)
{
    return open_frame(state, self, WS_BINARY, (const uint8_t[4]){0x12, 0x34, 0x56, 0x78});
}

/* A key of zeros leaves the text as it is; the parser does not look for it. */
static int open_text_frame(void **state, const struct micro_case *self)
{
    return open_frame(state, self, WS_TEXT, (const uint8_t[4]){0});
}

static uint64_t run_ws_next(void *state, const struct micro_case *self, uint64_t count)
{
    struct text *text = state;
    const struct ws_limits limits = {.message_bytes_max = self->bytes, .require_mask = true};
    struct ws_parser parser;
    uint64_t sum = 0;
    ws_parser_init(&parser);
    for (uint64_t i = 0; i < count; i++) {
        struct span input = {.data = text->in, .bytes = text->bytes};
        struct ws_event event;
        check(ws_next(&parser, &limits, &input, &event) == WS_DATA && event.last);
        sum += event.payload.bytes + event.payload.data[event.payload.bytes - 1];
    }
    return sum;
}

static uint64_t run_header(void *state, const struct micro_case *self, uint64_t count)
{
    (void)state, (void)self;
    static const uint64_t sizes[4] = {64, 512, 4096, 100000};
    uint8_t header[WS_HEADER_BYTES_MAX];
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        size_t bytes = ws_header_write(header, WS_TEXT, sizes[i & 3]);
        sum += bytes + header[bytes - 1];
    }
    return sum;
}

/* --- HTTP, JSON, UTF-8, compression ------------------------------------------------------------------------------- */

static const char browser_head[] =
    "GET /plain/prices?since=12345 HTTP/1.1\r\nHost: stream.example.org:9500\r\nConnection: Upgrade\r\n"
    "Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://example.org\r\n"
    "Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

static uint64_t run_head(void *state, const struct micro_case *self, uint64_t count)
{
    (void)state, (void)self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct http1_request request;
        size_t scanned = 0, bytes = 0;
        const char *why = NULL;
        check(http1_parse_head(slice_text(browser_head), &scanned, &request, &bytes, &why) == HTTP1_OK);
        sum += bytes + http1_header(&request, "Sec-WebSocket-Key").bytes;
    }
    return sum;
}

static const char document[] =
    "{\"op\":\"publish\",\"dialect\":\"plain\",\"topic\":\"prices\",\"seq\":1234567,\"data\":{\"symbol\":\"ABC\","
    "\"bid\":101.25,\"ask\":101.5,\"sizes\":[100,200,300,400],\"flags\":{\"halted\":false,\"auction\":null},"
    "\"note\":\"first line\\nsecond \\u00e9 line\",\"venue\":\"XAMS\"}}";

static uint64_t run_json(void *state, const struct micro_case *self, uint64_t count)
{
    (void)state, (void)self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct json_reader reader;
        struct json_value value;
        json_init(&reader, slice_text(document), JSON_DEPTH_MAX);
        while (json_next(&reader, &value) > JSON_END)
            sum += value.raw.bytes;
        check(value.token == JSON_END);
    }
    return sum;
}

static int open_ascii(void **state, const struct micro_case *self)
{
    struct text *text = text_make(self->bytes);
    if (text == NULL)
        return -ENOMEM;
    fill(text->in, text->bytes, document);
    *state = text;
    return 0;
}

static int open_mixed(void **state, const struct micro_case *self)
{
    struct text *text = text_make(self->bytes);
    if (text == NULL)
        return -ENOMEM;
    fill(text->in, text->bytes,
         "Gr\xC3\xBC\xC3\x9F"
         "e \xE2\x82\xAC \xF0\x9F\x98\x80 "); /* 16 bytes */
    *state = text;
    return 0;
}

static uint64_t run_utf8(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    const struct text *text = state;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += utf8_next(UTF8_START, slice_of(text->in, text->bytes)) + (i & 1);
    return sum;
}

static int open_deflate(void **state, const struct micro_case *self)
{
    int error = open_ascii(state, self);
    if (error < 0)
        return error;
    struct text *text = *state;
    text->memory = aligned_alloc(64, DEFLATER_BYTES);
    if (text->memory != NULL)
        return 0;
    text_close(text);
    return -ENOMEM;
}

static uint64_t run_deflate(void *state, const struct micro_case *self, uint64_t count)
{
    (void)self;
    struct text *text = state;
    struct deflater *deflater = deflater_place(text->memory, DEFLATER_BYTES, 1);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct buf out = buf_of(text->out, text->bytes + 64);
        check(deflate_message(deflater, slice_of(text->in, text->bytes), 15, &out));
        sum += out.used + out.data[out.used - 1];
    }
    return sum;
}

const struct micro_case micro_protocol[] = {
    {"ws_next/64", "one masked binary frame, unmasked in place", 64, open_binary, run_ws_next, text_close},
    {"ws_next/512", "the same", 512, open_binary, run_ws_next, text_close},
    {"ws_next/16384", "the same", 16384, open_binary, run_ws_next, text_close},
    {"ws_next_text/512", "one masked text frame, with the check of its UTF-8", 512, open_text_frame, run_ws_next,
     text_close},
    {"ws_header_write", "one header, of four sizes in turn", 0, NULL, run_header, NULL},
    {"http1_parse_head", "a browser's upgrade request, and one header found", sizeof browser_head - 1, NULL, run_head,
     NULL},
    {"json_next", "a publish with nested data, token by token", sizeof document - 1, NULL, run_json, NULL},
    {"utf8_next/ascii", "one text", 512, open_ascii, run_utf8, text_close},
    {"utf8_next/mixed", "one text with characters of one to four bytes", 512, open_mixed, run_utf8, text_close},
    {"deflate/512", "one message of JSON, level 1", 512, open_deflate, run_deflate, text_close},
    {"deflate/16384", "the same", 16384, open_deflate, run_deflate, text_close},
    {.name = NULL},
};
