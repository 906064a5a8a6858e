/* SPDX-License-Identifier: MIT */
/* Proves the command line of the load client: what it fills in, and which combinations it refuses with a sentence. Run
 * by unit_bench. */
#include "bench/bench_options.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define WORDS_MAX 16
#define URL "ws://127.0.0.1:9500/plain/prices"

static struct options options;

/* The arguments in one string, divided by spaces. */
static enum options_result parse(const char *line, char why[256])
{
    static char text[512];
    char *words[WORDS_MAX] = {"ringcast-bench"};
    int count = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    struct buf reason = buf_of(why, 255);
    enum options_result result = options_parse(&options, count, words, &reason);
    why[reason.used] = '\0';
    return result;
}

static void expect_wrong(const char *line, const char *part)
{
    char why[256];
    cr_assert_eq(parse(line, why), OPTIONS_WRONG, "%s", line);
    cr_assert(strstr(why, part), "%s: %s", line, why);
    options_release(&options);
}

Test(bench_options, a_burst_of_one_is_the_load_when_none_is_given)
{
    char why[256];
    cr_assert_eq(parse("fanout " URL, why), OPTIONS_RUN);
    cr_assert_eq(options.window, 1);
    cr_assert_eq(options.speak, SPEAK_PLAIN);
    cr_assert_str_eq(options.publish_url, URL);
    options_release(&options);
}

Test(bench_options, slow_and_roaming_subscribers_are_percentages)
{
    char why[256];
    cr_assert_eq(parse("fanout " URL " --churn 5 --slow-pct=50 --slow-rate 1KiB --speak nats", why), OPTIONS_RUN, "%s",
                 why);
    cr_assert_eq(options.churn, 5);
    cr_assert_eq(options.slow_pct, 50);
    cr_assert_eq(options.slow_bytes, 1024);
    cr_assert_eq(options.speak, SPEAK_NATS);
    options_release(&options);
}

Test(bench_options, what_makes_no_sense_together_is_refused)
{
    expect_wrong("connect " URL " --rate 10", "--connect-rate");
    expect_wrong("fanout " URL " --rate 10 --window 2", "exclude each other");
    expect_wrong("fanout " URL " --churn 50 --slow-pct 50", "nobody");
    expect_wrong("echo " URL " --churn 1", "fanout");
    expect_wrong("fanout " URL " --speak nats --publish-http http://127.0.0.1/", "WebSockets");
    expect_wrong("echo " URL " --speak nats", "no echo");
    expect_wrong("channels " URL, "{channel}");
    expect_wrong("echo " URL " --tls --insecure --ca a.pem", "anybody");
    expect_wrong("fanout", "a URL");
}

Test(bench_options, jobs_have_options_of_their_own)
{
    char why[256];
    cr_assert_eq(parse("jobs ws://127.0.0.1:3002/ --submitters 64 --workers 32 --poll 1ms --accept", why), OPTIONS_RUN,
                 "%s", why);
    cr_assert_eq(options.scenario, SCENARIO_JOBS);
    cr_assert_eq(options.submitters, 64);
    cr_assert_eq(options.workers, 32);
    cr_assert_eq(options.listeners, 0);
    cr_assert_eq(options.poll_ms, 1);
    cr_assert_eq(options.window, 1);
    cr_assert(options.accept);
    options_release(&options);
}

Test(bench_options, what_jobs_cannot_do_is_refused)
{
    expect_wrong("jobs ws://127.0.0.1:3002/ --rate 10", "schedule");
    expect_wrong("jobs ws://127.0.0.1:3002/ --window 100001", "--window");
    expect_wrong("jobs ws://127.0.0.1:3002/ --submitters 0 --workers 0", "--listeners");
    expect_wrong("jobs ws://127.0.0.1:3002/ --submitters 0 --unfit 5", "--submitters");
    expect_wrong("jobs ws://127.0.0.1:3002/ --workers 0 --claims 5", "--workers");
    expect_wrong("jobs ws://127.0.0.1:3002/ --bare /tmp/x", "--submitters 1");
    expect_wrong("jobs ws://127.0.0.1:3002/ --lockstep", "--listeners");
    expect_wrong("jobs wss://127.0.0.1:3002/", "ws://");
    expect_wrong("jobs ws://127.0.0.1:3002/ --threads 2", "one thread");
    expect_wrong("jobs ws://127.0.0.1:3002/ --duration 0", "--messages");
}
