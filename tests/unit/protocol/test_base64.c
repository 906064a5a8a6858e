/* SPDX-License-Identifier: MIT */
#include "core/random.h"
#include "protocol/base64.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>

static struct slice decoded(const char *text, uint8_t *memory, size_t capacity)
{
    struct buf out = buf_of(memory, capacity);
    cr_assert(base64_decode(slice_text(text), &out), "%s", text);
    return buf_slice(&out);
}

Test(base64, decodes_the_vectors_of_rfc_4648)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"Zg==", "f"},
                                          {"Zm8=", "fo"},
                                          {"Zm9v", "foo"},
                                          {"Zm9vYg==", "foob"},
                                          {"Zm9vYmE=", "fooba"},
                                          {"Zm9vYmFy", "foobar"}};
    uint8_t memory[16];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect(slice_is(decoded(rows[i][0], memory, sizeof memory), rows[i][1]), "%s", rows[i][0]);
}

Test(base64, refuses_what_a_lenient_reader_takes)
{
    static const char *const rows[] = {"Q",         "QU",   "QUJ",  "QUJDR",    "%%%=",      "=",
                                       "==",        "====", "Q===", "QQ==QQ==", "QUJD RA==", "QUJD\nRA==",
                                       "QUJDRA==x", "QR==", "QUK=", "QU-_",     "Q=Q="};
    uint8_t memory[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = buf_of(memory, sizeof memory);
        cr_expect_not(base64_valid(slice_text(rows[i])), "%s", rows[i]);
        cr_expect_not(base64_decode(slice_text(rows[i]), &out), "%s", rows[i]);
        cr_expect_eq(out.used, 0);
    }
}

/* Encoded here, by the definition: 24 bits are four digits. */
static size_t encode(const uint8_t *bytes, size_t count, char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    for (size_t i = 0; i < count; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < count ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (i + 2 < count ? bytes[i + 2] : 0);
        out[used++] = alphabet[group >> 18];
        out[used++] = alphabet[group >> 12 & 63];
        out[used++] = i + 1 < count ? alphabet[group >> 6 & 63] : '=';
        out[used++] = i + 2 < count ? alphabet[group & 63] : '=';
    }
    return used;
}

Test(base64, gives_back_what_was_encoded)
{
    struct random random;
    random_init(&random, 4648);
    for (unsigned round = 0; round < 500; round++) {
        uint8_t bytes[100], memory[100];
        char text[140];
        size_t count = random_below(&random, sizeof bytes + 1);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)random_u64(&random);
        size_t used = encode(bytes, count, text);
        uint8_t *guarded = guard_place(text, used);
        struct buf out = buf_of(memory, count);
        cr_assert(base64_decode(slice_of(guarded, used), &out));
        cr_assert(slice_equal(buf_slice(&out), slice_of(bytes, count)));
        guard_free(guarded, used);
    }
}

/* Its bytes are written behind where its digits are read. */
Test(base64, decodes_where_the_text_lies)
{
    struct random random;
    random_init(&random, 3548);
    for (unsigned round = 0; round < 500; round++) {
        uint8_t bytes[300];
        char text[404];
        size_t count = random_below(&random, sizeof bytes + 1);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)random_u64(&random);
        size_t used = encode(bytes, count, text);
        uint8_t *guarded = guard_place(text, used);
        struct buf out = buf_of(guarded, used);
        cr_assert(base64_decode(slice_of(guarded, used), &out));
        cr_assert(slice_equal(buf_slice(&out), slice_of(bytes, count)));
        guard_free(guarded, used);
    }
}

/* Each byte at each place of a text of three groups: 64 digits, and '=' where it may stand. */
Test(base64, knows_each_byte_at_each_place)
{
    static const char good[] = "QUJDREVGR0gJ";
    for (size_t place = 0; place < sizeof good - 1; place++) {
        unsigned taken = 0;
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t text[sizeof good - 1], memory[9];
            memcpy(text, good, sizeof text);
            text[place] = (uint8_t)byte;
            struct buf out = buf_of(memory, sizeof memory);
            bool valid = base64_valid(slice_of(text, sizeof text));
            cr_expect_eq(base64_decode(slice_of(text, sizeof text), &out), valid, "%zu %u", place, byte);
            taken += valid;
        }
        cr_expect_eq(taken, place + 2 == sizeof good ? 65 : 64, "%zu", place); /* "R0g=" leaves no bits over */
    }
}

Test(base64, does_not_blame_the_room_for_what_is_no_base64)
{
    uint8_t memory[2];
    struct buf out = buf_of(memory, sizeof memory);
    cr_expect_not(base64_decode(slice_text("%%%%"), &out));
    cr_expect_not(out.overflow);
}

Test(base64, says_when_it_does_not_fit)
{
    uint8_t memory[5];
    struct buf out = buf_of(memory, sizeof memory);
    cr_assert_not(base64_decode(slice_text("Zm9vYmFy"), &out));
    cr_assert(out.overflow);
}
