/* SPDX-License-Identifier: MIT */
/* Every compile-time cap in one place, with the relations between them. Settings may be lower, never higher. */
#ifndef RINGCAST_CORE_LIMITS_H
#define RINGCAST_CORE_LIMITS_H

#define SHARDS_MAX 64
#define CONNECTIONS_PER_SHARD_MAX (1U << 20)
#define LISTENERS_MAX 32
#define DIALECTS_MAX 16
#define CENSUS_COUNTS 32 /* numbers that a dialect counts its sessions by */

/* HTTP (requirements K-24, I-3) */
#define HTTP_HEAD_BYTES_MAX 16384
#define HTTP_HEADERS_MAX 100           /* behind several gateways requests have some 70 */
#define HTTP_TARGET_BYTES_MAX 8000     /* RFC 9112 section 3: at least so many are to be supported */
#define HTTP_CHUNK_LINE_BYTES_MAX 1024 /* a chunk's size with its extensions */
#define HTTP_TRAILER_BYTES_MAX 8192    /* all trailer fields behind a chunked body */
#define INGEST_BODY_BYTES_MAX (16U << 20)

/* WebSocket (RFC 6455; K-24) */
#define WS_CONTROL_BYTES_MAX 125
#define WS_MESSAGE_BYTES_MAX (64U << 20)
#define WS_EMPTY_FRAGMENTS_MAX 1024
#define WS_CONTROLS_PER_SECOND 50

#define JSON_DEPTH_MAX 64

/* Channels and subscriptions */
#define CHANNEL_NAME_BYTES_MAX 128
#define WORK_REPLY_BYTES_MAX 4096 /* of what a dialect computes beside the shards */
#define SUBSCRIPTIONS_PER_CONNECTION_MAX 128
#define VARIANT_BYTES_MAX 32768

/* Frames */
#define SEGMENT_BYTES_MIN 1024U /* what a channel takes that is published to now and then, or retains one message */
#define SEGMENT_BYTES_MAX (256U << 10)       /* a segment made for one larger frame is as large as that frame */
#define ANSWER_SEGMENT_BYTES_MAX (64U << 10) /* a connection's own; likewise */
#define SEND_SLICES_MAX 1024                 /* UIO_MAXIOV */
#define OUTBOX_SLICES_MAX 16384              /* of one reader, so that it does not take the pool of all */

/* Rings */
#define MAIL_RING_ITEMS 4096
#define RECEIVE_BUFFER_BYTES 4096
#define RECEIVE_BUFFER_COUNT 1024 /* a power of two, at most 32768 */

/* Storage: what is kept, and what is under way to it */
#define STORE_TABLES_MAX 64
#define STORE_TABLE_NAME_BYTES_MAX 64
#define STORE_KEY_BYTES_MAX 256
#define STORE_VALUE_BYTES_MAX (16U << 20)
#define STORAGE_STREAMS_MAX 64               /* of one shard: sequences of units that fail together */
#define STORAGE_OUTSTANDING_MAX 1024         /* requests of one shard; a power of two */
#define STORAGE_BYTES_MAX (64U << 20)        /* of units of one shard; a single longer one is taken when it is alone */
#define STORAGE_REPLY_BYTES_MAX (32U << 20)  /* records read for one shard that it has not taken; more wait */
#define STORAGE_GROUP_BYTES_MAX (16U << 20)  /* of units in one transaction; a longer one has it for itself */
#define STORAGE_GROUP_READS_MAX (1U << 20)   /* bytes read between two syncs, and one more record */
#define STORAGE_PIECE_BYTES_MAX (256U << 10) /* of a scan's piece, and one more record */

_Static_assert((MAIL_RING_ITEMS & (MAIL_RING_ITEMS - 1)) == 0, "SPSC rings index by mask");
_Static_assert((RECEIVE_BUFFER_COUNT & (RECEIVE_BUFFER_COUNT - 1)) == 0, "a provided buffer ring is a power of two");
_Static_assert(SEGMENT_BYTES_MIN <= SEGMENT_BYTES_MAX, "segments grow from min to max");
_Static_assert(HTTP_TARGET_BYTES_MAX < HTTP_HEAD_BYTES_MAX, "a target is part of a head");
_Static_assert(INGEST_BODY_BYTES_MAX <= WS_MESSAGE_BYTES_MAX, "what is taken in can be sent");
_Static_assert((STORAGE_OUTSTANDING_MAX & (STORAGE_OUTSTANDING_MAX - 1)) == 0, "SPSC rings index by mask");
_Static_assert(STORE_VALUE_BYTES_MAX <= STORAGE_GROUP_BYTES_MAX && STORAGE_GROUP_BYTES_MAX <= STORAGE_BYTES_MAX,
               "the longest record is one transaction, which may be under way");

#endif
