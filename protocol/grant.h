/* SPDX-License-Identifier: MIT */
/* Grants: keys and what each may do, parsed once when they are read from the configuration. A line is "KEY [WORD...]";
 * what a word means is its user's affair, many are patterns. Presented keys are looked up by a keyed hash and then
 * compared once, in constant time, so a look-up among 20,000 keys costs what one among two does. */
#ifndef RINGCAST_PROTOCOL_GRANT_H
#define RINGCAST_PROTOCOL_GRANT_H

#include "core/option.h"
#include "core/siphash.h"

struct grant {
    struct slice key;
    const struct slice *words;
    uint32_t word_count;
};

struct grant_slot {
    uint64_t hash;
    uint32_t index; /* of the grant */
};

struct grant_list {
    struct grant *items; /* in the order of the lines; one block with all that they point at */
    uint32_t count;
    struct grant_slot *slots; /* by hash, then by index */
    struct siphash_key key;   /* made of all keys: who does not know them cannot tell a hash */
    size_t block_bytes;       /* from `items` on */
};

/* Parses the lines, which may go afterwards. 0 or -ENOMEM, with an empty list. */
int grant_list_init(struct grant_list *list, const struct option_texts *lines);
/* Wipes the keys. */
void grant_list_free(struct grant_list *list);
/* Index of the grant with this key, the first of several, or -1; no bytes are no key, and what stands for masked keys
 * in a printed configuration (OPTION_MASK) is none either: who loads that one lets nobody in by it. */
int grant_find(const struct grant_list *list, struct slice presented);
/* Index of the first grant with the same key if that stands before this one, else -1. */
int grant_repeats(const struct grant_list *list, uint32_t index);
/* Whether the pattern is the name, or ends with '*' and the name begins with what stands before it. */
bool grant_pattern_matches(struct slice pattern, struct slice name);
/* Whether one of the words, as a pattern, matches. */
bool grant_covers(const struct grant *grant, struct slice name);

#endif
