/* SPDX-License-Identifier: MIT */
/* Owns the forged peers: their sockets, their half of the sequence numbers and the packets that they would send. It
 * never reads a clock and never sends on one of the sockets. Called by transmit_main between the measured parts. */
#include "bench/transmit_peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOCAL_ADDRESS 0x0A000001U /* 10.0.0.1, given to `lo` by the script */
#define PEER_NETWORK 0x0A400000U  /* 10.64.0.0/10, routed to `sink` */
#define LOCAL_PORT 9500
#define PEER_PORT 40000
#define SEGMENT_BYTES 1460 /* the MSS that the peer would have offered */
#define WINDOW_SHIFT 14
#define SEND_BUFFER_BYTES (8 << 20)
#define FIRST_SENT UINT32_C(1000000)
#define FIRST_RECEIVED UINT32_C(2000000)
#define SAID_MAX 1400
#define BATCH 256 /* packets per system call */

struct packet {
    struct iphdr ip;
    struct tcphdr tcp;
    uint8_t data[SAID_MAX];
};

struct peer {
    int socket;
    uint32_t acknowledged; /* of our stream, as a sequence number */
    uint32_t said;         /* its own next sequence number */
};

struct peers {
    int raw;
    uint32_t from;
    uint32_t count;
    struct packet packets[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
    struct sockaddr_in to;
    struct peer all[];
};

static uint32_t peer_address(const struct peers *peers, uint32_t i)
{
    return PEER_NETWORK + 1 + peers->from + i;
}

/* --- sockets that are established without a handshake ------------------------------------------------------------- */

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

static int set_sequence(int fd, int queue, uint32_t sequence)
{
    int error = set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);
    return error < 0 ? error : set_int(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, (int)sequence);
}

static int connect_in_repair(int fd, uint32_t peer)
{
    const struct sockaddr_in here = {
        .sin_family = AF_INET, .sin_port = htons(LOCAL_PORT), .sin_addr.s_addr = htonl(LOCAL_ADDRESS)};
    const struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons(PEER_PORT), .sin_addr.s_addr = htonl(peer)};
    if (bind(fd, (const struct sockaddr *)&here, sizeof here) < 0 ||
        connect(fd, (const struct sockaddr *)&there, sizeof there) < 0)
        return -errno;
    return 0;
}

/* What the handshake would have brought: segment size, window scale and a window that never closes. */
static int set_agreed(int fd)
{
    const struct tcp_repair_opt options[] = {
        {.opt_code = TCPOPT_MAXSEG, .opt_val = SEGMENT_BYTES},
        {.opt_code = TCPOPT_WINDOW, .opt_val = WINDOW_SHIFT | WINDOW_SHIFT << 16},
    };
    struct tcp_repair_window window;
    socklen_t bytes = sizeof window;
    if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, sizeof options) < 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &bytes) < 0)
        return -errno;
    window.snd_wnd = window.max_window = UINT32_C(0xFFFF) << WINDOW_SHIFT;
    return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window) == 0 ? 0 : -errno;
}

static int repair(int fd, uint32_t peer)
{
    const struct linger at_once = {.l_onoff = 1};
    int error = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
    if (error == 0)
        error = set_sequence(fd, TCP_SEND_QUEUE, FIRST_SENT);
    if (error == 0)
        error = set_sequence(fd, TCP_RECV_QUEUE, FIRST_RECEIVED);
    if (error == 0) /* bbr, where it is the default, paces by timers: the meter would measure those */
        error = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0 ? 0 : -errno;
    if (error == 0)
        error = connect_in_repair(fd, peer);
    if (error == 0)
        error = set_agreed(fd);
    if (error == 0)
        error = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
    if (error == 0)
        error = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (error == 0)
        error = set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES);
    if (error == 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0)
        error = -errno;
    return error;
}

static int open_peer(struct peers *peers, uint32_t i)
{
    struct peer *peer = &peers->all[i];
    peer->acknowledged = FIRST_SENT;
    peer->said = FIRST_RECEIVED;
    peer->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return peer->socket < 0 ? -errno : repair(peer->socket, peer_address(peers, i));
}

int peers_open(struct peers **out, uint32_t from, uint32_t count)
{
    if (count > PEERS_MAX - 2 || from > PEERS_MAX - 2 - count)
        return -EADDRNOTAVAIL;
    struct peers *peers = calloc(1, sizeof *peers + count * sizeof peers->all[0]);
    if (peers == NULL)
        return -ENOMEM;
    peers->from = from;
    peers->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(LOCAL_ADDRESS)};
    peers->raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    int error = peers->raw < 0 ? -errno : 0;
    for (uint32_t i = 0; i < count && error == 0; i++) {
        error = open_peer(peers, i);
        peers->count += peers->all[i].socket >= 0;
    }
    if (error < 0) {
        peers_close(peers);
        return error;
    }
    *out = peers;
    return 0;
}

void peers_close(struct peers *peers)
{
    for (uint32_t i = 0; i < peers->count; i++)
        close(peers->all[i].socket);
    if (peers->raw >= 0)
        close(peers->raw);
    free(peers);
}

int peers_socket(const struct peers *peers, uint32_t i)
{
    return peers->all[i].socket;
}

/* --- packets that nobody has sent --------------------------------------------------------------------------------- */

/* RFC 1071 section 2: the sum of 16-bit words, carries not yet folded. */
static uint32_t sum_words(const uint8_t *at, size_t bytes)
{
    uint32_t sum = 0;
    for (; bytes > 1; at += 2, bytes -= 2)
        sum += load_be16(at);
    return bytes > 0 ? sum + ((uint32_t)*at << 8) : sum;
}

/* RFC 9293 section 3.1: over a pseudo header of addresses, protocol and length, then header and data. */
static uint16_t checksum(const struct packet *packet, size_t data_bytes)
{
    size_t bytes = sizeof packet->tcp + data_bytes;
    uint32_t sum = sum_words((const uint8_t *)&packet->ip.saddr, 8) + IPPROTO_TCP + (uint32_t)bytes;
    sum += sum_words((const uint8_t *)&packet->tcp, bytes);
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The kernel fills in the identification and checksum of the IP header (raw(7)). */
static void forge(struct packet *packet, uint32_t address, const struct peer *peer, struct slice data)
{
    size_t bytes = sizeof packet->ip + sizeof packet->tcp + data.bytes;
    packet->ip = (struct iphdr){.version = 4,
                                .ihl = 5,
                                .tot_len = htons((uint16_t)bytes),
                                .ttl = 64,
                                .protocol = IPPROTO_TCP,
                                .saddr = htonl(address),
                                .daddr = htonl(LOCAL_ADDRESS)};
    packet->tcp = (struct tcphdr){.th_sport = htons(PEER_PORT),
                                  .th_dport = htons(LOCAL_PORT),
                                  .th_seq = htonl(peer->said),
                                  .th_ack = htonl(peer->acknowledged),
                                  .th_off = sizeof packet->tcp / 4,
                                  .th_flags = TH_ACK | (data.bytes > 0 ? TH_PUSH : 0),
                                  .th_win = 0xFFFF};
    if (data.bytes > 0)
        memcpy(packet->data, data.data, data.bytes);
    packet->tcp.th_sum = htons(checksum(packet, data.bytes));
}

/* Puts a forged packet at place `n` of the batch. */
static void put(struct peers *peers, uint32_t n, uint32_t i, struct slice data)
{
    struct packet *packet = &peers->packets[n];
    forge(packet, peer_address(peers, i), &peers->all[i], data);
    peers->vectors[n] = (struct iovec){.iov_base = packet, .iov_len = ntohs(packet->ip.tot_len)};
    peers->messages[n].msg_hdr = (struct msghdr){
        .msg_name = &peers->to, .msg_namelen = sizeof peers->to, .msg_iov = &peers->vectors[n], .msg_iovlen = 1};
}

static int send_batch(struct peers *peers, uint32_t count)
{
    for (uint32_t sent = 0; sent < count;) {
        int result = sendmmsg(peers->raw, peers->messages + sent, count - sent, 0);
        if (result < 0)
            return -errno;
        sent += (uint32_t)result;
    }
    return 0;
}

int peers_say(struct peers *peers, struct slice bytes)
{
    int error = bytes.bytes > SAID_MAX ? -EMSGSIZE : 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < peers->count && error == 0; i++) {
        put(peers, n++, i, bytes);
        peers->all[i].said += (uint32_t)bytes.bytes;
        if (n < BATCH && i + 1 < peers->count)
            continue;
        error = send_batch(peers, n);
        n = 0;
    }
    return error;
}

/* Bytes that have left the socket and wait for their acknowledgement, or -errno. */
static int unacknowledged(int fd)
{
    int all, unsent;
    if (ioctl(fd, SIOCOUTQ, &all) < 0 || ioctl(fd, SIOCOUTQNSD, &unsent) < 0)
        return -errno;
    return all - unsent;
}

int64_t peers_acknowledge(struct peers *peers)
{
    int64_t total = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < peers->count; i++) {
        int bytes = unacknowledged(peers->all[i].socket);
        if (bytes < 0)
            return bytes;
        if (bytes > 0) {
            peers->all[i].acknowledged += (uint32_t)bytes;
            total += bytes;
            put(peers, n++, i, slice_of(NULL, 0));
        }
        if (n < BATCH && (n == 0 || i + 1 < peers->count))
            continue;
        int error = send_batch(peers, n);
        if (error < 0)
            return error;
        n = 0;
    }
    return total;
}
