/* SPDX-License-Identifier: MIT */
/* Owns the way from one published event to the mails that carry it: builds the frame once, evaluates filters once per
 * class, gathers what a class gets within a tick into one range, and mails it to the shards that listen. It never sees
 * a connection. Called by channel and service_host (publish) and shard_tick (flush). */
#include "core/frame.h"
#include "core/list.h"
#include "core/stats.h"
#include "core/work.h"
#include "protocol/deflate.h"
#include "protocol/dialect.h"
#include "shards/channel/channel.h"
#include "shards/conn/message.h"
#include "shards/mail/mail.h"
#include "shards/note.h"
#include "shards/shard.h"

static void flush_class(struct shard *shard, struct class *class)
{
    struct pending_range *pending = &class->pending;
    struct mail mail = {.kind = MAIL_DELIVER};
    mail.deliver.frame = pending->frame;
    mail.deliver.class_index = class->index;
    mail.deliver.messages = pending->messages;
    mail.deliver.last_bytes = pending->last_bytes;
    for (uint16_t to = 0; to < shard->count; to++) {
        if (class->counts[to] == 0)
            continue;
        mail_hand_over(shard, to, pending->frame.segment);
        mail_post(shard, to, mail);
    }
    frame_release(shard->idle, pending->frame.segment, shard->number, 1);
    pending->frame.bytes = 0;
    list_remove(&class->pending_node);
}

/* In the order in which it was published. */
bool fanout_flush(struct shard *shard)
{
    bool any = !list_empty(&shard->channels->pending);
    struct list_node *node;
    while ((node = list_first(&shard->channels->pending)) != NULL)
        flush_class(shard, list_entry(node, struct class, pending_node));
    return any;
}

/* A message that stands alone in its mail: it may be replaced at a slow reader, or closes its listeners. */
static void mail_alone(struct shard *shard, struct class *class, struct frame frame, const struct event *event)
{
    struct mail mail = {.kind = MAIL_DELIVER};
    mail.deliver.frame = frame;
    mail.deliver.class_index = class->index;
    mail.deliver.messages = frame.bytes > 0;
    mail.deliver.last_bytes = frame.bytes;
    mail.deliver.conflate = event->conflate;
    mail.deliver.close_code = event->close_code;
    mail.deliver.close_reason = event->close_reason;
    fanout_flush(shard);
    for (uint16_t to = 0; to < shard->count; to++) {
        if (class->counts[to] == 0)
            continue;
        if (frame.segment != NULL)
            mail_hand_over(shard, to, frame.segment);
        mail_post(shard, to, mail);
    }
}

/* Adds a frame to what the class gets in this tick; what does not continue it is mailed first. */
static void pend(struct shard *shard, struct class *class, struct frame frame, const struct event *event)
{
    struct pending_range *pending = &class->pending;
    if (class->channel->traits.policy == POLICY_CONFLATE || event->close_code != 0) {
        mail_alone(shard, class, frame, event);
        return;
    }
    if (pending->frame.bytes > 0 && frame_adjacent(pending->frame, frame)) {
        pending->frame.bytes += frame.bytes;
        pending->messages++;
        pending->last_bytes = frame.bytes;
        return;
    }
    if (pending->frame.bytes > 0)
        fanout_flush(shard);
    *pending = (struct pending_range){.frame = frame, .messages = 1, .last_bytes = frame.bytes};
    frame_ref(frame.segment, shard->number, 1);
    list_push_back(&shard->channels->pending, &class->pending_node);
}

/* The frames of one event, one per compression class that is wanted: built when first asked for. */
struct built {
    struct frame frames[DEFLATE_CLASSES]; /* bytes 0: not built */
};

/* The event's frame for receivers of that class; bytes 0 when frame memory is exhausted. */
static struct frame build(struct shard *shard, struct channel *channel, const struct event *event, uint8_t class,
                          struct built *built)
{
    uint8_t of_message = message_class(shard, channel->dialect, class, event->payload.bytes);
    struct frame *frame = &built->frames[of_message];
    if (frame->bytes == 0) {
        work_spend(shard->work, WORK_FRAME_BYTE, event->payload.bytes);
        *frame =
            message_frame(shard, shard->frames, &channel->logs[of_message], event->opcode, event->payload, of_message);
    }
    if (frame->bytes > 0)
        frame->segment->owner = channel->id;
    return *frame;
}

static bool matches(const struct channel *channel, const struct class *class, const struct event *event)
{
    const struct dialect *dialect = dialects[channel->dialect];
    return dialect->matches == NULL || dialect->matches(class->variant, event);
}

/* Where the channels of a dialect live together, their events reach a listener in the order in which they were
 * published, over all of them: what another channel has pending is mailed first. */
static void keep_order(struct shard *shard, const struct channel *channel)
{
    if (dialects[channel->dialect]->home_key == NULL)
        return;
    if (shard->channels->run != channel)
        fanout_flush(shard);
    shard->channels->run = channel;
}

int fanout_publish(struct shard *shard, struct channel *channel, const struct event *event, uint32_t *receivers)
{
    struct built built = {0};
    bool has_message = event->payload.bytes > 0 || event->close_code == 0;
    *receivers = 0;
    work_spend(shard->work, WORK_CLASS, channel->filter_bytes / CLASS_BYTES);
    keep_order(shard, channel);
    /* First all that can fail, so that a message that is refused has reached nobody. */
    for (struct list_node *node = list_first(&channel->classes); node != NULL;
         node = list_next(&channel->classes, node)) {
        struct class *class = list_entry(node, struct class, node);
        class->matched = matches(channel, class, event);
        if (class->matched && has_message && build(shard, channel, event, class->encoding, &built).bytes == 0)
            goto refused;
    }
    if (has_message && channel->traits.retain_count > 0) {
        struct frame frame = build(shard, channel, event, DEFLATE_CLASS_PLAIN, &built);
        if (frame.bytes == 0 ||
            !history_add(&channel->history, &channel->traits, shard->idle, shard->number, frame, shard->now_ms))
            goto refused;
    }
    for (struct list_node *node = list_first(&channel->classes); node != NULL;
         node = list_next(&channel->classes, node)) {
        struct class *class = list_entry(node, struct class, node);
        if (!class->matched)
            continue;
        struct frame frame = {0};
        if (has_message)
            frame = build(shard, channel, event, class->encoding, &built);
        pend(shard, class, frame, event);
        *receivers += class->listeners;
    }
    channel->published_ms = shard->now_ms;
    channel_activate(shard, channel);
    stats_add(&shard->stats, STAT_PUBLISHED, 1);
    shard_note(shard, FLIGHT_PUBLISH, channel->dialect, (int64_t)event->payload.bytes, *receivers);
    return 202;
refused:
    channel_activate(shard, channel); /* its log may hold what has been built of the message: the sweep lets go of it */
    stats_add(&shard->stats, STAT_FRAMES_REFUSED, 1);
    channels_cut_oldest(shard);
    return 429;
}
