/* SPDX-License-Identifier: MIT */
/* Owns the way of segments between shards: who mails a frame lends it, who gets it takes it over, and what is idle goes
 * home (core/frame.h has the rules). Called by the fan-out, the mail handlers and the turn. */
#include "core/check.h"
#include "core/frame_memory.h"
#include "shards/mail/mail.h"
#include "shards/shard.h"

void mail_hand_over(struct shard *shard, uint16_t to, struct segment *segment)
{
    check_op(segment->home, ==, shard->number);
    if (to == shard->number)
        frame_ref(segment, shard->number, 1);
    else
        frame_lend(segment);
}

void mail_take_over(struct shard *shard, struct segment *segment)
{
    if (segment->home != shard->number)
        frame_borrow(segment, shard->number);
}

void mail_return_idle(struct shard *shard)
{
    struct segment *segment;
    while ((segment = frame_idle_pop(shard->idle, shard->number)) != NULL) {
        if (segment->home == shard->number) {
            frame_reclaim(&shard->frames[segment->memory], segment);
            continue;
        }
        struct mail mail = {.kind = MAIL_RETURN, .back = {.segment = segment}};
        mail.back.lendings = frame_take_lendings(segment, shard->number);
        mail_post(shard, segment->home, mail);
    }
}

void mail_on_return(struct shard *shard, const struct mail *mail)
{
    frame_return(shard->frames, mail->back.segment, mail->back.lendings);
}
