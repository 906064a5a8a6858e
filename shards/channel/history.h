/* SPDX-License-Identifier: MIT */
/* The newest frames of a channel, kept at its home for later subscribers (O-5): bounded by count and age. Pure but for
 * the references that it holds. */
#ifndef RINGCAST_SHARDS_HISTORY_H
#define RINGCAST_SHARDS_HISTORY_H

#include "core/frame.h"
#include "protocol/event.h"

struct history_entry {
    struct frame frame;
    uint64_t at_ms;
};

struct history {
    struct history_entry *entries; /* a ring of `capacity`, NULL while nothing is retained */
    uint32_t head, count, capacity;
};

/* Adds a frame as the newest, and lets the oldest go beyond the bounds of `traits`. False when memory is out (nothing
 * added). */
bool history_add(struct history *history, const struct channel_traits *traits, struct frame_idle *idle, uint16_t shard,
                 struct frame frame, uint64_t now_ms);
/* Lets go what is older than the bound. */
void history_expire(struct history *history, const struct channel_traits *traits, struct frame_idle *idle,
                    uint16_t shard, uint64_t now_ms);
/* The newest `max` as ranges, oldest first, adjacent ones merged: fills frames[] and messages[] (room for `max`);
 * returns the number of ranges. */
uint32_t history_ranges(const struct history *history, uint32_t max, struct frame *frames, uint32_t *messages);
/* Lets go the oldest entries up to and with the last that lies in a segment of that serial or an older one: frame
 * memory is exhausted. Returns how many. */
uint32_t history_relieve(struct history *history, struct frame_idle *idle, uint16_t shard, uint64_t serial);
/* Lets everything go. */
void history_clear(struct history *history, struct frame_idle *idle, uint16_t shard);

#endif
