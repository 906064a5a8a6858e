/* SPDX-License-Identifier: MIT */
/* The opening handshake of RFC 6455 section 4.2: which requests may upgrade, the 101 that answers them, and the comparison of
 * origins. It never sends and keeps nothing; SHA-1 and base64 are wolfCrypt's. session code calls it once per connection,
 * behind http1 and before the dialect. */
#include "protocol/handshake.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/sha.h>

#include "core/check.h"
#include "core/poison.h"
#include "protocol/extension.h"
#include "protocol/http1.h"

#define KEY_BYTES 24     /* base64 of 16 bytes: 22 characters and two of padding */
#define PROTOCOLS_MAX 64 /* names in Sec-WebSocket-Protocol: each is compared with all others */
#define KEY_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */

static int refuse(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

static bool is_base64_character(uint8_t c)
{
    uint8_t low = ascii_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* Whether the text decodes to 16 bytes: then it has just this shape. */
static bool key_valid(struct slice key)
{
    if (key.bytes != KEY_BYTES || key.data[KEY_BYTES - 2] != '=' || key.data[KEY_BYTES - 1] != '=')
        return false;
    for (size_t i = 0; i < KEY_BYTES - 2; i++)
        if (!is_base64_character(key.data[i]))
            return false;
    return true;
}

/* RFC 6455 section 4.2.2 item 5.4: base64(SHA-1(key GUID)) */
static void accept_compute(struct slice key, struct handshake *handshake)
{
    wc_Sha sha;
    uint8_t digest[WC_SHA_DIGEST_SIZE];
    word32 bytes = HANDSHAKE_ACCEPT_BYTES;

    check(wc_InitSha(&sha) == 0);
    check(wc_ShaUpdate(&sha, key.data, (word32)key.bytes) == 0);
    check(wc_ShaUpdate(&sha, (const uint8_t *)KEY_GUID, sizeof(KEY_GUID) - 1) == 0);
    check(wc_ShaFinal(&sha, digest) == 0);
    wc_ShaFree(&sha);
    check(Base64_Encode_NoNl(digest, sizeof(digest), (uint8_t *)handshake->accept, &bytes) == 0);
    check_op(bytes, ==, HANDSHAKE_ACCEPT_BYTES);
    unpoison(handshake->accept, HANDSHAKE_ACCEPT_BYTES);
    handshake->accept[HANDSHAKE_ACCEPT_BYTES] = '\0';
}

/* Whether the text was added to these before; it is added. */
static bool is_repeated(struct slice text, struct slice *seen, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_equal(seen[i], text))
            return true;
    seen[count] = text;
    return false;
}

/* Sec-WebSocket-Protocol of all fields is 1#token, all of them different (RFC 6455 sections 4.1 item 10, 4.3). None is ever chosen:
 * this only finds out whether the request is one. */
static int check_protocols(const struct http1_request *request, const char **why)
{
    struct slice seen[PROTOCOLS_MAX];
    uint32_t fields = http1_header_count(request, "sec-websocket-protocol"), count = 0;

    for (uint32_t i = 0; i < request->header_count; i++) {
        struct slice list = request->headers[i].value, item;
        if (!slice_is_nocase(request->headers[i].name, "sec-websocket-protocol"))
            continue;
        while (http1_split_next(&list, ',', &item)) {
            item = http1_trim(item);
            if (item.bytes == 0)
                continue; /* RFC 9110 section 5.6.1.2 */
            if (http1_token_bytes(item) != item.bytes)
                return refuse(why, 400, "Sec-WebSocket-Protocol is not a list of tokens");
            if (count == PROTOCOLS_MAX)
                return refuse(why, 400, "more than 64 names in Sec-WebSocket-Protocol");
            if (is_repeated(item, seen, count++))
                return refuse(why, 400, "Sec-WebSocket-Protocol names one twice");
        }
    }
    if (fields > 0 && count == 0)
        return refuse(why, 400, "Sec-WebSocket-Protocol without a name");
    return 0;
}

int handshake_check_origin(const struct http1_request *request, const char **why)
{
    return http1_header_count(request, "origin") > 1 ? refuse(why, 400, "Origin repeated") : 0;
}

/* Numbers are the items of RFC 6455 section 4.2.1. */
int handshake_check(const struct http1_request *request, struct handshake *handshake, const char **why)
{
    if (!slice_is(request->method, "GET"))
        return refuse(why, 405, "not GET"); /* 1 */
    if (!http1_header_has_token(request, "upgrade", "websocket"))
        return refuse(why, 426, "no upgrade to websocket"); /* 3; RFC 9110 section 15.5.22 */
    if (request->minor_version != 1)
        return refuse(why, 400, "upgrade in HTTP/1.0"); /* 1; RFC 9110 section 7.8 */
    if (!http1_header_has_token(request, "connection", "upgrade"))
        return refuse(why, 400, "Upgrade not in Connection"); /* 4 */
    if (request->chunked || request->content_length > 0)
        return refuse(why, 400, "upgrade with content"); /* its bytes could be taken for frames */
    if (http1_header_count(request, "sec-websocket-version") > 1)
        return refuse(why, 400, "Sec-WebSocket-Version repeated"); /* section 11.3.5 */
    if (!slice_is(http1_header(request, "sec-websocket-version"), "13"))
        return refuse(why, 426, "WebSocket version other than 13"); /* 6; section 4.4 */
    if (http1_header_count(request, "sec-websocket-key") != 1)
        return refuse(why, 400, "Sec-WebSocket-Key missing or repeated"); /* 5; section 11.3.1 */
    struct slice key = http1_header(request, "sec-websocket-key");
    if (!key_valid(key))
        return refuse(why, 400, "invalid Sec-WebSocket-Key"); /* 5 */
    if (!extension_valid(request))
        return refuse(why, 400, "Sec-WebSocket-Extensions is not a list of names with parameters"); /* section 9.1 */
    int status = check_protocols(request, why);
    if (status == 0)
        status = handshake_check_origin(request, why); /* 7 */
    if (status != 0)
        return status;
    accept_compute(key, handshake);
    handshake->deflate = (struct deflate_parameters){0};
    return 0;
}

void handshake_write(struct buf *out, const struct handshake *handshake, struct slice date)
{
    buf_put_text(out, "HTTP/1.1 101 Switching Protocols\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: ");
    buf_put(out, slice_of(handshake->accept, HANDSHAKE_ACCEPT_BYTES));
    buf_put_text(out, "\r\n");
    if (date.bytes > 0) {
        buf_put_text(out, "Date: ");
        buf_put(out, date);
        buf_put_text(out, "\r\n");
    }
    extension_write(out, &handshake->deflate);
    buf_put_text(out, "\r\n");
}

/* --- origins ------------------------------------------------------------------------------------------------------ */

struct origin {
    struct slice scheme;
    struct slice host;
    uint32_t port; /* the scheme's default filled in; 0: the scheme has none */
};

static bool equal_nocase(struct slice a, struct slice b)
{
    if (a.bytes != b.bytes)
        return false;
    for (size_t i = 0; i < a.bytes; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

static uint32_t default_port(struct slice scheme)
{
    if (slice_is_nocase(scheme, "http") || slice_is_nocase(scheme, "ws"))
        return 80;
    return slice_is_nocase(scheme, "https") || slice_is_nocase(scheme, "wss") ? 443 : 0;
}

/* scheme "://" host [ ":" port ] (RFC 6454 section 7.1), nothing behind it */
static bool origin_parse(struct slice text, struct origin *origin)
{
    size_t scheme_bytes = 0;

    while (scheme_bytes < text.bytes && text.data[scheme_bytes] != ':')
        scheme_bytes++;
    struct slice rest = slice_skip(text, scheme_bytes);
    if (scheme_bytes == 0 || !slice_starts(rest, slice_text("://")))
        return false;
    origin->scheme = slice_of(text.data, scheme_bytes);
    if (!http1_authority(slice_skip(rest, 3), &origin->host, &origin->port))
        return false;
    if (origin->port == 0)
        origin->port = default_port(origin->scheme);
    return true;
}

/* "null" is what sandboxed frames, local files and redirected requests say, "file://" what some shells say for local files: neither
 * is scheme and host, both are compared as they stand. */
static bool is_opaque(struct slice origin)
{
    return slice_is(origin, "null") || slice_is_nocase(origin, "file://");
}

/* A host that begins with "*." stands for all hosts below the rest. */
static bool host_matches(struct slice pattern, struct slice host)
{
    if (!slice_starts(pattern, slice_text("*.")))
        return equal_nocase(pattern, host);
    struct slice rest = slice_skip(pattern, 1);
    return host.bytes > rest.bytes && equal_nocase(slice_skip(host, host.bytes - rest.bytes), rest);
}

static bool origin_matches(const struct origin *pattern, const struct origin *given)
{
    return equal_nocase(pattern->scheme, given->scheme) && pattern->port == given->port &&
           host_matches(pattern->host, given->host);
}

const char *handshake_origin_fault(const char *allowed)
{
    struct slice text = slice_text(allowed);
    struct origin origin;
    if (strcmp(allowed, "*") == 0 || is_opaque(text))
        return NULL;
    const char *authority = strstr(allowed, "://");
    if (authority == NULL || authority == allowed)
        return "has no scheme; write https://HOST";
    if (strpbrk(authority + 3, "/?#") != NULL)
        return "has something behind the host, which no browser sends; write SCHEME://HOST or SCHEME://HOST:PORT";
    if (!origin_parse(text, &origin) || origin.host.bytes == 0)
        return "is no origin; write SCHEME://HOST or SCHEME://HOST:PORT";
    struct slice name = slice_starts(origin.host, slice_text("*.")) ? slice_skip(origin.host, 2) : origin.host;
    if (name.bytes == 0 || memchr(name.data, '*', name.bytes) != NULL)
        return "has a * that can never match; write * alone, or SCHEME://*.HOST for all hosts below HOST";
    return NULL;
}

static bool is_loopback(struct slice host)
{
    return slice_is_nocase(host, "localhost") || slice_is(host, "127.0.0.1") || slice_is(host, "[::1]");
}

/* Host names no scheme: without a port it stands for the default of the origin's. */
static bool is_same_host(const struct origin *origin, struct slice host_field)
{
    struct slice host;
    uint32_t port;

    if (!http1_authority(host_field, &host, &port))
        return false;
    return equal_nocase(host, origin->host) && (port != 0 ? port : default_port(origin->scheme)) == origin->port;
}

bool handshake_origin_allowed(struct slice origin, struct slice host, const char *const *allowed, uint32_t count)
{
    struct origin given, listed;

    if (origin.data == NULL)
        return true;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(allowed[i], "*") == 0 || (is_opaque(origin) && slice_is_nocase(origin, allowed[i])))
            return true;
    if (!origin_parse(origin, &given))
        return false;
    if (count == 0)
        return is_loopback(given.host) || is_same_host(&given, host);
    for (uint32_t i = 0; i < count; i++)
        if (origin_parse(slice_text(allowed[i]), &listed) && origin_matches(&listed, &given))
            return true;
    return false;
}
