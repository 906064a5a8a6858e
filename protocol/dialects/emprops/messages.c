/* SPDX-License-Identifier: MIT */
/* Owns the spelling of messages: members, errors, acknowledgements. It never decides what is sent.
 * The dialect's half at the session and the hub call it. */
#include "protocol/dialects/emprops/messages.h"

#include "protocol/json.h"
#include "protocol/timestamp.h"

void message_begin(struct buf *out, const char *type)
{
    buf_put_text(out, "{\"type\":\"");
    buf_put_text(out, type);
    buf_put_byte(out, '"');
}

void message_member(struct buf *out, const char *name)
{
    buf_put_text(out, ",\"");
    buf_put_text(out, name);
    buf_put_text(out, "\":");
}

void message_text(struct buf *out, const char *name, struct slice text)
{
    message_member(out, name);
    json_put_string(out, text);
}

void message_literal(struct buf *out, const char *name, const char *text)
{
    message_text(out, name, slice_text(text));
}

void message_json(struct buf *out, const char *name, struct slice json)
{
    if (json.data == NULL)
        return;
    message_member(out, name);
    buf_put(out, json);
}

void message_u64(struct buf *out, const char *name, uint64_t value)
{
    message_member(out, name);
    buf_put_u64(out, value);
}

void message_iso(struct buf *out, const char *name, uint64_t wall_ms)
{
    message_member(out, name);
    buf_put_byte(out, '"');
    timestamp_put_iso(out, (int64_t)wall_ms);
    buf_put_byte(out, '"');
}

void message_end(struct buf *out, struct slice id, uint64_t wall_ms)
{
    message_json(out, "request_id", id);
    message_u64(out, "timestamp", wall_ms);
    buf_put_byte(out, '}');
}

static const struct {
    const char *code, *sentence;
} faults[] = {
#define FAULT(code, sentence) [FAULT_##code] = {#code, sentence},
#include "protocol/dialects/emprops/faults.def"
#undef FAULT
};

void message_error(struct buf *out, enum message_fault fault, struct slice details, struct slice id, uint64_t wall_ms)
{
    message_begin(out, "error");
    message_literal(out, "error", faults[fault].sentence);
    message_literal(out, "error_code", faults[fault].code);
    message_json(out, "details", details);
    message_end(out, id, wall_ms);
}

void message_invalid(struct buf *out, const char *field, const char *what, struct slice value, struct slice id,
                     uint64_t wall_ms)
{
    message_begin(out, "error");
    message_literal(out, "error", faults[FAULT_INVALID_PARAMETERS].sentence);
    message_literal(out, "error_code", faults[FAULT_INVALID_PARAMETERS].code);
    buf_put_text(out, ",\"details\":{\"field\":");
    json_put_string(out, slice_text(field));
    message_literal(out, "message", what);
    message_json(out, "provided_value", value);
    buf_put_byte(out, '}');
    message_end(out, id, wall_ms);
}

void message_ack(struct buf *out, struct slice id, struct slice type, const char *status, uint64_t wall_ms)
{
    if (id.data == NULL)
        return;
    message_begin(out, "ack");
    message_json(out, "message_id", id);
    message_text(out, "original_type", type);
    message_literal(out, "status", status);
    message_u64(out, "timestamp", wall_ms);
    buf_put_byte(out, '}');
}

void message_scalars(struct buf *out, struct slice json, size_t bytes_max)
{
    struct json_reader reader;
    struct json_value key, value;
    struct slice text;
    bool comma = false;
    json_init(&reader, json, JSON_DEPTH_MAX);
    buf_put_byte(out, '{');
    if (json_next(&reader, &key) == JSON_OBJECT_BEGIN) {
        while (json_next(&reader, &key) == JSON_KEY) {
            enum json_token token = json_next(&reader, &value);
            (void)json_skip(&reader, &value, &text);
            size_t bytes = key.raw.bytes + text.bytes + 4;
            if (token == JSON_OBJECT_BEGIN || token == JSON_ARRAY_BEGIN || bytes > bytes_max)
                continue;
            bytes_max -= bytes;
            buf_put_text(out, comma ? ",\"" : "\"");
            buf_put(out, key.raw);
            buf_put_text(out, "\":");
            buf_put(out, text);
            comma = true;
        }
    }
    buf_put_byte(out, '}');
}
