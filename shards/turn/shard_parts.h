/* SPDX-License-Identifier: MIT */
/* The one block in which a shard and all its parts lie: what a shard costs is its size. Included by what makes a shard
 * and by what looks at all of it. */
#ifndef RINGCAST_SHARDS_SHARD_PARTS_H
#define RINGCAST_SHARDS_SHARD_PARTS_H

#include "core/flight.h"
#include "core/work.h"
#include "protocol/action.h"
#include "shards/channel/audience.h"
#include "shards/channel/channel.h"
#include "shards/channel/depot_host.h"
#include "shards/channel/service_host.h"
#include "shards/conn/answers.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_tls.h"
#include "shards/conn/flush.h"
#include "shards/conn/listener.h"
#include "shards/conn/message.h"
#include "shards/conn/pin.h"
#include "shards/conn/progress.h"
#include "shards/mail/errand.h"
#include "shards/mail/mail.h"
#include "shards/mail/quota.h"
#include "shards/publish/publisher.h"
#include "shards/session/session.h"
#include "shards/shard.h"
#include "shards/turn/turn.h"

struct shard_parts {
    struct shard shard; /* first: its address is the block's */
    struct work work;
    struct wheel wheel;
    struct frame_memory frames[FRAME_MEMORIES];
    struct frame_idle idle;
    struct mailbox mail;
    struct errands errands;
    struct quotas quotas;
    struct conns conns;
    struct listeners listeners;
    struct tls_side tls;
    struct answers answers;
    struct progress progress;
    struct pins pins;
    struct codec codec;
    struct audiences audiences;
    struct channels channels;
    struct service_host services;
    struct depot_host depots;
    struct sessions sessions;
    struct publishers publishers;
    struct turn turn;
    struct flight flight;
    /* from here on not cleared when it is made */
    struct flush flush;
    struct tls_scratch tls_scratch;
    struct actions actions;      /* sessions.actions */
    uint8_t text[SCRATCH_BYTES]; /* sessions.text */
    uint8_t scratch[SCRATCH_BYTES];
};

#endif
