/* SPDX-License-Identifier: MIT */
/* Owns which workers are told of a job that waits (E-60, E-50), and how: the first few of a class each on the channel
 * of its session, the others together by the channel of their class, so that one frame reaches ten thousand. It never
 * assigns a job. workers.c says what has changed, jobs.c and claims.c have jobs offered.
 *
 * Only the session itself can join or leave the channel of its class, in the answer to a request of its own. A worker
 * that becomes free otherwise is told directly until then; one that joins is told directly until its session says that
 * it has joined. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "protocol/dialects/emprops/requirements.h"

static void put_channel(const struct class *class, struct buf *out)
{
    buf_put_text(out, HUB_CLASS_PREFIX);
    buf_put_u64(out, class->number);
}

static void list_direct(struct hub *hub, struct worker *worker, struct class *class)
{
    worker->direct_older = class->direct;
    worker->direct_newer = NONE;
    if (class->direct != NONE)
        worker_at(hub, class->direct)->direct_newer = worker->index;
    class->direct = worker->index;
    class->told_direct++;
    worker->hearing = HEARING_DIRECT;
}

static void unlist(struct hub *hub, struct worker *worker, struct class *class)
{
    if (worker->hearing == HEARING_CHANNEL)
        class->told_by_channel--;
    if (worker->hearing == HEARING_DIRECT) {
        if (worker->direct_older != NONE)
            worker_at(hub, worker->direct_older)->direct_newer = worker->direct_newer;
        if (worker->direct_newer != NONE)
            worker_at(hub, worker->direct_newer)->direct_older = worker->direct_older;
        else
            class->direct = worker->direct_older;
        class->told_direct--;
    }
    worker->hearing = HEARING_NOTHING;
}

void hearing_update(struct hub *hub, struct worker *worker)
{
    struct class *class = class_at(hub, worker->class);
    bool hears = session_at(hub, worker->session) != NULL && worker->listens && worker->free > 0 &&
                 worker->status != WORKER_OFFLINE;
    if (!hears) {
        unlist(hub, worker, class);
    } else if (worker->hearing == HEARING_NOTHING && worker->in_channel) {
        worker->hearing = HEARING_CHANNEL;
        class->told_by_channel++;
    } else if (worker->hearing == HEARING_NOTHING) {
        list_direct(hub, worker, class);
    }
}

void hearing_end(struct hub *hub, struct worker *worker)
{
    unlist(hub, worker, class_at(hub, worker->class));
    worker->in_channel = false;
}

void hearing_leave(struct hub *hub, struct worker *worker)
{
    uint8_t memory[32];
    struct buf channel = buf_of(memory, sizeof memory);
    if (!worker->in_channel)
        return;
    put_channel(class_at(hub, worker->class), &channel);
    effects_item(hub, HUB_LEAVE, buf_slice(&channel), slice_of(NULL, 0));
    worker->in_channel = false;
}

void hearing_put(struct hub *hub, struct worker *worker)
{
    const struct class *class = class_at(hub, worker->class);
    if (worker->hearing == HEARING_NOTHING)
        hearing_leave(hub, worker);
    if (worker->hearing == HEARING_DIRECT && class->told_direct > DIRECT_MAX) {
        uint8_t memory[32];
        struct buf channel = buf_of(memory, sizeof memory);
        put_channel(class, &channel);
        effects_item(hub, HUB_JOIN_CLASS, buf_slice(&channel), slice_of(NULL, 0));
    }
}

void hearing_joined(struct hub *hub, struct worker *worker)
{
    struct class *class = class_at(hub, worker->class);
    worker->in_channel = true;
    unlist(hub, worker, class);
    hearing_update(hub, worker);
    if (worker->hearing == HEARING_NOTHING)
        hearing_leave(hub, worker);
}

/* --- offers ------------------------------------------------------------------------------------------------------- */

/* The first text of a list of a group's needs; false: there is none. */
static bool first_of_list(struct slice *needs, struct slice *text)
{
    uint8_t count = needs->data[0];
    *needs = slice_skip(*needs, 1);
    for (uint8_t i = 0; i < count; i++)
        (void)hub_next_text(needs, text);
    return count > 0;
}

/* E-60 */
static struct message available(struct hub *hub, const struct job *job)
{
    const struct group *group = group_at(hub, job->group);
    struct slice needs = group->needs, service, component;
    struct buf *out = effects_open(hub, 0);
    bool has_service = first_of_list(&needs, &service), has_component = first_of_list(&needs, &component);
    bool comma = false;
    message_begin(out, "job_available");
    message_member(out, "job_id");
    job_put_id(job, out);
    message_text(out, "job_type", group->kind->name);
    message_u64(out, "priority", job->priority);
    message_member(out, "requirements_summary");
    size_t from = out->used;
    if (has_service)
        message_text(out, "service_type", service);
    if (group->gpu_needed) {
        message_member(out, "gpu_memory_min");
        put_double(out, group->gpu_gb);
    }
    if (has_component)
        message_text(out, "component", component);
    comma = out->used > from;
    if (comma && !out->overflow)
        out->data[from] = '{'; /* instead of the first comma */
    buf_put_text(out, comma ? "}" : "{}");
    message_end(out, slice_of(NULL, 0), hub->wall_ms);
    return effects_message(hub);
}

/* Tells all of a class. */
static void offer_class(struct hub *hub, const struct class *class, struct message message)
{
    uint8_t memory[32];
    struct buf channel = buf_of(memory, sizeof memory);
    if (class->told_by_channel > 0) {
        put_channel(class, &channel);
        effects_publish(hub, buf_slice(&channel), slice_of(NULL, 0), 0, message);
    }
    for (uint32_t at = class->direct; at != NONE;) {
        const struct worker *worker = worker_at(hub, at);
        effects_publish_to(hub, session_at(hub, worker->session)->connection, 0, message);
        at = worker->direct_older;
    }
}

uint32_t hearing_offer(struct hub *hub, const struct job *job)
{
    const struct group *group = group_at(hub, job->group);
    struct message message = {0};
    uint32_t told = 0;
    for (uint32_t word = 0; word < BIT_WORDS; word++) {
        for (uint64_t bits = group->classes[word]; bits != 0; bits &= bits - 1) {
            const struct class *class = class_at(hub, word * 64 + (uint32_t)__builtin_ctzll(bits));
            uint32_t here = class->told_direct + class->told_by_channel;
            if (here == 0)
                continue;
            if (told == 0)
                message = available(hub, job);
            offer_class(hub, class, message);
            told += here;
        }
    }
    return told;
}

void hearing_offer_waiting(struct hub *hub, struct worker *worker)
{
    struct job *jobs[EMPROPS_CLAIM_MAX];
    if (worker->hearing == HEARING_NOTHING)
        return;
    uint32_t wanted = worker->free < EMPROPS_CLAIM_MAX ? (uint32_t)worker->free : EMPROPS_CLAIM_MAX;
    uint32_t count = queue_first(hub, class_at(hub, worker->class), wanted, jobs);
    uint64_t connection = session_at(hub, worker->session)->connection;
    for (uint32_t i = 0; i < count; i++)
        effects_publish_to(hub, connection, 0, available(hub, jobs[i]));
}
