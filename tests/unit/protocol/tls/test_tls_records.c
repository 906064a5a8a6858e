/* SPDX-License-Identifier: MIT */
/* Proves TLS records of an established session: cut at every byte, full, forged, changed, and keys that are worn. Run
 * by unit_protocol, and with Debian's library by unit_tls_packaged. */
#include "tests/unit/protocol/tls/tls_pair.h"
#include "tests/unit/protocol/tls/tls_world.h"

#include <criterion/criterion.h>

/* --- records ------------------------------------------------------------------------------------------------------ */

Test(tls, opens_records_that_are_cut_at_every_byte)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct open_pair open;
        open_pair(&open, tls12 == 1);
        for (size_t cut = 0; cut <= 80; cut++) {
            struct buf *out = &open.pair.client.out;
            buf_reset(out);
            buf_reset(&open.pair.server.plain);
            cr_assert(tls_seal(open.pair.client.tls, slice_text("one"), out));
            cr_assert(tls_seal(open.pair.client.tls, slice_text("two"), out));
            size_t at = cut < out->used ? cut : out->used;
            pair_give(&open.pair.server, slice_of(out->data, at), PAIR_NOW);
            pair_give(&open.pair.server, slice_skip(buf_slice(out), at), PAIR_NOW);
            cr_assert(slice_is(buf_slice(&open.pair.server.plain), "onetwo"), "%zu", cut);
        }
        buf_reset(&open.pair.client.out);
        close_pair(&open);
    }
}

/* As few records as possible, none too long, and no more bytes than was promised. */
Test(tls, seals_any_length_into_full_records)
{
    static const size_t lengths[] = {0, 1, 100, 16383, 16384, 16385, 65536, 200000};
    static uint8_t text[200000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 131 >> 3);
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct open_pair open;
        open_pair(&open, tls12 == 1);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            struct buf *out = &open.pair.server.out;
            struct slice plain = slice_of(text, lengths[i]);
            cr_assert(tls_seal(open.pair.server.tls, plain, out));
            cr_assert(out->used <= tls_sealed_bytes_max(plain.bytes));
            struct slice sealed = buf_slice(out);
            size_t records = 0, passed = 0;
            for (size_t at = 0; at < sealed.bytes; records++) {
                size_t bytes = 5 + (size_t)load_be16(sealed.data + at + 3);
                size_t part = plain.bytes - passed < TLS_PLAIN_BYTES_MAX ? plain.bytes - passed : TLS_PLAIN_BYTES_MAX;
                cr_assert_eq(tls_plain_within(open.pair.server.tls, sealed, at + bytes - 1), passed);
                passed += part;
                at += bytes;
                cr_assert_eq(tls_plain_within(open.pair.server.tls, sealed, at), passed);
            }
            cr_assert_eq(records, (plain.bytes + TLS_PLAIN_BYTES_MAX - 1) / TLS_PLAIN_BYTES_MAX);
            buf_reset(&open.pair.client.plain);
            pair_run(&open.pair, PAIR_BYTES);
            cr_assert(slice_equal(buf_slice(&open.pair.client.plain), plain));
        }
        close_pair(&open);
    }
}

/* A record with this header, its body not from the keys' owner. */
static void assert_refused(bool tls12, struct slice record, const char *why)
{
    struct open_pair open;
    open_pair(&open, tls12);
    cr_expect_eq(pair_give(&open.pair.server, record, PAIR_NOW), TLS_ERROR);
    cr_expect_str_eq(tls_why(open.pair.server.tls), why);
    cr_expect(!tls_established(open.pair.server.tls));
    cr_expect_eq(open.pair.server.plain.used, 0u);
    cr_expect_eq(pair_give(&open.pair.server, record, PAIR_NOW), TLS_ERROR); /* it stays so */
    cr_expect(!tls_seal(open.pair.server.tls, slice_text("more"), &open.pair.server.out));
    close_pair(&open);
}

Test(tls, refuses_records_that_nobody_sends)
{
    static uint8_t record[5 + 20000];
    static const struct {
        uint8_t type;
        uint16_t bytes;
        const char *why13, *why12;
    } rows[] = {
        {23, 0, "a record that is shorter than its tag", "a record that is shorter than its tag"},
        {23, 15, "a record that is shorter than its tag", "a record that is shorter than its tag"},
        {23, 18433, "a record that is too long", "a record that is too long"},
        {22, 40, "a record that is not encrypted", "an attempt to renegotiate"},
        {20, 1, "a record that is not encrypted", "an attempt to renegotiate"},
        {24, 40, "a record of unknown type", "a record of unknown type"}, /* heartbeat */
        {0, 40, "a record of unknown type", "a record of unknown type"},
        {23, 40, "a record that was changed on its way", "a record that was changed on its way"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int tls12 = 0; tls12 < 2; tls12++) {
            memcpy(record, (uint8_t[]){rows[i].type, 3, 3, (uint8_t)(rows[i].bytes >> 8), (uint8_t)rows[i].bytes}, 5);
            assert_refused(tls12 == 1, slice_of(record, 5 + (size_t)rows[i].bytes),
                           tls12 == 1 ? rows[i].why12 : rows[i].why13);
        }
    record[0] = 23;
    store_be16(record + 3, 16); /* the tag and nothing: TLS 1.3 has a type in there at least */
    assert_refused(false, slice_of(record, 21), "a record that is shorter than its tag");
}

/* A bit flipped anywhere in a record: never a wrong word. */
Test(tls, refuses_a_record_that_was_changed)
{
    for (size_t at = 0; at < 5 + 17 + 4; at++) {
        struct open_pair open;
        open_pair(&open, false);
        cr_assert(tls_seal(open.pair.client.tls, slice_text("word"), &open.pair.client.out));
        open.pair.client.out.data[at] ^= 0x40;
        enum tls_result result = pair_give(&open.pair.server, buf_slice(&open.pair.client.out), PAIR_NOW);
        cr_expect(result == TLS_ERROR || result == TLS_NEED_MORE, "%zu", at);
        cr_expect_eq(open.pair.server.plain.used, 0u);
        buf_reset(&open.pair.client.out);
        close_pair(&open);
    }
}

/* --- records that wolfSSL does not write by itself ---------------------------------------------------------------- */

#ifdef RINGCAST_WOLFSSL_STATIC
/* wolfSSL's own sealing, which its interface does not show: any content of any type under the client's keys. */
int BuildTls13Message(WOLFSSL *ssl, unsigned char *output, int output_bytes, const unsigned char *input, int bytes,
                      int type, int hash, int size_only, int async);

static void forge(struct pair_end *end, uint8_t type, struct slice content)
{
    uint8_t *at = end->out.data + end->out.used;
    int bytes = BuildTls13Message(end->tls->ssl, at, (int)(end->out.capacity - end->out.used), content.data,
                                  (int)content.bytes, type, 0, 0, 0);
    cr_assert_eq(bytes, (int)content.bytes + 22);
    end->out.used += (size_t)bytes;
}

/* RFC 8446 section 5.1: nothing comes of it. */
Test(tls, passes_over_empty_application_data)
{
    struct open_pair open;
    open_pair(&open, false);
    for (int i = 0; i < 100; i++)
        forge(&open.pair.client, TLS_APPLICATION, slice_text(""));
    pair_run(&open.pair, PAIR_BYTES);
    cr_expect_eq(open.pair.server.result, TLS_NEED_MORE);
    cr_expect_eq(open.pair.server.plain.used, 0u);
    pair_assert_works(&open.pair);
    close_pair(&open);
}

static void assert_ends(uint8_t type, struct slice content)
{
    struct open_pair open;
    open_pair(&open, false);
    forge(&open.pair.client, type, content);
    pair_run(&open.pair, PAIR_BYTES);
    cr_expect_eq(open.pair.server.result, TLS_ERROR, "type %u, %zu bytes", type, content.bytes);
    cr_expect(tls_why(open.pair.server.tls)[0] != '\0');
    cr_expect_eq(open.pair.server.plain.used, 0u);
    close_pair(&open);
}

#define BYTES(...) slice_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

Test(tls, refuses_messages_that_have_no_place_in_an_established_session)
{
    static uint8_t update_flood[5 * 3000];
    for (size_t i = 0; i < 3000; i++)
        memcpy(update_flood + 5 * i, (const uint8_t[]){24, 0, 0, 1, 1}, 5);
    assert_ends(TLS_HANDSHAKE, BYTES(1, 0, 0, 4, 3, 3, 0, 0));                             /* client hello */
    assert_ends(TLS_HANDSHAKE, BYTES(0, 0, 0, 0));                                         /* hello request */
    assert_ends(TLS_HANDSHAKE, BYTES(4, 0, 0, 13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 7, 0)); /* a client's ticket */
    assert_ends(TLS_HANDSHAKE, BYTES(24, 0, 0, 1, 2)); /* key update: no such request */
    assert_ends(TLS_HANDSHAKE, BYTES(24, 0, 0, 2, 0, 0));
    assert_ends(TLS_HANDSHAKE, BYTES(99, 0, 0, 0));
    assert_ends(TLS_HANDSHAKE, slice_text(""));
    assert_ends(TLS_HANDSHAKE,
                slice_of(update_flood, sizeof update_flood)); /* section 5.1: none behind a change of keys */
    assert_ends(TLS_CHANGE_CIPHER_SPEC, BYTES(1));
    assert_ends(24, BYTES(1));
    assert_ends(TLS_ALERT, BYTES(2, 40));
    assert_ends(TLS_ALERT, BYTES(2));
    assert_ends(TLS_ALERT, slice_text(""));
}

#endif

/* RFC 8446 section 4.6.3: new keys both ways; words before, between and behind. */
Test(tls, answers_key_updates)
{
    struct open_pair open;
    open_pair(&open, false);
    for (int round = 0; round < 20; round++) {
        struct tls *client = open.pair.client.tls;
        int required = 1;
        cr_assert(tls_seal(client, slice_text("before "), &open.pair.client.out));
        client->out = &open.pair.client.out;
        cr_assert_eq(wolfSSL_update_keys(client->ssl), WOLFSSL_SUCCESS);
        client->out = NULL;
        cr_assert(tls_seal(client, slice_text("behind"), &open.pair.client.out));
        buf_reset(&open.pair.server.plain);
        pair_move(&open.pair, &open.pair.client, &open.pair.server, 1 + (size_t)round);
        cr_assert(slice_is(buf_slice(&open.pair.server.plain), "before behind"));
        cr_assert(open.pair.server.out.used > 0);
        pair_run(&open.pair, 1);
        cr_assert_eq(wolfSSL_key_update_response(client->ssl, &required), 0);
        cr_assert_eq(required, 0);
        pair_assert_works(&open.pair);
    }
    close_pair(&open);
}

/* RFC 8446 section 5.5: as many records as a key may protect, then a new one, of which the peer is told. */
Test(tls, changes_its_key_before_it_is_worn)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct open_pair open;
    settings.records_per_key = 3;
    open.world = world_of(&settings, NULL);
    pair_open(&open.pair, open.world.client, open.world.server, TLS_CLIENT_NONE, "localhost");
    pair_assert_works(&open.pair);
    struct pair_end *server = &open.pair.server;
    unsigned changes = 0, sealed = 0;
    for (; changes < 20; sealed++) {
        if (tls_is_worn(server->tls)) {
            cr_assert_leq(server->tls->sealer.records, 3u);
            cr_assert(tls_renew(server->tls, &server->out));
            cr_assert(!tls_is_worn(server->tls));
            changes++;
        }
        cr_assert(tls_seal(server->tls, slice_text("word "), &server->out));
        buf_reset(&open.pair.client.plain);
        pair_run(&open.pair, 1 + changes);
        cr_assert(slice_is(buf_slice(&open.pair.client.plain), "word "));
    }
    cr_assert_leq(sealed, 3 * changes);
    pair_assert_works(&open.pair); /* the peer has answered with new keys of its own */
    close_pair(&open);
}

/* The bound holds for AES-GCM: 2^24.5 records (RFC 8446 section 5.5), of which a send of ours makes a few more before
 * it looks. */
Test(tls, a_key_protects_fewer_records_than_its_cipher_allows)
{
    struct open_pair open;
    open_pair(&open, false);
    open.pair.server.tls->sealer.records = (UINT64_C(1) << 24) - 1;
    cr_assert(!tls_is_worn(open.pair.server.tls));
    open.pair.server.tls->sealer.records++;
    cr_assert(tls_is_worn(open.pair.server.tls));
    close_pair(&open);
    open_pair(&open, true);
    cr_assert(!tls_is_worn(open.pair.server.tls), "by TLS 1.2 the library counts");
    close_pair(&open);
}
