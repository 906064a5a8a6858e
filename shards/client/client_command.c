/* SPDX-License-Identifier: MIT */
/* Owns the commands publish and subscribe: their arguments, where the key and the message come from. It never takes a
 * key as an argument, where other users of the machine could read it, and never speaks to a server itself. Called by
 * main.c. */
#include "core/limits.h"
#include "protocol/token.h"
#include "shards/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- trust -------------------------------------------------------------------------------------------------------- */

/* Flags of both commands, for https and wss. */
enum { TRUST_CA, TRUST_INSECURE, TRUST_CERT, TRUST_CERT_KEY };

static void set_trust(struct client_trust *trust, int flag, const char *value)
{
    switch (flag) {
    case TRUST_CA:
        trust->authorities = value;
        break;
    case TRUST_INSECURE:
        trust->anybody = true;
        break;
    case TRUST_CERT:
        trust->certificate = value;
        break;
    case TRUST_CERT_KEY:
        trust->key = value;
        break;
    default:
        break;
    }
}

/* --- publish ------------------------------------------------------------------------------------------------------ */

enum {
    PUBLISH_HELP,
    PUBLISH_URL,
    PUBLISH_KEY_ENV,
    PUBLISH_KEY_FILE,
    PUBLISH_NDJSON,
    PUBLISH_TRUST, /* TRUST_CA and those behind it follow */
};

const struct args_flag client_publish_flags[] = {
    [PUBLISH_HELP] = {"help", 'h', false},
    [PUBLISH_URL] = {"url", '\0', true},
    [PUBLISH_KEY_ENV] = {"key-env", '\0', true},
    [PUBLISH_KEY_FILE] = {"key-file", 'k', true},
    [PUBLISH_NDJSON] = {"ndjson", '\0', false},
    [PUBLISH_TRUST + TRUST_CA] = {"ca", '\0', true},
    [PUBLISH_TRUST + TRUST_INSECURE] = {"insecure", '\0', false},
    [PUBLISH_TRUST + TRUST_CERT] = {"cert", '\0', true},
    [PUBLISH_TRUST + TRUST_CERT_KEY] = {"cert-key", '\0', true},
    {0},
};

struct publish_arguments {
    struct client_publish publish;
    const char *key_env;
    const char *key_file;
    const char *message; /* NULL or "-": stdin */
    bool help;
};

static int parse_publish(const struct command *command, char **arguments, struct publish_arguments *out)
{
    struct args args = {.rest = arguments};
    const char *value;
    int flag;
    *out = (struct publish_arguments){.publish.url = "http://127.0.0.1:9400", .key_env = "RINGCAST_INGEST_KEY"};
    while ((flag = args_next(&args, client_publish_flags, &value)) != ARGS_END) {
        if (flag == PUBLISH_HELP) {
            out->help = true;
            return 0;
        }
        if (flag == PUBLISH_URL)
            out->publish.url = value;
        else if (flag == PUBLISH_KEY_ENV)
            out->key_env = value;
        else if (flag == PUBLISH_KEY_FILE)
            out->key_file = value;
        else if (flag == PUBLISH_NDJSON)
            out->publish.ndjson = true;
        else if (flag >= PUBLISH_TRUST)
            set_trust(&out->publish.trust, flag - PUBLISH_TRUST, value);
        else if (flag == ARGS_OPERAND && out->publish.topic == NULL)
            out->publish.topic = value;
        else if (flag == ARGS_OPERAND && out->message == NULL)
            out->message = value;
        else
            return command_argument(command, flag, value);
    }
    const char *slash = out->publish.topic == NULL ? NULL : strchr(out->publish.topic, '/');
    if (slash == NULL || slash == out->publish.topic || slash[1] == '\0')
        return command_usage(command, "where to? name DIALECT/TOPIC",
                             out->publish.topic == NULL ? "" : out->publish.topic);
    return 0;
}

/* The key of the first entry of a key file, which may be one for the server with patterns behind it. False when there
 * is none. */
static bool read_key(const char *path, char *key, size_t bytes)
{
    FILE *in = fopen(path, "r");
    char line[4096];
    bool found = false;
    while (in != NULL && !found && fgets(line, sizeof line, in) != NULL) {
        const char *from = line + strspn(line, " \t");
        size_t length = strcspn(from, " \t\r\n");
        found = length > 0 && length < bytes && from[0] != '#';
        if (found)
            snprintf(key, bytes, "%.*s", (int)length, from);
    }
    if (in == NULL)
        command_fail(path, strerror(errno));
    else
        fclose(in);
    if (in != NULL && !found)
        command_fail(path, "holds no key");
    return found;
}

/* All of stdin in memory of its own; NULL with a line on stderr. */
static uint8_t *read_stdin(size_t *bytes)
{
    uint8_t *text = malloc(INGEST_BODY_BYTES_MAX + 1);
    if (text == NULL) {
        command_fail("out of memory", "");
        return NULL;
    }
    *bytes = fread(text, 1, INGEST_BODY_BYTES_MAX + 1, stdin);
    if (!ferror(stdin) && *bytes <= INGEST_BODY_BYTES_MAX)
        return text;
    command_fail("stdin", ferror(stdin) ? strerror(errno) : "more than one request can carry (16 MiB)");
    free(text);
    return NULL;
}

int client_run_publish(const struct command *command, char **arguments)
{
    struct publish_arguments parsed;
    char key[KEY_BYTES_MAX + 1];
    int code = parse_publish(command, arguments, &parsed);
    if (code != 0)
        return code;
    if (parsed.help)
        return command_help(command);
    const char *from_environment = getenv(parsed.key_env);
    parsed.publish.key = from_environment == NULL ? "" : from_environment;
    if (parsed.key_file != NULL) {
        if (!read_key(parsed.key_file, key, sizeof key))
            return EXIT_FAILURE;
        parsed.publish.key = key;
    }
    if (parsed.message != NULL && strcmp(parsed.message, "-") != 0) {
        parsed.publish.body = slice_text(parsed.message);
        return command_finish(client_publish(&parsed.publish));
    }
    size_t bytes = 0;
    uint8_t *text = read_stdin(&bytes);
    if (text == NULL)
        return EXIT_FAILURE;
    parsed.publish.body = slice_of(text, bytes);
    code = command_finish(client_publish(&parsed.publish));
    free(text);
    return code;
}

/* --- subscribe ---------------------------------------------------------------------------------------------------- */

enum {
    SUBSCRIBE_HELP,
    SUBSCRIBE_COUNT,
    SUBSCRIBE_HEADER,
    SUBSCRIBE_TRUST, /* TRUST_CA and those behind it follow */
};

const struct args_flag client_subscribe_flags[] = {
    [SUBSCRIBE_HELP] = {"help", 'h', false},
    [SUBSCRIBE_COUNT] = {"count", 'n', true},
    [SUBSCRIBE_HEADER] = {"header", '\0', false},
    [SUBSCRIBE_TRUST + TRUST_CA] = {"ca", '\0', true},
    [SUBSCRIBE_TRUST + TRUST_INSECURE] = {"insecure", '\0', false},
    [SUBSCRIBE_TRUST + TRUST_CERT] = {"cert", '\0', true},
    [SUBSCRIBE_TRUST + TRUST_CERT_KEY] = {"cert-key", '\0', true},
    {0},
};

/* A positive whole number. */
static bool parse_count(const char *text, uint64_t *count)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *count = value;
    return text[0] >= '1' && text[0] <= '9' && *end == '\0' && errno == 0;
}

int client_run_subscribe(const struct command *command, char **arguments)
{
    struct args args = {.rest = arguments};
    struct client_subscribe subscribe = {0};
    const char *value;
    int flag;
    while ((flag = args_next(&args, client_subscribe_flags, &value)) != ARGS_END) {
        if (flag == SUBSCRIBE_HELP)
            return command_help(command);
        if (flag == SUBSCRIBE_HEADER)
            subscribe.header = true;
        else if (flag >= SUBSCRIBE_TRUST)
            set_trust(&subscribe.trust, flag - SUBSCRIBE_TRUST, value);
        else if (flag == SUBSCRIBE_COUNT && !parse_count(value, &subscribe.count))
            return command_usage(command, "not a number of messages", value);
        else if (flag == ARGS_OPERAND && subscribe.url == NULL)
            subscribe.url = value;
        else if (flag < 0)
            return command_argument(command, flag, value);
    }
    if (subscribe.url == NULL)
        return command_usage(command, "where from? name an address", "");
    const char *key = getenv("RINGCAST_KEY");
    subscribe.key = key == NULL ? "" : key;
    return command_finish(client_subscribe(&subscribe));
}
