/* SPDX-License-Identifier: MIT */
/* Owns the login over plain HTTP (N-2, Q-34, Q-52): the request, the check of the password beside the shards, the token,
 * and what a page elsewhere may read of it. It never keeps a password. Called by the session through rnn_rest and by
 * rnn.c. */
#include "protocol/dialects/rnn/rnn_session.h"

#include "core/check.h"
#include "protocol/json.h"
#include "protocol/jwt.h"
#include "protocol/password.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_MS 60000
#define METHODS "POST, OPTIONS"
#define ORIGIN_BYTES_MAX 200
/* Of nobody's password: a user who is not there costs what one who is does. */
#define NOBODY "$y$j9T$AAAAAAAAAAAAAAAAAAAAA.$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA."

enum { WORK_PASSWORD = 1 };

bool rnn_is_login(struct slice path)
{
    return slice_is(path, "/api/auth/login");
}

static void respond(struct dialect_call *call, int status, struct slice content)
{
    const struct rnn_session *session = call->session;
    const struct rnn_login *login = session->login;
    action_respond(call->out, &(struct http1_answer){.status = status,
                                                     .content_type = content.bytes > 0 ? "application/json" : NULL,
                                                     .content = content,
                                                     .extra = login != NULL ? login->extra : NULL,
                                                     .allow = METHODS,
                                                     .retry_after_s = status == 429 ? WINDOW_MS / 1000 : 0,
                                                     .varies_by_origin = login != NULL && login->varies});
}

static void respond_error(struct dialect_call *call, int status, const char *error)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, "{\"error\":");
    json_put_string(text, slice_text(error));
    buf_put_byte(text, '}');
    respond(call, status, buf_since(text, mark));
}

/* What a page at an origin that may connect is allowed (Fetch section 3.2); of others no header says anything. */
static void note_origin(struct dialect_call *call, const struct http1_request *request, bool preflight)
{
    const struct rnn_session *session = call->session;
    const struct dialect_settings *common = call->settings;
    struct rnn_login *login = session->login;
    struct slice origin = http1_header(request, "Origin");
    login->varies = common->origin_check;
    if (origin.data == NULL || origin.bytes > ORIGIN_BYTES_MAX || !common->origin_check || !call->origin_allowed)
        return;
    struct buf extra = buf_of(login->extra, sizeof login->extra - 1);
    buf_put_text(&extra, "Access-Control-Allow-Origin: ");
    buf_put(&extra, origin);
    buf_put_text(&extra, "\r\n");
    if (preflight)
        buf_put_text(&extra, "Access-Control-Allow-Methods: POST\r\nAccess-Control-Allow-Headers: Content-Type\r\n"
                             "Access-Control-Max-Age: 600\r\n");
    login->extra[extra.used] = '\0';
}

static void rnn_login(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    struct rnn_session *session = call->session;
    bool preflight = slice_is(request->method, "OPTIONS");
    (void)path;
    session->login = calloc(1, sizeof *session->login);
    if (session->login == NULL) {
        respond_error(call, 503, "Out of memory");
        return;
    }
    note_origin(call, request, preflight);
    if (preflight)
        respond(call, 204, slice_of(NULL, 0));
    else if (!slice_is(request->method, "POST"))
        respond_error(call, 405, "Method not allowed");
    else if (request->content_length > RNN_CONTENT_BYTES_MAX)
        respond_error(call, 413, "Request body too large");
}

static struct slice user_of(const struct rnn_login *login)
{
    return slice_of(login->user, login->user_bytes);
}

/* Appends HASH '\0' PASSWORD to the text, for rnn_work; false: it is no login. */
static bool take_credentials(struct dialect_call *call, struct slice content)
{
    enum { USER, PASSWORD, MEMBERS };
    struct json_member members[MEMBERS] = {{.name = "username"}, {.name = "password"}};
    const struct rnn_session *session = call->session;
    struct rnn_login *login = session->login;
    struct buf name = buf_of(login->user, sizeof login->user), *text = &call->out->text;
    if (json_find_members(content, 4, true, members, MEMBERS) != JSON_MEMBERS_OK ||
        members[USER].token != JSON_STRING || members[PASSWORD].token != JSON_STRING)
        return false;
    json_unescape(members[USER].raw, &name);
    login->user_bytes = name.overflow ? 0 : (uint8_t)name.used;
    const char *hash = rnn_user_hash(call->settings, user_of(login));
    buf_put_text(text, hash != NULL ? hash : NOBODY);
    buf_put_byte(text, '\0');
    json_unescape(members[PASSWORD].raw, text);
    return true;
}

static void rnn_credentials(struct dialect_call *call, struct slice content)
{
    struct buf *text = &call->out->text;
    const struct rnn_settings *settings = call->settings;
    size_t mark = text->used;
    if (!take_credentials(call, content)) {
        respond_error(call, 400, "Expected {\"username\":string,\"password\":string}");
        return;
    }
    action_acquire(call->out, QUOTA_ADDRESS_LEFT, slice_text(""), (uint32_t)settings->logins_failed_max, WINDOW_MS);
    action_work(call->out, WORK_PASSWORD, buf_since(text, mark), RNN_TAG_PASSWORD);
}

const struct dialect_rest rnn_rest = {
    .request = rnn_login, .content = rnn_credentials, .content_bytes_max = RNN_CONTENT_BYTES_MAX};

/* Beside the shards: HASH '\0' PASSWORD. */
int rnn_work(uint32_t kind, struct span body, struct buf *reply)
{
    const uint8_t *end = memchr(body.data, '\0', body.bytes);
    check(kind == WORK_PASSWORD && end != NULL);
    size_t hash = (size_t)(end - body.data) + 1;
    bool fits = password_is(slice_of(body.data + hash, body.bytes - hash), (const char *)body.data);
    (void)reply;
    return fits ? 200 : 401;
}

void rnn_login_refused(struct dialect_call *call)
{
    respond_error(call, 429, "Too many failed logins");
}

void rnn_login_replied(struct dialect_call *call, const struct dialect_reply *reply)
{
    const struct rnn_settings *settings = call->settings;
    const struct rnn_session *session = call->session;
    struct slice user = user_of(session->login);
    struct buf *text = &call->out->text;
    uint32_t limit = (uint32_t)settings->logins_failed_max;
    if (reply->status != 200 && reply->status != 401) {
        respond_error(call, 503, "Too many logins; try again later");
        return;
    }
    if (reply->status != 200 || rnn_user_hash(settings, user) == NULL) {
        action_acquire(call->out, QUOTA_ADDRESS_ATTEMPTS, slice_text(""), limit, WINDOW_MS);
        respond_error(call, 401, "Invalid credentials");
        return;
    }
    int64_t now_s = (int64_t)(call->wall_ms / 1000), expires_s = now_s + (int64_t)(settings->token_lifetime_ms / 1000);
    /* Many may have been begun at once: a right guess among them counts only while the wrong ones leave room. */
    action_acquire(call->out, QUOTA_ADDRESS_LEFT, slice_text(""), limit, WINDOW_MS);
    size_t mark = text->used;
    buf_put_text(text, "{\"token\":\"");
    jwt_make(text, slice_text(settings->secrets.items[0]), user, now_s, expires_s);
    buf_put_text(text, "\",\"expires_at\":");
    buf_put_i64(text, expires_s);
    buf_put_byte(text, '}');
    respond(call, 200, buf_since(text, mark));
}
