/* SPDX-License-Identifier: MIT */
/* What `check` and `genconfig` print: every value with its origin, no secret, and a file that loads to the same. Run by
 * unit_shards. */
#include "core/ring_sim.h"
#include "protocol/dialect.h"
#include "shards/config/config.h"
#include "tests/unit/shards/config/config_rig.h"

#include <criterion/criterion.h>

TestSuite(config_print, .init = make_folder, .fini = remove_folder);

static char *print(const struct config *config, const struct config_source *source)
{
    static char text[32768];
    struct buf out = buf_of(text, sizeof text - 1);
    config_print(config, source, &out);
    cr_assert_not(out.overflow);
    text[out.used] = '\0';
    return text;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

Test(config_print, prints_every_value_with_its_origin_and_no_secret)
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

Test(config_print, keeps_a_finding_on_one_line_whatever_the_key_holds)
{
    const char *sets[] = {"a\tb\rforged: line=1", NULL};
    struct loaded loaded;
    load(&loaded, NULL, NULL, sets);
    cr_assert_not_null(strstr(loaded.why, "a?b?forged: line"));
    cr_assert_eq(strchr(loaded.why, '\n'), loaded.why + strlen(loaded.why) - 1, "one line");
}

Test(config_print, refuses_a_pattern_that_could_not_be_printed)
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

Test(config_print, prints_what_loads_again_to_the_same)
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

Test(config_print, generates_a_file_that_loads_with_other_keys_each_time)
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
