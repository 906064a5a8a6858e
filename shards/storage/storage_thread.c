/* SPDX-License-Identifier: MIT */
/* Owns the thread that ticks storage, its sleep and its doorbell.
 * It never looks into a request.
 * Called by the server at start and stop, and by shards when they have posted. */
#include "shards/storage/storage.h"

#include "core/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000U;
}

/* Waits until *word is no longer `value`, or for `ms` (0: without an end), or for no reason. */
static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t ms)
{
    struct timespec timeout = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ms == 0 ? NULL : &timeout, NULL, 0);
}

static void wake(struct storage *storage)
{
    if (atomic_exchange_explicit(&storage->asleep, 0, memory_order_acq_rel) == 0)
        return;
    (void)syscall(SYS_futex, &storage->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void storage_ring(struct storage *storage, uint16_t origin)
{
    struct storage_port *port = &storage->ports[origin];
    if (!port->must_ring)
        return;
    port->must_ring = false;
    /* Pairs with the fence in rest: either it sees the request, or we see it asleep. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&storage->asleep, memory_order_relaxed) != 0)
        wake(storage);
}

static void rest(struct storage *storage)
{
    uint64_t due = storage_wake_ms(storage), now = now_ms();
    if (due != 0 && due <= now)
        return;
    atomic_store_explicit(&storage->asleep, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (storage_is_quiet(storage) && !atomic_load_explicit(&storage->stopping, memory_order_relaxed))
        futex_wait(&storage->asleep, 1, due == 0 ? 0 : due - now);
    if (atomic_exchange_explicit(&storage->asleep, 0, memory_order_acq_rel) == 0)
        atomic_fetch_add_explicit(&storage->counts[STORAGE_WAKES], 1, memory_order_relaxed);
}

/* What was posted before the stop is in the rings when `stopping` is seen. */
static void run(void *argument)
{
    struct storage *storage = argument;
    for (;;) {
        bool stopping = atomic_load_explicit(&storage->stopping, memory_order_acquire);
        while (storage_tick(storage, now_ms())) {
        }
        if (stopping)
            return;
        rest(storage);
    }
}

int storage_start(struct storage *storage, int core)
{
    atomic_store_explicit(&storage->stopping, false, memory_order_relaxed);
    return thread_start(&storage->thread, "storage", core, run, storage);
}

void storage_stop(struct storage *storage)
{
    atomic_store_explicit(&storage->stopping, true, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    wake(storage);
    thread_join(&storage->thread);
}
