/* SPDX-License-Identifier: MIT */
/* A configuration loaded from a file in a folder of its own, so that findings can be compared with the path in them.
 * Each suite that uses it has make_folder and remove_folder around its tests. */
#ifndef RINGCAST_TESTS_UNIT_SHARDS_CONFIG_CONFIG_RIG_H
#define RINGCAST_TESTS_UNIT_SHARDS_CONFIG_CONFIG_RIG_H

#include "protocol/dialect.h"
#include "shards/config/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECRET "s3cr3t-s3cr3t"

struct loaded {
    struct config *config;
    int result;
    char why[16384];
};

static char folder[] = "/tmp/ringcast-config-XXXXXX";
static char file[64];
static char key_file[64];

static inline void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/r.yaml", folder);
    snprintf(key_file, sizeof key_file, "%s/keys", folder);
}

static inline void remove_folder(void)
{
    unlink(file);
    unlink(key_file);
    rmdir(folder);
}

static inline void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_geq(fputs(text, out), 0);
    cr_assert_eq(fclose(out), 0);
}

static inline void load_source(struct loaded *loaded, const struct config_source *source)
{
    struct buf why = buf_of(loaded->why, sizeof loaded->why - 1);
    loaded->config = NULL;
    loaded->result = config_load(source, &loaded->config, &why);
    loaded->why[why.used] = '\0';
    cr_assert_not(why.overflow);
    cr_assert_eq(loaded->result == 0, loaded->config != NULL);
    cr_assert_eq(loaded->result == 0, why.used == 0, "%s", loaded->why);
}

/* `text` NULL: no file. */
static inline void load(struct loaded *loaded, const char *text, char **environment, const char *const *sets)
{
    if (text != NULL)
        write_file(file, text);
    struct config_source source = {.path = text == NULL ? NULL : file, .environment = environment, .sets = sets};
    load_source(loaded, &source);
}

static inline struct config *load_good(const char *text)
{
    struct loaded loaded;
    load(&loaded, text, NULL, NULL);
    cr_assert_eq(loaded.result, 0, "%s", loaded.why);
    return loaded.config;
}

/* Each '@' in `expected` stands for the file's path, so that a finding reads as it does on the terminal. */
static inline void expect_findings(const struct loaded *loaded, const char *expected)
{
    char text[16384];
    size_t used = 0;
    for (; *expected != '\0'; expected++)
        used += (size_t)snprintf(text + used, sizeof text - used, *expected == '@' ? "%s" : "%.1s",
                                 *expected == '@' ? file : expected);
    cr_assert_eq(loaded->result, -EINVAL);
    cr_assert_str_eq(loaded->why, text);
}

static inline void refuses(const char *text, const char *expected)
{
    struct loaded loaded;
    load(&loaded, text, NULL, NULL);
    expect_findings(&loaded, expected);
}

static inline void *settings_of(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->dialect_count; i++)
        if (strcmp(dialects[i]->name, name) == 0)
            return config->dialects[i];
    cr_assert_fail("no dialect %s", name);
    return NULL;
}

#endif
