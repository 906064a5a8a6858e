/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-bench from its arguments to its exit code. It never measures or connects itself. Called
 * by the shell. */
#include "bench/bench_process.h"
#include "bench/bench_stage.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static int usage_error(const struct buf *why)
{
    fprintf(stderr, "ringcast-bench: %.*s\n\n", (int)why->used, (const char *)why->data);
    options_usage(stderr);
    return 2;
}

/* The table of registered files of each ring is bound by this limit. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool read_urls(struct bench *bench, struct buf *why)
{
    const struct options *options = bench->options;
    const char *scheme = options->publish_by == PUBLISH_BY_HTTP ? "http" : "ws";
    return url_parse(&bench->url, options->url, "ws", why) &&
           url_parse(&bench->publish_url, options->publish_url, scheme, why);
}

/* False with a sentence in `why`: the machine's trouble, or an address that does not fit. */
static bool resolve(struct bench *bench, struct buf *why)
{
    const struct option_texts *addresses = &bench->options->bind_addresses;
    if (!url_resolve(&bench->url, why) || !url_resolve(&bench->publish_url, why))
        return false;
    bench->sources = calloc(addresses->count + 1, sizeof(*bench->sources));
    if (!bench->sources)
        return false;
    for (uint32_t i = 0; i < addresses->count; i++)
        if (!url_source_address(&bench->url, addresses->items[i], &bench->sources[bench->source_count++], why))
            return false;
    return true;
}

static bool run_connect(struct bench *bench, struct result *result)
{
    const struct options *options = bench->options;
    uint64_t pid = options->server_pid;
    uint64_t cpu[2] = {0, 0};
    uint64_t bytes[2] = {0, 0};
    if (pid > 0 && !(process_cpu_ns(pid, &cpu[0]) && process_resident_bytes(pid, &bytes[0]))) {
        bench_fail(bench, "no process %llu (--server-pid)", (unsigned long long)pid);
        return false;
    }
    uint64_t client[2] = {0, 0};
    process_cpu_ns((uint64_t)getpid(), &client[0]);
    if (!stage_open(bench, result))
        return false;
    process_cpu_ns((uint64_t)getpid(), &client[1]);
    result->client_cpu_ns = client[1] - client[0];
    if (pid > 0)
        result->server_measured = process_cpu_ns(pid, &cpu[1]);
    if (!stage_hold(bench, options->duration_ms))
        return false;
    if (pid > 0)
        process_resident_bytes(pid, &bytes[1]);
    result->seconds = result->opening_s;
    result->server_cpu_ns = cpu[1] - cpu[0];
    result->server_bytes = (int64_t)(bytes[1] - bytes[0]);
    return true;
}

static bool run_load(struct bench *bench, struct result *result)
{
    const struct options *options = bench->options;
    if (!stage_open(bench, result) || !stage_hello(bench))
        return false;
    if (options->warmup_ms > 0 && !stage_run(bench, "warm-up", options->warmup_ms, 0, result))
        return false;
    /* After a stall in the warm-up the load cannot be carried on. */
    return result->stalled || stage_run(bench, "measure", options->duration_ms, options->messages, result);
}

static bool write_json(const struct result *result, const char *path)
{
    bool to_stdout = path[0] == '-' && path[1] == '\0';
    FILE *out = to_stdout ? stdout : fopen(path, "we");
    if (!out) {
        perror(path);
        return false;
    }
    result_print_json(result, out);
    return (to_stdout ? fflush(out) : fclose(out)) == 0;
}

static int report(const struct bench *bench, const struct result *result)
{
    const struct options *options = bench->options;
    bool written = options->json[0] == '\0' || write_json(result, options->json);
    if (!options->quiet)
        result_print(result, options->json[0] == '-' && options->json[1] == '\0' ? stderr : stdout);
    return written && result_good(result) ? 0 : 1;
}

static int run(struct bench *bench)
{
    struct result *result = calloc(1, sizeof(*result));
    if (!result || bench_plan(bench) != 0) {
        fputs("ringcast-bench: out of memory\n", stderr);
        free(result);
        return 1;
    }
    result->options = bench->options;
    bool done = stage_start(bench);
    if (done)
        done = bench->options->scenario == SCENARIO_CONNECT ? run_connect(bench, result) : run_load(bench, result);
    stage_end(bench, result);
    if (!done)
        fprintf(stderr, "ringcast-bench: %s\n", bench->failure);
    int code = done ? report(bench, result) : 1;
    free(result);
    return code;
}

int main(int count, char **arguments)
{
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof(memory));
    struct options options;
    static struct bench bench;
    bench.options = &options;
    int code = 1;
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
            raise_file_limit();
            code = run(&bench);
        }
        break;
    }
    bench_plan_free(&bench);
    free(bench.sources);
    options_release(&options);
    return code;
}
