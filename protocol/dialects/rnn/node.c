/* SPDX-License-Identifier: MIT */
/* Owns the node service: its requests, its times, and the order of what follows from a call. Tables, messages and
 * searches are in files of their own (node.h). The service host calls it at the home of the dialect, through the table at
 * the end. */
#include "protocol/dialects/rnn/node.h"

#include "core/check.h"
#include "protocol/json.h"
#include "protocol/sha256.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_ITEMS, TABLE_SELF };

/* --- itself ------------------------------------------------------------------------------------------------------- */

/* "12D3KooW" and 44 letters and digits, of the hash of this moment and place: made once (N-7). */
static void make_id(struct node *node)
{
    static const char letters[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    uint64_t seed[4] = {node->wall_ms, node->now_ms, (uint64_t)(uintptr_t)node, (uint64_t)(uintptr_t)seed};
    char hash[SHA256_TEXT_BYTES + 1];
    struct buf out = buf_of(node->peer_id, sizeof node->peer_id - 1);
    sha256_text(slice_of(seed, sizeof seed), hash);
    buf_put_text(&out, "12D3KooW");
    for (unsigned i = 0; i < 44; i++)
        buf_put_byte(&out, (uint8_t)letters[((unsigned)hash[i] * 131 + (unsigned)hash[i + 20]) % (sizeof letters - 1)]);
    node->peer_id[out.used] = '\0';
    node->id_changed = true;
}

static void settle_id(struct node *node)
{
    size_t bytes = strlen(node->settings->peer_id);
    if (bytes > 0 && bytes < sizeof node->peer_id)
        memcpy(node->peer_id, node->settings->peer_id, bytes + 1);
    else if (node->peer_id[0] == '\0')
        make_id(node);
}

/* Every call that knows the time passes here; the first one begins the intervals. */
static void note_time(struct node *node, uint64_t now_ms, uint64_t wall_ms)
{
    node->now_ms = now_ms;
    node->wall_ms = wall_ms;
    if (node->running)
        return;
    node->running = true;
    node->started_ms = now_ms;
    settle_id(node);
    for (unsigned i = 0; i < RNN_PERIODICS; i++)
        interval_start(&node->intervals[i], node->settings->interval_ms[i], now_ms);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static int read_snapshot(struct node *node, struct buf *reply)
{
    static const uint8_t space[8];
    node_expire(node);
    for (enum rnn_table table = 0; table < RNN_PERIODICS; table++) {
        size_t mark = reply->used;
        if (!node->told[table])
            continue;
        buf_put(reply, slice_of(space, sizeof space));
        bool said = node_put_message(node, table, reply);
        rnn_end(reply, node->wall_ms);
        if (said && !reply->overflow)
            store_be64(reply->data + mark, reply->used - mark - sizeof space);
        else
            reply->used = mark;
        reply->overflow = false; /* what does not fit comes at its time */
    }
    return 200;
}

static int take_event(struct node *node, struct slice message)
{
    node->event = malloc(message.bytes);
    if (node->event == NULL)
        return 503;
    memcpy(node->event, message.data, message.bytes);
    node->event_bytes = message.bytes;
    return 202;
}

static int node_request(void *state, const struct service_request *request, struct buf *reply)
{
    struct node *node = state;
    note_time(node, request->now_ms, request->wall_ms);
    switch ((enum rnn_request)request->kind) {
    case RNN_HELLO:
        buf_put_text(reply, node->peer_id);
        return 200;
    case RNN_SNAPSHOT:
        return read_snapshot(node, reply);
    case RNN_SEARCH:
        return node_search(node, request, reply);
    case RNN_TABLE: {
        int status = node_take(node, request->body, reply);
        node->failed = status == 503 && node->changes != NULL;
        return status;
    }
    case RNN_EVENT:
        return take_event(node, request->body);
    case RNN_READ:
        return node_read(node, request->body.data[0], reply);
    case RNN_FOUND:
        return node_found(node, request->body, reply);
    case RNN_KNOWS:
        return node_item_find(&node->lists[LIST_SERVICES], request->body) != NULL ? 200 : 404;
    }
    check_op(request->kind, <=, RNN_FOUND);
    return 404;
}

/* --- what follows ------------------------------------------------------------------------------------------------- */

static bool tell(struct effect *effect, struct slice payload, uint32_t conflate)
{
    effect->kind = EFFECT_PUBLISH;
    effect->event =
        (struct event){.channel = slice_text(RNN_CHANNEL), .payload = payload, .opcode = WS_TEXT, .conflate = conflate};
    return true;
}

static bool keep_self(struct node *node, struct buf *scratch, struct effect *effect)
{
    effect->kind = EFFECT_PUT;
    effect->table = TABLE_SELF;
    effect->key = slice_text(node->id_changed ? "peer_id" : "node");
    if (node->id_changed) {
        json_put_string(scratch, slice_text(node->peer_id));
        node->id_changed = false;
    } else {
        buf_put_text(scratch, "{\"quic_connections\":");
        buf_put_u64(scratch, node->quic_connections);
        buf_put_text(scratch, node->relay_mode ? ",\"relay_mode\":true" : ",\"relay_mode\":false");
        buf_put_text(scratch, node->nat_mode ? ",\"nat_mode\":true}" : ",\"nat_mode\":false}");
        node->node_changed = false;
    }
    effect->body = buf_slice(scratch);
    return true;
}

/* N-38 */
static bool tell_capabilities(struct node *node, struct buf *scratch, struct effect *effect)
{
    struct slice peer = node->told_peer;
    const struct node_item *item = node_item_find(&node->lists[LIST_CAPABILITIES], peer);
    node->told_peer = slice_of(NULL, 0);
    rnn_begin(scratch, "peer.capabilities.updated");
    buf_put_text(scratch, "{\"peer_id\":");
    json_put_string(scratch, peer);
    buf_put_text(scratch, ",\"capabilities\":");
    buf_put(scratch, item != NULL ? item->parts.text : slice_text("{}"));
    buf_put_text(scratch, ",\"updated_at\":");
    buf_put_u64(scratch, node->wall_ms / 1000);
    buf_put_byte(scratch, '}');
    rnn_end(scratch, node->wall_ms);
    return tell(effect, buf_slice(scratch), 0);
}

static bool tell_event(struct node *node, struct buf *scratch, struct effect *effect)
{
    buf_put(scratch, slice_of(node->event, node->event_bytes));
    free(node->event);
    node->event = NULL;
    return tell(effect, buf_slice(scratch), 0);
}

static bool tell_table(struct node *node, struct buf *scratch, struct effect *effect)
{
    for (enum rnn_table table = 0; table < RNN_PERIODICS; table++) {
        if (!node->due[table])
            continue;
        node->due[table] = false;
        if (node->listeners == 0 && node->told[table])
            continue;
        bool said = node_put_message(node, table, scratch);
        rnn_end(scratch, node->wall_ms);
        said = said && !scratch->overflow; /* lists are bounded below what an effect may have */
        node->told[table] |= said;
        if (said && node->listeners > 0)
            return tell(effect, buf_slice(scratch), table + 1);
        buf_reset(scratch);
    }
    return false;
}

static bool node_next(void *state, struct buf *scratch, struct effect *effect)
{
    struct node *node = state;
    if (node->failed) {
        node->failed = false;
        effect->kind = EFFECT_RESTART;
        return true;
    }
    if (node->told_peer.data != NULL) /* of the record before this */
        return tell_capabilities(node, scratch, effect);
    if (node_next_record(node, scratch, effect))
        return true;
    if (node->id_changed || node->node_changed)
        return keep_self(node, scratch, effect);
    if (node->event != NULL)
        return tell_event(node, scratch, effect);
    if (node_live_next(node, scratch, effect))
        return true;
    return tell_table(node, scratch, effect);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static uint64_t node_due(const void *state)
{
    const struct node *node = state;
    uint64_t due_ms = node_live_due(node);
    for (unsigned i = 0; i < RNN_PERIODICS && node->running; i++)
        if (node->intervals[i].next_ms < due_ms)
            due_ms = node->intervals[i].next_ms;
    return due_ms;
}

static void node_timer(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct node *node = state;
    note_time(node, now_ms, wall_ms);
    for (unsigned i = 0; i < RNN_PERIODICS; i++)
        node->due[i] |= interval_passed(&node->intervals[i], now_ms);
    if (node->due[RNN_BLACKLIST])
        node_expire(node);
}

/* --- the service -------------------------------------------------------------------------------------------------- */

static int node_open(void *state, const void *settings)
{
    struct node *node = state;
    node->settings = settings;
    node->relay_mode = node->settings->relay_mode;
    node->nat_mode = node->settings->nat_mode;
    /* publishers choose names, and do not know where the memory lies; the order of the maps shows nowhere */
    node->secret = (struct siphash_key){.k0 = (uint64_t)(uintptr_t)state, .k1 = (uint64_t)(uintptr_t)&rnn_node};
    node_tables_init(node);
    list_init(&node->live);
    list_init(&node->askings);
    return 0;
}

static void node_close(void *state)
{
    struct node *node = state;
    node_tables_free(node);
    node_live_free(node);
    free(node->event);
}

/* An interval that has changed begins anew; items that there are stay, even beyond a smaller memory. */
static void node_settings(void *state, const void *settings)
{
    struct node *node = state;
    node->settings = settings;
    for (unsigned i = 0; i < RNN_PERIODICS && node->running; i++)
        if (node->intervals[i].period_ms != node->settings->interval_ms[i])
            interval_start(&node->intervals[i], node->settings->interval_ms[i], node->now_ms);
}

static int load_self(struct node *node, struct slice key, struct slice value, const char **why)
{
    struct buf out = buf_of(node->peer_id, sizeof node->peer_id - 1);
    struct json_member found[] = {{.name = "quic_connections"}, {.name = "relay_mode"}, {.name = "nat_mode"}};
    *why = "is nothing that is known of the node";
    if (slice_is(key, "peer_id")) {
        if (value.bytes < 2 || value.bytes > sizeof node->peer_id)
            return -EINVAL;
        json_unescape(slice_of(value.data + 1, value.bytes - 2), &out);
        node->peer_id[out.used] = '\0';
        return 0;
    }
    if (!slice_is(key, "node") || json_find_members(value, 4, false, found, 3) != JSON_MEMBERS_OK ||
        found[0].token != JSON_NUMBER || !json_u64(found[0].raw, &node->quic_connections))
        return -EINVAL;
    node->relay_mode = found[1].token == JSON_TRUE;
    node->nat_mode = found[2].token == JSON_TRUE;
    return 0;
}

static int rnn_load(void *state, uint8_t table, struct slice key, struct slice value, const char **why)
{
    return table == TABLE_SELF ? load_self(state, key, value, why) : node_load(state, key, value, why);
}

static void node_loaded(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    note_time(state, now_ms, wall_ms);
}

/* It fetches nothing. */
static void node_fetched(void *state, uint64_t ticket, int status, struct slice value, uint64_t now_ms,
                         uint64_t wall_ms)
{
    (void)state;
    (void)ticket;
    (void)status;
    (void)value;
    (void)now_ms;
    (void)wall_ms;
    check(false);
}

static void node_interest(void *state, struct slice channel, struct slice variant, bool added)
{
    struct node *node = state;
    struct slice serving = slice_text(RNN_SERVING);
    if (slice_starts(channel, serving)) {
        node_live_interest(node, slice_skip(channel, serving.bytes), variant, added);
        return;
    }
    check(added || node->listeners > 0);
    node->listeners = added ? node->listeners + 1 : node->listeners - 1;
}

static const struct service_table node_records[] = {
    [TABLE_ITEMS] = {"items", true}, [TABLE_SELF] = {"self", true}, {NULL, false}};

const struct service rnn_node = {
    .name = "node",
    .state_bytes = sizeof(struct node),
    .tables = node_records,
    .open = node_open,
    .close = node_close,
    .settings = node_settings,
    .load = rnn_load,
    .loaded = node_loaded,
    .request = node_request,
    .fetched = node_fetched,
    .next = node_next,
    .due = node_due,
    .timer = node_timer,
    .interest = node_interest,
};
