/* SPDX-License-Identifier: MIT */
/* The shapes of the messages that the dialect and its hub send, member by member (E-2): begin, members, end. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_MESSAGES_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_MESSAGES_H

#include "core/buf.h"

void message_begin(struct buf *out, const char *type);
void message_text(struct buf *out, const char *name, struct slice text);   /* a string */
void message_literal(struct buf *out, const char *name, const char *text); /* likewise, of ours */
void message_json(struct buf *out, const char *name, struct slice json);   /* nothing when data is NULL */
void message_u64(struct buf *out, const char *name, uint64_t value);
void message_iso(struct buf *out, const char *name, uint64_t wall_ms); /* ISO-s */
/* `,"NAME":` */
void message_member(struct buf *out, const char *name);
/* An object of the members of `json` (an object) that are no objects or arrays, as many as fit into `bytes_max`
 * (Q-23). */
void message_scalars(struct buf *out, struct slice json, size_t bytes_max);
/* request_id when `id` (JSON) is there, timestamp, and the end. */
void message_end(struct buf *out, struct slice id, uint64_t wall_ms);

/* E-70. The sentence is the error's; `details` is JSON, data NULL: none. */
enum message_fault {
#define FAULT(code, sentence) FAULT_##code,
#include "protocol/dialects/emprops/faults.def"
#undef FAULT
};

void message_error(struct buf *out, enum message_fault fault, struct slice details, struct slice id, uint64_t wall_ms);
/* INVALID_PARAMETERS with the path of a field, what is wrong, and its value (JSON; data NULL: left out). */
void message_invalid(struct buf *out, const char *field, const char *what, struct slice value, struct slice id,
                     uint64_t wall_ms);
/* E-71; nothing when `id` is not there. */
void message_ack(struct buf *out, struct slice id, struct slice type, const char *status, uint64_t wall_ms);

#endif
