/* SPDX-License-Identifier: MIT */
/* Owns the shape of the configuration: which sections there are, how their keys are called in the file, in the
 * environment and in findings. It never reads or changes a value. Called by the other files of the configuration. */
#include "shards/config/config_parts.h"

#include "core/check.h"
#include "protocol/dialect.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static uint32_t table_count(const struct option *table)
{
    uint32_t n = 0;
    while (table != NULL && table[n].name != NULL)
        n++;
    return n;
}

static void sections_add(struct config_sections *out, const char *name, const void *object, const struct option *first,
                         const struct option *second)
{
    check_op(out->count, <, CONFIG_SECTIONS_MAX);
    struct config_section *section = &out->items[out->count++];
    section->name = name;
    section->object = (void *)(uintptr_t)object; /* whoever was given a constant configuration only reads */
    section->tables[0] = first;
    section->tables[1] = second;
    section->first = out->rows;
    section->count = table_count(first) + table_count(second);
    out->rows += section->count;
}

void config_sections(const struct config *config, struct config_sections *out)
{
    out->count = out->rows = 0;
    sections_add(out, "", &config->server, config_server_options, NULL);
    sections_add(out, "ingest", &config->ingest, config_ingest_options, NULL);
    sections_add(out, "admin", &config->admin, config_admin_options, NULL);
    sections_add(out, "tls", &config->tls, config_tls_options, NULL);
    for (uint32_t i = 0; dialects[i] != NULL; i++)
        sections_add(out, dialects[i]->name, config->dialects[i], dialect_common_options, dialects[i]->options);
}

const struct option *config_row(const struct config_section *section, uint32_t index)
{
    check_op(index, <, section->count);
    uint32_t first = table_count(section->tables[0]);
    return index < first ? &section->tables[0][index] : &section->tables[1][index - first];
}

/* option_find compares with one table; here all names of a section are laid out as one, and all sections as another. */
#define NAMES_MAX 1024

static int name_find(const char *const *names, uint32_t count, struct slice name, const char **nearest)
{
    struct option table[NAMES_MAX + 1] = {0};
    check_op(count, <=, NAMES_MAX);
    for (uint32_t i = 0; i < count; i++)
        table[i].name = names[i];
    const struct option *found = option_find(table, name, nearest);
    return found == NULL ? -1 : (int)(found - table);
}

const struct config_section *config_section_find(const struct config_sections *sections, struct slice name,
                                                 const char **nearest)
{
    const char *names[CONFIG_SECTIONS_MAX];
    for (uint32_t i = 1; i < sections->count; i++) /* the top level has no name to be found by */
        names[i - 1] = sections->items[i].name;
    int found = name_find(names, sections->count - 1, name, nearest);
    return found < 0 ? NULL : &sections->items[found + 1];
}

int config_row_find(const struct config_section *section, struct slice name, const char **nearest)
{
    const char *names[NAMES_MAX];
    check_op(section->count, <=, NAMES_MAX);
    for (uint32_t i = 0; i < section->count; i++)
        names[i] = config_row(section, i)->name;
    return name_find(names, section->count, name, nearest);
}

void config_key(const struct config_section *section, const struct option *row, char out[CONFIG_KEY_BYTES_MAX])
{
    snprintf(out, CONFIG_KEY_BYTES_MAX, "%s%s%s", section->name, section->name[0] == '\0' ? "" : ".", row->name);
}

static void upper(char *name)
{
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
}

const struct config_section *config_section_of(const struct config_sections *sections, uint32_t number)
{
    uint32_t i = 0;
    while (number - sections->items[i].first >= sections->items[i].count)
        check_op(++i, <, sections->count);
    return &sections->items[i];
}

/* A section's name is a part of the whole name, so where two whole names are equal the longer section is the shorter
 * key. */
static bool is_better(const struct config_sections *sections, uint32_t number, int before)
{
    return before < 0 || strlen(config_section_of(sections, number)->name) >
                             strlen(config_section_of(sections, (uint32_t)before)->name);
}

int config_name_find(const struct config_sections *sections, enum config_naming naming, struct slice name,
                     char nearest[CONFIG_KEY_BYTES_MAX])
{
    char text[NAMES_MAX][CONFIG_KEY_BYTES_MAX];
    const char *names[NAMES_MAX], *found_nearest = NULL;
    int found = -1;
    check_op(sections->rows, <=, NAMES_MAX);
    for (uint32_t i = 0; i < sections->rows; i++) {
        const struct config_section *section = config_section_of(sections, i);
        config_key(section, config_row(section, i - section->first), text[i]);
        if (naming == CONFIG_ENVIRONMENT)
            upper(text[i]);
        names[i] = text[i];
        if (slice_is(name, text[i]) && is_better(sections, i, found))
            found = (int)i;
    }
    if (found < 0)
        name_find(names, sections->rows, name, &found_nearest);
    snprintf(nearest, CONFIG_KEY_BYTES_MAX, "%s", found_nearest == NULL ? "" : found_nearest);
    return found;
}

void config_environment_name(const struct config_section *section, const struct option *row, struct buf *out)
{
    char key[CONFIG_KEY_BYTES_MAX];
    config_key(section, row, key);
    upper(key);
    buf_put_text(out, "RINGCAST_");
    buf_put_text(out, key);
}

/* One line whatever a value holds. */
static void line_put(struct buf *out, const char *where, const char *key, const char *format, va_list arguments)
{
    char text[1024];
    size_t from = out->used;
    vsnprintf(text, sizeof text, format, arguments);
    buf_put_text(out, where);
    buf_put_text(out, ": ");
    if (key[0] != '\0') {
        buf_put_text(out, key);
        buf_put_text(out, ": ");
    }
    buf_put_text(out, text);
    /* A key of the file, too, may hold what would begin a line of its own. */
    for (size_t i = from; i < out->used; i++)
        if (iscntrl(out->data[i]))
            out->data[i] = '?';
    buf_put_byte(out, '\n');
}

static void finding_put(struct config_findings *findings, const char *where, const char *key, const char *format,
                        va_list arguments)
{
    line_put(findings->out, where, key, format, arguments);
    findings->count++;
}

static void file_place(const struct config_findings *findings, uint32_t line, char *out, size_t bytes)
{
    const char *path = findings->path == NULL ? "" : findings->path;
    if (line == 0)
        snprintf(out, bytes, "%s", path);
    else
        snprintf(out, bytes, "%s:%u", path, line);
}

void config_finding_file(struct config_findings *findings, uint32_t line, const char *key, const char *format, ...)
{
    char where[1024];
    file_place(findings, line, where, sizeof where);
    va_list arguments;
    va_start(arguments, format);
    finding_put(findings, where, key, format, arguments);
    va_end(arguments);
}

void config_finding(struct config_findings *findings, const struct config_section *section, uint32_t row,
                    const struct config_origin *origin, const char *format, ...)
{
    char where[1024], key[128];
    config_key(section, config_row(section, row), key);
    switch (origin->kind) {
    case CONFIG_FROM_DEFAULT:
        snprintf(where, sizeof where, "default");
        break;
    case CONFIG_FROM_FILE:
        file_place(findings, origin->line, where, sizeof where);
        break;
    case CONFIG_FROM_ENVIRONMENT: {
        snprintf(where, sizeof where, "environment");
        struct buf name = buf_of(key, sizeof key - 1);
        config_environment_name(section, config_row(section, row), &name);
        key[name.used] = '\0';
        break;
    }
    case CONFIG_FROM_SET:
        snprintf(where, sizeof where, "--set");
        break;
    }
    va_list arguments;
    va_start(arguments, format);
    finding_put(findings, where, key, format, arguments);
    va_end(arguments);
}

void config_finding_at(struct config_findings *findings, const char *where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    finding_put(findings, where, "", format, arguments);
    va_end(arguments);
}

void config_notice(struct config_findings *findings, const char *where, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    line_put(&findings->notices, where, "", format, arguments);
    va_end(arguments);
}

bool config_may_be_empty(const struct config_section *section, const struct option *row, bool written_out)
{
    const struct option_texts *texts = (const void *)((const uint8_t *)section->object + row->offset);
    return written_out || row->kind != OPTION_SECRETS || texts->count > 0;
}
