/* SPDX-License-Identifier: MIT */
/* Proves what the load client counts with: receivers per message, ends per close code, memory from the text of /proc.
 * Run by unit_bench. */
#include "bench/bench_arrivals.h"
#include "bench/bench_ends.h"
#include "bench/bench_memory.h"

#include <criterion/criterion.h>

Test(bench_arrivals, the_last_of_all_receivers_is_told_once)
{
    struct arrival slots[4] = {0};
    cr_assert_not(arrivals_count(slots, 4, 0, 3));
    cr_assert_not(arrivals_count(slots, 4, 1, 3), "the next message has a count of its own");
    cr_assert_not(arrivals_count(slots, 4, 0, 3));
    cr_assert(arrivals_count(slots, 4, 0, 3));
    cr_assert_not(arrivals_count(slots, 4, 0, 3), "more than all are not the last again");
}

Test(bench_arrivals, a_message_that_fell_behind_neither_completes_nor_disturbs)
{
    struct arrival slots[4] = {0};
    arrivals_count(slots, 4, 1, 2);
    cr_assert_not(arrivals_count(slots, 4, 5, 2), "takes the slot over");
    cr_assert_not(arrivals_count(slots, 4, 1, 2), "its slot is gone");
    cr_assert(arrivals_count(slots, 4, 5, 2));
}

Test(bench_arrivals, shares_of_threads_count_alike)
{
    _Atomic uint64_t slots[4] = {0};
    cr_assert_not(arrivals_count_shared(slots, 4, 2, 2));
    cr_assert_not(arrivals_count_shared(slots, 4, 6, 2));
    cr_assert_not(arrivals_count_shared(slots, 4, 2, 2), "its slot is gone");
    cr_assert(arrivals_count_shared(slots, 4, 6, 2));
}

Test(bench_arrivals, slots_hold_a_burst_and_keep_to_the_budget_of_many_streams)
{
    cr_assert_eq(arrivals_slots(1, 1), ARRIVALS_SLOTS_MAX);
    cr_assert_eq(arrivals_slots(1, ARRIVALS_SLOTS_MAX + 1), 2 * ARRIVALS_SLOTS_MAX);
    cr_assert_eq(arrivals_slots(UINT64_C(1) << 30, 1), ARRIVALS_SLOTS_MIN);
    cr_assert_eq(arrivals_slots(UINT64_C(1) << 30, 100), 128);
    cr_assert_eq(arrivals_slots(1024, 1), 1024);
}

Test(bench_ends, counts_by_code_and_merges)
{
    struct ends a = {0};
    struct ends b = {0};
    ends_add(&a, 1013, 2);
    ends_add(&a, ENDS_WITHOUT_CLOSE, 1);
    ends_add(&b, 1013, 5);
    ends_add(&b, 1001, 1);
    ends_merge(&a, &b);
    cr_assert_eq(a.used, 3);
    cr_assert_eq(a.rows[0].code, 1013);
    cr_assert_eq(a.rows[0].count, 7);
    cr_assert_eq(ends_total(&a), 9);
}

Test(bench_ends, codes_beyond_the_table_are_counted_together)
{
    struct ends ends = {0};
    for (uint16_t code = 3000; code < 3000 + ENDS_CODES_MAX + 3; code++)
        ends_add(&ends, code, 1);
    cr_assert_eq(ends.used, ENDS_CODES_MAX);
    cr_assert_eq(ends.others, 3);
    cr_assert_eq(ends_total(&ends), ENDS_CODES_MAX + 3);
}

Test(bench_memory, reads_fields_by_their_whole_name)
{
    static const char text[] = "5581-7ffc ---p 00000000 00:00 0  [rollup]\n"
                               "Rss:            1788 kB\nPss:             195 kB\nPss_Anon:         96 kB\n";
    cr_assert_eq(memory_field(text, "Rss"), UINT64_C(1788) * 1024);
    cr_assert_eq(memory_field(text, "Pss"), UINT64_C(195) * 1024);
    cr_assert_eq(memory_field(text, "Anon"), 0, "not the end of another name");
    cr_assert_eq(memory_field(text, "Swap"), 0);
}

Test(bench_memory, reads_the_pages_of_tcp_and_of_nothing_else)
{
    cr_assert_eq(memory_tcp_pages("sockets: used 119\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 31\nUDP: inuse 2 mem 9\n"),
                 31);
    cr_assert_eq(memory_tcp_pages("sockets: used 119\nTCP: inuse 5\nUDP: inuse 2 mem 9\n"), 0);
    cr_assert_eq(memory_tcp_pages("sockets: used 119\n"), 0);
}
