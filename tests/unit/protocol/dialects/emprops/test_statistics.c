/* SPDX-License-Identifier: MIT */
/* Statistics at their intervals, and alerts (E-55 to E-58, E-64, E-65, Q-22, Q-29). Run by unit_protocol. */
#include "tests/unit/protocol/dialects/emprops/hub_talk.h"

static struct pure_host host;

static void start(void)
{
    pure_init(&host, "emprops");
    pure_set(&host, "messages_max", "0");
    pure_set(&host, "heartbeat_interval", "24h");
    pure_start(&host);
}

/* The next message that is no ping; its text. */
static const char *next(uint32_t conn)
{
    const char *text;
    while (strcmp(member_of(text = pure_take_text(&host, conn), "type"), "ping") == 0)
        ;
    return text;
}

static void come_monitor(uint32_t conn)
{
    come(&host, conn);
    say(&host, conn,
        "{\"type\":\"register_client\",\"client_type\":\"monitor\",\"client_id\":\"m\",\"permissions\":"
        "[\"view_system_stats\"]}");
    take(&host, conn, "client_registered");
}

Test(hub_statistics, come_when_they_were_announced_and_never_drift)
{
    start();
    come(&host, 0);
    come(&host, 1);
    say(&host, 0, "{\"type\":\"subscribe_stats\",\"interval_seconds\":3}");
    uint64_t announced = strtoull(member_of(take(&host, 0, "subscription_confirmed"), "next_broadcast"), NULL, 10);
    pure_advance(&host, 1234);
    say(&host, 1, "{\"type\":\"subscribe_stats\",\"interval_seconds\":7}");
    uint64_t other = strtoull(member_of(take(&host, 1, "subscription_confirmed"), "next_broadcast"), NULL, 10);
    for (int i = 0; i < 1000; i++)
        pure_advance(&host, 97);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(strtoull(member_of(next(0), "timestamp"), NULL, 10), announced + (uint64_t)i * 3000);
    for (int i = 0; i < 12; i++)
        cr_assert_eq(strtoull(member_of(next(1), "timestamp"), NULL, 10), other + (uint64_t)i * 7000);

    /* late, they are not made up for */
    while (strcmp(next(0), "(nothing)") != 0)
        ;
    const struct service *hub = host.dialect->service;
    host.now_ms += 10000;
    hub->timer(host.service, host.now_ms, pure_wall_ms(&host));
    pure_collect(&host);
    pure_pump(&host);
    cr_assert_str_eq(member_of(next(0), "type"), "system_status");
    cr_assert_str_eq(next(0), "(nothing)");
    pure_advance(&host, 3000);
    uint64_t late = strtoull(member_of(next(0), "timestamp"), NULL, 10);
    cr_assert_eq((late - announced) % 3000, 0, "the grid stays");
    pure_close(&host);
}

/* The answer, whatever of earlier jobs comes before it. */
static const char *submit_and_skip(uint32_t conn)
{
    const char *text;
    say(&host, conn, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    while (strcmp(member_of(text = next(conn), "type"), "job_accepted") != 0)
        ;
    return text;
}

Test(hub_statistics, show_the_hour_that_slides)
{
    start();
    come(&host, 0);
    come(&host, 2);
    come_worker(&host, 1, "w", "");
    for (int i = 0; i < 3; i++) {
        char job[32];
        snprintf(job, sizeof job, "%s", member_of(submit_and_skip(2), "job_id"));
        claim(&host, 1);
        say(&host, 1, "{\"type\":\"complete_job\",\"job_id\":\"%s\",\"result\":{}}", job);
        take(&host, 1, "job_completed_ack");
        pure_advance(&host, 1000000);
    }
    say(&host, 0, "{\"type\":\"request_stats\",\"include_sections\":[\"system\"]}");
    const char *status;
    while (strcmp(member_of(status = next(0), "type"), "system_status") != 0)
        ;
    cr_assert_str_eq(member_of(status, "completed_jobs_last_hour"), "3");
    cr_assert_str_eq(member_of(member_of(status, "system"), "connections"), "3");
    cr_assert_str_eq(member_of(member_of(status, "system"), "uptime_seconds"), "3000");
    pure_advance(&host, 601000);
    say(&host, 0, "{\"type\":\"request_stats\",\"include_sections\":[\"jobs\"]}");
    cr_assert_str_eq(member_of(next(0), "completed_jobs_last_hour"), "2");
    pure_crash(&host);
    come(&host, 0);
    say(&host, 0, "{\"type\":\"request_stats\",\"include_sections\":[\"jobs\"]}");
    cr_assert_str_eq(member_of(next(0), "completed_jobs_last_hour"), "2", "also over a restart");
    pure_close(&host);
}

/* A job that waits, from a connection that is not looked at further. */
static const char *wait_one(void)
{
    return submit(&host, 2, "");
}

Test(hub_statistics, raise_an_alert_beyond_the_threshold_and_again_while_it_lasts)
{
    char jobs[16][32];
    start();
    come_monitor(0);
    come(&host, 2);
    come_worker(&host, 1, "w", "");
    for (int i = 0; i < 16; i++)
        snprintf(jobs[i], sizeof jobs[i], "%s", wait_one());
    cr_assert_str_eq(member_of(next(0), "severity"), "warning");
    cr_assert_str_eq(next(0), "(nothing)");
    wait_one();
    cr_assert_str_eq(next(0), "(nothing)", "once is enough");
    pure_advance(&host, 299000);
    cr_assert_str_eq(next(0), "(nothing)");
    pure_advance(&host, 1000);
    const char *alert = next(0);
    cr_assert_str_eq(member_of(member_of(alert, "details"), "current_queue_depth"), "17");

    /* down to 80 % it lasts; below, the next crossing is told at once */
    for (int i = 0; i < 6; i++)
        say(&host, 2, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", jobs[i]);
    for (int i = 0; i < 4; i++)
        say(&host, 2, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    cr_assert_str_eq(next(0), "(nothing)", "11 waited: below 12 it is cleared, 15 is not beyond");
    say(&host, 2, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    cr_assert_str_eq(member_of(next(0), "category"), "resource_constraint");
    for (int i = 0; i < 134; i++)
        say(&host, 2, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    cr_assert_str_eq(next(0), "(nothing)");
    say(&host, 2, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    cr_assert_str_eq(member_of(next(0), "severity"), "critical", "151 wait");
    pure_close(&host);
}

Test(hub_statistics, raise_an_alert_when_jobs_wait_that_nobody_can_do)
{
    start();
    come_monitor(0);
    come(&host, 2);
    come_worker(&host, 1, "w", "");
    submit(&host, 2, ",\"requirements\":{\"service_type\":\"x\"}");
    submit(&host, 2, ",\"requirements\":{\"service_type\":\"x\"}");
    submit(&host, 2, "");
    pure_advance(&host, 59000);
    cr_assert_str_eq(next(0), "(nothing)");
    pure_advance(&host, 1000);
    const char *alert = next(0);
    cr_assert_str_eq(member_of(alert, "category"), "no_matching_worker");
    cr_assert_str_eq(member_of(member_of(alert, "details"), "waiting_jobs"), "2");
    pure_advance(&host, 300000);
    cr_assert_str_eq(member_of(next(0), "category"), "no_matching_worker");
    come(&host, 3);
    say(&host, 3, "{\"type\":\"register_worker\",\"worker_id\":\"x\",\"capabilities\":{\"services\":[\"x\"]}}");
    say(&host, 0, "{\"type\":\"request_stats\",\"include_sections\":[]}");
    cr_assert_str_eq(member_of(next(0), "system_health"), "healthy");
    pure_disconnect(&host, 3);
    pure_advance(&host, 59000);
    cr_assert_str_eq(next(0), "(nothing)", "it is counted anew");
    pure_close(&host);
}
