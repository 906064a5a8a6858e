/* SPDX-License-Identifier: MIT */
/* Owns TLS against whoever stands between two honest ends: the bytes of the client are cut, changed, repeated, dropped,
 * mixed with others, and records of any type are sealed under its keys. What an end reads is what the other has sealed,
 * in order, however little of it; after a fault nothing more; memory stays bounded and is all back at the end. The same
 * input has the same keys: seeds come from it. The input is a byte of settings and steps. */
#include "fuzz/fuzz.h"
#include "protocol/tls/tls_parts.h"

#define NOW UINT64_C(1700000000)
#define ROOM (1U << 19)
#define HELD_MAX (1U << 20) /* two contexts, two sessions, a handshake */
#define STEPS_MAX 200

#ifdef RINGCAST_WOLFSSL_STATIC
/* wolfSSL's own sealing, of any type of content (see tests/unit/protocol/tls/test_tls.c). */
int BuildTls13Message(WOLFSSL *ssl, unsigned char *output, int output_bytes, const unsigned char *input, int bytes,
                      int type, int hash, int size_only, int async);
#endif

struct end {
    struct tls *tls;
    struct buf out;    /* on its way to the other */
    struct buf plain;  /* read */
    struct buf sealed; /* plaintext of its own */
    size_t compared;   /* of plain, with the other's sealed */
    enum tls_result result;
};

static struct tls_context *client_context, *server_context[2];
static uint8_t memory[6][ROOM];
static struct random chance;
static struct end client, server;

/* --- the world ---------------------------------------------------------------------------------------------------- */

static void seed(uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)random_u64(&chance);
}

static struct slice read_file(const char *name)
{
    char path[512];
    uint8_t *text = fuzz_zeroed(8192);
    snprintf(path, sizeof path, "%s/%s", TEST_CERTS, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fuzz_miss(__FILE__, __LINE__, path);
    size_t bytes = fread(text, 1, 8192, file);
    fclose(file);
    return slice_of(text, bytes);
}

/* Once: the files are read and never change. */
static void make_contexts(void)
{
    static struct tls_settings settings, own;
    char why[256];
    if (settings.identity_count == 0) {
        settings.identities[0] = (struct tls_identity){read_file("server.pem"), read_file("server.key")};
        settings.authorities = read_file("authority.pem");
        settings.identity_count = 1;
        static const uint8_t secret[32] = {7};
        settings.tickets = tls_tickets_create(secret, NOW);
        settings.ticket_lifetime_s = 3600;
        expect(settings.tickets != NULL && tls_tickets_last(settings.tickets, 3600, NOW));
        own.identities[0] = (struct tls_identity){read_file("client.pem"), read_file("client.key")};
        own.identity_count = 1;
        own.authorities = settings.authorities;
        own.allow_tls12 = true;
    }
    for (int i = 0; i < 2; i++) {
        settings.allow_tls12 = i == 1;
        server_context[i] = tls_context_create(&settings, why, sizeof why);
        expect(server_context[i] != NULL);
    }
    client_context = tls_context_create_client(&own, true, NULL, why, sizeof why);
    expect(client_context != NULL);
}

static void end_init(struct end *end, struct tls *tls, unsigned index)
{
    expect(tls != NULL);
    *end = (struct end){.tls = tls, .result = TLS_NEED_MORE};
    end->out = buf_of(memory[3 * index], ROOM);
    end->plain = buf_of(memory[3 * index + 1], ROOM);
    end->sealed = buf_of(memory[3 * index + 2], ROOM);
}

static bool is_over(const struct end *end)
{
    return end->result == TLS_ERROR || end->result == TLS_CLOSED || end->result == TLS_NOT_TLS;
}

/* --- the wire ----------------------------------------------------------------------------------------------------- */

/* What has been read is what the other has sealed. */
static void compare(struct end *end, const struct end *other)
{
    expect(end->plain.used <= other->sealed.used);
    expect(memcmp(end->plain.data + end->compared, other->sealed.data + end->compared,
                  end->plain.used - end->compared) == 0);
    end->compared = end->plain.used;
    expect(tls_memory_bytes() <= HELD_MAX);
}

static void give(struct end *end, const struct end *other, struct slice bytes)
{
    uint8_t *copy = fuzz_copy(bytes);
    struct slice rest = slice_of(copy, bytes.bytes);
    bool was_over = is_over(end);
    enum tls_result was = end->result;
    size_t before = end->plain.used;
    do {
        if (end->plain.capacity - end->plain.used < TLS_PLAIN_BYTES_MAX ||
            end->out.capacity - end->out.used < TLS_OUT_ROOM)
            break;
        size_t said = end->out.used;
        end->result = tls_read(end->tls, &rest, &end->plain, &end->out, NOW);
        expect(!end->out.overflow && end->out.used - said <= TLS_OUT_ROOM);
        expect(end->result != TLS_DATA || end->plain.used > before);
    } while (end->result == TLS_DATA);
    expect(end->result != TLS_NEED_MORE || rest.bytes == 0);
    expect(end->result != TLS_ERROR || (!tls_established(end->tls) && tls_why(end->tls)[0] != '\0'));
    if (was_over) /* a request in plain text is not taken: what the next bytes are is another matter */
        expect(end->plain.used == before && (was == TLS_NOT_TLS || end->result == was));
    free(copy);
    compare(end, other);
}

/* The first `bytes` of what is on its way to `to`. */
static void move(struct end *from, struct end *to, size_t bytes)
{
    size_t part = bytes < from->out.used ? bytes : from->out.used;
    uint8_t *piece = fuzz_copy(slice_of(from->out.data, part));
    from->out.used -= part;
    memmove(from->out.data, from->out.data + part, from->out.used);
    give(to, from, slice_of(piece, part));
    free(piece);
}

static void settle(void)
{
    for (int round = 0; round < 8 && (client.out.used > 0 || server.out.used > 0); round++) {
        move(&client, &server, ROOM);
        move(&server, &client, ROOM);
    }
}

static void insert(struct buf *buf, size_t at, struct slice bytes)
{
    if (buf->capacity - buf->used < bytes.bytes)
        return;
    memmove(buf->data + at + bytes.bytes, buf->data + at, buf->used - at);
    if (bytes.bytes > 0)
        memcpy(buf->data + at, bytes.data, bytes.bytes);
    buf->used += bytes.bytes;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void seal(struct end *end, size_t bytes)
{
    static uint8_t text[40000];
    if (!tls_established(end->tls) || end->out.used > ROOM / 4 || end->sealed.used > ROOM / 4)
        return;
    for (size_t i = 0; i < bytes; i++)
        text[i] = (uint8_t)(end->sealed.used + i * 7);
    size_t before = end->out.used;
    if (!tls_seal(end->tls, slice_of(text, bytes), &end->out)) {
        end->out.used = before;
        return;
    }
    expect(end->out.used - before <= tls_sealed_bytes_max(bytes));
    expect(tls_plain_within(end->tls, buf_since(&end->out, before), end->out.used - before) == bytes);
    buf_put(&end->sealed, slice_of(text, bytes));
}

static void close_one(struct end *end)
{
    if (end->out.used <= ROOM / 4)
        tls_close(end->tls, &end->out);
}

/* A record of any type, sealed as the client's own. */
static void forge(struct fuzz_input *input)
{
#ifdef RINGCAST_WOLFSSL_STATIC
    uint8_t type = fuzz_byte(input);
    struct slice content = fuzz_piece(input);
    if (!tls_established(client.tls) || wolfSSL_version(client.tls->ssl) != TLS1_3_VERSION ||
        client.out.used > ROOM / 4)
        return;
    int bytes = BuildTls13Message(client.tls->ssl, client.out.data + client.out.used, (int)(ROOM - client.out.used),
                                  content.data, (int)content.bytes, type, 0, 0, 0);
    if (bytes < 0)
        return;
    client.out.used += (size_t)bytes;
    if (type == TLS_APPLICATION)
        buf_put(&client.sealed, content);
#else
    fuzz_piece(input);
#endif
}

static void step(struct fuzz_input *input)
{
    size_t used = client.out.used, at = used == 0 ? 0 : fuzz_below(input, 1024) % used;
    switch (fuzz_byte(input) % 12) {
    case 0:
        settle();
        break;
    case 1:
        move(&client, &server, fuzz_below(input, 600));
        break;
    case 2:
        move(&server, &client, fuzz_below(input, 2000));
        break;
    case 3:
        insert(&client.out, at, fuzz_piece(input));
        break;
    case 4:
        if (used > 0)
            client.out.data[at] ^= fuzz_byte(input);
        break;
    case 5: /* dropped */
        client.out.used = at;
        break;
    case 6: { /* again */
        uint8_t *copy = fuzz_copy(slice_of(client.out.data, at));
        insert(&client.out, at, slice_of(copy, at));
        free(copy);
        break;
    }
    case 7:
        seal(&client, fuzz_below(input, 40000));
        break;
    case 8:
        seal(&server, fuzz_below(input, 40000));
        break;
    case 9:
        close_one(fuzz_byte(input) % 2 == 0 ? &client : &server);
        break;
    case 10:
        forge(input);
        break;
    default:
        if (tls_established(client.tls) && wolfSSL_version(client.tls->ssl) == TLS1_3_VERSION && used < ROOM / 4) {
            client.tls->out = &client.out;
            wolfSSL_update_keys(client.tls->ssl);
            client.tls->out = NULL;
        }
    }
}

/* bit 0: TLS 1.2 is allowed; bits 1-2: client certificates; bit 3: the handshake goes undisturbed first. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    uint8_t settings = fuzz_byte(&input);
    chance = fuzz_random(slice_of(data, bytes));
    expect(tls_start(0));
    tls_seed_from(seed);
    uint64_t before = tls_memory_bytes();
    make_contexts();
    end_init(&client, tls_create_client(client_context, "localhost"), 0);
    end_init(&server, tls_create(server_context[settings & 1], (enum tls_client_certificate)((settings >> 1 & 3) % 3)),
             1);
    give(&client, &server, slice_of(NULL, 0));
    if ((settings & 8) != 0) {
        settle();
        expect(tls_established(client.tls) && tls_established(server.tls));
    }
    for (int steps = 0; steps < STEPS_MAX && input.left > 0; steps++)
        step(&input);
    settle();
    tls_destroy(client.tls);
    tls_destroy(server.tls);
    tls_context_release(client_context);
    tls_context_release(server_context[0]);
    tls_context_release(server_context[1]);
    expect(tls_memory_bytes() == before);
    return 0;
}
