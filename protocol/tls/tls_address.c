/* SPDX-License-Identifier: MIT */
/* Whether a certificate is for an address: reads the subject's alternative names in its DER (X.690) for iPAddress
 * entries, which no function of the library tells from names that look alike. It allocates nothing and believes no
 * length. Called by tls.c when a client's peer has been verified.
 *
 *   Certificate ::= SEQUENCE { TBSCertificate, ... }                                             RFC 5280 section 4.1
 *   TBSCertificate ::= SEQUENCE { ..., extensions [3] { SEQUENCE OF Extension } }
 *   Extension ::= SEQUENCE { OBJECT IDENTIFIER, BOOLEAN OPTIONAL, OCTET STRING { the extension } }
 *   SubjectAltName ::= SEQUENCE OF GeneralName; iPAddress is [7], 4 or 16 bytes                  section 4.2.1.6 */
#include "protocol/tls/tls_parts.h"

enum { DER_OCTETS = 0x04, DER_OID = 0x06, DER_SEQUENCE = 0x30, DER_IP_ADDRESS = 0x87, DER_EXTENSIONS = 0xA3 };

struct der {
    uint8_t tag;
    struct slice value;
};

/* Takes the next element. False: there is none, or it is broken: a tag of more than a byte, a length that does not
 * fit. */
static bool der_next(struct slice *in, struct der *out)
{
    if (in->bytes < 2 || (in->data[0] & 0x1F) == 0x1F)
        return false;
    size_t length = in->data[1], head = 2;
    if (length >= 0x80) {
        size_t more = length & 0x7F;
        if (more == 0 || more > 3 || in->bytes < head + more)
            return false;
        for (length = 0; head < 2 + more; head++)
            length = length << 8 | in->data[head];
    }
    if (length > in->bytes - head)
        return false;
    *out = (struct der){in->data[0], slice_of(in->data + head, length)};
    *in = slice_skip(*in, head + length);
    return true;
}

/* The next element with that tag; others are passed over. */
static bool der_find(struct slice *in, uint8_t tag, struct slice *value)
{
    struct der element;
    while (der_next(in, &element)) {
        if (element.tag == tag) {
            *value = element.value;
            return true;
        }
    }
    return false;
}

/* The SubjectAltName of one extension, when it is that. */
static bool alternative_names(struct slice extension, struct slice *names)
{
    static const uint8_t oid[] = {0x55, 0x1D, 0x11}; /* 2.5.29.17 */
    struct slice name, octets;
    return der_find(&extension, DER_OID, &name) && slice_equal(name, slice_of(oid, sizeof oid)) &&
           der_find(&extension, DER_OCTETS, &octets) && der_find(&octets, DER_SEQUENCE, names);
}

bool tls_is_for_address(struct slice certificate, struct slice address)
{
    struct slice body, to_be_signed, wrapped, extensions, extension, names, entry;
    if (!der_find(&certificate, DER_SEQUENCE, &body) || !der_find(&body, DER_SEQUENCE, &to_be_signed) ||
        !der_find(&to_be_signed, DER_EXTENSIONS, &wrapped) || !der_find(&wrapped, DER_SEQUENCE, &extensions))
        return false;
    while (der_find(&extensions, DER_SEQUENCE, &extension))
        if (alternative_names(extension, &names))
            while (der_find(&names, DER_IP_ADDRESS, &entry))
                if (slice_equal(entry, address))
                    return true;
    return false;
}
