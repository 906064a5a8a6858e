/* SPDX-License-Identifier: MIT */
/* Owns who is connected: sessions, the clients that they registered as, and what each has subscribed to, also while it
 * is away (E-82). It never writes a message but the confirmations of registration. hub.c calls it, and the other nouns
 * look sessions up. */
#include "protocol/dialects/emprops/hub_parts.h"

#include <errno.h>
#include <stdlib.h>

#define CONN_ID_LETTERS 6

int sessions_init(struct hub *hub)
{
    list_init(&hub->gone);
    list_init(&hub->filtered);
    map_init(&hub->session_map, hub->secret);
    map_init(&hub->client_map, hub->secret);
    if (slab_init(&hub->sessions, sizeof(struct session), 1U << 22) != 0 ||
        slab_init(&hub->clients, sizeof(struct client), 1U << 23) != 0 ||
        slab_init(&hub->subscriptions, sizeof(struct subscription), 1U << 24) != 0 ||
        slab_init(&hub->subscription_sets, sizeof(struct subscriptions), 1U << 23) != 0)
        return -ENOMEM;
    return 0;
}

void sessions_free(struct hub *hub)
{
    uint32_t at = 0;
    struct subscriptions *set;
    while (hub->subscription_sets.chunks != NULL && (set = slab_next(&hub->subscription_sets, &at, NULL)) != NULL) {
        text_drop(&set->filter);
        text_drop(&set->filter_json);
    }
    map_free(&hub->session_map);
    map_free(&hub->client_map);
    slab_destroy(&hub->sessions);
    slab_destroy(&hub->clients);
    slab_destroy(&hub->subscriptions);
    slab_destroy(&hub->subscription_sets);
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */

static struct subscriptions *set_at(const struct hub *hub, uint32_t index)
{
    return slab_at(&hub->subscription_sets, index);
}

static uint32_t set_make(struct hub *hub, uint32_t session)
{
    struct handle handle;
    struct subscriptions *set = slab_alloc(&hub->subscription_sets, &handle);
    if (set == NULL)
        return NONE;
    set->session = session;
    set->client = NONE;
    set->first = NONE;
    return handle.index;
}

static void subscription_remove(struct hub *hub, uint32_t index)
{
    struct subscription *one = slab_at(&hub->subscriptions, index);
    struct job *job = job_at(hub, one->job);
    struct subscriptions *set = set_at(hub, one->owner);
    if (one->job_older != NONE)
        ((struct subscription *)slab_at(&hub->subscriptions, one->job_older))->job_newer = one->job_newer;
    if (one->job_newer != NONE)
        ((struct subscription *)slab_at(&hub->subscriptions, one->job_newer))->job_older = one->job_older;
    else
        job->subscriptions = one->job_older;
    if (one->owner_older != NONE)
        ((struct subscription *)slab_at(&hub->subscriptions, one->owner_older))->owner_newer = one->owner_newer;
    if (one->owner_newer != NONE)
        ((struct subscription *)slab_at(&hub->subscriptions, one->owner_newer))->owner_older = one->owner_older;
    else
        set->first = one->owner_older;
    set->count--;
    slab_free(&hub->subscriptions, index);
}

int subscription_add(struct hub *hub, struct session *session, struct job *job)
{
    struct subscriptions *set = session_subscriptions(hub, session);
    uint32_t index = job_index(hub, job);
    for (uint32_t at = set->first; at != NONE;) {
        const struct subscription *one = slab_at(&hub->subscriptions, at);
        if (one->job == index)
            return 0;
        at = one->owner_older;
    }
    if (set->count >= hub->settings->subscriptions_max)
        return -ENOSPC;
    struct handle handle;
    struct subscription *added = slab_alloc(&hub->subscriptions, &handle);
    if (added == NULL)
        return -ENOMEM;
    *added = (struct subscription){.job = index,
                                   .owner = session->subscriptions,
                                   .job_older = job->subscriptions,
                                   .job_newer = NONE,
                                   .owner_older = set->first,
                                   .owner_newer = NONE};
    if (job->subscriptions != NONE)
        ((struct subscription *)slab_at(&hub->subscriptions, job->subscriptions))->job_newer = handle.index;
    if (set->first != NONE)
        ((struct subscription *)slab_at(&hub->subscriptions, set->first))->owner_newer = handle.index;
    job->subscriptions = set->first = handle.index;
    set->count++;
    return 0;
}

void subscriptions_end_of_job(struct hub *hub, struct job *job)
{
    while (job->subscriptions != NONE)
        subscription_remove(hub, job->subscriptions);
}

static void set_free(struct hub *hub, uint32_t index)
{
    struct subscriptions *set = set_at(hub, index);
    while (set->first != NONE)
        subscription_remove(hub, set->first);
    if (list_linked(&set->filtered))
        list_remove(&set->filtered);
    text_drop(&set->filter);
    text_drop(&set->filter_json);
    wheel_cancel(&hub->set_wheel, &set->timer);
    slab_free(&hub->subscription_sets, index);
}

struct subscriptions *session_subscriptions(const struct hub *hub, const struct session *session)
{
    return set_at(hub, session->subscriptions);
}

void subscriptions_timer(struct hub *hub, struct subscriptions *set)
{
    if (set->session != NONE) {
        statistics_send(hub, set);
        return;
    }
    struct client *client = client_at(hub, set->client);
    uint32_t index = client->kept, owner = set->client;
    client->kept = NONE;
    set_free(hub, index);
    client_drop(hub, owner);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

struct client *client_at(const struct hub *hub, uint32_t index)
{
    return slab_at(&hub->clients, index);
}

uint32_t client_take(struct hub *hub, struct slice id)
{
    struct client *client = map_get(&hub->client_map, id);
    if (client != NULL) {
        client->users++;
        return client->index;
    }
    struct handle handle;
    client = slab_alloc(&hub->clients, &handle);
    if (client == NULL)
        return NONE;
    memcpy(client->data, id.data, id.bytes);
    client->index = handle.index;
    client->id = slice_of(client->data, id.bytes);
    client->users = 1;
    client->sessions = client->kept = NONE;
    if (map_put(&hub->client_map, client->id, client) != 0) {
        slab_free(&hub->clients, handle.index);
        return NONE;
    }
    return handle.index;
}

void client_drop(struct hub *hub, uint32_t index)
{
    if (index == NONE)
        return;
    struct client *client = client_at(hub, index);
    if (--client->users > 0)
        return;
    map_remove(&hub->client_map, client->id);
    slab_free(&hub->clients, index);
}

static void leave_client(struct hub *hub, struct session *session)
{
    if (session->client == NONE)
        return;
    struct client *client = client_at(hub, session->client);
    if (session->client_older != NONE)
        ((struct session *)slab_at(&hub->sessions, session->client_older))->client_newer = session->client_newer;
    if (session->client_newer != NONE)
        ((struct session *)slab_at(&hub->sessions, session->client_newer))->client_older = session->client_older;
    else
        client->sessions = session->client_older;
    if (session->monitor)
        hub->monitors--;
    else
        hub->client_sessions--;
    client_drop(hub, session->client);
    session->client = NONE;
}

static void join_client(struct hub *hub, struct session *session, uint32_t index, bool monitor)
{
    struct client *client = client_at(hub, index);
    uint32_t own = session_handle(hub, session).index;
    session->client = index;
    session->client_older = client->sessions;
    session->client_newer = NONE;
    if (client->sessions != NONE)
        ((struct session *)slab_at(&hub->sessions, client->sessions))->client_newer = own;
    client->sessions = own;
    session->monitor = monitor;
    if (monitor)
        hub->monitors++;
    else
        hub->client_sessions++;
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

struct session *session_at(const struct hub *hub, struct handle handle)
{
    return slab_get(&hub->sessions, handle);
}

struct handle session_handle(const struct hub *hub, const struct session *session)
{
    return slab_handle(&hub->sessions, session->index);
}

struct session *session_of(struct hub *hub, uint64_t connection)
{
    struct session *session = map_get(&hub->session_map, slice_of(&connection, sizeof connection));
    struct handle handle;
    if (session != NULL || (session = slab_alloc(&hub->sessions, &handle)) == NULL)
        return session;
    session->connection = connection;
    session->index = handle.index;
    session->client = session->worker = NONE;
    session->subscriptions = set_make(hub, handle.index);
    if (session->subscriptions == NONE) {
        slab_free(&hub->sessions, handle.index);
        return NULL;
    }
    if (map_put(&hub->session_map, slice_of(&session->connection, sizeof session->connection), session) != 0) {
        set_free(hub, session->subscriptions);
        slab_free(&hub->sessions, handle.index);
        return NULL;
    }
    return session;
}

void sessions_interest(struct hub *hub, uint64_t connection, bool added)
{
    struct session *session =
        added ? session_of(hub, connection) : map_get(&hub->session_map, slice_of(&connection, sizeof connection));
    if (session == NULL)
        return; /* no memory: its first request will be told so */
    session->classes += added ? 1 : UINT32_MAX;
    if (session->classes == 0 && !list_linked(&session->gone))
        list_push_back(&hub->gone, &session->gone);
    else if (session->classes > 0 && list_linked(&session->gone))
        list_remove(&session->gone);
}

static void session_end(struct hub *hub, struct session *session)
{
    hub->chunk_bytes -= session->reserved_bytes;
    if (session->worker != NONE)
        worker_left(hub, worker_at(hub, session->worker));
    leave_client(hub, session);
    if (session->subscriptions != NONE)
        set_free(hub, session->subscriptions);
    map_remove(&hub->session_map, slice_of(&session->connection, sizeof session->connection));
    slab_free(&hub->sessions, session->index);
}

void sessions_sweep(struct hub *hub)
{
    struct list_node *node;
    while ((node = list_pop_front(&hub->gone)) != NULL)
        session_end(hub, list_entry(node, struct session, gone));
}

bool session_owns(const struct hub *hub, const struct session *session, const struct job *job)
{
    if (job->client != NONE)
        return session->client == job->client;
    return session_at(hub, job->session) == session;
}

/* --- registration ------------------------------------------------------------------------------------------------- */

/* E-7, E-11: unique in the process, because the connection's number is. */
void put_connection_id(struct buf *out, const char *prefix, uint64_t connection)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char text[16];
    size_t at = sizeof text;
    while (at > sizeof text - CONN_ID_LETTERS || connection > 0) {
        text[--at] = letters[connection % 36];
        connection /= 36;
    }
    buf_put_text(out, prefix);
    buf_put(out, slice_of(text + at, sizeof text - at));
}

static void put_permissions(struct buf *out, uint64_t rights)
{
    buf_put_byte(out, '[');
    if (rights & EMPROPS_ALL_JOBS)
        buf_put_text(out, "\"view_all_jobs\"");
    if (rights & EMPROPS_STATS)
        buf_put_text(out, rights & EMPROPS_ALL_JOBS ? ",\"view_system_stats\"" : "\"view_system_stats\"");
    buf_put_byte(out, ']');
}

static void confirm(struct hub *hub, const struct session *session, const struct hub_fields *fields)
{
    uint8_t memory[64];
    struct buf id = buf_of(memory, sizeof memory);
    struct buf *out = effects_open(hub, 0);
    put_connection_id(&id, "conn-", session->connection);
    message_begin(out, "client_registered");
    message_text(out, "client_id", fields->at[FIELD_CLIENT_ID]);
    message_literal(out, "status", "registered");
    message_text(out, "assigned_connection_id", buf_slice(&id));
    if (session->monitor) {
        message_member(out, "permissions");
        put_permissions(out, hub_number(fields, FIELD_SECTIONS, 0));
    }
    message_end(out, fields->at[FIELD_ID], hub->wall_ms);
    effects_send(hub);
}

/* Has the session join or leave the channel, if it is not there, or is. */
static void hear(struct hub *hub, const char *channel, bool *hears, bool wanted)
{
    if (wanted != *hears)
        effects_item(hub, wanted ? HUB_JOIN : HUB_LEAVE, slice_text(channel), slice_text(""));
    *hears = wanted;
}

void session_hear_alerts(struct hub *hub, struct session *session)
{
    bool wanted = session->alerted || session_subscriptions(hub, session)->interval_s != 0;
    hear(hub, HUB_CHANNEL_ALERTS, &session->hears_alerts, wanted);
}

/* What the session has subscribed to before it said who it is counts more than what was kept. */
static void take_newer(struct subscriptions *own, struct subscriptions *kept)
{
    if (own->filter != NULL) {
        text_drop(&kept->filter);
        text_drop(&kept->filter_json);
        kept->filter = text_share(own->filter);
        kept->filter_json = text_share(own->filter_json);
    }
    if (own->interval_s != 0) {
        kept->interval_s = own->interval_s;
        kept->sections = own->sections;
    }
}

/* What the client has left behind comes back to it (E-82). */
static void restore(struct hub *hub, struct session *session)
{
    struct client *client = client_at(hub, session->client);
    if (client->kept == NONE)
        return;
    struct subscriptions *kept = set_at(hub, client->kept);
    uint32_t own = session->subscriptions;
    take_newer(set_at(hub, own), kept);
    wheel_cancel(&hub->set_wheel, &kept->timer);
    session->subscriptions = client->kept;
    kept->session = session->index;
    kept->client = NONE;
    client->kept = NONE;
    for (uint32_t at = set_at(hub, own)->first; at != NONE;) {
        const struct subscription *one = slab_at(&hub->subscriptions, at);
        (void)subscription_add(hub, session, job_at(hub, one->job)); /* beyond the bound those that were kept count */
        at = one->owner_older;
    }
    set_free(hub, own);
    client_drop(hub, session->client);
    if (kept->filter != NULL)
        notify_rejoin(hub, session);
    if (kept->interval_s != 0) {
        statistics_resume(hub, kept);
        session_hear_alerts(hub, session);
    }
}

int session_register_client(struct hub *hub, struct session *session, const struct hub_fields *fields)
{
    uint32_t client = client_take(hub, fields->at[FIELD_CLIENT_ID]);
    if (client == NONE)
        return -ENOMEM;
    leave_client(hub, session);
    join_client(hub, session, client, hub_has(fields, FIELD_MONITOR));
    session->chunked = hub_has(fields, FIELD_CHUNKED);
    uint64_t granted = hub_number(fields, FIELD_SECTIONS, 0);
    effects_item(hub, HUB_REGISTERED, slice_of(session->monitor ? "m" : "c", 1), slice_of(NULL, 0));
    confirm(hub, session, fields);
    hub_ack(hub, fields, "register_client");
    session->alerted = session->monitor && (granted & EMPROPS_STATS);
    hear(hub, HUB_CHANNEL_MONITORS, &session->hears_monitors, session->monitor && (granted & EMPROPS_ALL_JOBS));
    restore(hub, session);
    session_hear_alerts(hub, session);
    return 0;
}

void session_disconnect(struct hub *hub, struct session *session, bool keep)
{
    struct subscriptions *set = session_subscriptions(hub, session);
    bool anything = set->count > 0 || set->filter != NULL || set->interval_s != 0;
    if (keep && anything && session->client != NONE) {
        struct client *client = client_at(hub, session->client);
        uint32_t fresh = set_make(hub, session->index);
        if (fresh == NONE)
            return; /* no memory: they end with the connection */
        if (client->kept != NONE)
            set_free(hub, client->kept);
        else
            client->users++;
        client->kept = session->subscriptions;
        session->subscriptions = fresh;
        if (list_linked(&set->filtered))
            list_remove(&set->filtered);
        set->session = NONE;
        set->client = session->client;
        set->filter_joined = false;
        wheel_set(&hub->set_wheel, &set->timer, hub->now_ms + hub->settings->kept_ms);
    }
}
