/* SPDX-License-Identifier: MIT */
/* The hub as its sessions see it: the service of the dialect, the requests that it takes and the items of its answers.
 * A request is a row of fields that the dialect has checked; an answer is a row of items that the dialect carries
 * out. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_H

#include "core/buf.h"
#include "protocol/service.h"

extern const struct service emprops_hub;

/* Records: see records.c. */
enum hub_table { HUB_TABLE_JOBS, HUB_TABLE_STATES, HUB_TABLE_PAYLOADS, HUB_TABLE_RESULTS };

enum hub_request {
    HUB_REGISTER_CLIENT,
    HUB_REGISTER_WORKER,
    HUB_SUBMIT,
    HUB_STATUS,
    HUB_CANCEL,
    HUB_CLAIM,
    HUB_ACCEPT,
    HUB_PROGRESS,
    HUB_COMPLETE,
    HUB_FAIL,
    HUB_HEARTBEAT,
    HUB_WORKER_STATUS,
    HUB_SUBSCRIBE_JOB,
    HUB_NOTIFICATIONS,
    HUB_STATS,
    HUB_STATS_NOW,
    HUB_PASS_ON,      /* service_request, connector_ws_status */
    HUB_DISCONNECT,   /* of a client or worker that says so */
    HUB_TOUCH,        /* a worker lives */
    HUB_JOINED,       /* a worker listens to the channel of its class now */
    HUB_RESERVE,      /* memory for chunks: FIELD_BYTES, in all for this session */
    HUB_ALERT,        /* ingested */
    HUB_COUNTERS_NOW, /* read by operators */
    HUB_REQUESTS,
};

enum hub_field {
    FIELD_SESSION, /* u64: the connection */
    FIELD_RIGHTS,  /* u64: enum emprops_right of the key; EMPROPS_RIGHTS when none are configured */
    FIELD_ID,      /* JSON: the client's id, to be echoed */
    FIELD_TYPE,    /* the message's type, of those that are acknowledged by it */
    FIELD_CLIENT_ID,
    FIELD_MONITOR, /* there: a monitor */
    FIELD_CHUNKED, /* there: takes chunks (E-80) */
    FIELD_WORKER_ID,
    FIELD_SERVICES, /* capabilities, each as requirements.h has it */
    FIELD_COMPONENTS,
    FIELD_HARDWARE,
    FIELD_LISTENS, /* there: subscribe_to_jobs */
    FIELD_WORKER_STATUS,
    FIELD_SLOTS, /* u64 */
    FIELD_JOB_TYPE,
    FIELD_PRIORITY, /* u64 */
    FIELD_CUSTOMER,
    FIELD_REQUIREMENTS, /* JSON */
    FIELD_NEEDS,        /* the same as requirements.h has it */
    FIELD_PAYLOAD,      /* JSON */
    FIELD_JOB_ID,
    FIELD_REASON,    /* JSON */
    FIELD_MAX,       /* u64: jobs of a claim */
    FIELD_TYPES,     /* list of preferred types */
    FIELD_GPU,       /* u64: bits of a double */
    FIELD_TIMEOUT,   /* u64 */
    FIELD_ESTIMATED, /* JSON, as all that follow up to RETRY */
    FIELD_PROGRESS,
    FIELD_MESSAGE,
    FIELD_STEP,
    FIELD_CONNECTOR,
    FIELD_RESULT,
    FIELD_PROCESSING,
    FIELD_ERROR,
    FIELD_DETAILS,
    FIELD_RETRY,  /* u64: 0 or 1 */
    FIELD_LOAD,   /* JSON */
    FIELD_JOBS,   /* list of current jobs; missing: the heartbeat did not say */
    FIELD_FILTER, /* a variant (filter.h); missing: the subscription ends */
    FIELD_FILTER_JSON,
    FIELD_INTERVAL, /* u64 seconds; 0: the subscription ends */
    FIELD_SECTIONS, /* u64: bits of enum hub_section */
    FIELD_KEEP,     /* there: subscriptions are to be kept */
    FIELD_BYTES,    /* u64 */
    FIELD_TEXT,     /* JSON: the whole message */
    HUB_FIELDS,
};

enum hub_section { HUB_SECTION_JOBS = 1, HUB_SECTION_WORKERS = 2, HUB_SECTION_SYSTEM = 4, HUB_SECTIONS = 7 };

/* The fields of a request; data NULL: not there. */
struct hub_fields {
    struct slice at[HUB_FIELDS];
};

void hub_put_field(struct buf *out, enum hub_field field, struct slice value);
void hub_put_number(struct buf *out, enum hub_field field, uint64_t value);
/* What hub_put_field wrote; anything else is our bug. */
void hub_take_fields(struct slice body, struct hub_fields *fields);
uint64_t hub_number(const struct hub_fields *fields, enum hub_field field, uint64_t otherwise);
static inline bool hub_has(const struct hub_fields *fields, enum hub_field field)
{
    return fields->at[field].data != NULL;
}

/* Lists of short texts inside a field: each of at most 255 bytes, behind its length. */
void hub_put_text(struct buf *out, struct slice text);
bool hub_next_text(struct slice *list, struct slice *text);

enum hub_item {
    HUB_SEND,       /* first: a message */
    HUB_JOIN,       /* first: a channel, second: its variant */
    HUB_LEAVE,      /* first: a channel */
    HUB_JOIN_CLASS, /* as JOIN, without variant; then HUB_JOINED is asked */
    HUB_CLOSE,      /* first: code, two bytes; the reason is in `hub_close_reason` */
    HUB_REGISTERED, /* first: one byte, 0 as client, 1 as worker; second: the worker's id */
};

void hub_put_item(struct buf *out, enum hub_item item, struct slice first, struct slice second);
/* False at the end. */
bool hub_next_item(struct slice *body, enum hub_item *item, struct slice *first, struct slice *second);

/* Channels. A session has one of its own, which it listens to from its first moment. */
#define HUB_CHANNEL_NOTIFICATIONS "notifications"
#define HUB_CHANNEL_ALERTS "alerts"
#define HUB_CHANNEL_MONITORS "monitors"
#define HUB_SESSION_PREFIX "session:"
#define HUB_CLASS_PREFIX "class:"

void hub_put_session_channel(struct buf *out, uint64_t connection);

#endif
