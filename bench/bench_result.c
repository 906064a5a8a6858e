/* SPDX-License-Identifier: MIT */
/* Owns the arithmetic of results and the verdict. It never measures or prints anything. Called by main and by the
 * reports at the end. */
#include "bench/bench_result.h"

static bool faulty(const struct result *result)
{
    const struct faults *faults = &result->faults;
    return faults->lost > 0 || faults->repeated > 0 || faults->late > 0 || result->lost_connections > 0 ||
           result->stalled;
}

/* A schedule that a server has held up says nothing about the client. */
static bool client_limited(const struct result *result)
{
    bool behind = result->options->rate > 0 && result->backlogs == 0 &&
                  histogram_percentile(&result->lag_ns, 99) > CLIENT_LAG_NS_MAX;
    return behind || result->client_share > CLIENT_SHARE_MAX;
}

enum verdict result_verdict(const struct result *result)
{
    if (faulty(result))
        return VERDICT_FAULTY;
    return client_limited(result) ? VERDICT_CLIENT_LIMITED : VERDICT_CLEAN;
}

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = {"clean", "FAILED", "client-limited"};
    return names[verdict];
}

int verdict_exit_code(enum verdict verdict)
{
    static const int codes[] = {0, 1, 3};
    return codes[verdict];
}

double result_server_us(const struct result *result)
{
    bool connect = result->options->scenario == SCENARIO_CONNECT;
    uint64_t units = connect ? result->opening_ns.total : result->deliveries + result->copies;
    return units > 0 ? (double)result->server_cpu_ns / 1e3 / (double)units : 0;
}

double result_growth(uint64_t from_bytes, uint64_t to_bytes, uint64_t count)
{
    return count > 0 ? ((double)to_bytes - (double)from_bytes) / (double)count : 0;
}
