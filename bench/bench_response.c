/* SPDX-License-Identifier: MIT */
/* Owns the reading of response heads (RFC 9112 section 4). It never judges a status. Called by handshakes and by
 * publishers over HTTP. */
#include "bench/bench_response.h"

static bool take_line(struct slice *input, struct slice *line)
{
    for (size_t i = 0; i + 1 < input->bytes; i++) {
        if (input->data[i] != '\r' || input->data[i + 1] != '\n')
            continue;
        *line = slice_of(input->data, i);
        *input = slice_skip(*input, i + 2);
        return true;
    }
    return false;
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

static bool digits(struct slice text, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || *value > UINT64_MAX / 10 - 9)
            return false;
        *value = *value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.bytes > 0;
}

/* "HTTP/1.1 101 Switching Protocols" */
static bool status_line(struct slice line, struct response *response)
{
    uint64_t status;
    if (!slice_starts(line, slice_text("HTTP/1.")) || line.bytes < 12 || line.data[8] != ' ' ||
        !digits(slice_of(line.data + 9, 3), &status))
        return false;
    response->status = (int)status;
    return true;
}

static bool field_line(struct slice line, struct response *response)
{
    const uint8_t *colon = memchr(line.data, ':', line.bytes);
    if (!colon)
        return false;
    struct slice name = slice_of(line.data, (size_t)(colon - line.data));
    struct slice value = trim(slice_skip(line, name.bytes + 1));
    if (slice_is_nocase(name, "Upgrade"))
        response->upgrade = value;
    else if (slice_is_nocase(name, "Sec-WebSocket-Accept"))
        response->accept = value;
    else if (slice_is_nocase(name, "Sec-WebSocket-Extensions"))
        response->extensions = value;
    else if (slice_is_nocase(name, "Sec-WebSocket-Protocol"))
        response->protocol = value;
    else if (slice_is_nocase(name, "Content-Length"))
        return response->sized = digits(value, &response->content_bytes);
    return true;
}

enum response_result response_parse(struct slice input, struct response *response)
{
    *response = (struct response){0};
    struct slice rest = input;
    struct slice line;
    if (!take_line(&rest, &line))
        return input.bytes >= 5 && memcmp(input.data, "HTTP/", 5) != 0 ? RESPONSE_BAD : RESPONSE_MORE;
    if (!status_line(line, response))
        return RESPONSE_BAD;
    while (take_line(&rest, &line)) {
        if (line.bytes == 0) {
            response->head_bytes = input.bytes - rest.bytes;
            return RESPONSE_OK;
        }
        if (!field_line(line, response))
            return RESPONSE_BAD;
    }
    return RESPONSE_MORE;
}
