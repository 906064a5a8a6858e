/* SPDX-License-Identifier: MIT */
/* Owns a second reading of RFC 6455 section 4.2 (with a SHA-1 and base64 of its own) and of origins, and their
 * comparison with handshake_check and handshake_origin_allowed. It never parses heads itself. The input is a request
 * head. */
#include "protocol/handshake.h"
#include "fuzz/fuzz.h"
#include "protocol/http1.h"

static bool same(struct slice text, const char *word)
{
    bool equal = text.bytes == strlen(word);
    for (size_t i = 0; equal && i < text.bytes; i++)
        equal = (text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] + 32 : text.data[i]) == (uint8_t)word[i];
    return equal;
}

/* --- the accept value --------------------------------------------------------------------------------------------- */

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t block[64])
{
    static const uint32_t constants[] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (unsigned t = 0; t < 80; t++)
        w[t] = t < 16 ? (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
                            (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3]
                      : rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (unsigned t = 0; t < 80; t++) {
        uint32_t f = t < 20 ? (b & c) | (~b & d) : t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        uint32_t next = rotate(a, 5) + f + e + constants[t / 20] + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* FIPS 180-4 of at most 111 bytes: two blocks. */
static void sha1_short(struct slice text, uint8_t digest[20])
{
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t blocks[128] = {0};
    size_t count = text.bytes < 56 ? 1 : 2;
    memcpy(blocks, text.data, text.bytes);
    blocks[text.bytes] = 0x80;
    store_be64(blocks + 64 * count - 8, 8 * text.bytes);
    for (size_t i = 0; i < count; i++)
        sha1_block(h, blocks + 64 * i);
    for (size_t i = 0; i < 20; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void oracle_accept(struct slice key, char out[29])
{
    uint8_t text[64], digest[24] = {0};
    memcpy(text, key.data, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1_short(slice_of(text, 60), digest);
    for (size_t i = 0; i < 7; i++) {
        unsigned three = (unsigned)digest[3 * i] << 16 | (unsigned)digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (size_t k = 0; k < 4; k++)
            out[4 * i + k] = alphabet[three >> (18 - 6 * k) & 63];
    }
    out[27] = '=';
    out[28] = '\0';
}

/* --- the rules ---------------------------------------------------------------------------------------------------- */

/* How often `word` stands in the lists of all fields of that name; `fields` counts those. */
static uint32_t count_tokens(const struct http1_request *request, const char *name, const char *word, uint32_t *fields)
{
    uint32_t found = 0;
    *fields = 0;
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct slice list = request->headers[i].value;
        if (!same(request->headers[i].name, name))
            continue;
        (*fields)++;
        for (size_t from = 0, at = 0; at <= list.bytes; at++) {
            if (at < list.bytes && list.data[at] != ',')
                continue;
            size_t begin = from, end = at;
            while (begin < end && (list.data[begin] == ' ' || list.data[begin] == '\t'))
                begin++;
            while (end > begin && (list.data[end - 1] == ' ' || list.data[end - 1] == '\t'))
                end--;
            found += same(slice_of(list.data + begin, end - begin), word);
            from = at + 1;
        }
    }
    return found;
}

static bool oracle_key(struct slice key)
{
    bool good = key.bytes == 24;
    for (size_t i = 0; good && i < 24; i++)
        good = i < 22 ? key.data[i] != '\0' && strchr(alphabet, key.data[i]) != NULL : key.data[i] == '=';
    return good;
}

static struct slice field(const struct http1_request *request, const char *name)
{
    for (uint32_t i = 0; i < request->header_count; i++)
        if (same(request->headers[i].name, name))
            return request->headers[i].value;
    return (struct slice){0};
}

/* All fields of that name as one text, joined by commas; false: there is none. */
static bool joined(const struct http1_request *request, const char *name, char text[2 * HTTP_HEAD_BYTES_MAX])
{
    size_t n = 0;
    bool any = false;
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct slice value = request->headers[i].value;
        if (!same(request->headers[i].name, name))
            continue;
        if (any)
            text[n++] = ',';
        memcpy(text + n, value.data, value.bytes);
        n += value.bytes;
        any = true;
    }
    text[n] = '\0';
    return any;
}

static bool is_token(const char *text, size_t bytes)
{
    bool good = bytes > 0;
    for (size_t i = 0; i < bytes; i++)
        good &= (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
                (text[i] >= 'A' && text[i] <= 'Z') || (text[i] != '\0' && strchr("!#$%&'*+-.^_`|~", text[i]) != NULL);
    return good;
}

/* Rewrites the list so that it has one shape: each run of token characters, and each quoted string that holds a token, becomes "t",
 * blanks go when they stand beside a separator, else they are one space; anything else is "?". */
static void shape(const char *text, char *out)
{
    size_t n = 0;
    for (const char *at = text; *at != '\0';) {
        const char *end = at;
        if (*at == '"') {
            char word[2 * HTTP_HEAD_BYTES_MAX];
            size_t bytes = 0;
            for (end = at + 1; *end != '\0' && *end != '"'; end++) {
                if (*end == '\\' && *++end == '\0')
                    break;
                word[bytes++] = *end;
            }
            out[n++] = *end == '"' && is_token(word, bytes) ? 'q' : '?';
            at = *end == '"' ? end + 1 : end;
        } else if (is_token(at, 1)) {
            while (is_token(at, 1))
                at++;
            out[n++] = 't';
        } else if (*at == ' ' || *at == '\t') {
            at++;
            bool beside = n == 0 || strchr(",;= ", out[n - 1]) != NULL || *at == '\0' || strchr(",;= \t", *at) != NULL;
            if (!beside)
                out[n++] = ' ';
        } else {
            out[n++] = strchr(",;=", *at) != NULL ? *at : '?';
            at++;
        }
    }
    out[n] = '\0';
}

/* RFC 6455 section 9.1 over shapes: an element is t, then any number of ;t ;t=t ;t=q */
static bool oracle_extensions(const struct http1_request *request)
{
    static char text[2 * HTTP_HEAD_BYTES_MAX], shapes[2 * HTTP_HEAD_BYTES_MAX];
    bool any = false;
    if (!joined(request, "sec-websocket-extensions", text))
        return true;
    shape(text, shapes);
    for (const char *at = shapes; *at != '\0';) {
        if (*at == ',') {
            at++;
            continue;
        }
        if (*at++ != 't')
            return false;
        while (at[0] == ';' && at[1] == 't') {
            at += 2;
            if (at[0] == '=' && (at[1] == 't' || at[1] == 'q'))
                at += 2;
        }
        if (*at != ',' && *at != '\0')
            return false;
        any = true;
    }
    return any;
}

/* RFC 6455 section 4.3: a token or nothing between commas, some token, none of them twice, 64 at most. */
static bool oracle_protocols(const struct http1_request *request)
{
    static char text[2 * HTTP_HEAD_BYTES_MAX];
    static char *names[2 * HTTP_HEAD_BYTES_MAX];
    size_t count = 0;
    if (!joined(request, "sec-websocket-protocol", text))
        return true;
    for (char *at = text, *end; at != NULL; at = end) {
        end = strchr(at, ',');
        if (end != NULL)
            *end++ = '\0';
        at += strspn(at, " \t");
        size_t bytes = strlen(at);
        while (bytes > 0 && (at[bytes - 1] == ' ' || at[bytes - 1] == '\t'))
            at[--bytes] = '\0';
        if (bytes == 0)
            continue;
        if (!is_token(at, bytes))
            return false;
        for (size_t i = 0; i < count; i++)
            if (strcmp(names[i], at) == 0)
                return false;
        names[count++] = at;
        if (count > 64)
            return false;
    }
    return count > 0;
}

static int oracle_check(const struct http1_request *request)
{
    uint32_t fields, upgrades = count_tokens(request, "upgrade", "websocket", &fields);
    uint32_t connections = count_tokens(request, "connection", "upgrade", &fields), versions, keys, origins;
    count_tokens(request, "origin", "", &origins);
    count_tokens(request, "sec-websocket-version", "", &versions);
    count_tokens(request, "sec-websocket-key", "", &keys);
    if (!slice_is(request->method, "GET"))
        return 405;
    if (upgrades == 0)
        return 426;
    if (request->minor_version == 0 || connections == 0 || request->chunked || request->content_length != 0 ||
        versions > 1)
        return 400;
    if (!slice_is(field(request, "sec-websocket-version"), "13"))
        return 426;
    if (keys != 1 || !oracle_key(field(request, "sec-websocket-key")) || origins > 1)
        return 400;
    return oracle_extensions(request) && oracle_protocols(request) ? 0 : 400;
}

static void expect_check(const struct http1_request *request)
{
    struct handshake handshake = {0};
    const char *why = NULL;
    int status = handshake_check(request, &handshake, &why);
    char accept[HANDSHAKE_ACCEPT_BYTES + 1], memory[256], wanted[256];
    struct buf out = buf_of(memory, sizeof memory);

    expect(status == oracle_check(request));
    expect(status == 0 || why != NULL);
    if (status != 0)
        return;
    oracle_accept(field(request, "sec-websocket-key"), accept);
    expect(strcmp(accept, handshake.accept) == 0);
    handshake_write(&out, &handshake, slice_text(""));
    int bytes = snprintf(wanted, sizeof wanted,
                         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: %s\r\n\r\n",
                         accept);
    expect(!out.overflow && slice_equal(buf_slice(&out), slice_of(wanted, (size_t)bytes)));
}

/* --- origins ------------------------------------------------------------------------------------------------------ */

/* Lower case, the port written out: origins are the same when these texts are. False: no origin. */
static bool canonical(struct slice text, const char *scheme, char *out, size_t room, struct slice *host)
{
    uint32_t port;
    size_t n = 0;
    if (scheme == NULL) {
        while (n < text.bytes && text.data[n] != ':')
            n++;
        if (n == 0 || text.bytes < n + 3 || memcmp(text.data + n, "://", 3) != 0)
            return false;
    }
    struct slice name = scheme == NULL ? slice_of(text.data, n) : slice_text(scheme);
    if (!http1_authority(scheme == NULL ? slice_skip(text, n + 3) : text, host, &port))
        return false;
    if (port == 0)
        port = same(name, "http") || same(name, "ws") ? 80 : same(name, "https") || same(name, "wss") ? 443 : 0;
    int bytes = snprintf(out, room, "%.*s://%.*s:%u", (int)name.bytes, (const char *)name.data, (int)host->bytes,
                         (const char *)host->data, port);
    expect(bytes > 0 && (size_t)bytes < room);
    for (char *c = out; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    return true;
}

#define ORIGIN_ROOM (2 * HTTP_HEAD_BYTES_MAX)

static void expect_origin(const struct http1_request *request)
{
    static char given[ORIGIN_ROOM], other[ORIGIN_ROOM], scheme[ORIGIN_ROOM], listed[ORIGIN_ROOM];
    static const char *const any[] = {"https://a.example", "*"};
    struct slice origin = field(request, "origin"), name, host;
    const char *const list[] = {"https://nowhere.example:1", listed};
    bool parses = origin.data != NULL && canonical(origin, NULL, given, sizeof given, &name);

    expect(handshake_origin_allowed(origin, request->host, any, 2));
    if (!parses) {
        expect(handshake_origin_allowed(origin, request->host, NULL, 0) == (origin.data == NULL));
        expect(handshake_origin_allowed(origin, request->host, any, 1) == (origin.data == NULL));
        return;
    }
    /* this host or a loopback name, any port of it */
    snprintf(scheme, sizeof scheme, "%.*s", (int)(strchr(given, ':') - given), given);
    bool here = same(name, "localhost") || slice_is(name, "127.0.0.1") || slice_is(name, "[::1]") ||
                (request->host.bytes > 0 && canonical(request->host, scheme, other, sizeof other, &host) &&
                 strcmp(given, other) == 0);
    expect(handshake_origin_allowed(origin, request->host, NULL, 0) == here);
    /* the same origin otherwise written, and one that is another */
    snprintf(listed, sizeof listed, "%s", given);
    expect(strstr(given, ":0") != NULL || handshake_origin_allowed(origin, request->host, list, 2));
    snprintf(listed, sizeof listed, "x%s", given);
    expect(!handshake_origin_allowed(origin, request->host, list, 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct http1_request request;
    uint8_t *copy = fuzz_copy(slice_of(data, bytes));
    size_t scanned = 0, head_bytes;
    const char *why;
    if (http1_parse_head(slice_of(copy, bytes), &scanned, &request, &head_bytes, &why) == HTTP1_OK) {
        expect_check(&request);
        expect_origin(&request);
    }
    free(copy);
    return 0;
}
