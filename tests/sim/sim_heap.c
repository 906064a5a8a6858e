/* SPDX-License-Identifier: MIT */
/* Owns the functions that the linker puts before those of the heap, the decision which calls fail, and the table of
 * sites. It never allocates. Called by the server's code in place of the heap, by the world around every turn, and by
 * the program for the sum. */
#include "tests/sim/sim_heap.h"

#include "core/check.h"
#include "core/clock.h"
#include "core/random.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SITES_MAX 1024
#define SEEN_OFTEN 200 /* a site that was reached so often must have failed */

struct site {
    _Atomic uintptr_t address; /* where the call returns to; 0: free */
    _Atomic uint64_t seen, failed;
};

extern const char __executable_start; /* the linker's */

static struct site *sites; /* a hash table, shared by the processes of a run */

static struct {
    struct sim_heap_plan plan;
    struct random random;
    bool on;
    uint32_t depth;
    uint32_t calls, failed;
    int64_t live;
    uint64_t until_ns;        /* all fail before */
    uint32_t left[SITES_MAX]; /* calls of each site until one fails, + 1; 0: none has come yet */
} heap;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *memory);

/* --- deciding ----------------------------------------------------------------------------------------------------- */

void sim_heap_init(void)
{
    void *memory = mmap(NULL, SITES_MAX * sizeof *sites, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED);
    sites = memory;
}

void sim_heap_begin(const struct sim_heap_plan *plan)
{
    heap.plan = *plan;
    heap.on = true;
    heap.calls = heap.failed = 0;
    heap.live = 0;
    heap.until_ns = 0;
    memset(heap.left, 0, sizeof heap.left);
    random_init(&heap.random, plan->seed);
}

void sim_heap_end(void)
{
    heap.on = false;
}

void sim_heap_enter(void)
{
    heap.depth++;
}

void sim_heap_leave(void)
{
    check_op(heap.depth, >, 0);
    heap.depth--;
}

uint32_t sim_heap_failed(void)
{
    return heap.failed;
}

int64_t sim_heap_live(void)
{
    return heap.live;
}

static struct site *site_of(uintptr_t address)
{
    for (uintptr_t at = address >> 2;; at++) {
        struct site *site = &sites[at % SITES_MAX];
        uintptr_t found = 0;
        if (atomic_compare_exchange_strong(&site->address, &found, address) || found == address)
            return site;
    }
}

/* Whether this is the call of its site that fails. */
static bool is_chosen(uint32_t *left)
{
    if (heap.plan.each == 0)
        return false;
    if (*left == 0)
        *left = 2 + (uint32_t)random_below(&heap.random, heap.plan.each);
    *left -= *left > 1;
    return *left == 1;
}

static bool decide(const struct site *site)
{
    uint64_t now = clock_monotonic_ns();
    heap.calls++;
    if (now < heap.until_ns)
        return true;
    if (heap.plan.at != 0 && heap.calls == heap.plan.at) {
        heap.until_ns = heap.plan.ns > UINT64_MAX - now ? UINT64_MAX : now + heap.plan.ns;
        return true;
    }
    uint32_t *left = &heap.left[site - sites];
    if (*left != 1 && is_chosen(left))
        return true;
    return heap.plan.chance > 0 && random_chance(&heap.random, 1, heap.plan.chance);
}

/* Whether this call fails. */
static bool fails(uintptr_t address)
{
    if (heap.depth == 0)
        return false;
    struct site *site = site_of(address);
    atomic_fetch_add_explicit(&site->seen, 1, memory_order_relaxed);
    if (!heap.on || !decide(site))
        return false;
    atomic_fetch_add_explicit(&site->failed, 1, memory_order_relaxed);
    heap.failed++;
    return true;
}

/* Counts a piece that the server has got. */
static void *got(void *memory)
{
    heap.live += heap.depth > 0 && memory != NULL;
    return memory;
}

#define CALLER ((uintptr_t)__builtin_return_address(0))

void *__wrap_malloc(size_t bytes)
{
    return fails(CALLER) ? NULL : got(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails(CALLER) ? NULL : got(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (fails(CALLER))
        return NULL;
    return memory == NULL ? got(__real_malloc(bytes)) : __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails(CALLER) ? NULL : got(__real_aligned_alloc(alignment, bytes));
}

void __wrap_free(void *memory)
{
    heap.live -= heap.depth > 0 && memory != NULL;
    __real_free(memory);
}

/* --- the sum ------------------------------------------------------------------------------------------------------ */

static bool lacks_failure(const struct site *site)
{
    return atomic_load(&site->failed) == 0 && atomic_load(&site->seen) >= SEEN_OFTEN;
}

bool sim_heap_is_whole(void)
{
    for (uint32_t i = 0; i < SITES_MAX; i++)
        if (lacks_failure(&sites[i]))
            return false;
    return true;
}

/* The site behind this address; NULL: there is none. Places in the table depend on which process was first. */
static const struct site *next_site(uintptr_t behind)
{
    const struct site *next = NULL;
    for (uint32_t i = 0; i < SITES_MAX; i++)
        if (sites[i].address > behind && (next == NULL || sites[i].address < next->address))
            next = &sites[i];
    return next;
}

bool sim_heap_print(bool all)
{
    uint32_t seen = 0, failed = 0;
    for (const struct site *site = next_site(0); site != NULL; site = next_site(site->address)) {
        uint64_t times = atomic_load(&site->seen), failures = atomic_load(&site->failed);
        seen += times > 0;
        failed += failures > 0;
        if (times > 0 && (all || lacks_failure(site))) /* the offset is what addr2line wants */
            printf("sim: allocation site %#zx: %llu calls, %llu failed\n",
                   (size_t)(site->address - (uintptr_t)&__executable_start), (unsigned long long)times,
                   (unsigned long long)failures);
    }
    printf("sim: allocations have failed at %u of %u sites\n", failed, seen);
    return sim_heap_is_whole();
}
