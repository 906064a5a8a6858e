/* SPDX-License-Identifier: MIT */
/* Owns appending to the list of actions that a call of a dialect produces, within its bounds.
 * It never carries an action out and looks at none.
 * The dialects append with it; sessions read what they appended. */
#include "protocol/action.h"

static void append(struct actions *out, const struct action *action)
{
    if (out->count == ACTIONS_MAX || out->text.overflow)
        out->overflow = true;
    else
        out->items[out->count++] = *action;
}

void action_respond(struct actions *out, const struct http1_answer *answer)
{
    append(out, &(struct action){.kind = ACTION_RESPOND, .respond = *answer});
}

void action_respond_json(struct actions *out, int status, struct slice content)
{
    action_respond(out,
                   &(struct http1_answer){.status = status, .content_type = "application/json", .content = content});
}

void action_accept(struct actions *out)
{
    append(out, &(struct action){.kind = ACTION_ACCEPT});
}

void action_send(struct actions *out, enum ws_opcode opcode, struct slice payload)
{
    append(out, &(struct action){.kind = ACTION_SEND, .send = {opcode, payload}});
}

void action_subscribe(struct actions *out, struct slice channel, struct slice variant, uint32_t history_max)
{
    append(out, &(struct action){.kind = ACTION_SUBSCRIBE, .subscribe = {channel, variant, history_max}});
}

void action_unsubscribe(struct actions *out, struct slice channel)
{
    append(out, &(struct action){.kind = ACTION_UNSUBSCRIBE, .unsubscribe = {channel}});
}

void action_publish(struct actions *out, const struct event *event)
{
    append(out, &(struct action){.kind = ACTION_PUBLISH, .publish = *event});
}

void action_acquire(struct actions *out, enum quota_kind quota, struct slice name, uint32_t limit, uint64_t window_ms)
{
    append(out, &(struct action){.kind = ACTION_ACQUIRE, .acquire = {quota, name, limit, window_ms}});
}

void action_request(struct actions *out, uint32_t kind, struct slice body, uint32_t tag)
{
    append(out, &(struct action){.kind = ACTION_REQUEST, .request = {kind, body, tag}});
}

void action_census(struct actions *out, uint32_t tag)
{
    append(out, &(struct action){.kind = ACTION_CENSUS, .census = {tag}});
}

void action_work(struct actions *out, uint32_t kind, struct slice body, uint32_t tag)
{
    append(out, &(struct action){.kind = ACTION_WORK, .request = {kind, body, tag}});
}

void action_depot(struct actions *out, uint32_t kind, struct slice head, struct slice body, uint32_t tag)
{
    append(out, &(struct action){.kind = ACTION_DEPOT, .depot = {kind, head, body, tag}});
}

void action_uncount(struct actions *out)
{
    append(out, &(struct action){.kind = ACTION_UNCOUNT});
}

void action_timer(struct actions *out, uint64_t after_ms)
{
    append(out, &(struct action){.kind = ACTION_TIMER, .timer = {after_ms}});
}

void action_close(struct actions *out, uint16_t code, const char *reason)
{
    append(out, &(struct action){.kind = ACTION_CLOSE, .close = {code, reason}});
}
