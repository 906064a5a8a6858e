/* SPDX-License-Identifier: MIT */
/* Sends of the ring over io_uring: one, in batches, as vectors, cancelled, and without a copy. Run by unit_core. */
#include "tests/unit/core/uring_rig.h"

Test(ring_uring, a_send_is_pending_until_all_is_taken)
{
    const size_t bytes = 1 << 20;
    uint8_t *data = make_pattern(bytes);
    uint8_t *seen = calloc(1, bytes);
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, data, (uint32_t)bytes), 0);
        expect_silence(server.ring);
        for (size_t done = 0; done < bytes;) {
            ssize_t n = recv(client, seen + done, bytes - done, MSG_DONTWAIT);
            cr_assert(n > 0 || (n < 0 && errno == EAGAIN));
            if (n > 0)
                done += (size_t)n;
            else
                cr_assert_eq(ring_wait(server.ring, 10 * MS),
                             0); /* the kernel goes on with a send when the owner enters */
        }
        cr_assert_arr_eq(seen, data, bytes);
        cr_assert_eq(await(server.ring, RING_SEND).result, (int32_t)bytes);
        close_one(server.ring, socket, false);
        close(client);
        stop(&server);
    }
    free(data);
    free(seen);
}

#define BATCH 70 /* more than the submission queue holds */

/* Takes so many ends of sends, in the order in which they come; `from` is the index of the first one's tag. */
static void await_sent(struct ring *ring, uint32_t count, uint32_t from, int32_t result)
{
    struct ring_sent sent[BATCH];
    uint32_t taken = 0;
    for (int waited = 0; waited < PATIENCE_MS && taken < count; waited += 100) {
        for (uint32_t part; (part = ring_next_sent(ring, sent, count - taken)) > 0; taken += part) {
            for (uint32_t i = 0; i < part; i++) {
                cr_assert_eq(sent[i].tag.index, from + taken + i);
                cr_assert_eq(sent[i].tag.generation, ~(from + taken + i));
                cr_assert_eq(sent[i].result, result);
            }
        }
        if (taken < count)
            cr_assert_eq(ring_wait(ring, 100 * MS), 0);
    }
    cr_assert_eq(taken, count);
}

Test(ring_uring, a_batch_of_sends_larger_than_the_queue_begins_whole_and_in_order)
{
    BOTH(direct)
    {
        struct server server = start(direct, BATCH + 1, 4);
        struct ring_send sends[BATCH];
        int clients[BATCH];
        uint8_t *data = make_pattern(BATCH + 8), seen[8];
        for (uint32_t i = 0; i < BATCH; i++) {
            clients[i] = dial(server.port);
            sends[i] = (struct ring_send){
                .tag = {.index = i, .generation = ~i}, .data = slice_of(data + i, 8), .socket = accept_one(&server)};
        }
        cr_assert_eq(ring_begin_sends(server.ring, sends, BATCH), BATCH);
        await_sent(server.ring, BATCH, 0, 8);
        for (uint32_t i = 0; i < BATCH; i++) {
            read_exactly(clients[i], seen, sizeof seen);
            cr_assert_arr_eq(seen, data + i, sizeof seen);
            close(clients[i]);
            close_one(server.ring, sends[i].socket, false);
        }
        struct ring_counters counters;
        ring_counters_read(server.ring, &counters);
        cr_assert_eq(counters.submitted[RING_SEND], BATCH);
        cr_assert_gt(counters.queue_full, 0);
        stop(&server);
        free(data);
    }
}

/* Batches of three meet the end of both queues (64 and 256 entries) at every place. */
Test(ring_uring, a_batch_of_sends_goes_around_the_end_of_both_queues)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        struct ring_send sends[3];
        int clients[3];
        uint8_t seen[2];
        for (uint32_t i = 0; i < 3; i++) {
            clients[i] = dial(server.port);
            sends[i].socket = accept_one(&server);
        }
        for (uint32_t n = 0; n < 300; n++) {
            const uint8_t text[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
            for (uint32_t i = 0; i < 3; i++) {
                sends[i].tag = (struct ring_tag){.index = 3 * n + i, .generation = ~(3 * n + i)};
                sends[i].data = slice_of(text, sizeof text);
            }
            cr_assert_eq(ring_begin_sends(server.ring, sends, 3), 3);
            await_sent(server.ring, 3, 3 * n, sizeof text);
            for (uint32_t i = 0; i < 3; i++) {
                read_exactly(clients[i], seen, sizeof seen);
                cr_assert_arr_eq(seen, text, sizeof text);
            }
        }
        for (uint32_t i = 0; i < 3; i++) {
            close_one(server.ring, sends[i].socket, false);
            close(clients[i]);
        }
        stop(&server);
    }
}

Test(ring_uring, the_ends_of_sends_are_taken_up_to_what_else_has_come)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        struct ring_sent sent[2];
        struct ring_completion completion;
        cr_assert_eq(ring_next_sent(server.ring, sent, 2), 0);
        cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, "x", 1), 0);
        cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
        cr_assert_eq(ring_begin_cancel_op(server.ring, socket, conn_tag, RING_RECEIVE), 0); /* ends at once */
        cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
        cr_assert_eq(ring_next_sent(server.ring, sent, 2), 1);
        cr_assert_eq(sent[0].tag.index, conn_tag.index);
        cr_assert_eq(sent[0].tag.generation, conn_tag.generation);
        cr_assert_eq(sent[0].result, 1);
        cr_assert_eq(ring_next_sent(server.ring, sent, 2), 0);
        cr_assert(ring_next(server.ring, &completion));
        cr_assert_eq(completion.op, RING_CANCEL);
        close_one(server.ring, socket, false);
        close(client);
        stop(&server);
    }
}

Test(ring_uring, vectors_are_gathered_and_their_arrays_free_after_the_submit)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        char one[] = "one ", two[] = "two ", three[] = "three";
        struct iovec vector[3] = {{one, 4}, {two, 4}, {three, 5}};
        cr_assert_eq(ring_begin_send_vector(server.ring, socket, conn_tag, vector, 3), 0);
        cr_assert_eq(ring_submit(server.ring), 1);
        memset(vector, 0xff, sizeof vector);
        cr_assert_eq(await(server.ring, RING_SEND).result, 13);
        uint8_t seen[13];
        read_exactly(client, seen, sizeof seen);
        cr_assert_arr_eq(seen, "one two three", 13);
        close_one(server.ring, socket, false);
        close(client);
        stop(&server);
    }
}

Test(ring_uring, a_cancelled_send_tells_what_was_taken)
{
    const size_t bytes = 8 << 20;
    uint8_t *data = make_pattern(bytes);
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        int client = dial(server.port);
        uint32_t socket = accept_one(&server);
        cr_assert_eq(ring_arm_receive(server.ring, socket, conn_tag), 0);
        cr_assert_eq(ring_begin_send(server.ring, socket, conn_tag, data, (uint32_t)bytes), 0);
        expect_silence(server.ring);
        cr_assert_eq(ring_begin_cancel(server.ring, socket, conn_tag), 0);

        int32_t results[RING_OPS] = {0};
        for (int i = 0; i < 3; i++) {
            struct ring_completion completion;
            while (!ring_next(server.ring, &completion))
                cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            cr_assert_not(completion.more);
            results[completion.op] = completion.result;
        }
        cr_assert_eq(results[RING_CANCEL], 2);
        cr_assert_eq(results[RING_RECEIVE], -ECANCELED);
        cr_assert_gt(results[RING_SEND], 0);
        cr_assert_lt(results[RING_SEND], (int32_t)bytes);
        close_one(server.ring, socket, true);
        close(client);
        stop(&server);
    }
    free(data);
}

/* --- sends without a copy ----------------------------------------------------------------------------------------- */

static const struct ring_tag memory_tag = {.index = 9, .generation = 5};

static struct ring_completion await_memory(struct ring *ring)
{
    struct ring_completion completion = await(ring, RING_SEND_ZERO_COPY);
    cr_assert_eq(completion.tag.index, memory_tag.index);
    cr_assert_eq(completion.tag.generation, memory_tag.generation);
    return completion;
}

/* On the loopback device the kernel copies in the end, and says so. */
Test(ring_uring, a_send_without_a_copy_gives_its_memory_back_and_tells_of_a_copy)
{
    BOTH(direct) for (uint32_t pieces = 1; pieces <= 3; pieces += 2)
    {
        struct server server = start(direct, 8, 4);
        if (!ring_has_zero_copy(server.ring)) {
            stop(&server);
            cr_skip("Linux 6.2 is needed");
        }
        int fd = dial(server.port);
        uint32_t socket = accept_one(&server);
        uint8_t *data = make_pattern(9000), got[9000];
        const struct iovec vector[3] = {{data, 3000}, {data + 3000, 3000}, {data + 6000, 3000}};
        uint32_t bytes = pieces * 3000;
        cr_assert_eq(ring_begin_send_zero_copy(server.ring, socket, memory_tag, vector, pieces), 0);
        struct ring_completion result = await_memory(server.ring);
        cr_assert_eq(result.result, (int)bytes);
        cr_assert(result.more);
        read_exactly(fd, got, bytes);
        cr_assert_arr_eq(got, data, bytes);
        struct ring_completion back = await_memory(server.ring);
        cr_assert_not(back.more);
        cr_assert_eq(back.result, RING_COPIED);
        close_one(server.ring, socket, true);
        close(fd);
        free(data);
        stop(&server);
    }
}

Test(ring_uring, a_stalled_peer_keeps_the_memory_until_its_connection_is_reset)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        if (!ring_has_zero_copy(server.ring)) {
            stop(&server);
            cr_skip("Linux 6.2 is needed");
        }
        int fd = dial(server.port);
        uint32_t socket = accept_one(&server);
        const size_t bytes = 4 << 20;
        uint8_t *data = make_pattern(bytes);
        const struct iovec one = {.iov_base = data, .iov_len = bytes};
        cr_assert_eq(ring_begin_send_zero_copy(server.ring, socket, memory_tag, &one, 1), 0);
        expect_silence(server.ring);
        cr_assert_eq(ring_begin_cancel_zero_copy(server.ring, socket, conn_tag, memory_tag), 0);
        struct ring_completion completion;
        bool result = false, cancelled = false;
        for (int waited = 0; waited < PATIENCE_MS && !(result && cancelled); waited += 100) {
            cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            while (ring_next(server.ring, &completion)) {
                result |= completion.op == RING_SEND_ZERO_COPY && completion.more;
                cancelled |= completion.op == RING_CANCEL && completion.result == 1;
                cr_assert(completion.op != RING_SEND_ZERO_COPY || (uint32_t)completion.result < bytes);
            }
        }
        cr_assert(result && cancelled);
        expect_silence(server.ring);
        cr_assert_eq(ring_begin_close(server.ring, socket, conn_tag, true), 0);
        bool closed = false, back = false;
        for (int waited = 0; waited < PATIENCE_MS && !(closed && back); waited += 100) {
            cr_assert_eq(ring_wait(server.ring, 100 * MS), 0);
            while (ring_next(server.ring, &completion)) {
                closed |= completion.op == RING_CLOSE;
                back |= completion.op == RING_SEND_ZERO_COPY && !completion.more;
            }
        }
        cr_assert(closed && back);
        close(fd);
        free(data);
        stop(&server);
    }
}

Test(ring_uring, sends_from_registered_memory)
{
    BOTH(direct)
    {
        struct server server = start(direct, 8, 4);
        if (!ring_has_zero_copy(server.ring)) {
            stop(&server);
            cr_skip("Linux 6.2 is needed");
        }
        int fd = dial(server.port);
        uint32_t socket = accept_one(&server);
        uint8_t *memory = aligned_alloc(4096, 65536), got[8000];
        cr_assert_not_null(memory);
        for (size_t i = 0; i < 65536; i++)
            memory[i] = pattern(i);
        cr_assert_eq(ring_register_memory(server.ring, 2, memory, 65536), -ENOSPC);
        cr_assert_eq(ring_register_memory(server.ring, 1, memory, 65536), 0);
        for (size_t at = 1; at < 60000; at += 9000) { /* across pages, anywhere */
            cr_assert_eq(ring_begin_send_registered(server.ring, socket, memory_tag, memory + at, sizeof got, 1), 0);
            struct ring_completion result = await_memory(server.ring);
            cr_assert_eq(result.result, (int)sizeof got);
            cr_assert(result.more);
            read_exactly(fd, got, sizeof got);
            cr_assert_arr_eq(got, memory + at, sizeof got);
            cr_assert_not(await_memory(server.ring).more);
        }
        close_one(server.ring, socket, true);
        close(fd);
        stop(&server);
        free(memory);
    }
}
