/* SPDX-License-Identifier: MIT */
/* Owns the JSON grammar (RFC 8259): a pull reader over one whole text, the search for members, and escapes; numbers and the string
 * writer are in json_text.c. It never allocates, recurses or builds a tree, and never gives out a token whose bytes it has not checked.
 * Dialects, services and the publisher API call it, for what peers send and for what is sent to them. */
#include "protocol/json.h"

#include "core/check.h"
#include "protocol/utf8.h"

/* What may come next. A key takes its colon with it, so "behind a key" is EXPECT_VALUE. */
enum {
    EXPECT_VALUE,        /* at the top, behind a colon, behind a comma of an array */
    EXPECT_VALUE_OR_END, /* behind '[' */
    EXPECT_KEY,          /* behind a comma of an object */
    EXPECT_KEY_OR_END,   /* behind '{' */
    EXPECT_COMMA_OR_END, /* behind a value inside an object or array */
    EXPECT_NOTHING,      /* behind the top-level value */
    EXPECT_FAILED,
};

void json_init(struct json_reader *reader, struct slice text, uint32_t depth_max)
{
    static const uint8_t nothing[1];
    check(depth_max >= 1 && depth_max <= JSON_DEPTH_MAX);
    const uint8_t *start = text.bytes == 0 ? nothing : text.data;
    *reader = (struct json_reader){
        .start = start, .at = start, .end = start + text.bytes, .depth_max = depth_max, .expect = EXPECT_VALUE};
}

static enum json_token fail(struct json_reader *reader, const char *error)
{
    reader->expect = EXPECT_FAILED;
    reader->error = error;
    return JSON_ERROR;
}

/* RFC 8259 section 2: space, tab, line feed, carriage return, nothing else. */
static void skip_space(struct json_reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' || *reader->at == '\t'))
        reader->at++;
}

static bool inside_object(const struct json_reader *reader)
{
    return reader->depth > 0 && (reader->nesting[reader->depth / 8] >> (reader->depth % 8) & 1) != 0;
}

static enum json_token value_done(struct json_reader *reader, struct json_value *value, enum json_token token)
{
    reader->expect = reader->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
    value->token = token;
    return token;
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const uint8_t *at)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = ascii_lower(at[i]);
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (c - 'a' + 10);
        else
            return -1;
    }
    return value;
}

/* The length of the escape that begins at `at` (a backslash), a surrogate pair being one escape; 0 when it is none of
 * RFC 8259 section 7, is cut off, or is half of a pair (section 8.2: its meaning would be unpredictable). */
static size_t escape_bytes(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);
    if (left < 2)
        return 0;
    if (at[1] != 'u')
        return memchr("\"\\/bfnrt", at[1], 8) != NULL ? 2 : 0;
    int32_t unit = left < 6 ? -1 : hex4(at + 2);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return 0;
    if (unit < 0xD800 || unit > 0xDBFF)
        return 6;
    if (left < 12 || at[6] != '\\' || at[7] != 'u')
        return 0;
    int32_t low = hex4(at + 8);
    return low >= 0xDC00 && low <= 0xDFFF ? 12 : 0;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Passes over characters of ASCII that stand for themselves, eight at a time, to the first other one; or near the
 * end. Each byte that is another has its high bit set in `stops`, and then perhaps bytes behind it have too. */
static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t eight = load_le64(at);
        uint64_t quote = eight ^ EACH('"'), backslash = eight ^ EACH('\\');
        uint64_t stops = ((quote - EACH(1)) & ~quote) | ((backslash - EACH(1)) & ~backslash) |
                         ((eight - EACH(0x20)) & ~eight) | eight;
        stops &= EACH(0x80);
        if (stops != 0)
            return at + __builtin_ctzll(stops) / 8;
    }
    return at;
}

/* From the opening quote to behind the closing one; value->raw and value->escaped are set. */
static bool read_string(struct json_reader *reader, struct json_value *value)
{
    const uint8_t *begin = reader->at + 1, *at = skip_plain(begin, reader->end);
    bool ascii = true;
    while (at < reader->end && *at != '"') {
        size_t step = 1;
        if (*at < 0x20) { /* section 7: control characters are written as escapes */
            fail(reader, "a control character in a string");
            return false;
        }
        if (*at == '\\') {
            step = escape_bytes(at, reader->end);
            value->escaped = true;
        } else if (*at >= 0x80) {
            ascii = false;
        }
        if (step == 0) {
            fail(reader, "an escape that is none");
            return false;
        }
        at += step;
        if (step > 1 || at[-1] < 0x80) /* text that is not ASCII goes on like that for a while */
            at = skip_plain(at, reader->end);
    }
    value->raw = slice_of(begin, (size_t)(at - begin));
    if (at == reader->end || (!ascii && !utf8_valid(value->raw))) { /* section 8.1: UTF-8 */
        fail(reader, at == reader->end ? "a string without its end" : "a string that is not UTF-8");
        return false;
    }
    reader->at = at + 1;
    return true;
}

/* Passes over digits; how many there were. */
static size_t skip_digits(struct json_reader *reader)
{
    const uint8_t *begin = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return (size_t)(reader->at - begin);
}

static bool take_byte(struct json_reader *reader, uint8_t byte)
{
    if (reader->at == reader->end || *reader->at != byte)
        return false;
    reader->at++;
    return true;
}

/* RFC 8259 section 6. What follows a complete number is judged by the next call: "01" is the number 0 and then text. */
static enum json_token read_number(struct json_reader *reader, struct json_value *value)
{
    const uint8_t *begin = reader->at;
    (void)take_byte(reader, '-');
    if (!take_byte(reader, '0') && skip_digits(reader) == 0)
        return fail(reader, "no value");
    if (take_byte(reader, '.') && skip_digits(reader) == 0)
        return fail(reader, "a fraction without digits");
    if (take_byte(reader, 'e') || take_byte(reader, 'E')) {
        if (!take_byte(reader, '+'))
            (void)take_byte(reader, '-');
        if (skip_digits(reader) == 0)
            return fail(reader, "an exponent without digits");
    }
    value->raw = slice_of(begin, (size_t)(reader->at - begin));
    return value_done(reader, value, JSON_NUMBER);
}

static enum json_token read_literal(struct json_reader *reader, struct json_value *value, const char *text,
                                    enum json_token token)
{
    struct slice left = slice_of(reader->at, (size_t)(reader->end - reader->at));
    struct slice literal = slice_text(text);
    if (!slice_starts(left, literal))
        return fail(reader, "no value");
    value->raw = slice_of(reader->at, literal.bytes);
    reader->at += literal.bytes;
    return value_done(reader, value, token);
}

static enum json_token open_container(struct json_reader *reader, struct json_value *value, bool object)
{
    if (reader->depth == reader->depth_max)
        return fail(reader, "nested too deep");
    reader->at++;
    reader->depth++;
    uint8_t bit = (uint8_t)(1U << (reader->depth % 8)), *byte = &reader->nesting[reader->depth / 8];
    *byte = (uint8_t)(object ? *byte | bit : *byte & ~bit);
    reader->expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    value->token = object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN;
    return value->token;
}

static enum json_token close_container(struct json_reader *reader, struct json_value *value, bool object)
{
    bool may_end = reader->expect == EXPECT_COMMA_OR_END || reader->expect == EXPECT_KEY_OR_END ||
                   reader->expect == EXPECT_VALUE_OR_END;
    if (!may_end || inside_object(reader) != object)
        return fail(reader, "a closing bracket out of place");
    reader->at++;
    reader->depth--;
    return value_done(reader, value, object ? JSON_OBJECT_END : JSON_ARRAY_END);
}

static enum json_token read_key(struct json_reader *reader, struct json_value *value)
{
    if (*reader->at != '"')
        return fail(reader, "no key");
    if (!read_string(reader, value))
        return JSON_ERROR;
    skip_space(reader);
    if (!take_byte(reader, ':'))
        return fail(reader, "a key without a colon");
    reader->expect = EXPECT_VALUE;
    value->token = JSON_KEY;
    return JSON_KEY;
}

static enum json_token read_value(struct json_reader *reader, struct json_value *value)
{
    switch (*reader->at) {
    case '{':
        return open_container(reader, value, true);
    case '[':
        return open_container(reader, value, false);
    case '"':
        return read_string(reader, value) ? value_done(reader, value, JSON_STRING) : JSON_ERROR;
    case 't':
        return read_literal(reader, value, "true", JSON_TRUE);
    case 'f':
        return read_literal(reader, value, "false", JSON_FALSE);
    case 'n':
        return read_literal(reader, value, "null", JSON_NULL);
    default:
        return read_number(reader, value);
    }
}

enum json_token json_next(struct json_reader *reader, struct json_value *value)
{
    *value = (struct json_value){.token = JSON_ERROR};
    if (reader->expect == EXPECT_FAILED)
        return JSON_ERROR;
    skip_space(reader);
    if (reader->expect == EXPECT_COMMA_OR_END && take_byte(reader, ',')) {
        reader->expect = inside_object(reader) ? EXPECT_KEY : EXPECT_VALUE;
        skip_space(reader);
    }
    value->offset = (size_t)(reader->at - reader->start);
    if (reader->expect == EXPECT_NOTHING) {
        if (reader->at < reader->end)
            return fail(reader, "text behind the value");
        value->token = JSON_END;
        return JSON_END;
    }
    if (reader->at == reader->end)
        return fail(reader, "the text ends too early");
    if (*reader->at == '}' || *reader->at == ']')
        return close_container(reader, value, *reader->at == '}');
    if (reader->expect == EXPECT_COMMA_OR_END)
        return fail(reader, "no comma between values");
    if (reader->expect == EXPECT_KEY || reader->expect == EXPECT_KEY_OR_END)
        return read_key(reader, value);
    return read_value(reader, value);
}

bool json_skip(struct json_reader *reader, const struct json_value *value, struct slice *text)
{
    const uint8_t *begin = reader->start + value->offset;
    switch (value->token) {
    case JSON_OBJECT_BEGIN:
    case JSON_ARRAY_BEGIN:
        for (uint32_t outside = reader->depth - 1; reader->depth > outside;) {
            struct json_value inner;
            if (json_next(reader, &inner) == JSON_ERROR)
                return false;
        }
        *text = slice_of(begin, (size_t)(reader->at - begin));
        return true;
    case JSON_KEY:
    case JSON_STRING:
        *text = slice_of(begin, value->raw.bytes + 2);
        return true;
    case JSON_NUMBER:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        *text = value->raw;
        return true;
    case JSON_ERROR:
    case JSON_END:
    case JSON_OBJECT_END:
    case JSON_ARRAY_END:
        break;
    }
    return false;
}

bool json_valid(struct slice text, uint32_t depth_max)
{
    struct json_reader reader;
    struct json_value value;
    json_init(&reader, text, depth_max);
    for (;;) {
        enum json_token token = json_next(&reader, &value);
        if (token == JSON_END || token == JSON_ERROR)
            return token == JSON_END;
    }
}

/* Resolves the escape at the front of *raw, which the reader has checked, into UTF-8 (RFC 3629 section 3): 1-4
 * bytes. */
static size_t take_escape(struct slice *raw, uint8_t out[4])
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    size_t bytes = escape_bytes(raw->data, raw->data + raw->bytes);
    const uint8_t *at = raw->data;
    check(bytes != 0);
    *raw = slice_skip(*raw, bytes);
    if (bytes == 2) {
        out[0] = (uint8_t)meanings[(const char *)memchr(names, at[1], sizeof names - 1) - names];
        return 1;
    }
    uint32_t c = (uint32_t)hex4(at + 2);
    if (bytes == 12)
        c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)hex4(at + 8) - 0xDC00);
    size_t count = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = count; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[count] | c);
    return count;
}

void json_unescape(struct slice raw, struct buf *out)
{
    while (raw.bytes > 0) {
        const uint8_t *escape = memchr(raw.data, '\\', raw.bytes);
        size_t plain = escape == NULL ? raw.bytes : (size_t)(escape - raw.data);
        buf_put(out, slice_of(raw.data, plain));
        raw = slice_skip(raw, plain);
        if (raw.bytes > 0) {
            uint8_t utf8[4];
            size_t bytes = take_escape(&raw, utf8);
            buf_put(out, slice_of(utf8, bytes));
        }
    }
}

size_t json_unescape_here(struct span raw)
{
    struct slice rest = slice_of(raw.data, raw.bytes);
    uint8_t *to = raw.data;
    while (rest.bytes > 0) {
        const uint8_t *escape = memchr(rest.data, '\\', rest.bytes);
        size_t plain = escape == NULL ? rest.bytes : (size_t)(escape - rest.data);
        memmove(to, rest.data, plain);
        to += plain;
        rest = slice_skip(rest, plain);
        if (rest.bytes > 0) {
            uint8_t utf8[4];
            size_t bytes = take_escape(&rest, utf8); /* which was longer */
            memcpy(to, utf8, bytes);
            to += bytes;
        }
    }
    return (size_t)(to - raw.data);
}

struct slice json_resolve(struct slice raw, bool escaped, struct buf *space)
{
    if (!escaped)
        return raw;
    size_t mark = space->used;
    json_unescape(raw, space);
    return buf_since(space, mark);
}

bool json_raw_equal(struct slice raw, bool escaped, struct slice plain)
{
    if (!escaped)
        return slice_equal(raw, plain);
    while (raw.bytes > 0) {
        uint8_t utf8[4] = {raw.data[0]};
        size_t bytes = 1;
        if (raw.data[0] == '\\')
            bytes = take_escape(&raw, utf8);
        else
            raw = slice_skip(raw, 1);
        if (!slice_starts(plain, slice_of(utf8, bytes)))
            return false;
        plain = slice_skip(plain, bytes);
    }
    return plain.bytes == 0;
}

#define KEYS_MAX 4096

/* The keys of one object, for the search for duplicates: where each stands, 8 bytes a key. */
struct key_places {
    const uint8_t *text;
    uint32_t count;
    struct {
        uint32_t offset;
        uint32_t bytes;
    } items[KEYS_MAX];
};

static struct slice key_raw(const struct key_places *keys, uint32_t index)
{
    return slice_of(keys->text + keys->items[index].offset, keys->items[index].bytes);
}

/* The bytes of a raw key, escapes resolved, one by one; -1 behind the last. */
struct key_bytes {
    struct slice raw;
    uint8_t utf8[4];
    size_t at, count;
};

static int key_byte(struct key_bytes *key)
{
    if (key->at == key->count) {
        if (key->raw.bytes == 0)
            return -1;
        key->at = 0;
        key->count = 1;
        key->utf8[0] = key->raw.data[0];
        if (key->raw.data[0] == '\\')
            key->count = take_escape(&key->raw, key->utf8);
        else
            key->raw = slice_skip(key->raw, 1);
    }
    return key->utf8[key->at++];
}

/* The order of the resolved bytes: negative, 0 or positive. */
static int key_compare(const struct key_places *keys, uint32_t a, uint32_t b)
{
    struct key_bytes left = {.raw = key_raw(keys, a)}, right = {.raw = key_raw(keys, b)};
    for (;;) {
        int l = key_byte(&left), r = key_byte(&right);
        if (l != r || l < 0)
            return l - r;
    }
}

static void key_swap(struct key_places *keys, uint32_t a, uint32_t b)
{
    uint32_t offset = keys->items[a].offset, bytes = keys->items[a].bytes;
    keys->items[a] = keys->items[b];
    keys->items[b].offset = offset;
    keys->items[b].bytes = bytes;
}

static void key_sift_down(struct key_places *keys, uint32_t root, uint32_t count)
{
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && key_compare(keys, child, child + 1) < 0)
            child++;
        if (key_compare(keys, root, child) >= 0)
            return;
        key_swap(keys, root, child);
    }
}

/* Heap sort: in place, and no order of keys makes it slow. */
static bool keys_repeat(struct key_places *keys)
{
    for (uint32_t root = keys->count / 2; root-- > 0;)
        key_sift_down(keys, root, keys->count);
    for (uint32_t count = keys->count; count > 1;) {
        key_swap(keys, 0, --count);
        key_sift_down(keys, 0, count);
    }
    for (uint32_t i = 1; i < keys->count; i++)
        if (key_compare(keys, i - 1, i) == 0)
            return true;
    return false;
}

/* Reads the value behind `key` and notes it in each member of that name. */
static bool read_member(struct json_reader *reader, const struct json_value *key, struct json_member *members,
                        size_t count)
{
    struct json_value value;
    struct slice text;
    (void)json_next(reader, &value);
    if (!json_skip(reader, &value, &text))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (json_raw_equal(key->raw, key->escaped, slice_text(members[i].name)))
            members[i] = (struct json_member){.name = members[i].name,
                                              .token = value.token,
                                              .raw = value.raw,
                                              .text = text,
                                              .escaped = value.escaped};
    }
    return true;
}

enum json_members json_find_members(struct slice text, uint32_t depth_max, bool refuse_duplicates,
                                    struct json_member *members, size_t count)
{
    struct json_reader reader;
    struct json_value value;
    struct key_places keys; /* filled, and so touched, only as far as there are keys */
    for (size_t i = 0; i < count; i++)
        members[i] = (struct json_member){.name = members[i].name, .token = JSON_ERROR};
    json_init(&reader, text, depth_max);
    if (json_next(&reader, &value) != JSON_OBJECT_BEGIN)
        return json_valid(text, depth_max) ? JSON_MEMBERS_NOT_OBJECT : JSON_MEMBERS_INVALID;
    keys.text = reader.start;
    keys.count = 0;
    while (json_next(&reader, &value) == JSON_KEY) {
        if (refuse_duplicates) {
            if (keys.count == KEYS_MAX)
                return JSON_MEMBERS_INVALID;
            check_op(text.bytes, <=, UINT32_MAX);
            keys.items[keys.count].offset = (uint32_t)(value.raw.data - reader.start);
            keys.items[keys.count++].bytes = (uint32_t)value.raw.bytes;
        }
        if (!read_member(&reader, &value, members, count))
            return JSON_MEMBERS_INVALID;
    }
    if (value.token != JSON_OBJECT_END || json_next(&reader, &value) != JSON_END)
        return JSON_MEMBERS_INVALID;
    return keys.count > 1 && keys_repeat(&keys) ? JSON_MEMBERS_DUPLICATE : JSON_MEMBERS_OK;
}
