/* SPDX-License-Identifier: MIT */
/* What the hub keeps, when it says that it has, and what it is after a restart (E-25, E-84, E-98). Run by
 * unit_protocol. */
#include "tests/unit/protocol/dialects/emprops/hub_talk.h"

static struct pure_host host;

static void start(void)
{
    pure_init(&host, "emprops");
    pure_start(&host);
}

/* Records of a table. */
static size_t records(uint8_t table)
{
    size_t count = 0;
    for (size_t i = 0; i < host.record_count; i++)
        count += host.records[i].table == table;
    return count;
}

Test(hub_records, says_nothing_before_it_is_on_the_disk)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    pure_hold(&host, true);
    say(&host, 0, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{}}");
    take_none(&host, 0);
    cr_assert_eq(host.record_count, 0);
    pure_hold(&host, false);
    cr_assert_eq(records(HUB_TABLE_JOBS), 1);
    const char *job = member_of(take(&host, 0, "job_accepted"), "job_id");
    char id[32];
    snprintf(id, sizeof id, "%s", job);

    claim(&host, 1);
    size_t before = host.writes;
    pure_hold(&host, true);
    say(&host, 1, "{\"type\":\"complete_job\",\"job_id\":\"%s\",\"result\":{\"success\":true}}", id);
    take_none(&host, 1);
    take_none(&host, 0);
    cr_assert_eq(host.writes, before);
    pure_hold(&host, false);
    cr_assert_gt(host.writes, before);
    take(&host, 1, "job_completed_ack");
    take(&host, 0, "job_update");
    take(&host, 0, "job_completed");

    /* what was said to nobody when the process ended has not happened */
    const char *second = submit(&host, 0, "");
    char other[32];
    snprintf(other, sizeof other, "%s", second);
    pure_hold(&host, true);
    say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", other);
    pure_crash(&host);
    come_client(&host, 0, "c");
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", other);
    cr_assert_str_eq(member_of(take(&host, 0, "response_job_status"), "status"), "queued");
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", id);
    cr_assert_str_eq(member_of(take(&host, 0, "response_job_status"), "result"), "{\"success\":true}");
    pure_close(&host);
}

Test(hub_records, each_acknowledged_step_is_a_record_that_people_can_read)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    const char *job = submit(&host, 0, ",\"customer_id\":\"cu\",\"priority\":7,\"requirements\":{\"hardware\":{}}");
    const char *value = (const char *)host.records[0].value;
    cr_assert_str_eq(member_of(value, "job_type"), "t");
    cr_assert_str_eq(member_of(value, "priority"), "7");
    cr_assert_str_eq(member_of(value, "customer_id"), "cu");
    cr_assert_str_eq(member_of(value, "client_id"), "c");
    cr_assert_str_eq(member_of(value, "payload"), "{}");
    cr_assert_str_eq(member_of(value, "requirements"), "{\"hardware\":{}}");
    char key[64];
    snprintf(key, sizeof key, "%012x-%s", 1, job + 4);
    cr_assert_str_eq((const char *)host.records[0].key, key);
    begin_job(&host, 1, 0, job);
    cr_assert_eq(records(HUB_TABLE_STATES), 1);
    value = (const char *)host.records[1].value;
    cr_assert_str_eq(member_of(value, "status"), "in_progress");
    cr_assert_str_eq(member_of(value, "attempts"), "1");
    cr_assert_str_eq(member_of(value, "worker_id"), "w");
    size_t before = host.writes;
    say(&host, 1, "{\"type\":\"update_job_progress\",\"job_id\":\"%s\",\"progress\":9}", job);
    cr_assert_eq(host.writes, before, "progress is not kept");
    pure_close(&host);
}

Test(hub_records, a_restart_keeps_place_attempts_and_delays)
{
    start();
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", ",\"available_slots\":5");
    char first[32], second[32], third[32];
    snprintf(first, sizeof first, "%s", submit(&host, 0, ""));
    snprintf(second, sizeof second, "%s", submit(&host, 0, ""));
    snprintf(third, sizeof third, "%s", submit(&host, 0, ""));
    begin_job(&host, 1, 0, first);
    claim(&host, 1);
    say(&host, 1, "{\"type\":\"fail_job\",\"job_id\":\"%s\",\"error\":\"e\"}", second);
    take(&host, 1, "job_failed_ack");
    take(&host, 0, "job_update");
    take(&host, 0, "job_update");
    pure_crash(&host);
    come_client(&host, 0, "c");
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", first);
    const char *status = take(&host, 0, "response_job_status");
    cr_assert_str_eq(member_of(status, "status"), "queued");
    cr_assert_str_eq(member_of(status, "position"), "1", "its old place: before the third");
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", third);
    cr_assert_str_eq(member_of(take(&host, 0, "response_job_status"), "position"), "2");
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", second);
    status = take(&host, 0, "response_job_status");
    cr_assert_str_eq(member_of(status, "status"), "queued");
    cr_assert_str_eq(member_of(status, "position"), "", "it waits for its retry");

    /* the delay goes on: 15 s since the failure */
    pure_advance(&host, 14900);
    come_worker(&host, 1, "w", ",\"subscribe_to_jobs\":true,\"available_slots\":1");
    take(&host, 1, "job_available");
    pure_advance(&host, 200);
    cr_assert_str_eq(member_of(take(&host, 1, "job_available"), "job_id"), second);

    /* the submitter is told as before, and two more attempts are left */
    for (int attempt = 2; attempt <= 3; attempt++) {
        begin_job(&host, 1, 0, first);
        say(&host, 1, "{\"type\":\"fail_job\",\"job_id\":\"%s\",\"error\":\"e\"}", first);
        const char *ack = take(&host, 1, "job_failed_ack");
        cr_assert_str_eq(member_of(ack, "retry_scheduled"), attempt == 2 ? "true" : "false");
        take(&host, 0, "job_update");
        if (attempt == 3)
            break;
        pure_disconnect(&host, 1);
        pure_advance(&host, 16000);
        come_worker(&host, 1, "v", "");
    }
    pure_close(&host);
}

Test(hub_records, large_payloads_and_results_are_read_when_they_are_wanted)
{
    static char payload[20001];
    start();
    pure_close(&host);
    pure_init(&host, "emprops");
    cr_assert_eq(pure_set(&host, "cache", "0"), 0);
    pure_start(&host);
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    memset(payload, 'x', 20000);
    say(&host, 0, "{\"type\":\"submit_job\",\"job_type\":\"t\",\"payload\":{\"p\":\"%s\"}}", payload);
    take(&host, 0, "job_accepted");
    cr_assert_eq(records(HUB_TABLE_PAYLOADS), 1);
    cr_assert_lt(host.records[0].value_bytes, 300, "the index is read without the payload");
    pure_crash(&host);
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    say(&host, 1, "{\"type\":\"claim_job\"}");
    const char *assigned = take(&host, 1, "job_assigned");
    cr_assert_not_null(strstr(assigned, payload));
    pure_close(&host);
}

/* What waits for a record may be gone when it comes. */
Test(hub_records, a_job_that_was_cancelled_while_its_payload_was_read_is_not_assigned)
{
    pure_init(&host, "emprops");
    cr_assert_eq(pure_set(&host, "cache", "0"), 0);
    pure_start(&host);
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    char job[32];
    snprintf(job, sizeof job, "%s", submit(&host, 0, ""));
    pure_hold(&host, true);
    say(&host, 1, "{\"type\":\"claim_job\"}");
    say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\"}", job);
    pure_hold(&host, false);
    take(&host, 0, "job_cancelled");
    take(&host, 1, "job_cancelled");
    cr_assert_str_eq(member_of(take(&host, 1, "ack"), "status"), "no_job_available");
    take_none(&host, 1);
    pure_close(&host);
}

Test(hub_records, a_payload_that_cannot_be_read_leaves_the_job_where_it_was)
{
    pure_init(&host, "emprops");
    cr_assert_eq(pure_set(&host, "cache", "0"), 0);
    pure_start(&host);
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    submit(&host, 0, "");
    struct pure_record *record = &host.records[0];
    uint8_t kept = record->value[0];
    record->value[0] = 'x';
    say(&host, 1, "{\"type\":\"claim_job\",\"id\":\"i\"}");
    const char *error = take(&host, 1, "error");
    cr_assert_str_eq(member_of(error, "error_code"), "INTERNAL_ERROR");
    cr_assert_str_eq(member_of(error, "request_id"), "i");
    take(&host, 1, "ack");
    record->value[0] = kept;
    claim(&host, 1);
    pure_close(&host);
}

Test(hub_records, ended_jobs_are_forgotten_by_age_and_by_number)
{
    pure_init(&host, "emprops");
    cr_assert_eq(pure_set(&host, "finished_max", "2"), 0);
    cr_assert_eq(pure_set(&host, "finished_for", "10s"), 0);
    pure_start(&host);
    come_client(&host, 0, "c");
    char jobs[3][32];
    for (int i = 0; i < 3; i++) {
        snprintf(jobs[i], sizeof jobs[i], "%s", submit(&host, 0, ""));
        say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\",\"reason\":\"r\"}", jobs[i]);
        take(&host, 0, "job_cancelled");
        pure_advance(&host, 1000);
    }
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", jobs[0]);
    cr_assert_str_eq(member_of(take(&host, 0, "error"), "error_code"), "JOB_NOT_FOUND");
    cr_assert_eq(records(HUB_TABLE_JOBS), 2);
    pure_crash(&host);
    come_client(&host, 0, "c");
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", jobs[1]);
    cr_assert_str_eq(member_of(take(&host, 0, "response_job_status"), "reason"), "r");
    pure_advance(&host, 8500);
    cr_assert_eq(records(HUB_TABLE_JOBS), 1);
    pure_advance(&host, 1000);
    cr_assert_eq(host.record_count, 0, "no record is left behind");
    pure_close(&host);
}

Test(hub_records, of_an_older_version_are_found_and_forgotten_under_their_keys)
{
    char job[32];
    pure_init(&host, "emprops");
    cr_assert_eq(pure_set(&host, "finished_for", "10s"), 0);
    pure_start(&host);
    come_client(&host, 0, "c");
    snprintf(job, sizeof job, "%s", submit(&host, 0, ""));
    say(&host, 0, "{\"type\":\"cancel_job\",\"job_id\":\"%s\",\"reason\":\"r\"}", job);
    take(&host, 0, "job_cancelled");
    cr_assert_eq(host.record_count, 3);
    size_t letters = strlen(job + strlen("job-"));
    for (size_t i = 0; i < host.record_count; i++) { /* the id alone */
        struct pure_record *record = &host.records[i];
        memmove(record->key, record->key + strlen("000000000001-"), letters + 1);
        record->key_bytes = letters;
    }
    pure_crash(&host);
    come_client(&host, 0, "c");
    say(&host, 0, "{\"type\":\"request_job_status\",\"job_id\":\"%s\"}", job);
    cr_assert_str_eq(member_of(take(&host, 0, "response_job_status"), "reason"), "r");
    submit(&host, 0, "");
    cr_assert_eq(host.record_count, 4);
    pure_advance(&host, 10500);
    cr_assert_eq(host.record_count, 1, "no old record is left behind");
    pure_close(&host);
}

Test(hub_records, refuses_records_that_are_not_its_own)
{
    static const struct {
        uint8_t table;
        const char *key, *value;
    } wrong[] = {
        {HUB_TABLE_JOBS, "000000000002-abcdefghijkl", "{\"sequence\":1,\"job_type\":\"t\",\"priority\":1}"},
        {HUB_TABLE_JOBS, "0000000000001abcdefghijkl", "{\"sequence\":1,\"job_type\":\"t\",\"priority\":1}"},
        {HUB_TABLE_JOBS, "short", "{\"sequence\":1,\"job_type\":\"t\",\"priority\":1}"},
        {HUB_TABLE_JOBS, "abcdefghijkl", "{"},
        {HUB_TABLE_JOBS, "abcdefghijkl", "{\"sequence\":1,\"priority\":1}"},
        {HUB_TABLE_JOBS, "abcdefghijkl", "{\"sequence\":1,\"job_type\":\"t\",\"priority\":101}"},
        {HUB_TABLE_JOBS, "abcdefghijkl", "{\"sequence\":0,\"job_type\":\"t\",\"priority\":1}"},
        {HUB_TABLE_JOBS, "abcdefghijkl", "{\"sequence\":1,\"job_type\":\"t\",\"priority\":1,\"requirements\":[]}"},
        {HUB_TABLE_STATES, "abcdefghijkl", "{\"status\":\"queued\"}"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *why = "";
        pure_init(&host, "emprops");
        pure_start(&host);
        void *state = pure_memory(emprops_hub.state_bytes);
        cr_assert_eq(emprops_hub.open(state, host.settings), 0);
        int error = emprops_hub.load(state, wrong[i].table, slice_text(wrong[i].key), slice_text(wrong[i].value), &why);
        cr_expect_lt(error, 0, "%s", wrong[i].value);
        cr_expect_str_neq(why, "");
        emprops_hub.close(state);
        free(state);
        pure_close(&host);
    }
}

Test(hub_records, ids_of_another_life_are_not_given_again)
{
    start();
    come_client(&host, 0, "c");
    for (int i = 0; i < 50; i++)
        submit(&host, 0, "");
    pure_crash(&host);
    come_client(&host, 0, "c");
    for (int i = 0; i < 50; i++)
        submit(&host, 0, "");
    cr_assert_eq(records(HUB_TABLE_JOBS), 100);
    pure_close(&host);
}
