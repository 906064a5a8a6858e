/* SPDX-License-Identifier: MIT */
/* What the turn keeps of its own. */
#ifndef RINGCAST_SHARDS_TURN_H
#define RINGCAST_SHARDS_TURN_H

#include "core/wheel.h"
#include "shards/turn/spin.h"

struct turn {
    uint64_t began_ns;
    struct spin spin;          /* before sleeping */
    struct wheel_timer second; /* once-a-second work */
    uint64_t last_ms;          /* when the last turn began */
    uint32_t farewell_at;      /* slot cursor of the paced farewell */
};

#endif
