/* SPDX-License-Identifier: MIT */
/* What a run serves: its listeners, and its configuration as an operator would write it. */
#ifndef RINGCAST_TESTS_SIM_SIM_CONFIG_H
#define RINGCAST_TESTS_SIM_SIM_CONFIG_H

#include "core/ring.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "shards/conn/listener.h"

struct sim_world;

enum sim_port {
    SIM_PORT_PLAIN = 9101,
    SIM_PORT_ECHO,
    SIM_PORT_RUSTORIUM,
    SIM_PORT_INGEST,
    SIM_PORT_AITBC,       /* all its streams */
    SIM_PORT_AITBC_CHAIN, /* blockchain events only */
    SIM_PORT_CRYPTO,
    SIM_PORT_ADMIN,
    SIM_PORTS_END,
};
#define SIM_LISTENERS (SIM_PORTS_END - SIM_PORT_PLAIN)

/* Keys of rustorium; a reload takes the last one away. Publishers have two, and lose the second. */
#define SIM_RUSTORIUM_KEYS 3
#define SIM_INGEST_KEY "publisher-key"
#define SIM_INGEST_KEY_LOST "lost-key"
#define SIM_AITBC_KEY "aitbc-key"

#define SIM_JOB_CLOSE_MS 3000 /* from the end of a job to the close of its connections */

/* Loaded as the server loads its own; fails the run when it does not load. */
struct config *sim_config_load(const struct sim_world *world, bool reloaded);
/* The listeners of one shard; a bit of `tls` for each that speaks it. */
void sim_config_listen(const struct config *config, uint32_t tls, struct ring *ring,
                       struct listener listeners[SIM_LISTENERS]);

#endif
