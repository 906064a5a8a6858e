/* SPDX-License-Identifier: MIT */
/* Owns request heads: the request line, the fields and what they say about the message. It reads only what the
 * standard's grammar allows, never repairs a message and never keeps state beyond the structs it is given.
 * conn_read.c parses with it, handshake.c and the dialects read requests through it. */
#include "protocol/http1.h"

#include "core/check.h"
#include "protocol/http1_grammar.h"

/* A status, and for the log why. */
static int refuse(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

/* --- request line ------------------------------------------------------------------------------------------------- */

static bool authority_valid(struct slice text)
{
    struct slice host;
    uint32_t port;
    return http1_authority(text, &host, &port);
}

/* Visible ASCII. Wider than RFC 3986: browsers send [ ] { } | \ ^ ` as they are. A fragment is never sent. */
static bool is_target_byte(uint8_t c)
{
    return c > ' ' && c < 0x7F && c != '#';
}

/* Divides path and query. */
static void parse_origin_form(struct slice target, struct http1_request *request)
{
    http1_split_next(&target, '?', &request->path);
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

    if (version.bytes != 8 || memcmp(v, "HTTP/", 5) != 0 || !http1_is_digit(v[5]) || v[6] != '.' ||
        !http1_is_digit(v[7]))
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
    http1_split_next(&rest, ' ', &request->target);
    if (rest.data == NULL || request->target.bytes == 0)
        return refuse(why, 400, "malformed request line");

    int result = parse_version(rest, request, why);
    return result != HTTP1_OK ? result : parse_target(request, why);
}

/* --- fields ------------------------------------------------------------------------------------------------------- */

/* field-name ":" OWS field-value OWS (RFC 9112 section 5) */
static int parse_field(struct slice line, struct http1_header *header, const char **why)
{
    if (http1_is_blank(line.data[0]))
        return refuse(why, 400, "folded field line"); /* RFC 9112 sections 2.2, 5.2 */
    size_t name_bytes = http1_token_bytes(line);
    if (name_bytes == 0 || name_bytes == line.bytes || line.data[name_bytes] != ':')
        return refuse(why, 400, "invalid field name"); /* section 5.1: no white space before the colon */
    header->name = slice_of(line.data, name_bytes);
    header->value = slice_skip(line, name_bytes + 1);
    for (size_t i = 0; i < header->value.bytes; i++)
        if (!http1_is_field_byte(header->value.data[i]))
            return refuse(why, 400,
                          "invalid character in field value"); /* RFC 9110 section 5.5, RFC 9112 section 2.2 */
    header->value = http1_trim(header->value);
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
        if (!http1_is_digit(digits.data[i]))
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

/* --- head --------------------------------------------------------------------------------------------------------- */

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

/* --- reading a request -------------------------------------------------------------------------------------------- */

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
        while (http1_split_next(&list, ',', &item))
            if (slice_is_nocase(http1_trim(item), token))
                return true;
    }
    return false;
}

bool http1_content_type_is(const struct http1_request *request, const char *type)
{
    struct slice value = http1_header(request, "content-type"), essence;

    return http1_split_next(&value, ';', &essence) && slice_is_nocase(http1_trim(essence), type);
}
