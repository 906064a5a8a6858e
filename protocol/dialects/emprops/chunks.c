/* SPDX-License-Identifier: MIT */
/* Owns the messages of one connection that come in pieces (E-75 to E-79, Q-30): collects them, bounds them, checks the
 * hash, and gives the whole to requests.c. The memory of all connections is counted at the hub, which is asked for
 * each piece. It never knows what a message means. requests.c hands pieces on to it, emprops.c answers and time.
 *
 * Index 0 says that they count from 0, index N that they count from 1; so there are N + 1 places, and N pieces make
 * the whole. */
#include "protocol/action.h"
#include "protocol/dialects/emprops/session.h"

#include "core/check.h"
#include "protocol/base64.h"
#include "protocol/sha256.h"

#include <stdlib.h>

#define ASSEMBLIES_MAX 4 /* E-77 */
#define PIECES_MAX 10000 /* E-76 */
#define FRAME_BYTES 2048 /* of chunked_message_complete besides the message */

struct piece {
    uint8_t *data; /* NULL: not here */
    size_t bytes;
};

struct assembly {
    char *id; /* as written, without quotes; NULL: the place is free */
    size_t id_bytes;
    char hash[SHA256_TEXT_BYTES];
    char type[64]; /* original_type */
    uint32_t total, count;
    size_t bytes;
    uint64_t last_ms;
    struct piece *pieces; /* total + 1 */
};

struct chunks {
    struct assembly all[ASSEMBLIES_MAX];
    uint32_t newest; /* that the hub has been asked about */
};

static void drop(struct assembly *one)
{
    for (uint32_t i = 0; one->pieces != NULL && i <= one->total; i++)
        free(one->pieces[i].data);
    free(one->pieces);
    free(one->id);
    *one = (struct assembly){.id = NULL};
}

void emprops_chunks_free(struct emprops_session *session)
{
    for (uint32_t i = 0; session->chunks != NULL && i < ASSEMBLIES_MAX; i++)
        drop(&session->chunks->all[i]);
    free(session->chunks);
    session->chunks = NULL;
}

uint64_t emprops_chunks_bytes(const struct emprops_session *session)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; session->chunks != NULL && i < ASSEMBLIES_MAX; i++)
        bytes += session->chunks->all[i].bytes;
    return bytes;
}

/* Discards the assembly (NULL: there is none) and says why. */
static void fail(struct dialect_call *call, struct assembly *one, enum message_fault fault, struct slice id,
                 const char *field, const char *what, struct slice request_id)
{
    uint8_t memory[2048];
    struct emprops_session *session = call->session;
    struct buf details = buf_of(memory, sizeof memory);
    buf_put_text(&details, "{\"chunk_id\":\"");
    buf_put(&details, id.bytes > 1024 ? slice_of(NULL, 0) : id);
    buf_put_byte(&details, '"');
    if (field != NULL) {
        message_literal(&details, "field", field);
        message_literal(&details, "message", what);
    }
    buf_put_byte(&details, '}');
    emprops_error(call, fault, buf_slice(&details), request_id);
    if (one != NULL) {
        session->unreserve = session->unreserve || one->bytes > 0;
        drop(one);
    }
}

static struct assembly *find(struct chunks *chunks, struct slice id)
{
    for (uint32_t i = 0; i < ASSEMBLIES_MAX; i++) {
        struct assembly *one = &chunks->all[i];
        if (one->id != NULL && slice_equal(slice_of(one->id, one->id_bytes), id))
            return one;
    }
    return NULL;
}

/* Hexadecimal digits of the hash in lower case, without its prefix; false: it is none. */
static bool read_hash(const struct json_member *member, char hash[SHA256_TEXT_BYTES])
{
    struct slice raw = member->raw;
    if (member->token != JSON_STRING || member->escaped)
        return false;
    if (slice_starts(raw, slice_text("sha256:")))
        raw = slice_skip(raw, 7);
    for (size_t i = 0; i < raw.bytes && raw.bytes == SHA256_TEXT_BYTES; i++) {
        hash[i] = (char)ascii_lower(raw.data[i]);
        if (!((hash[i] >= '0' && hash[i] <= '9') || (hash[i] >= 'a' && hash[i] <= 'f')))
            return false;
    }
    return raw.bytes == SHA256_TEXT_BYTES;
}

/* What a chunk says of itself. */
struct chunk {
    struct slice id;
    uint64_t index, total;
    char hash[SHA256_TEXT_BYTES];
};

/* NULL, or the field that is wrong, with *what. */
static const char *read_chunk(const struct incoming *in, struct chunk *chunk, const char **what)
{
    const struct json_member *at = in->at;
    *what = "Must be a string of 1 to 128 bytes";
    if (at[M_chunk_id].token != JSON_STRING || at[M_chunk_id].raw.bytes == 0 ||
        at[M_chunk_id].raw.bytes > EMPROPS_NAME_BYTES_MAX)
        return "chunk_id";
    chunk->id = at[M_chunk_id].raw;
    *what = "Must be a whole number from 1 to 10000";
    if (at[M_total_chunks].token != JSON_NUMBER || !json_u64(at[M_total_chunks].raw, &chunk->total) ||
        chunk->total < 1 || chunk->total > PIECES_MAX)
        return "total_chunks";
    *what = "Must be a whole number from 0 to total_chunks";
    if (at[M_chunk_index].token != JSON_NUMBER || !json_u64(at[M_chunk_index].raw, &chunk->index) ||
        chunk->index > chunk->total)
        return "chunk_index";
    *what = "Must be 64 hexadecimal digits";
    if (!read_hash(&at[M_data_hash], chunk->hash))
        return "data_hash";
    *what = "Must be base64";
    if (at[M_data].token != JSON_STRING || at[M_data].escaped || !base64_valid(at[M_data].raw))
        return "data";
    return NULL;
}

/* A place for the new assembly; NULL: *what says why not. */
static struct assembly *begin(struct chunks *chunks, const struct incoming *in, const struct chunk *chunk,
                              const char **what)
{
    struct assembly *one = NULL;
    for (uint32_t i = 0; i < ASSEMBLIES_MAX && one == NULL; i++)
        if (chunks->all[i].id == NULL)
            one = &chunks->all[i];
    *what = "Too many chunked messages at once";
    if (one == NULL)
        return NULL;
    *what = "Out of memory";
    one->pieces = calloc(chunk->total + 1, sizeof *one->pieces);
    one->id = malloc(chunk->id.bytes);
    one->total = (uint32_t)chunk->total;
    if (one->pieces == NULL || one->id == NULL) {
        drop(one);
        return NULL;
    }
    memcpy(one->id, chunk->id.data, chunk->id.bytes);
    one->id_bytes = chunk->id.bytes;
    memcpy(one->hash, chunk->hash, sizeof one->hash);
    const struct json_member *type = &in->at[M_original_type];
    if (type->token == JSON_STRING && !type->escaped && type->raw.bytes < sizeof one->type)
        memcpy(one->type, type->raw.data, type->raw.bytes);
    return one;
}

/* Takes the piece; NULL, or the field that is wrong, with *what. */
static const char *take_piece(const struct dialect_call *call, struct assembly *one, const struct incoming *in,
                              const struct chunk *chunk, const char **what)
{
    const struct emprops_settings *settings = call->settings;
    *what = "Must not change from chunk to chunk";
    if (one->total != chunk->total)
        return "total_chunks";
    if (memcmp(one->hash, chunk->hash, sizeof one->hash) != 0)
        return "data_hash";
    one->last_ms = call->now_ms;
    if (one->pieces[chunk->index].data != NULL)
        return NULL; /* once more: passed over */
    *what = "Must count from 0 or from 1";
    uint64_t other = chunk->total - chunk->index; /* of the two that exclude each other */
    if ((chunk->index == 0 || chunk->index == chunk->total) && one->pieces[other].data != NULL)
        return "chunk_index";
    struct slice text = in->at[M_data].raw;
    size_t most = text.bytes / 4 * 3;
    struct buf data = buf_of(malloc(most + 1), most + 1);
    *what = "Out of memory";
    if (data.data == NULL)
        return "data";
    check(base64_decode(text, &data));
    one->pieces[chunk->index] = (struct piece){.data = data.data, .bytes = data.used};
    one->bytes += data.used;
    one->count++;
    *what = "The assembled message is too large";
    return one->bytes > settings->chunk_total_bytes ? "data" : NULL;
}

/* When the first of them has waited too long. */
static void set_timer(struct dialect_call *call)
{
    const struct emprops_settings *settings = call->settings;
    const struct emprops_session *session = call->session;
    uint64_t first_ms = UINT64_MAX;
    for (uint32_t i = 0; session->chunks != NULL && i < ASSEMBLIES_MAX; i++)
        if (session->chunks->all[i].id != NULL && session->chunks->all[i].last_ms < first_ms)
            first_ms = session->chunks->all[i].last_ms;
    uint64_t due_ms = first_ms == UINT64_MAX ? 0 : first_ms + settings->chunk_timeout_ms;
    action_timer(call->out, first_ms == UINT64_MAX ? 0 : due_ms > call->now_ms ? due_ms - call->now_ms : 1);
}

static void ask_for_memory(struct dialect_call *call)
{
    struct emprops_session *session = call->session;
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    hub_put_number(text, FIELD_SESSION, call->connection);
    hub_put_number(text, FIELD_BYTES, emprops_chunks_bytes(session));
    session->unreserve = false;
    action_request(call->out, HUB_RESERVE, buf_since(text, mark), TAG_RESERVE);
}

void emprops_chunk(struct dialect_call *call, const struct incoming *in)
{
    struct emprops_session *session = call->session;
    struct chunk chunk = {.id = slice_text("")};
    const char *what = "Out of memory", *field = read_chunk(in, &chunk, &what);
    if (session->chunks == NULL)
        session->chunks = calloc(1, sizeof *session->chunks);
    struct assembly *one = session->chunks == NULL ? NULL : find(session->chunks, chunk.id);
    if (field == NULL && session->chunks != NULL && one == NULL) {
        one = begin(session->chunks, in, &chunk, &what);
        field = one == NULL ? "chunk_id" : NULL;
    }
    if (field == NULL && one != NULL)
        field = take_piece(call, one, in, &chunk, &what);
    if (field != NULL || one == NULL) {
        fail(call, one, FAULT_CHUNK_INVALID, chunk.id, field == NULL ? "chunk_id" : field, what, in->id);
        set_timer(call);
        if (session->unreserve)
            ask_for_memory(call);
        return;
    }
    session->chunks->newest = (uint32_t)(one - session->chunks->all);
    set_timer(call);
    ask_for_memory(call);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* chunked_message_complete in `out`, which has room for it. */
static void put_complete(const struct dialect_call *call, const struct assembly *one, struct slice message,
                         struct buf *out)
{
    message_begin(out, "chunked_message_complete");
    message_member(out, "chunk_id");
    buf_put_byte(out, '"');
    buf_put(out, slice_of(one->id, one->id_bytes));
    buf_put_byte(out, '"');
    message_u64(out, "total_size", message.bytes);
    message_member(out, "assembled_message");
    if (message.bytes + FRAME_BYTES <= EMPROPS_MESSAGE_BYTES_MAX)
        buf_put(out, message);
    else
        message_scalars(out, message, EMPROPS_MESSAGE_BYTES_MAX - FRAME_BYTES);
    message_end(out, slice_of(NULL, 0), call->wall_ms);
}

/* Whether the message may be what its chunks said (E-79). */
static bool type_agrees(struct dialect_call *call, struct slice message, struct slice original)
{
    struct json_member type = {.name = "type"};
    uint8_t memory[64];
    struct buf space = buf_of(memory, sizeof memory);
    (void)call;
    if (json_find_members(message, EMPROPS_DEPTH_MAX, false, &type, 1) != JSON_MEMBERS_OK || type.token != JSON_STRING)
        return !slice_is(original, "chunked_message");
    struct slice own = json_resolve(type.raw, type.escaped, &space);
    if (slice_is(own, "chunked_message"))
        return false;
    if (slice_is(original, "job_result_with_large_files"))
        original = slice_text("complete_job");
    if (slice_is(own, "job_result_with_large_files"))
        own = slice_text("complete_job");
    return space.overflow || !emprops_type_known(own) || !emprops_type_known(original) || slice_equal(own, original);
}

/* All pieces in one block, and behind it room for the confirmation; the block becomes the session's. NULL: no
 * memory. */
static uint8_t *join(struct emprops_session *session, const struct assembly *one, size_t *room)
{
    *room = one->bytes + FRAME_BYTES < EMPROPS_MESSAGE_BYTES_MAX ? one->bytes + FRAME_BYTES : EMPROPS_MESSAGE_BYTES_MAX;
    uint8_t *whole = malloc(one->bytes + *room), *at = whole;
    if (whole == NULL)
        return NULL;
    for (uint32_t i = 0; i <= one->total; i++) {
        if (one->pieces[i].data == NULL)
            continue;
        memcpy(at, one->pieces[i].data, one->pieces[i].bytes);
        at += one->pieces[i].bytes;
    }
    free(session->whole);
    session->whole = whole;
    return whole;
}

static void assemble(struct dialect_call *call, struct assembly *one)
{
    struct emprops_session *session = call->session;
    char hash[SHA256_TEXT_BYTES + 1], type[sizeof one->type];
    struct slice id = slice_of(one->id, one->id_bytes), none = slice_of(NULL, 0);
    size_t room;
    uint8_t *whole = join(session, one, &room);
    if (whole == NULL) {
        fail(call, one, FAULT_CHUNK_INVALID, id, "data", "Out of memory", none);
        return;
    }
    struct slice message = slice_of(whole, one->bytes);
    struct buf out = buf_of(whole + one->bytes, room);
    sha256_text(message, hash);
    if (memcmp(hash, one->hash, SHA256_TEXT_BYTES) != 0) {
        fail(call, one, FAULT_CHUNK_HASH_MISMATCH, id, NULL, NULL, none);
        return;
    }
    memcpy(type, one->type, sizeof type);
    if (!type_agrees(call, message, slice_text(type))) {
        fail(call, one, FAULT_CHUNK_INVALID, id, "original_type", "Must be the type of the assembled message", none);
        return;
    }
    struct json_member nothing;
    bool object = json_find_members(message, EMPROPS_DEPTH_MAX, false, &nothing, 0) == JSON_MEMBERS_OK;
    if (object) {
        put_complete(call, one, message, &out);
        check(!out.overflow);
        action_send(call->out, WS_TEXT, buf_slice(&out));
    }
    session->unreserve = true;
    drop(one);
    set_timer(call);
    emprops_take(call, message, type[0] == '\0' ? none : slice_text(type));
}

void emprops_chunk_reserved(struct dialect_call *call, bool room)
{
    struct emprops_session *session = call->session;
    if (session->chunks == NULL)
        return;
    struct assembly *one = &session->chunks->all[session->chunks->newest];
    if (one->id == NULL)
        return;
    struct slice id = slice_of(one->id, one->id_bytes);
    if (!room) {
        fail(call, one, FAULT_CHUNK_INVALID, id, "data", "Too much memory is used by chunked messages",
             slice_of(NULL, 0));
        set_timer(call);
    } else if (one->count == one->total) {
        assemble(call, one);
    }
}

void emprops_chunks_timer(struct dialect_call *call)
{
    const struct emprops_settings *settings = call->settings;
    struct emprops_session *session = call->session;
    for (uint32_t i = 0; session->chunks != NULL && i < ASSEMBLIES_MAX; i++) {
        struct assembly *one = &session->chunks->all[i];
        if (one->id != NULL && one->last_ms + settings->chunk_timeout_ms <= call->now_ms)
            fail(call, one, FAULT_CHUNK_TIMEOUT, slice_of(one->id, one->id_bytes), NULL, NULL, slice_of(NULL, 0));
    }
    set_timer(call);
}
