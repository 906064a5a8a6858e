/* SPDX-License-Identifier: MIT */
/* The owner's side of a simulated ring: its life, its sockets, what is queued on it and what is taken from it.
 * It never blocks, starts no thread, and aborts when its owner does what the contract of ring.h forbids.
 * Called by shards as their ring in simulations, and by ring_sim_network.c when a peer has done something. */
#include "core/check.h"
#include "core/poison.h"
#include "core/ring_sim_parts.h"

#include <errno.h>
#include <stdlib.h>

#define TAG_INDEX_MAX ((1U << 24) - 1)
#define SCRIBBLE 0xdb
#define OVERFLOW_ROOM 8

/* --- life --------------------------------------------------------------------------------------------------------- */

int ring_probe(struct ring_features *features, char *why, size_t why_bytes)
{
    (void)why;
    (void)why_bytes;
    *features = (struct ring_features){
        .direct_descriptors = true, .defer_taskrun = true, .zero_copy = true, .summary = "simulated"};
    return 0;
}

int ring_create(struct ring **out, const struct ring_options *options, char *why, size_t why_bytes)
{
    (void)why;
    (void)why_bytes;
    struct ring *ring = sim_memory(1, sizeof *ring);
    ring->network = sim_network_current();
    ring->entries = options->entries;
    ring->room = ring->batch = UINT32_MAX;
    ring->memories_max = options->memories_max;
    ring->memories = sim_memory(ring->memories_max + 1, sizeof *ring->memories);
    ring->sockets_max = options->sockets_max;
    ring->sockets = sim_memory(ring->sockets_max, sizeof *ring->sockets);
    ring->socket_free = RING_SOCKET_NONE;
    ring->buffer_bytes = options->receive_buffer_bytes;
    ring->buffer_count = ring->buffers_free_count = options->receive_buffers;
    ring->buffers = sim_memory(ring->buffer_count, ring->buffer_bytes);
    ring->buffer_out = sim_memory(ring->buffer_count, sizeof *ring->buffer_out);
    ring->buffers_free = sim_memory(ring->buffer_count, sizeof *ring->buffers_free);
    for (uint32_t i = 0; i < ring->buffer_count; i++)
        ring->buffers_free[i] = i;
    poison(ring->buffers, (size_t)ring->buffer_count * ring->buffer_bytes);
    list_init(&ring->queued);
    list_init(&ring->active);
    list_init(&ring->pinned);
    list_init(&ring->completions);
    sim_network_join(ring->network, ring);
    *out = ring;
    return 0;
}

static void operation_free(struct sim_operation *operation)
{
    free(operation->pieces);
    free(operation->copy);
    free(operation);
}

/* Ends what the owner has left open: links are reset, operations and completions forgotten. */
static void socket_abandon(struct sim_socket *sock)
{
    struct sim_operation *operations[] = {sock->receive, sock->send, sock->accept};
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (operations[i] != NULL && operations[i]->state == OPERATION_INFLIGHT)
            operation_free(operations[i]);
    if (sock->state != SOCKET_LISTENER && sock->link != NULL) /* also when its close has not been submitted */
        sim_link_close(sock->link, true);
    for (struct list_node *node; sock->state == SOCKET_LISTENER && (node = list_pop_front(&sock->backlog)) != NULL;)
        sim_link_close(list_entry(node, struct sim_link, waiting), true);
}

void ring_destroy(struct ring *ring)
{
    struct list_node *node;
    for (uint32_t i = 0; i < ring->sockets_made; i++)
        socket_abandon(&ring->sockets[i]);
    while ((node = list_pop_front(&ring->queued)) != NULL)
        operation_free(list_entry(node, struct sim_operation, node));
    while ((node = list_pop_front(&ring->pinned)) != NULL)
        operation_free(list_entry(node, struct sim_operation, node));
    while ((node = list_pop_front(&ring->completions)) != NULL) {
        struct sim_completion *completion = list_entry(node, struct sim_completion, node);
        if (!completion->completion.more)
            operation_free(completion->operation);
        free(completion);
    }
    sim_network_leave(ring->network, ring);
    free(ring->buffers);
    free(ring->buffer_out);
    free(ring->buffers_free);
    free(ring->sockets);
    free(ring->memories);
    free(ring);
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

/* The number freed last is used first. */
uint32_t sim_socket_take(struct ring *ring, enum socket_state state)
{
    uint32_t number = ring->socket_free;
    if (number != RING_SOCKET_NONE)
        ring->socket_free = ring->sockets[number].next_free;
    else if (ring->sockets_made < ring->sockets_max)
        number = ring->sockets_made++;
    else
        return RING_SOCKET_NONE;
    ring->sockets[number] = (struct sim_socket){.state = state};
    ring->sockets_open++;
    return number;
}

static void socket_release(struct ring *ring, uint32_t number)
{
    struct sim_socket *sock = &ring->sockets[number];
    check(sock->state == SOCKET_CLOSING);
    check_op(sock->pending, ==, 0);
    if (list_linked(&sock->active))
        list_remove(&sock->active);
    sock->state = SOCKET_FREE;
    sock->next_free = ring->socket_free;
    ring->socket_free = number;
    ring->sockets_open--;
}

static struct sim_socket *socket_of(const struct ring *ring, uint32_t number, enum socket_state state)
{
    check_op(number, <, ring->sockets_made);
    struct sim_socket *sock = &ring->sockets[number];
    check_op(sock->state, ==, state);
    return sock;
}

static struct sim_socket *socket_open(const struct ring *ring, uint32_t number)
{
    check_op(number, <, ring->sockets_made);
    struct sim_socket *sock = &ring->sockets[number];
    check(sock->state == SOCKET_LISTENER || sock->state == SOCKET_CONNECTION);
    return sock;
}

int ring_listen(struct ring *ring, const struct ring_listen_options *options, struct ring_address *bound)
{
    uint32_t number = sim_socket_take(ring, SOCKET_LISTENER);
    if (number == RING_SOCKET_NONE)
        return -ENFILE;
    struct sim_socket *sock = &ring->sockets[number];
    sock->bound = options->address;
    if (sock->bound.port == 0)
        sock->bound.port = ring->network->port_next++;
    sock->backlog_max = options->backlog;
    list_init(&sock->backlog);
    if (bound != NULL)
        *bound = sock->bound;
    return (int)number;
}

struct ring_address ring_peer(const struct ring *ring, uint32_t socket)
{
    return socket_of(ring, socket, SOCKET_CONNECTION)->link->from;
}

void sim_ring_touch(struct ring *ring, uint32_t socket)
{
    struct sim_socket *sock = &ring->sockets[socket];
    if (!list_linked(&sock->active))
        list_push_back(&ring->active, &sock->active);
}

uint32_t sim_ring_listener(const struct ring *ring, uint16_t port)
{
    for (uint32_t i = 0; i < ring->sockets_made; i++)
        if (ring->sockets[i].state == SOCKET_LISTENER && ring->sockets[i].bound.port == port)
            return i;
    return RING_SOCKET_NONE;
}

bool sim_ring_offer(struct ring *ring, uint32_t listener, struct sim_link *link)
{
    struct sim_socket *sock = socket_of(ring, listener, SOCKET_LISTENER);
    if (sock->backlog_count == sock->backlog_max)
        return false;
    link->ring = ring;
    link->socket = listener;
    list_push_back(&sock->backlog, &link->waiting);
    sock->backlog_count++;
    return true;
}

int ring_submit(struct ring *ring)
{
    int count = 0;
    ring->counters.enter_calls++;
    for (struct list_node *node; (node = list_first(&ring->queued)) != NULL; count++) {
        if (sim_fault(ring->network, ring->network->faults.submit_error))
            return -EBUSY;
        list_remove(node);
        ring->queued_count--;
        sim_carry_out(ring, list_entry(node, struct sim_operation, node));
    }
    return count;
}

int ring_wait(struct ring *ring, uint64_t timeout_ns)
{
    (void)timeout_ns;
    struct list now;
    struct list_node *node;
    ring->step++;
    ring->woken = false;
    ring->room = ring->batch = UINT32_MAX;
    if (sim_fault(ring->network, ring->network->faults.overflow))
        ring->room = ring->batch = 1 + (uint32_t)random_below(&ring->network->random, OVERFLOW_ROOM);
    int submitted = ring_submit(ring);
    list_init(&now);
    while ((node = list_pop_front(&ring->active)) != NULL)
        list_push_back(&now, node);
    while ((node = list_first(&now)) != NULL)
        sim_socket_go_on(ring, (uint32_t)(list_entry(node, struct sim_socket, active) - ring->sockets));
    sim_unpin(ring);
    return submitted < 0 ? submitted : 0;
}

/* --- queueing ----------------------------------------------------------------------------------------------------- */

/* Whether the queue takes one more. */
static bool has_entry(struct ring *ring, enum ring_op op, struct ring_tag tag)
{
    if (sim_refuses(ring, op, tag))
        return false;
    if (ring->queued_count == ring->entries) {
        ring->counters.queue_full++;
        (void)ring_submit(ring);
    }
    return ring->queued_count < ring->entries;
}

/* A new operation, queued; NULL: the caller answers -EAGAIN. */
static struct sim_operation *begin(struct ring *ring, uint32_t socket, struct ring_tag tag, enum ring_op op)
{
    struct sim_socket *sock = socket_open(ring, socket);
    const struct sim_hooks *hooks = &ring->network->hooks;
    check_op(tag.index, <=, TAG_INDEX_MAX);
    if (!has_entry(ring, op, tag)) {
        if (hooks->watch != NULL)
            hooks->watch(hooks->context, ring, op, tag, SIM_NOT_BEGUN);
        return NULL;
    }
    struct sim_operation *operation = sim_memory(1, sizeof *operation);
    operation->op = op;
    operation->tag = tag;
    operation->socket = socket;
    operation->cancels = RING_OPS;
    operation->kept_step = UINT64_MAX;
    list_push_back(&ring->queued, &operation->node);
    ring->queued_count++;
    ring->operations++;
    ring->counters.submitted[op]++;
    sock->pending++;
    return operation;
}

int ring_arm_accept(struct ring *ring, uint32_t socket, struct ring_tag tag)
{
    struct sim_socket *sock = socket_of(ring, socket, SOCKET_LISTENER);
    check(sock->accept == NULL);
    sock->accept = begin(ring, socket, tag, RING_ACCEPT);
    return sock->accept == NULL ? -EAGAIN : 0;
}

int ring_arm_receive(struct ring *ring, uint32_t socket, struct ring_tag tag)
{
    struct sim_socket *sock = socket_of(ring, socket, SOCKET_CONNECTION);
    check(sock->receive == NULL);
    sock->receive = begin(ring, socket, tag, RING_RECEIVE);
    return sock->receive == NULL ? -EAGAIN : 0;
}

static void remember_pieces(struct sim_operation *send, const struct iovec *vector, uint32_t count)
{
    size_t bytes = 0;
    send->pieces = sim_memory(count + 1, sizeof *send->pieces);
    send->piece_count = count;
    for (uint32_t i = 0; i < count; i++) {
        send->pieces[i] = vector[i];
        bytes += vector[i].iov_len;
    }
    check_op(bytes, <=, INT32_MAX);
    send->copy = sim_memory(bytes + 1, 1);
    for (uint32_t i = 0; i < count; i++) {
        if (vector[i].iov_len > 0)
            memcpy(send->copy + send->bytes, vector[i].iov_base, vector[i].iov_len);
        send->bytes += (uint32_t)vector[i].iov_len;
    }
}

static int begin_send(struct ring *ring, uint32_t socket, struct ring_tag tag, const struct iovec *vector,
                      uint32_t count, enum ring_op op)
{
    struct sim_socket *sock = socket_of(ring, socket, SOCKET_CONNECTION);
    check(sock->send == NULL);
    check_op(count, >, 0);
    struct sim_operation *send = begin(ring, socket, tag, op);
    if (send == NULL)
        return -EAGAIN;
    remember_pieces(send, vector, count);
    send->vector = vector;
    send->link = sock->link;
    sock->send = send;
    return 0;
}

int ring_begin_send_vector(struct ring *ring, uint32_t socket, struct ring_tag tag, const struct iovec *vector,
                           uint32_t count)
{
    return begin_send(ring, socket, tag, vector, count, RING_SEND);
}

int ring_begin_send(struct ring *ring, uint32_t socket, struct ring_tag tag, const void *data, uint32_t bytes)
{
    const struct iovec one = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    int result = begin_send(ring, socket, tag, &one, 1, RING_SEND);
    if (result == 0)
        ring->sockets[socket].send->vector = ring->sockets[socket].send->pieces; /* `one` is gone at the submission */
    return result;
}

uint32_t ring_begin_sends(struct ring *ring, const struct ring_send *sends, uint32_t count)
{
    uint32_t begun = 0;
    for (; begun < count; begun++) {
        const struct ring_send *send = &sends[begun];
        if (ring_begin_send(ring, send->socket, send->tag, send->data.data, (uint32_t)send->data.bytes) != 0)
            break;
    }
    return begun;
}

bool ring_has_zero_copy(const struct ring *ring)
{
    (void)ring;
    return true;
}

int ring_begin_send_zero_copy(struct ring *ring, uint32_t socket, struct ring_tag tag, const struct iovec *vector,
                              uint32_t count)
{
    int result = begin_send(ring, socket, tag, vector, count, RING_SEND_ZERO_COPY);
    if (result == 0 && count == 1)
        ring->sockets[socket].send->vector = ring->sockets[socket].send->pieces;
    return result;
}

int ring_register_memory(struct ring *ring, uint32_t number, const void *memory, uint32_t bytes)
{
    if (number >= ring->memories_max)
        return -ENOSPC;
    check_op(ring->memories[number].bytes, ==, 0);
    if (sim_fault(ring->network, ring->network->faults.unpinnable))
        return -ENOMEM;
    ring->memories[number] = slice_of(memory, bytes);
    return 0;
}

int ring_begin_send_registered(struct ring *ring, uint32_t socket, struct ring_tag tag, const void *data,
                               uint32_t bytes, uint32_t number)
{
    const struct iovec one = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    check_op(number, <, ring->memories_max);
    struct slice memory = ring->memories[number];
    check((const uint8_t *)data >= memory.data && (const uint8_t *)data + bytes <= memory.data + memory.bytes);
    return ring_begin_send_zero_copy(ring, socket, tag, &one, 1);
}

int ring_begin_shutdown(struct ring *ring, uint32_t socket, struct ring_tag tag, int how)
{
    struct sim_operation *operation = begin(ring, socket, tag, RING_SHUTDOWN);
    if (operation == NULL)
        return -EAGAIN;
    operation->how = how;
    return 0;
}

int ring_begin_cancel(struct ring *ring, uint32_t socket, struct ring_tag tag)
{
    return ring_begin_cancel_zero_copy(ring, socket, tag, tag);
}

int ring_begin_cancel_zero_copy(struct ring *ring, uint32_t socket, struct ring_tag tag, struct ring_tag send)
{
    struct sim_operation *operation = begin(ring, socket, tag, RING_CANCEL);
    if (operation == NULL)
        return -EAGAIN;
    operation->send = send;
    return 0;
}

int ring_begin_cancel_op(struct ring *ring, uint32_t socket, struct ring_tag tag, enum ring_op op)
{
    check(op == RING_RECEIVE || op == RING_ACCEPT);
    struct sim_operation *operation = begin(ring, socket, tag, RING_CANCEL);
    if (operation == NULL)
        return -EAGAIN;
    operation->cancels = op;
    return 0;
}

int ring_begin_close(struct ring *ring, uint32_t socket, struct ring_tag tag, bool reset)
{
    struct sim_socket *sock = socket_open(ring, socket);
    check_op(sock->pending, ==, 0);
    struct sim_operation *operation = begin(ring, socket, tag, RING_CLOSE);
    if (operation == NULL)
        return -EAGAIN;
    operation->reset = reset;
    sock->state = SOCKET_CLOSING;
    return 0;
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

static bool is_send(const struct sim_operation *operation)
{
    return operation->op == RING_SEND || operation->op == RING_SEND_ZERO_COPY;
}

/* The owner has its result: for the socket it is over, even when its memory is still pinned. */
static void leave_socket(struct ring *ring, const struct sim_operation *operation)
{
    struct sim_socket *sock = &ring->sockets[operation->socket];
    sock->pending--;
    if (operation == sock->receive)
        sock->receive = NULL;
    if (operation == sock->accept)
        sock->accept = NULL;
    if (operation == sock->send)
        sock->send = NULL;
}

/* Frees the operation whose last completion is being taken. */
static void retire(struct ring *ring, struct sim_operation *operation)
{
    ring->operations--;
    if (is_send(operation))
        sim_send_check(operation);
    if (operation->op == RING_CLOSE)
        socket_release(ring, operation->socket);
    operation_free(operation);
}

/* Whether it may be taken in this step. Those of one operation keep their order. */
static bool is_due(const struct ring *ring, const struct sim_completion *entry)
{
    struct sim_operation *operation = entry->operation;
    if (entry->due > ring->step || operation->kept_step == ring->step)
        return false;
    if (!sim_keeps(ring, entry))
        return true;
    operation->kept_step = ring->step;
    struct sim_link *link = ring->sockets[operation->socket].link;
    if (link != NULL && !entry->gives_back) /* else the socket may be another one's by now */
        link->harmed = true;                /* a deadline may pass meanwhile */
    return false;
}

/* The completion that is to be taken next, or NULL. */
static struct sim_completion *next_due(const struct ring *ring)
{
    struct list_node *node = ring->batch == 0 ? NULL : list_first(&ring->completions);
    while (node != NULL && !is_due(ring, list_entry(node, struct sim_completion, node)))
        node = list_next(&ring->completions, node);
    return node == NULL ? NULL : list_entry(node, struct sim_completion, node);
}

static void take(struct ring *ring, struct sim_completion *entry, struct ring_completion *completion)
{
    list_remove(&entry->node);
    *completion = entry->completion;
    unpoison(completion->data.data, completion->data.bytes);
    ring->batch--;
    entry->operation->kept_step = UINT64_MAX;
    sim_tell(ring, entry);
    if (!entry->gives_back && (!completion->more || completion->op == RING_SEND_ZERO_COPY))
        leave_socket(ring, entry->operation);
    if (!completion->more)
        retire(ring, entry->operation);
    free(entry);
    ring->counters.completed++;
}

bool ring_next(struct ring *ring, struct ring_completion *completion)
{
    struct sim_completion *entry = next_due(ring);
    if (entry == NULL)
        return false;
    take(ring, entry, completion);
    return true;
}

uint32_t ring_next_sent(struct ring *ring, struct ring_sent *sent, uint32_t max)
{
    uint32_t count = 0;
    struct sim_completion *entry;
    struct ring_completion completion;
    while (count < max && (entry = next_due(ring)) != NULL && entry->completion.op == RING_SEND) {
        take(ring, entry, &completion);
        sent[count++] = (struct ring_sent){.tag = completion.tag, .result = completion.result};
    }
    return count;
}

void ring_give_back(struct ring *ring, uint32_t buffer)
{
    check_op(buffer, <, ring->buffer_count);
    check(ring->buffer_out[buffer]);
    ring->buffer_out[buffer] = false;
    uint8_t *data = ring->buffers + (size_t)buffer * ring->buffer_bytes;
    unpoison(data, ring->buffer_bytes);
    memset(data, SCRIBBLE, ring->buffer_bytes);
    poison(data, ring->buffer_bytes);
    ring->buffers_free[(ring->buffers_head + ring->buffers_free_count) % ring->buffer_count] = buffer;
    ring->buffers_free_count++;
}

void ring_tidy(struct ring *ring)
{
    check_op(ring->buffers_free_count, <=, ring->buffer_count); /* here they take no memory of the system's */
}

uint32_t ring_buffers_free(const struct ring *ring)
{
    return ring->buffers_free_count;
}

void ring_wake(struct ring *ring)
{
    ring->woken = true;
    ring->counters.wakes++;
}

void ring_counters_read(const struct ring *ring, struct ring_counters *out)
{
    *out = ring->counters;
}

bool sim_ring_ready(const struct ring *ring)
{
    for (struct list_node *node = list_first(&ring->pinned); node != NULL; node = list_next(&ring->pinned, node))
        if (sim_unpinned(ring, list_entry(node, struct sim_operation, node)))
            return true;
    return ring->woken || !list_empty(&ring->queued) || !list_empty(&ring->active) || !list_empty(&ring->completions);
}

uint32_t sim_ring_sockets(const struct ring *ring)
{
    return ring->sockets_open;
}

uint32_t sim_ring_operations(const struct ring *ring)
{
    return ring->operations;
}
