/* SPDX-License-Identifier: MIT */
/* Owns the command ringcast-bench upload: its options, the order of the runs, and what is said of them. It sends nothing
 * itself (bench_upload_link.c) and writes no file but for --json. Called by main.
 *
 *     RINGCAST_TOKEN=... ringcast-bench upload ws://127.0.0.1:8080/api/ws --service 1 --bare /var/lib/ringcast --server-pid $PID
 *     ringcast-bench upload --bare /var/lib/ringcast            the bare loop alone
 *
 * A repetition is the bare loop, the bare loop that syncs each chunk, and the upload, so that what else the machine has to do
 * hits all of them. */
#include "bench/bench_upload.h"

#include "bench/bench_memory.h"
#include "bench/bench_options.h"
#include "bench/bench_process.h"
#include "core/check.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdlib.h>

#define CONNS_MAX 1024
#define WINDOW_CHUNKS_MAX 64
#define REPEAT_MAX 101
#define TOKEN_BYTES_MAX 4096

struct upload_options {
    const char *address; /* NULL: the bare loop alone */
    char *bare;
    char *json;
    uint64_t service, bytes, chunk_bytes, conns, window, repeat, server_pid;
};

#define ROW(name_, kind_, field_, fallback_, min_, max_, doc_)                                                         \
    {                                                                                                                  \
        .name = name_, .kind = kind_, .offset = offsetof(struct upload_options, field_), .fallback = fallback_,        \
        .min = min_, .max = max_, .doc = doc_                                                                          \
    }

static const struct option upload_rows[] = {
    ROW("service", OPTION_COUNT, service, "1", 0, 0, "the service whose files they are"),
    ROW("bytes", OPTION_SIZE, bytes, "256MiB", 1, UINT64_C(10) << 30, "of each connection's file"),
    ROW("chunk", OPTION_SIZE, chunk_bytes, "1MiB", 1, UPLOAD_CHUNK_BYTES_MAX, "bytes of a chunk"),
    ROW("conns", OPTION_COUNT, conns, "1", 1, CONNS_MAX, "connections, each with a file of its own"),
    ROW("window", OPTION_COUNT, window, "2", 1, WINDOW_CHUNKS_MAX, "chunks that each has under way"),
    ROW("repeat", OPTION_COUNT, repeat, "3", 1, REPEAT_MAX, "repetitions of all"),
    ROW("bare", OPTION_TEXT, bare, "", 0, 0, "folder for the bare loop's file, on the disk of the uploads"),
    ROW("server-pid", OPTION_COUNT, server_pid, "0", 0, 0, "the server's process, for its CPU time and memory"),
    ROW("json", OPTION_TEXT, json, "", 0, 0, "file for the results as JSON; - is the standard output"),
    {.name = NULL},
};

enum { BARE, BARE_SYNCED, UPLOADED, CASES };

struct upload_results {
    double rate[CASES][REPEAT_MAX];              /* MiB/s */
    double cpu_ms[CASES][REPEAT_MAX];            /* per MiB; of an upload the server's */
    double before[REPEAT_MAX], peak[REPEAT_MAX]; /* of the server's resident memory, MiB */
    struct histogram chunk_ns;
};

/* --- one upload of all connections -------------------------------------------------------------------------------- */

/* The most that was resident since `forget_peak`; 0: it is not told. */
static uint64_t peak_bytes(uint64_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/status", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    return memory_field(text, "VmHWM");
}

static void forget_peak(uint64_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/clear_refs", pid);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return;
    fputs("5", file);
    fclose(file);
}

/* The first failure of a link, or NULL. */
static const char *failure_of(const struct upload_link *links, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (links[i].failure[0] != '\0')
            return links[i].failure;
    return NULL;
}

/* From the first chunk that was sent to the last hash that came. */
static double seconds_of(const struct upload_link *links, uint64_t count)
{
    uint64_t begin_ns = UINT64_MAX, end_ns = 0;
    for (uint64_t i = 0; i < count; i++) {
        begin_ns = links[i].begin_ns < begin_ns ? links[i].begin_ns : begin_ns;
        end_ns = links[i].end_ns > end_ns ? links[i].end_ns : end_ns;
    }
    return (double)(end_ns - begin_ns) / 1e9;
}

static void run_links(struct upload_link *links, uint64_t count)
{
    pthread_t *threads = calloc(count, sizeof *threads);
    check(threads != NULL);
    for (uint64_t i = 0; i < count; i++)
        check_op(pthread_create(&threads[i], NULL, upload_link_run, &links[i]), ==, 0);
    for (uint64_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static bool run_upload(const struct upload_options *options, const struct url *url,
                       const struct upload_content *content, struct upload_results *results, uint64_t at)
{
    uint64_t cpu_ns[2] = {0, 0};
    double mebibytes = (double)(options->conns * options->bytes) / 1048576;
    const char *token = getenv("RINGCAST_TOKEN");
    struct memory memory = {.resident_bytes = 0};
    pthread_barrier_t start;
    struct upload_link *links = calloc(options->conns, sizeof *links);
    check(links != NULL && token != NULL);
    pthread_barrier_init(&start, NULL, (unsigned)options->conns);
    for (uint64_t i = 0; i < options->conns; i++)
        links[i] = (struct upload_link){.url = url,
                                        .content = content,
                                        .token = token,
                                        .start = &start,
                                        .service = options->service,
                                        .window = options->window,
                                        .number = (uint32_t)i};
    if (options->server_pid > 0 && memory_read(options->server_pid, &memory)) {
        forget_peak(options->server_pid);
        process_cpu_ns(options->server_pid, &cpu_ns[0]);
    }
    run_links(links, options->conns);
    if (options->server_pid > 0)
        process_cpu_ns(options->server_pid, &cpu_ns[1]);
    const char *failure = failure_of(links, options->conns);
    if (failure != NULL)
        fprintf(stderr, "ringcast-bench: %s\n", failure);
    results->rate[UPLOADED][at] =
        (double)(options->conns * options->bytes) / 1048576 / seconds_of(links, options->conns);
    results->cpu_ms[UPLOADED][at] = (double)(cpu_ns[1] - cpu_ns[0]) / 1e6 / mebibytes;
    results->before[at] = (double)memory.resident_bytes / 1048576;
    results->peak[at] = options->server_pid > 0 ? (double)peak_bytes(options->server_pid) / 1048576 : 0;
    for (uint64_t i = 0; i < options->conns; i++)
        histogram_merge(&results->chunk_ns, &links[i].chunk_ns);
    pthread_barrier_destroy(&start);
    free(links);
    return failure == NULL;
}

static bool run_bare(const struct upload_options *options, const struct upload_content *content,
                     struct upload_results *results, uint64_t at)
{
    for (int synced = 0; synced < 2; synced++) {
        uint64_t cpu_ns = 0;
        int64_t ns = upload_bare(content, options->bare, synced == 1, &cpu_ns);
        if (ns < 0) {
            fprintf(stderr, "ringcast-bench: %s: %s\n", options->bare, strerror((int)-ns));
            return false;
        }
        results->rate[BARE + synced][at] = (double)options->bytes / 1048576 / ((double)ns / 1e9);
        results->cpu_ms[BARE + synced][at] = (double)cpu_ns / 1e6 / ((double)options->bytes / 1048576);
    }
    return true;
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *values, uint64_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

/* Medians of all repetitions. */
struct upload_figures {
    double rate[CASES], cpu_ms[CASES], before, peak;
};

static void take_figures(const struct upload_options *options, struct upload_results *results,
                         struct upload_figures *figures)
{
    for (int i = 0; i < CASES; i++) {
        figures->rate[i] = median(results->rate[i], options->repeat);
        figures->cpu_ms[i] = median(results->cpu_ms[i], options->repeat);
    }
    figures->before = median(results->before, options->repeat);
    figures->peak = median(results->peak, options->repeat);
}

static double chunk_ms(const struct upload_results *results, double percent)
{
    return (double)histogram_percentile(&results->chunk_ns, percent) / 1e6;
}

static void print_table(const struct upload_options *options, const struct upload_results *results,
                        const struct upload_figures *figures, FILE *out)
{
    static const char *const names[CASES] = {"bare: decode, hash, write", "bare, each chunk synced", "upload"};
    fprintf(out, "%" PRIu64 " x %.1f MiB in chunks of %.3f MiB, %" PRIu64 " under way each, %" PRIu64 " repetitions\n",
            options->conns, (double)options->bytes / 1048576, (double)options->chunk_bytes / 1048576, options->window,
            options->repeat);
    fprintf(out, "%-28s %10s %12s  %s\n", "", "MiB/s", "CPU ms/MiB", "(MiB/s, least-most)");
    for (int i = 0; i < CASES; i++)
        if (figures->rate[i] > 0)
            fprintf(out, "%-28s %10.1f %12.2f  (%.1f-%.1f)\n", names[i], figures->rate[i], figures->cpu_ms[i],
                    results->rate[i][0], results->rate[i][options->repeat - 1]);
    if (options->address == NULL)
        return;
    if (figures->rate[BARE] > 0)
        fprintf(out, "%-28s %10.2f %12.2f  of the synced one: %.2f, %.2f\n", "upload / bare",
                figures->rate[UPLOADED] / figures->rate[BARE], figures->cpu_ms[UPLOADED] / figures->cpu_ms[BARE],
                figures->rate[UPLOADED] / figures->rate[BARE_SYNCED],
                figures->cpu_ms[UPLOADED] / figures->cpu_ms[BARE_SYNCED]);
    fprintf(out, "chunk to progress: p50 %.2f ms, p99 %.2f ms, most %.2f ms\n", chunk_ms(results, 50),
            chunk_ms(results, 99), (double)results->chunk_ns.max / 1e6);
    if (options->server_pid > 0)
        fprintf(out, "server: %.1f MiB resident before, %.1f at most: %.1f more, %.2f a connection\n", figures->before,
                figures->peak, figures->peak - figures->before,
                (figures->peak - figures->before) / (double)options->conns);
}

static bool print_json(const struct upload_options *options, const struct upload_results *results,
                       const struct upload_figures *figures)
{
    FILE *out = strcmp(options->json, "-") == 0 ? stdout : fopen(options->json, "we");
    if (out == NULL) {
        perror(options->json);
        return false;
    }
    fprintf(out, "{\"conns\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"chunk_bytes\": %" PRIu64 ", \"window\": %" PRIu64,
            options->conns, options->bytes, options->chunk_bytes, options->window);
    fprintf(out, ", \"bare_mib_s\": %.2f, \"bare_synced_mib_s\": %.2f, \"upload_mib_s\": %.2f", figures->rate[BARE],
            figures->rate[BARE_SYNCED], figures->rate[UPLOADED]);
    fprintf(out,
            ", \"bare_cpu_ms_per_mib\": %.3f, \"bare_synced_cpu_ms_per_mib\": %.3f, \"server_cpu_ms_per_mib\": %.3f",
            figures->cpu_ms[BARE], figures->cpu_ms[BARE_SYNCED], figures->cpu_ms[UPLOADED]);
    fprintf(out, ", \"chunk_p50_ms\": %.3f, \"chunk_p99_ms\": %.3f", chunk_ms(results, 50), chunk_ms(results, 99));
    fprintf(out, ", \"server_before_mib\": %.2f, \"server_peak_mib\": %.2f}\n", figures->before, figures->peak);
    return (out == stdout ? fflush(out) : fclose(out)) == 0;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
    fputs("Usage: ringcast-bench upload [URL] [--OPTION VALUE]...\n"
          "\n"
          "Uploads files to a node (dialect rnn) and compares the hashes; the token comes from RINGCAST_TOKEN. Without "
          "a URL: the\n"
          "bare loop alone.\n"
          "\n",
          out);
    for (const struct option *row = upload_rows; row->name != NULL; row++)
        fprintf(out, "  --%-11s %s%s%s%s\n", row->name, row->doc, row->fallback[0] != '\0' ? " (" : "", row->fallback,
                row->fallback[0] != '\0' ? ")" : "");
    fputs("\nExit code: 0, 1 (something failed), 2 (wrong usage).\n", out);
}

static bool parse(struct upload_options *options, int count, char **arguments, struct buf *why)
{
    if (option_defaults(options, upload_rows) != 0) {
        buf_put_text(why, "out of memory");
        return false;
    }
    for (int at = 1; at < count;) {
        if (strncmp(arguments[at], "--", 2) == 0) {
            if (!options_take(options, upload_rows, count, arguments, &at, why))
                return false;
        } else if (options->address != NULL) {
            buf_put_text(why, "one URL is enough");
            return false;
        } else {
            options->address = arguments[at++];
        }
    }
    const char *token = getenv("RINGCAST_TOKEN");
    if (options->address == NULL && options->bare[0] == '\0')
        buf_put_text(why, "nothing to do: give a URL, or --bare FOLDER");
    else if (options->address != NULL && (token == NULL || strlen(token) > TOKEN_BYTES_MAX))
        buf_put_text(why, "set RINGCAST_TOKEN to a token of the node");
    else if (options->bytes / options->chunk_bytes > UINT64_C(1) << 20)
        buf_put_text(why, "--bytes and --chunk give more than 1048576 chunks");
    return why->used == 0;
}

static bool run_all(const struct upload_options *options, const struct url *url, struct upload_results *results)
{
    struct upload_content content;
    bool good = upload_content_make(&content, options->bytes, options->chunk_bytes) == 0;
    for (uint64_t at = 0; at < options->repeat && good; at++) {
        if (options->bare[0] != '\0')
            good = run_bare(options, &content, results, at);
        if (good && options->address != NULL)
            good = run_upload(options, url, &content, results, at);
    }
    upload_content_free(&content);
    return good;
}

static int run(const struct upload_options *options, const struct url *url)
{
    struct upload_results *results = calloc(1, sizeof *results);
    struct upload_figures figures;
    check(results != NULL);
    histogram_init(&results->chunk_ns);
    bool good = run_all(options, url, results);
    take_figures(options, results, &figures);
    if (good)
        print_table(options, results, &figures, strcmp(options->json, "-") == 0 ? stderr : stdout);
    if (good && options->json[0] != '\0')
        good = print_json(options, results, &figures);
    free(results);
    return good ? 0 : 1;
}

int upload_command(int count, char **arguments)
{
    struct upload_options options = {.address = NULL};
    struct url url = {.tls = false};
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof memory);
    int code = 2;
    if (count > 1 && (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0)) {
        usage(stdout);
        return 0;
    }
    bool good =
        parse(&options, count, arguments, &why) &&
        (options.address == NULL || (url_parse(&url, options.address, "ws", false, &why) && url_resolve(&url, &why)));
    if (good && url.tls) {
        buf_put_text(&why, "upload speaks ws:// only: TLS would be measured with it");
        good = false;
    }
    if (good) {
        code = run(&options, &url);
    } else {
        fprintf(stderr, "ringcast-bench: %.*s\n\n", (int)why.used, (const char *)why.data);
        usage(stderr);
    }
    option_release(&options, upload_rows);
    return code;
}
