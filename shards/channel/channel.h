/* SPDX-License-Identifier: MIT */
/* The home half of a channel: who listens (per class and shard), the log of its frames, and what is retained. A class
 * is the set of listeners with the same variant; filters are evaluated once per class (fanout.c), never per
 * listener. */
#ifndef RINGCAST_SHARDS_CHANNEL_H
#define RINGCAST_SHARDS_CHANNEL_H

#include "core/frame_memory.h"
#include "core/map.h"
#include "protocol/deflate.h"
#include "shards/channel/history.h"
#include "shards/mail/errand.h"

struct shard;
struct mail;

#define CLASS_BYTES 64 /* what a class weighs besides its variant */

struct channel {
    struct hash128 id; /* key in the map */
    uint8_t dialect;
    struct slice name; /* behind the struct */
    struct channel_traits traits;
    struct frame_log logs[DEFLATE_CLASSES]; /* one per compression class, so that each is contiguous */
    struct history history;
    struct list classes;
    uint64_t filter_bytes;   /* what its classes weigh (CLASS_BYTES each, and the variant) */
    struct list_node active; /* in channels.active while the log holds a tail or frames are retained */
    uint64_t published_ms;
    const struct config *config; /* that its traits are of; only compared */
};

/* What was appended in this tick and has not been mailed. */
struct pending_range {
    struct frame frame; /* bytes 0: nothing */
    uint32_t messages;
    uint32_t last_bytes;
};

struct class
{
    struct list_node node;         /* in channel.classes */
    struct list_node pending_node; /* in channels.pending while `pending` holds something */
    struct channel *channel;
    uint8_t encoding;     /* compression class of its listeners (deflate.h) */
    struct slice key;     /* of channels.by_variant: the channel's id, the encoding and the variant; owned */
    struct slice variant; /* inside key */
    bool matched;         /* by the event that is being published */
    uint32_t index;       /* slab index, the class's number in mail */
    uint32_t listeners;   /* over all shards */
    uint32_t *counts;     /* [shard]: listeners there; owned */
    struct pending_range pending;
};

struct channels {
    struct map map;        /* struct channel by id */
    struct map by_variant; /* struct class by id and variant */
    struct slab classes;
    struct list active; /* channels that published lately or retain frames by age */
    uint32_t active_count;
    size_t settings_at;  /* cursor of channels_settings */
    bool settings_stale; /* it has found one in this round */
    uint32_t sweep_left; /* of them, still to be looked at in this second */
    struct list pending; /* classes in the order in which they got something in this tick */
    const struct channel
        *run;            /* the channel of the last event of a dialect whose channels live together; only compared */
    uint64_t cut_serial; /* the newest segment whose readers have been cut */
    uint64_t cut_ms;     /* and when */
};

int channels_init(struct channels *channels, struct siphash_key key);
void channels_destroy(struct shard *shard);

/* The identity of a channel and its home. */
struct hash128 channel_id(const struct shard *shard, uint8_t dialect, struct slice name);
uint16_t channel_home(const struct shard *shard, uint8_t dialect, struct slice name);

/* The channel of that name, or NULL. */
struct channel *channel_find(struct shard *shard, uint8_t dialect, struct slice name);
/* ERRAND_SUBSCRIBE: counts the listener and fills in the answer (class, policy, retained frames); what was published
 * before is mailed first, so everything after the answer is the listener's. */
void channel_subscribe(struct shard *shard, struct errand *errand);
/* ERRAND_PUBLISH: status 202 and the receivers, or 429 when frame memory is exhausted. */
void channel_publish(struct shard *shard, struct errand *errand);
/* ERRAND_NEWEST: 200 with the payload of the newest retained message, or 404. */
void channel_newest(struct shard *shard, struct errand *errand);
/* The channel has something that the sweep is to look at. */
void channel_activate(struct shard *shard, struct channel *channel);
/* Once a second a round begins, and each turn goes on with some of it: quiet logs let their tail go, old retained
 * frames expire, empty channels end. */
void channels_begin_sweep(struct shard *shard);
void channels_sweep(struct shard *shard);
/* After a reload: what is retained follows the settings. The policy of a channel stays as long as the channel lives. As many as the phase has
 * work left for, and each that is used meanwhile; true when all do. */
bool channels_settings(struct shard *shard);
/* Frame memory is full: lets go what is retained in the oldest segment, and ends the readers that hold it. The next call, not
 * sooner than 10 ms later, takes the next segment. */
void channels_cut_oldest(struct shard *shard);

/* Asserts what holds for one channel, and for all of them (channel.c says what). */
void channel_check(const struct shard *shard, const struct channel *channel);
void channels_check(const struct shard *shard);

/* --- fanout.c ----------------------------------------------------------------------------------------------------- */

/* Sequences and retains one event of a channel at its home: one frame, built once, marked for every class that it
 * matches. Sets *receivers; 202 or 429. */
int fanout_publish(struct shard *shard, struct channel *channel, const struct event *event, uint32_t *receivers);
/* Mails everything pending. Whether there was anything. */
bool fanout_flush(struct shard *shard);

#endif
