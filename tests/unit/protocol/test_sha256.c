/* SPDX-License-Identifier: MIT */
/* Proves the hash against the examples of FIPS 180-4 and of RFC 6234 (section 8.5). Run by unit_protocol. */
#include "protocol/sha256.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(sha256, has_the_values_of_the_standards)
{
    static const struct {
        const char *text, *hash;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hash[SHA256_TEXT_BYTES + 1];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sha256_text(slice_text(rows[i].text), hash);
        cr_expect_str_eq(hash, rows[i].hash, "%s", rows[i].text);
    }
}

Test(sha256, takes_a_million_bytes)
{
    size_t bytes = 1000000;
    char *text = malloc(bytes), hash[SHA256_TEXT_BYTES + 1];
    cr_assert_not_null(text);
    memset(text, 'a', bytes);
    sha256_text(slice_of(text, bytes), hash);
    cr_expect_str_eq(hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(text);
}
