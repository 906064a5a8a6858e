/* SPDX-License-Identifier: MIT */
/* RFC 6455 framing: the parser of received frames, masking, and the writers of frame headers and close frames. It never
 * answers, allocates or copies payload; what a control frame means is for the caller. conn_read.c pulls events out of
 * it, frame and session code writes headers with it, bench and fuzz use its client side. */
#include "protocol/ws.h"

#include "core/check.h"
#include "core/limits.h"
#include "protocol/utf8.h"

#define BIT_FIN 0x80
#define BITS_RSV 0x70
#define BIT_COMPRESSED 0x40 /* RSV1: RFC 7692 section 6 */
#define BITS_OPCODE 0x0F
#define BIT_CONTROL 0x08 /* of an opcode: RFC 6455 section 5.5 */
#define BIT_MASK 0x80
#define BITS_LENGTH 0x7F
#define LENGTH_16 126
#define LENGTH_64 127

/* ws_parser.flags */
enum {
    FLAG_PAYLOAD = 1,        /* the header is complete; frame_left bytes of payload are to come */
    FLAG_FINAL = 2,          /* FIN of the present frame */
    FLAG_MASKED = 4,         /* the present frame has a masking key */
    FLAG_DATA_FIRST = 8,     /* no DATA of the present message has been given yet */
    FLAG_CONTROL_FIRST = 16, /* no CONTROL of the present control frame has been given yet */
    FLAG_COMPRESSED = 32     /* the present message is */
};
#define FLAGS_OF_MESSAGE (FLAG_DATA_FIRST | FLAG_COMPRESSED) /* outlive a frame */

/* Everything a peer can do wrong: name, close code, reason of our close frame. */
#define WS_FAULTS(FAULT)                                                                                               \
    FAULT(RSV, WS_CLOSE_PROTOCOL, "reserved bit set")                                                                  \
    FAULT(COMPRESSED_BIT, WS_CLOSE_PROTOCOL, "RSV1 not on the first frame of a message")                               \
    FAULT(OPCODE, WS_CLOSE_PROTOCOL, "unknown opcode")                                                                 \
    FAULT(CONTROL_FRAGMENTED, WS_CLOSE_PROTOCOL, "fragmented control frame")                                           \
    FAULT(CONTROL_LONG, WS_CLOSE_PROTOCOL, "control frame longer than 125 bytes")                                      \
    FAULT(NO_MESSAGE, WS_CLOSE_PROTOCOL, "continuation without a message")                                             \
    FAULT(MESSAGE_OPEN, WS_CLOSE_PROTOCOL, "new message inside a message")                                             \
    FAULT(NOT_MASKED, WS_CLOSE_PROTOCOL, "frame not masked")                                                           \
    FAULT(MASKED, WS_CLOSE_PROTOCOL, "frame masked")                                                                   \
    FAULT(LENGTH_NOT_MINIMAL, WS_CLOSE_PROTOCOL, "length not in its shortest form")                                    \
    FAULT(LENGTH_SIGN, WS_CLOSE_PROTOCOL, "length out of range")                                                       \
    FAULT(TOO_BIG, WS_CLOSE_TOO_BIG, "message too big")                                                                \
    FAULT(EMPTY_FRAGMENTS, WS_CLOSE_POLICY, "too many empty fragments")                                                \
    FAULT(NOT_UTF8, WS_CLOSE_INVALID_DATA, "text is not UTF-8")

#define FAULT_NAME(name, code, reason) FAULT_##name,
#define FAULT_ROW(name, code, reason) [FAULT_##name] = {code, reason},

enum fault { FAULT_NONE, WS_FAULTS(FAULT_NAME) };

static const struct {
    uint16_t close_code;
    const char *reason;
} faults[] = {WS_FAULTS(FAULT_ROW)};

_Static_assert(sizeof(struct ws_parser) <= 56, "every connection holds one");

void ws_parser_init(struct ws_parser *parser)
{
    *parser = (struct ws_parser){.utf8 = UTF8_START};
}

/* --- header ------------------------------------------------------------------------------------------------------- */

/* Collects the header up to `want` bytes; false while it is shorter. */
static bool header_fill(struct ws_parser *parser, struct span *input, size_t want)
{
    size_t used = parser->header_used;
    if (used >= want)
        return true;
    size_t n = want - used < input->bytes ? want - used : input->bytes;
    if (n == 0)
        return false;
    memcpy(parser->header + used, input->data, n);
    parser->header_used = (uint8_t)(used + n);
    input->data += n;
    input->bytes -= n;
    return used + n == want;
}

static bool is_control(uint8_t opcode)
{
    return (opcode & BIT_CONTROL) != 0;
}

static bool is_known(uint8_t opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

static enum fault first_byte_fault(const struct ws_parser *parser, const struct ws_limits *limits)
{
    uint8_t byte = parser->header[0];
    uint8_t opcode = byte & BITS_OPCODE;
    uint8_t rsv_allowed = limits->allow_compressed ? BIT_COMPRESSED : 0;

    if ((byte & BITS_RSV & ~rsv_allowed) != 0)
        return FAULT_RSV; /* RFC 6455 section 5.2: no extension that gives it a meaning has been negotiated */
    if ((byte & BIT_COMPRESSED) != 0 && (is_control(opcode) || opcode == WS_CONTINUATION))
        return FAULT_COMPRESSED_BIT; /* RFC 7692 section 6.1 */
    if (!is_known(opcode))
        return FAULT_OPCODE; /* section 5.2 */
    if (is_control(opcode))
        return (byte & BIT_FIN) == 0 ? FAULT_CONTROL_FRAGMENTED : FAULT_NONE; /* section 5.5 */
    if (opcode == WS_CONTINUATION)
        return parser->message_opcode == 0 ? FAULT_NO_MESSAGE : FAULT_NONE; /* section 5.4 */
    return parser->message_opcode != 0 ? FAULT_MESSAGE_OPEN : FAULT_NONE;   /* section 5.4 */
}

static enum fault second_byte_fault(const struct ws_parser *parser, const struct ws_limits *limits)
{
    bool masked = (parser->header[1] & BIT_MASK) != 0;

    if (masked != limits->require_mask)
        return masked ? FAULT_MASKED : FAULT_NOT_MASKED; /* RFC 6455 section 5.1 */
    if (is_control(parser->header[0] & BITS_OPCODE) && (parser->header[1] & BITS_LENGTH) > WS_CONTROL_BYTES_MAX)
        return FAULT_CONTROL_LONG; /* section 5.5 */
    return FAULT_NONE;
}

/* Of a data frame's length, before it is added to anything. */
static enum fault length_fault(const struct ws_parser *parser, const struct ws_limits *limits, uint64_t length)
{
    bool compressed = (parser->header[0] & BIT_COMPRESSED) != 0 || (parser->flags & FLAG_COMPRESSED) != 0;
    uint64_t bytes_max = limits->message_bytes_max;

    if (is_control(parser->header[0] & BITS_OPCODE))
        return FAULT_NONE;
    if (compressed)
        bytes_max = ws_compressed_bytes_max(bytes_max);
    if (bytes_max > UINT32_MAX)
        bytes_max = UINT32_MAX; /* what the parser can count */
    if (parser->message_bytes > bytes_max || length > bytes_max - parser->message_bytes)
        return FAULT_TOO_BIG; /* RFC 6455 sections 7.4.1, 10.4 */
    if (length == 0 && (parser->header[0] & BIT_FIN) == 0 && parser->empty_fragments >= limits->empty_fragments_max)
        return FAULT_EMPTY_FRAGMENTS;
    return FAULT_NONE;
}

size_t ws_header_length(uint8_t second_byte)
{
    uint8_t length = second_byte & BITS_LENGTH;
    return length == LENGTH_16 ? 4 : length == LENGTH_64 ? 10 : 2;
}

/* The payload length of a header that is complete up to ws_header_length. */
static uint64_t length_of(const uint8_t *header)
{
    uint8_t length = header[1] & BITS_LENGTH;
    return length == LENGTH_16 ? load_be16(header + 2) : length == LENGTH_64 ? load_be64(header + 2) : length;
}

static void frame_begin(struct ws_parser *parser, uint64_t length, const uint8_t *key)
{
    bool final = (parser->header[0] & BIT_FIN) != 0;

    parser->frame_opcode = parser->header[0] & 0xFU; /* BITS_OPCODE */
    parser->frame_left = length;
    parser->mask_at = 0;
    parser->flags &= FLAGS_OF_MESSAGE;
    parser->flags |= FLAG_PAYLOAD | (final ? FLAG_FINAL : 0);
    if ((parser->header[1] & BIT_MASK) != 0) {
        memcpy(parser->mask, key, sizeof parser->mask);
        parser->flags |= FLAG_MASKED;
    }
    if (is_control(parser->frame_opcode)) {
        parser->flags |= FLAG_CONTROL_FIRST;
        return;
    }
    if (parser->frame_opcode != WS_CONTINUATION) {
        parser->message_opcode = parser->frame_opcode;
        parser->flags |= FLAG_DATA_FIRST | ((parser->header[0] & BIT_COMPRESSED) != 0 ? FLAG_COMPRESSED : 0);
    }
    parser->message_bytes += (uint32_t)length; /* at most UINT32_MAX: length_fault */
    if (length == 0 && !final)
        parser->empty_fragments++;
}

/* Takes header bytes; FLAG_PAYLOAD is set when the header is complete. Each check runs as soon as its bytes are there;
 * on a header that comes in pieces the earlier ones run again, with the same result. */
static enum fault header_take(struct ws_parser *parser, const struct ws_limits *limits, struct span *input)
{
    enum fault fault;

    if (!header_fill(parser, input, 1))
        return FAULT_NONE;
    if ((fault = first_byte_fault(parser, limits)) != FAULT_NONE)
        return fault;
    if (!header_fill(parser, input, 2))
        return FAULT_NONE;
    if ((fault = second_byte_fault(parser, limits)) != FAULT_NONE)
        return fault;

    size_t end = ws_header_length(parser->header[1]);
    if (end == 10) {
        if (!header_fill(parser, input, 3))
            return FAULT_NONE;
        if ((parser->header[2] & 0x80) != 0)
            return FAULT_LENGTH_SIGN; /* RFC 6455 section 5.2: the most significant bit is 0 */
    }
    if (!header_fill(parser, input, end))
        return FAULT_NONE;
    uint64_t length = length_of(parser->header);
    if (ws_header_bytes(length) != end)
        return FAULT_LENGTH_NOT_MINIMAL; /* section 5.2 */
    if ((fault = length_fault(parser, limits, length)) != FAULT_NONE)
        return fault;

    if (!header_fill(parser, input, end + (limits->require_mask ? sizeof parser->mask : 0)))
        return FAULT_NONE;
    frame_begin(parser, length, parser->header + end);
    return FAULT_NONE;
}

/* --- payload ------------------------------------------------------------------------------------------------------ */

/* What of the present frame's payload lies in the input, unmasked. */
static struct slice payload_take(struct ws_parser *parser, struct span *input)
{
    size_t n = parser->frame_left < input->bytes ? (size_t)parser->frame_left : input->bytes;
    struct slice payload = slice_of(input->data, n);

    if (n == 0)
        return payload;
    if ((parser->flags & FLAG_MASKED) != 0)
        parser->mask_at = ws_mask(input->data, n, parser->mask, parser->mask_at);
    parser->frame_left -= n;
    input->data += n;
    input->bytes -= n;
    return payload;
}

static void frame_end(struct ws_parser *parser)
{
    parser->flags &= FLAGS_OF_MESSAGE;
    parser->header_used = 0;
}

/* utf8 stands at UTF8_START again: a text that ends elsewhere is a fault. */
static void message_end(struct ws_parser *parser)
{
    parser->flags &= (uint8_t)~FLAGS_OF_MESSAGE;
    parser->message_opcode = 0;
    parser->message_bytes = 0;
    parser->empty_fragments = 0;
}

static bool text_fault(struct ws_parser *parser, struct slice payload, bool last)
{
    if (parser->message_opcode != WS_TEXT || (parser->flags & FLAG_COMPRESSED) != 0)
        return false;
    parser->utf8 = utf8_next(parser->utf8, payload);
    return parser->utf8 == UTF8_REJECT || (last && parser->utf8 != UTF8_START); /* RFC 6455 section 8.1 */
}

static enum fault control_event(struct ws_parser *parser, struct slice payload, struct ws_event *event)
{
    *event = (struct ws_event){
        .kind = WS_CONTROL,
        .opcode = (enum ws_opcode)parser->frame_opcode,
        .payload = payload,
        .first = (parser->flags & FLAG_CONTROL_FIRST) != 0,
        .last = parser->frame_left == 0,
    };
    parser->flags &= (uint8_t)~FLAG_CONTROL_FIRST;
    if (event->last)
        frame_end(parser);
    return FAULT_NONE;
}

static enum fault data_event(struct ws_parser *parser, struct slice payload, struct ws_event *event)
{
    bool last = parser->frame_left == 0 && (parser->flags & FLAG_FINAL) != 0;

    if (text_fault(parser, payload, last))
        return FAULT_NOT_UTF8;
    *event = (struct ws_event){
        .kind = WS_DATA,
        .opcode = (enum ws_opcode)parser->message_opcode,
        .payload = payload,
        .first = (parser->flags & FLAG_DATA_FIRST) != 0,
        .last = last,
        .compressed = (parser->flags & FLAG_COMPRESSED) != 0,
    };
    parser->flags &= (uint8_t)~FLAG_DATA_FIRST;
    if (parser->frame_left == 0)
        frame_end(parser);
    if (last)
        message_end(parser);
    return FAULT_NONE;
}

static enum ws_event_kind error_event(const struct ws_parser *parser, struct ws_event *event)
{
    *event = (struct ws_event){
        .kind = WS_ERROR,
        .close_code = faults[parser->fault].close_code,
        .reason = faults[parser->fault].reason,
    };
    return WS_ERROR;
}

/* An empty fragment that does not end its message has nothing to tell. */
static bool is_silent(const struct ws_parser *parser)
{
    return parser->frame_left == 0 && (parser->flags & FLAG_FINAL) == 0;
}

enum ws_event_kind ws_next(struct ws_parser *parser, const struct ws_limits *limits, struct span *input,
                           struct ws_event *event)
{
    while (parser->fault == FAULT_NONE) {
        if ((parser->flags & FLAG_PAYLOAD) == 0) {
            parser->fault = (uint8_t)header_take(parser, limits, input);
            if (parser->fault == FAULT_NONE && (parser->flags & FLAG_PAYLOAD) == 0)
                break;
            if (parser->fault == FAULT_NONE && is_silent(parser))
                frame_end(parser);
            continue;
        }
        if (parser->frame_left > 0 && input->bytes == 0)
            break;
        struct slice payload = payload_take(parser, input);
        parser->fault = (uint8_t)(is_control(parser->frame_opcode) ? control_event(parser, payload, event)
                                                                   : data_event(parser, payload, event));
        if (parser->fault == FAULT_NONE)
            return event->kind;
    }
    if (parser->fault != FAULT_NONE)
        return error_event(parser, event);
    *event = (struct ws_event){.kind = WS_NEED_MORE};
    return WS_NEED_MORE;
}

bool ws_in_message(const struct ws_parser *parser)
{
    return parser->message_opcode != 0 || parser->header_used != 0;
}

uint64_t ws_message_left(const struct ws_parser *parser)
{
    bool last_frame = (parser->flags & FLAG_PAYLOAD) != 0 && (parser->flags & FLAG_FINAL) != 0;
    return parser->message_opcode == 0 ? 0 : last_frame ? parser->frame_left : UINT64_MAX;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

size_t ws_header_bytes(uint64_t payload_bytes)
{
    return payload_bytes < LENGTH_16 ? 2 : payload_bytes <= UINT16_MAX ? 4 : 10;
}

/* The first two bytes and the length, `mask` being BIT_MASK or 0. */
static size_t header_put(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes, uint8_t mask)
{
    size_t bytes = ws_header_bytes(payload_bytes);

    out[0] = (uint8_t)(BIT_FIN | opcode);
    switch (bytes) {
    case 2:
        out[1] = (uint8_t)(mask | payload_bytes);
        break;
    case 4:
        out[1] = mask | LENGTH_16;
        store_be16(out + 2, (uint16_t)payload_bytes);
        break;
    default:
        out[1] = mask | LENGTH_64;
        store_be64(out + 2, payload_bytes);
    }
    return bytes;
}

size_t ws_header_write(uint8_t out[WS_HEADER_BYTES_MAX], enum ws_opcode opcode, uint64_t payload_bytes)
{
    return header_put(out, opcode, payload_bytes, 0);
}

size_t ws_header_write_compressed(uint8_t out[WS_HEADER_BYTES_MAX], enum ws_opcode opcode, uint64_t payload_bytes)
{
    check(opcode == WS_TEXT || opcode == WS_BINARY);
    size_t bytes = header_put(out, opcode, payload_bytes, 0);
    out[0] |= BIT_COMPRESSED;
    return bytes;
}

size_t ws_header_write_masked(uint8_t out[14], enum ws_opcode opcode, uint64_t payload_bytes, const uint8_t key[4])
{
    size_t bytes = header_put(out, opcode, payload_bytes, BIT_MASK);
    memcpy(out + bytes, key, 4);
    return bytes + 4;
}

uint8_t ws_mask(uint8_t *data, size_t bytes, const uint8_t key[4], uint8_t phase)
{
    uint8_t cycle[8]; /* the key as it meets `data`, twice */
    for (unsigned i = 0; i < 8; i++)
        cycle[i] = key[(phase + i) & 3];
    uint64_t word;
    memcpy(&word, cycle, sizeof word);

    size_t at = 0;
    for (; bytes - at >= 32; at += 32) { /* memcpy: any alignment; four words: two or one vector operations */
        uint64_t block[4];
        memcpy(block, data + at, sizeof block);
        for (int i = 0; i < 4; i++)
            block[i] ^= word;
        memcpy(data + at, block, sizeof block);
    }
    for (; bytes - at >= 8; at += 8) {
        uint64_t block;
        memcpy(&block, data + at, sizeof block);
        block ^= word;
        memcpy(data + at, &block, sizeof block);
    }
    for (size_t i = 0; at + i < bytes; i++)
        data[at + i] ^= cycle[i];
    return (uint8_t)((phase + bytes) & 3);
}

/* --- close frames ------------------------------------------------------------------------------------------------- */

/* RFC 6455 section 7.4.2 and the IANA registry it founds: 1004-1006 and 1015 never travel, 1016-2999 are not
 * assigned. */
static bool close_code_allowed(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

uint16_t ws_close_parse(struct slice payload, struct slice *reason, uint16_t *error)
{
    *reason = slice_of(payload.data, 0);
    *error = 0;
    if (payload.bytes == 0)
        return WS_CLOSE_NO_STATUS; /* RFC 6455 section 7.1.5 */
    if (payload.bytes == 1) {
        *error = WS_CLOSE_PROTOCOL; /* section 5.5.1: a body begins with two bytes of code */
        return WS_CLOSE_NO_STATUS;
    }
    uint16_t code = load_be16(payload.data);
    struct slice text = slice_skip(payload, 2);
    if (!close_code_allowed(code))
        *error = WS_CLOSE_PROTOCOL; /* section 7.4 */
    else if (!utf8_valid(text))
        *error = WS_CLOSE_INVALID_DATA; /* section 5.5.1 */
    else
        *reason = text;
    return code;
}

/* The longest prefix of at most `bytes_max` bytes that ends between two characters. */
static size_t text_cut(struct slice text, size_t bytes_max)
{
    if (text.bytes <= bytes_max)
        return text.bytes;
    size_t cut = bytes_max;
    while (cut > 0 && (text.data[cut] & 0xC0) == 0x80)
        cut--;
    return cut;
}

size_t ws_close_write(uint8_t out[127], uint16_t code, const char *reason)
{
    if (code == WS_CLOSE_NO_STATUS)
        return header_put(out, WS_CLOSE, 0, 0); /* RFC 6455 section 7.4.1: stands for a close frame without a code */
    check(close_code_allowed(code));

    struct slice text = slice_text(reason);
    text.bytes = text_cut(text, WS_CONTROL_BYTES_MAX - 2);
    size_t at = header_put(out, WS_CLOSE, 2 + text.bytes, 0);
    store_be16(out + at, code);
    memcpy(out + at + 2, text.data, text.bytes);
    return at + 2 + text.bytes;
}

uint64_t ws_frame_bytes(struct slice wire)
{
    if (wire.bytes < 2)
        return 0;
    size_t header_bytes = ws_header_length(wire.data[1]);
    if (wire.bytes < header_bytes)
        return 0;
    return header_bytes + length_of(wire.data);
}
