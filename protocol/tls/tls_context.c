/* SPDX-License-Identifier: MIT */
/* Owns what sessions are made from: certificates and keys by server name, the suites on offer, who is believed. It
 * never sees a connection's bytes. Called once for each shard at the start and after a reload. */
#include "protocol/tls/tls_parts.h"

#include "core/check.h"

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>

#if defined(WOLFSSL_AESNI) || defined(WOLFSSL_ARMASM)
#define ASSEMBLY_TEXT "with assembly"
#define TLS13_SUITES "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256"
#define TLS12_SUITES                                                                                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                         \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#else /* without it ChaCha20 is the fastest by far */
#define ASSEMBLY_TEXT "without assembly"
#define TLS13_SUITES "TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384"
#define TLS12_SUITES                                                                                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:"                         \
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#endif

#define NAME_BYTES_MAX 255

const char *tls_library(void)
{
    return "wolfSSL " LIBWOLFSSL_VERSION_STRING ", " RINGCAST_WOLFSSL_ORIGIN ", " ASSEMBLY_TEXT;
}

const char *tls_ciphers(bool allow_tls12)
{
    return allow_tls12 ? TLS13_SUITES ":" TLS12_SUITES : TLS13_SUITES;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static void lower(char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] + ('a' - 'A'));
}

static bool add_name(struct tls_names *names, const char *name)
{
    size_t bytes = strlen(name) + 1;
    char *grown = tls_alloc(names->bytes + bytes);
    if (grown == NULL)
        return false;
    if (names->bytes > 0)
        memcpy(grown, names->text, names->bytes);
    memcpy(grown + names->bytes, name, bytes);
    lower(grown + names->bytes, bytes - 1);
    tls_free(names->text);
    names->text = grown;
    names->bytes += bytes;
    return true;
}

void tls_common_name_of(WOLFSSL_X509 *certificate, char *out, int out_bytes)
{
    out[0] = '\0';
    if (wolfSSL_X509_NAME_get_text_by_NID(wolfSSL_X509_get_subject_name(certificate), NID_commonName, out, out_bytes) <
        0)
        out[0] = '\0';
}

/* The first certificate of a PEM text; NULL when it cannot be read. */
static WOLFSSL_X509 *read_leaf(struct slice chain)
{
    uint8_t *der = tls_alloc(chain.bytes);
    WOLFSSL_X509 *leaf = NULL;
    int bytes = der == NULL ? 0 : wc_CertPemToDer(chain.data, (int)chain.bytes, der, (int)chain.bytes, CERT_TYPE);
    if (bytes > 0)
        leaf = wolfSSL_X509_d2i(NULL, der, bytes);
    tls_free(der);
    return leaf;
}

/* The names in the leaf of a chain: subjectAltName, or the common name where there is none. */
static bool read_names(struct tls_names *names, struct slice chain)
{
    WOLFSSL_X509 *leaf = read_leaf(chain);
    if (leaf == NULL)
        return false;
    bool good = true;
    char common[NAME_BYTES_MAX + 1];
    for (const char *name; good && (name = wolfSSL_X509_get_next_altname(leaf)) != NULL;)
        good = add_name(names, name);
    tls_common_name_of(leaf, common, sizeof common);
    if (good && names->bytes == 0 && common[0] != '\0')
        good = add_name(names, common);
    wolfSSL_X509_free(leaf);
    return good;
}

/* Whether a name of a certificate is meant by a server name: the same, or "*.REST" for one more label (RFC 6125 section
 * 6.4.3). */
static bool name_matches(const char *pattern, const char *name)
{
    if (strncmp(pattern, "*.", 2) != 0)
        return strcmp(pattern, name) == 0;
    const char *dot = strchr(name, '.');
    return dot != NULL && dot != name && strcmp(pattern + 1, dot) == 0;
}

static bool names_match(const struct tls_names *names, const char *name)
{
    for (size_t at = 0; at < names->bytes; at += strlen(names->text + at) + 1)
        if (name_matches(names->text + at, name))
            return true;
    return false;
}

WOLFSSL_CTX *tls_context_for(struct tls_context *context, struct slice name)
{
    char text[NAME_BYTES_MAX + 1] = "";
    if (name.bytes > 0 && name.bytes < sizeof text && memchr(name.data, '\0', name.bytes) == NULL) {
        memcpy(text, name.data, name.bytes);
        lower(text, name.bytes);
        for (uint32_t i = 0; i < context->count; i++)
            if (names_match(&context->names[i], text))
                return context->contexts[i];
    }
    return context->contexts[0];
}

/* --- making ------------------------------------------------------------------------------------------------------- */

/* One line of at most why_bytes with its NUL. */
static void say(char *why, size_t why_bytes, const char *what)
{
    struct buf text = buf_of(why, why_bytes - 1);
    buf_put_text(&text, what);
    why[text.used] = '\0';
}

static bool complain(char *why, size_t why_bytes, uint32_t identity, const char *what)
{
    struct buf text = buf_of(why, why_bytes - 1);
    buf_put_text(&text, "certificate ");
    buf_put_u64(&text, identity + 1);
    buf_put_text(&text, ": ");
    buf_put_text(&text, what);
    why[text.used] = '\0';
    return false;
}

/* Groups: those that are quick. Debian's library would do 3072-bit Diffie-Hellman for whoever asks. */
static bool set_suites(WOLFSSL_CTX *context, bool allow_tls12)
{
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
    return wolfSSL_CTX_set_cipher_list(context, tls_ciphers(allow_tls12)) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_groups(context, groups, sizeof groups / sizeof groups[0]) == WOLFSSL_SUCCESS &&
           (!allow_tls12 || wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS);
}

/* The public key that a private one stands for, as a point; 0 bytes: no key on a curve. */
static word32 read_point(struct slice key, uint8_t *point, word32 room)
{
    uint8_t *der = tls_alloc(key.bytes);
    ecc_key private;
    word32 at = 0, bytes = 0;
    if (der == NULL || wc_ecc_init(&private) != 0) {
        tls_free(der);
        return 0;
    }
    int der_bytes = wc_KeyPemToDer(key.data, (int)key.bytes, der, (int)key.bytes, NULL);
    if (der_bytes > 0 && wc_EccPrivateKeyDecode(der, &at, &private, (word32)der_bytes) == 0 &&
        wc_ecc_make_pub(&private, NULL) == 0) {
        bytes = room;
        if (wc_ecc_export_x963(&private, point, &bytes) != 0)
            bytes = 0;
    }
    wc_ecc_free(&private);
    explicit_bzero(der, key.bytes);
    tls_free(der);
    return bytes;
}

/* Whether a key on a curve belongs to the certificate: older wolfSSL only looks whether both are on one. Of other kinds
 * the library's own word is good. */
static bool point_belongs(const struct tls_identity *identity)
{
    uint8_t point[256], certified[512];
    int bytes = sizeof certified;
    word32 point_bytes = read_point(identity->key, point, sizeof point);
    WOLFSSL_X509 *leaf = point_bytes == 0 ? NULL : read_leaf(identity->chain);
    if (leaf == NULL)
        return point_bytes == 0;
    bool good = wolfSSL_X509_get_pubkey_buffer(leaf, certified, &bytes) == WOLFSSL_SUCCESS &&
                bytes >= (int)point_bytes && memcmp(certified + bytes - point_bytes, point, point_bytes) == 0;
    wolfSSL_X509_free(leaf);
    return good;
}

static bool set_identity(WOLFSSL_CTX *context, const struct tls_settings *settings, uint32_t i, char *why,
                         size_t why_bytes)
{
    const struct tls_identity *identity = &settings->identities[i];
    if (wolfSSL_CTX_use_certificate_chain_buffer(context, identity->chain.data, (long)identity->chain.bytes) !=
        WOLFSSL_SUCCESS)
        return complain(why, why_bytes, i, "no certificate in PEM form is in the file");
    if (wolfSSL_CTX_use_PrivateKey_buffer(context, identity->key.data, (long)identity->key.bytes,
                                          WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        return complain(why, why_bytes, i, "no private key in PEM form, without a password, is in the file");
    if (wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS || !point_belongs(identity))
        return complain(why, why_bytes, i, "the key does not belong to the certificate");
    return true;
}

static void set_tickets(struct tls_context *owner, WOLFSSL_CTX *context)
{
    if (owner->ticket_lifetime_s == 0 || owner->tickets == NULL) {
        wolfSSL_CTX_no_ticket_TLSv13(context);
        wolfSSL_CTX_NoTicketTLSv12(context);
        return;
    }
    wolfSSL_CTX_set_TicketEncCb(context, tls_ticket);
    wolfSSL_CTX_set_TicketEncCtx(context, owner);
    wolfSSL_CTX_set_TicketHint(context, (int)owner->ticket_lifetime_s);
    wolfSSL_CTX_set_timeout(context, owner->ticket_lifetime_s);
}

static bool add_server(struct tls_context *owner, const struct tls_settings *settings, uint32_t i, char *why,
                       size_t why_bytes)
{
    WOLFSSL_CTX *context =
        wolfSSL_CTX_new(settings->allow_tls12 ? wolfTLS_server_method() : wolfTLSv1_3_server_method());
    if (context == NULL)
        return complain(why, why_bytes, i, "out of memory");
    owner->contexts[owner->count++] = context;
    if (!set_suites(context, settings->allow_tls12))
        return complain(why, why_bytes, i, "the library does not know the cipher suites");
    if (!set_identity(context, settings, i, why, why_bytes))
        return false;
    if (!read_names(&owner->names[i], settings->identities[i].chain))
        return complain(why, why_bytes, i, "the names in the certificate cannot be read");
    if (settings->authorities.bytes > 0 &&
        wolfSSL_CTX_load_verify_buffer(context, settings->authorities.data, (long)settings->authorities.bytes,
                                       WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        return complain(why, why_bytes, i, "no certificate of a client authority in PEM form is in the file");
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    set_tickets(owner, context);
    if (!settings->allow_tls12)
        tls_sealer_serve(context);
    return true;
}

static struct tls_context *context_new(const struct tls_settings *settings)
{
    struct tls_context *context = tls_alloc(sizeof *context);
    if (context == NULL)
        return NULL;
    context->references = 1;
    context->allow_tls12 = settings->allow_tls12;
    context->records_max = settings->records_per_key == 0 ? TLS_RECORDS_PER_KEY_MAX : settings->records_per_key;
    context->ticket_lifetime_s = settings->ticket_lifetime_s;
    context->tickets = settings->tickets == NULL ? NULL : tls_tickets_hold(settings->tickets);
    return context;
}

struct tls_context *tls_context_create(const struct tls_settings *settings, char *why, size_t why_bytes)
{
    struct tls_context *context = context_new(settings);
    say(why, why_bytes, "out of memory");
    if (context == NULL)
        return NULL;
    bool good = settings->identity_count > 0 && wc_InitRng(&context->random) == 0;
    context->random_ready = good;
    for (uint32_t i = 0; good && i < settings->identity_count; i++)
        good = add_server(context, settings, i, why, why_bytes);
    if (good)
        return context;
    tls_context_release(context);
    return NULL;
}

struct tls_context *tls_context_create_client(const struct tls_settings *settings, bool verify, const char *ca_folder,
                                              char *why, size_t why_bytes)
{
    struct tls_context *context = context_new(settings);
    say(why, why_bytes, "out of memory");
    if (context == NULL)
        return NULL;
    WOLFSSL_CTX *library =
        wolfSSL_CTX_new(settings->allow_tls12 ? wolfTLS_client_method() : wolfTLSv1_3_client_method());
    bool good = library != NULL && set_suites(library, settings->allow_tls12);
    if (library != NULL)
        context->contexts[context->count++] = library;
    context->verify = verify;
    if (good && settings->identity_count > 0)
        good = set_identity(library, settings, 0, why, why_bytes);
    if (good && verify && settings->authorities.bytes > 0) {
        good = wolfSSL_CTX_load_verify_buffer(library, settings->authorities.data, (long)settings->authorities.bytes,
                                              WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS;
        if (!good)
            say(why, why_bytes, "no certificate of an authority in PEM form is in the file");
    } else if (good && verify && ca_folder != NULL) {
        /* Some of a system's certificates may be of kinds that the library does not know. */
        wolfSSL_CTX_load_verify_locations_ex(library, NULL, ca_folder, WOLFSSL_LOAD_FLAG_IGNORE_ERR);
    }
    if (good) {
        wolfSSL_CTX_set_verify(library, verify ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_NONE, NULL);
        return context;
    }
    tls_context_release(context);
    return NULL;
}

void tls_context_release(struct tls_context *context)
{
    if (context == NULL || --context->references > 0)
        return;
    for (uint32_t i = 0; i < context->count; i++) {
        wolfSSL_CTX_free(context->contexts[i]);
        tls_free(context->names[i].text);
    }
    if (context->random_ready)
        wc_FreeRng(&context->random);
    tls_tickets_release(context->tickets);
    tls_free(context);
}
