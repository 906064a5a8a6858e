/* SPDX-License-Identifier: MIT */
/* How connections ended, counted by WebSocket close code. */
#ifndef RINGCAST_BENCH_ENDS_H
#define RINGCAST_BENCH_ENDS_H

#include <stddef.h>
#include <stdint.h>

#define ENDS_CODES_MAX 16
#define ENDS_WITHOUT_CLOSE 1006 /* no close frame (RFC 6455 section 7.1.5) */

struct ends {
    struct {
        uint16_t code;
        uint64_t count;
    } rows[ENDS_CODES_MAX];
    size_t used;
    uint64_t others; /* of codes that found no row */
};

static inline void ends_add(struct ends *ends, uint16_t code, uint64_t count)
{
    size_t at = 0;
    while (at < ends->used && ends->rows[at].code != code)
        at++;
    if (at == ENDS_CODES_MAX) {
        ends->others += count;
        return;
    }
    if (at == ends->used)
        ends->rows[ends->used++].code = code;
    ends->rows[at].count += count;
}

static inline void ends_merge(struct ends *into, const struct ends *from)
{
    for (size_t i = 0; i < from->used; i++)
        ends_add(into, from->rows[i].code, from->rows[i].count);
    into->others += from->others;
}

static inline uint64_t ends_total(const struct ends *ends)
{
    uint64_t total = ends->others;
    for (size_t i = 0; i < ends->used; i++)
        total += ends->rows[i].count;
    return total;
}

#endif
