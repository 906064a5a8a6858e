/* SPDX-License-Identifier: MIT */
/* A peer's half of permessage-deflate (RFC 7692): an offer, what became of it, and messages through zlib itself. */
#ifndef RINGCAST_TESTS_SIM_SIM_DEFLATE_H
#define RINGCAST_TESTS_SIM_SIM_DEFLATE_H

#include "core/bytes.h"
#include "core/random.h"

#include <zlib.h>

struct sim_deflate {
    uint8_t offer;   /* index + 1; 0: none is made */
    bool on;         /* agreed on: */
    int server_bits; /* windows */
    int client_bits;
    bool server_keeps; /* its window from message to message */
    bool client_keeps;
    z_stream in, out;
    uint8_t *text; /* the last message, either way */
    size_t capacity;
};

/* Chooses an offer; the text of its header line with CRLF, "" without one. */
void sim_deflate_choose(struct sim_deflate *deflate, struct random *random);
const char *sim_deflate_line(const struct sim_deflate *deflate);
/* The head of the 101. NULL, or what is wrong with it; `wanted`: whether an offer has to be accepted, else declined. */
const char *sim_deflate_agree(struct sim_deflate *deflate, struct slice head, bool wanted);

/* The message's text, good until the next call; false: it is none, or refers back beyond the window agreed on. */
bool sim_deflate_inflate(struct sim_deflate *deflate, struct slice payload, struct slice *text);
/* The payload of a frame with RSV1. */
struct slice sim_deflate_deflate(struct sim_deflate *deflate, struct slice text);
void sim_deflate_free(struct sim_deflate *deflate);

#endif
