/* SPDX-License-Identifier: MIT */
/* Owns the layout of results. It never measures, judges or opens a file. Called by main at the end. */
#include "bench/bench_report.h"

#include "bench/bench_figures.h"

#include <inttypes.h>

static bool is_connect(const struct result *result)
{
    return result->options->scenario == SCENARIO_CONNECT;
}

static double per(double value, double count)
{
    return count > 0 ? value / count : 0;
}

/* --- table -------------------------------------------------------------------------------------------------------- */

static void print_load(const struct result *result, FILE *out)
{
    const struct options *options = result->options;
    fprintf(out, "%s %s\n", scenario_name(options->scenario), options->url);
    fprintf(out, "  connections    %" PRIu64 " open after %.2f s, %" PRIu32 " thread%s\n", result->connections,
            result->opening_s, result->threads, result->threads > 1 ? "s" : "");
    if (is_connect(result))
        return;
    if (options->rate > 0)
        fprintf(out, "  load           %" PRIu64 " messages/s by schedule, %" PRIu64 " bytes each\n", options->rate,
                options->size);
    else
        fprintf(out, "  load           bursts of %" PRIu64 ", %" PRIu64 " bytes each\n", options->window,
                options->size);
    fprintf(out, "  measured       %.2f s: %" PRIu64 " published, %" PRIu64 " delivered of %" PRIu64 "\n",
            result->seconds, result->published, result->deliveries, result->expected);
    fprintf(out, "  rate           %.0f deliveries/s, %.0f messages/s, %.1f MB/s of payload\n",
            per((double)result->deliveries, result->seconds), per((double)result->published, result->seconds),
            per((double)result->delivered_bytes, result->seconds) / 1e6);
}

static void print_times(const struct result *result, FILE *out)
{
    if (is_connect(result)) {
        fprintf(out, "  rate           %.0f handshakes/s\n", per((double)result->opening_ns.total, result->opening_s));
        figures_line("handshake", &result->opening_ns, out);
        return;
    }
    figures_line("latency", &result->latency_ns, out);
    if (result->last_ns.total > 0)
        figures_line("last receiver", &result->last_ns, out);
    if (result->lag_ns.total > 0)
        figures_line("sent late by", &result->lag_ns, out);
}

static void print_memory(const struct result *result, FILE *out)
{
    const struct memory *start = &result->memory[MOMENT_START];
    const struct memory *open = &result->memory[MOMENT_OPEN];
    const struct memory *loaded = &result->memory[MOMENT_LOADED];
    fprintf(out, "  server memory  %.1f MB resident\n", (double)loaded->resident_bytes / 1e6);
    if (is_connect(result))
        fprintf(out, "  per connection %.0f bytes of the server, %.0f of the kernel for both ends\n",
                result_growth(start->proportional_bytes, loaded->proportional_bytes, result->connections),
                result_growth(start->slab_bytes + start->socket_bytes, loaded->slab_bytes + loaded->socket_bytes,
                              result->connections));
    else if (result->slow > 0)
        fprintf(out, "  per slow one   %.0f bytes of the server during the load\n",
                result_growth(open->proportional_bytes, loaded->proportional_bytes, result->slow));
}

static void print_cost(const struct result *result, FILE *out)
{
    if (result->server_measured) {
        fprintf(out, "  server CPU     %.3f us per %s, %.0f %% of one core\n", result_server_us(result),
                is_connect(result) ? "handshake" : "delivery",
                per((double)result->server_cpu_ns / 1e7, result->seconds));
        print_memory(result, out);
    }
    fprintf(out, "  client CPU     %.0f %% of one core; it worked for %.0f %% of what it has\n",
            per((double)result->client_cpu_ns / 1e7, result->seconds), result->client_share * 100);
    if (result->receive_stops > 0)
        fprintf(out, "  client         ran out of receive buffers %" PRIu64 " times\n", result->receive_stops);
    if (result->backlogs > 0)
        fprintf(out, "  publisher      the server took nothing and held the schedule up\n");
}

static void print_ends(const struct ends *ends, FILE *out)
{
    for (size_t i = 0; i < ends->used; i++)
        fprintf(out, ", %" PRIu64 " with %u", ends->rows[i].count, ends->rows[i].code);
    if (ends->others > 0)
        fprintf(out, ", %" PRIu64 " with other codes", ends->others);
    fputs("\n", out);
}

static void print_apart(const struct result *result, FILE *out)
{
    const struct apart *apart = &result->apart;
    if (result->slow > 0) {
        fprintf(out, "  slow           %" PRIu64 ", of whom the server ended %" PRIu64, result->slow,
                ends_total(&apart->slow_ends));
        print_ends(&apart->slow_ends, out);
    }
    if (result->roamers == 0)
        return;
    fprintf(out, "  roaming        %" PRIu64 ": %" PRIu64 " left, %" PRIu64 " came back, %" PRIu64 " sat out\n",
            result->roamers, apart->left, apart->returned, apart->stayed_out);
    fprintf(out,
            "                 %" PRIu64 " delivered, %" PRIu64 " lost, %" PRIu64 " repeated, %" PRIu64
            " out of order; ended by the server %" PRIu64,
            apart->roaming_messages, apart->roaming.lost, apart->roaming.repeated, apart->roaming.late,
            ends_total(&apart->roaming_ends));
    print_ends(&apart->roaming_ends, out);
}

static void print_faults(const struct result *result, FILE *out)
{
    const struct faults *faults = &result->faults;
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
}

void report_table(const struct result *result, FILE *out)
{
    print_load(result, out);
    print_times(result, out);
    print_cost(result, out);
    print_apart(result, out);
    print_faults(result, out);
    fprintf(out, "  verdict        %s\n", verdict_name(result_verdict(result)));
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_ends(FILE *out, const char *name, const struct ends *ends)
{
    fprintf(out, "  \"%s\": {", name);
    for (size_t i = 0; i < ends->used; i++)
        fprintf(out, "\"%u\": %" PRIu64 ", ", ends->rows[i].code, ends->rows[i].count);
    fprintf(out, "\"others\": %" PRIu64 "},\n", ends->others);
}

static void json_load(const struct result *result, FILE *out)
{
    const struct options *options = result->options;
    figures_text(out, "scenario", scenario_name(options->scenario));
    figures_text(out, "url", options->url);
    figures_count(out, "connections", result->connections);
    figures_count(out, "threads", result->threads);
    figures_count(out, "size_bytes", options->size);
    figures_count(out, "rate_per_s", options->rate);
    figures_count(out, "window", options->window);
    figures_real(out, "opening_s", result->opening_s);
    figures_real(out, "seconds", result->seconds);
    figures_count(out, "published", result->published);
    figures_count(out, "expected", result->expected);
    figures_count(out, "delivered", result->deliveries);
    figures_count(out, "copies", result->copies);
    figures_real(out, "deliveries_per_s", per((double)result->deliveries, result->seconds));
    figures_real(out, "payload_bytes_per_s", per((double)result->delivered_bytes, result->seconds));
    if (!is_connect(result)) {
        figures_histogram(out, "latency_us", &result->latency_ns);
        figures_histogram(out, "last_us", &result->last_ns);
        figures_histogram(out, "lag_us", &result->lag_ns);
    }
    figures_histogram(out, "handshake_us", &result->opening_ns);
}

static void json_memory(const struct result *result, FILE *out)
{
    static const char *const moments[] = {"memory_start", "memory_open", "memory_loaded"};
    for (int i = 0; i < MOMENT_COUNT; i++) {
        const struct memory *memory = &result->memory[i];
        fprintf(out,
                "  \"%s\": {\"rss\": %" PRIu64 ", \"pss\": %" PRIu64 ", \"slab\": %" PRIu64 ", \"sockets\": %" PRIu64
                "},\n",
                moments[i], memory->resident_bytes, memory->proportional_bytes, memory->slab_bytes,
                memory->socket_bytes);
    }
}

static void json_apart(const struct result *result, FILE *out)
{
    const struct apart *apart = &result->apart;
    figures_count(out, "slow", result->slow);
    json_ends(out, "slow_ends", &apart->slow_ends);
    figures_count(out, "roamers", result->roamers);
    figures_count(out, "roamers_left", apart->left);
    figures_count(out, "roamers_returned", apart->returned);
    figures_count(out, "roamers_sat_out", apart->stayed_out);
    figures_count(out, "roamers_delivered", apart->roaming_messages);
    figures_count(out, "roamers_lost", apart->roaming.lost);
    figures_count(out, "roamers_repeated", apart->roaming.repeated);
    figures_count(out, "roamers_out_of_order", apart->roaming.late);
    json_ends(out, "roamers_ends", &apart->roaming_ends);
}

void report_json(const struct result *result, FILE *out)
{
    fputs("{\n", out);
    json_load(result, out);
    if (result->server_measured) {
        figures_count(out, "server_cpu_ns", result->server_cpu_ns);
        figures_real(out, is_connect(result) ? "server_us_per_handshake" : "server_us_per_delivery",
                     result_server_us(result));
        json_memory(result, out);
    }
    figures_count(out, "client_cpu_ns", result->client_cpu_ns);
    figures_real(out, "client_share", result->client_share);
    json_apart(result, out);
    figures_count(out, "lost", result->faults.lost);
    figures_count(out, "repeated", result->faults.repeated);
    figures_count(out, "out_of_order", result->faults.late);
    figures_count(out, "foreign", result->faults.foreign);
    figures_count(out, "lost_connections", result->lost_connections);
    enum verdict verdict = result_verdict(result);
    figures_text(out, "verdict", verdict_name(verdict));
    fprintf(out, "  \"good\": %s\n}\n", verdict != VERDICT_FAULTY ? "true" : "false");
}

/* --- distribution ------------------------------------------------------------------------------------------------- */

#define STEPS_PER_HALF 5
#define HALVES_MAX 20 /* to 99.9999 % */

static void histogram_line(const struct histogram *histogram, double share, FILE *out)
{
    double value = (double)histogram_percentile(histogram, share * 100) / 1e3;
    uint64_t count = (uint64_t)(share * (double)histogram->total + 0.5);
    fprintf(out, "%12.3f %2.12f %10" PRIu64, value, share, count);
    if (share < 1)
        fprintf(out, " %14.2f", 1 / (1 - share));
    fputs("\n", out);
}

void report_histogram(const struct histogram *histogram, FILE *out)
{
    fputs("       Value     Percentile TotalCount 1/(1-Percentile)\n\n", out);
    double left = 1;
    for (int half = 0; half < HALVES_MAX && left * (double)histogram->total >= 1; half++, left /= 2)
        for (int step = 0; step < STEPS_PER_HALF; step++)
            histogram_line(histogram, 1 - left + left / 2 * step / STEPS_PER_HALF, out);
    histogram_line(histogram, 1, out);
    fprintf(out, "#[Mean    = %12.3f, Max = %12.3f]\n", histogram_mean(histogram) / 1e3, (double)histogram->max / 1e3);
    fprintf(out, "#[Total count = %10" PRIu64 "]\n", histogram->total);
}
