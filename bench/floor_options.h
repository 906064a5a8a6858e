/* SPDX-License-Identifier: MIT */
/* The command line of ringcast-floor. */
#ifndef RINGCAST_FLOOR_OPTIONS_H
#define RINGCAST_FLOOR_OPTIONS_H

#include "bench/floor.h"
#include "core/buf.h"

#include <stdio.h>

/* 1: run, 0: help was asked for, -1: wrong, with a sentence in `why`. Release in any case. */
int floor_options_parse(struct floor_options *options, int count, char **arguments, struct buf *why);
void floor_options_release(struct floor_options *options);
const char *floor_mode_name(uint32_t mode);
void floor_usage(FILE *out);

#endif
