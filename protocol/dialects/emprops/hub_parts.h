/* SPDX-License-Identifier: MIT */
/* What the nouns of the hub say to each other. Each has a file: effects (what a call leads to), sessions (who is
 * connected, clients), workers (and their classes), hearing (who is told of what waits), queue and groups (order, what
 * fits), jobs (identity, payloads, ends), submissions and claims (what clients and workers do with jobs),
 * notifications (who is told what), statistics (counts, alerts), records (what is kept). hub.c takes the calls and
 * hands them on. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_PARTS_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_HUB_PARTS_H

#include "protocol/dialects/emprops/hub_state.h"
#include "protocol/dialects/emprops/messages.h"

/* --- effects.c: what the current call leads to -------------------------------------------------------------------- */

/* A message is opened, written, and then published or answered. Room for `bytes_max`, and for what frames it (4
 * KiB). */
struct buf *effects_open(struct hub *hub, size_t bytes_max);
/* What was opened is written. It may be published any number of times. */
struct message effects_message(struct hub *hub);
struct slice effects_text(const struct hub *hub, struct message message); /* until something is opened or published */
void effects_publish(struct hub *hub, struct slice channel, struct slice key, uint32_t level, struct message message);
void effects_publish_to(struct hub *hub, uint64_t connection, uint32_t conflate, struct message message);
/* The message becomes an item of the answer. */
void effects_send(struct hub *hub);

/* --- long_messages.c: E-80 ---------------------------------------------------------------------------------------- */

/* The message of that type to this session, in chunks when it takes them and the message is long enough. */
void long_publish(struct hub *hub, const struct session *session, uint32_t conflate, const char *type,
                  struct message message);
/* The same as items of the answer. */
void long_send(struct hub *hub, const struct session *session, const char *type, struct message message);

/* --- effects.c, continued ----------------------------------------------------------------------------------------- */

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

/* --- texts -------------------------------------------------------------------------------------------------------- */

struct text *text_make(struct slice bytes); /* one user; NULL: no memory, or data NULL */
struct text *text_share(struct text *text); /* NULL: NULL */
void text_drop(struct text **text);
static inline struct slice text_slice(const struct text *text)
{
    return text == NULL ? slice_of(NULL, 0) : slice_of(text->data, text->bytes);
}

/* --- sessions.c --------------------------------------------------------------------------------------------------- */

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

/* --- queue.c ------------------------------------------------------------------------------------------------------ */

int queue_init(struct hub *hub);
void queue_free(struct hub *hub);
/* The group of that kind and needs, made when it is not known. NONE: no memory, or too many groups. The caller is a
 * user. */
uint32_t group_take(struct hub *hub, struct slice kind, struct slice needs);
void group_drop(struct hub *hub, uint32_t index);
struct group *group_at(const struct hub *hub, uint32_t index);
void queue_put(struct hub *hub, struct job *job);
void queue_remove(struct hub *hub, struct job *job);
/* 1 + the jobs before it, of one that is queued (E-18). */
uint32_t queue_position(const struct hub *hub, const struct job *job);
uint32_t queue_depth(const struct hub *hub); /* claimable */
/* The job that comes first among those that the class can do; preferred kinds come first within a priority (E-31).
 * `gpu_gb` NULL: no bound by it. */
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

/* --- workers.c ---------------------------------------------------------------------------------------------------- */

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

/* --- hearing.c ---------------------------------------------------------------------------------------------------- */

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

/* --- jobs.c ------------------------------------------------------------------------------------------------------- */

int jobs_init(struct hub *hub);
void jobs_free(struct hub *hub);
uint32_t job_index(const struct hub *hub, const struct job *job);
struct job *job_at(const struct hub *hub, uint32_t index);
/* By its id, with the prefix; NULL: not known. */
struct job *job_find(const struct hub *hub, struct slice id);
/* By its id without the prefix, JOB_ID_LETTERS long; NULL: not known. */
struct job *job_of_letters(const struct hub *hub, struct slice letters);
void job_put_id(const struct job *job, struct buf *out);
/* Of its records: its place in the order, and its id. Ascending, so that what is accepted together lies together on the
 * disk: with ids alone, which are random, each job would be a page of each table's index. */
struct slice job_key(const struct job *job, uint8_t memory[JOB_KEY_BYTES]);
/* The id in a key, without prefix; data NULL: it is no key. */
struct slice job_letters_of_key(struct slice key);
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

/* --- submissions.c ------------------------------------------------------------------------------------------------ */

void submit_job(struct hub *hub, struct session *session, const struct hub_fields *fields);
void submit_status(struct hub *hub, struct session *session, const struct hub_fields *fields);
void submit_cancel(struct hub *hub, struct session *session, const struct hub_fields *fields);
/* The record of an ended job that a question waited for. */
void submit_fetched(struct hub *hub, const struct waiting *waiting, int status, struct slice value);
/* The job of FIELD_JOB_ID, if this session may see it; NULL: it has been told why not. */
struct job *submit_find(struct hub *hub, const struct session *session, const struct hub_fields *fields);
/* Fetches how an ended job ended, for submit_fetched. */
void submit_fetch(struct hub *hub, const struct job *job, enum wait_kind kind, const struct hub_fields *fields);

/* --- claims.c ----------------------------------------------------------------------------------------------------- */

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

/* --- notifications.c ---------------------------------------------------------------------------------------------- */

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

/* --- statistics.c ------------------------------------------------------------------------------------------------- */

void statistics_subscribe(struct hub *hub, struct session *session, const struct hub_fields *fields);
void statistics_resume(struct hub *hub, struct subscriptions *set);
void statistics_now(struct hub *hub, struct session *session, const struct hub_fields *fields);
void statistics_send(struct hub *hub, struct subscriptions *set);
void statistics_ended(struct hub *hub, enum job_status status, uint64_t wall_ms);
void statistics_waited(struct hub *hub, uint64_t ms);
/* Behind each call: whether an alert is due (E-65). */
void statistics_alerts(struct hub *hub);
uint64_t statistics_due(const struct hub *hub);

/* --- records.c ---------------------------------------------------------------------------------------------------- */

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

static inline void hub_count(struct hub *hub, enum hub_counter counter)
{
    hub->counters[counter]++;
}
/* The answer goes here in the order of effects; without it, behind all others. */
void hub_answer(struct hub *hub);
/* A place among those who wait for a record; NULL: no memory, and the call counts as lost. The request is answered
 * later. */
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
