/* SPDX-License-Identifier: MIT */
/* What the parts of ringcast-floor share: its options, the burst that is sent to every socket, and the two sides. */
#ifndef RINGCAST_FLOOR_H
#define RINGCAST_FLOOR_H

#include "core/bytes.h"

#include <netinet/in.h>

enum floor_mode {
    FLOOR_WRITE, /* a write() per socket */
    FLOOR_RING,  /* sends through io_uring, a batch of sockets per system call */
};

struct floor_options {
    uint32_t mode; /* enum floor_mode */
    uint64_t conns;
    uint64_t size;
    uint64_t window;
    uint64_t messages;
    uint64_t duration_ms;
    uint64_t warmup_ms;
    uint64_t send_buffer_bytes;
    uint64_t batch;
    uint64_t spin_us;
    char *json;
    bool quiet;
};

struct floor_sender;

/* For that many sockets, whose descriptors stay the caller's. 0 or -errno. */
int floor_sender_open(struct floor_sender **out, const struct floor_options *options, const int *sockets);
/* Sends the burst to every socket; returns when the kernel has taken all of it. 0 or -errno. */
int floor_sender_round(struct floor_sender *sender, struct slice burst);
void floor_sender_close(struct floor_sender *sender);

/* The receiving process: opens one connection as the control, then `conns` more. Asks for a burst with a byte on the
 * control, receives it on all others, asks for the next, until the sender goes away. Returns the exit code. */
int floor_receive(const struct floor_options *options, const struct sockaddr_in *address, size_t burst_bytes);

#endif
