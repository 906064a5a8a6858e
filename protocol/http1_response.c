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
