/* SPDX-License-Identifier: MIT */
/* Credentials: finds the one that a request carries, and compares two. It never logs or keeps one, and how long a
 * comparison takes depends on the presented key alone. The dialects and the ingest listener call it while a request is
 * being authorised. */
#include "protocol/token.h"

#include "protocol/http1.h"

/* All ones when the condition holds, else 0: a choice without a branch. */
static size_t mask_if(bool condition)
{
    return (size_t)0 - (size_t)condition;
}

/* Walks the presented key to its end, whatever the known one holds and however long it is; beyond the known one's end
 * its first byte stands in, the lengths having settled the matter. */
bool token_equal(struct slice known, struct slice presented)
{
    static const uint8_t nothing[1] = {0};
    const uint8_t *data = known.bytes > 0 ? known.data : nothing;
    size_t difference = known.bytes ^ presented.bytes;

    for (size_t i = 0; i < presented.bytes; i++)
        difference |= (size_t)(data[i & mask_if(i < known.bytes)] ^ presented.data[i]);
    return difference == 0;
}

/* The token of "Bearer" 1*SP token (RFC 6750 section 2.1); false when the field is another scheme's. */
static bool bearer_token(struct slice authorization, struct slice *token)
{
    static const char scheme[] = "Bearer";
    size_t bytes = sizeof scheme - 1;

    if (authorization.bytes < bytes || !slice_is_nocase(slice_of(authorization.data, bytes), scheme))
        return false;
    *token = slice_skip(authorization, bytes);
    if (token->bytes > 0 && token->data[0] != ' ')
        return false;
    while (token->bytes > 0 && token->data[0] == ' ')
        *token = slice_skip(*token, 1);
    return true;
}

bool token_bearer(const struct http1_request *request, struct slice *token)
{
    return bearer_token(http1_header(request, "authorization"), token);
}

bool token_header(const struct http1_request *request, const char *field, struct slice *token)
{
    *token = http1_header(request, field);
    return token->data != NULL || bearer_token(http1_header(request, "authorization"), token);
}

/* Keys hold no blanks, and in a form's query a plus is one: who wrote the key into an address by hand meant the plus
 * (RFC 3986 gives it no meaning of its own). */
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
    struct slice header;

    if (token_header(request, "x-api-key", &header))
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
    struct slice header;
    struct buf none = buf_of(NULL, 0);

    return token_header(request, "x-api-key", &header) ||
           (query_name != NULL && http1_query_get(request->query, query_name, &none) != 0);
}
