/* SPDX-License-Identifier: MIT */
/* Owns the table of flight recorders and the handlers of fatal signals. It never allocates, never uses stdio and never
 * saves the process: the signal takes its course behind it. Called by the server and the simulation (install,
 * register), then by the kernel. */
#include "core/crash.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/dying.h"
#include "core/limits.h"
#include "core/log_writer.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define OTHERS_EVENTS_MAX 256
#define STACK_BYTES 16384
#define FLUSH_MS 200 /* for the lines that were logged before */

static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
#define FATAL_COUNT (sizeof fatal / sizeof fatal[0])

static struct recorder {
    _Atomic(const struct flight *) flight;
    _Atomic pid_t thread;
} recorders[SHARDS_MAX];

static struct sigaction before[FATAL_COUNT];
static _Atomic uint32_t own_events_max;
static atomic_flag dying = ATOMIC_FLAG_INIT;
static uint8_t stacks[SHARDS_MAX][STACK_BYTES]; /* a thread that has run out of its own still gets its words out */

/* --- printing ----------------------------------------------------------------------------------------------------- */

static void put_head(struct buf *out, uint16_t number, uint32_t count, const struct flight *flight, bool own)
{
    buf_put_text(out, "flight ");
    buf_put_u64(out, number);
    buf_put_text(out, own ? ": this thread: the last " : ": another thread: the last ");
    buf_put_u64(out, count);
    buf_put_text(out, " of ");
    buf_put_u64(out, flight->count);
    buf_put_text(out, " events, the newest last\n");
}

static void print_one(int fd, uint16_t number, const struct flight *flight, bool own)
{
    uint8_t memory[4096];
    struct buf out = buf_of(memory, sizeof memory);
    uint32_t held = flight_held(flight), most = own ? atomic_load(&own_events_max) : OTHERS_EVENTS_MAX;
    uint32_t count = held < most ? held : most;
    put_head(&out, number, count, flight, own);
    uint64_t newest_ms = count == 0 ? 0 : flight_event_at(flight, 0)->ms;
    for (uint32_t age = count; age-- > 0;) {
        if (out.capacity - out.used < FLIGHT_LINE_BYTES_MAX + sizeof "flight 65535: \n") {
            dying_write(fd, buf_slice(&out));
            buf_reset(&out);
        }
        buf_put_text(&out, "flight ");
        buf_put_u64(&out, number);
        buf_put_text(&out, ": ");
        flight_put(flight_event_at(flight, age), newest_ms, &out);
        buf_put_byte(&out, '\n');
    }
    dying_write(fd, buf_slice(&out));
}

static void print_those(int fd, bool own)
{
    pid_t self = gettid();
    for (uint16_t i = 0; i < SHARDS_MAX; i++) {
        const struct flight *flight = atomic_load(&recorders[i].flight);
        if (flight != NULL && (atomic_load(&recorders[i].thread) == self) == own)
            print_one(fd, i, flight, own);
    }
}

void crash_print(int fd)
{
    print_those(fd, false);
    print_those(fd, true);
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

/* The signal's former action is put back and meets it when the handler returns: a fault of the machine happens again at
 * the same instruction, a signal that somebody sent is sent again. */
static void on_fatal(int number, siginfo_t *info, void *context)
{
    (void)context;
    while (atomic_flag_test_and_set(&dying))
        pause(); /* another thread is at it and ends the process */
    for (size_t i = 0; i < FATAL_COUNT; i++)
        sigaction(fatal[i], &before[i], NULL);
    dying_begin();
    log_writer_flush(FLUSH_MS);
    crash_print(STDERR_FILENO);
    if (info->si_code <= 0)
        raise(number);
}

void crash_install(uint32_t events_max)
{
    struct sigaction action = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    atomic_store(&own_events_max, events_max);
    for (size_t i = 0; i < FATAL_COUNT; i++)
        check(sigaction(fatal[i], &action, &before[i]) == 0);
}

/* Sanitizers have given their threads such a stack already, and count on it. */
static void give_stack(uint8_t *memory)
{
    stack_t now;
    stack_t stack = {.ss_sp = memory, .ss_size = STACK_BYTES};
    if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0)
        check(sigaltstack(&stack, NULL) == 0);
}

void crash_register(uint16_t number, const struct flight *flight)
{
    check_op(number, <, SHARDS_MAX);
    give_stack(stacks[number]);
    atomic_store(&recorders[number].thread, gettid());
    atomic_store(&recorders[number].flight, flight);
}

void crash_forget(uint16_t number)
{
    check_op(number, <, SHARDS_MAX);
    atomic_store(&recorders[number].flight, NULL);
}
