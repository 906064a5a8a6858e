/* SPDX-License-Identifier: MIT */
/* Owns the channels whose home is this shard: their classes, listeners per shard, and what they retain. It never sees a
 * connection and never delivers. Called by home (errands), mail (unsubscribe) and the once-a-second sweep.
 *
 * Between two turns (channel_check):
 *   - a channel is found under its identity, which is its name's, and its home is this shard;
 *   - it has listeners or retains something; else, or while a log holds its tail, the sweep has it on its list;
 *   - a class belongs to its channel, is found under its key, which begins with the channel's identity, and has
 *     listeners: the sum over the shards;
 *   - a class is on the list of pending ones exactly when its pending range holds bytes; then it counts at least one
 *     message and the newest is no longer than the range; all of it is committed;
 *   - tails and retained frames lie in referenced segments of this home; what is retained is in the order of time. */
#include "shards/channel/channel.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/frame.h"
#include "core/list.h"
#include "core/slab.h"
#include "core/stats.h"
#include "core/work.h"
#include "protocol/deflate.h"
#include "protocol/dialect.h"
#include "shards/channel/service_host.h"
#include "shards/config/settings.h"
#include "shards/mail/errand.h"
#include "shards/mail/home.h"
#include "shards/mail/mail.h"
#include "shards/note.h"
#include "shards/shard.h"

#include <errno.h>
#include <stdlib.h>

#define CLASSES_MAX (1U << 22)
#define SWEEP_MAX 1024 /* channels a turn */
#define LOG_QUIET_MS 1000
#define CUT_INTERVAL_MS 10

int channels_init(struct channels *channels, struct siphash_key key)
{
    map_init(&channels->map, key);
    map_init(&channels->by_variant, key);
    list_init(&channels->active);
    list_init(&channels->pending);
    return slab_init(&channels->classes, sizeof(struct class), CLASSES_MAX);
}

static void release_logs(struct shard *shard, struct channel *channel)
{
    for (unsigned class = 0; class < DEFLATE_CLASSES; class ++)
        frame_log_release(shard->frames, shard->idle, &channel->logs[class]);
}

static void channel_free(struct shard *shard, struct channel *channel)
{
    history_clear(&channel->history, shard->idle, shard->number);
    release_logs(shard, channel);
    free(channel);
}

void channels_destroy(struct shard *shard)
{
    struct channels *channels = shard->channels;
    uint32_t live = 0;
    for (struct class *c; (c = slab_next(&channels->classes, &live, NULL)) != NULL;) {
        free(c->counts);
        free((void *)(uintptr_t)c->key.data);
    }
    slab_destroy(&channels->classes);
    map_free(&channels->by_variant);
    size_t cursor = 0;
    for (struct channel *channel; (channel = map_next(&channels->map, &cursor)) != NULL;)
        channel_free(shard, channel);
    map_free(&channels->map);
}

struct hash128 channel_id(const struct shard *shard, uint8_t dialect, struct slice name)
{
    return home_name(shard, 'c', dialect, name);
}

uint16_t channel_home(const struct shard *shard, uint8_t dialect, struct slice name)
{
    const char *home_key = dialects[dialect]->home_key;
    struct hash128 id =
        home_key != NULL ? home_name(shard, 'h', dialect, slice_text(home_key)) : channel_id(shard, dialect, name);
    return home_of(shard, id);
}

/* What a reload has changed, if it has not been taken over yet. */
static void follow_settings(struct shard *shard, struct channel *channel)
{
    enum channel_policy policy = channel->traits.policy;
    if (channel->config == shard->config)
        return;
    channel->config = shard->config;
    if (dialects[channel->dialect]->traits == NULL)
        return;
    dialects[channel->dialect]->traits(shard->config->dialects[channel->dialect], channel->name, &channel->traits);
    channel->traits.policy = policy; /* its audiences have been told */
    if (channel->traits.retain_count == 0)
        history_clear(&channel->history, shard->idle, shard->number);
    channel_activate(shard, channel); /* the sweep looks whether it is empty now */
}

struct channel *channel_find(struct shard *shard, uint8_t dialect, struct slice name)
{
    struct hash128 id = channel_id(shard, dialect, name);
    struct channel *channel = map_get(&shard->channels->map, slice_of(&id, sizeof id));
    if (channel != NULL)
        follow_settings(shard, channel);
    return channel;
}

static struct channel *channel_make(struct shard *shard, uint8_t dialect, struct slice name)
{
    struct channel *channel = calloc(1, sizeof *channel + name.bytes);
    if (channel == NULL)
        return NULL;
    channel->id = channel_id(shard, dialect, name);
    channel->dialect = dialect;
    channel->config = shard->config;
    memcpy(channel + 1, name.data, name.bytes);
    channel->name = slice_of(channel + 1, name.bytes);
    if (dialects[dialect]->traits != NULL)
        dialects[dialect]->traits(shard->config->dialects[dialect], name, &channel->traits);
    list_init(&channel->classes);
    if (map_put(&shard->channels->map, slice_of(&channel->id, sizeof channel->id), channel) != 0) {
        free(channel);
        return NULL;
    }
    stats_add(&shard->stats, STAT_CHANNELS, 1);
    return channel;
}

void channel_activate(struct shard *shard, struct channel *channel)
{
    if (list_linked(&channel->active))
        return;
    list_push_back(&shard->channels->active, &channel->active);
    shard->channels->active_count++;
}

static void deactivate(struct shard *shard, struct channel *channel)
{
    list_remove(&channel->active);
    shard->channels->active_count--;
}

/* Ends a channel that nobody listens to and that retains nothing. */
static void channel_end_if_empty(struct shard *shard, struct channel *channel)
{
    if (!list_empty(&channel->classes) || channel->history.count > 0)
        return;
    if (list_linked(&channel->active))
        deactivate(shard, channel);
    map_remove(&shard->channels->map, slice_of(&channel->id, sizeof channel->id));
    if (shard->channels->run == channel)
        shard->channels->run = NULL;
    channel_free(shard, channel);
    stats_sub(&shard->stats, STAT_CHANNELS, 1);
}

/* The key of a class, built in the shard's scratch memory. */
static struct slice class_key(struct shard *shard, const struct channel *channel, uint8_t encoding,
                              struct slice variant)
{
    struct buf key = buf_of(shard->scratch, SCRATCH_BYTES);
    buf_put(&key, slice_of(&channel->id, sizeof channel->id));
    buf_put_byte(&key, encoding);
    buf_put(&key, variant);
    check(!key.overflow);
    return buf_slice(&key);
}

static void class_free(struct shard *shard, struct class *class)
{
    free(class->counts);
    free((void *)(uintptr_t) class->key.data);
    slab_free(&shard->channels->classes, class->index);
}

static uint64_t filter_bytes(struct slice variant)
{
    return variant.bytes + CLASS_BYTES;
}

/* Every publish tries every class of its channel, and listeners choose their filters: so these have a budget. */
static bool has_room_for(struct shard *shard, const struct channel *channel, struct slice variant)
{
    if (list_empty(&channel->classes) || variant.bytes == 0 || /* who wants all costs no comparison */
        channel->filter_bytes + filter_bytes(variant) <= shard->config->server.channel_filters_max)
        return true;
    stats_add(&shard->stats, STAT_CLASSES_REFUSED, 1);
    return false;
}

static struct class *class_make(struct shard *shard, struct channel *channel, struct slice key)
{
    struct handle handle;
    if (!has_room_for(shard, channel, slice_skip(key, sizeof channel->id + 1)))
        return NULL;
    struct class *class = slab_alloc(&shard->channels->classes, &handle);
    if (class == NULL)
        return NULL;
    uint8_t *copy = malloc(key.bytes);
    *class = (struct class){
        .channel = channel, .index = handle.index, .counts = calloc(shard->count, sizeof *class->counts)};
    class->key = slice_of(copy, copy == NULL ? 0 : key.bytes);
    if (copy == NULL || class->counts == NULL) {
        class_free(shard, class);
        return NULL;
    }
    memcpy(copy, key.data, key.bytes);
    class->encoding = class->key.data[sizeof channel->id];
    class->variant = slice_skip(class->key, sizeof channel->id + 1);
    if (map_put(&shard->channels->by_variant, class->key, class) != 0) {
        class_free(shard, class);
        return NULL;
    }
    if (!service_host_interest(shard, channel->dialect, channel->name, class->variant, true)) {
        map_remove(&shard->channels->by_variant, class->key);
        class_free(shard, class);
        return NULL;
    }
    list_push_back(&channel->classes, &class->node);
    channel->filter_bytes += filter_bytes(class->variant);
    stats_add(&shard->stats, STAT_CLASSES, 1);
    return class;
}

static void class_end(struct shard *shard, struct class *class)
{
    struct channel *channel = class->channel;
    if (class->pending.frame.bytes > 0) {
        frame_release(shard->idle, class->pending.frame.segment, shard->number, 1);
        list_remove(&class->pending_node);
    }
    list_remove(&class->node);
    channel->filter_bytes -= filter_bytes(class->variant);
    map_remove(&shard->channels->by_variant, class->key);
    service_host_interest(shard, channel->dialect, channel->name, class->variant, false);
    class_free(shard, class);
    stats_sub(&shard->stats, STAT_CLASSES, 1);
    channel_end_if_empty(shard, channel);
}

/* Fills in the retained frames that a new listener asked for. */
static bool answer_history(struct shard *shard, struct channel *channel, struct errand *errand)
{
    history_expire(&channel->history, &channel->traits, shard->idle, shard->number, shard->now_ms);
    uint32_t wanted =
        errand->subscribe.history_max < channel->history.count ? errand->subscribe.history_max : channel->history.count;
    if (wanted == 0)
        return true;
    errand->subscribe.frames =
        malloc(wanted * (sizeof *errand->subscribe.frames + sizeof *errand->subscribe.frame_messages));
    if (errand->subscribe.frames == NULL)
        return false;
    errand->subscribe.frame_messages = (uint32_t *)(errand->subscribe.frames + wanted);
    errand->subscribe.frame_count =
        history_ranges(&channel->history, wanted, errand->subscribe.frames, errand->subscribe.frame_messages);
    for (uint32_t i = 0; i < errand->subscribe.frame_count; i++)
        mail_hand_over(shard, errand->origin, errand->subscribe.frames[i].segment);
    return true;
}

void channel_subscribe(struct shard *shard, struct errand *errand)
{
    errand->status = 503;
    struct channel *channel = channel_find(shard, errand->dialect, errand->subscribe.channel);
    if (channel == NULL)
        channel = channel_make(shard, errand->dialect, errand->subscribe.channel);
    if (channel == NULL)
        return;
    fanout_flush(shard);
    struct slice key = class_key(shard, channel, errand->subscribe.encoding, errand->subscribe.variant);
    struct class *class = map_get(&shard->channels->by_variant, key);
    if (class == NULL)
        class = class_make(shard, channel, key);
    if (class == NULL || !answer_history(shard, channel, errand)) {
        if (class != NULL && class->listeners == 0)
            class_end(shard, class);
        else
            channel_end_if_empty(shard, channel);
        return;
    }
    class->counts[errand->origin]++;
    class->listeners++;
    errand->subscribe.class_index = class->index;
    errand->subscribe.channel_id = channel->id;
    errand->subscribe.policy = channel->traits.policy;
    errand->status = 200;
}

void channel_on_unsubscribe(struct shard *shard, const struct mail *mail)
{
    struct class *class = slab_at(&shard->channels->classes, mail->unsubscribe.class_index);
    check_op(class->counts[mail->from], >, 0);
    class->counts[mail->from]--;
    if (--class->listeners == 0)
        class_end(shard, class);
}

void channel_publish(struct shard *shard, struct errand *errand)
{
    struct channel *channel = channel_find(shard, errand->dialect, errand->publish.event.channel);
    if (channel == NULL) {
        struct channel_traits traits = {0};
        if (dialects[errand->dialect]->traits != NULL)
            dialects[errand->dialect]->traits(shard->config->dialects[errand->dialect], errand->publish.event.channel,
                                              &traits);
        if (traits.retain_count == 0) {
            stats_add(&shard->stats, STAT_PUBLISHED, 1);
            errand->status = 202;
            return;
        }
        channel = channel_make(shard, errand->dialect, errand->publish.event.channel);
        if (channel == NULL) {
            errand->status = 429;
            return;
        }
    }
    errand->status = fanout_publish(shard, channel, &errand->publish.event, &errand->publish.receivers);
    channel_end_if_empty(shard, channel);
}

void channel_newest(struct shard *shard, struct errand *errand)
{
    errand->status = 404;
    struct channel *channel = channel_find(shard, errand->dialect, errand->newest.channel);
    if (channel == NULL)
        return;
    history_expire(&channel->history, &channel->traits, shard->idle, shard->number, shard->now_ms);
    struct frame frame;
    uint32_t messages;
    if (history_ranges(&channel->history, 1, &frame, &messages) == 0)
        return;
    size_t header = ws_header_length(frame_data(frame)[1]);
    errand->reply = malloc(frame.bytes - header + 1);
    if (errand->reply == NULL) {
        errand->status = 503;
        return;
    }
    errand->reply_bytes = frame.bytes - header;
    memcpy(errand->reply, frame_data(frame) + header, errand->reply_bytes);
    errand->status = 200;
}

/* Whether the sweep has to come back to the channel. */
static bool sweep(struct shard *shard, struct channel *channel)
{
    history_expire(&channel->history, &channel->traits, shard->idle, shard->number, shard->now_ms);
    if (shard->now_ms - channel->published_ms < LOG_QUIET_MS)
        return true;
    release_logs(shard, channel);
    return channel->history.count > 0 && channel->traits.retain_age_ms > 0;
}

void channels_begin_sweep(struct shard *shard)
{
    shard->channels->sweep_left = shard->channels->active_count;
}

/* What stays goes to the end, behind those of this round. */
void channels_sweep(struct shard *shard)
{
    struct channels *channels = shard->channels;
    for (uint32_t n = 0; n < SWEEP_MAX && channels->sweep_left > 0 && work_left(shard->work);
         n++, channels->sweep_left--) {
        work_spend(shard->work, WORK_LOOK, 1);
        struct list_node *node = list_first(&channels->active);
        if (node == NULL) {
            channels->sweep_left = 0;
            return;
        }
        struct channel *channel = list_entry(node, struct channel, active);
        deactivate(shard, channel);
        if (sweep(shard, channel))
            channel_activate(shard, channel);
        else
            channel_end_if_empty(shard, channel);
    }
}

/* Rounds over the map until one has found none: it may move its entries meanwhile. */
bool channels_settings(struct shard *shard)
{
    struct channels *channels = shard->channels;
    while (work_left(shard->work)) {
        struct channel *channel = map_next(&channels->map, &channels->settings_at);
        work_spend(shard->work, WORK_LOOK, 1);
        if (channel != NULL) {
            channels->settings_stale |= channel->config != shard->config;
            follow_settings(shard, channel);
            continue;
        }
        channels->settings_at = 0;
        if (!channels->settings_stale)
            return true;
        channels->settings_stale = false;
    }
    return false;
}

/* What is only kept for later makes room first: retained frames as old as the segment, and the tail of a quiet log. */
static void relieve(struct shard *shard, const struct segment *segment)
{
    struct channel *channel = map_get(&shard->channels->map, slice_of(&segment->owner, sizeof segment->owner));
    if (channel != NULL) {
        uint32_t let_go = history_relieve(&channel->history, shard->idle, shard->number, segment->serial);
        stats_add(&shard->stats, STAT_RETAINED_DROPPED, let_go);
        if (let_go > 0)
            channel_activate(shard, channel); /* the sweep looks whether it is empty now */
        for (unsigned class = 0; class < DEFLATE_CLASSES; class ++)
            if (channel->logs[class].tail == segment)
                frame_log_release(shard->frames, shard->idle, &channel->logs[class]);
    }
}

void channels_cut_oldest(struct shard *shard)
{
    struct channels *channels = shard->channels;
    if (shard->now_ms - channels->cut_ms < CUT_INTERVAL_MS)
        return;
    channels->cut_ms = shard->now_ms;
    struct list_node *node = list_first(&shard->frames->segments);
    while (node != NULL && list_entry(node, struct segment, node)->serial <= channels->cut_serial)
        node = list_next(&shard->frames->segments, node);
    if (node == NULL) {
        channels->cut_serial = 0; /* all were cut once: begin again at the oldest */
        return;
    }
    struct segment *segment = list_entry(node, struct segment, node);
    channels->cut_serial = segment->serial;
    shard_note(shard, FLIGHT_CUT, shard->number, (int64_t)segment->serial, 0);
    relieve(shard, segment);
    for (uint16_t to = 0; to < shard->count; to++) {
        struct mail mail = {.kind = MAIL_CUT, .cut = {.segment = segment, .serial = segment->serial}};
        mail_post(shard, to, mail);
    }
}

/* --- what holds --------------------------------------------------------------------------------------------------- */

static void check_frame(const struct shard *shard, struct frame frame)
{
    check_op(frame.bytes, >, 0);
    check_op(frame.segment->home, ==, shard->number);
    check_op(frame.segment->shares[shard->number].refs, >, 0);
    check_op(frame.offset, <=, frame.segment->used);
    check_op(frame.bytes, <=, frame.segment->used - frame.offset);
}

static void check_class(const struct shard *shard, const struct channel *channel, const struct class *class)
{
    uint64_t listeners = 0;
    check(class->channel == channel);
    check(slab_at(&shard->channels->classes, class->index) == class);
    check(map_get(&shard->channels->by_variant, class->key) == class);
    check(memcmp(class->key.data, &channel->id, sizeof channel->id) == 0);
    check_op(class->encoding, <, DEFLATE_CLASSES);
    for (uint16_t i = 0; i < shard->count; i++)
        listeners += class->counts[i];
    check_op(listeners, ==, class->listeners);
    check_op(listeners, >, 0);
    check(list_linked(&class->pending_node) == (class->pending.frame.bytes > 0));
    if (class->pending.frame.bytes == 0)
        return;
    check_frame(shard, class->pending.frame);
    check_op(class->pending.messages, >, 0);
    check_op(class->pending.last_bytes, <=, class->pending.frame.bytes);
}

static void check_history(const struct shard *shard, const struct history *history)
{
    uint64_t at_ms = 0;
    check_op(history->count, <=, history->capacity);
    for (uint32_t i = 0; i < history->count; i++) {
        const struct history_entry *entry = &history->entries[(history->head + i) % history->capacity];
        check_frame(shard, entry->frame);
        check_op(entry->at_ms, >=, at_ms);
        at_ms = entry->at_ms;
    }
}

void channel_check(const struct shard *shard, const struct channel *channel)
{
    bool swept = list_linked(&channel->active);
    struct hash128 id = channel_id(shard, channel->dialect, channel->name);
    check(memcmp(&id, &channel->id, sizeof id) == 0);
    check(map_get(&shard->channels->map, slice_of(&channel->id, sizeof channel->id)) == channel);
    check_op(channel_home(shard, channel->dialect, channel->name), ==, shard->number);
    check(!list_empty(&channel->classes) || channel->history.count > 0 || swept);
    uint64_t bytes = 0;
    for (const struct list_node *node = list_first(&channel->classes); node != NULL;
         node = list_next(&channel->classes, node)) {
        const struct class *class = list_entry(node, struct class, node);
        check_class(shard, channel, class);
        bytes += filter_bytes(class->variant);
    }
    check_op(bytes, ==, channel->filter_bytes);
    for (unsigned class = 0; class < DEFLATE_CLASSES; class ++) {
        const struct segment *tail = channel->logs[class].tail;
        check(tail == NULL || (swept && tail->home == shard->number && tail->shares[shard->number].refs > 0));
    }
    check_history(shard, &channel->history);
}

void channels_check(const struct shard *shard)
{
    size_t cursor = 0, classes = 0;
    uint32_t active = 0;
    for (const struct channel *channel; (channel = map_next(&shard->channels->map, &cursor)) != NULL;) {
        channel_check(shard, channel);
        active += list_linked(&channel->active);
        for (const struct list_node *node = list_first(&channel->classes); node != NULL;
             node = list_next(&channel->classes, node))
            classes++;
    }
    check_op(classes, ==, shard->channels->classes.count_live); /* none is without its channel */
    check_op(classes, ==, shard->channels->by_variant.count);
    check_op(active, ==, shard->channels->active_count);
}
