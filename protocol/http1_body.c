/* SPDX-License-Identifier: MIT */
/* Owns request bodies, sized or chunked: which bytes of the input are content, and where the request ends. It never
 * copies and never holds more than one byte's worth of state. Called by ingest_http.c with each piece that comes. */
#include "protocol/http1.h"

#include "core/check.h"
#include "protocol/http1_grammar.h"

/* http1_body.state. A chunked body (RFC 9112 section 7.1), each state named for what comes next:
 *
 *   chunk    SIZE_FIRST SIZE* [SIZE_BLANK*] [EXTENSION*] CR SIZE_LF   CONTENT   CONTENT_CR CONTENT_LF
 *   trailer  TRAILER (NAME* ':' VALUE* CR VALUE_LF TRAILER)* CR LAST_LF
 */
enum body_state {
    BODY_CONTENT,
    BODY_CONTENT_CR,
    BODY_CONTENT_LF,
    BODY_SIZE_FIRST,
    BODY_SIZE,
    BODY_SIZE_BLANK,
    BODY_EXTENSION,
    BODY_SIZE_LF,
    BODY_TRAILER,
    BODY_NAME,
    BODY_VALUE,
    BODY_VALUE_LF,
    BODY_LAST_LF,
    BODY_DONE,
    BODY_MALFORMED,
    BODY_OVER,
};

#define CHUNK_SIZE_DIGITS_MAX 16 /* what a uint64_t holds */

void http1_body_init(struct http1_body *body, const struct http1_request *request, uint64_t bytes_max)
{
    *body = (struct http1_body){
        .left = request->content_length,
        .bytes_max = bytes_max,
        .chunked = request->chunked,
        .state = request->chunked                      ? BODY_SIZE_FIRST
                 : request->content_length > bytes_max ? BODY_OVER
                                                       : BODY_CONTENT,
    };
}

/* chunk-size, and what may follow it */
static enum body_state size_byte(struct http1_body *body, uint8_t c)
{
    int digit = http1_hex_value(c);

    if (digit >= 0) {
        if (body->line_bytes > CHUNK_SIZE_DIGITS_MAX)
            return BODY_MALFORMED;
        body->left = body->left << 4 | (uint64_t)digit;
        return body->left > body->bytes_max - body->total ? BODY_OVER : BODY_SIZE;
    }
    if (body->state == BODY_SIZE_FIRST)
        return BODY_MALFORMED;
    if (http1_is_blank(c))
        return BODY_SIZE_BLANK;
    return c == ';' ? BODY_EXTENSION : c == '\r' ? BODY_SIZE_LF : BODY_MALFORMED;
}

/* The state behind one byte of the framing around the content. */
static enum body_state framing_byte(struct http1_body *body, uint8_t c)
{
    check(body->state != BODY_CONTENT && body->state < BODY_DONE);
    uint32_t line_bytes_max = body->state >= BODY_TRAILER ? HTTP_TRAILER_BYTES_MAX : HTTP_CHUNK_LINE_BYTES_MAX;
    if (++body->line_bytes > line_bytes_max)
        return BODY_MALFORMED;

    switch ((enum body_state)body->state) {
    case BODY_CONTENT_CR:
        return c == '\r' ? BODY_CONTENT_LF : BODY_MALFORMED;
    case BODY_CONTENT_LF:
        body->line_bytes = 0;
        return c == '\n' ? BODY_SIZE_FIRST : BODY_MALFORMED;
    case BODY_SIZE_FIRST:
    case BODY_SIZE:
        return size_byte(body, c);
    case BODY_SIZE_BLANK: /* RFC 9112 section 7.1.1: "bad" white space, before an extension only */
        return http1_is_blank(c) ? BODY_SIZE_BLANK : c == ';' ? BODY_EXTENSION : BODY_MALFORMED;
    case BODY_EXTENSION: /* section 7.1.1: unrecognized ones are ignored */
        return c == '\r' ? BODY_SIZE_LF : http1_is_field_byte(c) ? BODY_EXTENSION : BODY_MALFORMED;
    case BODY_SIZE_LF:
        body->line_bytes = 0;
        return c != '\n' ? BODY_MALFORMED : body->left > 0 ? BODY_CONTENT : BODY_TRAILER;
    case BODY_TRAILER:
        return c == '\r' ? BODY_LAST_LF : http1_is_tchar[c] ? BODY_NAME : BODY_MALFORMED;
    case BODY_NAME:
        return c == ':' ? BODY_VALUE : http1_is_tchar[c] ? BODY_NAME : BODY_MALFORMED;
    case BODY_VALUE:
        return c == '\r' ? BODY_VALUE_LF : http1_is_field_byte(c) ? BODY_VALUE : BODY_MALFORMED;
    case BODY_VALUE_LF:
        return c == '\n' ? BODY_TRAILER : BODY_MALFORMED;
    case BODY_LAST_LF:
        return c == '\n' ? BODY_DONE : BODY_MALFORMED;
    case BODY_CONTENT:
    case BODY_DONE:
    case BODY_MALFORMED:
    case BODY_OVER:
        break;
    }
    return BODY_MALFORMED;
}

static enum http1_body_result content_take(struct http1_body *body, struct slice *input, struct slice *part)
{
    *part = slice_of(input->data, body->left < input->bytes ? (size_t)body->left : input->bytes);
    *input = slice_skip(*input, part->bytes);
    body->left -= part->bytes;
    body->total += part->bytes;
    return HTTP1_BODY_PART;
}

enum http1_body_result http1_body_next(struct http1_body *body, struct slice *input, struct slice *part)
{
    for (;;) {
        if (body->state == BODY_CONTENT && body->left == 0)
            body->state = body->chunked ? BODY_CONTENT_CR : BODY_DONE;
        if (body->state == BODY_DONE)
            return HTTP1_BODY_END;
        if (body->state == BODY_MALFORMED)
            return HTTP1_BODY_BAD;
        if (body->state == BODY_OVER)
            return HTTP1_BODY_LARGE;
        if (input->bytes == 0)
            return HTTP1_BODY_MORE;
        if (body->state == BODY_CONTENT)
            return content_take(body, input, part);
        body->state = (uint8_t)framing_byte(body, input->data[0]);
        *input = slice_skip(*input, 1);
    }
}
