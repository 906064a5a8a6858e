/* SPDX-License-Identifier: MIT */
/* What tests of connections share: that a peer has been ended without a word. */
#ifndef RINGCAST_TESTS_UNIT_SHARDS_CONN_CONN_RIG_H
#define RINGCAST_TESTS_UNIT_SHARDS_CONN_CONN_RIG_H

#include "tests/unit/shards/world.h"

static inline void expect_gone(struct world *world, struct peer *peer)
{
    peer_receive(world, peer);
    cr_assert_eq(peer->used, 0);
    cr_assert_neq(peer->end, 0, "the connection is still there");
}

#endif
