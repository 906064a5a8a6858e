/* SPDX-License-Identifier: MIT */
/* The simulated network: links of two byte queues, the peers' half of them, the clock and the entropy of a run.
 * It never looks into a ring and draws everything that is left to chance from the seed.
 * Called by tests as the peers and by ring_sim.c as the server's half; clock.h is implemented here for both. */
#include "core/check.h"
#include "core/clock.h"
#include "core/ring_sim_parts.h"

#include <errno.h>
#include <stdlib.h>

#define WALL_START_MS 1767225600000U /* 2026-01-01T00:00:00Z */
#define PORT_FIRST 40000
#define MS_NS UINT64_C(1000000)
#define DAY_MS (24 * 60 * 60 * 1000)
#define ENTROPY_SEED 0x656e74726f7079U

/* The one global of the project besides the log, and in no program that serves: clock.h has no argument for it. */
static struct sim_network *current;

/* --- the network -------------------------------------------------------------------------------------------------- */

void *sim_memory(size_t count, size_t bytes)
{
    void *memory =
        reallocarray(NULL, count, bytes); /* of the functions of the heap the one that tests do not let fail */
    check(memory != NULL);
    return memset(memory, 0, count * bytes);
}

struct sim_network *sim_network_create(uint64_t seed, const struct sim_faults *faults, uint32_t socket_buffer_bytes)
{
    check(current == NULL);
    check_op(socket_buffer_bytes, >, 0);
    struct sim_network *network = sim_memory(1, sizeof *network);
    list_init(&network->held);
    random_init(&network->random, seed);
    random_init(&network->entropy, seed ^ ENTROPY_SEED);
    sim_set_faults(network, faults);
    network->socket_buffer_bytes = socket_buffer_bytes;
    network->port_next = PORT_FIRST;
    current = network;
    return network;
}

void sim_network_destroy(struct sim_network *network)
{
    check_op(network->ring_count, ==, 0);
    for (uint32_t i = 0; i < network->link_count; i++) {
        free(network->links[i]->to_server.data);
        free(network->links[i]->to_peer.data);
        free(network->links[i]);
    }
    free(network->links);
    free(network);
    current = NULL;
}

void sim_set_faults(struct sim_network *network, const struct sim_faults *faults)
{
    network->faults = *faults;
    check(faults->delay == 0 || faults->delay_max > 0);
    check(faults->hold == 0 || faults->hold_ms > 0);
    check(faults->descriptors_out == 0 || faults->descriptors_out_ms > 0);
    check(faults->clock_jump == 0 || faults->clock_jump_ms > 0);
    sim_release(network, faults->stall == 0);
    for (uint32_t i = 0; faults->descriptors_out == 0 && i < network->ring_count; i++)
        network->rings[i]->descriptors_at_ns = 0;
}

void sim_set_hooks(struct sim_network *network, const struct sim_hooks *hooks)
{
    network->hooks = *hooks;
}

struct sim_network *sim_network_current(void)
{
    check(current != NULL);
    return current;
}

void sim_network_join(struct sim_network *network, struct ring *ring)
{
    check_op(network->ring_count, <, SIM_RINGS_MAX);
    network->rings[network->ring_count++] = ring;
}

void sim_network_leave(struct sim_network *network, struct ring *ring)
{
    uint32_t at = 0;
    while (network->rings[at] != ring)
        check_op(++at, <, network->ring_count);
    network->ring_count--;
    memmove(&network->rings[at], &network->rings[at + 1], (network->ring_count - at) * sizeof network->rings[0]);
}

uint32_t sim_sockets_open(const struct sim_network *network)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < network->ring_count; i++)
        count += sim_ring_sockets(network->rings[i]);
    return count;
}

uint32_t sim_operations_pending(const struct sim_network *network)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < network->ring_count; i++)
        count += sim_ring_operations(network->rings[i]);
    return count;
}

bool sim_ready(const struct sim_network *network)
{
    for (uint32_t i = 0; i < network->ring_count; i++)
        if (sim_ring_ready(network->rings[i]))
            return true;
    return false;
}

/* --- time and entropy --------------------------------------------------------------------------------------------- */

void sim_clock_advance(uint64_t ns)
{
    struct sim_network *network = sim_network_current();
    const struct sim_faults *faults = &network->faults;
    if (sim_fault(network, faults->wall_jump))
        network->wall_shift_ms = (int64_t)random_below(&network->random, 2 * DAY_MS) - DAY_MS;
    if (sim_fault(network, faults->clock_stop))
        return;
    network->now_ns += ns;
    if (ns >= MS_NS && sim_fault(network, faults->clock_jump)) {
        network->now_ns += random_below(&network->random, faults->clock_jump_ms * MS_NS);
        network->jumped_ns = network->now_ns;
    }
    sim_release(network, false);
}

uint64_t sim_jumped_ns(const struct sim_network *network)
{
    return network->jumped_ns;
}

uint64_t sim_next_ns(const struct sim_network *network)
{
    uint64_t next = UINT64_MAX;
    for (const struct list_node *node = network->held.head.next; node != &network->held.head; node = node->next) {
        const struct sim_link *link = list_entry(node, struct sim_link, held);
        next = link->held_until_ns < next ? link->held_until_ns : next;
    }
    return next;
}

/* Code under test may log without a network; then it is the start of time. */
uint64_t clock_monotonic_ns(void)
{
    return current == NULL ? 0 : current->now_ns;
}

uint64_t clock_wall_ms(void)
{
    uint64_t shift = current == NULL ? 0 : (uint64_t)current->wall_shift_ms;
    return WALL_START_MS + shift + clock_monotonic_ns() / MS_NS;
}

int clock_entropy(void *out, size_t bytes)
{
    struct sim_network *network = sim_network_current();
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)random_u64(&network->entropy);
    return 0;
}

/* --- byte queues -------------------------------------------------------------------------------------------------- */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t sim_queue_put(struct sim_queue *queue, const uint8_t *data, uint32_t bytes)
{
    uint32_t taken = least(bytes, queue->capacity - queue->used);
    if (taken == 0)
        return 0;
    if (queue->data == NULL) {
        queue->data = sim_memory(queue->capacity, 1);
    }
    uint32_t tail = (queue->head + queue->used) % queue->capacity;
    uint32_t straight = least(taken, queue->capacity - tail);
    memcpy(queue->data + tail, data, straight);
    memcpy(queue->data, data + straight, taken - straight);
    queue->used += taken;
    return taken;
}

uint32_t sim_queue_take(struct sim_queue *queue, uint8_t *out, uint32_t bytes)
{
    uint32_t taken = least(bytes, queue->used);
    if (taken == 0)
        return 0;
    uint32_t straight = least(taken, queue->capacity - queue->head);
    memcpy(out, queue->data + queue->head, straight);
    memcpy(out + straight, queue->data, taken - straight);
    queue->head = (queue->head + taken) % queue->capacity;
    queue->used -= taken;
    return taken;
}

static void queue_drop(struct sim_queue *queue)
{
    free(queue->data);
    queue->data = NULL;
    queue->head = queue->used = 0;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

static void link_touch(struct sim_link *link)
{
    if (link->ring != NULL)
        sim_ring_touch(link->ring, link->socket);
}

bool sim_link_is_held(const struct sim_network *network, const struct sim_link *link)
{
    return link->held_until_ns > network->now_ns;
}

void sim_link_reset(struct sim_link *link)
{
    link->reset = true;
    queue_drop(&link->to_server);
    queue_drop(&link->to_peer);
    link_touch(link);
}

void sim_link_close(struct sim_link *link, bool reset)
{
    link->ring = NULL;
    link->server_fin = true;
    if (reset || link->to_server.used > 0)
        sim_link_reset(link);
}

/* --- peers -------------------------------------------------------------------------------------------------------- */

static struct sim_link *link_of(const struct sim_network *network, int peer)
{
    check(peer >= 0 && (uint32_t)peer < network->link_count);
    return network->links[peer];
}

static struct sim_link *link_make(struct sim_network *network, struct ring_address from)
{
    if (network->link_count == network->link_capacity) {
        network->link_capacity = network->link_capacity == 0 ? 64 : 2 * network->link_capacity;
        network->links = reallocarray(network->links, network->link_capacity, sizeof(struct sim_link *));
        check(network->links != NULL);
    }
    struct sim_link *link = sim_memory(1, sizeof *link);
    link->from = from;
    link->to_server.capacity = link->to_peer.capacity = network->socket_buffer_bytes;
    network->links[network->link_count++] = link;
    return link;
}

int sim_connect(struct sim_network *network, uint16_t port, struct ring_address from)
{
    struct ring *listening[SIM_RINGS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < network->ring_count; i++)
        if (sim_ring_listener(network->rings[i], port) != RING_SOCKET_NONE)
            listening[count++] = network->rings[i];
    if (count == 0)
        return -ECONNREFUSED;
    struct ring *ring = listening[random_below(&network->random, count)];
    struct sim_link *link = link_make(network, from);
    if (!sim_ring_offer(ring, sim_ring_listener(ring, port), link)) {
        network->link_count--;
        free(link);
        return -ECONNREFUSED;
    }
    link_touch(link);
    return (int)(network->link_count - 1);
}

int sim_peer_send(struct sim_network *network, int peer, const void *data, uint32_t bytes)
{
    struct sim_link *link = link_of(network, peer);
    bool held = sim_link_is_held(network, link); /* then the news of an end have not come yet */
    if (link->peer_fin || (!held && (link->reset || link->ring == NULL)))
        return -EPIPE;
    uint32_t taken = sim_queue_put(&link->to_server, data, least(bytes, INT32_MAX));
    if (taken > 0 && !held)
        sim_hold(network, link);
    link_touch(link);
    return (int)taken;
}

int sim_peer_receive(struct sim_network *network, int peer, void *data, uint32_t bytes)
{
    struct sim_link *link = link_of(network, peer);
    check(!link->peer_gone);
    if (sim_link_is_held(network, link))
        return 0;
    if (link->reset)
        return -ECONNRESET;
    uint32_t taken = sim_queue_take(&link->to_peer, data, least(bytes, INT32_MAX));
    if (taken > 0)
        link_touch(link);
    else if (link->server_fin && link->to_peer.used == 0)
        return -EPIPE;
    return (int)taken;
}

bool sim_peer_readable(const struct sim_network *network, int peer)
{
    const struct sim_link *link = link_of(network, peer);
    return (link->to_peer.used > 0 || link->reset || link->server_fin) && !sim_link_is_held(network, link);
}

bool sim_peer_harmed(const struct sim_network *network, int peer)
{
    return link_of(network, peer)->harmed;
}

void sim_peer_shutdown(struct sim_network *network, int peer)
{
    struct sim_link *link = link_of(network, peer);
    link->peer_fin = true;
    link_touch(link);
}

void sim_peer_reset(struct sim_network *network, int peer)
{
    struct sim_link *link = link_of(network, peer);
    link->peer_fin = link->peer_gone = true;
    sim_link_reset(link);
}

void sim_peer_close(struct sim_network *network, int peer)
{
    struct sim_link *link = link_of(network, peer);
    link->peer_fin = link->peer_gone = true;
    if (link->to_peer.used > 0)
        sim_link_reset(link);
    else
        link_touch(link);
}
