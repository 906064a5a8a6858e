/* SPDX-License-Identifier: MIT */
/* Proves that the assertions of shard_check and its parts are alive: each row damages one thing that holds in a running
 * shard, in a child, and the check has to end that child. What is not damaged passes. */
#include "core/check.h"
#include "core/work.h"
#include "tests/unit/core/last_words.h"
#include "tests/unit/shards/world.h"

#include <signal.h>

static struct shard *shard; /* one session on the channel "c", where one message is retained; one connection in HTTP */
static struct conn *session, *visitor;
static struct channel *channel;
static struct audience *audience;
static struct class *class;

typedef void damage_fn(void);
static damage_fn *damage;

static void damage_and_check(void)
{
    damage();
    shard_check(shard);
}

static void nothing(void)
{
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void generation(void)
{
    session->generation++;
}
static void listener_that_is_not_there(void)
{
    session->listener = 1000;
}
static void sending_without_bytes(void)
{
    session->sending = true;
}
static void shutting_without_shut(void)
{
    session->shutting = true;
}
static void closed_while_open(void)
{
    session->closed = true;
}
static void reason_while_open(void)
{
    session->why = CLOSE_IDLE;
}
static void http_without_deadline(void)
{
    visitor->deadline_ms = 0;
}
static void http_without_timer(void)
{
    wheel_cancel(shard->wheel, &visitor->timer);
}
static void dying_with_memberships(void)
{
    session->why = CLOSE_IDLE;
    session->state = CONN_DYING;
    wheel_cancel(shard->wheel, &session->timer);
}
static void lost_membership(void)
{
    session->session.memberships = 0;
}
static void membership_of_another_place(void)
{
    session->session.first.position = 1;
}
static void parked_while_lingering(void)
{
    visitor->why = CLOSE_HTTP_DONE;
    visitor->state = CONN_LINGER;
    visitor->parked = true;
}
static void dirty_on_no_queue(void)
{
    session->dirty = true;
}
static void queue_of_another_count(void)
{
    conn_mark_dirty(shard, session, false);
    shard->flush->express.count++;
}
static void waiting_in_a_list_of_nobody(void)
{
    static struct list elsewhere;
    list_init(&elsewhere);
    list_push_back(&elsewhere, &session->wait);
}

/* --- accounts ----------------------------------------------------------------------------------------------------- */

static void message_lost(void)
{
    stats_add(&shard->stats, STAT_EXPECTED, 1);
}
static void message_in_flight_nowhere(void)
{
    stats_add(&shard->stats, STAT_EXPECTED, 1);
    stats_add(&shard->stats, STAT_IN_FLIGHT, 1);
}
static void connection_miscounted(void)
{
    stats_add(&shard->stats, STAT_CONNECTIONS, 1);
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static struct segment *oldest(void)
{
    return list_entry(list_first(&shard->frames->segments), struct segment, node);
}
static void bytes_forgotten(void)
{
    shard->frames->bytes -= 64;
}
static void segment_forgotten(void)
{
    oldest()->shares[shard->number].refs = 0;
}
static void segment_overrun(void)
{
    oldest()->used = oldest()->capacity + 1;
}
static void segment_out_of_order(void)
{
    oldest()->serial = shard->frames->serial + 1;
}
static void segment_of_another_home(void)
{
    oldest()->home = 1;
}

static void piece_forgotten(void)
{
    cr_assert(arena_open(&shard->frames->arena));
    shard->frames->bytes += ARENA_CHUNK_BYTES;
    (void)arena_take(&shard->frames->arena, ARENA_PIECE_BYTES_MIN);
}
static void pinned_bytes_forgotten(void)
{
    shard->pins->bytes = 1;
}
static void pin_of_nobody(void)
{
    session->pins++;
}

/* --- channels, audiences, quotas ---------------------------------------------------------------------------------- */

static void channel_renamed(void)
{
    ((uint8_t *)(uintptr_t)channel->name.data)[0] = 'd';
}
static void class_without_listeners(void)
{
    class->listeners = class->counts[0] = 0;
}
static void listeners_miscounted(void)
{
    class->listeners++;
}
static void pending_without_being_listed(void)
{
    class->pending = (struct pending_range){.frame = channel->history.entries[0].frame, .messages = 1};
}
static void retained_beyond_what_is_committed(void)
{
    channel->history.entries[channel->history.head].frame.bytes += 1U << 20;
}
static void tail_that_no_sweep_sees(void)
{
    list_remove(&channel->active);
}
static void filters_miscounted(void)
{
    channel->filter_bytes++;
}
static void active_miscounted(void)
{
    shard->channels->active_count++;
}
static void audience_of_another_class(void)
{
    audience->class_index++;
}
static void member_of_another_number(void)
{
    audience->members[0].membership = 1;
}
static void member_that_is_no_session(void)
{
    audience->members[0].conn = visitor;
}
static void quota_of_nobody(void)
{
    struct hash128 name = {.low = 1};
    cr_assert(quota_take(shard->quotas, name, QUOTA_KEY, 1, 0, 0));
    ((struct quota *)map_get(&shard->quotas->map, slice_of(&name, sizeof name)))->held = 0;
}

static const struct {
    const char *name;
    damage_fn *damage;
} rows[] = {
#define ROW(function)                                                                                                  \
    {                                                                                                                  \
#function, function                                                                                            \
    }
    ROW(generation),
    ROW(listener_that_is_not_there),
    ROW(sending_without_bytes),
    ROW(shutting_without_shut),
    ROW(closed_while_open),
    ROW(reason_while_open),
    ROW(http_without_deadline),
    ROW(http_without_timer),
    ROW(dying_with_memberships),
    ROW(lost_membership),
    ROW(membership_of_another_place),
    ROW(parked_while_lingering),
    ROW(dirty_on_no_queue),
    ROW(queue_of_another_count),
    ROW(waiting_in_a_list_of_nobody),
    ROW(message_lost),
    ROW(message_in_flight_nowhere),
    ROW(connection_miscounted),
    ROW(bytes_forgotten),
    ROW(segment_forgotten),
    ROW(segment_overrun),
    ROW(segment_out_of_order),
    ROW(segment_of_another_home),
    ROW(piece_forgotten),
    ROW(pinned_bytes_forgotten),
    ROW(pin_of_nobody),
    ROW(filters_miscounted),
    ROW(active_miscounted),
    ROW(channel_renamed),
    ROW(class_without_listeners),
    ROW(listeners_miscounted),
    ROW(pending_without_being_listed),
    ROW(retained_beyond_what_is_committed),
    ROW(tail_that_no_sweep_sees),
    ROW(audience_of_another_class),
    ROW(member_of_another_number),
    ROW(member_that_is_no_session),
    ROW(quota_of_nobody),
#undef ROW
};

static struct conn *in_state(enum conn_state state)
{
    uint32_t cursor = 0;
    for (struct conn *conn; (conn = slab_next(&shard->conns->slab, &cursor, NULL)) != NULL;)
        if (conn->state == state)
            return conn;
    cr_assert_fail("no connection in state %d", (int)state);
    return NULL;
}

Test(shard_check, notices_each_single_damage)
{
    static const char *const sets[] = {"plain.retain=1", NULL};
    struct world world;
    static struct peer subscriber, other;
    world_begin(&world, 1, 65536, sets);
    shard = world.shards[0];
    peer_upgrade(&world, &subscriber, "/plain/c");
    world_publish(&world, 0, "c", "retained");
    world_settle(&world);
    peer_connect(&world, &other, DIALECT_PORT);
    world_settle(&world);
    session = in_state(CONN_OPEN);
    visitor = in_state(CONN_HTTP);
    size_t of_channel = 0;
    uint32_t of_class = 0, of_audience = 0;
    channel = map_next(&shard->channels->map, &of_channel);
    class = slab_next(&shard->channels->classes, &of_class, NULL);
    audience = slab_next(&shard->audiences->slab, &of_audience, NULL);
    check_report = NULL;

    damage = nothing;
    cr_assert_eq(end_of(damage_and_check), 0, "what is whole passes");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        damage = rows[i].damage;
        int status = end_of(damage_and_check);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: status %x", rows[i].name, (unsigned)status);
    }
    world_end(&world);
}
