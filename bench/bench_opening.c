/* SPDX-License-Identifier: MIT */
/* Owns the text of upgrade requests and the judgement of what comes back. It never opens or closes a connection.
 * Called by connections while they open, and by HTTP publishers for each answer.
 *
 * The expected accept value comes from the server's own code, fed with our request: one implementation of the hash. */
#include "bench/bench_opening.h"

#include "bench/bench_response.h"
#include "core/check.h"
#include "protocol/http1.h"

size_t base64_write(uint8_t *out, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *at = out;
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t left = bytes.bytes - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes.data[i + 2] : 0;
        *at++ = (uint8_t)digits[group >> 18];
        *at++ = (uint8_t)digits[group >> 12 & 63];
        *at++ = left > 1 ? (uint8_t)digits[group >> 6 & 63] : '=';
        *at++ = left > 2 ? (uint8_t)digits[group & 63] : '=';
    }
    return (size_t)(at - out);
}

static void put_key(struct buf *out, struct random *random)
{
    uint8_t bytes[16];
    store_be64(bytes, random_u64(random));
    store_be64(bytes + 8, random_u64(random));
    uint8_t text[24];
    size_t written = base64_write(text, slice_of(bytes, sizeof bytes));
    buf_put(out, slice_of(text, written));
}

void opening_request(struct opening *opening, struct outgoing *out, struct random *random, const struct url *url,
                     const char *channel, const char *bearer)
{
    struct buf text = buf_of(outgoing_reserve(out, HTTP_HEAD_BYTES_MAX), HTTP_HEAD_BYTES_MAX);
    buf_put_text(&text, "GET ");
    url_put_path(url, channel, &text);
    buf_put_text(&text, " HTTP/1.1\r\nHost: ");
    buf_put_text(&text, url->authority);
    buf_put_text(&text, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: ");
    put_key(&text, random);
    if (bearer[0]) {
        buf_put_text(&text, "\r\nAuthorization: Bearer ");
        buf_put_text(&text, bearer);
    }
    buf_put_text(&text, "\r\n\r\n");
    check(!text.overflow);

    struct http1_request request;
    struct handshake handshake;
    size_t scanned = 0;
    size_t head_bytes = 0;
    const char *why = NULL;
    check_op(http1_parse_head(buf_slice(&text), &scanned, &request, &head_bytes, &why), ==, HTTP1_OK);
    check_op(handshake_check(&request, &handshake, &why), ==, 0);
    memcpy(opening->accept, handshake.accept, sizeof opening->accept);
    opening->used = 0;
    outgoing_commit(out, text.used);
}

/* Keeps what has come, as far as it fits. Returns how much of *input was taken. */
static size_t gather(struct opening *opening, struct slice *input)
{
    size_t room = sizeof opening->data - opening->used;
    size_t n = input->bytes < room ? input->bytes : room;
    if (n > 0)
        memcpy(opening->data + opening->used, input->data, n);
    opening->used += (uint32_t)n;
    *input = slice_skip(*input, n);
    return n;
}

/* The response takes the first `bytes` of what was gathered; what lies behind goes back to the input. */
static void take(struct opening *opening, struct slice *input, size_t gathered, size_t bytes)
{
    size_t behind = opening->used - bytes;
    check_op(behind, <=, gathered);
    *input = slice_of(input->data - behind, input->bytes + behind);
    opening->used = 0;
}

static enum opening_result refuse(struct buf *why, const char *what)
{
    buf_put_text(why, what);
    return OPENING_REFUSED;
}

/* "401 Unauthorized: {...}": status line and content as the server gave them. */
static enum opening_result refuse_response(const struct opening *opening, const struct response *response,
                                           struct buf *why)
{
    buf_put_text(why, "the server answered ");
    const uint8_t *end = memchr(opening->data, '\r', opening->used);
    buf_put(why, slice_of(opening->data + 9, (size_t)(end - opening->data) - 9));
    struct slice content = slice_skip(slice_of(opening->data, opening->used), response->head_bytes);
    if (response->sized && content.bytes > response->content_bytes)
        content.bytes = (size_t)response->content_bytes;
    if (content.bytes > 0) {
        buf_put_text(why, ": ");
        buf_put(why, content.bytes > 512 ? slice_of(content.data, 512) : content);
    }
    return OPENING_REFUSED;
}

/* Whether the content behind the head is there, or as much of it as fits. */
static bool content_complete(const struct opening *opening, const struct response *response)
{
    uint64_t have = opening->used - response->head_bytes;
    return (response->sized && have >= response->content_bytes) || opening->used == sizeof opening->data;
}

static enum opening_result read_head(struct opening *opening, bool ended, struct response *response, struct buf *why)
{
    enum response_result result = response_parse(slice_of(opening->data, opening->used), response);
    if (result == RESPONSE_BAD)
        return refuse(why, "the server does not answer in HTTP/1.1");
    if (result == RESPONSE_OK)
        return OPENING_DONE;
    if (opening->used == sizeof opening->data)
        return refuse(why, "the head of the server's response is too long");
    return ended ? refuse(why, "the server closed the connection without an answer") : OPENING_MORE;
}

enum opening_result opening_response(struct opening *opening, struct slice *input, bool ended, struct buf *why)
{
    size_t gathered = gather(opening, input);
    struct response response;
    enum opening_result result = read_head(opening, ended, &response, why);
    if (result != OPENING_DONE)
        return result;
    if (response.status != 101)
        return content_complete(opening, &response) || ended ? refuse_response(opening, &response, why) : OPENING_MORE;
    /* RFC 6455 section 4.1, what a client has to check of the response */
    if (!slice_is_nocase(response.upgrade, "websocket"))
        return refuse(why, "the server's 101 is not an upgrade to websocket");
    if (!slice_is(response.accept, opening->accept))
        return refuse(why, "the server's Sec-WebSocket-Accept is wrong");
    if (response.extensions.bytes > 0 || response.protocol.bytes > 0)
        return refuse(why, "the server chose an extension or subprotocol that was not offered");
    take(opening, input, gathered, response.head_bytes);
    return OPENING_DONE;
}

enum opening_result opening_answer(struct opening *opening, struct slice *input, bool ended, struct buf *why)
{
    if (ended && opening->used == 0)
        return refuse(why, "the server closed the connection");
    size_t gathered = gather(opening, input);
    struct response response;
    enum opening_result result = read_head(opening, ended, &response, why);
    if (result != OPENING_DONE)
        return result;
    if (!response.sized)
        return refuse(why, "the server's answer to a POST has no Content-Length");
    if (!content_complete(opening, &response))
        return ended ? refuse_response(opening, &response, why) : OPENING_MORE;
    if (response.status < 200 || response.status > 299)
        return refuse_response(opening, &response, why);
    if (response.head_bytes + response.content_bytes > opening->used)
        return refuse(why, "the server's answer to a POST is too long");
    take(opening, input, gathered, response.head_bytes + (size_t)response.content_bytes);
    return OPENING_DONE;
}
