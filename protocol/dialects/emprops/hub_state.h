/* SPDX-License-Identifier: MIT */
/* What the hub holds: jobs and their groups, workers and their classes, sessions, clients, subscriptions, and what a
 * call leads to. Who changes which is said in hub_parts.h. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_STATE_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_STATE_H

#include "core/check.h"
#include "core/list.h"
#include "core/map.h"
#include "core/slab.h"
#include "core/wheel.h"
#include "protocol/dialects/emprops/emprops.h"
#include "protocol/dialects/emprops/hub.h"
#include "protocol/dialects/emprops/transitions.h"

#define NONE UINT32_MAX
#define GROUPS_MAX 1024U  /* of jobs that need the same: one more is refused with QUEUE_FULL */
#define CLASSES_MAX 1024U /* of workers that can do the same: one more is refused with INVALID_PARAMETERS */
#define BIT_WORDS (GROUPS_MAX / 64)
#define JOB_ID_LETTERS 12
#define JOB_KEY_DIGITS 12
#define JOB_KEY_BYTES (JOB_KEY_DIGITS + 1 + JOB_ID_LETTERS)
#define JOB_ID_PREFIX "job-"
#define HOUR_SECONDS 3600
#define DIRECT_MAX                                                                                                     \
    16 /* listening workers of a class that are told one by one; the others by the channel of the class */

_Static_assert(GROUPS_MAX == CLASSES_MAX, "one size of row for both");

/* --- the queue ---------------------------------------------------------------------------------------------------- */

enum tree { TREE_ALL, TREE_GROUP, TREES };

/* A job's place in a tree that is ordered by priority (higher first) and then by the sequence of acceptance (E-17), a
 * treap. */
struct node {
    uint32_t left, right;
    uint32_t size; /* of the subtree */
};

struct job_details; /* what a worker said last */

/* What is known of a job without reading anything: the index entry. */
struct job {
    struct wheel_timer timer; /* claim time-out, retry delay, or the end of its being known */
    struct node nodes[TREES]; /* of QUEUED */
    uint64_t sequence;        /* of acceptance: its place in the order, and its name in effects */
    uint64_t submitted_ms;    /* wall clock, as the others */
    uint64_t started_ms;      /* 0: not */
    uint64_t ended_ms;        /* of DELAYED: when the delay ends */
    struct text *customer;    /* NULL: none */
    struct job_details *details;
    uint8_t *cached; /* the texts of requirements and payload, one behind the other; NULL: to be fetched */
    uint32_t cached_bytes, cached_requirements;
    uint32_t index;
    uint32_t hash_next;
    uint32_t group;                  /* NONE once it has ended */
    uint32_t client;                 /* whose it is; NONE: the session's */
    struct handle session;           /* that submitted it, when it had no client */
    uint32_t worker;                 /* that holds it, or completed it; NONE */
    uint32_t expired;                /* the worker whose claim of it expired last; NONE */
    uint32_t list_older, list_newer; /* of its worker's jobs, or of the ended ones */
    uint32_t subscriptions;          /* first of those to this job */
    char id[JOB_ID_LETTERS];
    uint8_t status;        /* enum job_status */
    uint8_t loaded_status; /* while records are loaded */
    uint8_t priority;
    uint16_t attempts; /* accepted assignments (E-41) */
    uint32_t claim_ms; /* of ASSIGNED: time to accept */
    bool accepted : 1; /* of ASSIGNED */
    bool large : 1;    /* the payload is a record of its own */
    bool missing : 1;  /* from the last heartbeat (E-48) */
    bool listed : 1;   /* in this one */
    bool fetching : 1; /* its payload is on the way to a claim */
    bool id_key : 1;   /* its records' key is the id alone, as stores of older versions have it */
};

_Static_assert(sizeof(struct job) <= 256, "what waits needs an index entry of at most 256 bytes");

/* A text that several things share. */
struct text {
    uint32_t users;
    uint32_t bytes;
    uint8_t data[];
};

/* A kind of job: for averages and counts. */
struct kind {
    struct slice name;
    uint32_t users;         /* groups */
    uint32_t live;          /* jobs that have not ended */
    double average_seconds; /* of processing; see E-20 */
    struct list_node idle;  /* without users, in the order in which they lost them */
    uint8_t data[];
};

/* Jobs of one kind that need the same. */
struct group {
    struct slice key; /* kind, as hub_put_text does, and needs */
    struct slice needs;
    struct kind *kind;
    uint32_t index;
    uint32_t users;  /* jobs */
    uint32_t root;   /* of TREE_GROUP */
    uint32_t living; /* classes with connected workers that can do it */
    bool gpu_needed;
    double gpu_gb;
    struct wheel_timer unmatched; /* no such worker for so long while jobs wait (E-65) */
    bool lacking;                 /* which has been noticed */
    uint64_t classes[BIT_WORDS];  /* those that can */
    uint8_t *memory;              /* of the key */
};

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* Workers that can do the same. */
struct class
{
    struct slice key; /* capabilities */
    uint32_t index;
    uint32_t users;
    uint64_t number;                       /* of its channel, never used again */
    uint32_t living;                       /* with a connection */
    uint64_t slots;                        /* of living ones that are not offline */
    uint64_t free;                         /* likewise */
    uint32_t told_direct, told_by_channel; /* those that E-60 goes to */
    uint32_t direct;                       /* first of told_direct */
    uint64_t groups[BIT_WORDS];            /* those that it can do */
    uint8_t *memory;
};

enum hearing { HEARING_NOTHING, HEARING_DIRECT, HEARING_CHANNEL };
enum worker_status { WORKER_IDLE, WORKER_BUSY, WORKER_OFFLINE, WORKER_ERROR, WORKER_STATUSES };

struct worker {
    struct slice id;
    uint32_t index;
    struct handle session;    /* none: its connection is lost, and the timer ends it */
    struct wheel_timer timer; /* silence, or the grace */
    uint32_t class;
    uint32_t jobs, job_count; /* that it holds */
    int64_t free;             /* slots, as it last said, less what was assigned since; claims may go beyond */
    bool listens;
    bool in_channel; /* its session is a listener of its class's channel, or about to be */
    uint8_t hearing; /* enum hearing */
    uint8_t status;  /* enum worker_status */
    uint32_t direct_older, direct_newer;
    uint64_t heard_ms;
    uint64_t heartbeat_wall_ms;     /* 0: none yet */
    struct text *load, *connectors; /* JSON, as it said them */
    uint32_t users;                 /* jobs that name it, and its being alive: it is remembered as long */
    bool alive;                     /* registered, and not dead */
    struct list_node living;        /* in hub.living_workers: the alive ones */
    uint8_t data[EMPROPS_NAME_BYTES_MAX];
};

/* --- sessions ----------------------------------------------------------------------------------------------------- */

struct subscription {
    uint32_t job;
    uint32_t owner;                    /* index of struct subscriptions */
    uint32_t job_older, job_newer;     /* of the same job */
    uint32_t owner_older, owner_newer; /* of the same owner */
};

/* What one connection has subscribed to; outlives it when it wants (E-82). */
struct subscriptions {
    uint32_t session; /* index; NONE: kept by a client */
    uint32_t client;  /* likewise */
    uint32_t first, count;
    struct text *filter;      /* of job notifications, as a variant; NULL: none */
    struct text *filter_json; /* filters_applied */
    bool filter_joined;       /* the session gets what the filter lets through by the channel */
    uint32_t interval_s;      /* of stats; 0: none */
    uint32_t sections;
    uint64_t next_ms;          /* of stats, monotonic */
    struct wheel_timer timer;  /* stats, or the end of being kept */
    struct list_node filtered; /* in hub.filtered */
};

struct session {
    uint64_t connection;
    uint32_t index;
    uint32_t client, worker; /* NONE */
    uint32_t subscriptions;  /* index of its own */
    uint32_t client_older, client_newer;
    uint64_t reserved_bytes; /* for chunks */
    uint32_t classes;        /* of listeners of its channel: one for each compression */
    bool monitor, chunked;
    bool submitted;                    /* a job, as nobody's client */
    bool alerted;                      /* a monitor that is told of alerts without a subscription */
    bool hears_alerts, hears_monitors; /* it listens to these channels */
    struct list_node gone;             /* linked: its connection has ended */
};

struct client {
    struct slice id;
    uint32_t index;
    uint32_t users;    /* jobs, sessions, and what is kept */
    uint32_t sessions; /* first */
    uint32_t kept;     /* subscriptions; NONE */
    bool submits;      /* it has, or had, jobs */
    uint8_t data[EMPROPS_NAME_BYTES_MAX];
};

/* --- effects ------------------------------------------------------------------------------------------------------ */

struct pending_effect {
    enum effect_kind kind;
    uint8_t table;
    uint16_t close_code;
    const char *close_reason;
    int status;
    uint32_t conflate, level;
    uint64_t ticket;
    size_t channel, channel_bytes; /* offsets into the memory */
    size_t payload, payload_bytes;
    size_t key, key_bytes;
};

/* A message that is written: its place in the memory of effects. */
struct message {
    size_t at, bytes;
};

struct effects {
    uint8_t *memory;
    size_t used, capacity;
    struct pending_effect *items;
    uint32_t count, at, items_capacity;
    struct pending_effect nowhere; /* of what is lost: never read */
    bool lost;                     /* memory was out */
    struct buf open;
    uint8_t *reply; /* items of the answer */
    size_t reply_used, reply_capacity;
};

/* What waits for a record. */
enum wait_kind { WAIT_CLAIM, WAIT_STATUS, WAIT_COMPLETED };
struct waiting {
    enum wait_kind kind;
    uint64_t number; /* ticket of the FETCH that it waits for; 0: of none */
    uint64_t ticket; /* of the request */
    uint64_t connection;
    uint32_t count, next; /* of a claim: its jobs */
    uint32_t assigned;
    uint64_t claim_ms;
    uint32_t worker;
    struct text *id;
    struct text *said; /* items of the answer that come before */
    struct handle jobs[];
};

/* What was refused at a bound, and what had to be read: counters.def. */
enum hub_counter {
#define COUNTER(name, what) COUNT_##name,
#include "protocol/dialects/emprops/counters.def"
#undef COUNTER
    HUB_COUNTERS,
};

/* --- the hub ------------------------------------------------------------------------------------------------------ */

struct hub {
    const struct emprops_settings *settings;
    struct siphash_key secret; /* of maps */
    struct siphash_key ids;    /* of job ids */
    bool loaded;
    uint64_t now_ms, wall_ms; /* of the last call that knew them */
    uint64_t ticket;          /* of the request at hand */
    bool answered;            /* or to be answered later */
    struct worker *offer_to;  /* E-50, behind the answer; or NULL */
    uint64_t began_ms;

    struct slab jobs;
    uint32_t *buckets;
    uint32_t bucket_count;
    uint64_t last_sequence;
    uint32_t all_root;
    uint32_t counts[JOB_STATUSES];
    uint32_t ended_oldest, ended_newest;
    size_t cache_bytes;

    struct slab groups; /* GROUPS_MAX */
    struct map group_map, kind_map;
    struct list idle_kinds;
    uint32_t idle_kind_count;
    uint64_t active_groups[BIT_WORDS]; /* with jobs that wait */
    uint32_t lacking_groups;

    struct slab classes; /* CLASSES_MAX */
    struct map class_map;
    uint64_t last_class;
    struct slab workers;
    struct map worker_map;
    struct list living_workers;
    uint32_t worker_counts[WORKER_STATUSES]; /* with a connection */
    uint32_t available_workers;              /* likewise, with a free slot */

    struct slab sessions, clients, subscriptions, subscription_sets;
    struct map client_map;
    struct map session_map; /* by connection */
    struct list gone;
    struct list filtered; /* subscriptions with a filter */
    uint32_t monitors, client_sessions;
    uint64_t last_subscription, last_chunked;
    uint64_t chunk_bytes;

    struct wheel job_wheel, worker_wheel, set_wheel, group_wheel;
    struct map waiting; /* by the number of what they wait for */
    uint64_t last_wait;
    struct effects effects;

    uint64_t counters[HUB_COUNTERS];

    /* statistics */
    uint64_t calls, requests, messages_out;
    struct message status_messages[HUB_SECTIONS + 1]; /* of this call, by sections */
    uint64_t status_calls[HUB_SECTIONS + 1];
    uint32_t hour[HOUR_SECONDS];
    uint64_t hour_second; /* the newest of them */
    uint32_t hour_count;
    double wait_average_seconds;
    bool waited_once;
    bool deep, very_deep, lacking;
    uint64_t deep_told_ms, lacking_told_ms; /* monotonic */
    uint64_t deep_wall_ms, lacking_wall_ms;
};

#endif
