/* SPDX-License-Identifier: MIT */
/* Owns the retained frames of one channel. It never decides what is retained beyond its bounds and never sends. Called
 * by fanout (add), channel (read, expire). */
#include "shards/channel/history.h"

#include "core/frame.h"

#include <stdlib.h>

static struct history_entry *entry(const struct history *history, uint32_t i)
{
    return &history->entries[(history->head + i) % history->capacity];
}

static void drop_oldest(struct history *history, struct frame_idle *idle, uint16_t shard)
{
    frame_release(idle, entry(history, 0)->frame.segment, shard, 1);
    history->head = (history->head + 1) % history->capacity;
    history->count--;
}

static bool grow(struct history *history, uint32_t count_max)
{
    uint32_t capacity = history->capacity == 0 ? 8 : history->capacity * 2;
    if (capacity > count_max)
        capacity = count_max;
    struct history_entry *entries = malloc(capacity * sizeof *entries);
    if (entries == NULL)
        return false;
    for (uint32_t i = 0; i < history->count; i++)
        entries[i] = *entry(history, i);
    free(history->entries);
    history->entries = entries;
    history->head = 0;
    history->capacity = capacity;
    return true;
}

bool history_add(struct history *history, const struct channel_traits *traits, struct frame_idle *idle, uint16_t shard,
                 struct frame frame, uint64_t now_ms)
{
    if (traits->retain_count == 0)
        return true;
    history_expire(history, traits, idle, shard, now_ms);
    while (history->count >= traits->retain_count)
        drop_oldest(history, idle, shard);
    if (history->count == history->capacity && !grow(history, traits->retain_count))
        return false;
    *entry(history, history->count) = (struct history_entry){.frame = frame, .at_ms = now_ms};
    history->count++;
    frame_ref(frame.segment, shard, 1);
    return true;
}

void history_expire(struct history *history, const struct channel_traits *traits, struct frame_idle *idle,
                    uint16_t shard, uint64_t now_ms)
{
    if (traits->retain_age_ms == 0)
        return;
    while (history->count > 0 && now_ms - entry(history, 0)->at_ms >= traits->retain_age_ms)
        drop_oldest(history, idle, shard);
}

uint32_t history_relieve(struct history *history, struct frame_idle *idle, uint16_t shard, uint64_t serial)
{
    uint32_t let_go = 0;
    for (; history->count > 0 && entry(history, 0)->frame.segment->serial <= serial; let_go++)
        drop_oldest(history, idle, shard);
    return let_go;
}

uint32_t history_ranges(const struct history *history, uint32_t max, struct frame *frames, uint32_t *messages)
{
    uint32_t first = history->count > max ? history->count - max : 0;
    uint32_t ranges = 0;
    for (uint32_t i = first; i < history->count; i++) {
        struct frame frame = entry(history, i)->frame;
        if (ranges > 0 && frame_adjacent(frames[ranges - 1], frame)) {
            frames[ranges - 1].bytes += frame.bytes;
            messages[ranges - 1]++;
        } else {
            frames[ranges] = frame;
            messages[ranges++] = 1;
        }
    }
    return ranges;
}

void history_clear(struct history *history, struct frame_idle *idle, uint16_t shard)
{
    while (history->count > 0)
        drop_oldest(history, idle, shard);
    free(history->entries);
    *history = (struct history){0};
}
