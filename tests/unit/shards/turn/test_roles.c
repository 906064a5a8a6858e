/* SPDX-License-Identifier: MIT */
/* The list of roles: every row has what the connection's files call without asking, and a listener's connections begin
 * with the role that it names. */
#include "core/work.h"
#include "shards/conn/conn.h"
#include "shards/conn/role.h"
#include "tests/unit/shards/world.h"

Test(roles, have_a_record_and_a_name_each)
{
    for (unsigned i = 0; i < ROLES; i++) {
        cr_assert_not_null(conn_roles[i], "role %u", i);
        cr_assert_not_null(role_names[i], "role %u", i);
        for (unsigned j = 0; j < i; j++) {
            cr_assert_neq(conn_roles[i], conn_roles[j], "roles %u and %u", i, j);
            cr_assert_str_neq(role_names[i], role_names[j]);
        }
    }
}

/* What conn_read and conn.c call in OPEN is there wherever OPEN can be reached; who reads bodies reads heads. */
Test(roles, have_limits_if_they_have_messages)
{
    for (unsigned i = 0; i < ROLES; i++) {
        const struct conn_role *role = conn_roles[i];
        cr_assert_eq(role->message != NULL, role->limits != NULL, "%s", role_names[i]);
        cr_assert(role->request != NULL || role->message != NULL, "%s is for nothing", role_names[i]);
        cr_assert(role->body == NULL || role->request != NULL, "%s", role_names[i]);
        cr_assert_not(role->operates && role->message != NULL, "%s would outlive a stop", role_names[i]);
    }
}

Test(roles, are_what_the_listener_says_until_an_upgrade_changes_them)
{
    static const char *const sets[] = {"ingest.keys=secret plain/*", NULL};
    static const char upgrade[] = "GET /ingest/v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nX-Ingest-Key: secret\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static const enum role expected[] = {ROLE_SESSION, ROLE_INGEST, ROLE_OPERATOR};
    struct world world;
    static struct peer peer;
    for (uint16_t i = 0; i < 3; i++) {
        world_begin(&world, 1, 65536, sets);
        peer_connect(&world, &peer, (uint16_t)(DIALECT_PORT + i));
        const struct conn *conn = slab_at(&world.shards[0]->conns->slab, 0);
        cr_assert_eq(conn_role(conn), conn_roles[expected[i]], "port %u", DIALECT_PORT + i);
        if (expected[i] == ROLE_INGEST) {
            peer_say(&world, &peer, upgrade);
            cr_assert_eq(peer_response(&world, &peer), 101);
            cr_assert_eq(conn_role(conn), conn_roles[ROLE_PUBLISHER]);
        }
        world_end(&world);
    }
}
