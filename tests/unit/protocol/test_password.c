/* SPDX-License-Identifier: MIT */
/* Proves the checking of passwords (N-2) with hashes of this system and of others. Run by unit_protocol. */
#include "protocol/password.h"

#include <criterion/criterion.h>

Test(password, is_the_one_that_was_hashed)
{
    char hash[PASSWORD_HASH_BYTES_MAX], again[PASSWORD_HASH_BYTES_MAX];
    cr_assert(password_hash(slice_text("secret"), hash));
    cr_expect_null(password_hash_fault(hash));
    cr_expect(password_is(slice_text("secret"), hash));
    cr_expect_not(password_is(slice_text("Secret"), hash));
    cr_expect_not(password_is(slice_text("secret "), hash));
    cr_expect_not(password_is(slice_text(""), hash));
    cr_expect_not(password_is(slice_of("secret\0", 7), hash));
    cr_assert(password_hash(slice_text("secret"), again));
    cr_expect_str_neq(hash, again, "each has a salt of its own");
}

Test(password, of_any_length_is_safe)
{
    char hash[PASSWORD_HASH_BYTES_MAX], text[PASSWORD_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    cr_assert(password_hash(slice_of(text, PASSWORD_BYTES_MAX), hash));
    cr_expect(password_is(slice_of(text, PASSWORD_BYTES_MAX), hash));
    cr_expect_not(password_is(slice_of(text, PASSWORD_BYTES_MAX - 1), hash));
    cr_expect_not(password_hash(slice_of(text, sizeof text), hash));
    cr_expect_not(password_is(slice_of(text, sizeof text), hash));
    cr_expect_not(password_hash(slice_text(""), hash));
}

Test(password, hashes_that_are_none_are_known)
{
    static const char *const rows[] = {
        "", "secret", "*", "!", "ab01FAX.bQRSU", "$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", "$y$j9T$", "$nope$x$y"};
    char hash[PASSWORD_HASH_BYTES_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_not_null(password_hash_fault(rows[i]), "%s", rows[i]);
    cr_assert(password_hash(slice_text("secret"), hash));
    *strrchr(hash, '$') = '\0';
    cr_expect_not_null(password_hash_fault(hash), "cut: %s", hash);
}
