/* SPDX-License-Identifier: MIT */
/* What the parts of ringcast-transmit share: the ways to send that it compares. Each has connections of its own to
 * forged peers (transmit_peers.h) and sends the same finished frames to all of them, round by round:
 *
 *   round     measured: every connection gets the bytes once; returns when the kernel has taken them
 *   answer    not measured: the peers acknowledge; the kernel frees what it copied, or gives zero-copied memory back
 *   collect   measured: what is left to do about memory that was given back */
#ifndef RINGCAST_TRANSMIT_H
#define RINGCAST_TRANSMIT_H

#include "bench/transmit_peers.h"

struct transmit_load {
    uint32_t conns;
    uint32_t first_peer; /* no other path uses the peers from here on */
    uint32_t size;       /* of a payload; the WebSocket header comes on top */
    uint32_t window;     /* messages per round */
};

/* What a path reports about its zero-copy sends. */
struct transmit_usage {
    uint64_t notified; /* sends whose memory came back */
    uint64_t copied;   /* of these, how many the kernel has copied all the same */
};

struct transmit_path {
    const char *name;
    const char *doc;
    /* *out: what the other functions get. 0 or -errno; nothing is left to close after a failure. */
    int (*open)(void **out, const struct transmit_path *path, const struct transmit_load *load);
    int (*round)(void *state); /* 0 or -errno, as the next two */
    int (*answer)(void *state);
    int (*collect)(void *state);
    struct transmit_usage (*usage)(const void *state);
    void (*close)(void *state);
    int mode; /* private to the file that defines it */
};

extern const struct transmit_path *const transmit_paths[]; /* NULL-terminated */

/* transmit_send.c: the kernel alone */
extern const struct transmit_path transmit_write, transmit_ring, transmit_zero_copy, transmit_registered;
/* transmit_server.c: a shard, from the publish to the completed sends */
extern const struct transmit_path transmit_shard, transmit_shard_zero_copy;

#endif
