/* SPDX-License-Identifier: MIT */
/* Proves the state machine of jobs in simulated time: each transition, each limit of time at,
 * before and behind it, memory, and a model on random updates. Run by unit_protocol. */
#include "core/random.h"
#include "protocol/dialects/aitbc/job_status.h"

#include "protocol/json.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NOW UINT64_C(5000000)
#define WALL UINT64_C(1778493600000) /* 2026-05-11T10:00:00Z */

static struct job_status jobs;
static struct job_settings settings = {
    .memory_bytes = 1 << 20, .close_after_end_ms = 30000, .retention_ms = 24 * 3600 * 1000};
static uint64_t now_ms = NOW;
static char reply_memory[4096];
static char last[8192]; /* the last event as text: "id: payload" or "id: close CODE REASON" */

static void begin(void)
{
    job_status_init(&jobs, (struct siphash_key){1, 2});
}

static void end(void)
{
    job_status_close(&jobs);
    cr_assert_eq(jobs.bytes, 0);
}

static bool next(void)
{
    struct event event;
    if (!job_status_next(&jobs, &settings, now_ms, WALL + now_ms - NOW, &event))
        return false;
    if (event.close_code != 0)
        snprintf(last, sizeof last, "%.*s: close %u %s", (int)event.channel.bytes, (const char *)event.channel.data,
                 event.close_code, event.close_reason);
    else
        snprintf(last, sizeof last, "%.*s: %.*s %u", (int)event.channel.bytes, (const char *)event.channel.data,
                 (int)event.payload.bytes, (const char *)event.payload.data, event.conflate);
    return true;
}

/* The status of an update; the event that it gives, if any, is in `last`, else that is empty. */
static int update(const char *body)
{
    struct buf reply = buf_of(reply_memory, sizeof reply_memory - 1);
    int status = job_status_update(&jobs, &settings, slice_text(body), now_ms, WALL + now_ms - NOW, &reply);
    reply_memory[reply.used] = '\0';
    last[0] = '\0';
    if (next())
        cr_assert_eq(status, 202);
    char kept[sizeof last];
    memcpy(kept, last, sizeof last);
    cr_assert_not(next());
    memcpy(last, kept, sizeof last);
    return status;
}

static int report(const char *id, const char *state)
{
    char body[256];
    snprintf(body, sizeof body, "{\"job_id\":\"%s\",\"state\":\"%s\"}", id, state);
    return update(body);
}

static const char *read(const char *id)
{
    struct buf reply = buf_of(reply_memory, sizeof reply_memory - 1);
    int status = job_status_read(&jobs, slice_text(id), &reply);
    reply_memory[reply.used] = '\0';
    return status == 200 ? reply_memory : "";
}

/* Moves time on as a service host does; how many events came, the last of them in `last`. */
static int advance(uint64_t ms)
{
    uint64_t until = now_ms + ms;
    int events = 0;
    while (job_status_due(&jobs) <= until) {
        uint64_t due = job_status_due(&jobs);
        now_ms = due > now_ms ? due : now_ms;
        job_status_advance(&jobs, now_ms);
        while (next())
            events++;
    }
    now_ms = until;
    return events;
}

static const char *const names[JOB_STATES] = {"QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"};

/* which state may follow which. */
Test(job_status, knows_every_transition)
{
    begin();
    for (int from = 0; from < JOB_STATES; from++) {
        for (int to = 0; to < JOB_STATES; to++) {
            char id[16];
            snprintf(id, sizeof id, "j%d-%d", from, to);
            cr_assert_eq(report(id, names[from]), 202, "any state may be the first");
            cr_assert_str_neq(last, "");
            bool ended = from >= JOB_COMPLETED;
            cr_assert_eq(report(id, names[to]), ended ? 409 : 202, "%s to %s", names[from], names[to]);
            cr_assert_eq(last[0] != '\0', !ended && from != to, "%s to %s: an event of a change", names[from],
                         names[to]);
            cr_assert_not_null(strstr(read(id), names[ended ? from : to]));
        }
    }
    end();
}

Test(job_status, names_are_states)
{
    for (int state = 0; state < JOB_STATES; state++) {
        cr_assert_eq(job_state_named(slice_text(names[state])), (enum job_state)state);
        cr_assert_eq(job_state_ended((enum job_state)state), state != JOB_QUEUED && state != JOB_RUNNING);
    }
    cr_assert_eq(job_state_named(slice_text("queued")), JOB_STATES);
    cr_assert_eq(job_state_named(slice_text("")), JOB_STATES);
}

/* */
Test(job_status, ids_have_1_to_128_of_their_alphabet)
{
    char id[130];
    memset(id, 'a', sizeof id);
    cr_assert_not(job_id_valid(slice_of(id, 0)));
    cr_assert(job_id_valid(slice_of(id, 1)));
    cr_assert(job_id_valid(slice_of(id, 128)));
    cr_assert_not(job_id_valid(slice_of(id, 129)));
    for (int c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        bool good = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-", c) != NULL;
        cr_expect_eq(job_id_valid(slice_of(&byte, 1)), good, "%d", c);
    }
}

#define JOB(more) "{\"job_id\":\"j\"," more "}"
#define AT_10 ",\"timestamp\":\"2026-05-11T10:00:00Z\""
#define AT_11 ",\"timestamp\":\"2026-05-11T11:00:00Z\""

/* what each update makes of what was there; an empty message: nothing changed. */
Test(job_status, merges_updates)
{
    static const struct {
        const char *given, *message;
    } steps[] = {
        {"\"state\":\"QUEUED\",\"assigned_miner_id\":\"m\",\"progress\":0" AT_10,
         "\"state\":\"QUEUED\",\"assigned_miner_id\":null" AT_10 ",\"progress\":0} 1"},
        {"\"state\":\"QUEUED\"", ""},
        {"\"state\":\"QUEUED\"" AT_10, ""},
        {"\"state\":\"QUEUED\"" AT_11, "\"state\":\"QUEUED\",\"assigned_miner_id\":null" AT_11 ",\"progress\":0} 1"},
        {"\"state\":\"RUNNING\",\"assigned_miner_id\":\"m\"" AT_10,
         "\"state\":\"RUNNING\",\"assigned_miner_id\":\"m\"" AT_10 ",\"progress\":0} 2"},
        {"\"state\":\"RUNNING\",\"progress\":0.5" AT_10,
         "\"state\":\"RUNNING\",\"assigned_miner_id\":\"m\"" AT_10 ",\"progress\":0.5} 2"},
        {"\"state\":\"RUNNING\",\"assigned_miner_id\":\"m\",\"progress\":0.5", ""},
        {"\"state\":\"RUNNING\",\"error\":\"x\"", ""},
        {"\"state\":\"RUNNING\",\"assigned_miner_id\":null" AT_10,
         "\"state\":\"RUNNING\",\"assigned_miner_id\":null" AT_10 ",\"progress\":0.5} 2"},
        {"\"state\":\"RUNNING\",\"assigned_miner_id\":\"n\"" AT_10,
         "\"state\":\"RUNNING\",\"assigned_miner_id\":\"n\"" AT_10 ",\"progress\":0.5} 2"},
        {"\"state\":\"QUEUED\"" AT_11, "\"state\":\"QUEUED\",\"assigned_miner_id\":null" AT_11 "} 1"},
        {"\"state\":\"RUNNING\"" AT_11, "\"state\":\"RUNNING\",\"assigned_miner_id\":null" AT_11 "} 2"},
        {"\"state\":\"FAILED\",\"assigned_miner_id\":\"n\",\"progress\":0.9,\"error\":\"x\"" AT_11,
         "\"state\":\"FAILED\",\"assigned_miner_id\":\"n\"" AT_11 ",\"progress\":0.9,\"error\":\"x\"} 0"},
    };
    begin();
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        char body[512], expected[512] = "";
        snprintf(body, sizeof body, JOB("%s"), steps[i].given);
        if (steps[i].message[0] != '\0')
            snprintf(expected, sizeof expected, "j: {\"job_id\":\"j\",%s", steps[i].message);
        cr_assert_eq(update(body), 202);
        cr_assert_str_eq(last, expected, "step %zu: %s", i, last);
    }
    end();
}

/* COMPLETED without a value; A-17: the server's time of arrival. */
Test(job_status, completes_what_is_missing)
{
    begin();
    cr_assert_eq(update(JOB("\"state\":\"COMPLETED\"")), 202);
    cr_assert_str_eq(read("j"), JOB("\"state\":\"COMPLETED\",\"assigned_miner_id\":null" AT_10 ",\"progress\":1.0"));
    cr_assert_eq(update("{\"job_id\":\"k\",\"state\":\"COMPLETED\",\"progress\":0.75}"), 202);
    cr_assert_not_null(strstr(read("k"), "\"progress\":0.75}"));
    end();
}

/* */
Test(job_status, expires_exactly_when_the_ttl_has_passed)
{
    begin();
    cr_assert_eq(update(JOB("\"state\":\"RUNNING\",\"assigned_miner_id\":\"m\",\"ttl_seconds\":2,\"progress\":0.1")),
                 202);
    cr_assert_eq(advance(1999), 0);
    cr_assert_eq(advance(1), 1);
    cr_assert_str_eq(last, "j: {\"job_id\":\"j\",\"state\":\"EXPIRED\",\"assigned_miner_id\":\"m\",\"timestamp\":"
                           "\"2026-05-11T10:00:02Z\",\"progress\":0.1} 0");
    cr_assert_eq(report("j", "COMPLETED"), 409);
    end();
}

Test(job_status, a_later_ttl_begins_at_its_update_and_others_leave_it)
{
    begin();
    cr_assert_eq(update(JOB("\"state\":\"QUEUED\",\"ttl_seconds\":2")), 202);
    advance(1500);
    cr_assert_eq(report("j", "RUNNING"), 202);
    advance(499);
    cr_assert_eq(update(JOB("\"state\":\"RUNNING\",\"ttl_seconds\":2")), 202);
    cr_assert_str_eq(last, "", "no change of the status");
    cr_assert_eq(advance(1999), 0);
    cr_assert_eq(advance(1), 1);
    cr_assert_not_null(strstr(last, "EXPIRED"));
    end();
}

Test(job_status, longest_ttl_is_kept)
{
    begin();
    cr_assert_eq(update(JOB("\"state\":\"QUEUED\",\"ttl_seconds\":315360000")), 202);
    cr_assert_eq(advance(UINT64_C(315360000) * 1000 - 1), 0);
    cr_assert_eq(advance(1), 1);
    end();
}

/* */
Test(job_status, closes_30_seconds_and_forgets_24_hours_after_the_end)
{
    begin();
    cr_assert_eq(update(JOB("\"state\":\"RUNNING\",\"ttl_seconds\":10")), 202);
    advance(5000);
    cr_assert_eq(report("j", "FAILED"), 202);
    cr_assert_eq(advance(29999), 0, "the TTL has no say any more");
    cr_assert_eq(advance(1), 1);
    cr_assert_str_eq(last, "j: close 1000 job finished");
    cr_assert_eq(advance(24 * 3600 * 1000 - 30000 - 1), 0);
    cr_assert_str_neq(read("j"), "");
    cr_assert_eq(advance(1), 0);
    cr_assert_str_eq(read("j"), "");
    cr_assert_eq(job_status_due(&jobs), UINT64_MAX);
    cr_assert_eq(report("j", "QUEUED"), 202, "a new life");
    end();
}

Test(job_status, listeners_may_stay)
{
    settings.close_after_end_ms = 0;
    settings.retention_ms = 1000;
    begin();
    cr_assert_eq(report("j", "COMPLETED"), 202);
    cr_assert_eq(advance(999), 0);
    cr_assert_str_neq(read("j"), "");
    cr_assert_eq(advance(1), 0);
    cr_assert_str_eq(read("j"), "");
    end();
}

/* Those that have ended go first, oldest end first; those whose listeners are still to be closed, and live ones,
 * never. */
Test(job_status, memory_is_bounded)
{
    char id[16];
    settings.memory_bytes = 64 << 10;
    begin();
    int made = 0;
    for (int status; made < 1000; made++) {
        snprintf(id, sizeof id, "live-%d", made);
        if ((status = report(id, "RUNNING")) != 202) {
            cr_assert_eq(status, 503);
            cr_assert_str_eq(reply_memory, "aitbc.jobs_memory is used up by jobs that have not ended");
            break;
        }
        cr_assert_leq(jobs.bytes, settings.memory_bytes);
    }
    cr_assert(made > 50 && made < 1000, "%d", made);
    cr_assert_str_eq(read(id), "");
    cr_assert_eq(report("live-1", "COMPLETED"), 202, "what is there may always go on");
    cr_assert_eq(report("live-0", "COMPLETED"), 202);
    cr_assert_eq(report("new", "QUEUED"), 503, "its listeners are not closed yet");
    cr_assert_eq(advance(30000), 2);
    cr_assert_eq(report("new", "QUEUED"), 202);
    cr_assert_str_eq(read("live-1"), "");
    cr_assert_str_neq(read("live-0"), "");
    cr_assert_str_neq(read("live-2"), "");
    end();
}

/* I-15 */
Test(job_status, reads_the_latest_change_first_as_far_as_there_is_room)
{
    char memory[512];
    struct buf out = buf_of(memory, sizeof memory);
    begin();
    cr_assert_eq(job_status_read_all(&jobs, &out), 404);
    for (int i = 0; i < 9; i++) {
        char id[16];
        snprintf(id, sizeof id, "j%d", i);
        report(id, "QUEUED");
    }
    report("j2", "RUNNING");
    buf_reset(&out);
    cr_assert_eq(job_status_read_all(&jobs, &out), 200);
    cr_assert_not(out.overflow);
    cr_assert(json_valid(buf_slice(&out), 8));
    cr_assert(
        slice_starts(buf_slice(&out), slice_text("{\"count\":9,\"jobs\":[{\"job_id\":\"j2\",\"state\":\"RUNNING\"")));
    cr_assert_gt(out.used, sizeof memory - 150);
    end();
}

/* Random updates and times against the plainest model; nothing is lost, repeated or early. */
Test(job_status, agrees_with_a_model_on_random_updates)
{
    enum { COUNT = 20 };
    struct {
        bool there;
        int state;
        uint64_t ttl_at, close_at, forget_at; /* 0: not set */
    } model[COUNT] = {{0}};
    struct random random;
    settings.retention_ms = 60000;
    random_init(&random, 29);
    begin();
    for (int step = 0; step < 20000; step++) {
        size_t n = random_below(&random, COUNT);
        if (random_chance(&random, 1, 2)) {
            int to =
                random_chance(&random, 2, 3) ? (int)random_below(&random, 2) : (int)random_below(&random, JOB_STATES);
            uint64_t ttl = random_chance(&random, 1, 3) ? 1 + random_below(&random, 40) : 0;
            char body[128], more[64] = "";
            if (ttl > 0)
                snprintf(more, sizeof more, ",\"ttl_seconds\":%u", (unsigned)ttl);
            snprintf(body, sizeof body, "{\"job_id\":\"j%zu\",\"state\":\"%s\"%s}", n, names[to], more);
            bool ended = model[n].there && model[n].state >= JOB_COMPLETED;
            bool change = !model[n].there || model[n].state != to;
            cr_assert_eq(update(body), ended ? 409 : 202, "step %d", step);
            cr_assert_eq(last[0] != '\0', !ended && change, "step %d", step);
            if (ended)
                continue;
            model[n].there = true;
            model[n].state = to;
            if (ttl > 0 && to < JOB_COMPLETED)
                model[n].ttl_at = now_ms + ttl * 1000;
            if (to >= JOB_COMPLETED) {
                model[n].ttl_at = 0;
                model[n].close_at = now_ms + 30000;
                model[n].forget_at = now_ms + 60000;
            }
            continue;
        }
        uint64_t until = now_ms + random_below(&random, 20000);
        int expected = 0;
        for (size_t i = 0; i < COUNT; i++) {
            if (model[i].ttl_at != 0 && model[i].ttl_at <= until) {
                expected++;
                model[i].state = JOB_EXPIRED;
                model[i].close_at = model[i].ttl_at + 30000;
                model[i].forget_at = model[i].ttl_at + 60000;
                model[i].ttl_at = 0;
            }
            if (model[i].close_at != 0 && model[i].close_at <= until) {
                expected++;
                model[i].close_at = 0;
            }
            if (model[i].forget_at != 0 && model[i].forget_at <= until) {
                model[i].there = false;
                model[i].forget_at = 0;
            }
        }
        cr_assert_eq(advance(until - now_ms), expected, "step %d", step);
        for (size_t i = 0; i < COUNT; i++) {
            char id[16];
            snprintf(id, sizeof id, "j%zu", i);
            const char *found = read(id);
            cr_assert_eq(found[0] != '\0', model[i].there, "step %d", step);
            cr_assert(!model[i].there || strstr(found, names[model[i].state]) != NULL, "step %d: %s", step, found);
        }
    }
    end();
}
