/* SPDX-License-Identifier: MIT */
/* What the files of the configuration share and nobody else includes: the sections with their tables, where a value
 * comes from, and the findings. */
#ifndef RINGCAST_SHARDS_CONFIG_PARTS_H
#define RINGCAST_SHARDS_CONFIG_PARTS_H

#include "shards/config/config.h"

#define CONFIG_SECTIONS_FIXED 4 /* top level, ingest, admin, tls; the dialects follow */
#define CONFIG_SECTIONS_MAX (CONFIG_SECTIONS_FIXED + DIALECTS_MAX)
#define CONFIG_FILE_BYTES_MAX (1U << 20) /* of the configuration and of each key file */
#define CONFIG_KEY_BYTES_MAX 64          /* "section.key" with NUL, cut when longer */

/* config.c */
extern const struct option config_server_options[];
extern const struct option config_ingest_options[];
extern const struct option config_admin_options[];
extern const struct option config_tls_options[];

/* One section of the file: a settings struct and the tables that describe it. Its rows are those of the first table
 * and then those of the second. */
struct config_section {
    const char *name; /* "" for the top level */
    void *object;
    const struct option *tables[2]; /* the second may be NULL */
    uint32_t first;                 /* number of its first row, counted over all sections */
    uint32_t count;
};

struct config_sections {
    struct config_section items[CONFIG_SECTIONS_MAX];
    uint32_t count;
    uint32_t rows; /* of all sections together */
};

void config_sections(const struct config *config, struct config_sections *out);
const struct option *config_row(const struct config_section *section, uint32_t index);
/* The section of that name, or NULL; `nearest` as for option_find. */
const struct config_section *config_section_find(const struct config_sections *sections, struct slice name,
                                                 const char **nearest);
/* Index in the section of the row with that name, or -1; `nearest` as for option_find. */
int config_row_find(const struct config_section *section, struct slice name, const char **nearest);
/* How a row is called outside the file's sections. */
enum config_naming {
    CONFIG_DOTTED,      /* "section.key", or "key" at top level */
    CONFIG_ENVIRONMENT, /* "SECTION_KEY", or "KEY": without the prefix RINGCAST_ */
};
/* Number of the row over all sections, or -1 and in `nearest` the name that is closest, "" when none is. Where two
 * rows have one name, that of the longer section name wins. */
int config_name_find(const struct config_sections *sections, enum config_naming naming, struct slice name,
                     char nearest[CONFIG_KEY_BYTES_MAX]);
/* The section in which the row of that number lies. */
const struct config_section *config_section_of(const struct config_sections *sections, uint32_t number);
/* "section.key", or "key" at top level. */
void config_key(const struct config_section *section, const struct option *row, char out[CONFIG_KEY_BYTES_MAX]);
/* "RINGCAST_SECTION_KEY". */
void config_environment_name(const struct config_section *section, const struct option *row, struct buf *out);

enum config_origin_kind {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_SET,
};

struct config_origin {
    enum config_origin_kind kind;
    uint32_t line; /* of FILE */
};

/* What is wrong, a line each, in the order in which it was found. */
struct config_findings {
    struct buf *out;
    struct buf notices;
    const char *path;         /* of the configuration file, or NULL */
    const struct config *now; /* a reload: what is served with; NULL: a start */
    uint32_t count;
};

/* "PATH:LINE: KEY: text"; line 0 leaves out the line, key "" the key. Control characters in the text become '?'. */
void config_finding_file(struct config_findings *findings, uint32_t line, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for a value of any origin: "environment: RINGCAST_KEY: text", "--set: KEY: text", "default: KEY: text". */
void config_finding(struct config_findings *findings, const struct config_section *section, uint32_t row,
                    const struct config_origin *origin, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* "WHERE: text", for what belongs to no row. */
void config_finding_at(struct config_findings *findings, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "WHERE: text", of what is no mistake; does not count. */
void config_notice(struct config_findings *findings, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether an empty value of this row may stand there: keys that somebody meant to give are not "no keys".
 * `written_out`: as []. */
bool config_may_be_empty(const struct config_section *section, const struct option *row, bool written_out);

/* config_file.c: reads the file into the settings. Findings are no error: 0, or the -errno with which the file could
 * not be read (which is a finding too), or -ENOMEM. */
int config_file_load(struct config *config, const char *path, struct config_findings *findings);
/* The whole content with a NUL behind it, to be freed by the caller; NULL and *error (-errno, -EFBIG beyond
 * CONFIG_FILE_BYTES_MAX, -ESPIPE: no regular file, see config_file_fault). At a start a pipe will do (`-c <(decrypt
 * FILE)`), and is waited for 10 s; at a reload only a regular file. `is_secret`: a notice when others may read it. */
char *config_file_read(const char *path, bool is_secret, struct config_findings *findings, size_t *bytes, int *error);
/* What *error of config_file_read means, in words. */
const char *config_file_fault(int error);

/* config_keys.c: fills the grants of ingest and of each dialect from the keys and the key files, and checks their
 * form; a finding never shows a key. 0 or -ENOMEM. */
int config_keys_load(struct config *config, struct config_findings *findings);
void config_keys_free(struct config *config);

/* config_tls.c: reads the certificates and keys that tls names and tries them. 0 or -ENOMEM. */
int config_tls_load(struct config *config, struct config_findings *findings);
void config_tls_free(struct config *config);

/* config_lost.c: what may not be lost by a reload. */
void config_lost(const struct config *now, const struct config *next, struct config_findings *findings);

/* config_check.c: what one row alone cannot know. */
void config_check(const struct config *config, struct config_findings *findings);

/* config_listen.c: whether an entry of a `listen` list lets nobody in without a certificate. */
bool config_listen_wants_certificate(const char *text);

#endif
