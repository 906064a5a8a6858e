/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-callgrind: a shard with subscribers over a kernel that costs nothing, and the function
 * whose instructions are counted. It never counts anything itself. Called by bench/callgrind under valgrind. */
#include "bench/meter_shard.h"
#include "core/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define WARM_ROUNDS 20 /* until the channel's segments have grown */

struct load {
    uint32_t conns;
    uint32_t size;
    uint32_t window; /* messages per turn, gathered in one send */
    uint32_t rounds;
};

static uint8_t payload[1 << 20];

/* Each round is one publish per message of the window and the turns until all sends have completed. */
static int deliver(struct meter_shard *meter, const struct load *load, uint32_t rounds)
{
    int error = 0;
    for (uint32_t n = 0; n < rounds && error == 0; n++) {
        uint64_t delivered = stats_get(&meter->shard->stats, STAT_DELIVERED);
        for (uint32_t i = 0; i < load->window && error == 0; i++)
            error = meter_shard_publish(meter, slice_of(payload, load->size));
        if (error == 0)
            error = meter_shard_await(meter, STAT_DELIVERED, delivered + (uint64_t)load->window * load->conns);
    }
    return error;
}

/* What is counted: bench/callgrind gives this name to --toggle-collect. */
int ringcast_counted(struct meter_shard *meter, const struct load *load);
__attribute__((noinline)) int ringcast_counted(struct meter_shard *meter, const struct load *load)
{
    return deliver(meter, load, load->rounds);
}

static int subscribe(struct meter_shard *meter, const struct load *load)
{
    int error = 0;
    for (uint32_t i = 0; i < load->conns && error == 0; i++) {
        int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC); /* closed as soon as the table has it */
        error = descriptor < 0 ? -errno : meter_shard_adopt(meter, descriptor, i);
    }
    return error < 0 ? error : meter_shard_await(meter, STAT_SUBSCRIPTIONS, load->conns);
}

static uint32_t number(const char *text, uint32_t max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    return *text == '\0' || *end != '\0' || value > max ? 0 : (uint32_t)value;
}

int main(int count, char **arguments)
{
    struct load load = {0};
    if (count == 5)
        load = (struct load){.conns = number(arguments[1], 1U << 20),
                             .size = number(arguments[2], sizeof payload),
                             .window = number(arguments[3], 1000),
                             .rounds = number(arguments[4], 1000000)};
    if (load.conns == 0 || load.size == 0 || load.window == 0 || load.rounds == 0) {
        fputs("Usage: ringcast-callgrind CONNECTIONS BYTES WINDOW ROUNDS\n", stderr);
        return 2;
    }
    struct meter_shard meter;
    int error = meter_shard_open(&meter, load.conns, NULL);
    if (error == 0)
        error = subscribe(&meter, &load);
    if (error == 0)
        error = deliver(&meter, &load, WARM_ROUNDS);
    if (error == 0)
        error = ringcast_counted(&meter, &load);
    if (error < 0)
        fprintf(stderr, "ringcast-callgrind: %s\n", strerror(-error));
    meter_shard_close(&meter);
    return error < 0;
}
