/* SPDX-License-Identifier: MIT */
/* Owns the credentials of a configuration: the lists in the settings joined with the lines of the key files, and the
 * form of each. It never prints one: findings count entries and name files. Called by config_load and config_free. */
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

static struct slice next_word(struct slice *text)
{
    while (text->bytes > 0 && is_blank(text->data[0]))
        *text = slice_skip(*text, 1);
    size_t n = 0;
    while (n < text->bytes && !is_blank(text->data[n]))
        n++;
    struct slice word = slice_of(text->data, n);
    *text = slice_skip(*text, n);
    return word;
}

/* "KEY [WORD...]", the words being the dialect's */
static const char *key_entry_fault(struct slice entry, const struct dialect *dialect)
{
    const char *fault = key_fault(next_word(&entry));
    struct slice word = next_word(&entry);
    if (fault == NULL && word.bytes > 0 && dialect->permission_fault == NULL)
        return "a key stands alone: without spaces, and without permissions, which this dialect does not have";
    for (; fault == NULL && word.bytes > 0; word = next_word(&entry))
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
    for (size_t i = 0; i < pattern.bytes; i++)
        if (pattern.data[i] <= ' ' || pattern.data[i] > '~' || pattern.data[i] == '"' || pattern.data[i] == '\\')
            return "a pattern is visible ASCII without quotes and backslashes";
    if (star != NULL && (size_t)(star - pattern.data) + 1 != pattern.bytes)
        return "'*' stands for any rest and comes last in a pattern";
    if (slash == NULL)
        return star != NULL ? NULL : "a pattern is DIALECT/TOPIC, DIALECT/* or *";
    return is_dialect(slice_of(pattern.data, (size_t)(slash - pattern.data))) ? NULL
                                                                              : "a pattern names no known dialect";
}

/* "KEY PATTERN [PATTERN...]" */
static const char *ingest_fault(struct slice entry, const struct dialect *dialect)
{
    (void)dialect;
    const char *fault = key_fault(next_word(&entry));
    struct slice pattern = next_word(&entry);
    if (fault == NULL && pattern.bytes == 0)
        return "a pattern is missing; write \"KEY DIALECT/TOPIC\", or \"KEY *\" for everything";
    for (; fault == NULL && pattern.bytes > 0; pattern = next_word(&entry))
        fault = pattern_fault(pattern);
    return fault;
}

/* --- joining ------------------------------------------------------------------------------------------------------ */

typedef const char *entry_fault_fn(struct slice entry, const struct dialect *dialect);

/* The two places where a section's credentials stand. */
struct key_rows {
    const struct config_section *section;
    uint32_t list; /* row numbers in the section */
    uint32_t file;
    entry_fault_fn *fault;
    const struct dialect *dialect; /* whose they are; NULL: of ingest */
};

/* Appends to `all` the entries of the list and of the file; faults become findings. */
static int join(const struct config *config, const struct key_rows *rows, const struct option_texts *list,
                const char *path, struct option_texts *all, struct config_findings *findings)
{
    static const struct option row = {.name = "all", .kind = OPTION_SECRETS};
    const struct config_origin *origins = &config->origins[rows->section->first];
    uint8_t memory[256];
    struct buf why = buf_of(memory, sizeof memory);
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < list->count; i++) {
        const char *fault = rows->fault(slice_text(list->items[i]), rows->dialect);
        if (fault != NULL)
            config_finding(findings, rows->section, rows->list, &origins[rows->list], "entry %u: %s", i + 1, fault);
        error = option_append(all, &row, slice_text(list->items[i]), &why);
    }
    if (error != 0 || path[0] == '\0')
        return error;

    size_t bytes = 0;
    char *text = config_file_read(path, true, findings, &bytes, &error);
    if (text == NULL) {
        config_finding(findings, rows->section, rows->file, &origins[rows->file],
                       "%s cannot be read: %s; name a file with one key a line", path, config_file_fault(error));
        return error == -ENOMEM ? error : 0;
    }
    struct slice rest = slice_of(text, bytes), entry;
    for (uint32_t line = 0; error == 0 && next_entry(&rest, &line, &entry);) {
        const char *fault = rows->fault(entry, rows->dialect);
        if (fault != NULL)
            config_finding(findings, rows->section, rows->file, &origins[rows->file], "%s line %u: %s", path, line,
                           fault);
        else
            error = option_append(all, &row, entry, &why);
    }
    explicit_bzero(text, bytes);
    free(text);
    return error;
}

static struct key_rows rows_of(const struct config_section *section, entry_fault_fn *fault,
                               const struct dialect *dialect)
{
    int list = config_row_find(section, slice_text("keys"), NULL);
    int file = config_row_find(section, slice_text("keys_file"), NULL);
    check(list >= 0 && file >= 0);
    return (struct key_rows){
        .section = section, .list = (uint32_t)list, .file = (uint32_t)file, .fault = fault, .dialect = dialect};
}

/* Appends the words, one space between two. */
static struct slice put_words(struct buf *out, struct slice rest)
{
    size_t mark = out->used;
    for (struct slice word = next_word(&rest); word.bytes > 0; word = next_word(&rest)) {
        if (out->used > mark)
            buf_put_byte(out, ' ');
        buf_put(out, word);
    }
    return buf_since(out, mark);
}

/* A dialect's key_list is one block: the slices of keys and of words, then the bytes that they point at. */
static int key_list_make(struct key_list *out, const struct option_texts *all)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < all->count; i++)
        bytes += strlen(all->items[i]);
    *out = (struct key_list){0};
    if (all->count == 0)
        return 0;
    out->keys = malloc(2 * all->count * sizeof *out->keys + bytes);
    if (out->keys == NULL)
        return -ENOMEM;
    out->words = out->keys + all->count;
    struct buf text = buf_of(out->words + all->count, bytes);
    for (uint32_t i = 0; i < all->count; i++) {
        struct slice rest = slice_text(all->items[i]);
        out->keys[i] = put_words(&text, next_word(&rest));
        out->words[i] = put_words(&text, rest);
    }
    check(!text.overflow);
    out->count = all->count;
    return 0;
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

/* The block of key_list_make: its bytes begin behind the slices, and the last of them ends the last words. */
static void key_list_free(struct key_list *list)
{
    if (list->keys == NULL)
        return;
    const struct slice *last = &list->words[list->count - 1];
    explicit_bzero(list->keys, (size_t)(last->data + last->bytes - (const uint8_t *)list->keys));
    free(list->keys);
}

static int dialect_keys_load(struct config *config, const struct config_section *section, const struct dialect *dialect,
                             struct config_findings *findings)
{
    struct dialect_settings *settings = section->object;
    struct key_rows rows = rows_of(section, key_entry_fault, dialect);
    struct option_texts all = {0};
    int error = join(config, &rows, &settings->keys, settings->keys_file, &all, findings);
    if (error == 0)
        error = key_list_make(&settings->key_list, &all);
    texts_free(&all);
    return error;
}

int config_keys_load(struct config *config, struct config_findings *findings)
{
    struct config_sections sections;
    config_sections(config, &sections);
    struct key_rows rows = rows_of(&sections.items[1], ingest_fault, NULL);
    int error = join(config, &rows, &config->ingest.keys, config->ingest.keys_file, &config->ingest.all_keys, findings);
    for (uint32_t i = CONFIG_SECTIONS_FIXED; error == 0 && i < sections.count; i++)
        error = dialect_keys_load(config, &sections.items[i], dialects[i - CONFIG_SECTIONS_FIXED], findings);
    return error;
}

void config_keys_free(struct config *config)
{
    texts_free(&config->ingest.all_keys);
    for (uint32_t i = 0; i < config->dialect_count; i++) {
        struct dialect_settings *settings = config->dialects[i];
        if (settings == NULL)
            continue;
        key_list_free(&settings->key_list);
        settings->key_list = (struct key_list){0};
    }
}
