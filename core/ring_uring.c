/* SPDX-License-Identifier: MIT */
/* The ring over io_uring: its life, the operations other than sends that are queued on it, and the completions that
 * come out of it. It never decides anything about a connection, and it submits nothing before ring_submit or ring_wait
 * unless the submission queue is full. Called by the shard that owns the ring; main creates and destroys it, and
 * ring_wake may come from anywhere. */
#include "core/ring_uring.h"
#include "core/check.h"
#include "core/poison.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* What else there is in the place of an enum ring_op (ring_uring.h). */
enum {
    OP_WAKE = RING_OPS, /* the poll on wake_fd */
    OP_LINGER,          /* before the close of a reset */
    OP_CANCEL_RECEIVE,  /* the first half of a ring_begin_cancel */
};

#define BUFFER_GROUP 0
#define BUFFERS_MAX 32768  /* of a provided buffer ring (io_uring_register(2)) */
#define MEMORIES_MAX 16384 /* of a table of registered buffers (IORING_MAX_REG_BUFFERS) */
#define BUFFERS_FIRST 64   /* offered at the start */

static unsigned unpack(uint64_t user_data, struct ring_tag *tag)
{
    tag->index = (uint32_t)(user_data >> 32) & ((1U << RING_TAG_INDEX_BITS) - 1);
    tag->generation = (uint32_t)user_data;
    return (unsigned)(user_data >> 56);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* From here on the buffer is the kernel's, until a completion names it. */
static void buffer_offer(struct ring *ring, uint32_t buffer)
{
    uint8_t *data = ring->buffers + (size_t)buffer * ring->buffer_bytes;
    poison(data, ring->buffer_bytes);
    io_uring_buf_ring_add(ring->buffer_ring, data, ring->buffer_bytes, (unsigned short)buffer,
                          io_uring_buf_ring_mask(ring->buffer_count), 0);
    io_uring_buf_ring_advance(ring->buffer_ring, 1);
}

/* Offers the kernel more of the buffers. It takes them in turn, so each offered one is touched sooner or later: a quiet
 * shard has few, and each -ENOBUFS doubles them up to all that there are. */
static void buffers_grow(struct ring *ring)
{
    uint32_t wanted = ring->buffers_offered == 0 ? BUFFERS_FIRST : ring->buffers_offered * 2;
    if (wanted > ring->buffer_count)
        wanted = ring->buffer_count;
    for (; ring->buffers_offered < wanted; ring->buffers_offered++, ring->buffers_free++)
        buffer_offer(ring, ring->buffers_offered);
}

/* Maps the buffer ring and its buffers in one piece; a buffer costs no memory before its first use. */
static int buffers_init(struct ring *ring, const struct ring_options *options)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t ring_bytes = (options->receive_buffers * sizeof(struct io_uring_buf) + page - 1) / page * page;

    ring->buffer_count = options->receive_buffers;
    ring->buffer_bytes = options->receive_buffer_bytes;
    ring->mapping_bytes = ring_bytes + (size_t)ring->buffer_count * ring->buffer_bytes;
    ring->buffer_out = calloc(ring->buffer_count, sizeof *ring->buffer_out);
    void *mapping = mmap(NULL, ring->mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return -ENOMEM;
    ring->buffer_ring = mapping;
    ring->buffers = (uint8_t *)mapping + ring_bytes;
    if (ring->buffer_out == NULL)
        return -ENOMEM;

    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)mapping, .ring_entries = ring->buffer_count, .bgid = BUFFER_GROUP};
    int result = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    if (result < 0)
        return result;
    io_uring_buf_ring_init(ring->buffer_ring);
    buffers_grow(ring);
    return 0;
}

static int sockets_init(struct ring *ring, const struct ring_options *options)
{
    ring->sockets_max = options->sockets_max;
    ring->slot_free = RING_SOCKET_NONE;
    ring->slots = calloc(ring->sockets_max, sizeof *ring->slots);
    ring->headers = calloc(ring->uring.sq.ring_entries, sizeof *ring->headers);
    if (ring->slots == NULL || ring->headers == NULL)
        return -ENOMEM;
    /* The table may have RLIMIT_NOFILE places; liburing raises the soft limit when that helps. */
    return ring->direct ? io_uring_register_files_sparse(&ring->uring, ring->sockets_max) : 0;
}

/* A table without entries. Kernels that have no zero copy need none. */
static int memories_init(struct ring *ring, const struct ring_options *options)
{
    check_op(options->memories_max, <=, MEMORIES_MAX);
    if (options->memories_max == 0 || !ring->zero_copy)
        return 0;
    ring->memories_max = options->memories_max;
    return io_uring_register_buffers_sparse(&ring->uring, ring->memories_max);
}

int ring_create(struct ring **out, const struct ring_options *options, char *why, size_t why_bytes)
{
    check_op(options->entries, >=, 64);
    check_op(options->entries, <=, 4096);
    check(options->sockets_max > 0 && options->sockets_max < 1U << RING_TAG_INDEX_BITS);
    check(options->receive_buffers > 0 && options->receive_buffers <= BUFFERS_MAX);
    check_op(options->receive_buffers & (options->receive_buffers - 1), ==, 0);
    check(options->receive_buffer_bytes > 0);

    struct ring_features features;
    int result = ring_probe(&features, why, why_bytes);
    if (result < 0)
        return result;
    struct ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        ring_explain(-ENOMEM, why, why_bytes);
        return -ENOMEM;
    }
    bool deferred;
    result = ring_setup(&ring->uring, options->entries, IORING_SETUP_R_DISABLED, &deferred);
    if (result < 0) {
        free(ring);
        ring_explain(result, why, why_bytes);
        return result;
    }
    ring->direct = options->allow_direct && features.direct_descriptors;
    ring->zero_copy = features.zero_copy;
    ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    result = ring->wake_fd < 0 ? -errno : sockets_init(ring, options);
    if (result == 0)
        result = buffers_init(ring, options);
    if (result == 0)
        result = memories_init(ring, options);
    if (result < 0) {
        ring_destroy(ring);
        ring_explain(result, why, why_bytes);
        return result;
    }
    *out = ring;
    return 0;
}

/* Descriptors that the process still holds for this ring: accepted but never taken, and plain sockets. */
static void close_descriptors(struct ring *ring)
{
    unsigned head;
    struct io_uring_cqe *cqe;
    struct ring_tag tag;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (unpack(cqe->user_data, &tag) == RING_ACCEPT && cqe->res >= 0)
            close(cqe->res);
    }
    for (uint32_t i = 0; i < ring->slots_made; i++)
        if (ring->slots[i].descriptor >= 0)
            close(ring->slots[i].descriptor);
}

void ring_destroy(struct ring *ring)
{
    close_descriptors(ring);
    io_uring_queue_exit(&ring->uring);
    unpoison(ring->buffers, (size_t)ring->buffers_offered * ring->buffer_bytes);
    if (ring->buffer_ring != NULL)
        munmap(ring->buffer_ring, ring->mapping_bytes);
    if (ring->wake_fd >= 0)
        close(ring->wake_fd);
    free(ring->buffer_out);
    free(ring->headers);
    free(ring->slots);
    free(ring);
}

/* --- submission --------------------------------------------------------------------------------------------------- */

/* From here on the kernel takes from this ring what the engine does with sockets and no other operation: a filter of system
 * calls (sandbox.h) does not see them, and a ring can open files, too. 0 or -errno. */
static int restrict_operations(struct ring *ring)
{
    static const uint8_t operations[] = {
        IORING_OP_ACCEPT,   IORING_OP_RECV,         IORING_OP_SEND,      IORING_OP_SENDMSG,
        IORING_OP_SEND_ZC,  IORING_OP_SENDMSG_ZC,   IORING_OP_SHUTDOWN,  IORING_OP_CLOSE,
        IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_URING_CMD, /* a socket's option */
    };
    static const uint8_t registers[] = {IORING_REGISTER_ENABLE_RINGS, IORING_REGISTER_FILES_UPDATE,
                                        IORING_REGISTER_BUFFERS_UPDATE};
    struct io_uring_restriction rules[sizeof operations + sizeof registers + 1] = {0};
    unsigned count = 0;
    for (size_t i = 0; i < sizeof operations; i++, count++) {
        rules[count].opcode = IORING_RESTRICTION_SQE_OP;
        rules[count].sqe_op = operations[i];
    }
    for (size_t i = 0; i < sizeof registers; i++, count++) {
        rules[count].opcode = IORING_RESTRICTION_REGISTER_OP;
        rules[count].register_op = registers[i];
    }
    rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    rules[count++].sqe_flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
    return io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_RESTRICTIONS, rules, count);
}

/* The first caller becomes the owner: the kernel takes submissions from this thread only (IORING_SETUP_SINGLE_ISSUER).
 * io_uring_enable_rings is declared but not exported by liburing 2.3, so this is what it would do. */
static int own(struct ring *ring)
{
    if (ring->enabled)
        return 0;
    int result = restrict_operations(ring);
    if (result >= 0)
        result = io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (result < 0)
        return result;
    ring->enabled = true;
    return 0;
}

int ring_submit(struct ring *ring)
{
    int total = 0;
    int result = own(ring);
    while (result >= 0 && io_uring_sq_ready(&ring->uring) > 0) {
        ring_count(&ring->counters.enter_calls, 1);
        result = io_uring_submit(&ring->uring);
        if (result == 0)
            result = -EAGAIN;
        else if (result == -EINTR)
            result = 0;
        else if (result > 0)
            total += result;
    }
    return result < 0 ? result : total;
}

bool ring_make_room(struct ring *ring, uint32_t count)
{
    ring_count(&ring->counters.queue_full, 1);
    (void)ring_submit(ring);
    return io_uring_sq_space_left(&ring->uring) >= count;
}

int ring_arm_accept(struct ring *ring, uint32_t socket, struct ring_tag tag)
{
    int listener = ring_target(ring, socket);
    struct io_uring_sqe *sqe = ring_entry(ring);
    if (sqe == NULL)
        return -EAGAIN;
    /* Not straight into the table (multishot_accept_direct), because there the peer's address could not be asked
     * for. */
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    return ring_queue(ring, sqe, RING_ACCEPT, tag);
}

int ring_arm_receive(struct ring *ring, uint32_t socket, struct ring_tag tag)
{
    int from = ring_target(ring, socket);
    struct io_uring_sqe *sqe = ring_entry(ring);
    if (sqe == NULL)
        return -EAGAIN;
    io_uring_prep_recv_multishot(sqe, from, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    return ring_queue(ring, sqe, RING_RECEIVE, tag);
}

int ring_begin_shutdown(struct ring *ring, uint32_t socket, struct ring_tag tag, int how)
{
    int which = ring_target(ring, socket);
    struct io_uring_sqe *sqe = ring_entry(ring);
    if (sqe == NULL)
        return -EAGAIN;
    io_uring_prep_shutdown(sqe, which, how);
    return ring_queue(ring, sqe, RING_SHUTDOWN, tag);
}

/* Takes a reserved entry. An operation is named by its user_data, which the kernel finds in a hash table; by its file
 * it would be searched for among all pending operations of the ring (16 us among 1,000, and more with each further
 * socket). */
static void prep_cancel(struct ring *ring, uint64_t user_data, uint64_t cancelled)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    io_uring_prep_cancel64(sqe, cancelled, 0);
    sqe->user_data = user_data;
}

/* The receive with the socket's tag, and the send with its own. */
static int cancel_both(struct ring *ring, uint32_t socket, struct ring_tag tag, enum ring_op op, struct ring_tag send)
{
    (void)ring_slot_open(ring, socket);
    if (!ring_reserve(ring, 2))
        return -EAGAIN;
    prep_cancel(ring, ring_pack(OP_CANCEL_RECEIVE, tag), ring_pack(RING_RECEIVE, tag));
    prep_cancel(ring, ring_pack(RING_CANCEL, tag), ring_pack(op, send));
    ring_count(&ring->counters.submitted[RING_CANCEL], 1);
    return 0;
}

int ring_begin_cancel(struct ring *ring, uint32_t socket, struct ring_tag tag)
{
    return cancel_both(ring, socket, tag, RING_SEND, tag);
}

int ring_begin_cancel_zero_copy(struct ring *ring, uint32_t socket, struct ring_tag tag, struct ring_tag send)
{
    return cancel_both(ring, socket, tag, RING_SEND_ZERO_COPY, send);
}

int ring_begin_cancel_op(struct ring *ring, uint32_t socket, struct ring_tag tag, enum ring_op op)
{
    check(op == RING_RECEIVE || op == RING_ACCEPT);
    (void)ring_slot_open(ring, socket);
    if (!ring_reserve(ring, 1))
        return -EAGAIN;
    prep_cancel(ring, ring_pack(RING_CANCEL, tag), ring_pack(op, tag));
    ring_count(&ring->counters.submitted[RING_CANCEL], 1);
    return 0;
}

/* The close that follows drops what has not been sent and tells the peer with a RST. */
static void linger_at_once(struct ring *ring, uint32_t socket, int descriptor)
{
    if (!ring->direct) {
        const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    ring_prep_linger(sqe, (int)socket);
    sqe->flags =
        IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS; /* the close comes whatever becomes of it */
    sqe->user_data = ring_pack(OP_LINGER, (struct ring_tag){.index = socket});
}

int ring_begin_close(struct ring *ring, uint32_t socket, struct ring_tag tag, bool reset)
{
    struct ring_slot *slot = ring_slot_open(ring, socket);
    if (!ring_reserve(ring, 2))
        return -EAGAIN;
    if (reset)
        linger_at_once(ring, socket, slot->descriptor);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (ring->direct)
        io_uring_prep_close_direct(sqe, socket);
    else
        io_uring_prep_close(sqe, slot->descriptor);
    sqe->user_data = ring_pack(RING_CLOSE, (struct ring_tag){.index = socket});
    slot->descriptor = RING_SLOT_CLOSING;
    slot->closing = tag;
    ring_count(&ring->counters.submitted[RING_CLOSE], 1);
    return 0;
}

/* --- waiting and completions -------------------------------------------------------------------------------------- */

/* A multishot poll without a read: each write to the eventfd is an edge and gives a completion, and a wake that came
 * before the poll is found when it is armed. The counter would be full, and wakes lost, after 2^64 - 2 of them. */
static void arm_wake(struct ring *ring)
{
    struct io_uring_sqe *sqe = ring_entry(ring);
    if (sqe == NULL)
        return; /* at the next wait */
    io_uring_prep_poll_multishot(sqe, ring->wake_fd, POLLIN);
    sqe->user_data = ring_pack(OP_WAKE, (struct ring_tag){.index = 0});
    ring->wake_armed = true;
}

int ring_wait(struct ring *ring, uint64_t timeout_ns)
{
    int result = own(ring);
    if (result < 0)
        return result;
    if (!ring->wake_armed)
        arm_wake(ring);
    if (io_uring_cq_has_overflow(&ring->uring))
        ring_count(&ring->counters.overflow, 1);
    ring_count(&ring->counters.enter_calls, 1);
    if (timeout_ns == 0) {
        result =
            io_uring_submit_and_get_events(&ring->uring); /* deferred task work runs only if events are asked for */
    } else {
        struct io_uring_cqe *first;
        struct __kernel_timespec timeout = {.tv_sec = (long long)(timeout_ns / 1000000000U),
                                            .tv_nsec = (long long)(timeout_ns % 1000000000U)};
        result = io_uring_submit_and_wait_timeout(&ring->uring, &first, 1, &timeout, NULL);
    }
    if (result < 0 && result != -EINTR && result != -ETIME)
        return result;
    result = ring_submit(ring); /* what the call above left queued, in most cases nothing */
    return result < 0 ? result : 0;
}

/* Fills in the data of a receive; a buffer that carries nothing goes back at once. */
static void received(struct ring *ring, const struct io_uring_cqe *cqe, struct ring_completion *completion)
{
    if (cqe->res == -ENOBUFS) {
        ring_count(&ring->counters.buffers_out, 1);
        buffers_grow(ring);
    }
    completion->data = (struct span){0};
    if ((cqe->flags & IORING_CQE_F_BUFFER) == 0)
        return;
    uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    check_op(buffer, <, ring->buffer_count);
    if (cqe->res <= 0) {
        buffer_offer(ring, buffer);
        return;
    }
    check(!ring->buffer_out[buffer]);
    ring->buffer_out[buffer] = true;
    ring->buffers_free--;
    ring->buffers_used++;
    completion->buffer = buffer;
    completion->data.data = ring->buffers + (size_t)buffer * ring->buffer_bytes;
    completion->data.bytes = (uint32_t)cqe->res;
    unpoison(completion->data.data, completion->data.bytes);
}

/* How many operations a cancel has found: one that is just completing cannot be cancelled any more, but it was
 * there. */
static int32_t cancelled_count(int32_t result)
{
    return result == 0 || result == -EALREADY ? 1 : result == -ENOENT ? 0 : result;
}

/* What is particular to any operation but a send. False when there is nobody to have the completion. */
static bool translate_other(struct ring *ring, unsigned op, const struct io_uring_cqe *cqe,
                            struct ring_completion *completion)
{
    struct ring_tag tag = completion->tag;
    switch (op) {
    case RING_ACCEPT:
        if (cqe->res >= 0)
            completion->result = ring_slot_take_accepted(ring, cqe->res);
        return true;
    case RING_RECEIVE:
        received(ring, cqe, completion);
        return true;
    case RING_CLOSE:
        check_op(tag.index, <, ring->slots_made);
        completion->tag = ring->slots[tag.index].closing;
        ring_slot_release(ring, tag.index);
        return true;
    case RING_CANCEL:
        completion->result = cancelled_count(cqe->res);
        if (completion->result >= 0 && ring->receives_cancelled >= 0)
            completion->result += ring->receives_cancelled;
        else if (completion->result >= 0)
            completion->result = ring->receives_cancelled;
        ring->receives_cancelled = 0;
        return true;
    case RING_SEND_ZERO_COPY:
        if ((cqe->flags & IORING_CQE_F_NOTIF) != 0)
            completion->result = ((uint32_t)cqe->res & RING_NOTIF_USAGE_ZC_COPIED) != 0 ? RING_COPIED : 0;
        return true;
    case RING_SHUTDOWN:
        return true;
    case OP_WAKE:
        ring->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        ring_count(&ring->counters.wakes, 1);
        return false;
    case OP_LINGER: /* failed: the socket had lost its connection already */
        return false;
    case OP_CANCEL_RECEIVE: /* cancels are carried out one by one as they are submitted: the second half comes next */
        ring->receives_cancelled = cancelled_count(cqe->res);
        return false;
    default:
        ring_count(&ring->counters.stale, 1);
        return false;
    }
}

/* Turns a completion of the kernel into one for the owner. False when there is nobody to have it. */
static inline bool translate(struct ring *ring, const struct io_uring_cqe *cqe, struct ring_completion *completion)
{
    unsigned op = unpack(cqe->user_data, &completion->tag);
    completion->op = (enum ring_op)op;
    completion->result = cqe->res;
    completion->more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (op != RING_SEND && !translate_other(ring, op, cqe, completion))
        return false;
    ring_count(&ring->counters.completed, 1);
    return true;
}

/* Without a canary (CMakeLists.txt): no byte of a peer is near its locals, and each completion comes through here. */
__attribute__((no_stack_protector)) bool ring_next(struct ring *ring, struct ring_completion *completion)
{
    while (io_uring_cq_ready(&ring->uring) > 0) {
        struct io_uring_cqe cqe = ring->uring.cq.cqes[*ring->uring.cq.khead & ring->uring.cq.ring_mask];
        io_uring_cq_advance(&ring->uring, 1);
        if (translate(ring, &cqe, completion))
            return true;
    }
    return false;
}

uint32_t ring_next_sent(struct ring *ring, struct ring_sent *sent, uint32_t max)
{
    const struct io_uring_cq *cq = &ring->uring.cq;
    unsigned first = *cq->khead & cq->ring_mask, ready = io_uring_cq_ready(&ring->uring);
    unsigned row = cq->ring_entries - first;
    uint32_t count = 0;
    max = max < ready ? max : ready;
    max = max < row ? max : row;
    for (const struct io_uring_cqe *cqe = &cq->cqes[first]; count < max; count++, cqe++) {
        uint64_t tag = cqe->user_data ^ ring_user_data(RING_SEND, (struct ring_tag){0});
        if (tag >> 56 != 0)
            break;
        sent[count].tag = (struct ring_tag){.generation = (uint32_t)tag, .index = (uint32_t)(tag >> 32)};
        sent[count].result = cqe->res;
    }
    io_uring_cq_advance(&ring->uring, count);
    ring_count(&ring->counters.completed, count);
    return count;
}

void ring_give_back(struct ring *ring, uint32_t buffer)
{
    check_op(buffer, <, ring->buffer_count);
    check(ring->buffer_out[buffer]); /* given back once, and only what was handed out */
    ring->buffer_out[buffer] = false;
    ring->buffers_free++;
    buffer_offer(ring, buffer);
}

uint32_t ring_buffers_free(const struct ring *ring)
{
    return ring->buffers_free;
}

/* Only where the kernel fills buffers within our own calls (deferred task work): elsewhere one could be filled at this
 * moment. */
void ring_tidy(struct ring *ring)
{
    bool quiet = ring->buffers_used < ring->buffers_offered / 8;
    bool empty = ring->buffers_free == ring->buffers_offered && io_uring_cq_ready(&ring->uring) == 0 &&
                 !io_uring_cq_has_overflow(&ring->uring);
    ring->buffers_touched |= ring->buffers_used > 0;
    ring->buffers_used = 0;
    if (!quiet || !empty || !ring->buffers_touched || (ring->uring.flags & IORING_SETUP_DEFER_TASKRUN) == 0)
        return;
    madvise(ring->buffers, (size_t)ring->buffer_count * ring->buffer_bytes, MADV_DONTNEED);
    ring->buffers_touched = false;
}

void ring_wake(struct ring *ring)
{
    const uint64_t one = 1;
    int before = errno; /* a signal handler must leave it as it was */
    ssize_t written = write(ring->wake_fd, &one, sizeof one);
    (void)written; /* fails only when the counter is full: see arm_wake */
    errno = before;
}

void ring_counters_read(const struct ring *ring, struct ring_counters *out)
{
    _Static_assert(sizeof *out % sizeof(uint64_t) == 0, "counters are nothing but 64-bit values");
    const uint64_t *from = (const uint64_t *)&ring->counters;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
