/* SPDX-License-Identifier: MIT */
/* Owns the listening sockets of one shard and the pause when descriptors run out. It never reads from a connection.
 * Called by shard_tick (completions, timers) and by conn when a slot is free again. */
#include "shards/conn/listener.h"

#include "core/check.h"
#include "core/log.h"
#include "core/ring.h"
#include "core/stats.h"
#include "core/wheel.h"
#include "protocol/http1.h"
#include "shards/config/settings.h"
#include "shards/conn/conn.h"
#include "shards/note.h"
#include "shards/shard.h"

#include <errno.h>

#define RETRY_MS 100
#define LOG_INTERVAL_MS 1000

/* Generation 0 belongs to no connection, so what completes beside an accept (a cancel, a shutdown) is never taken for
 * one. */
static struct ring_tag tag_of(const struct shard *shard, const struct listener *listener)
{
    return (struct ring_tag){.index = (uint32_t)(listener - shard->listeners->items), .generation = 0};
}

/* While the server drains, its operators still ask how it is. */
static bool may_accept(const struct shard *shard, const struct listener *listener)
{
    return shard->stage_seen == STAGE_RUN || (conn_roles[listener->role]->operates && shard->stage_seen < STAGE_STOP);
}

static void pause_accepting(struct shard *shard, struct listener *listener, int error)
{
    listener->paused = true;
    wheel_set(shard->wheel, &listener->retry, shard->now_ms + RETRY_MS);
    stats_add(&shard->stats, STAT_ACCEPT_PAUSED, 1);
    if (listener->logged_ms != 0 && shard->now_ms - listener->logged_ms < LOG_INTERVAL_MS)
        return;
    listener->logged_ms = shard->now_ms;
    struct log_line line;
    log_begin(&line, LOG_WARN, "accepting paused");
    log_errno(&line, "error", error);
    log_u64(&line, "port", listener->address.port);
    log_u64(&line, "connections", stats_get(&shard->stats, STAT_CONNECTIONS));
    log_text(&line, "hint", "raise the limit of open files (ulimit -n) or lower connections_max");
    log_end(&line);
}

void listener_arm(struct shard *shard, struct listener *listener)
{
    if (listener->armed || listener->socket == RING_SOCKET_NONE || !may_accept(shard, listener))
        return;
    if (ring_arm_accept(shard->ring, listener->socket, tag_of(shard, listener)) == 0)
        listener->armed = true;
    else
        pause_accepting(shard, listener, -EAGAIN);
}

void listener_on_accept(struct shard *shard, const struct ring_completion *completion)
{
    struct listener *listener = &shard->listeners->items[completion->tag.index];
    if (!completion->more)
        listener->armed = false;
    if (completion->result >= 0) {
        if (may_accept(shard, listener))
            conn_open(shard, (uint32_t)completion->result, (uint16_t)completion->tag.index);
        else
            listener_refuse(shard, (uint32_t)completion->result);
    } else if (completion->result == -EMFILE || completion->result == -ENFILE || completion->result == -ENOBUFS ||
               completion->result == -ENOMEM) {
        stats_add(&shard->stats, STAT_REFUSED_DESCRIPTORS, 1);
        shard_note(shard, FLIGHT_ACCEPT_ERROR, completion->tag.index, completion->result, 0);
        if (listener->armed && !listener->paused) /* it could go on, but only to refuse one after the other */
            ring_begin_cancel_op(shard->ring, listener->socket, tag_of(shard, listener), RING_ACCEPT);
        if (!listener->paused)
            pause_accepting(shard, listener, completion->result);
    }
    if (!listener->armed && !listener->paused)
        listener_arm(shard, listener);
}

void listener_refuse(struct shard *shard, uint32_t socket)
{
    struct ring_tag nobody = {0};
    shard_note(shard, FLIGHT_REFUSE, socket, 0, 0);
    if (ring_begin_close(shard->ring, socket, nobody, true) == 0)
        return;
    /* A ring that has taken nothing for so long that this is full serves nobody any more. */
    if (shard->listeners->refused_count < REFUSED_MAX)
        shard->listeners->refused[shard->listeners->refused_count++] = socket;
}

void listener_retry_refused(struct shard *shard)
{
    struct ring_tag nobody = {0};
    while (shard->listeners->refused_count > 0 &&
           ring_begin_close(shard->ring, shard->listeners->refused[shard->listeners->refused_count - 1], nobody,
                            true) == 0)
        shard->listeners->refused_count--;
}

void listener_resume(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->listeners->count; i++) {
        struct listener *listener = &shard->listeners->items[i];
        if (!listener->paused)
            continue;
        listener->paused = false;
        wheel_cancel(shard->wheel, &listener->retry);
        listener_arm(shard, listener);
    }
}

void listener_stop(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->listeners->count; i++) {
        struct listener *listener = &shard->listeners->items[i];
        if (listener->socket == RING_SOCKET_NONE || listener->shut || may_accept(shard, listener))
            continue;
        wheel_cancel(shard->wheel, &listener->retry);
        listener->paused = false;
        if (listener->armed &&
            ring_begin_cancel_op(shard->ring, listener->socket, tag_of(shard, listener), RING_ACCEPT) != 0)
            continue; /* the next turn tries again */
        /* The socket itself is closed with the ring; a shut-down listener refuses further connections at once. */
        listener->shut =
            ring_begin_shutdown(shard->ring, listener->socket, tag_of(shard, listener), 2 /* SHUT_RDWR */) == 0;
    }
}

void listener_on_shut(struct shard *shard, uint32_t index, int32_t result)
{
    check_op(index, <, shard->listeners->count);
    shard->listeners->items[index].shut = shard->listeners->items[index].ended =
        result >= 0; /* else the next turn tries again */
}

bool listener_all_ended(const struct shard *shard)
{
    for (uint32_t i = 0; i < shard->listeners->count; i++) {
        const struct listener *listener = &shard->listeners->items[i];
        if (listener->socket != RING_SOCKET_NONE && (listener->armed || !listener->ended))
            return false;
    }
    return true;
}

bool listener_is_loopback(const struct listener *listener)
{
    static const uint8_t v4[13] = {[10] = 0xff, [11] = 0xff, [12] = 127}, v6[16] = {[15] = 1};
    const uint8_t *bytes = listener->address.bytes;
    return memcmp(bytes, v4, sizeof v4) == 0 || memcmp(bytes, v6, sizeof v6) == 0;
}

bool listener_serves_host(const struct shard *shard, uint32_t index, struct slice host)
{
    const struct option_texts *hosts = &shard->config->server.hosts;
    return host.bytes == 0 || !listener_is_loopback(&shard->listeners->items[index]) ||
           http1_host_known(host, (const char *const *)hosts->items, hosts->count);
}
