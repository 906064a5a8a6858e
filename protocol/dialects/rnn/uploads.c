/* SPDX-License-Identifier: MIT */
/* Owns the requests of uploads and what is answered: start, chunk, pause, resume (N-52 to N-75). It decides nothing about
 * disks: that an answer is true when it is said is the host's part (protocol/depot.h). Called through the table at the
 * end, on the depot's thread. */
#include "protocol/dialects/rnn/uploads.h"

#include "core/check.h"
#include "protocol/base64.h"
#include "protocol/json.h"

#include <errno.h>

#define MISSING_MAX 1000 /* that a resume lists (N-66) */
#define PER_CENT 10000   /* a percentage has two digits behind the point */

static struct slice user_of(const struct depot_request *request)
{
    return slice_skip(request->head, UPLOAD_HEAD_BYTES);
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

/* Replies are messages one behind the other, each a part (rnn_next_part). */
static size_t begin_message(struct buf *out, const char *type)
{
    static const uint8_t space[8];
    size_t mark = out->used;
    buf_put(out, slice_of(space, sizeof space));
    rnn_begin(out, type);
    return mark;
}

static void end_message(const struct uploads *uploads, struct buf *out, size_t mark)
{
    rnn_end(out, uploads->wall_ms);
    if (!out->overflow)
        store_be64(out->data + mark, out->used - mark - 8);
}

/* What of a start is repeated in its answers (N-53, N-74). */
struct start_place {
    struct slice group; /* raw JSON text of the string, or no bytes */
    uint64_t file_index;
};

static void put_place(struct buf *out, const struct start_place *place)
{
    buf_put_text(out, ",\"upload_group_id\":");
    json_put_string(out, place->group);
    buf_put_text(out, ",\"file_index\":");
    buf_put_u64(out, place->file_index);
}

/* N-74 */
static void put_error(const struct uploads *uploads, struct buf *out, struct slice id, const char *code,
                      const char *error, const struct start_place *place)
{
    size_t mark = begin_message(out, "file.upload.error");
    buf_put_text(out, "{\"session_id\":");
    json_put_string(out, id);
    buf_put_text(out, ",\"error\":");
    json_put_string(out, slice_text(error));
    buf_put_text(out, ",\"code\":\"");
    buf_put_text(out, code);
    buf_put_byte(out, '"');
    if (place != NULL)
        put_place(out, place);
    buf_put_byte(out, '}');
    end_message(uploads, out, mark);
}

/* N-15 */
static enum depot_answer invalid(const struct uploads *uploads, const struct depot_request *request, const char *error)
{
    size_t mark = begin_message(request->reply, "error");
    buf_put_text(request->reply, "{\"error\":");
    json_put_string(request->reply, slice_text(error));
    buf_put_text(request->reply, ",\"code\":\"INVALID_PAYLOAD\"}");
    end_message(uploads, request->reply, mark);
    return DEPOT_DONE;
}

static enum depot_answer refuse(const struct uploads *uploads, const struct depot_request *request, struct slice id,
                                const char *code, const char *error)
{
    put_error(uploads, request->reply, id, code, error, NULL);
    return DEPOT_DONE;
}

/* N-60: per cent of the bytes, rounded to two digits, without zeros at the end. */
static void put_percentage(struct buf *out, const struct upload *upload)
{
    uint64_t value =
        upload->bytes == 0 ? PER_CENT : (upload->received_bytes * PER_CENT + upload->bytes / 2) / upload->bytes;
    buf_put_u64(out, value / 100);
    if (value % 100 == 0)
        return;
    buf_put_byte(out, '.');
    buf_put_byte(out, (uint8_t)('0' + value / 10 % 10));
    if (value % 10 != 0)
        buf_put_byte(out, (uint8_t)('0' + value % 10));
}

/* N-66: the smallest one that is missing, and a list of the first. */
static void put_missing(struct buf *out, const struct upload *upload)
{
    uint32_t listed = 0;
    uint32_t next = 0;
    while (next < upload->chunks && upload_had(upload, next))
        next++;
    buf_put_text(out, ",\"next_chunk_index\":");
    buf_put_u64(out, next);
    buf_put_text(out, ",\"missing_chunks\":[");
    for (; next < upload->chunks && listed < MISSING_MAX; next++) {
        if (upload_had(upload, next))
            continue;
        if (listed++ > 0)
            buf_put_byte(out, ',');
        buf_put_u64(out, next);
    }
    buf_put_byte(out, ']');
}

enum progress { PROGRESS_PLAIN, PROGRESS_START, PROGRESS_PAUSED, PROGRESS_RESUMED };

static void put_progress(const struct uploads *uploads, struct buf *out, const struct upload *upload,
                         enum progress kind)
{
    size_t mark = begin_message(out, "file.upload.progress");
    buf_put_text(out, "{\"session_id\":\"");
    buf_put_text(out, upload->id);
    buf_put_text(out, "\",\"chunks_received\":");
    buf_put_u64(out, upload->bytes == 0 ? 0 : upload->received); /* */
    buf_put_text(out, ",\"bytes_uploaded\":");
    buf_put_u64(out, upload->received_bytes);
    buf_put_text(out, ",\"percentage\":");
    put_percentage(out, upload);
    if (kind == PROGRESS_START)
        put_place(out, &(struct start_place){upload_group(upload), upload->file_index});
    if (kind == PROGRESS_PAUSED)
        buf_put_text(out, ",\"status\":\"paused\"");
    if (kind == PROGRESS_RESUMED) {
        buf_put_text(out, ",\"status\":\"active\"");
        put_missing(out, upload);
    }
    buf_put_byte(out, '}');
    end_message(uploads, out, mark);
}

/* N-72 */
static bool completes_group(const struct uploads *uploads, const struct upload *upload)
{
    struct upload *other = NULL;
    uint32_t done = 0;
    while ((other = upload_next_of_group(uploads, other, upload_user(upload), upload_group(upload))) != NULL)
        done += other->state == UPLOAD_DONE;
    return done == upload->total_files;
}

/* N-69 */
static void put_complete(const struct uploads *uploads, struct buf *out, const struct upload *upload)
{
    size_t mark = begin_message(out, "file.upload.complete");
    buf_put_text(out, "{\"session_id\":\"");
    buf_put_text(out, upload->id);
    buf_put_text(out, "\",\"file_hash\":\"sha256:");
    buf_put_text(out, upload->digest);
    buf_put_text(out, completes_group(uploads, upload) ? "\",\"group_complete\":true}" : "\"}");
    end_message(uploads, out, mark);
}

/* What a failed disk is called. */
static const char *disk_error(int error)
{
    switch (error) {
    case -ENOSPC:
    case -EDQUOT:
        return "Not enough disk space";
    case -ELOOP:
    case -ENOTDIR:
    case -EISDIR:
    case -ENAMETOOLONG:
    case -EXDEV:
        return "Invalid file path";
    case -ENOMEM:
        return "Out of memory";
    default:
        return "Failed to write to disk";
    }
}

/* --- the end of a file -------------------------------------------------------------------------------------------- */

/* Whether all of it is there, and the request waits for the end. */
static enum depot_answer go_to_end(struct upload *upload, const struct depot_request *request)
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
        put_complete(uploads, request->reply, upload);
    else /* N-70 */
        put_error(uploads, request->reply, slice_text(upload->id), "WRITE_FAILED", disk_error(result), NULL);
    return DEPOT_DONE;
}

/* --- start -------------------------------------------------------------------------------------------------------- */

struct start {
    struct slice user;
    uint64_t service, total, chunks, chunk;
    uint64_t total_files;
    struct start_place place;
    struct slice path; /* without those of its texts that are not wanted */
    uint8_t memory[UPLOAD_GROUP_BYTES_MAX + 4 * UPLOAD_PATH_BYTES_MAX + UPLOAD_PATH_BYTES_MAX + 512];
    struct buf texts;
};

static bool take_number(const struct json_member *member, bool required, uint64_t most, uint64_t *value)
{
    if (member->token == JSON_ERROR)
        return !required;
    return member->token == JSON_NUMBER && json_u64(member->raw, value) && *value <= most;
}

static bool take_text(const struct json_member *member, size_t most, struct buf *space, struct slice *text)
{
    if (member->token != JSON_STRING || member->raw.bytes > 6 * most)
        return false;
    size_t mark = space->used;
    json_unescape(member->raw, space);
    *text = buf_since(space, mark);
    return !space->overflow && text->bytes <= most;
}

/* N-55, N-56, N-57, Q-43: NULL, or what is wrong with the numbers. */
static const char *numbers_fault(const struct start *start)
{
    if (start->total == 0)
        return start->chunks <= 1 ? NULL : "total_chunks must be 0 or 1 for an empty file";
    if (start->chunk < 1 || start->chunk > UPLOAD_CHUNK_BYTES_MAX)
        return "chunk_size must be 1 to 7340032";
    if (start->chunks == 0 || start->chunks > UPLOAD_CHUNKS_MAX)
        return "total_chunks must be 1 to 1048576";
    uint64_t before = (start->chunks - 1) * start->chunk;
    if (before >= start->total || start->total - before >= 2 * start->chunk)
        return "total_chunks does not fit total_size and chunk_size";
    return start->total - before > UPLOAD_CHUNK_BYTES_MAX ? "Last chunk too large" : NULL;
}

/* A UUID of version 4 (RFC 9562 section 5.4). */
static bool make_uuid(const struct uploads *uploads, struct buf *out)
{
    uint8_t bytes[16];
    if (uploads->disk->entropy(uploads->disk->user, bytes, sizeof bytes) != 0)
        return false;
    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            buf_put_byte(out, '-');
        buf_put_hex(out, bytes[i], 2);
    }
    return !out->overflow;
}

/* NULL, or what is wrong with the payload. */
static const char *take_start(const struct uploads *uploads, const struct depot_request *request, struct start *start)
{
    enum { SERVICE, GROUP, NAME, PATH, INDEX, FILES, SIZE, CHUNKS, CHUNK, MEMBERS };
    struct json_member m[MEMBERS] = {{.name = "service_id"}, {.name = "upload_group_id"}, {.name = "filename"},
                                     {.name = "file_path"},  {.name = "file_index"},      {.name = "total_files"},
                                     {.name = "total_size"}, {.name = "total_chunks"},    {.name = "chunk_size"}};
    struct slice name, path;
    start->texts = buf_of(start->memory, sizeof start->memory);
    start->user = user_of(request);
    start->total_files = 1;
    start->place.group = slice_text("");
    if (json_find_members(slice_of(request->body.data, request->body.bytes), RNN_DEPTH_MAX, false, m, MEMBERS) !=
        JSON_MEMBERS_OK)
        return "payload must be an object";
    if (m[GROUP].token != JSON_ERROR &&
        (!take_text(&m[GROUP], UPLOAD_GROUP_BYTES_MAX, &start->texts, &start->place.group) ||
         start->place.group.bytes == 0))
        return "upload_group_id must be a string of 1 to 256 bytes";
    if (!take_number(&m[INDEX], false, UPLOAD_FILES_MAX, &start->place.file_index))
        return "file_index must be an integer, 0 or more";
    if (m[GROUP].token == JSON_ERROR) {
        size_t mark = start->texts.used;
        if (!make_uuid(uploads, &start->texts))
            return "Out of memory";
        start->place.group = buf_since(&start->texts, mark);
    }
    if (!take_number(&m[SERVICE], true, UINT64_MAX, &start->service))
        return "service_id must be an integer, 0 or more";
    if (!take_number(&m[FILES], false, UPLOAD_FILES_MAX, &start->total_files) || start->total_files == 0)
        return "total_files must be 1 to 100000";
    if (start->place.file_index >= start->total_files)
        return "file_index must be less than total_files";
    if (!take_number(&m[SIZE], true, UPLOAD_TOTAL_BYTES_MAX, &start->total))
        return "total_size must be 0 to 10737418240";
    if (!take_number(&m[CHUNKS], true, UINT64_MAX, &start->chunks) ||
        !take_number(&m[CHUNK], true, UINT64_MAX, &start->chunk))
        return "total_chunks and chunk_size must be integers";
    const char *fault = numbers_fault(start);
    if (fault != NULL)
        return fault;
    if (!take_text(&m[NAME], UPLOAD_COMPONENT_BYTES_MAX, &start->texts, &name) ||
        !take_text(&m[PATH], UPLOAD_PATH_BYTES_MAX, &start->texts, &path))
        return "Invalid file path";
    size_t mark = start->texts.used;
    if (!upload_path(path, name, &start->texts))
        return "Invalid file path";
    start->path = buf_since(&start->texts, mark);
    return NULL;
}

static bool is_same(const struct upload *upload, const struct start *start)
{
    return upload->service == start->service && upload->bytes == start->total &&
           upload->chunk_bytes == (start->total == 0 ? 0 : start->chunk) &&
           upload->chunks == (start->total == 0 ? 0 : start->chunks) && slice_equal(upload_target(upload), start->path);
}

/* N-71, Q-40: what a group says to it. NULL and *same: it is there already; NULL without: it may begin. */
static const char *group_fault(const struct uploads *uploads, const struct start *start, struct upload **same)
{
    struct upload *other = NULL;
    while ((other = upload_next_of_group(uploads, other, start->user, start->place.group)) != NULL) {
        if (other->total_files != start->total_files)
            return "total_files differs from the group's";
        if (other->service != start->service)
            return "service_id differs from the group's";
        if (other->file_index != start->place.file_index)
            continue;
        if (other->state == UPLOAD_DONE)
            return "File is already complete";
        if (!is_same(other, start))
            return "Upload already open with other values";
        *same = other;
        return NULL;
    }
    return NULL;
}

static uint64_t silent_ms(const struct uploads *uploads, const struct upload *upload)
{
    return uploads->wall_ms > upload->heard_ms ? uploads->wall_ms - upload->heard_ms : 0;
}

/* a place among the user's. */
static const char *make_room(struct uploads *uploads, const struct depot_request *request)
{
    struct slice user = user_of(request);
    static const char fault[] = "Too many open uploads";
    struct upload *longest = NULL;
    uint32_t count = 0;
    for (struct list_node *node = list_first(&uploads->open); node != NULL; node = list_next(&uploads->open, node)) {
        struct upload *upload = list_entry(node, struct upload, node);
        if (!slice_equal(upload_user(upload), user))
            continue;
        count++;
        if (upload->ticket == 0 && (longest == NULL || upload->heard_ms < longest->heard_ms))
            longest = upload;
    }
    if (count >= load_be32(request->head.data)) {
        if (longest == NULL || silent_ms(uploads, longest) < UPLOAD_ENDS_SILENT_MS)
            return fault;
        return upload_drop(uploads, longest) == 0 ? NULL : "Failed to write to disk";
    }
    return uploads->open_count < UPLOAD_OPEN_MAX ? NULL : fault;
}

/* N-56: what all open ones still want is taken as if it were used. */
static const char *disk_fault(struct uploads *uploads, const struct start *start)
{
    char memory[24];
    struct buf folder = buf_of(memory, sizeof memory);
    uint64_t room;
    buf_put_u64(&folder, start->service);
    int error = uploads->disk->look(uploads->disk->user, buf_slice(&folder), start->path);
    if (error == 0)
        error = uploads->disk->room(uploads->disk->user, &room);
    if (error != 0)
        return disk_error(error);
    return room < uploads->reserved || room - uploads->reserved < start->total ? disk_error(-ENOSPC) : NULL;
}

/* The session of a start that nothing speaks against. */
static const char *begin(struct uploads *uploads, const struct depot_request *request, const struct start *start,
                         struct upload **out)
{
    uint32_t chunks = start->total == 0 ? 0 : (uint32_t)start->chunks;
    struct upload *upload = upload_make(start->user, start->place.group, start->path, chunks);
    if (upload == NULL)
        return disk_error(-ENOMEM);
    struct buf id = buf_of(upload->id, UPLOAD_ID_BYTES);
    buf_put_text(&id, "session-");
    bool named = make_uuid(uploads, &id);
    upload->connection = request->connection;
    upload->heard_ms = uploads->wall_ms;
    upload->service = start->service;
    upload->bytes = start->total;
    upload->chunk_bytes = start->total == 0 ? 0 : start->chunk;
    upload->file_index = (uint32_t)start->place.file_index;
    upload->total_files = (uint32_t)start->total_files;
    if (!upload_add(uploads, upload))
        return disk_error(-ENOMEM);
    int error = named ? uploads->disk->create(uploads->disk->user, upload->id) : -ENOMEM;
    if (error == 0)
        error = upload_keep(uploads, upload, UINT32_MAX);
    if (error != 0) {
        (void)upload_drop(uploads, upload);
        return disk_error(error);
    }
    *out = upload;
    return NULL;
}

/* N-54 */
static const char *service_fault(const struct depot_request *request)
{
    switch ((enum upload_service)request->head.data[UPLOAD_HEAD_BYTES - 1]) {
    case UPLOAD_SERVICE_KNOWN:
        return NULL;
    case UPLOAD_SERVICE_UNKNOWN:
        return "Service not found";
    case UPLOAD_SERVICE_UNCERTAIN:
        break;
    }
    return "Try again later";
}

static enum depot_answer on_start(struct uploads *uploads, const struct depot_request *request)
{
    struct start start = {.service = 0};
    struct upload *upload = NULL;
    const char *fault = take_start(uploads, request, &start);
    put_error(uploads, request->failure, slice_text(""), "UPLOAD_START_FAILED", "Failed to write to disk",
              &start.place);
    if (fault == NULL)
        fault = group_fault(uploads, &start, &upload);
    if (fault == NULL)
        fault = service_fault(request);
    if (fault == NULL && upload == NULL) {
        fault = disk_fault(uploads, &start);
        if (fault == NULL)
            fault = make_room(uploads, request);
        if (fault == NULL)
            fault = begin(uploads, request, &start, &upload);
    } else if (fault == NULL) {
        upload->heard_ms = uploads->wall_ms;
    }
    if (fault != NULL) {
        put_error(uploads, request->reply, slice_text(""), "UPLOAD_START_FAILED", fault, &start.place);
        return DEPOT_DONE;
    }
    put_progress(uploads, request->reply, upload, PROGRESS_START);
    return go_to_end(upload, request);
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

/* The session that a message names, if it is this user's and open (N-73). NULL: it has been answered. */
static struct upload *find_session(struct uploads *uploads, const struct depot_request *request,
                                   const struct json_member *id)
{
    char memory[UPLOAD_ID_BYTES * 6];
    struct buf space = buf_of(memory, sizeof memory);
    if (id->token != JSON_STRING) {
        invalid(uploads, request, "session_id must be a string");
        return NULL;
    }
    struct slice name = id->raw.bytes <= sizeof memory ? json_resolve(id->raw, id->escaped, &space) : slice_text("");
    struct upload *upload = upload_find(uploads, name);
    put_error(uploads, request->failure, name.bytes <= UPLOAD_ID_BYTES ? name : slice_text(""), "WRITE_FAILED",
              "Failed to write to disk", NULL);
    if (upload != NULL && slice_equal(upload_user(upload), user_of(request)))
        return upload;
    refuse(uploads, request, name.bytes <= 128 ? name : slice_text(""), "SESSION_NOT_FOUND",
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
    refuse(uploads, request, slice_text(upload->id), "SESSION_NOT_FOUND", "Upload session not found");
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
    return refuse(uploads, request, slice_text(upload->id), "WRITE_FAILED", text);
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
        return invalid(uploads, request, "expected session_id, chunk_index and data");
    struct upload *upload = find_open(uploads, request, &m[ID]);
    if (upload == NULL)
        return DEPOT_DONE;
    struct slice id = slice_text(upload->id);
    if (upload->paused)
        return refuse(uploads, request, id, "WRITE_FAILED", "Upload session is paused");
    if (!json_u64(m[INDEX].raw, &index) || index >= upload->chunks)
        return refuse(uploads, request, id, "WRITE_FAILED", "Chunk index out of range");
    if (!decode(request, &m[DATA], &data))
        return refuse(uploads, request, id, "INVALID_ENCODING", "data must be base64 with padding");
    if (data.bytes != upload_chunk_bytes(upload, index))
        return refuse_length(uploads, request, upload, upload_chunk_bytes(upload, index), data.bytes);
    upload->connection = request->connection; /* */
    upload->heard_ms = uploads->wall_ms;
    int error = upload_had(upload, index) ? 0 : take_chunk(uploads, upload, (uint32_t)index, data);
    if (error != 0)
        return refuse(uploads, request, id, "WRITE_FAILED", disk_error(error));
    put_progress(uploads, request->reply, upload, PROGRESS_PLAIN);
    return go_to_end(upload, request);
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
        return refuse(uploads, request, slice_text(upload->id), "WRITE_FAILED", disk_error(error));
    put_progress(uploads, request->reply, upload, paused ? PROGRESS_PAUSED : PROGRESS_RESUMED);
    return paused ? DEPOT_DONE : go_to_end(upload, request);
}

static enum depot_answer on_pause(struct uploads *uploads, const struct depot_request *request)
{
    struct json_member id;
    if (!take_id(request, &id))
        return invalid(uploads, request, "payload must be an object");
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
        return invalid(uploads, request, "payload must be an object");
    struct upload *upload = find_session(uploads, request, &id);
    if (upload == NULL)
        return DEPOT_DONE;
    if (upload->state ==
        UPLOAD_DONE) { /* its end may have been said to nobody: before a crash, or to a connection that was gone */
        put_complete(uploads, request->reply, upload);
        return DEPOT_DONE;
    }
    int fault = upload->state == UPLOAD_OPEN && upload->ticket == 0 ? look_at(uploads, upload) : 0;
    if (fault != 0 && fault != -ENOENT)
        return refuse(uploads, request, slice_text(upload->id), "WRITE_FAILED", disk_error(fault));
    if (fault != 0) {
        char name[UPLOAD_ID_BYTES + 1];
        memcpy(name, upload->id, sizeof name);
        (void)upload_drop(uploads, upload);
        return refuse(uploads, request, slice_text(name), "SESSION_RESTORE_FAILED",
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
        return on_start(uploads, request);
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
