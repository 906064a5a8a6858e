/* SPDX-License-Identifier: MIT */
/* Owns the meaning of messages that subscribe to notifications and statistics: each is checked and becomes a request
 * to the hub, or an error (E-52 to E-57). It holds nothing. requests.c hands them on to it by its table. */
#include "protocol/dialects/emprops/filter.h"
#include "protocol/dialects/emprops/requirements.h"
#include "protocol/dialects/emprops/session.h"

#include "core/check.h"

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

/* The states of a filter as bits; false: one is none. */
static bool read_states(struct slice json, uint8_t *states)
{
    struct json_reader reader;
    struct json_value value;
    json_init(&reader, json, JSON_DEPTH_MAX);
    if (json_next(&reader, &value) != JSON_ARRAY_BEGIN)
        return false;
    while (json_next(&reader, &value) != JSON_ARRAY_END) {
        char name[16] = {0};
        if (value.token != JSON_STRING || value.escaped || value.raw.bytes >= sizeof name)
            return false;
        memcpy(name, value.raw.data, value.raw.bytes);
        enum job_status status = status_named(name);
        if (status == JOB_STATUSES)
            return false;
        *states |= filter_state(status);
    }
    return true;
}

/* NULL, or the name of the filter that is not known (as written). */
static struct slice unknown_filter(struct slice object)
{
    static const char *const names[] = {"customer_id", "job_types", "priority_min", "status"};
    struct json_reader reader;
    struct json_value key, value;
    struct slice text;
    json_init(&reader, object, JSON_DEPTH_MAX);
    (void)json_next(&reader, &value);
    while (json_next(&reader, &key) == JSON_KEY) {
        bool known = false;
        for (size_t i = 0; i < 4; i++)
            known = known || json_raw_equal(key.raw, key.escaped, slice_text(names[i]));
        if (!known)
            return key.raw;
        (void)json_next(&reader, &value);
        (void)json_skip(&reader, &value, &text);
    }
    return slice_of(NULL, 0);
}

/* Fills the filter; NULL, or the field that is wrong, with *what. */
static const char *read_filter(struct slice json, struct buf *space, struct filter *filter, const char **what)
{
    struct json_member found[] = {
        {.name = "customer_id"}, {.name = "job_types"}, {.name = "priority_min"}, {.name = "status"}};
    uint64_t priority = 0;
    *what = "Must be an object";
    if (json_find_members(json, JSON_DEPTH_MAX, false, found, 4) != JSON_MEMBERS_OK)
        return "filters";
    for (size_t i = 0; i < 4; i++)
        if (found[i].token == JSON_NULL)
            found[i].token = JSON_ERROR;
    *what = "Unknown filter";
    if (unknown_filter(json).data != NULL)
        return "filters";
    *what = "Must be a string of at most 128 bytes";
    if (found[0].token == JSON_STRING)
        filter->customer = json_resolve(found[0].raw, found[0].escaped, space);
    if ((found[0].token != JSON_ERROR && found[0].token != JSON_STRING) || space->overflow ||
        filter->customer.bytes > EMPROPS_NAME_BYTES_MAX)
        return "filters.customer_id";
    size_t mark = space->used;
    *what = found[1].token == JSON_ERROR ? NULL : requirements_put_list(found[1].text, space);
    if (*what != NULL)
        return "filters.job_types";
    if (found[1].token != JSON_ERROR)
        filter->kinds = buf_since(space, mark);
    *what = "Must be a whole number from 0 to 100";
    if (found[2].token != JSON_ERROR &&
        (found[2].token != JSON_NUMBER || !json_u64(found[2].raw, &priority) || priority > 100))
        return "filters.priority_min";
    filter->priority_min = (uint8_t)priority;
    *what = "Must be an array of queued, assigned, in_progress, completed, failed, cancelled";
    if (found[3].token != JSON_ERROR && !read_states(found[3].text, &filter->states))
        return "filters.status";
    return NULL;
}

/* `enabled`: true unless it says false. False: the error has been appended. */
static bool read_enabled(struct dialect_call *call, const struct incoming *in, bool *enabled)
{
    enum json_token token = in->at[M_enabled].token;
    *enabled = token != JSON_FALSE;
    if (!incoming_has(in, M_enabled) || token == JSON_TRUE || token == JSON_FALSE)
        return true;
    emprops_invalid(call, in, "enabled", "Must be true or false", &in->at[M_enabled]);
    return false;
}

void emprops_subscribe_notifications(struct dialect_call *call, const struct incoming *in)
{
    uint8_t memory[FILTER_BYTES_MAX], texts[FILTER_BYTES_MAX];
    struct buf variant = buf_of(memory, sizeof memory), space = buf_of(texts, sizeof texts);
    struct filter filter = {.customer = slice_of(NULL, 0)};
    struct outgoing out;
    bool enabled, filtered = incoming_has(in, M_filters);
    const char *what;
    if (!emprops_may(call, in, EMPROPS_ALL_JOBS) || !read_enabled(call, in, &enabled) || !outgoing_begin(call, 0, &out))
        return;
    struct slice json = filtered ? in->at[M_filters].text : slice_text("{}");
    if (enabled) {
        const char *field = read_filter(json, &space, &filter, &what);
        if (field == NULL && json.bytes > EMPROPS_NOTE_BYTES_MAX) {
            field = "filters";
            what = NOTE_OBJECT;
        }
        if (field != NULL) {
            emprops_invalid(call, in, field, what, filtered ? &in->at[M_filters] : NULL);
            return;
        }
        filter_put(&variant, &filter);
        check(!variant.overflow);
        hub_put_field(out.out, FIELD_FILTER, buf_slice(&variant));
        hub_put_field(out.out, FIELD_FILTER_JSON, json);
    }
    outgoing_end(&out, in, HUB_NOTIFICATIONS, TAG_MESSAGE);
}

/* The bits of `include_sections`; false: the error has been appended. */
static bool read_sections(struct dialect_call *call, const struct incoming *in, uint64_t *sections)
{
    static const char *const names[] = {"jobs", "workers", "system"};
    struct json_reader reader;
    struct json_value value;
    *sections = HUB_SECTIONS;
    if (!incoming_has(in, M_include_sections))
        return true;
    *sections = 0;
    json_init(&reader, in->at[M_include_sections].text, JSON_DEPTH_MAX);
    bool good = json_next(&reader, &value) == JSON_ARRAY_BEGIN;
    while (good && json_next(&reader, &value) != JSON_ARRAY_END) {
        good = false;
        for (size_t i = 0; i < 3; i++) {
            if (value.token != JSON_STRING || !json_raw_equal(value.raw, value.escaped, slice_text(names[i])))
                continue;
            *sections |= UINT64_C(1) << i;
            good = true;
        }
    }
    if (!good)
        emprops_invalid(call, in, "include_sections", "Must be an array of jobs, workers, system",
                        &in->at[M_include_sections]);
    return good;
}

static void stats(struct dialect_call *call, const struct incoming *in, bool once)
{
    struct outgoing out;
    uint64_t sections, seconds = 5;
    bool enabled = true;
    if (!emprops_may(call, in, EMPROPS_STATS) || !read_sections(call, in, &sections) ||
        !outgoing_begin(call, 0, &out) ||
        (!once &&
         (!read_enabled(call, in, &enabled) || !emprops_count(call, in, M_interval_seconds, UINT32_MAX, &seconds))))
        return;
    seconds = seconds < 1 ? 1 : seconds > 3600 ? 3600 : seconds;
    hub_put_number(out.out, FIELD_SECTIONS, sections);
    hub_put_number(out.out, FIELD_INTERVAL, enabled ? seconds : 0);
    outgoing_end(&out, in, once ? HUB_STATS_NOW : HUB_STATS, TAG_MESSAGE);
}

void emprops_subscribe_stats(struct dialect_call *call, const struct incoming *in)
{
    stats(call, in, false);
}

void emprops_request_stats(struct dialect_call *call, const struct incoming *in)
{
    stats(call, in, true);
}
