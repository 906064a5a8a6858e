/* SPDX-License-Identifier: MIT */
/* Proves the rules for record headers: which may come when, at what lengths, wherever the stream is cut. Run by
 * unit_protocol. */
#include "protocol/tls/tls_filter.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>

static const char *take_all(enum tls_phase phase, const uint8_t *bytes, size_t count, size_t step)
{
    struct tls_filter filter = {0};
    const char *fault = NULL;
    for (size_t at = 0; at < count && fault == NULL; at += step)
        fault = tls_filter_take(&filter, phase, slice_of(bytes + at, step < count - at ? step : count - at));
    return fault;
}

/* Whether a header alone passes; it is judged at its last byte, never before. */
static bool passes(enum tls_phase phase, uint8_t type, uint16_t version, uint16_t bytes)
{
    const uint8_t header[] = {type, (uint8_t)(version >> 8), (uint8_t)version, (uint8_t)(bytes >> 8), (uint8_t)bytes};
    cr_assert_null(take_all(phase, header, sizeof header - 1, 1));
    bool whole = take_all(phase, header, sizeof header, sizeof header) == NULL;
    cr_assert_eq(whole, take_all(phase, header, sizeof header, 1) == NULL);
    return whole;
}

Test(tls_filter, knows_four_types_and_versions_of_tls)
{
    for (unsigned type = 0; type < 256; type++) {
        cr_expect_eq(passes(TLS_PHASE_HANDSHAKE, (uint8_t)type, 0x0303, type == 20 ? 1 : 100), type >= 20 && type <= 23,
                     "%u", type);
        cr_expect_eq(passes(TLS_PHASE_DATA_13, (uint8_t)type, 0x0303, 100), type == 23, "%u", type);
        cr_expect_eq(passes(TLS_PHASE_DATA_12, (uint8_t)type, 0x0303, 100), type == 21 || type == 23, "%u", type);
    }
    cr_expect(passes(TLS_PHASE_HANDSHAKE, 22, 0x0301, 100)); /* of a first hello: RFC 8446 section 5.1 */
    cr_expect(passes(TLS_PHASE_HANDSHAKE, 22, 0x0304, 100));
    cr_expect(!passes(TLS_PHASE_HANDSHAKE, 22, 0x0305, 100));
    cr_expect(!passes(TLS_PHASE_HANDSHAKE, 22, 0x0203, 100));
}

/* A record holds a type and a tag at least; the most is RFC 8446's 5.1 and 5.2, RFC 5246's 6.2.3. */
Test(tls_filter, holds_lengths_against_the_standards)
{
    static const struct {
        enum tls_phase phase;
        uint8_t type;
        uint16_t least, most;
    } rows[] = {{TLS_PHASE_HANDSHAKE, 20, 1, 1},     {TLS_PHASE_HANDSHAKE, 21, 1, 16384},
                {TLS_PHASE_HANDSHAKE, 22, 1, 16384}, {TLS_PHASE_HANDSHAKE, 23, 17, 16640},
                {TLS_PHASE_DATA_13, 23, 17, 16640},  {TLS_PHASE_DATA_12, 23, 17, 18432},
                {TLS_PHASE_DATA_12, 21, 17, 18432}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (uint32_t bytes = 0; bytes <= UINT16_MAX; bytes++)
            cr_assert_eq(passes(rows[i].phase, rows[i].type, 0x0303, (uint16_t)bytes),
                         bytes >= rows[i].least && bytes <= rows[i].most, "row %zu: %u", i, bytes);
}

/* Only headers are looked at: bodies of any content, and the next header judged where it ends. */
Test(tls_filter, judges_each_header_of_a_stream_however_it_is_cut)
{
    uint8_t stream[3 * 25 + 5] = {0};
    for (size_t i = 0; i < 3; i++) {
        memset(stream + 25 * i, 0xFF, 25);
        memcpy(stream + 25 * i, (const uint8_t[]){23, 3, 3, 0, 20}, 5);
    }
    memcpy(stream + 75, (const uint8_t[]){22, 3, 3, 0, 20}, 5);
    uint8_t *guarded = guard_place(stream, sizeof stream);
    for (size_t step = 1; step <= sizeof stream; step++) {
        cr_assert_null(take_all(TLS_PHASE_DATA_13, guarded, sizeof stream - 1, step));
        cr_assert_not_null(take_all(TLS_PHASE_DATA_13, guarded, sizeof stream, step));
    }
    guard_free(guarded, sizeof stream);
}
