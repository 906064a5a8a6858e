/* SPDX-License-Identifier: MIT */
/* Owns the arithmetic and the layout of results. It never measures anything. Called by main at the end. */
#include "bench/bench_result.h"

#include "protocol/json.h"

#include <inttypes.h>

static const double percents[] = {50, 90, 99, 99.9};
#define PERCENTS (sizeof(percents) / sizeof(percents[0]))

static bool is_connect(const struct result *result)
{
    return result->options->scenario == SCENARIO_CONNECT;
}

static uint64_t units(const struct result *result)
{
    return is_connect(result) ? result->opening_ns.total : result->deliveries + result->copies;
}

static double per(double value, double count)
{
    return count > 0 ? value / count : 0;
}

bool result_good(const struct result *result)
{
    const struct faults *faults = &result->faults;
    return faults->lost == 0 && faults->repeated == 0 && faults->late == 0 && result->lost_connections == 0 &&
           !result->stalled;
}

double result_server_us(const struct result *result)
{
    return per((double)result->server_cpu_ns / 1e3, (double)units(result));
}

/* --- table -------------------------------------------------------------------------------------------------------- */

static void print_load(const struct result *result, FILE *out)
{
    const struct options *options = result->options;
    fprintf(out, "%s %s\n", scenario_name(options->scenario), options->url);
    fprintf(out, "  connections    %" PRIu64 " open after %.2f s, %" PRIu64 " thread%s\n", result->connections,
            result->opening_s, options->threads, options->threads > 1 ? "s" : "");
    if (is_connect(result))
        return;
    if (options->rate > 0)
        fprintf(out, "  load           %" PRIu64 " messages/s by schedule, %" PRIu64 " bytes each\n", options->rate,
                options->size);
    else
        fprintf(out, "  load           bursts of %" PRIu64 ", %" PRIu64 " bytes each\n", options->window,
                options->size);
    fprintf(out, "  measured       %.2f s: %" PRIu64 " published, %" PRIu64 " delivered\n", result->seconds,
            result->published, result->deliveries);
    fprintf(out, "  rate           %.0f deliveries/s, %.0f messages/s, %.1f MB/s of payload\n",
            per((double)result->deliveries, result->seconds), per((double)result->published, result->seconds),
            per((double)result->delivered_bytes, result->seconds) / 1e6);
}

static void print_histogram(const char *name, const struct histogram *histogram, FILE *out)
{
    fprintf(out, "  %-14s", name);
    for (size_t i = 0; i < PERCENTS; i++)
        fprintf(out, " p%g %.1f ", percents[i], (double)histogram_percentile(histogram, percents[i]) / 1e3);
    fprintf(out, " max %.1f us\n", (double)histogram->max / 1e3);
}

static void print_cost(const struct result *result, FILE *out)
{
    const char *unit = is_connect(result) ? "handshake" : "delivery";
    if (result->server_measured)
        fprintf(out, "  server CPU     %.3f us per %s, %.0f %% of one core\n", result_server_us(result), unit,
                per((double)result->server_cpu_ns / 1e7, result->seconds));
    if (result->server_measured && is_connect(result))
        fprintf(out, "  server memory  %.0f bytes per connection\n",
                per((double)result->server_bytes, (double)result->connections));
    fprintf(out, "  client CPU     %.0f %% of one core\n", per((double)result->client_cpu_ns / 1e7, result->seconds));
    if (result->receive_stops > 0)
        fprintf(out, "  client         ran out of receive buffers %" PRIu64 " times\n", result->receive_stops);
}

void result_print(const struct result *result, FILE *out)
{
    const struct faults *faults = &result->faults;
    print_load(result, out);
    if (is_connect(result)) {
        fprintf(out, "  rate           %.0f handshakes/s\n", per((double)result->opening_ns.total, result->opening_s));
        print_histogram("handshake", &result->opening_ns, out);
    } else {
        print_histogram("latency", &result->latency_ns, out);
    }
    print_cost(result, out);
    if (result->copies > 0)
        fprintf(out, "  copies         %" PRIu64 " came back to publishers\n", result->copies);
    if (faults->foreign > 0)
        fprintf(out, "  foreign        %" PRIu64 " messages were not the bench's own\n", faults->foreign);
    if (result->stalled)
        fprintf(out, "  stalled        nothing more arrived; given up after --timeout\n");
    if (!is_connect(result))
        fprintf(out, "  faults         %" PRIu64 " lost, %" PRIu64 " repeated, %" PRIu64 " out of order\n",
                faults->lost, faults->repeated, faults->late);
    if (result->lost_connections > 0)
        fprintf(out, "  connections    %" PRIu64 " lost; the first: %s\n", result->lost_connections, result->parting);
    fprintf(out, "  verdict        %s\n", result_good(result) ? "good" : "FAILED");
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_text(FILE *out, const char *name, const char *text)
{
    uint8_t memory[8192];
    struct buf value = buf_of(memory, sizeof(memory));
    json_put_string(&value, slice_text(text));
    fprintf(out, "  \"%s\": %.*s,\n", name, (int)value.used, (const char *)value.data);
}

static void json_count(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "  \"%s\": %" PRIu64 ",\n", name, value);
}

static void json_real(FILE *out, const char *name, double value)
{
    fprintf(out, "  \"%s\": %.6g,\n", name, value);
}

static void json_histogram(FILE *out, const char *name, const struct histogram *histogram)
{
    fprintf(out, "  \"%s\": {\"count\": %" PRIu64 ", \"min\": %.3f, \"mean\": %.3f", name, histogram->total,
            histogram->total > 0 ? (double)histogram->min / 1e3 : 0, histogram_mean(histogram) / 1e3);
    for (size_t i = 0; i < PERCENTS; i++)
        fprintf(out, ", \"p%g\": %.3f", percents[i], (double)histogram_percentile(histogram, percents[i]) / 1e3);
    fprintf(out, ", \"max\": %.3f},\n", (double)histogram->max / 1e3);
}

void result_print_json(const struct result *result, FILE *out)
{
    const struct options *options = result->options;
    fputs("{\n", out);
    json_text(out, "scenario", scenario_name(options->scenario));
    json_text(out, "url", options->url);
    json_count(out, "connections", result->connections);
    json_count(out, "threads", options->threads);
    json_count(out, "size_bytes", options->size);
    json_count(out, "rate_per_s", options->rate);
    json_count(out, "window", options->window);
    json_real(out, "opening_s", result->opening_s);
    json_real(out, "seconds", result->seconds);
    json_count(out, "published", result->published);
    json_count(out, "expected", result->expected);
    json_count(out, "delivered", result->deliveries);
    json_count(out, "copies", result->copies);
    json_real(out, "deliveries_per_s", per((double)result->deliveries, result->seconds));
    json_real(out, "payload_bytes_per_s", per((double)result->delivered_bytes, result->seconds));
    if (!is_connect(result))
        json_histogram(out, "latency_us", &result->latency_ns);
    json_histogram(out, "handshake_us", &result->opening_ns);
    if (result->server_measured) {
        json_count(out, "server_cpu_ns", result->server_cpu_ns);
        json_real(out, is_connect(result) ? "server_us_per_handshake" : "server_us_per_delivery",
                  result_server_us(result));
    }
    if (result->server_measured && is_connect(result))
        json_real(out, "server_bytes_per_connection", per((double)result->server_bytes, (double)result->connections));
    json_count(out, "client_cpu_ns", result->client_cpu_ns);
    json_count(out, "lost", result->faults.lost);
    json_count(out, "repeated", result->faults.repeated);
    json_count(out, "out_of_order", result->faults.late);
    json_count(out, "foreign", result->faults.foreign);
    json_count(out, "lost_connections", result->lost_connections);
    fprintf(out, "  \"good\": %s\n}\n", result_good(result) ? "true" : "false");
}
