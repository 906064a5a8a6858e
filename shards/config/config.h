/* SPDX-License-Identifier: MIT */
/* The configuration: tables of options read from one YAML file, the environment and flags into typed structs
 * (settings.h). */
#ifndef RINGCAST_SHARDS_CONFIG_H
#define RINGCAST_SHARDS_CONFIG_H

#include "shards/config/settings.h"

#define CONFIG_NOTICES_BYTES 4096

/* Where a configuration comes from: kept for the reload. */
struct config_source {
    const char *path;        /* NULL: defaults only */
    char **environment;      /* RINGCAST_SECTION_KEY=value; NULL: none */
    const char *const *sets; /* "section.key=value" of --set, in order; NULL-terminated or NULL */
};

/* Loads, merges (defaults < file < environment < sets) and validates. 0 and *out; -EINVAL (or another -errno of the
 * file) with all findings in `why`, a line each: "FILE:LINE: KEY: what is wrong; what would be right". */
int config_load(const struct config_source *source, struct config **out, struct buf *why);
/* The same for a running server, which keeps `now` when the new one is refused: also for what got lost by accident (a
 * file that was emptied or cut, keys that vanish without `keys: []`), and for files that cannot be read a second
 * time. */
int config_reload(const struct config_source *source, const struct config *now, struct config **out, struct buf *why);
void config_free(struct config *config);
/* What is no mistake and should be known: a line each, "" for nothing. */
const char *config_notices(const struct config *config);
/* The dialects (bit i: dialects[i]) that serve everybody without a key. */
uint32_t config_open(const struct config *config);
/* Prints the effective values as YAML that would load again, secrets masked, each with its origin as a comment
 * (default | file:line | env NAME | --set). */
void config_print(const struct config *config, const struct config_source *source, struct buf *out);
/* A commented minimal configuration with fresh random keys. */
int config_generate(struct buf *out);
/* Names of the keys whose values differ but need a restart, comma-separated; empty when there are none. */
void config_restart_needed(const struct config *now, const struct config *next, struct buf *out);

#endif
