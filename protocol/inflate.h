/* SPDX-License-Identifier: MIT */
/* The receiving half of permessage-deflate (RFC 7692 section 7.2.2): a pull reader that turns the payload of one
 * compressed message into its content, bounded and, if it is text, checked as UTF-8. */
#ifndef RINGCAST_PROTOCOL_INFLATE_H
#define RINGCAST_PROTOCOL_INFLATE_H

#include "core/buf.h"

enum inflate_result {
    INFLATE_MORE,  /* the input is used up and was not the last */
    INFLATE_FULL,  /* `out` is full: take what is in it, give room, call again with what is left of the input */
    INFLATE_END,   /* the message is complete */
    INFLATE_ERROR, /* inflate_fault says what; sticky until inflate_begin */
};

/* Needed while a message is read and by nobody between two messages: client_no_context_takeover always holds. */
struct inflater;

#define INFLATER_BYTES (48U << 10)

/* Makes an inflater in INFLATER_BYTES of the caller's memory, aligned to 16, which it never leaves; there is nothing to
 * destroy. */
struct inflater *inflater_place(void *memory, size_t bytes);
/* Begins a message, whatever became of the one before: of at most bytes_max bytes when inflated (beyond: 1009), checked
 * as UTF-8 when `text`. */
void inflate_begin(struct inflater *inflater, uint64_t bytes_max, bool text);
/* Takes from *input, unmasked payload of the message, which it moves on, and appends to `out`. `last`: nothing comes
 * behind *input, as ws_event says it. A payload that lies in one piece takes one call when `out` has room for more
 * than the content, or for bytes_max. What is in `out` before INFLATE_END may yet turn out to be the front of a bad
 * message. */
enum inflate_result inflate_next(struct inflater *inflater, struct slice *input, bool last, struct buf *out);
/* The close code behind INFLATE_ERROR (1007 or 1009), and in *reason a literal for the close frame. */
uint16_t inflate_fault(const struct inflater *inflater, const char **reason);

#endif
