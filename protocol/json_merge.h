/* SPDX-License-Identifier: MIT */
/* Two JSON objects become one: objects by the same name are merged key by key, anything else by the same name is
 * replaced. */
#ifndef RINGCAST_PROTOCOL_JSON_MERGE_H
#define RINGCAST_PROTOCOL_JSON_MERGE_H

#include "core/buf.h"

/* Appends `older` (an object, valid) with the members of `newer` (likewise) put in or added behind: objects that both
 * have by one name are merged in the same way, down to `levels` levels of objects (1: only the members of the two
 * themselves). Names are compared with their escapes resolved; of a name that comes twice in one object the last
 * counts. Members keep their text. The result is never longer than both together. 0 or -ENOMEM, `out` then holds a
 * part. */
int json_merge(struct slice older, struct slice newer, uint32_t levels, struct buf *out);

#endif
