/* SPDX-License-Identifier: MIT */
/* Settings as tables: each key of the configuration is one row that names its type, place, default and meaning. The
 * file reader, the environment, --set, `check` and `genconfig` all read the same rows. Units are parsed and printed
 * here. */
#ifndef RINGCAST_CORE_OPTION_H
#define RINGCAST_CORE_OPTION_H

#include "core/buf.h"

#define OPTION_MASK "***" /* what is printed in the place of a secret */

enum option_kind {
    OPTION_BOOL,     /* bool: true | false */
    OPTION_COUNT,    /* uint64_t: a bare number */
    OPTION_DURATION, /* uint64_t milliseconds: "250ms", "10s", "5m", "24h"; "0" is allowed */
    OPTION_SIZE,     /* uint64_t bytes: "64KiB", "4MiB", "1GiB", "512B"; "0" is allowed */
    OPTION_CHOICE,   /* uint32_t index into `choices` */
    OPTION_TEXT,     /* char *, owned by the settings; never NULL ("" when empty) */
    OPTION_TEXTS,    /* struct option_texts: a list of strings, or one string with commas */
    OPTION_SECRETS,  /* the same, printed masked */
};

struct option_texts {
    char **items;
    uint32_t count;
};

struct option {
    const char *name; /* last part of the key: "idle_timeout" */
    enum option_kind kind;
    size_t offset;        /* of the field in the struct that the table belongs to */
    const char *fallback; /* default, as it would be written in the file */
    uint64_t min, max;    /* inclusive; of COUNT, DURATION (ms), SIZE (bytes); max 0: none, of a DURATION 100 years */
    const char *const *choices; /* of CHOICE, NULL-terminated */
    bool reloadable;            /* takes effect on SIGHUP */
    const char *doc;            /* one sentence */
};

/* One row of a table: name, kind without OPTION_, offsetof of its field, default, then what else it has: .min, .max,
 * .choices, .reloadable, .doc. A table ends with a row whose name is NULL. */
#define OPTION(name_, kind_, offset_, fallback_, ...)                                                                  \
    {                                                                                                                  \
        .name = (name_), .kind = OPTION_##kind_, .offset = (offset_), .fallback = (fallback_), __VA_ARGS__             \
    }

#define OPTION_DURATION_MS_MAX (UINT64_C(876000) * 3600 * 1000)

/* Parses `text` into the field of `row` in `object` (which may hold an earlier value, freed and replaced). 0; -EINVAL
 * with a sentence of what is wrong and what would be right in `why`; -ENOMEM. */
int option_set(void *object, const struct option *row, struct slice text, struct buf *why);
/* For TEXTS and SECRETS: appends one item. */
int option_append(void *object, const struct option *row, struct slice text, struct buf *why);
/* The value in the form in which it would be written; secrets as OPTION_MASK (one each). */
void option_print(const void *object, const struct option *row, struct buf *out);
/* Sets every row of the table to its default (the object is zeroed before). 0 or -ENOMEM; a default that does not parse
 * is our bug. */
int option_defaults(void *object, const struct option *table);
/* Frees what the rows own. */
void option_release(void *object, const struct option *table);
/* The row of that name, or NULL; `nearest` (may be NULL) then gets the name that is closest by edit distance, or NULL
 * when none is close. */
const struct option *option_find(const struct option *table, struct slice name, const char **nearest);

/* 0 or -EINVAL. Bare numbers other than 0 are refused: the unit is never guessed. */
int option_parse_duration(struct slice text, uint64_t *ms);
int option_parse_size(struct slice text, uint64_t *bytes);

#endif
