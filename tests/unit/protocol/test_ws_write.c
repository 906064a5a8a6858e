/* SPDX-License-Identifier: MIT */
/* Proves the writers of the frame format and what belongs to them: masking, close frames, walking our own wire bytes.
 * Run by unit_protocol. */
#include "tests/unit/protocol/ws_stream.h"

/* --- masking ------------------------------------------------------------------------------------------------------ */

Test(ws, masks_at_every_length_alignment_and_phase)
{
    static const uint8_t key[4] = {0xDE, 0xAD, 0xBE, 0xEF};
    for (size_t bytes = 0; bytes <= 100; bytes++)
        for (uint8_t phase = 0; phase < 4; phase++) {
            uint8_t plain[100];
            for (size_t i = 0; i < bytes; i++)
                plain[i] = (uint8_t)(i * 7);
            uint8_t *placed = guard_place(plain, bytes); /* so every alignment comes by */
            cr_assert_eq(ws_mask(placed, bytes, key, phase), (phase + bytes) % 4);
            for (size_t i = 0; i < bytes; i++)
                cr_assert_eq(placed[i], plain[i] ^ key[(phase + i) % 4], "%zu of %zu, phase %u", i, bytes, phase);
            guard_free(placed, bytes);
        }
}

/* --- close frames ------------------------------------------------------------------------------------------------- */

Test(ws, parses_close_payloads)
{
    static const struct {
        const char *payload;
        size_t bytes;
        unsigned code, error;
        const char *reason;
    } rows[] = {
        {"", 0, 1005, 0, ""},
        {"\x03", 1, 1005, 1002, ""},
        {"\x03\xE8", 2, 1000, 0, ""},
        {"\x03\xE8gr\xC3\xBC\xC3\x9F", 8, 1000, 0, "gr\xC3\xBC\xC3\x9F"},
        {"\x03\xE8\xFF", 3, 1000, 1007, ""},
        {"\x03\xE8\xC3", 3, 1000, 1007, ""},
        {"\x03\xEE\xFF", 3, 1006, 1002, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *placed = guard_place(rows[i].payload, rows[i].bytes);
        struct slice reason;
        uint16_t error;
        cr_assert_eq(ws_close_parse(slice_of(placed, rows[i].bytes), &reason, &error), rows[i].code, "row %zu", i);
        cr_assert_eq(error, rows[i].error, "row %zu", i);
        cr_assert(slice_is(reason, rows[i].reason), "row %zu", i);
        guard_free(placed, rows[i].bytes);
    }
}

Test(ws, accepts_the_close_codes_that_may_travel)
{
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
        struct slice reason;
        uint16_t error;
        bool registered = code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
        bool free_for_use = code >= 3000 && code < 5000;
        cr_assert_eq(ws_close_parse(slice_of(payload, 2), &reason, &error), code);
        cr_assert_eq(error, registered || free_for_use ? 0 : 1002, "%u", code);
    }
}

Test(ws, writes_close_frames)
{
    uint8_t out[127];
    cr_assert_eq(ws_close_write(out, 1001, "bye"), 7);
    cr_assert_arr_eq(out,
                     "\x88\x05\x03\xE9"
                     "bye",
                     7);
    cr_assert_eq(ws_close_write(out, 4000, ""), 4);
    cr_assert_arr_eq(out, "\x88\x02\x0F\xA0", 4);
    cr_assert_eq(ws_close_write(out, WS_CLOSE_NO_STATUS, "not sent"), 2);
    cr_assert_arr_eq(out, "\x88\x00", 2);
}

Test(ws, cuts_a_close_reason_between_two_characters)
{
    uint8_t out[127];
    char reason[200];
    for (size_t ascii = 110; ascii <= 124; ascii++) {
        memset(reason, 'x', ascii);
        strcpy(reason + ascii, "\xF0\x9F\x98\x80\xE2\x82\xAC");
        size_t expected = ascii + 7 <= 123 ? ascii + 7 : ascii + 4 <= 123 ? ascii + 4 : ascii <= 123 ? ascii : 123;
        cr_assert_eq(ws_close_write(out, 1000, reason), 4 + expected, "%zu", ascii);
        cr_assert_eq(out[1], 2 + expected);
        cr_assert_eq(naive_utf8_read(slice_of(out + 4, expected)), NAIVE_UTF8_WHOLE);
        cr_assert_arr_eq(out + 4, reason, expected);
    }
}

Test(ws, refuses_to_write_a_code_that_never_travels, .signal = SIGABRT)
{
    uint8_t out[127];
    ws_close_write(out, 1006, "");
}

/* --- walking our own wire bytes ----------------------------------------------------------------------------------- */

Test(ws, measures_frames_on_the_wire)
{
    static const uint64_t payloads[] = {0, 1, 125, 126, 65535, 65536, UINT32_MAX};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        uint8_t head[WS_HEADER_BYTES_MAX];
        size_t bytes = ws_header_write(head, WS_TEXT, payloads[i]);
        for (size_t there = 0; there <= bytes; there++) {
            uint8_t *placed = guard_place(head, there);
            cr_assert_eq(ws_frame_bytes(slice_of(placed, there)), there < bytes ? 0 : bytes + payloads[i]);
            guard_free(placed, there);
        }
    }
}
