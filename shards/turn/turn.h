/* SPDX-License-Identifier: MIT */
/* What the turn keeps of its own. */
#ifndef RINGCAST_SHARDS_TURN_H
#define RINGCAST_SHARDS_TURN_H

#include "core/wheel.h"
#include "shards/turn/farewell.h"
#include "shards/turn/spin.h"
#include "shards/turn/turn_time.h"
#include "shards/turn/walks.h"

struct turn {
    uint64_t began_ns;
    uint64_t waited_ns;        /* when the wait at its end began; 0: there was none */
    struct spin spin;          /* before sleeping */
    struct wheel_timer second; /* once-a-second work */
    struct turn_time times;
    uint64_t last_ms; /* when the last turn began */
    struct farewell farewell;
    struct walks walks;
};

#endif
