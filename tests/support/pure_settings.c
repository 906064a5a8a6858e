/* SPDX-License-Identifier: MIT */
/* Owns a test's memory and how settings of a dialect are made without a configuration file. It never knows a dialect by
 * itself. Used by pure_host.c and by whoever reloads settings. */
#include "tests/support/pure_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Zeroed, and one zero more, so that texts end. */
void *pure_memory(size_t bytes)
{
    void *memory = calloc(1, bytes + 1);
    if (memory == NULL)
        abort();
    return memory;
}

void *pure_copy(const void *data, size_t bytes)
{
    void *copy = pure_memory(bytes);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

void *pure_more(void *items, size_t count, size_t bytes)
{
    void *grown = realloc(items, count * bytes);
    if (grown == NULL)
        abort();
    return grown;
}

uint8_t *pure_exact(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.bytes);
    if (copy == NULL && bytes.bytes > 0)
        abort();
    if (bytes.bytes > 0)
        memcpy(copy, bytes.data, bytes.bytes);
    return copy;
}

void pure_name(char *out, size_t size, struct slice name)
{
    if (name.bytes >= size)
        abort();
    if (name.bytes > 0)
        memcpy(out, name.data, name.bytes);
    out[name.bytes] = '\0';
}

/* --- settings ----------------------------------------------------------------------------------------------------- */

const struct dialect *pure_dialect(const char *name)
{
    for (size_t i = 0; dialects[i] != NULL; i++)
        if (strcmp(dialects[i]->name, name) == 0)
            return dialects[i];
    fprintf(stderr, "no dialect %s\n", name);
    abort();
}

int pure_option(const struct dialect *dialect, void *settings, struct slice name, struct slice value)
{
    char memory[1024];
    struct buf why = buf_of(memory, sizeof memory);
    const struct option *row = option_find(dialect_common_options, name, NULL);
    if (row == NULL)
        row = option_find(dialect->options, name, NULL);
    return row == NULL ? -ENOENT : option_set(settings, row, value, &why);
}

void *pure_settings(const struct dialect *dialect)
{
    void *settings = pure_memory(dialect->settings_bytes);
    if (option_defaults(settings, dialect_common_options) != 0 || option_defaults(settings, dialect->options) != 0)
        abort();
    for (const struct dialect_default *row = dialect->defaults; row->name != NULL; row++)
        if (pure_option(dialect, settings, slice_text(row->name), slice_text(row->value)) != 0)
            abort();
    return settings;
}

void pure_settings_free(const struct dialect *dialect, void *settings)
{
    struct dialect_settings *common = settings;
    grant_list_free(&common->grants);
    option_release(settings, dialect_common_options);
    option_release(settings, dialect->options);
    free(settings);
}

void pure_keys(void *settings)
{
    struct dialect_settings *common = settings;
    if (grant_list_init(&common->grants, &common->keys) != 0)
        abort();
}
