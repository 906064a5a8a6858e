/* SPDX-License-Identifier: MIT */
/* Owns a second JSON reader, a recursive descent straight from the grammar of RFC 8259, and its comparison with the
 * pull reader: verdict, tokens, members, numbers, escapes, and the string writer. It never asks how an error is worded.
 * The input is one byte, which is the depth allowed, and the text. */
#include "protocol/json.h"
#include "fuzz/fuzz.h"
#include "tests/unit/protocol/naive_utf8.h"

#define TOKENS_MAX 65536
#define PROBES_MAX 48 /* tokens whose values are looked at more closely */

struct token {
    enum json_token kind;
    size_t begin, end; /* in the text; of a string and key with quotes */
    size_t close;      /* of an object or array: index of its end */
};

struct oracle {
    struct slice text;
    size_t at;
    uint32_t depth, depth_max;
    size_t count;
    struct token tokens[TOKENS_MAX];
};

/* --- grammar ------------------------------------------------------------------------------------------------------ */

static int peek(const struct oracle *o)
{
    return o->at < o->text.bytes ? o->text.data[o->at] : -1;
}

static bool eat(struct oracle *o, int c)
{
    if (peek(o) != c)
        return false;
    o->at++;
    return true;
}

static void ws(struct oracle *o)
{
    while (peek(o) == ' ' || peek(o) == '\t' || peek(o) == '\n' || peek(o) == '\r')
        o->at++;
}

static size_t add(struct oracle *o, enum json_token kind, size_t begin)
{
    expect(o->count < TOKENS_MAX);
    o->tokens[o->count] = (struct token){.kind = kind, .begin = begin, .end = o->at};
    return o->count++;
}

static bool digits(struct oracle *o)
{
    size_t from = o->at;
    while (peek(o) >= '0' && peek(o) <= '9')
        o->at++;
    return o->at > from;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool number(struct oracle *o)
{
    size_t begin = o->at;
    eat(o, '-');
    if (!eat(o, '0') && !digits(o))
        return false;
    if (eat(o, '.') && !digits(o))
        return false;
    if (eat(o, 'e') || eat(o, 'E')) {
        if (!eat(o, '+'))
            eat(o, '-');
        if (!digits(o))
            return false;
    }
    add(o, JSON_NUMBER, begin);
    return true;
}

static bool literal(struct oracle *o, const char *word, enum json_token kind)
{
    size_t begin = o->at;
    for (; *word != '\0'; word++)
        if (!eat(o, *word))
            return false;
    add(o, kind, begin);
    return true;
}

/* One code unit of \uXXXX, or -1. */
static int unit(struct oracle *o)
{
    int value = 0;
    for (int i = 0; i < 4; i++, o->at++) {
        int c = peek(o) | 0x20;
        if (peek(o) >= '0' && peek(o) <= '9')
            value = value * 16 + peek(o) - '0';
        else if (peek(o) >= 0 && c >= 'a' && c <= 'f')
            value = value * 16 + c - 'a' + 10;
        else
            return -1;
    }
    return value;
}

/* One character of a string, into `out`: its bytes; 0: none. */
static size_t character(struct oracle *o, uint8_t out[4])
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int c = peek(o);
    if (c < 0x20)
        return 0; /* a control character, or the end */
    o->at++;
    if (c != '\\') {
        out[0] = (uint8_t)c;
        return 1;
    }
    c = peek(o);
    const char *found = c <= 0 ? NULL : strchr(letters, c);
    if (found != NULL) {
        o->at++;
        out[0] = (uint8_t)meanings[found - letters];
        return 1;
    }
    int low, high = eat(o, 'u') ? unit(o) : -1;
    if (high < 0 || (high >= 0xDC00 && high < 0xE000))
        return 0;
    if (high < 0xD800 || high >= 0xE000)
        return naive_utf8_put((uint32_t)high, out);
    if (!eat(o, '\\') || !eat(o, 'u') || (low = unit(o)) < 0xDC00 || low >= 0xE000)
        return 0;
    return naive_utf8_put(0x10000U + (uint32_t)(high - 0xD800) * 0x400U + (uint32_t)(low - 0xDC00), out);
}

static bool string(struct oracle *o, enum json_token kind)
{
    size_t begin = o->at;
    if (!eat(o, '"'))
        return false;
    while (peek(o) != '"') {
        uint8_t out[4];
        if (character(o, out) == 0)
            return false;
    }
    if (naive_utf8_read(slice_of(o->text.data + begin + 1, o->at - begin - 1)) != NAIVE_UTF8_WHOLE)
        return false;
    o->at++;
    add(o, kind, begin);
    return true;
}

static bool value(struct oracle *o);

static bool member(struct oracle *o)
{
    if (!string(o, JSON_KEY))
        return false;
    ws(o);
    return eat(o, ':') && value(o);
}

/* An object or array, from its bracket. */
static bool container(struct oracle *o, bool object)
{
    size_t begin = o->at++, open = add(o, object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN, begin);
    if (o->depth == o->depth_max) {
        o->count--;
        return false;
    }
    o->depth++;
    ws(o);
    if (peek(o) != (object ? '}' : ']')) {
        do {
            ws(o);
            if (object ? !member(o) : !value(o))
                return false;
            ws(o);
        } while (eat(o, ','));
    }
    begin = o->at;
    if (!eat(o, object ? '}' : ']'))
        return false;
    o->depth--;
    o->tokens[open].close = add(o, object ? JSON_OBJECT_END : JSON_ARRAY_END, begin);
    return true;
}

static bool value(struct oracle *o)
{
    ws(o);
    switch (peek(o)) {
    case '{':
        return container(o, true);
    case '[':
        return container(o, false);
    case '"':
        return string(o, JSON_STRING);
    case 't':
        return literal(o, "true", JSON_TRUE);
    case 'f':
        return literal(o, "false", JSON_FALSE);
    case 'n':
        return literal(o, "null", JSON_NULL);
    default:
        return number(o);
    }
}

static bool oracle_read(struct oracle *o, struct slice text, uint32_t depth_max)
{
    o->text = text;
    o->at = o->count = 0;
    o->depth = 0;
    o->depth_max = depth_max;
    if (!value(o))
        return false;
    ws(o);
    return o->at == o->text.bytes;
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static bool is_string(enum json_token kind)
{
    return kind == JSON_STRING || kind == JSON_KEY;
}

static struct slice token_text(const struct oracle *o, const struct token *token)
{
    return slice_of(o->text.data + token->begin, token->end - token->begin);
}

static struct slice token_raw(const struct oracle *o, const struct token *token)
{
    struct slice text = token_text(o, token);
    return is_string(token->kind) ? slice_of(text.data + 1, text.bytes - 2) : text;
}

static void expect_tokens(const struct oracle *o, bool valid)
{
    struct json_reader reader;
    struct json_value v;
    size_t i = 0;

    json_init(&reader, o->text, o->depth_max);
    for (; json_next(&reader, &v) != JSON_ERROR && v.token != JSON_END; i++) {
        expect(fuzz_inside(v.raw, o->text));
        if (i >= o->count)
            continue; /* only what both have read is compared; the verdict below is about the rest */
        const struct token *token = &o->tokens[i];
        expect(v.token == token->kind && v.offset == token->begin);
        bool scalar = v.token >= JSON_KEY;
        expect(!scalar || slice_equal(v.raw, token_raw(o, token)));
        expect(!is_string(v.token) || v.escaped == (v.raw.bytes > 0 && memchr(v.raw.data, '\\', v.raw.bytes) != NULL));
    }
    expect((v.token == JSON_END) == valid);
    expect(!valid || i == o->count);
    expect(valid || reader.error != NULL);
    expect(json_next(&reader, &v) == (valid ? JSON_END : JSON_ERROR)); /* both stay */
    expect(json_valid(o->text, o->depth_max) == valid);
}

/* Behind token `i`, json_skip gives the extent of its value. */
static void expect_skip(const struct oracle *o, size_t i)
{
    struct json_reader reader;
    struct json_value v;
    struct slice text;
    const struct token *token = &o->tokens[i];

    json_init(&reader, o->text, o->depth_max);
    for (size_t n = 0; n <= i; n++)
        json_next(&reader, &v);
    bool end = token->kind == JSON_OBJECT_END || token->kind == JSON_ARRAY_END;
    expect(json_skip(&reader, &v, &text) == !end);
    if (end)
        return;
    bool container_begins = token->kind == JSON_OBJECT_BEGIN || token->kind == JSON_ARRAY_BEGIN;
    size_t last = container_begins ? token->close : i;
    expect(text.data == o->text.data + token->begin);
    expect(text.bytes == o->tokens[last].end - token->begin);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

/* The bytes of a string's raw text; never more than it. */
static struct slice resolved(struct slice raw, uint8_t *memory)
{
    struct oracle *o = fuzz_zeroed(sizeof *o);
    size_t used = 0;
    o->text = raw;
    while (o->at < raw.bytes) {
        uint8_t out[4];
        size_t n = character(o, out);
        memcpy(memory + used, out, n);
        used += n;
    }
    free(o);
    return slice_of(memory, used);
}

static void expect_string(struct slice raw)
{
    bool escaped = raw.bytes > 0 && memchr(raw.data, '\\', raw.bytes) != NULL;
    uint8_t *memory = malloc(raw.bytes + 1), *space = malloc(raw.bytes + 1), *written = malloc(6 * raw.bytes + 2);
    struct slice plain = resolved(raw, memory);
    struct buf out = buf_of(space, raw.bytes);
    expect(slice_equal(json_resolve(raw, escaped, &out), plain) && !out.overflow);
    buf_reset(&out);
    json_unescape(raw, &out);
    expect(!out.overflow && slice_equal(buf_slice(&out), plain));

    expect(json_raw_equal(raw, escaped, plain));
    memory[plain.bytes] = 'x';
    expect(!json_raw_equal(raw, escaped, slice_of(memory, plain.bytes + 1)));
    expect(plain.bytes == 0 || !json_raw_equal(raw, escaped, slice_of(memory, plain.bytes - 1)));

    struct buf text = buf_of(written, 6 * raw.bytes + 2);
    json_put_string(&text, plain);
    expect(!text.overflow && json_valid(buf_slice(&text), 1));
    struct slice inner = slice_of(text.data + 1, text.used - 2);
    expect(json_raw_equal(inner, true, plain));
    uint8_t *again = malloc(inner.bytes + 1);
    out = buf_of(again, inner.bytes);
    json_unescape(inner, &out);
    expect(slice_equal(buf_slice(&out), plain));
    memcpy(again, inner.data, inner.bytes);
    expect(slice_equal(slice_of(again, json_unescape_here((struct span){again, inner.bytes})), plain));
    free(again);
    free(memory);
    free(space);
    free(written);
}

/* Whole numbers by arithmetic that cannot overflow here. */
static void expect_number(struct slice raw)
{
    bool minus = raw.bytes > 0 && raw.data[0] == '-', whole = raw.bytes > (size_t)minus;
    unsigned __int128 sum = 0;
    for (size_t i = minus; i < raw.bytes; i++) {
        whole &= raw.data[i] >= '0' && raw.data[i] <= '9';
        sum = sum >> 100 != 0 ? sum : sum * 10 + (raw.data[i] - '0');
    }
    whole &= raw.bytes == 1 || raw.data[minus] != '0'; /* "-0" is none, "00" no JSON */
    uint64_t u;
    int64_t i;
    expect(json_u64(raw, &u) == (whole && !minus && sum <= UINT64_MAX));
    expect(!whole || minus || sum > UINT64_MAX || u == (uint64_t)sum);
    bool fits = whole && sum <= (minus ? (unsigned __int128)INT64_MAX + 1 : (unsigned __int128)INT64_MAX);
    expect(json_i64(raw, &i) == fits);
    if (fits)
        expect(minus ? (unsigned __int128)(-(__int128)i) == sum && i < 0 : (unsigned __int128)i == sum);
}

/* --- members ------------------------------------------------------------------------------------------------------ */

static bool same_key(const struct oracle *o, const struct token *a, const struct token *b)
{
    struct slice left = token_raw(o, a), right = token_raw(o, b);
    if (memchr(token_text(o, a).data, '\\', left.bytes + 1) == NULL &&
        memchr(token_text(o, b).data, '\\', right.bytes + 1) == NULL)
        return slice_equal(left, right);
    uint8_t *one = malloc(left.bytes + 1), *two = malloc(right.bytes + 1);
    bool same = slice_equal(resolved(left, one), resolved(right, two));
    free(one);
    free(two);
    return same;
}

/* The index of the token behind the value that begins at `i`. */
static size_t behind(const struct oracle *o, size_t i)
{
    bool begins = o->tokens[i].kind == JSON_OBJECT_BEGIN || o->tokens[i].kind == JSON_ARRAY_BEGIN;
    return begins ? o->tokens[i].close + 1 : i + 1;
}

/* Whether a key of the outermost object comes twice; *keys counts them. */
static bool repeats(const struct oracle *o, size_t *keys)
{
    bool found = false;
    *keys = 0;
    for (size_t i = 1; o->tokens[i].kind == JSON_KEY; i = behind(o, i + 1)) {
        (*keys)++;
        for (size_t k = 1; !found && k < i; k = behind(o, k + 1))
            found = same_key(o, &o->tokens[k], &o->tokens[i]);
    }
    return found;
}

/* The value of the last key like `key`, or `count` when none is. */
static size_t last_value(const struct oracle *o, const struct token *key)
{
    size_t last = o->count;
    for (size_t i = 1; o->tokens[i].kind == JSON_KEY; i = behind(o, i + 1))
        if (same_key(o, &o->tokens[i], key))
            last = i + 1;
    return last;
}

static void expect_member(const struct oracle *o, const struct token *key)
{
    struct slice raw = token_raw(o, key);
    uint8_t *memory = malloc(raw.bytes + 1);
    struct slice name = resolved(raw, memory);
    struct json_member members[2] = {{.name = "\x01 no such key"}, {.name = (const char *)memory}};

    if (memchr(memory, 0, name.bytes) == NULL) { /* a name is a C string */
        memory[name.bytes] = '\0';
        expect(json_find_members(o->text, o->depth_max, false, members, 2) == JSON_MEMBERS_OK);
        size_t i = last_value(o, key), last = behind(o, i) - 1;
        expect(members[0].token == JSON_ERROR);
        expect(members[1].token == o->tokens[i].kind);
        expect(members[1].text.data == o->text.data + o->tokens[i].begin);
        expect(members[1].text.bytes == o->tokens[last].end - o->tokens[i].begin);
        if (members[1].token >= JSON_STRING)
            expect(slice_equal(members[1].raw, token_raw(o, &o->tokens[i])));
    }
    free(memory);
}

static void expect_members(const struct oracle *o, bool valid)
{
    bool object = valid && o->tokens[0].kind == JSON_OBJECT_BEGIN;
    enum json_members loose = json_find_members(o->text, o->depth_max, false, NULL, 0);
    enum json_members strict = json_find_members(o->text, o->depth_max, true, NULL, 0);

    if (!object) {
        expect(loose == (valid ? JSON_MEMBERS_NOT_OBJECT : JSON_MEMBERS_INVALID));
        if (valid || loose != strict)
            expect(strict == loose || strict == JSON_MEMBERS_INVALID);
        return;
    }
    size_t keys, looked_at = 0;
    bool twice = repeats(o, &keys);
    expect(loose == JSON_MEMBERS_OK);
    expect(strict == (keys > 4096 ? JSON_MEMBERS_INVALID : twice ? JSON_MEMBERS_DUPLICATE : JSON_MEMBERS_OK));
    for (size_t i = 1; o->tokens[i].kind == JSON_KEY && looked_at++ < 4; i = behind(o, i + 1))
        expect_member(o, &o->tokens[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct oracle oracle;
    if (bytes < 1 || bytes > TOKENS_MAX)
        return 0;
    uint8_t *copy = fuzz_copy(slice_of(data + 1, bytes - 1));
    bool valid = oracle_read(&oracle, slice_of(copy, bytes - 1), 1 + data[0] % JSON_DEPTH_MAX);

    expect_tokens(&oracle, valid);
    expect_members(&oracle, valid);
    for (size_t i = 0; valid && i < oracle.count && i < PROBES_MAX; i++) {
        expect_skip(&oracle, i);
        if (is_string(oracle.tokens[i].kind))
            expect_string(token_raw(&oracle, &oracle.tokens[i]));
        if (oracle.tokens[i].kind == JSON_NUMBER)
            expect_number(token_raw(&oracle, &oracle.tokens[i]));
    }
    expect_number(slice_of(copy, bytes - 1)); /* of any text: what is no number is refused */
    free(copy);
    return 0;
}
