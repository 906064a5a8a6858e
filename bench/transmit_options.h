/* SPDX-License-Identifier: MIT */
/* The command line of ringcast-transmit. */
#ifndef RINGCAST_TRANSMIT_OPTIONS_H
#define RINGCAST_TRANSMIT_OPTIONS_H

#include "core/option.h"

#include <stdio.h>

struct transmit_options {
    struct option_texts sizes;
    struct option_texts paths;
    uint64_t conns;
    uint64_t window;
    uint64_t repeat;
    uint64_t slice_ms;
    char *json;
    bool quiet;
};

/* 1: run, 0: help was asked for, -1: wrong, with a sentence in `why`. Release in any case. */
int transmit_options_parse(struct transmit_options *options, int count, char **arguments, struct buf *why);
void transmit_options_release(struct transmit_options *options);
void transmit_options_usage(FILE *out);

#endif
