/* SPDX-License-Identifier: MIT */
/* Owns the workers: who they are, what they can (their class), how many slots they have, the jobs that they hold, and
 * whether they live (E-10, E-12, E-45 to E-49, Q-27). It never chooses a job and never tells of one. hub.c hands
 * requests and timers on to it. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "protocol/dialects/emprops/requirements.h"

#include <errno.h>
#include <stdlib.h>

static const char *const status_names[WORKER_STATUSES] = {
    [WORKER_IDLE] = "idle", [WORKER_BUSY] = "busy", [WORKER_OFFLINE] = "offline", [WORKER_ERROR] = "error"};

const char *worker_status_text(enum worker_status status)
{
    return status_names[status];
}

enum worker_status worker_status_named(struct slice name)
{
    int status = WORKER_IDLE;
    while (status < WORKER_STATUSES && !slice_is(name, status_names[status]))
        status++;
    return (enum worker_status)status;
}

int workers_init(struct hub *hub)
{
    list_init(&hub->living_workers);
    map_init(&hub->class_map, hub->secret);
    map_init(&hub->worker_map, hub->secret);
    if (slab_init(&hub->classes, sizeof(struct class), CLASSES_MAX) != 0)
        return -ENOMEM;
    return slab_init(&hub->workers, sizeof(struct worker), 1U << 23);
}

void workers_free(struct hub *hub)
{
    uint32_t at = 0;
    struct class *class;
    struct worker *worker;
    while (hub->classes.chunks != NULL && (class = slab_next(&hub->classes, &at, NULL)) != NULL)
        free(class->memory);
    at = 0;
    while (hub->workers.chunks != NULL && (worker = slab_next(&hub->workers, &at, NULL)) != NULL) {
        text_drop(&worker->load);
        text_drop(&worker->connectors);
    }
    map_free(&hub->class_map);
    map_free(&hub->worker_map);
    slab_destroy(&hub->classes);
    slab_destroy(&hub->workers);
}

struct worker *worker_at(const struct hub *hub, uint32_t index)
{
    return slab_at(&hub->workers, index);
}

struct class *class_at(const struct hub *hub, uint32_t index)
{
    return slab_at(&hub->classes, index);
}

/* --- classes ------------------------------------------------------------------------------------------------------ */

/* The class of these capabilities, made when it is not known; NULL: *error is -ENOMEM or -ENOSPC. The caller is a
 * user. */
static struct class *class_take(struct hub *hub, struct slice key, int *error)
{
    struct class *class = map_get(&hub->class_map, key);
    struct handle handle;
    if (class != NULL) {
        class->users++;
        return class;
    }
    *error = hub->classes.count_live == CLASSES_MAX ? -ENOSPC : -ENOMEM;
    class = slab_alloc(&hub->classes, &handle);
    if (class == NULL)
        return NULL;
    class->index = handle.index;
    class->memory = malloc(key.bytes);
    if (class->memory != NULL) {
        memcpy(class->memory, key.data, key.bytes);
        class->key = slice_of(class->memory, key.bytes);
    }
    if (class->memory == NULL || map_put(&hub->class_map, class->key, class) != 0) {
        free(class->memory);
        slab_free(&hub->classes, handle.index);
        return NULL;
    }
    class->users = 1;
    class->number = ++hub->last_class;
    class->direct = NONE;
    queue_class_added(hub, class);
    return class;
}

static void class_drop(struct hub *hub, struct class *class)
{
    if (--class->users > 0)
        return;
    queue_class_removed(hub, class);
    map_remove(&hub->class_map, class->key);
    free(class->memory);
    slab_free(&hub->classes, class->index);
}

/* --- what a worker adds to its class ------------------------------------------------------------------------------ */

/* Slots of a connected worker; taken out before they change and put in again behind. */
static void count_slots(struct hub *hub, const struct worker *worker, bool in)
{
    struct class *class = class_at(hub, worker->class);
    uint64_t free = worker->free > 0 ? (uint64_t)worker->free : 0, sign = in ? 1 : UINT64_MAX;
    if (session_at(hub, worker->session) == NULL)
        return;
    hub->worker_counts[worker->status] += (uint32_t)sign;
    if (worker->status == WORKER_OFFLINE)
        return;
    if (free > 0 && worker->status != WORKER_ERROR)
        hub->available_workers += (uint32_t)sign;
    class->free += sign * free;
    class->slots += sign * (free + worker->job_count);
}

static void attach(struct hub *hub, struct worker *worker, struct session *session)
{
    struct class *class = class_at(hub, worker->class);
    worker->session = session_handle(hub, session);
    session->worker = worker->index;
    if (class->living++ == 0)
        queue_class_living(hub, class, true);
    count_slots(hub, worker, true);
    worker->heard_ms = hub->now_ms;
    wheel_set(&hub->worker_wheel, &worker->timer, hub->now_ms + 2 * hub->settings->heartbeat_ms);
}

/* It has no connection from now on. */
static void detach(struct hub *hub, struct worker *worker)
{
    struct session *session = session_at(hub, worker->session);
    struct class *class = class_at(hub, worker->class);
    if (session == NULL)
        return;
    hearing_end(hub, worker);
    count_slots(hub, worker, false);
    worker->session = (struct handle){0};
    session->worker = NONE;
    if (--class->living == 0)
        queue_class_living(hub, class, false);
    wheel_cancel(&hub->worker_wheel, &worker->timer);
}

/* --- being -------------------------------------------------------------------------------------------------------- */

struct worker *worker_take(struct hub *hub, struct slice id)
{
    struct worker *worker = map_get(&hub->worker_map, id);
    struct handle handle;
    if (worker != NULL) {
        worker->users++;
        return worker;
    }
    worker = slab_alloc(&hub->workers, &handle);
    if (worker == NULL)
        return NULL;
    check_op(id.bytes, <=, sizeof worker->data);
    memcpy(worker->data, id.data, id.bytes);
    worker->id = slice_of(worker->data, id.bytes);
    worker->index = handle.index;
    worker->users = 1;
    worker->class = worker->jobs = NONE;
    if (map_put(&hub->worker_map, worker->id, worker) != 0) {
        slab_free(&hub->workers, handle.index);
        return NULL;
    }
    return worker;
}

void worker_drop(struct hub *hub, struct worker *worker)
{
    if (--worker->users > 0)
        return;
    map_remove(&hub->worker_map, worker->id);
    slab_free(&hub->workers, worker->index);
}

void worker_left(struct hub *hub, struct worker *worker)
{
    detach(hub, worker);
    wheel_set(&hub->worker_wheel, &worker->timer, hub->now_ms + hub->settings->grace_ms);
}

void worker_die(struct hub *hub, struct worker *worker)
{
    detach(hub, worker);
    wheel_cancel(&hub->worker_wheel, &worker->timer);
    while (worker->jobs != NONE)
        claim_lost(hub, job_at(hub, worker->jobs));
    class_drop(hub, class_at(hub, worker->class));
    worker->class = NONE;
    worker->alive = false;
    list_remove(&worker->living);
    text_drop(&worker->load);
    text_drop(&worker->connectors);
    worker_drop(hub, worker);
}

void worker_timer(struct hub *hub, struct worker *worker)
{
    uint64_t silent_ms = worker->heard_ms + 2 * hub->settings->heartbeat_ms;
    const struct session *session = session_at(hub, worker->session);
    if (session != NULL && silent_ms > hub->now_ms) {
        wheel_set(&hub->worker_wheel, &worker->timer, silent_ms);
        return;
    }
    if (session != NULL)
        effects_close(hub, session->connection, WS_CLOSE_GOING_AWAY, "worker is silent");
    worker_die(hub, worker);
}

/* --- registration ------------------------------------------------------------------------------------------------- */

/* The capabilities that the fields give, those that are missing as they were (E-49). */
static void put_capabilities(const struct hub_fields *fields, struct slice old, struct buf *out)
{
    static const enum hub_field parts[] = {FIELD_SERVICES, FIELD_COMPONENTS, FIELD_HARDWARE};
    for (size_t i = 0; i < 3; i++) {
        struct slice part = old;
        if (old.bytes > 0) {
            old = requirements_skip(old, i == 2);
            part.bytes -= old.bytes;
        } else {
            part = slice_of("", 1); /* an empty list */
        }
        buf_put(out, hub_has(fields, parts[i]) ? fields->at[parts[i]] : part);
    }
}

/* Into the class of its capabilities; it has no connection at this moment. 0, -ENOMEM or -ENOSPC. */
static int choose_class(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    uint8_t memory[CAPABILITIES_BYTES_MAX * 3];
    struct buf key = buf_of(memory, sizeof memory);
    struct class *old = worker->class == NONE ? NULL : class_at(hub, worker->class);
    int error = 0;
    put_capabilities(fields, old == NULL ? slice_of(NULL, 0) : old->key, &key);
    check(!key.overflow);
    struct class *class = class_take(hub, buf_slice(&key), &error);
    if (class == NULL)
        return error;
    if (old != NULL)
        class_drop(hub, old);
    worker->class = class->index;
    return 0;
}

static void confirm(struct hub *hub, const struct session *session, const struct worker *worker,
                    const struct hub_fields *fields)
{
    uint8_t memory[64];
    struct buf id = buf_of(memory, sizeof memory);
    struct buf *out = effects_open(hub, 0);
    put_connection_id(&id, "worker-conn-", session->connection);
    message_begin(out, "worker_registered");
    message_text(out, "worker_id", worker->id);
    message_literal(out, "status", "registered");
    message_text(out, "assigned_connection_id", buf_slice(&id));
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    hub_ack(hub, fields, "register_worker");
}

int worker_register(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    struct worker *worker = worker_take(hub, fields->at[FIELD_WORKER_ID]);
    if (worker == NULL)
        return -ENOMEM;
    struct session *other = session_at(hub, worker->session);
    if (session->worker != NONE && session->worker != worker->index)
        worker_die(hub, worker_at(hub, session->worker));
    if (other == session)
        hearing_leave(hub, worker);
    if (worker->alive)
        detach(hub, worker);
    int error = choose_class(hub, worker, fields);
    if (error != 0) {
        if (worker->alive)
            worker_left(hub, worker);
        worker_drop(hub, worker);
        return error;
    }
    if (other != NULL && other != session)
        effects_close(hub, other->connection, WS_CLOSE_POLICY, "replaced"); /* E-12 */
    if (worker->alive)
        worker_drop(hub, worker);
    else
        list_push_back(&hub->living_workers, &worker->living);
    worker->alive = true;
    session->chunked = hub_has(fields, FIELD_CHUNKED);
    worker->listens = hub_has(fields, FIELD_LISTENS);
    worker->status = (uint8_t)hub_number(fields, FIELD_WORKER_STATUS, WORKER_IDLE);
    worker->free = (int64_t)hub_number(fields, FIELD_SLOTS, 1);
    attach(hub, worker, session);
    hearing_update(hub, worker);
    effects_item(hub, HUB_REGISTERED, slice_of("w", 1), worker->id);
    confirm(hub, session, worker, fields);
    hearing_put(hub, worker);
    hub->offer_to = worker;
    return 0;
}

int worker_change(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    struct session *session = session_at(hub, worker->session);
    bool heard = worker->hearing != HEARING_NOTHING;
    int64_t free = worker->free;
    int error = 0;
    if (hub_has(fields, FIELD_SERVICES) || hub_has(fields, FIELD_COMPONENTS) || hub_has(fields, FIELD_HARDWARE)) {
        hearing_leave(hub, worker);
        detach(hub, worker);
        error = choose_class(hub, worker, fields);
        attach(hub, worker, session);
        heard = false; /* of what it can do now */
    }
    count_slots(hub, worker, false);
    if (error == 0) {
        worker->status = (uint8_t)hub_number(fields, FIELD_WORKER_STATUS, worker->status);
        worker->free = (int64_t)hub_number(fields, FIELD_SLOTS, (uint64_t)worker->free);
    }
    count_slots(hub, worker, true);
    hearing_update(hub, worker);
    hearing_put(hub, worker);
    if (error == 0 && (!heard || worker->free > free))
        hub->offer_to = worker;
    return error;
}

/* --- heartbeats --------------------------------------------------------------------------------------------------- */

/* E-27, Q-28: a job that it believes to have is not its any more. */
static void tell_gone(struct hub *hub, const struct worker *worker, const struct job *job)
{
    struct buf *out = effects_open(hub, 0);
    message_begin(out, "job_cancelled");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_literal(out, "status", "cancelled");
    message_u64(out, "cancelled_at", job->status == CANCELLED ? job->ended_ms : hub->wall_ms);
    message_text(out, "worker_id", worker->id);
    if (job->status != CANCELLED)
        message_literal(out, "reason", "reassigned");
    message_end(out, slice_of(NULL, 0), hub->wall_ms);
    effects_publish_to(hub, session_at(hub, worker->session)->connection, 0, effects_message(hub));
}

/* E-48 */
static void compare_jobs(struct hub *hub, struct worker *worker, struct slice list)
{
    struct slice id;
    while (hub_next_text(&list, &id)) {
        struct job *job = job_find(hub, id);
        if (job != NULL && job->worker == worker->index)
            job->listed = true;
        else if (job != NULL)
            tell_gone(hub, worker, job);
    }
    for (uint32_t at = worker->jobs; at != NONE;) {
        struct job *job = job_at(hub, at);
        bool lost = !job->listed && (job->accepted || job->status == IN_PROGRESS);
        at = job->list_older;
        if (lost && job->missing)
            claim_lost(hub, job);
        else
            job->missing = lost;
        job->listed = false;
    }
}

void worker_heartbeat(struct hub *hub, struct worker *worker, const struct hub_fields *fields)
{
    struct buf *out = effects_open(hub, 0);
    bool heard = worker->hearing != HEARING_NOTHING;
    message_begin(out, "worker_heartbeat_ack");
    message_text(out, "worker_id", worker->id);
    message_literal(out, "status", "acknowledged");
    message_u64(out, "next_heartbeat_expected", hub->wall_ms + hub->settings->heartbeat_ms);
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
    hub_ack(hub, fields, "worker_heartbeat");
    worker->heartbeat_wall_ms = hub->wall_ms;
    count_slots(hub, worker, false);
    worker->status = (uint8_t)hub_number(fields, FIELD_WORKER_STATUS, worker->status);
    count_slots(hub, worker, true);
    if (hub_has(fields, FIELD_LOAD)) {
        text_drop(&worker->load);
        worker->load = text_make(fields->at[FIELD_LOAD]); /* without memory it is not shown */
    }
    if (hub_has(fields, FIELD_CONNECTOR)) {
        text_drop(&worker->connectors);
        worker->connectors = text_make(fields->at[FIELD_CONNECTOR]);
    }
    if (hub_has(fields, FIELD_JOBS))
        compare_jobs(hub, worker, fields->at[FIELD_JOBS]);
    hearing_update(hub, worker);
    hearing_put(hub, worker);
    if (!heard)
        hub->offer_to = worker;
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

void worker_take_job(struct hub *hub, struct worker *worker, struct job *job)
{
    count_slots(hub, worker, false);
    job->worker = worker->index;
    worker->users++;
    job->list_older = worker->jobs;
    job->list_newer = NONE;
    if (worker->jobs != NONE)
        job_at(hub, worker->jobs)->list_newer = job_index(hub, job);
    worker->jobs = job_index(hub, job);
    worker->job_count++;
    worker->free--;
    count_slots(hub, worker, true);
    hearing_update(hub, worker);
}

void worker_lose_job(struct hub *hub, struct worker *worker, struct job *job)
{
    check(job->worker == worker->index && worker->job_count > 0);
    if (worker->alive)
        count_slots(hub, worker, false);
    if (job->list_older != NONE)
        job_at(hub, job->list_older)->list_newer = job->list_newer;
    if (job->list_newer != NONE)
        job_at(hub, job->list_newer)->list_older = job->list_older;
    else
        worker->jobs = job->list_older;
    job->list_older = job->list_newer = NONE;
    job->worker = NONE;
    worker->job_count--;
    worker->free++;
    if (worker->alive) {
        count_slots(hub, worker, true);
        hearing_update(hub, worker);
    }
    worker_drop(hub, worker);
}
