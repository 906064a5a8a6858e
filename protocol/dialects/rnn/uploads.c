/* SPDX-License-Identifier: MIT */
/* Owns the requests of uploads: chunks, pause, resume, connections that leave, and the table of the depot (N-59 to N-75).
 * It decides nothing about disks: that an answer is true when it is said is the host's part (protocol/depot.h). Called
 * through the table at the end, on the depot's thread. */
#include "protocol/dialects/rnn/uploads.h"

#include "core/check.h"
#include "protocol/base64.h"
#include "protocol/json.h"

#include <errno.h>

/* --- the end of a file -------------------------------------------------------------------------------------------- */

enum depot_answer upload_go_to_end(struct upload *upload, const struct depot_request *request)
{
    if (upload->received < upload->chunks || upload->ticket != 0)
        return DEPOT_DONE;
    upload->ticket = request->ticket;
    return DEPOT_LATER;
}

static struct upload *find_ticket(const struct uploads *uploads, uint64_t ticket)
{
    for (struct list_node *node = list_first(&uploads->open); node != NULL; node = list_next(&uploads->open, node))
        if (list_entry(node, struct upload, node)->ticket == ticket)
            return list_entry(node, struct upload, node);
    return NULL;
}

static void note_time(struct uploads *uploads, uint64_t now_ms, uint64_t wall_ms)
{
    uploads->now_ms = now_ms;
    uploads->wall_ms = wall_ms;
}

static enum depot_answer uploads_later(void *state, const struct depot_request *request)
{
    struct uploads *uploads = state;
    note_time(uploads, request->now_ms, request->wall_ms);
    struct upload *upload = find_ticket(uploads, request->ticket);
    check(upload != NULL);
    int result = upload_end(uploads, upload);
    if (result == 0)
        return DEPOT_LATER;
    upload->ticket = 0;
    if (result == 1)
        upload_put_complete(uploads, request->reply, upload);
    else /* N-70 */
        upload_put_error(uploads, request->reply, slice_text(upload->id), "WRITE_FAILED", upload_disk_error(result),
                         NULL);
    return DEPOT_DONE;
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

/* The session that a message names, if it is this user's and open (N-73). NULL: it has been answered. */
static struct upload *find_session(struct uploads *uploads, const struct depot_request *request,
                                   const struct json_member *id)
{
    char memory[UPLOAD_ID_BYTES * 6];
    struct buf space = buf_of(memory, sizeof memory);
    if (id->token != JSON_STRING) {
        upload_invalid(uploads, request, "session_id must be a string");
        return NULL;
    }
    struct slice name = id->raw.bytes <= sizeof memory ? json_resolve(id->raw, id->escaped, &space) : slice_text("");
    struct upload *upload = upload_find(uploads, name);
    upload_put_error(uploads, request->failure, name.bytes <= UPLOAD_ID_BYTES ? name : slice_text(""), "WRITE_FAILED",
                     "Failed to write to disk", NULL);
    if (upload != NULL && slice_equal(upload_user(upload), upload_user_of(request)))
        return upload;
    upload_refuse(uploads, request, name.bytes <= 128 ? name : slice_text(""), "SESSION_NOT_FOUND",
                  "Upload session not found");
    return NULL;
}

/* Beside the sessions of one that is done, which only a resume may ask for. */
static struct upload *find_open(struct uploads *uploads, const struct depot_request *request,
                                const struct json_member *id)
{
    struct upload *upload = find_session(uploads, request, id);
    if (upload == NULL || upload->state != UPLOAD_DONE)
        return upload;
    upload_refuse(uploads, request, slice_text(upload->id), "SESSION_NOT_FOUND", "Upload session not found");
    return NULL;
}

static enum depot_answer refuse_length(const struct uploads *uploads, const struct depot_request *request,
                                       const struct upload *upload, uint64_t expected, uint64_t found)
{
    char text[96];
    struct buf sentence = buf_of(text, sizeof text - 1);
    buf_put_text(&sentence, "Chunk size mismatch: expected ");
    buf_put_u64(&sentence, expected);
    buf_put_text(&sentence, " bytes, got ");
    buf_put_u64(&sentence, found);
    text[sentence.used] = '\0';
    return upload_refuse(uploads, request, slice_text(upload->id), "WRITE_FAILED", text);
}

/* A chunk that is new: to the disk, then into the bits and the hash. 0 or -errno. */
static int take_chunk(struct uploads *uploads, struct upload *upload, uint32_t index, struct slice data)
{
    uint64_t offset = index * upload->chunk_bytes;
    int error = uploads->disk->write(uploads->disk->user, upload->id, offset, data);
    if (error != 0)
        return error;
    upload->had[index / 8] |= (uint8_t)(1U << index % 8);
    upload->received++;
    upload->received_bytes += data.bytes;
    uploads->reserved -= data.bytes;
    upload_hash(uploads, upload, offset, data);
    return upload_keep(uploads, upload, index);
}

/* Decodes in place; many encoders write the digit / as an escape. False: it is no base64. */
static bool decode(const struct depot_request *request, const struct json_member *member, struct slice *data)
{
    uint8_t *at = request->body.data + (member->raw.data - request->body.data);
    size_t bytes = member->escaped ? json_unescape_here((struct span){at, member->raw.bytes}) : member->raw.bytes;
    struct buf out = buf_of(at, bytes);
    bool good = base64_decode(slice_of(at, bytes), &out);
    *data = buf_slice(&out);
    return good;
}

static enum depot_answer on_chunk(struct uploads *uploads, const struct depot_request *request)
{
    enum { ID, INDEX, DATA, MEMBERS };
    struct json_member m[MEMBERS] = {{.name = "session_id"}, {.name = "chunk_index"}, {.name = "data"}};
    uint64_t index;
    struct slice data;
    if (json_find_members(slice_of(request->body.data, request->body.bytes), RNN_DEPTH_MAX, false, m, MEMBERS) !=
            JSON_MEMBERS_OK ||
        m[INDEX].token != JSON_NUMBER || m[DATA].token != JSON_STRING)
        return upload_invalid(uploads, request, "expected session_id, chunk_index and data");
    struct upload *upload = find_open(uploads, request, &m[ID]);
    if (upload == NULL)
        return DEPOT_DONE;
    struct slice id = slice_text(upload->id);
    if (upload->paused)
        return upload_refuse(uploads, request, id, "WRITE_FAILED", "Upload session is paused");
    if (!json_u64(m[INDEX].raw, &index) || index >= upload->chunks)
        return upload_refuse(uploads, request, id, "WRITE_FAILED", "Chunk index out of range");
    if (!decode(request, &m[DATA], &data))
        return upload_refuse(uploads, request, id, "INVALID_ENCODING", "data must be base64 with padding");
    if (data.bytes != upload_chunk_bytes(upload, index))
        return refuse_length(uploads, request, upload, upload_chunk_bytes(upload, index), data.bytes);
    upload->connection = request->connection; /* */
    upload->heard_ms = uploads->wall_ms;
    int error = upload_had(upload, index) ? 0 : take_chunk(uploads, upload, (uint32_t)index, data);
    if (error != 0)
        return upload_refuse(uploads, request, id, "WRITE_FAILED", upload_disk_error(error));
    upload_put_progress(uploads, request->reply, upload, PROGRESS_PLAIN);
    return upload_go_to_end(upload, request);
}

/* --- pause, resume, and who goes ---------------------------------------------------------------------------------- */

static bool take_id(const struct depot_request *request, struct json_member *id)
{
    *id = (struct json_member){.name = "session_id"};
    return json_find_members(slice_of(request->body.data, request->body.bytes), RNN_DEPTH_MAX, false, id, 1) ==
           JSON_MEMBERS_OK;
}

static enum depot_answer set_paused(struct uploads *uploads, const struct depot_request *request, struct upload *upload,
                                    bool paused)
{
    upload->changed |= upload->paused != paused;
    upload->paused = paused;
    upload->connection = request->connection;
    upload->heard_ms = uploads->wall_ms;
    int error = upload_keep(uploads, upload, UINT32_MAX);
    if (error != 0)
        return upload_refuse(uploads, request, slice_text(upload->id), "WRITE_FAILED", upload_disk_error(error));
    upload_put_progress(uploads, request->reply, upload, paused ? PROGRESS_PAUSED : PROGRESS_RESUMED);
    return paused ? DEPOT_DONE : upload_go_to_end(upload, request);
}

static enum depot_answer on_pause(struct uploads *uploads, const struct depot_request *request)
{
    struct json_member id;
    if (!take_id(request, &id))
        return upload_invalid(uploads, request, "payload must be an object");
    struct upload *upload = find_open(uploads, request, &id);
    return upload == NULL ? DEPOT_DONE : set_paused(uploads, request, upload, true);
}

/* N-68: whether the file in the making is what the chunks say: as long as the last of them that has come reaches. 0, -ENOENT: it is
 * not, or the error of a disk that does not say. */
static int look_at(struct uploads *uploads, const struct upload *upload)
{
    uint64_t bytes, least = 0;
    for (uint32_t i = upload->chunks; i-- > 0 && least == 0;)
        if (upload_had(upload, i))
            least = i * upload->chunk_bytes + upload_chunk_bytes(upload, i);
    int error = uploads->disk->length(uploads->disk->user, upload->id, &bytes);
    return error != 0 ? error : bytes >= least && bytes <= upload->bytes ? 0 : -ENOENT;
}

static enum depot_answer on_resume(struct uploads *uploads, const struct depot_request *request)
{
    struct json_member id;
    if (!take_id(request, &id))
        return upload_invalid(uploads, request, "payload must be an object");
    struct upload *upload = find_session(uploads, request, &id);
    if (upload == NULL)
        return DEPOT_DONE;
    if (upload->state ==
        UPLOAD_DONE) { /* its end may have been said to nobody: before a crash, or to a connection that was gone */
        upload_put_complete(uploads, request->reply, upload);
        return DEPOT_DONE;
    }
    int fault = upload->state == UPLOAD_OPEN && upload->ticket == 0 ? look_at(uploads, upload) : 0;
    if (fault != 0 && fault != -ENOENT)
        return upload_refuse(uploads, request, slice_text(upload->id), "WRITE_FAILED", upload_disk_error(fault));
    if (fault != 0) {
        char name[UPLOAD_ID_BYTES + 1];
        memcpy(name, upload->id, sizeof name);
        (void)upload_drop(uploads, upload);
        return upload_refuse(uploads, request, slice_text(name), "SESSION_RESTORE_FAILED",
                             "The file of this upload is gone; start it again");
    }
    return set_paused(uploads, request, upload, false);
}

/* N-67 */
static enum depot_answer on_left(struct uploads *uploads, const struct depot_request *request)
{
    for (struct list_node *node = list_first(&uploads->open); node != NULL; node = list_next(&uploads->open, node)) {
        struct upload *upload = list_entry(node, struct upload, node);
        if (upload->connection != request->connection || upload->paused)
            continue;
        upload->paused = upload->changed = true;
        (void)upload_keep(uploads, upload, UINT32_MAX); /* an error is the transaction's */
    }
    return DEPOT_DONE;
}

static enum depot_answer uploads_request(void *state, const struct depot_request *request)
{
    struct uploads *uploads = state;
    note_time(uploads, request->now_ms, request->wall_ms);
    switch (request->kind) {
    case DEPOT_LEFT:
        return on_left(uploads, request);
    case UPLOAD_START:
        return upload_start(uploads, request);
    case UPLOAD_CHUNK:
        return on_chunk(uploads, request);
    case UPLOAD_PAUSE:
        return on_pause(uploads, request);
    default:
        check_op(request->kind, ==, UPLOAD_RESUME);
        return on_resume(uploads, request);
    }
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static const char *uploads_root(const void *settings)
{
    const struct rnn_settings *own = settings;
    return own->uploads;
}

static bool is_wanted(void *state, const char *name)
{
    const struct upload *upload = upload_find(state, slice_text(name));
    return upload != NULL && upload->state != UPLOAD_DONE;
}

/* Files that were on their way to their places when the process ended get there (N-69), and those whose session never came to be or is
 * gone go. An error there is tried again by the next process. */
static void uploads_loaded(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct uploads *uploads = state;
    struct list_node *node, *next;
    note_time(uploads, now_ms, wall_ms);
    for (node = list_first(&uploads->open); node != NULL; node = next) {
        struct upload *upload = list_entry(node, struct upload, node);
        next = list_next(&uploads->open, node);
        if (upload->state == UPLOAD_PLACING)
            (void)upload_end(uploads, upload); /* if it cannot be placed it is open again */
    }
    (void)uploads->disk->sweep(uploads->disk->user, is_wanted, uploads);
    uploads->next_sweep_ms = now_ms;
}

static uint64_t uploads_due(const void *state)
{
    const struct uploads *uploads = state;
    return list_empty(&uploads->open) && list_empty(&uploads->done) ? UINT64_MAX : uploads->next_sweep_ms;
}

static void uploads_timer(void *state, uint64_t now_ms, uint64_t wall_ms)
{
    struct uploads *uploads = state;
    note_time(uploads, now_ms, wall_ms);
    if (now_ms >= uploads->next_sweep_ms)
        uploads_sweep(uploads);
}

const struct depot rnn_uploads = {
    .state_bytes = sizeof(struct uploads),
    .root = uploads_root,
    .open = uploads_open,
    .close = uploads_close,
    .load = uploads_load,
    .loaded = uploads_loaded,
    .request = uploads_request,
    .later = uploads_later,
    .due = uploads_due,
    .timer = uploads_timer,
};
