/* SPDX-License-Identifier: MIT */
/* Proves what the load client knows of its jobs: which faults it finds, and what it times. Run by unit_bench. */
#include "bench/bench_ledger.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define BYTES 100

static struct ledger ledger;

static struct slice payload_of(uint32_t job)
{
    static uint8_t memory[BYTES];
    struct buf out = buf_of(memory, sizeof memory);
    ledger_put_payload(&ledger, job, &out);
    cr_assert(!out.overflow);
    return buf_slice(&out);
}

static void begin(void)
{
    cr_assert_eq(ledger_init(&ledger, BYTES, 7), 0);
}

/* From the submission to its acknowledgement. */
static uint32_t submit(const char *id, uint64_t now_ns)
{
    uint32_t job = ledger_submit(&ledger, now_ns);
    cr_assert(ledger_acknowledge(&ledger, job, slice_text(id), now_ns + 10));
    return job;
}

static void work(uint32_t job, const char *id, uint64_t now_ns)
{
    cr_assert_eq(ledger_assign(&ledger, payload_of(job)), job);
    ledger_complete(&ledger, job, now_ns);
    ledger_finish(&ledger, job);
    cr_assert(ledger_notify(&ledger, job, slice_text(id), now_ns + 5));
}

static uint64_t faults(void)
{
    ledger_close(&ledger);
    const struct ledger_faults *found = &ledger.faults;
    return found->lost + found->doubled + found->altered + found->unasked;
}

Test(bench_ledger, a_job_that_goes_its_way_once_is_no_fault, .init = begin)
{
    work(submit("job-a", 100), "job-a", 200);
    cr_assert_eq(faults(), 0);
    cr_assert_eq(ledger.acknowledged, 1);
    cr_assert_eq(ledger.assigned, 1);
    cr_assert_eq(ledger.finished, 1);
    cr_assert_eq(ledger.notified, 1);
    cr_assert_eq(ledger.ack_ns.max, 10);
    cr_assert_eq(ledger.notified_ns.max, 5);
    cr_assert_eq(ledger.whole_ns.max, 105);
    ledger_free(&ledger);
}

Test(bench_ledger, payloads_differ_and_have_the_size_that_was_asked_for, .init = begin)
{
    uint8_t first[BYTES];
    struct slice payload = payload_of(0);
    cr_assert_eq(payload.bytes, BYTES);
    memcpy(first, payload.data, BYTES);
    cr_assert(!slice_equal(slice_of(first, BYTES), payload_of(1)));
    cr_assert_eq(payload_of(4294967294U).bytes, BYTES);
    ledger_free(&ledger);
}

Test(bench_ledger, who_is_told_first_counts_before_and_after_the_acknowledgement, .init = begin)
{
    uint32_t job = ledger_submit(&ledger, 100);
    cr_assert(ledger_available(&ledger, slice_text("job-a"), 107));
    cr_assert(ledger_available(&ledger, slice_text("job-a"), 108));
    cr_assert_eq(ledger.available_ns.total, 0);
    cr_assert(ledger_acknowledge(&ledger, job, slice_text("job-a"), 110));
    cr_assert_eq(ledger.available_ns.total, 1);
    cr_assert_eq(ledger.available_ns.max, 7);
    submit("job-b", 200);
    cr_assert(ledger_available(&ledger, slice_text("job-b"), 230));
    cr_assert_eq(ledger.available_ns.total, 2);
    cr_assert_eq(ledger.available_ns.max, 30);
    ledger_free(&ledger);
}

Test(bench_ledger, an_acknowledged_job_without_an_end_is_lost, .init = begin)
{
    submit("job-a", 100);
    cr_assert_eq(ledger_submit(&ledger, 100), 1); /* never acknowledged: nothing was promised */
    ledger_close(&ledger);
    cr_assert_eq(ledger.faults.lost, 1);
    ledger_free(&ledger);
}

Test(bench_ledger, an_end_of_which_only_one_side_knows_is_lost, .init = begin)
{
    uint32_t job = submit("job-a", 100);
    cr_assert_eq(ledger_assign(&ledger, payload_of(job)), job);
    ledger_complete(&ledger, job, 200);
    cr_assert(ledger_notify(&ledger, job, slice_text("job-a"), 210));
    ledger_close(&ledger);
    cr_assert_eq(ledger.faults.lost, 1);
    ledger_free(&ledger);
}

Test(bench_ledger, what_comes_twice_is_doubled, .init = begin)
{
    uint32_t job = submit("job-a", 100);
    work(job, "job-a", 200);
    cr_assert_eq(ledger_assign(&ledger, payload_of(job)), job);
    cr_assert_eq(ledger.faults.doubled, 1);
    cr_assert(!ledger_notify(&ledger, job, slice_text("job-a"), 300));
    cr_assert_eq(ledger.faults.doubled, 2);
    submit("job-a", 400); /* another one with the same id */
    cr_assert_eq(ledger.faults.doubled, 3);
    cr_assert_eq(ledger.notified, 1);
    ledger_free(&ledger);
}

Test(bench_ledger, any_other_byte_of_a_payload_is_altered, .init = begin)
{
    uint8_t bytes[BYTES + 1];
    uint32_t job = submit("job-a", 100);
    for (size_t i = strlen("{\"job\":0"); i < BYTES; i++) {
        memcpy(bytes, payload_of(job).data, BYTES);
        bytes[i] ^= 1;
        cr_assert_eq(ledger_assign(&ledger, slice_of(bytes, BYTES)), LEDGER_NONE, "byte %zu", i);
    }
    memcpy(bytes, payload_of(job).data, BYTES);
    bytes[BYTES] = '}';
    cr_assert_eq(ledger_assign(&ledger, slice_of(bytes, BYTES + 1)), LEDGER_NONE);
    cr_assert_eq(ledger_assign(&ledger, slice_of(bytes, BYTES - 1)), LEDGER_NONE);
    cr_assert_eq(ledger.faults.altered + ledger.faults.unasked, BYTES - strlen("{\"job\":0") + 2);
    cr_assert_eq(ledger.assigned, 0);
    ledger_free(&ledger);
}

Test(bench_ledger, jobs_of_others_and_results_of_other_jobs_are_found, .init = begin)
{
    cr_assert_eq(ledger_assign(&ledger, slice_text("{}")), LEDGER_NONE);
    cr_assert_eq(ledger_assign(&ledger, slice_text("{\"job\":99999999999999999999}")), LEDGER_NONE);
    cr_assert_eq(ledger_assign(&ledger, payload_of(3)), LEDGER_NONE);
    cr_assert_eq(ledger.faults.unasked, 3);
    uint32_t job = submit("job-a", 100);
    cr_assert(!ledger_notify(&ledger, job, slice_text("job-a"), 150)); /* before anybody has done it */
    ledger_complete(&ledger, job, 200);
    cr_assert(!ledger_notify(&ledger, job, slice_text("job-b"), 210));
    cr_assert(!ledger_notify(&ledger, UINT64_MAX, slice_text("job-a"), 210));
    cr_assert_eq(ledger.faults.altered, 2);
    cr_assert_eq(ledger.faults.unasked, 4);
    ledger_free(&ledger);
}

Test(bench_ledger, ids_that_cannot_be_kept_are_refused, .init = begin)
{
    uint32_t job = ledger_submit(&ledger, 100);
    cr_assert(!ledger_acknowledge(&ledger, job, slice_text(""), 110));
    cr_assert(!ledger_acknowledge(&ledger, job, slice_text("job-1234567890123456789012345678901234567"), 110));
    cr_assert(ledger_acknowledge(&ledger, job, slice_text("job-123456789012345678901234567890123456"), 110));
    ledger_free(&ledger);
}
