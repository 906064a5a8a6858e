/* SPDX-License-Identifier: MIT */
/* Owns the options of ringcast-bench: their names, defaults, help, and which of them go together. It never opens a
 * socket or a file. Called by main once. */
#include "bench/bench_options.h"

#include <errno.h>

static const char *const speaks[] = {"plain", "nats", NULL};

#define AT(field) offsetof(struct options, field)

static const struct option rows[] = {
    OPTION("conns", COUNT, AT(conns), "100", .min = 1, .max = 10000000,
           .doc = "connections; of fanout and channels: subscribers per channel"),
    OPTION("publishers", COUNT, AT(publishers), "1", .min = 1, .max = 1024,
           .doc = "publishers of the channel (fanout)"),
    OPTION("channels", COUNT, AT(channels), "10", .min = 1, .max = 1000000,
           .doc = "channels, each with a publisher of its own (channels)"),
    OPTION("publish-ws", TEXT, AT(publish_ws), "",
           .doc = "ws:// or wss:// URL that relays what is sent to it; default: the subscribers' URL"),
    OPTION("publish-ingest", TEXT, AT(publish_ingest), "",
           .doc = "ws:// or wss:// URL of ringcast's publisher WebSocket; topic: last part of the subscribers' path"),
    OPTION("publish-http", TEXT, AT(publish_http), "",
           .doc = "http:// or https:// URL that takes each message as a POST"),
    OPTION("key", TEXT, AT(key), "", .doc = "publishers send Authorization: Bearer KEY"),
    OPTION("size", COUNT, AT(size), "128", .min = PAYLOAD_BYTES_MIN, .max = UINT64_C(16) << 20,
           .doc = "payload bytes of a message"),
    OPTION("binary", BOOL, AT(binary), "false", .doc = "binary messages instead of text"),
    OPTION("rate", COUNT, AT(rate), "0", .max = 100000000,
           .doc = "messages per second of all publishers together, sent by schedule"),
    OPTION("window", COUNT, AT(window), "0", .max = 1000000,
           .doc =
               "messages per burst; the next burst when every receiver has all of the last; default 1 without --rate"),
    OPTION("messages", COUNT, AT(messages), "0", .max = 4000000000,
           .doc = "ends the measured part by count, not by --duration"),
    OPTION("duration", DURATION, AT(duration_ms), "10s", .max = 86400000,
           .doc = "measured part; of connect: how long to stay"),
    OPTION("warmup", DURATION, AT(warmup_ms), "1s", .max = 86400000, .doc = "the same load before the measured part"),
    OPTION(
        "warmup-signal", BOOL, AT(warmup_signal), "false",
        .doc =
            "the warm-up takes a second after the other until SIGUSR1 comes, and fails when none does within --warmup"),
    OPTION("timeout", DURATION, AT(timeout_ms), "5s", .min = 1, .max = 3600000,
           .doc = "gives up after so long without any progress"),
    OPTION("threads", COUNT, AT(threads), "0", .max = THREADS_MAX,
           .doc = "client threads; 0: as few as the limit of open files allows, which bounds each thread's sockets"),
    OPTION("opening", COUNT, AT(opening), "64", .min = 1, .max = 4096, .doc = "handshakes in flight"),
    OPTION("connect-rate", COUNT, AT(connect_rate), "0", .max = 10000000,
           .doc = "handshakes begun per second while connections open; 0: as fast as --opening lets them"),
    OPTION("churn", COUNT, AT(churn), "0", .max = 99,
           .doc = "percent of the subscribers that leave and come back, each once per second (fanout)"),
    OPTION("slow-pct", COUNT, AT(slow_pct), "0", .max = 99, .doc = "percent of the subscribers that are slow (fanout)"),
    OPTION("slow-rate", SIZE, AT(slow_bytes), "0", .max = UINT64_C(1) << 30,
           .doc = "bytes per second that a slow subscriber reads; 0: nothing"),
    OPTION("submitters", COUNT, AT(submitters), "16", .max = 100000, .doc = "who submit jobs (jobs)"),
    OPTION("workers", COUNT, AT(workers), "16", .max = 100000, .doc = "who claim and complete them (jobs)"),
    OPTION("listeners", COUNT, AT(listeners), "0", .max = 1000000,
           .doc = "workers that are told of each job and claim none (jobs)"),
    OPTION("ahead", COUNT, AT(ahead), "10000", .min = 1, .max = 10000000,
           .doc = "jobs under way at most, submitted and not completed (jobs)"),
    OPTION("lockstep", BOOL, AT(lockstep), "false",
           .doc = "the next job when the last is acknowledged and every listener has been told of it (jobs)"),
    OPTION("accept", BOOL, AT(accept), "false",
           .doc = "a worker accepts each job and waits for the acknowledgement before it completes it (jobs)"),
    OPTION("eager", BOOL, AT(eager), "false",
           .doc = "a worker claims the next job together with the completion of the last, before that is acknowledged "
                  "(jobs)"),
    OPTION("poll", DURATION, AT(poll_ms), "0", .max = 3600000,
           .doc = "workers do not listen: they ask again so long after a claim for which there was no job (jobs)"),
    OPTION("bare", TEXT, AT(bare), "",
           .doc = "file to which the bytes of each job are appended and synced before it is submitted, as a measure of "
                  "the disk then; of one submitter (jobs)"),
    OPTION("unfit", COUNT, AT(unfit), "0", .max = 10000000,
           .doc = "jobs that nobody can do, which wait from before the load on (jobs)"),
    OPTION("claims", COUNT, AT(claims), "0", .max = 100000000,
           .doc = "claims for which there is no job, measured before the load, without and with --unfit (jobs)"),
    OPTION("speak", CHOICE, AT(speak), "plain", .choices = speaks,
           .doc = "plain, or nats: NATS' protocol in the messages; subject: last part of the URL's path"),
    OPTION("tls", BOOL, AT(tls), "false", .doc = "speak TLS although URLs say ws:// or http://"),
    OPTION("ca", TEXT, AT(ca), "", .doc = "whose certificates are believed over TLS (PEM); default: the system's"),
    OPTION("insecure", BOOL, AT(insecure), "false", .doc = "over TLS believe any certificate"),
    OPTION("spin-us", COUNT, AT(spin_us), "50", .max = 1000000,
           .doc = "microseconds that a thread looks for more before it sleeps"),
    OPTION("bind-address", TEXTS, AT(bind_addresses), "",
           .doc = "source addresses, comma-separated, taken in turn: one address has about 28,000 ports"),
    OPTION("server-pid", COUNT, AT(server_pid), "0", .max = INT32_MAX,
           .doc = "server whose CPU time and memory are measured"),
    OPTION("json", TEXT, AT(json), "", .doc = "file for the result as JSON; - is the standard output"),
    OPTION("histogram", TEXT, AT(histogram), "",
           .doc = "file for the distribution of latencies, in the text form of HdrHistogram"),
    OPTION("quiet", BOOL, AT(quiet), "false", .doc = "neither progress nor table"),
    {.name = NULL},
};

static const char *const scenario_names[] = {"fanout", "channels", "echo", "connect", "jobs", NULL};

const char *scenario_name(enum scenario scenario)
{
    return scenario_names[scenario];
}

void options_usage(FILE *out)
{
    fputs("Usage: ringcast-bench SCENARIO URL [--OPTION VALUE]...\n"
          "\n"
          "Loads a WebSocket server and checks that every message arrives, once and in order.\n"
          "\n"
          "  fanout    --conns subscribers of one URL and --publishers publishers\n"
          "  channels  --channels channels of --conns subscribers; {channel} in URLs becomes the channel's name\n"
          "  echo      --conns connections, each gets back what it sends\n"
          "  connect   --conns handshakes, then the connections stay idle for --duration\n"
          "  jobs      --submitters and --workers of a job queue (dialect emprops); --window: submissions without an\n"
          "            answer of each, --messages: jobs, --key: token\n"
          "  upload    files to a node (dialect rnn); has options of its own: ringcast-bench upload --help\n"
          "\n",
          out);
    for (const struct option *row = rows; row->name; row++)
        fprintf(out, "  --%-15s %s%s%s%s\n", row->name, row->doc, row->fallback[0] ? " (" : "", row->fallback,
                row->fallback[0] ? ")" : "");
    fputs("\nDurations carry a unit: 500ms, 10s, 5m. Exit code: 0 (clean), 1 (failed, or messages were lost, repeated "
          "or\n"
          "out of order), 2 (wrong usage), 3 (all arrived, but the client itself was the limit).\n",
          out);
}

bool options_take(void *options, const struct option *table, int count, char **arguments, int *at, struct buf *why)
{
    const char *text = arguments[*at] + 2;
    const char *equals = strchr(text, '=');
    struct slice name = slice_of(text, equals ? (size_t)(equals - text) : strlen(text));
    const char *nearest = NULL;
    const struct option *row = option_find(table, name, &nearest);
    if (!row) {
        buf_put_text(why, "unknown option --");
        buf_put(why, name);
        buf_put_text(why, nearest ? "; did you mean --" : "");
        buf_put_text(why, nearest ? nearest : "");
        return false;
    }
    const char *value = equals ? equals + 1 : NULL;
    if (!value && row->kind == OPTION_BOOL)
        value = "true";
    if (!value) {
        if (*at + 1 >= count) {
            buf_put_text(why, "--");
            buf_put(why, name);
            buf_put_text(why, " needs a value");
            return false;
        }
        value = arguments[++*at];
    }
    ++*at;
    uint8_t memory[256];
    struct buf reason = buf_of(memory, sizeof memory);
    if (option_set(options, row, slice_text(value), &reason) == 0)
        return true;
    buf_put_text(why, "--");
    buf_put(why, name);
    buf_put_text(why, ": ");
    buf_put(why, buf_slice(&reason));
    return false;
}

static bool choose_publisher(struct options *options, struct buf *why)
{
    struct {
        const char *url;
        enum publish_by by;
    } ways[] = {{options->publish_ws, PUBLISH_BY_WS},
                {options->publish_ingest, PUBLISH_BY_INGEST},
                {options->publish_http, PUBLISH_BY_HTTP}};
    options->publish_by = PUBLISH_BY_WS;
    options->publish_url = options->url;
    int given = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (ways[i].url[0] == '\0')
            continue;
        options->publish_by = ways[i].by;
        options->publish_url = ways[i].url;
        given++;
    }
    if (given > 1)
        buf_put_text(why, "--publish-ws, --publish-ingest and --publish-http exclude each other");
    return given <= 1;
}

static const char *combine_jobs(const struct options *options)
{
    if (options->rate > 0)
        return "jobs has no schedule: --rate means nothing there, --window and --ahead bound what is under way";
    if (options->window > 100000)
        return "--window of jobs is 100000 at most";
    if (options->submitters + options->workers + options->listeners == 0)
        return "jobs needs --submitters, --workers or --listeners";
    if (options->bare[0] && (options->submitters != 1 || options->window > 1))
        return "--bare needs --submitters 1 and --window 1: everybody else would wait for it";
    if (options->submitters == 0 && options->unfit > 0)
        return "--unfit needs --submitters, who submit them";
    if (options->workers == 0 && options->claims > 0)
        return "--claims needs --workers, who claim";
    if (options->lockstep && options->listeners == 0)
        return "--lockstep needs --listeners, whom it waits for";
    if (options->tls || strncmp(options->url, "wss:", 4) == 0)
        return "jobs speaks ws:// only";
    if (options->threads > 1)
        return "jobs has one thread";
    return options->duration_ms == 0 && options->messages == 0 ? "--duration 0 needs --messages" : NULL;
}

/* What a table row cannot say: which values go together. */
static bool combine(struct options *options, struct buf *why)
{
    const char *wrong = NULL;
    if (options->rate > 0 && options->window > 0)
        wrong = "--rate and --window exclude each other: by schedule, or a burst at a time";
    else if (options->scenario == SCENARIO_CONNECT && (options->window > 0 || options->rate > 0))
        wrong = "connect sends no messages: --window and --rate mean nothing there; --connect-rate paces handshakes";
    else if (options->scenario != SCENARIO_FANOUT && (options->churn > 0 || options->slow_pct > 0))
        wrong = "--churn and --slow-pct belong to fanout";
    else if (options->churn + options->slow_pct > 99)
        wrong = "--churn and --slow-pct together leave nobody whose messages are checked";
    else if (options->speak == SPEAK_NATS && (options->publish_ingest[0] || options->publish_http[0]))
        wrong = "--speak nats publishes on WebSockets: --publish-ws may say where";
    else if (options->speak == SPEAK_NATS && options->scenario == SCENARIO_ECHO)
        wrong = "--speak nats has no echo: a publisher gets nothing back";
    else if (options->scenario == SCENARIO_CHANNELS && !strstr(options->url, "{channel}"))
        wrong = "channels needs {channel} in the URL, as in ws://127.0.0.1:9500/plain/{channel}";
    else if (options->scenario == SCENARIO_JOBS)
        wrong = combine_jobs(options);
    else if (options->ca[0] && options->insecure)
        wrong = "--ca and --insecure exclude each other: those authorities, or anybody";
    else if (options->duration_ms == 0 && options->messages == 0 && options->scenario != SCENARIO_CONNECT)
        wrong = "--duration 0 needs --messages: nothing would be measured";
    if (wrong) {
        buf_put_text(why, wrong);
        return false;
    }
    if (options->rate == 0 && options->window == 0)
        options->window = 1;
    return choose_publisher(options, why);
}

enum options_result options_parse(struct options *options, int count, char **arguments, struct buf *why)
{
    memset(options, 0, sizeof *options);
    if (option_defaults(options, rows) != 0) {
        buf_put_text(why, "out of memory");
        return OPTIONS_WRONG;
    }
    const char *words[2] = {NULL, NULL};
    size_t word_count = 0;
    for (int at = 1; at < count;) {
        const char *argument = arguments[at];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            return OPTIONS_HELP;
        if (strncmp(argument, "--", 2) == 0) {
            if (!options_take(options, rows, count, arguments, &at, why))
                return OPTIONS_WRONG;
            continue;
        }
        if (word_count == 2) {
            buf_put_text(why, "one scenario and one URL are enough; too many: ");
            buf_put_text(why, argument);
            return OPTIONS_WRONG;
        }
        words[word_count++] = argument;
        at++;
    }
    if (word_count < 2) {
        buf_put_text(why, word_count == 0 ? "no scenario and no URL given" : "a scenario and a URL are needed");
        return OPTIONS_WRONG;
    }
    uint32_t scenario = 0;
    while (scenario_names[scenario] && strcmp(scenario_names[scenario], words[0]) != 0)
        scenario++;
    if (!scenario_names[scenario]) {
        buf_put_text(why, "unknown scenario ");
        buf_put_text(why, words[0]);
        buf_put_text(why, "; there are fanout, channels, echo, connect, jobs and upload");
        return OPTIONS_WRONG;
    }
    options->scenario = (enum scenario)scenario;
    options->url = words[1];
    return combine(options, why) ? OPTIONS_RUN : OPTIONS_WRONG;
}

void options_release(struct options *options)
{
    option_release(options, rows);
}
