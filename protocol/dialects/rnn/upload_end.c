/* SPDX-License-Identifier: MIT */
/* Owns the end of a file: the hash over all of it, which runs along while chunks come in order, and its place. Called by
 * uploads.c and, for files that were on their way when the process ended, by itself. */
#include "protocol/dialects/rnn/uploads.h"

#include "core/check.h"

#include <errno.h>
#include <stdlib.h>

/* Where the bytes end that are there without a gap from `from` on, a slice at most. */
static uint64_t contiguous(const struct upload *upload, uint64_t from)
{
    uint64_t at = from, index = from / upload->chunk_bytes;
    while (index < upload->chunks && upload_had(upload, index) && at - from < UPLOAD_SLICE_BYTES) {
        at = index * upload->chunk_bytes + upload_chunk_bytes(upload, index);
        index++;
    }
    return at - from < UPLOAD_SLICE_BYTES ? at : from + UPLOAD_SLICE_BYTES;
}

/* A slice from the disk. */
static int hash_more(struct uploads *uploads, struct upload *upload)
{
    uint64_t end = upload->hashed == upload->bytes ? upload->hashed : contiguous(upload, upload->hashed);
    if (end == upload->hashed)
        return 0;
    if (uploads->slice == NULL && (uploads->slice = malloc(UPLOAD_SLICE_BYTES)) == NULL)
        return -ENOMEM;
    struct buf out = buf_of(uploads->slice, (size_t)(end - upload->hashed));
    int error = uploads->disk->read(uploads->disk->user, upload->id, upload->hashed, &out);
    if (error == 0 && out.used < out.capacity)
        error = -EIO; /* shorter than what was written */
    if (error != 0)
        return error;
    sha256_add(&upload->sha, buf_slice(&out));
    upload->hashed = end;
    return 0;
}

int upload_hash(struct uploads *uploads, struct upload *upload, uint64_t offset, struct slice data)
{
    if (offset == upload->hashed) {
        sha256_add(&upload->sha, data);
        upload->hashed += data.bytes;
    }
    return hash_more(uploads, upload);
}

static int place(struct uploads *uploads, struct upload *upload)
{
    char memory[24];
    struct buf folder = buf_of(memory, sizeof memory);
    buf_put_u64(&folder, upload->service);
    return uploads->disk->place(uploads->disk->user, upload->id, buf_slice(&folder), upload_target(upload));
}

/* Whether the file is no longer in the making: it was put in its place before the process ended. */
static bool is_gone(struct uploads *uploads, const struct upload *upload)
{
    uint64_t bytes;
    return uploads->disk->length(uploads->disk->user, upload->id, &bytes) == -ENOENT;
}

int upload_end(struct uploads *uploads, struct upload *upload)
{
    int error;
    if (upload->state == UPLOAD_DONE)
        return 1;
    if (upload->state == UPLOAD_PLACING) {
        error = is_gone(uploads, upload) ? 0 : place(uploads, upload);
        if (error == 0)
            error = upload_finish(uploads, upload);
        else
            upload->state = UPLOAD_OPEN; /* as the disk shows at the next commit */
        if (error == 0)
            return 1;
        upload->changed = true;
        int kept = upload_keep(uploads, upload, UINT32_MAX);
        return kept != 0 ? kept : error;
    }
    if (upload->hashed < upload->bytes)
        return hash_more(uploads, upload);
    if (upload->digest[0] == '\0')
        sha256_end(&upload->sha, upload->digest);
    upload->state = UPLOAD_PLACING;
    upload->changed = true;
    return upload_keep(uploads, upload, UINT32_MAX);
}
