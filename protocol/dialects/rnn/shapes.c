/* SPDX-License-Identifier: MIT */
/* Owns the reading of published objects by tables of fields. It knows no table itself. Called by the ingest half. */
#include "protocol/dialects/rnn/shapes.h"

#include "core/check.h"
#include "protocol/dialects/rnn/rnn.h"

#include <string.h>

static bool refuse(struct shape_fault *fault, int status, const char *field, const char *message)
{
    *fault = (struct shape_fault){.field = field, .message = message, .status = status};
    return false;
}

static bool is_code(struct slice raw)
{
    for (size_t i = 0; i < raw.bytes; i++)
        if (!((raw.data[i] >= 'A' && raw.data[i] <= 'Z') || (raw.data[i] >= '0' && raw.data[i] <= '9') ||
              raw.data[i] == '_'))
            return false;
    return raw.bytes > 0;
}

static bool is_one_of(const struct json_member *member, const char *const *values)
{
    for (; *values != NULL; values++)
        if (json_raw_equal(member->raw, member->escaped, slice_text(*values)))
            return true;
    return false;
}

/* What is wrong with the value, or NULL. */
static const char *kind_fault(const struct shape_field *field, const struct json_member *member)
{
    uint64_t number;
    switch (field->kind) {
    case SHAPE_TEXT:
        if (member->token != JSON_STRING)
            return "must be a string";
        return field->values == NULL || is_one_of(member, field->values) ? NULL
                                                                         : "is none of the values that it may have";
    case SHAPE_INT:
        return member->token == JSON_NUMBER && json_u64(member->raw, &number) ? NULL
                                                                              : "must be a whole number from 0 on";
    case SHAPE_NUMBER:
        return member->token == JSON_NUMBER ? NULL : "must be a number";
    case SHAPE_BOOL:
        return member->token == JSON_TRUE || member->token == JSON_FALSE ? NULL : "must be true or false";
    case SHAPE_OBJECT:
        return member->token == JSON_OBJECT_BEGIN ? NULL : "must be an object";
    case SHAPE_ARRAY:
        return member->token == JSON_ARRAY_BEGIN ? NULL : "must be an array";
    case SHAPE_ID:
        return (member->token == JSON_NUMBER || (member->token == JSON_STRING && !member->escaped)) &&
                       json_u64(member->raw, &number)
                   ? NULL
                   : "must be a whole number from 0 on";
    case SHAPE_CODE:
        return member->token == JSON_STRING && is_code(member->raw) ? NULL
                                                                    : "must be of upper-case letters, digits and _";
    case SHAPE_ANY:
        return NULL;
    }
    return "is of no kind";
}

bool shape_check(const struct shape_field *fields, struct slice object, struct json_member found[SHAPE_FIELDS_MAX],
                 struct shape_fault *fault)
{
    size_t count = 0;
    for (; fields[count].name != NULL; count++) {
        check_op(count, <, SHAPE_FIELDS_MAX);
        found[count] = (struct json_member){.name = fields[count].name};
    }
    switch (json_find_members(object, RNN_DEPTH_MAX, false, found, count)) {
    case JSON_MEMBERS_OK:
        break;
    case JSON_MEMBERS_NOT_OBJECT:
        return refuse(fault, 422, "", "must be an object");
    default:
        return refuse(fault, 400, "", "is not JSON");
    }
    for (size_t i = 0; i < count; i++) {
        const char *what = NULL;
        if (found[i].token == JSON_ERROR)
            what = fields[i].fallback == NULL ? "is missing" : NULL;
        else
            what = kind_fault(&fields[i], &found[i]);
        if (what != NULL)
            return refuse(fault, 422, fields[i].name, what);
    }
    return true;
}

void shape_put(const struct shape_field *field, const struct json_member *found, struct buf *out)
{
    bool there = found->token != JSON_ERROR;
    if (!there && (field->fallback == NULL || field->fallback[0] == '\0'))
        return;
    if (out->used > 0 && out->data[out->used - 1] != '{')
        buf_put_byte(out, ',');
    buf_put_byte(out, '"');
    buf_put_text(out, field->name);
    buf_put_text(out, "\":");
    if (!there)
        buf_put_text(out, field->fallback);
    else
        buf_put(out, field->kind == SHAPE_ID ? found->raw : found->text);
}

void shape_put_all(const struct shape_field *fields, const struct json_member *found, struct buf *out)
{
    buf_put_byte(out, '{');
    for (size_t i = 0; fields[i].name != NULL; i++)
        shape_put(&fields[i], &found[i], out);
    buf_put_byte(out, '}');
}

uint64_t shape_u64(const struct shape_field *field, const struct json_member *found)
{
    uint64_t value = 0;
    bool read =
        found->token != JSON_ERROR ? json_u64(found->raw, &value) : json_u64(slice_text(field->fallback), &value);
    check(read);
    return value;
}
