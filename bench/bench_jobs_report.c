/* SPDX-License-Identifier: MIT */
/* Owns the layout of what ringcast-bench jobs has found. It never measures, judges or opens a file. Called by main at
 * the end. */
#include "bench/bench_jobs.h"

#include "bench/bench_figures.h"

#include <inttypes.h>

static double per(double value, double count)
{
    return count > 0 ? value / count : 0;
}

/* What is counted as the work of the load: completed jobs, or without workers submitted ones. */
static uint64_t work_of(const struct jobs_result *result)
{
    return result->options->workers > 0 ? result->ledger.notified : result->ledger.acknowledged;
}

static double waiting_bytes(const struct jobs_result *result)
{
    return result_growth(result->memory[MOMENT_OPEN].proportional_bytes,
                         result->memory[MOMENT_LOADED].proportional_bytes, result->options->unfit);
}

static double claim_us(const struct jobs_claims *claims)
{
    return per((double)claims->server_cpu_ns / 1e3, (double)claims->count);
}

static void print_claims(const char *name, const struct jobs_result *result, const struct jobs_claims *claims,
                         FILE *out)
{
    if (claims->count == 0)
        return;
    figures_line(name, &claims->ns, out);
    if (result->options->server_pid > 0)
        fprintf(out, "                 %.2f us of the server's CPU each\n", claim_us(claims));
}

static void print_load(const struct jobs_result *result, FILE *out)
{
    const struct options *options = result->options;
    const struct ledger *ledger = &result->ledger;
    fprintf(out,
            "  measured       %.2f s: %" PRIu64 " submitted, %" PRIu64 " acknowledged, %" PRIu64 " completed, %" PRIu64
            " notified\n",
            result->seconds, result->submitted, ledger->acknowledged, ledger->finished, ledger->notified);
    fprintf(out, "  rate           %.0f jobs/s of %" PRIu64 " bytes\n", per((double)work_of(result), result->seconds),
            options->size);
    figures_line("submit-ack", &ledger->ack_ns, out);
    if (result->bare_ns.total > 0)
        figures_line("append-sync", &result->bare_ns, out);
    if (ledger->available_ns.total > 0)
        figures_line("submit-avail", &ledger->available_ns, out);
    if (options->workers > 0) {
        figures_line("claim-assigned", &result->claim_ns, out);
        figures_line("end-notified", &ledger->notified_ns, out);
        figures_line("submit-end", &ledger->whole_ns, out);
        fprintf(out, "  empty claims   %" PRIu64 "\n", result->empty);
    }
    if (result->told > 0)
        fprintf(out, "  told           %" PRIu64 " times, of listeners\n", result->told);
    if (result->server_measured)
        fprintf(out, "  server CPU     %.2f us per job, %.0f %% of one core\n",
                per((double)result->server_cpu_ns / 1e3, (double)work_of(result)),
                per((double)result->server_cpu_ns / 1e7, result->seconds));
    fprintf(out, "  client CPU     %.0f %% of one core; it worked for %.0f %% of it\n",
            per((double)result->client_cpu_ns / 1e7, result->seconds), result->client_share * 100);
}

void jobs_report_table(const struct jobs_result *result, FILE *out)
{
    const struct options *options = result->options;
    const struct ledger_faults *faults = &result->ledger.faults;
    fprintf(out, "jobs %s\n", options->url);
    fprintf(out, "  connections    %" PRIu64 " submitters, %" PRIu64 " workers, %" PRIu64 " listeners\n",
            options->submitters, options->workers, options->listeners);
    print_claims("empty claim", result, &result->claims[0], out);
    print_claims("  beside waiting", result, &result->claims[1], out);
    if (options->unfit > 0 && options->server_pid > 0)
        fprintf(out, "  waiting        %" PRIu64 " jobs, %.0f bytes of the server each\n", options->unfit,
                waiting_bytes(result));
    if (options->submitters > 0)
        print_load(result, out);
    fprintf(out, "  faults         %" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64 " altered, %" PRIu64 " unasked\n",
            faults->lost, faults->doubled, faults->altered, faults->unasked);
    fprintf(out, "  verdict        %s\n", verdict_name(jobs_verdict(result)));
}

static void json_claims(FILE *out, const char *const names[2], const struct jobs_claims *claims)
{
    figures_histogram(out, names[0], &claims->ns);
    figures_real(out, names[1], claim_us(claims));
}

void jobs_report_json(const struct jobs_result *result, FILE *out)
{
    const struct options *options = result->options;
    const struct ledger *ledger = &result->ledger;
    fputs("{\n", out);
    figures_text(out, "scenario", scenario_name(options->scenario));
    figures_text(out, "url", options->url);
    figures_count(out, "submitters", options->submitters);
    figures_count(out, "workers", options->workers);
    figures_count(out, "listeners", options->listeners);
    figures_count(out, "size_bytes", options->size);
    figures_real(out, "seconds", result->seconds);
    figures_count(out, "submitted", result->submitted);
    figures_count(out, "acknowledged", ledger->acknowledged);
    figures_count(out, "completed", ledger->finished);
    figures_count(out, "notified", ledger->notified);
    figures_count(out, "told", result->told);
    figures_count(out, "empty_claims", result->empty);
    figures_real(out, "jobs_per_s", per((double)work_of(result), result->seconds));
    figures_histogram(out, "submit_to_ack_us", &ledger->ack_ns);
    figures_histogram(out, "append_and_sync_us", &result->bare_ns);
    figures_histogram(out, "submit_to_available_us", &ledger->available_ns);
    figures_histogram(out, "claim_to_assigned_us", &result->claim_ns);
    figures_histogram(out, "complete_to_notified_us", &ledger->notified_ns);
    figures_histogram(out, "submit_to_notified_us", &ledger->whole_ns);
    json_claims(out, (const char *const[]){"claim_us", "claim_server_us"}, &result->claims[0]);
    json_claims(out, (const char *const[]){"claim_beside_waiting_us", "claim_beside_waiting_server_us"},
                &result->claims[1]);
    figures_count(out, "unfit", options->unfit);
    if (options->server_pid > 0) {
        figures_real(out, "bytes_per_waiting_job", waiting_bytes(result));
        figures_count(out, "server_cpu_ns", result->server_cpu_ns);
        figures_real(out, "server_us_per_job", per((double)result->server_cpu_ns / 1e3, (double)work_of(result)));
        figures_real(out, "server_us_per_told", per((double)result->server_cpu_ns / 1e3, (double)result->told));
    }
    figures_count(out, "client_cpu_ns", result->client_cpu_ns);
    figures_real(out, "client_share", result->client_share);
    figures_count(out, "lost", ledger->faults.lost);
    figures_count(out, "doubled", ledger->faults.doubled);
    figures_count(out, "altered", ledger->faults.altered);
    figures_count(out, "unasked", ledger->faults.unasked);
    enum verdict verdict = jobs_verdict(result);
    figures_text(out, "verdict", verdict_name(verdict));
    fprintf(out, "  \"good\": %s\n}\n", verdict != VERDICT_FAULTY ? "true" : "false");
}
