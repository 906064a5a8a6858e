/* SPDX-License-Identifier: MIT */
/* Tests of shards/config: what loads, where a value comes from, and the exact words in which a mistake is reported
 * (K-33). Keys, addresses, printing and reload have files of their own. Run by unit_shards. */
#include "core/log.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "tests/unit/shards/config/config_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

TestSuite(config, .init = make_folder, .fini = remove_folder);

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
