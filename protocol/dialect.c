/* SPDX-License-Identifier: MIT */
/* Owns what all dialects share: the common options, and admission by HTTP status.
 * It never carries an action out and knows no particular dialect.
 * The dialects admit with it, the configuration and the listeners read the option table. */
#include "protocol/dialect.h"

#include "protocol/action.h"
#include "protocol/http1.h"
#include "protocol/token.h"

static bool keys_required(const struct dialect_settings *settings)
{
    /* a file of keys that holds none lets nobody in, not everybody */
    return settings->grants.count > 0 || (settings->keys_file != NULL && settings->keys_file[0] != '\0');
}

bool dialect_lets_everybody_in(const struct dialect *dialect, const void *settings)
{
    return dialect->keyless_is_open && !keys_required(settings);
}

/* The request's key; no bytes when none is required. False: the 401 has been appended. */
static bool take_key(struct dialect_call *call, const struct http1_request *request, const char *query_name,
                     struct slice *key)
{
    const struct dialect_settings *settings = call->settings;
    struct actions *out = call->out;
    *key = slice_text("");
    if (!keys_required(settings))
        return true;
    size_t mark = out->text.used;
    bool found = token_from_request(request, query_name, &out->text);
    *key = buf_since(&out->text, mark);
    if (found && grant_find(&settings->grants, *key) >= 0)
        return true;
    action_respond_json(out, 401, slice_text("{\"error\":\"Authentication failed\"}"));
    return false;
}

bool dialect_authorize(struct dialect_call *call, const struct http1_request *request, const char *query_name)
{
    struct slice key;
    return take_key(call, request, query_name, &key);
}

bool dialect_admit(struct dialect_call *call, const struct http1_request *request, const char *query_name)
{
    const struct dialect_settings *settings = call->settings;
    struct actions *out = call->out;
    struct slice key;
    if (settings->connections_per_address > 0)
        action_acquire(out, QUOTA_ADDRESS, slice_text(""), (uint32_t)settings->connections_per_address, 0);
    if (!take_key(call, request, query_name, &key))
        return false;
    if (key.bytes == 0)
        return true;
    /* without a limit too: the place says whose connection it is when a key is revoked */
    action_acquire(out, QUOTA_KEY, key, (uint32_t)settings->connections_per_key, 0);
    return true;
}

void dialect_refuse(struct dialect_call *call, enum quota_kind quota)
{
    bool attempts = quota == QUOTA_ADDRESS_ATTEMPTS || quota == QUOTA_KEY_ATTEMPTS;
    action_respond_json(
        call->out, 429,
        slice_text(attempts ? "{\"error\":\"Too many attempts\"}" : "{\"error\":\"Too many connections\"}"));
}

#define AT(field) offsetof(struct dialect_settings, field)

const struct option dialect_common_options[] = {
    OPTION("listen", TEXTS, AT(listen), "", .doc = "Addresses and ports that serve this dialect; none: it is off."),
    OPTION("prefix", TEXT, AT(prefix), "", .doc = "A path before all its paths, such as /live."),
    OPTION("store", TEXT, AT(store), "",
           .doc = "Where its records are kept, for a dialect that keeps some: a file, or memory (nothing survives)."),
    OPTION("keys", SECRETS, AT(keys), "", .reloadable = true,
           .doc = "API keys that are let in; where a dialect has permissions, those of a key stand behind it."),
    OPTION("keys_file", TEXT, AT(keys_file), "", .reloadable = true, .doc = "A file of further keys, one a line."),
    OPTION("close_on_revoke", BOOL, AT(close_on_revoke), "true", .reloadable = true,
           .doc = "Close the connections of a key that is gone after a reload."),
    OPTION("origin_check", BOOL, AT(origin_check), "false", .reloadable = true,
           .doc = "Refuse browsers that come from other origins."),
    OPTION("origins", TEXTS, AT(origins), "", .reloadable = true,
           .doc = "Origins allowed by origin_check: SCHEME://HOST[:PORT], SCHEME://*.HOST for all below it, null, "
                  "file://, * for all; none: this host (at a loopback address only if in hosts) and localhost."),
    OPTION("compression", BOOL, AT(compression), "true", .reloadable = true,
           .doc = "Negotiate permessage-deflate with clients that offer it."),
    OPTION("compression_threshold", SIZE, AT(compression_threshold), "512B", .reloadable = true,
           .doc = "Shorter messages are sent uncompressed."),
    OPTION("message_bytes_max", SIZE, AT(message_bytes_max), "64KiB", .min = 1, .max = WS_MESSAGE_BYTES_MAX,
           .reloadable = true, .doc = "Largest message taken from a client."),
    OPTION("messages_max", COUNT, AT(messages_max), "100", .max = UINT32_MAX, .reloadable = true,
           .doc = "Messages taken from a connection in a window; 0: no limit."),
    OPTION("messages_window", DURATION, AT(messages_window_ms), "1s", .min = 1, .reloadable = true,
           .doc = "The window of messages_max."),
    OPTION("connections_per_address", COUNT, AT(connections_per_address), "0", .max = UINT32_MAX, .reloadable = true,
           .doc = "Connections at a time of one address; 0: no limit."),
    OPTION("connections_per_key", COUNT, AT(connections_per_key), "0", .max = UINT32_MAX, .reloadable = true,
           .doc = "Connections at a time of one key; 0: no limit."),
    OPTION("trusted_proxies", TEXTS, AT(trusted_proxies), "", .reloadable = true,
           .doc = "Addresses and networks, such as 10.0.0.0/8, whose X-Forwarded-For says who connects."),
    OPTION("group_ipv6", BOOL, AT(group_ipv6), "true", .reloadable = true,
           .doc = "Count the IPv6 addresses of one /64 as one address."),
    OPTION("outbox_bytes_max", SIZE, AT(outbox_bytes_max), "4MiB", .min = 1024, .reloadable = true,
           .doc = "What may wait for a slow reader behind the message being sent."),
    OPTION("ping_interval", DURATION, AT(ping_interval_ms), "30s", .reloadable = true,
           .doc = "Time between protocol pings; 0: none."),
    OPTION("idle_timeout", DURATION, AT(idle_timeout_ms), "90s", .reloadable = true,
           .doc = "A connection without any frame for so long is closed; 0: never."),
    OPTION("duration_max", DURATION, AT(duration_max_ms), "0", .reloadable = true,
           .doc = "Longest life of a connection; 0: no limit."),
    OPTION("send_timeout", DURATION, AT(send_timeout_ms), "0", .reloadable = true,
           .doc =
               "A send that does not move for so long ends its connection; 0: as send_timeout and idle_timeout say."),
    {.name = NULL},
};

static bool is_listen_row(const struct option *row)
{
    static const char suffix[] = "_listen";
    size_t bytes = strlen(row->name), tail = sizeof suffix - 1;
    return row->kind == OPTION_TEXTS && bytes > tail && strcmp(row->name + bytes - tail, suffix) == 0;
}

const struct option_texts *dialect_listen(const struct dialect *dialect, const void *settings, unsigned mount)
{
    const struct dialect_settings *common = settings;
    if (mount == 0)
        return &common->listen;
    for (const struct option *row = dialect->options; row != NULL && row->name != NULL; row++)
        if (is_listen_row(row) && --mount == 0)
            return (const struct option_texts *)((const char *)settings + row->offset);
    return NULL;
}
