/* SPDX-License-Identifier: MIT */
/* Owns the assertion of what holds for a connection between any two calls that touch it: the rules below, which extend
 * the diagram in conn.h. It never changes anything and never looks at another connection. Called by shard_check, so by
 * every audit of the simulation, by unit tests and by the fuzz harness of the server.
 *
 *   slot      it knows its own index and generation; its listener, its role and, when it has been routed to one, its
 *             dialect exist.
 *   sending   a send is in flight exactly while the outbox has bytes in flight (with TLS: as conn_tls.h says); it is a
 *             send without a copy only while its memory is pinned.
 *   ending    of cancel, shutdown and close each is begun once: `stopping` only with a receive armed or a cancel under
 *             way; `shutting` only after `shut`; `closed` only in DYING with nothing else in flight; `gone` only behind
 *             `closed`, while a flush queue still names the slot.
 *   why       HTTP and OPEN have no reason to end yet, every other state has one. A close code goes only with a reason.
 *   deadline  HTTP, CLOSING and LINGER have one, and so their timer is set; DYING has no timer.
 *   HTTP      a role that takes requests, no membership, its side not shut down.
 *   OPEN      a role that takes messages, its side not shut down, not marked slow; no body is read.
 *   leaving   beyond OPEN it is part of nothing: no membership, no quota of the session, no actions that wait, not
 *             corked.
 *   LINGER    no input is held. DYING: no place of QUOTA_PEER either.
 *   parked    only in HTTP and OPEN; only then does stashed input wait.
 *   input     what is used fits in what is there; no more than a control frame's payload is collected. */
#include "core/check.h"
#include "core/limits.h"
#include "core/slab.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/conn/conn_tls.h"
#include "shards/conn/listener.h"
#include "shards/conn/outbox.h"
#include "shards/shard.h"

static void check_slot(const struct shard *shard, const struct conn *conn)
{
    check_op(conn->generation, ==, slab_handle(&shard->conns->slab, conn->index).generation);
    check(slab_at(&shard->conns->slab, conn->index) == conn);
    check_op(conn->listener, <, shard->listeners->count);
    check_op(conn->state, <=, CONN_DYING);
    check_op(conn->role, <, ROLES);
    if (conn->dialect != DIALECT_NONE)
        check_op(conn->dialect, <, shard->config->dialect_count);
}

static void check_operations(const struct conn *conn)
{
    check(conn->secure == (conn->tls != NULL));
    if (conn->secure)
        conn_tls_check(conn);
    else
        check(conn->sending == (conn->outbox.inflight.bytes > 0));
    check(conn->pin == 0 || (conn->sending && conn->pins > 0));
    check(!conn->stopping || conn->receiving || conn->cancels > 0);
    check(!conn->shutting || conn->shut);
    check(!conn->cancelled || conn->state == CONN_DYING);
    check(!conn->closed || conn->state == CONN_DYING);
    check(!conn->closed || (!conn->receiving && !conn->sending && !conn->shutting && conn->cancels == 0));
    check(!conn->gone || (conn->closed && conn->dirty));
}

static void check_input(const struct conn *conn)
{
    const struct conn_input *input = conn->input;
    check(!conn->yielded || (conn->parked && list_linked(&conn->wait)));
    check(!conn->parked || conn->yielded || conn->state == CONN_HTTP || conn->state == CONN_OPEN);
    if (input == NULL)
        return;
    check_op(input->used, <=, input->capacity);
    check_op(input->stash_at, <=, input->stash_used);
    check_op(input->stash_used, <=, input->stash_capacity);
    check_op(input->control_used, <=, WS_CONTROL_BYTES_MAX);
    check(conn->parked || input->stash_at == input->stash_used || conn->state == CONN_DYING);
}

/* CLOSING, LINGER and DYING. */
static void check_left(const struct conn *conn)
{
    const struct session *session = &conn->session;
    check(conn->why != CLOSE_NONE && conn->why < CLOSE_REASONS);
    check(session->memberships == 0 && session->quotas == 0 && session->pending == NULL);
    check(!conn->corked);
}

static void check_state(const struct conn *conn)
{
    bool deadline = conn->deadline_ms != 0 && wheel_timer_set(&conn->timer);
    switch (conn->state) {
    case CONN_HTTP:
        check(conn_role(conn)->request != NULL && conn->session.memberships == 0);
        check(!conn->shut && conn->why == CLOSE_NONE && conn->close_code == 0);
        check(deadline);
        break;
    case CONN_OPEN:
        check(conn_role(conn)->message != NULL && !conn->body && conn->why == CLOSE_NONE && conn->close_code == 0);
        check(!conn->shut && !conn->slow);
        break;
    case CONN_CLOSING:
        check_left(conn);
        check(conn->close_code != 0 && !conn->shut && deadline);
        break;
    case CONN_LINGER:
        check_left(conn);
        check(conn->input == NULL && deadline);
        break;
    case CONN_DYING:
        check_left(conn);
        check(!conn->placed && !wheel_timer_set(&conn->timer));
        break;
    }
}

void conn_check(const struct shard *shard, struct conn *conn)
{
    check(!conn->processing);
    check_slot(shard, conn);
    outbox_check(&conn->outbox);
    check_operations(conn);
    check_input(conn);
    check_state(conn);
}
