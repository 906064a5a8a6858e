/* SPDX-License-Identifier: MIT */
/* The sockets of a ring over io_uring: the table that gives them their numbers, listening, and peers' addresses.
 * It never queues an operation: what it does is done when it returns.
 * Called through ring.h by shards and main, and by ring_uring.c when an accept or a close completes. */
#include "core/check.h"
#include "core/ring_uring.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>
int32_t ring_slot_take(struct ring *ring, int descriptor, const struct ring_address *peer)
{
    bool fresh = ring->slot_free == RING_SOCKET_NONE;
    uint32_t socket = fresh ? ring->slots_made : ring->slot_free;
    if (socket == ring->sockets_max)
        return -ENFILE;
    if (ring->direct) {
        int result = io_uring_register_files_update(&ring->uring, socket, &descriptor, 1);
        if (result != 1)
            return result < 0 ? result : -ENFILE;
        close(descriptor); /* the table holds the file now */
        descriptor = RING_SLOT_DIRECT;
    }
    struct ring_slot *slot = &ring->slots[socket];
    if (fresh)
        ring->slots_made++;
    else
        ring->slot_free = slot->next_free;
    slot->peer = *peer;
    slot->descriptor = descriptor;
    return (int32_t)socket;
}

void ring_slot_release(struct ring *ring, uint32_t socket)
{
    check_op(socket, <, ring->slots_made);
    struct ring_slot *slot = &ring->slots[socket];
    check(slot->descriptor == RING_SLOT_CLOSING);
    slot->descriptor = RING_SLOT_FREE;
    slot->next_free = ring->slot_free;
    ring->slot_free = socket;
}

static struct ring_address address_from(const struct sockaddr_storage *from)
{
    struct ring_address address = {.port = 0};
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        memcpy(address.bytes, &in6->sin6_addr, 16);
        address.port = ntohs(in6->sin6_port);
    } else {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)from;
        address.bytes[10] = address.bytes[11] = 0xff; /* RFC 4291 section 2.5.5.2: IPv4-mapped */
        memcpy(address.bytes + 12, &in4->sin_addr, 4);
        address.port = ntohs(in4->sin_port);
    }
    return address;
}

static bool address_is_mapped(const struct ring_address *address)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address->bytes, prefix, sizeof prefix) == 0;
}

/* The socket address for bind, of the family that fits. Its length. */
static socklen_t address_to(const struct ring_address *address, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (address_is_mapped(address)) {
        struct sockaddr_in *in4 = (struct sockaddr_in *)to;
        in4->sin_family = AF_INET;
        in4->sin_port = htons(address->port);
        memcpy(&in4->sin_addr, address->bytes + 12, 4);
        return sizeof *in4;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    memcpy(&in6->sin6_addr, address->bytes, 16);
    return sizeof *in6;
}

int32_t ring_slot_take_accepted(struct ring *ring, int descriptor)
{
    struct sockaddr_storage peer;
    socklen_t bytes = sizeof peer;
    int32_t result = -ECONNABORTED; /* the peer has gone already */
    if (getpeername(descriptor, (struct sockaddr *)&peer, &bytes) == 0) {
        struct ring_address address = address_from(&peer);
        result = ring_slot_take(ring, descriptor, &address);
    }
    if (result < 0) {
        close(descriptor);
        ring_count(&ring->counters.refused, 1);
    }
    return result;
}

static int option_value(uint32_t value)
{
    return value > INT_MAX ? INT_MAX : (int)value;
}

/* All of them are inherited by the sockets that are accepted. 0 or -errno. */
static int set_options(int descriptor, sa_family_t family, const struct ring_listen_options *options)
{
    const struct {
        bool wanted;
        int level, name, value;
    } settings[] = {
        {true, SOL_SOCKET, SO_REUSEADDR, 1},
        {true, SOL_SOCKET, SO_REUSEPORT, 1},
        {family == AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, options->v6_only},
        {options->send_buffer_bytes > 0, SOL_SOCKET, SO_SNDBUF, option_value(options->send_buffer_bytes)},
        {options->receive_buffer_bytes > 0, SOL_SOCKET, SO_RCVBUF, option_value(options->receive_buffer_bytes)},
        {true, IPPROTO_TCP, TCP_NODELAY, 1},
        {options->notsent_lowat_bytes > 0, IPPROTO_TCP, TCP_NOTSENT_LOWAT, option_value(options->notsent_lowat_bytes)},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (settings[i].wanted &&
            setsockopt(descriptor, settings[i].level, settings[i].name, &settings[i].value, sizeof(int)) < 0)
            return -errno;
    return 0;
}

/* Makes the descriptor listen and tells where. 0 or -errno. */
static int listen_on(int descriptor, const struct ring_listen_options *options, struct ring_address *bound)
{
    struct sockaddr_storage where;
    socklen_t bytes = address_to(&options->address, &where);
    int result = set_options(descriptor, where.ss_family, options);
    if (result < 0)
        return result;
    if (bind(descriptor, (struct sockaddr *)&where, bytes) < 0 ||
        listen(descriptor, option_value(options->backlog)) < 0)
        return -errno;
    bytes = sizeof where;
    if (getsockname(descriptor, (struct sockaddr *)&where, &bytes) < 0)
        return -errno;
    *bound = address_from(&where);
    return 0;
}

int ring_listen(struct ring *ring, const struct ring_listen_options *options, struct ring_address *bound)
{
    struct ring_address where;
    int family = address_is_mapped(&options->address) ? AF_INET : AF_INET6;
    int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -errno;
    int result = listen_on(descriptor, options, &where);
    if (result == 0)
        result = ring_slot_take(ring, descriptor, &where);
    if (result < 0) {
        close(descriptor);
        return result;
    }
    if (bound != NULL)
        *bound = where;
    return result;
}

struct ring_address ring_peer(const struct ring *ring, uint32_t socket)
{
    return ring_slot_open(ring, socket)->peer;
}
