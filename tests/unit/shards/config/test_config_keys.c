/* SPDX-License-Identifier: MIT */
/* Keys and their permissions in a configuration: where they come from, what is refused, and that no finding shows one
 * . Run by unit_shards. */
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "tests/unit/shards/config/config_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(config_keys, .init = make_folder, .fini = remove_folder);

/* --- values ------------------------------------------------------------------------------------------------------- */

Test(config_keys, joins_the_keys_of_list_and_file)
{
    char text[256];
    write_file(key_file, "# clients\n\n  k2  \r\nk3");
    snprintf(text, sizeof text, "plain:\n  keys: [k1]\n  keys_file: %s\n", key_file);
    struct config *config = load_good(text);
    struct dialect_settings *plain = settings_of(config, "plain");
    cr_assert_eq(plain->grants.count, 3);
    cr_expect(slice_is(plain->grants.items[0].key, "k1"));
    cr_expect(slice_is(plain->grants.items[1].key, "k2"));
    cr_expect(slice_is(plain->grants.items[2].key, "k3"));
    cr_expect_eq(plain->keys.count, 1, "the list itself stays as written");
    config_free(config);
}

Test(config_keys, reads_secrets_from_the_file_that_a_variable_names)
{
    char variable[128], *environment[] = {variable, NULL};
    struct loaded loaded;
    snprintf(variable, sizeof variable, "RINGCAST_INGEST_KEYS_FILE=%s", key_file);
    write_file(key_file, "pub-1 plain/*\npub-2 *\n");
    load(&loaded, "ingest: {keys: [\"pub-0 *\"]}\n", environment, NULL);
    cr_assert_eq(loaded.result, 0, "%s", loaded.why);
    cr_expect_eq(loaded.config->ingest.grants.count, 3, "KEYS_FILE is the key keys_file, which adds to the list");
    cr_expect(slice_is(loaded.config->ingest.grants.items[2].key, "pub-2"));
    config_free(loaded.config);
}

/* --- findings ----------------------------------------------------------------------------------------------------- */

Test(config_keys, checks_ingest_entries_without_showing_them) /* I-2 */
{
    refuses(
        "ingest:\n"
        "  keys:\n"
        "    - " SECRET "\n"
        "    - " SECRET " plain\n"
        "    - " SECRET " */x\n"
        "    - " SECRET " plane/x\n"
        "    - " SECRET "\xc3\xa9 *\n"
        "    - " SECRET " plain/x echo/* *\n"
        "    - other plain*\n"
        "    - another **\n",
        "@:2: ingest.keys: entry 1: a pattern is missing; write \"KEY DIALECT/TOPIC\", or \"KEY *\" for everything\n"
        "@:2: ingest.keys: entry 2: a pattern is DIALECT/TOPIC, DIALECT/* or *\n"
        "@:2: ingest.keys: entry 3: '*' stands for any rest and comes last in a pattern\n"
        "@:2: ingest.keys: entry 4: a pattern names no known dialect\n"
        "@:2: ingest.keys: entry 5: a key is visible ASCII without spaces\n"
        "@:2: ingest.keys: entry 7: a pattern is DIALECT/TOPIC, DIALECT/* or *\n"
        "@:2: ingest.keys: entry 8: '*' stands for any rest and comes last in a pattern\n");
}

Test(config_keys, names_the_key_file_and_line_but_never_its_content)
{
    char text[256], expected[512];
    struct loaded loaded;
    write_file(key_file, "good\n" SECRET " two words\n");
    snprintf(text, sizeof text, "plain:\n  keys_file: %s\necho:\n  keys_file: %s/none\n", key_file, folder);
    snprintf(
        expected, sizeof expected,
        "@:2: plain.keys_file: %s line 2: a key stands alone: without spaces, and without permissions, which this "
        "dialect "
        "does not have\n"
        "@:4: echo.keys_file: %s/none cannot be read: No such file or directory; name a file with one key a line\n",
        key_file, folder);
    load(&loaded, text, NULL, NULL);
    expect_findings(&loaded, expected);
    cr_expect_null(strstr(loaded.why, SECRET));
}

Test(config_keys, splits_keys_from_their_permissions) /* */
{
    char text[256];
    write_file(key_file, "k3\n k4 \t jobs \t blockchain \n");
    snprintf(text, sizeof text, "aitbc:\n  keys: [\"k1  jobs:render-*   jobs:one\", k2]\n  keys_file: %s\n", key_file);
    struct config *config = load_good(text);
    const struct grant_list *list = &((struct dialect_settings *)settings_of(config, "aitbc"))->grants;
    static const char *const keys[] = {"k1", "k2", "k3", "k4"};
    static const char *const words[4][2] = {{"jobs:render-*", "jobs:one"}, {NULL}, {NULL}, {"jobs", "blockchain"}};
    cr_assert_eq(list->count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect(slice_is(list->items[i].key, keys[i]), "%u", i);
        cr_assert_eq(list->items[i].word_count, words[i][0] == NULL ? 0 : 2);
        for (uint32_t k = 0; k < list->items[i].word_count; k++)
            cr_expect(slice_is(list->items[i].words[k], words[i][k]), "%u", i);
    }
    config_free(config);
}

/* With two places for one key, who takes a right away in one of them may be mistaken. */
Test(config_keys, refuses_a_key_in_two_places_and_names_both_but_never_the_key)
{
    char text[256], expected[1024];
    struct loaded loaded;
    write_file(key_file, "k plain/a\n\n" SECRET " plain/*\n# a remark\nk plain/b\nlist *\nk *\n");
    snprintf(text, sizeof text, "ingest:\n  keys: [list *, \"" SECRET "x *\", list plain/b]\n  keys_file: %s\n",
             key_file);
    snprintf(expected, sizeof expected,
             "@:2: ingest.keys: entry 3: the key stands in entry 1 already; write it once, with all that it may do\n"
             "@:3: ingest.keys_file: %s line 5: the key stands on line 1 already; write it once, with all that it may "
             "do\n"
             "@:3: ingest.keys_file: %s line 6: the key stands in entry 1 already; write it once, with all that it may "
             "do\n"
             "@:3: ingest.keys_file: %s line 7: the key stands on line 1 already; write it once, with all that it may "
             "do\n",
             key_file, key_file, key_file);
    load(&loaded, text, NULL, NULL);
    expect_findings(&loaded, expected);
    cr_expect_null(strstr(loaded.why, SECRET));
    refuses("plain: {keys: [a, b, a]}\n",
            "@:1: plain.keys: entry 3: the key stands in entry 1 already; write it once, with all that it may do\n");
}

Test(config_keys, refuses_permissions_that_are_none_without_showing_the_key)
{
    struct loaded loaded;
    load(&loaded, "aitbc:\n  keys: [\"" SECRET " jobs job\"]\n", NULL, NULL);
    expect_findings(&loaded, "@:2: aitbc.keys: entry 1: a permission behind a key is jobs, jobs:ID, jobs:PREFIX*, "
                             "blockchain or marketplace\n");
    cr_expect_null(strstr(loaded.why, SECRET));
}
