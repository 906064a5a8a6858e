/* SPDX-License-Identifier: MIT */
/* Filters of the chain channels, and their canonical union: the variant of a membership. Subscriptions of one
 * connection to one channel become one variant, so that an event that fits several of them arrives once, and
 * equal unions are equal bytes, so that a filter class is evaluated once for all its members. A variant is a row of
 * filters, sorted, each:
 *
 *   byte 0-1  confirmation level, big-endian; 0 on channels without levels
 *   byte 2    '*' any event of that level, '=' events of that key, '^' events whose key begins so
 *   byte 3    bytes of the key, 0 with '*'
 *   then      the key
 */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_FILTER_H
#define RINGCAST_PROTOCOL_DIALECTS_RUSTORIUM_CHAIN_FILTER_H

#include "core/buf.h"
#include "core/limits.h"
#include "protocol/event.h"

#define CHAIN_FILTER_KEY_BYTES_MAX 128
#define CHAIN_FILTER_BYTES_MAX (4 + CHAIN_FILTER_KEY_BYTES_MAX)

enum chain_filter_kind {
    CHAIN_FILTER_ANY = '*',
    CHAIN_FILTER_KEY = '=',
    CHAIN_FILTER_PREFIX = '^',
};

struct chain_filter {
    uint32_t level;
    enum chain_filter_kind kind;
    struct slice key;
};

void chain_filter_put(struct buf *out, const struct chain_filter *filter);
/* Takes the filter at the front of *variant; false at its end. */
bool chain_filter_next(struct slice *variant, struct chain_filter *filter);
/* Appends the union of encoded filters, which it sorts where they stand; what a '*' of the same level covers is left
 * out. */
void chain_filter_union(struct slice *filters, size_t count, struct buf *out);
/* Whether the event fits one filter of the variant. */
bool chain_filter_matches(struct slice variant, const struct event *event);

_Static_assert(SUBSCRIPTIONS_PER_CONNECTION_MAX *CHAIN_FILTER_BYTES_MAX <= VARIANT_BYTES_MAX,
               "any union fits a variant");

#endif
