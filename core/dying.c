/* SPDX-License-Identifier: MIT */
/* Owns the deadline of a process that a fault of its own ends, and writing under it. It never waits for a reader
 * beyond that: a full pipe, a stopped terminal or a closed descriptor costs the words, not the end. Called by failed
 * checks (log.c) and by the handlers of fatal signals (crash.c). */
#include "core/dying.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES 4096 /* a pipe that is ready takes so much without waiting (PIPE_BUF) */

static _Atomic uint64_t deadline_ms; /* 0: nobody dies */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The alarm is for a write that waits all the same: another process had taken the room that poll saw. */
void dying_begin(void)
{
    sigset_t alarms;
    uint64_t nobody = 0;
    if (!atomic_compare_exchange_strong(&deadline_ms, &nobody, now_ms() + DYING_S * 1000 / 2))
        return;
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    alarm(DYING_S);
}

/* Whether the descriptor takes something before time is up. */
static bool wait_for_room(int fd)
{
    uint64_t deadline = atomic_load(&deadline_ms), now = now_ms();
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    if (deadline == 0)
        return true;
    return now < deadline && poll(&room, 1, (int)(deadline - now)) > 0;
}

void dying_write(int fd, struct slice text)
{
    while (text.bytes > 0 && wait_for_room(fd)) {
        ssize_t written = write(fd, text.data, text.bytes < PIECE_BYTES ? text.bytes : PIECE_BYTES);
        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (written <= 0)
            return; /* nobody could be told */
        text = slice_skip(text, (size_t)written);
    }
}
