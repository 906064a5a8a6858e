/* SPDX-License-Identifier: MIT */
/* The client's half of the opening handshake (RFC 6455 section 4.1), and the answers to POSTs, which are read alike. */
#ifndef RINGCAST_BENCH_OPENING_H
#define RINGCAST_BENCH_OPENING_H

#include "bench/bench_outgoing.h"
#include "bench/bench_url.h"
#include "core/random.h"
#include "protocol/handshake.h"

#define OPENING_BYTES_MAX 4096 /* of a response's head, or what is shown of a refusal */

struct opening {
    char accept[HANDSHAKE_ACCEPT_BYTES + 1]; /* what the server has to answer */
    uint32_t used;
    uint8_t data[OPENING_BYTES_MAX];
};

enum opening_result {
    OPENING_MORE,
    OPENING_DONE,
    OPENING_REFUSED, /* `why` says it */
};

/* Puts the upgrade request for that path into `out`; `bearer` may be empty. */
void opening_request(struct opening *opening, struct outgoing *out, struct random *random, const struct url *url,
                     const char *channel, const char *bearer);
/* Takes from *input; on OPENING_DONE it stands behind the response. `ended`: nothing more will come. */
enum opening_result opening_response(struct opening *opening, struct slice *input, bool ended, struct buf *why);
/* The same for the answer to a POST: done when it is 2xx and its content is complete. */
enum opening_result opening_answer(struct opening *opening, struct slice *input, bool ended, struct buf *why);

/* Base64 (RFC 4648 section 4) of at most SIZE_MAX / 2 bytes; returns the characters written: 4 per 3 bytes begun. */
size_t base64_write(uint8_t *out, struct slice bytes);

#endif
