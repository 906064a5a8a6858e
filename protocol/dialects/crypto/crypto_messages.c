/* SPDX-License-Identifier: MIT */
/* Owns the wording of what the dialect crypto itself says to a client: greetings, confirmations, status, errors. It
 * never decides when, and changes no session. Called by crypto.c. */
#include "protocol/dialects/crypto/crypto_messages.h"

#include "protocol/json.h"

size_t crypto_begin_message(struct dialect_call *call, const char *type)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, "{\"service\":\"system\",\"type\":\"");
    buf_put_text(text, type);
    buf_put_text(text, "\",\"data\":");
    return mark;
}

void crypto_send_message(struct dialect_call *call, size_t mark, struct slice id)
{
    struct buf *text = &call->out->text;
    buf_put_byte(text, ',');
    crypto_put_time(text, "timestamp", call->wall_ms);
    if (id.bytes > 0) {
        buf_put_text(text, ",\"id\":");
        buf_put(text, id);
    }
    buf_put_byte(text, '}');
    action_send(call->out, WS_TEXT, buf_since(text, mark));
}

static void put_subscriptions(struct buf *out, const struct crypto_session *session)
{
    buf_put_text(out, "\"subscriptions\":");
    crypto_put_names(out, session->services, session->count);
}

void crypto_send_error(struct dialect_call *call, struct slice id, const char *message)
{
    size_t mark = crypto_begin_message(call, "error");
    buf_put_text(&call->out->text, "{\"message\":");
    json_put_string(&call->out->text, slice_text(message));
    buf_put_byte(&call->out->text, '}');
    crypto_send_message(call, mark, id);
}

void crypto_send_established(struct dialect_call *call)
{
    const struct crypto_session *session = call->session;
    struct buf *text = &call->out->text;
    size_t mark = crypto_begin_message(call, "connection_established");
    buf_put_text(text, "{\"client_id\":");
    crypto_put_client_id(text, session->number, session->connected_ms);
    buf_put_byte(text, ',');
    crypto_put_time(text, "connected_at", session->connected_ms);
    buf_put_byte(text, ',');
    put_subscriptions(text, session);
    buf_put_text(text, ",\"message\":\"Connected\"}");
    crypto_send_message(call, mark, slice_text(""));
}

void crypto_send_welcome(struct dialect_call *call)
{
    struct buf *text = &call->out->text;
    size_t mark = crypto_begin_message(call, "welcome");
    buf_put_text(text, "{\"message\":\"Connected to master WebSocket endpoint\",\"available_services\":{");
    for (size_t i = 0; i < CRYPTO_CATEGORIES && crypto_categories[i].first < CRYPTO_TOPICS; i++) {
        const struct crypto_category *category = &crypto_categories[i];
        uint8_t services[CRYPTO_TOPICS];
        uint32_t count = 0;
        for (uint32_t service = category->first; service < category->end; service++)
            services[count++] = (uint8_t)service;
        if (i > 0)
            buf_put_byte(text, ',');
        json_put_string(text, slice_text(category->name));
        buf_put_byte(text, ':');
        crypto_put_names(text, services, count);
    }
    buf_put_text(text, "},\"usage\":{"
                       "\"subscribe\":{\"action\":\"subscribe\",\"service\":\"service_name\"},"
                       "\"unsubscribe\":{\"action\":\"unsubscribe\",\"service\":\"service_name\"},"
                       "\"get_status\":{\"action\":\"get_status\"},"
                       "\"ping\":{\"action\":\"ping\"}}}");
    crypto_send_message(call, mark, slice_text(""));
}

void crypto_send_confirmation(struct dialect_call *call, const char *type, const char *words,
                              enum crypto_service service, struct slice id)
{
    struct buf *text = &call->out->text;
    const char *name = crypto_services[service].name;
    size_t mark = crypto_begin_message(call, type);
    buf_put_text(text, "{\"service\":\"");
    buf_put_text(text, name);
    buf_put_text(text, "\",\"message\":\"");
    buf_put_text(text, words);
    buf_put_text(text, name);
    buf_put_text(text, "\",");
    put_subscriptions(text, call->session);
    buf_put_byte(text, '}');
    crypto_send_message(call, mark, id);
}

void crypto_send_status(struct dialect_call *call, const uint64_t *counts, struct slice id)
{
    const struct crypto_session *session = call->session;
    struct buf *text = &call->out->text;
    size_t mark = crypto_begin_message(call, "status");
    buf_put_text(text, "{\"client_id\":");
    crypto_put_client_id(text, session->number, session->connected_ms);
    buf_put_byte(text, ',');
    crypto_put_time(text, "connected_at", session->connected_ms);
    buf_put_byte(text, ',');
    crypto_put_time(text, "last_activity", session->active_ms);
    buf_put_byte(text, ',');
    put_subscriptions(text, session);
    buf_put_text(text, ",\"total_clients\":");
    buf_put_u64(text, call->sessions);
    if (counts != NULL) {
        buf_put_text(text, ",\"subscription_counts\":");
        crypto_put_counts(text, counts);
    }
    buf_put_byte(text, '}');
    crypto_send_message(call, mark, id);
}
