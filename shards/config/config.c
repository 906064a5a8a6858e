/* SPDX-License-Identifier: MIT */
/* Owns the settings of the server and how they come together: defaults, then the file, the environment and --set. It
 * prints nothing, keeps nothing between two loads and never changes a configuration that it has handed out. Called at
 * start, by the reload and by the commands `check` and `genconfig`. */
#include "protocol/dialect.h"
#include "shards/config/config_parts.h"

#include "core/check.h"

#include <errno.h>
#include <stdlib.h>

/* --- tables ------------------------------------------------------------------------------------------------------- */

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL}; /* enum log_level */
static const char *const log_formats[] = {"logfmt", "json", NULL};                /* enum log_format */
static const char *const sandboxes[] = {"auto", "on", "off", NULL};               /* enum sandbox_choice */
static const char *const zero_copies[] = {"auto", "off", NULL};                   /* enum zero_copy */

#define SERVER(field) offsetof(struct server_settings, field)
#define INGEST(field) offsetof(struct ingest_settings, field)
#define ADMIN(field) offsetof(struct admin_settings, field)
#define TLS(field) offsetof(struct tls_config, field)

#define HOUR_MS 3600000
#define MIB (UINT64_C(1) << 20)

const struct option config_server_options[] = {
    OPTION("shards", COUNT, SERVER(shards), "0", .max = SHARDS_MAX,
           .doc = "Threads that serve connections; 0: one per core that the process may use."),
    OPTION("pin", BOOL, SERVER(pin), "true", .doc = "Pin each shard to a core."),
    OPTION(
        "sandbox", CHOICE, SERVER(sandbox), "auto", .choices = sandboxes,
        .doc =
            "Each thread may make the system calls that it needs and no other (seccomp); on: no start without; auto: "
            "where the kernel and the build can."),
    OPTION("log_level", CHOICE, SERVER(log_level), "info", .choices = log_levels, .reloadable = true,
           .doc = "What is logged to stderr: this level and those before it."),
    OPTION("log_format", CHOICE, SERVER(log_format), "logfmt", .choices = log_formats, .reloadable = true,
           .doc = "Form of a log line."),
    OPTION("connections_max", COUNT, SERVER(connections_max), "1000000", .min = 1,
           .max = (uint64_t)SHARDS_MAX * CONNECTIONS_PER_SHARD_MAX,
           .doc = "Connections of the whole process, split over the shards; beyond: not accepted."),
    OPTION(
        "connections_per_address", COUNT, SERVER(connections_per_address), "0", .max = UINT32_MAX, .reloadable = true,
        .doc = "Connections of one address at a time, before and after any handshake; 0: no limit. Not for operators' "
               "listeners."),
    OPTION("channel_filters_max", SIZE, SERVER(channel_filters_max), "1MiB", .min = 1024, .reloadable = true,
           .doc =
               "Different filters of one channel's listeners, 64 bytes each and their text; beyond it a further one is "
               "refused (1013)."),
    OPTION("frame_memory", SIZE, SERVER(frame_memory_bytes), "1GiB", .min = MIB,
           .doc =
               "Memory for messages that wait for readers, whole process; who holds the oldest beyond it is closed."),
    OPTION("answer_memory", SIZE, SERVER(answer_memory_bytes), "256MiB", .min = MIB,
           .doc =
               "Memory for what is said to one connection alone and waits (answers, pongs), whole process; beyond it "
               "the connection that holds most is closed. Each shard has 32 MiB at least."),
    OPTION("input_memory", SIZE, SERVER(input_memory_bytes), "512MiB", .min = MIB, .reloadable = true,
           .doc = "Memory for heads, messages and bodies that have not come whole, or wait, whole process; beyond it a "
                  "connection that holds much without getting on is closed. Each shard has 128 MiB at least."),
    OPTION("send_buffer", SIZE, SERVER(send_buffer_bytes), "128KiB", .max = 64 * MIB,
           .doc = "Kernel send buffer of a connection (SO_SNDBUF); 0: the kernel's default."),
    OPTION("receive_buffer", SIZE, SERVER(receive_buffer_bytes), "64KiB", .max = 64 * MIB,
           .doc = "Kernel receive buffer of a connection (SO_RCVBUF); 0: the kernel's default."),
    OPTION("notsent_lowat", SIZE, SERVER(notsent_lowat_bytes), "128KiB", .max = 64 * MIB,
           .doc = "Unsent bytes in the kernel beyond which a socket takes no more (TCP_NOTSENT_LOWAT); 0: unset."),
    OPTION(
        "zero_copy", CHOICE, SERVER(zero_copy), "auto", .choices = zero_copies, .reloadable = true,
        .doc =
            "Long sends read frames in place, except to peers where the kernel copies them all the same; off: never."),
    OPTION("zero_copy_min", SIZE, SERVER(zero_copy_bytes_min), "16KiB", .min = 1, .max = 64 * MIB, .reloadable = true,
           .doc = "Shorter sends are copied."),
    OPTION("zero_copy_pinned_max", SIZE, SERVER(zero_copy_pinned_max), "256MiB", .reloadable = true,
           .doc =
               "Bytes on their way without a copy, whole process, split over the shards; beyond it sends are copied."),
    OPTION("handshake_timeout", DURATION, SERVER(handshake_timeout_ms), "10s", .min = 10, .max = HOUR_MS,
           .reloadable = true, .doc = "From accepting a connection to the answer to its request (K-24)."),
    OPTION("message_timeout", DURATION, SERVER(message_timeout_ms), "60s", .min = 10, .max = HOUR_MS,
           .reloadable = true, .doc = "A message that has begun is complete within this time (K-24)."),
    OPTION(
        "send_timeout", DURATION, SERVER(send_timeout_ms), "30s", .max = HOUR_MS, .reloadable = true,
        .doc =
            "A send is taken by the peer within this time and a second for each 16 KiB of it, or the connection ends; "
            "0: no limit."),
    OPTION("close_timeout", DURATION, SERVER(close_timeout_ms), "5s", .min = 10, .max = HOUR_MS, .reloadable = true,
           .doc = "How long a peer may take for its half of a close."),
    OPTION("drain_timeout", DURATION, SERVER(drain_timeout_ms), "10s", .max = HOUR_MS, .reloadable = true,
           .doc = "From SIGTERM to the end of the process at the latest (K-31)."),
    OPTION("drain_rate", COUNT, SERVER(drain_rate), "1000", .max = 1000000, .reloadable = true,
           .doc = "Connections that a drain closes a second, in random order, whole process; more when they would take "
                  "longer than 0.7 of what is left of drain_timeout; 0: all at once."),
    OPTION(
        "spin_us", COUNT, SERVER(spin_us), "0", .max = 10000,
        .doc =
            "Microseconds that a shard looks for work before it sleeps, while work tends to come within them; 0 where "
            "shards share cores."),
    OPTION("compression_level", COUNT, SERVER(compression_level), "1", .min = 1, .max = 9,
           .doc = "Of permessage-deflate: 1 is fast, 9 is small."),
    OPTION("direct_descriptors", BOOL, SERVER(direct_descriptors), "true",
           .doc = "Keep sockets in each ring's own table, beyond the process's limit of open files."),
    OPTION("hosts", TEXTS, SERVER(hosts), "", .reloadable = true,
           .doc = "Names, beside localhost and addresses, that a Host may give at a listener on a loopback address."),
    {0},
};

const struct option config_ingest_options[] = {
    OPTION("listen", TEXTS, INGEST(listen), "127.0.0.1:9400", .doc = "Addresses for publishers; []: none."),
    OPTION(
        "keys", SECRETS, INGEST(keys), "", .reloadable = true,
        .doc =
            "Who may publish what: \"KEY PATTERN [PATTERN...]\", a pattern being DIALECT/TOPIC with * for any rest; "
            "without keys every publisher is refused. KEY certificate:NAME stands for a client certificate with that "
            "common name."),
    OPTION("keys_file", TEXT, INGEST(keys_file), "", .reloadable = true,
           .doc = "The same from a file, one entry a line; relative to the working directory."),
    OPTION("body_bytes_max", SIZE, INGEST(body_bytes_max), "16MiB", .min = 1, .max = INGEST_BODY_BYTES_MAX,
           .reloadable = true, .doc = "Content of one request or message of a publisher (I-3)."),
    OPTION("outstanding_max", COUNT, INGEST(outstanding_max), "1024", .min = 1, .max = MAIL_RING_ITEMS,
           .doc = "Publishes of one shard that wait for their home; beyond it publishers wait."),
    OPTION("outstanding_bytes_max", SIZE, INGEST(outstanding_bytes_max), "64MiB", .min = 1, .reloadable = true,
           .doc = "Memory of the publishes of one shard that wait for their home; beyond it publishers wait."),
    {0},
};

const struct option config_admin_options[] = {
    OPTION("listen", TEXTS, ADMIN(listen), "127.0.0.1:9401", .doc = "Addresses for health and metrics; []: none."),
    {0},
};

static const char *const tls_versions[] = {"1.3", "1.2", NULL};

const struct option config_tls_options[] = {
    OPTION(
        "certificates", TEXTS, TLS(certificates), "", .reloadable = true,
        .doc =
            "Certificate chains and keys for listeners with `tls`, each \"CHAIN.pem KEY.pem\", paths relative to the "
            "working directory. A client's server name (SNI) chooses; the first serves all others."),
    OPTION("client_authorities", TEXT, TLS(client_authorities), "", .reloadable = true,
           .doc = "PEM file of the authorities that sign clients' certificates, for listeners with `client=`."),
    OPTION("minimum_version", CHOICE, TLS(minimum_version), "1.3", .choices = tls_versions, .reloadable = true,
           .doc = "Oldest version of TLS that is spoken; 1.2 only with ECDHE and AEAD suites."),
    OPTION("ticket_lifetime", DURATION, TLS(ticket_lifetime_ms), "12h", .max = 168 * HOUR_MS, .reloadable = true,
           .doc = "For how long a client may resume its session with a ticket; 0: no tickets."),
    OPTION("handshakes_per_second", COUNT, TLS(handshakes_per_second), "2000", .max = UINT32_MAX, .reloadable = true,
           .doc = "TLS handshakes that each shard begins in a second; beyond it connections are closed before any "
                  "cryptography; 0: no limit."),
    OPTION("handshakes_max", COUNT, TLS(handshakes_max), "1024", .min = 1, .max = UINT32_MAX, .reloadable = true,
           .doc = "TLS handshakes of each shard that have begun and not ended; beyond it connections are closed."),
    OPTION("memory", SIZE, TLS(memory_bytes), "1GiB", .reloadable = true,
           .doc = "What the TLS library may hold for all sessions together; 0: no limit. About 5 KiB a session."),
    OPTION("buffer_memory", SIZE, TLS(buffer_bytes), "256MiB", .min = MIB,
           .doc = "Memory for records on their way to readers, whole process; beyond it TLS connections wait. Each "
                  "shard has 512 KiB at least."),
    {0},
};

/* --- making and freeing ------------------------------------------------------------------------------------------- */

/* The dialect's own word on common options that it wants otherwise. */
static int dialect_defaults(const struct dialect *dialect, void *settings)
{
    for (const struct dialect_default *d = dialect->defaults; d != NULL && d->name != NULL; d++) {
        uint8_t memory[256];
        struct buf why = buf_of(memory, sizeof memory);
        const struct option *row = option_find(dialect_common_options, slice_text(d->name), NULL);
        check(row != NULL);
        int error = option_set(settings, row, slice_text(d->value), &why);
        check(error != -EINVAL);
        if (error != 0)
            return error;
    }
    return 0;
}

static int defaults(struct config *config)
{
    struct config_sections sections;
    for (uint32_t i = 0; dialects[i] != NULL; i++) {
        check_op(i, <, DIALECTS_MAX);
        check_op(dialects[i]->settings_bytes, >=, sizeof(struct dialect_settings));
        config->dialects[i] = calloc(1, dialects[i]->settings_bytes);
        if (config->dialects[i] == NULL)
            return -ENOMEM;
        config->dialect_count = i + 1;
    }
    config_sections(config, &sections);
    config->origins = calloc(sections.rows, sizeof *config->origins);
    int error = config->origins == NULL ? -ENOMEM : 0;
    for (uint32_t i = 0; i < sections.count; i++)
        for (uint32_t t = 0; t < 2; t++)
            if (error == 0 && sections.items[i].tables[t] != NULL)
                error = option_defaults(sections.items[i].object, sections.items[i].tables[t]);
    for (uint32_t i = 0; error == 0 && i < config->dialect_count; i++)
        error = dialect_defaults(dialects[i], config->dialects[i]);
    return error;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    struct config_sections sections;
    config_keys_free(config);
    config_tls_free(config);
    config_sections(config, &sections);
    for (uint32_t i = 0; i < sections.count; i++)
        for (uint32_t t = 0; t < 2; t++)
            if (sections.items[i].object != NULL && sections.items[i].tables[t] != NULL)
                option_release(sections.items[i].object, sections.items[i].tables[t]);
    for (uint32_t i = 0; i < config->dialect_count; i++)
        free(config->dialects[i]);
    free(config->origins);
    free(config->notices);
    free(config);
}

/* --- merging ------------------------------------------------------------------------------------------------------ */

/* An empty variable over keys is one that somebody forgot to fill. */
static bool is_lost_key_file(const struct option *row, struct slice value)
{
    return strcmp(row->name, "keys_file") == 0 && value.bytes == 0;
}

static int set_row(struct config *config, const struct config_sections *sections, uint32_t number, struct slice value,
                   enum config_origin_kind kind, struct config_findings *findings)
{
    const struct config_section *section = config_section_of(sections, number);
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof memory);
    config->origins[number] = (struct config_origin){.kind = kind};
    const struct option *row = config_row(section, number - section->first);
    bool is_none = row->kind == OPTION_SECRETS && slice_is(value, "[]");
    int error = option_set(section->object, row, is_none ? slice_text("") : value, &why);
    if (error == -EINVAL)
        config_finding(findings, section, number - section->first, &config->origins[number], "%.*s", (int)why.used,
                       (const char *)why.data);
    else if (error == 0 && (!config_may_be_empty(section, row, is_none) || is_lost_key_file(row, value)))
        config_finding(findings, section, number - section->first, &config->origins[number],
                       "is empty, which would leave it without keys; %s",
                       row->kind == OPTION_SECRETS ? "unset it, or write [] for none" : "unset it");
    return error == -EINVAL ? 0 : error;
}

/* Variables with our prefix that belong to the commands `publish` and `subscribe`. */
static bool is_command_variable(struct slice name)
{
    return slice_is(name, "INGEST_KEY") || slice_is(name, "KEY");
}

static bool slice_ends(struct slice text, const char *end)
{
    size_t bytes = strlen(end);
    return text.bytes >= bytes && memcmp(text.data + text.bytes - bytes, end, bytes) == 0;
}

/* A port's number and protocol, and what may stand behind: "9500_TCP", "9500_TCP_ADDR". */
static bool is_numbered_port(struct slice text)
{
    static const char *const protocols[] = {"_TCP", "_UDP", "_SCTP"};
    size_t digits = 0;
    while (digits < text.bytes && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    text = slice_skip(text, digits);
    for (size_t i = 0; digits > 0 && i < sizeof protocols / sizeof protocols[0]; i++)
        if (slice_starts(text, slice_text(protocols[i])))
            return true;
    return false;
}

/* Whether the kubelet sets such a variable for a Service whose name begins with "ringcast" (enableServiceLinks): in
 * every pod of the namespace there are [NAME_]SERVICE_HOST, [NAME_]SERVICE_PORT[_PORTNAME], [NAME_]PORT=tcp://HOST:PORT
 * and [NAME_]PORT_NUMBER_TCP[_PROTO|_PORT|_ADDR]. */
static bool is_service_variable(struct slice name, const char *value)
{
    if (slice_is(name, "SERVICE_HOST") || slice_ends(name, "_SERVICE_HOST"))
        return true;
    if (slice_is(name, "PORT") || slice_ends(name, "_PORT"))
        if (strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0 || strncmp(value, "sctp://", 7) == 0)
            return true;
    for (size_t i = 0; i < name.bytes; i++) {
        if (i > 0 && name.data[i - 1] != '_')
            continue;
        struct slice rest = slice_skip(name, i);
        bool is_port = slice_is(rest, "SERVICE_PORT") || slice_starts(rest, slice_text("SERVICE_PORT_"));
        if (is_port || (slice_starts(rest, slice_text("PORT_")) && is_numbered_port(slice_skip(rest, 5))))
            return true;
    }
    return false;
}

/* `name` is the variable's without the prefix. */
static int merge_variable(struct config *config, const struct config_sections *sections, struct slice name,
                          const char *value, struct config_findings *findings)
{
    char nearest[CONFIG_KEY_BYTES_MAX];
    int number = config_name_find(sections, CONFIG_ENVIRONMENT, name, nearest);
    if (number >= 0)
        return set_row(config, sections, (uint32_t)number, slice_text(value), CONFIG_FROM_ENVIRONMENT, findings);
    config_finding_at(findings, "environment", "RINGCAST_%.*s: unknown variable; %s%s%s", (int)name.bytes,
                      (const char *)name.data,
                      nearest[0] == '\0' ? "RINGCAST_SECTION_KEY sets a key" : "did you mean RINGCAST_", nearest,
                      nearest[0] == '\0' ? "" : "?");
    return 0;
}

static int merge_environment(struct config *config, char **environment, struct config_findings *findings)
{
    static const char prefix[] = "RINGCAST_";
    struct config_sections sections;
    config_sections(config, &sections);
    uint32_t of_services = 0;
    int error = 0;
    for (char **entry = environment; error == 0 && entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL || strncmp(*entry, prefix, sizeof prefix - 1) != 0)
            continue;
        const char *from = *entry + sizeof prefix - 1;
        struct slice name = slice_of(from, (size_t)(equals - from));
        if (is_service_variable(name, equals + 1))
            of_services++;
        else if (!is_command_variable(name))
            error = merge_variable(config, &sections, name, equals + 1, findings);
    }
    if (of_services > 0)
        config_notice(
            findings, "environment",
            "%u variables RINGCAST_... that Kubernetes sets for a Service are no settings and are passed over; "
            "enableServiceLinks: false ends them",
            of_services);
    return error;
}

static int merge_sets(struct config *config, const char *const *sets, struct config_findings *findings)
{
    struct config_sections sections;
    config_sections(config, &sections);
    int error = 0;
    for (; error == 0 && sets != NULL && *sets != NULL; sets++) {
        char nearest[CONFIG_KEY_BYTES_MAX];
        const char *equals = strchr(*sets, '=');
        size_t bytes = equals == NULL ? strlen(*sets) : (size_t)(equals - *sets);
        int number = config_name_find(&sections, CONFIG_DOTTED, slice_of(*sets, bytes), nearest);
        if (number < 0)
            config_finding_at(findings, "--set", "%.*s: unknown key; %s%s%s", (int)bytes, *sets,
                              nearest[0] == '\0' ? "'ringcast check' prints all that there are" : "did you mean ",
                              nearest, nearest[0] == '\0' ? "" : "?");
        else if (equals == NULL)
            config_finding_at(findings, "--set", "%s: no value; write --set %s=VALUE", *sets, *sets);
        else
            error = set_row(config, &sections, (uint32_t)number, slice_text(equals + 1), CONFIG_FROM_SET, findings);
    }
    return error;
}

/* Everything but the notices. */
static int merge(struct config *config, const struct config_source *source, struct config_findings *findings)
{
    int error = defaults(config);
    if (error == 0 && source->path != NULL)
        error = config_file_load(config, source->path, findings);
    if (error == 0)
        error = merge_environment(config, source->environment, findings);
    if (error == 0)
        error = merge_sets(config, source->sets, findings);
    if (error == 0)
        error = config_keys_load(config, findings);
    if (error == 0)
        error = config_tls_load(config, findings);
    if (error == 0)
        config_check(config, findings);
    if (error == 0 && findings->now != NULL && findings->count == 0)
        config_lost(findings->now, config, findings);
    return error == 0 && findings->count > 0 ? -EINVAL : error;
}

int config_reload(const struct config_source *source, const struct config *now, struct config **out, struct buf *why)
{
    struct config_findings findings = {.out = why, .path = source->path, .now = now};
    struct config *config = calloc(1, sizeof *config);
    if (config != NULL)
        config->notices = calloc(1, CONFIG_NOTICES_BYTES);
    int error = -ENOMEM;
    if (config != NULL && config->notices != NULL) {
        findings.notices = buf_of(config->notices, CONFIG_NOTICES_BYTES - 1);
        error = merge(config, source, &findings);
    }
    if (error == -ENOMEM)
        buf_put_text(why, "out of memory\n");
    if (error != 0) {
        config_free(config);
        return error;
    }
    *out = config;
    return 0;
}

int config_load(const struct config_source *source, struct config **out, struct buf *why)
{
    return config_reload(source, NULL, out, why);
}

const char *config_notices(const struct config *config)
{
    return config->notices;
}

/* --- reload ------------------------------------------------------------------------------------------------------- */

static bool texts_equal(const struct option_texts *a, const struct option_texts *b)
{
    bool equal = a->count == b->count;
    for (uint32_t i = 0; equal && i < a->count; i++)
        equal = strcmp(a->items[i], b->items[i]) == 0;
    return equal;
}

static bool values_equal(const struct option *row, const void *a, const void *b)
{
    a = (const uint8_t *)a + row->offset;
    b = (const uint8_t *)b + row->offset;
    switch (row->kind) {
    case OPTION_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case OPTION_COUNT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    case OPTION_CHOICE:
        return *(const uint32_t *)a == *(const uint32_t *)b;
    case OPTION_TEXT:
        return strcmp(*(char *const *)a, *(char *const *)b) == 0;
    case OPTION_TEXTS:
    case OPTION_SECRETS:
        return texts_equal(a, b);
    }
    check_failed(__FILE__, __LINE__, "a known option kind");
}

void config_restart_needed(const struct config *now, const struct config *next, struct buf *out)
{
    struct config_sections a, b;
    size_t from = out->used;
    config_sections(now, &a);
    config_sections(next, &b);
    for (uint32_t number = 0; number < a.rows; number++) {
        const struct config_section *section = config_section_of(&a, number);
        const struct option *row = config_row(section, number - section->first);
        char key[CONFIG_KEY_BYTES_MAX];
        if (row->reloadable || values_equal(row, section->object, config_section_of(&b, number)->object))
            continue;
        config_key(section, row, key);
        buf_put_text(out, out->used == from ? "" : ", ");
        buf_put_text(out, key);
    }
}
