/* SPDX-License-Identifier: MIT */
/* Owns the comparison of grants with what their lines say when they are read character by character: words, look-up,
 * repeated keys, patterns. It never measures time. The input is a number of lines, the lines, and then what is asked: a
 * key, then names. */
#include "protocol/grant.h"
#include "fuzz/fuzz.h"

#define LINES_MAX 24
#define NAMES_MAX 8

struct naive {
    char lines[LINES_MAX][256];
    char *texts[LINES_MAX];
    uint32_t count;
};

/* The how many-th word of a line, by counting where one begins. */
static struct slice naive_word(const char *line, uint32_t wanted)
{
    uint32_t words = 0;
    for (size_t i = 0; line[i] != '\0'; i++) {
        bool inside = line[i] != ' ' && line[i] != '\t';
        bool begins = inside && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t');
        if (begins && words++ == wanted)
            return slice_of(line + i, strcspn(line + i, " \t"));
    }
    return slice_text("");
}

static int naive_find(const struct naive *naive, struct slice key)
{
    if (slice_is(key, OPTION_MASK))
        return -1;
    for (uint32_t i = 0; i < naive->count; i++)
        if (key.bytes > 0 && slice_equal(naive_word(naive->lines[i], 0), key))
            return (int)i;
    return -1;
}

/* A star at the end takes any number of characters: tried one by one. */
static bool naive_matches(struct slice pattern, struct slice name)
{
    bool star = pattern.bytes > 0 && pattern.data[pattern.bytes - 1] == '*';
    for (size_t i = 0; i < pattern.bytes - (star ? 1 : 0); i++)
        if (i >= name.bytes || pattern.data[i] != name.data[i])
            return false;
    return star || pattern.bytes == name.bytes;
}

static void take_lines(struct naive *naive, struct fuzz_input *input)
{
    naive->count = fuzz_below(input, LINES_MAX + 1);
    for (uint32_t i = 0; i < naive->count; i++) {
        struct slice piece = fuzz_piece(input);
        const uint8_t *end = memchr(piece.data, 0, piece.bytes);
        size_t bytes = end == NULL ? piece.bytes : (size_t)(end - piece.data); /* a line is a text */
        snprintf(naive->lines[i], sizeof naive->lines[i], "%.*s", (int)bytes, (const char *)piece.data);
        naive->texts[i] = naive->lines[i];
    }
}

static void expect_grants(const struct naive *naive, const struct grant_list *list)
{
    expect(list->count == naive->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct grant *grant = &list->items[i];
        expect(slice_equal(grant->key, naive_word(naive->lines[i], 0)));
        for (uint32_t k = 0; k < grant->word_count; k++)
            expect(grant->words[k].bytes > 0 && slice_equal(grant->words[k], naive_word(naive->lines[i], k + 1)));
        expect(naive_word(naive->lines[i], grant->word_count + 1).bytes == 0);
        int first = naive_find(naive, grant->key);
        expect(grant_repeats(list, i) == (first >= 0 && (uint32_t)first < i ? first : -1));
    }
}

static void expect_covers(const struct naive *naive, const struct grant_list *list, struct slice name)
{
    uint8_t *copy = fuzz_copy(name);
    for (uint32_t i = 0; i < list->count; i++) {
        bool covered = false;
        for (uint32_t k = 1; naive_word(naive->lines[i], k).bytes > 0; k++)
            covered = covered || naive_matches(naive_word(naive->lines[i], k), name);
        expect(grant_covers(&list->items[i], slice_of(copy, name.bytes)) == covered);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct naive naive;
    struct fuzz_input input = {data, bytes};
    struct grant_list list;
    take_lines(&naive, &input);
    struct option_texts texts = {naive.texts, naive.count};
    expect(grant_list_init(&list, &texts) == 0);
    expect_grants(&naive, &list);
    for (uint32_t i = 0; i < NAMES_MAX; i++) {
        uint32_t known = fuzz_below(&input, 2 * LINES_MAX);
        struct slice wanted = known < naive.count ? naive_word(naive.lines[known], 0) : fuzz_piece(&input);
        uint8_t *copy = fuzz_copy(wanted);
        expect(grant_find(&list, slice_of(copy, wanted.bytes)) == naive_find(&naive, wanted));
        free(copy);
        expect_covers(&naive, &list, fuzz_piece(&input));
    }
    grant_list_free(&list);
    return 0;
}
