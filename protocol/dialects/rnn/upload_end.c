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

void upload_hash(struct uploads *uploads, struct upload *upload, uint64_t offset, struct slice data)
{
    if (offset == upload->hashed) {
        sha256_add(&upload->sha, data);
        upload->hashed += data.bytes;
    }
    (void)hash_more(uploads, upload); /* what cannot be read now is read at the end */
}

static int place(struct uploads *uploads, struct upload *upload)
{
    char memory[24];
    struct buf folder = buf_of(memory, sizeof memory);
    buf_put_u64(&folder, upload->service);
    return uploads->disk->place(uploads->disk->user, upload->id, buf_slice(&folder), upload_target(upload));
}

/* Whether the file is still in the making for sure; else it may be in its place, and only `place` knows. */
static bool is_in_the_making(struct uploads *uploads, const struct upload *upload)
{
    uint64_t bytes;
    return uploads->disk->length(uploads->disk->user, upload->id, &bytes) == 0;
}

/* It was to be placed, which failed: it is open again, as far as the disk shows. */
static int reopen(struct uploads *uploads, struct upload *upload, int error)
{
    if (error != -ENOENT && !is_in_the_making(uploads, upload))
        return error;
    upload->state = UPLOAD_OPEN;
    upload->changed = true;
    int kept = upload_keep(uploads, upload, UINT32_MAX);
    return kept != 0 ? kept : error;
}

int upload_end(struct uploads *uploads, struct upload *upload)
{
    int error;
    if (upload->state == UPLOAD_DONE)
        return 1;
    if (upload->state == UPLOAD_PLACING) {
        error = place(uploads, upload);
        if (error != 0)
            return reopen(uploads, upload, error);
        error = upload_finish(uploads, upload);
        return error == 0 ? 1 : error;
    }
    if (upload->hashed < upload->bytes)
        return hash_more(uploads, upload);
    if (upload->digest[0] == '\0')
        sha256_end(&upload->sha, upload->digest);
    upload->state = UPLOAD_PLACING;
    upload->changed = true;
    return upload_keep(uploads, upload, UINT32_MAX);
}
