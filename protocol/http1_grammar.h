/* SPDX-License-Identifier: MIT */
/* What the files of http1 share: classes of characters (RFC 9110 sections 5.5, 5.6). Nobody else
 * includes it. */
#ifndef RINGCAST_PROTOCOL_HTTP1_GRAMMAR_H
#define RINGCAST_PROTOCOL_HTTP1_GRAMMAR_H

#include "core/bytes.h"

/* tchar of RFC 9110 section 5.6.2 */
extern const bool http1_is_tchar[256];

/* A byte of a field value: VCHAR, obs-text, SP, HTAB (RFC 9110 section 5.5). */
static inline bool http1_is_field_byte(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7F);
}

static inline bool http1_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline int http1_hex_value(uint8_t c)
{
    uint8_t low = ascii_lower(c);
    return http1_is_digit(c) ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static inline bool http1_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

#endif
