/* SPDX-License-Identifier: MIT */
/* A dialect without a server: one struct that carries its actions out in memory, in order, with channels, filter
 * classes, quotas, retained messages, timers, the dialect's service and a clock that only moves when told. It is the
 * model of what a session does, in the plainest form; time outs, pings and slow readers are its alone. An oracle may
 * watch it. What clients and publishers do is in pure_client.h, what becomes of the service's effects in
 * pure_service.h. */
#ifndef RINGCAST_TESTS_SUPPORT_PURE_HOST_H
#define RINGCAST_TESTS_SUPPORT_PURE_HOST_H

#include "core/bucket.h"
#include "protocol/action.h"
#include "protocol/service.h"
#include "protocol/token.h"
#include "tests/support/pure_depot.h"
#include "tests/support/pure_settings.h"

#define PURE_CONNS_MAX 256
#define PURE_HELD_MAX 64
#define PURE_TEXT_BYTES (512U << 10) /* of a call: what a shard has (SCRATCH_BYTES) */
#define PURE_BODY_BYTES (1U << 20)   /* of what a dialect builds from one object, and of a census */
#define PURE_REPLY_BYTES 65536
#define PURE_SPARE_MAX 4
#define PURE_SCRATCH_BYTES (4U << 20)        /* of an effect or a reply of the service: a quarter of what a shard has */
#define PURE_START_MS 1000000                /* the monotonic clock at the beginning, */
#define PURE_WALL_MS UINT64_C(1706013296000) /* and the other: 2024-01-23T12:34:56Z */

struct pure_message {
    enum ws_opcode opcode;
    uint8_t *data;
    size_t bytes;
};

struct pure_member {
    char channel[CHANNEL_NAME_BYTES_MAX + 1];
    uint8_t *variant;
    size_t variant_bytes;
};

struct pure_conn {
    bool open; /* a 101 was sent and no close */
    uint16_t close_code;
    const char *close_reason;
    int refused_status;        /* of a RESPOND */
    char refused_content[256]; /* its beginning; all of the last one is in host->content */
    char refused_extra
        [512]; /* its header lines but Content-Type and Content-Length, as the writer of responses has them */
    void *session;
    uint64_t number;
    uint64_t heartbeat_ms; /* when the next one is due */
    uint64_t timer_ms;     /* when the dialect's timer expires; 0: not set */
    struct bucket window;
    struct pure_member members[SUBSCRIPTIONS_PER_CONNECTION_MAX];
    uint32_t member_count;
    struct pure_message *inbox;
    size_t inbox_count, inbox_read;
    uint32_t held[PURE_HELD_MAX]; /* indices of quotas */
    uint32_t held_count;
    uint64_t asked;     /* ticket of the request that it waits for; 0: none */
    uint32_t asked_tag; /* of that request */
};

struct pure_quota {
    enum quota_kind kind;
    char name[KEY_BYTES_MAX + 1];
    uint32_t count;
    struct bucket window;
};

struct pure_class {
    char channel[CHANNEL_NAME_BYTES_MAX + 1];
    uint8_t *variant;
    size_t variant_bytes;
    uint32_t count;
};

struct pure_retained {
    char channel[CHANNEL_NAME_BYTES_MAX + 1];
    struct pure_message message;
    uint64_t at_ms;
};

/* What is on the disk; it survives pure_crash. */
struct pure_record {
    uint8_t table;
    uint8_t *key, *value; /* with a zero behind */
    size_t key_bytes, value_bytes;
};

/* An effect of the service that has not happened yet; it owns its slices. */
struct pure_effect {
    struct effect effect;
    bool ends_unit;
};

/* Who looks on: each function that is not NULL is called before the host goes on. */
struct pure_watch {
    void *context;
    /* One action of a row, before it is carried out. */
    void (*action)(void *context, const struct pure_conn *conn, const struct actions *row, uint32_t index);
    /* Whether a place is to be refused whatever the quota says. */
    bool (*refuse)(void *context, const struct action *action);
    void (*event)(void *context, const struct event *event);
    void (*effect)(void *context, const struct effect *effect); /* when the service gives it, long before it happens */
    void (*answer)(void *context, int status, struct slice reply); /* of the service */
    void (*census)(void *context, struct slice described);
};

struct pure_host {
    const struct dialect *dialect;
    const struct pure_watch *watch; /* NULL: nobody */
    void *settings;
    void *service;
    struct pure_depot *depot; /* NULL: the dialect has none, or it is off */
    uint64_t now_ms;
    uint64_t numbers;
    struct pure_conn *conns;
    uint32_t conn_count;
    struct pure_quota *quotas;
    uint32_t quota_count;
    struct pure_class *classes; /* with members */
    uint32_t class_count;
    struct pure_retained *retained;
    size_t retained_count;
    bool secure;                  /* the listener speaks TLS */
    uint32_t mounts;              /* of all connections; the settings' own addresses count for nothing here */
    uint32_t subscribes;          /* SUBSCRIBE actions carried out */
    char reply[PURE_REPLY_BYTES]; /* of the last read, or the message of the last refused ingest */
    char field[64];
    const char *content_type; /* of the last RESPOND */
    char *content;            /* and its text */
    const char *source;       /* X-Source of what is ingested; NULL: none */
    bool merge;               /* ingested with merge=1 */
    uint64_t counts[CENSUS_COUNTS];
    struct actions *spare[PURE_SPARE_MAX]; /* lists that are not in use */
    uint32_t spare_count;

    /* pure_service.c */
    uint8_t *scratch;
    struct pure_effect *effects; /* that have not happened yet */
    size_t effect_count, effect_capacity;
    bool pumping;
    bool hold;                   /* they wait: pure_hold */
    struct pure_record *records; /* by table and key */
    size_t record_count;
    uint64_t writes; /* PUTs and DELETEs that have happened */
    uint64_t tickets;
    uint64_t asked; /* ticket of pure_ask, while it waits */
    int answer_status;
    struct buf *answer;
};

/* --- the host ----------------------------------------------------------------------------------------------------- */

/* A host of this dialect for PURE_CONNS_MAX connections, or for so many, with settings of its own. */
void pure_init(struct pure_host *host, const char *dialect);
void pure_init_for(struct pure_host *host, const struct dialect *dialect, uint32_t conn_count);
/* pure_option of the host's settings; an option that there is not ends the test. */
int pure_set(struct pure_host *host, const char *name, const char *value);
/* After the options: the key list, and the service. */
void pure_start(struct pure_host *host);
/* New settings, of pure_settings and pure_keys; the old ones end where the service has got the new. */
void pure_reload(struct pure_host *host, void *settings);
/* Ends everything. */
void pure_close(struct pure_host *host);

uint64_t pure_wall_ms(const struct pure_host *host);

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* An empty list, from the host's spare ones; pure_apply gives it back. */
struct actions *pure_actions(struct pure_host *host);
void pure_actions_free(struct pure_host *host, struct actions *out);
/* What a dialect knows in a call about this connection, with counts that are always of this moment. */
struct dialect_call pure_call(struct pure_host *host, struct pure_conn *conn, struct actions *out);
/* Carries the list out in order and gives it back. What follows a refused ACQUIRE is dropped; an answer that a REQUEST
 * or CENSUS brings is carried out at once. A list that has overflowed closes with 1011, or answers 500. */
void pure_apply(struct pure_host *host, struct pure_conn *conn, struct actions *out);
/* The connection is gone: memberships, places, session. */
void pure_end(struct pure_host *host, struct pure_conn *conn);

/* An event for whoever listens. */
void pure_publish(struct pure_host *host, const struct event *event);
/* The newest retained message of the channel, or NULL. */
const struct pure_message *pure_newest(const struct pure_host *host, struct slice channel);

#endif
