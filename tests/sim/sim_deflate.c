/* SPDX-License-Identifier: MIT */
/* Owns the offers of permessage-deflate, the judgement of what the server agrees to, and zlib's two streams of a
 * connection. It shares nothing with protocol/ but the library: with the very window agreed on, zlib refuses what
 * refers back further. Called by sim_wire.c for messages and by sim_client.c for the handshake. */
#include "tests/sim/sim_deflate.h"

#include "core/check.h"
#include "tests/sim/sim_model.h"
#include "tests/sim/sim_text.h"

#include <stdlib.h>

#define EXTENSION "Sec-WebSocket-Extensions: "

static const struct offer {
    const char *line;
    int server_bits;  /* asked for; 0: not */
    bool client_bits; /* the server may ask */
} offers[] = {
    {EXTENSION "permessage-deflate\r\n", 0, false},
    {EXTENSION "permessage-deflate; client_max_window_bits\r\n", 0, true},
    {EXTENSION "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10\r\n", 9, true},
    {EXTENSION "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n", 0, false},
    {EXTENSION "x-unknown, permessage-deflate; server_max_window_bits=99, "
               "permessage-deflate; server_max_window_bits=12\r\n",
     12, false},
    {EXTENSION "permessage-deflate; server_max_window_bits=8\r\n", 8, false},
};
#define OFFERS (sizeof offers / sizeof offers[0])

void sim_deflate_choose(struct sim_deflate *deflate, struct random *random)
{
    deflate->offer = (uint8_t)random_below(random, 2 * OFFERS);
    if (deflate->offer > OFFERS)
        deflate->offer = 0;
}

const char *sim_deflate_line(const struct sim_deflate *deflate)
{
    return deflate->offer == 0 ? "" : offers[deflate->offer - 1].line;
}

/* --- agreeing ----------------------------------------------------------------------------------------------------- */

/* The number of a parameter, 15 without it. */
static int bits_of(struct slice answer, const char *name)
{
    struct slice value = sim_text_behind(answer, name);
    return value.data == NULL ? 15 : (int)sim_text_number(value);
}

/* RFC 7692 section 7.1: what the answer may contain depends on the offer. */
static const char *check_answer(struct sim_deflate *deflate, struct slice answer)
{
    const struct offer *offer = &offers[deflate->offer - 1];
    deflate->server_bits = bits_of(answer, "server_max_window_bits=");
    deflate->client_bits = bits_of(answer, "client_max_window_bits=");
    deflate->server_keeps = sim_text_behind(answer, "server_no_context_takeover").data == NULL;
    deflate->client_keeps = sim_text_behind(answer, "client_no_context_takeover").data == NULL;
    if (!slice_starts(answer, slice_text("permessage-deflate")) || sim_text_behind(answer, ",").data != NULL)
        return "the answer accepts something else";
    if (offer->server_bits != 0 && deflate->server_bits > offer->server_bits)
        return "the server's window is larger than it was asked for";
    if (!offer->client_bits && sim_text_behind(answer, "client_max_window_bits").data != NULL)
        return "the client's window is asked for and it had not offered that";
    if (deflate->server_bits < 8 || deflate->client_bits < 9 || deflate->client_bits > 15)
        return "a window that there is not";
    return NULL;
}

const char *sim_deflate_agree(struct sim_deflate *deflate, struct slice head, bool wanted)
{
    struct slice answer = sim_text_between(head, "\r\n" EXTENSION, '\r');
    if (answer.data == NULL)
        return wanted && deflate->offer != 0 ? "an offer has not been accepted" : NULL;
    if (deflate->offer == 0 || !wanted)
        return "an extension has been accepted that was not to be";
    const char *wrong = check_answer(deflate, answer);
    if (wrong != NULL)
        return wrong;
    check(inflateInit2(&deflate->in, -deflate->server_bits) == Z_OK);
    check(deflateInit2(&deflate->out, 1, Z_DEFLATED, -deflate->client_bits, 2, Z_DEFAULT_STRATEGY) == Z_OK);
    deflate->on = true;
    return NULL;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void reserve(struct sim_deflate *deflate, size_t bytes)
{
    if (bytes <= deflate->capacity)
        return;
    deflate->capacity = bytes * 2;
    deflate->text = realloc(deflate->text, deflate->capacity);
    check(deflate->text != NULL);
}

/* One piece of input; false when it is wrong. */
static bool inflate_piece(struct sim_deflate *deflate, const uint8_t *data, size_t bytes, size_t *used)
{
    z_stream *in = &deflate->in;
    in->next_in = (uint8_t *)(uintptr_t)data;
    in->avail_in = (uInt)bytes;
    for (;;) {
        reserve(deflate, *used + 1024);
        in->next_out = deflate->text + *used;
        in->avail_out = (uInt)(deflate->capacity - *used);
        int result = inflate(in, Z_SYNC_FLUSH);
        *used = (size_t)(in->next_out - deflate->text);
        if (result != Z_OK && result != Z_BUF_ERROR)
            return false;
        if (in->avail_in == 0 && in->avail_out > 0)
            return true;
    }
}

bool sim_deflate_inflate(struct sim_deflate *deflate, struct slice payload, struct slice *text)
{
    static const uint8_t tail[] = {0, 0, 0xFF, 0xFF}; /* section 7.2.2 */
    size_t used = 0;
    if (!deflate->server_keeps)
        inflateReset(&deflate->in);
    bool good =
        inflate_piece(deflate, payload.data, payload.bytes, &used) && inflate_piece(deflate, tail, sizeof tail, &used);
    *text = slice_of(deflate->text, used);
    return good;
}

/* Where the function's name means zlib's. */
static int flush(z_stream *stream)
{
    return deflate(stream, Z_SYNC_FLUSH);
}

struct slice sim_deflate_deflate(struct sim_deflate *deflate, struct slice text)
{
    z_stream *out = &deflate->out;
    if (!deflate->client_keeps)
        deflateReset(out);
    reserve(deflate, text.bytes + text.bytes / 8 + 64);
    out->next_in = (uint8_t *)(uintptr_t)text.data;
    out->avail_in = (uInt)text.bytes;
    out->next_out = deflate->text;
    out->avail_out = (uInt)deflate->capacity;
    check(flush(out) == Z_OK && out->avail_in == 0 && out->avail_out > 0);
    size_t bytes = deflate->capacity - out->avail_out;
    check_op(bytes, >=, 4); /* section 7.2.1: the four bytes at the end stay here */
    return slice_of(deflate->text, bytes - 4);
}

void sim_deflate_free(struct sim_deflate *deflate)
{
    if (deflate->on) {
        inflateEnd(&deflate->in);
        deflateEnd(&deflate->out);
    }
    free(deflate->text);
    *deflate = (struct sim_deflate){0};
}
