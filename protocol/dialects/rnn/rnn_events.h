/* SPDX-License-Identifier: MIT */
/* The event messages of outside (N-39 to N-50): their types, fields and values. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_EVENTS_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_EVENTS_H

#include "protocol/dialects/rnn/shapes.h"

struct rnn_event {
    const char *type;
    const struct shape_field *fields; /* of its payload */
};

/* The event of that type, or NULL. */
const struct rnn_event *rnn_event_find(struct slice type);

#endif
