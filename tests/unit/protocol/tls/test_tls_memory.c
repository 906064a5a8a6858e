/* SPDX-License-Identifier: MIT */
/* Proves what the TLS library holds: a bound that is kept, every allocation refused once without harm, what an idle
 * session costs, and that all comes back. Run by unit_protocol. */
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

/* Wherever memory runs out: a session that fails or cannot be made, and nothing held or harmed. (The old library gives
 * a small block back only the next time.) */
Test(tls_memory, survives_a_bound_of_any_size)
{
    struct tls_settings settings = PAIR_SETTINGS("server", "client");
    uint64_t bound = 500, held_max = PAIR_IS_OLD ? 80 : 0;
    unsigned failures = 0;
    bool good = false;
    for (; !good && bound < 64000000; bound += bound / 60) {
        uint64_t refused = tls_memory_refused();
        pair_start(bound);
        good = live(&settings);
        cr_assert(good || tls_memory_refused() > refused, "%llu", (unsigned long long)bound);
        cr_assert_leq(pair_memory_bytes(), held_max, "%llu bytes are held with a bound of %llu",
                      (unsigned long long)tls_memory_bytes(), (unsigned long long)bound);
        failures += !good;
    }
    cr_expect(good && failures > 50, "%u failures", failures);
}
