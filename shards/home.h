/* SPDX-License-Identifier: MIT */
/* The two ends of a parcel's trip: the home serves it, and its maker gets the answer. */
#ifndef RINGCAST_SHARDS_HOME_H
#define RINGCAST_SHARDS_HOME_H

#include "shards/mail.h"

/* MAIL_ASK: serves the parcel here; its answer goes out when everything that it published is in the mailboxes. */
void home_on_ask(struct shard *shard, const struct mail *mail);
/* MAIL_ANSWER: hands the parcel to whoever waits for it, and frees it. */
void home_on_answer(struct shard *shard, const struct mail *mail);
/* Mails home the answers that waited for a fan-out. */
void home_release_answers(struct shard *shard);

#endif
