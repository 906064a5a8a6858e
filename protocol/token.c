/* SPDX-License-Identifier: MIT */
/* Credentials: finds the one that a request carries and looks it up among the known keys. It never logs or keeps one, and how
 * long a look-up takes depends on the presented key alone. The dialects and the ingest listener call it while a request is
 * being authorised. */
#include "protocol/token.h"

#include "protocol/http1.h"

/* All ones when the condition holds, else 0: a choice without a branch. */
static size_t mask_if(bool condition)
{
    return (size_t)0 - (size_t)condition;
}

/* Walks the presented key to its end, whatever the known one holds and however long it is; beyond the known one's end its
 * first byte stands in, the lengths having settled the matter. */
static bool equal_in_constant_time(struct slice known, struct slice presented)
{
    static const uint8_t nothing[1] = {0};
    const uint8_t *data = known.bytes > 0 ? known.data : nothing;
    size_t difference = known.bytes ^ presented.bytes;

    for (size_t i = 0; i < presented.bytes; i++)
        difference |= (size_t)(data[i & mask_if(i < known.bytes)] ^ presented.data[i]);
    return difference == 0;
}

int key_list_find(const struct key_list *list, struct slice key)
{
    int found = -1;

    if (key.bytes == 0)
        return -1; /* no key at all: nothing secret is looked at */
    for (uint32_t i = list->count; i-- > 0;) {
        int mask = -(int)equal_in_constant_time(list->keys[i], key);
        found = (found & ~mask) | ((int)i & mask);
    }
    return found;
}

/* The token of "Bearer" 1*SP token (RFC 6750 section 2.1); false when the field is another scheme's. */
static bool bearer_token(struct slice authorization, struct slice *token)
{
    static const char scheme[] = "Bearer";
    size_t bytes = sizeof(scheme) - 1;

    if (authorization.bytes < bytes || !slice_is_nocase(slice_of(authorization.data, bytes), scheme))
        return false;
    *token = slice_skip(authorization, bytes);
    if (token->bytes > 0 && token->data[0] != ' ')
        return false;
    while (token->bytes > 0 && token->data[0] == ' ')
        *token = slice_skip(*token, 1);
    return true;
}

/* Keys hold no blanks, and in a form's query a plus is one: who wrote the key into an address by hand meant the plus (RFC 3986 gives
 * it no meaning of its own). */
static void restore_pluses(struct buf *token)
{
    for (size_t i = 0; i < token->used; i++)
        if (token->data[i] == ' ')
            token->data[i] = '+';
}

bool token_from_request(const struct http1_request *request, const char *query_name, struct buf *out)
{
    size_t room = out->capacity - out->used;
    struct buf token = buf_of(out->data + out->used, room < KEY_BYTES_MAX ? room : KEY_BYTES_MAX);
    struct slice header = http1_header(request, "x-api-key");

    if (header.data != NULL || bearer_token(http1_header(request, "authorization"), &header))
        buf_put(&token, header);
    else if (query_name == NULL || http1_query_get(request->query, query_name, &token) != 1)
        return false;
    else
        restore_pluses(&token);
    if (token.overflow || token.used == 0)
        return false;
    out->used += token.used;
    return true;
}

bool token_given(const struct http1_request *request, const char *query_name)
{
    struct slice header = http1_header(request, "authorization");
    struct buf none = buf_of(NULL, 0);

    return http1_header(request, "x-api-key").data != NULL || bearer_token(header, &header) ||
           (query_name != NULL && http1_query_get(request->query, query_name, &none) != 0);
}

struct slice token_next_word(struct slice *text)
{
    while (text->bytes > 0 && text->data[0] == ' ')
        *text = slice_skip(*text, 1);
    size_t bytes = 0;
    while (bytes < text->bytes && text->data[bytes] != ' ')
        bytes++;
    struct slice word = slice_of(text->data, bytes);
    *text = slice_skip(*text, bytes);
    return word;
}
