/* SPDX-License-Identifier: MIT */
/* Owns the dispatch of parcels: what a home does for each kind, when its answer leaves, and who gets it. It never changes a
 * channel or a connection itself. Called by mail. */
#include "shards/home.h"

#include "core/check.h"
#include "shards/ingest.h"
#include "shards/session.h"
#include "shards/shard.h"

static void post_answer(struct shard *shard, struct parcel *parcel)
{
    mail_post(shard, parcel->origin, (struct mail){.kind = MAIL_ANSWER, .parcel = parcel});
}

void home_on_ask(struct shard *shard, const struct mail *mail)
{
    struct parcel *parcel = mail->parcel;
    check_op(parcel->home, ==, shard->number);
    switch (parcel->kind) {
    case PARCEL_SUBSCRIBE: /* answered in order with the deliveries */
        channel_subscribe(shard, parcel);
        post_answer(shard, parcel);
        return;
    case PARCEL_CENSUS: /* goes through all shards, then home */
        session_describe_all(shard, parcel);
        if (++parcel->home < shard->count)
            mail_post(shard, parcel->home, (struct mail){.kind = MAIL_ASK, .parcel = parcel});
        else
            post_answer(shard, parcel);
        return;
    case PARCEL_NEWEST:
        channel_newest(shard, parcel);
        post_answer(shard, parcel);
        return;
    case PARCEL_PUBLISH:
        channel_publish(shard, parcel);
        break;
    case PARCEL_REQUEST:
        service_host_request(shard, parcel);
        if (!parcel->for_session)
            break;
        fanout_flush(
            shard); /* a session's answer has its place in the deliveries: behind what was published before it, */
        post_answer(shard, parcel); /* and before what comes after it */
        return;
    }
    list_push_back(&shard->answers, &parcel->node);
}

void home_release_answers(struct shard *shard)
{
    struct list_node *node;
    while (shard->mail.backlogged == 0 && (node = list_pop_front(&shard->answers)) != NULL)
        post_answer(shard, list_entry(node, struct parcel, node));
}

void home_on_answer(struct shard *shard, const struct mail *mail)
{
    struct parcel *parcel = mail->parcel;
    check_op(parcel->origin, ==, shard->number);
    shard_answered(shard, parcel);
    if (parcel->kind == PARCEL_SUBSCRIBE)
        session_on_subscribed(shard, parcel);
    else if (parcel->for_session)
        session_on_reply(shard, parcel);
    else if (parcel->conn.generation != 0)
        ingest_on_answer(shard, parcel);
    parcel_free(&shard->parcels, parcel);
}
