/* SPDX-License-Identifier: MIT */
/* Uploads of two files over the real thread of a depot, on a simulated disk: the process ends, with the power or without,
 * before each operation on a file and each of the store; and each operation fails once. Whatever was answered is there
 * afterwards, the upload goes on to its end, and under its final name nobody ever sees anything but the file whole or
 * what was there before (N-67 to N-70). */
#include "core/random.h"
#include "core/ring_sim.h"
#include "protocol/base64.h"
#include "protocol/dialects/rnn/uploads.h"
#include "shards/depot/depot_thread.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_files.h"
#include "tests/unit/sim/storage_world.h"

#include <criterion/criterion.h>

#define FILES 2
#define CHUNKS 4U
#define CHUNK_BYTES 300U
#define FILE_BYTES (CHUNKS * CHUNK_BYTES + 77) /* the last chunk is longer than the others (N-55) */
#define BATCH 3
#define STEPS_MAX 400
#define OLD "what was there before"

/* What a client knows of its file. */
struct sent {
    char id[UPLOAD_ID_BYTES + 1]; /* "": nobody has said one */
    bool acknowledged[CHUNKS], done, paused;
    uint8_t bytes[FILE_BYTES];
    char digest[SHA256_TEXT_BYTES + 1], path[32];
};

struct crash_world {
    struct sim_network *network;
    struct sim_disk *disk;
    struct sim_files *files;
    struct depot_thread *thread; /* NULL: no process runs */
    struct random random;
    struct sent sent[FILES];
    uint64_t connection;
    bool cut;          /* the process ends with the power */
    const char *where; /* for messages */
    uint64_t at;
};

#define must(world, condition, ...)                                                                                    \
    cr_assert(condition, "%s %lu, cut %d: %s", (world)->where, (unsigned long)(world)->at, (world)->cut, __VA_ARGS__)

/* --- a process ---------------------------------------------------------------------------------------------------- */

static void on_answered(void *user, uint16_t origin)
{
    (void)user;
    (void)origin;
}

static void stop_process(struct crash_world *world)
{
    struct depot_task *task;
    if (world->thread == NULL)
        return;
    while ((task = depot_thread_take(world->thread, 0)) != NULL)
        depot_task_free(task);
    depot_thread_close(world->thread);
    free(world->thread);
    world->thread = NULL;
}

/* False: it could not begin. */
static bool start_process(struct crash_world *world)
{
    char text[512];
    struct buf why = buf_of(text, sizeof text);
    cr_assert_null(world->thread);
    world->thread = aligned_alloc(64, (sizeof *world->thread + 63) & ~(size_t)63);
    cr_assert_not_null(world->thread);
    if (depot_thread_open(world->thread, &rnn_uploads, "root", 1, on_answered, NULL, &why) == 0)
        return true;
    free(world->thread);
    world->thread = NULL;
    return false;
}

static void check_places(struct crash_world *world)
{
    for (unsigned i = 0; i < FILES; i++) {
        struct slice found = sim_files_get(world->files, world->sent[i].path);
        bool whole = slice_equal(found, slice_of(world->sent[i].bytes, FILE_BYTES));
        bool before = i == 0 ? slice_is(found, OLD) : found.data == NULL;
        must(world, whole || (before && !world->sent[i].done), "neither the file nor what was there before it");
    }
}

/* The process is gone, and others begin until one stays. */
static void restart(struct crash_world *world, bool cut)
{
    do {
        stop_process(world);
        if (!world->disk->ended)
            sim_disk_end(world->disk, cut);
        sim_files_end(world->files, cut);
        world->disk->faults.end_at = 0;
        check_places(world);
    } while (!start_process(world));
    world->connection++;
}

/* --- a client ----------------------------------------------------------------------------------------------------- */

struct question {
    struct sent *file;
    uint32_t kind, chunk;
    bool good; /* of a chunk: its data is what it should be */
    char reply[DEPOT_REPLY_BYTES_MAX + 1];
    int status;
    bool said;
};

static size_t write_question(const struct crash_world *world, const struct question *question, char *out, size_t room)
{
    const struct sent *file = question->file;
    uint8_t memory[2048];
    struct buf data = buf_of(memory, sizeof memory - 1);
    size_t from = question->chunk * CHUNK_BYTES;
    size_t bytes = question->chunk + 1 == CHUNKS ? FILE_BYTES - from : CHUNK_BYTES;
    if (question->kind == UPLOAD_START)
        return (size_t)snprintf(out, room,
                                "{\"service_id\":1,\"upload_group_id\":\"g\",\"filename\":\"x\",\"file_path\":\"%s\","
                                "\"file_index\":%u,\"total_files\":%u,\"total_size\":%u,\"total_chunks\":%u,"
                                "\"chunk_size\":%u}",
                                file->path + 2, (unsigned)(file - world->sent), FILES, FILE_BYTES, CHUNKS, CHUNK_BYTES);
    if (question->kind != UPLOAD_CHUNK)
        return (size_t)snprintf(out, room, "{\"session_id\":\"%s\"}", file->id);
    base64_encode(slice_of(file->bytes + from, question->good ? bytes : bytes - 1), &data);
    memory[data.used] = '\0';
    return (size_t)snprintf(out, room, "{\"session_id\":\"%s\",\"chunk_index\":%u,\"data\":\"%s\"}", file->id,
                            question->chunk, (const char *)memory);
}

static bool has_ended(const struct crash_world *world)
{
    return sim_files_ended(world->files);
}

/* Asks all of them at one moment; what was said is there if the process lives, else nothing. */
static void ask(struct crash_world *world, struct question *questions, unsigned count)
{
    static const char head[] = "\0\0\0\x40\0user"; /* 64 uploads, a known service */
    char bodies[BATCH][4096];
    struct depot_task *task;
    unsigned answered = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = write_question(world, &questions[i], bodies[i], sizeof bodies[i]);
        task = depot_task_make(&questions[i]);
        task->request.kind = questions[i].kind;
        task->request.connection = world->connection;
        task->request.head = slice_of(head, sizeof head - 1);
        task->request.body = (struct span){(uint8_t *)bodies[i], bytes};
        cr_assert(depot_thread_post(world->thread, 0, task));
    }
    for (unsigned rounds = 0; answered < count && rounds < 100; rounds++) {
        (void)depot_thread_round(world->thread);
        bool ended = has_ended(world);
        while ((task = depot_thread_take(world->thread, 0)) != NULL) {
            struct question *question = task->user;
            question->said = !ended;
            question->status = task->status;
            size_t bytes = task->reply.used;
            for (size_t n = 0; n < bytes; n++) { /* lengths of parts are no text */
                uint8_t byte = task->reply.data[n];
                question->reply[n] = byte < 0x20 || byte > 0x7E ? ' ' : (char)byte;
            }
            question->reply[bytes] = '\0';
            depot_task_free(task);
            answered++;
        }
    }
    cr_assert_eq(answered, count);
}

static bool says(const struct question *question, const char *text)
{
    return strstr(question->reply, text) != NULL;
}

/* What was heard is held against what was known before, and known from now on. */
static void note_done(struct crash_world *world, struct sent *file, const struct question *question)
{
    must(world, says(question, file->digest), question->reply);
    must(world, slice_equal(sim_files_get(world->files, file->path), slice_of(file->bytes, FILE_BYTES)),
         "it is said that the file is complete, and it is not");
    file->done = true;
}

static void note_missing(struct crash_world *world, const struct sent *file, const struct question *question)
{
    const char *list = strstr(question->reply, "\"missing_chunks\":[");
    must(world, list != NULL, question->reply);
    bool missing[CHUNKS] = {false};
    for (list += strlen("\"missing_chunks\":["); *list != ']'; list += *list == ',') {
        char *end;
        unsigned long index = strtoul(list, &end, 10);
        must(world, end > list && index < CHUNKS, question->reply);
        missing[index] = true;
        list = end;
    }
    for (unsigned i = 0; i < CHUNKS; i++)
        must(world, !(missing[i] && file->acknowledged[i]), "a chunk that was acknowledged is missing");
}

static void note_progress(struct crash_world *world, struct sent *file, const struct question *question)
{
    if (question->kind == UPLOAD_START) {
        const char *id = strstr(question->reply, "\"session_id\":\"") + strlen("\"session_id\":\"");
        must(world, file->id[0] == '\0' || memcmp(id, file->id, UPLOAD_ID_BYTES) == 0,
             "another session for the same file");
        memcpy(file->id, id, UPLOAD_ID_BYTES);
    } else if (question->kind == UPLOAD_CHUNK) {
        must(world, question->good, "a chunk that is not whole was taken");
        file->acknowledged[question->chunk] = true;
    } else if (question->kind == UPLOAD_RESUME) {
        note_missing(world, file, question);
    }
    if (question->kind != UPLOAD_START)
        file->paused = question->kind == UPLOAD_PAUSE;
}

static void note(struct crash_world *world, const struct question *question)
{
    struct sent *file = question->file;
    if (!question->said || question->status != 200)
        return;
    if (says(question, "file.upload.progress"))
        note_progress(world, file, question);
    if (says(question, "file.upload.complete"))
        note_done(world, file, question);
    must(world, !says(question, "SESSION_RESTORE_FAILED"), question->reply);
    if (says(question, "Upload session is paused"))
        file->paused = true;
    if (says(question, "SESSION_NOT_FOUND")) /* one that has come to its end, by another question of this moment */
        must(world, file->done || says(question, file->id), question->reply);
}

/* Something for a file, as the seed says; what is not done yet more often. */
static struct question next_question(struct crash_world *world)
{
    struct sent *file = &world->sent[random_below(&world->random, FILES)];
    if (file->done)
        file = &world->sent[file == world->sent ? 1 : 0];
    struct question question = {.file = file, .good = true, .chunk = (uint32_t)random_below(&world->random, CHUNKS)};
    if (file->id[0] == '\0' || random_chance(&world->random, 1, 16)) {
        question.kind = UPLOAD_START;
        return question;
    }
    if (random_chance(&world->random, file->paused ? 3 : 1, file->paused ? 4 : 12)) {
        question.kind = file->paused || random_chance(&world->random, 1, 2) ? UPLOAD_RESUME : UPLOAD_PAUSE;
        return question;
    }
    question.kind = UPLOAD_CHUNK;
    for (unsigned i = 0; i < CHUNKS && file->acknowledged[question.chunk]; i++)
        question.chunk = (question.chunk + 1) % CHUNKS;
    if (random_chance(&world->random, 1, 10))
        question.chunk = (uint32_t)random_below(&world->random, CHUNKS);
    question.good = !random_chance(&world->random, 1, 16);
    return question;
}

static void resume_all(struct crash_world *world)
{
    for (unsigned i = 0; i < FILES && !has_ended(world); i++) {
        struct question question = {.file = &world->sent[i], .kind = UPLOAD_RESUME};
        if (world->sent[i].id[0] == '\0')
            continue;
        ask(world, &question, 1);
        note(world, &question);
        must(world, !question.said || question.status != 200 || !says(&question, "SESSION_NOT_FOUND"), question.reply);
    }
}

/* One moment: some questions; a process that ended or that takes nothing any more is begun anew. */
static void step(struct crash_world *world)
{
    static struct question questions[BATCH];
    unsigned count = 1 + (unsigned)random_below(&world->random, BATCH);
    bool refused = false;
    for (unsigned i = 0; i < count; i++)
        questions[i] = next_question(world);
    ask(world, questions, count);
    for (unsigned i = 0; i < count; i++) {
        note(world, &questions[i]);
        refused |= questions[i].status != 200;
    }
    if (has_ended(world) || refused) {
        restart(world, world->cut);
        resume_all(world);
    }
    sim_clock_advance(UINT64_C(1000000) * (1 + random_below(&world->random, 2000)));
}

static bool is_done(const struct crash_world *world)
{
    return world->sent[0].done && world->sent[1].done;
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static void open_crash_world(struct crash_world *world, uint64_t seed, const char *where, uint64_t at, bool cut)
{
    static const struct sim_disk_faults none = {0};
    static const char *const paths[FILES] = {"1/old/a.bin", "1/b.bin"};
    log_redirect(-1);
    *world = (struct crash_world){.connection = 1, .cut = cut, .where = where, .at = at};
    random_init(&world->random, seed);
    world->network = sim_network_create(seed, &(struct sim_faults){0}, 4096);
    world->disk = sim_disk_create(seed, &none);
    world->files = sim_files_create(seed);
    sim_disk_insert(world->disk);
    for (unsigned i = 0; i < FILES; i++) {
        struct sent *file = &world->sent[i];
        for (size_t n = 0; n < FILE_BYTES; n++)
            file->bytes[n] = (uint8_t)random_u64(&world->random);
        sha256_text(slice_of(file->bytes, FILE_BYTES), file->digest);
        snprintf(file->path, sizeof file->path, "%s", paths[i]);
    }
    sim_files_put(world->files, paths[0], slice_text(OLD));
    cr_assert(start_process(world));
}

static void close_crash_world(struct crash_world *world)
{
    stop_process(world);
    sim_files_destroy(world->files);
    sim_disk_destroy(world->disk);
    sim_network_destroy(world->network);
}

/* To the end, and then the power goes once more. */
static void finish(struct crash_world *world)
{
    for (unsigned steps = 0; !is_done(world); steps++) {
        must(world, steps < STEPS_MAX, "it does not come to its end");
        step(world);
    }
    restart(world, true);
    resume_all(world);
    must(world, is_done(world), "what was complete is not any more");
    must(world, sim_files_count(world->files) == FILES, "a file in the making is left over");
}

#define SEEDS 6

Test(depot_crash, keeps_what_it_has_answered_when_it_ends_before_any_operation_on_a_file)
{
    unsigned ended = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (uint64_t at = 1, last = 1; at <= last; at++)
            for (unsigned cut = 0; cut < 2; cut++) {
                struct crash_world world;
                open_crash_world(&world, seed, "file operation", at, cut == 1);
                uint64_t begun = world.files->operations;
                world.files->faults.end_at = begun + at;
                world.files->faults.end_is_cut = cut == 1;
                finish(&world);
                ended += world.files->faults.end_at == 0;
                last = at == 1 ? world.files->operations - begun : last;
                close_crash_world(&world);
            }
    cr_assert_gt(ended, 100);
}

Test(depot_crash, keeps_what_it_has_answered_when_it_ends_before_any_operation_of_the_store)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (uint64_t at = 1, last = 1; at <= last; at++)
            for (unsigned cut = 0; cut < 2; cut++) {
                struct crash_world world;
                open_crash_world(&world, seed, "store operation", at, cut == 1);
                uint64_t begun = world.disk->operations;
                world.disk->faults.end_at = begun + at;
                world.disk->faults.end_is_cut = cut == 1;
                finish(&world);
                last = at == 1 ? world.disk->operations - begun : last;
                close_crash_world(&world);
            }
}

/* Each operation fails once; some steps later the power goes. */
static void fail_once(uint64_t seed, bool of_store, int error)
{
    for (uint64_t at = 1, last = 1; at <= last; at++) {
        struct crash_world world;
        open_crash_world(&world, seed, of_store ? "failed operation of the store" : "failed operation on a file", at,
                         true);
        uint64_t *operations = of_store ? &world.disk->operations : &world.files->operations, begun = *operations;
        if (of_store) {
            world.disk->faults.fail_at = begun + at;
            world.disk->faults.fail_with = error;
        } else {
            world.files->faults.fail_at = begun + at;
            world.files->faults.fail_with = error;
        }
        for (unsigned steps = 0; steps < STEPS_MAX && *operations < begun + at && !is_done(&world); steps++)
            step(&world);
        for (unsigned more = (unsigned)random_below(&world.random, 4); more > 0 && !is_done(&world); more--)
            step(&world);
        restart(&world, true);
        resume_all(&world);
        finish(&world);
        last = at == 1 ? *operations - begun : last;
        close_crash_world(&world);
    }
}

Test(depot_crash, keeps_what_it_has_answered_when_an_operation_on_a_file_fails)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fail_once(seed, false, -EIO);
        fail_once(seed, false, -ENOSPC);
    }
}

Test(depot_crash, keeps_what_it_has_answered_when_an_operation_of_the_store_fails)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fail_once(seed, true, -EIO);
        fail_once(seed, true, -ENOSPC);
    }
}
