/* SPDX-License-Identifier: MIT */
/* Owns the jobs: which there are, by what id, in which state, how many of each, which payloads need not be fetched,
 * and how long an ended one is known (E-16, E-25). It never says anything: submissions.c and claims.c do. Called by
 * both, and by records.c. */
#include "protocol/dialects/emprops/hub_parts.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_FIRST 1024U
#define CACHED_BYTES_MAX (64U << 10) /* of one payload; larger ones are always fetched */

int jobs_init(struct hub *hub)
{
    hub->ended_oldest = hub->ended_newest = NONE;
    hub->buckets = malloc(BUCKETS_FIRST * sizeof *hub->buckets);
    if (hub->buckets == NULL)
        return -ENOMEM;
    hub->bucket_count = BUCKETS_FIRST;
    for (uint32_t i = 0; i < BUCKETS_FIRST; i++)
        hub->buckets[i] = NONE;
    return slab_init(&hub->jobs, sizeof(struct job), 1U << 25);
}

void jobs_free(struct hub *hub)
{
    uint32_t at = 0;
    struct job *job;
    while (hub->jobs.chunks != NULL && (job = slab_next(&hub->jobs, &at, NULL)) != NULL) {
        free(job->cached);
        text_drop(&job->customer);
        details_drop(job);
    }
    free(hub->buckets);
    slab_destroy(&hub->jobs);
}

uint32_t job_index(const struct hub *hub, const struct job *job)
{
    (void)hub;
    return job->index;
}

struct job *job_at(const struct hub *hub, uint32_t index)
{
    return slab_at(&hub->jobs, index);
}

/* --- ids ---------------------------------------------------------------------------------------------------------- */

static struct slice letters_of(const struct job *job)
{
    return slice_of(job->id, JOB_ID_LETTERS);
}

struct slice job_key(const struct job *job, uint8_t memory[JOB_KEY_BYTES])
{
    struct buf out = buf_of(memory, JOB_KEY_BYTES);
    if (!job->id_key) {
        buf_put_hex(&out, job->sequence, JOB_KEY_DIGITS);
        buf_put_byte(&out, '-');
    }
    buf_put(&out, letters_of(job));
    return buf_slice(&out);
}

struct slice job_letters_of_key(struct slice key)
{
    if (key.bytes == JOB_KEY_BYTES && key.data[JOB_KEY_DIGITS] == '-')
        return slice_skip(key, JOB_KEY_DIGITS + 1);
    return key.bytes == JOB_ID_LETTERS ? key : slice_of(NULL, 0);
}

void job_put_id(const struct job *job, struct buf *out)
{
    buf_put_text(out, "\"" JOB_ID_PREFIX);
    buf_put(out, letters_of(job));
    buf_put_byte(out, '"');
}

static uint32_t *bucket_of(const struct hub *hub, struct slice id)
{
    return &hub->buckets[siphash(&hub->secret, id) & (hub->bucket_count - 1)];
}

struct job *job_of_letters(const struct hub *hub, struct slice id)
{
    for (uint32_t at = *bucket_of(hub, id); at != NONE;) {
        struct job *job = job_at(hub, at);
        if (memcmp(job->id, id.data, JOB_ID_LETTERS) == 0)
            return job;
        at = job->hash_next;
    }
    return NULL;
}

struct job *job_find(const struct hub *hub, struct slice id)
{
    static const size_t prefix = sizeof JOB_ID_PREFIX - 1;
    if (id.bytes != prefix + JOB_ID_LETTERS || !slice_starts(id, slice_text(JOB_ID_PREFIX)))
        return NULL;
    return job_of_letters(hub, slice_skip(id, prefix));
}

/* Doubles the table; without memory the chains grow instead. */
static void grow(struct hub *hub)
{
    uint32_t count = hub->bucket_count * 2, *old = hub->buckets, at = 0;
    uint32_t *buckets = malloc(count * sizeof *buckets);
    if (buckets == NULL)
        return;
    for (uint32_t i = 0; i < count; i++)
        buckets[i] = NONE;
    hub->buckets = buckets;
    hub->bucket_count = count;
    free(old);
    struct job *job;
    while ((job = slab_next(&hub->jobs, &at, NULL)) != NULL) {
        uint32_t *bucket = bucket_of(hub, letters_of(job));
        job->hash_next = *bucket;
        *bucket = job->index;
    }
}

/* A new id from the number and the hub's secret; it shows nothing of how many there are. */
static void choose_id(const struct hub *hub, uint64_t number, char *id)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    struct hash128 hash = siphash128(&hub->ids, slice_of(&number, sizeof number));
    for (int i = 0; i < JOB_ID_LETTERS; i++) {
        id[i] = letters[hash.low % 36];
        hash.low = hash.low / 36 ^ hash.high;
        hash.high = hash.high / 36;
    }
}

struct job *job_make(struct hub *hub, const char *id)
{
    char chosen[JOB_ID_LETTERS];
    struct handle handle;
    uint64_t number = hub->last_sequence + 1;
    for (uint64_t salt = 0; id == NULL; salt++) { /* until one is not taken */
        choose_id(hub, number + (salt << 48), chosen);
        id = job_of_letters(hub, slice_of(chosen, JOB_ID_LETTERS)) == NULL ? chosen : NULL;
    }
    if (hub->jobs.count_live >= hub->bucket_count)
        grow(hub);
    struct job *job = slab_alloc(&hub->jobs, &handle);
    if (job == NULL)
        return NULL;
    memcpy(job->id, id, JOB_ID_LETTERS);
    job->index = handle.index;
    job->sequence = number;
    job->group = job->client = job->worker = job->expired = NONE;
    job->list_older = job->list_newer = job->subscriptions = NONE;
    job->status = JOB_STATUSES;
    uint32_t *bucket = bucket_of(hub, letters_of(job));
    job->hash_next = *bucket;
    *bucket = job->index;
    return job;
}

void job_set_status(struct hub *hub, struct job *job, enum job_status status)
{
    if (job->status < JOB_STATUSES)
        hub->counts[job->status]--;
    if (job->status == QUEUED)
        queue_remove(hub, job);
    job->status = (uint8_t)status;
    hub->counts[status]++;
    if (status == QUEUED)
        queue_put(hub, job);
}

/* --- payloads ----------------------------------------------------------------------------------------------------- */

void job_uncache(struct hub *hub, struct job *job)
{
    if (job->cached == NULL)
        return;
    hub->cache_bytes -= job->cached_bytes;
    free(job->cached);
    job->cached = NULL;
}

void job_cache(struct hub *hub, struct job *job, struct slice requirements, struct slice payload)
{
    size_t bytes = requirements.bytes + payload.bytes;
    /* a full cache keeps what it has: what waits longest is claimed first */
    if (bytes > CACHED_BYTES_MAX || hub->cache_bytes + bytes > hub->settings->cache_bytes)
        return;
    job->cached = malloc(bytes);
    if (job->cached == NULL)
        return;
    memcpy(job->cached, payload.data, payload.bytes);
    if (requirements.bytes > 0)
        memcpy(job->cached + payload.bytes, requirements.data, requirements.bytes);
    job->cached_bytes = (uint32_t)bytes;
    job->cached_requirements = (uint32_t)requirements.bytes;
    hub->cache_bytes += bytes;
}

bool job_cached(const struct job *job, struct slice *requirements, struct slice *payload)
{
    if (job->cached == NULL)
        return false;
    *payload = slice_of(job->cached, job->cached_bytes - job->cached_requirements);
    *requirements = job->cached_requirements == 0 ? slice_of(NULL, 0)
                                                  : slice_of(job->cached + payload->bytes, job->cached_requirements);
    return true;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void drop_expired(struct hub *hub, struct job *job)
{
    if (job->expired != NONE)
        worker_drop(hub, worker_at(hub, job->expired));
    job->expired = NONE;
}

void job_forget(struct hub *hub, struct job *job)
{
    uint32_t *at = bucket_of(hub, letters_of(job));
    while (*at != job->index)
        at = &job_at(hub, *at)->hash_next;
    *at = job->hash_next;
    if (status_ended((enum job_status)job->status) && job->status != JOB_STATUSES) {
        if (job->list_older != NONE)
            job_at(hub, job->list_older)->list_newer = job->list_newer;
        else
            hub->ended_oldest = job->list_newer;
        if (job->list_newer != NONE)
            job_at(hub, job->list_newer)->list_older = job->list_older;
        else
            hub->ended_newest = job->list_older;
        record_forget(hub, job);
        hub_count(hub, COUNT_forgotten_jobs);
    }
    if (job->status < JOB_STATUSES)
        hub->counts[job->status]--;
    subscriptions_end_of_job(hub, job);
    drop_expired(hub, job);
    wheel_cancel(&hub->job_wheel, &job->timer);
    job_uncache(hub, job);
    text_drop(&job->customer);
    details_drop(job);
    client_drop(hub, job->client);
    if (job->worker != NONE)
        worker_drop(hub, worker_at(hub, job->worker));
    if (job->group != NONE)
        group_drop(hub, job->group);
    slab_free(&hub->jobs, job->index);
}

void job_end(struct hub *hub, struct job *job, enum job_status status, uint64_t ended_ms)
{
    job_set_status(hub, job, status);
    job->ended_ms = ended_ms;
    drop_expired(hub, job);
    subscriptions_end_of_job(hub, job);
    job_uncache(hub, job);
    details_drop(job);
    text_drop(&job->customer);
    group_at(hub, job->group)->kind->live--;
    group_drop(hub, job->group);
    job->group = NONE;
    job->list_older = hub->ended_newest;
    job->list_newer = NONE;
    if (hub->ended_newest != NONE)
        job_at(hub, hub->ended_newest)->list_newer = job->index;
    else
        hub->ended_oldest = job->index;
    hub->ended_newest = job->index;
    uint64_t age_ms = hub->wall_ms > ended_ms ? hub->wall_ms - ended_ms : 0;
    uint64_t left_ms = age_ms < hub->settings->finished_ms ? hub->settings->finished_ms - age_ms : 0;
    wheel_set(&hub->job_wheel, &job->timer, hub->now_ms + left_ms);
}

/* The oldest go while there are too many. */
void jobs_sweep(struct hub *hub)
{
    uint64_t ended = (uint64_t)hub->counts[COMPLETED] + hub->counts[FAILED] + hub->counts[CANCELLED];
    for (; ended > hub->settings->finished_max; ended--)
        job_forget(hub, job_at(hub, hub->ended_oldest));
}

void job_timer(struct hub *hub, struct job *job)
{
    switch ((enum job_status)job->status) {
    case ASSIGNED:
        claim_expire(hub, job);
        break;
    case DELAYED:
        claim_delay_over(hub, job);
        break;
    case COMPLETED:
    case FAILED:
    case CANCELLED:
        job_forget(hub, job);
        break;
    case QUEUED:
    case IN_PROGRESS:
    case JOB_STATUSES:
        check(false); /* they have none */
    }
}

enum job_status job_seen(const struct job *job)
{
    bool unaccepted = job->status == ASSIGNED && !job->accepted;
    return unaccepted || job->status == DELAYED ? QUEUED : (enum job_status)job->status;
}
