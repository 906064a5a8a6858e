/* SPDX-License-Identifier: MIT */
/* What the simulated kernel does with operations: it carries out what was submitted, lets receives, sends and accepts go on
 * as far as links, buffers and faults allow, and notes their completions with the step from which on they may be taken.
 * It never hands anything to the owner.
 * Called by ring_sim.c alone, at a submission and once a step. */
#include "core/check.h"
#include "core/poison.h"
#include "core/ring_sim_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PINNED_SOON_NS UINT64_C(5000000)
#define PINNED_LATE_NS UINT64_C(300000000000)

/* --- completing ---------------------------------------------------------------------------------------------------- */

static struct ring_completion *complete(struct ring *ring, struct sim_operation *operation, int32_t result, bool more)
{
    const struct sim_faults *faults = &ring->network->faults;
    struct sim_completion *entry = malloc(sizeof *entry);
    check(entry != NULL);
    *entry = (struct sim_completion){
        .completion = {.op = operation->op, .tag = operation->tag, .result = result, .more = more},
        .operation = operation,
        .due = ring->step,
    };
    if (sim_fault(ring->network, faults->delay))
        entry->due += 1 + random_below(&ring->network->random, faults->delay_max);
    if (entry->due < operation->due_last)
        entry->due = operation->due_last;
    operation->due_last = entry->due;
    if (!more)
        operation->state = OPERATION_DONE;
    list_push_back(&ring->completions, &entry->node);
    return &entry->completion;
}

/* The operation if it is in the hands of the network. */
static struct sim_operation *inflight(struct sim_operation *operation)
{
    return operation != NULL && operation->state == OPERATION_INFLIGHT ? operation : NULL;
}

void sim_send_check(const struct sim_operation *send)
{
    const uint8_t *expected = send->copy;
    for (uint32_t i = 0; i < send->piece_count; expected += send->pieces[i].iov_len, i++)
        check(send->pieces[i].iov_len == 0 || memcmp(send->pieces[i].iov_base, expected, send->pieces[i].iov_len) == 0);
}

/* --- accepting, receiving, sending: each true when it could go on in the next step ------------------------------------- */

/* The number of the accepted connection, or why there is none. */
static int32_t accept_link(struct ring *ring, struct sim_link *link)
{
    uint32_t number = link->reset ? RING_SOCKET_NONE : sim_socket_take(ring, SOCKET_CONNECTION);
    if (number == RING_SOCKET_NONE) {
        int32_t error = link->reset ? -ECONNABORTED : -ENFILE;
        sim_link_close(link, false);
        ring->counters.refused++;
        return error;
    }
    ring->sockets[number].link = link;
    link->socket = number;
    return (int32_t)number;
}

static bool go_on_accepting(struct ring *ring, struct sim_socket *sock)
{
    while (inflight(sock->accept) != NULL && !list_empty(&sock->backlog)) {
        if (sim_fault(ring->network, ring->network->faults.accept_error)) {
            complete(ring, sock->accept, -EMFILE, false);
            break;
        }
        struct sim_link *link = list_entry(list_pop_front(&sock->backlog), struct sim_link, waiting);
        sock->backlog_count--;
        complete(ring, sock->accept, accept_link(ring, link), true);
    }
    return false;
}

/* Moves bytes into a buffer and completes the receive with them. */
static void receive_bytes(struct ring *ring, struct sim_socket *sock, uint32_t bytes, bool more)
{
    uint32_t buffer = ring->buffers_free[ring->buffers_head];
    ring->buffers_head = (ring->buffers_head + 1) % ring->buffer_count;
    ring->buffers_free_count--;
    ring->buffer_out[buffer] = true;
    uint8_t *data = ring->buffers + (size_t)buffer * ring->buffer_bytes;
    unpoison(data, ring->buffer_bytes);
    uint32_t got = sim_queue_take(&sock->link->to_server, data, bytes);
    poison(data, ring->buffer_bytes); /* until the owner has the completion (ring_next) */
    struct ring_completion *completion = complete(ring, sock->receive, (int32_t)got, more);
    completion->buffer = buffer;
    completion->data = (struct span){.data = data, .bytes = got};
}

static bool go_on_receiving(struct ring *ring, struct sim_socket *sock)
{
    struct sim_network *network = ring->network;
    struct sim_link *link = sock->link;
    while (inflight(sock->receive) != NULL) {
        uint32_t there = link->to_server.used;
        if (there > 0 && sim_fault(network, network->faults.reset))
            sim_link_reset(link);
        if (link->reset) {
            complete(ring, sock->receive, -ECONNRESET, false);
        } else if (there == 0) {
            if (link->peer_fin || sock->read_shut)
                complete(ring, sock->receive, 0, false);
            return false;
        } else if (ring->buffers_free_count == 0 || sim_fault(network, network->faults.no_buffers)) {
            ring->counters.buffers_out++;
            complete(ring, sock->receive, -ENOBUFS, false);
        } else {
            uint32_t bytes = there < ring->buffer_bytes ? there : ring->buffer_bytes;
            bool part = sim_fault(network, network->faults.chunk);
            if (part)
                bytes = 1 + (uint32_t)random_below(&network->random, bytes);
            receive_bytes(ring, sock, bytes, !sim_fault(network, network->faults.receive_ends));
            if (part)
                return true;
        }
    }
    return false;
}

/* Until when the memory of a send without a copy stays pinned: acknowledgements come soon, or the seed lets them wait. */
static uint64_t pinned_until(struct ring *ring)
{
    struct sim_network *network = ring->network;
    uint64_t most_ns = sim_fault(network, network->faults.pinned) ? PINNED_LATE_NS : PINNED_SOON_NS;
    return network->now_ns + random_below(&network->random, most_ns);
}

/* The result of a send. Of one without a copy whose memory may be in use it is not the last completion; what has failed before
 * the first byte may go without. */
static void complete_send(struct ring *ring, struct sim_operation *send, int32_t result)
{
    bool pinned = send->op == RING_SEND_ZERO_COPY && (result > 0 || random_chance(&ring->network->random, 1, 2));
    complete(ring, send, result, pinned);
    if (!pinned)
        return;
    send->state = OPERATION_PINNED;
    send->pinned_until_ns = pinned_until(ring);
    list_push_back(&ring->pinned, &send->node);
}

bool sim_unpinned(const struct ring *ring, const struct sim_operation *send)
{
    return send->link->reset || ring->network->now_ns >= send->pinned_until_ns;
}

void sim_unpin(struct ring *ring)
{
    const struct sim_faults *faults = &ring->network->faults;
    struct list_node *node = list_first(&ring->pinned);
    while (node != NULL) {
        struct sim_operation *send = list_entry(node, struct sim_operation, node);
        node = list_next(&ring->pinned, node);
        if (!sim_unpinned(ring, send))
            continue;
        sim_send_check(send);
        list_remove(&send->node);
        bool copied = sim_fault(ring->network, faults->copied);
        complete(ring, send, copied ? RING_COPIED : 0, false);
        list_entry(ring->completions.head.prev, struct sim_completion, node)->gives_back = true;
    }
}

/* As the kernel does: what a send had got rid of before it failed is its result. */
static void fail(struct ring *ring, struct sim_operation *operation, int32_t error)
{
    int32_t result = operation->taken > 0 ? (int32_t)operation->taken : error;
    if (operation->op == RING_SEND_ZERO_COPY)
        complete_send(ring, operation, result);
    else
        complete(ring, operation, result, false);
}

static bool go_on_sending(struct ring *ring, struct sim_socket *sock)
{
    struct sim_network *network = ring->network;
    struct sim_link *link = sock->link;
    struct sim_operation *send = inflight(sock->send);
    if (send == NULL)
        return false;
    if (!link->reset && sim_fault(network, network->faults.reset))
        sim_link_reset(link);
    if (link->reset || link->server_fin) {
        fail(ring, send, link->reset ? -ECONNRESET : -EPIPE);
        return false;
    }
    sim_send_check(send);
    if (link->peer_gone) { /* the bytes leave, and a reset comes back */
        sim_link_reset(link);
        complete_send(ring, send, (int32_t)send->bytes);
        return false;
    }
    uint32_t left = send->bytes - send->taken;
    bool part = left > 0 && sim_fault(network, network->faults.partial_send);
    if (part)
        left = (uint32_t)random_below(&network->random, left);
    send->taken += sim_queue_put(&link->to_peer, send->copy + send->taken, left);
    if (send->taken == send->bytes)
        complete_send(ring, send, (int32_t)send->bytes);
    return part;
}

void sim_socket_go_on(struct ring *ring, uint32_t number)
{
    struct sim_socket *sock = &ring->sockets[number];
    bool again = false;
    if (list_linked(&sock->active))
        list_remove(&sock->active);
    if (sock->state == SOCKET_LISTENER) {
        again = go_on_accepting(ring, sock);
    } else if (sock->state == SOCKET_CONNECTION) {
        again = go_on_receiving(ring, sock);
        again = go_on_sending(ring, sock) || again;
    }
    if (again)
        sim_ring_touch(ring, number);
}

/* --- carrying out what was queued ------------------------------------------------------------------------------------ */

static void refuse_backlog(struct sim_socket *sock)
{
    for (struct list_node *node; (node = list_pop_front(&sock->backlog)) != NULL;)
        sim_link_close(list_entry(node, struct sim_link, waiting), true);
    sock->backlog_count = 0;
}

/* A listener that is shut down takes nobody any more, and who waits in its backlog is reset. */
static int32_t carry_out_shutdown(struct sim_socket *sock, int how)
{
    if (sock->state == SOCKET_LISTENER) {
        refuse_backlog(sock);
        sock->backlog_max = 0;
        return 0;
    }
    if (sock->link->reset)
        return -ENOTCONN;
    sock->link->server_fin = sock->link->server_fin || how != SHUT_RD;
    sock->read_shut = sock->read_shut || how != SHUT_WR;
    return 0;
}

/* Completes the operation as cancelled if it is still going on and was begun with that tag; how many it was. */
static int32_t cancel_one(struct ring *ring, struct sim_operation *operation, struct ring_tag tag)
{
    if (inflight(operation) == NULL || operation->tag.index != tag.index || operation->tag.generation != tag.generation)
        return 0;
    fail(ring, operation, -ECANCELED);
    return 1;
}

static int32_t carry_out_cancel(struct ring *ring, struct sim_socket *sock, const struct sim_operation *cancel)
{
    if (cancel->cancels == RING_OPS)
        return cancel_one(ring, sock->receive, cancel->tag) + cancel_one(ring, sock->send, cancel->send);
    return cancel_one(ring, cancel->cancels == RING_ACCEPT ? sock->accept : sock->receive, cancel->tag);
}

static void carry_out_close(struct sim_socket *sock, bool reset)
{
    if (sock->link != NULL) {
        sim_link_close(sock->link, reset);
        sock->link = NULL;
        return;
    }
    refuse_backlog(sock);
}

void sim_carry_out(struct ring *ring, struct sim_operation *operation)
{
    struct sim_socket *sock = &ring->sockets[operation->socket];
    operation->state = OPERATION_INFLIGHT;
    switch (operation->op) {
    case RING_SEND:
    case RING_SEND_ZERO_COPY:
        check(memcmp(operation->vector, operation->pieces, operation->piece_count * sizeof(struct iovec)) == 0);
        operation->vector = NULL;
        sim_socket_go_on(ring, operation->socket);
        break;
    case RING_ACCEPT:
    case RING_RECEIVE:
        sim_socket_go_on(ring, operation->socket);
        break;
    case RING_SHUTDOWN:
        complete(ring, operation, carry_out_shutdown(sock, operation->how), false);
        sim_socket_go_on(ring, operation->socket);
        break;
    case RING_CANCEL:
        complete(ring, operation, carry_out_cancel(ring, sock, operation), false);
        break;
    case RING_CLOSE:
        carry_out_close(sock, operation->reset);
        complete(ring, operation, 0, false);
        break;
    case RING_OPS:
        check_op(operation->op, <, RING_OPS);
    }
}
