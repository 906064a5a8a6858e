/* SPDX-License-Identifier: MIT */
/* API keys: where a request carries one, and whether it is known. Comparison takes the same time for every key. */
#ifndef RINGCAST_PROTOCOL_TOKEN_H
#define RINGCAST_PROTOCOL_TOKEN_H

#include "core/bytes.h"

#include <stdbool.h>

struct buf;
struct http1_request;

#define KEY_BYTES_MAX 256

struct key_list {
    struct slice *keys; /* owned by the settings */
    struct slice *
        words; /* what stands behind each key, one space between two words; no bytes: nothing. NULL: nothing behind any */
    uint32_t count;
};

/* Index of the key in the list, or -1. Looks at every entry, whatever matches. */
int key_list_find(const struct key_list *list, struct slice key);
/* The credential of a request, in the order: header X-Api-Key, Authorization: Bearer, query value `query_name` (decoded; NULL:
 * not taken from the query); the first that is there counts, even if it is empty. Appends to `out`; false, with nothing
 * appended, when there is none or it is empty, longer than KEY_BYTES_MAX or badly escaped. */
bool token_from_request(const struct http1_request *request, const char *query_name, struct buf *out);
/* Whether a request carries a credential in one of these places, be it usable or not. */
bool token_given(const struct http1_request *request, const char *query_name);
/* Takes the first word off a text of words separated by spaces; no bytes at the end. */
struct slice token_next_word(struct slice *text);

#endif
