/* SPDX-License-Identifier: MIT */
/* Owns what may not get lost between two configurations: a file that was emptied or cut keeps the old one, keys that
 * vanish need a word that says so. It never changes a value and knows no dialect. Called by config_reload, and
 * config_open by the server. */
#include "protocol/dialect.h"
#include "shards/config/config_parts.h"

#include "core/check.h"

#include <stdio.h>

static bool is_from_file(const struct config *config, uint32_t number)
{
    return config->origins[number].kind == CONFIG_FROM_FILE;
}

static uint32_t rows_from_file(const struct config *config, uint32_t first, uint32_t count)
{
    uint32_t rows = 0;
    for (uint32_t i = first; i < first + count; i++)
        rows += is_from_file(config, i);
    return rows;
}

static uint32_t row_of(const struct config_section *section, const char *name)
{
    int row = config_row_find(section, slice_text(name), NULL);
    check(row >= 0);
    return (uint32_t)row;
}

/* Both have each section at the same place. Of ingest and of the dialects. */
static bool has_keys(const struct config *config, const struct config_section *section)
{
    const struct dialect_settings *settings = section->object;
    if (section->object == &config->ingest)
        return config->ingest.grants.count > 0 || config->ingest.keys_file[0] != '\0';
    return settings->grants.count > 0 || settings->keys_file[0] != '\0';
}

/* `a` is of the configuration now, `b` of the next. */
static void check_keys(const struct config *now, const struct config *next, const struct config_section *a,
                       const struct config_section *b, struct config_findings *findings)
{
    uint32_t row = row_of(b, "keys");
    if (has_keys(now, a) && !has_keys(next, b) && next->origins[b->first + row].kind == CONFIG_FROM_DEFAULT)
        config_finding_at(findings, findings->path == NULL ? "settings" : findings->path,
                          "%s.keys: there were keys and now there are none; write %s: {keys: []} if that is meant",
                          b->name, b->name);
}

/* Addresses need a restart: a section of which they were, and of which nothing is left, was cut off. */
static void check_section(const struct config *now, const struct config *next, const struct config_section *a,
                          struct config_findings *findings)
{
    if (is_from_file(now, a->first + row_of(a, "listen")) && rows_from_file(next, a->first, a->count) == 0)
        config_finding_file(findings, 0, a->name,
                            "nothing is left of this section; to take it out of service restart without it");
}

void config_lost(const struct config *now, const struct config *next, struct config_findings *findings)
{
    struct config_sections a, b;
    config_sections(now, &a);
    config_sections(next, &b);
    if (rows_from_file(now, 0, a.rows) > 0 && rows_from_file(next, 0, b.rows) == 0) {
        config_finding_file(
            findings, 0, "",
            "the file holds no setting any more; one that is being written is complete when it is renamed "
            "into place");
        return;
    }
    for (uint32_t i = 1; i < a.count; i++) {
        if (config_row_find(&a.items[i], slice_text("listen"), NULL) < 0)
            continue;
        check_section(now, next, &a.items[i], findings);
        if (config_row_find(&a.items[i], slice_text("keys"), NULL) >= 0)
            check_keys(now, next, &a.items[i], &b.items[i], findings);
    }
}

/* --- open dialects ------------------------------------------------------------------------------------------------ */

/* Whether somebody without a certificate may come in through one of its addresses. */
static bool is_reachable(const struct dialect *dialect, const void *settings)
{
    const struct option_texts *texts;
    for (unsigned mount = 0; (texts = dialect_listen(dialect, settings, mount)) != NULL; mount++) {
        for (uint32_t i = 0; i < texts->count; i++) {
            if (!config_listen_wants_certificate(texts->items[i]))
                return true;
        }
    }
    return false;
}

uint32_t config_open(const struct config *config)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < config->dialect_count; i++)
        if (dialect_lets_everybody_in(dialects[i], config->dialects[i]) &&
            is_reachable(dialects[i], config->dialects[i]))
            open |= 1U << i;
    return open;
}
