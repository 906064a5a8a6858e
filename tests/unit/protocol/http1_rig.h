/* SPDX-License-Identifier: MIT */
/* What fills a head or a chunk line up to its limit. */
#ifndef RINGCAST_TESTS_UNIT_PROTOCOL_HTTP1_RIG_H
#define RINGCAST_TESTS_UNIT_PROTOCOL_HTTP1_RIG_H

#include "core/buf.h"

static inline void put_filler(struct buf *head, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_put_byte(head, 'x');
}

#endif
