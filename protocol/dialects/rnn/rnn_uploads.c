/* SPDX-License-Identifier: MIT */
/* Owns the session's half of uploads: what goes to the depot (uploads.c), and that the node is asked for a service first
 * (N-54). It holds no session of an upload. Called by rnn.c. */
#include "protocol/dialects/rnn/rnn_session.h"

#include "protocol/dialects/rnn/uploads.h"
#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

#define START_BYTES_MAX (64U << 10)

void rnn_upload_forget(struct rnn_session *session)
{
    free(session->start);
    session->start = NULL;
}

static void ask(struct dialect_call *call, enum upload_request kind, enum upload_service service, struct slice payload)
{
    const struct rnn_settings *settings = call->settings;
    const struct rnn_session *session = call->session;
    struct buf *text = &call->out->text;
    uint8_t most[4];
    size_t mark = text->used;
    store_be32(most, (uint32_t)settings->uploads_per_user);
    buf_put(text, slice_of(most, sizeof most));
    buf_put_byte(text, (uint8_t)service);
    buf_put_text(text, session->user);
    action_depot(call->out, kind, buf_since(text, mark), payload, RNN_TAG_UPLOAD);
}

/* The text of a start's service id, as the table has it; no bytes: it has none. */
static struct slice service_of(struct slice payload)
{
    struct json_member id = {.name = "service_id"};
    uint64_t number;
    bool good = json_find_members(payload, RNN_DEPTH_MAX, false, &id, 1) == JSON_MEMBERS_OK &&
                id.token == JSON_NUMBER && json_u64(id.raw, &number);
    return good ? id.raw : slice_text("");
}

static void start(struct dialect_call *call, struct slice payload)
{
    const struct rnn_settings *settings = call->settings;
    struct rnn_session *session = call->session;
    struct slice service = payload.bytes <= START_BYTES_MAX ? service_of(payload) : slice_text("");
    if (payload.bytes > START_BYTES_MAX) /* an object of that size is no start: the depot says what one has */
        payload = slice_text("{}");
    if (!settings->require_service || service.bytes == 0) {
        ask(call, UPLOAD_START, UPLOAD_SERVICE_KNOWN, payload);
        return;
    }
    session->start = malloc(sizeof *session->start + payload.bytes);
    if (session->start == NULL) {
        ask(call, UPLOAD_START, UPLOAD_SERVICE_UNCERTAIN, payload);
        return;
    }
    session->start->payload_bytes = payload.bytes;
    memcpy(session->start->payload, payload.data, payload.bytes);
    action_request(call->out, RNN_KNOWS, service, RNN_TAG_SERVICE);
}

bool rnn_upload_message(struct dialect_call *call, struct slice type, struct slice payload)
{
    const struct rnn_settings *settings = call->settings;
    if (settings->uploads[0] == '\0')
        return false;
    if (slice_is(type, "file.upload.chunk")) {
        action_uncount(call->out); /* N-18 */
        ask(call, UPLOAD_CHUNK, UPLOAD_SERVICE_KNOWN, payload);
    } else if (slice_is(type, "file.upload.start")) {
        start(call, payload);
    } else if (slice_is(type, "file.upload.pause")) {
        ask(call, UPLOAD_PAUSE, UPLOAD_SERVICE_KNOWN, payload);
    } else if (slice_is(type, "file.upload.resume")) {
        ask(call, UPLOAD_RESUME, UPLOAD_SERVICE_KNOWN, payload);
    } else {
        return false;
    }
    return true;
}

void rnn_upload_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    struct rnn_session *session = call->session;
    struct slice rest = reply->body, message;
    if (reply->tag == RNN_TAG_SERVICE) {
        enum upload_service service = reply->status == 200   ? UPLOAD_SERVICE_KNOWN
                                      : reply->status == 404 ? UPLOAD_SERVICE_UNKNOWN
                                                             : UPLOAD_SERVICE_UNCERTAIN;
        ask(call, UPLOAD_START, service, slice_of(session->start->payload, session->start->payload_bytes));
        return; /* the payload is forgotten when its answer comes, or the session ends */
    }
    rnn_upload_forget(session);
    while (rnn_next_part(&rest, &message))
        action_send(call->out, WS_TEXT, message);
    if (reply->status != 200)
        action_close(call->out, WS_CLOSE_TRY_LATER, "uploads are not served now");
}
