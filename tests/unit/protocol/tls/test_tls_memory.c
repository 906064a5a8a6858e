/* SPDX-License-Identifier: MIT */
/* Proves what the TLS library holds: a bound that is kept, every allocation refused once without harm, what an idle
 * session costs, and that all comes back. Run by unit_protocol. */
#include "tests/support/tls_lost.h"
#include "tests/unit/protocol/tls/tls_pair.h"

#include <criterion/criterion.h>

#ifdef RINGCAST_WOLFSSL_STATIC
#define IDLE_BYTES_MAX (PAIR_IS_OLD ? 4400U : 4000U)
#else
#define IDLE_BYTES_MAX 64000U /* Debian's library, with everything compiled in */
#endif

/* What one server's session adds once its handshake is done, and that neither words nor waiting add to it. */
static uint64_t idle_bytes(bool tls12)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    settings.allow_tls12 = tls12;
    pair_start(0);
    struct tls_context *client = pair_client_context(NULL, tls12), *server = pair_server_context(&settings);
    struct pair pair;
    pair_open(&pair, client, server, TLS_CLIENT_NONE, "localhost");
    pair_assert_works(&pair);
    uint64_t before = tls_memory_bytes();
    static uint8_t text[100000];
    pair_assert_carries(&pair, &pair.client, &pair.server, slice_of(text, sizeof text));
    pair_assert_carries(&pair, &pair.server, &pair.client, slice_of(text, sizeof text));
    cr_expect_eq(tls_memory_bytes(), before);
    tls_destroy(pair.server.tls);
    uint64_t bytes = before - tls_memory_bytes();
    pair.server.tls = NULL;
    pair_destroy(&pair);
    tls_context_release(client);
    tls_context_release(server);
    cr_expect_eq(pair_memory_bytes(), 0u);
    return bytes;
}

Test(tls_memory, an_idle_session_is_small)
{
    for (int tls12 = 0; tls12 < 2; tls12++) {
        uint64_t bytes = idle_bytes(tls12 == 1);
        cr_expect_leq(bytes, IDLE_BYTES_MAX, "TLS 1.%d: %llu", tls12 == 1 ? 2 : 3, (unsigned long long)bytes);
    }
}

/* Contexts, a handshake with a client certificate, words both ways and an end, under a bound of so many bytes. Whether
 * all went well. */
static bool live(const struct tls_settings *settings)
{
    char why[256];
    struct tls_context *server = tls_context_create(settings, why, sizeof why);
    struct tls_settings own = {.authorities = settings->authorities, .identity_count = 1};
    own.identities[0] = settings->identities[1];
    struct tls_context *client = server == NULL ? NULL : tls_context_create_client(&own, true, NULL, why, sizeof why);
    struct tls *first = client == NULL ? NULL : tls_create_client(client, "localhost");
    struct tls *second = first == NULL ? NULL : tls_create(server, TLS_CLIENT_REQUIRED);
    bool good = second != NULL;
    if (good) {
        struct pair pair;
        pair_init(&pair, first, second);
        pair_run(&pair, PAIR_BYTES);
        good = pair_is_established(&pair) && tls_seal(second, slice_text("word"), &pair.server.out);
        if (good) {
            pair_run(&pair, PAIR_BYTES);
            good = slice_is(buf_slice(&pair.client.plain), "word") && tls_common_name(second).bytes > 0;
        }
        pair_destroy(&pair);
    } else {
        tls_destroy(first);
    }
    tls_context_release(client);
    tls_context_release(server);
    return good;
}

/* Wherever memory runs out: a session that fails or cannot be made, and nothing held or harmed but what the library loses. */
Test(tls_memory, survives_a_bound_of_any_size)
{
    struct tls_settings settings = PAIR_SETTINGS("server", "client");
    uint64_t bound = 500, refused_at_start = tls_memory_refused();
    unsigned failures = 0;
    bool good = false;
    for (; !good && bound < 64000000; bound += bound / 60) {
        uint64_t refused = tls_memory_refused();
        pair_start(bound);
        good = live(&settings);
        cr_assert(good || tls_memory_refused() > refused, "%llu", (unsigned long long)bound);
        cr_assert(tls_lost_explains(pair_memory_bytes(), tls_memory_refused() - refused_at_start),
                  "%llu bytes are held with a bound of %llu", (unsigned long long)pair_memory_bytes(),
                  (unsigned long long)bound);
        failures += !good;
    }
    cr_expect(good && failures > 50, "%u failures", failures);
}

/* The server's side of a handshake with so many bytes to spare. Whether it went well. */
static bool answer_hello(struct tls_context *client, struct tls_context *server, uint64_t spare)
{
    struct pair pair;
    pair_start(0);
    pair_init(&pair, tls_create_client(client, "localhost"), tls_create(server, TLS_CLIENT_NONE));
    pair_give(&pair.client, slice_of(NULL, 0), pair.now_s);
    cr_assert(tls_start(tls_memory_bytes() + spare));
    pair_move(&pair, &pair.client, &pair.server, PAIR_BYTES);
    bool good = !pair_has_ended(&pair.server);
    cr_assert(tls_start(0));
    pair_destroy(&pair);
    return good;
}

/* Wherever memory runs out in a server's answer, all comes back; an old library loses a key share at a time, and does. */
Test(tls_memory, a_hello_that_finds_no_memory_leaves_nothing_but_key_shares_of_an_old_library)
{
    struct tls_settings settings = PAIR_SETTINGS("server");
    unsigned failures = 0, losses = 0;
    pair_start(0);
    struct tls_context *client = pair_client_context(NULL, false), *server = pair_server_context(&settings);
    for (uint64_t spare = 500; spare < 64000000; spare += 8 + spare / 800) {
        uint64_t before = pair_memory_bytes(), refused = tls_memory_refused();
        bool good = answer_hello(client, server, spare);
        uint64_t lost = pair_memory_bytes() - before;
        cr_assert(tls_lost_explains(lost, tls_memory_refused() - refused), "%llu bytes with %llu to spare",
                  (unsigned long long)lost, (unsigned long long)spare);
        losses += lost > 0;
        if (good)
            break;
        failures++;
    }
    cr_expect_gt(failures, 50u);
    cr_expect_eq(losses > 0, TLS_LOSES_KEY_SHARES, "%u", losses);
    tls_context_release(client);
    tls_context_release(server);
}
