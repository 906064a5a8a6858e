/* SPDX-License-Identifier: MIT */
/* The HTTP/1.1 grammar of the server's side: request heads, fields, targets, chunked and sized bodies, responses. It reads
 * only what the standard's grammar allows, never repairs a message and never keeps state beyond the structs it is given.
 * conn_read.c parses with it, handshake.c and the dialects read requests through it, session code writes responses with it. */
#include "protocol/http1.h"

#include "core/check.h"

/* A status, and for the log why. */
static int refuse(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

/* ---- characters ---- */

/* tchar of RFC 9110 section 5.6.2 */
static const bool is_tchar[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0'] = 1,  ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1,
    ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['A'] = 1,  ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,
    ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1,  ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1,
    ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1,
    ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1,  ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,
    ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1,  ['z'] = 1,
};

/* A byte of a field value: VCHAR, obs-text, SP, HTAB (RFC 9110 section 5.5). */
static bool is_field_byte(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7F);
}

/* Visible ASCII. Wider than RFC 3986: browsers send [ ] { } | \ ^ ` as they are. A fragment is never sent. */
static bool is_target_byte(uint8_t c)
{
    return c > ' ' && c < 0x7F && c != '#';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(uint8_t c)
{
    uint8_t low = ascii_lower(c);
    return is_digit(c) ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim(struct slice text)
{
    while (text.bytes > 0 && is_blank(text.data[0]))
        text = slice_skip(text, 1);
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1]))
        text.bytes--;
    return text;
}

size_t http1_token_bytes(struct slice text)
{
    size_t bytes = 0;
    while (bytes < text.bytes && is_tchar[text.data[bytes]])
        bytes++;
    return bytes;
}

/* Takes what stands before the first `separator`, or all; the separator is taken too. False at the end of the text. */
static bool split_next(struct slice *text, uint8_t separator, struct slice *part)
{
    if (text->data == NULL)
        return false;
    const uint8_t *found = text->bytes == 0 ? NULL : memchr(text->data, separator, text->bytes);
    if (found == NULL) {
        *part = *text;
        *text = (struct slice){0};
        return true;
    }
    *part = slice_of(text->data, (size_t)(found - text->data));
    *text = slice_skip(*text, part->bytes + 1);
    return true;
}

/* ---- authority ---- */

/* reg-name of RFC 3986 section 3.2.2; an IPv4 address is one too. */
static bool reg_name_valid(struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++) {
        uint8_t c = name.data[i];
        if (c == '%') {
            if (name.bytes - i < 3 || hex_value(name.data[i + 1]) < 0 || hex_value(name.data[i + 2]) < 0)
                return false;
            i += 2;
            continue;
        }
        bool alphanumeric = is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
        if (!alphanumeric && (c == '\0' || strchr("-._~!$&'()*+,;=", c) == NULL))
            return false;
    }
    return name.bytes > 0; /* RFC 9110 section 4.2.1: an empty host is refused */
}

/* The bytes of an address in brackets, brackets included; 0 when it is none. */
static size_t ip_literal_bytes(struct slice text)
{
    for (size_t i = 1; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        if (c == ']')
            return i < 3 ? 0 : i + 1;
        if (hex_value(c) < 0 && c != ':' && c != '.')
            return 0;
    }
    return 0;
}

static bool port_parse(struct slice digits, uint32_t *port)
{
    uint32_t value = 0;

    for (size_t i = 0; i < digits.bytes; i++) {
        if (!is_digit(digits.data[i]))
            return false;
        value = value * 10 + (uint32_t)(digits.data[i] - '0');
        if (value > UINT16_MAX)
            return false;
    }
    *port = value;
    return digits.bytes == 0 || value != 0; /* RFC 3986 section 3.2.3: a port may be empty */
}

bool http1_authority(struct slice text, struct slice *host, uint32_t *port)
{
    size_t host_bytes = 0;

    if (text.bytes > 0 && text.data[0] == '[') {
        host_bytes = ip_literal_bytes(text);
    } else {
        while (host_bytes < text.bytes && text.data[host_bytes] != ':')
            host_bytes++;
        if (!reg_name_valid(slice_of(text.data, host_bytes)))
            return false;
    }
    if (host_bytes == 0)
        return false;
    *host = slice_of(text.data, host_bytes);
    *port = 0;
    if (host_bytes == text.bytes)
        return true;
    return text.data[host_bytes] == ':' && port_parse(slice_skip(text, host_bytes + 1), port);
}

static bool authority_valid(struct slice text)
{
    struct slice host;
    uint32_t port;
    return http1_authority(text, &host, &port);
}

/* ---- request line ---- */

/* Divides path and query. */
static void parse_origin_form(struct slice target, struct http1_request *request)
{
    split_next(&target, '?', &request->path);
    request->query = target;
}

/* The bytes of "http://" or "https://" at the front of the target; 0 when it begins otherwise. */
static size_t scheme_bytes(struct slice target)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t bytes = strlen(schemes[i]);
        if (target.bytes >= bytes && slice_is_nocase(slice_of(target.data, bytes), schemes[i]))
            return bytes;
    }
    return 0;
}

static int parse_absolute_form(struct slice rest, struct http1_request *request, const char **why)
{
    size_t bytes = 0;

    while (bytes < rest.bytes && rest.data[bytes] != '/' && rest.data[bytes] != '?')
        bytes++;
    request->host = slice_of(rest.data, bytes);
    if (!authority_valid(request->host))
        return refuse(why, 400, "invalid authority in target"); /* RFC 9110 sections 4.2.1, 4.2.4 */
    parse_origin_form(slice_skip(rest, bytes), request);
    if (request->path.bytes == 0)
        request->path = slice_text("/"); /* RFC 9110 section 4.2.3 */
    return HTTP1_OK;
}

/* RFC 9112 section 3.2. A proxy's authority-form is not served. */
static int parse_target(struct http1_request *request, const char **why)
{
    struct slice target = request->target;

    if (target.bytes > HTTP_TARGET_BYTES_MAX)
        return refuse(why, 414, "target too long"); /* RFC 9112 section 3 */
    for (size_t i = 0; i < target.bytes; i++)
        if (!is_target_byte(target.data[i]))
            return refuse(why, 400, "invalid character in target"); /* section 3.2 */
    if (slice_is(request->method, "CONNECT"))
        return refuse(why, 400, "CONNECT is not served"); /* section 3.2.3 */
    if (target.bytes > 0 && target.data[0] == '/') {
        parse_origin_form(target, request);
        return HTTP1_OK;
    }
    if (slice_is(target, "*") && slice_is(request->method, "OPTIONS")) {
        request->path = target;
        return HTTP1_OK;
    }
    size_t scheme = scheme_bytes(target);
    if (scheme > 0)
        return parse_absolute_form(slice_skip(target, scheme), request, why);
    return refuse(why, 400, "invalid form of target"); /* section 3.2 */
}

/* RFC 9112 section 2.3. There is no 1.2 that could be answered as 1.1, so nothing but 1.0 and 1.1 is taken. */
static int parse_version(struct slice version, struct http1_request *request, const char **why)
{
    const uint8_t *v = version.data;

    if (version.bytes != 8 || memcmp(v, "HTTP/", 5) != 0 || !is_digit(v[5]) || v[6] != '.' || !is_digit(v[7]))
        return refuse(why, 400, "malformed request line");
    if (v[5] != '1' || v[7] > '1')
        return refuse(why, 505, "HTTP version not served");
    request->minor_version = (uint8_t)(v[7] - '0');
    return HTTP1_OK;
}

/* method SP request-target SP HTTP-version (RFC 9112 section 3), single spaces only. */
static int parse_request_line(struct slice line, struct http1_request *request, const char **why)
{
    size_t method_bytes = http1_token_bytes(line);
    if (method_bytes == 0 || method_bytes == line.bytes || line.data[method_bytes] != ' ')
        return refuse(why, 400, "malformed request line");
    request->method = slice_of(line.data, method_bytes);

    struct slice rest = slice_skip(line, method_bytes + 1);
    split_next(&rest, ' ', &request->target);
    if (rest.data == NULL || request->target.bytes == 0)
        return refuse(why, 400, "malformed request line");

    int result = parse_version(rest, request, why);
    return result != HTTP1_OK ? result : parse_target(request, why);
}

/* ---- fields ---- */

/* field-name ":" OWS field-value OWS (RFC 9112 section 5) */
static int parse_field(struct slice line, struct http1_header *header, const char **why)
{
    if (is_blank(line.data[0]))
        return refuse(why, 400, "folded field line"); /* RFC 9112 sections 2.2, 5.2 */
    size_t name_bytes = http1_token_bytes(line);
    if (name_bytes == 0 || name_bytes == line.bytes || line.data[name_bytes] != ':')
        return refuse(why, 400, "invalid field name"); /* section 5.1: no white space before the colon */
    header->name = slice_of(line.data, name_bytes);
    header->value = slice_skip(line, name_bytes + 1);
    for (size_t i = 0; i < header->value.bytes; i++)
        if (!is_field_byte(header->value.data[i]))
            return refuse(why, 400,
                          "invalid character in field value"); /* RFC 9110 section 5.5, RFC 9112 section 2.2 */
    header->value = trim(header->value);
    return HTTP1_OK;
}

/* RFC 9112 section 3.2: exactly one in HTTP/1.1, at most one in 1.0, and a valid one. */
static int check_host(struct http1_request *request, const char **why)
{
    uint32_t count = http1_header_count(request, "host");

    if (count > 1 || (count == 0 && request->minor_version == 1))
        return refuse(why, 400, count == 0 ? "Host missing" : "Host repeated");
    if (count == 0)
        return HTTP1_OK;
    struct slice host = http1_header(request, "host");
    if (!authority_valid(host))
        return refuse(why, 400, "invalid Host");
    if (request->host.data == NULL) /* RFC 9112 section 3.2.2: the authority of absolute-form comes before the field */
        request->host = host;
    return HTTP1_OK;
}

static bool decimal_parse(struct slice digits, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < digits.bytes; i++) {
        if (!is_digit(digits.data[i]))
            return false;
        uint64_t digit = (uint64_t)(digits.data[i] - '0');
        if (*value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return digits.bytes > 0;
}

/* RFC 9112 section 6: how long the content is must be beyond doubt. */
static int check_framing(struct http1_request *request, const char **why)
{
    uint32_t lengths = http1_header_count(request, "content-length");
    uint32_t codings = http1_header_count(request, "transfer-encoding");

    if (codings > 0) {
        if (lengths > 0)
            return refuse(why, 400, "Content-Length beside Transfer-Encoding"); /* section 6.1 */
        if (request->minor_version == 0)
            return refuse(why, 400, "Transfer-Encoding in HTTP/1.0"); /* section 6.1 */
        if (codings > 1 || !slice_is_nocase(http1_header(request, "transfer-encoding"), "chunked"))
            return refuse(why, 501, "transfer coding not served"); /* section 6.1 */
        request->chunked = true;
        return HTTP1_OK;
    }
    if (lengths > 1)
        return refuse(why, 400, "Content-Length repeated"); /* section 6.3 */
    if (lengths == 1 && !decimal_parse(http1_header(request, "content-length"), &request->content_length))
        return refuse(why, 400, "invalid Content-Length"); /* section 6.3 */
    return HTTP1_OK;
}

/* RFC 9110 section 10.1.1. HTTP/1.0 knows no 100, so the client is not waiting for one. */
static int check_expect(struct http1_request *request, const char **why)
{
    bool expected = false;

    for (uint32_t i = 0; i < request->header_count; i++) {
        if (!slice_is_nocase(request->headers[i].name, "expect"))
            continue;
        if (!slice_is_nocase(request->headers[i].value, "100-continue"))
            return refuse(why, 417, "expectation not served");
        expected = true;
    }
    request->expect_continue =
        expected && request->minor_version == 1 && (request->chunked || request->content_length > 0);
    return HTTP1_OK;
}

/* RFC 9112 section 9.3 */
static bool persists(const struct http1_request *request)
{
    if (http1_header_has_token(request, "connection", "close"))
        return false;
    return request->minor_version == 1 || http1_header_has_token(request, "connection", "keep-alive");
}

/* ---- head ---- */

/* Takes a line that ends within the head, without its CRLF. */
static int line_take(struct slice head, size_t *at, struct slice *line, const char **why)
{
    struct slice rest = slice_skip(head, *at);
    const uint8_t *end = rest.bytes == 0 ? NULL : memchr(rest.data, '\n', rest.bytes);
    if (end == NULL)
        return HTTP1_NEED_MORE;
    size_t bytes = (size_t)(end - rest.data);
    if (bytes == 0 || rest.data[bytes - 1] != '\r')
        return refuse(why, 400, "line ends without CR"); /* RFC 9112 section 2.2 */
    *line = slice_of(rest.data, bytes - 1);
    *at += bytes + 1;
    return HTTP1_OK;
}

/* RFC 9112 section 2.2: one empty line in front is passed over; some clients send one behind a body. */
static size_t leading_bytes(struct slice head)
{
    return slice_starts(head, slice_text("\r\n")) ? 2 : 0;
}

static int parse_lines(struct slice head, struct http1_request *request, size_t *head_bytes, const char **why)
{
    struct slice line;
    size_t at = leading_bytes(head);
    int result;

    memset(request, 0, offsetof(struct http1_request, headers));
    if ((result = line_take(head, &at, &line, why)) != HTTP1_OK)
        return result;
    if ((result = parse_request_line(line, request, why)) != HTTP1_OK)
        return result;
    for (;;) {
        if ((result = line_take(head, &at, &line, why)) != HTTP1_OK)
            return result;
        if (line.bytes == 0)
            break;
        if (request->header_count == HTTP_HEADERS_MAX)
            return refuse(why, 431, "too many fields");
        if ((result = parse_field(line, &request->headers[request->header_count], why)) != HTTP1_OK)
            return result;
        request->header_count++;
    }
    if ((result = check_host(request, why)) != HTTP1_OK || (result = check_framing(request, why)) != HTTP1_OK ||
        (result = check_expect(request, why)) != HTTP1_OK)
        return result;
    request->keep_alive = persists(request);
    *head_bytes = at;
    return HTTP1_OK;
}

/* Parses from the front whenever a line has been completed, so at most HTTP_HEADERS_MAX + 3 times a head. */
int http1_parse_head(struct slice input, size_t *scanned, struct http1_request *request, size_t *head_bytes,
                     const char **why)
{
    struct slice head = slice_of(input.data, input.bytes < HTTP_HEAD_BYTES_MAX ? input.bytes : HTTP_HEAD_BYTES_MAX);
    struct slice fresh = slice_skip(head, *scanned);
    *scanned = head.bytes;

    if (fresh.bytes > 0 && memchr(fresh.data, '\n', fresh.bytes) != NULL) {
        int result = parse_lines(head, request, head_bytes, why);
        if (result != HTTP1_NEED_MORE)
            return result;
    }
    if (head.bytes < HTTP_HEAD_BYTES_MAX)
        return HTTP1_NEED_MORE;
    struct slice behind = slice_skip(head, leading_bytes(head));
    if (memchr(behind.data, '\n', behind.bytes) == NULL)
        return refuse(why, 414, "request line too long"); /* RFC 9112 section 3 */
    return refuse(why, 431, "head too large");            /* RFC 6585 section 5 */
}

/* ---- reading a request ---- */

struct slice http1_header(const struct http1_request *request, const char *name)
{
    for (uint32_t i = 0; i < request->header_count; i++)
        if (slice_is_nocase(request->headers[i].name, name))
            return request->headers[i].value;
    return (struct slice){0};
}

uint32_t http1_header_count(const struct http1_request *request, const char *name)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < request->header_count; i++)
        count += slice_is_nocase(request->headers[i].name, name);
    return count;
}

bool http1_header_has_token(const struct http1_request *request, const char *name, const char *token)
{
    for (uint32_t i = 0; i < request->header_count; i++) {
        if (!slice_is_nocase(request->headers[i].name, name))
            continue;
        struct slice list = request->headers[i].value, item;
        while (split_next(&list, ',', &item))
            if (slice_is_nocase(trim(item), token))
                return true;
    }
    return false;
}

bool http1_content_type_is(const struct http1_request *request, const char *type)
{
    struct slice value = http1_header(request, "content-type"), essence;

    return split_next(&value, ';', &essence) && slice_is_nocase(trim(essence), type);
}

/* ---- targets ---- */

/* The next byte of percent-encoded text, *at moving behind it; -1 on a bad escape. */
static int decoded_byte(struct slice text, size_t *at)
{
    uint8_t c = text.data[(*at)++];
    if (c != '%')
        return c;
    if (text.bytes - *at < 2)
        return -1;
    int high = hex_value(text.data[*at]), low = hex_value(text.data[*at + 1]);
    if (high < 0 || low < 0)
        return -1;
    *at += 2;
    return high << 4 | low;
}

/* As decoded_byte, '+' being a space (application/x-www-form-urlencoded). */
static int form_byte(struct slice text, size_t *at)
{
    if (text.data[*at] != '+')
        return decoded_byte(text, at);
    (*at)++;
    return ' ';
}

typedef int decode_fn(struct slice text, size_t *at);

/* Appends all of the text decoded, or nothing. */
static bool decode(struct slice text, decode_fn *next, struct buf *out)
{
    size_t mark = out->used;

    for (size_t at = 0; at < text.bytes && !out->overflow;) {
        int c = next(text, &at);
        if (c < 0) {
            out->used = mark;
            return false;
        }
        buf_put_byte(out, (uint8_t)c);
    }
    return !out->overflow;
}

bool http1_percent_decode(struct slice text, struct buf *out)
{
    return decode(text, decoded_byte, out);
}

/* Whether an encoded name of a query is `name`. */
static bool form_name_is(struct slice encoded, const char *name, bool nocase)
{
    size_t at = 0;

    for (; at < encoded.bytes && *name != '\0'; name++) {
        int c = form_byte(encoded, &at);
        if (c < 0 || (c != (uint8_t)*name && !(nocase && ascii_lower((uint8_t)c) == ascii_lower((uint8_t)*name))))
            return false;
    }
    return at == encoded.bytes && *name == '\0';
}

int http1_query_get(struct slice query, const char *name, struct buf *out)
{
    struct slice pair, key;

    while (split_next(&query, '&', &pair)) {
        split_next(&pair, '=', &key);
        if (form_name_is(key, name, false))
            return decode(pair, form_byte, out) ? 1 : -1;
    }
    return 0;
}

static bool is_secret(struct slice encoded_name)
{
    static const char *const names[] = {"api_key", "token", "key", "access_token"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (form_name_is(encoded_name, names[i], true))
            return true;
    return false;
}

void http1_mask_target(struct slice target, struct buf *out)
{
    struct slice path, pair, key;

    if (!split_next(&target, '?', &path))
        return;
    buf_put(out, path);
    for (uint8_t separator = '?'; split_next(&target, '&', &pair); separator = '&') {
        buf_put_byte(out, separator);
        split_next(&pair, '=', &key);
        buf_put(out, key);
        if (pair.data == NULL)
            continue;
        buf_put_byte(out, '=');
        buf_put(out, is_secret(key) ? slice_text("***") : pair);
    }
}

/* ---- bodies ---- */

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
    int digit = hex_value(c);

    if (digit >= 0) {
        if (body->line_bytes > CHUNK_SIZE_DIGITS_MAX)
            return BODY_MALFORMED;
        body->left = body->left << 4 | (uint64_t)digit;
        return body->left > body->bytes_max - body->total ? BODY_OVER : BODY_SIZE;
    }
    if (body->state == BODY_SIZE_FIRST)
        return BODY_MALFORMED;
    if (is_blank(c))
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
        return is_blank(c) ? BODY_SIZE_BLANK : c == ';' ? BODY_EXTENSION : BODY_MALFORMED;
    case BODY_EXTENSION: /* section 7.1.1: unrecognized ones are ignored */
        return c == '\r' ? BODY_SIZE_LF : is_field_byte(c) ? BODY_EXTENSION : BODY_MALFORMED;
    case BODY_SIZE_LF:
        body->line_bytes = 0;
        return c != '\n' ? BODY_MALFORMED : body->left > 0 ? BODY_CONTENT : BODY_TRAILER;
    case BODY_TRAILER:
        return c == '\r' ? BODY_LAST_LF : is_tchar[c] ? BODY_NAME : BODY_MALFORMED;
    case BODY_NAME:
        return c == ':' ? BODY_VALUE : is_tchar[c] ? BODY_NAME : BODY_MALFORMED;
    case BODY_VALUE:
        return c == '\r' ? BODY_VALUE_LF : is_field_byte(c) ? BODY_VALUE : BODY_MALFORMED;
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

/* ---- responses ---- */

/* RFC 9110 section 15, RFC 6585 */
static const struct {
    int status;
    const char *phrase;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

const char *http1_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].phrase;
    return "";
}

void http1_response(struct buf *out, int status, const char *content_type, struct slice extra, struct slice content,
                    bool keep_alive, bool head_only)
{
    check(status >= 100 && status <= 999 && status != 101);
    bool has_content = status >= 200 && status != 204;

    buf_put_text(out, "HTTP/1.1 ");
    buf_put_u64(out, (uint64_t)status);
    buf_put_byte(out, ' ');
    buf_put_text(out, http1_reason(status));
    buf_put_text(out, "\r\n");
    if (has_content && content_type != NULL) {
        buf_put_text(out, "Content-Type: ");
        buf_put_text(out, content_type);
        buf_put_text(out, "\r\n");
    }
    if (has_content) {
        buf_put_text(out, "Content-Length: ");
        buf_put_u64(out, content.bytes);
        buf_put_text(out, "\r\n");
    }
    if (status >= 200 && !keep_alive)
        buf_put_text(out, "Connection: close\r\n");
    buf_put(out, extra);
    buf_put_text(out, "\r\n");
    if (has_content && !head_only)
        buf_put(out, content);
}
