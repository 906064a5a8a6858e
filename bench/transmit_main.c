/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-transmit: the turns that the paths take, their CPU time and the table. It never sends
 * anything itself. Called by bench/transmit inside the network namespace that the script has made. */
#include "bench/transmit.h"
#include "bench/transmit_options.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define PATHS_MAX 16
#define SIZE_MAX_BYTES (1U << 20)
#define WARM_ROUNDS 3
#define DESCRIPTORS_BESIDES 64

const struct transmit_path *const transmit_paths[] = {
    &transmit_write,           &transmit_ring, &transmit_zero_copy, &transmit_registered, &transmit_shard,
    &transmit_shard_zero_copy, NULL,
};

/* Nanoseconds of CPU time per message and connection in one repetition. */
struct sample {
    double send;
    double back; /* for memory that came back */
};

struct entrant {
    const struct transmit_path *path;
    void *state;
    struct sample *samples; /* one per repetition */
};

struct meter {
    struct transmit_options options;
    struct entrant entrants[PATHS_MAX];
    uint32_t count;
    uint32_t next_peer;
    double *scratch; /* `repeat` values */
};

struct summary {
    double median, low, high;
};

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* One round of a path, with the CPU time of its two measured parts added. 0 or -errno. */
static int round_once(const struct entrant *entrant, uint64_t *send_ns, uint64_t *back_ns)
{
    const struct transmit_path *path = entrant->path;
    uint64_t begun_ns = thread_cpu_ns();
    int error = path->round(entrant->state);
    *send_ns += thread_cpu_ns() - begun_ns;
    if (error == 0)
        error = path->answer(entrant->state);
    begun_ns = thread_cpu_ns();
    if (error == 0)
        error = path->collect(entrant->state);
    *back_ns += thread_cpu_ns() - begun_ns;
    return error;
}

static int run_slice(const struct meter *meter, const struct entrant *entrant, struct sample *sample)
{
    uint64_t send_ns = 0, back_ns = 0, rounds = 0;
    int error = 0;
    while (error == 0 && send_ns + back_ns < meter->options.slice_ms * 1000000) {
        error = round_once(entrant, &send_ns, &back_ns);
        rounds++;
    }
    double messages = (double)(rounds * meter->options.conns * meter->options.window);
    sample->send = (double)send_ns / messages;
    sample->back = (double)back_ns / messages;
    return error;
}

static int warm_up(const struct meter *meter)
{
    uint64_t ignored = 0;
    int error = 0;
    for (uint32_t i = 0; i < meter->count; i++)
        for (unsigned n = 0; n < WARM_ROUNDS && error == 0; n++)
            error = round_once(&meter->entrants[i], &ignored, &ignored);
    return error;
}

static void close_paths(struct meter *meter)
{
    for (uint32_t i = 0; i < meter->count; i++) {
        struct entrant *entrant = &meter->entrants[i];
        if (entrant->state != NULL)
            entrant->path->close(entrant->state);
        entrant->state = NULL;
    }
}

static int open_paths(struct meter *meter, uint32_t size)
{
    struct transmit_load load = {
        .conns = (uint32_t)meter->options.conns, .size = size, .window = (uint32_t)meter->options.window};
    int error = 0;
    for (uint32_t i = 0; i < meter->count && error == 0; i++) {
        struct entrant *entrant = &meter->entrants[i];
        load.first_peer = meter->next_peer;
        meter->next_peer += load.conns;
        error = entrant->path->open(&entrant->state, entrant->path, &load);
    }
    return error;
}

static int run_size(struct meter *meter, uint32_t size)
{
    int error = open_paths(meter, size);
    if (error == 0)
        error = warm_up(meter);
    for (uint64_t n = 0; n < meter->options.repeat && error == 0; n++) {
        for (uint64_t turn = 0; turn < meter->count && error == 0; turn++) {
            struct entrant *entrant = &meter->entrants[(n + turn) % meter->count]; /* each is first once in a while */
            error = run_slice(meter, entrant, &entrant->samples[n]);
        }
    }
    return error;
}

/* --- report ------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static struct summary summarize(double *values, uint64_t count)
{
    qsort(values, count, sizeof *values, compare);
    double upper = values[count / 2], lower = values[(count - 1) / 2];
    return (struct summary){.median = (upper + lower) / 2, .low = values[0], .high = values[count - 1]};
}

static double cost(const struct sample *sample, bool with_back)
{
    return sample->send + (with_back ? sample->back : 0);
}

static struct summary cost_of(const struct meter *meter, uint32_t i, bool with_back)
{
    for (uint64_t n = 0; n < meter->options.repeat; n++)
        meter->scratch[n] = cost(&meter->entrants[i].samples[n], with_back);
    return summarize(meter->scratch, meter->options.repeat);
}

/* To the first path, repetition by repetition. */
static struct summary ratio_of(const struct meter *meter, uint32_t i, bool with_back)
{
    for (uint64_t n = 0; n < meter->options.repeat; n++)
        meter->scratch[n] =
            cost(&meter->entrants[i].samples[n], with_back) / cost(&meter->entrants[0].samples[n], with_back);
    return summarize(meter->scratch, meter->options.repeat);
}

static void print_rows(const struct meter *meter, const char *size, FILE *out)
{
    for (uint32_t i = 0; i < meter->count; i++) {
        struct summary send = cost_of(meter, i, false), all = cost_of(meter, i, true);
        struct summary send_ratio = ratio_of(meter, i, false), all_ratio = ratio_of(meter, i, true);
        struct transmit_usage usage = meter->entrants[i].path->usage(meter->entrants[i].state);
        char copied[16] = "-";
        if (usage.notified > 0)
            snprintf(copied, sizeof copied, "%.0f %%", 100.0 * (double)usage.copied / (double)usage.notified);
        fprintf(out,
                "%-7s %-16s %7.3f (%7.3f-%7.3f) %6.3f (%5.3f-%5.3f) | %7.3f (%7.3f-%7.3f) %6.3f (%5.3f-%5.3f) %6s\n",
                size, meter->entrants[i].path->name, send.median / 1e3, send.low / 1e3, send.high / 1e3,
                send_ratio.median, send_ratio.low, send_ratio.high, all.median / 1e3, all.low / 1e3, all.high / 1e3,
                all_ratio.median, all_ratio.low, all_ratio.high, copied);
    }
}

static void print_head(const struct meter *meter, FILE *out)
{
    fprintf(out,
            "%" PRIu64 " sockets, %" PRIu64 " messages in one send, %" PRIu64
            " repetitions; microseconds of CPU per message, median (min-max); ratios to %s\n\n"
            "%-7s %-16s %-33s %-14s | %-33s %-14s %6s\n",
            meter->options.conns, meter->options.window, meter->options.repeat, meter->entrants[0].path->name, "bytes",
            "path", "send", "ratio", "send and memory back", "ratio", "copied");
}

static void json_summary(FILE *out, const char *name, struct summary summary)
{
    fprintf(out, ", \"%s\": [%.4f, %.4f, %.4f]", name, summary.median, summary.low, summary.high);
}

/* One object per line; each figure is [median, min, max]. */
static void print_json(const struct meter *meter, const char *size, FILE *out)
{
    for (uint32_t i = 0; i < meter->count; i++) {
        struct transmit_usage usage = meter->entrants[i].path->usage(meter->entrants[i].state);
        fprintf(out,
                "{\"path\": \"%s\", \"size_bytes\": %s, \"connections\": %" PRIu64 ", \"window\": %" PRIu64
                ", \"notified\": %" PRIu64 ", \"copied\": %" PRIu64,
                meter->entrants[i].path->name, size, meter->options.conns, meter->options.window, usage.notified,
                usage.copied);
        json_summary(out, "send_ns", cost_of(meter, i, false));
        json_summary(out, "send_ratio", ratio_of(meter, i, false));
        json_summary(out, "all_ns", cost_of(meter, i, true));
        json_summary(out, "all_ratio", ratio_of(meter, i, true));
        fputs("}\n", out);
    }
}

/* --- set-up ------------------------------------------------------------------------------------------------------- */

static void pin(void)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    CPU_ZERO(&one);
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed))
            continue;
        CPU_SET(core, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static int allow_descriptors(uint64_t count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -errno;
    if (limit.rlim_cur >= count)
        return 0;
    limit.rlim_cur = count;
    limit.rlim_max = limit.rlim_max > count ? limit.rlim_max : count;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : -EMFILE;
}

static const struct transmit_path *find_path(const char *name)
{
    for (const struct transmit_path *const *path = transmit_paths; *path != NULL; path++)
        if (strcmp((*path)->name, name) == 0)
            return *path;
    return NULL;
}

/* 0, or -1 with a line said. */
static int choose_paths(struct meter *meter)
{
    for (uint32_t i = 0; i < meter->options.paths.count; i++) {
        const struct transmit_path *path = find_path(meter->options.paths.items[i]);
        if (path == NULL || meter->count == PATHS_MAX) {
            fprintf(stderr, "ringcast-transmit: '%s' is no path; see --help\n", meter->options.paths.items[i]);
            return -1;
        }
        struct entrant *entrant = &meter->entrants[meter->count++];
        entrant->path = path;
        entrant->samples = calloc(meter->options.repeat, sizeof *entrant->samples);
        if (entrant->samples == NULL)
            return -1;
    }
    meter->scratch = calloc(meter->options.repeat, sizeof *meter->scratch);
    return meter->scratch != NULL && meter->count > 0 ? 0 : -1;
}

static void explain(int error)
{
    fprintf(stderr, "ringcast-transmit: %s%s\n", strerror(-error),
            error == -EPERM || error == -ENETUNREACH || error == -EADDRNOTAVAIL
                ? "; run it as root through bench/transmit, which makes its network"
                : "");
}

/* 0, or the exit code. */
static int run_all(struct meter *meter, FILE *table, FILE *json)
{
    if (table != NULL)
        print_head(meter, table);
    for (uint32_t i = 0; i < meter->options.sizes.count; i++) {
        const char *size = meter->options.sizes.items[i];
        char *end;
        unsigned long bytes = strtoul(size, &end, 10);
        if (*size == '\0' || *end != '\0' || bytes > SIZE_MAX_BYTES) {
            fprintf(stderr, "ringcast-transmit: '%s' is no size; a number of bytes up to %u\n", size, SIZE_MAX_BYTES);
            return 2;
        }
        int error = run_size(meter, (uint32_t)bytes);
        if (error == 0 && table != NULL)
            print_rows(meter, size, table);
        if (error == 0 && json != NULL)
            print_json(meter, size, json);
        close_paths(meter);
        if (error < 0) {
            explain(error);
            return 1;
        }
    }
    return 0;
}

static int run(struct meter *meter)
{
    const char *path = meter->options.json;
    bool to_stdout = strcmp(path, "-") == 0;
    if (choose_paths(meter) < 0)
        return 2;
    int error = allow_descriptors(2 * meter->count * meter->options.conns + DESCRIPTORS_BESIDES);
    if (error < 0) {
        explain(error);
        return 1;
    }
    FILE *json = path[0] == '\0' ? NULL : to_stdout ? stdout : fopen(path, "we");
    if (path[0] != '\0' && json == NULL) {
        perror(path);
        return 1;
    }
    pin();
    int code = run_all(meter, meter->options.quiet ? NULL : to_stdout ? stderr : stdout, json);
    if (json != NULL && (to_stdout ? fflush(json) : fclose(json)) != 0)
        code = 1;
    return code;
}

int main(int count, char **arguments)
{
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof memory);
    static struct meter meter;
    int code = 0;
    switch (transmit_options_parse(&meter.options, count, arguments, &why)) {
    case 0:
        transmit_options_usage(stdout);
        break;
    case 1:
        signal(SIGPIPE, SIG_IGN);
        code = run(&meter);
        break;
    default:
        fprintf(stderr, "ringcast-transmit: %.*s\n\n", (int)why.used, (const char *)why.data);
        transmit_options_usage(stderr);
        code = 2;
        break;
    }
    for (uint32_t i = 0; i < meter.count; i++)
        free(meter.entrants[i].samples);
    free(meter.scratch);
    transmit_options_release(&meter.options);
    return code;
}
