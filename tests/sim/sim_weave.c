/* SPDX-License-Identifier: MIT */
/* Owns the places at which a turn can be interrupted: the linker puts these functions before those of the ring and of
 * the mail (--wrap), so the server's code knows nothing of it. It never decides what happens there: sim_world_interrupt
 * does. Called by the server's code, in place of what it means to call. */
#include "tests/sim/sim_weave.h"

#include "core/spsc.h"
#include "core/work.h"
#include "tests/sim/sim_audit.h"

static struct sim_world *woven; /* the wrapped functions have no argument that could name it */

void sim_weave_begin(struct sim_world *world)
{
    woven = world;
}

void sim_weave_end(void)
{
    woven = NULL;
}

/* `at_data`: something has come from a peer and is not yet looked at. */
static void interrupt(bool at_data)
{
    if (woven != NULL)
        sim_world_interrupt(woven, at_data);
}

bool __real_ring_next(struct ring *ring, struct ring_completion *completion);
bool __wrap_ring_next(struct ring *ring, struct ring_completion *completion);
bool __wrap_ring_next(struct ring *ring, struct ring_completion *completion)
{
    bool taken = __real_ring_next(ring, completion);
    interrupt(taken && completion->op == RING_RECEIVE && completion->result > 0);
    return taken;
}

uint32_t __real_ring_next_sent(struct ring *ring, struct ring_sent *sent, uint32_t max);
uint32_t __wrap_ring_next_sent(struct ring *ring, struct ring_sent *sent, uint32_t max);
uint32_t __wrap_ring_next_sent(struct ring *ring, struct ring_sent *sent, uint32_t max)
{
    uint32_t count = __real_ring_next_sent(ring, sent, max);
    interrupt(false);
    return count;
}

bool __real_spsc_push(struct spsc *ring, const struct spsc_item *item);
bool __wrap_spsc_push(struct spsc *ring, const struct spsc_item *item);
bool __wrap_spsc_push(struct spsc *ring, const struct spsc_item *item)
{
    struct mail mail;
    memcpy(&mail, item, sizeof mail);
    if (woven != NULL)
        sim_audit_posted(woven, &mail);
    bool pushed = __real_spsc_push(ring, item);
    interrupt(false);
    return pushed;
}

bool __real_spsc_pop(struct spsc *ring, struct spsc_item *item);
bool __wrap_spsc_pop(struct spsc *ring, struct spsc_item *item);
bool __wrap_spsc_pop(struct spsc *ring, struct spsc_item *item)
{
    interrupt(false);
    return __real_spsc_pop(ring, item);
}
