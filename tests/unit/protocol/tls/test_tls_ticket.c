/* SPDX-License-Identifier: MIT */
/* Proves tickets (RFC 8446 section 4.6.1): who knows the secret resumes, for a while, and never past a client
 * certificate. The client is wolfSSL by itself, because ours keeps no sessions. Run by unit_protocol. */
#include "tests/unit/protocol/tls/tls_pair.h"

#include <criterion/criterion.h>

static uint8_t to_client[1U << 16], to_server[1U << 16];
static struct buf client_in, client_out;
static size_t client_at;

static int receive(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    (void)ssl, (void)context;
    size_t left = client_in.used - client_at, part = left < (size_t)bytes ? left : (size_t)bytes;
    if (part == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(data, client_in.data + client_at, part);
    client_at += part;
    return (int)part;
}

static int transmit(WOLFSSL *ssl, char *data, int bytes, void *context)
{
    (void)ssl, (void)context;
    buf_put(&client_out, slice_of(data, (size_t)bytes));
    return bytes;
}

struct outcome {
    bool established, resumed;
    WOLFSSL_SESSION *session; /* to be freed */
};

static WOLFSSL_CTX *make_library(const char *identity, bool tls12)
{
    WOLFSSL_CTX *library = wolfSSL_CTX_new(tls12 ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    struct slice authority = pair_file("authority.pem");
    struct tls_settings settings = {0};
    cr_assert_not_null(library);
    wolfSSL_CTX_load_verify_buffer(library, authority.data, (long)authority.bytes, WOLFSSL_FILETYPE_PEM);
    wolfSSL_CTX_SetIORecv(library, receive);
    wolfSSL_CTX_SetIOSend(library, transmit);
    wolfSSL_CTX_UseSessionTicket(library);
    if (identity == NULL)
        return library;
    pair_add_identity(&settings, identity);
    struct slice chain = settings.identities[0].chain, key = settings.identities[0].key;
    cr_assert_eq(wolfSSL_CTX_use_certificate_chain_buffer(library, chain.data, (long)chain.bytes), WOLFSSL_SUCCESS);
    cr_assert_eq(wolfSSL_CTX_use_PrivateKey_buffer(library, key.data, (long)key.bytes, WOLFSSL_FILETYPE_PEM),
                 WOLFSSL_SUCCESS);
    return library;
}

/* One connection of such a client, with the session of an earlier one. A word each way shows that it works. */
static struct outcome connect_once(WOLFSSL_CTX *library, WOLFSSL_SESSION *session, struct tls_context *server,
                                   enum tls_client_certificate wanted, uint64_t now_s)
{
    struct outcome outcome = {0};
    struct pair_end end;
    WOLFSSL *ssl = wolfSSL_new(library);
    char word[8] = "";
    cr_assert_not_null(ssl);
    client_in = buf_of(to_client, sizeof to_client);
    client_out = buf_of(to_server, sizeof to_server);
    client_at = 0;
    pair_end_init(&end, tls_create(server, wanted));
    if (session != NULL)
        wolfSSL_set_session(ssl, session); /* refused when there is no ticket in it */
    for (int round = 0; round < 8 && !pair_has_ended(&end); round++) {
        if (wolfSSL_connect(ssl) == WOLFSSL_SUCCESS && round > 4)
            wolfSSL_write(ssl, "word", 4);
        struct slice said = buf_slice(&client_out);
        if (said.bytes > 0)
            pair_give(&end, said, now_s);
        buf_reset(&client_out);
        buf_put(&client_in, buf_slice(&end.out));
        buf_reset(&end.out);
        wolfSSL_read(ssl, word, sizeof word);
    }
    outcome.established = tls_established(end.tls) && slice_starts(buf_slice(&end.plain), slice_text("word"));
    outcome.resumed = tls_resumed(end.tls);
    cr_assert(!outcome.established || outcome.resumed == (wolfSSL_session_reused(ssl) == 1));
    outcome.session = wolfSSL_get1_session(ssl);
    wolfSSL_free(ssl);
    tls_destroy(end.tls);
    free(end.out.data);
    free(end.plain.data);
    return outcome;
}

/* Whether a second connection, to `second` at `later_s`, is resumed with what `first` gave. */
static bool resumes(const struct tls_settings *first, const struct tls_settings *second, uint64_t later_s, bool tls12)
{
    pair_start(0);
    struct tls_context *one = pair_server_context(first), *two = pair_server_context(second);
    WOLFSSL_CTX *library = make_library(NULL, tls12);
    struct outcome before = connect_once(library, NULL, one, TLS_CLIENT_NONE, PAIR_NOW);
    cr_assert(before.established && !before.resumed);
    struct outcome after = connect_once(library, before.session, two, TLS_CLIENT_NONE, PAIR_NOW + later_s);
    cr_assert(after.established);
    wolfSSL_SESSION_free(before.session);
    wolfSSL_SESSION_free(after.session);
    wolfSSL_CTX_free(library);
    tls_context_release(one);
    tls_context_release(two);
    return after.resumed;
}

Test(tls_ticket, resumes_at_whoever_has_the_same_secret)
{
    struct tls_settings settings = PAIR_SETTINGS("server"), other = settings;
    other.ticket_secret[31] ^= 1;
    cr_assert(resumes(&settings, &settings, 0, false));
    cr_assert(!resumes(&settings, &other, 0, false));
    settings.allow_tls12 = other.allow_tls12 = true;
    cr_assert(resumes(&settings, &settings, 0, true));
    if (!PAIR_IS_OLD) /* whose client takes a full handshake for the resumption of a refused ticket */
        cr_assert(!resumes(&settings, &other, 0, true));
}

Test(tls_ticket, opens_with_the_key_of_its_epoch_or_the_next)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    uint64_t left_s = settings.ticket_lifetime_s - PAIR_NOW % settings.ticket_lifetime_s; /* of the epoch */
    cr_assert(resumes(&settings, &settings, left_s - 1, false));
    cr_assert(resumes(&settings, &settings, left_s + settings.ticket_lifetime_s - 1, false));
    cr_assert(!resumes(&settings, &settings, left_s + settings.ticket_lifetime_s, false));
}

Test(tls_ticket, gives_none_where_none_are_wanted)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    settings.ticket_lifetime_s = 0;
    cr_assert(!resumes(&settings, &settings, 0, false));
    settings.allow_tls12 = true;
    cr_assert(!resumes(&settings, &settings, 0, true));
}

/* A listener without client certificates and one that asks for them share secret and certificates; a ticket of the
 * first must not open the second, and of the second none may be resumed: whose certificate it was would be
 * forgotten. */
static void assert_certificates_are_shown(bool tls12)
{
    pair_start(0);
    struct tls_settings settings = PAIR_SETTINGS("server");
    settings.allow_tls12 = tls12;
    struct tls_context *context = pair_server_context(&settings);
    WOLFSSL_CTX *nobody = make_library(NULL, tls12), *feed = make_library("client", tls12);
    struct outcome first = connect_once(nobody, NULL, context, TLS_CLIENT_NONE, PAIR_NOW);
    cr_assert(first.established);
    struct outcome bypass = connect_once(nobody, first.session, context, TLS_CLIENT_REQUIRED, PAIR_NOW);
    cr_assert(!bypass.established, "a ticket stood for a certificate");
    struct outcome shown = connect_once(feed, NULL, context, TLS_CLIENT_REQUIRED, PAIR_NOW);
    cr_assert(shown.established && !shown.resumed);
    struct outcome again = connect_once(feed, shown.session, context, TLS_CLIENT_REQUIRED, PAIR_NOW);
    cr_assert(again.established && !again.resumed);
    struct outcome optional = connect_once(feed, first.session, context, TLS_CLIENT_OPTIONAL, PAIR_NOW);
    cr_assert(optional.established && !optional.resumed);
    WOLFSSL_SESSION *sessions[] = {first.session, bypass.session, shown.session, again.session, optional.session};
    for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++)
        wolfSSL_SESSION_free(sessions[i]);
    wolfSSL_CTX_free(nobody);
    wolfSSL_CTX_free(feed);
    tls_context_release(context);
}

Test(tls_ticket, stands_for_no_client_certificate)
{
    assert_certificates_are_shown(false);
    if (!PAIR_IS_OLD)
        assert_certificates_are_shown(true);
}
