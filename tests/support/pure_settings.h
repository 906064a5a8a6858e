/* SPDX-License-Identifier: MIT */
/* Memory of a test, and a dialect's settings as the configuration would make them. */
#ifndef RINGCAST_TESTS_SUPPORT_PURE_SETTINGS_H
#define RINGCAST_TESTS_SUPPORT_PURE_SETTINGS_H

#include "protocol/dialect.h"

/* Zeroed, and one zero more, so that texts end. */
void *pure_memory(size_t bytes);
void *pure_copy(const void *data, size_t bytes);
/* Room for so many items, instead of `items`. */
void *pure_more(void *items, size_t count, size_t bytes);
/* Exactly so many bytes, so that a sanitizer sees a reader that looks one byte too far. */
uint8_t *pure_exact(struct slice bytes);
/* As a NUL-terminated text in `out`, which has to have room. */
void pure_name(char *out, size_t size, struct slice name);

const struct dialect *pure_dialect(const char *name);
/* Settings of the dialect with all defaults, and their end. */
void *pure_settings(const struct dialect *dialect);
void pure_settings_free(const struct dialect *dialect, void *settings);
/* Sets one option as the configuration would. 0 or -EINVAL; -ENOENT: the dialect has no such option. */
int pure_option(const struct dialect *dialect, void *settings, struct slice name, struct slice value);
/* After the options: the list of keys. */
void pure_keys(void *settings);

#endif
