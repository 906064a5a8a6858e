/* SPDX-License-Identifier: MIT */
/* Whether a shard without work looks on for a while before it sleeps. Being woken costs more CPU than a short look, and
 * comes late, but looking pays only where the next work tends to come within it. So each pause between work is
 * measured, slept through or not, and pauses that were too long end the looking until short ones have come again.
 * Pure. */
#ifndef RINGCAST_SHARDS_SPIN_H
#define RINGCAST_SHARDS_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define SPIN_TRUST_MAX 8
#define SPIN_TRUST_MIN 4    /* from here on it looks */
#define SPIN_WAKE_NS 20000U /* what a sleeper notices late: part of the pause that it measures */

struct spin {
    uint64_t worked_ns; /* end of the last turn that had work */
    uint8_t trust;      /* rises with each short pause and falls with each long one */
    bool paused;        /* turns without work have followed it */
    bool slept;
};

/* A turn that began at `began_ns` had work and ends at `now_ns`; `limit_ns` is the longest look, 0: never. */
static inline void spin_worked(struct spin *spin, uint64_t limit_ns, uint64_t began_ns, uint64_t now_ns)
{
    uint64_t late_ns = spin->slept ? SPIN_WAKE_NS : 0;
    if (spin->paused && began_ns - spin->worked_ns <= limit_ns + late_ns)
        spin->trust = (uint8_t)(spin->trust + (spin->trust < SPIN_TRUST_MAX));
    else if (spin->paused)
        spin->trust = (uint8_t)(spin->trust - (spin->trust > 0));
    spin->paused = spin->slept = false;
    spin->worked_ns = now_ns;
}

/* A turn had no work: whether to look on instead of sleeping. */
static inline bool spin_on(struct spin *spin, uint64_t limit_ns, uint64_t now_ns)
{
    bool on = spin->trust >= SPIN_TRUST_MIN && now_ns - spin->worked_ns < limit_ns;
    spin->paused = true;
    spin->slept = !on;
    return on;
}

#endif
