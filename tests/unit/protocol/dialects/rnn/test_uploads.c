/* SPDX-License-Identifier: MIT */
/* Uploads at the session and at the depot, on a disk in memory: starts and their limits, chunks in any order, pauses,
 * whose a session is, groups, ends, what survives a crash, what time ends, and disks that fail. Run by unit_protocol. */
#include "protocol/base64.h"
#include "protocol/dialects/rnn/uploads.h"
#include "protocol/jwt.h"
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_OF_HELLO "93bad441a0fac99ecd2951257d746c63eda6a8c48eaf38d0269c5ff01a8082c8"
#define HASH_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)

static struct pure_host host;
static char session[UPLOAD_ID_BYTES + 1]; /* of the last start */

static void come(uint32_t index, const char *user)
{
    uint8_t memory[900];
    char path[1024];
    struct buf token = buf_of(memory, sizeof memory);
    int64_t now_s = (int64_t)(pure_wall_ms(&host) / 1000);
    jwt_make(&token, slice_text("a secret of the tests 32 characters or more"), slice_text(user), now_s,
             now_s + 1000000);
    snprintf(path, sizeof path, "/api/ws?token=%.*s", (int)token.used, (const char *)token.data);
    cr_assert_eq(pure_connect(&host, index, path, ""), 101);
    while (pure_take(&host, index) != NULL) {
    }
}

static void begin(const char *require_service)
{
    pure_init(&host, "rnn");
    cr_assert_eq(pure_set(&host, "secrets", "a secret of the tests 32 characters or more"), 0);
    pure_set(&host, "peer_id", "self");
    pure_set(&host, "uploads", "/srv/uploads");
    pure_set(&host, "require_service", require_service);
    pure_set(&host, "snapshot_on_connect", "false");
    pure_set(&host, "idle_timeout", "0");
    pure_set(&host, "ping_interval", "0");
    pure_start(&host);
    come(0, "op");
}

/* The next answer to uploads, tables passed over; NULL: none. Without its envelope: TYPE PAYLOAD, the type short. */
static const char *heard(uint32_t index)
{
    static char text[DEPOT_REPLY_BYTES_MAX];
    for (const struct pure_message *next; (next = pure_take(&host, index)) != NULL;) {
        const char *message = (const char *)next->data;
        const char *type = strstr(message, "{\"type\":\"") + 9, *payload = strstr(message, ",\"payload\":") + 11;
        const char *end = strstr(payload, ",\"timestamp\":");
        if (strncmp(type, "file.upload.", 12) == 0)
            type += 12;
        else if (strncmp(type, "error\"", 6) != 0)
            continue;
        snprintf(text, sizeof text, "%.*s %.*s", (int)strcspn(type, "\""), type, (int)(end - payload), payload);
        return text;
    }
    return NULL;
}

static void say(uint32_t index, const char *type, const char *payload)
{
    static char text[1U << 20];
    snprintf(text, sizeof text, "{\"type\":\"file.upload.%s\",\"payload\":%s,\"timestamp\":1}", type, payload);
    pure_send_text(&host, index, text);
}

/* The next answer is this, $ standing for the session; `wanted` NULL: there is none. */
#define expect_heard(index, wanted) expect_heard_at(__LINE__, (index), (wanted))
static void expect_heard_at(int line, uint32_t index, const char *wanted)
{
    char full[DEPOT_REPLY_BYTES_MAX];
    const char *found = heard(index);
    if (wanted == NULL) {
        cr_assert_null(found, "line %d: %s", line, found);
        return;
    }
    struct buf out = buf_of(full, sizeof full - 1);
    for (const char *at = wanted; *at != '\0'; at++)
        if (*at == '$')
            buf_put_text(&out, session);
        else
            buf_put_byte(&out, (uint8_t)*at);
    full[out.used] = '\0';
    cr_assert_not_null(found, "line %d: nothing, wanted %s", line, full);
    cr_assert_str_eq(found, full, "line %d: %s", line, found);
}

/* A start whose answer is a session. */
static void start(uint32_t index, const char *payload)
{
    say(index, "start", payload);
    const char *text = heard(index), *id = text == NULL ? NULL : strstr(text, "session-");
    cr_assert(id != NULL && strncmp(text, "progress ", 9) == 0, "%s", text);
    snprintf(session, sizeof session, "%.*s", UPLOAD_ID_BYTES, id);
}

static void chunk(uint32_t index, unsigned number, const char *base64)
{
    char payload[512];
    snprintf(payload, sizeof payload, "{\"session_id\":\"%s\",\"chunk_index\":%u,\"data\":\"%s\"}", session, number,
             base64);
    say(index, "chunk", payload);
}

static void about_session(uint32_t index, const char *type)
{
    char payload[128];
    snprintf(payload, sizeof payload, "{\"session_id\":\"%s\"}", session);
    say(index, type, payload);
}

/* "hello rnn!" in three chunks of 4 bytes. */
#define HELLO(group, path)                                                                                             \
    "{\"service_id\":1,\"upload_group_id\":\"" group "\",\"filename\":\"hi.txt\",\"file_path\":\"" path                \
    "\",\"file_index\":0,\"total_files\":1,\"total_size\":10,\"total_chunks\":3,\"chunk_size\":4}"
static const char *const hello[] = {"aGVsbA==", "byBybg==", "biE="};

static void expect_file(const char *target, const char *text)
{
    const struct pure_file *file = pure_depot_file(host.depot, target);
    cr_assert_not_null(file, "%s", target);
    cr_expect(slice_is(slice_of(file->data, file->bytes), text), "%.*s", (int)file->bytes, (const char *)file->data);
}

/* --- from start to end -------------------------------------------------------------------------------------------- */

Test(uploads, goes_from_start_to_end) /* N-53, N-60 to N-62, N-64 to N-66, N-69, N-72; SN-4 */
{
    begin("false");
    start(0, HELLO("g-1", "in/hi.txt"));
    chunk(0, 1, hello[1]);
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40}");
    chunk(0, 1, hello[1]);
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40}");
    about_session(0, "pause");
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40,"
                    "\"status\":\"paused\"}");
    about_session(0, "pause"); /* twice is harmless */
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40,"
                    "\"status\":\"paused\"}");
    chunk(0, 0, hello[0]);
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Upload session is paused\",\"code\":\"WRITE_FAILED\"}");
    pure_disconnect(&host, 0);
    pure_crash(&host);
    come(1, "op");
    about_session(1, "resume");
    expect_heard(1, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40,"
                    "\"status\":\"active\",\"next_chunk_index\":0,\"missing_chunks\":[0,2]}");
    chunk(1, 2, hello[2]);
    expect_heard(1, "progress {\"session_id\":\"$\",\"chunks_received\":2,\"bytes_uploaded\":6,\"percentage\":60}");
    cr_expect_null(pure_depot_file(host.depot, "1/in/hi.txt"), "nothing stands there before it is whole");
    chunk(1, 0, hello[0]);
    expect_heard(1, "progress {\"session_id\":\"$\",\"chunks_received\":3,\"bytes_uploaded\":10,\"percentage\":100}");
    expect_heard(1,
                 "complete {\"session_id\":\"$\",\"file_hash\":\"sha256:" HASH_OF_HELLO "\",\"group_complete\":true}");
    expect_file("1/in/hi.txt", "hello rnn!");
    cr_expect_eq(pure_depot_staged(host.depot), 0);
    chunk(1, 0, hello[0]); /* N-70 */
    expect_heard(1,
                 "error {\"session_id\":\"$\",\"error\":\"Upload session not found\",\"code\":\"SESSION_NOT_FOUND\"}");
    about_session(1, "resume"); /* who has not heard the end hears it */
    expect_heard(1,
                 "complete {\"session_id\":\"$\",\"file_hash\":\"sha256:" HASH_OF_HELLO "\",\"group_complete\":true}");
    pure_close(&host);
}

Test(uploads, takes_chunks_in_every_order) /* N-61, N-69: the hash is over the file, whatever came first */
{
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    begin("false");
    for (unsigned i = 0; i < 6; i++) {
        start(0, HELLO("g", "f"));
        for (unsigned n = 0; n < 3; n++) {
            chunk(0, orders[i][n], hello[orders[i][n]]);
            cr_assert_not_null(heard(0));
        }
        expect_heard(0, "complete {\"session_id\":\"$\",\"file_hash\":\"sha256:" HASH_OF_HELLO
                        "\",\"group_complete\":true}");
        expect_file("1/f", "hello rnn!");
        pure_advance(&host, 25 * HOUR_MS); /* the group is forgotten */
    }
    pure_close(&host);
}

Test(uploads, takes_an_empty_file) /* N-57, Q-39 */
{
    begin("false");
    start(0, "{\"service_id\":1,\"filename\":\"none\",\"file_path\":\"\",\"total_size\":0,\"total_chunks\":0,\"chunk_"
             "size\":1}");
    expect_heard(0, "complete {\"session_id\":\"$\",\"file_hash\":\"sha256:" HASH_OF_NOTHING
                    "\",\"group_complete\":true}");
    expect_file("1/none", "");
    start(0, "{\"service_id\":1,\"filename\":\"n\",\"file_path\":\"d/"
             "\",\"total_size\":0,\"total_chunks\":1,\"chunk_size\":0}");
    expect_heard(0, "complete {\"session_id\":\"$\",\"file_hash\":\"sha256:" HASH_OF_NOTHING
                    "\",\"group_complete\":true}");
    expect_file("1/d/n", "");
    pure_close(&host);
}

Test(uploads, takes_the_floor_form_of_chunks) /* N-55: the last one is longer */
{
    begin("false");
    start(0, "{\"service_id\":1,\"filename\":\"f\",\"file_path\":\"f\",\"total_size\":10,\"total_chunks\":2,\"chunk_"
             "size\":4}");
    chunk(0, 0, hello[0]);
    cr_assert_not_null(heard(0));
    chunk(0, 1, "byBybm4h");
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":2,\"bytes_uploaded\":10,\"percentage\":100}");
    cr_assert_not_null(heard(0));
    expect_file("1/f", "hello rnn!");
    pure_close(&host);
}

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static const char *refusal(const char *members)
{
    static char error[256];
    char payload[2048];
    snprintf(payload, sizeof payload, "{%s}", members);
    say(0, "start", payload);
    const char *text = heard(0);
    cr_assert_not_null(text);
    const char *at = strstr(text, "\"error\":\"");
    if (at == NULL)
        return "";
    cr_assert_not_null(strstr(text, "\"code\":\"UPLOAD_START_FAILED\",\"upload_group_id\":\""), "%s", text);
    cr_assert_not_null(strstr(text, "{\"session_id\":\"\","), "%s", text);
    snprintf(error, sizeof error, "%.*s", (int)strcspn(at + 9, "\""), at + 9);
    return error;
}

#define FILE_OF(size, chunks, bytes)                                                                                   \
    "\"service_id\":1,\"filename\":\"f\",\"file_path\":\"f\",\"total_size\":" size ",\"total_chunks\":" chunks         \
    ",\"chunk_size\":" bytes

Test(uploads, refuses_starts_that_do_not_add_up) /* N-52, N-55, N-56, N-58, N-71, N-74, Q-43 */
{
    static const struct {
        const char *members, *error;
    } rows[] = {
        {FILE_OF("10", "4", "4"), "total_chunks does not fit total_size and chunk_size"},
        {FILE_OF("10", "1", "4"), "total_chunks does not fit total_size and chunk_size"},
        {FILE_OF("10", "5", "4"), "total_chunks does not fit total_size and chunk_size"},
        {FILE_OF("10", "3", "0"), "chunk_size must be 1 to 7340032"},
        {FILE_OF("10", "1", "7340033"), "chunk_size must be 1 to 7340032"},
        {FILE_OF("10", "0", "4"), "total_chunks must be 1 to 1048576"},
        {FILE_OF("1048577", "1048577", "1"), "total_chunks must be 1 to 1048576"},
        {FILE_OF("10737418241", "10241", "1048576"), "total_size must be 0 to 10737418240"},
        {FILE_OF("14680063", "2", "7340000"), "Last chunk too large"},
        {FILE_OF("-1", "1", "1"), "total_size must be 0 to 10737418240"},
        {FILE_OF("\"1\"", "1", "1"), "total_size must be 0 to 10737418240"},
        {FILE_OF("1", "1.5", "1"), "total_chunks and chunk_size must be integers"},
        {FILE_OF("0", "2", "1"), "total_chunks must be 0 or 1 for an empty file"},
        {FILE_OF("1", "1", "1") ",\"file_index\":1", "file_index must be less than total_files"},
        {FILE_OF("1", "1", "1") ",\"file_index\":-1", "file_index must be an integer, 0 or more"},
        {FILE_OF("1", "1", "1") ",\"total_files\":0", "total_files must be 1 to 100000"},
        {FILE_OF("1", "1", "1") ",\"total_files\":100001", "total_files must be 1 to 100000"},
        {FILE_OF("1", "1", "1") ",\"upload_group_id\":\"\"", "upload_group_id must be a string of 1 to 256 bytes"},
        {FILE_OF("1", "1", "1") ",\"upload_group_id\":1", "upload_group_id must be a string of 1 to 256 bytes"},
        {"\"filename\":\"f\",\"file_path\":\"f\"", "service_id must be an integer, 0 or more"},
        {"\"service_id\":1,\"filename\":\"f\",\"total_size\":1,\"total_chunks\":1,\"chunk_size\":1",
         "Invalid file path"},
        {"\"service_id\":1,\"filename\":\"f\",\"file_path\":\"../"
         "x\",\"total_size\":1,\"total_chunks\":1,\"chunk_size\":1",
         "Invalid file path"},
        {"\"service_id\":1,\"filename\":\"f\",\"file_path\":\"link/"
         "x\",\"total_size\":1,\"total_chunks\":1,\"chunk_size\":1",
         "Invalid file path"},
    };
    begin("false");
    snprintf(host.depot->link, sizeof host.depot->link, "1/link");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_str_eq(refusal(rows[i].members), rows[i].error, "row %zu: %s", i, rows[i].members);
    say(0, "start", "17");
    expect_heard(0,
                 "error {\"session_id\":\"\",\"error\":\"payload must be an object\",\"code\":\"UPLOAD_START_FAILED\","
                 "\"upload_group_id\":\"\",\"file_index\":0}");
    cr_expect_str_eq(refusal(FILE_OF("10737418240", "10240", "1048576")), "", "as large as one may be");
    host.depot->room = 10737418240 + 9;
    cr_expect_str_eq(refusal(FILE_OF("10", "1", "10")), "Not enough disk space", "what others still want is taken");
    cr_expect_str_eq(refusal(FILE_OF("9", "1", "9")), "");
    cr_expect_eq(pure_depot_staged(host.depot), 2);
    pure_close(&host);
}

Test(uploads, knows_the_services_of_the_table) /* N-54 */
{
    begin("true");
    cr_expect_str_eq(refusal(FILE_OF("1", "1", "1")), "Service not found");
    cr_assert_eq(pure_ingest(&host, "services",
                             "{\"op\":\"upsert\",\"items\":[{\"id\":1,\"name\":\"a\",\"service_type\":\"DATA\"}]}"),
                 202);
    cr_expect_str_eq(refusal(FILE_OF("1", "1", "1")), "");
    pure_close(&host);
}

Test(uploads, refuses_chunks_that_do_not_fit) /* N-59, N-63, N-73, N-74, Q-48; SN-5 */
{
    begin("false");
    start(0, HELLO("g", "f"));
    chunk(0, 0, "%%%");
    expect_heard(
        0, "error {\"session_id\":\"$\",\"error\":\"data must be base64 with padding\",\"code\":\"INVALID_ENCODING\"}");
    chunk(0, 0, "aGVsbB==");
    expect_heard(
        0, "error {\"session_id\":\"$\",\"error\":\"data must be base64 with padding\",\"code\":\"INVALID_ENCODING\"}");
    chunk(0, 0, "aGVs");
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Chunk size mismatch: expected 4 bytes, got 3\","
                    "\"code\":\"WRITE_FAILED\"}");
    chunk(0, 2, hello[0]);
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Chunk size mismatch: expected 2 bytes, got 4\","
                    "\"code\":\"WRITE_FAILED\"}");
    chunk(0, 3, hello[0]);
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Chunk index out of range\",\"code\":\"WRITE_FAILED\"}");
    say(0, "chunk", "{\"session_id\":\"session-none\",\"chunk_index\":0,\"data\":\"\"}");
    expect_heard(0, "error {\"session_id\":\"session-none\",\"error\":\"Upload session not "
                    "found\",\"code\":\"SESSION_NOT_FOUND\"}");
    say(0, "chunk", "{\"chunk_index\":0,\"data\":\"\"}");
    expect_heard(0, "error {\"error\":\"session_id must be a string\",\"code\":\"INVALID_PAYLOAD\"}");
    say(0, "chunk", "{\"session_id\":\"x\",\"data\":\"\"}");
    expect_heard(0, "error {\"error\":\"expected session_id, chunk_index and data\",\"code\":\"INVALID_PAYLOAD\"}");
    say(0, "pause", "[]");
    expect_heard(0, "error {\"error\":\"payload must be an object\",\"code\":\"INVALID_PAYLOAD\"}");
    chunk(0, 0, hello[0]); /* it has stayed usable */
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40}");
    chunk(0, 0, "aGVs"); /* length comes before repetition */
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Chunk size mismatch: expected 4 bytes, got 3\","
                    "\"code\":\"WRITE_FAILED\"}");
    come(1, "other");
    chunk(1, 1, hello[1]);
    expect_heard(1,
                 "error {\"session_id\":\"$\",\"error\":\"Upload session not found\",\"code\":\"SESSION_NOT_FOUND\"}");
    about_session(1, "resume");
    expect_heard(1,
                 "error {\"session_id\":\"$\",\"error\":\"Upload session not found\",\"code\":\"SESSION_NOT_FOUND\"}");
    pure_close(&host);
}

Test(uploads, rounds_percentages_to_two_digits) /* N-60 */
{
    begin("false");
    start(0, "{\"service_id\":1,\"filename\":\"f\",\"file_path\":\"f\",\"total_size\":3,\"total_chunks\":3,\"chunk_"
             "size\":1}");
    chunk(0, 0, "YQ==");
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":1,\"percentage\":33.33}");
    chunk(0, 1, "YQ==");
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":2,\"bytes_uploaded\":2,\"percentage\":66.67}");
    pure_close(&host);
}

/* --- whose a session is ------------------------------------------------------------------------------------------- */

Test(uploads, follows_its_user_to_another_connection) /* N-66, N-67, Q-39, Q-42 */
{
    begin("false");
    come(1, "op");
    start(0, HELLO("g", "f"));
    chunk(1, 0, hello[0]); /* active: it moves, and who sent it is answered */
    expect_heard(1, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40}");
    expect_heard(0, NULL);
    pure_disconnect(&host, 0); /* it is no longer that one's */
    chunk(1, 1, hello[1]);
    expect_heard(1, "progress {\"session_id\":\"$\",\"chunks_received\":2,\"bytes_uploaded\":8,\"percentage\":80}");
    pure_disconnect(&host, 1);
    come(2, "op");
    chunk(2, 2, hello[2]); /* paused: a chunk wakes it not */
    expect_heard(2, "error {\"session_id\":\"$\",\"error\":\"Upload session is paused\",\"code\":\"WRITE_FAILED\"}");
    about_session(2, "resume");
    expect_heard(2, "progress {\"session_id\":\"$\",\"chunks_received\":2,\"bytes_uploaded\":8,\"percentage\":80,"
                    "\"status\":\"active\",\"next_chunk_index\":2,\"missing_chunks\":[2]}");
    chunk(2, 2, hello[2]);
    cr_assert_not_null(heard(2));
    expect_heard(2,
                 "complete {\"session_id\":\"$\",\"file_hash\":\"sha256:" HASH_OF_HELLO "\",\"group_complete\":true}");
    pure_close(&host);
}

Test(uploads, limits_open_sessions_of_a_user) /* N-56, Q-38 */
{
    char payload[512];
    begin("false");
    pure_set(&host, "uploads_per_user", "3");
    for (unsigned i = 0; i < 4; i++) {
        snprintf(payload, sizeof payload,
                 FILE_OF("1", "1", "1") ",\"upload_group_id\":\"g\",\"total_files\":9,\"file_index\":%u", i);
        cr_expect_str_eq(refusal(payload), i < 3 ? "" : "Too many open uploads");
        pure_advance(&host, i < 3 ? MINUTE_MS : 7 * MINUTE_MS - 1);
    }
    cr_expect_str_eq(refusal(payload), "Too many open uploads");
    pure_advance(&host, 1);
    cr_expect_str_eq(refusal(payload), "", "the one that has been silent for ten minutes has gone");
    cr_expect_eq(pure_depot_staged(host.depot), 3);
    come(1, "other");
    start(1, HELLO("g", "f"));
    pure_close(&host);
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

#define OF_GROUP(name, index, total)                                                                                   \
    "{\"service_id\":1,\"upload_group_id\":\"g\",\"filename\":\"" name "\",\"file_path\":\"" name                      \
    "\",\"file_index\":" index ",\"total_files\":" total ",\"total_size\":1,\"total_chunks\":1,\"chunk_size\":1}"

Test(uploads, completes_groups) /* N-71, N-72, Q-40, Q-49 */
{
    char first[UPLOAD_ID_BYTES + 1];
    begin("false");
    start(0, OF_GROUP("a", "0", "2"));
    memcpy(first, session, sizeof first);
    start(0, OF_GROUP("a", "0", "2")); /* open and the same: it is that one */
    cr_expect_str_eq(session, first);
    say(0, "start", OF_GROUP("b", "0", "2"));
    expect_heard(0, "error {\"session_id\":\"\",\"error\":\"Upload already open with other values\","
                    "\"code\":\"UPLOAD_START_FAILED\",\"upload_group_id\":\"g\",\"file_index\":0}");
    say(0, "start", OF_GROUP("b", "1", "3"));
    expect_heard(0, "error {\"session_id\":\"\",\"error\":\"total_files differs from the group's\","
                    "\"code\":\"UPLOAD_START_FAILED\",\"upload_group_id\":\"g\",\"file_index\":1}");
    chunk(0, 0, "YQ==");
    cr_assert_not_null(heard(0));
    cr_assert_null(strstr(heard(0), "group_complete"));
    pure_crash(&host); /* what is complete is remembered */
    come(0, "op");
    say(0, "start", OF_GROUP("a", "0", "2"));
    expect_heard(0, "error {\"session_id\":\"\",\"error\":\"File is already complete\","
                    "\"code\":\"UPLOAD_START_FAILED\",\"upload_group_id\":\"g\",\"file_index\":0}");
    come(1, "other");
    start(1, OF_GROUP("a", "0", "1")); /* ids are per user */
    start(0, OF_GROUP("b", "1", "2"));
    chunk(0, 0, "Yg==");
    cr_assert_not_null(heard(0));
    cr_assert_not_null(strstr(heard(0), "group_complete"));
    pure_advance(&host, 24 * HOUR_MS + MINUTE_MS);
    start(0, OF_GROUP("a", "0", "3")); /* forgotten */
    pure_close(&host);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

Test(uploads, ends_what_nobody_goes_on_with) /* N-67 */
{
    begin("false");
    start(0, HELLO("g", "f"));
    pure_advance(&host, 29 * MINUTE_MS);
    chunk(0, 0, hello[0]);
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40}");
    pure_advance(&host, 31 * MINUTE_MS);
    chunk(0, 1, hello[1]);
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Upload session is paused\",\"code\":\"WRITE_FAILED\"}");
    pure_advance(&host, 23 * HOUR_MS);
    about_session(0, "resume");
    cr_assert(strncmp(heard(0), "progress", 8) == 0);
    about_session(0, "pause");
    cr_assert_not_null(heard(0));
    pure_advance(&host, 24 * HOUR_MS + MINUTE_MS);
    about_session(0, "resume");
    expect_heard(0,
                 "error {\"session_id\":\"$\",\"error\":\"Upload session not found\",\"code\":\"SESSION_NOT_FOUND\"}");
    cr_expect_eq(pure_depot_staged(host.depot), 0);
    cr_expect_eq(host.depot->entry_count, 0);
    pure_close(&host);
}

/* --- disks -------------------------------------------------------------------------------------------------------- */

Test(uploads, says_when_a_file_in_the_making_is_gone) /* N-68 */
{
    begin("false");
    start(0, HELLO("g", "f"));
    chunk(0, 1, hello[1]);
    cr_assert_not_null(heard(0));
    about_session(0, "pause");
    cr_assert_not_null(heard(0));
    pure_depot_lose(host.depot, session);
    about_session(0, "resume");
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"The file of this upload is gone; start it again\","
                    "\"code\":\"SESSION_RESTORE_FAILED\"}");
    about_session(0, "resume");
    expect_heard(0,
                 "error {\"session_id\":\"$\",\"error\":\"Upload session not found\",\"code\":\"SESSION_NOT_FOUND\"}");
    cr_expect_eq(host.depot->entry_count, 0);
    pure_close(&host);
}

Test(uploads, goes_on_when_there_is_room_again) /* N-70 */
{
    begin("false");
    start(0, HELLO("g", "f"));
    host.depot->error = -ENOSPC;
    host.depot->fails_at = host.depot->operations + 1;
    chunk(0, 0, hello[0]);
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Not enough disk space\",\"code\":\"WRITE_FAILED\"}");
    for (unsigned i = 0; i < 2; i++) {
        chunk(0, i, hello[i]);
        cr_assert(strncmp(heard(0), "progress", 8) == 0);
    }
    host.depot->error = -EISDIR;
    host.depot->fails_at =
        host.depot->operations + 4; /* of the last chunk: its bytes, its bit, that it is on its way; its place */
    chunk(0, 2, hello[2]);
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":3,\"bytes_uploaded\":10,\"percentage\":100}");
    expect_heard(0, "error {\"session_id\":\"$\",\"error\":\"Invalid file path\",\"code\":\"WRITE_FAILED\"}");
    pure_crash(&host);
    come(0, "op");
    about_session(0, "resume"); /* tries the end again */
    expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":3,\"bytes_uploaded\":10,\"percentage\":100,"
                    "\"status\":\"active\",\"next_chunk_index\":3,\"missing_chunks\":[]}");
    expect_heard(0,
                 "complete {\"session_id\":\"$\",\"file_hash\":\"sha256:" HASH_OF_HELLO "\",\"group_complete\":true}");
    expect_file("1/f", "hello rnn!");
    pure_close(&host);
}

Test(uploads, chunks_do_not_count_as_messages) /* N-18 */
{
    begin("false");
    pure_set(&host, "messages_max", "3");
    pure_set(&host, "messages_window", "1h");
    start(0, HELLO("g", "f"));
    for (unsigned i = 0; i < 20; i++) {
        chunk(0, 0, hello[0]);
        expect_heard(0, "progress {\"session_id\":\"$\",\"chunks_received\":1,\"bytes_uploaded\":4,\"percentage\":40}");
    }
    for (unsigned i = 0; i < 3; i++)
        about_session(0, "pause");
    cr_assert_not_null(heard(0));
    cr_assert_not_null(heard(0));
    expect_heard(0, "error {\"error\":\"Too many messages\",\"code\":\"RATE_LIMITED\"}");
    pure_close(&host);
}

Test(uploads, knows_no_uploads_where_there_is_no_folder) /* N-19 */
{
    pure_init(&host, "rnn");
    cr_assert_eq(pure_set(&host, "secrets", "a secret of the tests 32 characters or more"), 0);
    pure_start(&host);
    come(0, "op");
    say(0, "start", "{}");
    expect_heard(0, "error {\"error\":\"Unknown message type: file.upload.start\",\"code\":\"UNKNOWN_MESSAGE_TYPE\"}");
    pure_close(&host);
}
