/* SPDX-License-Identifier: MIT */
/* Owns the dialect echo (echo.md): each message comes back with its opcode and bytes.
 * It keeps nothing and knows no channel.
 * Conformance suites and latency probes connect to it; sessions call it through the table at the end. */
#include "protocol/action.h"
#include "protocol/dialect.h"
#include "protocol/http1.h"

static enum dialect_path echo_route(const void *settings, struct slice path)
{
    (void)settings;
    return slice_is(path, "/echo") ? DIALECT_PATH_SOCKET : DIALECT_PATH_NONE;
}

static void echo_open(struct dialect_call *call, const struct http1_request *request, struct slice path)
{
    (void)path;
    if (dialect_admit(call, request, "api_key"))
        action_accept(call->out);
}

static void echo_message(struct dialect_call *call, enum ws_opcode opcode, struct slice message)
{
    action_send(call->out, opcode, message);
}

static const struct option echo_options[] = {{.name = NULL}};

static const struct dialect_default echo_defaults[] = {
    {"message_bytes_max", "1MiB"},
    {"messages_max", "0"},
    {NULL, NULL},
};

const struct dialect echo_dialect = {
    .name = "echo",
    .settings_bytes = sizeof(struct dialect_settings),
    .options = echo_options,
    .defaults = echo_defaults,
    .keyless_is_open = true,
    .paths = (const char *const[]){"/echo", NULL},
    .route = echo_route,
    .open = echo_open,
    .refused = dialect_refuse,
    .message = echo_message,
};
