/* SPDX-License-Identifier: MIT */
/* Workers: registration, slots, life and death, and who is told of what waits (E-10 to E-12, E-19, E-20, E-45 to E-50,
 * E-60, Q-27, Q-28). Run by unit_protocol. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "tests/unit/protocol/dialects/emprops/hub_talk.h"

static struct pure_host host;

static void start(void)
{
    pure_init(&host, "emprops");
    pure_set(&host, "messages_max", "0");
    pure_start(&host);
}

/* Lets a worker ping, so that nothing but what the test wants ends. */
static void drop_pings(uint32_t conn)
{
    struct pure_conn *one = &host.conns[conn];
    while (one->inbox_read < one->inbox_count &&
           strcmp(member_of((const char *)one->inbox[one->inbox_read].data, "type"), "ping") == 0)
        one->inbox_read++;
}

Test(hub_workers, silent_for_two_intervals_are_dead)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    const char *job = submit(&host, 0, "");
    begin_job(&host, 1, 0, job);
    pure_advance(&host, 100000);
    say(&host, 1, "{\"type\":\"pong\"}"); /* any message is a sign of life */
    pure_advance(&host, 100000);
    say(&host, 1, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", job);
    pure_advance(&host, 119000);
    cr_assert(host.conns[1].open);
    pure_advance(&host, 1001);
    cr_assert_eq(host.conns[1].close_code, 1001);
    cr_assert_str_eq(host.conns[1].close_reason, "worker is silent");
    drop_pings(0);
    cr_assert_str_eq(member_of(take(&host, 0, "job_update"), "status"), "queued");
    pure_close(&host);
}

Test(hub_workers, come_back_within_the_grace_and_keep_their_jobs)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    char job[32];
    snprintf(job, sizeof job, "%s", submit(&host, 0, ""));
    begin_job(&host, 1, 0, job);
    pure_disconnect(&host, 1);
    pure_advance(&host, 29000);
    come_worker(&host, 2, "w", "");
    pure_advance(&host, 20000);
    drop_pings(0);
    take_none(&host, 0);
    say(&host, 2, "{\"type\":\"complete_job\",\"job_id\":\"%s\",\"result\":{}}", job);
    drop_pings(2);
    take(&host, 2, "job_completed_ack");
    take(&host, 0, "job_completed");
    pure_close(&host);
}

/* E-48 */
Test(hub_workers, lose_a_job_that_two_heartbeats_do_not_list)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    char job[32];
    snprintf(job, sizeof job, "%s", submit(&host, 0, ""));
    claim(&host, 1);
    for (int i = 0; i < 3; i++) { /* not accepted: heartbeats do not count */
        say(&host, 1, "{\"type\":\"worker_heartbeat\",\"current_jobs\":[]}");
        take(&host, 1, "worker_heartbeat_ack");
    }
    take_none(&host, 0);
    say(&host, 1, "{\"type\":\"job_accepted_by_worker\",\"job_id\":\"%s\"}", job);
    take(&host, 0, "job_update");
    say(&host, 1, "{\"type\":\"worker_heartbeat\",\"current_jobs\":[]}");
    say(&host, 1, "{\"type\":\"worker_heartbeat\",\"current_jobs\":[\"%s\"]}", job);
    say(&host, 1, "{\"type\":\"worker_heartbeat\",\"current_jobs\":[]}");
    say(&host, 1, "{\"type\":\"worker_heartbeat\"}"); /* does not say */
    take_none(&host, 0);
    say(&host, 1, "{\"type\":\"worker_heartbeat\",\"current_jobs\":[]}");
    cr_assert_str_eq(member_of(take(&host, 0, "job_update"), "status"), "queued");

    /* one that it lists and does not have any more */
    for (int i = 0; i < 5; i++)
        take(&host, 1, "worker_heartbeat_ack");
    say(&host, 1, "{\"type\":\"worker_heartbeat\",\"current_jobs\":[\"%s\",\"job-unknown\"]}", job);
    const char *gone = take(&host, 1, "job_cancelled");
    cr_assert_str_eq(member_of(gone, "reason"), "reassigned");
    take(&host, 1, "worker_heartbeat_ack");
    say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", job);
    take(&host, 0, "job_cancelled");
    say(&host, 1, "{\"type\":\"worker_heartbeat\",\"current_jobs\":[\"%s\"]}", job);
    gone = take(&host, 1, "job_cancelled");
    cr_assert_str_eq(member_of(gone, "reason"), "");
    pure_close(&host);
}

/* E-19, E-49, E-50, Q-27 */
Test(hub_workers, hear_of_jobs_while_they_have_free_slots)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", ",\"subscribe_to_jobs\":true,\"available_slots\":2");
    cr_assert_str_neq(submit(&host, 0, ""), "");
    take(&host, 1, "job_available");
    claim(&host, 1);
    cr_assert_str_neq(submit(&host, 0, ""), "");
    take(&host, 1, "job_available");
    claim(&host, 1);
    say(&host, 0, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    cr_assert_str_eq(member_of(take(&host, 0, "job_accepted"), "notified_workers"), "0");
    take_none(&host, 1);
    say(&host, 1, "{\"type\":\"worker_status\",\"status\":\"idle\",\"available_slots\":3}");
    take(&host, 1, "job_available"); /* one waits */
    say(&host, 1, "{\"type\":\"worker_status\",\"status\":\"offline\"}");
    say(&host, 0, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    cr_assert_str_eq(member_of(take(&host, 0, "job_accepted"), "notified_workers"), "0");
    say(&host, 1, "{\"type\":\"worker_status\",\"status\":\"idle\",\"capabilities\":{\"services\":[\"x\"]}}");
    take(&host, 1, "job_available");
    take(&host, 1, "job_available");
    take_none(&host, 1);

    /* what it can do now counts: only the given parts have changed */
    say(&host, 0,
        "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{},\"requirements\":{\"service_type\":\"x\"}}");
    cr_assert_str_eq(member_of(take(&host, 0, "job_accepted"), "notified_workers"), "1");
    take(&host, 1, "job_available");
    pure_close(&host);
}

/* E-20: two workers of one slot, 60 s a job at first */
Test(hub_workers, estimate_when_a_job_begins)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w1", "");
    come_worker(&host, 2, "w2", "");
    static const char *const starts[] = {"2024-01-23T12:34:56Z", "2024-01-23T12:34:56Z", "2024-01-23T12:35:56Z",
                                         "2024-01-23T12:35:56Z", "2024-01-23T12:36:56Z"};
    for (int i = 0; i < 5; i++) {
        say(&host, 0, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
        cr_expect_str_eq(member_of(take(&host, 0, "job_accepted"), "estimated_start"), starts[i]);
    }
    claim(&host, 1);
    say(&host, 0, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}"); /* 5th; one free of two */
    cr_expect_str_eq(member_of(take(&host, 0, "job_accepted"), "estimated_start"), "2024-01-23T12:36:56Z");
    pure_close(&host);
}

/* E-30: what a claim says it has */
Test(hub_workers, get_no_job_that_needs_more_memory_than_is_free)
{
    start();
    come_client(&host, 0, "c");
    come(&host, 1);
    say(&host, 1,
        "{\"type\":\"register_worker\",\"worker_id\":\"w\",\"capabilities\":{\"services\":[\"s\"],\"components\":["
        "\"x\"],"
        "\"hardware\":{\"gpu_memory_gb\":16,\"gpu_model\":\"RTX\"}}}");
    take(&host, 1, "worker_registered");
    submit(&host, 0, ",\"requirements\":{\"hardware\":{\"gpu_memory_gb\":8.5,\"gpu_model\":\"RTX\"}}");
    submit(&host, 0, ",\"requirements\":{\"hardware\":{\"gpu_model\":\"H100\"}}");
    submit(&host, 0, ",\"requirements\":{\"hardware\":{\"cores\":1}}");
    submit(&host, 0, ",\"requirements\":{\"component\":\"y\"}");
    say(&host, 1, "{\"type\":\"claim_job\",\"available_resources\":{\"gpu_memory_available\":8}}");
    cr_assert_str_eq(member_of(take(&host, 1, "ack"), "status"), "no_job_available");
    say(&host, 1, "{\"type\":\"claim_job\",\"max_jobs\":9,\"available_resources\":{\"gpu_memory_available\":8.5}}");
    take(&host, 1, "job_assigned");
    take_none(&host, 1);
    say(&host, 1, "{\"type\":\"claim_job\",\"max_jobs\":9,\"available_resources\":{\"concurrent_slots\":0}}");
    cr_assert_str_eq(member_of(take(&host, 1, "ack"), "status"), "no_job_available");
    pure_close(&host);
}

/* E-60: one event for all of a class but the first few */
Test(hub_workers, of_10000_that_listen_almost_all_are_told_by_one_event)
{
    static struct lone_hub lone;
    uint8_t memory[64];
    lone_begin(&lone);
    for (uint64_t i = 2; i < 10002; i++) {
        struct buf fields = buf_of(memory, sizeof memory);
        lone_worker(&lone, i, "a", true);
        lone_ask(&lone, HUB_JOINED, i, &fields); /* what the session says when it has joined */
    }
    uint64_t before = lone.publishes;
    lone_submit(&lone, "t", 50, "a", slice_text("{}"));
    cr_assert_str_eq(member_of(lone.reply, "notified_workers"), "10000");
    cr_assert_leq(lone.publishes - before, DIRECT_MAX + 1);
    before = lone.publishes;
    lone_submit(&lone, "t", 50, "b", slice_text("{}"));
    cr_assert_str_eq(member_of(lone.reply, "notified_workers"), "0");
    cr_assert_eq(lone.publishes, before);
    lone_end(&lone);
}

/* A session joins and leaves the channel of its class; nobody misses an offer or hears it twice. */
Test(hub_workers, are_told_once_each_however_many_there_are)
{
    start();
    come_client(&host, 200, "c");
    for (uint32_t i = 0; i < 60; i++) {
        char id[16];
        snprintf(id, sizeof id, "w%u", i);
        come_worker(&host, i, id, ",\"subscribe_to_jobs\":true");
    }
    for (int round = 0; round < 5; round++) {
        say(&host, 200, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
        const char *accepted = take(&host, 200, "job_accepted");
        char told[16];
        snprintf(told, sizeof told, "%d", 60 - round);
        cr_assert_str_eq(member_of(accepted, "notified_workers"), told);
        for (uint32_t i = 0; i < 60; i++) {
            if (i >= 60 - (uint32_t)round)
                continue; /* they have taken a job each, and their one slot with it */
            take(&host, i, "job_available");
            take_none(&host, i);
        }
        claim(&host, 59 - (uint32_t)round);
    }
    for (uint32_t i = 55; i < 60; i++)
        take_none(&host, i);
    pure_close(&host);
}

Test(hub_workers, that_cannot_be_registered_twice_on_one_connection_give_the_first_up)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    const char *job = submit(&host, 0, "");
    begin_job(&host, 1, 0, job);
    say(&host, 1, "{\"type\":\"register_worker\",\"worker_id\":\"v\",\"capabilities\":{\"services\":[]}}");
    take(&host, 1, "worker_registered");
    cr_assert_str_eq(member_of(take(&host, 0, "job_update"), "status"), "queued");
    pure_close(&host);
}
