/* SPDX-License-Identifier: MIT */
/* Owns the meaning of a setting's text: units, ranges, lists, defaults, and the sentence that says what would have been
 * right. It never reads a file or the environment, knows no particular setting, and never repeats a secret. Called by
 * the configuration reader and by the commands that print settings. */
#include "core/option.h"

#include "core/check.h"

#include <errno.h>
#include <stdlib.h>

#define NAME_BYTES_MAX 64   /* of a row */
#define QUOTED_BYTES_MAX 48 /* of a wrong value that is repeated to the user */

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: printing takes the first that divides the value. */
static const struct unit duration_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"GiB", UINT64_C(1) << 30}, {"MiB", UINT64_C(1) << 20}, {"KiB", UINT64_C(1) << 10}, {"B", 1}, {NULL, 0},
};

static void *field(void *object, const struct option *row)
{
    return (uint8_t *)object + row->offset;
}

static const void *field_const(const void *object, const struct option *row)
{
    return (const uint8_t *)object + row->offset;
}

static bool is_list(const struct option *row)
{
    return row->kind == OPTION_TEXTS || row->kind == OPTION_SECRETS;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

/* Takes the digits at the front of *text. False when there are none or they do not fit 64 bits. */
static bool take_number(struct slice *text, uint64_t *value)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < text->bytes && text->data[n] >= '0' && text->data[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(text->data[n] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *text = slice_skip(*text, n);
    *value = v;
    return n > 0;
}

static int parse_count(struct slice text, uint64_t *value)
{
    uint64_t v;
    if (!take_number(&text, &v) || text.bytes > 0)
        return -EINVAL;
    *value = v;
    return 0;
}

static int parse_with_unit(struct slice text, const struct unit *units, uint64_t *value)
{
    uint64_t v;
    if (!take_number(&text, &v))
        return -EINVAL;
    if (text.bytes == 0 && v == 0) {
        *value = 0;
        return 0;
    }
    for (; units->name != NULL; units++) {
        if (!slice_is(text, units->name))
            continue;
        if (v > UINT64_MAX / units->factor)
            return -EINVAL;
        *value = v * units->factor;
        return 0;
    }
    return -EINVAL;
}

int option_parse_duration(struct slice text, uint64_t *ms)
{
    return parse_with_unit(text, duration_units, ms);
}

int option_parse_size(struct slice text, uint64_t *bytes)
{
    return parse_with_unit(text, size_units, bytes);
}

static int parse_number(const struct option *row, struct slice text, uint64_t *value)
{
    switch (row->kind) {
    case OPTION_DURATION:
        return option_parse_duration(text, value);
    case OPTION_SIZE:
        return option_parse_size(text, value);
    default:
        return parse_count(text, value);
    }
}

static void put_with_unit(struct buf *out, const struct unit *units, uint64_t value)
{
    if (value == 0) {
        buf_put_byte(out, '0');
        return;
    }
    while (value % units->factor != 0)
        units++;
    buf_put_u64(out, value / units->factor);
    buf_put_text(out, units->name);
}

static void put_number(struct buf *out, const struct option *row, uint64_t value)
{
    if (row->kind == OPTION_DURATION)
        put_with_unit(out, duration_units, value);
    else if (row->kind == OPTION_SIZE)
        put_with_unit(out, size_units, value);
    else
        buf_put_u64(out, value);
}

/* --- quoted text -------------------------------------------------------------------------------------------------- */

/* One byte of a double-quoted YAML scalar (YAML 1.2 section 5.7); bytes above 0x7f are UTF-8 and stay as they are. */
static void put_quoted_byte(struct buf *out, uint8_t c)
{
    if (c == '"' || c == '\\') {
        buf_put_byte(out, '\\');
        buf_put_byte(out, c);
    } else if (c == '\n') {
        buf_put_text(out, "\\n");
    } else if (c == '\t') {
        buf_put_text(out, "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        buf_put_text(out, "\\x");
        buf_put_hex(out, c, 2);
    } else {
        buf_put_byte(out, c);
    }
}

static void put_quoted(struct buf *out, struct slice text)
{
    buf_put_byte(out, '"');
    for (size_t i = 0; i < text.bytes; i++)
        put_quoted_byte(out, text.data[i]);
    buf_put_byte(out, '"');
}

/* The beginning of a wrong value, safe to print: what is not ASCII shows as '?', so that no character is cut in two. */
static void put_wrong(struct buf *why, struct slice text)
{
    buf_put_byte(why, '"');
    for (size_t i = 0; i < text.bytes && i < QUOTED_BYTES_MAX; i++)
        put_quoted_byte(why, text.data[i] < 0x80 ? text.data[i] : '?');
    buf_put_text(why, text.bytes > QUOTED_BYTES_MAX ? "...\"" : "\"");
}

/* --- setting ------------------------------------------------------------------------------------------------------ */

static int refuse(struct buf *why, struct slice text, const char *rest)
{
    put_wrong(why, text);
    buf_put_text(why, rest);
    return -EINVAL;
}

static int set_bool(bool *out, struct slice text, struct buf *why)
{
    if (!slice_is(text, "true") && !slice_is(text, "false"))
        return refuse(why, text, " is neither true nor false");
    *out = slice_is(text, "true");
    return 0;
}

static const char *number_rule(const struct option *row)
{
    switch (row->kind) {
    case OPTION_DURATION:
        return " is not a duration; write a whole number with ms, s, m or h, such as 10s";
    case OPTION_SIZE:
        return " is not a size; write a whole number with B, KiB, MiB or GiB, such as 64KiB";
    default:
        return " is not a count; write a whole number without a unit";
    }
}

/* Durations are added to the time now: none may come near the end of its type. */
static uint64_t max_of(const struct option *row)
{
    return row->max == 0 && row->kind == OPTION_DURATION ? OPTION_DURATION_MS_MAX : row->max;
}

static int refuse_range(const struct option *row, struct slice text, struct buf *why)
{
    put_wrong(why, text);
    buf_put_text(why, " is out of range; write ");
    put_number(why, row, row->min);
    if (max_of(row) == 0) {
        buf_put_text(why, " or more");
    } else {
        buf_put_text(why, " to ");
        put_number(why, row, max_of(row));
    }
    return -EINVAL;
}

static int set_number(uint64_t *out, const struct option *row, struct slice text, struct buf *why)
{
    uint64_t value;
    if (parse_number(row, text, &value) != 0)
        return refuse(why, text, number_rule(row));
    if (value < row->min || (max_of(row) != 0 && value > max_of(row)))
        return refuse_range(row, text, why);
    *out = value;
    return 0;
}

static int set_choice(uint32_t *out, const struct option *row, struct slice text, struct buf *why)
{
    for (uint32_t i = 0; row->choices[i] != NULL; i++) {
        if (slice_is(text, row->choices[i])) {
            *out = i;
            return 0;
        }
    }
    put_wrong(why, text);
    buf_put_text(why, " is not a choice; write one of ");
    for (uint32_t i = 0; row->choices[i] != NULL; i++) {
        buf_put_text(why, i == 0 ? "" : ", ");
        buf_put_text(why, row->choices[i]);
    }
    return -EINVAL;
}

/* A copy with a NUL behind it; NULL when memory is out. */
static char *copy_text(struct slice text)
{
    char *copy = malloc(text.bytes + 1);
    if (copy == NULL)
        return NULL;
    if (text.bytes > 0)
        memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    return copy;
}

/* Texts are handed on as C strings: a NUL inside would silently cut them. The value may be a secret: not repeated. */
static int check_text(struct slice text, struct buf *why)
{
    if (text.bytes == 0 || memchr(text.data, '\0', text.bytes) == NULL)
        return 0;
    buf_put_text(why, "holds a NUL byte; write text without it");
    return -EINVAL;
}

static int set_text(char **out, struct slice text, struct buf *why)
{
    int error = check_text(text, why);
    if (error != 0)
        return error;
    char *copy = copy_text(text);
    if (copy == NULL)
        return -ENOMEM;
    free(*out);
    *out = copy;
    return 0;
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

/* Wiped: they may be secrets. */
static void texts_release(struct option_texts *texts)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        explicit_bzero(texts->items[i], strlen(texts->items[i]));
        free(texts->items[i]);
    }
    free(texts->items);
    *texts = (struct option_texts){0};
}

static int texts_append(struct option_texts *texts, struct slice text, struct buf *why)
{
    int error = check_text(text, why);
    if (error != 0)
        return error;
    if (text.bytes == 0) {
        buf_put_text(why, "has an empty entry; remove it");
        return -EINVAL;
    }
    char **items = realloc(texts->items, ((size_t)texts->count + 1) * sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    texts->items = items;
    items[texts->count] = copy_text(text);
    if (items[texts->count] == NULL)
        return -ENOMEM;
    texts->count++;
    return 0;
}

static struct slice trim(struct slice text)
{
    while (text.bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_skip(text, 1);
    while (text.bytes > 0 && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

static size_t find_comma(struct slice text)
{
    const uint8_t *comma = text.bytes == 0 ? NULL : memchr(text.data, ',', text.bytes);
    return comma == NULL ? text.bytes : (size_t)(comma - text.data);
}

/* Replaces the whole list, or leaves it as it was. */
static int set_texts(struct option_texts *out, struct slice text, struct buf *why)
{
    struct option_texts made = {0};
    int error = 0;
    text = trim(text);
    for (bool more = text.bytes > 0; more && error == 0;) {
        size_t bytes = find_comma(text);
        error = texts_append(&made, trim(slice_of(text.data, bytes)), why);
        more = bytes < text.bytes;
        text = slice_skip(text, bytes + 1);
    }
    if (error != 0) {
        texts_release(&made);
        return error;
    }
    texts_release(out);
    *out = made;
    return 0;
}

static void put_texts(struct buf *out, const struct option_texts *texts, bool secret)
{
    buf_put_byte(out, '[');
    for (uint32_t i = 0; i < texts->count; i++) {
        buf_put_text(out, i == 0 ? "" : ", ");
        put_quoted(out, slice_text(secret ? OPTION_MASK : texts->items[i]));
    }
    buf_put_byte(out, ']');
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

int option_set(void *object, const struct option *row, struct slice text, struct buf *why)
{
    switch (row->kind) {
    case OPTION_BOOL:
        return set_bool(field(object, row), text, why);
    case OPTION_COUNT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return set_number(field(object, row), row, text, why);
    case OPTION_CHOICE:
        return set_choice(field(object, row), row, text, why);
    case OPTION_TEXT:
        return set_text(field(object, row), text, why);
    case OPTION_TEXTS:
    case OPTION_SECRETS:
        return set_texts(field(object, row), text, why);
    }
    check_failed(__FILE__, __LINE__, "a known option kind");
}

int option_append(void *object, const struct option *row, struct slice text, struct buf *why)
{
    check(is_list(row));
    return texts_append(field(object, row), text, why);
}

void option_print(const void *object, const struct option *row, struct buf *out)
{
    const void *at = field_const(object, row);
    switch (row->kind) {
    case OPTION_BOOL:
        buf_put_text(out, *(const bool *)at ? "true" : "false");
        return;
    case OPTION_COUNT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        put_number(out, row, *(const uint64_t *)at);
        return;
    case OPTION_CHOICE:
        buf_put_text(out, row->choices[*(const uint32_t *)at]);
        return;
    case OPTION_TEXT:
        put_quoted(out, slice_text(*(char *const *)at));
        return;
    case OPTION_TEXTS:
    case OPTION_SECRETS:
        put_texts(out, at, row->kind == OPTION_SECRETS);
        return;
    }
    check_failed(__FILE__, __LINE__, "a known option kind");
}

int option_defaults(void *object, const struct option *table)
{
    for (const struct option *row = table; row->name != NULL; row++) {
        uint8_t memory[256];
        struct buf why = buf_of(memory, sizeof memory);
        int error = option_set(object, row, slice_text(row->fallback), &why);
        check(error != -EINVAL);
        if (error != 0)
            return error;
    }
    return 0;
}

void option_release(void *object, const struct option *table)
{
    for (const struct option *row = table; row->name != NULL; row++) {
        if (is_list(row)) {
            texts_release(field(object, row));
        } else if (row->kind == OPTION_TEXT) {
            char **text = field(object, row);
            free(*text);
            *text = NULL;
        }
    }
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Edit distance: insertions, deletions and replacements (Wagner, Fischer 1974), one row of the matrix at a time. `b` is
 * at most NAME_BYTES_MAX long. */
static uint32_t distance(struct slice a, struct slice b)
{
    uint32_t row[NAME_BYTES_MAX + 1];
    check_op(b.bytes, <=, NAME_BYTES_MAX);
    for (uint32_t j = 0; j <= b.bytes; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a.bytes; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b.bytes; j++) {
            uint32_t replaced = diagonal + (a.data[i - 1] != b.data[j - 1]);
            diagonal = row[j];
            row[j] = min_u32(replaced, min_u32(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.bytes];
}

/* The name for which at most a third of the bytes written have to change; the first of several. */
static const char *find_nearest(const struct option *table, struct slice name)
{
    const char *nearest = NULL;
    uint32_t best = (uint32_t)name.bytes / 3 + 1;
    for (const struct option *row = table; row->name != NULL; row++) {
        struct slice candidate = slice_text(row->name);
        uint32_t d = distance(name, candidate);
        if (d < best) {
            best = d;
            nearest = row->name;
        }
    }
    return nearest;
}

const struct option *option_find(const struct option *table, struct slice name, const char **nearest)
{
    for (const struct option *row = table; row->name != NULL; row++)
        if (slice_is(name, row->name))
            return row;
    if (nearest != NULL)
        *nearest = find_nearest(table, name);
    return NULL;
}
