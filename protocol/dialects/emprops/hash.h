/* SPDX-License-Identifier: MIT */
/* SHA-256 of chunked messages, as 64 hexadecimal digits (E-75). */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HASH_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HASH_H

#include "core/bytes.h"

#define HASH_TEXT_BYTES 64

/* NUL-terminated, lower case. */
void hash_text(struct slice data, char text[HASH_TEXT_BYTES + 1]);

#endif
