/* SPDX-License-Identifier: MIT */
/* The sending half of permessage-deflate (RFC 7692): what a connection has agreed on, and messages compressed one at a
 * time, each on its own (server_no_context_takeover), so that all receivers of a class share the result. */
#ifndef RINGCAST_PROTOCOL_DEFLATE_H
#define RINGCAST_PROTOCOL_DEFLATE_H

#include "core/buf.h"

#define DEFLATE_WINDOW_BITS_MIN 8 /* RFC 7692 section 7.1.2 */
#define DEFLATE_WINDOW_BITS_MAX 15

/* What a connection has agreed on. All zero: no compression. Both no_context_takeover parameters always hold. */
struct deflate_parameters {
    uint8_t window_bits;            /* our messages refer back at most 2^window_bits bytes; 0: not negotiated */
    uint8_t server_max_window_bits; /* in the answer; 0: left out */
    uint8_t client_max_window_bits; /* in the answer; 0: left out */
};

/* Receivers of the same class get the same bytes. */
#define DEFLATE_CLASS_PLAIN 0 /* not compressed */
#define DEFLATE_CLASSES 8     /* 1-7: windows of 9-15 bits */
uint8_t deflate_class(const struct deflate_parameters *parameters);
/* The smallest class whose frame of such a message is that of `class` too: a short message fits every window. Of what
 * this gives for the classes of its receivers, each is compressed once. */
uint8_t deflate_class_of_message(uint8_t class, size_t payload_bytes);
/* 9-15, of a class that is not plain: the argument of deflate_message. */
uint8_t deflate_class_window_bits(uint8_t class);

/* One for each thread; it keeps nothing from one message to the next. */
struct deflater;

#define DEFLATER_BYTES (288U << 10)
#define DEFLATER_TAIL_BYTES 5 /* room that a message needs in `out` beyond its own bytes */

/* Makes a deflater in DEFLATER_BYTES of the caller's memory, aligned to 16, which it never leaves; there is nothing to
 * destroy. `level`: 1 (fast) to 9 (small). */
struct deflater *deflater_place(void *memory, size_t bytes, int level);
/* Appends the payload compressed, as a frame with RSV1 carries it (RFC 7692 section 7.2.1), for receivers whose window
 * is at least 2^window_bits (8-15) bytes. The result depends on payload, level and deflate_class_of_message alone.
 * False: it does not fit; out->overflow is set and nothing appended. With a room of payload.bytes - 1 +
 * DEFLATER_TAIL_BYTES this means: send it as it is. */
bool deflate_message(struct deflater *deflater, struct slice payload, uint8_t window_bits, struct buf *out);

#endif
