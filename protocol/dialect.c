/* SPDX-License-Identifier: MIT */
/* Owns what all dialects share: the common options, and admission by HTTP status.
 * It never carries an action out and knows no particular dialect.
 * The dialects admit with it, the configuration and the listeners read the option table. */
#include "protocol/dialect.h"

static bool keys_required(const struct dialect_settings *settings)
{
    /* a file of keys that holds none lets nobody in, not everybody */
    return settings->grants.count > 0 || (settings->keys_file != NULL && settings->keys_file[0] != '\0');
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
    /* RFC 9110 section 15.5.2: a 401 names a scheme */
    action_respond(out, 401, "application/json", slice_text("{\"error\":\"Authentication failed\"}"),
                   "WWW-Authenticate: Bearer\r\n");
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
    action_respond(call->out, 429, "application/json",
                   slice_text(attempts ? "{\"error\":\"Too many attempts\"}" : "{\"error\":\"Too many connections\"}"),
                   "Retry-After: 5\r\n");
}

#define AT(field) offsetof(struct dialect_settings, field)

const struct option dialect_common_options[] = {
    {.name = "listen",
     .kind = OPTION_TEXTS,
     .offset = AT(listen),
     .fallback = "",
     .doc = "Addresses and ports that serve this dialect; none: it is off."},
    {.name = "prefix",
     .kind = OPTION_TEXT,
     .offset = AT(prefix),
     .fallback = "",
     .doc = "A path before all its paths, such as /live."},
    {.name = "keys",
     .kind = OPTION_SECRETS,
     .offset = AT(keys),
     .fallback = "",
     .reloadable = true,
     .doc = "API keys that are let in; where a dialect has permissions, those of a key stand behind it."},
    {.name = "keys_file",
     .kind = OPTION_TEXT,
     .offset = AT(keys_file),
     .fallback = "",
     .reloadable = true,
     .doc = "A file of further keys, one a line."},
    {.name = "close_on_revoke",
     .kind = OPTION_BOOL,
     .offset = AT(close_on_revoke),
     .fallback = "true",
     .reloadable = true,
     .doc = "Close the connections of a key that is gone after a reload."},
    {.name = "origin_check",
     .kind = OPTION_BOOL,
     .offset = AT(origin_check),
     .fallback = "false",
     .reloadable = true,
     .doc = "Refuse browsers that come from other origins."},
    {.name = "origins",
     .kind = OPTION_TEXTS,
     .offset = AT(origins),
     .fallback = "",
     .reloadable = true,
     .doc = "Origins allowed by origin_check; none: this host and localhost."},
    {.name = "compression",
     .kind = OPTION_BOOL,
     .offset = AT(compression),
     .fallback = "true",
     .reloadable = true,
     .doc = "Negotiate permessage-deflate with clients that offer it."},
    {.name = "compression_threshold",
     .kind = OPTION_SIZE,
     .offset = AT(compression_threshold),
     .fallback = "512B",
     .reloadable = true,
     .doc = "Shorter messages are sent uncompressed."},
    {.name = "message_bytes_max",
     .kind = OPTION_SIZE,
     .offset = AT(message_bytes_max),
     .fallback = "64KiB",
     .min = 1,
     .max = WS_MESSAGE_BYTES_MAX,
     .reloadable = true,
     .doc = "Largest message taken from a client."},
    {.name = "messages_max",
     .kind = OPTION_COUNT,
     .offset = AT(messages_max),
     .fallback = "100",
     .max = UINT32_MAX,
     .reloadable = true,
     .doc = "Messages taken from a connection in a window; 0: no limit."},
    {.name = "messages_window",
     .kind = OPTION_DURATION,
     .offset = AT(messages_window_ms),
     .fallback = "1s",
     .min = 1,
     .reloadable = true,
     .doc = "The window of messages_max."},
    {.name = "connections_per_address",
     .kind = OPTION_COUNT,
     .offset = AT(connections_per_address),
     .fallback = "0",
     .max = UINT32_MAX,
     .reloadable = true,
     .doc = "Connections at a time of one address; 0: no limit."},
    {.name = "connections_per_key",
     .kind = OPTION_COUNT,
     .offset = AT(connections_per_key),
     .fallback = "0",
     .max = UINT32_MAX,
     .reloadable = true,
     .doc = "Connections at a time of one key; 0: no limit."},
    {.name = "trusted_proxies",
     .kind = OPTION_TEXTS,
     .offset = AT(trusted_proxies),
     .fallback = "",
     .reloadable = true,
     .doc = "Addresses and networks, such as 10.0.0.0/8, whose X-Forwarded-For says who connects."},
    {.name = "group_ipv6",
     .kind = OPTION_BOOL,
     .offset = AT(group_ipv6),
     .fallback = "false",
     .reloadable = true,
     .doc = "Count the IPv6 addresses of one /64 as one address."},
    {.name = "outbox_bytes_max",
     .kind = OPTION_SIZE,
     .offset = AT(outbox_bytes_max),
     .fallback = "4MiB",
     .min = 1024,
     .reloadable = true,
     .doc = "What may wait for a slow reader behind the message being sent."},
    {.name = "ping_interval",
     .kind = OPTION_DURATION,
     .offset = AT(ping_interval_ms),
     .fallback = "30s",
     .reloadable = true,
     .doc = "Time between protocol pings; 0: none."},
    {.name = "idle_timeout",
     .kind = OPTION_DURATION,
     .offset = AT(idle_timeout_ms),
     .fallback = "90s",
     .reloadable = true,
     .doc = "A connection without any frame for so long is closed; 0: never."},
    {.name = "duration_max",
     .kind = OPTION_DURATION,
     .offset = AT(duration_max_ms),
     .fallback = "0",
     .reloadable = true,
     .doc = "Longest life of a connection; 0: no limit."},
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
