/* SPDX-License-Identifier: MIT */
/* Owns the round trips of settings: what parses is printed in a form that parses to the same value, for every kind of
 * row, and durations and sizes are what their digits and units say. It never reads files. The input is one byte, which
 * chooses a row, and the value as written. */
#include "core/option.h"
#include "fuzz/fuzz.h"

struct settings {
    bool flag;
    uint64_t count, ms, bytes;
    uint32_t choice;
    char *text;
    struct option_texts texts, secrets;
};

#define AT(field) .offset = offsetof(struct settings, field)

static const char *const choices[] = {"red", "green", "blue", NULL};

static const struct option table[] = {
    {"flag", OPTION_BOOL, AT(flag), "true"},
    {"count", OPTION_COUNT, AT(count), "7", .min = 1, .max = 1000000},
    {"idle_timeout", OPTION_DURATION, AT(ms), "10s"},
    {"body_bytes_max", OPTION_SIZE, AT(bytes), "64KiB"},
    {"colour", OPTION_CHOICE, AT(choice), "green", .choices = choices},
    {"text", OPTION_TEXT, AT(text), ""},
    {"texts", OPTION_TEXTS, AT(texts), "a, b"},
    {"secrets", OPTION_SECRETS, AT(secrets), ""},
    {0},
};

#define ROWS (sizeof(table) / sizeof(table[0]) - 1)

/* --- numbers with units ------------------------------------------------------------------------------------------- */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit sizes[] = {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};

/* Digits and a unit, or "0" alone; false: neither, or beyond 64 bits. */
static bool naive_number(struct slice text, const struct unit *units, uint64_t *value)
{
    unsigned __int128 sum = 0;
    size_t digits = 0;
    for (; digits < text.bytes && text.data[digits] >= '0' && text.data[digits] <= '9'; digits++)
        sum = sum >> 70 != 0 ? sum : sum * 10 + (text.data[digits] - '0');
    struct slice name = slice_skip(text, digits);
    if (digits == 0)
        return false;
    if (name.bytes == 0) {
        *value = 0;
        return sum == 0;
    }
    for (; units->name != NULL; units++) {
        if (!slice_is(name, units->name))
            continue;
        sum *= units->factor;
        *value = (uint64_t)sum;
        return sum <= UINT64_MAX;
    }
    return false;
}

static void expect_numbers(struct slice text)
{
    uint64_t value = 0, naive = 0;
    bool good = naive_number(text, durations, &naive);
    expect((option_parse_duration(text, &value) == 0) == good && (!good || value == naive));
    good = naive_number(text, sizes, &naive);
    expect((option_parse_size(text, &value) == 0) == good && (!good || value == naive));
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* A double-quoted YAML scalar at the front, resolved; the text moves behind it. */
static struct slice unquote(struct slice *text, uint8_t *memory)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0, at = 1;
    expect(text->bytes >= 2 && text->data[0] == '"');
    for (; at < text->bytes && text->data[at] != '"'; at++) {
        uint8_t c = text->data[at];
        expect(c >= 0x20 && c != 0x7F);
        if (c == '\\') {
            expect(at + 1 < text->bytes);
            c = text->data[++at];
            expect(c == '"' || c == '\\' || c == 'n' || c == 't' || c == 'x');
            if (c == 'x') {
                expect(at + 2 < text->bytes);
                c = (uint8_t)((strchr(digits, text->data[at + 1]) - digits) * 16 +
                              (strchr(digits, text->data[at + 2]) - digits));
                at += 2;
            } else {
                c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
            }
        }
        memory[used++] = c;
    }
    expect(at < text->bytes); /* the closing quote */
    *text = slice_skip(*text, at + 1);
    return slice_of(memory, used);
}

static void expect_list(const struct option_texts *list, struct slice printed, bool secret, uint8_t *memory)
{
    expect(printed.bytes >= 2 && printed.data[0] == '[');
    printed = slice_skip(printed, 1);
    for (uint32_t i = 0; i < list->count; i++) {
        expect(list->items[i][0] != '\0');
        struct slice item = unquote(&printed, memory);
        expect(slice_is(item, secret ? "***" : list->items[i]));
        if (i + 1 < list->count) {
            expect(slice_starts(printed, slice_text(", ")));
            printed = slice_skip(printed, 2);
        }
    }
    expect(slice_is(printed, "]"));
}

/* What was printed of a value that was taken says the same value. */
static void expect_printed(const struct settings *settings, const struct option *row, struct slice printed,
                           uint8_t *memory)
{
    char words[512];
    struct buf why = buf_of(words, sizeof words);
    struct settings other = {0};
    switch (row->kind) {
    case OPTION_TEXT:
        expect(slice_is(unquote(&printed, memory), settings->text) && printed.bytes == 0);
        return;
    case OPTION_TEXTS:
    case OPTION_SECRETS:
        expect_list(row->kind == OPTION_TEXTS ? &settings->texts : &settings->secrets, printed,
                    row->kind == OPTION_SECRETS, memory);
        return;
    default:
        expect(option_set(&other, row, printed, &why) == 0);
        expect(other.flag == settings->flag && other.count == settings->count && other.ms == settings->ms &&
               other.bytes == settings->bytes && other.choice == settings->choice);
    }
}

static void expect_row(const struct option *row, struct slice text)
{
    struct settings settings = {0};
    char words[512];
    struct buf why = buf_of(words, sizeof words);
    size_t room = 8 * text.bytes + 256;
    struct buf out = buf_of(malloc(room), room);
    uint8_t *memory = malloc(room);
    int error = option_set(&settings, row, text, &why);

    expect(!why.overflow && (error == 0) == (why.used == 0));
    if (error == 0) {
        option_print(&settings, row, &out);
        expect(!out.overflow);
        expect_printed(&settings, row, buf_slice(&out), memory);
    }
    bool list = row->kind == OPTION_TEXTS || row->kind == OPTION_SECRETS;
    if (list) {
        uint32_t count = row->kind == OPTION_TEXTS ? settings.texts.count : settings.secrets.count;
        buf_reset(&why);
        error = option_append(&settings, row, text, &why);
        expect((error == 0) == (text.bytes > 0 && memchr(text.data, 0, text.bytes) == NULL));
        expect((row->kind == OPTION_TEXTS ? settings.texts.count : settings.secrets.count) == count + (error == 0));
        expect(row->kind != OPTION_SECRETS || text.bytes < 12 || !fuzz_holds(buf_slice(&why), text));
    }
    option_release(&settings, table);
    free(memory);
    free(out.data);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

/* Edit distance with the whole matrix. */
static uint32_t distance(struct slice a, const char *b)
{
    static uint32_t d[260][64];
    size_t n = strlen(b);
    for (size_t i = 0; i <= a.bytes; i++) {
        for (size_t j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (uint32_t)(i + j);
                continue;
            }
            uint32_t best = d[i - 1][j - 1] + (a.data[i - 1] != (uint8_t)b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            d[i][j] = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
        }
    }
    return d[a.bytes][n];
}

static void expect_name(struct slice name)
{
    const char *nearest = "unset";
    const struct option *found = option_find(table, name, &nearest);
    uint32_t best = UINT32_MAX;
    if (found != NULL) {
        expect(slice_is(name, found->name));
        return;
    }
    for (size_t i = 0; i < ROWS; i++) {
        uint32_t d = distance(name, table[i].name);
        best = d < best ? d : best;
    }
    expect((nearest != NULL) == (best <= name.bytes / 3));
    expect(nearest == NULL || distance(name, nearest) == best);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static bool checked;
    if (!checked) {
        struct settings settings = {0};
        expect(option_defaults(&settings, table) == 0 && settings.ms == 10000 && settings.texts.count == 2);
        option_release(&settings, table);
        checked = true;
    }
    if (bytes == 0)
        return 0;
    uint8_t *copy = fuzz_copy(slice_of(data + 1, bytes - 1));
    struct slice text = slice_of(copy, bytes - 1);
    expect_numbers(text);
    expect_row(&table[data[0] % ROWS], text);
    if (text.bytes < 256)
        expect_name(text);
    free(copy);
    return 0;
}
