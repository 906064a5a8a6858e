/* SPDX-License-Identifier: MIT */
/* Owns the newest object of each topic, when each is given out, and the running number of clients.
 * It never checks shapes (the dialect has), never knows who listens, and allocates only while it takes a request.
 * The service host calls it at the home of the dialect crypto, through the table at the end. */
#include "protocol/dialects/crypto/schedule.h"

#include "core/check.h"
#include "protocol/dialects/crypto/schedule_report.h"
#include "protocol/json_merge.h"
#include "protocol/service.h"

#include <stdlib.h>

#define HEAD_BYTES 12  /* of schedule_put_head, before the source */
#define MERGE_LEVELS 2 /* the object's own members, and those of its maps */
#define LENGTH_BYTES 8 /* before each message of a snapshot */

_Static_assert(SCHEDULE_MEMORY_BYTES_MAX + (1U << 20) <= INGEST_BODY_BYTES_MAX,
               "all snapshots fit a reply, which holds the largest ingested object and its wrapping");

struct schedule {
    const struct crypto_settings *settings;
    struct schedule_topic topics[CRYPTO_TOPICS];
    bool running;         /* the intervals have begun: with the first request */
    uint64_t now_ms;      /* of the last call that knew it */
    uint64_t wall_ms;     /* likewise */
    uint64_t last_number; /* given to a client */
    size_t bytes;         /* of all objects */
    uint32_t at;          /* topic at which `next` goes on */
};

/* --- requests and replies ----------------------------------------------------------------------------------------- */

/*   byte 0     topic
 *   byte 1     1: merge
 *   byte 2-9   delay in milliseconds, big-endian
 *   byte 10-11 bytes of the source, big-endian
 *   then       the source, then the object
 */
void schedule_put_head(struct buf *out, const struct schedule_head *head)
{
    uint8_t bytes[HEAD_BYTES] = {head->topic, head->merge};
    store_be64(bytes + 2, head->delay_ms);
    store_be16(bytes + 10, (uint16_t)head->source.bytes);
    buf_put(out, slice_of(bytes, HEAD_BYTES));
    buf_put(out, head->source);
}

struct schedule_head schedule_take_head(struct slice *body)
{
    check_op(body->bytes, >=, HEAD_BYTES);
    const uint8_t *bytes = body->data;
    struct schedule_head head = {.topic = bytes[0], .merge = bytes[1] != 0, .delay_ms = load_be64(bytes + 2)};
    head.source = slice_of(bytes + HEAD_BYTES, load_be16(bytes + 10));
    check_op(body->bytes, >=, HEAD_BYTES + head.source.bytes);
    *body = slice_skip(*body, HEAD_BYTES + head.source.bytes);
    return head;
}

bool schedule_next_message(struct slice *reply, struct slice *message)
{
    if (reply->bytes == 0)
        return false;
    check_op(reply->bytes, >=, LENGTH_BYTES);
    uint64_t bytes = load_be64(reply->data);
    *reply = slice_skip(*reply, LENGTH_BYTES);
    check_op(bytes, <=, reply->bytes);
    *message = slice_of(reply->data, (size_t)bytes);
    *reply = slice_skip(*reply, (size_t)bytes);
    return true;
}

static int refuse(struct buf *reply, int status, const char *why)
{
    buf_put_text(reply, why);
    return status;
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

/* Appends the object of a topic as it is at this moment; false when there is none. */
static bool put_object(const struct schedule *schedule, uint32_t topic, struct buf *out)
{
    const struct schedule_topic *item = &schedule->topics[topic];
    if (topic == CRYPTO_SCHEDULER)
        schedule_report_jobs(out, schedule->topics, schedule->now_ms, schedule->wall_ms);
    else if (item->object != NULL)
        buf_put(out, schedule_object(item));
    else if (topic == CRYPTO_HEALTH_CHECKER)
        schedule_report_health(out, schedule->topics, schedule->now_ms, schedule->wall_ms);
    else if (topic == CRYPTO_POOL_MANAGER)
        schedule_report_pools(out, schedule->topics, schedule->now_ms, schedule->wall_ms);
    else
        return false;
    return true;
}

/* Appends the update message of a topic (C-28, C-34); false, with nothing appended, when it has no object. */
static bool put_update(const struct schedule *schedule, uint32_t topic, struct buf *out)
{
    size_t mark = out->used;
    buf_put_text(out, "{\"service\":\"");
    buf_put_text(out, crypto_services[topic].name);
    buf_put_text(out, "\",\"type\":\"update\",\"data\":");
    if (!put_object(schedule, topic, out)) {
        out->used = mark;
        return false;
    }
    buf_put_byte(out, ',');
    crypto_put_time(out, "timestamp", schedule->wall_ms);
    buf_put_byte(out, '}');
    return true;
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

/* The new object of a topic in memory of its own: `object`, or what it makes of the old one. 0, 422 or 503. */
static int make_object(const struct schedule *schedule, const struct schedule_topic *topic, struct slice object,
                       bool merge, struct buf *made)
{
    size_t capacity = object.bytes + (merge ? topic->bytes : 0);
    uint8_t *memory = malloc(capacity);
    if (memory == NULL)
        return 503;
    *made = buf_of(memory, capacity);
    if (!merge) {
        buf_put(made, object);
    } else if (json_merge(schedule_object(topic), object, MERGE_LEVELS, made) != 0) {
        free(memory);
        return 503;
    }
    check(!made->overflow);
    if (schedule->bytes - topic->bytes + made->used > schedule->settings->memory_bytes) {
        free(memory);
        return 422;
    }
    return 0;
}

static void replace_object(struct schedule *schedule, struct schedule_topic *topic, const struct buf *made)
{
    schedule->bytes += made->used - topic->bytes;
    free(topic->object);
    /* a merge may have needed less than was reserved */
    uint8_t *exact = realloc(made->data, made->used);
    topic->object = exact != NULL ? exact : made->data;
    topic->bytes = made->used;
    topic->changed = true;
}

static int take(struct schedule *schedule, struct slice body, struct buf *reply)
{
    struct schedule_head head = schedule_take_head(&body);
    check_op(head.topic, <, CRYPTO_TOPICS);
    check(source_name_valid(head.source));
    struct schedule_topic *topic = &schedule->topics[head.topic];
    const struct source *source = source_pool_note(&topic->sources, head.source, schedule->now_ms, schedule->wall_ms,
                                                   head.delay_ms, schedule_fresh_ms(topic));
    if (source == NULL)
        return refuse(reply, 422, "too many sources of this service at once");
    if (source != source_pool_active(&topic->sources))
        return 202; /* C-47: healthy, and in reserve */
    bool merge = head.merge && topic->object != NULL && topic->source == source->serial;
    struct buf made;
    int status = make_object(schedule, topic, body, merge, &made);
    if (status != 0)
        return refuse(reply, status, status == 422 ? "larger than crypto.memory has room for" : "out of memory");
    replace_object(schedule, topic, &made);
    topic->source = source->serial;
    return 202;
}

/* --- giving out --------------------------------------------------------------------------------------------------- */

static int read_object(const struct schedule *schedule, struct slice body, struct buf *reply)
{
    check(body.bytes == 1 && body.data[0] < CRYPTO_TOPICS);
    return put_object(schedule, body.data[0], reply) ? 200 : refuse(reply, 404, "No state");
}

static int read_snapshots(const struct schedule *schedule, struct slice topics, struct buf *reply)
{
    static const uint8_t space[LENGTH_BYTES];
    for (size_t i = 0; i < topics.bytes; i++) {
        size_t mark = reply->used;
        check_op(topics.data[i], <, CRYPTO_TOPICS);
        buf_put(reply, slice_of(space, LENGTH_BYTES));
        if (put_update(schedule, topics.data[i], reply))
            store_be64(reply->data + mark, reply->used - mark - LENGTH_BYTES);
        else
            reply->used = mark;
    }
    check(!reply->overflow);
    return 200;
}

static bool schedule_next(void *state, struct buf *scratch, struct effect *effect)
{
    struct event *event = &effect->event;
    struct schedule *schedule = state;
    while (schedule->at < CRYPTO_TOPICS) {
        uint32_t number = schedule->at++;
        struct schedule_topic *topic = &schedule->topics[number];
        bool wanted = topic->due && topic->listeners > 0;
        bool fresh = topic->changed || topic->object == NULL || number == CRYPTO_SCHEDULER ||
                     schedule->settings->resend_unchanged;
        if (topic->due)
            topic->changed = false;
        topic->due = false;
        if (!wanted || !fresh || !put_update(schedule, number, scratch))
            continue;
        *event = (struct event){
            .channel = slice_text(crypto_services[number].name), .payload = buf_slice(scratch), .opcode = WS_TEXT};
        return true;
    }
    return false;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* Every call that knows the time passes here; the first one begins the intervals. */
static void note_time(struct schedule *schedule, uint64_t now_ms, uint64_t wall_ms)
{
    schedule->now_ms = now_ms;
    schedule->wall_ms = wall_ms;
    if (schedule->running)
        return;
    schedule->running = true;
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++)
        interval_start(&schedule->topics[t].interval, schedule->settings->interval_ms[t], now_ms);
}

static uint64_t schedule_due(const void *state)
{
    const struct schedule *schedule = state;
    uint64_t due_ms = UINT64_MAX;
    for (uint32_t t = 0; t < CRYPTO_TOPICS && schedule->running; t++)
        if (schedule->topics[t].interval.next_ms < due_ms)
            due_ms = schedule->topics[t].interval.next_ms;
    return due_ms;
}

static void schedule_timer(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct schedule *schedule = state;
    note_time(schedule, now_ms, wall_ms);
    schedule->at = 0;
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++) {
        struct schedule_topic *topic = &schedule->topics[t];
        if (!interval_passed(&topic->interval, now_ms))
            continue;
        topic->due = true;
        source_pool_choose(&topic->sources, now_ms, schedule_fresh_ms(topic));
    }
}

/* --- the service -------------------------------------------------------------------------------------------------- */

static void configure_sources(struct schedule *schedule)
{
    const struct option_texts *entries = &schedule->settings->sources;
    struct slice orders[CRYPTO_TOPICS] = {{.bytes = 0}};
    for (uint32_t i = 0; i < entries->count; i++) {
        enum crypto_service topic;
        struct slice names;
        if (crypto_sources_entry(entries->items[i], &topic, &names))
            orders[topic] = names;
    }
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++)
        source_pool_configure(&schedule->topics[t].sources, orders[t]);
}

static int schedule_open(void *state, const void *settings)
{
    struct schedule *schedule = state;
    schedule->settings = settings;
    schedule->at = CRYPTO_TOPICS;
    configure_sources(schedule);
    return 0;
}

static void schedule_close(void *state)
{
    struct schedule *schedule = state;
    for (uint32_t t = 0; t < CRYPTO_TOPICS; t++)
        free(schedule->topics[t].object);
}

/* An interval that has changed begins anew; objects that there are stay, even beyond a smaller memory. */
static void schedule_settings(void *state, const void *settings)
{
    struct schedule *schedule = state;
    schedule->settings = settings;
    configure_sources(schedule);
    for (uint32_t t = 0; t < CRYPTO_TOPICS && schedule->running; t++) {
        struct interval *interval = &schedule->topics[t].interval;
        if (interval->period_ms != schedule->settings->interval_ms[t])
            interval_start(interval, schedule->settings->interval_ms[t], schedule->now_ms);
    }
}

static int schedule_request(void *state, const struct service_request *request, struct buf *reply)
{
    struct schedule *schedule = state;
    note_time(schedule, request->now_ms, request->wall_ms);
    switch ((enum schedule_request)request->kind) {
    case SCHEDULE_PUT:
        return take(schedule, request->body, reply);
    case SCHEDULE_READ:
        return read_object(schedule, request->body, reply);
    case SCHEDULE_SNAPSHOT:
        return read_snapshots(schedule, request->body, reply);
    case SCHEDULE_NUMBER:
        buf_put_u64(reply, ++schedule->last_number);
        return 200;
    }
    check_op(request->kind, <=, SCHEDULE_NUMBER);
    return refuse(reply, 404, "no such request");
}

static void schedule_interest(void *state, struct slice channel, struct slice variant, bool added)
{
    struct schedule *schedule = state;
    enum crypto_service topic = crypto_service_find(channel);
    (void)variant; /* the same for all, and yet there are several classes: one for each way of compression */
    check_op(topic, <, CRYPTO_TOPICS);
    check(added || schedule->topics[topic].listeners > 0);
    if (added)
        schedule->topics[topic].listeners++;
    else
        schedule->topics[topic].listeners--;
}

const struct service schedule_service = {
    .name = "schedule",
    .state_bytes = sizeof(struct schedule),
    .open = schedule_open,
    .close = schedule_close,
    .settings = schedule_settings,
    .request = schedule_request,
    .next = schedule_next,
    .due = schedule_due,
    .timer = schedule_timer,
    .interest = schedule_interest,
};
