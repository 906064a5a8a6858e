/* SPDX-License-Identifier: MIT */
/* Owns the program ringcast-floor: the sending process, its rounds and its CPU time. It never does more per round than
 * read one byte and send the burst. Called by the shell. */
#include "bench/floor_options.h"
#include "core/clock.h"
#include "core/histogram.h"
#include "protocol/ws.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 10
#define DESCRIPTORS_BESIDES 64

struct floor {
    struct floor_options options;
    uint8_t *burst; /* the finished wire bytes of `window` messages */
    size_t burst_bytes;
    int *sockets;
    int control;
    struct floor_sender *sender;
};

struct measure {
    uint64_t rounds;
    uint64_t cpu_ns; /* of the sending thread */
    uint64_t wall_ns;
    struct histogram round_ns; /* from the request for a burst to the request for the next */
};

/* The n-th of the cores that this process may use; nothing when there are not so many. */
static void pin(int n)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed) || n-- > 0)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static int build_burst(struct floor *floor)
{
    const struct floor_options *options = &floor->options;
    uint8_t header[WS_HEADER_BYTES_MAX];
    size_t header_bytes = ws_header_write(header, WS_TEXT, options->size);
    size_t frame_bytes = header_bytes + (size_t)options->size;
    floor->burst_bytes = frame_bytes * (size_t)options->window;
    floor->burst = malloc(floor->burst_bytes);
    if (!floor->burst)
        return -ENOMEM;
    memset(floor->burst, 'x', floor->burst_bytes);
    for (uint64_t i = 0; i < options->window; i++)
        memcpy(floor->burst + i * frame_bytes, header, header_bytes);
    return 0;
}

static int allow_descriptors(uint64_t count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -errno;
    rlim_t needed = count + DESCRIPTORS_BESIDES;
    if (limit.rlim_cur >= needed)
        return 0;
    limit.rlim_cur = needed;
    limit.rlim_max = limit.rlim_max > needed ? limit.rlim_max : needed;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : -EMFILE;
}

/* On a loopback port that the kernel chooses. Accepted sockets inherit the options. The descriptor or -errno. */
static int listen_any(const struct floor_options *options, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    int send_buffer = (int)options->send_buffer_bytes;
    struct timeval patience = {.tv_sec = PATIENCE_S};
    socklen_t bytes = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    if (bind(fd, (struct sockaddr *)address, bytes) == 0 && listen(fd, SOMAXCONN) == 0 &&
        getsockname(fd, (struct sockaddr *)address, &bytes) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* The first connection is the control. 0 or -errno. */
static int accept_all(struct floor *floor, int listener)
{
    floor->control = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (floor->control < 0)
        return -errno;
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(floor->control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (uint64_t i = 0; i < floor->options.conns; i++) {
        floor->sockets[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (floor->sockets[i] < 0)
            return -errno;
    }
    return 0;
}

/* Waits until the receiver has everything and asks for the next burst. 0 or -errno. */
static int await_request(const struct floor *floor)
{
    char byte;
    ssize_t n = read(floor->control, &byte, 1);
    return n == 1 ? 0 : n == 0 ? -ECONNRESET : -errno;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Begins and ends with a request that has been read and not yet answered. 0 or -errno. */
static int run(const struct floor *floor, uint64_t duration_ms, uint64_t messages, struct measure *measure)
{
    memset(measure, 0, sizeof *measure);
    histogram_init(&measure->round_ns);
    uint64_t begun_ns = clock_monotonic_ns();
    uint64_t end_ns = messages > 0 ? UINT64_MAX : begun_ns + duration_ms * 1000000;
    uint64_t cpu_ns = thread_cpu_ns();
    uint64_t now_ns = begun_ns;
    int error = 0;
    while (error == 0 && now_ns < end_ns && (messages == 0 || measure->rounds * floor->options.window < messages)) {
        error = floor_sender_round(floor->sender, slice_of(floor->burst, floor->burst_bytes));
        if (error == 0)
            error = await_request(floor);
        uint64_t then_ns = now_ns;
        now_ns = clock_monotonic_ns();
        histogram_record(&measure->round_ns, now_ns - then_ns);
        measure->rounds++;
    }
    measure->cpu_ns = thread_cpu_ns() - cpu_ns;
    measure->wall_ns = now_ns - begun_ns;
    return error;
}

static uint64_t deliveries(const struct floor *floor, const struct measure *measure)
{
    return measure->rounds * floor->options.window * floor->options.conns;
}

static double us_per_delivery(const struct floor *floor, const struct measure *measure)
{
    uint64_t count = deliveries(floor, measure);
    return count > 0 ? (double)measure->cpu_ns / 1e3 / (double)count : 0;
}

static void print_table(const struct floor *floor, const struct measure *measure, FILE *out)
{
    const struct floor_options *options = &floor->options;
    fprintf(out, "floor %s\n", floor_mode_name(options->mode));
    fprintf(out, "  sockets        %" PRIu64 "\n", options->conns);
    fprintf(out, "  bursts         %" PRIu64 " x %" PRIu64 " bytes, %zu on the wire\n", options->window, options->size,
            floor->burst_bytes);
    fprintf(out, "  measured       %.2f s: %" PRIu64 " rounds, %" PRIu64 " deliveries\n",
            (double)measure->wall_ns / 1e9, measure->rounds, deliveries(floor, measure));
    fprintf(out, "  round          p50 %.1f  p99 %.1f  max %.1f us\n",
            (double)histogram_percentile(&measure->round_ns, 50) / 1e3,
            (double)histogram_percentile(&measure->round_ns, 99) / 1e3, (double)measure->round_ns.max / 1e3);
    fprintf(out, "  sender CPU     %.3f us per delivery, %.0f %% of one core\n", us_per_delivery(floor, measure),
            measure->wall_ns > 0 ? 100.0 * (double)measure->cpu_ns / (double)measure->wall_ns : 0);
}

static void print_json(const struct floor *floor, const struct measure *measure, FILE *out)
{
    const struct floor_options *options = &floor->options;
    fprintf(out,
            "{\"mode\": \"%s\", \"connections\": %" PRIu64 ", \"size_bytes\": %" PRIu64 ", \"window\": %" PRIu64
            ", \"wire_bytes\": %zu, \"rounds\": %" PRIu64 ", \"deliveries\": %" PRIu64
            ", \"seconds\": %.6f, \"cpu_ns\": %" PRIu64 ", \"us_per_delivery\": %.4f, \"round_us_p50\": %.3f}\n",
            floor_mode_name(options->mode), options->conns, options->size, options->window, floor->burst_bytes,
            measure->rounds, deliveries(floor, measure), (double)measure->wall_ns / 1e9, measure->cpu_ns,
            us_per_delivery(floor, measure), (double)histogram_percentile(&measure->round_ns, 50) / 1e3);
}

static int report(const struct floor *floor, const struct measure *measure)
{
    const char *path = floor->options.json;
    bool to_stdout = strcmp(path, "-") == 0;
    if (!floor->options.quiet)
        print_table(floor, measure, to_stdout ? stderr : stdout);
    if (path[0] == '\0')
        return 0;
    FILE *out = to_stdout ? stdout : fopen(path, "we");
    if (!out) {
        perror(path);
        return 1;
    }
    print_json(floor, measure, out);
    return (to_stdout ? fflush(out) : fclose(out)) == 0 ? 0 : 1;
}

/* The sending process, once the receiver has been forked. 0 or -errno. */
static int send_all(struct floor *floor, int listener, struct measure *measure)
{
    const struct floor_options *options = &floor->options;
    int error = accept_all(floor, listener);
    if (error == 0)
        error = floor_sender_open(&floor->sender, options, floor->sockets);
    if (error < 0)
        return error;
    error = await_request(floor);
    if (error == 0 && options->warmup_ms > 0)
        error = run(floor, options->warmup_ms, 0, measure);
    if (error == 0)
        error = run(floor, options->duration_ms, options->messages, measure);
    floor_sender_close(floor->sender);
    return error;
}

static void close_all(const struct floor *floor)
{
    for (uint64_t i = 0; i < floor->options.conns; i++)
        if (floor->sockets[i] >= 0)
            close(floor->sockets[i]);
    if (floor->control >= 0)
        close(floor->control);
}

static pid_t fork_receiver(const struct floor *floor, int listener, const struct sockaddr_in *address)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    close(listener);
    pin(1);
    _exit(floor_receive(&floor->options, address, floor->burst_bytes));
}

static int run_floor(struct floor *floor)
{
    struct measure measure;
    struct sockaddr_in address;
    floor->control = -1;
    floor->sockets = malloc(floor->options.conns * sizeof(int));
    int error = floor->sockets ? build_burst(floor) : -ENOMEM;
    if (error == 0)
        error = allow_descriptors(floor->options.conns);
    int listener = error < 0 ? error : listen_any(&floor->options, &address);
    if (listener < 0) {
        fprintf(stderr, "ringcast-floor: %s\n", strerror(-listener));
        return 1;
    }
    memset(floor->sockets, 0xff, floor->options.conns * sizeof(int)); /* -1 each */
    pid_t child = fork_receiver(floor, listener, &address);
    if (child < 0) {
        perror("ringcast-floor: fork");
        return 1;
    }
    pin(0);
    error = send_all(floor, listener, &measure);
    close(listener);
    close_all(floor);
    int status = 0;
    waitpid(child, &status, 0);
    if (error < 0)
        fprintf(stderr, "ringcast-floor: %s\n", strerror(-error));
    return error < 0 || status != 0 ? 1 : report(floor, &measure);
}

int main(int count, char **arguments)
{
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof memory);
    static struct floor floor;
    int code = 0;
    switch (floor_options_parse(&floor.options, count, arguments, &why)) {
    case 0:
        floor_usage(stdout);
        break;
    case 1:
        signal(SIGPIPE, SIG_IGN);
        code = run_floor(&floor);
        break;
    default:
        fprintf(stderr, "ringcast-floor: %.*s\n\n", (int)why.used, (const char *)why.data);
        floor_usage(stderr);
        code = 2;
        break;
    }
    free(floor.burst);
    free(floor.sockets);
    floor_options_release(&floor.options);
    return code;
}
