/* SPDX-License-Identifier: MIT */
/* Owns the shards' side of storage: posting within the limits, taking answers, and what anybody may read.
 * It never waits, never touches the store, and frees nothing: a request is its maker's.
 * Called by shards, each for its own port. */
#include "shards/storage/storage.h"

#include "core/check.h"
#include "shards/storage/store.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

_Static_assert(offsetof(struct storage_port, wants_room) - offsetof(struct storage_port, outstanding) >= 64,
               "the sides share no cache line");

static int init_port(struct storage_port *port)
{
    memset(port, 0, sizeof *port);
    int error = spsc_init(&port->in, STORAGE_OUTSTANDING_MAX);
    return error == 0 ? spsc_init(&port->out, STORAGE_OUTSTANDING_MAX) : error;
}

static void destroy_ports(struct storage *storage)
{
    for (uint16_t i = 0; storage->ports != NULL && i < storage->count; i++) {
        spsc_destroy(&storage->ports[i].in);
        spsc_destroy(&storage->ports[i].out);
    }
    free(storage->ports);
    storage->ports = NULL;
}

int storage_init(struct storage *storage, struct store *store, uint16_t shards, storage_answered_fn *answered,
                 void *user)
{
    check(shards > 0);
    memset(storage, 0, sizeof *storage);
    storage->ports = aligned_alloc(64, shards * sizeof *storage->ports);
    if (storage->ports == NULL)
        return -ENOMEM;
    memset(storage->ports, 0, shards * sizeof *storage->ports);
    storage->count = shards;
    for (uint16_t i = 0; i < shards; i++) {
        if (init_port(&storage->ports[i]) != 0) {
            destroy_ports(storage);
            return -ENOMEM;
        }
    }
    storage->store = store;
    storage->answered = answered;
    storage->user = user;
    return 0;
}

void storage_destroy(struct storage *storage)
{
    check(storage_is_quiet(storage));
    for (uint16_t i = 0; i < storage->count; i++)
        check_op(storage->ports[i].outstanding, ==, 0);
    destroy_ports(storage);
    store_close(storage->store);
    storage->store = NULL;
}

static void chain(struct storage_request **list, struct storage_request *request)
{
    request->next = *list;
    *list = request;
}

static void chain_ring(struct storage_request **list, struct spsc *ring)
{
    struct spsc_item item;
    while (spsc_pop(ring, &item))
        chain(list, (struct storage_request *)(uintptr_t)item.words[0]);
}

struct storage_request *storage_abandon(struct storage *storage)
{
    struct storage_request *list = NULL;
    for (struct storage_request *request = storage->group.first; request != NULL;) {
        struct storage_request *next = request->next;
        chain(&list, request);
        request = next;
    }
    for (uint16_t i = 0; i < storage->count; i++) {
        struct storage_port *port = &storage->ports[i];
        if (port->held != NULL)
            chain(&list, port->held);
        chain_ring(&list, &port->in);
        chain_ring(&list, &port->out);
    }
    destroy_ports(storage);
    store_close(storage->store);
    storage->store = NULL;
    return list;
}

static struct storage_port *port_of(struct storage *storage, uint16_t origin)
{
    check_op(origin, <, storage->count);
    return &storage->ports[origin];
}

static void check_request(const struct storage_request *request)
{
    check_op((unsigned)request->kind, <=, STORAGE_SCAN);
    check_op(request->key_bytes, <=, STORE_KEY_BYTES_MAX);
    if (request->kind == STORAGE_COMMIT) {
        check_op(request->stream, <, STORAGE_STREAMS_MAX);
        check_op(request->life, >, 0);
    } else {
        check_op(request->unit.used, ==, 0);
    }
}

bool storage_post(struct storage *storage, uint16_t origin, struct storage_request *request)
{
    struct storage_port *port = port_of(storage, origin);
    check_request(request);
    request->bytes = request->unit.used;
    if (port->outstanding == STORAGE_OUTSTANDING_MAX ||
        (port->outstanding > 0 && port->outstanding_bytes + request->bytes > STORAGE_BYTES_MAX)) {
        atomic_fetch_add_explicit(&port->refused, 1, memory_order_relaxed);
        return false;
    }
    request->origin = origin;
    request->next = NULL;
    port->outstanding++;
    port->outstanding_bytes += request->bytes;
    struct spsc_item item = {.words = {(uintptr_t)request}};
    bool pushed = spsc_push(&port->in, &item);
    check(pushed);
    port->must_ring = true;
    return true;
}

struct storage_request *storage_take(struct storage *storage, uint16_t origin)
{
    struct storage_port *port = port_of(storage, origin);
    struct spsc_item item;
    if (!spsc_pop(&port->out, &item))
        return NULL;
    struct storage_request *request = (struct storage_request *)(uintptr_t)item.words[0];
    check_op(request->origin, ==, origin);
    check_op(port->outstanding, >, 0);
    port->outstanding--;
    port->outstanding_bytes -= request->bytes;
    if (request->kind != STORAGE_COMMIT) {
        uint64_t taken = atomic_load_explicit(&port->reply_bytes_taken, memory_order_relaxed);
        atomic_store_explicit(&port->reply_bytes_taken, taken + request->unit.used, memory_order_release);
        /* Pairs with storage's look at reply_bytes_taken behind its fence: either it sees the room, or we see that it
         * wants some. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&port->wants_room, memory_order_relaxed))
            port->must_ring = true;
    }
    return request;
}

enum storage_state storage_state(const struct storage *storage, int *error)
{
    uint32_t condition = atomic_load_explicit(&storage->condition, memory_order_relaxed);
    if (error != NULL)
        *error = (int)(condition & 0xffff);
    return (enum storage_state)(condition >> 16);
}

const char *storage_state_name(enum storage_state state)
{
    static const char *const names[] = {"working", "full", "failed"};
    return names[state];
}

uint64_t storage_count(const struct storage *storage, enum storage_count count)
{
    return atomic_load_explicit(&storage->counts[count], memory_order_relaxed);
}

uint64_t storage_refused(const struct storage *storage)
{
    uint64_t refused = 0;
    for (uint16_t i = 0; i < storage->count; i++)
        refused += atomic_load_explicit(&storage->ports[i].refused, memory_order_relaxed);
    return refused;
}

uint32_t storage_queued(const struct storage *storage)
{
    uint32_t queued = 0;
    for (uint16_t i = 0; i < storage->count; i++)
        queued += spsc_count(&storage->ports[i].in);
    return queued;
}
