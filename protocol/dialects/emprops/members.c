/* SPDX-License-Identifier: MIT */
/* Owns how the members of a client's message are read and checked one by one, and how a request to the hub is written
 * from them. It knows no type of message. requests.c and its siblings call it. */
#include "protocol/action.h"
#include "protocol/dialects/emprops/session.h"

#include "core/check.h"

#include <stdlib.h>

#define SHORT_FIELDS_BYTES (160U << 10) /* of a request besides its long fields */

/* --- writing a request -------------------------------------------------------------------------------------------- */

bool outgoing_begin(struct dialect_call *call, size_t bytes, struct outgoing *out)
{
    struct emprops_session *session = call->session;
    struct buf *text = &call->out->text;
    *out = (struct outgoing){.call = call, .out = text, .mark = text->used};
    bytes += SHORT_FIELDS_BYTES;
    if (bytes <= text->capacity - text->used)
        return true;
    free(session->memory);
    session->memory = malloc(bytes);
    if (session->memory == NULL) {
        action_close(call->out, WS_CLOSE_INTERNAL, "out of memory");
        return false;
    }
    out->own = buf_of(session->memory, bytes);
    out->out = &out->own;
    out->mark = 0;
    return true;
}

void outgoing_end(struct outgoing *out, const struct incoming *in, enum hub_request kind, enum emprops_tag tag)
{
    struct dialect_call *call = out->call;
    struct emprops_session *session = call->session;
    hub_put_number(out->out, FIELD_SESSION, call->connection);
    hub_put_number(out->out, FIELD_RIGHTS, session->granted);
    if (in != NULL && in->id.data != NULL) {
        hub_put_field(out->out, FIELD_ID, in->id);
        free(session->id);
        session->id = malloc(in->id.bytes + 1); /* without memory an error has no request_id */
        if (session->id != NULL) {
            memcpy(session->id, in->id.data, in->id.bytes);
            session->id[in->id.bytes] = '\0';
        }
    }
    check(!out->out->overflow);
    action_request(call->out, kind, buf_since(out->out, out->mark), tag);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static const char *const names[MEMBERS] = {
#define MEMBER(name) [M_##name] = #name,
#include "protocol/dialects/emprops/members.def"
#undef MEMBER
};

bool emprops_text(struct dialect_call *call, const struct incoming *in, enum member member, size_t most,
                  struct buf *space, struct slice *text)
{
    const struct json_member *found = &in->at[member];
    uint8_t memory[64];
    struct buf what = buf_of(memory, sizeof memory - 1);
    if (found->token == JSON_STRING) {
        *text = json_resolve(found->raw, found->escaped, space);
        if (!space->overflow && text->bytes >= 1 && text->bytes <= most)
            return true;
    }
    if (!incoming_has(in, member)) {
        emprops_invalid(call, in, names[member], "Required", NULL);
        return false;
    }
    buf_put_text(&what, "Must be a string of 1 to ");
    buf_put_u64(&what, most);
    buf_put_text(&what, " bytes");
    buf_put_byte(&what, 0);
    emprops_invalid(call, in, names[member], (const char *)memory, found);
    return false;
}

bool emprops_count(struct dialect_call *call, const struct incoming *in, enum member member, uint64_t most,
                   uint64_t *value)
{
    const struct json_member *found = &in->at[member];
    if (!incoming_has(in, member))
        return true;
    if (found->token == JSON_NUMBER && json_u64(found->raw, value) && *value <= most)
        return true;
    uint8_t memory[64];
    struct buf what = buf_of(memory, sizeof memory);
    buf_put_text(&what, "Must be a whole number from 0 to ");
    buf_put_u64(&what, most);
    buf_put_byte(&what, 0);
    emprops_invalid(call, in, names[member], (const char *)memory, found);
    return false;
}

bool emprops_put_optional(struct dialect_call *call, const struct incoming *in, const struct optional *all,
                          size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct json_member *found = &in->at[all[i].member];
        if (!incoming_has(in, all[i].member))
            continue;
        bool kind = found->token == all[i].token || (all[i].token == JSON_TRUE && found->token == JSON_FALSE);
        if (!kind || found->text.bytes > all[i].bytes_max) {
            emprops_invalid(call, in, names[all[i].member], all[i].wrong, found);
            return false;
        }
        hub_put_field(out, all[i].field, found->text);
    }
    return true;
}

bool emprops_put_list(struct dialect_call *call, const struct incoming *in, enum member member, uint32_t most,
                      enum hub_field field, struct buf *out)
{
    uint8_t memory[128U << 10], texts[128U << 10];
    struct buf list = buf_of(memory, sizeof memory), space = buf_of(texts, sizeof texts);
    struct json_reader reader;
    struct json_value value;
    uint32_t count = 0;
    if (!incoming_has(in, member))
        return true;
    json_init(&reader, in->at[member].text, JSON_DEPTH_MAX);
    bool good = json_next(&reader, &value) == JSON_ARRAY_BEGIN;
    while (good && json_next(&reader, &value) != JSON_ARRAY_END) {
        good = value.token == JSON_STRING && count++ < most;
        struct slice text = good ? json_resolve(value.raw, value.escaped, &space) : slice_text("");
        good = good && !space.overflow && text.bytes <= EMPROPS_NAME_BYTES_MAX;
        if (good)
            hub_put_text(&list, text);
    }
    if (!good || list.overflow) {
        emprops_invalid(call, in, names[member],
                        most == EMPROPS_LIST_MAX ? "Must be an array of at most 256 strings of at most 128 bytes"
                                                 : "Must be an array of at most 1024 strings of at most 128 bytes",
                        &in->at[member]);
        return false;
    }
    hub_put_field(out, field, buf_slice(&list));
    return true;
}

bool emprops_put_job_id(struct dialect_call *call, const struct incoming *in, struct buf *out)
{
    uint8_t memory[1024];
    struct buf space = buf_of(memory, sizeof memory);
    struct slice id;
    if (!emprops_text(call, in, M_job_id, EMPROPS_NAME_BYTES_MAX, &space, &id))
        return false;
    hub_put_field(out, FIELD_JOB_ID, id);
    return true;
}

bool emprops_may(struct dialect_call *call, const struct incoming *in, enum emprops_right right)
{
    const struct emprops_session *session = call->session;
    if (!emprops_secured(call))
        return true;
    if (!session->client && !session->worker) {
        emprops_error(call, FAULT_NOT_REGISTERED, slice_of(NULL, 0), in->id);
        return false;
    }
    if (((session->key_rights & (EMPROPS_CLIENT | EMPROPS_WORKER | EMPROPS_MONITOR)) | session->granted) & right)
        return true;
    emprops_error(call, FAULT_PERMISSION_DENIED, slice_of(NULL, 0), in->id);
    return false;
}

bool emprops_read(struct dialect_call *call, struct slice message, struct incoming *in)
{
    in->text = message;
    in->id = slice_of(NULL, 0);
    for (size_t i = 0; i < MEMBERS; i++)
        in->at[i] = (struct json_member){.name = names[i]};
    if (json_find_members(message, EMPROPS_DEPTH_MAX, false, in->at, MEMBERS) != JSON_MEMBERS_OK) {
        emprops_error(call, FAULT_INVALID_MESSAGE, slice_text("{\"reason\":\"Must be a JSON object\"}"),
                      slice_of(NULL, 0));
        return false;
    }
    bool echoed = in->at[M_id].token == JSON_STRING || in->at[M_id].token == JSON_NUMBER;
    if (echoed && in->at[M_id].text.bytes <= EMPROPS_NAME_BYTES_MAX)
        in->id = in->at[M_id].text;
    return true;
}
