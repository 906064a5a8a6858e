/* SPDX-License-Identifier: MIT */
/* Owns the filters of system calls, the handler of what they refuse, and the notes about it. It never allocates and
 * never ends the process. Its notes are mutable state of the process, as the log's are: a filter has no other place
 * to tell of. Called by thread.c for each thread, by the server for its own and for the words. */
#include "core/sandbox.h"

#include "core/check.h"
#include "core/log.h"
#include "core/poison.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#endif
#if defined(__x86_64__) && !POISON_ASAN && !POISON_MSAN && !defined(UNDER_TSAN)
#define SANDBOX_WORKS 1
#else
#define SANDBOX_WORKS 0
#endif

#define NUMBERS 512U /* of calls that are told apart in the notes; the last stands for all beyond */

static _Atomic uint64_t refused;                                /* calls */
static _Atomic uint64_t seen[NUMBERS / 64], said[NUMBERS / 64]; /* a bit for each number */

uint64_t sandbox_refused(void)
{
    return atomic_load_explicit(&refused, memory_order_relaxed);
}

void sandbox_say(void)
{
    for (uint32_t i = 0; i < NUMBERS / 64; i++) {
        uint64_t now = atomic_load_explicit(&seen[i], memory_order_relaxed);
        uint64_t fresh = now & ~atomic_load_explicit(&said[i], memory_order_relaxed);
        if (fresh == 0)
            continue;
        fresh &= ~atomic_fetch_or_explicit(&said[i], fresh, memory_order_relaxed);
        for (; fresh != 0; fresh &= fresh - 1) {
            struct log_line line;
            log_begin(&line, LOG_ERROR, "system call refused");
            log_u64(&line, "number", i * 64 + (uint32_t)__builtin_ctzll(fresh));
            log_text(&line, "hint", "not in the list of any thread that made it; if it is harmless: sandbox: off");
            log_end(&line);
        }
    }
}

#if SANDBOX_WORKS

enum list {
    LIST_MEMORY,
    LIST_START,
    LIST_END,
    LIST_SHARD,
    LIST_RINGCAST,
    LIST_LOG,
    LIST_DEPOT,
    LIST_STORAGE,
    LIST_OFFLOAD,
    LIST_RELOAD,
    LIST_FINISH,
    LIST_DYING,
    LIST_SEED,
};

#define OF(list) (1U << LIST_##list)

static const struct {
    const char *name;
    uint32_t lists;
} threads[] = {
#define THREAD(id, name, lists, filter_only) {name, OF(id) | (lists) | (filter_only)},
#define CALL(list, call, why)
#include "core/sandbox.def"
#undef CALL
#undef THREAD
};
#define THREADS (sizeof threads / sizeof threads[0])

static const struct {
    uint32_t list, number;
} calls[] = {
#define THREAD(id, name, lists, filter_only)
#define CALL(list, call, why) {OF(list), SYS_##call},
#include "core/sandbox.def"
#undef CALL
#undef THREAD
};
#define CALLS (sizeof calls / sizeof calls[0])

#ifdef RINGCAST_TLS_PACKAGED
#define SEEDS_FROM_FILE true
#else
#define SEEDS_FROM_FILE false
#endif
#define STEPS_MAX (8 + 6 * CALLS)

static _Atomic bool on;
static pid_t process; /* once on */

/* glibc looks once whether it may give a part of an arena back, and goes on when it may not look. */
static bool is_of_the_allocator(const siginfo_t *info, const ucontext_t *at)
{
    return info->si_syscall == SYS_openat &&
           strcmp((const char *)at->uc_mcontext.gregs[REG_RSI], "/proc/sys/vm/overcommit_memory") == 0;
}

/* The call has not been made; it returns -EPERM where it was. */
static void on_refused(int number, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    uint32_t call = (uint32_t)info->si_syscall < NUMBERS ? (uint32_t)info->si_syscall : NUMBERS - 1;
    (void)number;
    at->uc_mcontext.gregs[REG_RAX] = -EPERM;
    if (is_of_the_allocator(info, at))
        return;
    atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&seen[call / 64], UINT64_C(1) << call % 64, memory_order_relaxed);
}

#define SMALL (100U << 10) /* bytes: below what malloc maps by itself */
#define ENOUGH 32          /* of them are beyond what malloc keeps at the end of a heap */

/* A thread of its own has a heap of its own. */
static void *shrink_a_heap(void *argument)
{
    void *volatile blocks[ENOUGH]; /* or the compiler leaves them out */
    for (unsigned i = 0; i < ENOUGH; i++)
        blocks[i] = malloc(SMALL);
    for (unsigned i = 0; i < ENOUGH; i++)
        free(blocks[i]);
    return argument;
}

/* When glibc's malloc gives memory of a thread's heap back for the first time it reads how the system overcommits, from
 * a file, and remembers that for the process. Here it may. */
static void let_malloc_ask(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, shrink_a_heap, NULL) == 0)
        pthread_join(thread, NULL);
}

int sandbox_begin(void)
{
    uint32_t trap = SECCOMP_RET_TRAP;
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) != 0)
        return errno == ENOSYS || errno == EINVAL ? -ENOTSUP : -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    check(sigaction(SIGSYS, &action, NULL) == 0);
    let_malloc_ask();
    process = getpid();
    atomic_store(&on, true);
    return 0;
}

struct program {
    struct sock_filter steps[STEPS_MAX];
    uint16_t count;
};

static void put(struct program *program, uint16_t code, uint32_t operand, uint8_t if_true, uint8_t if_false)
{
    check_op(program->count, <, STEPS_MAX);
    program->steps[program->count++] = (struct sock_filter){code, if_true, if_false, operand};
}

#define LOAD (BPF_LD | BPF_W | BPF_ABS)
#define RETURN (BPF_RET | BPF_K)
#define IS_EQUAL (BPF_JMP | BPF_JEQ | BPF_K)
#define HAS_BITS (BPF_JMP | BPF_JSET | BPF_K)
#define LOW_HALF_OF(argument) (uint32_t) offsetof(struct seccomp_data, args[argument])

/* Allowed where the number is loaded, or for what needs a look at its arguments, as far as they are right. */
static void put_call(struct program *program, uint32_t number)
{
    bool maps = number == SYS_mmap || number == SYS_mprotect, signals = number == SYS_tgkill;
    if (!maps && !signals) {
        put(program, IS_EQUAL, number, 0, 1);
        put(program, RETURN, SECCOMP_RET_ALLOW, 0, 0);
        return;
    }
    put(program, IS_EQUAL, number, 0, 4);
    put(program, LOAD, LOW_HALF_OF(maps ? 2 : 0), 0, 0);
    if (maps)
        put(program, HAS_BITS, PROT_EXEC, 1, 0);
    else
        put(program, IS_EQUAL, (uint32_t)process, 0, 1);
    put(program, RETURN, SECCOMP_RET_ALLOW, 0, 0);
    put(program, RETURN, SECCOMP_RET_TRAP, 0, 0);
}

static void build(struct program *program, uint32_t lists)
{
    program->count = 0;
    put(program, LOAD, (uint32_t)offsetof(struct seccomp_data, arch), 0, 0);
    put(program, IS_EQUAL, AUDIT_ARCH_X86_64, 1, 0);
    put(program, RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0); /* the numbers mean other calls */
    put(program, LOAD, (uint32_t)offsetof(struct seccomp_data, nr), 0, 0);
    for (size_t i = 0; i < CALLS; i++)
        if ((calls[i].list & lists) != 0)
            put_call(program, calls[i].number);
    put(program, RETURN, SECCOMP_RET_TRAP, 0, 0);
}

static uint32_t lists_of(const char *name)
{
    size_t bytes = strcspn(name, "-");
    for (size_t i = 0; i < THREADS; i++)
        if (strlen(threads[i].name) == bytes && memcmp(threads[i].name, name, bytes) == 0)
            return threads[i].lists;
    return 0;
}

int sandbox_enter(const char *name)
{
    struct program program;
    if (!atomic_load(&on))
        return 0;
    uint32_t lists = lists_of(name);
    check_op(lists, !=, 0);
    build(&program, SEEDS_FROM_FILE ? lists : lists & ~OF(SEED));
    struct sock_fprog filter = {.len = program.count, .filter = program.steps};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0 ? 0 : -errno;
}

#else

int sandbox_begin(void)
{
    return -ENOTSUP;
}

int sandbox_enter(const char *name)
{
    (void)name;
    return 0;
}

#endif
