/* SPDX-License-Identifier: MIT */
/* Owns what uploads to a node promise (N-52 to N-74): users start, send chunks, pause and resume over the depot on a disk in
 * memory, as the input says, which also decides when the process is killed; a model of bits and bytes foretells each answer
 * but the sentences of refused starts. With an odd first byte the payloads are what the input has; then the model is out, and each
 * answer must be JSON of a type that there is, and each record one that a new life loads. */
#include "fuzz/fuzz.h"
#include "protocol/base64.h"
#include "protocol/dialects/rnn/uploads.h"
#include "protocol/json.h"
#include "protocol/sha256.h"
#include "tests/support/pure_depot.h"

#define STEPS_MAX 120
#define USERS 3
#define FILES_MAX 24
#define FILE_BYTES_MAX 40
#define START_MS UINT64_C(1000000)
#define WALL_MS UINT64_C(1706013296000)

enum state { ABSENT, ACTIVE, PAUSED, DONE };

/* A file as its sender knows it. */
struct file {
    enum state state;
    char id[UPLOAD_ID_BYTES + 1];
    uint32_t user, number, bytes, chunk_bytes, chunks, received, received_bytes;
    bool had[FILE_BYTES_MAX];
    uint8_t content[FILE_BYTES_MAX];
};

struct world {
    struct fuzz_input *input;
    struct pure_depot disk;
    struct file files[FILES_MAX];
    uint32_t file_count;
    uint64_t now_ms;
    uint8_t memory[DEPOT_REPLY_BYTES_MAX];
    struct buf reply;
    struct slice rest; /* of the last reply */
};

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void ask(struct world *world, enum upload_request kind, uint32_t user, struct slice payload)
{
    uint8_t head[] = {0, 0, 0, FILES_MAX, UPLOAD_SERVICE_KNOWN, 'u', (uint8_t)('0' + user)}; /* places, and who it is */
    uint8_t *copy = fuzz_copy(payload);
    world->reply = buf_of(world->memory, sizeof world->memory);
    pure_depot_ask(&world->disk, kind, 1 + user, slice_of(head, sizeof head), slice_of(copy, payload.bytes),
                   world->now_ms, WALL_MS + world->now_ms, &world->reply);
    expect(!world->reply.overflow);
    world->rest = buf_slice(&world->reply);
    free(copy);
}

/* The next message of the reply is of that type; its payload. */
static struct slice next_payload(struct world *world, const char *type)
{
    struct json_member m[] = {{.name = "type"}, {.name = "payload"}, {.name = "timestamp"}};
    struct slice message;
    expect(rnn_next_part(&world->rest, &message));
    expect(json_find_members(message, RNN_DEPTH_MAX, true, m, 3) == JSON_MEMBERS_OK);
    if (!slice_is(m[0].raw, type))
        fprintf(stderr, "wanted %s, found %.*s\n", type, (int)message.bytes, (const char *)message.data);
    expect(slice_is(m[0].raw, type) && m[1].token == JSON_OBJECT_BEGIN && m[2].token == JSON_NUMBER);
    return m[1].text;
}

static void expect_end(struct world *world)
{
    expect(world->rest.bytes == 0);
}

static struct slice text_of(struct slice payload, const char *name)
{
    struct json_member member = {.name = name};
    expect(json_find_members(payload, RNN_DEPTH_MAX, true, &member, 1) == JSON_MEMBERS_OK);
    return member.raw;
}

static void expect_number(struct slice payload, const char *name, uint64_t wanted)
{
    uint64_t value = UINT64_MAX;
    expect(json_u64(text_of(payload, name), &value) && value == wanted);
}

/* N-60: rounded to two digits; computed here by another way. */
static void expect_percentage(struct slice payload, const struct file *file)
{
    char text[32], raw[32];
    struct slice found = text_of(payload, "percentage");
    double wanted = file->bytes == 0 ? 100 : (double)file->received_bytes * 100 / file->bytes;
    expect(found.bytes > 0 && found.bytes < sizeof raw);
    memcpy(raw, found.data, found.bytes);
    raw[found.bytes] = '\0';
    double value = strtod(raw, NULL);
    expect(value >= wanted - 0.005001 && value <= wanted + 0.005001);
    snprintf(text, sizeof text, "%.10g", value);
    expect(strcmp(text, raw) == 0); /* the shortest form */
}

static struct slice expect_progress(struct world *world, const struct file *file)
{
    struct slice payload = next_payload(world, "file.upload.progress");
    expect(slice_is(text_of(payload, "session_id"), file->id));
    expect_number(payload, "chunks_received", file->received);
    expect_number(payload, "bytes_uploaded", file->received_bytes);
    expect_percentage(payload, file);
    return payload;
}

static void expect_error(struct world *world, const char *id, const char *code)
{
    struct slice payload = next_payload(world, "file.upload.error");
    expect(slice_is(text_of(payload, "session_id"), id) && slice_is(text_of(payload, "code"), code));
    expect(text_of(payload, "error").bytes > 0);
    expect_end(world);
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

/* Where the file goes, or is. */
static void put_target(const struct file *file, char *out, size_t bytes)
{
    snprintf(out, bytes, "7/d/%u", file->number);
}

/* Where all bytes are there, the end follows: hash, place, message (N-69). */
static void expect_end_of_file(struct world *world, struct file *file)
{
    char hash[SHA256_TEXT_BYTES + 1], target[32];
    if (file->received < file->chunks) {
        expect_end(world);
        return;
    }
    struct slice payload = next_payload(world, "file.upload.complete"), found = text_of(payload, "file_hash");
    sha256_text(slice_of(file->content, file->bytes), hash);
    expect(slice_starts(found, slice_text("sha256:")) && slice_is(slice_skip(found, 7), hash));
    expect(slice_is(text_of(payload, "group_complete"), "true"));
    expect_end(world);
    file->state = DONE;
    put_target(file, target, sizeof target);
    const struct pure_file *placed = pure_depot_file(&world->disk, target);
    expect(placed != NULL && slice_equal(slice_of(placed->data, placed->bytes), slice_of(file->content, file->bytes)));
}

static void start(struct world *world)
{
    char text[512];
    if (world->file_count == FILES_MAX)
        return;
    struct file *file = &world->files[world->file_count];
    *file = (struct file){.user = fuzz_below(world->input, USERS), .number = world->file_count};
    file->bytes = fuzz_below(world->input, FILE_BYTES_MAX + 1);
    file->chunk_bytes = 1 + fuzz_below(world->input, 9);
    bool floor = fuzz_below(world->input, 4) == 0 && file->bytes >= file->chunk_bytes;
    file->chunks = floor ? file->bytes / file->chunk_bytes : (file->bytes + file->chunk_bytes - 1) / file->chunk_bytes;
    struct random random;
    random_init(&random, world->file_count);
    for (uint32_t i = 0; i < file->bytes; i++)
        file->content[i] = (uint8_t)random_u64(&random);
    snprintf(text, sizeof text,
             "{\"service_id\":7,\"filename\":\"f\",\"file_path\":\"d/"
             "%u\",\"total_size\":%u,\"total_chunks\":%u,\"chunk_size\":%u}",
             file->number, file->bytes, file->chunks, file->chunk_bytes);
    ask(world, UPLOAD_START, file->user, slice_text(text));
    struct slice id = text_of(next_payload(world, "file.upload.progress"), "session_id");
    expect(id.bytes == UPLOAD_ID_BYTES);
    memcpy(file->id, id.data, id.bytes);
    for (uint32_t i = 0; i < world->file_count; i++)
        expect(strcmp(world->files[i].id, file->id) != 0);
    world->file_count++;
    file->state = ACTIVE;
    world->rest = buf_slice(&world->reply);
    expect_progress(world, file);
    expect_end_of_file(world, file);
}

static uint32_t chunk_bytes(const struct file *file, uint32_t index)
{
    return index + 1 < file->chunks ? file->chunk_bytes : file->bytes - index * file->chunk_bytes;
}

/* A chunk that may be too short, too long, beyond the end, broken, or from somebody else. */
static void send_chunk(struct world *world, struct file *file)
{
    uint32_t index = fuzz_below(world->input, file->chunks + 1), flaw = fuzz_below(world->input, 16);
    uint32_t user = flaw == 5 ? (file->user + 1) % USERS : file->user;
    uint32_t bytes = index < file->chunks ? chunk_bytes(file, index) : 1;
    uint8_t data[64] = {0}, encoded[96];
    struct buf base64 = buf_of(encoded, sizeof encoded);
    char text[512];
    if (index < file->chunks)
        memcpy(data, file->content + index * file->chunk_bytes, bytes);
    bytes = flaw == 1 ? bytes - 1 : flaw == 2 ? bytes + 1 : bytes;
    base64_encode(slice_of(data, bytes), &base64);
    snprintf(text, sizeof text, "{\"data\":\"%.*s%s\",\"chunk_index\":%u,\"session_id\":\"%s\"}", (int)base64.used,
             (const char *)encoded,
             flaw == 3   ? "%"
             : flaw == 4 ? "\\u0041"
                         : "",
             index, file->id);
    ask(world, UPLOAD_CHUNK, user, slice_text(text));
    if (file->state == DONE || user != file->user) {
        expect_error(world, file->id, "SESSION_NOT_FOUND");
    } else if (file->state == PAUSED || index >= file->chunks) {
        expect_error(world, file->id, "WRITE_FAILED");
    } else if (flaw == 3 || flaw == 4) {
        expect_error(world, file->id, "INVALID_ENCODING");
    } else if (bytes != chunk_bytes(file, index)) {
        expect_error(world, file->id, "WRITE_FAILED");
    } else {
        file->received += !file->had[index];
        file->received_bytes += file->had[index] ? 0 : bytes;
        file->had[index] = true;
        expect_progress(world, file);
        expect_end_of_file(world, file);
    }
}

static void name_session(const struct file *file, char *text, size_t bytes)
{
    snprintf(text, bytes, "{\"session_id\":\"%s\"}", file->id);
}

static void pause_file(struct world *world, struct file *file)
{
    char text[128];
    name_session(file, text, sizeof text);
    ask(world, UPLOAD_PAUSE, file->user, slice_text(text));
    if (file->state == DONE) {
        expect_error(world, file->id, "SESSION_NOT_FOUND");
        return;
    }
    file->state = PAUSED;
    expect(slice_is(text_of(expect_progress(world, file), "status"), "paused"));
    expect_end(world);
}

/* Behind a resume: which are missing, all of them, in order (N-66). */
static void expect_missing(struct slice payload, const struct file *file)
{
    char wanted[512] = "[";
    struct json_member member = {.name = "missing_chunks"};
    uint32_t next = file->chunks;
    for (uint32_t i = 0; i < file->chunks; i++) {
        if (file->had[i])
            continue;
        next = next == file->chunks ? i : next;
        snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%u", wanted[1] == '\0' ? "" : ",", i);
    }
    strcat(wanted, "]");
    expect_number(payload, "next_chunk_index", next);
    expect(json_find_members(payload, RNN_DEPTH_MAX, true, &member, 1) == JSON_MEMBERS_OK);
    expect(slice_is(member.text, wanted));
}

static void resume_file(struct world *world, struct file *file)
{
    char text[128];
    name_session(file, text, sizeof text);
    ask(world, UPLOAD_RESUME, file->user, slice_text(text));
    if (file->state == DONE) { /* its end is told again */
        next_payload(world, "file.upload.complete");
        expect_end(world);
        return;
    }
    file->state = ACTIVE;
    struct slice payload = expect_progress(world, file);
    expect(slice_is(text_of(payload, "status"), "active"));
    expect_missing(payload, file);
    expect_end_of_file(world, file);
}

/* N-67: its connection is gone. */
static void leave(struct world *world, uint32_t user)
{
    ask(world, DEPOT_LEFT, user, slice_text(""));
    expect_end(world);
    for (uint32_t i = 0; i < world->file_count; i++)
        if (world->files[i].user == user && world->files[i].state == ACTIVE)
            world->files[i].state = PAUSED;
}

/* N-68: the process ends and begins again. */
static void kill_process(struct world *world)
{
    pure_depot_life(&world->disk, world->now_ms, WALL_MS + world->now_ms);
    for (uint32_t i = 0; i < world->file_count; i++)
        if (world->files[i].state == ACTIVE)
            world->files[i].state = PAUSED;
}

static void play_model(struct world *world)
{
    for (int i = 0; i < STEPS_MAX && world->input->left > 0; i++) {
        uint32_t what = fuzz_below(world->input, 16);
        struct file *file = world->file_count == 0 ? NULL : &world->files[fuzz_below(world->input, world->file_count)];
        world->now_ms += fuzz_below(world->input, 4);
        if (what <= 1 || file == NULL)
            start(world);
        else if (what == 2)
            pause_file(world, file);
        else if (what <= 4)
            resume_file(world, file);
        else if (what == 5)
            leave(world, file->user);
        else if (what == 6)
            kill_process(world);
        else
            send_chunk(world, file);
    }
}

/* --- anything ----------------------------------------------------------------------------------------------------- */

/* What the input has, whole or behind the members of a good payload. */
static void say_anything(struct world *world, char id[UPLOAD_ID_BYTES + 1])
{
    static const char *const good[] = {
        "",
        "\"service_id\":7,\"filename\":\"f\",\"file_path\":\"p\",\"total_size\":9,\"total_chunks\":3,\"chunk_size\":3",
        "\"chunk_index\":0,\"data\":\"QUJD\""};
    char text[1024];
    enum upload_request kind = UPLOAD_START + fuzz_below(world->input, UPLOAD_RESUME);
    const char *members = good[kind == UPLOAD_START ? 1 : kind == UPLOAD_CHUNK ? 2 : 0];
    bool whole = fuzz_below(world->input, 8) == 0;
    struct slice piece = fuzz_piece(world->input), message;
    struct buf out = buf_of(text, sizeof text);
    if (!whole) {
        buf_put_text(&out, "{\"session_id\":\"");
        buf_put_text(&out, id);
        buf_put_text(&out, members[0] == '\0' ? "\"" : "\",");
        buf_put_text(&out, members);
        buf_put_text(&out, piece.bytes > 0 ? "," : "");
    }
    buf_put(&out, piece);
    buf_put_text(&out, whole ? "" : "}");
    if (!json_valid(buf_slice(&out), RNN_DEPTH_MAX))
        return; /* which is no message (N-16) */
    ask(world, kind, fuzz_below(world->input, USERS), buf_slice(&out));
    while (rnn_next_part(&world->rest, &message)) {
        struct json_member m[] = {{.name = "type"}, {.name = "payload"}}, session = {.name = "session_id"};
        expect(json_find_members(message, RNN_DEPTH_MAX, true, m, 2) == JSON_MEMBERS_OK && m[0].token == JSON_STRING);
        expect(slice_starts(m[0].raw, slice_text("file.upload.")) || slice_is(m[0].raw, "error"));
        expect(json_find_members(m[1].text, RNN_DEPTH_MAX, true, &session, 1) == JSON_MEMBERS_OK);
        if (slice_is(m[0].raw, "file.upload.progress")) {
            expect(session.raw.bytes == UPLOAD_ID_BYTES);
            memcpy(id, session.raw.data, UPLOAD_ID_BYTES);
        }
    }
}

static void play_anything(struct world *world)
{
    char id[UPLOAD_ID_BYTES + 1] = "session-00000000-0000-4000-8000-000000000000";
    for (int i = 0; i < STEPS_MAX && world->input->left > 0; i++) {
        uint32_t what = fuzz_below(world->input, 32);
        world->now_ms += what == 0 ? 3600000 : 1;
        if (what == 1)
            kill_process(world);
        else if (what == 2)
            leave(world, fuzz_below(world->input, USERS));
        else
            say_anything(world, id);
    }
    kill_process(world);                                /* what it has kept is what it loads */
    for (size_t i = 0; i < world->disk.file_count; i++) /* nothing lies elsewhere */
        expect(!world->disk.files[i].placed || strstr(world->disk.files[i].name, "..") == NULL ||
               strstr(world->disk.files[i].name, "/../") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct world world;
    struct fuzz_input input = {data, bytes};
    memset(&world, 0, sizeof world);
    bool model = (fuzz_byte(&input) & 1) == 0;
    world.input = &input;
    world.now_ms = START_MS;
    pure_depot_init(&world.disk, &rnn_uploads, 1);
    pure_depot_life(&world.disk, world.now_ms, WALL_MS + world.now_ms);
    if (model)
        play_model(&world);
    else
        play_anything(&world);
    pure_depot_free(&world.disk);
    return 0;
}
