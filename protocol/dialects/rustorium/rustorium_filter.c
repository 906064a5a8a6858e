/* SPDX-License-Identifier: MIT */
/* Owns the filters of the dialect rustorium: which members a channel knows and what they may hold.
 * It never matches an event: that is chain_filter's. Called by rustorium.c. */
#include "core/check.h"
#include "protocol/dialects/rustorium/chain_branch.h"
#include "protocol/dialects/rustorium/rustorium.h"
#include "protocol/json.h"

enum { CONFIRMATIONS, TX_HASH, KEY, KEY_PREFIX, FILTER_MEMBERS };

static const char *const names[FILTER_MEMBERS] = {"confirmations", "tx_hash", "key", "key_prefix"};

/* Which of them a channel knows. */
static const bool allowed[RUSTORIUM_CHANNELS][FILTER_MEMBERS] = {
    [RUSTORIUM_BLOCKS] = {[CONFIRMATIONS] = true},
    [RUSTORIUM_TRANSACTIONS] = {[CONFIRMATIONS] = true, [TX_HASH] = true},
    [RUSTORIUM_STATE] = {[KEY] = true, [KEY_PREFIX] = true},
};

/* Whether every key of the object (valid JSON) is a filter of the channel. */
static bool fields_known(enum rustorium_channel channel, struct slice object)
{
    struct json_reader reader;
    struct json_value key, value;
    struct slice text;
    json_init(&reader, object, RUSTORIUM_DEPTH_MAX);
    (void)json_next(&reader, &value);
    while (json_next(&reader, &key) == JSON_KEY) {
        bool known = false;
        for (size_t i = 0; i < FILTER_MEMBERS; i++)
            known |= allowed[channel][i] && json_raw_equal(key.raw, key.escaped, slice_text(names[i]));
        if (!known)
            return false;
        (void)json_next(&reader, &value);
        (void)json_skip(&reader, &value, &text);
    }
    return true;
}

/* A string of 1-128 bytes, resolved into `space`. */
static bool read_key(const struct json_member *member, struct buf *space, struct slice *key)
{
    if (member->token != JSON_STRING)
        return false;
    *key = json_resolve(member->raw, member->escaped, space);
    return !space->overflow && key->bytes >= 1 && key->bytes <= CHAIN_FILTER_KEY_BYTES_MAX;
}

const char *rustorium_filter_read(enum rustorium_channel channel, const struct json_member *member,
                                  struct buf *key_space, struct chain_filter *filter)
{
    struct json_member fields[FILTER_MEMBERS];
    *filter = (struct chain_filter){.level = channel == RUSTORIUM_STATE ? 0 : 1, .kind = CHAIN_FILTER_ANY};
    if (member->token == JSON_ERROR)
        return NULL; /* may be missing */
    if (member->token != JSON_OBJECT_BEGIN)
        return "Invalid filter";
    if (!fields_known(channel, member->text))
        return "Unknown filter field";
    for (size_t i = 0; i < FILTER_MEMBERS; i++)
        fields[i].name = names[i];
    check(json_find_members(member->text, RUSTORIUM_DEPTH_MAX, false, fields, FILTER_MEMBERS) == JSON_MEMBERS_OK);
    if (fields[CONFIRMATIONS].token != JSON_ERROR) {
        uint64_t level;
        if (fields[CONFIRMATIONS].token != JSON_NUMBER || !json_u64(fields[CONFIRMATIONS].raw, &level) || level < 1 ||
            level > CHAIN_LEVEL_MAX)
            return "Invalid filter";
        filter->level = (uint32_t)level;
    }
    for (size_t i = TX_HASH; i <= KEY_PREFIX; i++) {
        if (fields[i].token == JSON_ERROR)
            continue;
        if (filter->kind != CHAIN_FILTER_ANY || !read_key(&fields[i], key_space, &filter->key))
            return "Invalid filter";
        filter->kind = i == KEY_PREFIX ? CHAIN_FILTER_PREFIX : CHAIN_FILTER_KEY;
    }
    return NULL;
}
