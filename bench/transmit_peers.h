/* SPDX-License-Identifier: MIT */
/* Peers that do not exist, for measuring what sending costs and nothing else. A socket is put into the established
 * state by TCP_REPAIR; what it sends leaves through a device that drops it; what its peer would answer is forged and
 * put into this machine's own receiving path by a raw socket, when the meter says so.
 *
 *   our socket --- data ---> device `sink`, dropped by its driver
 *        ^-------- ACK ----- raw socket, over `lo`
 *
 * Nothing receives, so no CPU time of a receiver falls on the sender, and the device takes the bytes from where they
 * lie, so zero-copy sends stay so. The network namespace is made by the script bench/transmit. */
#ifndef RINGCAST_TRANSMIT_PEERS_H
#define RINGCAST_TRANSMIT_PEERS_H

#include "core/bytes.h"

#define PEERS_MAX (1U << 22) /* addresses */

struct peers; /* opaque */

/* `count` established sockets, told apart by their peers' addresses; `from` is the first. Each set has peers of its
 * own, also after another has been closed: the kernel keeps the sockets of a ring a while longer.
 * 0 or -errno (-EPERM: not root; -ENETUNREACH: not in the namespace). */
int peers_open(struct peers **out, uint32_t from, uint32_t count);
/* Resets what is left of the connections and frees. */
void peers_close(struct peers *peers);

/* A descriptor, which stays the peers'. */
int peers_socket(const struct peers *peers, uint32_t i);
/* Every peer sends these bytes, in one segment of at most 1,400. 0 or -errno. */
int peers_say(struct peers *peers, struct slice bytes);
/* Every peer acknowledges all that has been sent to it. How many bytes that were, or -errno. */
int64_t peers_acknowledge(struct peers *peers);

#endif
