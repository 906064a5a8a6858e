/* SPDX-License-Identifier: MIT */
/* Holds the last tables of the dialects' references against the tests: every row of the requirements stands in one, and what
 * proves it is there by the name that is written. Run by unit_protocol from the project's root. */
#include "core/bytes.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 100
#define TEXT_BYTES (1U << 20)
#define FOLDER "tests/unit/protocol/dialects"

struct reference {
    const char *dialect;
    char letter; /* of its rows */
    unsigned rows;
};

static const struct reference references[] = {{"emprops", 'E', 98}, {"rnn", 'N', 80}};

/* Appends the file to `text`, NUL-terminated. */
static void add_file(char *text, const char *path)
{
    FILE *file = fopen(path, "r");
    size_t used = strlen(text);
    cr_assert_not_null(file, "%s", path);
    used += fread(text + used, 1, TEXT_BYTES - 1 - used, file);
    text[used] = '\0';
    cr_assert_lt(used, TEXT_BYTES - 1);
    fclose(file);
}

/* All tests of the dialect's folder, without white space. */
static char *read_tests(const struct reference *reference)
{
    char *text = calloc(1, TEXT_BYTES), path[512];
    snprintf(path, sizeof path, FOLDER "/%s", reference->dialect);
    DIR *files = opendir(path);
    cr_assert(text != NULL && files != NULL);
    for (struct dirent *entry; (entry = readdir(files)) != NULL;) {
        snprintf(path, sizeof path, FOLDER "/%s/%s", reference->dialect, entry->d_name);
        if (strncmp(entry->d_name, "test_", 5) == 0)
            add_file(text, path);
    }
    closedir(files);
    char *out = text;
    for (const char *at = text; *at != '\0'; at++)
        if (strchr(" \n\t", *at) == NULL)
            *out++ = *at;
    *out = '\0';
    return text;
}

static bool is_transcript(const struct reference *reference, const char *word)
{
    char path[256];
    snprintf(path, sizeof path, "tests/transcripts/%s-%s.txt", reference->dialect, word);
    FILE *file = fopen(path, "r");
    if (file != NULL)
        fclose(file);
    return file != NULL;
}

/* Whether the word of the last column names something: a transcript, `suite/test`, or one of the two short names. */
static bool proves(const struct reference *reference, const char *tests, char *word)
{
    char test[256];
    if (word[0] != '`')
        return strcmp(word, "model") == 0 || strcmp(word, "table") == 0 || is_transcript(reference, word);
    word[strcspn(word + 1, "`") + 1] = '\0';
    char *slash = strchr(word, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    snprintf(test, sizeof test, "Test(%s,%s)", word + 1, slash + 1);
    *slash = '/';
    return strstr(tests, test) != NULL;
}

/* The rows of the first column: "E-1", "E-2, E-3", "E-4 to E-6". */
static void note_rows(const struct reference *reference, const char *cell, bool seen[ROWS_MAX])
{
    const char name[] = {reference->letter, '-', '\0'};
    unsigned first, last;
    char letter;
    for (const char *at = cell; (at = strstr(at, name)) != NULL; at++) {
        int count = sscanf(at + 2, "%u to %c-%u", &first, &letter, &last);
        for (unsigned row = first; count > 0 && row <= (count == 3 ? last : first); row++)
            if (row < ROWS_MAX)
                seen[row] = true;
    }
}

/* One line of the table, its cells cut apart. */
static void check_line(const struct reference *reference, const char *tests, char *line, bool seen[ROWS_MAX])
{
    char *end = strrchr(line, '|'), *last;
    cr_assert(end != NULL && end > line, "%s", line);
    *end = '\0';
    last = strrchr(line, '|');
    cr_assert_not_null(last, "%s", line);
    *last++ = '\0';
    note_rows(reference, line, seen);
    int words = 0;
    for (char *word = strtok(last, ", "); word != NULL; word = strtok(NULL, ", "), words++)
        cr_expect(proves(reference, tests, word), "%.20s: there is no proof %s", line, word);
    cr_expect_gt(words, 0, "%.20s: nothing proves it", line);
}

static void check_reference(const struct reference *reference)
{
    static char text[TEXT_BYTES];
    bool seen[ROWS_MAX] = {false};
    char *tests = read_tests(reference), path[256], *rest = NULL;
    const char row_begins[] = {'|', ' ', reference->letter, '-', '\0'};
    snprintf(path, sizeof path, "protocol/dialects/%s/%s.md", reference->dialect, reference->dialect);
    text[0] = '\0';
    add_file(text, path);
    char *table = strstr(text, "| row | holds | proof |");
    cr_assert_not_null(table, "%s", path);
    for (char *line = strtok_r(table, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, row_begins, 4) == 0)
            check_line(reference, tests, line, seen);
    for (unsigned row = 1; row <= reference->rows; row++)
        cr_expect(seen[row], "%c-%u stands in no line of %s", reference->letter, row, path);
    free(tests);
}

Test(references, name_a_test_that_there_is_for_each_row)
{
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++)
        check_reference(&references[i]);
}

Test(references, notice_what_is_not_there)
{
    const struct reference *reference = &references[0];
    char *tests = read_tests(reference);
    char there[] = "`records/knows_nothing`", transcript[] = "flow", no_transcript[] = "flaw";
    cr_expect_not(proves(reference, tests, there));
    cr_expect(proves(reference, tests, transcript));
    cr_expect_not(proves(reference, tests, no_transcript));
    bool seen[ROWS_MAX] = {false};
    note_rows(reference, "| E-3 to E-5, E-9 |", seen);
    cr_expect(!seen[2] && seen[3] && seen[4] && seen[5] && !seen[6] && seen[9]);
    free(tests);
}
