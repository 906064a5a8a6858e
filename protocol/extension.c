/* SPDX-License-Identifier: MIT */
/* Owns the grammar of Sec-WebSocket-Extensions and the choice among the offers in it (RFC 6455 section 9.1, RFC 7692
 * sections 5 and 7.1). It never compresses anything and keeps nothing. handshake.c checks the grammar with it and
 * writes the answer, session code negotiates.
 *
 *   list    element *( "," element )          elements may be empty, but one is not; all fields together
 *   offer   token *( ";" parameter )
 *   parameter   token [ "=" ( token | quoted-string ) ]        blanks around each of , ; =; unquoted, a value is a
 *               token too */
#include "protocol/extension.h"

#include "core/check.h"
#include "protocol/http1.h"

#define FIELD_NAME "Sec-WebSocket-Extensions"
#define EXTENSION_NAME "permessage-deflate"

/* --- grammar ------------------------------------------------------------------------------------------------------ */

static void skip_blanks(struct slice *text)
{
    while (text->bytes > 0 && (text->data[0] == ' ' || text->data[0] == '\t'))
        *text = slice_skip(*text, 1);
}

/* Takes one character with the blanks around it. */
static bool take(struct slice *text, uint8_t c)
{
    skip_blanks(text);
    if (text->bytes == 0 || text->data[0] != c)
        return false;
    *text = slice_skip(*text, 1);
    skip_blanks(text);
    return true;
}

static bool take_token(struct slice *text, struct slice *token)
{
    *token = slice_of(text->data, http1_token_bytes(*text));
    *text = slice_skip(*text, token->bytes);
    return token->bytes > 0;
}

/* quoted-string of RFC 9110 section 5.6.4 whose content, unescaped into `out`, is a token. */
static bool take_quoted(struct slice *text, struct buf *out)
{
    for (size_t i = 1; i < text->bytes; i++) {
        if (text->data[i] == '"') {
            *text = slice_skip(*text, i + 1);
            return i > 1;
        }
        if (text->data[i] == '\\' && ++i == text->bytes)
            break;
        if (http1_token_bytes(slice_of(text->data + i, 1)) == 0)
            return false;
        buf_put_byte(out, text->data[i]);
    }
    return false;
}

/* The bytes in front of the next comma that is not inside a quoted string; all when there is none. */
static size_t element_bytes(struct slice list)
{
    bool quoted = false;

    for (size_t i = 0; i < list.bytes; i++) {
        uint8_t c = list.data[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            i++;
        else if (!quoted && c == ',')
            return i;
    }
    return list.bytes;
}

/* Takes what stands behind "=", unquoted into `out` as far as it fits there. */
static bool take_value(struct slice *text, struct buf *out)
{
    struct slice token;

    if (text->bytes > 0 && text->data[0] == '"')
        return take_quoted(text, out);
    if (!take_token(text, &token))
        return false;
    buf_put(out, token);
    return true;
}

static bool element_valid(struct slice text)
{
    struct buf unread = {0};
    struct slice name;

    if (!take_token(&text, &name))
        return false;
    while (take(&text, ';'))
        if (!take_token(&text, &name) || (take(&text, '=') && !take_value(&text, &unread)))
            return false;
    return text.bytes == 0; /* take has passed over blanks */
}

bool extension_valid(const struct http1_request *request)
{
    bool sent = false, named = false;

    for (uint32_t i = 0; i < request->header_count; i++) {
        struct slice list = request->headers[i].value;
        if (!slice_is_nocase(request->headers[i].name, FIELD_NAME))
            continue;
        sent = true;
        while (list.bytes > 0) {
            struct slice element = slice_of(list.data, element_bytes(list));
            list = slice_skip(list, element.bytes + 1);
            skip_blanks(&element);
            if (element.bytes > 0 && !element_valid(element))
                return false;
            named |= element.bytes > 0;
        }
    }
    return named || !sent;
}

/* --- offers ------------------------------------------------------------------------------------------------------- */

enum parameter {
    SERVER_NO_CONTEXT_TAKEOVER,
    CLIENT_NO_CONTEXT_TAKEOVER,
    SERVER_MAX_WINDOW_BITS,
    CLIENT_MAX_WINDOW_BITS
};
#define PARAMETERS 4

/* RFC 7692 sections 7.1.1.1 to 7.1.2.2, as they stand in an offer */
static const struct {
    const char *name;
    bool may_have_value;
    bool may_lack_value;
} grammar[PARAMETERS] = {
    [SERVER_NO_CONTEXT_TAKEOVER] = {"server_no_context_takeover", false, true},
    [CLIENT_NO_CONTEXT_TAKEOVER] = {"client_no_context_takeover", false, true},
    [SERVER_MAX_WINDOW_BITS] = {"server_max_window_bits", true, false},
    [CLIENT_MAX_WINDOW_BITS] = {"client_max_window_bits", true, true},
};

struct offer {
    bool has[PARAMETERS];
    uint8_t window_bits[PARAMETERS]; /* 8-15; the greatest without a value */
};

static int parameter_of(struct slice name)
{
    for (int i = 0; i < PARAMETERS; i++)
        if (slice_is(name, grammar[i].name))
            return i;
    return -1;
}

/* RFC 7692 section 7.1.2: a decimal integer without leading zeroes, 8 to 15. Else 0. */
static uint8_t window_bits_of(struct slice value)
{
    const uint8_t *v = value.data;

    if (value.bytes == 1 && (v[0] == '8' || v[0] == '9'))
        return (uint8_t)(v[0] - '0');
    if (value.bytes == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5')
        return (uint8_t)(10 + v[1] - '0');
    return 0;
}

static bool value_parse(struct slice *text, uint8_t *window_bits)
{
    uint8_t memory[2]; /* a good value has no more */
    struct buf value = buf_of(memory, sizeof memory);

    if (!take_value(text, &value) || value.overflow)
        return false;
    *window_bits = window_bits_of(buf_slice(&value));
    return *window_bits != 0;
}

static bool parameter_parse(struct slice *text, struct offer *offer)
{
    struct slice name;

    if (!take_token(text, &name))
        return false;
    int parameter = parameter_of(name);
    if (parameter < 0 || offer->has[parameter])
        return false; /* RFC 7692 section 7.1 */
    offer->has[parameter] = true;
    offer->window_bits[parameter] = DEFLATE_WINDOW_BITS_MAX;
    if (take(text, '='))
        return grammar[parameter].may_have_value && value_parse(text, &offer->window_bits[parameter]);
    return grammar[parameter].may_lack_value;
}

/* Whether an element of the list is an offer of permessage-deflate that has to be understood. */
static bool offer_parse(struct slice text, struct offer *offer)
{
    struct slice name;

    *offer = (struct offer){0};
    skip_blanks(&text);
    if (!take_token(&text, &name) || !slice_is(name, EXTENSION_NAME))
        return false;
    while (take(&text, ';'))
        if (!parameter_parse(&text, offer))
            return false;
    return text.bytes == 0; /* take has passed over blanks */
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static struct deflate_parameters offer_accept(const struct offer *offer, const struct extension_settings *settings)
{
    struct deflate_parameters parameters = {.window_bits = settings->server_window_bits};

    if (offer->has[SERVER_MAX_WINDOW_BITS]) {
        parameters.window_bits = smaller(offer->window_bits[SERVER_MAX_WINDOW_BITS], parameters.window_bits);
        parameters.server_max_window_bits = parameters.window_bits; /* RFC 7692 section 7.1.2.1 */
    }
    if (offer->has[CLIENT_MAX_WINDOW_BITS]) { /* section 7.1.2.2: never without its being offered */
        uint8_t bits = smaller(offer->window_bits[CLIENT_MAX_WINDOW_BITS], settings->client_window_bits);
        parameters.client_max_window_bits = bits < DEFLATE_WINDOW_BITS_MAX ? bits : 0;
    }
    return parameters;
}

static bool window_bits_valid(uint8_t bits)
{
    return bits >= DEFLATE_WINDOW_BITS_MIN && bits <= DEFLATE_WINDOW_BITS_MAX;
}

bool extension_negotiate(const struct http1_request *request, const struct extension_settings *settings,
                         struct deflate_parameters *parameters)
{
    struct offer offer;

    check(window_bits_valid(settings->server_window_bits) && window_bits_valid(settings->client_window_bits));
    *parameters = (struct deflate_parameters){0};
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct slice list = request->headers[i].value;
        if (!slice_is_nocase(request->headers[i].name, FIELD_NAME))
            continue;
        while (list.bytes > 0) {
            struct slice element = slice_of(list.data, element_bytes(list));
            if (offer_parse(element, &offer)) {
                *parameters = offer_accept(&offer, settings);
                return true;
            }
            list = slice_skip(list, element.bytes + 1);
        }
    }
    return false;
}

void extension_write(struct buf *out, const struct deflate_parameters *parameters)
{
    if (parameters->window_bits == 0)
        return;
    buf_put_text(out, FIELD_NAME ": " EXTENSION_NAME "; server_no_context_takeover; client_no_context_takeover");
    if (parameters->server_max_window_bits != 0) {
        buf_put_text(out, "; server_max_window_bits=");
        buf_put_u64(out, parameters->server_max_window_bits);
    }
    if (parameters->client_max_window_bits != 0) {
        buf_put_text(out, "; client_max_window_bits=");
        buf_put_u64(out, parameters->client_max_window_bits);
    }
    buf_put_text(out, "\r\n");
}
