/* SPDX-License-Identifier: MIT */
/* Owns the dialect plain (plain.md): the path names the channels, and what is published there arrives byte for byte.
 * It never looks into a payload beyond asking whether it is UTF-8, and never sends anything of its own.
 * The pattern for a new dialect; sessions, ingest and channels call it through the table at the end. */
#include "protocol/dialects/plain/plain.h"

#include "protocol/http1.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#include <errno.h>
#include <stdlib.h>

#define PATH_PREFIX "/plain/"

/* What a connection publishes to, when clients may publish (O-4). */
struct plain_session {
    char *channel; /* NUL-terminated, owned; NULL: what the client sends is ignored */
};

static bool is_name_byte(uint8_t c)
{
    uint8_t lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == ':' || c == '-';
}

/* O-1 */
static bool is_channel_name(struct slice name)
{
    for (size_t i = 0; i < name.bytes; i++)
        if (!is_name_byte(name.data[i]))
            return false;
    return name.bytes >= 1 && name.bytes <= CHANNEL_NAME_BYTES_MAX;
}

static enum dialect_path plain_route(const void *settings, struct slice path)
{
    (void)settings;
    struct slice prefix = slice_text(PATH_PREFIX);
    return slice_starts(path, prefix) && path.bytes > prefix.bytes ? DIALECT_PATH_SOCKET : DIALECT_PATH_NONE;
}

static void refuse(struct actions *out, int status, const char *content)
{
    action_respond_json(out, status, slice_text(content));
}

/* The channels of one path, each once, in order of their first mention. */
struct channel_names {
    struct slice items[PLAIN_CHANNELS_MAX];
    uint32_t count;
};

/* Splits decoded names at commas. 0, or the status to refuse with: 404 a name that is none, 400 too many. */
static int split_names(struct slice text, struct channel_names *names)
{
    for (bool more = true; more;) {
        const uint8_t *comma = text.bytes == 0 ? NULL : memchr(text.data, ',', text.bytes);
        struct slice name = slice_of(text.data, comma == NULL ? text.bytes : (size_t)(comma - text.data));
        more = comma != NULL;
        text = slice_skip(text, name.bytes + 1);
        if (!is_channel_name(name))
            return 404;
        uint32_t i = 0;
        while (i < names->count && !slice_equal(names->items[i], name))
            i++;
        if (i < names->count)
            continue;
        if (names->count == PLAIN_CHANNELS_MAX)
            return 400;
        names->items[names->count++] = name;
    }
    return 0;
}

/* `?last=N` (O-5): absent is 0; false when it is no whole number. More than there can be means all. */
static bool history_wanted(const struct http1_request *request, struct buf *text, uint32_t *history_max)
{
    size_t mark = text->used;
    uint64_t last = 0;
    int found = http1_query_get(request->query, "last", text);
    if (found < 0 || (found > 0 && !json_u64(buf_since(text, mark), &last)))
        return false;
    *history_max = last > UINT32_MAX ? UINT32_MAX : (uint32_t)last;
    return true;
}

/* Keeps the channel that the client may publish to. False when memory is out. */
static bool remember_channel(struct plain_session *session, struct slice name)
{
    session->channel = malloc(name.bytes + 1);
    if (session->channel == NULL)
        return false;
    memcpy(session->channel, name.data, name.bytes);
    session->channel[name.bytes] = '\0';
    return true;
}

/* What the request asks for. 0, or the status to refuse with, and the body of that response. */
static int read_request(const struct http1_request *request, struct slice path, struct buf *text,
                        struct channel_names *names, uint32_t *history_max, const char **content)
{
    size_t mark = text->used;
    *content = "{\"error\":\"Unknown channel\"}";
    if (!http1_percent_decode(slice_skip(path, sizeof(PATH_PREFIX) - 1), text))
        return 404;
    int status = split_names(buf_since(text, mark), names);
    if (status == 400)
        *content = "{\"error\":\"Too many channels\"}";
    if (status == 0 && !history_wanted(request, text, history_max)) {
        *content = "{\"error\":\"last must be a whole number\"}";
        status = 400;
    }
    return status;
}

static void plain_open(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    const struct plain_settings *settings = call->settings;
    struct actions *out = call->out;
    struct channel_names names = {.count = 0};
    uint32_t history_max = 0;
    const char *content;
    int status = read_request(request, path, &out->text, &names, &history_max, &content);
    if (status != 0) {
        refuse(out, status, content);
        return;
    }
    if (!dialect_admit(call, request, "api_key"))
        return;
    if (settings->client_publish && !remember_channel(call->session, names.items[0])) {
        refuse(out, 503, "{\"error\":\"Out of memory\"}");
        return;
    }
    action_accept(out);
    for (uint32_t i = 0; i < names.count; i++)
        action_subscribe(out, names.items[i], slice_text(""), history_max);
}

static void plain_message(struct dialect_call *call, enum ws_opcode opcode, struct slice message)
{
    const struct plain_session *session = call->session;
    if (session->channel == NULL)
        return;
    struct event event = {.channel = slice_text(session->channel), .payload = message, .opcode = opcode};
    action_publish(call->out, &event);
}

static void plain_end(void *session)
{
    struct plain_session *plain = session;
    free(plain->channel);
    plain->channel = NULL;
}

/* One entry of plain.policy: "latest", or "PREFIX=latest" for the channels that begin so (O-6). */
static bool parse_policy(const char *entry, struct slice *prefix, enum channel_policy *policy)
{
    const char *equals = strchr(entry, '=');
    const char *word = equals == NULL ? entry : equals + 1;
    *prefix = slice_of(entry, equals == NULL ? 0 : (size_t)(equals - entry));
    *policy = strcmp(word, "latest") == 0 ? POLICY_LATEST : POLICY_LOSSLESS;
    return (strcmp(word, "latest") == 0 || strcmp(word, "lossless") == 0) &&
           (equals == NULL || is_channel_name(*prefix));
}

static int plain_check_settings(const void *settings, struct buf *why)
{
    const struct plain_settings *plain = settings;
    for (uint32_t i = 0; i < plain->policy.count; i++) {
        struct slice prefix;
        enum channel_policy policy;
        if (parse_policy(plain->policy.items[i], &prefix, &policy))
            continue;
        buf_put_text(why, "policy: \"");
        buf_put_text(why, plain->policy.items[i]);
        buf_put_text(why, "\" is no policy; write lossless, latest, PREFIX=lossless or PREFIX=latest");
        return -EINVAL;
    }
    return 0;
}

/* The longest prefix that fits decides; of two entries with the same one, the later. */
static void plain_traits(const void *settings, struct slice channel, struct channel_traits *traits)
{
    const struct plain_settings *plain = settings;
    size_t longest = 0;
    *traits = (struct channel_traits){
        .policy = POLICY_LOSSLESS, .retain_count = (uint32_t)plain->retain, .retain_age_ms = plain->retain_age_ms};
    for (uint32_t i = 0; i < plain->policy.count; i++) {
        struct slice prefix;
        enum channel_policy policy;
        if (!parse_policy(plain->policy.items[i], &prefix, &policy) || !slice_starts(channel, prefix) ||
            prefix.bytes < longest)
            continue;
        longest = prefix.bytes;
        traits->policy = policy;
    }
}

static int unknown_channel(struct ingest_call *call)
{
    call->field = "";
    call->message = "unknown topic; a channel is 1-128 of A-Z a-z 0-9 . _ : -";
    return 404;
}

static int plain_ingest(struct ingest_call *call, struct slice topic, struct slice body)
{
    if (!is_channel_name(topic))
        return unknown_channel(call);
    bool text = !call->binary && (call->json || utf8_valid(body)); /* O-2 */
    call->kind = INGEST_PUBLISH;
    call->event = (struct event){.channel = topic, .payload = body, .opcode = text ? WS_TEXT : WS_BINARY};
    return 0;
}

static int plain_read(struct ingest_call *call, struct slice topic)
{
    if (!is_channel_name(topic))
        return unknown_channel(call);
    call->kind = INGEST_NEWEST;
    call->event = (struct event){.channel = topic};
    return 0;
}

#define AT(field) offsetof(struct plain_settings, field)

static const struct option plain_options[] = {
    OPTION("client_publish", BOOL, AT(client_publish), "false",
           .doc = "What a connection sends is published to the first channel of its path."),
    OPTION("retain", COUNT, AT(retain), "0", .max = 1000000, .reloadable = true,
           .doc = "Newest messages of each channel kept for ?last=N."),
    OPTION("retain_age", DURATION, AT(retain_age_ms), "0", .reloadable = true,
           .doc = "How long they are kept; 0: no limit by age."),
    OPTION("policy", TEXTS, AT(policy), "lossless", .reloadable = true,
           .doc = "What slow readers get: lossless or latest, for all or as PREFIX=latest; the longest prefix counts."),
    {.name = NULL},
};

static const struct dialect_default plain_defaults[] = {{NULL, NULL}};

const struct dialect plain_dialect = {
    .name = "plain",
    .settings_bytes = sizeof(struct plain_settings),
    .options = plain_options,
    .defaults = plain_defaults,
    .session_bytes = sizeof(struct plain_session),
    .keyless_is_open = true,
    .check_settings = plain_check_settings,
    .paths = (const char *const[]){"/plain/example", NULL},
    .route = plain_route,
    .open = plain_open,
    .refused = dialect_refuse,
    .message = plain_message,
    .end = plain_end,
    .traits = plain_traits,
    .ingest = &(const struct dialect_ingest){.take = plain_ingest, .read = plain_read},
};
