/* SPDX-License-Identifier: MIT */
/* Owns the configuration of a run: the texts that an operator would give, and which listener serves what.
 * It never makes a shard and never judges.
 * Called by sim_world.c at the start and for a reload. */
#include "tests/sim/sim_config.h"

#include "core/check.h"
#include "core/work.h"
#include "protocol/tls/tls.h"
#include "shards/config/config_tls.h"
#include "tests/sim/sim_pem.h"
#include "tests/sim/sim_world.h"

#include <stdarg.h>
#include <stdio.h>

#define SETS_MAX 80

/* --- texts -------------------------------------------------------------------------------------------------------- */

struct sets {
    char text[SETS_MAX][96];
    const char *items[SETS_MAX + 1];
    uint32_t count;
};

static void set(struct sets *sets, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void set(struct sets *sets, const char *format, ...)
{
    va_list arguments;
    check_op(sets->count, <, SETS_MAX);
    va_start(arguments, format);
    int bytes = vsnprintf(sets->text[sets->count], sizeof sets->text[0], format, arguments);
    va_end(arguments);
    check(bytes >= 0 && (size_t)bytes < sizeof sets->text[0]);
    sets->items[sets->count] = sets->text[sets->count];
    sets->items[++sets->count] = NULL;
}

/* What stands behind the address of a listener. */
static const char *words(const struct sim_plan *plan, enum sim_port port)
{
    return plan->tls.listeners >> (port - SIM_PORT_PLAIN) & 1 ? " tls" : "";
}

static void set_tls(struct sets *sets, const struct sim_tls_plan *plan, bool reloaded)
{
    if (plan->listeners == 0)
        return;
    set(sets, "tls.certificates=%s", sim_pem_paths(reloaded ? SIM_PEM_BEHIND : SIM_PEM_BEFORE));
    set(sets, "tls.minimum_version=%s", plan->tls12 ? "1.2" : "1.3");
    set(sets, "tls.handshakes_max=%u", plan->handshakes);
}

static void set_server(struct sets *sets, const struct sim_plan *plan, bool reloaded)
{
    set(sets, "shards=%u", plan->shards);
    set(sets, "connections_max=%u", plan->connections_max);
    set(sets, "connections_per_address=%u", plan->work.all_per_address);
    set(sets, "frame_memory=%uMiB", plan->frame_memory_mib);
    set(sets, "zero_copy_min=%uB", plan->zero_copy_min);
    set(sets, "handshake_timeout=2s");
    set(sets, "message_timeout=5s");
    set(sets, "close_timeout=1s");
    set(sets, "ingest.listen=127.0.0.1:%u%s", SIM_PORT_INGEST, words(plan, SIM_PORT_INGEST));
    set(sets,
        reloaded ? "ingest.keys=" SIM_INGEST_KEY " *" : "ingest.keys=" SIM_INGEST_KEY " *," SIM_INGEST_KEY_LOST " *");
    set(sets, "ingest.outstanding_max=%u", plan->outstanding_max);
    set(sets, "admin.listen=127.0.0.1:%u%s", SIM_PORT_ADMIN, words(plan, SIM_PORT_ADMIN));
}

static void set_dialect(struct sets *sets, const struct sim_plan *plan, const char *name, uint16_t port, bool reloaded)
{
    uint32_t outbox = plan->outbox_bytes_max + (reloaded ? plan->work.outbox_bytes_more : 0);
    set(sets, "%s.listen=127.0.0.1:%u%s", name, port, words(plan, port));
    set(sets, "%s.outbox_bytes_max=%uB", name, outbox);
    set(sets, "%s.ping_interval=%s", name, plan->quick_pings ? "2s" : "30s");
    set(sets, "%s.idle_timeout=%s", name, plan->quick_pings ? "6s" : "90s");
    set(sets, "%s.compression=%s", name, plan->work.compression ? "true" : "false");
    set(sets, "%s.compression_threshold=32B", name);
    if (strcmp(name, "rustorium") != 0)
        set(sets, "%s.connections_per_address=%u", name, plan->work.per_address);
}

static void set_plain(struct sets *sets, const struct sim_plan *plan)
{
    set(sets, "plain.retain=%u", plan->retain);
    set(sets, "plain.retain_age=%ums", plan->retain_age_ms);
    set(sets, "plain.policy=lossless,late=latest");
    set(sets, "plain.client_publish=%s", plan->client_publish ? "true" : "false");
}

static void set_rustorium(struct sets *sets, const struct sim_plan *plan, bool reloaded)
{
    set(sets, reloaded ? "rustorium.keys=key-0,key-1" : "rustorium.keys=key-0,key-1,key-2");
    set(sets, "rustorium.connections_per_key=%u", reloaded ? plan->work.per_key_reloaded : plan->per_key);
    set(sets, "rustorium.attempts_per_minute=%u", plan->work.attempts);
}

static void set_aitbc(struct sets *sets, const struct sim_plan *plan)
{
    set(sets, "aitbc.keys=" SIM_AITBC_KEY);
    set(sets, "aitbc.connections_per_key=0");
    set(sets, "aitbc.blockchain_listen=127.0.0.1:%u%s", SIM_PORT_AITBC_CHAIN, words(plan, SIM_PORT_AITBC_CHAIN));
    set(sets, "aitbc.close_after_end=%ums", SIM_JOB_CLOSE_MS);
    set(sets, "aitbc.unknown_job=%s", plan->work.wait_for_jobs ? "wait" : "reject");
}

static void set_crypto(struct sets *sets, const struct sim_plan *plan)
{
    for (int i = 0; i < SIM_SERVICES; i++)
        set(sets, "crypto.%s_interval=%ums", sim_services[i], plan->work.interval_ms[i]);
    set(sets, "crypto.resend_unchanged=%s", plan->work.resend_unchanged ? "true" : "false");
}

struct config *sim_config_load(const struct sim_world *world, bool reloaded)
{
    static const char *const names[] = {"plain", "echo", "rustorium", "aitbc", "crypto"};
    static const uint16_t ports[] = {SIM_PORT_PLAIN, SIM_PORT_ECHO, SIM_PORT_RUSTORIUM, SIM_PORT_AITBC,
                                     SIM_PORT_CRYPTO};
    const struct sim_plan *plan = &world->plan;
    struct sets sets = {.count = 0};
    set_server(&sets, plan, reloaded);
    set_tls(&sets, &plan->tls, reloaded);
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        set_dialect(&sets, plan, names[i], ports[i], reloaded);
    set_plain(&sets, plan);
    set_rustorium(&sets, plan, reloaded);
    set_aitbc(&sets, plan);
    set_crypto(&sets, plan);

    char memory[4096];
    struct buf why = buf_of(memory, sizeof memory);
    struct config_source source = {.sets = sets.items};
    struct config *config;
    if (config_load(&source, &config, &why) != 0)
        sim_fail(world, "the configuration of the run does not load: %.*s", (int)why.used, memory);
    if (config->tls.material != NULL) /* not an option: no operator would want another number */
        config->tls.material->settings.records_per_key = plan->tls.records;
    return config;
}

/* --- listeners ---------------------------------------------------------------------------------------------------- */

/* Which dialect a port serves, and which of its mounts (dialect_call.mounts); NULL: none. */
static const char *dialect_of(enum sim_port port, uint32_t *mounts)
{
    *mounts = 1;
    switch (port) {
    case SIM_PORT_PLAIN:
        return "plain";
    case SIM_PORT_ECHO:
        return "echo";
    case SIM_PORT_RUSTORIUM:
        return "rustorium";
    case SIM_PORT_AITBC:
        return "aitbc";
    case SIM_PORT_AITBC_CHAIN:
        *mounts = 1U << 2; /* its second *_listen */
        return "aitbc";
    case SIM_PORT_CRYPTO:
        return "crypto";
    default:
        return NULL;
    }
}

void sim_config_listen(const struct config *config, uint32_t tls, struct ring *ring,
                       struct listener listeners[SIM_LISTENERS])
{
    for (uint16_t i = 0; i < SIM_LISTENERS; i++) {
        uint16_t port = (uint16_t)(SIM_PORT_PLAIN + i);
        struct ring_address address = {.bytes = {[10] = 0xFF, [11] = 0xFF, [12] = 127, [15] = 1}, .port = port};
        struct ring_listen_options options = {.address = address, .backlog = 64};
        uint32_t mounts;
        const char *name = dialect_of(port, &mounts);
        listeners[i] = (struct listener){.role = port == SIM_PORT_ADMIN ? ROLE_OPERATOR
                                                 : name == NULL         ? ROLE_INGEST
                                                                        : ROLE_SESSION,
                                         .tls = tls >> i & 1,
                                         .address = address};
        for (uint32_t d = 0; name != NULL && d < config->dialect_count; d++) {
            if (strcmp(dialects[d]->name, name) != 0)
                continue;
            listeners[i].dialects = 1U << d;
            listeners[i].mounts[d] = mounts;
        }
        int number = ring_listen(ring, &options, NULL);
        check(number >= 0);
        listeners[i].socket = (uint32_t)number;
    }
}
