/* SPDX-License-Identifier: MIT */
/* Owns the meaning of workers' messages: each is checked and becomes a request to the hub, or an error (E-29 to E-49,
 * E-66, E-67). It holds nothing. requests.c hands them on to it by its table. */
#include "protocol/dialects/emprops/requirements.h"
#include "protocol/dialects/emprops/session.h"

#define CLAIM_TIMEOUT_MIN_MS 1000 /* E-34 */
#define CLAIM_TIMEOUT_MAX_MS 600000

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* The worker that the message names, for the hub to compare (E-44). */
static bool worker_begin(struct dialect_call *call, const struct incoming *in, size_t bytes, struct outgoing *out)
{
    uint8_t memory[1024];
    struct buf space = buf_of(memory, sizeof memory);
    const struct emprops_session *session = call->session;
    struct slice id;
    if (!session->worker) {
        emprops_error(call, FAULT_NOT_REGISTERED, slice_of(NULL, 0), in->id);
        return false;
    }
    if (!outgoing_begin(call, bytes, out))
        return false;
    if (!incoming_has(in, M_worker_id))
        return true;
    if (!emprops_text(call, in, M_worker_id, EMPROPS_NAME_BYTES_MAX, &space, &id))
        return false;
    hub_put_field(out->out, FIELD_WORKER_ID, id);
    return true;
}

/* `available_resources` (E-29): slots bound the number of jobs, memory what fits. */
static bool put_resources(struct dialect_call *call, const struct incoming *in, uint64_t *jobs, struct buf *out)
{
    struct json_member found[] = {{.name = "concurrent_slots"}, {.name = "gpu_memory_available"}};
    uint64_t slots;
    double gb;
    if (!incoming_has(in, M_available_resources))
        return true;
    if (json_find_members(in->at[M_available_resources].text, JSON_DEPTH_MAX, false, found, 2) != JSON_MEMBERS_OK) {
        emprops_invalid(call, in, "available_resources", "Must be an object", &in->at[M_available_resources]);
        return false;
    }
    if (found[0].token != JSON_ERROR && found[0].token != JSON_NULL) {
        if (found[0].token != JSON_NUMBER || !json_u64(found[0].raw, &slots)) {
            emprops_invalid(call, in, "available_resources.concurrent_slots", "Must be a whole number", &found[0]);
            return false;
        }
        *jobs = slots < *jobs ? slots : *jobs;
    }
    if (found[1].token != JSON_ERROR && found[1].token != JSON_NULL) {
        if (found[1].token != JSON_NUMBER || !requirements_number(found[1].raw, &gb)) {
            emprops_invalid(call, in, "available_resources.gpu_memory_available", "Must be a number", &found[1]);
            return false;
        }
        hub_put_number(out, FIELD_GPU, double_bits(gb));
    }
    return true;
}

void emprops_claim_job(struct dialect_call *call, const struct incoming *in)
{
    const struct emprops_settings *settings = call->settings;
    struct outgoing out;
    uint64_t jobs = 1, timeout_ms = settings->claim_timeout_ms;
    if (!worker_begin(call, in, 0, &out) || !emprops_count(call, in, M_max_jobs, UINT32_MAX, &jobs) ||
        !emprops_count(call, in, M_claim_timeout, UINT32_MAX, &timeout_ms) ||
        !emprops_put_list(call, in, M_preferred_types, EMPROPS_LIST_MAX, FIELD_TYPES, out.out) ||
        !put_resources(call, in, &jobs, out.out))
        return;
    timeout_ms = timeout_ms < CLAIM_TIMEOUT_MIN_MS ? CLAIM_TIMEOUT_MIN_MS : timeout_ms;
    timeout_ms = timeout_ms > CLAIM_TIMEOUT_MAX_MS ? CLAIM_TIMEOUT_MAX_MS : timeout_ms;
    hub_put_number(out.out, FIELD_MAX, jobs < EMPROPS_CLAIM_MAX ? jobs : EMPROPS_CLAIM_MAX);
    hub_put_number(out.out, FIELD_TIMEOUT, timeout_ms);
    outgoing_end(&out, in, HUB_CLAIM, TAG_MESSAGE);
}

static const struct optional progress_notes[] = {
    {M_estimated_completion, FIELD_ESTIMATED, JSON_STRING, EMPROPS_NOTE_BYTES_MAX, NOTE},
    {M_message, FIELD_MESSAGE, JSON_STRING, EMPROPS_NOTE_BYTES_MAX, NOTE},
    {M_current_step, FIELD_STEP, JSON_STRING, EMPROPS_NOTE_BYTES_MAX, NOTE},
    {M_connector_details, FIELD_CONNECTOR, JSON_OBJECT_BEGIN, EMPROPS_NOTE_BYTES_MAX, NOTE_OBJECT},
};

void emprops_job_accepted(struct dialect_call *call, const struct incoming *in)
{
    struct outgoing out;
    if (worker_begin(call, in, 0, &out) && emprops_put_job_id(call, in, out.out) &&
        emprops_put_optional(call, in, progress_notes, 4, out.out))
        outgoing_end(&out, in, HUB_ACCEPT, TAG_MESSAGE);
}

void emprops_job_progress(struct dialect_call *call, const struct incoming *in)
{
    struct outgoing out;
    double percent;
    if (!worker_begin(call, in, 0, &out) || !emprops_put_job_id(call, in, out.out))
        return;
    const struct json_member *progress = &in->at[M_progress];
    if (progress->token != JSON_NUMBER || !requirements_number(progress->raw, &percent) || percent < 0 ||
        percent > 100) {
        emprops_invalid(call, in, "progress", "Must be a number from 0 to 100", progress);
        return;
    }
    hub_put_field(out.out, FIELD_PROGRESS, progress->text);
    if (emprops_put_optional(call, in, progress_notes, 4, out.out))
        outgoing_end(&out, in, HUB_PROGRESS, TAG_MESSAGE);
}

/* `processing_time`, seconds. */
static bool put_processing(struct dialect_call *call, const struct incoming *in, struct buf *out)
{
    double seconds;
    const struct json_member *found = &in->at[M_processing_time];
    if (!incoming_has(in, M_processing_time))
        return true;
    if (found->token != JSON_NUMBER || !requirements_number(found->raw, &seconds) || seconds < 0) {
        emprops_invalid(call, in, "processing_time", "Must be a number of seconds", found);
        return false;
    }
    hub_put_field(out, FIELD_PROCESSING, found->text);
    return true;
}

void emprops_complete_job(struct dialect_call *call, const struct incoming *in)
{
    struct outgoing out;
    if (!worker_begin(call, in, in->text.bytes, &out) || !emprops_put_job_id(call, in, out.out) ||
        !put_processing(call, in, out.out))
        return;
    const struct json_member *result = &in->at[M_result];
    if (result->token != JSON_OBJECT_BEGIN) {
        emprops_invalid(call, in, "result", incoming_has(in, M_result) ? "Must be an object" : "Required", result);
        return;
    }
    if (result->text.bytes > EMPROPS_KEPT_BYTES_MAX) {
        emprops_invalid(call, in, "result", "Must have at most 15728640 bytes", NULL);
        return;
    }
    hub_put_field(out.out, FIELD_RESULT, result->text);
    outgoing_end(&out, in, HUB_COMPLETE, TAG_MESSAGE);
}

void emprops_fail_job(struct dialect_call *call, const struct incoming *in)
{
    static const struct optional parts[] = {
        {M_error, FIELD_ERROR, JSON_STRING, EMPROPS_NOTE_BYTES_MAX, NOTE},
        {M_error_details, FIELD_DETAILS, JSON_OBJECT_BEGIN, EMPROPS_MESSAGE_BYTES_MAX / 2, "Must be an object"}};
    struct outgoing out;
    if (!worker_begin(call, in, in->text.bytes, &out) || !emprops_put_job_id(call, in, out.out) ||
        !put_processing(call, in, out.out) || !emprops_put_optional(call, in, parts, 2, out.out))
        return;
    if (incoming_has(in, M_retry) && in->at[M_retry].token != JSON_TRUE && in->at[M_retry].token != JSON_FALSE) {
        emprops_invalid(call, in, "retry", "Must be true or false", &in->at[M_retry]);
        return;
    }
    hub_put_number(out.out, FIELD_RETRY, in->at[M_retry].token != JSON_FALSE);
    outgoing_end(&out, in, HUB_FAIL, TAG_MESSAGE);
}

/* E-49's statuses. */
bool emprops_put_worker_status(struct dialect_call *call, const struct incoming *in, struct buf *out)
{
    static const char *const names[] = {"idle", "busy", "offline", "error"};
    const struct json_member *status = &in->at[M_status];
    if (!incoming_has(in, M_status))
        return true;
    for (uint64_t i = 0; i < 4 && status->token == JSON_STRING; i++) {
        if (!json_raw_equal(status->raw, status->escaped, slice_text(names[i])))
            continue;
        hub_put_number(out, FIELD_WORKER_STATUS, i);
        return true;
    }
    emprops_invalid(call, in, "status", "Must be idle, busy, offline or error", status);
    return false;
}

void emprops_worker_heartbeat(struct dialect_call *call, const struct incoming *in)
{
    static const struct optional parts[] = {
        {M_load, FIELD_LOAD, JSON_NUMBER, 64, "Must be a number"},
        {M_connector_status, FIELD_CONNECTOR, JSON_OBJECT_BEGIN, EMPROPS_NOTE_BYTES_MAX, NOTE_OBJECT}};
    struct outgoing out;
    if (worker_begin(call, in, 0, &out) && emprops_put_worker_status(call, in, out.out) &&
        emprops_put_optional(call, in, parts, 2, out.out) &&
        emprops_put_list(call, in, M_current_jobs, EMPROPS_JOBS_LISTED_MAX, FIELD_JOBS, out.out))
        outgoing_end(&out, in, HUB_HEARTBEAT, TAG_MESSAGE);
}

void emprops_worker_status(struct dialect_call *call, const struct incoming *in)
{
    struct outgoing out;
    uint64_t slots = 0;
    if (!worker_begin(call, in, 0, &out) || !emprops_put_worker_status(call, in, out.out) ||
        !emprops_count(call, in, M_available_slots, 1000000, &slots) || !emprops_put_capabilities(call, in, out.out))
        return;
    if (incoming_has(in, M_available_slots))
        hub_put_number(out.out, FIELD_SLOTS, slots);
    outgoing_end(&out, in, HUB_WORKER_STATUS, TAG_MESSAGE);
}

/* E-66, E-67 */
void emprops_pass_on(struct dialect_call *call, const struct incoming *in)
{
    struct outgoing out;
    if (!worker_begin(call, in, in->text.bytes, &out))
        return;
    hub_put_field(out.out, FIELD_TEXT, in->text);
    outgoing_end(&out, in, HUB_PASS_ON, TAG_MESSAGE);
}
