/* SPDX-License-Identifier: MIT */
/* Proves when blocks of one height are a fork. Run by unit_protocol. */
#include "protocol/dialects/aitbc/forks.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct forks forks;

static const char *add(uint64_t height, const char *hash)
{
    static char text[1024];
    struct buf out = buf_of(text, sizeof text - 1);
    const struct fork_height *fork = forks_add(&forks, height, slice_text(hash));
    if (fork == NULL)
        return "none";
    forks_print(fork, UINT64_C(1778493600000), &out);
    cr_assert_not(out.overflow);
    text[out.used] = '\0';
    return text;
}

Test(forks, are_told_once_for_each_further_hash)
{
    forks_init(&forks, (struct siphash_key){1, 2});
    cr_assert_str_eq(add(501, "0xaa"), "none");
    cr_assert_str_eq(add(502, "0xaa"), "none", "another height");
    cr_assert_str_eq(add(501, "0xaa"), "none", "the same block");
    cr_assert_str_eq(add(501, "\"b\""),
                     "{\"type\":\"fork_detected\",\"height\":501,\"hashes\":[\"0xaa\",\"\\\"b\\\"\"],"
                     "\"timestamp\":\"2026-05-11T10:00:00Z\"}");
    cr_assert_str_eq(add(501, "\"b\""), "none");
    cr_assert_str_eq(add(501, "c"),
                     "{\"type\":\"fork_detected\",\"height\":501,\"hashes\":[\"0xaa\",\"\\\"b\\\"\",\"c\"],"
                     "\"timestamp\":\"2026-05-11T10:00:00Z\"}");
    cr_assert_str_neq(add(502, "0xbb"), "none");
    forks_close(&forks);
}

Test(forks, remembers_so_many_hashes_and_heights)
{
    char hash[16];
    forks_init(&forks, (struct siphash_key){1, 2});
    for (int i = 0; i < FORK_HASHES_MAX + 2; i++) {
        snprintf(hash, sizeof hash, "%d", i);
        cr_assert_eq(strcmp(add(UINT64_MAX, hash), "none") != 0, i > 0 && i < FORK_HASHES_MAX, "%d", i);
    }
    for (uint64_t height = 0; height < FORK_HEIGHTS_MAX; height++)
        cr_assert_str_eq(add(height, "a"), "none");
    cr_assert_eq(forks.count, FORK_HEIGHTS_MAX);
    cr_assert_str_neq(add(0, "b"), "none", "the oldest that is remembered");
    cr_assert_str_eq(add(UINT64_MAX, "other"), "none", "forgotten");
    cr_assert_str_eq(add(0, "c"), "none", "forgotten by the one before");
    forks_close(&forks);
}
