/* SPDX-License-Identifier: MIT */
/* Owns the reading of the YAML file: its outline (which keys stand on which line, by libyaml), the schema that is
 * made of the option tables, and libcyaml's load by that schema. It never decides what a value means (core/option.h
 * does) and never stops at the first fault: what the schema refuses is noted, left out, and the rest is loaded again.
 * Called by config_load. */
#include "shards/config/config_parts.h"

#include "core/check.h"
#include "core/clock.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define OUTLINE_ROWS_MAX 1024
#define WRITER_MS 10000 /* that a start waits for who writes to a pipe */

/* --- the file ----------------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

/* Waits until a pipe has something or its writers have left. */
static int wait_for_writer(int fd, uint64_t deadline_ms)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    uint64_t now = now_ms();
    return now < deadline_ms && poll(&input, 1, (int)(deadline_ms - now)) > 0 ? 0 : -ETIMEDOUT;
}

/* A regular file never makes anybody wait here; anything else at most until the deadline. */
static int read_all(int fd, bool is_regular, char *out, size_t capacity, size_t *bytes)
{
    uint64_t deadline_ms = now_ms() + WRITER_MS;
    *bytes = 0;
    while (*bytes < capacity) {
        int error = is_regular ? 0 : wait_for_writer(fd, deadline_ms);
        ssize_t n = error != 0 ? error : read(fd, out + *bytes, capacity - *bytes);
        if (error != 0)
            return error;
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        *bytes += (size_t)n;
    }
    return -EFBIG;
}

/* O_NONBLOCK: to open a pipe without a writer, or a device, waits for nobody. 0 or -errno; *is_regular as it is. */
static int open_file(const char *path, bool again, int *fd, struct stat *about)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return -errno;
    int error = fstat(*fd, about) != 0 ? -errno : 0;
    if (error == 0 && S_ISDIR(about->st_mode))
        error = -EISDIR;
    else if (error == 0 && !S_ISREG(about->st_mode) && (again || S_ISBLK(about->st_mode)))
        error = -ESPIPE;
    if (error != 0)
        close(*fd);
    return error;
}

const char *config_file_fault(int error)
{
    return error == -ESPIPE      ? "not a regular file, which a reload needs; restart instead"
           : error == -ETIMEDOUT ? "nobody has written to this pipe for 10 s"
           : error == -EFBIG     ? "larger than 1 MiB"
                                 : strerrordesc_np(-error);
}

char *config_file_read(const char *path, bool is_secret, struct config_findings *findings, size_t *bytes, int *error)
{
    int fd;
    struct stat about;
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    *error = text == NULL ? -ENOMEM : open_file(path, findings->now != NULL, &fd, &about);
    if (*error != 0) {
        free(text);
        return NULL;
    }
    *error = read_all(fd, S_ISREG(about.st_mode), text, CONFIG_FILE_BYTES_MAX + 1, bytes);
    close(fd);
    if (*error != 0) {
        free(text);
        return NULL;
    }
    if (is_secret && S_ISREG(about.st_mode) && (about.st_mode & S_IROTH) != 0)
        config_notice(findings, path, "holds secrets and everybody may read it; chmod o-r");
    text[*bytes] = '\0';
    return text;
}

/* --- the outline -------------------------------------------------------------------------------------------------- */

enum shape { SHAPE_EMPTY, SHAPE_TEXT, SHAPE_LIST, SHAPE_MAPPING };

/* One key at top level or directly in a section. */
struct outline_row {
    char *section; /* "" at top level */
    char *key;
    uint32_t line;
    enum shape shape;
    bool refused; /* noted as a finding; the schema passes over it */
};

struct outline {
    struct outline_row *rows;
    uint32_t count;
    bool sound; /* a mapping without duplicates: worth loading */
};

static void outline_free(struct outline *outline)
{
    for (uint32_t i = 0; i < outline->count; i++) {
        free(outline->rows[i].section);
        free(outline->rows[i].key);
    }
    free(outline->rows);
}

static struct outline_row *outline_find(const struct outline *outline, const char *section, const char *key)
{
    for (uint32_t i = 0; i < outline->count; i++)
        if (strcmp(outline->rows[i].section, section) == 0 && strcmp(outline->rows[i].key, key) == 0)
            return &outline->rows[i];
    return NULL;
}

static void row_name(const char *section, const char *key, char out[CONFIG_KEY_BYTES_MAX])
{
    snprintf(out, CONFIG_KEY_BYTES_MAX, "%s%s%s", section, section[0] == '\0' ? "" : ".", key);
}

static enum shape shape_of(const yaml_node_t *node)
{
    if (node->type == YAML_SEQUENCE_NODE)
        return SHAPE_LIST;
    if (node->type == YAML_MAPPING_NODE)
        return SHAPE_MAPPING;
    return node->data.scalar.length == 0 && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? SHAPE_EMPTY
                                                                                               : SHAPE_TEXT;
}

/* What can stand in a finding, and be found again in what libcyaml says of it: no blanks, no control characters, not
 * endless. */
static bool is_word(const yaml_node_t *key)
{
    if (key->type != YAML_SCALAR_NODE || key->data.scalar.length == 0 ||
        key->data.scalar.length >= CONFIG_KEY_BYTES_MAX)
        return false;
    for (size_t i = 0; i < key->data.scalar.length; i++)
        if (key->data.scalar.value[i] <= ' ' || key->data.scalar.value[i] == 0x7F)
            return false;
    return true;
}

static int outline_add(struct outline *outline, const char *section, const yaml_node_t *key, const yaml_node_t *value,
                       struct config_findings *findings)
{
    uint32_t line = (uint32_t)key->start_mark.line + 1;
    char name[CONFIG_KEY_BYTES_MAX];
    if (!is_word(key) || outline->count == OUTLINE_ROWS_MAX) {
        config_finding_file(findings, line, section, "%s",
                            is_word(key) ? "too many keys" : "a key is not a word; write KEY: VALUE");
        outline->sound = false;
        return 0;
    }
    const char *text = (const char *)key->data.scalar.value;
    row_name(section, text, name);
    const struct outline_row *before = outline_find(outline, section, text);
    if (before != NULL) {
        config_finding_file(findings, line, name, "is set on line %u already; remove one of the two", before->line);
        outline->sound = false;
        return 0;
    }
    struct outline_row *row = &outline->rows[outline->count];
    *row =
        (struct outline_row){.section = strdup(section), .key = strdup(text), .line = line, .shape = shape_of(value)};
    outline->count++;
    return row->section == NULL || row->key == NULL ? -ENOMEM : 0;
}

/* The keys of one mapping; those of its sections too when it is the top level. */
static int outline_mapping(struct outline *outline, yaml_document_t *document, const char *section,
                           const yaml_node_t *mapping, struct config_findings *findings)
{
    const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
    int error = 0;
    for (; error == 0 && pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(document, pair->value);
        error = outline_add(outline, section, key, value, findings);
        if (error == 0 && section[0] == '\0' && is_word(key) && value->type == YAML_MAPPING_NODE)
            error = outline_mapping(outline, document, (const char *)key->data.scalar.value, value, findings);
    }
    return error;
}

static void report_syntax(const yaml_parser_t *parser, struct config_findings *findings)
{
    const char *context = parser->context == NULL ? "" : parser->context;
    size_t line = parser->error == YAML_READER_ERROR ? 0 : parser->problem_mark.line + 1;
    config_finding_file(findings, (uint32_t)line, "", "is not YAML: %s%s%s",
                        parser->problem == NULL ? "unreadable" : parser->problem, context[0] == '\0' ? "" : " ",
                        context);
}

static int outline_document(struct outline *outline, yaml_document_t *document, struct config_findings *findings)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || shape_of(root) == SHAPE_EMPTY)
        return 0;
    if (root->type != YAML_MAPPING_NODE) {
        config_finding_file(findings, (uint32_t)root->start_mark.line + 1, "",
                            "the file is not a list of KEY: VALUE lines");
        return 0;
    }
    outline->sound = true;
    return outline_mapping(outline, document, "", root, findings);
}

/* A file without any document (empty, or comments only) has an outline without rows and is fine. */
static int outline_read(struct outline *outline, struct slice text, struct config_findings *findings)
{
    yaml_parser_t parser;
    yaml_document_t document;
    outline->rows = calloc(OUTLINE_ROWS_MAX, sizeof *outline->rows);
    if (outline->rows == NULL || !yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_input_string(&parser, text.data, text.bytes);
    int error = 0;
    for (uint32_t documents = 0;; documents++) {
        if (!yaml_parser_load(&parser, &document)) {
            report_syntax(&parser, findings);
            outline->sound = false;
            break;
        }
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        bool end = root == NULL;
        if (documents == 0)
            error = outline_document(outline, &document, findings);
        else if (!end)
            config_finding_file(findings, (uint32_t)root->start_mark.line + 1, "",
                                "a second document begins here; only one is read");
        yaml_document_delete(&document);
        if (end || documents > 0 || error != 0)
            break;
    }
    yaml_parser_delete(&parser);
    return error;
}

/* --- the schema --------------------------------------------------------------------------------------------------- */

/* What libcyaml fills, one for each row of all sections: every scalar is a string here. */
struct slot {
    char *text;
    char **items;
    uint32_t count;
};

struct schema {
    cyaml_schema_value_t top;
    cyaml_schema_field_t *sections[CONFIG_SECTIONS_MAX]; /* [0] is the top level */
};

static const cyaml_schema_value_t string_schema = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};

static bool is_list(const struct option *row)
{
    return row->kind == OPTION_TEXTS || row->kind == OPTION_SECRETS;
}

/* A list may be written as one string with commas: then the outline says so and the field is a string. */
static cyaml_schema_field_t row_field(const struct option *row, uint32_t number, const struct outline_row *written)
{
    cyaml_schema_field_t field = {.key = row->name, .value.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL};
    uint32_t slot = number * (uint32_t)sizeof(struct slot);
    if (is_list(row) && (written == NULL || written->shape != SHAPE_TEXT)) {
        field.data_offset = slot + (uint32_t)offsetof(struct slot, items);
        field.count_offset = slot + (uint32_t)offsetof(struct slot, count);
        field.count_size = sizeof(uint32_t);
        field.value.type = CYAML_SEQUENCE;
        field.value.data_size = sizeof(char *);
        field.value.sequence.entry = &string_schema;
        field.value.sequence.max = CYAML_UNLIMITED;
    } else {
        field.data_offset = slot + (uint32_t)offsetof(struct slot, text);
        field.value.type = CYAML_STRING;
        field.value.data_size = sizeof(char);
        field.value.string.max = CYAML_UNLIMITED;
    }
    return field;
}

static void field_ignore(cyaml_schema_field_t *field, const char *key)
{
    *field = (cyaml_schema_field_t){.key = key, .value = {.type = CYAML_IGNORE, .flags = CYAML_FLAG_OPTIONAL}};
}

/* Puts the field of a refused key in place of its row's, or behind all others. */
static void fields_refuse(cyaml_schema_field_t *fields, uint32_t *count, const char *key)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (strcmp(fields[i].key, key) == 0) {
            field_ignore(&fields[i], key);
            return;
        }
    }
    field_ignore(&fields[(*count)++], key);
}

/* Room for every row, every section, every refused key, and the end. */
static cyaml_schema_field_t *section_fields(const struct config_sections *sections, uint32_t index,
                                            const struct schema *schema, const struct outline *outline)
{
    const struct config_section *section = &sections->items[index];
    uint32_t count = 0;
    cyaml_schema_field_t *fields = calloc(section->count + sections->count + outline->count + 1, sizeof *fields);
    if (fields == NULL)
        return NULL;
    for (uint32_t i = 0; i < section->count; i++) {
        const struct option *row = config_row(section, i);
        /* in the top level's slots a row lies at its number over all; in a section's at its number in the section */
        fields[count++] =
            row_field(row, index == 0 ? section->first + i : i, outline_find(outline, section->name, row->name));
    }
    for (uint32_t i = 1; index == 0 && i < sections->count; i++) {
        cyaml_schema_field_t *field = &fields[count++];
        field->key = sections->items[i].name;
        field->data_offset = sections->items[i].first * (uint32_t)sizeof(struct slot);
        field->value.type = CYAML_MAPPING;
        field->value.flags = CYAML_FLAG_OPTIONAL;
        field->value.data_size = sections->items[i].count * (uint32_t)sizeof(struct slot);
        field->value.mapping.fields = schema->sections[i];
    }
    for (uint32_t i = 0; i < outline->count; i++)
        if (outline->rows[i].refused && strcmp(outline->rows[i].section, section->name) == 0)
            fields_refuse(fields, &count, outline->rows[i].key);
    return fields;
}

static void schema_free(struct schema *schema)
{
    for (uint32_t i = 0; i < CONFIG_SECTIONS_MAX; i++)
        free(schema->sections[i]);
}

static int schema_make(struct schema *schema, const struct config_sections *sections, const struct outline *outline)
{
    *schema = (struct schema){0};
    for (uint32_t i = sections->count; i-- > 0;) { /* the top level last: its fields point at the others */
        schema->sections[i] = section_fields(sections, i, schema, outline);
        if (schema->sections[i] == NULL) {
            schema_free(schema);
            return -ENOMEM;
        }
    }
    schema->top.type = CYAML_MAPPING;
    schema->top.flags = CYAML_FLAG_POINTER;
    schema->top.data_size = sections->rows * (uint32_t)sizeof(struct slot);
    schema->top.mapping.fields = schema->sections[0];
    return 0;
}

/* --- loading by the schema ---------------------------------------------------------------------------------------- */

/* libcyaml says what it refuses in log lines: the fault, then the fields around it from the inside out. */
struct refusal {
    char fault[256];
    char key[128];     /* an unexpected key; else the innermost field */
    char section[128]; /* the field around it, or "" */
};

/* Takes what stands behind `before` and in front of `after` (NULL: the end). False when `before` is not there. */
static bool cut(const char *line, const char *before, const char *after, char *out, size_t bytes)
{
    const char *from = strstr(line, before);
    if (from == NULL)
        return false;
    from += strlen(before);
    const char *to = after == NULL ? NULL : strstr(from, after);
    snprintf(out, bytes, "%.*s", to == NULL ? (int)strcspn(from, "\n") : (int)(to - from), from);
    return true;
}

__attribute__((format(printf, 3, 0))) static void note_refusal(cyaml_log_t level, void *context, const char *format,
                                                               va_list arguments)
{
    struct refusal *refusal = context;
    char line[512], field[128];
    vsnprintf(line, sizeof line, format, arguments);
    if (level < CYAML_LOG_ERROR)
        return;
    if (cut(line, "Unexpected key: ", NULL, refusal->key, sizeof refusal->key))
        return;
    if (cut(line, "in mapping field '", "' (line:", field, sizeof field))
        snprintf(refusal->key[0] == '\0' ? refusal->key : refusal->section, sizeof field, "%s", field);
    else if (refusal->fault[0] == '\0' && strstr(line, "Backtrace") == NULL)
        cut(line, "Load: ", NULL, refusal->fault, sizeof refusal->fault);
}

static void report_unknown(const struct config_sections *sections, const struct outline_row *row, const char *name,
                           struct config_findings *findings)
{
    const char *nearest = NULL, *nearest_section = NULL;
    const struct config_section *section = &sections->items[0];
    if (row->section[0] != '\0')
        section = config_section_find(sections, slice_text(row->section), NULL);
    check(section != NULL);
    config_row_find(section, slice_text(row->key), &nearest);
    if (row->section[0] == '\0')
        config_section_find(sections, slice_text(row->key), &nearest_section);
    if (row->shape == SHAPE_MAPPING && nearest_section != NULL)
        nearest = nearest_section;
    if (nearest == NULL)
        nearest = nearest_section;
    if (nearest != NULL)
        config_finding_file(findings, row->line, name, "unknown key; did you mean %s?", nearest);
    else
        config_finding_file(findings, row->line, name, "unknown key; 'ringcast check' prints all that there are");
}

static void report_shape(const struct config_sections *sections, const struct outline_row *row, const char *name,
                         const struct refusal *refusal, struct config_findings *findings)
{
    const struct config_section *section =
        row->section[0] == '\0' ? &sections->items[0] : config_section_find(sections, slice_text(row->section), NULL);
    int index = section == NULL ? -1 : config_row_find(section, slice_text(row->key), NULL);
    const char *right = index < 0 ? "a section; write its keys below it, indented"
                        : is_list(config_row(section, (uint32_t)index))
                            ? "a list of texts; write [\"FIRST\", \"SECOND\"], or [] for none"
                            : "a single value; write KEY: VALUE";
    if (strstr(refusal->fault, "Expecting ") != NULL)
        config_finding_file(findings, row->line, name, "must be %s", right);
    else
        config_finding_file(findings, row->line, name, "cannot be read (%s); it must be %s", refusal->fault, right);
}

/* Turns a refusal into a finding and marks its row, so that the next load passes over it. False when there is no such
 * row. */
static bool report_refusal(const struct config_sections *sections, struct outline *outline, cyaml_err_t fault,
                           struct refusal *refusal, struct config_findings *findings)
{
    char name[CONFIG_KEY_BYTES_MAX];
    if (refusal->fault[0] == '\0')
        snprintf(refusal->fault, sizeof refusal->fault, "%s", cyaml_strerror(fault));
    struct outline_row *row = outline_find(outline, refusal->section, refusal->key);
    if (row == NULL || row->refused) {
        config_finding_file(findings, 0, "", "cannot be read: %s", refusal->fault);
        return false;
    }
    row_name(row->section, row->key, name);
    if (fault == CYAML_ERR_INVALID_KEY)
        report_unknown(sections, row, name, findings);
    else
        report_shape(sections, row, name, refusal, findings);
    row->refused = true;
    return true;
}

static const cyaml_config_t cyaml_settings = {
    .log_fn = note_refusal, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};

/* Option by option from the slots into the settings. */
static int apply_row(struct config *config, const struct config_section *section, uint32_t index,
                     const struct slot *slot, const struct outline_row *written, struct config_findings *findings)
{
    const struct option *row = config_row(section, index);
    struct config_origin *origin = &config->origins[section->first + index];
    uint8_t memory[512];
    struct buf why = buf_of(memory, sizeof memory - 1);
    int error = option_set(section->object, row, slice_text(slot->text == NULL ? "" : slot->text), &why);
    for (uint32_t i = 0; error == 0 && i < slot->count; i++)
        error = option_append(section->object, row, slice_text(slot->items[i]), &why);
    *origin = (struct config_origin){.kind = CONFIG_FROM_FILE, .line = written->line};
    if (error == -EINVAL)
        config_finding(findings, section, index, origin, "%.*s", (int)why.used, (const char *)why.data);
    else if (error == 0 && !config_may_be_empty(section, row, written->shape == SHAPE_LIST))
        config_finding(findings, section, index, origin, "is empty; write [] for no keys");
    return error == -EINVAL ? 0 : error;
}

static int apply(struct config *config, const struct config_sections *sections, const struct outline *outline,
                 const struct slot *slots, struct config_findings *findings)
{
    int error = 0;
    for (uint32_t s = 0; s < sections->count; s++) {
        const struct config_section *section = &sections->items[s];
        for (uint32_t i = 0; error == 0 && i < section->count; i++) {
            const struct outline_row *written = outline_find(outline, section->name, config_row(section, i)->name);
            if (written != NULL && !written->refused)
                error = apply_row(config, section, i, &slots[section->first + i], written, findings);
        }
    }
    return error;
}

/* Loads by a schema that leaves out what was refused so far. 1: loaded; 0: something more was refused; -ENOMEM. */
static int load_once(struct config *config, const struct config_sections *sections, struct outline *outline,
                     struct slice text, struct config_findings *findings)
{
    struct schema schema;
    struct refusal refusal = {0};
    struct slot *slots = NULL;
    if (schema_make(&schema, sections, outline) != 0)
        return -ENOMEM;
    cyaml_config_t settings = cyaml_settings;
    settings.log_ctx = &refusal;
    cyaml_err_t fault = cyaml_load_data(text.data, text.bytes, &settings, &schema.top, (cyaml_data_t **)&slots, NULL);
    int result;
    if (fault == CYAML_OK)
        result = slots == NULL || apply(config, sections, outline, slots, findings) == 0 ? 1 : -ENOMEM;
    else if (fault == CYAML_ERR_OOM)
        result = -ENOMEM;
    else
        result = report_refusal(sections, outline, fault, &refusal, findings) ? 0 : 1;
    cyaml_free(&settings, &schema.top, slots, 0);
    schema_free(&schema);
    return result;
}

/* A section whose keys are all commented out is written `plain:` and means nothing. */
static void pass_empty_sections(const struct config_sections *sections, struct outline *outline)
{
    for (uint32_t i = 0; i < outline->count; i++) {
        struct outline_row *row = &outline->rows[i];
        if (row->section[0] == '\0' && row->shape == SHAPE_EMPTY &&
            config_section_find(sections, slice_text(row->key), NULL) != NULL)
            row->refused = true;
    }
}

/* Whether keys stand in the file itself. */
static bool holds_keys(const struct config *config, const struct config_sections *sections)
{
    for (uint32_t s = 0; s < sections->count; s++) {
        const struct config_section *section = &sections->items[s];
        for (uint32_t i = 0; i < section->count; i++) {
            const struct option *row = config_row(section, i);
            if (row->kind == OPTION_SECRETS && config->origins[section->first + i].kind == CONFIG_FROM_FILE &&
                ((const struct option_texts *)(const void *)((const uint8_t *)section->object + row->offset))->count >
                    0)
                return true;
        }
    }
    return false;
}

/* Of the file as it is now: what was read a moment ago may have been another one, and this is a warning. */
static void notice_if_open(const char *path, struct config_findings *findings)
{
    struct stat about;
    if (stat(path, &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & S_IROTH) != 0)
        config_notice(findings, path, "holds keys and everybody may read it; chmod o-r");
}

int config_file_load(struct config *config, const char *path, struct config_findings *findings)
{
    struct config_sections sections;
    struct outline outline = {0};
    size_t bytes = 0;
    int error = 0;
    char *text = config_file_read(path, false, findings, &bytes, &error);
    if (text == NULL) {
        config_finding_file(findings, 0, "", "cannot be read: %s", config_file_fault(error));
        return error;
    }
    config_sections(config, &sections);
    error = outline_read(&outline, slice_of(text, bytes), findings);
    if (error == 0)
        pass_empty_sections(&sections, &outline);
    while (error == 0 && outline.sound)
        error = load_once(config, &sections, &outline, slice_of(text, bytes), findings);
    outline_free(&outline);
    if (error >= 0 && holds_keys(config, &sections))
        notice_if_open(path, findings);
    explicit_bzero(text, bytes); /* keys may stand in it */
    free(text);
    return error < 0 ? error : 0;
}
