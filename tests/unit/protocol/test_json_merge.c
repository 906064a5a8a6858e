/* SPDX-License-Identifier: MIT */
/* Proves the merging of JSON objects (C-39): cases by hand, a model on random objects, and memory that is out. Run by
 * unit_protocol. */
#include "core/random.h"
#include "protocol/json.h"
#include "protocol/json_merge.h"
#include "tests/unit/starve.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static char result[4096];

static const char *merge(const char *older, const char *newer, uint32_t levels)
{
    struct buf out = buf_of(result, strlen(older) + strlen(newer));
    cr_assert_eq(json_merge(slice_text(older), slice_text(newer), levels, &out), 0);
    cr_assert_not(out.overflow, "%s + %s is longer than both", older, newer);
    cr_assert(json_valid(buf_slice(&out), JSON_DEPTH_MAX));
    result[out.used] = '\0';
    return result;
}

Test(json_merge, merges_by_name)
{
    static const struct {
        const char *older, *newer, *merged;
    } cases[] = {
        {"{}", "{}", "{}"},
        {"{}", "{\"a\":1}", "{\"a\":1}"},
        {"{\"a\":1}", "{}", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2}", "{\"b\":3,\"c\":4}", "{\"a\":1,\"b\":3,\"c\":4}"},
        {"{\"m\":{\"x\":1,\"y\":2}}", "{\"m\":{\"y\":3,\"z\":4}}", "{\"m\":{\"x\":1,\"y\":3,\"z\":4}}"},
        {"{\"m\":{\"x\":{\"p\":1}}}", "{\"m\":{\"x\":{\"q\":2}}}", "{\"m\":{\"x\":{\"q\":2}}}"}, /* the third level */
        {"{\"m\":{\"x\":1}}", "{\"m\":7}", "{\"m\":7}"},
        {"{\"m\":[1]}", "{\"m\":{\"x\":1}}", "{\"m\":{\"x\":1}}"},
        {"{\"a\":1,\"a\":2}", "{}", "{\"a\":2}"}, /* the last of a name counts */
        {"{\"a\":1}", "{\"a\":2,\"b\":3,\"a\":4}", "{\"a\":4,\"b\":3}"},
        {"{\"a\\/b\":1}", "{\"a/b\":2}", "{\"a/b\":2}"}, /* one name, written differently */
        {"{\"caf\\u00e9\":{\"x\":1}}", "{\"caf\xc3\xa9\":{\"y\":2}}", "{\"caf\\u00e9\":{\"x\":1,\"y\":2}}"},
        {" { \"a\" : 1 , \"b\" : { } } ", "{\"b\":{\"c\":1.50}}", "{\"a\" : 1,\"b\" : {\"c\":1.50}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_str_eq(merge(cases[i].older, cases[i].newer, 2), cases[i].merged, "%s", result);
    cr_expect_str_eq(merge("{\"m\":{\"x\":1}}", "{\"m\":{\"y\":2}}", 1), "{\"m\":{\"y\":2}}");
    cr_expect_str_eq(merge("{\"m\":{\"x\":{\"p\":1}}}", "{\"m\":{\"x\":{\"q\":2}}}", 3),
                     "{\"m\":{\"x\":{\"p\":1,\"q\":2}}}");
}

#define NAMES 12

/* An object with some of the names, each with a number; what a reader takes from it stands in values (0: absent). */
static void random_object(struct random *random, char *text, size_t size, int values[NAMES])
{
    size_t used = (size_t)snprintf(text, size, "{");
    memset(values, 0, NAMES * sizeof values[0]);
    for (uint64_t n = random_below(random, 8); n > 0; n--) {
        int name = (int)random_below(random, NAMES);
        values[name] = 1 + (int)random_below(random, 1000);
        used += (size_t)snprintf(text + used, size - used, "%s\"n%d\":%d", used > 1 ? "," : "", name, values[name]);
    }
    snprintf(text + used, size - used, "}");
}

Test(json_merge, agrees_with_a_model)
{
    struct random random;
    random_init(&random, 39);
    for (int round = 0; round < 3000; round++) {
        char older[256], newer[256];
        int first[NAMES], second[NAMES];
        random_object(&random, older, sizeof older, first);
        random_object(&random, newer, sizeof newer, second);
        struct slice merged = slice_text(merge(older, newer, 2));
        for (int name = 0; name < NAMES; name++) {
            char text[8];
            uint64_t value = 0;
            snprintf(text, sizeof text, "n%d", name);
            struct json_member member = {.name = text};
            cr_assert_eq(json_find_members(merged, JSON_DEPTH_MAX, true, &member, 1), JSON_MEMBERS_OK, "%s", result);
            if (member.token == JSON_NUMBER)
                cr_assert(json_u64(member.raw, &value));
            cr_assert_eq((int)value, second[name] != 0 ? second[name] : first[name], "%s + %s = %s", older, newer,
                         result);
        }
    }
}

Test(json_merge, says_when_memory_is_out)
{
    if (!STARVE_WORKS)
        return;
    static char older[1 << 20];
    static uint8_t memory[2 << 20];
    size_t used = (size_t)snprintf(older, sizeof older, "{\"a\":1");
    for (int i = 0; used < sizeof older - 32; i++)
        used += (size_t)snprintf(older + used, sizeof older - used, ",\"n%d\":1", i);
    snprintf(older + used, sizeof older - used, "}");
    struct buf out = buf_of(memory, sizeof memory);
    starve_begin();
    int error = json_merge(slice_text(older), slice_text("{\"a\":2}"), 2, &out);
    starve_end();
    cr_assert_eq(error, -ENOMEM);
    cr_assert_eq(json_merge(slice_text(older), slice_text("{\"a\":2}"), 2, &out), 0);
}
