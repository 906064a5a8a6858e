/* SPDX-License-Identifier: MIT */
/* Owns the groups of jobs that need the same, the kinds of jobs, and which class of workers can do which group. It
 * never orders jobs (queue.c does) and never counts slots (workers.c does). jobs.c takes and drops groups, workers.c
 * says which classes there are. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "protocol/dialects/emprops/requirements.h"

#include <errno.h>
#include <stdlib.h>

#define IDLE_KINDS_MAX 1024      /* kinds without jobs whose average is remembered */
#define AVERAGE_SECONDS_FIRST 60 /* E-20 */
#define AVERAGE_WEIGHT 0.2       /* of the newest */

static void set_bit(uint64_t *row, uint32_t bit, bool on)
{
    if (on)
        row[bit / 64] |= UINT64_C(1) << bit % 64;
    else
        row[bit / 64] &= ~(UINT64_C(1) << bit % 64);
}

static bool get_bit(const uint64_t *row, uint32_t bit)
{
    return row[bit / 64] >> bit % 64 & 1;
}

int queue_init(struct hub *hub)
{
    hub->all_root = NONE;
    list_init(&hub->idle_kinds);
    map_init(&hub->group_map, hub->secret);
    map_init(&hub->kind_map, hub->secret);
    return slab_init(&hub->groups, sizeof(struct group), GROUPS_MAX);
}

void queue_free(struct hub *hub)
{
    uint32_t at = 0;
    size_t cursor = 0;
    struct group *group;
    struct kind *kind;
    while (hub->groups.chunks != NULL && (group = slab_next(&hub->groups, &at, NULL)) != NULL)
        free(group->memory);
    while ((kind = map_next(&hub->kind_map, &cursor)) != NULL)
        free(kind);
    map_free(&hub->group_map);
    map_free(&hub->kind_map);
    slab_destroy(&hub->groups);
}

struct group *group_at(const struct hub *hub, uint32_t index)
{
    return slab_at(&hub->groups, index);
}

/* --- kinds -------------------------------------------------------------------------------------------------------- */

struct kind *kind_find(const struct hub *hub, struct slice name)
{
    return map_get(&hub->kind_map, name);
}

static void kind_forget(struct hub *hub, struct kind *kind)
{
    map_remove(&hub->kind_map, kind->name);
    free(kind);
}

static struct kind *kind_take(struct hub *hub, struct slice name)
{
    struct kind *kind = kind_find(hub, name);
    if (kind != NULL) {
        if (kind->users++ == 0) {
            list_remove(&kind->idle);
            hub->idle_kind_count--;
        }
        return kind;
    }
    kind = calloc(1, sizeof *kind + name.bytes);
    if (kind == NULL)
        return NULL;
    memcpy(kind->data, name.data, name.bytes);
    kind->name = slice_of(kind->data, name.bytes);
    kind->users = 1;
    kind->average_seconds = AVERAGE_SECONDS_FIRST;
    if (map_put(&hub->kind_map, kind->name, kind) != 0) {
        free(kind);
        return NULL;
    }
    return kind;
}

static void kind_drop(struct hub *hub, struct kind *kind)
{
    if (--kind->users > 0)
        return;
    list_push_back(&hub->idle_kinds, &kind->idle);
    if (++hub->idle_kind_count > IDLE_KINDS_MAX) {
        kind_forget(hub, list_entry(list_pop_front(&hub->idle_kinds), struct kind, idle));
        hub->idle_kind_count--;
    }
}

void kind_processed(struct kind *kind, double seconds)
{
    kind->average_seconds += AVERAGE_WEIGHT * (seconds - kind->average_seconds);
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

/* Whether jobs wait that no living worker can do, seen from both sides: begins or ends the wait for the alert
 * (E-65). */
void group_watch(struct hub *hub, struct group *group)
{
    bool lacks = group->root != NONE && group->living == 0;
    if (lacks && !group->lacking && !wheel_timer_set(&group->unmatched))
        wheel_set(&hub->group_wheel, &group->unmatched, hub->now_ms + hub->settings->unmatched_ms);
    if (lacks)
        return;
    wheel_cancel(&hub->group_wheel, &group->unmatched);
    if (group->lacking)
        hub->lacking_groups--;
    group->lacking = false;
}

void group_timer(struct hub *hub, struct group *group)
{
    group->lacking = true;
    hub->lacking_groups++;
}

static void match(struct group *group, struct class *class)
{
    bool fits = requirements_met(group->needs, class->key);
    set_bit(group->classes, class->index, fits);
    set_bit(class->groups, group->index, fits);
    if (fits && class->living > 0)
        group->living++;
}

static struct group *group_make(struct hub *hub, struct slice key, struct slice kind_name)
{
    struct handle handle;
    struct group *group = slab_alloc(&hub->groups, &handle);
    if (group == NULL)
        return NULL;
    group->index = handle.index;
    group->memory = malloc(key.bytes);
    group->kind = group->memory == NULL ? NULL : kind_take(hub, kind_name);
    if (group->kind != NULL) {
        memcpy(group->memory, key.data, key.bytes);
        group->key = slice_of(group->memory, key.bytes);
        if (map_put(&hub->group_map, group->key, group) == 0)
            return group;
        kind_drop(hub, group->kind);
    }
    free(group->memory);
    slab_free(&hub->groups, handle.index);
    return NULL;
}

uint32_t group_take(struct hub *hub, struct slice kind, struct slice needs)
{
    uint8_t memory[EMPROPS_TYPE_BYTES_MAX + 1 + CAPABILITIES_BYTES_MAX];
    struct buf key = buf_of(memory, sizeof memory);
    hub_put_text(&key, kind);
    buf_put(&key, needs);
    check(!key.overflow);
    struct group *group = map_get(&hub->group_map, buf_slice(&key));
    if (group != NULL) {
        group->users++;
        return group->index;
    }
    group = group_make(hub, buf_slice(&key), kind);
    if (group == NULL)
        return NONE;
    group->users = 1;
    group->root = NONE;
    group->needs = slice_skip(group->key, 1 + kind.bytes);
    group->gpu_needed = requirements_gpu(group->needs, &group->gpu_gb);
    uint32_t at = 0;
    struct class *class;
    while ((class = slab_next(&hub->classes, &at, NULL)) != NULL)
        match(group, class);
    return group->index;
}

void group_drop(struct hub *hub, uint32_t index)
{
    struct group *group = group_at(hub, index);
    if (--group->users > 0)
        return;
    check_op(group->root, ==, NONE);
    for (uint32_t c = 0; c < CLASSES_MAX; c++)
        if (get_bit(group->classes, c))
            set_bit(class_at(hub, c)->groups, index, false);
    map_remove(&hub->group_map, group->key);
    kind_drop(hub, group->kind);
    free(group->memory);
    slab_free(&hub->groups, index);
}

/* --- classes ------------------------------------------------------------------------------------------------------ */

void queue_class_added(struct hub *hub, struct class *class)
{
    uint32_t at = 0;
    struct group *group;
    while ((group = slab_next(&hub->groups, &at, NULL)) != NULL)
        match(group, class);
}

void queue_class_removed(struct hub *hub, const struct class *class)
{
    check_op(class->living, ==, 0);
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        if (get_bit(class->groups, g))
            set_bit(group_at(hub, g)->classes, class->index, false);
}

void queue_class_living(struct hub *hub, const struct class *class, bool living)
{
    for (uint32_t g = 0; g < GROUPS_MAX; g++) {
        if (!get_bit(class->groups, g))
            continue;
        struct group *group = group_at(hub, g);
        group->living += living ? 1 : UINT32_MAX;
        group_watch(hub, group);
    }
}
