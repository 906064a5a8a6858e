/* SPDX-License-Identifier: MIT */
/* What the seed chooses of the work and its limits: the part of a plan that the dialects are about. */
#ifndef RINGCAST_TESTS_SIM_SIM_WORK_H
#define RINGCAST_TESTS_SIM_SIM_WORK_H

#include "core/random.h"

struct sim_world;

/* Of crypto: the services that are published to. */
#define SIM_SERVICES 6
extern const char *const sim_services[SIM_SERVICES];

struct sim_work {
    uint32_t weave; /* how often a turn is interrupted, in 1000 */
    bool compression;
    uint32_t addresses;         /* from which clients come */
    uint32_t per_address;       /* of each dialect but rustorium; 0: no limit */
    uint32_t all_per_address;   /* of all connections; 0: no limit */
    uint32_t attempts;          /* of rustorium in a minute; 0: no limit */
    uint32_t per_key_reloaded;  /* of rustorium, after a reload */
    uint32_t outbox_bytes_more; /* likewise, for all */
    uint32_t interval_ms[SIM_SERVICES];
    bool resend_unchanged;
    bool wait_for_jobs; /* unknown jobs are waited for, not refused */
};

void sim_work_choose(struct sim_work *work, struct random *random);
void sim_work_trace(struct sim_world *world);

#endif
