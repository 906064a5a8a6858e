/* SPDX-License-Identifier: MIT */
/* Owns the merging of two JSON objects by name. It never changes the text of a value and keeps nothing behind the call.
 * Services call it for what is published in parts; it allocates while it runs: a table of the names. */
#include "protocol/json_merge.h"

#include "core/check.h"
#include "core/map.h"
#include "protocol/json.h"

#include <errno.h>
#include <stdlib.h>

/* A member of one object. */
struct item {
    struct slice name; /* escapes resolved */
    struct slice text; /* "name":value as written */
    struct slice value;
    bool object;
    bool done; /* stands in the result already */
};

/* The members of an object, each name once. */
struct items {
    struct item *items;
    uint32_t count;
    uint8_t *names; /* those with escapes, resolved */
    struct map map;
};

static void items_free(struct items *items)
{
    map_free(&items->map);
    free(items->names);
    free(items->items);
}

/* Counts the members and the bytes that their names need when resolved. */
static void count_members(struct slice object, uint32_t *count, size_t *name_bytes)
{
    struct json_reader reader;
    struct json_value key, value;
    struct slice text;
    json_init(&reader, object, JSON_DEPTH_MAX);
    (void)json_next(&reader, &value);
    for (*count = 0, *name_bytes = 0; json_next(&reader, &key) == JSON_KEY; (*count)++) {
        *name_bytes += key.escaped ? key.raw.bytes : 0;
        (void)json_next(&reader, &value);
        check(json_skip(&reader, &value, &text));
    }
}

static int add_item(struct items *items, const struct item *found)
{
    struct item *same = map_get(&items->map, found->name);
    if (same != NULL) {
        *same = *found; /* in the place of the first, with the value of the last; the equal name may lie elsewhere */
        return 0;
    }
    items->items[items->count] = *found;
    if (map_put(&items->map, found->name, &items->items[items->count]) != 0)
        return -ENOMEM;
    items->count++;
    return 0;
}

static int items_read(struct items *items, struct slice object)
{
    struct json_reader reader;
    struct json_value key, value;
    uint32_t count;
    size_t name_bytes;
    /* the memory's place is unknown to those who choose the names; the order of the map shows nowhere */
    struct siphash_key secret = {.k0 = (uint64_t)(uintptr_t)items, .k1 = (uint64_t)(uintptr_t)object.data};
    *items = (struct items){.count = 0};
    map_init(&items->map, secret);
    count_members(object, &count, &name_bytes);
    items->items = malloc((count + 1) * sizeof *items->items);
    items->names = malloc(name_bytes + 1);
    if (items->items == NULL || items->names == NULL)
        return -ENOMEM;
    struct buf names = buf_of(items->names, name_bytes);
    json_init(&reader, object, JSON_DEPTH_MAX);
    (void)json_next(&reader, &value);
    while (json_next(&reader, &key) == JSON_KEY) {
        struct item item = {.name = json_resolve(key.raw, key.escaped, &names)};
        item.object = json_next(&reader, &value) == JSON_OBJECT_BEGIN;
        check(json_skip(&reader, &value, &item.value));
        const uint8_t *begin = key.raw.data - 1;
        item.text = slice_of(begin, (size_t)(item.value.data + item.value.bytes - begin));
        if (add_item(items, &item) != 0)
            return -ENOMEM;
    }
    return 0;
}

static int merge_level(struct slice older, struct slice newer, uint32_t levels, struct buf *out);

/* One member of the result: of the older object, unless the newer one has it too. */
static int put_merged(const struct item *old, struct item *new, uint32_t levels, struct buf *out)
{
    if (new == NULL) {
        buf_put(out, old->text);
        return 0;
    }
    new->done = true;
    if (!old->object || !new->object || levels == 1) {
        buf_put(out, new->text);
        return 0;
    }
    buf_put(out, slice_of(old->text.data, old->text.bytes - old->value.bytes));
    return merge_level(old->value, new->value, levels - 1, out);
}

static int put_all(const struct items *older, struct items *newer, uint32_t levels, struct buf *out)
{
    int result = 0;
    buf_put_byte(out, '{');
    size_t first = out->used;
    for (uint32_t i = 0; i < older->count && result == 0; i++) {
        if (out->used > first)
            buf_put_byte(out, ',');
        result = put_merged(&older->items[i], map_get(&newer->map, older->items[i].name), levels, out);
    }
    for (uint32_t i = 0; i < newer->count; i++) {
        if (newer->items[i].done)
            continue;
        if (out->used > first)
            buf_put_byte(out, ',');
        buf_put(out, newer->items[i].text);
    }
    buf_put_byte(out, '}');
    return result;
}

/* Recursion is as deep as `levels`, a constant of the caller. */
static int merge_level(struct slice older, struct slice newer, uint32_t levels, struct buf *out)
{
    struct items old_items, new_items;
    int result = items_read(&old_items, older);
    int other = items_read(&new_items, newer);
    if (result == 0)
        result = other;
    if (result == 0)
        result = put_all(&old_items, &new_items, levels, out);
    items_free(&old_items);
    items_free(&new_items);
    return result;
}

int json_merge(struct slice older, struct slice newer, uint32_t levels, struct buf *out)
{
    check(levels >= 1);
    return merge_level(older, newer, levels, out);
}
