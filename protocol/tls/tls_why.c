/* SPDX-License-Identifier: MIT */
/* Owns the sentences that say why a TLS session failed, for the log. It decides nothing. Called by tls.c. */
#include "protocol/tls/tls_parts.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

static const struct {
    int error;
    const char *text;
} sentences[] = {
    {MATCH_SUITE_ERROR, "no cipher suite, group or signature in common"},
    {VERSION_ERROR, "no version of TLS in common"},
    {UNSUPPORTED_PROTO_VERSION, "no version of TLS in common"},
    {NO_PEER_CERT, "the peer has no certificate, but one is required"},
    {NO_PEER_VERIFY, "the peer's certificate cannot be verified"},
    {ASN_NO_SIGNER_E, "the peer's certificate is of an unknown authority"},
    {ASN_SELF_SIGNED_E, "the peer's certificate is signed by itself"},
    {ASN_BEFORE_DATE_E, "the peer's certificate is not valid yet"},
    {ASN_AFTER_DATE_E, "the peer's certificate has expired"},
    {ASN_SIG_CONFIRM_E, "the peer's certificate bears a wrong signature"},
    {DOMAIN_NAME_MISMATCH, "the peer's certificate is for another name"},
    {IPADDR_MISMATCH, "the peer's certificate is for another address"},
    {VERIFY_CERT_ERROR, "the peer's certificate cannot be verified"},
    {SIG_VERIFY_E, "the peer's signature is wrong"},
    {VERIFY_MAC_ERROR, "a record that was changed on its way"},
    {DECRYPT_ERROR, "a record that cannot be opened"},
    {AES_GCM_AUTH_E, "a record that was changed on its way"},
    {MAC_CMP_FAILED_E, "a record that was changed on its way"},
    {OUT_OF_ORDER_E, "a handshake message out of its order"},
    {SOCKET_PEER_CLOSED_E, "the peer has closed the connection"},
    {MEMORY_E, "out of memory"},
    {MEMORY_ERROR, "out of memory"},
    {BUFFER_ERROR, "a message that is shorter than it says"},
    {LENGTH_ERROR, "a length that cannot be"},
    {UNKNOWN_RECORD_TYPE, "a record of unknown type"},
    {INVALID_PARAMETER, "a parameter that is not allowed"},
    {ECC_OUT_OF_RANGE_E, "a key share that is no key"},
};

/* RFC 8446 section 6 */
static const char *alert_text(int alert)
{
    switch (alert) {
    case 40:
        return "the peer gave up: handshake_failure";
    case 42:
        return "the peer refuses our certificate: bad_certificate";
    case 43:
        return "the peer refuses our certificate: unsupported_certificate";
    case 45:
        return "the peer refuses our certificate: certificate_expired";
    case 46:
        return "the peer refuses our certificate: certificate_unknown";
    case 48:
        return "the peer refuses our certificate: unknown_ca";
    case 70:
        return "the peer gave up: protocol_version";
    case 90:
        return "the peer gave up: user_canceled";
    default:
        return "the peer gave up with an alert";
    }
}

const char *tls_error_text(WOLFSSL *ssl, int error)
{
    WOLFSSL_ALERT_HISTORY alerts;
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++)
        if (sentences[i].error == error)
            return sentences[i].text;
    if (error == FATAL_ERROR && wolfSSL_get_alert_history(ssl, &alerts) == WOLFSSL_SUCCESS && alerts.last_rx.level == 2)
        return alert_text(alerts.last_rx.code);
    return wolfSSL_ERR_reason_error_string((unsigned long)-error);
}
