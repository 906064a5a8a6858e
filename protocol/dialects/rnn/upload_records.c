/* SPDX-License-Identifier: MIT */
/* Owns the sessions of uploads: the lists that they are in, their records, and their ends by time. A session has one
 * record with all that does not change by a chunk, and one for each 32,768 chunks that shows which have come:
 *
 *     a ID              state, paused, ten numbers, digest, user, group, path
 *     b ID PIECE(u16)   up to UPLOAD_PIECE_BYTES bytes of bits
 *
 * It never answers anybody. Called by uploads.c and upload_end.c. */
#include "protocol/dialects/rnn/uploads.h"

#include "core/check.h"

#include <errno.h>
#include <stdlib.h>

#define FIXED_BYTES (2 + 10 * 8 + SHA256_TEXT_BYTES)
#define SWEEP_MS 60000
#define KEEPS_HEARD_MS 60000 /* a record is not put anew for a later time alone, unless it is later by so much */

/* --- making and ending -------------------------------------------------------------------------------------------- */

int uploads_open(void *state, const struct depot_disk *disk)
{
    struct uploads *uploads = state;
    struct siphash_key key;
    uploads->disk = disk;
    list_init(&uploads->open);
    list_init(&uploads->done);
    if (disk->entropy(disk->user, &key, sizeof key) != 0)
        return -ENOMEM;
    map_init(&uploads->by_id, key);
    return 0;
}

static void upload_free(struct upload *upload)
{
    free(upload->had);
    free(upload);
}

void uploads_close(void *state)
{
    struct uploads *uploads = state;
    struct upload *upload;
    size_t cursor = 0;
    while ((upload = map_next(&uploads->by_id, &cursor)) != NULL)
        upload_free(upload);
    map_free(&uploads->by_id);
    free(uploads->slice);
}

static size_t had_bytes(uint32_t chunks)
{
    return ((size_t)chunks + 7) / 8;
}

struct upload *upload_make(struct slice user, struct slice group, struct slice path, uint32_t chunks)
{
    size_t bytes = sizeof(struct upload) + user.bytes + group.bytes + path.bytes;
    struct upload *upload = aligned_alloc(_Alignof(struct upload), (bytes + 63) & ~(size_t)63);
    if (upload == NULL)
        return NULL;
    memset(upload, 0, bytes);
    if (chunks > 0 && (upload->had = calloc(1, had_bytes(chunks))) == NULL) {
        free(upload);
        return NULL;
    }
    struct buf texts = buf_of(upload->texts, user.bytes + group.bytes + path.bytes);
    buf_put(&texts, user);
    buf_put(&texts, group);
    buf_put(&texts, path);
    upload->user_bytes = user.bytes;
    upload->group_bytes = group.bytes;
    upload->path_bytes = path.bytes;
    upload->chunks = chunks;
    upload->changed = true;
    sha256_begin(&upload->sha);
    return upload;
}

static struct slice id_of(const struct upload *upload)
{
    return slice_of(upload->id, UPLOAD_ID_BYTES);
}

static bool add(struct uploads *uploads, struct upload *upload)
{
    if (map_put(&uploads->by_id, id_of(upload), upload) != 0) {
        upload_free(upload);
        return false;
    }
    if (upload->state == UPLOAD_DONE) {
        list_push_back(&uploads->done, &upload->node);
        uploads->done_count++;
    } else {
        list_push_back(&uploads->open, &upload->node);
        uploads->open_count++;
        uploads->reserved += upload->bytes - upload->received_bytes;
    }
    return true;
}

bool upload_add(struct uploads *uploads, struct upload *upload)
{
    return add(uploads, upload);
}

struct upload *upload_find(const struct uploads *uploads, struct slice id)
{
    return id.bytes == UPLOAD_ID_BYTES ? map_get(&uploads->by_id, id) : NULL;
}

static void take_out(struct uploads *uploads, struct upload *upload)
{
    list_remove(&upload->node);
    if (upload->state == UPLOAD_DONE) {
        uploads->done_count--;
    } else {
        uploads->open_count--;
        uploads->reserved -= upload->bytes - upload->received_bytes;
    }
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static struct slice key_of(const struct upload *upload, char kind, uint32_t piece, uint8_t memory[64])
{
    struct buf key = buf_of(memory, 64);
    buf_put_byte(&key, (uint8_t)kind);
    buf_put(&key, id_of(upload));
    if (kind == 'b') {
        buf_put_byte(&key, (uint8_t)(piece >> 8));
        buf_put_byte(&key, (uint8_t)piece);
    }
    return buf_slice(&key);
}

static void put_number(struct buf *out, uint64_t value)
{
    uint8_t bytes[8];
    store_be64(bytes, value);
    buf_put(out, slice_of(bytes, sizeof bytes));
}

static int put_record(struct uploads *uploads, struct upload *upload)
{
    static const char none[SHA256_TEXT_BYTES + 1];
    uint8_t key[64], memory[FIXED_BYTES + RNN_USER_BYTES_MAX + UPLOAD_GROUP_BYTES_MAX + UPLOAD_PATH_BYTES_MAX];
    struct buf out = buf_of(memory, sizeof memory);
    buf_put_byte(&out, (uint8_t)upload->state);
    buf_put_byte(&out, upload->paused);
    put_number(&out, upload->heard_ms);
    put_number(&out, upload->service);
    put_number(&out, upload->bytes);
    put_number(&out, upload->chunk_bytes);
    put_number(&out, upload->chunks);
    put_number(&out, upload->file_index);
    put_number(&out, upload->total_files);
    put_number(&out, upload->user_bytes);
    put_number(&out, upload->group_bytes);
    put_number(&out, upload->path_bytes);
    buf_put(&out, slice_of(upload->state == UPLOAD_OPEN ? none : upload->digest, SHA256_TEXT_BYTES));
    buf_put(&out, slice_of(upload->texts, upload->user_bytes + upload->group_bytes + upload->path_bytes));
    check(!out.overflow);
    upload->changed = false;
    upload->kept_ms = upload->heard_ms;
    return uploads->disk->put(uploads->disk->user, key_of(upload, 'a', 0, key), buf_slice(&out));
}

static struct slice piece_of(const struct upload *upload, uint32_t piece)
{
    size_t from = (size_t)piece * UPLOAD_PIECE_BYTES, all = had_bytes(upload->chunks);
    return slice_of(upload->had + from, all - from < UPLOAD_PIECE_BYTES ? all - from : UPLOAD_PIECE_BYTES);
}

int upload_keep(struct uploads *uploads, struct upload *upload, uint32_t chunk)
{
    uint8_t key[64];
    int error = 0;
    if (upload->changed || upload->heard_ms - upload->kept_ms >= KEEPS_HEARD_MS)
        error = put_record(uploads, upload);
    if (error != 0 || chunk == UINT32_MAX)
        return error;
    uint32_t piece = chunk / 8 / UPLOAD_PIECE_BYTES;
    return uploads->disk->put(uploads->disk->user, key_of(upload, 'b', piece, key), piece_of(upload, piece));
}

static int forget_chunks(struct uploads *uploads, const struct upload *upload)
{
    uint8_t key[64];
    for (uint32_t piece = 0; piece * (size_t)UPLOAD_PIECE_BYTES < had_bytes(upload->chunks); piece++) {
        int error = uploads->disk->forget(uploads->disk->user, key_of(upload, 'b', piece, key));
        if (error != 0)
            return error;
    }
    return 0;
}

static void forget_oldest_done(struct uploads *uploads)
{
    struct upload *oldest = list_entry(list_first(&uploads->done), struct upload, node);
    (void)upload_drop(uploads, oldest); /* an error is the transaction's */
}

int upload_finish(struct uploads *uploads, struct upload *upload)
{
    int error = forget_chunks(uploads, upload);
    if (error != 0)
        return error;
    take_out(uploads, upload);
    upload->state = UPLOAD_DONE;
    upload->heard_ms = uploads->wall_ms;
    free(upload->had);
    upload->had = NULL;
    list_push_back(&uploads->done, &upload->node);
    uploads->done_count++;
    if (uploads->done_count > UPLOAD_DONE_MAX)
        forget_oldest_done(uploads);
    return put_record(uploads, upload);
}

int upload_drop(struct uploads *uploads, struct upload *upload)
{
    uint8_t key[64];
    int error = upload->state == UPLOAD_DONE ? 0 : forget_chunks(uploads, upload);
    if (error == 0)
        error = uploads->disk->forget(uploads->disk->user, key_of(upload, 'a', 0, key));
    if (error == 0 && upload->state != UPLOAD_DONE)
        error = uploads->disk->remove(uploads->disk->user, upload->id);
    take_out(uploads, upload);
    map_remove(&uploads->by_id, id_of(upload));
    upload_free(upload);
    return error;
}

/* --- reading them again ------------------------------------------------------------------------------------------- */

/* Takes the numbers and texts apart; NULL: they do not fit together, or memory is out (*error). */
static struct upload *read_record(struct slice value, int *error)
{
    enum { HEARD, SERVICE, BYTES, CHUNK_BYTES, CHUNKS, FILE_INDEX, TOTAL_FILES, USER, GROUP, PATH, NUMBERS };
    uint64_t numbers[NUMBERS];
    *error = -EINVAL;
    if (value.bytes < FIXED_BYTES || value.data[0] > UPLOAD_DONE || value.data[1] > 1)
        return NULL;
    for (unsigned i = 0; i < NUMBERS; i++)
        numbers[i] = load_be64(value.data + 2 + 8 * i);
    const uint8_t *texts = value.data + FIXED_BYTES;
    size_t left = value.bytes - FIXED_BYTES;
    if (numbers[USER] > RNN_USER_BYTES_MAX || numbers[GROUP] > UPLOAD_GROUP_BYTES_MAX ||
        numbers[PATH] > UPLOAD_PATH_BYTES_MAX || numbers[USER] + numbers[GROUP] + numbers[PATH] != left ||
        numbers[CHUNKS] > UPLOAD_CHUNKS_MAX || numbers[BYTES] > UPLOAD_TOTAL_BYTES_MAX ||
        (numbers[CHUNKS] > 0 &&
         (numbers[CHUNK_BYTES] == 0 || (numbers[CHUNKS] - 1) * numbers[CHUNK_BYTES] >= numbers[BYTES])))
        return NULL;
    *error = -ENOMEM;
    bool done = value.data[0] == UPLOAD_DONE;
    struct upload *upload = upload_make(slice_of(texts, numbers[USER]), slice_of(texts + numbers[USER], numbers[GROUP]),
                                        slice_of(texts + numbers[USER] + numbers[GROUP], numbers[PATH]),
                                        done ? 0 : (uint32_t)numbers[CHUNKS]);
    if (upload == NULL)
        return NULL;
    upload->state = (enum upload_state)value.data[0];
    upload->paused = value.data[1] == 1;
    upload->heard_ms = upload->kept_ms = numbers[HEARD];
    upload->service = numbers[SERVICE];
    upload->bytes = numbers[BYTES];
    upload->chunk_bytes = numbers[CHUNK_BYTES];
    upload->chunks = (uint32_t)numbers[CHUNKS];
    upload->file_index = (uint32_t)numbers[FILE_INDEX];
    upload->total_files = (uint32_t)numbers[TOTAL_FILES];
    memcpy(upload->digest, value.data + 2 + 8 * NUMBERS, SHA256_TEXT_BYTES);
    upload->changed = false;
    if (done) {
        upload->received = upload->chunks;
        upload->received_bytes = upload->bytes;
    }
    return upload;
}

static int load_session(struct uploads *uploads, struct slice id, struct slice value)
{
    int error;
    struct upload *upload = read_record(value, &error);
    if (upload == NULL)
        return error;
    memcpy(upload->id, id.data, UPLOAD_ID_BYTES);
    upload->paused |= upload->state == UPLOAD_OPEN; /* its connection ended with the process (N-67) */
    return add(uploads, upload) ? 0 : -ENOMEM;
}

static void count_chunks(struct uploads *uploads, struct upload *upload, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (!upload_had(upload, i))
            continue;
        upload->received++;
        upload->received_bytes += upload_chunk_bytes(upload, i);
        uploads->reserved -= upload_chunk_bytes(upload, i);
    }
}

static int load_piece(struct uploads *uploads, struct slice key, struct slice value)
{
    struct upload *upload = upload_find(uploads, slice_of(key.data, UPLOAD_ID_BYTES));
    uint32_t piece = (uint32_t)key.data[UPLOAD_ID_BYTES] << 8 | key.data[UPLOAD_ID_BYTES + 1];
    if (upload == NULL || upload->had == NULL || piece * (size_t)UPLOAD_PIECE_BYTES >= had_bytes(upload->chunks) ||
        value.bytes != piece_of(upload, piece).bytes)
        return -EINVAL;
    memcpy(upload->had + piece * (size_t)UPLOAD_PIECE_BYTES, value.data, value.bytes);
    if (upload->chunks % 8 != 0) /* bits of no chunk */
        upload->had[upload->chunks / 8] &= (uint8_t)((1U << upload->chunks % 8) - 1);
    uint32_t from = piece * 8 * UPLOAD_PIECE_BYTES, to = from + (uint32_t)value.bytes * 8;
    count_chunks(uploads, upload, from, to < upload->chunks ? to : upload->chunks);
    return 0;
}

int uploads_load(void *state, struct slice key, struct slice value, const char **why)
{
    int error = -EINVAL;
    *why = "is no session of an upload";
    if (key.bytes == 1 + UPLOAD_ID_BYTES && key.data[0] == 'a')
        error = load_session(state, slice_skip(key, 1), value);
    else if (key.bytes == 1 + UPLOAD_ID_BYTES + 2 && key.data[0] == 'b')
        error = load_piece(state, slice_skip(key, 1), value);
    return error;
}

/* --- groups and time ---------------------------------------------------------------------------------------------- */

static bool is_of(const struct upload *upload, struct slice user, struct slice group)
{
    return slice_equal(upload_group(upload), group) && slice_equal(upload_user(upload), user);
}

struct upload *upload_next_of_group(const struct uploads *uploads, struct upload *after, struct slice user,
                                    struct slice group)
{
    bool done = after != NULL && after->state == UPLOAD_DONE;
    const struct list *list = done ? &uploads->done : &uploads->open;
    struct list_node *node = after == NULL ? list_first(list) : list_next(list, &after->node);
    for (;;) {
        for (; node != NULL; node = list_next(list, node))
            if (is_of(list_entry(node, struct upload, node), user, group))
                return list_entry(node, struct upload, node);
        if (list == &uploads->done)
            return NULL;
        list = &uploads->done;
        node = list_first(list);
    }
}

/* Sessions that nobody has said anything to: paused after half an hour, gone a day later, and with them the memory of those that are
 * done (N-67, Q-49). Errors are the transaction's. */
void uploads_sweep(struct uploads *uploads)
{
    uploads->next_sweep_ms = uploads->now_ms + SWEEP_MS;
    struct list_node *node = list_first(&uploads->open), *next;
    for (; node != NULL; node = next) {
        struct upload *upload = list_entry(node, struct upload, node);
        next = list_next(&uploads->open, node);
        uint64_t silent_ms = uploads->wall_ms > upload->heard_ms ? uploads->wall_ms - upload->heard_ms : 0;
        if (upload->ticket != 0)
            continue;
        if (silent_ms >= UPLOAD_FORGOTTEN_MS + (upload->paused ? 0 : UPLOAD_PAUSES_SILENT_MS)) {
            (void)upload_drop(uploads, upload);
        } else if (!upload->paused && silent_ms >= UPLOAD_PAUSES_SILENT_MS) {
            upload->paused = upload->changed = true;
            (void)upload_keep(uploads, upload, UINT32_MAX);
        }
    }
    while ((node = list_first(&uploads->done)) != NULL) {
        struct upload *upload = list_entry(node, struct upload, node);
        if (uploads->wall_ms < upload->heard_ms + UPLOAD_FORGOTTEN_MS)
            return;
        (void)upload_drop(uploads, upload);
    }
}
