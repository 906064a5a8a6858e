/* SPDX-License-Identifier: MIT */
/* The session of the dialect crypto, and what is said to it. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_CRYPTO_CRYPTO_MESSAGES_H
#define RINGCAST_PROTOCOL_DIALECTS_CRYPTO_CRYPTO_MESSAGES_H

#include "protocol/dialects/crypto/crypto.h"

struct crypto_session {
    uint64_t number;        /* of the client id */
    uint64_t connected_ms;  /* wall clock, as is */
    uint64_t active_ms;     /* the time of the last message (C-23) */
    uint64_t over_since_ms; /* monotonic: since when the limit has been exceeded without a pause, */
    uint64_t over_last_ms;  /* and when it was last; both only if `over` */
    bool over;
    uint8_t endpoint; /* index */
    uint8_t count;
    uint8_t services[CRYPTO_SUBSCRIPTIONS_MAX]; /* in order of subscribing */
    struct crypto_query *query;                 /* of a REST request; owned */
};

/* C-28: an envelope is begun, then its `data` is appended to call->out->text, then it is sent. `id` is JSON text to be
 * echoed (C-26), or empty. */
size_t crypto_begin_message(struct dialect_call *call, const char *type);
void crypto_send_message(struct dialect_call *call, size_t mark, struct slice id);

void crypto_send_error(struct dialect_call *call, struct slice id, const char *message);
/* C-30 */
void crypto_send_established(struct dialect_call *call);
/* C-32 */
void crypto_send_welcome(struct dialect_call *call);
/* C-33 */
void crypto_send_confirmation(struct dialect_call *call, const char *type, const char *words,
                              enum crypto_service service, struct slice id);
/* C-23; as a message to subscribers of `system` with counts (C-37), else NULL. */
void crypto_send_status(struct dialect_call *call, const uint64_t *counts, struct slice id);

#endif
