/* SPDX-License-Identifier: MIT */
/* Owns the credentials of a configuration: the lists in the settings joined with the lines of the key files, and the
 * form of each. It never prints one: findings count entries and name files. Called by config_load and config_free. */
#include "protocol/dialect.h"
#include "protocol/token.h"
#include "shards/config/config_parts.h"

#include "core/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* --- key files ---------------------------------------------------------------------------------------------------- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice text)
{
    while (text.bytes > 0 && is_blank(text.data[0]))
        text = slice_skip(text, 1);
    while (text.bytes > 0 && is_blank(text.data[text.bytes - 1]))
        text.bytes--;
    return text;
}

/* The next entry of a key file: one a line, blank lines and those that begin with # passed over. *line (0 at first)
 * counts the lines. False at the end. */
static bool next_entry(struct slice *text, uint32_t *line, struct slice *entry)
{
    while (text->bytes > 0) {
        const uint8_t *end = memchr(text->data, '\n', text->bytes);
        size_t bytes = end == NULL ? text->bytes : (size_t)(end - text->data);
        *entry = trim(slice_of(text->data, bytes));
        *text = slice_skip(*text, bytes + 1);
        (*line)++;
        if (entry->bytes > 0 && entry->data[0] != '#')
            return true;
    }
    return false;
}

/* --- form of an entry --------------------------------------------------------------------------------------------- */

/* What an HTTP header can carry without quoting: visible ASCII (RFC 9110 section 5.5). */
static const char *key_fault(struct slice key)
{
    if (key.bytes == 0 || key.bytes > KEY_BYTES_MAX)
        return "a key has 1 to 256 characters";
    for (size_t i = 0; i < key.bytes; i++)
        if (key.data[i] <= 0x20 || key.data[i] >= 0x7f)
            return "a key is visible ASCII without spaces";
    return NULL;
}

/* "KEY [WORD...]", the words being the dialect's */
static const char *key_entry_fault(struct slice entry, const struct dialect *dialect)
{
    const char *fault = key_fault(slice_next_word(&entry));
    struct slice word = slice_next_word(&entry);
    if (fault == NULL && word.bytes > 0 && dialect->permission_fault == NULL)
        return "a key stands alone: without spaces, and without permissions, which this dialect does not have";
    for (; fault == NULL && word.bytes > 0; word = slice_next_word(&entry))
        fault = dialect->permission_fault(word);
    return fault;
}

static bool is_dialect(struct slice name)
{
    for (uint32_t i = 0; dialects[i] != NULL; i++)
        if (slice_is(name, dialects[i]->name))
            return true;
    return false;
}

static const char *pattern_fault(struct slice pattern)
{
    const uint8_t *star = memchr(pattern.data, '*', pattern.bytes);
    const uint8_t *slash = memchr(pattern.data, '/', pattern.bytes);
    bool all = slice_is(pattern, "*");
    for (size_t i = 0; i < pattern.bytes; i++)
        if (pattern.data[i] <= ' ' || pattern.data[i] > '~' || pattern.data[i] == '"' || pattern.data[i] == '\\')
            return "a pattern is visible ASCII without quotes and backslashes";
    if (star != NULL && (size_t)(star - pattern.data) + 1 != pattern.bytes)
        return "'*' stands for any rest and comes last in a pattern";
    if (slash == NULL) /* "plain*" would be a prefix of dialects' names */
        return all ? NULL : "a pattern is DIALECT/TOPIC, DIALECT/* or *";
    return is_dialect(slice_of(pattern.data, (size_t)(slash - pattern.data))) ? NULL
                                                                              : "a pattern names no known dialect";
}

/* "KEY PATTERN [PATTERN...]" */
static const char *ingest_fault(struct slice entry, const struct dialect *dialect)
{
    (void)dialect;
    const char *fault = key_fault(slice_next_word(&entry));
    struct slice pattern = slice_next_word(&entry);
    if (fault == NULL && pattern.bytes == 0)
        return "a pattern is missing; write \"KEY DIALECT/TOPIC\", or \"KEY *\" for everything";
    for (; fault == NULL && pattern.bytes > 0; pattern = slice_next_word(&entry))
        fault = pattern_fault(pattern);
    return fault;
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

typedef const char *entry_fault_fn(struct slice entry, const struct dialect *dialect);

/* The two places where a section's credentials stand. */
struct key_rows {
    const struct config *config;
    const struct config_section *section;
    uint32_t list; /* row numbers in the section */
    uint32_t file;
    const char *path; /* of the file */
    entry_fault_fn *fault;
    const struct dialect *dialect; /* whose they are; NULL: of ingest */
    struct config_findings *findings;
};

/* The good entries of both places, and where each stands: its number in the list or its line of the file. */
struct entries {
    struct option_texts texts;
    uint32_t *places;
    uint32_t from_list; /* the first so many are the list's */
};

/* A finding about an entry; it never shows its text. */
static void put_finding(const struct key_rows *rows, bool of_list, uint32_t place, const char *fault)
{
    uint32_t row = of_list ? rows->list : rows->file;
    const struct config_origin *origin = &rows->config->origins[rows->section->first + row];
    if (of_list)
        config_finding(rows->findings, rows->section, row, origin, "entry %u: %s", place, fault);
    else
        config_finding(rows->findings, rows->section, row, origin, "%s line %u: %s", rows->path, place, fault);
}

/* Takes the entry if it is good, else its fault becomes a finding. 0 or -ENOMEM. */
static int take(struct entries *out, const struct key_rows *rows, struct slice entry, bool of_list, uint32_t place)
{
    static const struct option row = {.name = "all", .kind = OPTION_SECRETS};
    uint8_t memory[256];
    struct buf why = buf_of(memory, sizeof memory);
    const char *fault = rows->fault(entry, rows->dialect);
    if (fault != NULL) {
        put_finding(rows, of_list, place, fault);
        return 0;
    }
    uint32_t count = out->texts.count;
    if ((count & (count - 1)) == 0) { /* 0 or a power of two: full */
        uint32_t *places = realloc(out->places, (count == 0 ? 1 : 2 * (size_t)count) * sizeof *places);
        if (places == NULL)
            return -ENOMEM;
        out->places = places;
    }
    out->places[count] = place;
    out->from_list += of_list;
    return option_append(&out->texts, &row, entry, &why);
}

static int take_file(struct entries *out, const struct key_rows *rows)
{
    const struct config_origin *origin = &rows->config->origins[rows->section->first + rows->file];
    size_t bytes = 0;
    int error = 0;
    char *text = config_file_read(rows->path, true, rows->findings, &bytes, &error);
    if (text == NULL) {
        config_finding(rows->findings, rows->section, rows->file, origin,
                       "%s cannot be read: %s; name a file with one key a line", rows->path, config_file_fault(error));
        return error == -ENOMEM ? error : 0;
    }
    struct slice rest = slice_of(text, bytes), entry;
    for (uint32_t line = 0; error == 0 && next_entry(&rest, &line, &entry);)
        error = take(out, rows, entry, false, line);
    explicit_bzero(text, bytes);
    free(text);
    return error;
}

/* A key that stands in two places would have the rights of one of them: whoever takes rights away by editing the other
 * would be mistaken. Masks are no keys: what has been printed can be checked again. */
static void find_repeated(const struct entries *entries, const struct key_rows *rows, const struct grant_list *grants)
{
    for (uint32_t i = 0; i < grants->count; i++) {
        char fault[128];
        int first = grant_repeats(grants, i);
        if (first < 0 || slice_is(grants->items[i].key, OPTION_MASK))
            continue;
        snprintf(fault, sizeof fault, "the key stands %s %u already; write it once, with all that it may do",
                 (uint32_t)first < entries->from_list ? "in entry" : "on line", entries->places[first]);
        put_finding(rows, i < entries->from_list, entries->places[i], fault);
    }
}

/* Keys are wiped before their memory goes to somebody else. */
static void texts_free(struct option_texts *texts)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        explicit_bzero(texts->items[i], strlen(texts->items[i]));
        free(texts->items[i]);
    }
    free(texts->items);
    *texts = (struct option_texts){0};
}

/* Joins the list with the lines of the file into grants; faults become findings. */
static int load(const struct key_rows *rows, const struct option_texts *list, struct grant_list *out)
{
    struct entries entries = {0};
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < list->count; i++)
        error = take(&entries, rows, slice_text(list->items[i]), true, i + 1);
    if (error == 0 && rows->path[0] != '\0')
        error = take_file(&entries, rows);
    if (error == 0)
        error = grant_list_init(out, &entries.texts);
    if (error == 0)
        find_repeated(&entries, rows, out);
    texts_free(&entries.texts);
    free(entries.places);
    return error;
}

static struct key_rows rows_of(const struct config *config, const struct config_section *section,
                               struct config_findings *findings)
{
    int list = config_row_find(section, slice_text("keys"), NULL);
    int file = config_row_find(section, slice_text("keys_file"), NULL);
    check(list >= 0 && file >= 0);
    return (struct key_rows){
        .config = config, .section = section, .list = (uint32_t)list, .file = (uint32_t)file, .findings = findings};
}

int config_keys_load(struct config *config, struct config_findings *findings)
{
    struct config_sections sections;
    config_sections(config, &sections);
    struct key_rows rows = rows_of(config, &sections.items[1], findings);
    rows.fault = ingest_fault;
    rows.path = config->ingest.keys_file;
    int error = load(&rows, &config->ingest.keys, &config->ingest.grants);
    for (uint32_t i = CONFIG_SECTIONS_FIXED; error == 0 && i < sections.count; i++) {
        struct dialect_settings *settings = sections.items[i].object;
        rows = rows_of(config, &sections.items[i], findings);
        rows.fault = key_entry_fault;
        rows.path = settings->keys_file;
        rows.dialect = dialects[i - CONFIG_SECTIONS_FIXED];
        error = load(&rows, &settings->keys, &settings->grants);
    }
    return error;
}

void config_keys_free(struct config *config)
{
    grant_list_free(&config->ingest.grants);
    for (uint32_t i = 0; i < config->dialect_count; i++) {
        struct dialect_settings *settings = config->dialects[i];
        if (settings != NULL)
            grant_list_free(&settings->grants);
    }
}
