/* SPDX-License-Identifier: MIT */
/* Owns what the hub of emprops promises of jobs: a play of clients, workers and a monitor in which the input decides
 * what each does, when time passes and when the process is killed, against the reference model
 * (tests/support/hub_model.h, hub_play.h), which foretells every message. With an odd first byte the players also say
 * what the input has, whole or inside a well-formed message; then the model is out, and every message must be JSON
 * with a type and the time, each request to the hub answered, and each record one that a new life loads. */
#include "fuzz/fuzz.h"
#include "protocol/json.h"
#include "tests/support/hub_play.h"

#define STEPS_MAX 160

static uint32_t choose(void *context, uint32_t bound)
{
    return fuzz_below(context, bound);
}

/* --- against the model -------------------------------------------------------------------------------------------- */

static void play_model(struct play *play, struct fuzz_input *input)
{
    for (int i = 0; i < STEPS_MAX && input->left > 0 && play_step(play); i++)
        ;
    play_end(play);
    if (play->error[0] != '\0')
        fprintf(stderr, "%s\n", play->error);
    expect(play->error[0] == '\0');
}

/* --- anything ----------------------------------------------------------------------------------------------------- */

static const char *const types[] = {"register_client",
                                    "register_worker",
                                    "submit_job",
                                    "request_job_status",
                                    "cancel_job",
                                    "claim_job",
                                    "job_accepted_by_worker",
                                    "update_job_progress",
                                    "complete_job",
                                    "fail_job",
                                    "worker_heartbeat",
                                    "worker_status",
                                    "subscribe_job",
                                    "subscribe_job_notifications",
                                    "subscribe_stats",
                                    "request_stats",
                                    "service_request",
                                    "connector_ws_status",
                                    "chunked_message",
                                    "ping",
                                    "pong",
                                    "disconnect"};

/* Takes all that has come; the first job that is named becomes the one that the players speak of. */
static void expect_messages(struct play *play, char job[20])
{
    for (uint32_t c = 0; c < PLAY_CONNS; c++) {
        const struct pure_message *message;
        while ((message = pure_take(&play->host, c)) != NULL) {
            struct json_member m[] = {{.name = "type"}, {.name = "timestamp"}, {.name = "job_id"}};
            struct slice text = slice_of(message->data, message->bytes);
            enum json_members found = json_find_members(text, JSON_DEPTH_MAX, false, m, 3);
            if (found != JSON_MEMBERS_OK)
                fprintf(stderr, "%.*s\n", (int)text.bytes, (const char *)text.data);
            expect(found == JSON_MEMBERS_OK && m[0].token == JSON_STRING && m[1].token == JSON_NUMBER);
            if (slice_is(m[0].raw, "job_accepted") && m[2].raw.bytes == 16) {
                memcpy(job, m[2].raw.data, 16);
                job[16] = '\0';
            }
        }
    }
}

/* What the input has, whole, or as further members of a message of a type that there is. */
static void say_anything(struct play *play, struct fuzz_input *input, uint32_t conn, const char *job)
{
    static char text[1200];
    const char *type = types[fuzz_below(input, sizeof types / sizeof types[0])];
    bool whole = fuzz_below(input, 8) == 0;
    struct slice piece = fuzz_piece(input);
    struct buf out = buf_of(text, sizeof text);
    if (!whole) {
        buf_put_text(&out, "{\"type\":\"");
        buf_put_text(&out, type);
        buf_put_text(&out, "\",\"job_id\":\"");
        buf_put_text(&out, job);
        buf_put_text(&out,
                     "\",\"job_type\":\"t\",\"payload\":{},\"result\":{},\"progress\":1,\"client_type\":\"job_client\","
                     "\"client_id\":\"c\",\"worker_id\":\"w1\",\"capabilities\":{\"services\":[\"a\",\"b\"]}");
        if (piece.bytes > 0)
            buf_put_byte(&out, ',');
    }
    buf_put(&out, piece);
    if (!whole)
        buf_put_byte(&out, '}');
    pure_send(&play->host, conn, WS_TEXT, buf_slice(&out));
}

static void play_anything(struct play *play, struct fuzz_input *input)
{
    char job[20] = "job-000000000000";
    for (int i = 0; i < STEPS_MAX && input->left > 0; i++) {
        uint32_t what = fuzz_below(input, 16), conn = fuzz_below(input, PLAY_CONNS);
        if (what == 0)
            pure_advance(&play->host, 1 + fuzz_below(input, 40000));
        else if (what == 1)
            pure_disconnect(&play->host, conn);
        else if (what == 2 && fuzz_below(input, 4) == 0)
            pure_crash(&play->host);
        else if (!play->host.conns[conn].open)
            expect(pure_connect(&play->host, conn, "/", "") == 101);
        else
            say_anything(play, input, conn, job);
        for (uint32_t n = 0; n < play->host.conn_count; n++)
            expect(play->host.conns[n].asked == 0);
        expect_messages(play, job);
    }
    pure_crash(&play->host); /* what it has kept is what it loads */
    pure_close(&play->host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct play play;
    struct fuzz_input input = {data, bytes};
    bool model = (fuzz_byte(&input) & 1) == 0;
    memset(&play, 0, sizeof play);
    play.choose = choose;
    play.context = &input;
    play_begin(&play);
    if (model)
        play_model(&play, &input);
    else
        play_anything(&play, &input);
    return 0;
}
