/* SPDX-License-Identifier: MIT */
/* Uploads of the dialect rnn (5.5), as their files share them. They are a depot: blocking code beside the shards.
 *
 *   uploads.c         requests: chunk, pause, resume
 *   upload_start.c    requests to begin
 *   upload_answers.c  what is said
 *   upload_end.c      the end of a file: its hash, its place
 *   upload_records.c  sessions, what of them is kept, groups, and those that end by time
 *   upload_path.c     where a file goes
 *
 * A session is active for one connection, or paused. Files in the making are named by their session's id. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_UPLOADS_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_UPLOADS_H

#include "core/list.h"
#include "core/map.h"
#include "protocol/depot.h"
#include "protocol/dialects/rnn/rnn.h"
#include "protocol/dialects/rnn/upload_path.h"
#include "protocol/sha256.h"

#define UPLOAD_ID_BYTES 44 /* session-UUID */
#define UPLOAD_CHUNK_BYTES_MAX 7340032U
#define UPLOAD_TOTAL_BYTES_MAX (UINT64_C(10) << 30)
#define UPLOAD_CHUNKS_MAX (1U << 20)
#define UPLOAD_FILES_MAX 100000U         /* of a group */
#define UPLOAD_GROUP_BYTES_MAX 256U      /* of its id */
#define UPLOAD_OPEN_MAX 4096U            /* of all users together */
#define UPLOAD_DONE_MAX 16384U           /* that are remembered; the oldest one goes */
#define UPLOAD_PIECE_BYTES 4096U         /* of a record of chunks: 32,768 of them */
#define UPLOAD_ENDS_SILENT_MS 600000U    /* who may be ended for a new one */
#define UPLOAD_PAUSES_SILENT_MS 1800000U /* N-67 */
#define UPLOAD_FORGOTTEN_MS 86400000U    /* N-67, Q-49 */
#define UPLOAD_SLICE_BYTES (8U << 20)    /* read for a hash between other requests */

/* The head of each: how many uploads a user may have open (u32), a byte: whether a start's service is in the table, and the
 * user. */
#define UPLOAD_HEAD_BYTES 5
enum upload_request { UPLOAD_START = 1, UPLOAD_CHUNK, UPLOAD_PAUSE, UPLOAD_RESUME };
enum upload_service { UPLOAD_SERVICE_KNOWN, UPLOAD_SERVICE_UNKNOWN, UPLOAD_SERVICE_UNCERTAIN };

enum upload_state {
    UPLOAD_OPEN,
    UPLOAD_PLACING, /* whole and hashed: on its way to its place, also after a restart */
    UPLOAD_DONE,    /* its group is remembered */
};

struct upload {
    struct list_node node;
    enum upload_state state;
    bool paused;
    bool changed;        /* its record is to be put */
    uint64_t connection; /* for which it is active; 0: it has been read from the disk */
    uint64_t ticket;     /* of the request that waits for its end; 0: none */
    uint64_t heard_ms;   /* wall clock, of the last message; of one that is done: when it was */
    uint64_t kept_ms;    /* heard_ms as it is on the disk */
    uint64_t service;
    uint64_t bytes, chunk_bytes; /* of the file, of all chunks but the last */
    uint32_t chunks, received;
    uint64_t received_bytes;
    uint32_t file_index, total_files;
    uint64_t hashed; /* bytes that are in `sha`, from the first on */
    struct sha256 sha;
    uint8_t *had; /* a bit for each chunk; NULL: none is needed */
    char digest[SHA256_TEXT_BYTES + 1];
    char id[UPLOAD_ID_BYTES + 1];
    size_t user_bytes, group_bytes, path_bytes;
    uint8_t texts[]; /* user, group, path, one behind the other */
};

struct uploads {
    const struct depot_disk *disk;
    struct list open, done; /* done: the oldest first */
    uint32_t open_count, done_count;
    struct map by_id;  /* of both */
    uint64_t reserved; /* bytes that open ones still want */
    uint64_t now_ms, wall_ms;
    uint64_t next_sweep_ms;
    uint8_t *slice; /* UPLOAD_SLICE_BYTES, for hashes; NULL until it is used */
};

static inline struct slice upload_user(const struct upload *upload)
{
    return slice_of(upload->texts, upload->user_bytes);
}

static inline struct slice upload_group(const struct upload *upload)
{
    return slice_of(upload->texts + upload->user_bytes, upload->group_bytes);
}

static inline struct slice upload_target(const struct upload *upload)
{
    return slice_of(upload->texts + upload->user_bytes + upload->group_bytes, upload->path_bytes);
}

/* Whose request it is. */
static inline struct slice upload_user_of(const struct depot_request *request)
{
    return slice_skip(request->head, UPLOAD_HEAD_BYTES);
}

/* How long chunk `index` is. */
static inline uint64_t upload_chunk_bytes(const struct upload *upload, uint64_t index)
{
    return index + 1 < upload->chunks ? upload->chunk_bytes : upload->bytes - index * upload->chunk_bytes;
}

static inline bool upload_had(const struct upload *upload, uint64_t index)
{
    return upload->had != NULL && (upload->had[index / 8] >> index % 8 & 1) != 0;
}

/* --- upload_records.c --------------------------------------------------------------------------------------------- */

int uploads_open(void *state, const struct depot_disk *disk);
void uploads_close(void *state);
int uploads_load(void *state, struct slice key, struct slice value, const char **why);
/* Puts what has changed of it: its own record, and the piece that `chunk` belongs to (UINT32_MAX: none). 0 or -errno. */
int upload_keep(struct uploads *uploads, struct upload *upload, uint32_t chunk);
/* A session with room for its texts and chunks, in no list; NULL: memory is out. */
struct upload *upload_make(struct slice user, struct slice group, struct slice path, uint32_t chunks);
/* It is one of the open ones. False: memory is out, and it is gone. */
bool upload_add(struct uploads *uploads, struct upload *upload);
struct upload *upload_find(const struct uploads *uploads, struct slice id);
/* It is done: its chunks are forgotten, its group is not. 0 or -errno. */
int upload_finish(struct uploads *uploads, struct upload *upload);
/* It is gone, with its file. 0 or -errno. */
int upload_drop(struct uploads *uploads, struct upload *upload);
/* The next one of a user's group, open ones first; `after` NULL: the first. */
struct upload *upload_next_of_group(const struct uploads *uploads, struct upload *after, struct slice user,
                                    struct slice group);
void uploads_sweep(struct uploads *uploads);

/* --- upload_end.c ------------------------------------------------------------------------------------------------- */

/* Bytes that have come in order go into the hash: `data` of a chunk at `offset` from memory, what stands behind it on the disk from there,
 * a slice at most. What fails here is done at the end. */
void upload_hash(struct uploads *uploads, struct upload *upload, uint64_t offset, struct slice data);
/* One step to its end. 1: it is done; 0: call again behind a commit; or -errno, and it stays open. */
int upload_end(struct uploads *uploads, struct upload *upload);

/* --- upload_answers.c --------------------------------------------------------------------------------------------- */

/* What of a start is repeated in its answers (N-53, N-74). */
struct upload_place {
    struct slice group; /* raw JSON text of the string, or no bytes */
    uint64_t file_index;
};

/* N-74. `place`: of a start; else NULL. */
void upload_put_error(const struct uploads *uploads, struct buf *out, struct slice id, const char *code,
                      const char *error, const struct upload_place *place);
/* The two as the whole answer: N-15, and N-74. */
enum depot_answer upload_invalid(const struct uploads *uploads, const struct depot_request *request, const char *error);
enum depot_answer upload_refuse(const struct uploads *uploads, const struct depot_request *request, struct slice id,
                                const char *code, const char *error);

enum progress { PROGRESS_PLAIN, PROGRESS_START, PROGRESS_PAUSED, PROGRESS_RESUMED };

/* N-60, N-64, N-66 */
void upload_put_progress(const struct uploads *uploads, struct buf *out, const struct upload *upload,
                         enum progress kind);
/* N-69, N-72 */
void upload_put_complete(const struct uploads *uploads, struct buf *out, const struct upload *upload);
/* What a failed disk is called. */
const char *upload_disk_error(int error);

/* --- upload_start.c ----------------------------------------------------------------------------------------------- */

enum depot_answer upload_start(struct uploads *uploads, const struct depot_request *request);

/* --- uploads.c ---------------------------------------------------------------------------------------------------- */

/* Whether all of it is there, and the request waits for the end. */
enum depot_answer upload_go_to_end(struct upload *upload, const struct depot_request *request);
extern const struct depot rnn_uploads;

#endif
