/* SPDX-License-Identifier: MIT */
/* Proves the schedule service and what it is made of: intervals without drift (C-38, K-16), pools of sources (C-47,
 * Q-16), the newest object per topic within its memory, snapshots (C-36, Q-15), the server's own reports (C-46 to
 * C-48). Run by unit_protocol. */
#include "core/random.h"
#include "protocol/dialects/crypto/crypto.h"
#include "protocol/dialects/crypto/schedule.h"
#include "protocol/dialects/crypto/source_pool.h"
#include "protocol/interval.h"
#include "protocol/json.h"
#include "protocol/service.h"
#include "tests/support/pure_client.h"
#include "tests/unit/starve.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* --- intervals ---------------------------------------------------------------------------------------------------- */

Test(interval, stays_on_its_grid_however_late)
{
    struct interval interval;
    interval_start(&interval, 5000, 1000);
    cr_assert_not(interval_passed(&interval, 5999));
    cr_assert(interval_passed(&interval, 6000));
    cr_assert_eq(interval.next_ms, 11000);
    cr_assert(interval_passed(&interval, 11199), "late");
    cr_assert_eq(interval.next_ms, 16000, "and the next is not");
    cr_assert(interval_passed(&interval, 33000), "three were missed");
    cr_assert_eq(interval.next_ms, 36000, "and are not made up for");
    cr_assert_not(interval_passed(&interval, 35999));
}

Test(interval, drifts_never)
{
    struct interval interval;
    struct random random;
    random_init(&random, 16);
    interval_start(&interval, 70, 13);
    uint64_t passed = 0, now_ms = 13;
    while (now_ms < 700000) {
        now_ms += random_below(&random, 70);
        passed += interval_passed(&interval, now_ms);
        cr_assert_eq((interval.next_ms - 13) % 70, 0);
        cr_assert(interval.next_ms > now_ms && interval.next_ms <= now_ms + 70);
    }
    cr_assert_eq(passed, (now_ms - 13) / 70, "each of the grid once");
}

/* --- pools -------------------------------------------------------------------------------------------------------- */

static bool takes(struct source_pool *pool, const char *name, uint64_t now_ms)
{
    const struct source *source = source_pool_note(pool, slice_text(name), now_ms, 0, 0, 100);
    cr_assert_not_null(source, "%s", name);
    cr_assert(slice_is(source_name(source), name));
    return source == source_pool_active(pool);
}

static bool is_active(const struct source_pool *pool, const char *name)
{
    return slice_is(source_name(source_pool_active(pool)), name);
}

/* */
Test(source_pool, prefers_the_first_seen_without_an_order)
{
    struct source_pool pool = {.count = 0};
    cr_assert_null(source_pool_active(&pool));
    cr_assert(takes(&pool, "a", 1000));
    cr_assert_not(takes(&pool, "b", 1001));
    cr_assert(takes(&pool, "a", 1050));
    cr_assert_not(takes(&pool, "b", 1150), "100 ms old is fresh");
    cr_assert(takes(&pool, "b", 1151), "101 ms old is not");
    cr_assert_eq(pool.failovers, 1);
    cr_assert(takes(&pool, "a", 1152), "and back");
    cr_assert_eq(pool.failovers, 2);
}

/* C-47 */
Test(source_pool, prefers_the_configured_order)
{
    struct source_pool pool = {.count = 0};
    source_pool_configure(&pool, slice_text("a b"));
    cr_assert(is_active(&pool, "a"));
    cr_assert(takes(&pool, "c", 1000), "nobody else gives data");
    cr_assert_eq(pool.failovers, 0, "nothing was given up");
    cr_assert(takes(&pool, "b", 1001));
    cr_assert_not(takes(&pool, "c", 1002));
    cr_assert(takes(&pool, "a", 1003));
    cr_assert_eq(pool.failovers, 2);
    source_pool_configure(&pool, slice_text("b"));
    cr_assert(pool.count == 3 && is_active(&pool, "a"), "what is known stays");
    source_pool_choose(&pool, 1003, 100);
    cr_assert(is_active(&pool, "b"));
    source_pool_choose(&pool, 9999, 100);
    cr_assert(is_active(&pool, "b"), "nobody is better");
    source_pool_configure(&pool, slice_text(""));
    cr_assert_eq(pool.count, 3);
}

Test(source_pool, is_bounded)
{
    struct source_pool pool = {.count = 0};
    char name[8];
    source_pool_configure(&pool, slice_text("kept"));
    for (int i = 1; i < SOURCES_MAX; i++) {
        snprintf(name, sizeof name, "s%d", i);
        (void)takes(&pool, name, 1000 + (uint64_t)i);
    }
    cr_assert_null(source_pool_note(&pool, slice_text("more"), 1050, 0, 0, 100), "all are configured or healthy");
    cr_assert_not_null(source_pool_note(&pool, slice_text("s1"), 1100, 0, 0, 100));
    cr_assert_not_null(source_pool_note(&pool, slice_text("more"), 1103, 0, 0, 100), "s2 has been silent");
    cr_assert_eq(pool.count, SOURCES_MAX);
    for (uint32_t i = 0; i < pool.count; i++)
        cr_assert_not(slice_is(source_name(&pool.items[i]), "s2"));
    cr_assert(slice_is(source_name(&pool.items[0]), "kept"));
    cr_assert(is_active(&pool, "s1"), "who was active still is");
}

Test(source_pool, names_are_bounded_text)
{
    static const char longest[] = "0123456789012345678901234567890123456789012345678901234567890123";
    cr_assert(source_name_valid(slice_text(longest)));
    cr_assert_not(source_name_valid(slice_of("01234567890123456789012345678901234567890123456789012345678901234", 65)));
    cr_assert_not(source_name_valid(slice_text("")));
    cr_assert_not(source_name_valid(slice_text("\xff")));
    cr_assert(source_names_valid(slice_text("a")));
    cr_assert(source_names_valid(slice_text("a b caf\xc3\xa9")));
    static const char *const bad[] = {"", " ", "a ", " a", "a  b", "a a", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(source_names_valid(slice_text(bad[i])), "'%s'", bad[i]);
    cr_assert(source_names_valid(slice_text("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")));
}

/* --- the service -------------------------------------------------------------------------------------------------- */

static struct crypto_settings *settings;
static struct pure_host host; /* for its settings only */
static void *state;
static uint64_t now_ms, wall_ms;
static char reply[1 << 20];
static char events[1 << 20]; /* all that has come, one payload a line */
static uint32_t event_count;

static void open_schedule(const char *option, const char *value)
{
    pure_init(&host, "crypto");
    if (option != NULL)
        cr_assert_eq(pure_set(&host, option, value), 0);
    settings = host.settings;
    state = pure_memory(schedule_service.state_bytes);
    now_ms = 50000;
    wall_ms = PURE_WALL_MS;
    cr_assert_eq(schedule_service.open(state, settings), 0);
}

static void close_schedule(void)
{
    schedule_service.close(state);
    free(state);
    pure_close(&host);
}

static void drain(void)
{
    static uint8_t memory[1 << 20];
    struct buf scratch = buf_of(memory, sizeof memory), out = buf_of(events, sizeof events - 1);
    struct event event;
    event_count = 0;
    while (buf_reset(&scratch), service_next_event(&schedule_service, state, &scratch, &event)) {
        cr_assert(event.opcode == WS_TEXT && event.close_code == 0 && !scratch.overflow);
        buf_put(&out, event.payload);
        buf_put_byte(&out, '\n');
        event_count++;
    }
    events[out.used] = '\0';
}

static int request(enum schedule_request kind, struct slice body)
{
    struct service_request question = {.kind = (uint32_t)kind, .body = body, .now_ms = now_ms, .wall_ms = wall_ms};
    struct buf out = buf_of(reply, sizeof reply - 1);
    int status = schedule_service.request(state, &question, &out);
    cr_assert_not(out.overflow);
    reply[out.used] = '\0';
    drain();
    cr_assert_eq(event_count, 0, "nothing is published but by time");
    return status;
}

static int put_from(enum crypto_service topic, const char *source, bool merge, const char *object)
{
    static uint8_t memory[1 << 20];
    struct buf body = buf_of(memory, sizeof memory);
    schedule_put_head(&body, &(struct schedule_head){
                                 .topic = (uint8_t)topic, .merge = merge, .source = slice_text(source), .delay_ms = 7});
    buf_put_text(&body, object);
    cr_assert_not(body.overflow);
    return request(SCHEDULE_PUT, buf_slice(&body));
}

static int put(enum crypto_service topic, const char *object)
{
    return put_from(topic, "default", false, object);
}

static const char *read_topic(enum crypto_service topic)
{
    uint8_t byte = (uint8_t)topic;
    cr_assert_eq(request(SCHEDULE_READ, slice_of(&byte, 1)), 200);
    return reply;
}

/* Time passes; the service is called when it wants to be, `late` ms later. How many events came. */
static uint32_t pass(uint64_t ms, uint64_t late)
{
    uint64_t until = now_ms + ms;
    uint32_t count = 0;
    for (uint64_t due; (due = schedule_service.due(state)) + late <= until;) {
        uint64_t at_ms = due + late > now_ms ? due + late : now_ms;
        wall_ms += at_ms - now_ms;
        now_ms = at_ms;
        schedule_service.timer(state, now_ms, wall_ms);
        drain();
        count += event_count;
    }
    wall_ms += until - now_ms;
    now_ms = until;
    return count;
}

static void listen_to(enum crypto_service topic, bool on)
{
    schedule_service.interest(state, slice_text(crypto_services[topic].name), slice_text(""), on);
}

Test(schedule, head_comes_back)
{
    uint8_t memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    schedule_put_head(
        &out, &(struct schedule_head){.topic = 3, .merge = true, .source = slice_text("src"), .delay_ms = 1 << 20});
    cr_assert(slice_equal(buf_slice(&out), slice_of("\3\1\0\0\0\0\0\x10\0\0\0\3src", 15)), "golden bytes");
    buf_put_text(&out, "{}");
    struct slice body = buf_slice(&out);
    struct schedule_head head = schedule_take_head(&body);
    cr_assert(head.topic == 3 && head.merge && slice_is(head.source, "src") && head.delay_ms == 1 << 20);
    cr_assert(slice_is(body, "{}"));
}

/* C-38: nothing before the first object; then one event at each interval, with the newest. */
Test(schedule, publishes_the_newest_at_each_interval)
{
    open_schedule(NULL, NULL);
    cr_assert_eq(schedule_service.due(state), UINT64_MAX, "before the first request no time is known");
    cr_assert_eq(request(SCHEDULE_NUMBER, slice_text("")), 200);
    listen_to(CRYPTO_MARKET_DATA, true);
    cr_assert_eq(pass(10000, 0), 0);
    for (int i = 0; i < 500; i++) {
        char object[64];
        snprintf(object, sizeof object, "{\"prices\":{\"btc\":%d}}", i);
        cr_assert_eq(put(CRYPTO_MARKET_DATA, object), 202);
    }
    cr_assert_eq(pass(4999, 0), 0);
    cr_assert_eq(pass(1, 0), 1);
    cr_assert_str_eq(events, "{\"service\":\"market_data\",\"type\":\"update\",\"data\":{\"prices\":{\"btc\":499}},"
                             "\"timestamp\":\"2024-01-23T12:35:11.000Z\"}\n");
    cr_assert_eq(pass(50000, 0), 10, "also when nothing has changed");
    listen_to(CRYPTO_MARKET_DATA, false);
    cr_assert_eq(pass(50000, 0), 0, "nobody listens");
    listen_to(CRYPTO_MARKET_DATA, true);
    cr_assert_eq(pass(5000, 0), 1);
    close_schedule();
}

Test(schedule, publishes_as_long_as_one_of_several_classes_listens)
{
    open_schedule(NULL, NULL);
    put(CRYPTO_MARKET_DATA, "{}");
    listen_to(CRYPTO_MARKET_DATA, true);
    listen_to(CRYPTO_MARKET_DATA, true); /* those who agreed on compression are a class of their own */
    listen_to(CRYPTO_MARKET_DATA, false);
    cr_assert_eq(pass(10000, 0), 2);
    listen_to(CRYPTO_MARKET_DATA, false);
    cr_assert_eq(pass(10000, 0), 0);
    close_schedule();
}

/* C-38, K-16: the documented intervals, and late timers do not add up. */
Test(schedule, keeps_the_documented_intervals_without_drift)
{
    static const uint32_t per_hour[CRYPTO_TOPICS] = {720, 360, 60, 120, 240, 180, 120, 120, 180, 240, 60, 120};
    for (uint64_t late = 0; late <= 150; late += 150) {
        for (enum crypto_service topic = 0; topic < CRYPTO_TOPICS; topic++) {
            open_schedule(NULL, NULL);
            cr_assert_eq(put(topic, "{}"), 202);
            listen_to(topic, true);
            cr_expect_eq(pass(3600000 + late, late), per_hour[topic], "%s", crypto_services[topic].name);
            close_schedule();
        }
    }
}

Test(schedule, holds_back_what_has_not_changed_if_told_so)
{
    open_schedule("resend_unchanged", "false");
    put(CRYPTO_NEWS, "{}");
    listen_to(CRYPTO_NEWS, true);
    listen_to(CRYPTO_HEALTH_CHECKER, true);
    cr_assert_eq(pass(60000, 0), 3, "news once, the server's own report twice");
    cr_assert_eq(pass(60000, 0), 2);
    put(CRYPTO_NEWS, "{}");
    cr_assert_eq(pass(60000, 0), 3);
    close_schedule();
}

Test(schedule, takes_new_intervals)
{
    open_schedule(NULL, NULL);
    put(CRYPTO_MARKET_DATA, "{}");
    listen_to(CRYPTO_MARKET_DATA, true);
    cr_assert_eq(pass(12000, 0), 2);
    cr_assert_eq(pure_set(&host, "market_data_interval", "100ms"), 0);
    schedule_service.settings(state, settings);
    cr_assert_eq(pass(1000, 0), 10 + 1, "from the last time that was known");
    cr_assert_eq(pure_set(&host, "market_data_interval", "60s"), 0);
    schedule_service.settings(state, settings);
    cr_assert_eq(pass(59999, 0), 0);
    cr_assert_eq(pass(1, 0), 1);
    close_schedule();
}

/* C-36, Q-15 */
Test(schedule, gives_snapshots_of_what_there_is)
{
    static const uint8_t wanted[] = {CRYPTO_NEWS, CRYPTO_MARKET_DATA, CRYPTO_HEALTH_CHECKER};
    struct slice messages, message;
    open_schedule(NULL, NULL);
    put(CRYPTO_MARKET_DATA, "{\"a\":1}");
    now_ms += 1234;
    wall_ms += 1234;
    cr_assert_eq(request(SCHEDULE_SNAPSHOT, slice_of(wanted, sizeof wanted)), 200);
    messages = slice_of(reply, sizeof reply); /* the length is known below */
    uint64_t first = load_be64(messages.data), second = load_be64(messages.data + 8 + first);
    messages.bytes = (size_t)(16 + first + second);
    cr_assert(schedule_next_message(&messages, &message));
    cr_assert(slice_is(message, "{\"service\":\"market_data\",\"type\":\"update\",\"data\":{\"a\":1},"
                                "\"timestamp\":\"2024-01-23T12:34:57.234Z\"}"));
    cr_assert(schedule_next_message(&messages, &message));
    cr_assert(
        slice_starts(message, slice_text("{\"service\":\"health_checker\",\"type\":\"update\",\"data\":{\"over")));
    cr_assert_not(schedule_next_message(&messages, &message));
    close_schedule();
}

/* C-31 */
Test(schedule, numbers_rise)
{
    open_schedule(NULL, NULL);
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(request(SCHEDULE_NUMBER, slice_text("")), 200);
        cr_assert_eq(atoi(reply), i);
    }
    close_schedule();
}

static void fill(char *object, size_t bytes)
{
    memset(object, 'x', bytes);
    memcpy(object, "{\"x\":\"", 6);
    memcpy(object + bytes - 2, "\"}", 3);
}

Test(schedule, keeps_within_its_memory)
{
    static char object[2048];
    open_schedule("memory", "1KiB");
    fill(object, 500);
    cr_assert_eq(put(CRYPTO_NEWS, object), 202);
    for (size_t bytes = 523; bytes <= 524; bytes++) {
        fill(object, bytes);
        cr_assert_eq(put(CRYPTO_ONCHAIN, object), 202, "%zu", bytes);
    }
    fill(object, 525);
    cr_assert_eq(put(CRYPTO_ONCHAIN, object), 422);
    cr_assert_str_eq(reply, "larger than crypto.memory has room for");
    cr_assert_eq(strlen(read_topic(CRYPTO_ONCHAIN)), 524, "the older one stays");
    cr_assert_eq(put_from(CRYPTO_ONCHAIN, "default", true, "{\"y\":1}"), 422, "merging does not go beyond it either");
    cr_assert_eq(put(CRYPTO_NEWS, "{}"), 202);
    cr_assert_eq(put_from(CRYPTO_ONCHAIN, "default", true, "{\"y\":1}"), 202);
    close_schedule();
}

Test(schedule, answers_503_when_memory_is_out)
{
    if (!STARVE_WORKS)
        return;
    static char object[900000];
    open_schedule(NULL, NULL);
    put(CRYPTO_NEWS, "{\"a\":1}");
    fill(object, sizeof object - 1);
    static uint8_t memory[1 << 20];
    struct buf body = buf_of(memory, sizeof memory);
    for (int merge = 0; merge <= 1; merge++) {
        buf_reset(&body);
        schedule_put_head(
            &body, &(struct schedule_head){.topic = CRYPTO_NEWS, .merge = merge != 0, .source = slice_text("default")});
        buf_put_text(&body, object);
        starve_begin();
        int status = request(SCHEDULE_PUT, buf_slice(&body));
        starve_end();
        cr_assert_eq(status, 503);
        cr_assert_str_eq(reply, "out of memory");
    }
    cr_assert_str_eq(read_topic(CRYPTO_NEWS), "{\"a\":1}");
    close_schedule();
}

/* C-47: an object is of one source; parts of the next one do not mix with it. */
Test(schedule, takes_data_from_the_active_source_only)
{
    open_schedule("sources", "news=a b");
    cr_assert_eq(put_from(CRYPTO_NEWS, "a", false, "{\"a\":1}"), 202);
    cr_assert_eq(put_from(CRYPTO_NEWS, "b", false, "{\"b\":1}"), 202);
    cr_assert_str_eq(read_topic(CRYPTO_NEWS), "{\"a\":1}");
    cr_assert_eq(put_from(CRYPTO_NEWS, "a", true, "{\"c\":1}"), 202);
    cr_assert_str_eq(read_topic(CRYPTO_NEWS), "{\"a\":1,\"c\":1}");
    now_ms += 180000;
    put_from(CRYPTO_NEWS, "b", true, "{\"b\":2}");
    cr_assert_str_eq(read_topic(CRYPTO_NEWS), "{\"a\":1,\"c\":1}", "three intervals old is healthy");
    now_ms += 1;
    put_from(CRYPTO_NEWS, "b", true, "{\"b\":3}");
    cr_assert_str_eq(read_topic(CRYPTO_NEWS), "{\"b\":3}");
    for (int i = 0; i < SOURCES_MAX - 2; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%d", i);
        cr_assert_eq(put_from(CRYPTO_NEWS, name, false, "{}"), 202);
    }
    cr_assert_eq(put_from(CRYPTO_NEWS, "one-more", false, "{}"), 422);
    cr_assert_str_eq(reply, "too many sources of this service at once");
    close_schedule();
}

/* C-47: failover is noticed at the tick, data or not. */
Test(schedule, fails_over_at_a_tick)
{
    open_schedule("sources", "market_data=a b");
    put_from(CRYPTO_MARKET_DATA, "a", false, "{}");
    pass(10000, 0);
    put_from(CRYPTO_MARKET_DATA, "b", false, "{}");
    pass(5000, 0);
    cr_assert_not_null(strstr(read_topic(CRYPTO_POOL_MANAGER), "\"active_source\":\"a\""));
    pass(5000, 0);
    cr_assert_not_null(strstr(read_topic(CRYPTO_POOL_MANAGER), "\"active_source\":\"b\""));
    cr_assert_not_null(strstr(reply, "\"failover_count\":1"));
    close_schedule();
}

/* C-46 */
Test(schedule, judges_health_over_all_topics)
{
    open_schedule(NULL, NULL);
    cr_assert_str_eq(
        read_topic(CRYPTO_HEALTH_CHECKER),
        "{\"overall_health\":\"unhealthy\",\"healthy_count\":0,\"unhealthy_count\":0,\"total_providers\":0,"
        "\"providers\":{},\"timestamp\":\"2024-01-23T12:34:56.000Z\"}");
    put_from(CRYPTO_MARKET_DATA, "a", false, "{}");
    put_from(CRYPTO_NEWS, "a", false, "{}");
    put_from(CRYPTO_SENTIMENT, "b", false, "{}");
    cr_assert_not_null(strstr(read_topic(CRYPTO_HEALTH_CHECKER),
                              "{\"overall_health\":\"healthy\",\"healthy_count\":2,\"unhealthy_count\":0,"
                              "\"total_providers\":2,\"providers\":{\"a\":{\"status\":\"healthy\","
                              "\"response_time_ms\":7,\"last_check\":\"2024-01-23T12:34:56.000Z\"},\"b\":"));
    pass(90001, 0);
    cr_assert_not_null(
        strstr(read_topic(CRYPTO_HEALTH_CHECKER), "\"overall_health\":\"degraded\",\"healthy_count\":1"));
    cr_assert_not_null(strstr(reply, "\"a\":{\"status\":\"healthy\""), "its news are fresh");
    pass(90000, 0);
    cr_assert_not_null(
        strstr(read_topic(CRYPTO_HEALTH_CHECKER), "\"overall_health\":\"unhealthy\",\"healthy_count\":0"));
    close_schedule();
}

static size_t report_bytes(enum crypto_service topic)
{
    struct slice report = slice_text(read_topic(topic));
    cr_assert(json_valid(report, JSON_DEPTH_MAX));
    return report.bytes;
}

/* The worst that there can be stays within what schedule_report.h says: all sources that fit, with names that need most
 * bytes as JSON. Reports are made as long as none is ingested, so of three topics there are none. */
Test(schedule, reports_are_bounded)
{
    open_schedule(NULL, NULL);
    for (enum crypto_service topic = 0; topic < CRYPTO_TOPICS; topic++) {
        bool report = topic >= CRYPTO_HEALTH_CHECKER && topic <= CRYPTO_SCHEDULER;
        for (int i = 0; i < SOURCES_MAX && !report; i++) {
            char name[SOURCE_NAME_BYTES_MAX + 1] = "";
            memset(name, 1, sizeof name - 1);
            name[0] = (char)('a' + topic);
            name[1] = (char)('a' + i);
            cr_assert_eq(put_from(topic, name, false, "{}"), 202);
        }
    }
    size_t bytes = report_bytes(CRYPTO_HEALTH_CHECKER) + report_bytes(CRYPTO_POOL_MANAGER);
    cr_assert_leq(bytes * CRYPTO_TOPICS / (CRYPTO_TOPICS - 3) + report_bytes(CRYPTO_SCHEDULER), 256 << 10);
    close_schedule();
}
