/* SPDX-License-Identifier: MIT */
/* Owns the content of uploads, and the bare loop over it: what a server cannot leave out of an upload, without a server.
 * It never connects. Called by the command and by the links. */
#include "bench/bench_upload.h"

#include "core/clock.h"
#include "core/random.h"
#include "protocol/base64.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SEED 20240123U

static bool make_text(struct slice bytes, struct slice *text)
{
    size_t capacity = (bytes.bytes + 2) / 3 * 4;
    uint8_t *memory = malloc(capacity > 0 ? capacity : 1);
    struct buf out = buf_of(memory, capacity);
    if (memory == NULL)
        return false;
    base64_encode(bytes, &out);
    *text = buf_slice(&out);
    return true;
}

int upload_content_make(struct upload_content *content, uint64_t bytes, uint64_t chunk_bytes)
{
    struct random random;
    struct sha256 sha;
    *content = (struct upload_content){.bytes = bytes, .chunk_bytes = chunk_bytes};
    content->chunks = (bytes + chunk_bytes - 1) / chunk_bytes;
    uint64_t last_bytes = bytes - (content->chunks - 1) * chunk_bytes;
    uint8_t *chunk = malloc(chunk_bytes + 8);
    if (chunk == NULL)
        return -ENOMEM;
    random_init(&random, SEED);
    for (uint64_t i = 0; i < chunk_bytes; i += 8)
        store_be64(chunk + i, random_u64(&random));
    sha256_begin(&sha);
    for (uint64_t i = 0; i + 1 < content->chunks; i++)
        sha256_add(&sha, slice_of(chunk, chunk_bytes));
    sha256_add(&sha, slice_of(chunk, last_bytes));
    sha256_end(&sha, content->hash);
    bool made = make_text(slice_of(chunk, chunk_bytes), &content->text) &&
                make_text(slice_of(chunk, last_bytes), &content->last_text);
    free(chunk);
    return made ? 0 : -ENOMEM;
}

void upload_content_free(struct upload_content *content)
{
    free((void *)(uintptr_t)content->text.data);
    free((void *)(uintptr_t)content->last_text.data);
}

struct slice upload_content_text(const struct upload_content *content, uint64_t index)
{
    return index + 1 == content->chunks ? content->last_text : content->text;
}

/* 0 or a negative errno. */
static int write_all(int file, struct slice bytes, uint64_t offset)
{
    while (bytes.bytes > 0) {
        ssize_t written = pwrite(file, bytes.data, bytes.bytes, (off_t)offset);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            bytes = slice_skip(bytes, (size_t)written);
            offset += (uint64_t)written;
        }
    }
    return 0;
}

/* All chunks into the open file. 0 or a negative errno. */
static int pass(const struct upload_content *content, int file, uint8_t *memory, bool synced)
{
    char hash[SHA256_TEXT_BYTES + 1];
    struct sha256 sha;
    sha256_begin(&sha);
    for (uint64_t i = 0; i < content->chunks; i++) {
        struct buf out = buf_of(memory, content->chunk_bytes);
        if (!base64_decode(upload_content_text(content, i), &out))
            return -EILSEQ;
        sha256_add(&sha, buf_slice(&out));
        int error = write_all(file, buf_slice(&out), i * content->chunk_bytes);
        if (error == 0 && synced && fdatasync(file) != 0)
            error = -errno;
        if (error != 0)
            return error;
    }
    sha256_end(&sha, hash);
    if (fsync(file) != 0)
        return -errno;
    return strcmp(hash, content->hash) == 0 ? 0 : -EBADMSG;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

int64_t upload_bare(const struct upload_content *content, const char *folder, bool synced, uint64_t *cpu_ns)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/ringcast-bench.upload", folder) >= (int)sizeof path)
        return -ENAMETOOLONG;
    uint8_t *memory = malloc(content->chunk_bytes);
    int file = memory == NULL ? -1 : open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0) {
        int error = memory == NULL ? ENOMEM : errno;
        free(memory);
        return -error;
    }
    uint64_t begin_ns = clock_monotonic_ns(), before_ns = thread_cpu_ns();
    int error = pass(content, file, memory, synced);
    uint64_t end_ns = clock_monotonic_ns();
    *cpu_ns = thread_cpu_ns() - before_ns;
    close(file);
    unlink(path);
    free(memory);
    return error != 0 ? error : (int64_t)(end_ns - begin_ns);
}
