/* SPDX-License-Identifier: MIT */
/* Uploads to a node (dialect rnn, file.upload.*): what is sent, one connection that sends it, and the loop that does nothing
 * but what cannot be left out: decode, hash, write. */
#ifndef RINGCAST_BENCH_UPLOAD_H
#define RINGCAST_BENCH_UPLOAD_H

#include "bench/bench_url.h"
#include "core/histogram.h"
#include "protocol/sha256.h"

#include <pthread.h>

#define UPLOAD_CHUNK_BYTES_MAX 7340032U

/* What every connection uploads: chunks of the same bytes, the last one shorter. */
struct upload_content {
    uint64_t bytes, chunk_bytes;
    uint64_t chunks;
    struct slice text, last_text; /* base64 of a chunk, and of the last one */
    char hash[SHA256_TEXT_BYTES + 1];
};

/* 0 or -ENOMEM. */
int upload_content_make(struct upload_content *content, uint64_t bytes, uint64_t chunk_bytes);
void upload_content_free(struct upload_content *content);
/* The text of chunk `index`. */
struct slice upload_content_text(const struct upload_content *content, uint64_t index);

/* One connection and its file, for a thread of its own. */
struct upload_link {
    const struct url *url;
    const struct upload_content *content;
    const char *token;
    pthread_barrier_t *start; /* all are connected and have a session */
    uint64_t service, window;
    uint32_t number;
    /* results */
    char failure[256]; /* "": none */
    uint64_t begin_ns, end_ns;
    struct histogram chunk_ns; /* from the first byte sent to the progress that answers it */
};

/* The function of such a thread: connects, starts, waits for the others, uploads, and compares the hash. */
void *upload_link_run(void *link);

/* Decodes, hashes and writes the same bytes to a file in the folder, which is removed; `synced`: each chunk is on the disk
 * before the next one. Nanoseconds, or a negative errno; *cpu_ns: how many of them on a CPU. */
int64_t upload_bare(const struct upload_content *content, const char *folder, bool synced, uint64_t *cpu_ns);

/* The command: arguments behind "upload". Its exit code. */
int upload_command(int count, char **arguments);

#endif
