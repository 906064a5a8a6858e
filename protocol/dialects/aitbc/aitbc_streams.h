/* SPDX-License-Identifier: MIT */
/* The stateful half of the dialect aitbc: job states, forks of the chain, offers of the market, put together as one
 * service.
 *
 * Its channels: one per job, named by its id (a status replaces a waiting one of the same state), and AITBC_EVENTS for
 * all blockchain and marketplace events, in the order in which they were taken. An event's level is its enum
 * aitbc_event, and the variant of a listener the set of those that it wants. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_AITBC_AITBC_STREAMS_H
#define RINGCAST_PROTOCOL_DIALECTS_AITBC_AITBC_STREAMS_H

#include "protocol/service.h"

#define AITBC_EVENTS "/events" /* no job's id */

/* The first part are events of the chain, the rest of the market. */
enum aitbc_event {
    AITBC_NEW_BLOCK,
    AITBC_TRANSACTION_CONFIRMED,
    AITBC_TRANSACTION_PENDING,
    AITBC_FORK_DETECTED,
    AITBC_SYNC_STATUS,
    AITBC_NEW_OFFER,
    AITBC_OFFER_MATCHED,
    AITBC_OFFER_EXPIRED,
    AITBC_OFFER_CANCELLED,
    AITBC_PRICE_UPDATE,
    AITBC_EVENT_TYPES,
};

#define AITBC_BLOCKCHAIN_EVENTS ((1U << AITBC_NEW_OFFER) - 1)
#define AITBC_MARKETPLACE_EVENTS ((1U << AITBC_EVENT_TYPES) - 1 - AITBC_BLOCKCHAIN_EVENTS)

/* AITBC_EVENT_TYPES when the name is none. */
enum aitbc_event aitbc_event_named(struct slice name);
/* The variant of a listener: two bytes, big-endian. */
void aitbc_events_put(struct buf *out, unsigned set);
/* Whether a listener with this variant gets the event; the channels of jobs have none. */
bool aitbc_events_match(struct slice variant, const struct event *event);

enum aitbc_request {
    AITBC_READ_JOB = 1, /* the id: as job_status_read */
    AITBC_READ_JOBS,    /* as job_status_read_all */
    AITBC_READ_CHAIN,   /* 200 {"heights":n,"sync_status":{...} or null}, or 404 */
    AITBC_READ_SYNC,    /* 200 and the newest sync_status, or 404 */
    AITBC_READ_OFFERS,  /* 200 {"count":n,"offers":[...]}, or 404 */
    AITBC_JOB,          /* as job_status_update */
    /* And an enum aitbc_event: eight bytes, when the offer expires in milliseconds since 1970, big-endian, 0 when it is
     * not said; then the message as clients get it, checked and in the documented order. 202, 503. */
    AITBC_EVENT,
};

/* Its settings are struct aitbc_settings. */
extern const struct service aitbc_streams_service;

#endif
