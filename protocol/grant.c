/* SPDX-License-Identifier: MIT */
/* Owns lists of grants: their parsing, the index by which a presented key is found, and the matching of patterns. It
 * never knows what a word means and never writes a key anywhere. The configuration makes the lists; the dialects and
 * the ingest listener look keys up while a request is being authorised. */
#include "protocol/grant.h"

#include "protocol/token.h"

#include <errno.h>
#include <stdlib.h>

/* --- making ------------------------------------------------------------------------------------------------------- */

/* Each key is hashed by the hash of those before it. */
static struct siphash_key key_of(const struct option_texts *lines)
{
    struct siphash_key key = {0};
    for (uint32_t i = 0; i < lines->count; i++) {
        struct hash128 hash = siphash128(&key, slice_text(lines->items[i]));
        key = (struct siphash_key){hash.low, hash.high};
    }
    return key;
}

static size_t count_words(struct slice text)
{
    size_t count = 0;
    while (slice_next_word(&text).bytes > 0)
        count++;
    return count;
}

/* Copies a word to the end of `text`. */
static struct slice keep(struct buf *text, struct slice word)
{
    size_t mark = text->used;
    buf_put(text, word);
    return buf_since(text, mark);
}

/* Its words go to *next. */
static struct grant parse(struct slice line, struct slice **next, struct buf *text)
{
    struct grant grant = {.key = keep(text, slice_next_word(&line)), .words = *next};
    for (struct slice word = slice_next_word(&line); word.bytes > 0; word = slice_next_word(&line)) {
        *(*next)++ = keep(text, word);
        grant.word_count++;
    }
    return grant;
}

static int compare(const void *a, const void *b)
{
    const struct grant_slot *left = a, *right = b;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->index < right->index ? -1 : left->index > right->index;
}

int grant_list_init(struct grant_list *list, const struct option_texts *lines)
{
    size_t words = 0, bytes = 0, count = lines->count;
    *list = (struct grant_list){0};
    if (count == 0)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        words += count_words(slice_text(lines->items[i]));
        bytes += strlen(lines->items[i]);
    }
    list->block_bytes = count * (sizeof *list->items + sizeof *list->slots) + words * sizeof(struct slice) + bytes;
    list->items = malloc(list->block_bytes);
    if (list->items == NULL) {
        *list = (struct grant_list){0};
        return -ENOMEM;
    }
    list->slots = (struct grant_slot *)(list->items + count);
    struct slice *next = (struct slice *)(list->slots + count);
    struct buf text = buf_of(next + words, bytes);
    list->count = lines->count;
    list->key = key_of(lines);
    for (uint32_t i = 0; i < count; i++) {
        list->items[i] = parse(slice_text(lines->items[i]), &next, &text);
        list->slots[i] = (struct grant_slot){siphash(&list->key, list->items[i].key), i};
    }
    qsort(list->slots, count, sizeof *list->slots, compare);
    return 0;
}

void grant_list_free(struct grant_list *list)
{
    if (list->items != NULL)
        explicit_bzero(list->items, list->block_bytes);
    free(list->items);
    *list = (struct grant_list){0};
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

/* The first slot whose hash is not below this one; count when there is none. */
static uint32_t first_slot(const struct grant_list *list, uint64_t hash)
{
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list->slots[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int grant_find(const struct grant_list *list, struct slice presented)
{
    if (presented.bytes == 0 || slice_is(presented, OPTION_MASK))
        return -1; /* no key at all: nothing secret is looked at */
    uint64_t hash = siphash(&list->key, presented);
    uint32_t i = first_slot(list, hash);
    bool known = i < list->count && list->slots[i].hash == hash;
    struct slice key = known ? list->items[list->slots[i].index].key : slice_of(NULL, 0);
    if (token_equal(key, presented))
        return (int)list->slots[i].index;
    /* two different keys of one hash: once in the life of nobody */
    for (i++; known && i < list->count && list->slots[i].hash == hash; i++)
        if (token_equal(list->items[list->slots[i].index].key, presented))
            return (int)list->slots[i].index;
    return -1;
}

int grant_repeats(const struct grant_list *list, uint32_t index)
{
    int first = grant_find(list, list->items[index].key);
    return first >= 0 && (uint32_t)first < index ? first : -1;
}

/* --- patterns ----------------------------------------------------------------------------------------------------- */

bool grant_pattern_matches(struct slice pattern, struct slice name)
{
    if (pattern.bytes > 0 && pattern.data[pattern.bytes - 1] == '*')
        return slice_starts(name, slice_of(pattern.data, pattern.bytes - 1));
    return slice_equal(pattern, name);
}

bool grant_covers(const struct grant *grant, struct slice name)
{
    for (uint32_t i = 0; i < grant->word_count; i++)
        if (grant_pattern_matches(grant->words[i], name))
            return true;
    return false;
}
