/* SPDX-License-Identifier: MIT */
/* What the kernel offers for rings, found out by trying it, and the words for an operator when it is not enough.
 * It keeps nothing: each probe makes a small ring and ends it.
 * Called by main before the shards start, and by ring_create. */
#include "core/ring_uring.h"

#include "core/poison.h"

#include <poll.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PROBE_ENTRIES 8
#define PROBE_WAIT_MS 100
#define CQ_PER_SQ 4 /* multishot operations complete without a submission */

int ring_setup(struct io_uring *uring, uint32_t entries, uint32_t flags, bool *defer_taskrun)
{
    const uint32_t common = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
    struct io_uring_params params = {.cq_entries = entries * CQ_PER_SQ,
                                     .flags = common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    *defer_taskrun = true;
    unpoison(uring, sizeof *uring); /* liburing fills it in, unseen by the memory sanitizer */
    int result = io_uring_queue_init_params(entries, uring, &params);
    if (result != -EINVAL)
        return result;
    params = (struct io_uring_params){.cq_entries = entries * CQ_PER_SQ, .flags = common | IORING_SETUP_COOP_TASKRUN};
    *defer_taskrun = false;
    return io_uring_queue_init_params(entries, uring, &params);
}

/* kernel.io_uring_disabled: 0 for everybody, 1 for a group, 2 for nobody; -1 when the kernel has no such switch. */
static int disabled_sysctl(void)
{
    int value = -1;
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (file == NULL)
        return -1;
    if (fscanf(file, "%d", &value) != 1)
        value = -1;
    (void)fclose(file);
    return value;
}

static void explain_permission(char *why, size_t why_bytes)
{
    int disabled = disabled_sysctl();
    if (disabled == 2)
        snprintf(why, why_bytes, "io_uring is switched off: set sysctl kernel.io_uring_disabled=0 (it is 2)");
    else if (disabled == 1)
        snprintf(why, why_bytes,
                 "io_uring is kept for a group: set sysctl kernel.io_uring_disabled=0 (it is 1) or put this user's "
                 "group into kernel.io_uring_group");
    else
        snprintf(why, why_bytes,
                 "io_uring is forbidden, probably by a seccomp profile or security module: allow io_uring_setup, "
                 "io_uring_enter and io_uring_register (containers: a profile of your own)");
}

static void explain_kernel(char *why, size_t why_bytes, const char *missing)
{
    struct utsname name;
    if (uname(&name) != 0)
        memcpy(name.release, "?", 2);
    snprintf(why, why_bytes, "kernel %s has no %s: Linux 6.1 or newer is needed", name.release, missing);
}

void ring_explain(int error, char *why, size_t why_bytes)
{
    switch (-error) {
    case ENOSYS:
        explain_kernel(why, why_bytes, "io_uring (not built in, or hidden by a seccomp profile)");
        break;
    case EPERM:
    case EACCES:
        explain_permission(why, why_bytes);
        break;
    case EINVAL:
        explain_kernel(why, why_bytes, "such kind of io_uring");
        break;
    case ENOMEM:
        snprintf(why, why_bytes,
                 "no memory for a ring: raise the memlock limit (LimitMEMLOCK=, ulimit -l) or the container's memory");
        break;
    case EMFILE:
    case ENFILE:
        snprintf(why, why_bytes,
                 "no descriptors for a ring and its sockets: raise the limit (LimitNOFILE=, ulimit -n)");
        break;
    default:
        snprintf(why, why_bytes, "no ring: %s (errno %d)", strerrordesc_np(-error), -error);
        break;
    }
}

/* What the engine cannot do without. Multishot accept and receive and provided buffer rings cannot be asked for; they
 * are older than the last row. */
static const struct {
    int op;
    const char *name;
} needed[] = {
    {IORING_OP_POLL_ADD, "IORING_OP_POLL_ADD"},
    {IORING_OP_ACCEPT, "IORING_OP_ACCEPT"},
    {IORING_OP_RECV, "IORING_OP_RECV"},
    {IORING_OP_SEND, "IORING_OP_SEND"},
    {IORING_OP_SENDMSG, "IORING_OP_SENDMSG"},
    {IORING_OP_SHUTDOWN, "IORING_OP_SHUTDOWN"},
    {IORING_OP_ASYNC_CANCEL, "IORING_OP_ASYNC_CANCEL"},
    {IORING_OP_CLOSE, "IORING_OP_CLOSE"},
    {IORING_OP_SENDMSG_ZC, "IORING_OP_SENDMSG_ZC"}, /* marks 6.1 */
};

static int probe_needed(struct io_uring *uring, char *why, size_t why_bytes)
{
    const uint32_t features =
        IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
    if ((uring->features & features) != features) {
        explain_kernel(why, why_bytes, "io_uring of the needed age");
        return -ENOSYS;
    }
    struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
    if (probe == NULL) {
        explain_kernel(why, why_bytes, "IORING_REGISTER_PROBE");
        return -ENOSYS;
    }
    unpoison(probe, sizeof *probe);
    unpoison(probe->ops, probe->ops_len * sizeof probe->ops[0]);
    int result = 0;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0] && result == 0; i++)
        if (!io_uring_opcode_supported(probe, needed[i].op)) {
            explain_kernel(why, why_bytes, needed[i].name);
            result = -ENOSYS;
        }
    io_uring_free_probe(probe);
    return result;
}

void ring_prep_linger(struct io_uring_sqe *sqe, int socket)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    const uint32_t level_and_name[2] = {SOL_SOCKET, SO_LINGER};

    io_uring_prep_rw(IORING_OP_URING_CMD, sqe, socket, NULL, 0, 0);
    sqe->cmd_op = RING_SOCKET_SETSOCKOPT;
    memcpy(&sqe->addr, level_and_name, sizeof level_and_name); /* the union's level and optname */
    sqe->file_index = sizeof at_once;                          /* optlen */
    sqe->addr3 = (uintptr_t)&at_once;                          /* optval */
}

/* Runs what is queued and waits for `count` completions. True when all of them are there and none has failed. */
static bool run(struct io_uring *uring, uint32_t count)
{
    struct __kernel_timespec wait = {.tv_nsec = PROBE_WAIT_MS * 1000000LL};
    bool good = true;
    struct io_uring_cqe *cqe;
    (void)io_uring_submit_and_wait_timeout(uring, &cqe, count, &wait, NULL);
    for (; count > 0 && io_uring_cq_ready(uring) > 0; count--) {
        (void)io_uring_peek_cqe(uring, &cqe);
        good = good && cqe->res >= 0;
        io_uring_cqe_seen(uring, cqe);
    }
    return good && count == 0;
}

static void prep_fixed(struct io_uring_sqe *sqe, unsigned char flags)
{
    sqe->flags = (unsigned char)(sqe->flags | IOSQE_FIXED_FILE | flags);
    sqe->user_data = 0;
}

/* Whether a registered file is closed when its place in the table is: kernels before 6.13 keep it until every operation
 * begun earlier on ANY socket of the ring has ended, so next to idle receives a peer would never see its FIN. And
 * whether options can be set on it, to reset a connection. Places 0 and 1 hold sockets whose peers are `idle` and
 * `closed`. */
static bool probe_close(struct io_uring *uring, int idle, int closed)
{
    char nothing; /* the peer sends none */
    struct io_uring_sqe *receive = io_uring_get_sqe(uring);
    io_uring_prep_recv(receive, 0, &nothing, 1, 0);
    prep_fixed(receive, 0);
    if (io_uring_submit(uring) != 1)
        return false;

    struct io_uring_sqe *linger = io_uring_get_sqe(uring);
    ring_prep_linger(linger, 1);
    prep_fixed(linger, IOSQE_IO_HARDLINK);
    struct io_uring_sqe *close_it = io_uring_get_sqe(uring);
    io_uring_prep_close_direct(close_it, 1);
    close_it->user_data = 0;
    bool good = run(uring, 2);

    struct pollfd peer = {.fd = closed, .events = POLLIN};
    good = good && poll(&peer, 1, PROBE_WAIT_MS) == 1 && (peer.revents & POLLHUP) != 0;

    (void)shutdown(idle, SHUT_RDWR); /* ends the receive before its buffer goes */
    return run(uring, 1) && good;
}

static bool probe_direct(struct io_uring *uring)
{
    int idle[2], closed[2];
    if (io_uring_register_files_sparse(uring, 2) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, idle) < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, closed) < 0) {
        close(idle[0]);
        close(idle[1]);
        return false;
    }
    bool placed = io_uring_register_files_update(uring, 0, &idle[0], 1) == 1 &&
                  io_uring_register_files_update(uring, 1, &closed[0], 1) == 1;
    close(idle[0]);
    close(closed[0]);
    bool good = placed && probe_close(uring, idle[1], closed[1]);
    close(idle[1]);
    close(closed[1]);
    return good;
}

/* Whether sends without a copy report what became of them (Linux 6.2): a kernel that does not know the flag refuses the
 * entry, one that does finds that the socket has no peer. */
static bool probe_zero_copy(struct io_uring *uring)
{
    struct __kernel_timespec wait = {.tv_nsec = PROBE_WAIT_MS * 1000000LL};
    struct io_uring_cqe *cqe = NULL;
    bool more = true, known = false;
    int alone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (alone < 0)
        return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
    io_uring_prep_send_zc(sqe, alone, "", 1, MSG_NOSIGNAL, 0);
    sqe->ioprio |= RING_SEND_ZC_REPORT_USAGE;
    sqe->user_data = 0;
    if (io_uring_submit(uring) != 1)
        more = false;
    while (more && io_uring_wait_cqe_timeout(uring, &cqe, &wait) == 0) {
        more = (cqe->flags & IORING_CQE_F_MORE) != 0;
        known = known || cqe->res == -EPIPE || cqe->res == -ENOTCONN;
        io_uring_cqe_seen(uring, cqe);
    }
    close(alone);
    return known && !more;
}

int ring_probe(struct ring_features *features, char *why, size_t why_bytes)
{
    struct io_uring uring;
    *features = (struct ring_features){.direct_descriptors = false};
    int result = ring_setup(&uring, PROBE_ENTRIES, 0, &features->defer_taskrun);
    if (result < 0) {
        ring_explain(result, why, why_bytes);
        return result;
    }
    result = probe_needed(&uring, why, why_bytes);
    if (result == 0) {
        features->direct_descriptors = probe_direct(&uring);
        features->zero_copy = probe_zero_copy(&uring);
        snprintf(features->summary, sizeof features->summary, "%s; %s; %s",
                 features->direct_descriptors ? "direct descriptors"
                                              : "plain descriptors (direct ones close late here)",
                 features->defer_taskrun ? "deferred task work" : "task work not deferred (DEFER_TASKRUN missing)",
                 features->zero_copy ? "zero copy" : "no zero copy (Linux 6.2)");
    }
    io_uring_queue_exit(&uring);
    return result;
}
