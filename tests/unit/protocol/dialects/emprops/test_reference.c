/* SPDX-License-Identifier: MIT */
/* Holds the last table of emprops.md against the tests: every row from E-1 to E-98 stands in it, and what proves it is
 * there by the name that is written. Run by unit_protocol from the project's root. */
#include "core/bytes.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define ROWS 98
#define TEXT_BYTES (1U << 20)
#define FOLDER "tests/unit/protocol/dialects/emprops"

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

/* All tests of the folder, without white space. */
static char *read_tests(void)
{
    char *text = calloc(1, TEXT_BYTES), path[512];
    DIR *files = opendir(FOLDER);
    cr_assert(text != NULL && files != NULL);
    for (struct dirent *entry; (entry = readdir(files)) != NULL;) {
        snprintf(path, sizeof path, FOLDER "/%s", entry->d_name);
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

static bool is_transcript(const char *word)
{
    char path[256];
    snprintf(path, sizeof path, "tests/transcripts/emprops-%s.txt", word);
    FILE *file = fopen(path, "r");
    if (file != NULL)
        fclose(file);
    return file != NULL;
}

/* Whether the word of the last column names something: a transcript, `suite/test`, or one of the two short names. */
static bool proves(const char *tests, char *word)
{
    char test[256];
    if (word[0] != '`')
        return strcmp(word, "model") == 0 || strcmp(word, "table") == 0 || is_transcript(word);
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
static void note_rows(const char *cell, bool seen[ROWS + 1])
{
    unsigned first, last;
    for (const char *at = cell; (at = strstr(at, "E-")) != NULL; at++) {
        int count = sscanf(at, "E-%u to E-%u", &first, &last);
        for (unsigned row = first; count > 0 && row <= (count == 2 ? last : first); row++)
            if (row <= ROWS)
                seen[row] = true;
    }
}

/* One line of the table, its cells cut apart. */
static void check_line(const char *tests, char *line, bool seen[ROWS + 1])
{
    char *end = strrchr(line, '|'), *last;
    cr_assert(end != NULL && end > line, "%s", line);
    *end = '\0';
    last = strrchr(line, '|');
    cr_assert_not_null(last, "%s", line);
    *last++ = '\0';
    note_rows(line, seen);
    int words = 0;
    for (char *word = strtok(last, ", "); word != NULL; word = strtok(NULL, ", "), words++)
        cr_expect(proves(tests, word), "%.20s: there is no proof %s", line, word);
    cr_expect_gt(words, 0, "%.20s: nothing proves it", line);
}

Test(emprops_reference, names_a_test_that_there_is_for_each_row)
{
    static char reference[TEXT_BYTES];
    bool seen[ROWS + 1] = {false};
    char *tests = read_tests();
    add_file(reference, "protocol/dialects/emprops/emprops.md");
    char *table = strstr(reference, "| row | holds | proof |"), *rest = NULL;
    cr_assert_not_null(table);
    for (char *line = strtok_r(table, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, "| E-", 4) == 0)
            check_line(tests, line, seen);
    for (int row = 1; row <= ROWS; row++)
        cr_expect(seen[row], "E-%d stands in no line", row);
    free(tests);
}

Test(emprops_reference, notices_what_is_not_there)
{
    char *tests = read_tests();
    char there[] = "`emprops_reference/notices_what_is_not_there`", not_there[] = "`emprops_reference/knows_nothing`";
    char transcript[] = "flow", no_transcript[] = "flaw";
    cr_expect(proves(tests, there));
    cr_expect_not(proves(tests, not_there));
    cr_expect(proves(tests, transcript));
    cr_expect_not(proves(tests, no_transcript));
    bool seen[ROWS + 1] = {false};
    note_rows("| E-3 to E-5, E-9 |", seen);
    cr_expect(!seen[2] && seen[3] && seen[4] && seen[5] && !seen[6] && seen[9]);
    free(tests);
}
