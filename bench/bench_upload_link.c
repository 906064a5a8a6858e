/* SPDX-License-Identifier: MIT */
/* Owns one connection that uploads: blocking, with up to `window` chunks under way. It makes each frame once but for the
 * number of its chunk, so that what the client costs is sending. A thread of the command runs it.
 *
 * A chunk's frame:  header | {"type":"file.upload.chunk","payload":{"session_id":"...","chunk_index":        12,"data":" | base64 | "},...}
 * The text in front of the data always has the same length, so only it is masked anew. */
#include "bench/bench_upload.h"

#include "bench/bench_opening.h"
#include "core/clock.h"
#include "protocol/json.h"
#include "protocol/ws.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_BYTES (4U << 20) /* the largest message that is told to everybody fits */
#define WINDOW_MAX 64
#define SESSION_BYTES 128

/* The frames of whole chunks and of the last one. */
struct chunk_frame {
    uint8_t *data;
    size_t header_bytes, front_bytes, bytes;
};

struct talk {
    struct upload_link *link;
    int socket;
    uint8_t *input;
    size_t used;
    char session[SESSION_BYTES];
    struct chunk_frame whole, last;
    uint64_t sent, answered;
    uint64_t sent_ns[WINDOW_MAX];
    bool complete;
};

static const uint8_t mask_key[4] = {0x5A, 0xC3, 0x99, 0x17};

/* The first failure counts. */
__attribute__((format(printf, 2, 3))) static bool fail(struct talk *talk, const char *format, ...)
{
    va_list arguments;
    if (talk->link->failure[0] != '\0')
        return false;
    va_start(arguments, format);
    vsnprintf(talk->link->failure, sizeof talk->link->failure, format, arguments);
    va_end(arguments);
    return false;
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static bool send_all(struct talk *talk, struct slice bytes)
{
    while (bytes.bytes > 0) {
        ssize_t sent = send(talk->socket, bytes.data, bytes.bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return fail(talk, "send: %s", strerror(errno));
        bytes = slice_skip(bytes, sent > 0 ? (size_t)sent : 0);
    }
    return true;
}

/* At least one byte more of input. */
static bool receive_more(struct talk *talk)
{
    for (;;) {
        ssize_t got = recv(talk->socket, talk->input + talk->used, INPUT_BYTES - talk->used, 0);
        if (got > 0) {
            talk->used += (size_t)got;
            return true;
        }
        if (got == 0)
            return fail(talk, "the server has closed the connection");
        if (errno != EINTR)
            return fail(talk, "recv: %s", strerror(errno));
    }
}

static void consume(struct talk *talk, size_t bytes)
{
    talk->used -= bytes;
    memmove(talk->input, talk->input + bytes, talk->used);
}

static bool send_frame(struct talk *talk, enum ws_opcode opcode, struct slice payload)
{
    uint8_t frame[14 + 2048];
    size_t header = ws_header_write_masked(frame, opcode, payload.bytes, mask_key);
    memcpy(frame + header, payload.data, payload.bytes);
    ws_mask(frame + header, payload.bytes, mask_key, 0);
    return send_all(talk, slice_of(frame, header + payload.bytes));
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

enum told { TOLD_NOTHING, TOLD_PROGRESS, TOLD_COMPLETE, TOLD_FAILURE };

static enum told judge(struct talk *talk, struct slice text)
{
    struct json_member payload = {.name = "payload"}, inner[] = {{.name = "session_id"}, {.name = "file_hash"}};
    if (!slice_starts(text, slice_text("{\"type\":\"file.upload.")))
        return slice_starts(text, slice_text("{\"type\":\"error\"")) ? TOLD_FAILURE : TOLD_NOTHING;
    if (json_find_members(text, 32, false, &payload, 1) != JSON_MEMBERS_OK ||
        json_find_members(payload.text, 32, false, inner, 2) != JSON_MEMBERS_OK)
        return TOLD_FAILURE;
    if (slice_starts(text, slice_text("{\"type\":\"file.upload.error\"")))
        return TOLD_FAILURE;
    if (slice_starts(text, slice_text("{\"type\":\"file.upload.progress\""))) {
        if (talk->session[0] == '\0' && inner[0].raw.bytes < SESSION_BYTES)
            memcpy(talk->session, inner[0].raw.data, inner[0].raw.bytes);
        return TOLD_PROGRESS;
    }
    struct slice hash = slice_skip(inner[1].raw, strlen("sha256:"));
    if (!slice_is(hash, talk->link->content->hash)) {
        fail(talk, "the server's hash is another one");
        return TOLD_FAILURE;
    }
    return TOLD_COMPLETE;
}

/* Takes one frame off the input, waiting for it; TOLD_NOTHING: it says nothing of the upload. */
static enum told next_frame(struct talk *talk)
{
    uint64_t bytes;
    while ((bytes = ws_frame_bytes(slice_of(talk->input, talk->used))) == 0 || bytes > talk->used) {
        if (bytes > INPUT_BYTES) {
            fail(talk, "a message of %" PRIu64 " bytes", bytes);
            return TOLD_FAILURE;
        }
        if (!receive_more(talk))
            return TOLD_FAILURE;
    }
    size_t header = ws_header_length(talk->input[1]);
    struct slice payload = slice_of(talk->input + header, (size_t)bytes - header);
    unsigned opcode = talk->input[0] & 0x0FU;
    enum told told = TOLD_NOTHING;
    if (opcode == WS_PING)
        told = send_frame(talk, WS_PONG, payload) ? TOLD_NOTHING : TOLD_FAILURE;
    else if (opcode == WS_TEXT)
        told = judge(talk, payload);
    else if (opcode == WS_CLOSE)
        told = TOLD_FAILURE;
    if (told == TOLD_FAILURE)
        fail(talk, "the server says: %.*s", (int)(payload.bytes < 200 ? payload.bytes : 200),
             (const char *)payload.data);
    consume(talk, (size_t)bytes);
    return told;
}

static enum told next_answer(struct talk *talk)
{
    enum told told;
    do
        told = next_frame(talk);
    while (told == TOLD_NOTHING);
    return told;
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

static bool connect_socket(struct talk *talk)
{
    const struct url *url = talk->link->url;
    int on = 1;
    talk->socket = socket(url->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (talk->socket < 0 || connect(talk->socket, (const struct sockaddr *)&url->address, url->address_bytes) != 0)
        return fail(talk, "connect: %s", strerror(errno));
    setsockopt(talk->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return true;
}

static bool shake_hands(struct talk *talk)
{
    static const uint32_t more = 4096;
    struct opening opening = {.used = 0};
    struct outgoing out = {.sent = 0};
    struct random random;
    uint8_t memory[256];
    struct buf why = buf_of(memory, sizeof memory);
    enum opening_result result = OPENING_MORE;
    random_init(&random, talk->link->number);
    opening_request(&opening, &out, &random, talk->link->url, "", talk->link->token);
    bool good = send_all(talk, outgoing_begin(&out));
    outgoing_free(&out);
    while (good && result == OPENING_MORE) {
        good = talk->used + more <= INPUT_BYTES && receive_more(talk);
        struct slice input = slice_of(talk->input, talk->used);
        result = good ? opening_response(&opening, &input, false, &why) : OPENING_REFUSED;
        consume(talk, talk->used - input.bytes);
    }
    if (result == OPENING_REFUSED)
        fail(talk, "the upgrade was refused: %.*s", (int)why.used, (const char *)why.data);
    return result == OPENING_DONE;
}

static bool start(struct talk *talk)
{
    const struct upload_link *link = talk->link;
    uint8_t memory[1024];
    struct buf text = buf_of(memory, sizeof memory);
    buf_put_text(&text, "{\"type\":\"file.upload.start\",\"payload\":{\"service_id\":");
    buf_put_u64(&text, link->service);
    buf_put_text(&text, ",\"filename\":\"file\",\"file_path\":\"ringcast-bench/");
    buf_put_u64(&text, link->number);
    buf_put_text(&text, "\",\"total_size\":");
    buf_put_u64(&text, link->content->bytes);
    buf_put_text(&text, ",\"total_chunks\":");
    buf_put_u64(&text, link->content->chunks);
    buf_put_text(&text, ",\"chunk_size\":");
    buf_put_u64(&text, link->content->chunk_bytes);
    buf_put_text(&text, "},\"timestamp\":1703520000}");
    return send_frame(talk, WS_TEXT, buf_slice(&text)) && next_answer(talk) == TOLD_PROGRESS;
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

static size_t write_front(const struct talk *talk, uint64_t index, char *out, size_t bytes)
{
    return (size_t)snprintf(
        out, bytes,
        "{\"type\":\"file.upload.chunk\",\"payload\":{\"session_id\":\"%s\",\"chunk_index\":%10" PRIu64 ",\"data\":\"",
        talk->session, index);
}

static bool make_frame(struct talk *talk, struct chunk_frame *frame, struct slice text)
{
    static const char back[] = "\"},\"timestamp\":1703520000}";
    char front[512];
    size_t front_bytes = write_front(talk, 0, front, sizeof front),
           payload_bytes = front_bytes + text.bytes + strlen(back);
    uint8_t header[14];
    frame->header_bytes = ws_header_write_masked(header, WS_TEXT, payload_bytes, mask_key);
    frame->front_bytes = front_bytes;
    frame->bytes = frame->header_bytes + payload_bytes;
    frame->data = malloc(frame->bytes);
    if (frame->data == NULL)
        return fail(talk, "out of memory");
    struct buf out = buf_of(frame->data, frame->bytes);
    buf_put(&out, slice_of(header, frame->header_bytes));
    buf_put(&out, slice_of(front, front_bytes));
    buf_put(&out, text);
    buf_put_text(&out, back);
    ws_mask(frame->data + frame->header_bytes, payload_bytes, mask_key, 0);
    return true;
}

static bool send_chunk(struct talk *talk)
{
    bool last = talk->sent + 1 == talk->link->content->chunks;
    struct chunk_frame *frame = last ? &talk->last : &talk->whole;
    char front[512];
    size_t bytes = write_front(talk, talk->sent, front, sizeof front);
    memcpy(frame->data + frame->header_bytes, front, bytes);
    ws_mask(frame->data + frame->header_bytes, bytes, mask_key, 0);
    talk->sent_ns[talk->sent % WINDOW_MAX] = clock_monotonic_ns();
    talk->sent++;
    return send_all(talk, slice_of(frame->data, frame->bytes));
}

static bool take_answer(struct talk *talk)
{
    switch (next_answer(talk)) {
    case TOLD_PROGRESS:
        if (talk->answered == talk->sent)
            return fail(talk, "progress that nobody has asked for");
        histogram_record(&talk->link->chunk_ns, clock_monotonic_ns() - talk->sent_ns[talk->answered % WINDOW_MAX]);
        talk->answered++;
        return true;
    case TOLD_COMPLETE:
        talk->complete = talk->answered == talk->link->content->chunks;
        return talk->complete || fail(talk, "complete before all progress");
    case TOLD_NOTHING:
    case TOLD_FAILURE:
        break;
    }
    return false;
}

static bool upload(struct talk *talk)
{
    while (!talk->complete) {
        bool room = talk->sent < talk->link->content->chunks && talk->sent - talk->answered < talk->link->window;
        if (!(room ? send_chunk(talk) : take_answer(talk)))
            return false;
    }
    return true;
}

void *upload_link_run(void *argument)
{
    struct upload_link *link = argument;
    struct talk talk = {.link = link, .socket = -1};
    histogram_init(&link->chunk_ns);
    talk.input = malloc(INPUT_BYTES);
    bool ready = talk.input != NULL && connect_socket(&talk) && shake_hands(&talk) && start(&talk) &&
                 make_frame(&talk, &talk.whole, link->content->text) &&
                 make_frame(&talk, &talk.last, link->content->last_text);
    if (!ready)
        fail(&talk, "out of memory");
    pthread_barrier_wait(link->start);
    link->begin_ns = clock_monotonic_ns();
    if (ready)
        upload(&talk);
    link->end_ns = clock_monotonic_ns();
    if (talk.socket >= 0)
        close(talk.socket);
    free(talk.input);
    free(talk.whole.data);
    free(talk.last.data);
    return NULL;
}
