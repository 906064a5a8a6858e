/* SPDX-License-Identifier: MIT */
/* The UTF-8 automaton: the byte classes and transitions of RFC 3629 section 4, and the loop over them. It never looks
 * back or ahead and never holds a byte, so a text may be cut anywhere. ws.c runs it over text messages and close
 * reasons, json.c and the dialects over what they take in. */
#include "protocol/utf8.h"

/* RFC 3629 section 4, as classes of bytes:
 *
 *   ASCII  00-7F                                    C0, C1, F5-FF never occur (BAD)
 *   LEAD2  C2-DF   80-BF
 *   E0     E0      A0-BF  80-BF                     less would be overlong
 *   LEAD3  E1-EF   80-BF  80-BF                     without ED
 *   ED     ED      80-9F  80-BF                     more would be a surrogate
 *   F0     F0      90-BF  80-BF  80-BF              less would be overlong
 *   LEAD4  F1-F3   80-BF  80-BF  80-BF
 *   F4     F4      80-8F  80-BF  80-BF              more would be above U+10FFFF
 */
enum byte_class {
    ASCII,
    TAIL_8, /* 80-8F */
    TAIL_9, /* 90-9F */
    TAIL_A, /* A0-BF */
    LEAD2,
    E0,
    LEAD3,
    ED,
    F0,
    LEAD4,
    F4,
    BAD,
    CLASS_COUNT,
};

#define TIMES_4(c) c, c, c, c
#define TIMES_14(c) TIMES_4(c), TIMES_4(c), TIMES_4(c), c, c
#define TIMES_16(c) TIMES_4(c), TIMES_4(c), TIMES_4(c), TIMES_4(c)

/* clang-format off */
static const uint8_t class_of[256] = {
    TIMES_16(ASCII),  TIMES_16(ASCII),  TIMES_16(ASCII),  TIMES_16(ASCII),
    TIMES_16(ASCII),  TIMES_16(ASCII),  TIMES_16(ASCII),  TIMES_16(ASCII),
    TIMES_16(TAIL_8), TIMES_16(TAIL_9), TIMES_16(TAIL_A), TIMES_16(TAIL_A),
    /* C0 */ BAD, BAD, TIMES_14(LEAD2),
    /* D0 */ TIMES_16(LEAD2),
    /* E0 */ E0, TIMES_4(LEAD3), TIMES_4(LEAD3), TIMES_4(LEAD3), ED, LEAD3, LEAD3,
    /* F0 */ F0, LEAD4, LEAD4, LEAD4, F4, BAD, BAD, BAD, TIMES_4(BAD), TIMES_4(BAD),
};
/* clang-format on */

enum state {
    START = UTF8_START,
    REJECT = UTF8_REJECT,
    MORE1, /* so many tail bytes are missing */
    MORE2,
    MORE3,
    AFTER_E0,
    AFTER_ED,
    AFTER_F0,
    AFTER_F4,
    STATE_COUNT,
};

/* A class's transitions are one word: six bits for each state, which hold where in such a word its successor has its
 * own. The word is known before the state is, so from byte to byte there is one shift to wait for and no load. */
#define STATE_BITS 6
#define PLACE(state) ((state)*STATE_BITS)
#define GO(from, to) ((uint64_t)PLACE(to) << PLACE(from))
#define LEAD(to)                                                                                                       \
    (GO(START, to) | GO(REJECT, REJECT) | GO(MORE1, REJECT) | GO(MORE2, REJECT) | GO(MORE3, REJECT) |                  \
     GO(AFTER_E0, REJECT) | GO(AFTER_ED, REJECT) | GO(AFTER_F0, REJECT) | GO(AFTER_F4, REJECT))
#define TAIL(after_e0, after_ed, after_f0, after_f4)                                                                   \
    (GO(START, REJECT) | GO(REJECT, REJECT) | GO(MORE1, START) | GO(MORE2, MORE1) | GO(MORE3, MORE2) |                 \
     GO(AFTER_E0, after_e0) | GO(AFTER_ED, after_ed) | GO(AFTER_F0, after_f0) | GO(AFTER_F4, after_f4))

_Static_assert(PLACE(STATE_COUNT) <= 64, "the transitions of a class fit one word, and a place its six bits");

static const uint64_t transitions[CLASS_COUNT] = {
    [ASCII] = LEAD(START),
    [TAIL_8] = TAIL(REJECT, MORE1, REJECT, MORE2),
    [TAIL_9] = TAIL(REJECT, MORE1, MORE2, REJECT),
    [TAIL_A] = TAIL(MORE1, REJECT, MORE2, REJECT),
    [LEAD2] = LEAD(MORE1),
    [E0] = LEAD(AFTER_E0),
    [LEAD3] = LEAD(MORE2),
    [ED] = LEAD(AFTER_ED),
    [F0] = LEAD(AFTER_F0),
    [LEAD4] = LEAD(MORE3),
    [F4] = LEAD(AFTER_F4),
    [BAD] = LEAD(REJECT),
};

/* The place of the successor in the lowest six bits; what is above them is not looked at by the next step. */
static inline uint64_t step(uint64_t place, uint8_t byte)
{
    return transitions[class_of[byte]] >> (place & 63);
}

static inline bool all_ascii(const uint8_t *eight)
{
    uint64_t word;
    memcpy(&word, eight, sizeof word);
    return (word & UINT64_C(0x8080808080808080)) == 0;
}

uint8_t utf8_next(uint8_t state, struct slice bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.bytes;
    uint64_t place = PLACE((uint64_t)state);

    for (; left >= 8 && place != PLACE(REJECT); at += 8, left -= 8) {
        if (place == PLACE(START) && all_ascii(at))
            continue;
        for (int i = 0; i < 8; i++)
            place = step(place, at[i]);
        place &= 63;
    }
    for (; left > 0; at++, left--)
        place = step(place, *at) & 63;
    return (uint8_t)(place / STATE_BITS);
}
