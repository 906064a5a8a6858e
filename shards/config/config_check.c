/* SPDX-License-Identifier: MIT */
/* Owns the rules that concern more than one value: addresses that parse and do not collide, their number, prefixes,
 * and what a dialect itself objects to. It never changes a value and opens no socket: whether a port is free only the
 * listening shows. Called by config_load. */
#include "shards/config/config_parts.h"

#include "core/check.h"
#include "core/ring.h"
#include "protocol/handshake.h"
#include "protocol/http1.h"
#include "protocol/service.h"
#include "protocol/tls/tls.h"
#include "shards/config/config_listen.h"
#include "shards/config/forwarded.h"

#include <errno.h>
#include <stdio.h>

/* --- listeners ---------------------------------------------------------------------------------------------------- */

struct listener {
    const struct config_section *section;
    struct ring_address address;
    bool tls;
    enum tls_client_certificate client;
};

struct listeners {
    struct listener items[2 * LISTENERS_MAX];
    uint32_t count;
    uint32_t distinct;
};

static bool is_any(const struct ring_address *address)
{
    static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff}, v6[16] = {0};
    return memcmp(address->bytes, v4, sizeof v4) == 0 || memcmp(address->bytes, v6, sizeof v6) == 0;
}

static bool is_same(const struct ring_address *a, const struct ring_address *b)
{
    return a->port == b->port && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* Whether a connection to one could be meant for the other. Port 0 is chosen by the kernel and never collides. */
static bool is_collision(const struct ring_address *a, const struct ring_address *b)
{
    return a->port == b->port && a->port != 0 && (is_same(a, b) || is_any(a) || is_any(b));
}

/* Dialects share a listener by path; ingest and admin share theirs with nobody. */
static bool may_share(const struct config_section *a, const struct config_section *b)
{
    bool a_private = strcmp(a->name, "ingest") == 0 || strcmp(a->name, "admin") == 0;
    bool b_private = strcmp(b->name, "ingest") == 0 || strcmp(b->name, "admin") == 0;
    return a == b || (!a_private && !b_private);
}

/* Adds an address and returns what it collides with, or NULL: one that another section has for itself, or that speaks
 * TLS where this one does not. */
static const struct listener *listeners_add(struct listeners *all, const struct listener *added)
{
    bool known = false;
    const struct listener *rival = NULL;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct listener *other = &all->items[i];
        bool differs = other->tls != added->tls || other->client != added->client;
        known = known || is_same(&other->address, &added->address);
        if (rival == NULL && (!may_share(other->section, added->section) || differs) &&
            is_collision(&other->address, &added->address))
            rival = other;
    }
    all->distinct += known ? 0 : 1;
    if (all->count < sizeof all->items / sizeof all->items[0])
        all->items[all->count++] = *added;
    return rival;
}

/* `listen`, and of a dialect that has parts also each *_listen (dialect.h). */
static bool is_listen(const struct option *option)
{
    static const char suffix[] = "_listen";
    size_t bytes = strlen(option->name), tail = sizeof suffix - 1;
    return strcmp(option->name, "listen") == 0 || (bytes > tail && strcmp(option->name + bytes - tail, suffix) == 0);
}

/* What `tls` needs besides a certificate of its own. */
static const char *tls_fault(const struct config *config, const struct listen *listen)
{
    if (listen->tls && config->tls.certificates.count == 0)
        return "asks for TLS; name a certificate and its key in tls.certificates";
    if (listen->client != TLS_CLIENT_NONE && config->tls.client_authorities[0] == '\0')
        return "asks for clients' certificates; name their authorities in tls.client_authorities";
    return NULL;
}

static void check_listen(const struct config *config, const struct config_section *section, uint32_t row,
                         struct listeners *all, struct config_findings *findings)
{
    const struct option *option = config_row(section, row);
    const struct option_texts *texts = (const void *)((const uint8_t *)section->object + option->offset);
    const struct config_origin *origin = &config->origins[section->first + row];
    for (uint32_t i = 0; i < texts->count; i++) {
        struct listen listen;
        if (config_parse_listen(texts->items[i], &listen) != 0)
            config_finding(
                findings, section, row, origin,
                strchr(texts->items[i], ' ') != NULL
                    ? "\"%s\" is no address with what may stand behind one: tls, tls client=optional or tls "
                      "client=required"
                    : "\"%s\" is no address; write localhost:PORT, 127.0.0.1:PORT, [::1]:PORT or *:PORT, PORT "
                      "being 0 to 65535",
                texts->items[i]);
        const char *fault = tls_fault(config, &listen);
        if (fault != NULL)
            config_finding(findings, section, row, origin, "\"%s\" %s", texts->items[i], fault);
        const struct listener *rival = NULL;
        for (uint32_t a = 0; a < listen.count; a++) {
            struct listener added = {
                .section = section, .address = listen.addresses[a], .tls = listen.tls, .client = listen.client};
            const struct listener *found = listeners_add(all, &added);
            rival = rival == NULL ? found : rival;
        }
        if (rival != NULL && may_share(rival->section, section))
            config_finding(
                findings, section, row, origin,
                "\"%s\" is used by %s.listen with other words behind it; TLS or not, a port is the same for all",
                texts->items[i], rival->section->name);
        else if (rival != NULL)
            config_finding(findings, section, row, origin, "\"%s\" is taken by %s.listen; use another port",
                           texts->items[i], rival->section->name);
    }
}

static void check_listeners(const struct config *config, const struct config_sections *sections,
                            struct config_findings *findings)
{
    struct listeners all = {0};
    for (uint32_t i = 0; i < sections->count; i++)
        for (uint32_t row = 0; row < sections->items[i].count; row++)
            if (is_listen(config_row(&sections->items[i], row)))
                check_listen(config, &sections->items[i], row, &all, findings);
    if (all.distinct > LISTENERS_MAX)
        config_finding_at(findings, "listen", "%u different addresses in all sections; %d is the most", all.distinct,
                          LISTENERS_MAX);
}

/* --- prefixes ----------------------------------------------------------------------------------------------------- */

/* "" or an absolute path of RFC 3986 unreserved characters without a slash at its end. */
static bool is_prefix(const char *prefix)
{
    size_t bytes = strlen(prefix);
    if (bytes == 0)
        return true;
    return prefix[0] == '/' && prefix[bytes - 1] != '/' && strstr(prefix, "//") == NULL &&
           strspn(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/") == bytes;
}

static void check_prefix(const struct config *config, const struct config_section *section,
                         struct config_findings *findings)
{
    const struct dialect_settings *settings = section->object;
    int row = config_row_find(section, slice_text("prefix"), NULL);
    check(row >= 0);
    if (!is_prefix(settings->prefix))
        config_finding(findings, section, (uint32_t)row, &config->origins[section->first + (uint32_t)row],
                       "\"%s\" is no prefix; write /NAME without a slash at the end, or \"\" for none",
                       settings->prefix);
}

static void check_proxies(const struct config *config, const struct config_section *section,
                          struct config_findings *findings)
{
    const struct dialect_settings *settings = section->object;
    int row = config_row_find(section, slice_text("trusted_proxies"), NULL);
    check(row >= 0);
    for (uint32_t i = 0; i < settings->trusted_proxies.count; i++)
        if (!forwarded_is_network(settings->trusted_proxies.items[i]))
            config_finding(findings, section, (uint32_t)row, &config->origins[section->first + (uint32_t)row],
                           "\"%s\" is no address and no network; write 127.0.0.1, ::1, 10.0.0.0/8 or fd00::/8",
                           settings->trusted_proxies.items[i]);
}

/* An origin that can never match is one that somebody will miss. */
static void check_origins(const struct config *config, const struct config_section *section,
                          struct config_findings *findings)
{
    const struct dialect_settings *settings = section->object;
    int row = config_row_find(section, slice_text("origins"), NULL);
    check(row >= 0);
    for (uint32_t i = 0; i < settings->origins.count; i++) {
        const char *fault = handshake_origin_fault(settings->origins.items[i]);
        if (fault != NULL)
            config_finding(findings, section, (uint32_t)row, &config->origins[section->first + (uint32_t)row],
                           "\"%s\" %s", settings->origins.items[i], fault);
    }
}

static void check_hosts(const struct config *config, const struct config_section *section,
                        struct config_findings *findings)
{
    int row = config_row_find(section, slice_text("hosts"), NULL);
    check(row >= 0);
    for (uint32_t i = 0; i < config->server.hosts.count; i++) {
        struct slice text = slice_text(config->server.hosts.items[i]), host;
        uint32_t port;
        if (!http1_authority(text, &host, &port) || host.bytes != text.bytes)
            config_finding(findings, section, (uint32_t)row, &config->origins[section->first + (uint32_t)row],
                           "\"%s\" is no name of a host; write app.example, without a scheme and a port",
                           config->server.hosts.items[i]);
    }
}

/* What only the dialect knows: "OPTION: what is wrong", put where the option was set. */
static void check_dialect(const struct config *config, const struct dialect *dialect,
                          const struct config_section *section, struct config_findings *findings)
{
    char text[512];
    struct buf why = buf_of(text, sizeof text - 1);
    if (dialect->check_settings == NULL || dialect->check_settings(section->object, &why) == 0)
        return;
    text[why.used] = '\0';
    char *colon = strstr(text, ": ");
    check(colon != NULL);
    int row = config_row_find(section, slice_of(text, (size_t)(colon - text)), NULL);
    check(row >= 0);
    config_finding(findings, section, (uint32_t)row, &config->origins[section->first + (uint32_t)row], "%s", colon + 2);
}

/* A dialect that keeps records says where; all that are on share one store. */
static void check_store(const struct config *config, const struct dialect *dialect,
                        const struct config_section *section, const char **store, struct config_findings *findings)
{
    const struct dialect_settings *settings = section->object;
    bool keeps = dialect->service != NULL && dialect->service->tables != NULL;
    uint32_t row = (uint32_t)config_row_find(section, slice_text("store"), NULL);
    const struct config_origin *origin = &config->origins[section->first + row];
    if (!keeps && settings->store[0] != '\0')
        config_finding(findings, section, row, origin, "%s keeps no records; leave it out", dialect->name);
    if (!keeps || settings->listen.count == 0)
        return;
    if (settings->store[0] == '\0')
        config_finding(findings, section, row, origin,
                       "it is not said where records are kept; name a file, or memory if nothing need survive");
    else if (*store != NULL && strcmp(*store, settings->store) != 0)
        config_finding(findings, section, row, origin, "another dialect keeps its records in %s; name the same",
                       *store);
    else
        *store = settings->store;
}

void config_check(const struct config *config, struct config_findings *findings)
{
    struct config_sections sections;
    config_sections(config, &sections);
    const char *store = NULL;
    check_listeners(config, &sections, findings);
    check_hosts(config, &sections.items[0], findings);
    for (uint32_t i = 0; i < config->dialect_count; i++) {
        const struct config_section *section = &sections.items[CONFIG_SECTIONS_FIXED + i];
        check_prefix(config, section, findings);
        check_proxies(config, section, findings);
        check_origins(config, section, findings);
        check_dialect(config, dialects[i], section, findings);
        check_store(config, dialects[i], section, &store, findings);
    }
}
