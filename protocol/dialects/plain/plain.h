/* SPDX-License-Identifier: MIT */
/* The settings of the dialect plain; the rest of it is behind plain_dialect (plain.c). */
#ifndef RINGCAST_PROTOCOL_DIALECTS_PLAIN_PLAIN_H
#define RINGCAST_PROTOCOL_DIALECTS_PLAIN_PLAIN_H

#include "protocol/action.h"
#include "protocol/dialect.h"

#define PLAIN_CHANNELS_MAX 64 /* of one connection */

struct plain_settings {
    struct dialect_settings common;
    bool client_publish;
    uint64_t retain;
    uint64_t retain_age_ms;
    struct option_texts policy;
};

_Static_assert(PLAIN_CHANNELS_MAX <= SUBSCRIPTIONS_PER_CONNECTION_MAX, "all of one path can be subscribed to");

#endif
