/* SPDX-License-Identifier: MIT */
/* Owns the attacks on TLS, one per connection, and what the server owes to each: an end in time, an alert, a word in
 * plain text. It never speaks a dialect. Called by the scenario. */
#include "tests/sim/sim_intruder.h"

#include "core/check.h"
#include "core/work.h"

#include <errno.h>

#define UPDATES 60
#define UPDATES_UNREAD 4000 /* more answers than wait for a peer that does not read */
#define SMALL_RECORDS 400
#define ADDRESSES 200 /* beyond those of clients, publishers and operators */

void sim_intruder_make(struct sim_world *world, struct sim_intruder *intruder, uint32_t number, uint64_t start_ms)
{
    *intruder = (struct sim_intruder){.way = (enum sim_intrusion)random_below(&world->random, SIM_INTRUSIONS),
                                      .number = number,
                                      .wire = {.peer = -1},
                                      .start_ms = start_ms,
                                      .leave_ms = UINT64_MAX};
    if (intruder->way == SIM_HASTY_RESET)
        intruder->leave_ms = start_ms + random_below(&world->random, 3);
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

/* One of those that speak TLS. */
static uint16_t choose_port(struct sim_world *world)
{
    uint16_t port;
    do
        port = (uint16_t)(SIM_PORT_PLAIN + random_below(&world->random, SIM_LISTENERS));
    while (!sim_trust_speaks(world, port));
    return port;
}

static void connect(struct sim_world *world, struct sim_intruder *intruder)
{
    uint16_t port = choose_port(world);
    struct ring_address from = sim_world_publisher_address(ADDRESSES + intruder->number);
    bool good = intruder->way >= SIM_HALF_HELLO && intruder->way != SIM_SMALL_RECORDS && intruder->way != SIM_HTTP;
    intruder->connected = good ? sim_trust_connect(world, &intruder->wire, port, from)
                               : sim_wire_connect(&intruder->wire, world->network, port, from);
    if (!intruder->connected) {
        intruder->start_ms = sim_world_ms() + 50;
        return;
    }
    sim_trace(world, "intruder %u connects, way %d", intruder->number, intruder->way);
    if (good)
        intruder->wire.tls->updates = 0;
    intruder->upgrades = port == SIM_PORT_ECHO && random_chance(&world->random, 1, 2);
    if (good && intruder->upgrades)
        sim_wire_put_text(&intruder->wire,
                          "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
}

/* --- without a session -------------------------------------------------------------------------------------------- */

static void put_noise(struct sim_world *world, struct sim_bytes *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = (uint8_t)random_u64(&world->random);
        sim_bytes_put(out, &byte, 1);
    }
}

static void put_hello(struct sim_world *world, struct sim_intruder *intruder)
{
    static const uint8_t header[] = {22, 3, 1, 0, 200};
    sim_wire_put(&intruder->wire, header, sizeof header);
    put_noise(world, &intruder->wire.out, 200);
}

static void put_small_records(struct sim_intruder *intruder)
{
    static const uint8_t first[] = {22, 3, 1, 0, 4, 1, 0, 255, 255}, next[] = {22, 3, 1, 0, 1, 0};
    sim_wire_put(&intruder->wire, first, sizeof first);
    for (int i = 0; i < SMALL_RECORDS; i++)
        sim_wire_put(&intruder->wire, next, sizeof next);
}

/* Half of the bytes that our session wants to send are all that the server gets. */
static void halve(struct sim_bytes *out)
{
    out->used = out->at + (out->used - out->at) / 2;
}

/* Whether the attack begins with the first byte. */
static bool act_at_once(struct sim_world *world, struct sim_intruder *intruder)
{
    switch (intruder->way) {
    case SIM_NOISE:
        put_noise(world, &intruder->wire.out, 300);
        return true;
    case SIM_WRONG_HELLO:
        put_hello(world, intruder);
        return true;
    case SIM_HALF_HELLO:
        halve(&intruder->wire.tls->out);
        return true;
    case SIM_SMALL_RECORDS:
        put_small_records(intruder);
        return true;
    case SIM_HTTP:
        sim_wire_put_text(&intruder->wire, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        return true;
    default:
        return false;
    }
}

/* --- in a session ------------------------------------------------------------------------------------------------- */

static void put_record(struct sim_world *world, struct sim_bytes *out, uint8_t type, uint16_t count)
{
    uint8_t header[5] = {type, 3, 3, (uint8_t)(count >> 8), (uint8_t)count};
    sim_bytes_put(out, header, sizeof header);
    put_noise(world, out, count);
}

/* The next record, which is good so far. */
static void seal_ping(struct sim_world *world, struct sim_intruder *intruder)
{
    sim_wire_put_frame(&intruder->wire, &world->random, 9, true, slice_text("ping"));
    sim_tls_seal(intruder->wire.tls, &intruder->wire.out, 65536);
}

static void act_in_session(struct sim_world *world, struct sim_intruder *intruder)
{
    struct sim_tls *tls = intruder->wire.tls;
    switch (intruder->way) {
    case SIM_CUT_RECORD:
        seal_ping(world, intruder);
        halve(&tls->out);
        intruder->leave_ms = sim_world_ms() + random_below(&world->random, 50);
        break;
    case SIM_TAG_ONLY:
        put_record(world, &tls->out, 23, 16);
        break;
    case SIM_OVERSIZE_RECORD:
        put_record(world, &tls->out, 23, 16384 + 257);
        break;
    case SIM_FLIPPED:
        seal_ping(world, intruder);
        tls->out.data[tls->out.used - 1] ^= 1;
        break;
    case SIM_PLAIN_RECORD:
        put_record(world, &tls->out, 22, 40);
        break;
    case SIM_GOODBYE:
        sim_tls_close(tls);
        break;
    case SIM_NEW_KEYS:
    case SIM_NEW_KEYS_UNREAD:
        for (int i = 0; i < (intruder->way == SIM_NEW_KEYS ? UPDATES : UPDATES_UNREAD); i++)
            sim_tls_update(tls);
        break;
    default:
        break;
    }
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void end(struct sim_world *world, struct sim_intruder *intruder, bool reset)
{
    intruder->harmed = sim_world_harmed(world, intruder->wire.peer, intruder->start_ms);
    intruder->ended = true;
    sim_wire_close(&intruder->wire, reset);
}

/* Whether somebody who got here would have been heard by now. */
static bool is_judged(const struct sim_world *world, const struct sim_intruder *intruder)
{
    return intruder->acted && !sim_world_harmed(world, intruder->wire.peer, intruder->start_ms) &&
           world->stage == STAGE_RUN && !sim_trust_crowded(world) && world->plan.connections_max >= 1000 &&
           world->plan.frame_memory_mib >= 1024;
}

static void judge_http(struct sim_world *world, struct sim_intruder *intruder)
{
    struct sim_response response;
    const char *why = "";
    if (sim_wire_response(&intruder->wire, &response, &why) != 1 || response.status != 400)
        sim_fail(world, "intruder %u: HTTP to a port that speaks TLS was not answered with 400", intruder->number);
}

static void on_end(struct sim_world *world, struct sim_intruder *intruder)
{
    const struct sim_tls *tls = intruder->wire.tls;
    bool reset = intruder->wire.end == -ECONNRESET;
    sim_trace(world, "intruder %u: %s", intruder->number, reset ? "reset" : "end of stream");
    if (is_judged(world, intruder)) {
        if (intruder->way == SIM_HTTP)
            judge_http(world, intruder);
        if (intruder->way == SIM_FLIPPED && !tls->alerted)
            sim_fail(world, "intruder %u: no alert for a record that was changed", intruder->number);
        if (intruder->way == SIM_GOODBYE && (reset || !tls->ended))
            sim_fail(world, "intruder %u: no close_notify for a close_notify", intruder->number);
    }
    end(world, intruder, false);
}

static void act(struct sim_world *world, struct sim_intruder *intruder)
{
    struct sim_tls *tls = intruder->wire.tls;
    if (intruder->acted)
        return;
    if (tls == NULL || !tls->established) {
        intruder->acted = act_at_once(world, intruder);
    } else if (sim_bytes_waiting(&intruder->wire.out).bytes == 0 && sim_bytes_waiting(&tls->out).bytes == 0) {
        intruder->acted = true;
        act_in_session(world, intruder);
    }
}

bool sim_intruder_step(struct sim_world *world, struct sim_intruder *intruder)
{
    uint64_t now = sim_world_ms();
    if (intruder->ended || now < intruder->start_ms)
        return false;
    if (!intruder->connected) {
        connect(world, intruder);
        return true;
    }
    act(world, intruder);
    bool reads = intruder->way != SIM_NEW_KEYS_UNREAD || !intruder->acted;
    bool moved = sim_wire_pump(&intruder->wire, 65536, reads || world->calm ? 65536 : 0);
    if (intruder->wire.tls != NULL && intruder->wire.tls->fault != NULL)
        sim_fail(world, "intruder %u: %s", intruder->number, intruder->wire.tls->fault);
    if (intruder->wire.end != 0)
        on_end(world, intruder);
    else if (now >= intruder->leave_ms)
        end(world, intruder, intruder->way == SIM_HASTY_RESET || random_chance(&world->random, 1, 2));
    return moved || intruder->ended;
}

/* Who is not ended: an upgraded one that has done nothing wrong. */
static bool may_stay(const struct sim_intruder *intruder)
{
    bool harmless = intruder->way == SIM_MUTE || intruder->way == SIM_NEW_KEYS || intruder->way == SIM_NEW_KEYS_UNREAD;
    return intruder->upgrades && harmless;
}

void sim_intruder_check_rest(struct sim_world *world, const struct sim_intruder *intruder)
{
    bool harmed = sim_world_harmed(world, intruder->wire.peer, intruder->start_ms);
    if (intruder->connected && !intruder->ended && !harmed && !may_stay(intruder))
        sim_fail(world, "intruder %u: attack %d has not been ended", intruder->number, intruder->way);
}

void sim_intruder_leave(struct sim_world *world, struct sim_intruder *intruder)
{
    if (intruder->connected && !intruder->ended)
        end(world, intruder, true);
    intruder->ended = true;
}

void sim_intruder_free(struct sim_intruder *intruder)
{
    sim_wire_free(&intruder->wire);
}
