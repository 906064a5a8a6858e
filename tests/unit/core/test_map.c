/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/map: the rules of the header, clusters that wrap around the table's end, and random operations
 * against an array. Every step is followed by a look at the table itself. */
#include "core/map.h"
#include "core/random.h"
#include "tests/unit/starve.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static const struct siphash_key test_key = {.k0 = 1, .k1 = 2};

static struct map fresh_map(void)
{
    struct map map;
    map_init(&map, test_key);
    return map;
}

/* At most three quarters full, and no empty entry between an entry and its home, where a probe would stop. */
static void expect_sound(const struct map *map)
{
    size_t mask = map->capacity - 1, count = 0;
    cr_assert_eq(map->capacity & (map->capacity == 0 ? 0 : mask), 0, "a power of two");
    for (size_t i = 0; i < map->capacity; i++) {
        const struct map_entry *entry = &map->entries[i];
        if (entry->value == NULL)
            continue;
        count++;
        cr_assert_eq(entry->hash, siphash(&map->key, entry->key));
        for (size_t at = entry->hash & mask; at != i; at = (at + 1) & mask)
            cr_assert_not_null(map->entries[at].value, "hole at %zu before entry %zu", at, i);
    }
    cr_assert_eq(count, map->count);
    cr_assert_leq(count * 4, map->capacity * 3);
}

Test(map, finds_nothing_when_empty)
{
    struct map map = fresh_map();
    size_t cursor = 0;
    cr_assert_null(map_get(&map, slice_text("a")));
    cr_assert_null(map_remove(&map, slice_text("a")));
    cr_assert_null(map_next(&map, &cursor));
    cr_assert_eq(map.capacity, 0, "no memory before the first put");
    map_free(&map);
}

Test(map, gives_back_what_was_put)
{
    struct map map = fresh_map();
    int a, b;
    cr_assert_eq(map_put(&map, slice_text("a"), &a), 0);
    cr_assert_eq(map_put(&map, slice_text("b"), &b), 0);
    cr_assert_eq(map_get(&map, slice_text("a")), &a);
    cr_assert_eq(map_get(&map, slice_text("b")), &b);
    cr_assert_null(map_get(&map, slice_text("c")));
    cr_assert_eq(map.count, 2);
    cr_assert_eq(map_remove(&map, slice_text("a")), &a);
    cr_assert_null(map_get(&map, slice_text("a")));
    cr_assert_null(map_remove(&map, slice_text("a")));
    cr_assert_eq(map_get(&map, slice_text("b")), &b);
    map_free(&map);
}

Test(map, refuses_a_second_value_of_a_key)
{
    struct map map = fresh_map();
    int first, second;
    char copy[] = "key";
    cr_assert_eq(map_put(&map, slice_text("key"), &first), 0);
    cr_assert_eq(map_put(&map, slice_text(copy), &second), -EEXIST);
    cr_assert_eq(map_get(&map, slice_text("key")), &first);
    cr_assert_eq(map.count, 1);
    map_free(&map);
}

Test(map, takes_any_bytes_as_keys)
{
    struct map map = fresh_map();
    static const struct {
        const char *data;
        size_t bytes;
    } keys[] = {{"", 0}, {"\0", 1}, {"\0\0", 2}, {"a", 1}, {"a\0", 2}, {"a\0b", 3}, {"a\0c", 3}};
    enum { KEYS = sizeof keys / sizeof *keys };
    int values[KEYS];
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(map_put(&map, slice_of(keys[i].data, keys[i].bytes), &values[i]), 0);
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(map_get(&map, slice_of(keys[i].data, keys[i].bytes)), &values[i]);
    expect_sound(&map);
    map_free(&map);
}

Test(map, is_an_empty_map_after_free)
{
    struct map map = fresh_map();
    int value;
    map_put(&map, slice_text("a"), &value);
    map_free(&map);
    cr_assert_null(map_get(&map, slice_text("a")));
    cr_assert_eq(map_put(&map, slice_text("a"), &value), 0);
    cr_assert_eq(map_get(&map, slice_text("a")), &value);
    map_free(&map);
}

#define NAMES 3000

static char names[NAMES][8];

static struct slice name(size_t i)
{
    if (names[i][0] == '\0')
        snprintf(names[i], sizeof names[i], "n%zu", i);
    return slice_text(names[i]);
}

Test(map, grows_by_doubling_and_never_shrinks)
{
    struct map map = fresh_map();
    size_t capacity = 0;
    for (size_t i = 0; i < NAMES; i++) {
        cr_assert_eq(map_put(&map, name(i), names[i]), 0);
        cr_assert(map.capacity == capacity || capacity == 0 || map.capacity == 2 * capacity);
        cr_assert_leq(map.count * 4, map.capacity * 3);
        capacity = map.capacity;
    }
    expect_sound(&map);
    cr_assert_eq(map.capacity, 4096);
    for (size_t i = 0; i < NAMES; i++)
        cr_assert_eq(map_remove(&map, name(i)), names[i]);
    cr_assert_eq(map.count, 0);
    cr_assert_eq(map.capacity, capacity);
    map_free(&map);
}

Test(map, walks_over_each_value_once)
{
    struct map map = fresh_map();
    uint8_t seen[NAMES] = {0};
    for (size_t i = 0; i < NAMES; i++)
        map_put(&map, name(i), &seen[i]);
    size_t cursor = 0, count = 0;
    for (uint8_t *mark; (mark = map_next(&map, &cursor)) != NULL; count++)
        (*mark)++;
    cr_assert_eq(count, NAMES);
    for (size_t i = 0; i < NAMES; i++)
        cr_assert_eq(seen[i], 1);
    map_free(&map);
}

/* The n-th name whose home in a table of 16 is `home`. */
static struct slice name_with_home(size_t home, size_t n)
{
    for (size_t i = 0; i < NAMES; i++)
        if ((siphash(&test_key, name(i)) & 15) == home && n-- == 0)
            return name(i);
    cr_assert(false, "too few names");
    return slice_of(NULL, 0);
}

/* One run of entries 14 15 0 1 2 3 4, made of homes 14, 15 and 0, in every rotation of putting and removing. */
Test(map, closes_gaps_in_runs_that_wrap_around_the_end)
{
    const struct slice keys[] = {name_with_home(14, 0), name_with_home(15, 0), name_with_home(14, 1),
                                 name_with_home(0, 0),  name_with_home(15, 1), name_with_home(0, 1),
                                 name_with_home(14, 2)};
    enum { KEYS = sizeof keys / sizeof *keys };
    for (size_t shift = 0; shift < KEYS; shift++) {
        for (size_t step = 1; step < KEYS; step++) { /* 7 is prime: each step visits all */
            struct map map = fresh_map();
            for (size_t i = 0; i < KEYS; i++)
                cr_assert_eq(map_put(&map, keys[(i + shift) % KEYS], (void *)keys[(i + shift) % KEYS].data), 0);
            cr_assert_eq(map.capacity, 16);
            for (size_t removed = 0; removed < KEYS; removed++) {
                struct slice key = keys[removed * step % KEYS];
                cr_assert_eq(map_remove(&map, key), key.data);
                expect_sound(&map);
                for (size_t i = removed + 1; i < KEYS; i++)
                    cr_assert_eq(map_get(&map, keys[i * step % KEYS]), keys[i * step % KEYS].data);
            }
            map_free(&map);
        }
    }
}

/* Model: which of `count` names are in the map. */
static void agree_with_array(uint64_t seed, size_t count, int steps)
{
    struct random random;
    random_init(&random, seed);
    struct map map = fresh_map();
    bool present[NAMES] = {false};
    size_t live = 0;
    for (int step = 0; step < steps; step++) {
        size_t i = random_below(&random, count);
        void *expected = present[i] ? names[i] : NULL;
        switch (random_below(&random, 3)) {
        case 0:
            cr_assert_eq(map_put(&map, name(i), names[i]), present[i] ? -EEXIST : 0, "seed %lu step %d", seed, step);
            live += !present[i];
            present[i] = true;
            break;
        case 1:
            cr_assert_eq(map_remove(&map, name(i)), expected, "seed %lu step %d", seed, step);
            live -= present[i];
            present[i] = false;
            break;
        default:
            cr_assert_eq(map_get(&map, name(i)), expected, "seed %lu step %d", seed, step);
        }
        cr_assert_eq(map.count, live);
        if (map.capacity <= 32 || step % 500 == 0)
            expect_sound(&map);
    }
    map_free(&map);
}

Test(map, agrees_with_an_array_when_small_and_crowded)
{
    for (uint64_t seed = 0; seed < 20; seed++)
        agree_with_array(seed, 20, 1000);
}

Test(map, agrees_with_an_array_when_large)
{
    agree_with_array(100, NAMES, 40000);
}

#if STARVE_WORKS
/* A table of 12288 entries of 16384 is full; the next one would be 1 MiB, which an exhausted process does not get. */
Test(map, stays_intact_when_it_cannot_grow)
{
    enum { COUNT = 12288 };
    struct map map = fresh_map();
    static char keys[COUNT + 1][8];
    for (size_t i = 0; i <= COUNT; i++)
        snprintf(keys[i], sizeof keys[i], "k%zu", i);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(map_put(&map, slice_text(keys[i]), keys[i]), 0);
    size_t capacity = map.capacity;

    starve_begin();
    int full = map_put(&map, slice_text(keys[COUNT]), keys[COUNT]);
    int known = map_put(&map, slice_text(keys[0]), keys[0]);
    starve_end();

    cr_assert_eq(full, -ENOMEM);
    cr_assert_eq(known, -EEXIST, "a known key needs no memory");
    cr_assert_eq(map.capacity, capacity);
    cr_assert_null(map_get(&map, slice_text(keys[COUNT])));
    expect_sound(&map);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(map_get(&map, slice_text(keys[i])), keys[i]);
    cr_assert_eq(map_put(&map, slice_text(keys[COUNT]), keys[COUNT]), 0, "memory is back");
    cr_assert_eq(map.capacity, 2 * capacity);
    map_free(&map);
}
#endif

#define COLLIDING 16384 /* 2^14 */
#define PAIRS 14

/* "EzFYEz...": to h * 33 + c each pair is the same, and so are all names. */
static void write_colliding(char name[2 * PAIRS], uint32_t number)
{
    for (uint32_t i = 0; i < PAIRS; i++)
        memcpy(name + 2 * i, number >> i & 1 ? "FY" : "Ez", 2);
}

/* How many entries a look-up of each key passes before its own, all together. */
static uint64_t steps_to_all(const struct map *map)
{
    uint64_t steps = 0;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->entries[i].value != NULL)
            steps += (i - map->entries[i].hash) & (map->capacity - 1);
    return steps;
}

/* K-11: by steps, not by time; a half-full table has half a step at the mean when the homes are spread, thousands
 * when not. */
Test(map, passes_no_more_entries_for_names_that_collide_in_a_hash_without_a_key)
{
    static char colliding[COLLIDING][2 * PAIRS];
    for (uint64_t low = 0; low < 8; low++) {
        struct map map;
        map_init(&map, (struct siphash_key){low, 7 * low});
        for (uint32_t i = 0; i < COLLIDING; i++) {
            write_colliding(colliding[i], i);
            cr_assert_eq(map_put(&map, slice_of(colliding[i], sizeof colliding[i]), colliding[i]), 0);
        }
        cr_assert_eq(map.capacity, 2 * COLLIDING);
        cr_assert_lt(steps_to_all(&map), COLLIDING, "key %llu", (unsigned long long)low);
        map_free(&map);
    }
}
