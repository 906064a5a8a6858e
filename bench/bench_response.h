/* SPDX-License-Identifier: MIT */
/* The client's side of HTTP/1.1 responses: as much as a handshake and a POST need. */
#ifndef RINGCAST_BENCH_RESPONSE_H
#define RINGCAST_BENCH_RESPONSE_H

#include "core/bytes.h"

struct response {
    int status;
    size_t head_bytes;
    bool sized; /* Content-Length was there */
    uint64_t content_bytes;
    struct slice upgrade; /* inside the input; empty when absent */
    struct slice accept;  /* Sec-WebSocket-Accept */
    struct slice extensions;
    struct slice protocol;
};

enum response_result {
    RESPONSE_MORE, /* the head is not complete */
    RESPONSE_OK,
    RESPONSE_BAD, /* not HTTP/1.1 */
};

enum response_result response_parse(struct slice input, struct response *response);

#endif
