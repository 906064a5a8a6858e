/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 (RFC 9110, 9112), the server's side: one strict grammar for request heads, bodies by Content-Length or chunks,
 * and a response writer. CRLF only, no obs-fold, no white space before a colon, Content-Length xor Transfer-Encoding. */
#ifndef RINGCAST_PROTOCOL_HTTP1_H
#define RINGCAST_PROTOCOL_HTTP1_H

#include "core/buf.h"
#include "core/limits.h"

struct http1_header {
    struct slice name;
    struct slice value; /* without surrounding white space */
};

/* Slices into the head that was parsed (or at a literal: the path of an absolute-form without one is "/"). */
struct http1_request {
    struct slice method;
    struct slice target; /* as sent */
    /* Of origin-form or absolute-form, not decoded (see http1_path_normalize); begins with '/' ("*" for OPTIONS *). */
    struct slice path;
    struct slice query;    /* behind '?', without it */
    struct slice host;     /* the Host field, or the authority of absolute-form; no bytes in HTTP/1.0 without either */
    uint8_t minor_version; /* 1.0 or 1.1 */
    bool keep_alive;       /* the connection may carry another request */
    bool expect_continue;  /* content follows and the client waits for 100 */
    bool chunked;
    uint64_t content_length; /* 0 when absent or chunked */
    uint32_t header_count;
    struct http1_header headers[HTTP_HEADERS_MAX];
};

enum http1_result {
    HTTP1_OK = 0,
    HTTP1_NEED_MORE = 1,
    /* else an HTTP status to refuse with: 400, 414, 417, 431, 501, 505 */
};

/* Parses a whole request head at the front of `input`. `scanned` (0 at first) remembers how far the search for the end of
 * the head has come, so that a head that trickles in is not scanned again and again. HTTP1_OK: *request is filled and
 * *head_bytes is the length of the head. HTTP1_NEED_MORE: call again with the same bytes and more. A status: refuse and
 * close; *why is a short literal. Errors in a line are found when the line is complete. One empty line in front of the request
 * line is passed over (RFC 9112 section 2.2) and counts in *head_bytes. */
int http1_parse_head(struct slice input, size_t *scanned, struct http1_request *request, size_t *head_bytes,
                     const char **why);

/* The value of the first field of that name (case-insensitive); data == NULL when absent. */
struct slice http1_header(const struct http1_request *request, const char *name);
uint32_t http1_header_count(const struct http1_request *request, const char *name);
/* Whether the comma-separated lists of all fields of that name hold the token (case-insensitive). */
bool http1_header_has_token(const struct http1_request *request, const char *name, const char *token);
/* Without blanks at either end. */
struct slice http1_trim(struct slice text);
/* Takes what stands before the first `separator`, or all; the separator is taken too. False at the end of the text. */
bool http1_split_next(struct slice *text, uint8_t separator, struct slice *part);
/* Bytes of the token (RFC 9110 section 5.6.2) at the front of the text; 0: none. */
size_t http1_token_bytes(struct slice text);
/* The type/subtype of Content-Type equals `type` (case-insensitive, parameters ignored). */
bool http1_content_type_is(const struct http1_request *request, const char *type);

/* Splits "host", "host:port" or "[IPv6]:port" (RFC 3986 section 3.2) and checks it; the host keeps its brackets, *port is 0
 * when there is none. False: empty host, user information or any other fault. */
bool http1_authority(struct slice text, struct slice *host, uint32_t *port);

/* Whether a Host value is one that a page of another site cannot have had resolved to this machine (DNS rebinding): "localhost" or a name
 * below it, an address, or one of `names`, whatever the port. */
bool http1_host_known(struct slice host, const char *const *names, uint32_t count);

/* The path with each percent-encoded letter, digit, "-", ".", "_" and "~" as that character, which means the same (RFC 3986 section
 * 6.2.2.2); written to `out`, which has room for as many bytes as the path has. Other escapes stay, so "%2F" separates nothing and
 * decoding later decodes once. With a bad escape anywhere it is the path as it was. */
struct slice http1_path_normalize(struct slice path, struct buf *out);
/* Percent-decodes into `out`; false on a bad escape or overflow. */
bool http1_percent_decode(struct slice text, struct buf *out);
/* The first value of `name` in an application/x-www-form-urlencoded query, decoded into `out` ('+' is a space): 1 found, 0
 * absent, -1 bad escape or overflow. */
int http1_query_get(struct slice query, const char *name, struct buf *out);

enum http1_body_result {
    HTTP1_BODY_MORE,  /* input used up */
    HTTP1_BODY_PART,  /* *part is a piece of the content, inside the input */
    HTTP1_BODY_END,   /* content and trailer are complete; input stands behind them */
    HTTP1_BODY_BAD,   /* malformed chunk: 400 and close */
    HTTP1_BODY_LARGE, /* more than bytes_max: 413 and close */
};

struct http1_body {
    uint64_t left; /* of the content or the present chunk */
    uint64_t total;
    uint64_t bytes_max;
    uint32_t line_bytes; /* of the present chunk-size line or trailer */
    uint8_t state;       /* private */
    bool chunked;
};

void http1_body_init(struct http1_body *body, const struct http1_request *request, uint64_t bytes_max);
enum http1_body_result http1_body_next(struct http1_body *body, struct slice *input, struct slice *part);

/* A response as whoever answers thinks of it. What a status owes beyond that the writer adds: see http1_response. */
struct http1_answer {
    int status;
    const char *content_type; /* NULL: none */
    struct slice content;
    const char *extra; /* further header lines with CRLF; NULL or "": none */
    const char
        *allow; /* "GET, HEAD": the methods of the resource, of each 405 and of what answers OPTIONS; else NULL */
    uint32_t retry_after_s; /* of a 429 or 503; 0: HTTP_RETRY_AFTER_S */
    bool varies_by_origin;  /* another Origin might have got another answer */
};

/* The connection and the request that it answers. */
struct http1_manner {
    struct slice date; /* of this second (timestamp_put_http); no bytes: there is no clock */
    bool keep_alive;   /* the connection goes on behind it */
    bool head_only;    /* the request was HEAD */
    uint8_t minor_version;
};

#define HTTP_RETRY_AFTER_S 5

/* A whole response, the only writer of them but handshake_write, whose the 101 is. Status line, Date, Content-Type,
 * Content-Length, Connection, and what the status owes (RFC 9110, table in http.md): a challenge with 401, Allow with 405,
 * Accept-Encoding with 415, Upgrade and Sec-WebSocket-Version with 426, Retry-After with 429 and 503; then `extra` and the content,
 * which is left out for HEAD. 100 and 204 have neither Content-Length nor content (section 8.6); 100 has no fields at all. */
void http1_response(struct buf *out, const struct http1_answer *answer, const struct http1_manner *manner);
/* The reason phrase of a status that we send; "" for any other. */
const char *http1_reason(int status);

#endif
