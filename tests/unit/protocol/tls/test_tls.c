/* SPDX-License-Identifier: MIT */
/* Proves TLS handshakes in memory: however the bytes are cut, suites and versions, names, client certificates, what is
 * no TLS at all, both ways to end. Records are in test_tls_records.c. Run by unit_protocol, and with Debian's library
 * by unit_tls_packaged. */
#include "tests/unit/protocol/tls/tls_pair.h"
#include "tests/unit/protocol/tls/tls_world.h"

#include <criterion/criterion.h>

/* What the client says first. */
static struct slice hello_of(struct pair *pair)
{
    pair_give(&pair->client, slice_of(NULL, 0), pair->now_s);
    return buf_slice(&pair->client.out);
}

/* --- handshakes --------------------------------------------------------------------------------------------------- */

Test(tls, shakes_hands_and_carries_words)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_open(&pair, world.client, world.server, TLS_CLIENT_NONE, "localhost");
    pair_assert_works(&pair);
    cr_expect_str_eq(tls_version(pair.server.tls), "TLSv1.3");
    cr_expect(!tls_resumed(pair.server.tls));
    cr_expect_eq(tls_subject(pair.server.tls).bytes, 0u);
    pair_destroy(&pair);
    world_end(&world);
}

Test(tls, takes_a_stream_in_pieces_of_any_size)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 64, 517, 1000};
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct pair pair;
        pair_init(&pair, tls_create_client(world.client, "localhost"), tls_create(world.server, TLS_CLIENT_NONE));
        pair_run(&pair, steps[i]);
        pair_assert_works(&pair);
        pair_destroy(&pair);
    }
    world_end(&world);
}

/* The hello in two pieces, cut everywhere. */
Test(tls, takes_a_hello_that_is_cut_anywhere)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_init(&pair, tls_create_client(world.client, "localhost"), tls_create(world.server, TLS_CLIENT_NONE));
    struct slice hello = hello_of(&pair);
    for (size_t cut = 0; cut <= hello.bytes; cut++) {
        struct pair_end server;
        pair_end_init(&server, tls_create(world.server, TLS_CLIENT_NONE));
        cr_assert_eq(pair_give(&server, slice_of(hello.data, cut), PAIR_NOW), TLS_NEED_MORE);
        cr_assert_eq(server.out.used > 0, cut == hello.bytes);
        cr_assert_eq(pair_give(&server, slice_skip(hello, cut), PAIR_NOW), TLS_NEED_MORE);
        cr_assert(server.out.used > 0 && !tls_established(server.tls));
        struct pair part = {.client = {.tls = NULL}, .server = server};
        pair_destroy(&part);
    }
    pair_destroy(&pair);
    world_end(&world);
}

/* Data and the goodbye right behind the handshake's last message: one piece for the server. */
Test(tls, reads_what_comes_together_with_the_end_of_the_handshake)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_init(&pair, tls_create_client(world.client, "localhost"), tls_create(world.server, TLS_CLIENT_NONE));
    hello_of(&pair);
    pair_move(&pair, &pair.client, &pair.server, PAIR_BYTES);
    pair_move(&pair, &pair.server, &pair.client, PAIR_BYTES);
    cr_assert(tls_established(pair.client.tls) && !tls_established(pair.server.tls));
    cr_assert(tls_seal(pair.client.tls, slice_text("early"), &pair.client.out));
    tls_close(pair.client.tls, &pair.client.out);
    pair_move(&pair, &pair.client, &pair.server, PAIR_BYTES);
    cr_assert_eq(pair.server.result, TLS_CLOSED);
    cr_assert(slice_is(buf_slice(&pair.server.plain), "early"));
    pair_destroy(&pair);
    world_end(&world);
}

/* --- suites and versions ------------------------------------------------------------------------------------------ */

/* The suite that a client with this list gets, "" when there is no session. */
static const char *suite_for(struct tls_context *server, const char *host, const char *list)
{
    static char name[64];
    struct pair pair;
    struct tls_context *client = pair_client_context(NULL, strncmp(list, "TLS13", 5) != 0);
    cr_assert_eq(wolfSSL_CTX_set_cipher_list(client->contexts[0], list), WOLFSSL_SUCCESS, "%s", list);
    pair_open(&pair, client, server, TLS_CLIENT_NONE, host);
    snprintf(name, sizeof name, "%s", tls_established(pair.server.tls) ? tls_cipher(pair.server.tls) : "");
    if (name[0] == '\0')
        cr_assert(tls_why(pair.server.tls)[0] != '\0');
    pair_destroy(&pair);
    tls_context_release(client);
    return name;
}

/* Of all suites that the library knows exactly those of the list are taken. */
static void assert_on_offer(const char *identity, bool tls12)
{
    struct tls_settings settings = PAIR_SETTINGS(identity);
    char all[8192], list[2048];
    settings.allow_tls12 = tls12;
    pair_start(0);
    struct tls_context *server = pair_server_context(&settings);
    snprintf(list, sizeof list, ":%s:", tls_ciphers(tls12));
    cr_assert_eq(wolfSSL_get_ciphers(all, sizeof all), WOLFSSL_SUCCESS);
    unsigned taken = 0;
    for (char *name = strtok(all, ":"); name != NULL; name = strtok(NULL, ":")) {
        char quoted[80];
        bool rsa = strcmp(identity, "rsa") == 0, is13 = strncmp(name, "TLS13", 5) == 0;
        bool fits = is13 || (strstr(name, rsa ? "RSA" : "ECDSA") != NULL && (rsa == (strstr(name, "ECDSA") == NULL)));
        snprintf(quoted, sizeof quoted, ":%s:", name);
        bool wanted = strstr(list, quoted) != NULL && fits;
        WOLFSSL_CTX *probe = wolfSSL_CTX_new(wolfSSLv23_client_method());
        bool known = wolfSSL_CTX_set_cipher_list(probe, name) == WOLFSSL_SUCCESS;
        wolfSSL_CTX_free(probe);
        if (!known)
            continue;
        const char *found = suite_for(server, rsa ? "rsa.test" : "localhost", name);
        cr_expect(!wanted || strcmp(found, name) == 0, "%s: \"%s\"", name, found);
        snprintf(quoted, sizeof quoted, ":%s:", found); /* Debian's client adds suites to some lists */
        cr_expect(found[0] == '\0' || strstr(list, quoted) != NULL, "%s: \"%s\"", name, found);
        taken += wanted;
    }
    cr_expect_eq(taken, tls12 ? 6u : 3u);
    tls_context_release(server);
}

Test(tls, offers_exactly_the_list)
{
    assert_on_offer("server", false);
    assert_on_offer("server", true);
    assert_on_offer("rsa", true);
}

Test(tls, speaks_tls12_only_where_it_is_allowed)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    pair_start(0);
    for (int allow = 0; allow < 2; allow++) {
        struct pair pair;
        settings.allow_tls12 = allow == 1;
        struct world world = {pair_client_context(NULL, true), pair_server_context(&settings)};
        pair_open(&pair, world.client, world.server, TLS_CLIENT_NONE, "localhost");
        if (allow == 1) {
            pair_assert_works(&pair);
            cr_expect_str_eq(tls_version(pair.server.tls), "TLSv1.2");
        } else {
            cr_expect_eq(pair.server.result, TLS_ERROR);
            cr_expect_str_eq(tls_why(pair.server.tls), "no version of TLS in common");
            cr_expect_eq(pair.client.result, TLS_ERROR); /* by an alert */
        }
        pair_destroy(&pair);
        world_end(&world);
    }
}

/* The group that a client gets who would rather have this one, "" when there is no session. */
static const char *group_for(struct tls_context *server, int group)
{
    static char name[32];
    struct tls_context *client = pair_client_context(NULL, false);
    struct pair pair;
    cr_assert_eq(wolfSSL_CTX_set_groups(client->contexts[0], &group, 1), WOLFSSL_SUCCESS);
    pair_open(&pair, client, server, TLS_CLIENT_NONE, "localhost");
    snprintf(name, sizeof name, "%s", pair_is_established(&pair) ? wolfSSL_get_curve_name(pair.server.tls->ssl) : "");
    pair_destroy(&pair);
    tls_context_release(client);
    return name;
}

Test(tls, agrees_on_quick_groups_only)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    pair_start(0);
    struct tls_context *server = pair_server_context(&settings);
    cr_expect_str_eq(group_for(server, WOLFSSL_ECC_X25519), "X25519");
    cr_expect_str_eq(group_for(server, WOLFSSL_ECC_SECP256R1), "SECP256R1");
    cr_expect_str_eq(group_for(server, WOLFSSL_ECC_SECP384R1), "SECP384R1");
#ifndef RINGCAST_WOLFSSL_STATIC /* which does not know them at all */
    static const int others[] = {WOLFSSL_FFDHE_2048, WOLFSSL_FFDHE_3072, WOLFSSL_ECC_SECP521R1};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const char *name = group_for(server, others[i]);
        cr_expect(name[0] == '\0' || strcmp(name, "X25519") == 0, "%d: %s", others[i], name);
    }
#endif
    tls_context_release(server);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

/* The client demands a certificate for the name that it asks for. */
static bool is_served(struct world *world, const char *host)
{
    struct pair pair;
    pair_open(&pair, world->client, world->server, TLS_CLIENT_NONE, host);
    bool established = pair_is_established(&pair);
    if (!established)
        cr_assert_str_eq(tls_why(pair.client.tls), "the peer's certificate is for another name");
    pair_destroy(&pair);
    return established;
}

Test(tls, chooses_the_certificate_by_name)
{
    static const char *const served[] = {"localhost",    "LocalHost", "other.test", "a.other.test",
                                         "A.Other.TEST", "127.0.0.1", "rsa.test"};
    static const char *const unserved[] = {"a.b.other.test", "other.test.", "est",
                                           "unknown.test",   ".other.test", "127.0.0.2"};
    struct tls_settings settings = PAIR_SETTINGS("server", "other", "rsa");
    struct world world = world_of(&settings, NULL);
    for (size_t i = 0; i < sizeof served / sizeof served[0]; i++)
        cr_expect(is_served(&world, served[i]), "%s", served[i]);
    for (size_t i = 0; i < sizeof unserved / sizeof unserved[0]; i++)
        cr_expect(!is_served(&world, unserved[i]), "%s", unserved[i]);
    world_end(&world);
}

/* Whether the server of "server" (localhost, 127.0.0.1, ::1), or of `identity`, is believed to have this address. */
static bool has_address(const char *identity, const char *text, struct slice address)
{
    const char *const names[] = {identity, NULL};
    struct tls_settings settings = pair_settings(names);
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_init(&pair, tls_create_client_at(world.client, text, address), tls_create(world.server, TLS_CLIENT_NONE));
    pair_run(&pair, PAIR_BYTES);
    bool established = pair_is_established(&pair);
    if (!established)
        cr_expect_str_eq(tls_why(pair.client.tls), "the peer's certificate is for another address");
    pair_destroy(&pair);
    world_end(&world);
    return established;
}

/* RFC 9110 section 4.3.5: a name that is spelled like an address is none (the certificate "addressless" has such names
 * only). */
Test(tls, verifies_addresses_as_addresses)
{
    static const uint8_t v4[] = {127, 0, 0, 1}, other[] = {127, 0, 0, 2}, v6[16] = {[15] = 1};
    static const uint8_t mapped[16] = {[10] = 0xFF, [11] = 0xFF, 127, 0, 0, 1};
    cr_expect(has_address("server", "127.0.0.1", slice_of(v4, sizeof v4)));
    cr_expect(has_address("server", "::1", slice_of(v6, sizeof v6)));
    cr_expect(!has_address("server", "127.0.0.2", slice_of(other, sizeof other)));
    cr_expect(!has_address("server", "::ffff:127.0.0.1", slice_of(mapped, sizeof mapped)));
    cr_expect(!has_address("addressless", "127.0.0.1", slice_of(v4, sizeof v4)));
    cr_expect(!has_address("addressless", "::1", slice_of(v6, sizeof v6)));
    cr_expect(!has_address("other", "127.0.0.1", slice_of(v4, sizeof v4)));
}

/* --- client certificates ------------------------------------------------------------------------------------------ */

static void assert_client(const char *identity, enum tls_client_certificate wanted, bool tls12, const char *name,
                          const char *why)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    settings.allow_tls12 = tls12;
    struct world world = world_of(&settings, identity);
    struct pair pair;
    pair_open(&pair, world.client, world.server, wanted, "localhost");
    if (why == NULL) {
        pair_assert_works(&pair);
        cr_expect(slice_is(tls_common_name(pair.server.tls), name));
        cr_expect_eq(tls_subject(pair.server.tls).bytes > 0, name[0] != '\0');
    } else {
        cr_expect_eq(pair.server.result, TLS_ERROR);
        cr_expect(!tls_established(pair.server.tls));
        cr_expect_str_eq(tls_why(pair.server.tls), why);
        cr_expect_eq(tls_subject(pair.server.tls).bytes, 0u);
    }
    pair_destroy(&pair);
    world_end(&world);
}

Test(tls, lets_clients_in_by_their_certificates)
{
    static const char nobody[] = "the peer has no certificate, but one is required",
                      stranger[] = "the peer's certificate is of an unknown authority";
    for (int tls12 = 0; tls12 < 2; tls12++) {
        assert_client(NULL, TLS_CLIENT_NONE, tls12 == 1, "", NULL);
        assert_client("client", TLS_CLIENT_NONE, tls12 == 1, "", NULL);
        assert_client(NULL, TLS_CLIENT_OPTIONAL, tls12 == 1, "", NULL);
        assert_client("client", TLS_CLIENT_OPTIONAL, tls12 == 1, "feed-7", NULL);
        assert_client("stranger", TLS_CLIENT_OPTIONAL, tls12 == 1, "", stranger);
        assert_client(NULL, TLS_CLIENT_REQUIRED, tls12 == 1, "", nobody);
        assert_client("client", TLS_CLIENT_REQUIRED, tls12 == 1, "feed-7", NULL);
        assert_client("stranger", TLS_CLIENT_REQUIRED, tls12 == 1, "", stranger);
    }
}

Test(tls, says_why_it_does_not_believe_a_server)
{
    struct tls_settings settings = PAIR_SETTINGS("expired");
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_open(&pair, world.client, world.server, TLS_CLIENT_NONE, "localhost");
    cr_expect_str_eq(tls_why(pair.client.tls), "the peer's certificate has expired");
    cr_expect_str_eq(tls_why(pair.server.tls), "the peer refuses our certificate: certificate_expired");
    pair_destroy(&pair);
    world_end(&world);
}

Test(tls, says_what_is_wrong_with_an_identity)
{
    struct tls_settings good = PAIR_SETTINGS("server", "other"), bad = good;
    char why[256];
    pair_start(0);
    bad.identities[1].key = good.identities[0].key;
    cr_expect_null(tls_context_create(&bad, why, sizeof why));
    cr_expect_str_eq(why, "certificate 2: the key does not belong to the certificate");
    bad.identities[1].key = slice_text("no key");
    cr_expect_null(tls_context_create(&bad, why, sizeof why));
    cr_expect_str_eq(why, "certificate 2: no private key in PEM form, without a password, is in the file");
    bad.identities[1] = (struct tls_identity){slice_text("no certificate"), good.identities[1].key};
    cr_expect_null(tls_context_create(&bad, why, sizeof why));
    cr_expect_str_eq(why, "certificate 2: no certificate in PEM form is in the file");
    bad = good;
    bad.authorities = slice_text("nobody");
    cr_expect_null(tls_context_create(&bad, why, sizeof why));
    cr_expect_str_eq(why, "certificate 1: no certificate of a client authority in PEM form is in the file");
    cr_expect_eq(pair_memory_bytes(), 0u);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

Test(tls, says_goodbye_both_ways)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct open_pair open;
        open_pair(&open, tls12 == 1);
        struct pair_end *client = &open.pair.client, *server = &open.pair.server;
        tls_close(server->tls, &server->out);
        size_t bytes = server->out.used;
        tls_close(server->tls, &server->out); /* once */
        cr_expect(bytes > 0 && server->out.used == bytes);
        cr_expect(!tls_seal(server->tls, slice_text("more"), &server->out));
        pair_run(&open.pair, PAIR_BYTES);
        cr_expect_eq(client->result, TLS_CLOSED);
        cr_assert(tls_seal(client->tls, slice_text("last words"), &client->out)); /* half closed */
        tls_close(client->tls, &client->out);
        buf_put_text(&client->out, "what follows is not looked at");
        pair_run(&open.pair, 1);
        cr_expect_eq(server->result, TLS_CLOSED);
        cr_expect(slice_is(buf_slice(&server->plain), "last words"));
        cr_expect_eq(pair_give(server, slice_text("nor this"), PAIR_NOW), TLS_CLOSED);
        cr_expect_eq(pair_give(server, slice_text(""), PAIR_NOW), TLS_CLOSED);
        cr_expect_eq(pair_give(client, slice_text(""), PAIR_NOW), TLS_CLOSED);
        close_pair(&open);
    }
}

/* RFC 8446 section 6.1, RFC 5246 section 7.2.1: not even an alert, for a record that does not verify. */
Test(tls, says_nothing_behind_its_goodbye)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct open_pair open;
        open_pair(&open, tls12 == 1);
        struct pair_end *client = &open.pair.client, *server = &open.pair.server;
        tls_close(server->tls, &server->out);
        size_t bytes = server->out.used;
        cr_assert(tls_seal(client->tls, slice_text("word"), &client->out));
        client->out.data[client->out.used - 1] ^= 1;
        cr_expect_eq(pair_give(server, buf_slice(&client->out), PAIR_NOW), TLS_ERROR);
        cr_expect_eq(server->out.used, bytes);
        buf_reset(&client->out);
        close_pair(&open);
    }
}

Test(tls, says_nothing_before_the_handshake_is_done)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_init(&pair, tls_create_client(world.client, "localhost"), tls_create(world.server, TLS_CLIENT_NONE));
    tls_close(pair.client.tls, &pair.client.out);
    tls_close(pair.server.tls, &pair.server.out);
    cr_expect_eq(pair.client.out.used + pair.server.out.used, 0u);
    pair_destroy(&pair);
    world_end(&world);
}

/* --- what is no TLS ----------------------------------------------------------------------------------------------- */

Test(tls, knows_a_request_in_plain_text)
{
    static const char *const requests[] = {"GET / HTTP/1.1\r\n\r\n", "POST", "OPTIONS *", "P"};
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct pair pair;
        pair_init(&pair, tls_create_client(world.client, "localhost"), tls_create(world.server, TLS_CLIENT_NONE));
        struct slice rest = slice_text(requests[i]);
        struct pair_end *server = &pair.server;
        cr_expect_eq(tls_read(server->tls, &rest, &server->plain, &server->out, PAIR_NOW), TLS_NOT_TLS);
        cr_expect(slice_is(rest, requests[i]));
        cr_expect_eq(server->out.used, 0u);
        pair_destroy(&pair);
    }
    world_end(&world);
}

/* Never more than an alert for it, at any length and in any pieces. */
static void assert_nonsense(struct world *world, struct slice bytes, size_t step)
{
    struct pair pair;
    pair_init(&pair, tls_create_client(world->client, "localhost"), tls_create(world->server, TLS_CLIENT_NONE));
    buf_put(&pair.client.out, bytes);
    pair_move(&pair, &pair.client, &pair.server, step);
    cr_expect_eq(pair.server.result, TLS_ERROR);
    cr_expect(tls_why(pair.server.tls)[0] != '\0');
    cr_expect(pair.server.out.used <= 7);
    pair_destroy(&pair);
}

Test(tls, refuses_what_is_no_hello)
{
    static uint8_t bytes[5 + 16384];
    static const uint8_t heads[][9] = {
        {22, 3, 1, 0, 4, 0, 0, 0, 0},    {22, 3, 1, 0, 4, 2, 0, 0, 0}, {23, 3, 3, 0, 32},
        {21, 3, 3, 0, 2, 2, 40},         {20, 3, 3, 0, 1, 1},          {22, 3, 1, 0, 0},
        {22, 3, 1, 0x40, 0, 1, 0, 0, 8}, {22, 2, 0, 0, 4, 1},          {0x80, 0x2E, 1, 3, 1},
        {22, 3, 1, 0xFF, 0xFF, 1},       {22, 3, 1, 0, 8, 1, 0, 0, 4}};
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, heads[i], sizeof heads[i]);
        assert_nonsense(&world, slice_of(bytes, sizeof bytes), sizeof bytes);
        assert_nonsense(&world, slice_of(bytes, sizeof bytes), 1);
    }
    world_end(&world);
}

/* Whether nothing is said behind a fatal alert (RFC 8446 section 6.2). Debian 12's library says another one. */
static bool ends_with_its_alert(struct slice records)
{
    while (records.bytes >= TLS_HEADER_BYTES) {
        size_t bytes = TLS_HEADER_BYTES + load_be16(records.data + 3);
        cr_assert_leq(bytes, records.bytes);
        if (records.data[0] == TLS_ALERT && records.data[TLS_HEADER_BYTES] == 2)
            return bytes == records.bytes;
        records = slice_skip(records, bytes);
    }
    return records.bytes == 0;
}

/* A hello with one byte changed: a session that cannot be used, or one that never comes about; and all memory is
 * back. */
Test(tls, survives_a_hello_with_a_changed_byte)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_init(&pair, tls_create_client(world.client, "localhost"), tls_create(world.server, TLS_CLIENT_NONE));
    struct slice hello = hello_of(&pair);
    for (size_t at = 0; at < hello.bytes; at++) {
        struct pair_end server;
        pair_end_init(&server, tls_create(world.server, TLS_CLIENT_NONE));
        pair.client.out.data[at] ^= (uint8_t)(1U << at % 8);
        pair_give(&server, hello, PAIR_NOW);
        pair.client.out.data[at] ^= (uint8_t)(1U << at % 8);
        cr_assert(!tls_established(server.tls));
        cr_assert(ends_with_its_alert(slice_of(server.out.data, server.out.used)), "byte %zu", at);
        struct pair part = {.client = {.tls = NULL}, .server = server};
        pair_destroy(&part);
    }
    pair_destroy(&pair);
    world_end(&world);
}

/* Handshake records that never make a hello. */
Test(tls, ends_a_handshake_that_does_not_end)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    struct world world = world_of(&settings, NULL);
    struct pair pair;
    pair_init(&pair, tls_create_client(world.client, "localhost"), tls_create(world.server, TLS_CLIENT_NONE));
    uint8_t record[5 + 4096] = {22, 3, 1, 0x10, 0, 1, 0, 0xFF, 0xFF}; /* a hello of 65,535 bytes, in pieces */
    size_t given = 0;
    while (!pair_has_ended(&pair.server) && given < 2 * TLS_HANDSHAKE_BYTES_MAX) {
        pair_give(&pair.server, slice_of(record, sizeof record), PAIR_NOW);
        memset(record + 5, 0, 4);
        given += sizeof record;
    }
    cr_expect_eq(pair.server.result, TLS_ERROR);
    cr_expect_leq(given, TLS_HANDSHAKE_BYTES_MAX + sizeof record);
    pair_destroy(&pair);
    world_end(&world);
}
