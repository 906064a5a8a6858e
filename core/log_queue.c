/* SPDX-License-Identifier: MIT */
/* Owns the ring of bytes between those who log and the thread that writes: who takes which cells, and when they may
 * be read. It never waits, allocates or calls the kernel: a full ring is the caller's to count. Called by log_writer.
 *
 * A record is a cell with the length of the line and then the line, eight bytes a cell, around the end of the ring. A
 * producer takes cells by moving `tail`, fills them, and writes the length last: a length of 0 says "not yet". The
 * reader writes zeros over what it gives back before it moves `head`, so whatever cell a record begins in, its length
 * is 0 until it is there. */
#include "core/log_queue.h"

#include "core/check.h"

static uint64_t cells_of(size_t bytes)
{
    return 1 + (bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

static _Atomic uint64_t *cell(struct log_queue *queue, uint64_t number)
{
    return &queue->cells[number % LOG_QUEUE_CELLS];
}

bool log_queue_put(struct log_queue *queue, struct slice line)
{
    check(line.bytes > 0 && line.bytes <= LOG_QUEUE_LINE_BYTES_MAX);
    uint64_t count = cells_of(line.bytes), at = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    do {
        if (at + count - atomic_load_explicit(&queue->head, memory_order_acquire) > LOG_QUEUE_CELLS)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&queue->tail, &at, at + count, memory_order_relaxed,
                                                    memory_order_relaxed));
    for (uint64_t i = 1; i < count; i++) {
        size_t from = (i - 1) * sizeof(uint64_t), left = line.bytes - from;
        uint64_t bytes = 0;
        memcpy(&bytes, line.data + from, left < sizeof bytes ? left : sizeof bytes);
        atomic_store_explicit(cell(queue, at + i), bytes, memory_order_relaxed);
    }
    atomic_store_explicit(cell(queue, at), line.bytes, memory_order_release);
    return true;
}

size_t log_queue_peek(struct log_queue *queue, uint8_t *out)
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    size_t length = atomic_load_explicit(cell(queue, head), memory_order_acquire);
    for (size_t from = 0; from < length; from += sizeof(uint64_t)) {
        uint64_t bytes = atomic_load_explicit(cell(queue, head + 1 + from / sizeof bytes), memory_order_relaxed);
        memcpy(out + from, &bytes, length - from < sizeof bytes ? length - from : sizeof bytes);
    }
    return length;
}

void log_queue_drop(struct log_queue *queue)
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint64_t count = cells_of(atomic_load_explicit(cell(queue, head), memory_order_relaxed));
    check_op(count, >, 1);
    for (uint64_t i = 0; i < count; i++)
        atomic_store_explicit(cell(queue, head + i), 0, memory_order_relaxed);
    atomic_store_explicit(&queue->head, head + count, memory_order_release);
}

bool log_queue_is_empty(struct log_queue *queue)
{
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    return head == atomic_load_explicit(&queue->tail, memory_order_acquire);
}
