/* SPDX-License-Identifier: MIT */
/* Base64 as RFC 4648 section 4 writes it: padded, nothing between, and the bits that padding leaves over are zero
 * (section 3.5). */
#ifndef RINGCAST_PROTOCOL_BASE64_H
#define RINGCAST_PROTOCOL_BASE64_H

#include "core/buf.h"

bool base64_valid(struct slice text);
/* Appends what the text stands for, three quarters of its length at most; false when it is not valid or does not
 * fit: then what stands behind the bytes that are used has been written over. `out` may begin where the text does. */
bool base64_decode(struct slice text, struct buf *out);
/* Appends the text that stands for the bytes, four for each three begun. */
void base64_encode(struct slice bytes, struct buf *out);

#endif
