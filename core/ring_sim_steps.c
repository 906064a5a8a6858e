/* SPDX-License-Identifier: MIT */
/* What the simulated kernel does with operations: it carries out what was submitted, lets receives, sends and accepts
 * go on as far as links, buffers and faults allow, and notes their completions with the step from which on they may be
 * taken. It never hands anything to the owner. Called by ring_sim.c alone, at a submission and once a step. */
#include "core/check.h"
#include "core/poison.h"
#include "core/ring_sim_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PINNED_SOON_NS UINT64_C(5000000)
#define PINNED_LATE_NS UINT64_C(300000000000)
#define BURST_STEPS 64

/* --- completing --------------------------------------------------------------------------------------------------- */

static struct ring_completion *complete(struct ring *ring, struct sim_operation *operation, int32_t result, bool more)
{
    const struct sim_faults *faults = &ring->network->faults;
    struct sim_completion *entry = sim_memory(1, sizeof *entry);
    if (ring->room > 0) {
        ring->room--;
    } else { /* it is kept all the same, but no multishot goes on from here */
        ring->counters.overflow++;
        more = more && operation->op != RING_ACCEPT && operation->op != RING_RECEIVE;
    }
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

/* --- accepting, receiving, sending: each true when it could go on in the next step -------------------------------- */

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

static void accept_one(struct ring *ring, struct sim_socket *sock)
{
    const struct sim_faults *faults = &ring->network->faults;
    bool out = sim_descriptors_out(ring);
    int32_t error = out ? -EMFILE : sim_error(ring, sock->accept);
    if (error != 0) {
        complete(ring, sock->accept, error, !out && random_chance(&ring->network->random, 1, 2));
        return;
    }
    struct sim_link *link = list_entry(list_pop_front(&sock->backlog), struct sim_link, waiting);
    sock->backlog_count--;
    bool last = sim_outcome_is(ring, sock->accept, SIM_LAST, faults->accept_ends);
    complete(ring, sock->accept, accept_link(ring, link), !last);
}

static bool go_on_accepting(struct ring *ring, struct sim_socket *sock)
{
    struct sim_network *network = ring->network;
    while (inflight(sock->accept) != NULL && !list_empty(&sock->backlog)) {
        if (ring->step < sock->burst_step)
            return true;
        accept_one(ring, sock);
        if (sim_fault(network, network->faults.accept_burst))
            sock->burst_step = ring->step + 1 + random_below(&network->random, BURST_STEPS);
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

/* A connection that has got an error of this kind is no more; with the others, it is the owner who gives it up. */
static void fail_link(struct sim_link *link, int32_t error)
{
    link->harmed = link->harmed || error != -ECANCELED;
    if (error == -ECONNRESET || error == -EPIPE || error == -ETIMEDOUT)
        sim_link_reset(link);
}

static void reset_by_fault(struct sim_network *network, struct sim_link *link)
{
    if (link->reset || !sim_fault(network, network->faults.reset))
        return;
    link->harmed = true;
    sim_link_reset(link);
}

/* Whether a test lets completions wait that hold receive buffers: who finds none has been hit as well. */
static bool buffers_are_kept(const struct ring *ring)
{
    for (struct list_node *node = list_first(&ring->completions); node != NULL;
         node = list_next(&ring->completions, node)) {
        const struct sim_completion *entry = list_entry(node, struct sim_completion, node);
        if (entry->completion.data.bytes > 0 && entry->operation->kept_step != UINT64_MAX)
            return true;
    }
    return false;
}

static void end_without_buffer(struct ring *ring, struct sim_socket *sock)
{
    sock->link->harmed = sock->link->harmed || (ring->buffers_free_count == 0 && buffers_are_kept(ring));
    ring->counters.buffers_out++;
    complete(ring, sock->receive, -ENOBUFS, false);
}

static bool go_on_receiving(struct ring *ring, struct sim_socket *sock)
{
    struct sim_network *network = ring->network;
    struct sim_link *link = sock->link;
    while (inflight(sock->receive) != NULL && !sim_link_is_held(network, link)) {
        uint32_t there = link->to_server.used;
        if (there > 0)
            reset_by_fault(network, link);
        int32_t error = link->reset ? 0 : sim_error(ring, sock->receive);
        if (error != 0) {
            fail_link(link, error);
            complete(ring, sock->receive, error, false);
        } else if (link->reset) {
            complete(ring, sock->receive, -ECONNRESET, false);
        } else if (there == 0) {
            if (link->peer_fin || sock->read_shut)
                complete(ring, sock->receive, 0, false);
            return false;
        } else if (ring->buffers_free_count == 0 ||
                   sim_outcome_is(ring, sock->receive, SIM_ENOBUFS, network->faults.no_buffers)) {
            end_without_buffer(ring, sock);
        } else {
            uint32_t bytes = there < ring->buffer_bytes ? there : ring->buffer_bytes;
            bool part = sim_fault(network, network->faults.chunk);
            if (part)
                bytes = 1 + (uint32_t)random_below(&network->random, bytes);
            bool last = sim_outcome_is(ring, sock->receive, SIM_LAST, network->faults.receive_ends);
            receive_bytes(ring, sock, bytes, !last);
            if (part)
                return true;
        }
    }
    return false;
}

/* Until when the memory of a send without a copy stays pinned: acknowledgements come soon, or the seed lets them
 * wait. */
static uint64_t pinned_until(struct ring *ring)
{
    struct sim_network *network = ring->network;
    uint64_t most_ns = sim_fault(network, network->faults.pinned) ? PINNED_LATE_NS : PINNED_SOON_NS;
    return network->now_ns + random_below(&network->random, most_ns);
}

/* The result of a send. Of one without a copy whose memory may be in use it is not the last completion; what has failed
 * before the first byte may go without. */
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
        bool copied = sim_outcome_is(ring, send, SIM_COPIED, faults->copied);
        complete(ring, send, copied ? RING_COPIED : 0, false);
        list_entry(ring->completions.head.prev, struct sim_completion, node)->gives_back = true;
    }
}

/* As the kernel does: what a send had got rid of before it failed is its result. */
static void fail(struct ring *ring, struct sim_operation *operation, int32_t error)
{
    complete_send(ring, operation, operation->taken > 0 ? (int32_t)operation->taken : error);
}

/* Moves at most so many bytes of the send into the link. */
static void send_bytes(struct ring *ring, struct sim_link *link, struct sim_operation *send, uint32_t bytes)
{
    uint32_t put = sim_queue_put(&link->to_peer, send->copy + send->taken, bytes);
    send->taken += put;
    if (put > 0)
        sim_hold(ring->network, link);
}

/* The send ends behind a part of its bytes, if there can be a part. */
static bool end_short(struct ring *ring, struct sim_link *link, struct sim_operation *send)
{
    uint32_t left = send->bytes - send->taken;
    if (left < 2)
        return false;
    send_bytes(ring, link, send, 1 + (uint32_t)random_below(&ring->network->random, left - 1));
    if (send->taken == 0)
        return false;
    link->harmed = true;
    complete_send(ring, send, (int32_t)send->taken);
    return true;
}

static bool go_on_sending(struct ring *ring, struct sim_socket *sock)
{
    struct sim_network *network = ring->network;
    struct sim_link *link = sock->link;
    struct sim_operation *send = inflight(sock->send);
    if (send == NULL)
        return false;
    bool held = sim_link_is_held(network, link); /* then what comes from there, a reset as well, is not known yet */
    if (!held)
        reset_by_fault(network, link);
    bool reset = link->reset && !held;
    int32_t error = reset || link->server_fin ? 0 : sim_error(ring, send);
    if (send->op == RING_SEND_ZERO_COPY && send->taken == 0 &&
        (error == -ENOMEM || sim_fault(network, network->faults.unpinnable))) {
        complete_send(ring, send, -ENOMEM);
        return false;
    }
    if (error != 0) {
        fail_link(link, error == -ECANCELED ? -EINTR : error); /* for the owner as deadly as the others */
        fail(ring, send, error);
        return false;
    }
    if (reset || link->server_fin) {
        fail(ring, send, reset ? -ECONNRESET : -EPIPE);
        return false;
    }
    sim_send_check(send);
    if (link->peer_gone && !held) { /* the bytes leave, and a reset comes back */
        sim_link_reset(link);
        complete_send(ring, send, (int32_t)send->bytes);
        return false;
    }
    if (sim_outcome_is(ring, send, SIM_SHORT, network->faults.send_short) && end_short(ring, link, send))
        return false;
    uint32_t left = send->bytes - send->taken;
    bool part = left > 0 && sim_fault(network, network->faults.partial_send);
    if (part)
        left = (uint32_t)random_below(&network->random, left);
    send_bytes(ring, link, send, left);
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

/* --- carrying out what was queued --------------------------------------------------------------------------------- */

static void refuse_backlog(struct sim_socket *sock)
{
    for (struct list_node *node; (node = list_pop_front(&sock->backlog)) != NULL;)
        sim_link_close(list_entry(node, struct sim_link, waiting), true);
    sock->backlog_count = 0;
}

/* A listener that is shut down takes nobody any more, and who waits in its backlog is reset. */
static int32_t carry_out_shutdown(struct ring *ring, struct sim_socket *sock, const struct sim_operation *shut)
{
    int how = shut->how;
    int32_t error = sim_error(ring, shut);
    if (error != 0) {
        if (sock->link != NULL)
            sock->link->harmed = true;
        return error;
    }
    if (sock->state == SOCKET_LISTENER) {
        refuse_backlog(sock);
        sock->backlog_max = 0;
        if (inflight(sock->accept) != NULL)
            complete(ring, sock->accept, -EINVAL, false);
        return 0;
    }
    if (sock->link->reset && !sim_link_is_held(ring->network, sock->link))
        return -ENOTCONN;
    sock->link->server_fin = sock->link->server_fin || how != SHUT_RD;
    sock->read_shut = sock->read_shut || how != SHUT_WR;
    return 0;
}

/* What a cancel finds may just have got something done: that is its result, or comes before the cancellation. */
static void end_late(struct ring *ring, struct sim_socket *sock, struct sim_operation *operation)
{
    struct sim_link *link = sock->link;
    int32_t error = sim_error(ring, operation);
    if (error != 0 && error != -ECANCELED) {
        if (link != NULL)
            fail_link(link, error);
        fail(ring, operation, error);
    } else if (operation->op == RING_ACCEPT && !list_empty(&sock->backlog)) {
        accept_one(ring, sock);
    } else if (operation->op == RING_RECEIVE && !sim_link_is_held(ring->network, link) && !link->reset) {
        uint32_t bytes = link->to_server.used < ring->buffer_bytes ? link->to_server.used : ring->buffer_bytes;
        if (bytes == 0 && (link->peer_fin || sim_outcome_is(ring, operation, SIM_END, 0)))
            complete(ring, operation, 0, false);
        else if (sim_outcome_is(ring, operation, SIM_ENOBUFS, ring->network->faults.no_buffers))
            complete(ring, operation, -ENOBUFS, false);
        else if (bytes > 0 && ring->buffers_free_count > 0)
            receive_bytes(ring, sock, bytes, !sim_outcome_is(ring, operation, SIM_LAST, 500));
    } else if ((operation->op == RING_SEND || operation->op == RING_SEND_ZERO_COPY) && !link->reset &&
               !link->peer_gone) {
        if (sim_outcome_is(ring, operation, SIM_SHORT, 300) && end_short(ring, link, operation))
            return;
        send_bytes(ring, link, operation, operation->bytes - operation->taken);
        if (operation->taken > 0)
            complete_send(ring, operation, (int32_t)operation->taken);
    }
}

/* Completes the operation as cancelled if it is still going on and was begun with that tag; how many it was. */
static int32_t cancel_one(struct ring *ring, struct sim_socket *sock, struct sim_operation *operation,
                          struct ring_tag tag)
{
    if (inflight(operation) == NULL || operation->tag.index != tag.index || operation->tag.generation != tag.generation)
        return 0;
    if (!sim_outcome_is(ring, operation, SIM_ECANCELED, 1000 - ring->network->faults.cancel_late))
        end_late(ring, sock, operation);
    if (inflight(operation) != NULL)
        fail(ring, operation, -ECANCELED);
    return 1;
}

static int32_t carry_out_cancel(struct ring *ring, struct sim_socket *sock, const struct sim_operation *cancel)
{
    int32_t error = sim_error(ring, cancel);
    if (error != 0)
        return error;
    if (cancel->cancels == RING_OPS)
        return cancel_one(ring, sock, sock->receive, cancel->tag) + cancel_one(ring, sock, sock->send, cancel->send);
    return cancel_one(ring, sock, cancel->cancels == RING_ACCEPT ? sock->accept : sock->receive, cancel->tag);
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
        complete(ring, operation, carry_out_shutdown(ring, sock, operation), false);
        sim_socket_go_on(ring, operation->socket);
        break;
    case RING_CANCEL:
        complete(ring, operation, carry_out_cancel(ring, sock, operation), false);
        break;
    case RING_CLOSE:
        carry_out_close(sock, operation->reset);
        complete(ring, operation, sim_error(ring, operation), false);
        break;
    case RING_OPS:
        check_op(operation->op, <, RING_OPS);
    }
}
