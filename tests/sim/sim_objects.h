/* SPDX-License-Identifier: MIT */
/* What publishers publish: objects of every dialect that takes any, each of them noted in the model before it is
 * sent. */
#ifndef RINGCAST_TESTS_SIM_SIM_OBJECTS_H
#define RINGCAST_TESTS_SIM_SIM_OBJECTS_H

#include "tests/sim/sim_world.h"

#define SIM_OBJECT_BYTES_MAX 32768

enum sim_object_kind {
    SIM_OBJECT_BLOCK,
    SIM_OBJECT_STATE,
    SIM_OBJECT_PLAIN,
    SIM_OBJECT_SERVICE,
    SIM_OBJECT_JOB,
    SIM_OBJECT_CHAIN,
    SIM_OBJECT_MARKET,
};

/* Of one publisher. */
struct sim_objects {
    uint32_t publisher;
    struct sim_job_desk desk;
    struct sim_stall stall;
};

/* One of a kind, to one topic: objects of one request have that in common. */
struct sim_topic_choice {
    enum sim_object_kind kind;
    uint32_t number; /* of the channel of plain or of the service of crypto */
    const char *dialect;
    const char *topic;
};

void sim_objects_make(struct sim_world *world, struct sim_objects *objects, uint32_t publisher);
struct sim_topic_choice sim_objects_choose(struct sim_world *world, const struct sim_objects *objects);
/* The next object of that choice, noted and written; its bytes, 0 when there is none to tell. `form`: of plain. */
size_t sim_objects_begin(struct sim_world *world, struct sim_objects *objects, const struct sim_topic_choice *choice,
                         enum sim_form form, uint32_t stream, char *out, size_t room, uint32_t *message);
/* The server has refused it. */
void sim_objects_refused(struct sim_world *world, struct sim_objects *objects, uint32_t message);

#endif
