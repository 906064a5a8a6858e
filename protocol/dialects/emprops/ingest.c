/* SPDX-License-Identifier: MIT */
/* Owns what may be published into the dialect emprops from outside, and read there: alerts in the shape of
 * system_alert (I-10), and the hub's counters (I-15). Jobs come from clients only. The ingest side calls it. */
#include "protocol/dialects/emprops/session.h"

#include "protocol/json_merge.h"

static int refuse(struct ingest_call *call, int status, const char *field, const char *message)
{
    call->field = field;
    call->message = message;
    return status;
}

int emprops_read_state(struct ingest_call *call, struct slice topic)
{
    if (!slice_is(topic, "counters"))
        return refuse(call, 404, "", "unknown topic; there is counters");
    call->kind = INGEST_REQUEST;
    call->request_kind = HUB_COUNTERS_NOW;
    call->body = slice_text("");
    return 0;
}

int emprops_ingest(struct ingest_call *call, struct slice topic, struct slice body)
{
    static const char *const required[] = {"severity", "category", "message"};
    struct json_member found[] = {{.name = required[0]}, {.name = required[1]}, {.name = required[2]}};
    uint8_t memory[96];
    struct buf stamp = buf_of(memory, sizeof memory);
    if (!slice_is(topic, "alerts"))
        return refuse(call, 404, "", "unknown topic; there is alerts");
    switch (json_find_members(body, EMPROPS_DEPTH_MAX, false, found, 3)) {
    case JSON_MEMBERS_OK:
        break;
    case JSON_MEMBERS_NOT_OBJECT:
        return refuse(call, 422, "", "must be an object");
    default:
        return refuse(call, 400, "", "is not JSON");
    }
    for (size_t i = 0; i < 3; i++)
        if (found[i].token != JSON_STRING)
            return refuse(call, 422, required[i], "must be a string");
    if (body.bytes > EMPROPS_NOTE_BYTES_MAX)
        return refuse(call, 422, "", "must have at most 16384 bytes");
    buf_put_text(&stamp, "{\"type\":\"system_alert\",\"timestamp\":");
    buf_put_u64(&stamp, call->wall_ms);
    buf_put_byte(&stamp, '}');
    uint8_t text[EMPROPS_NOTE_BYTES_MAX + 256];
    struct buf merged = buf_of(text, sizeof text);
    if (json_merge(body, buf_slice(&stamp), 1, &merged) != 0)
        return refuse(call, 503, "", "out of memory");
    size_t mark = call->text->used;
    hub_put_field(call->text, FIELD_TEXT, buf_slice(&merged));
    call->kind = INGEST_REQUEST;
    call->request_kind = HUB_ALERT;
    call->body = buf_since(call->text, mark);
    return 0;
}
