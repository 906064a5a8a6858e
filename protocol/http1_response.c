/* SPDX-License-Identifier: MIT */
/* Owns the writing of responses and their reason phrases. It never sends and never chooses a status. Called by conn_write.c. */
#include "protocol/http1.h"

#include "core/check.h"

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
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
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

static void put_field(struct buf *out, const char *name, struct slice value)
{
    buf_put_text(out, name);
    buf_put_text(out, ": ");
    buf_put(out, value);
    buf_put_text(out, "\r\n");
}

/* RFC 9112 section 9.3: a peer of HTTP/1.0 takes a connection for closed unless it is told. Section 9.6: close. Whoever sends
 * Upgrade names it here (RFC 9110 section 7.8). */
static void put_connection(struct buf *out, int status, const struct http1_manner *manner)
{
    const char *persistence = !manner->keep_alive ? "close" : manner->minor_version == 0 ? "keep-alive" : "";
    const char *upgrade = status == 426 ? "Upgrade" : "";
    if (persistence[0] == '\0' && upgrade[0] == '\0')
        return;
    buf_put_text(out, "Connection: ");
    buf_put_text(out, persistence);
    buf_put_text(out, persistence[0] != '\0' && upgrade[0] != '\0' ? ", " : "");
    buf_put_text(out, upgrade);
    buf_put_text(out, "\r\n");
}

/* What a status owes whoever gets it. */
static void put_duties(struct buf *out, const struct http1_answer *answer)
{
    if (answer->status == 401) /* RFC 9110 section 15.5.2 */
        put_field(out, "WWW-Authenticate", slice_text("Bearer"));
    if (answer->allow != NULL) /* section 15.5.6; sections 9.3.7, 10.2.1 */
        put_field(out, "Allow", slice_text(answer->allow));
    if (answer->status == 415) /* section 15.5.16: no coding is understood */
        put_field(out, "Accept-Encoding", slice_text("identity"));
    if (answer->status == 426) { /* section 15.5.22, RFC 6455 section 4.4 */
        put_field(out, "Upgrade", slice_text("websocket"));
        put_field(out, "Sec-WebSocket-Version", slice_text("13"));
    }
    if (answer->status == 429 || answer->status == 503) { /* RFC 6585 section 4, RFC 9110 section 10.2.3 */
        buf_put_text(out, "Retry-After: ");
        buf_put_u64(out, answer->retry_after_s == 0 ? HTTP_RETRY_AFTER_S : answer->retry_after_s);
        buf_put_text(out, "\r\n");
    }
    if (answer->varies_by_origin) /* section 12.5.5 */
        put_field(out, "Vary", slice_text("Origin"));
}

void http1_response(struct buf *out, const struct http1_answer *answer, const struct http1_manner *manner)
{
    int status = answer->status;
    check(status >= 100 && status <= 999 && status != 101);
    check(status != 405 || answer->allow != NULL);
    bool final = status >= 200, has_content = final && status != 204;

    buf_put_text(out, "HTTP/1.1 ");
    buf_put_u64(out, (uint64_t)status);
    buf_put_byte(out, ' ');
    buf_put_text(out, http1_reason(status));
    buf_put_text(out, "\r\n");
    if (final && manner->date.bytes > 0)
        put_field(out, "Date", manner->date);
    if (has_content && answer->content_type != NULL)
        put_field(out, "Content-Type", slice_text(answer->content_type));
    if (has_content) {
        buf_put_text(out, "Content-Length: ");
        buf_put_u64(out, answer->content.bytes);
        buf_put_text(out, "\r\n");
    }
    if (final) {
        put_connection(out, status, manner);
        put_duties(out, answer);
        buf_put_text(out, answer->extra == NULL ? "" : answer->extra);
    }
    buf_put_text(out, "\r\n");
    if (has_content && !manner->head_only)
        buf_put(out, answer->content);
}
