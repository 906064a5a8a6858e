/* SPDX-License-Identifier: MIT */
/* Owns the comparison of queries and percent-encoding with naive_query.h, and the promise of http1_mask_target: no value of a
 * secret ever gets through, and nothing else changes. It never parses a request. The input is one byte, which chooses a name,
 * and a target. */
#include "fuzz/fuzz.h"
#include "fuzz/naive_query.h"
#include "protocol/http1.h"

static const char *const secrets[] = {"api_key", "token", "key", "access_token"};

#define SECRETS (sizeof(secrets) / sizeof(secrets[0]))
#define MARK "SeCrEt-mArK"

static void expect_decoded(struct slice text)
{
    uint8_t *naive = malloc(text.bytes + 1), *memory = malloc(text.bytes + 1);
    long bytes = naive_decode(text, false, naive);
    struct buf out = buf_of(memory, text.bytes);

    expect(http1_percent_decode(text, &out) == (bytes >= 0));
    expect(out.used == (bytes >= 0 ? (size_t)bytes : 0));
    expect(bytes < 0 || slice_equal(buf_slice(&out), slice_of(naive, (size_t)bytes)));
    if (bytes > 0) { /* one byte too little room */
        out = buf_of(memory, (size_t)bytes - 1);
        expect(!http1_percent_decode(text, &out) && out.overflow);
    }
    free(naive);
    free(memory);
}

static void expect_value(struct slice query, const char *name)
{
    uint8_t *naive = malloc(query.bytes + 1), *memory = malloc(query.bytes + 1);
    long bytes = 0;
    struct buf out = buf_of(memory, query.bytes);
    int found = http1_query_get(query, name, &out);

    expect(found == naive_query_get(query, name, naive, &bytes));
    expect(found == 1 || out.used == 0);
    expect(found != 1 || slice_equal(buf_slice(&out), slice_of(naive, (size_t)bytes)));
    free(naive);
    free(memory);
}

/* --- masking ------------------------------------------------------------------------------------------------------ */

static bool is_secret(struct slice key)
{
    uint8_t *name = malloc(key.bytes + 1);
    long bytes = naive_decode(key, true, name);
    bool secret = false;
    for (size_t s = 0; s < SECRETS && bytes >= 0; s++) {
        bool same = (size_t)bytes == strlen(secrets[s]);
        for (size_t i = 0; same && i < (size_t)bytes; i++)
            same = (name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]) == (uint8_t)secrets[s][i];
        secret |= same;
    }
    free(name);
    return secret;
}

/* The target with the values of secrets left out, written anew. */
static void naive_mask(struct slice target, struct buf *out)
{
    const uint8_t *mark = target.bytes == 0 ? NULL : memchr(target.data, '?', target.bytes);
    struct slice key, value;
    bool first = true, has_value;
    if (mark == NULL) {
        buf_put(out, target);
        return;
    }
    size_t path_bytes = (size_t)(mark - target.data);
    buf_put(out, slice_of(target.data, path_bytes));
    struct slice query = slice_skip(target, path_bytes + 1);
    for (char separator = '?'; naive_pair(&query, &first, &key, &value, &has_value); separator = '&') {
        buf_put_byte(out, (uint8_t)separator);
        buf_put(out, key);
        if (!has_value)
            continue;
        buf_put_byte(out, '=');
        buf_put(out, is_secret(key) ? slice_text("***") : value);
    }
}

static void expect_masked(struct slice target)
{
    size_t room = 4 * target.bytes + 8;
    struct buf out = buf_of(malloc(room), room), naive = buf_of(malloc(room), room);
    http1_mask_target(target, &out);
    naive_mask(target, &naive);
    expect(!out.overflow && !naive.overflow && slice_equal(buf_slice(&out), buf_slice(&naive)));
    free(out.data);
    free(naive.data);
}

/* The name of a secret, in whichever case and escapes chance has it. */
static void put_disguised(struct buf *out, struct random *random, const char *name)
{
    for (; *name != '\0'; name++) {
        uint8_t c = (uint8_t)*name;
        if (c != '_' && random_chance(random, 1, 2))
            c = (uint8_t)(c - 32);
        if (random_chance(random, 1, 3)) {
            buf_put_byte(out, '%');
            buf_put_hex(out, c, 2);
        } else {
            buf_put_byte(out, c);
        }
    }
}

/* Whatever stands around it, a secret does not get through. */
static void expect_no_leak(struct slice target)
{
    struct random random = fuzz_random(target);
    size_t room = 4 * target.bytes + 256;
    struct buf text = buf_of(malloc(room), room), out = buf_of(malloc(room), room);
    if (!fuzz_holds(target, slice_text(MARK))) {
        buf_put(&text, target);
        bool query = target.bytes > 0 && memchr(target.data, '?', target.bytes) != NULL;
        buf_put_byte(&text, query ? '&' : '?');
        put_disguised(&text, &random, secrets[random_below(&random, SECRETS)]);
        buf_put_text(&text, "=" MARK);
        if (random_chance(&random, 1, 2)) {
            buf_put_byte(&text, '&');
            buf_put(&text, target);
        }
        http1_mask_target(buf_slice(&text), &out);
        expect(!text.overflow && !out.overflow && !fuzz_holds(buf_slice(&out), slice_text(MARK)));
    }
    free(text.data);
    free(out.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const names[] = {"token", "last", "api_key", "a", "", "a b", "%"};
    if (bytes == 0)
        return 0;
    uint8_t *copy = fuzz_copy(slice_of(data + 1, bytes - 1));
    struct slice target = slice_of(copy, bytes - 1);
    const uint8_t *mark = bytes == 1 ? NULL : memchr(copy, '?', bytes - 1);

    expect_decoded(target);
    if (mark != NULL)
        expect_value(slice_skip(target, (size_t)(mark + 1 - copy)),
                     names[data[0] % (sizeof(names) / sizeof(names[0]))]);
    expect_masked(target);
    expect_no_leak(target);
    free(copy);
    return 0;
}
