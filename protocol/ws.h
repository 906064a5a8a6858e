/* SPDX-License-Identifier: MIT */
/* RFC 6455 frames, the server's side: a pull parser that unmasks in place and yields payload where it lies, and the
 * header writer. No allocation; a message that lies in one buffer is never copied.
 *
 *   byte 0   FIN RSV1 RSV2 RSV3 opcode(4)
 *   byte 1   MASK length(7)          126: 2 more bytes, 127: 8 more bytes (most significant bit 0)
 *   then     masking key (4), payload
 */
#ifndef RINGCAST_PROTOCOL_WS_H
#define RINGCAST_PROTOCOL_WS_H

#include "core/bytes.h"

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA,
};

/* RFC 6455 section 7.4.1 */
enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never on the wire */
    WS_CLOSE_INVALID_DATA = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_TRY_LATER = 1013,
};

enum ws_event_kind {
    WS_NEED_MORE, /* the input is used up */
    WS_DATA,      /* a piece of a text or binary message */
    WS_CONTROL,   /* a piece of a close, ping or pong payload */
    WS_ERROR,     /* the connection is to be closed with close_code; sticky */
};

struct ws_event {
    enum ws_event_kind kind;
    enum ws_opcode opcode; /* DATA: of the message; CONTROL: of the frame */
    struct slice payload;  /* unmasked, inside the input; may be empty */
    bool first;            /* begins the message (DATA) or the control frame (CONTROL) */
    bool last;             /* completes it; first && last: it lies whole in `payload` */
    bool compressed;       /* DATA: the message is (RSV1); `payload` is for inflate_next, text is not checked */
    uint16_t close_code;   /* of ERROR */
    const char *reason;    /* of ERROR: for the close frame, a literal */
};

struct ws_limits {
    uint64_t message_bytes_max;   /* payload of a whole message, of a compressed one when inflated; beyond: 1009 */
    uint32_t empty_fragments_max; /* empty non-final fragments per message (K-24); beyond: 1008 */
    bool require_mask;     /* true: server side (RFC 6455 section 5.1); false: a client's side, masked is the error */
    bool allow_compressed; /* permessage-deflate has been negotiated: RSV1 may mark a message (RFC 7692 section 6) */
};

/* Payload of a whole compressed message, as it comes; beyond: 1009. More than what it may hold inflated, because
 * DEFLATE makes some data longer, by 1/8 at worst (9 bits a byte: RFC 1951 section 3.2.6), and blocks have headers. */
static inline uint64_t ws_compressed_bytes_max(uint64_t message_bytes_max)
{
    uint64_t more = message_bytes_max / 4 + 64;
    return message_bytes_max <= UINT64_MAX - more ? message_bytes_max + more : UINT64_MAX;
}

struct ws_parser {
    uint64_t frame_left; /* payload bytes of the present frame that have not come */
    /* of the present message, all its frames, announced ones included: never more than UINT32_MAX */
    uint32_t message_bytes;
    uint32_t empty_fragments;
    uint8_t mask[4];
    uint8_t mask_at; /* 0-3: next byte of the key */
    uint8_t header[14];
    uint8_t header_used;
    uint8_t frame_opcode : 4;
    uint8_t message_opcode : 4; /* 0: no message is open */
    uint8_t utf8;
    uint8_t flags; /* private */
    uint8_t fault; /* private: 0, or the error that is sticky */
};

void ws_parser_init(struct ws_parser *parser);
/* Takes from *input (which it moves on and unmasks in place) and yields one event. Text that is not compressed is
 * checked as UTF-8 while it comes (1007 at the earliest certain byte, RFC 6455 section 8.1). A fragment without payload
 * that does not end its message yields nothing. A close payload is not interpreted here: ws_close_parse. */
enum ws_event_kind ws_next(struct ws_parser *parser, const struct ws_limits *limits, struct span *input,
                           struct ws_event *event);
/* Whether a message or frame has begun and is not complete (K-24: complete within 60 s). */
bool ws_in_message(const struct ws_parser *parser);
/* Behind a DATA event: how many bytes of the message are still to come. UINT64_MAX: nobody knows, it has more frames. */
uint64_t ws_message_left(const struct ws_parser *parser);

#define WS_HEADER_BYTES_MAX 10 /* unmasked */
/* Bytes of the header of an unmasked frame with that payload: 2, 4 or 10. */
size_t ws_header_bytes(uint64_t payload_bytes);
/* Writes the header of an unmasked, final frame; returns its bytes. */
size_t ws_header_write(uint8_t out[WS_HEADER_BYTES_MAX], enum ws_opcode opcode, uint64_t payload_bytes);
/* As ws_header_write, of a message that is compressed (RSV1: RFC 7692 section 6); text or binary. */
size_t ws_header_write_compressed(uint8_t out[WS_HEADER_BYTES_MAX], enum ws_opcode opcode, uint64_t payload_bytes);
/* A client's header (masked): 6, 8 or 14 bytes. */
size_t ws_header_write_masked(uint8_t out[14], enum ws_opcode opcode, uint64_t payload_bytes, const uint8_t key[4]);
/* XORs in place, `phase` (0-3) being the position of the first byte in the key's cycle; returns the next phase. */
uint8_t ws_mask(uint8_t *data, size_t bytes, const uint8_t key[4], uint8_t phase);

/* A close payload: no bytes gives 1005; 1 byte, a forbidden code or a reason that is not UTF-8 gives the code with
 * which to answer in *error (1002 or 1007) and an empty reason, else *error is 0. Returns the code as sent. */
uint16_t ws_close_parse(struct slice payload, struct slice *reason, uint16_t *error);
/* Writes a whole close frame (unmasked), reason cut to 123 bytes at a character boundary; returns its bytes (<= 127).
 * 1005 gives a close frame without payload; any other code must be one that may travel. */
size_t ws_close_write(uint8_t out[127], uint16_t code, const char *reason);

/* Bytes of a frame's header up to its masking key, or all of it without one, as its second byte says (RFC 6455 section
 * 5.2): 2, 4 or 10. */
size_t ws_header_length(uint8_t second_byte);
/* Walks finished unmasked frames (our own wire bytes): the bytes of the frame that begins at wire.data, header
 * included; 0 when wire does not hold a whole header. May exceed wire.bytes. */
uint64_t ws_frame_bytes(struct slice wire);

#endif
