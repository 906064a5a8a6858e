/* SPDX-License-Identifier: MIT */
/* API keys: where a request carries one, and whether two are the same. Which are known, and for what, is grant.h. */
#ifndef RINGCAST_PROTOCOL_TOKEN_H
#define RINGCAST_PROTOCOL_TOKEN_H

#include "core/bytes.h"

#include <stdbool.h>

struct buf;
struct http1_request;

#define KEY_BYTES_MAX 256

/* Whether they are the same; how long that takes depends on the presented one alone. */
bool token_equal(struct slice known, struct slice presented);
/* The credential in a request's header: this field, else Authorization: Bearer (RFC 6750 section 2.1). False:
 * neither. */
bool token_header(const struct http1_request *request, const char *field, struct slice *token);
/* That of Authorization: Bearer alone. False: there is none. */
bool token_bearer(const struct http1_request *request, struct slice *token);
/* The credential of a request, in the order: header X-Api-Key, Authorization: Bearer, query value `query_name`
 * (decoded; NULL: not taken from the query); the first that is there counts, even if it is empty. Appends to `out`;
 * false, with nothing appended, when there is none or it is empty, longer than KEY_BYTES_MAX or badly escaped. */
bool token_from_request(const struct http1_request *request, const char *query_name, struct buf *out);
/* Whether a request carries a credential in one of these places, be it usable or not. */
bool token_given(const struct http1_request *request, const char *query_name);

#endif
