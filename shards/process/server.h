/* SPDX-License-Identifier: MIT */
/* The whole server: makes the shards and their rings, listens, starts the threads, waits for signals, drains and
 * ends. */
#ifndef RINGCAST_SHARDS_SERVER_H
#define RINGCAST_SHARDS_SERVER_H

#include "shards/config/config.h"

/* What the binary was built from. */
struct server_build {
    const char *version;
    const char *commit;
};

/* Serves until SIGTERM or SIGINT (drain; a second one: at once); SIGHUP reloads from `source`. Logs what goes wrong.
 * Returns the exit code of the process: 0 after a clean stop, 1 when it could not start or had to give up. Owns
 * `config` from now on. */
int server_run(struct config *config, const struct config_source *source, const struct server_build *build);

#endif
