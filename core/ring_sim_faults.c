/* SPDX-License-Identifier: MIT */
/* Decides which operations go wrong and how: by the seed, or as a test directs; and tells a test what became of them.
 * It never completes an operation and moves no byte.
 * Called by the other files of the simulated ring, wherever something could go wrong. */
#include "core/check.h"
#include "core/ring_sim_parts.h"

#include <errno.h>

#define MS_NS UINT64_C(1000000)

/* The errno of each outcome that is an error. */
static const int numbers[SIM_OUTCOMES] = {
    [SIM_EPIPE] = EPIPE,
    [SIM_ECONNRESET] = ECONNRESET,
    [SIM_ECONNABORTED] = ECONNABORTED,
    [SIM_ENOTCONN] = ENOTCONN,
    [SIM_ETIMEDOUT] = ETIMEDOUT,
    [SIM_EMFILE] = EMFILE,
    [SIM_ENFILE] = ENFILE,
    [SIM_ENOBUFS] = ENOBUFS,
    [SIM_ENOMEM] = ENOMEM,
    [SIM_EINTR] = EINTR,
    [SIM_EIO] = EIO,
    [SIM_EINVAL] = EINVAL,
    [SIM_ECANCELED] = ECANCELED,
};

/* What each operation may fail with out of the blue; what follows from the state of its link comes besides. */
#define ERRORS_MAX 8
static const enum sim_outcome errors[RING_OPS][ERRORS_MAX] = {
    [RING_ACCEPT] = {SIM_ECONNABORTED, SIM_EMFILE, SIM_ENFILE, SIM_ENOBUFS, SIM_ENOMEM, SIM_EINTR},
    [RING_RECEIVE] = {SIM_ECONNRESET, SIM_ETIMEDOUT, SIM_ENOMEM, SIM_EINTR, SIM_ECANCELED},
    [RING_SEND] = {SIM_EPIPE, SIM_ECONNRESET, SIM_ETIMEDOUT, SIM_ENOBUFS, SIM_ENOMEM, SIM_EINTR, SIM_ECANCELED},
    [RING_SEND_ZERO_COPY] = {SIM_EPIPE, SIM_ECONNRESET, SIM_ETIMEDOUT, SIM_ENOBUFS, SIM_ENOMEM, SIM_EINTR,
                             SIM_ECANCELED},
    [RING_SHUTDOWN] = {SIM_ENOTCONN, SIM_ENOMEM, SIM_EINTR},
    [RING_CLOSE] = {SIM_EIO, SIM_EINTR},
    [RING_CANCEL] = {SIM_ENOMEM},
};

static uint32_t chance_of_error(const struct sim_faults *faults, enum ring_op op)
{
    switch (op) {
    case RING_ACCEPT:
        return faults->accept_error;
    case RING_RECEIVE:
        return faults->receive_error;
    case RING_SEND:
    case RING_SEND_ZERO_COPY:
        return faults->send_error;
    case RING_SHUTDOWN:
        return faults->shutdown_error;
    case RING_CLOSE:
        return faults->close_error;
    case RING_CANCEL:
        return faults->cancel_error;
    default:
        return 0;
    }
}

/* --- deciding ----------------------------------------------------------------------------------------------------- */

bool sim_fault(struct sim_network *network, uint32_t chance)
{
    return chance > 0 && random_chance(&network->random, chance, 1000);
}

static enum sim_outcome directed(const struct ring *ring, enum ring_op op, struct ring_tag tag)
{
    const struct sim_hooks *hooks = &ring->network->hooks;
    return hooks->direct == NULL ? SIM_OUTCOMES : hooks->direct(hooks->context, ring, op, tag);
}

bool sim_outcome_is(struct ring *ring, const struct sim_operation *operation, enum sim_outcome outcome, uint32_t chance)
{
    enum sim_outcome wanted = directed(ring, operation->op, operation->tag);
    return wanted == outcome || (wanted == SIM_OUTCOMES && sim_fault(ring->network, chance));
}

int32_t sim_error(struct ring *ring, const struct sim_operation *operation)
{
    const enum sim_outcome *list = errors[operation->op];
    enum sim_outcome wanted = directed(ring, operation->op, operation->tag);
    uint32_t count = 0;
    for (; count < ERRORS_MAX && list[count] != SIM_GOOD; count++)
        if (list[count] == wanted)
            return -numbers[wanted];
    if (wanted != SIM_OUTCOMES || !sim_fault(ring->network, chance_of_error(&ring->network->faults, operation->op)))
        return 0;
    return -numbers[list[random_below(&ring->network->random, count)]];
}

bool sim_refuses(struct ring *ring, enum ring_op op, struct ring_tag tag)
{
    return directed(ring, op, tag) == SIM_NOT_BEGUN || sim_fault(ring->network, ring->network->faults.queue_full);
}

bool sim_descriptors_out(struct ring *ring)
{
    struct sim_network *network = ring->network;
    if (network->now_ns >= ring->descriptors_at_ns && sim_fault(network, network->faults.descriptors_out))
        ring->descriptors_at_ns =
            network->now_ns + 1 + random_below(&network->random, network->faults.descriptors_out_ms * MS_NS);
    return network->now_ns < ring->descriptors_at_ns;
}

/* --- links that stand still --------------------------------------------------------------------------------------- */

void sim_hold(struct sim_network *network, struct sim_link *link)
{
    if (sim_link_is_held(network, link))
        return;
    if (sim_fault(network, network->faults.stall)) {
        link->held_until_ns = UINT64_MAX;
        link->harmed = true;
    } else if (sim_fault(network, network->faults.hold)) {
        link->held_until_ns = network->now_ns + 1 + random_below(&network->random, network->faults.hold_ms * MS_NS);
    } else {
        return;
    }
    list_push_back(&network->held, &link->held);
}

void sim_release(struct sim_network *network, bool all)
{
    struct list_node *node = list_first(&network->held);
    while (node != NULL) {
        struct sim_link *link = list_entry(node, struct sim_link, held);
        node = list_next(&network->held, node);
        if (!all && sim_link_is_held(network, link))
            continue;
        link->held_until_ns = 0;
        list_remove(&link->held);
        if (link->ring != NULL)
            sim_ring_touch(link->ring, link->socket);
    }
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static enum sim_outcome outcome_of_error(int32_t result)
{
    for (enum sim_outcome outcome = SIM_GOOD; outcome < SIM_OUTCOMES; outcome++)
        if (numbers[outcome] == -result)
            return outcome;
    check_op(result, >=, 0); /* the table above lacks it */
    return SIM_GOOD;
}

static enum sim_outcome outcome_of(const struct sim_completion *entry)
{
    static const enum sim_outcome found[] = {SIM_NOTHING, SIM_ONE, SIM_BOTH};
    const struct ring_completion *completion = &entry->completion;
    if (entry->gives_back)
        return completion->result == RING_COPIED ? SIM_COPIED : SIM_GIVEN_BACK;
    if (completion->result < 0)
        return outcome_of_error(completion->result);
    switch (completion->op) {
    case RING_ACCEPT:
        return completion->more ? SIM_GOOD : SIM_LAST;
    case RING_RECEIVE:
        return completion->result == 0 ? SIM_END : completion->more ? SIM_GOOD : SIM_LAST;
    case RING_SEND:
    case RING_SEND_ZERO_COPY:
        return (uint32_t)completion->result < entry->operation->bytes ? SIM_SHORT : SIM_GOOD;
    case RING_CANCEL:
        return found[completion->result];
    default:
        return SIM_GOOD;
    }
}

bool sim_keeps(const struct ring *ring, const struct sim_completion *entry)
{
    const struct sim_hooks *hooks = &ring->network->hooks;
    const struct ring_completion *completion = &entry->completion;
    return hooks->keep != NULL && hooks->keep(hooks->context, ring, completion->op, completion->tag, outcome_of(entry));
}

void sim_tell(const struct ring *ring, const struct sim_completion *entry)
{
    const struct sim_hooks *hooks = &ring->network->hooks;
    const struct ring_completion *completion = &entry->completion;
    if (hooks->watch != NULL)
        hooks->watch(hooks->context, ring, completion->op, completion->tag, outcome_of(entry));
}
