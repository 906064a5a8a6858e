/* SPDX-License-Identifier: MIT */
/* Owns the requests for pages and what is read in the answers: metrics in the format of Prometheus, counters that never
 * fall. It never upgrades and never publishes. Called by the scenario. */
#include "tests/sim/sim_operator.h"

#include "core/check.h"
#include "core/work.h"
#include "tests/sim/sim_text.h"

#include <stdio.h>

#define EVERY_MS 400
#define BEAT_MS 6000 /* a shard that has got no turn for so long may be called stuck */
#define FRESH_MS 300 /* so much later the page knows who has come and gone */

enum page {
    PAGE_LIVE,
    PAGE_READY,
    PAGE_HEALTHZ,
    PAGE_METRICS,
    PAGE_STATS,
    PAGE_SERVICES,
    PAGE_ENDPOINTS,
    PAGE_DOCS,
    PAGES
};

static const char *const targets[PAGES] = {"/health/live", "/health/ready", "/healthz",      "/metrics",
                                           "/ws/stats",    "/ws/services",  "/ws/endpoints", "/docs"};

void sim_operator_make(struct sim_operator *operator, bool visitor)
{
    *operator=(struct sim_operator){.visitor = visitor, .wire = {.peer = -1}};
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void ask(struct sim_world *world, struct sim_operator *operator)
{
    char head[96];
    operator->page =(uint8_t)((operator->visitor ? PAGE_STATS : PAGE_LIVE) + random_below(&world->random, PAGE_STATS));
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", targets[operator->page]);
    sim_wire_put_text(&operator->wire, head);
    operator->asked = true;
}

static void act(struct sim_world *world, struct sim_operator *operator)
{
    operator->wake_ms = sim_world_ms() + 1 + random_below(&world->random, EVERY_MS);
    if (operator->wire.peer<0)
        sim_trust_connect(world, &operator->wire, operator->visitor ? SIM_PORT_CRYPTO : SIM_PORT_ADMIN,
                          sim_world_publisher_address(100U + operator->visitor));
    else if (!operator->asked && world->stage == STAGE_RUN)
        ask(world, operator);
}

/* --- metrics ------------------------------------------------------------------------------------------------------ */

/* One line, without its end: a comment, or NAME[{LABELS}] VALUE. `counter` lasts from a TYPE to the next. */
static const char *read_line(struct sim_operator *operator, struct slice line, bool *counter, uint32_t *count)
{
    if (slice_starts(line, slice_text("# TYPE "))) {
        *counter = sim_text_behind(line, " counter").data != NULL;
        return *counter || sim_text_behind(line, " gauge").data != NULL ? NULL : "a type that there is not";
    }
    if (slice_starts(line, slice_text("# HELP ")))
        return NULL;
    const uint8_t *space = memrchr(line.data, ' ', line.bytes);
    if (!slice_starts(line, slice_text("ringcast_")) || space == NULL)
        return "a line that is no sample";
    uint64_t value = 0;
    for (const uint8_t *at = space + 1; at < line.data + line.bytes; at++) {
        if (*at < '0' || *at > '9')
            return "a value that is no number";
        value = value * 10 + (uint64_t)(*at - '0');
    }
    check_op(*count, <, SIM_SAMPLES_MAX);
    if (*counter && *count < operator->sample_count && value<operator->samples[*count])
        return "a counter that falls";
    operator->samples[(*count)++] = value;
    return NULL;
}

static const char *read_metrics(struct sim_operator *operator, struct slice text)
{
    bool counter = false;
    uint32_t count = 0;
    while (text.bytes > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        if (end == NULL)
            return "a last line without an end";
        struct slice line = slice_of(text.data, (size_t)(end - text.data));
        const char *wrong = read_line(operator, line, &counter, &count);
        if (wrong != NULL)
            return wrong;
        text = slice_skip(text, line.bytes + 1);
    }
    operator->sample_count = count;
    return count == 0 ? "no samples" : NULL;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static bool status_allowed(const struct sim_world *world, const struct sim_operator *operator, int status)
{
    bool late = !world->calm || sim_world_ms() < world->calm_ms + BEAT_MS;
    if (status == 503)
        return (operator->page == PAGE_LIVE && late) || operator->visitor || world->stage != STAGE_RUN;
    return status == 200;
}

static const char *read_page(struct sim_operator *operator, struct slice text)
{
    switch ((enum page) operator->page) {
    case PAGE_METRICS:
        return read_metrics(operator, text);
    case PAGE_STATS:
        operator->clients = sim_text_number(sim_text_behind(text, "\"total_connections\":"));
        operator->clients_ms = sim_world_ms();
        return operator->clients == SIM_NONE ? "no number of connections" : NULL;
    case PAGE_SERVICES:
        return sim_text_behind(text, "\"market_data\"").data == NULL ? "a service is missing" : NULL;
    case PAGE_ENDPOINTS:
        return sim_text_behind(text, "/ws/master").data == NULL ? "an endpoint is missing" : NULL;
    default:
        return text.bytes == 0 ? "nothing" : NULL;
    }
}

static void hear(struct sim_world *world, struct sim_operator *operator, const struct sim_response * response)
{
    const char *page = targets[operator->page], *wrong = NULL;
    sim_trace(world, "page %s: status %d", page, response->status);
    if (!operator->asked || !status_allowed(world, operator, response->status))
        sim_fail(world, "page %s: status %d", page, response->status);
    operator->asked = false;
    if (response->status == 200)
        wrong = read_page(operator, response->content);
    if (wrong != NULL)
        sim_fail(world, "page %s: %s", page, wrong);
}

bool sim_operator_step(struct sim_world *world, struct sim_operator *operator)
{
    struct sim_response response;
    const char *why = "";
    int result = 0;
    bool moved = false;
    if (operator->wire.peer >= 0) {
        moved = sim_wire_pump(&operator->wire, 65536, 65536);
        while ((result = sim_wire_response(&operator->wire, &response, &why)) > 0)
            hear(world, operator, & response);
        if (result < 0)
            sim_fail(world, "page %s: %s", targets[operator->page], why);
        if (operator->wire.end != 0) {
            sim_wire_close(&operator->wire, false);
            operator->asked = false;
        }
    }
    if (sim_world_ms() < operator->wake_ms)
        return moved;
    act(world, operator);
    return true;
}

void sim_operator_check_rest(struct sim_world *world, const struct sim_operator *operator, uint32_t clients)
{
    /* Until the faults were off, the server may have been kept from seeing who has gone. */
    uint64_t since_ms = world->clients_ms > world->calm_ms ? world->clients_ms : world->calm_ms;
    if (operator->clients_ms> since_ms + FRESH_MS && operator->visitor && operator->clients != clients)
        sim_fail(world, "%u clients of crypto are connected, the page says %u", clients, operator->clients);
}

void sim_operator_leave(struct sim_operator *operator)
{
    sim_wire_close(&operator->wire, false);
    operator->asked = false;
}

void sim_operator_free(struct sim_operator *operator)
{
    sim_wire_free(&operator->wire);
}
