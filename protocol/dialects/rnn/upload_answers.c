/* SPDX-License-Identifier: MIT */
/* Owns what is said of uploads: progress, ends, errors, as messages one behind the other. It decides nothing. Called by
 * uploads.c and upload_start.c. */
#include "protocol/dialects/rnn/uploads.h"

#include "protocol/json.h"

#include <errno.h>

#define MISSING_MAX 1000 /* that a resume lists (N-66) */
#define PER_CENT 10000   /* a percentage has two digits behind the point */

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

static void put_place(struct buf *out, const struct upload_place *place)
{
    buf_put_text(out, ",\"upload_group_id\":");
    json_put_string(out, place->group);
    buf_put_text(out, ",\"file_index\":");
    buf_put_u64(out, place->file_index);
}

void upload_put_error(const struct uploads *uploads, struct buf *out, struct slice id, const char *code,
                      const char *error, const struct upload_place *place)
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

enum depot_answer upload_invalid(const struct uploads *uploads, const struct depot_request *request, const char *error)
{
    size_t mark = begin_message(request->reply, "error");
    buf_put_text(request->reply, "{\"error\":");
    json_put_string(request->reply, slice_text(error));
    buf_put_text(request->reply, ",\"code\":\"INVALID_PAYLOAD\"}");
    end_message(uploads, request->reply, mark);
    return DEPOT_DONE;
}

enum depot_answer upload_refuse(const struct uploads *uploads, const struct depot_request *request, struct slice id,
                                const char *code, const char *error)
{
    upload_put_error(uploads, request->reply, id, code, error, NULL);
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

void upload_put_progress(const struct uploads *uploads, struct buf *out, const struct upload *upload,
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
        put_place(out, &(struct upload_place){upload_group(upload), upload->file_index});
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

void upload_put_complete(const struct uploads *uploads, struct buf *out, const struct upload *upload)
{
    size_t mark = begin_message(out, "file.upload.complete");
    buf_put_text(out, "{\"session_id\":\"");
    buf_put_text(out, upload->id);
    buf_put_text(out, "\",\"file_hash\":\"sha256:");
    buf_put_text(out, upload->digest);
    buf_put_text(out, completes_group(uploads, upload) ? "\",\"group_complete\":true}" : "\"}");
    end_message(uploads, out, mark);
}

const char *upload_disk_error(int error)
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
