/* SPDX-License-Identifier: MIT */
/* Owns the meaning of clients' messages about jobs and the connection, and the table of all types: each is checked and
 * becomes a request to the hub, or an error (E-14 to E-28, E-72, E-81, E-82). It holds nothing and decides nothing
 * about jobs. emprops.c gives it messages as they come, chunks.c those that came in pieces. */
#include "protocol/action.h"
#include "protocol/dialects/emprops/requirements.h"
#include "protocol/dialects/emprops/session.h"

#include "core/check.h"

#define ORIGINAL_BYTES_MAX 1024 /* of an unknown message (E-72, Q-30) */

/* --- jobs --------------------------------------------------------------------------------------------------------- */

static bool put_needs(struct dialect_call *call, const struct incoming *in, struct buf *out)
{
    uint8_t memory[CAPABILITIES_BYTES_MAX], path[64];
    struct buf needs = buf_of(memory, sizeof memory), field = buf_of(path, sizeof path);
    bool there = incoming_has(in, M_requirements);
    struct slice json = there ? in->at[M_requirements].text : slice_of(NULL, 0), value;
    const char *name;
    const char *wrong = requirements_put_needs(json, &needs, &name, &value);
    if (wrong == NULL && there && json.bytes > EMPROPS_NOTE_BYTES_MAX) {
        wrong = NOTE_OBJECT;
        name = "";
    }
    if (wrong == NULL) {
        hub_put_field(out, FIELD_NEEDS, buf_slice(&needs));
        if (there)
            hub_put_field(out, FIELD_REQUIREMENTS, json);
        return true;
    }
    buf_put_text(&field, "requirements");
    buf_put_text(&field, name[0] != '\0' ? "." : "");
    buf_put_text(&field, name);
    if (strcmp(name, "hardware") == 0) {
        struct slice member, ignored;
        buf_reset(&needs);
        struct json_member hardware = {.name = "hardware"};
        (void)json_find_members(json, JSON_DEPTH_MAX, false, &hardware, 1);
        (void)requirements_put_hardware(hardware.text, true, &needs, &member, &ignored);
        if (member.data != NULL && member.bytes < 32) { /* as written: E-21 */
            buf_put_byte(&field, '.');
            buf_put(&field, member);
        }
    }
    buf_put_byte(&field, 0);
    struct json_member shown = {.token = value.data == NULL ? JSON_ERROR : JSON_STRING, .text = value};
    emprops_invalid(call, in, (const char *)path, wrong, &shown);
    return false;
}

/* E-14 */
static void submit_job(struct dialect_call *call, const struct incoming *in)
{
    uint8_t memory[1024];
    struct buf space = buf_of(memory, sizeof memory);
    struct outgoing out;
    struct slice type, customer;
    uint64_t priority = 50;
    if (!emprops_may(call, in, EMPROPS_CLIENT) || !outgoing_begin(call, in->text.bytes, &out) ||
        !emprops_text(call, in, M_job_type, EMPROPS_TYPE_BYTES_MAX, &space, &type) ||
        !emprops_count(call, in, M_priority, 100, &priority))
        return;
    if (in->at[M_payload].token != JSON_OBJECT_BEGIN) {
        emprops_invalid(call, in, "payload", incoming_has(in, M_payload) ? "Must be an object" : "Required",
                        &in->at[M_payload]);
        return;
    }
    if (in->at[M_payload].text.bytes > EMPROPS_KEPT_BYTES_MAX) {
        emprops_invalid(call, in, "payload", "Must have at most 15728640 bytes", NULL);
        return;
    }
    if (incoming_has(in, M_customer_id)) {
        if (!emprops_text(call, in, M_customer_id, EMPROPS_NAME_BYTES_MAX, &space, &customer))
            return;
        hub_put_field(out.out, FIELD_CUSTOMER, customer);
    }
    hub_put_field(out.out, FIELD_JOB_TYPE, type);
    hub_put_number(out.out, FIELD_PRIORITY, priority);
    if (!put_needs(call, in, out.out))
        return;
    hub_put_field(out.out, FIELD_PAYLOAD, in->at[M_payload].text);
    outgoing_end(&out, in, HUB_SUBMIT, TAG_MESSAGE);
}

static void about_job(struct dialect_call *call, const struct incoming *in, enum hub_request kind)
{
    static const struct optional reason[] = {{M_reason, FIELD_REASON, JSON_STRING, EMPROPS_NOTE_BYTES_MAX, NOTE}};
    struct outgoing out;
    if (emprops_may(call, in, EMPROPS_CLIENT | EMPROPS_MONITOR) && outgoing_begin(call, 0, &out) &&
        emprops_put_job_id(call, in, out.out) &&
        (kind != HUB_CANCEL || emprops_put_optional(call, in, reason, 1, out.out)))
        outgoing_end(&out, in, kind, TAG_MESSAGE);
}

static void request_job_status(struct dialect_call *call, const struct incoming *in)
{
    about_job(call, in, HUB_STATUS);
}

static void cancel_job(struct dialect_call *call, const struct incoming *in)
{
    about_job(call, in, HUB_CANCEL);
}

static void subscribe_job(struct dialect_call *call, const struct incoming *in)
{
    about_job(call, in, HUB_SUBSCRIBE_JOB);
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

/* A worker's sign of life (E-47). */
static void touch(struct dialect_call *call)
{
    const struct emprops_session *session = call->session;
    struct outgoing out;
    if (session->worker && outgoing_begin(call, 0, &out))
        outgoing_end(&out, NULL, HUB_TOUCH, TAG_MESSAGE);
}

static void ping(struct dialect_call *call, const struct incoming *in)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    message_begin(text, "pong");
    message_end(text, in->id, call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
    touch(call);
}

static void pong(struct dialect_call *call, const struct incoming *in)
{
    (void)in;
    touch(call);
}

/* E-82 */
static void disconnect(struct dialect_call *call, const struct incoming *in)
{
    struct outgoing out;
    if (!outgoing_begin(call, 0, &out))
        return;
    if (in->at[M_cleanup_subscriptions].token == JSON_FALSE)
        hub_put_field(out.out, FIELD_KEEP, slice_text("1"));
    outgoing_end(&out, in, HUB_DISCONNECT, TAG_MESSAGE);
}

/* --- dispatch ----------------------------------------------------------------------------------------------------- */

static const struct handler {
    const char *type;
    void (*handle)(struct dialect_call *call, const struct incoming *in);
} handlers[] = {
    {"register_client", emprops_register_client},
    {"register_worker", emprops_register_worker},
    {"submit_job", submit_job},
    {"request_job_status", request_job_status},
    {"cancel_job", cancel_job},
    {"claim_job", emprops_claim_job},
    {"job_accepted_by_worker", emprops_job_accepted},
    {"update_job_progress", emprops_job_progress},
    {"complete_job", emprops_complete_job},
    {"job_result_with_large_files", emprops_complete_job}, /* E-79 */
    {"fail_job", emprops_fail_job},
    {"worker_heartbeat", emprops_worker_heartbeat},
    {"worker_status", emprops_worker_status},
    {"subscribe_job", subscribe_job},
    {"subscribe_job_notifications", emprops_subscribe_notifications},
    {"subscribe_stats", emprops_subscribe_stats},
    {"request_stats", emprops_request_stats},
    {"service_request", emprops_pass_on},
    {"connector_ws_status", emprops_pass_on},
    {"chunked_message", emprops_chunk},
    {"ping", ping},
    {"pong", pong},
    {"disconnect", disconnect},
};

static const struct handler *handler_of(struct slice type)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (slice_is(type, handlers[i].type))
            return &handlers[i];
    return NULL;
}

bool emprops_type_known(struct slice type)
{
    return handler_of(type) != NULL;
}

/* E-72 */
static void send_unknown(struct dialect_call *call, const struct incoming *in)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used, cut = in->text.bytes;
    uint8_t memory[ORIGINAL_BYTES_MAX + 3];
    struct buf original = buf_of(memory, sizeof memory);
    if (cut > ORIGINAL_BYTES_MAX) {
        cut = ORIGINAL_BYTES_MAX;
        while ((in->text.data[cut] & 0xc0) == 0x80) /* not inside a character */
            cut--;
    }
    buf_put(&original, slice_of(in->text.data, cut));
    if (cut < in->text.bytes)
        buf_put_text(&original, "...");
    message_begin(text, "unknown");
    message_literal(text, "content", "Received unrecognized message type");
    message_text(text, "original_message", buf_slice(&original));
    message_end(text, in->id, call->wall_ms);
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

void emprops_take(struct dialect_call *call, struct slice message, struct slice original_type)
{
    struct incoming in;
    uint8_t memory[64];
    struct buf space = buf_of(memory, sizeof memory);
    if (!emprops_read(call, message, &in))
        return;
    struct slice type = original_type;
    if (in.at[M_type].token == JSON_STRING)
        type = json_resolve(in.at[M_type].raw, in.at[M_type].escaped, &space);
    if (type.data == NULL) {
        emprops_error(call, FAULT_INVALID_MESSAGE, slice_text("{\"reason\":\"Must have a type\"}"), in.id);
        return;
    }
    const struct handler *handler = space.overflow ? NULL : handler_of(type);
    if (handler != NULL)
        handler->handle(call, &in);
    else
        send_unknown(call, &in);
}
