/* SPDX-License-Identifier: MIT */
/* Owns what must hold of request heads and bodies however they are cut: the same verdict, the same request from its
 * canonical form, and of bodies what a decoder says that reads them whole. It never judges which requests are good
 * beyond what keeps two readers from disagreeing about where a request ends. The input is a head and what follows
 * it. */
#include "protocol/http1.h"
#include "fuzz/fuzz.h"

/* --- heads -------------------------------------------------------------------------------------------------------- */

struct verdict {
    int result;
    const char *why;
    size_t head_bytes;
};

static struct verdict parse_whole(struct slice input, struct http1_request *request)
{
    struct verdict verdict = {.why = ""};
    size_t scanned = 0;
    verdict.result = http1_parse_head(input, &scanned, request, &verdict.head_bytes, &verdict.why);
    return verdict;
}

/* The bytes arrive `step` at a time (0: as chance has it), each time in memory of their own. */
static struct verdict parse_pieces(struct slice input, size_t step, struct http1_request *request)
{
    struct random random = fuzz_random(input);
    struct verdict verdict = {.result = HTTP1_NEED_MORE, .why = ""};
    size_t scanned = 0, here = 0;

    while (verdict.result == HTTP1_NEED_MORE && here < input.bytes) {
        size_t left = input.bytes - here, n = step != 0 ? step : 1 + (size_t)random_below(&random, 400);
        here += n < left ? n : left;
        uint8_t *copy = fuzz_copy(slice_of(input.data, here));
        verdict.result = http1_parse_head(slice_of(copy, here), &scanned, request, &verdict.head_bytes, &verdict.why);
        free(copy);
    }
    return verdict;
}

static void expect_same_verdict(struct verdict a, struct verdict b)
{
    expect(a.result == b.result);
    if (a.result == HTTP1_OK)
        expect(a.head_bytes == b.head_bytes);
    else if (a.result != HTTP1_NEED_MORE)
        expect(strcmp(a.why, b.why) == 0);
}

static void expect_same_request(const struct http1_request *a, const struct http1_request *b)
{
    expect(slice_equal(a->method, b->method) && slice_equal(a->target, b->target));
    expect(slice_equal(a->path, b->path) && slice_equal(a->query, b->query) && slice_equal(a->host, b->host));
    expect(a->minor_version == b->minor_version && a->keep_alive == b->keep_alive);
    expect(a->expect_continue == b->expect_continue && a->chunked == b->chunked);
    expect(a->content_length == b->content_length && a->header_count == b->header_count);
    for (uint32_t i = 0; i < a->header_count; i++)
        expect(slice_equal(a->headers[i].name, b->headers[i].name) &&
               slice_equal(a->headers[i].value, b->headers[i].value));
}

/* The one form in which this request would be written; never longer than what was read. */
static void put_canonical(struct buf *out, const struct http1_request *request)
{
    buf_put(out, request->method);
    buf_put_byte(out, ' ');
    buf_put(out, request->target);
    buf_put_text(out, request->minor_version == 1 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    for (uint32_t i = 0; i < request->header_count; i++) {
        buf_put(out, request->headers[i].name);
        buf_put_byte(out, ':');
        buf_put(out, request->headers[i].value);
        buf_put_text(out, "\r\n");
    }
    buf_put_text(out, "\r\n");
}

static uint32_t count_fields(const struct http1_request *request, const char *name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->header_count; i++) {
        bool same = request->headers[i].name.bytes == strlen(name);
        for (size_t k = 0; same && k < strlen(name); k++)
            same = (request->headers[i].name.data[k] | 0x20) == (uint8_t)name[k];
        count += same;
    }
    return count;
}

/* No byte that another reader could take for the end of a line, and no doubt about where the content ends (RFC 9112
 * section 6). */
static void expect_unambiguous(const struct http1_request *request, struct slice head)
{
    uint32_t lengths = count_fields(request, "content-length"), codings = count_fields(request, "transfer-encoding");

    expect(lengths + codings <= 1);
    expect(request->chunked == (codings == 1));
    expect(count_fields(request, "host") == 1 || (request->minor_version == 0 && count_fields(request, "host") == 0));
    expect(fuzz_inside(request->method, head) && fuzz_inside(request->target, head));
    expect(request->path.bytes > 0 && (request->path.data[0] == '/' || slice_is(request->path, "*")));
    expect(fuzz_inside(request->query, request->target));
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct slice value = request->headers[i].value;
        expect(request->headers[i].name.bytes > 0 && fuzz_inside(value, head));
        for (size_t k = 0; k < value.bytes; k++)
            expect(value.data[k] != '\r' && value.data[k] != '\n' && value.data[k] != '\0');
        expect(value.bytes == 0 || (value.data[0] != ' ' && value.data[value.bytes - 1] != ' '));
    }
}

/* The look-ups agree with the list. */
static void expect_lookups(const struct http1_request *request)
{
    static const char *const names[] = {"host", "connection", "content-type", "content-length", "expect"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint32_t count = count_fields(request, names[i]);
        expect(http1_header_count(request, names[i]) == count);
        expect((http1_header(request, names[i]).data != NULL) == (count > 0));
        if (count == 0)
            expect(!http1_header_has_token(request, names[i], "close"));
    }
    if (http1_header_has_token(request, "connection", "close"))
        expect(!request->keep_alive);
    if (http1_content_type_is(request, "application/json"))
        expect(http1_header(request, "content-type").bytes >= strlen("application/json"));
    if (request->host.bytes > 0) {
        struct slice host;
        uint32_t port;
        expect(http1_authority(request->host, &host, &port) && host.bytes > 0 && port <= UINT16_MAX);
        expect(fuzz_inside(host, request->host));
    }
}

static void expect_request(const struct http1_request *request, struct slice head)
{
    struct http1_request again;
    uint8_t *memory = malloc(head.bytes);
    struct buf text = buf_of(memory, head.bytes);

    put_canonical(&text, request);
    expect(!text.overflow);
    struct verdict verdict = parse_whole(buf_slice(&text), &again);
    expect(verdict.result == HTTP1_OK && verdict.head_bytes == text.used);
    expect_same_request(request, &again);
    expect_unambiguous(request, head);
    expect_lookups(request);
    free(memory);
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */

struct content {
    enum http1_body_result result; /* MORE: it could go on */
    size_t taken;                  /* of END */
    struct buf bytes;
};

static void content_reset(struct content *content)
{
    buf_reset(&content->bytes);
    content->result = HTTP1_BODY_MORE;
    content->taken = 0;
}

static void read_pieces(const struct http1_request *request, uint64_t bytes_max, struct slice input, size_t step,
                        struct content *content)
{
    struct http1_body body;
    struct random random = fuzz_random(input);

    content_reset(content);
    http1_body_init(&body, request, bytes_max);
    for (size_t at = 0; content->result == HTTP1_BODY_MORE;) {
        size_t left = input.bytes - at, n = step != 0 ? step : 1 + (size_t)random_below(&random, 40);
        n = n < left ? n : left;
        uint8_t *copy = fuzz_copy(slice_of(input.data + at, n));
        struct slice piece = slice_of(copy, n), part;
        while ((content->result = http1_body_next(&body, &piece, &part)) == HTTP1_BODY_PART)
            buf_put(&content->bytes, part);
        content->taken = at + n - piece.bytes;
        expect(content->result != HTTP1_BODY_MORE || piece.bytes == 0);
        free(copy);
        at += n;
        if (content->result == HTTP1_BODY_MORE && at == input.bytes)
            return;
    }
    struct slice nothing = {0}, part;
    expect(http1_body_next(&body, &nothing, &part) == content->result); /* final */
}

/* --- a second decoder of chunks: the whole body at once, by position ---------------------------------------------- */

struct reader {
    struct slice text;
    size_t at;
};

enum line { LINE_OPEN, LINE_WHOLE, LINE_BAD };

/* CRLF-terminated, at most `bytes_max` bytes with CRLF: *line without it. */
static enum line take_line(struct reader *reader, size_t bytes_max, struct slice *line)
{
    size_t n = 0;
    for (;; n++) {
        if (n >= bytes_max)
            return reader->at + n < reader->text.bytes ? LINE_BAD : LINE_OPEN;
        if (reader->at + n == reader->text.bytes)
            return LINE_OPEN;
        if (reader->text.data[reader->at + n] == '\n')
            break;
    }
    *line = slice_of(reader->text.data + reader->at, n);
    reader->at += n + 1;
    if (n == 0 || line->data[n - 1] != '\r')
        return LINE_BAD;
    line->bytes--;
    return LINE_WHOLE;
}

static int hex_digit(uint8_t c)
{
    const char *found = c == '\0' ? NULL : strchr("0123456789abcdef", c | (c >= 'A' ? 0x20 : 0));
    return found == NULL ? -1 : (int)(found - "0123456789abcdef") & 15;
}

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7F);
}

/* chunk-size [BWS ext]: PART when it can be used, BAD, or LARGE. */
static enum http1_body_result read_size(struct slice line, uint64_t room, uint64_t *size)
{
    size_t i = 0;
    *size = 0;
    for (int digit; i < line.bytes && (digit = hex_digit(line.data[i])) >= 0; i++) {
        if (i == 16)
            return HTTP1_BODY_BAD;
        *size = *size * 16 + (uint64_t)digit;
        if (*size > room)
            return HTTP1_BODY_LARGE;
    }
    if (i == 0)
        return HTTP1_BODY_BAD;
    size_t blanks = i;
    while (i < line.bytes && (line.data[i] == ' ' || line.data[i] == '\t'))
        i++;
    if (i == line.bytes)
        return i == blanks ? HTTP1_BODY_PART : HTTP1_BODY_BAD;
    if (line.data[i] != ';')
        return HTTP1_BODY_BAD;
    for (; i < line.bytes; i++)
        if (!is_text(line.data[i]))
            return HTTP1_BODY_BAD;
    return HTTP1_BODY_PART;
}

/* What stands behind a faultless beginning of a line cannot be told; so only whole bodies, and faults in whole lines,
 * are judged here. False: no opinion. */
static bool read_whole(struct slice input, uint64_t bytes_max, struct content *content)
{
    struct reader reader = {.text = input};
    struct slice line;
    uint64_t size;

    content_reset(content);
    for (;;) {
        enum line got = take_line(&reader, HTTP_CHUNK_LINE_BYTES_MAX, &line);
        if (got != LINE_WHOLE)
            return false;
        enum http1_body_result result = read_size(line, bytes_max - content->bytes.used, &size);
        if (result != HTTP1_BODY_PART) {
            content->result = result;
            return true;
        }
        if (size == 0)
            break;
        if (size + 2 > input.bytes - reader.at)
            return false;
        buf_put(&content->bytes, slice_of(input.data + reader.at, (size_t)size));
        reader.at += (size_t)size + 2;
        if (memcmp(input.data + reader.at - 2, "\r\n", 2) != 0) {
            content->result = HTTP1_BODY_BAD;
            return true;
        }
    }
    size_t trailer = reader.at;
    do {
        if (take_line(&reader, HTTP_TRAILER_BYTES_MAX, &line) != LINE_WHOLE)
            return false;
        if (reader.at - trailer > HTTP_TRAILER_BYTES_MAX)
            return false;
        const uint8_t *colon = line.bytes == 0 ? NULL : memchr(line.data, ':', line.bytes);
        if (line.bytes > 0 && (colon == NULL || colon == line.data)) {
            content->result = HTTP1_BODY_BAD;
            return true;
        }
    } while (line.bytes > 0);
    content->result = HTTP1_BODY_END;
    content->taken = reader.at;
    return true;
}

/* A trailer's characters are the parser's business: it may find a fault where the second decoder sees none. */
static void expect_chunks(const struct content *read, const struct content *naive)
{
    if (naive->result == HTTP1_BODY_END && read->result == HTTP1_BODY_BAD) {
        expect(slice_equal(buf_slice(&read->bytes), buf_slice(&naive->bytes)));
        return;
    }
    expect(read->result == naive->result);
    expect(slice_equal(buf_slice(&read->bytes), buf_slice(&naive->bytes)));
    if (read->result == HTTP1_BODY_END)
        expect(read->taken == naive->taken);
}

static void expect_body(const struct http1_request *request, struct slice input)
{
    static const uint64_t limits[] = {16, 4096, UINT64_C(1) << 40};
    size_t room = input.bytes + 1;
    struct content whole = {.bytes = buf_of(malloc(room), room)}, other = {.bytes = buf_of(malloc(room), room)};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        read_pieces(request, limits[i], input, input.bytes + 1, &whole);
        expect(whole.bytes.used <= limits[i]);
        for (size_t step = 0; step < 2; step++) {
            read_pieces(request, limits[i], input, step, &other);
            expect(other.result == whole.result && slice_equal(buf_slice(&other.bytes), buf_slice(&whole.bytes)));
            if (whole.result == HTTP1_BODY_END)
                expect(other.taken == whole.taken);
        }
        if (request->chunked && read_whole(input, limits[i], &other))
            expect_chunks(&whole, &other);
        if (!request->chunked && request->content_length <= limits[i])
            expect((whole.result == HTTP1_BODY_END) == (input.bytes >= request->content_length));
        if (!request->chunked && request->content_length > limits[i])
            expect(whole.result == HTTP1_BODY_LARGE);
    }
    free(whole.bytes.data);
    free(other.bytes.data);
}

/* --- responses ---------------------------------------------------------------------------------------------------- */

/* What each status owes, of all that are written (RFC 9110). */
static void expect_duties(struct slice head, int status, bool keep_alive, uint8_t minor)
{
    bool upgrade = status == 426;
    expect(fuzz_holds(head, slice_text("\r\nDate: Tue, 23 Jan 2024 12:34:56 GMT\r\n")) == (status >= 200));
    expect(fuzz_holds(head, slice_text("\r\nWWW-Authenticate: ")) == (status == 401));
    expect(fuzz_holds(head, slice_text("\r\nAllow: ")) == (status == 405));
    expect(fuzz_holds(head, slice_text("\r\nAccept-Encoding: identity\r\n")) == (status == 415));
    expect(fuzz_holds(head, slice_text("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")) == upgrade);
    expect(fuzz_holds(head, slice_text("\r\nRetry-After: ")) == (status == 429 || status == 503));
    expect(fuzz_holds(head, slice_text("\r\nConnection: close")) == (status >= 200 && !keep_alive));
    expect(fuzz_holds(head, slice_text("\r\nConnection: keep-alive")) == (status >= 200 && keep_alive && minor == 0));
    expect(fuzz_holds(head, slice_text("\r\nConnection: ")) ==
           (status >= 200 && (!keep_alive || minor == 0 || upgrade)));
    expect((fuzz_holds(head, slice_text(": Upgrade\r\n")) || fuzz_holds(head, slice_text(", Upgrade\r\n"))) == upgrade);
}

/* A response is read back as a message of its own length. */
static void expect_response(struct slice content)
{
    static const int statuses[] = {100, 200, 202, 204, 400, 401, 404, 405, 415, 421, 426, 429, 503, 599};
    struct random random = fuzz_random(content);
    int status = statuses[random_below(&random, sizeof statuses / sizeof statuses[0])];
    bool keep_alive = random_chance(&random, 1, 2), head_only = random_chance(&random, 1, 4);
    uint8_t minor = (uint8_t)random_below(&random, 2);
    size_t room = content.bytes + 512;
    struct buf out = buf_of(malloc(room), room);
    char start[64], length[48];

    const struct http1_answer answer = {.status = status,
                                        .content_type = random_chance(&random, 1, 2) ? "text/plain" : NULL,
                                        .content = content,
                                        .extra = "X-Extra: 1\r\n",
                                        .allow = status == 405 ? "GET" : NULL,
                                        .varies_by_origin = random_chance(&random, 1, 4)};
    http1_response(&out, &answer,
                   &(struct http1_manner){.date = slice_text("Tue, 23 Jan 2024 12:34:56 GMT"),
                                          .keep_alive = keep_alive,
                                          .head_only = head_only,
                                          .minor_version = minor});
    expect(!out.overflow);
    int start_bytes = snprintf(start, sizeof start, "HTTP/1.1 %d %s\r\n", status, http1_reason(status));
    int length_bytes = snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", content.bytes);
    bool has_content = status >= 200 && status != 204;
    size_t content_bytes = has_content && !head_only ? content.bytes : 0;
    struct slice head = slice_of(out.data, out.used - content_bytes);
    expect(slice_starts(head, slice_of(start, (size_t)start_bytes)));
    expect(fuzz_holds(head, slice_of(length, (size_t)length_bytes)) == has_content);
    expect_duties(head, status, keep_alive, minor);
    expect(fuzz_holds(head, slice_text("\r\nVary: Origin\r\n")) == (status >= 200 && answer.varies_by_origin));
    expect(memcmp(head.data + head.bytes - 4, "\r\n\r\n", 4) == 0);
    expect(slice_equal(slice_of(out.data + head.bytes, content_bytes), slice_of(content.data, content_bytes)));
    free(out.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct http1_request request, other;
    uint8_t *copy = fuzz_copy(slice_of(data, bytes));
    struct slice input = slice_of(copy, bytes);
    struct verdict whole = parse_whole(input, &request);

    expect_same_verdict(parse_pieces(input, 0, &other), whole);
    if (bytes <= 1024)
        expect_same_verdict(parse_pieces(input, 1, &other), whole);
    if (whole.result == HTTP1_OK) {
        expect(whole.head_bytes <= bytes && whole.head_bytes <= HTTP_HEAD_BYTES_MAX);
        expect_request(&request, slice_of(copy, whole.head_bytes));
        expect_body(&request, slice_skip(input, whole.head_bytes));
    }
    expect_response(input);
    free(copy);
    return 0;
}
