/* SPDX-License-Identifier: MIT */
/* Owns the smallest parts of the HTTP/1.1 grammar: tokens, blanks, lists, authorities. It knows no message and keeps no state. Called
 * by the other files of http1, by handshake.c, extension.c and shards/config/forwarded.c. */
#include "protocol/http1_grammar.h"

#include "protocol/http1.h"

/* tchar of RFC 9110 section 5.6.2 */
const bool http1_is_tchar[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0'] = 1,  ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1,
    ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['A'] = 1,  ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,
    ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1,  ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1,
    ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1,
    ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1,  ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,
    ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1,  ['z'] = 1,
};

struct slice http1_trim(struct slice text)
{
    while (text.bytes > 0 && http1_is_blank(text.data[0]))
        text = slice_skip(text, 1);
    while (text.bytes > 0 && http1_is_blank(text.data[text.bytes - 1]))
        text.bytes--;
    return text;
}

size_t http1_token_bytes(struct slice text)
{
    size_t bytes = 0;
    while (bytes < text.bytes && http1_is_tchar[text.data[bytes]])
        bytes++;
    return bytes;
}

bool http1_split_next(struct slice *text, uint8_t separator, struct slice *part)
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

/* --- authority ---------------------------------------------------------------------------------------------------- */

/* reg-name of RFC 3986 section 3.2.2; an IPv4 address is one too. */
static bool reg_name_valid(struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++) {
        uint8_t c = name.data[i];
        if (c == '%') {
            if (name.bytes - i < 3 || http1_hex_value(name.data[i + 1]) < 0 || http1_hex_value(name.data[i + 2]) < 0)
                return false;
            i += 2;
            continue;
        }
        bool alphanumeric = http1_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
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
        if (http1_hex_value(c) < 0 && c != ':' && c != '.')
            return 0;
    }
    return 0;
}

static bool port_parse(struct slice digits, uint32_t *port)
{
    uint32_t value = 0;

    for (size_t i = 0; i < digits.bytes; i++) {
        if (!http1_is_digit(digits.data[i]))
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

/* Four numbers up to 255 (RFC 3986 section 3.2.2). */
static bool is_ipv4(struct slice host)
{
    struct slice part;
    uint32_t parts = 0;
    for (; http1_split_next(&host, '.', &part); parts++) {
        uint32_t value = 0;
        if (part.bytes == 0 || part.bytes > 3)
            return false;
        for (size_t i = 0; i < part.bytes; i++) {
            if (!http1_is_digit(part.data[i]))
                return false;
            value = value * 10 + (uint32_t)(part.data[i] - '0');
        }
        if (value > 255)
            return false;
    }
    return parts == 4;
}

bool http1_host_known(struct slice text, const char *const *names, uint32_t count)
{
    static const char below[] = ".localhost"; /* RFC 6761 section 6.3 */
    struct slice host;
    uint32_t port;
    if (!http1_authority(text, &host, &port))
        return false;
    if (host.data[0] == '[' || is_ipv4(host) || slice_is_nocase(host, "localhost"))
        return true;
    size_t tail = sizeof below - 1;
    if (host.bytes > tail && slice_is_nocase(slice_skip(host, host.bytes - tail), below))
        return true;
    for (uint32_t i = 0; i < count; i++)
        if (slice_is_nocase(host, names[i]))
            return true;
    return false;
}
