/* SPDX-License-Identifier: MIT */
/* JSON (RFC 8259): a strict pull reader over one whole text, depth-capped, without allocation, and a writer over
 * buf. The reader checks everything that it passes: structure, numbers, escapes, UTF-8, lone surrogates, control
 * characters. */
#ifndef RINGCAST_PROTOCOL_JSON_H
#define RINGCAST_PROTOCOL_JSON_H

#include "core/buf.h"
#include "core/limits.h"

enum json_token {
    JSON_ERROR, /* sticky */
    JSON_END,   /* behind the one top-level value and white space */
    JSON_OBJECT_BEGIN,
    JSON_OBJECT_END,
    JSON_ARRAY_BEGIN,
    JSON_ARRAY_END,
    JSON_KEY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

struct json_value {
    enum json_token token;
    struct slice raw; /* as written: a string or key without its quotes, escapes not resolved; a number's text */
    bool escaped;     /* of string and key: raw holds backslashes */
    size_t offset;    /* of its first byte in the text */
};

struct json_reader {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    const char *error; /* a short sentence once the token was JSON_ERROR */
    uint32_t depth;
    uint32_t depth_max;
    uint8_t expect;                          /* private */
    uint8_t nesting[JSON_DEPTH_MAX / 8 + 1]; /* private: a bit per level, object or array */
};

/* depth_max: the outermost object or array is depth 1; at most JSON_DEPTH_MAX. */
void json_init(struct json_reader *reader, struct slice text, uint32_t depth_max);
enum json_token json_next(struct json_reader *reader, struct json_value *value);
/* Behind a token that json_next has just returned: passes over the rest of that value (nothing to do for a scalar) and
 * gives its whole text in *text, quotes and brackets included. False on an error. */
bool json_skip(struct json_reader *reader, const struct json_value *value, struct slice *text);
/* Whether the text is exactly one valid value. */
bool json_valid(struct slice text, uint32_t depth_max);

/* The value of a member as found by json_find_members. */
struct json_member {
    const char *name;      /* given by the caller */
    enum json_token token; /* JSON_ERROR: not there */
    struct slice raw;      /* of a scalar: as json_value.raw */
    struct slice text;     /* the whole value as written */
    bool escaped;
};

enum json_members {
    JSON_MEMBERS_OK,
    JSON_MEMBERS_NOT_OBJECT, /* valid JSON, but no object */
    JSON_MEMBERS_INVALID,    /* not JSON, or too deep */
    JSON_MEMBERS_DUPLICATE,  /* a key twice and `refuse_duplicates` */
};

/* Reads one object whole: fills each of the `count` members that is there and passes over all others; a key that comes
 * twice: the last wins, or JSON_MEMBERS_DUPLICATE when refuse_duplicates is set (whatever the key). Checks the entire
 * text. Duplicate detection compares keys with their escapes resolved and costs O(keys log keys) or better; an object
 * of more than 4,096 keys counts as invalid there. */
enum json_members json_find_members(struct slice text, uint32_t depth_max, bool refuse_duplicates,
                                    struct json_member *members, size_t count);

/* Resolves the escapes of a raw string into `out` (UTF-8). The output is never longer than the input. */
void json_unescape(struct slice raw, struct buf *out);
/* The same where it lies, for what is long; how many bytes it has then. */
size_t json_unescape_here(struct span raw);
/* The value of a raw string: itself, or resolved into `space`, at most raw.bytes there. */
struct slice json_resolve(struct slice raw, bool escaped, struct buf *space);
/* Whether a raw string, its escapes resolved, equals `plain`. */
bool json_raw_equal(struct slice raw, bool escaped, struct slice plain);
/* A JSON number that is an integer in range: no fraction, no exponent, no minus zero. False otherwise. */
bool json_u64(struct slice raw, uint64_t *value);
bool json_i64(struct slice raw, int64_t *value);

/* Appends a string with quotes, escaped; the bytes are valid UTF-8 (the caller has checked). */
void json_put_string(struct buf *out, struct slice text);

#endif
