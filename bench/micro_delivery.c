/* SPDX-License-Identifier: MIT */
/* Owns the case of ringcast-micro about the delivery loop: a publish to 1,000 subscribers, from its errand to the last
 * completion, over a kernel that costs nothing (null_kernel.c). Called by micro_main. */
#include "bench/meter_shard.h"
#include "bench/micro.h"
#include "core/check.h"
#include "core/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define SUBSCRIBERS 1000

static const uint8_t payload[16384];

static void close_delivery(void *state)
{
    meter_shard_close(state);
    free(state);
}

static int open_delivery(void **state, const struct micro_case *self)
{
    (void)self;
    struct meter_shard *meter = calloc(1, sizeof *meter);
    if (meter == NULL)
        return -ENOMEM;
    int error = meter_shard_open(meter, SUBSCRIBERS, NULL);
    for (uint32_t i = 0; i < SUBSCRIBERS && error == 0; i++) {
        int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC); /* closed as soon as the table has it */
        error = descriptor < 0 ? -errno : meter_shard_adopt(meter, descriptor, i);
    }
    if (error == 0)
        error = meter_shard_await(meter, STAT_SUBSCRIPTIONS, SUBSCRIBERS);
    if (error < 0)
        close_delivery(meter);
    else
        *state = meter;
    return error;
}

static uint64_t run_delivery(void *state, const struct micro_case *self, uint64_t count)
{
    struct meter_shard *meter = state;
    uint64_t delivered = stats_get(&meter->shard->stats, STAT_DELIVERED);
    for (uint64_t done = 0; done < count; done += SUBSCRIBERS) {
        delivered += SUBSCRIBERS;
        check(meter_shard_publish(meter, slice_of(payload, self->bytes)) == 0);
        check(meter_shard_await(meter, STAT_DELIVERED, delivered) == 0);
    }
    return delivered;
}

const struct micro_case micro_delivery[] = {
    {"delivery/512", "one message to one of 1,000 subscribers", 512, open_delivery, run_delivery, close_delivery},
    {"delivery/16384", "the same", 16384, open_delivery, run_delivery, close_delivery},
    {.name = NULL},
};
