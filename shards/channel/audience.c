/* SPDX-License-Identifier: MIT */
/* Owns the audiences of one shard and the delivery loop. It never sends: it pushes into outboxes and marks connections
 * dirty; a reader that is too slow is only marked, and closed after the loop. Called by session (join, leave) and by
 * mail.
 *
 * Between two turns (audiences_check):
 *   - an audience is found under its home and class, and nothing else is found there; it has members, as many as fit;
 *   - a member is an open session of the audience's dialect, and that session's membership names this audience and this
 *     place; no session has a membership that is not so named;
 *   - no session is twice in one channel. */
#include "shards/channel/audience.h"

#include "core/check.h"
#include "core/frame.h"
#include "core/list.h"
#include "core/slab.h"
#include "core/stats.h"
#include "core/work.h"
#include "protocol/dialect.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/flush.h"
#include "shards/conn/outbox.h"
#include "shards/mail/errand.h"
#include "shards/mail/mail.h"
#include "shards/note.h"
#include "shards/shard.h"

#include <errno.h>
#include <stdlib.h>

/* An audience larger than this is flushed behind the small ones and behind replies. */
#define BULK_MEMBERS 4096

int audiences_init(struct audiences *audiences, uint16_t shards)
{
    *audiences = (struct audiences){0};
    audiences->by_class = calloc(shards, sizeof *audiences->by_class);
    audiences->by_class_count = calloc(shards, sizeof *audiences->by_class_count);
    if (audiences->by_class == NULL || audiences->by_class_count == NULL)
        return -ENOMEM;
    return slab_init(&audiences->slab, sizeof(struct audience), CONNECTIONS_PER_SHARD_MAX);
}

void audiences_destroy(struct audiences *audiences, uint16_t shards)
{
    uint32_t cursor = 0;
    for (struct audience *a; (a = slab_next(&audiences->slab, &cursor, NULL)) != NULL;)
        free(a->members);
    slab_destroy(&audiences->slab);
    for (uint16_t home = 0; audiences->by_class != NULL && home < shards; home++)
        free(audiences->by_class[home]);
    free(audiences->by_class);
    free(audiences->by_class_count);
}

static struct audience *audience_of_class(struct audiences *audiences, uint16_t home, uint32_t class_index)
{
    if (class_index >= audiences->by_class_count[home] || audiences->by_class[home][class_index] == 0)
        return NULL;
    return slab_at(&audiences->slab, audiences->by_class[home][class_index] - 1);
}

/* Makes by_class[home][class_index] exist. */
static bool reserve_class(struct audiences *audiences, uint16_t home, uint32_t class_index)
{
    uint32_t count = audiences->by_class_count[home];
    if (class_index < count)
        return true;
    uint32_t wanted = count == 0 ? 64 : count;
    while (wanted <= class_index)
        wanted *= 2;
    uint32_t *table = realloc(audiences->by_class[home], wanted * sizeof *table);
    if (table == NULL)
        return false;
    memset(table + count, 0, (wanted - count) * sizeof *table);
    audiences->by_class[home] = table;
    audiences->by_class_count[home] = wanted;
    return true;
}

static struct audience *audience_make(struct shard *shard, const struct errand *errand)
{
    struct audiences *audiences = shard->audiences;
    if (!reserve_class(audiences, errand->home, errand->subscribe.class_index))
        return NULL;
    struct handle handle;
    struct audience *audience = slab_alloc(&audiences->slab, &handle);
    if (audience == NULL)
        return NULL;
    *audience = (struct audience){
        .index = handle.index,
        .class_index = errand->subscribe.class_index,
        .home = errand->home,
        .dialect = errand->dialect,
        .policy = errand->subscribe.policy,
        .outbox_bytes_max = config_dialect(shard->config, errand->dialect)->outbox_bytes_max,
        .channel = errand->subscribe.channel_id,
    };
    audiences->by_class[errand->home][errand->subscribe.class_index] = handle.index + 1;
    return audience;
}

static void audience_free(struct audiences *audiences, struct audience *audience)
{
    audiences->by_class[audience->home][audience->class_index] = 0;
    free(audience->members);
    slab_free(&audiences->slab, audience->index);
}

struct membership *audience_membership(struct conn *conn, uint32_t i)
{
    return i == 0 ? &conn->session.first : &conn->session.more[i - 1];
}

/* A free membership number of the connection, or UINT32_MAX when memory is out. */
static uint32_t membership_reserve(struct session *session)
{
    if (session->memberships == 0)
        return 0;
    if (session->memberships - 1U < session->more_capacity)
        return session->memberships;
    uint16_t capacity = session->more_capacity == 0 ? 3 : (uint16_t)(session->more_capacity * 2 + 1);
    struct membership *more = realloc(session->more, capacity * sizeof *more);
    if (more == NULL)
        return UINT32_MAX;
    session->more = more;
    session->more_capacity = capacity;
    return session->memberships;
}

static bool member_add(struct shard *shard, struct audience *audience, struct conn *conn)
{
    uint32_t number = membership_reserve(&conn->session);
    if (number == UINT32_MAX)
        return false;
    if (audience->count == audience->capacity) {
        uint32_t capacity = audience->capacity == 0 ? 4 : audience->capacity * 2;
        struct member *members = realloc(audience->members, capacity * sizeof *members);
        if (members == NULL)
            return false;
        audience->members = members;
        audience->capacity = capacity;
    }
    conn->session.memberships++;
    *audience_membership(conn, number) =
        (struct membership){.audience = audience->index + 1, .position = audience->count};
    audience->members[audience->count++] = (struct member){.conn = conn, .membership = number};
    stats_add(&shard->stats, STAT_SUBSCRIPTIONS, 1);
    return true;
}

/* Takes the connection's membership `number` out of its audience and out of the connection; the last of each takes the
 * free place. The home is told. */
static void member_remove(struct shard *shard, struct conn *conn, uint32_t number)
{
    struct membership *membership = audience_membership(conn, number);
    struct audience *audience = slab_at(&shard->audiences->slab, membership->audience - 1);
    uint32_t position = membership->position;
    struct member last = audience->members[--audience->count];
    if (position != audience->count) {
        audience->members[position] = last;
        audience_membership(last.conn, last.membership)->position = position;
    }
    uint32_t last_number = --conn->session.memberships;
    if (number != last_number) {
        *membership = *audience_membership(conn, last_number);
        struct audience *other = slab_at(&shard->audiences->slab, membership->audience - 1);
        other->members[membership->position].membership = number;
    }
    stats_sub(&shard->stats, STAT_SUBSCRIPTIONS, 1);
    struct mail mail = {.kind = MAIL_UNSUBSCRIBE, .unsubscribe = {.class_index = audience->class_index}};
    mail_post(shard, audience->home, mail);
    if (audience->count == 0)
        audience_free(shard->audiences, audience);
}

/* The number of the connection's membership in a channel, or UINT32_MAX. */
static uint32_t membership_in(struct shard *shard, struct conn *conn, struct hash128 channel)
{
    for (uint32_t i = 0; i < conn->session.memberships; i++) {
        const struct audience *audience = slab_at(&shard->audiences->slab, audience_membership(conn, i)->audience - 1);
        if (audience->channel.low == channel.low && audience->channel.high == channel.high)
            return i;
    }
    return UINT32_MAX;
}

bool audience_leave(struct shard *shard, struct conn *conn, struct hash128 channel)
{
    uint32_t number = membership_in(shard, conn, channel);
    if (number == UINT32_MAX)
        return false;
    member_remove(shard, conn, number);
    return true;
}

void audience_leave_all(struct shard *shard, struct conn *conn)
{
    while (conn->session.memberships > 0)
        member_remove(shard, conn, conn->session.memberships - 1U);
    free(conn->session.more);
    conn->session.more = NULL;
    conn->session.more_capacity = 0;
}

/* What became of the pushes of one range. */
struct pushes {
    uint32_t by_result[OUTBOX_FULL + 1];
};

static void account(struct shard *shard, const struct pushes *pushes, uint64_t messages)
{
    uint64_t pushed = pushes->by_result[OUTBOX_PUSHED] * messages;
    uint64_t replaced = pushes->by_result[OUTBOX_REPLACED] * messages;
    uint64_t full = pushes->by_result[OUTBOX_FULL] * messages;
    stats_add(&shard->stats, STAT_EXPECTED, pushed + replaced + full);
    stats_add(&shard->stats, STAT_IN_FLIGHT, pushed);
    stats_add(&shard->stats, STAT_DROPPED_CONFLATED, replaced);
    stats_add(&shard->stats, STAT_DROPPED_SLOW, full);
}

static void doom(struct shard *shard, struct conn *conn)
{
    if (conn->slow)
        return;
    conn->slow = true;
    if (list_linked(&conn->wait))
        list_remove(&conn->wait);
    list_push_back(&shard->conns->doomed, &conn->wait);
}

/* Pushes a range to one member; the caller accounts for it and marks the member dirty. `source` 0: lossless; else the
 * range is one message, the newest, which replaces an older one of the same source that waits. `waiting_max`: bytes
 * that the reader may be charged for. */
static inline enum outbox_result push(struct shard *shard, uint64_t waiting_max, struct conn *conn, struct frame frame,
                                      uint32_t messages, uint32_t source, uint32_t conflate)
{
    uint64_t waiting = outbox_waiting(&conn->outbox);
    bool full = conn->slow || (waiting > 0 && waiting + frame.bytes > waiting_max &&
                               !outbox_takes(&conn->outbox, frame, source, conflate, waiting_max));
    enum outbox_result result =
        full ? OUTBOX_FULL : outbox_push(&conn->outbox, &shard->flush->outbox_pool, frame, messages, source, conflate);
    if (result == OUTBOX_FULL)
        doom(shard, conn);
    return result;
}

/* A member to whom nothing is due: nearly all members of nearly all deliveries. */
static inline bool is_idle(const struct conn *conn)
{
    return (conn->hot & CONN_HOT(.dirty = true, .slow = true)) == 0 && conn->outbox.all.slices == 0;
}

/* Pushes a slice to the first of these members, who is idle, and to those behind it as long as they are, and marks them
 * dirty. Their number. */
static uint32_t push_idle(struct shard *shard, const struct member *members, uint32_t count,
                          const struct outbox_slice *slice, bool bulk)
{
    uint32_t room;
    struct flush_queue *queue = bulk ? &shard->flush->bulk : &shard->flush->express;
    struct conn **place = flush_queue_end(queue, &room);
    const struct member *member = members, *end = members + (count < room ? count : room);
    do {
        struct conn *conn = member->conn;
        outbox_fill(&conn->outbox, slice);
        conn->dirty = true;
        *place++ = conn;
        member++;
    } while (member < end && is_idle(member->conn));
    uint32_t pushed = (uint32_t)(member - members);
    queue->count += pushed;
    frame_ref(slice->frame.segment, shard->number, pushed);
    return pushed;
}

static void close_doomed(struct shard *shard)
{
    struct list_node *node;
    while ((node = list_pop_front(&shard->conns->doomed)) != NULL) {
        stats_add(&shard->stats, STAT_SLOW_CONSUMERS, 1);
        conn_close_slow(shard, list_entry(node, struct conn, wait), CLOSE_SLOW);
    }
}

/* Pushes the range that a mail carries to every member. */
static void deliver(struct shard *shard, struct audience *audience, const struct mail *mail)
{
    struct frame frame = mail->deliver.frame;
    uint32_t messages = mail->deliver.messages, conflate = mail->deliver.conflate;
    uint32_t source = audience->policy == POLICY_LOSSLESS ? 0 : audience->index + 1;
    uint64_t waiting_max = audience->outbox_bytes_max;
    bool bulk = audience->count > BULK_MEMBERS;
    work_spend(shard->work, WORK_MEMBER, audience->count);
    shard_note(shard, FLIGHT_DELIVER, audience->index, audience->count, messages);
    if (audience->policy == POLICY_LATEST) {
        uint64_t conflated = (uint64_t)(messages - 1) * audience->count;
        stats_add(&shard->stats, STAT_EXPECTED, conflated);
        stats_add(&shard->stats, STAT_DROPPED_CONFLATED, conflated);
        frame.offset += frame.bytes - mail->deliver.last_bytes;
        frame.bytes = mail->deliver.last_bytes;
        messages = 1;
        conflate = 1;
    }
    struct pushes pushes = {{0}};
    const struct outbox_slice slice = {.frame = frame, .messages = messages, .source = source, .conflate = conflate};
    for (uint32_t i = 0; i < audience->count;) {
        struct conn *conn = audience->members[i].conn;
        if (is_idle(conn)) {
            uint32_t pushed = push_idle(shard, audience->members + i, audience->count - i, &slice, bulk);
            pushes.by_result[OUTBOX_PUSHED] += pushed;
            i += pushed;
        } else {
            pushes.by_result[push(shard, waiting_max, conn, frame, messages, source, conflate)]++;
            conn_mark_dirty(shard, conn, bulk);
            i++;
        }
    }
    account(shard, &pushes, messages);
    close_doomed(shard);
}

void audience_on_deliver(struct shard *shard, const struct mail *mail)
{
    struct segment *segment = mail->deliver.frame.segment;
    struct audience *audience = audience_of_class(shard->audiences, mail->from, mail->deliver.class_index);
    if (segment != NULL) {
        mail_take_over(shard, segment);
        if (audience != NULL)
            deliver(shard, audience, mail);
        frame_release(shard->idle, segment, shard->number, 1);
    }
    if (mail->deliver.close_code == 0)
        return;
    /* Each close takes a member out, the last one the audience with it. */
    while ((audience = audience_of_class(shard->audiences, mail->from, mail->deliver.class_index)) != NULL) {
        struct conn *conn = audience->members[audience->count - 1].conn;
        conn_close(shard, conn, CLOSE_DIALECT, mail->deliver.close_code, mail->deliver.close_reason);
    }
}

bool audience_join(struct shard *shard, struct conn *conn, struct errand *errand)
{
    struct audience *audience = audience_of_class(shard->audiences, errand->home, errand->subscribe.class_index);
    if (audience == NULL)
        audience = audience_make(shard, errand);
    /* An earlier membership in the channel ends here, between two mails of the home: nothing is lost or repeated. */
    uint32_t before = membership_in(shard, conn, errand->subscribe.channel_id);
    if (audience == NULL || !member_add(shard, audience, conn)) {
        struct mail mail = {.kind = MAIL_UNSUBSCRIBE, .unsubscribe = {.class_index = errand->subscribe.class_index}};
        mail_post(shard, errand->home, mail);
        if (audience != NULL && audience->count == 0)
            audience_free(shard->audiences, audience);
        return false;
    }
    if (before != UINT32_MAX)
        member_remove(shard, conn, before);
    for (uint32_t i = 0; i < errand->subscribe.frame_count; i++) { /* bounded by what is retained */
        struct pushes pushes = {{0}};
        pushes.by_result[push(shard, UINT64_MAX, conn, errand->subscribe.frames[i], errand->subscribe.frame_messages[i],
                              0, 0)]++;
        account(shard, &pushes, errand->subscribe.frame_messages[i]);
    }
    if (errand->subscribe.frame_count > 0)
        conn_mark_dirty(shard, conn, false);
    close_doomed(shard);
    return true;
}

/* --- what holds --------------------------------------------------------------------------------------------------- */

static bool same_channel(const struct audience *a, const struct audience *b)
{
    return a->channel.low == b->channel.low && a->channel.high == b->channel.high;
}

static void check_member(const struct shard *shard, const struct audience *audience, uint32_t position)
{
    const struct member *member = &audience->members[position];
    struct conn *conn = member->conn;
    check_op(member->membership, <, conn->session.memberships);
    check(conn->state == CONN_OPEN && (conn->role == ROLE_SESSION || conn->role == ROLE_PUBLISHER));
    check_op(conn->dialect, ==, audience->dialect);
    for (uint32_t i = 0; i < conn->session.memberships; i++) {
        const struct membership *membership = audience_membership(conn, i);
        const struct audience *other = slab_at(&shard->audiences->slab, membership->audience - 1);
        if (i == member->membership)
            check(other == audience && membership->position == position);
        else
            check(!same_channel(other, audience));
    }
}

static void check_memberships(const struct shard *shard, struct conn *conn)
{
    check(conn->session.memberships <= conn->session.more_capacity + 1U);
    for (uint32_t i = 0; i < conn->session.memberships; i++) {
        const struct membership *membership = audience_membership(conn, i);
        check_op(membership->audience, >, 0);
        const struct audience *audience = slab_at(&shard->audiences->slab, membership->audience - 1);
        check_op(membership->position, <, audience->count);
        check(audience->members[membership->position].conn == conn);
        check_op(audience->members[membership->position].membership, ==, i);
    }
}

void audiences_check(const struct shard *shard)
{
    const struct audiences *audiences = shard->audiences;
    uint32_t cursor = 0, index, named = 0;
    for (const struct audience *audience; (audience = slab_next(&audiences->slab, &cursor, &index)) != NULL;) {
        check_op(audience->index, ==, index);
        check_op(audience->home, <, shard->count);
        check_op(audience->class_index, <, audiences->by_class_count[audience->home]);
        check_op(audiences->by_class[audience->home][audience->class_index], ==, index + 1);
        check_op(audience->count, >, 0);
        check_op(audience->count, <=, audience->capacity);
        for (uint32_t i = 0; i < audience->count; i++)
            check_member(shard, audience, i);
    }
    cursor = 0;
    for (struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, NULL)) != NULL;)
        check_memberships(shard, conn);
    for (uint16_t home = 0; home < shard->count; home++)
        for (uint32_t i = 0; i < audiences->by_class_count[home]; i++)
            named += audiences->by_class[home][i] != 0;
    check_op(named, ==, audiences->slab.count_live);
}
