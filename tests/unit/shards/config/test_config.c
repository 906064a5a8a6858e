/* SPDX-License-Identifier: MIT */
/* Tests of shards/config*.c: what loads, where a value comes from, and the exact words in which a mistake is reported
 * (K-33). Each test writes its file into a folder of its own, so that findings can be compared with the path in them. */
#include "core/log.h"
#include "core/ring.h"
#include "core/ring_sim.h"
#include "protocol/dialect.h"
#include "protocol/tls/tls.h"
#include "shards/config/config.h"
#include "shards/config/config_listen.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECRET "s3cr3t-s3cr3t"

struct loaded {
    struct config *config;
    int result;
    char why[16384];
};

static char folder[] = "/tmp/ringcast-config-XXXXXX";
static char file[64];
static char key_file[64];

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/r.yaml", folder);
    snprintf(key_file, sizeof key_file, "%s/keys", folder);
}

static void remove_folder(void)
{
    unlink(file);
    unlink(key_file);
    rmdir(folder);
}

TestSuite(config, .init = make_folder, .fini = remove_folder);

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_geq(fputs(text, out), 0);
    cr_assert_eq(fclose(out), 0);
}

static void load_source(struct loaded *loaded, const struct config_source *source)
{
    struct buf why = buf_of(loaded->why, sizeof loaded->why - 1);
    loaded->config = NULL;
    loaded->result = config_load(source, &loaded->config, &why);
    loaded->why[why.used] = '\0';
    cr_assert_not(why.overflow);
    cr_assert_eq(loaded->result == 0, loaded->config != NULL);
    cr_assert_eq(loaded->result == 0, why.used == 0, "%s", loaded->why);
}

/* `text` NULL: no file. */
static void load(struct loaded *loaded, const char *text, char **environment, const char *const *sets)
{
    if (text != NULL)
        write_file(file, text);
    struct config_source source = {.path = text == NULL ? NULL : file, .environment = environment, .sets = sets};
    load_source(loaded, &source);
}

static struct config *load_good(const char *text)
{
    struct loaded loaded;
    load(&loaded, text, NULL, NULL);
    cr_assert_eq(loaded.result, 0, "%s", loaded.why);
    return loaded.config;
}

/* Each '@' in `expected` stands for the file's path, so that a finding reads as it does on the terminal. */
static void expect_findings(const struct loaded *loaded, const char *expected)
{
    char text[16384];
    size_t used = 0;
    for (; *expected != '\0'; expected++)
        used += (size_t)snprintf(text + used, sizeof text - used, *expected == '@' ? "%s" : "%.1s",
                                 *expected == '@' ? file : expected);
    cr_assert_eq(loaded->result, -EINVAL);
    cr_assert_str_eq(loaded->why, text);
}

static void refuses(const char *text, const char *expected)
{
    struct loaded loaded;
    load(&loaded, text, NULL, NULL);
    expect_findings(&loaded, expected);
}

static void *settings_of(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->dialect_count; i++)
        if (strcmp(dialects[i]->name, name) == 0)
            return config->dialects[i];
    cr_assert_fail("no dialect %s", name);
    return NULL;
}

static char *print(const struct config *config, const struct config_source *source)
{
    static char text[32768];
    struct buf out = buf_of(text, sizeof text - 1);
    config_print(config, source, &out);
    cr_assert_not(out.overflow);
    text[out.used] = '\0';
    return text;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

Test(config, has_safe_defaults_without_any_source)
{
    struct config *config = load_good(NULL);
    cr_expect_eq(config->server.shards, 0);
    cr_expect(config->server.pin);
    cr_expect_eq(config->server.log_level, LOG_INFO);
    cr_expect_eq(config->server.log_format, LOG_LOGFMT);
    cr_expect_eq(config->server.connections_max, 1000000);
    cr_expect_eq(config->server.frame_memory_bytes, 1 << 30);
    cr_expect_eq(config->server.send_buffer_bytes, 128 << 10);
    cr_expect_eq(config->server.receive_buffer_bytes, 64 << 10);
    cr_expect_eq(config->server.notsent_lowat_bytes, 128 << 10);
    cr_expect_eq(config->server.handshake_timeout_ms, 10000); /* K-24 */
    cr_expect_eq(config->server.message_timeout_ms, 60000);   /* K-24 */
    cr_expect_eq(config->server.close_timeout_ms, 5000);
    cr_expect_eq(config->server.drain_timeout_ms, 10000); /* K-31 */
    cr_expect_eq(config->server.zero_copy, ZERO_COPY_AUTO);
    cr_expect_eq(config->server.zero_copy_bytes_min, 16 << 10);
    cr_expect_eq(config->server.zero_copy_pinned_max, 256 << 20);
    cr_expect_eq(config->server.spin_us, 0);
    cr_expect(config->server.direct_descriptors);
    cr_expect_eq(config->ingest.listen.count, 1);
    cr_expect_str_eq(config->ingest.listen.items[0], "127.0.0.1:9400"); /* I-1 */
    cr_expect_eq(config->ingest.body_bytes_max, 16 << 20);              /* I-3 */
    cr_expect_eq(config->ingest.grants.count, 0);
    cr_expect_str_eq(config->admin.listen.items[0], "127.0.0.1:9401");
    for (uint32_t i = 0; i < config->dialect_count; i++)
        cr_expect_eq(((struct dialect_settings *)config->dialects[i])->listen.count, 0, "dialects are off");
    config_free(config);
}

Test(config, reads_scalars_lists_and_sections_of_a_file)
{
    struct config *config = load_good("shards: 3\n"
                                      "log_level: debug\n"
                                      "frame_memory: 64MiB\n"
                                      "ingest:\n"
                                      "  listen: []\n"
                                      "  keys: [\"pub-1 plain/* rustorium/blocks\", 'pub-2 *']\n"
                                      "plain:\n"
                                      "  listen: [\"127.0.0.1:9500\", \"[::1]:9500\"]\n"
                                      "  prefix: /a/b\n"
                                      "  keys:\n"
                                      "    - k1\n"
                                      "    - k2\n");
    struct dialect_settings *plain = settings_of(config, "plain");
    cr_expect_eq(config->server.shards, 3);
    cr_expect_eq(config->server.log_level, LOG_DEBUG);
    cr_expect_eq(config->server.frame_memory_bytes, 64 << 20);
    cr_expect_eq(config->ingest.listen.count, 0);
    cr_expect_eq(config->ingest.grants.count, 2);
    cr_expect(slice_is(config->ingest.grants.items[0].key, "pub-1"));
    cr_assert_eq(config->ingest.grants.items[0].word_count, 2);
    cr_expect(slice_is(config->ingest.grants.items[0].words[1], "rustorium/blocks"));
    cr_expect_eq(plain->listen.count, 2);
    cr_expect_str_eq(plain->listen.items[1], "[::1]:9500");
    cr_expect_str_eq(plain->prefix, "/a/b");
    cr_expect_eq(plain->grants.count, 2);
    cr_expect(slice_is(plain->grants.items[1].key, "k2"));
    config_free(config);
}

Test(config, takes_a_list_written_as_one_text_with_commas)
{
    struct config *config = load_good("plain: {listen: \"127.0.0.1:9500, [::1]:9500\"}\n");
    struct dialect_settings *plain = settings_of(config, "plain");
    cr_expect_eq(plain->listen.count, 2);
    cr_expect_str_eq(plain->listen.items[1], "[::1]:9500");
    config_free(config);
}

Test(config, reads_an_empty_file_a_file_of_comments_and_an_empty_section)
{
    config_free(load_good(""));
    config_free(load_good("# nothing but a comment\n"));
    config_free(load_good("---\n"));
    config_free(load_good("plain:\n  # listen: [\"localhost:9500\"]\nshards: 2\n"));
}

Test(config, gives_each_dialect_its_own_defaults_over_the_common_ones)
{
    struct config *config = load_good(NULL);
    for (uint32_t i = 0; i < config->dialect_count; i++) {
        for (const struct dialect_default *d = dialects[i]->defaults; d != NULL && d->name != NULL; d++) {
            const struct option *row = option_find(dialect_common_options, slice_text(d->name), NULL);
            struct dialect_settings wanted = {0};
            char found[256], right[256];
            struct buf why = buf_of(found, sizeof found);
            cr_assert_not_null(row);
            cr_assert_eq(option_set(&wanted, row, slice_text(d->value), &why), 0);
            struct buf found_buf = buf_of(found, sizeof found - 1), right_buf = buf_of(right, sizeof right - 1);
            option_print(config->dialects[i], row, &found_buf);
            option_print(&wanted, row, &right_buf);
            found[found_buf.used] = right[right_buf.used] = '\0';
            cr_expect_str_eq(found, right, "%s.%s", dialects[i]->name, d->name);
            option_release(&wanted, dialect_common_options);
        }
    }
    config_free(config);
}

Test(config, later_sources_count_before_earlier_ones)
{
    char shards[] = "RINGCAST_SHARDS=3", level[] = "RINGCAST_LOG_LEVEL=warn", path[] = "PATH=/bin",
         other[] = "RINGCASTER=1";
    char *environment[] = {path, shards, level, other, NULL};
    const char *sets[] = {"log_level=error", "plain.listen=127.0.0.1:7", "log_level=debug", NULL};
    struct loaded loaded;
    load(&loaded, "shards: 2\nlog_level: info\npin: false\n", environment, sets);
    cr_assert_eq(loaded.result, 0, "%s", loaded.why);
    cr_expect_not(loaded.config->server.pin);
    cr_expect_eq(loaded.config->server.shards, 3);
    cr_expect_eq(loaded.config->server.log_level, LOG_DEBUG);
    cr_expect_str_eq(((struct dialect_settings *)settings_of(loaded.config, "plain"))->listen.items[0], "127.0.0.1:7");
    config_free(loaded.config);
}

Test(config, reads_keys_of_sections_from_the_environment)
{
    char listen[] = "RINGCAST_PLAIN_LISTEN=127.0.0.1:9500,[::1]:9500", keys[] = "RINGCAST_INGEST_KEYS=a *, b plain/x";
    char *environment[] = {listen, keys, NULL};
    struct loaded loaded;
    load(&loaded, NULL, environment, NULL);
    cr_assert_eq(loaded.result, 0, "%s", loaded.why);
    cr_expect_eq(((struct dialect_settings *)settings_of(loaded.config, "plain"))->listen.count, 2);
    cr_expect_eq(loaded.config->ingest.grants.count, 2);
    cr_expect(slice_is(loaded.config->ingest.grants.items[1].key, "b"));
    cr_expect(slice_is(loaded.config->ingest.grants.items[1].words[0], "plain/x"));
    config_free(loaded.config);
}

Test(config, leaves_the_variables_of_the_commands_alone)
{
    char ingest[] = "RINGCAST_INGEST_KEY=x", key[] = "RINGCAST_KEY=y";
    char *environment[] = {ingest, key, NULL};
    struct loaded loaded;
    load(&loaded, NULL, environment, NULL);
    cr_assert_eq(loaded.result, 0, "%s", loaded.why);
    cr_expect_eq(loaded.config->ingest.grants.count, 0);
    config_free(loaded.config);
}

Test(config, joins_the_keys_of_list_and_file)
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

Test(config, reads_secrets_from_the_file_that_a_variable_names)
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

Test(config, names_file_line_and_key_of_each_mistake_not_only_of_the_first)
{
    refuses(
        "shard: 4\n"
        "log_level: loud\n"
        "plain:\n"
        "  listen: [\"127.0.0.1\"]\n"
        "  lisen: []\n"
        "pplain: {}\n"
        "spin_us: [1]\n"
        "ingest: 7\n"
        "drain_timeout: 10\n",
        "@:1: shard: unknown key; did you mean shards?\n"
        "@:5: plain.lisen: unknown key; did you mean listen?\n"
        "@:6: pplain: unknown key; did you mean plain?\n"
        "@:7: spin_us: must be a single value; write KEY: VALUE\n"
        "@:8: ingest: must be a section; write its keys below it, indented\n"
        "@:2: log_level: \"loud\" is not a choice; write one of error, warn, info, debug\n"
        "@:9: drain_timeout: \"10\" is not a duration; write a whole number with ms, s, m or h, such as 10s\n"
        "@:4: plain.listen: \"127.0.0.1\" is no address; write localhost:PORT, 127.0.0.1:PORT, [::1]:PORT or *:PORT, "
        "PORT being 0 to 65535\n");
}

Test(config, refuses_an_unknown_key_that_resembles_nothing)
{
    refuses("zzzzzzzzzz: 1\n", "@:1: zzzzzzzzzz: unknown key; 'ringcast check' prints all that there are\n");
}

Test(config, names_the_line_of_a_key_that_is_no_word)
{
    static const char *const keys[] = {"\"a\\nb\"", "\"\"", "a b", "\"a\\0b\"",
                                       "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "shards: 1\n%s: 3\n", keys[i]);
        refuses(text, "@:2: a key is not a word; write KEY: VALUE\n");
        snprintf(text, sizeof text, "shards: 1\nplain:\n  retain: 1\n  %s: 3\n", keys[i]);
        refuses(text, "@:4: plain: a key is not a word; write KEY: VALUE\n");
        snprintf(text, sizeof text, "shards: 1\n%s:\n  retain: 3\n", keys[i]);
        refuses(text, "@:2: a key is not a word; write KEY: VALUE\n");
    }
}

Test(config, refuses_what_is_not_yaml)
{
    refuses("shards: 2\nplain: [\n",
            "@:3: is not YAML: did not find expected node content while parsing a flow node\n");
    refuses("- a\n- b\n", "@:1: the file is not a list of KEY: VALUE lines\n");
    refuses("shards: 1\n---\nshards: 2\n", "@:3: a second document begins here; only one is read\n");
}

Test(config, refuses_a_key_that_stands_twice)
{
    refuses("shards: 1\nplain: {prefix: /a, prefix: /b}\n# x\nshards: 2\n",
            "@:2: plain.prefix: is set on line 2 already; remove one of the two\n"
            "@:4: shards: is set on line 1 already; remove one of the two\n");
}

Test(config, resolves_anchors_and_aliases)
{
    struct config *config = load_good("plain: {keys: &readers [a, b]}\necho: {keys: *readers}\n");
    cr_expect_eq(((struct dialect_settings *)settings_of(config, "echo"))->grants.count, 2);
    config_free(config);
    refuses("shards: *nobody\n", "@:1: is not YAML: found undefined alias\n");
}

Test(config, refuses_lists_in_lists_and_lists_without_a_value)
{
    refuses("plain:\n  listen: [[a]]\n",
            "@:2: plain.listen: must be a list of texts; write [\"FIRST\", \"SECOND\"], or [] for none\n");
    refuses("plain:\n  listen:\n",
            "@:2: plain.listen: must be a list of texts; write [\"FIRST\", \"SECOND\"], or [] for none\n");
}

Test(config, says_that_a_file_cannot_be_read)
{
    char expected[256];
    struct config_source source = {.path = file};
    struct loaded loaded;
    load_source(&loaded, &source);
    snprintf(expected, sizeof expected, "%s: cannot be read: No such file or directory\n", file);
    cr_assert_eq(loaded.result, -ENOENT);
    cr_assert_str_eq(loaded.why, expected);
}

Test(config, refuses_an_unknown_variable_and_a_bad_value_in_one)
{
    char unknown[] = "RINGCAST_PLAIN_LISEN=x", strange[] = "RINGCAST_QQQQQQQQQQQ=x", bad[] = "RINGCAST_SHARDS=many";
    char *environment[] = {unknown, strange, bad, NULL};
    struct loaded loaded;
    load(&loaded, NULL, environment, NULL);
    expect_findings(&loaded,
                    "environment: RINGCAST_PLAIN_LISEN: unknown variable; did you mean RINGCAST_PLAIN_LISTEN?\n"
                    "environment: RINGCAST_QQQQQQQQQQQ: unknown variable; RINGCAST_SECTION_KEY sets a key\n"
                    "environment: RINGCAST_SHARDS: \"many\" is not a count; write a whole number without a unit\n");
}

Test(config, refuses_bad_sets)
{
    const char *sets[] = {"plain.listn=x", "shards", "pin=maybe", "qqqqqqqqqqqqq=1", NULL};
    struct loaded loaded;
    load(&loaded, NULL, NULL, sets);
    expect_findings(&loaded, "--set: plain.listn: unknown key; did you mean plain.listen?\n"
                             "--set: shards: no value; write --set shards=VALUE\n"
                             "--set: pin: \"maybe\" is neither true nor false\n"
                             "--set: qqqqqqqqqqqqq: unknown key; 'ringcast check' prints all that there are\n");
}

Test(config, refuses_more_shards_than_there_can_be)
{
    refuses("shards: 65\n", "@:1: shards: \"65\" is out of range; write 0 to 64\n");
    config_free(load_good("shards: 64\n"));
}

Test(config, refuses_an_address_that_ingest_or_admin_has)
{
    refuses("plain:\n  listen: [\"localhost:9400\"]\n",
            "@:2: plain.listen: \"localhost:9400\" is taken by ingest.listen; use another port\n");
    refuses("plain:\n  listen: [\"*:9401\"]\n",
            "@:2: plain.listen: \"*:9401\" is taken by admin.listen; use another port\n");
    refuses("ingest: {listen: [\"*:9401\"]}\n",
            "default: admin.listen: \"127.0.0.1:9401\" is taken by ingest.listen; use another port\n");
}

Test(config, lets_dialects_share_an_address_and_families_a_port) /* G-1 */
{
    config_free(load_good("plain: {listen: [\"127.0.0.1:8080\"]}\necho: {listen: [\"127.0.0.1:8080\"]}\n"));
    config_free(load_good("plain: {listen: [\"[::1]:9400\"]}\n"));
    config_free(load_good("plain: {listen: [\"127.0.0.1:0\"]}\ningest: {listen: [\"127.0.0.1:0\"]}\n"));
}

Test(config, refuses_more_listeners_than_there_can_be)
{
    char text[2048];
    size_t used = (size_t)snprintf(text, sizeof text, "plain:\n  listen: [");
    for (int i = 0; i < LISTENERS_MAX - 1; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "\"127.0.0.1:%d\", ", 20500 + i);
    snprintf(text + used, sizeof text - used, "]\n");
    refuses(text, "listen: 33 different addresses in all sections; 32 is the most\n");
}

Test(config, checks_ingest_entries_without_showing_them) /* I-2 */
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

Test(config, names_the_key_file_and_line_but_never_its_content)
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

Test(config, splits_keys_from_their_permissions) /* */
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
Test(config, refuses_a_key_in_two_places_and_names_both_but_never_the_key)
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

Test(config, refuses_permissions_that_are_none_without_showing_the_key)
{
    struct loaded loaded;
    load(&loaded, "aitbc:\n  keys: [\"" SECRET " jobs job\"]\n", NULL, NULL);
    expect_findings(&loaded, "@:2: aitbc.keys: entry 1: a permission behind a key is jobs, jobs:ID, jobs:PREFIX*, "
                             "blockchain or marketplace\n");
    cr_expect_null(strstr(loaded.why, SECRET));
}

Test(config, refuses_proxies_that_are_no_addresses) /* */
{
    config_free(load_good("plain: {trusted_proxies: [127.0.0.1, \"::1\", 10.0.0.0/8, \"fd00::/8\"]}\n"));
    refuses(
        "plain:\n  trusted_proxies: [\"10.0.0.0/33\"]\n",
        "@:2: plain.trusted_proxies: \"10.0.0.0/33\" is no address and no network; write 127.0.0.1, ::1, 10.0.0.0/8 or "
        "fd00::/8\n");
}

Test(config, refuses_hosts_that_no_request_can_name) /* L8 */
{
    config_free(load_good("hosts: [app.example, \"[::1]\", 10.0.0.1]\n"));
    refuses(
        "hosts: [app.example, \"https://app.example\"]\n",
        "@:1: hosts: \"https://app.example\" is no name of a host; write app.example, without a scheme and a port\n");
    refuses("hosts: [\"app.example:80\"]\n",
            "@:1: hosts: \"app.example:80\" is no name of a host; write app.example, without a scheme and a port\n");
}

Test(config, refuses_a_prefix_that_is_no_path) /* G-2 */
{
    refuses("plain:\n  prefix: a/\n",
            "@:2: plain.prefix: \"a/\" is no prefix; write /NAME without a slash at the end, or \"\" for none\n");
    refuses("plain: {prefix: /a?b}\n",
            "@:1: plain.prefix: \"/a?b\" is no prefix; write /NAME without a slash at the end, or \"\" for none\n");
}

Test(config, reports_what_a_dialect_objects_to_where_it_was_set)
{
    refuses("plain:\n  policy: [lossless, newest]\n",
            "@:2: plain.policy: \"newest\" is no policy; write lossless, latest, PREFIX=lossless or PREFIX=latest\n");
}

Test(config, keeps_a_finding_on_one_line_whatever_the_value_holds)
{
    refuses("plain: {prefix: \"a\\nb\"}\n",
            "@:1: plain.prefix: \"a?b\" is no prefix; write /NAME without a slash at the end, or \"\" for none\n");
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

Test(config, prints_every_value_with_its_origin_and_no_secret)
{
    char pin[] = "RINGCAST_PIN=false", *environment[] = {pin, NULL}, line[128];
    const char *sets[] = {"spin_us=5", NULL};
    struct config_source source = {.path = file, .environment = environment, .sets = sets};
    struct loaded loaded;
    write_file(file, "shards: 2\ningest:\n  keys: [\"" SECRET " plain/*\"]\nplain:\n  keys: [\"" SECRET "\"]\n");
    load_source(&loaded, &source);
    cr_assert_eq(loaded.result, 0, "%s", loaded.why);
    const char *text = print(loaded.config, &source);
    cr_expect_null(strstr(text, SECRET));
    snprintf(line, sizeof line, "shards: 2  # %s:1\n", file);
    cr_expect_not_null(strstr(text, line));
    snprintf(line, sizeof line, "  keys: [\"*** plain/*\"]  # %s:3\n", file);
    cr_expect_not_null(strstr(text, line));
    snprintf(line, sizeof line, "  keys: [\"***\"]  # %s:5\n", file);
    cr_expect_not_null(strstr(text, line));
    cr_expect_not_null(strstr(text, "pin: false  # env RINGCAST_PIN\n"));
    cr_expect_not_null(strstr(text, "spin_us: 5  # --set\n"));
    cr_expect_not_null(strstr(text, "drain_timeout: 10s  # default\n"));
    config_free(loaded.config);
}

Test(config, keeps_a_finding_on_one_line_whatever_the_key_holds)
{
    const char *sets[] = {"a\tb\rforged: line=1", NULL};
    struct loaded loaded;
    load(&loaded, NULL, NULL, sets);
    cr_assert_not_null(strstr(loaded.why, "a?b?forged: line"));
    cr_assert_eq(strchr(loaded.why, '\n'), loaded.why + strlen(loaded.why) - 1, "one line");
}

Test(config, refuses_a_pattern_that_could_not_be_printed)
{
    static const char *const patterns[] = {"plain/a\\\"b", "plain/a\\\\b"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        char text[128];
        struct loaded loaded;
        snprintf(text, sizeof text, "ingest:\n  keys: [\"k %s\"]\n", patterns[i]);
        load(&loaded, text, NULL, NULL);
        expect_findings(&loaded,
                        "@:2: ingest.keys: entry 1: a pattern is visible ASCII without quotes and backslashes\n");
    }
}

Test(config, prints_what_loads_again_to_the_same)
{
    struct config_source source = {.path = file};
    struct config *first = load_good("shards: 2\nframe_memory: 3MiB\ningest:\n  keys: [\"a plain/* *\", \"b *\"]\n"
                                     "plain:\n  listen: [\"localhost:9500\", \"*:1\"]\n  keys: [a, b]\n  prefix: /x\n");
    char printed[32768], again[32768];
    snprintf(printed, sizeof printed, "%s", print(first, &source));
    struct config *second = load_good(printed);
    snprintf(again, sizeof again, "%s", print(second, &source));
    for (char *a = printed, *b = again; *a != '\0' && *b != '\0';) { /* all but the origins */
        size_t a_bytes = strcspn(a, "#\n"), b_bytes = strcspn(b, "#\n");
        cr_assert_eq(a_bytes, b_bytes);
        cr_assert_eq(memcmp(a, b, a_bytes), 0, "%.*s / %.*s", (int)a_bytes, a, (int)b_bytes, b);
        a += a_bytes + strcspn(a + a_bytes, "\n") + 1;
        b += b_bytes + strcspn(b + b_bytes, "\n") + 1;
    }
    config_free(first);
    config_free(second);
}

Test(config, generates_a_file_that_loads_with_other_keys_each_time)
{
    static const struct sim_faults faults;
    struct sim_network *network = sim_network_create(1, &faults, 65536); /* entropy comes from the simulated machine */
    char first[8192] = "", second[8192] = "";
    struct buf out = buf_of(first, sizeof first - 1);
    cr_assert_eq(config_generate(&out), 0);
    cr_assert_not(out.overflow);
    out = buf_of(second, sizeof second - 1);
    cr_assert_eq(config_generate(&out), 0);
    cr_expect_str_neq(first, second);

    struct config *config = load_good(first);
    struct dialect_settings *plain = settings_of(config, "plain");
    cr_expect_eq(config->ingest.grants.count, 1);
    cr_expect_eq(plain->listen.count, 1);
    cr_assert_eq(plain->grants.count, 1);
    cr_expect_eq(plain->grants.items[0].key.bytes, 64, "256 bits");
    config_free(config);
    sim_network_destroy(network);
}

/* --- reload ------------------------------------------------------------------------------------------------------- */

Test(config, lists_the_changed_keys_that_need_a_restart)
{
    struct config *now = load_good("shards: 2\nlog_level: info\nplain: {listen: [\"127.0.0.1:1\"], keys: [a]}\n");
    struct config *next = load_good("shards: 3\nlog_level: warn\nplain: {listen: [\"127.0.0.1:2\"], keys: [b]}\n");
    char text[256];
    struct buf out = buf_of(text, sizeof text - 1);
    config_restart_needed(now, next, &out);
    text[out.used] = '\0';
    cr_expect_str_eq(text, "shards, plain.listen");
    buf_reset(&out);
    config_restart_needed(now, now, &out);
    cr_expect_eq(out.used, 0);
    config_free(now);
    config_free(next);
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void expect_address(const struct ring_address *address, const char *hexadecimal, uint16_t port)
{
    char text[33];
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", address->bytes[i]);
    cr_expect_str_eq(text, hexadecimal);
    cr_expect_eq(address->port, port);
}

Test(config, parses_addresses_of_both_families) /* K-1 */
{
    struct listen l;
    const struct ring_address *a = l.addresses;
    cr_assert_eq(config_parse_listen("127.0.0.1:9500", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000ffff7f000001", 9500);
    cr_assert_eq(config_parse_listen("0.0.0.0:0", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000ffff00000000", 0);
    cr_assert_eq(config_parse_listen("[::1]:65535", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000000000000001", 65535);
    cr_assert_eq(config_parse_listen("[2001:db8::7]:80", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "20010db8000000000000000000000007", 80);
    cr_assert_eq(config_parse_listen("*:9072", &l), 0);
    cr_expect_eq(l.count, 1);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000000000000000", 9072);
    cr_assert_eq(config_parse_listen("localhost:9500", &l), 0);
    cr_expect_eq(l.count, 2);
    cr_expect_not(l.tls);
    expect_address(&a[0], "00000000000000000000ffff7f000001", 9500);
    expect_address(&a[1], "00000000000000000000000000000001", 9500);
}

Test(config, reads_what_stands_behind_an_address) /* K-4 */
{
    struct listen l;
    cr_assert_eq(config_parse_listen("*:443 tls", &l), 0);
    cr_expect(l.tls && l.client == TLS_CLIENT_NONE && l.addresses[0].port == 443);
    cr_assert_eq(config_parse_listen("localhost:443 tls client=optional", &l), 0);
    cr_expect(l.tls && l.client == TLS_CLIENT_OPTIONAL && l.count == 2);
    cr_assert_eq(config_parse_listen("[::1]:443  tls  client=required", &l), 0);
    cr_expect(l.tls && l.client == TLS_CLIENT_REQUIRED);
}

Test(config, refuses_what_is_no_address)
{
    static const char *const bad[] = {"",
                                      ":",
                                      ":80",
                                      "80",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:080000",
                                      "127.0.0.1:8x",
                                      "256.0.0.1:80",
                                      "::1:80",
                                      "[::1:80",
                                      "::1]:80",
                                      "[]:80",
                                      "[::1]80",
                                      "[127.0.0.1]:80",
                                      "example.org:80",
                                      "LOCALHOST:80",
                                      "**:80",
                                      " 127.0.0.1:80",
                                      "127.0.0.1:80 ",
                                      "127.0.0.1:80 ssl",
                                      "127.0.0.1:80 tls tls",
                                      "127.0.0.1:80 client=required",
                                      "127.0.0.1:80 tls client=sometimes",
                                      "127.0.0.1:80 tls client=required client=optional",
                                      "tls 127.0.0.1:80",
                                      "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80"};
    struct listen l;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(config_parse_listen(bad[i], &l), -EINVAL, "%s", bad[i]);
}
