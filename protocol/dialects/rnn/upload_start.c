/* SPDX-License-Identifier: MIT */
/* Owns the start of an upload: what it must have, its bounds, its group, its place among the user's, its session (N-52 to
 * N-58, N-71). Called by uploads.c. */
#include "protocol/dialects/rnn/uploads.h"

#include "protocol/json.h"

#include <errno.h>

struct start {
    struct slice user;
    uint64_t service, total, chunks, chunk;
    uint64_t total_files;
    struct upload_place place;
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
    start->user = upload_user_of(request);
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
    struct slice user = upload_user_of(request);
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
        return upload_disk_error(error);
    return room < uploads->reserved || room - uploads->reserved < start->total ? upload_disk_error(-ENOSPC) : NULL;
}

/* The session of a start that nothing speaks against. */
static const char *begin(struct uploads *uploads, const struct depot_request *request, const struct start *start,
                         struct upload **out)
{
    uint32_t chunks = start->total == 0 ? 0 : (uint32_t)start->chunks;
    struct upload *upload = upload_make(start->user, start->place.group, start->path, chunks);
    if (upload == NULL)
        return upload_disk_error(-ENOMEM);
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
        return upload_disk_error(-ENOMEM);
    int error = named ? uploads->disk->create(uploads->disk->user, upload->id) : -ENOMEM;
    if (error == 0)
        error = upload_keep(uploads, upload, UINT32_MAX);
    if (error != 0) {
        (void)upload_drop(uploads, upload);
        return upload_disk_error(error);
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

enum depot_answer upload_start(struct uploads *uploads, const struct depot_request *request)
{
    struct start start = {.service = 0};
    struct upload *upload = NULL;
    const char *fault = take_start(uploads, request, &start);
    upload_put_error(uploads, request->failure, slice_text(""), "UPLOAD_START_FAILED", "Failed to write to disk",
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
        upload_put_error(uploads, request->reply, slice_text(""), "UPLOAD_START_FAILED", fault, &start.place);
        return DEPOT_DONE;
    }
    upload_put_progress(uploads, request->reply, upload, PROGRESS_START);
    return upload_go_to_end(upload, request);
}
