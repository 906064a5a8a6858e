/* SPDX-License-Identifier: MIT */
/* Proves the negotiation of permessage-deflate (K-3): what is answered to every offer, which are declined, and that the
 * next one is tried then. Run by unit_protocol. */
#include "protocol/extension.h"
#include "protocol/handshake.h"
#include "protocol/http1.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct extension_settings widest = {.server_window_bits = 15, .client_window_bits = 15};

#define BOTH "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/* The answer to some fields with their values at the ends of pages; "" for none. */
static const char *answer_to(const char *const *fields, uint32_t count, const struct extension_settings *settings,
                             struct deflate_parameters *parameters)
{
    static char line[256];
    static const char name[] = "Sec-WebSocket-Extensions: ";
    struct http1_request request = {0};
    struct buf out = buf_of(line, sizeof line - 1);

    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = strlen(fields[i]);
        request.headers[request.header_count++] =
            (struct http1_header){slice_text("Sec-WebSocket-Protocol"), slice_text("permessage-deflate")};
        request.headers[request.header_count++] =
            (struct http1_header){slice_text(i % 2 == 0 ? "sec-websocket-extensions" : "Sec-WebSocket-EXTENSIONS"),
                                  slice_of(guard_place(fields[i], bytes), bytes)};
    }
    memset(parameters, 0xFF, sizeof *parameters);
    bool accepted = extension_negotiate(&request, settings, parameters);
    for (uint32_t i = 0; i < count; i++)
        guard_free((uint8_t *)(uintptr_t)request.headers[2 * i + 1].value.data, strlen(fields[i]));

    extension_write(&out, parameters);
    line[out.used] = '\0';
    cr_assert_eq(accepted, out.used > 0);
    if (!accepted) {
        cr_assert(parameters->window_bits == 0 && parameters->server_max_window_bits == 0 &&
                  parameters->client_max_window_bits == 0);
        return "";
    }
    cr_assert(strncmp(line, name, sizeof name - 1) == 0);
    cr_assert_str_eq(line + out.used - 2, "\r\n");
    line[out.used - 2] = '\0';
    return line + sizeof name - 1;
}

static void assert_answer(const char *field, const struct extension_settings *settings, const char *expected)
{
    struct deflate_parameters parameters;
    const char *answer = answer_to(&field, 1, settings, &parameters);
    cr_assert_str_eq(answer, expected, "to \"%s\": \"%s\"", field, answer);
}

Test(extension, answers_offers)
{
    static const struct {
        const char *offer, *answer;
    } rows[] = {
        {"permessage-deflate", BOTH},
        {"permessage-deflate; client_max_window_bits", BOTH}, /* browsers */
        {"permessage-deflate; server_no_context_takeover", BOTH},
        {"permessage-deflate; client_no_context_takeover", BOTH},
        {"permessage-deflate; client_no_context_takeover; server_no_context_takeover", BOTH},
        {"permessage-deflate; server_max_window_bits=10", BOTH "; server_max_window_bits=10"},
        {"permessage-deflate; client_max_window_bits=10", BOTH "; client_max_window_bits=10"},
        {"permessage-deflate; client_max_window_bits=9; server_max_window_bits=8",
         BOTH "; server_max_window_bits=8; client_max_window_bits=9"},
        {"permessage-deflate;server_max_window_bits=15;client_max_window_bits=15", BOTH "; server_max_window_bits=15"},
        /* blanks, quotes, empty elements */
        {"permessage-deflate;\tserver_max_window_bits \t=  12 ; server_no_context_takeover\t",
         BOTH "; server_max_window_bits=12"},
        {" , ,permessage-deflate ,", BOTH},
        {"permessage-deflate; server_max_window_bits=\"12\"", BOTH "; server_max_window_bits=12"},
        {"permessage-deflate; server_max_window_bits = \"\\1\\2\" ; client_max_window_bits=\"8\"",
         BOTH "; server_max_window_bits=12; client_max_window_bits=8"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_answer(rows[i].offer, &widest, rows[i].answer);
}

Test(extension, takes_every_number_of_window_bits_and_no_other)
{
    for (unsigned bits = 0; bits <= 40; bits++) {
        char offer[100], answer[200];
        snprintf(offer, sizeof offer, "permessage-deflate; server_max_window_bits=%u", bits);
        snprintf(answer, sizeof answer, BOTH "; server_max_window_bits=%u", bits);
        assert_answer(offer, &widest, bits >= 8 && bits <= 15 ? answer : "");
        snprintf(offer, sizeof offer, "permessage-deflate; client_max_window_bits=%u", bits);
        snprintf(answer, sizeof answer, bits < 15 ? BOTH "; client_max_window_bits=%u" : BOTH, bits);
        assert_answer(offer, &widest, bits >= 8 && bits <= 15 ? answer : "");
    }
}

Test(extension, never_goes_beyond_the_settings)
{
    for (uint8_t ours = 8; ours <= 15; ours++)
        for (uint8_t theirs = 8; theirs <= 15; theirs++) {
            struct extension_settings settings = {.server_window_bits = ours, .client_window_bits = ours};
            struct deflate_parameters parameters;
            uint8_t less = ours < theirs ? ours : theirs;
            char text[100];
            const char *offer = text;
            snprintf(text, sizeof text, "permessage-deflate; server_max_window_bits=%u; client_max_window_bits=%u",
                     theirs, theirs);
            cr_assert_str_neq(answer_to(&offer, 1, &settings, &parameters), "");
            cr_assert_eq(parameters.window_bits, less);
            cr_assert_eq(parameters.server_max_window_bits, less);
            cr_assert_eq(parameters.client_max_window_bits, less < 15 ? less : 0);
        }
}

/* RFC 7692 section 7.1.2: a client is only asked for what it has offered; ours may be smaller without a word. */
Test(extension, keeps_quiet_about_windows_that_were_not_offered)
{
    static const struct extension_settings narrow = {.server_window_bits = 11, .client_window_bits = 10};
    struct deflate_parameters parameters;
    const char *offer = "permessage-deflate";
    cr_assert_str_eq(answer_to(&offer, 1, &narrow, &parameters), BOTH);
    cr_assert_eq(parameters.window_bits, 11);
    cr_assert_eq(deflate_class(&parameters), 3);
    assert_answer("permessage-deflate; client_max_window_bits", &narrow, BOTH "; client_max_window_bits=10");
    assert_answer("permessage-deflate; server_max_window_bits=15", &narrow, BOTH "; server_max_window_bits=11");
}

#define BAD_OFFERS(ROW)                                                                                                \
    ROW("")                                                                                                            \
    ROW(" ")                                                                                                           \
    ROW("permessage-bzip2")                                                                                            \
    ROW("x-webkit-deflate-frame")                                                                                      \
    ROW("permessage-deflat")                                                                                           \
    ROW("permessage-deflatee")                                                                                         \
    ROW("Permessage-Deflate")                                                                                          \
    ROW("permessage-deflate; unknown")                                                                                 \
    ROW("permessage-deflate; unknown=1")                                                                               \
    ROW("permessage-deflate; server_max_window_bits")                                                                  \
    ROW("permessage-deflate; server_max_window_bits=")                                                                 \
    ROW("permessage-deflate; server_max_window_bits=\"\"")                                                             \
    ROW("permessage-deflate; server_max_window_bits=08")                                                               \
    ROW("permessage-deflate; server_max_window_bits=+9")                                                               \
    ROW("permessage-deflate; server_max_window_bits=-9")                                                               \
    ROW("permessage-deflate; server_max_window_bits=9.0")                                                              \
    ROW("permessage-deflate; server_max_window_bits=1 0")                                                              \
    ROW("permessage-deflate; server_max_window_bits=010")                                                              \
    ROW("permessage-deflate; server_max_window_bits=100")                                                              \
    ROW("permessage-deflate; server_max_window_bits=1a")                                                               \
    ROW("permessage-deflate; server_max_window_bits=4294967304")                                                       \
    ROW("permessage-deflate; server_max_window_bits=\" 9\"")                                                           \
    ROW("permessage-deflate; server_max_window_bits=\"9 \"")                                                           \
    ROW("permessage-deflate; server_max_window_bits=\"9\"0")                                                           \
    ROW("permessage-deflate; server_max_window_bits=\"100\"")                                                          \
    ROW("permessage-deflate; server_max_window_bits='9'")                                                              \
    ROW("permessage-deflate; server_max_window_bits==9")                                                               \
    ROW("permessage-deflate; client_max_window_bits=")                                                                 \
    ROW("permessage-deflate; client_max_window_bits=x")                                                                \
    ROW("permessage-deflate; server_no_context_takeover=true")                                                         \
    ROW("permessage-deflate; server_no_context_takeover=")                                                             \
    ROW("permessage-deflate; client_no_context_takeover=15")                                                           \
    ROW("permessage-deflate; client_no_context_takeover=\"\"")                                                         \
    ROW("permessage-deflate; SERVER_MAX_WINDOW_BITS=9")                                                                \
    ROW("permessage-deflate; server_no_context_takeover; server_no_context_takeover")                                  \
    ROW("permessage-deflate; client_no_context_takeover; client_no_context_takeover")                                  \
    ROW("permessage-deflate; server_max_window_bits=10; server_max_window_bits=10")                                    \
    ROW("permessage-deflate; client_max_window_bits; client_max_window_bits=10")                                       \
    ROW("permessage-deflate;")                                                                                         \
    ROW("permessage-deflate; ")                                                                                        \
    ROW("permessage-deflate;; server_no_context_takeover")                                                             \
    ROW("permessage-deflate server_no_context_takeover")                                                               \
    ROW("permessage-deflate=1")                                                                                        \
    ROW("; permessage-deflate")                                                                                        \
    ROW("=; permessage-deflate")                                                                                       \
    ROW("\"permessage-deflate\"")                                                                                      \
    ROW("foo; bar=\"permessage-deflate\"")                                                                             \
    ROW("foo; bar=\"x, permessage-deflate, y\"")                                                                       \
    ROW("foo; bar=\"\\\", permessage-deflate\"")                                                                       \
    ROW("permessage-deflate\xC3\xA4")

#define TEXT_ROW(text) text,
#define NEXT_ROW(text) text ", permessage-deflate; server_max_window_bits=9",

/* RFC 7692 sections 5.1, 7.1 */
Test(extension, declines_offers_and_tries_the_next)
{
    static const char *const alone[] = {BAD_OFFERS(TEXT_ROW)};
    static const char *const with_next[] = {BAD_OFFERS(NEXT_ROW)};
    struct deflate_parameters parameters;

    for (size_t i = 0; i < COUNT(alone); i++) {
        assert_answer(alone[i], &widest, "");
        assert_answer(with_next[i], &widest, BOTH "; server_max_window_bits=9");

        const char *fields[] = {alone[i], "permessage-deflate; client_max_window_bits=9"};
        cr_assert_str_eq(answer_to(fields, 2, &widest, &parameters), BOTH "; client_max_window_bits=9", "%s", alone[i]);
    }
}

Test(extension, loses_the_rest_of_a_field_to_a_quote_that_stays_open)
{
    static const char *const open[] = {
        "permessage-deflate; server_max_window_bits=\"9", "permessage-deflate; server_max_window_bits=\"9\\",
        "permessage-deflate; server_max_window_bits=\"",  "foo; bar=\"x, permessage-deflate",
        "foo; bar=\"x\\\", permessage-deflate",           "foo\", permessage-deflate",
    };
    struct deflate_parameters parameters;
    for (size_t i = 0; i < COUNT(open); i++) {
        const char *fields[] = {open[i], "permessage-deflate"};
        assert_answer(open[i], &widest, "");
        cr_assert_str_eq(answer_to(fields, 2, &widest, &parameters), BOTH);
    }
}

Test(extension, prefers_the_offer_that_comes_first)
{
    static const char *const fields[] = {"permessage-deflate; server_max_window_bits=9, permessage-deflate",
                                         "permessage-deflate; server_max_window_bits=10"};
    struct deflate_parameters parameters;
    assert_answer("permessage-deflate, permessage-deflate; server_max_window_bits=9", &widest, BOTH);
    cr_assert_str_eq(answer_to(fields, 2, &widest, &parameters), BOTH "; server_max_window_bits=9");
    cr_assert_str_eq(answer_to(fields, 0, &widest, &parameters), "");
}

/* --- the grammar (RFC 6455 section 9.1) --------------------------------------------------------------------------- */

/* Whether these fields, their values at the ends of pages, follow the grammar. */
static bool valid(const char *const *fields, uint32_t count)
{
    static struct http1_request request;

    request.header_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = strlen(fields[i]);
        request.headers[request.header_count++] =
            (struct http1_header){slice_text("Sec-WebSocket-Key"), slice_text("=;")};
        request.headers[request.header_count++] = (struct http1_header){slice_text("SEC-WebSocket-Extensions"),
                                                                        slice_of(guard_place(fields[i], bytes), bytes)};
    }
    bool good = extension_valid(&request);
    for (uint32_t i = 0; i < count; i++)
        guard_free((uint8_t *)(uintptr_t)request.headers[2 * i + 1].value.data, strlen(fields[i]));
    return good;
}

Test(extension, tells_lists_that_follow_the_grammar_from_others)
{
    static const struct {
        const char *field;
        bool good;
    } rows[] = {
        {"a", true},
        {"a,b", true},
        {" a \t, b", true},
        {",, a ,,\t, b,", true},
        {"a; b", true},
        {"a;b;c;b", true},
        {"a ; b = c ;d=\"e\" , f", true},
        {"a; b=\"\\c\\d\"", true},
        {"a; b=\"c\"; d", true},
        {"a; b=\"c\",d", true},
        {"permessage-deflate; server_max_window_bits", true},
        {"permessage-deflate; server_max_window_bits=7; unknown", true},
        {"!#$%&'*+-.^_`|~09AZaz; ~=~", true},
        {"", false},
        {" ", false},
        {",", false},
        {" , ,", false},
        {";", false},
        {"=", false},
        {"\"", false},
        {"\"a\"", false},
        {"a;", false},
        {"a;,b", false},
        {"a;;b", false},
        {"a; b=", false},
        {"a; b=,c", false},
        {"a; =b", false},
        {"a; b==c", false},
        {"a=b", false},
        {"a b", false},
        {"a; b c", false},
        {"a; b=c d", false},
        {"a; b=\"c\"d", false},
        {"a; b=\"c\" d", false},
        {"a; b=c\"d\"", false},
        {"a; b=\"\"", false},
        {"a; b=\"c d\"", false},
        {"a; b=\"c,d\"", false},
        {"a; b=\"\\\"\"", false},
        {"a; b=\"\\\\\"", false},
        {"a; b=\"c", false},
        {"a; b=\"", false},
        {"a; b=\"c\\", false},
        {"a; b=\"c\\\"", false},
        {"a; b='c d'", false},
        {"a/b", false},
        {"a@b", false},
        {"{a}", false},
        {"a\xC3\xA4", false},
        {"a; b=\"\xC3\xA4\"", false},
        {"a, b;", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(valid(&rows[i].field, 1), rows[i].good, "\"%s\"", rows[i].field);
}

Test(extension, takes_all_fields_for_one_list)
{
    static const struct {
        const char *fields[2];
        bool good;
    } rows[] = {
        {{"a", "b; c=d"}, true}, {{"", "a"}, true},    {{"a", " , "}, true}, {{"", ""}, false},
        {{"a", "b;"}, false},    {{"a;", "b"}, false}, {{"a", "="}, false},  {{"a; b=\"c", "d\""}, false},
    };
    cr_assert(valid(NULL, 0), "none is needed");
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(valid(rows[i].fields, 2), rows[i].good, "row %zu", i);
}

/* --- with the handshake ------------------------------------------------------------------------------------------- */

Test(extension, becomes_a_line_of_the_101)
{
    static const char head[] =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Extensions: foo, permessage-deflate; server_max_window_bits=\"12\"\r\n\r\n";
    static struct http1_request request;
    struct handshake handshake;
    size_t scanned = 0, head_bytes;
    const char *why;
    char memory[400];

    memset(&handshake, 0xFF, sizeof handshake);
    cr_assert_eq(http1_parse_head(slice_text(head), &scanned, &request, &head_bytes, &why), HTTP1_OK);
    cr_assert_eq(handshake_check(&request, &handshake, &why), 0);
    struct buf out = buf_of(memory, sizeof memory);
    handshake_write(&out, &handshake, slice_text(""));
    cr_assert(slice_is(buf_slice(&out),
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
              "not negotiated, not written");

    cr_assert(extension_negotiate(&request, &widest, &handshake.deflate));
    buf_reset(&out);
    handshake_write(&out, &handshake, slice_text(""));
    cr_assert(slice_is(buf_slice(&out),
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                       "Sec-WebSocket-Extensions: " BOTH "; server_max_window_bits=12\r\n\r\n"));

    handshake.deflate = (struct deflate_parameters){15, 15, 14};
    buf_reset(&out);
    handshake_write(&out, &handshake, slice_text("Tue, 23 Jan 2024 12:34:56 GMT"));
    cr_assert(out.used > HANDSHAKE_BYTES_MAX - 40 && out.used <= HANDSHAKE_BYTES_MAX, "the longest: %zu", out.used);
}
