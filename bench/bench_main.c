/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-bench from its arguments to its exit code. It never measures or connects itself. Called
 * by the shell. */
#include "bench/bench_jobs.h"
#include "bench/bench_process.h"
#include "bench/bench_report.h"
#include "bench/bench_stage.h"
#include "bench/bench_upload.h"
#include "core/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#define WARMUP_ROUND_MS 1000

static int usage_error(const struct buf *why)
{
    fprintf(stderr, "ringcast-bench: %.*s\n\n", (int)why->used, (const char *)why->data);
    options_usage(stderr);
    return 2;
}

/* The table of registered files of each ring is bound by this limit, which is returned: not the process as a whole. */
static uint64_t raise_file_limit(void)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static bool read_urls(struct bench *bench, struct buf *why)
{
    const struct options *options = bench->options;
    const char *scheme = options->publish_by == PUBLISH_BY_HTTP ? "http" : "ws";
    return url_parse(&bench->url, options->url, "ws", options->tls, why) &&
           url_parse(&bench->publish_url, options->publish_url, scheme, options->tls, why);
}

/* False with a sentence in `why`: the machine's trouble, or an address that does not fit. */
static bool resolve(struct bench *bench, struct buf *why)
{
    const struct option_texts *addresses = &bench->options->bind_addresses;
    if (!url_resolve(&bench->url, why) || !url_resolve(&bench->publish_url, why))
        return false;
    bench->sources = calloc(addresses->count + 1, sizeof *bench->sources);
    if (!bench->sources)
        return false;
    for (uint32_t i = 0; i < addresses->count; i++)
        if (!url_source_address(&bench->url, addresses->items[i], &bench->sources[bench->source_count++], why))
            return false;
    return true;
}

/* The server's memory at that moment; nothing without --server-pid. */
static bool read_memory(struct bench *bench, struct result *result, enum moment moment)
{
    uint64_t pid = bench->options->server_pid;
    if (pid == 0 || memory_read(pid, &result->memory[moment]))
        return true;
    bench_fail(bench, "no process %llu (--server-pid)", (unsigned long long)pid);
    return false;
}

static bool run_connect(struct bench *bench, struct result *result)
{
    uint64_t pid = bench->options->server_pid;
    uint64_t cpu[2] = {0, 0};
    if (pid > 0)
        process_cpu_ns(pid, &cpu[0]);
    if (!stage_open(bench, result))
        return false;
    if (pid > 0)
        result->server_measured = process_cpu_ns(pid, &cpu[1]);
    result->seconds = result->opening_s;
    result->server_cpu_ns = cpu[1] - cpu[0];
    return stage_hold(bench, bench->options->duration_ms) && read_memory(bench, result, MOMENT_LOADED);
}

static sigset_t begin_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
}

/* Before there are threads: the signal stays pending until somebody looks, and disturbs no system call. */
static void keep_signal(void)
{
    sigset_t set = begin_signal();
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool signal_has_come(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 1;
}

/* By rounds, until somebody who watches the server says that what was to be reached is reached. */
static bool warm_up_by_rounds(struct bench *bench, struct result *result)
{
    uint64_t end_ns = clock_monotonic_ns() + bench->options->warmup_ms * 1000000;
    while (!signal_has_come()) {
        if (clock_monotonic_ns() >= end_ns) {
            bench_fail(bench, "no SIGUSR1 has come within --warmup");
            return false;
        }
        if (!stage_run(bench, "warm-up", WARMUP_ROUND_MS, 0, result))
            return false;
    }
    return true;
}

static bool warm_up(struct bench *bench, struct result *result)
{
    const struct options *options = bench->options;
    if (options->warmup_signal)
        return warm_up_by_rounds(bench, result);
    return options->warmup_ms == 0 || stage_run(bench, "warm-up", options->warmup_ms, 0, result);
}

static bool run_load(struct bench *bench, struct result *result)
{
    const struct options *options = bench->options;
    if (!stage_open(bench, result) || !stage_hello(bench) || !read_memory(bench, result, MOMENT_OPEN))
        return false;
    if (!warm_up(bench, result))
        return false;
    /* After a stall in the warm-up the load cannot be carried on. */
    if (!result->stalled && !stage_run(bench, "measure", options->duration_ms, options->messages, result))
        return false;
    return read_memory(bench, result, MOMENT_LOADED) && (bench->slow_count == 0 || stage_drain(bench));
}

/* The file of that name, - being the standard output. */
static FILE *open_out(const char *path)
{
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (!out)
        perror(path);
    return out;
}

static bool close_out(FILE *out)
{
    return (out == stdout ? fflush(out) : fclose(out)) == 0;
}

static bool write_json(const struct result *result, const char *path)
{
    FILE *out = open_out(path);
    if (!out)
        return false;
    report_json(result, out);
    return close_out(out);
}

static bool write_histogram(const struct result *result, const char *path)
{
    FILE *out = open_out(path);
    if (!out)
        return false;
    report_histogram(result->options->scenario == SCENARIO_CONNECT ? &result->opening_ns : &result->latency_ns, out);
    return close_out(out);
}

static int report(const struct bench *bench, const struct result *result)
{
    const struct options *options = bench->options;
    bool written = options->json[0] == '\0' || write_json(result, options->json);
    written = (options->histogram[0] == '\0' || write_histogram(result, options->histogram)) && written;
    bool taken = strcmp(options->json, "-") == 0 || strcmp(options->histogram, "-") == 0;
    if (!options->quiet)
        report_table(result, taken ? stderr : stdout);
    return written ? verdict_exit_code(result_verdict(result)) : 1;
}

static bool plan(struct bench *bench)
{
    uint64_t sockets_max = raise_file_limit();
    switch (bench_plan(bench, sockets_max)) {
    case 0:
        return true;
    case -EMFILE:
        fprintf(
            stderr,
            "ringcast-bench: a thread has %llu sockets at most (ulimit -n): --threads 0 takes as many as are needed, "
            "up to %d; channels are not divided\n",
            (unsigned long long)sockets_max, THREADS_MAX);
        return false;
    default:
        fputs("ringcast-bench: out of memory\n", stderr);
        return false;
    }
}

static bool start_secure(struct bench *bench)
{
    const struct options *options = bench->options;
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof memory);
    if (!bench_speaks_tls(bench) ||
        secure_start(&bench->trust, options->ca, options->insecure, bench->connection_count, &why))
        return true;
    fprintf(stderr, "ringcast-bench: %.*s\n", (int)why.used, (const char *)why.data);
    return false;
}

static int run(struct bench *bench)
{
    struct result *result = calloc(1, sizeof *result);
    if (!result || !plan(bench) || !start_secure(bench)) {
        free(result);
        return 1;
    }
    if (bench->options->warmup_signal)
        keep_signal();
    result->options = bench->options;
    result->threads = bench->worker_count;
    result->slow = bench->slow_count;
    result->roamers = bench->roamer_count;
    bool done = stage_start(bench) && read_memory(bench, result, MOMENT_START);
    if (done)
        done = bench->options->scenario == SCENARIO_CONNECT ? run_connect(bench, result) : run_load(bench, result);
    stage_end(bench, result);
    if (!done)
        fprintf(stderr, "ringcast-bench: %s\n", bench->failure);
    int code = done ? report(bench, result) : 1;
    free(result);
    return code;
}

static int report_jobs(const struct jobs_result *result)
{
    const struct options *options = result->options;
    bool to_stdout = strcmp(options->json, "-") == 0;
    if (options->json[0] != '\0') {
        FILE *out = open_out(options->json);
        if (!out)
            return 1;
        jobs_report_json(result, out);
        if (!close_out(out))
            return 1;
    }
    if (!options->quiet)
        jobs_report_table(result, to_stdout ? stderr : stdout);
    return verdict_exit_code(jobs_verdict(result));
}

static int run_jobs(const struct bench *bench)
{
    static struct jobs_result result;
    char text[1024] = "";
    struct buf why = buf_of(text, sizeof text - 1);
    raise_file_limit();
    bool done = jobs_run(bench->options, &bench->url, bench->sources, bench->source_count, &result, &why);
    if (!done)
        fprintf(stderr, "ringcast-bench: %s\n", text);
    int code = done ? report_jobs(&result) : 1;
    jobs_free(&result);
    return code;
}

int main(int count, char **arguments)
{
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof memory);
    struct options options;
    static struct bench bench;
    bench.options = &options;
    int code = 1;
    if (count > 1 && strcmp(arguments[1], "upload") == 0)
        return upload_command(count - 1, arguments + 1);
    switch (options_parse(&options, count, arguments, &why)) {
    case OPTIONS_HELP:
        options_usage(stdout);
        code = 0;
        break;
    case OPTIONS_WRONG:
        code = usage_error(&why);
        break;
    case OPTIONS_RUN:
        if (!read_urls(&bench, &why)) {
            code = usage_error(&why);
        } else if (!resolve(&bench, &why)) {
            fprintf(stderr, "ringcast-bench: %.*s\n", (int)why.used, (const char *)why.data);
        } else {
            code = options.scenario == SCENARIO_JOBS ? run_jobs(&bench) : run(&bench);
        }
        break;
    }
    bench_plan_free(&bench);
    secure_forget(&bench.trust);
    free(bench.sources);
    options_release(&options);
    return code;
}
