/* SPDX-License-Identifier: MIT */
/* Owns the part of HTTP/1.1 that the clients of the commands need: an address and a whole answer. It follows no
 * redirection and knows nothing of messages. Called by client_publish.c and client_subscribe.c. */
#include "shards/client/client_http.h"

#include "protocol/json.h"
#include "shards/client/client_link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int client_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("ringcast: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_FAILURE;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

bool client_is_visible(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

static bool take_port(struct client_url *url, const char *text)
{
    if (*text == '\0') {
        snprintf(url->port, sizeof url->port, "%s", url->secure ? "443" : "80");
        return true;
    }
    size_t digits = strspn(text + 1, "0123456789");
    snprintf(url->port, sizeof url->port, "%s", text + 1);
    return *text == ':' && digits > 0 && digits <= 5 && text[1 + digits] == '\0';
}

/* What stands behind "SCHEME://" or "SCHEMEs://", in any case (RFC 3986 section 3.1), or NULL. */
static const char *skip_scheme(const char *text, const char *scheme, bool *secure)
{
    size_t bytes = strlen(scheme);
    if (strncasecmp(text, scheme, bytes) != 0)
        return NULL;
    text += bytes;
    *secure = *text == 's' || *text == 'S';
    text += *secure ? 1 : 0;
    return strncmp(text, "://", 3) == 0 ? text + 3 : NULL;
}

bool client_url_parse(const char *text, const char *scheme, struct client_url *url)
{
    const char *authority = skip_scheme(text, scheme, &url->secure);
    if (authority == NULL || !client_is_visible(text))
        return false;
    size_t bytes = strcspn(authority, "/?#");
    if (bytes == 0 || bytes >= sizeof url->authority || strchr(text, '#') != NULL || authority[bytes] == '?')
        return false;
    snprintf(url->authority, sizeof url->authority, "%.*s", (int)bytes, authority);
    url->target = authority + bytes;

    bool v6 = url->authority[0] == '[';
    const char *host = url->authority + (v6 ? 1 : 0);
    size_t host_bytes = strcspn(host, v6 ? "]" : ":");
    if (host_bytes == 0 || host_bytes >= sizeof url->host || (v6 && host[host_bytes] != ']'))
        return false;
    snprintf(url->host, sizeof url->host, "%.*s", (int)host_bytes, host);
    return take_port(url, host + host_bytes + (v6 ? 1 : 0));
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

size_t client_head_bytes(const struct buf *answer)
{
    const uint8_t *end = memmem(answer->data, answer->used, CLIENT_HEAD_END, sizeof CLIENT_HEAD_END - 1);
    return end == NULL ? 0 : (size_t)(end - answer->data) + sizeof CLIENT_HEAD_END - 1;
}

int client_status(struct slice head)
{
    if (!slice_starts(head, slice_text("HTTP/1.")) || head.bytes < 13 || head.data[8] != ' ' ||
        (head.data[7] != '0' && head.data[7] != '1') || (head.data[12] != ' ' && head.data[12] != '\r'))
        return 0;
    int status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (head.data[i] < '0' || head.data[i] > '9')
            return 0;
        status = status * 10 + (head.data[i] - '0');
    }
    return status;
}

static struct slice trim(struct slice text)
{
    while (text.bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_skip(text, 1);
    while (text.bytes > 0 && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

bool client_head_next(struct slice *head, const char *name, struct slice *value)
{
    size_t name_bytes = strlen(name);
    while (head->bytes > 0) {
        const uint8_t *end = memmem(head->data, head->bytes, "\r\n", 2);
        size_t bytes = end == NULL ? head->bytes : (size_t)(end - head->data);
        struct slice line = slice_of(head->data, bytes);
        *head = slice_skip(*head, end == NULL ? bytes : bytes + 2);
        if (line.bytes > name_bytes && line.data[name_bytes] == ':' &&
            slice_is_nocase(slice_of(line.data, name_bytes), name)) {
            *value = trim(slice_skip(line, name_bytes + 1));
            return true;
        }
    }
    return false;
}

struct slice client_head_value(struct slice head, const char *name)
{
    struct slice value;
    return client_head_next(&head, name, &value) ? value : slice_of(NULL, 0);
}

/* Takes interim answers away (RFC 9110 section 15.2): 100 and its like announce another one. 101 is final. */
static void drop_interim(struct buf *answer)
{
    for (size_t head; (head = client_head_bytes(answer)) > 0;) {
        int status = client_status(buf_slice(answer));
        if (status < 100 || status > 199 || status == 101)
            return;
        memmove(answer->data, answer->data + head, answer->used - head);
        answer->used -= head;
    }
}

int client_receive_head(struct client_link *link, struct buf *answer)
{
    int n = 1;
    drop_interim(answer);
    while ((n > 0 || n == -EAGAIN) && client_head_bytes(answer) == 0) {
        n = client_link_receive(link, answer);
        drop_interim(answer);
    }
    if (client_head_bytes(answer) > 0)
        return 0;
    return n == 0 ? -ECONNRESET : n;
}

/* Whether the head and as much content as it announces are there; without Content-Length only the end of the stream
 * tells. */
static bool is_whole(const struct buf *answer)
{
    size_t head = client_head_bytes(answer);
    uint64_t content;
    return head > 0 && json_u64(client_head_value(slice_of(answer->data, head), "Content-Length"), &content) &&
           answer->used - head >= content;
}

int client_receive_answer(struct client_link *link, struct buf *answer)
{
    int n = client_receive_head(link, answer);
    if (n < 0)
        return n;
    for (n = 1; (n > 0 || n == -EAGAIN) && !is_whole(answer);)
        n = client_link_receive(link, answer);
    return 0;
}

int client_report_refusal(const struct buf *answer, size_t head)
{
    size_t line = strcspn((const char *)answer->data, "\r");
    return client_fail("refused: %.*s%s%.*s", (int)(line > 9 ? line - 9 : 0), (const char *)answer->data + 9,
                       answer->used > head ? " " : "", (int)(answer->used - head), (const char *)answer->data + head);
}
