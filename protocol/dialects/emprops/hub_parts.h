/* SPDX-License-Identifier: MIT */
/* What the nouns of the hub share. Each has a file: effects (what a call leads to), sessions (who is connected, clients), workers
 * (and their classes), queue (order, groups), jobs (identity, payloads, ends), claims (what workers do with jobs), notifications
 * (who is told what), statistics (counts, alerts), records (what is kept). hub.c takes the calls and hands them on. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_PARTS_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_PARTS_H

#include "core/check.h"
#include "core/list.h"
#include "core/map.h"
#include "core/slab.h"
#include "core/wheel.h"
#include "protocol/dialects/emprops/emprops.h"
#include "protocol/dialects/emprops/hub.h"
#include "protocol/dialects/emprops/messages.h"
#include "protocol/dialects/emprops/transitions.h"

#define NONE UINT32_MAX
#define GROUPS_MAX 1024U  /* of jobs that need the same: one more is refused with QUEUE_FULL */
#define CLASSES_MAX 1024U /* of workers that can do the same: one more is refused with INVALID_PARAMETERS */
#define BIT_WORDS (GROUPS_MAX / 64)
#define JOB_ID_LETTERS 12
#define JOB_ID_PREFIX "job-"
#define HOUR_SECONDS 3600
#define DIRECT_MAX                                                                                                     \
    16 /* listening workers of a class that are told one by one; the others by the channel of the class */

_Static_assert(GROUPS_MAX == CLASSES_MAX, "one size of row for both");

/* --- the queue ---------------------------------------------------------------------------------------------------- */

enum tree { TREE_ALL, TREE_GROUP, TREES };

/* A job's place in a tree that is ordered by priority (higher first) and then by the sequence of acceptance (E-17), a treap. */
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

/* --- effects.c: what the current call leads to --------------------------------------------------------------------- */

/* A message is opened, written, and then published or answered. Room for `bytes_max`, and for what frames it (4 KiB). */
struct buf *effects_open(struct hub *hub, size_t bytes_max);
/* What was opened is written. It may be published any number of times. */
struct message effects_message(struct hub *hub);
struct slice effects_text(const struct hub *hub, struct message message); /* until something is opened or published */
void effects_publish(struct hub *hub, struct slice channel, struct slice key, uint32_t level, struct message message);
void effects_publish_to(struct hub *hub, uint64_t connection, uint32_t conflate, struct message message);
/* The message becomes an item of the answer. */
void effects_send(struct hub *hub);

/* --- long_messages.c: E-80 ------------------------------------------------------------------------------------------------ */

/* The message of that type to this session, in chunks when it takes them and the message is long enough. */
void long_publish(struct hub *hub, const struct session *session, uint32_t conflate, const char *type,
                  struct message message);
/* The same as items of the answer. */
void long_send(struct hub *hub, const struct session *session, const char *type, struct message message);

/* --- effects.c, continued ------------------------------------------------------------------------------------------------ */

void effects_item(struct hub *hub, enum hub_item item, struct slice first, struct slice second);
/* Items that were written before. */
void effects_said(struct hub *hub, struct slice items);
void effects_reply(struct hub *hub, uint64_t ticket, int status);
/* Behind all that was sent to it. */
void effects_close(struct hub *hub, uint64_t connection, uint16_t code, const char *reason);
/* What was opened is a record. */
void effects_put(struct hub *hub, enum hub_table table, struct slice key);
void effects_delete(struct hub *hub, enum hub_table table, struct slice key);
void effects_fetch(struct hub *hub, enum hub_table table, struct slice key, uint64_t number);
bool effects_next(struct hub *hub, struct effect *effect);
void effects_free(struct hub *hub);

/* --- texts ---------------------------------------------------------------------------------------------------------- */

struct text *text_make(struct slice bytes); /* one user; NULL: no memory, or data NULL */
struct text *text_share(struct text *text); /* NULL: NULL */
void text_drop(struct text **text);
static inline struct slice text_slice(const struct text *text)
{
    return text == NULL ? slice_of(NULL, 0) : slice_of(text->data, text->bytes);
}

/* --- sessions.c ------------------------------------------------------------------------------------------------------ */

int sessions_init(struct hub *hub);
void sessions_free(struct hub *hub);
/* The session of a connection, made when it is not known; NULL: no memory. */
struct session *session_of(struct hub *hub, uint64_t connection);
struct session *session_at(const struct hub *hub, struct handle handle);
struct handle session_handle(const struct hub *hub, const struct session *session);
void sessions_interest(struct hub *hub, uint64_t connection, bool added);
/* Ends those whose connections are gone. */
void sessions_sweep(struct hub *hub);
struct client *client_at(const struct hub *hub, uint32_t index);
/* The client of that name, made when it is not known, NONE: no memory. The caller becomes a user. */
uint32_t client_take(struct hub *hub, struct slice id);
void client_drop(struct hub *hub, uint32_t index);
int session_register_client(struct hub *hub, struct session *session, const struct hub_fields *fields);
void session_disconnect(struct hub *hub, struct session *session, bool keep);
struct subscriptions *session_subscriptions(const struct hub *hub, const struct session *session);
/* Whether what happens to the job is told to this session as to its submitter (E-28). */
bool session_owns(const struct hub *hub, const struct session *session, const struct job *job);
void subscriptions_timer(struct hub *hub, struct subscriptions *set);
/* -ENOMEM, or -ENOSPC beyond subscriptions_max; nothing happens when there is one. */
/* Joins or leaves the channel of alerts, as it is to hear of them. */
void session_hear_alerts(struct hub *hub, struct session *session);
void put_connection_id(struct buf *out, const char *prefix, uint64_t connection);
int subscription_add(struct hub *hub, struct session *session, struct job *job);
void subscriptions_end_of_job(struct hub *hub, struct job *job);

/* --- queue.c ----------------------------------------------------------------------------------------------------------- */

int queue_init(struct hub *hub);
void queue_free(struct hub *hub);
/* The group of that kind and needs, made when it is not known. NONE: no memory, or too many groups. The caller is a user. */
uint32_t group_take(struct hub *hub, struct slice kind, struct slice needs);
void group_drop(struct hub *hub, uint32_t index);
struct group *group_at(const struct hub *hub, uint32_t index);
void queue_put(struct hub *hub, struct job *job);
void queue_remove(struct hub *hub, struct job *job);
/* 1 + the jobs before it, of one that is queued (E-18). */
uint32_t queue_position(const struct hub *hub, const struct job *job);
uint32_t queue_depth(const struct hub *hub); /* claimable */
/* The job that comes first among those that the class can do; preferred kinds come first within a priority (E-31). `gpu_gb` NULL:
 * no bound by it. */
struct preference {
    const struct kind *kinds[EMPROPS_LIST_MAX];
    uint32_t count;
};
struct job *queue_best(const struct hub *hub, const struct class *class, const double *gpu_gb,
                       const struct preference *preference);
/* The first `count` in order that the class can do; how many there are. */
uint32_t queue_first(const struct hub *hub, const struct class *class, uint32_t count, struct job **jobs);
struct kind *kind_find(const struct hub *hub, struct slice name);
void kind_processed(struct kind *kind, double seconds);
/* A class got its first worker with a connection or lost its last; came into being; is about to go. */
void queue_class_living(struct hub *hub, const struct class *class, bool living);
void queue_class_added(struct hub *hub, struct class *class);
void queue_class_removed(struct hub *hub, const struct class *class);
void group_watch(struct hub *hub, struct group *group);
void group_timer(struct hub *hub, struct group *group);

/* --- workers.c --------------------------------------------------------------------------------------------------------- */

int workers_init(struct hub *hub);
void workers_free(struct hub *hub);
struct worker *worker_at(const struct hub *hub, uint32_t index);
struct class *class_at(const struct hub *hub, uint32_t index);
/* The worker of that name, made (not alive) when it is not known; the caller is a user. NULL: no memory. */
struct worker *worker_take(struct hub *hub, struct slice id);
void worker_drop(struct hub *hub, struct worker *worker);
/* 0, -ENOMEM, or -ENOSPC: too many classes. */
int worker_register(struct hub *hub, struct session *session, const struct hub_fields *fields);
/* Likewise. */
int worker_change(struct hub *hub, struct worker *worker, const struct hub_fields *fields);
void worker_heartbeat(struct hub *hub, struct worker *worker, const struct hub_fields *fields);
/* Its connection is lost: the grace begins. */
void worker_left(struct hub *hub, struct worker *worker);
/* It is dead: its jobs go back (E-47). */
void worker_die(struct hub *hub, struct worker *worker);
void worker_timer(struct hub *hub, struct worker *worker);
/* The job is held by it from now on, or no longer; slots follow. */
void worker_take_job(struct hub *hub, struct worker *worker, struct job *job);
void worker_lose_job(struct hub *hub, struct worker *worker, struct job *job);

/* --- hearing.c --------------------------------------------------------------------------------------------------------- */

/* Behind every change of what decides whether it is told of jobs: connection, slots, status, wish, class. */
void hearing_update(struct hub *hub, struct worker *worker);
/* Before its class or its session goes. */
void hearing_end(struct hub *hub, struct worker *worker);
/* In a request of the worker's own session: what the session must do so that it hears, or does not. */
void hearing_put(struct hub *hub, struct worker *worker);
/* It has left the channel of its class, or is to. */
void hearing_leave(struct hub *hub, struct worker *worker);
void hearing_joined(struct hub *hub, struct worker *worker);
/* E-60 to all that are to hear of the job; how many. */
uint32_t hearing_offer(struct hub *hub, const struct job *job);
/* E-50 to this one. */
void hearing_offer_waiting(struct hub *hub, struct worker *worker);
const char *worker_status_text(enum worker_status status);
enum worker_status worker_status_named(struct slice name);

/* --- jobs.c -------------------------------------------------------------------------------------------------------------- */

int jobs_init(struct hub *hub);
void jobs_free(struct hub *hub);
uint32_t job_index(const struct hub *hub, const struct job *job);
struct job *job_at(const struct hub *hub, uint32_t index);
/* By its id, with the prefix; NULL: not known. */
struct job *job_find(const struct hub *hub, struct slice id);
struct job *job_of_key(const struct hub *hub, struct slice key);
void job_put_id(const struct job *job, struct buf *out);
struct slice job_key(const struct job *job); /* of its records */
/* A job that is not in any state yet; NULL: no memory. */
struct job *job_make(struct hub *hub, const char *id);
/* Counts it in this state and nowhere else. */
void job_set_status(struct hub *hub, struct job *job, enum job_status status);
/* Leaves the group and the rest of what only a live job needs; it is forgotten later (E-25). */
void job_end(struct hub *hub, struct job *job, enum job_status status, uint64_t ended_ms);
void job_forget(struct hub *hub, struct job *job);
void jobs_sweep(struct hub *hub);
void job_timer(struct hub *hub, struct job *job);
void job_cache(struct hub *hub, struct job *job, struct slice requirements, struct slice payload);
void job_uncache(struct hub *hub, struct job *job);
bool job_cached(const struct job *job, struct slice *requirements, struct slice *payload);
/* What those see who follow it: a claim that was not accepted is none to them. */
enum job_status job_seen(const struct job *job);

/* --- submissions.c ------------------------------------------------------------------------------------------------------ */

void submit_job(struct hub *hub, struct session *session, const struct hub_fields *fields);
void submit_status(struct hub *hub, struct session *session, const struct hub_fields *fields);
void submit_cancel(struct hub *hub, struct session *session, const struct hub_fields *fields);
/* The record of an ended job that a question waited for. */
void submit_fetched(struct hub *hub, const struct waiting *waiting, int status, struct slice value);
/* The job of FIELD_JOB_ID, if this session may see it; NULL: it has been told why not. */
struct job *submit_find(struct hub *hub, const struct session *session, const struct hub_fields *fields);
/* Fetches how an ended job ended, for submit_fetched. */
void submit_fetch(struct hub *hub, const struct job *job, enum wait_kind kind, const struct hub_fields *fields);

/* --- claims.c ------------------------------------------------------------------------------------------------------------ */

struct job_details {
    struct text *progress, *message, *step, *estimated; /* JSON; NULL: not given */
};
void details_drop(struct job *job);
void claim_jobs(struct hub *hub, struct worker *worker, const struct hub_fields *fields);
void claim_accept(struct hub *hub, struct worker *worker, const struct hub_fields *fields);
void claim_progress(struct hub *hub, struct worker *worker, const struct hub_fields *fields);
void claim_complete(struct hub *hub, struct worker *worker, const struct hub_fields *fields);
void claim_fail(struct hub *hub, struct worker *worker, const struct hub_fields *fields);
/* The holder is dead, or does not know of the job any more. */
void claim_lost(struct hub *hub, struct job *job);
void claim_expire(struct hub *hub, struct job *job);
void claim_delay_over(struct hub *hub, struct job *job);
/* The record of a claim that waited for it. */
void claim_fetched(struct hub *hub, struct waiting *waiting, int status, struct slice value);

/* --- notifications.c ---------------------------------------------------------------------------------------------------- */

/* What is said of a change; JSON, data NULL: left out. */
struct change {
    enum job_status status, previous;
    bool first;      /* previous_status is null, and only notification subscribers hear it (E-61) */
    bool worker;     /* worker_id is named */
    bool progress;   /* conflates with others of its kind (E-37) */
    uint64_t except; /* connection of who caused it and got a reply instead; 0: nobody */
    struct slice number, message, step, estimated, connector, error, details;
};
void notify_update(struct hub *hub, const struct job *job, const struct change *change);
void notify_completed(struct hub *hub, const struct job *job, struct slice result, struct slice processing);
void put_update(const struct hub *hub, const struct job *job, const struct change *change, struct buf *out);
/* Without its end. */
void put_completed(const struct hub *hub, const struct job *job, struct slice result, struct slice processing,
                   bool whole, struct buf *out);
/* The member, or what is left of it when it may not be whole. */
void put_result(struct buf *out, const char *name, struct slice json, bool whole);
void notify_subscribe_job(struct hub *hub, struct session *session, const struct hub_fields *fields);
void notify_subscribe(struct hub *hub, struct session *session, const struct hub_fields *fields);
/* A session that comes back gets its filter again. */
void notify_rejoin(struct hub *hub, struct session *session);
void notify_interest(struct hub *hub, struct slice variant, bool added);
void notify_pass_on(struct hub *hub, const struct hub_fields *fields);

/* --- statistics.c -------------------------------------------------------------------------------------------------------- */

void statistics_subscribe(struct hub *hub, struct session *session, const struct hub_fields *fields);
void statistics_resume(struct hub *hub, struct subscriptions *set);
void statistics_now(struct hub *hub, struct session *session, const struct hub_fields *fields);
void statistics_send(struct hub *hub, struct subscriptions *set);
void statistics_ended(struct hub *hub, enum job_status status, uint64_t wall_ms);
void statistics_waited(struct hub *hub, uint64_t ms);
/* Behind each call: whether an alert is due (E-65). */
void statistics_alerts(struct hub *hub);
uint64_t statistics_due(const struct hub *hub);

/* --- records.c ------------------------------------------------------------------------------------------------------------ */

void record_job(struct hub *hub, struct job *job, const struct hub_fields *fields);
void record_state(struct hub *hub, const struct job *job);
/* How it ended: the members, each JSON or data NULL. */
/* How it ended; each JSON or data NULL. */
struct record_end {
    struct slice result, processing, error, details, reason;
};
void record_result(struct hub *hub, const struct job *job, const struct record_end *end);
void record_forget(struct hub *hub, const struct job *job);
/* All are loaded: the jobs get into their states. */
void record_settle(struct hub *hub);
int record_load(struct hub *hub, uint8_t table, struct slice key, struct slice value, const char **why);
/* Of a job's or payload's record. False: it is not what it should be. */
bool record_payload(struct slice value, struct slice *requirements, struct slice *payload);
bool record_end_read(struct slice value, struct record_end *end);

/* The answer goes here in the order of effects; without it, behind all others. */
void hub_answer(struct hub *hub);
/* A place among those who wait for a record; NULL: no memory, and the call counts as lost. The request is answered later. */
struct waiting *hub_wait(struct hub *hub, enum wait_kind kind, uint32_t jobs, const struct hub_fields *fields);
void hub_fetch(struct hub *hub, struct waiting *waiting, enum hub_table table, struct slice key);
void hub_wait_end(struct hub *hub, struct waiting *waiting);
/* The job of that place; NULL: it is not there any more. */
struct job *job_of_wait(const struct hub *hub, const struct waiting *waiting, uint32_t place);
/* An error to the session that asked. */
void hub_fault(struct hub *hub, enum message_fault fault, struct slice details, const struct hub_fields *fields);
/* Likewise with job_id, and status when `job` is not NULL. */
void hub_fault_job(struct hub *hub, enum message_fault fault, const struct job *job, const struct hub_fields *fields);
void hub_invalid(struct hub *hub, const char *field, const char *what, const struct hub_fields *fields);
void hub_ack(struct hub *hub, const struct hub_fields *fields, const char *type);

#endif
