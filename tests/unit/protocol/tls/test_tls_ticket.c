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

/* Whether a second connection, to `second` at `second_s`, is resumed with what `first` gave at `first_s`. */
static bool resumes_at(const struct tls_settings *first, uint64_t first_s, const struct tls_settings *second,
                       uint64_t second_s, bool tls12)
{
    pair_start(0);
    struct tls_context *one = pair_server_context(first), *two = pair_server_context(second);
    WOLFSSL_CTX *library = make_library(NULL, tls12);
    struct outcome before = connect_once(library, NULL, one, TLS_CLIENT_NONE, first_s);
    cr_assert(before.established && !before.resumed);
    struct outcome after = connect_once(library, before.session, two, TLS_CLIENT_NONE, second_s);
    cr_assert(after.established);
    wolfSSL_SESSION_free(before.session);
    wolfSSL_SESSION_free(after.session);
    wolfSSL_CTX_free(library);
    tls_context_release(one);
    tls_context_release(two);
    return after.resumed;
}

/* The same with what `first` gave at PAIR_NOW. */
static bool resumes(const struct tls_settings *first, const struct tls_settings *second, uint64_t later_s, bool tls12)
{
    return resumes_at(first, PAIR_NOW, second, PAIR_NOW + later_s, tls12);
}

Test(tls_ticket, resumes_at_whoever_has_the_same_secret)
{
    struct tls_settings settings = PAIR_SETTINGS("server"), other = settings;
    other.tickets = pair_tickets(8, PAIR_NOW);
    cr_assert(resumes(&settings, &settings, 0, false));
    cr_assert(!resumes(&settings, &other, 0, false));
    settings.allow_tls12 = other.allow_tls12 = true;
    cr_assert(resumes(&settings, &settings, 0, true));
    if (!PAIR_IS_OLD) /* whose client takes a full handshake for the resumption of a refused ticket */
        cr_assert(!resumes(&settings, &other, 0, true));
}

/* The same secret from the beginning again. */
static void renew(struct tls_settings *settings)
{
    tls_tickets_release(settings->tickets);
    settings->tickets = pair_tickets(7, PAIR_NOW);
}

Test(tls_ticket, opens_with_the_key_of_its_epoch_or_the_next)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    uint64_t left_s = settings.ticket_lifetime_s - PAIR_NOW % settings.ticket_lifetime_s; /* of the epoch */
    cr_assert(resumes(&settings, &settings, left_s - 1, false));
    renew(&settings);
    cr_assert(resumes(&settings, &settings, left_s + settings.ticket_lifetime_s - 1, false));
    renew(&settings);
    cr_assert(!resumes(&settings, &settings, left_s + settings.ticket_lifetime_s, false));
}

/* One works all the time, the other looks at the clock for the first time days later. */
Test(tls_ticket, shards_agree_however_late_one_looks)
{
    struct tls_settings busy = PAIR_SETTINGS("server"), idle = busy;
    idle.tickets = pair_tickets(7, PAIR_NOW);
    for (uint64_t now_s = PAIR_NOW; now_s < PAIR_NOW + 20 * PAIR_LIFETIME_S; now_s += 5 * PAIR_LIFETIME_S)
        cr_assert(resumes_at(&busy, now_s, &busy, now_s, false));
    cr_assert(resumes_at(&busy, PAIR_NOW + 20 * PAIR_LIFETIME_S, &idle, PAIR_NOW + 20 * PAIR_LIFETIME_S, false));
    cr_assert(resumes_at(&idle, PAIR_NOW + 50 * PAIR_LIFETIME_S, &busy, PAIR_NOW + 50 * PAIR_LIFETIME_S, false));
}

/* Also when a reload has changed how long they last. */
Test(tls_ticket, shards_agree_on_another_lifetime)
{
    struct tls_settings one = PAIR_SETTINGS("server"), two = one;
    two.tickets = pair_tickets(7, PAIR_NOW);
    uint64_t now_s = PAIR_NOW + 10 * PAIR_LIFETIME_S;
    cr_assert(resumes_at(&one, now_s, &one, now_s, false));
    cr_assert(tls_tickets_last(one.tickets, 600, now_s));
    cr_assert(tls_tickets_last(two.tickets, 600, now_s));
    one.ticket_lifetime_s = two.ticket_lifetime_s = 600;
    cr_assert(resumes_at(&one, now_s + 6000, &two, now_s + 6000, false));
}

/* L7 of the hostile peers: whoever takes the secret of now opens no ticket of before, whatever the clock says. */
Test(tls_ticket, the_secret_of_now_does_not_open_what_was_sealed_before)
{
    struct tls_settings before = PAIR_SETTINGS("server"), now = before;
    now.tickets = pair_tickets(7, PAIR_NOW);
    uint64_t later_s = PAIR_NOW + 3 * PAIR_LIFETIME_S;
    cr_assert(resumes_at(&before, PAIR_NOW, &now, PAIR_NOW, false));
    cr_assert(resumes_at(&now, later_s, &now, later_s, false));
    cr_assert(!resumes_at(&before, PAIR_NOW, &now, PAIR_NOW, false));
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
