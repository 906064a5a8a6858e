/* SPDX-License-Identifier: MIT */
/* Owns the command line: which command, its arguments, its help, and the exit codes of the process (0 done, 1
 * failure, 2 usage, 78 configuration as in sysexits.h). It serves nothing itself. Called by the operating system. */
#include "core/log.h"
#include "shards/client/client.h"
#include "shards/config/config.h"
#include "shards/process/access.h"
#include "shards/process/server.h"
#include "shards/process/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FINDINGS_BYTES_MAX 65536
#define PRINT_BYTES_MAX (1U << 20)
#define SETS_MAX 64

/* --- serve and check ---------------------------------------------------------------------------------------------- */

enum { SOURCE_HELP, SOURCE_CONFIG, SOURCE_SET };

static const struct args_flag source_flags[] = {
    [SOURCE_HELP] = {"help", 'h', false},
    [SOURCE_CONFIG] = {"config", 'c', true},
    [SOURCE_SET] = {"set", '\0', true},
    {0},
};

struct source_arguments {
    struct config_source source;
    const char *sets[SETS_MAX + 1];
    bool help;
};

/* 0, or an exit code. Ends early, with `help` set, at --help. */
static int parse_source(const struct command *command, char **arguments, struct source_arguments *out)
{
    struct args args = {.rest = arguments};
    const char *value;
    size_t sets = 0;
    int flag;
    *out = (struct source_arguments){.source = {.environment = environ, .sets = out->sets}};
    while ((flag = args_next(&args, source_flags, &value)) != ARGS_END) {
        if (flag < 0)
            return command_argument(command, flag, value);
        if (flag == SOURCE_HELP) {
            out->help = true;
            return 0;
        }
        if (flag == SOURCE_CONFIG)
            out->source.path = value;
        else if (sets == SETS_MAX)
            return command_usage(command, "too many --set; write a file", "");
        else
            out->sets[sets++] = value;
    }
    return 0;
}

/* The configuration, or NULL with the findings on stderr. */
static struct config *load(const struct config_source *source)
{
    static uint8_t memory[FINDINGS_BYTES_MAX];
    struct buf why = buf_of(memory, sizeof memory);
    struct config *config = NULL;
    int error = config_load(source, &config, &why);
    if (error == 0)
        return config;
    fwrite(why.data, 1, why.used, stderr);
    if (why.overflow)
        fputs("... and more\n", stderr);
    return NULL;
}

static int run_serve(const struct command *command, char **arguments)
{
    static struct source_arguments parsed; /* the server reads from it again when it reloads */
    int code = parse_source(command, arguments, &parsed);
    if (code != 0)
        return code;
    if (parsed.help)
        return command_help(command);
    struct config *config = load(&parsed.source);
    if (config == NULL)
        return EXIT_CONFIG;
    log_configure((enum log_level)config->server.log_level, (enum log_format)config->server.log_format);
    static const struct server_build build = {.version = RINGCAST_VERSION, .commit = RINGCAST_COMMIT};
    return server_run(config, &parsed.source, &build);
}

/* What a start would log of settings that load. */
static void print_notices(const struct config *config)
{
    fputs(config_notices(config), stderr);
}

static int run_check(const struct command *command, char **arguments)
{
    static uint8_t memory[PRINT_BYTES_MAX];
    struct source_arguments parsed;
    struct buf out = buf_of(memory, sizeof memory);
    int code = parse_source(command, arguments, &parsed);
    if (code != 0)
        return code;
    if (parsed.help)
        return command_help(command);
    struct config *config = load(&parsed.source);
    if (config == NULL)
        return EXIT_CONFIG;
    print_notices(config);
    config_print(config, &parsed.source, &out);
    config_free(config);
    if (out.overflow)
        return command_fail("the values are too long to print", "");
    fwrite(out.data, 1, out.used, stdout);
    return command_finish(EXIT_SUCCESS);
}

/* --- genconfig ---------------------------------------------------------------------------------------------------- */

enum { GENCONFIG_HELP, GENCONFIG_OUT };

static const struct args_flag genconfig_flags[] = {
    [GENCONFIG_HELP] = {"help", 'h', false},
    [GENCONFIG_OUT] = {"out", 'o', true},
    {0},
};

/* A new file that only its owner reads; one that is there already is left as it is. */
static int write_new_file(const char *path, struct slice text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return command_fail(path, errno == EEXIST ? "is there already and is not overwritten; name another file"
                                                  : strerror(errno));
    FILE *out = fdopen(fd, "w");
    bool written = out != NULL && fwrite(text.data, 1, text.bytes, out) == text.bytes;
    int error = errno;
    if (out == NULL)
        close(fd);
    else if (fclose(out) != 0 && written) {
        written = false;
        error = errno;
    }
    return written ? EXIT_SUCCESS : command_fail(path, strerror(error));
}

static int run_genconfig(const struct command *command, char **arguments)
{
    uint8_t memory[8192];
    struct buf text = buf_of(memory, sizeof memory);
    struct args args = {.rest = arguments};
    const char *value, *path = NULL;
    int flag;
    while ((flag = args_next(&args, genconfig_flags, &value)) != ARGS_END) {
        if (flag < 0)
            return command_argument(command, flag, value);
        if (flag == GENCONFIG_HELP)
            return command_help(command);
        path = value;
    }
    int error = config_generate(&text);
    if (error != 0)
        return command_fail("no random bytes", strerror(-error));
    if (path != NULL)
        return write_new_file(path, buf_slice(&text));
    fwrite(text.data, 1, text.used, stdout);
    return command_finish(EXIT_SUCCESS);
}

/* --- the commands ------------------------------------------------------------------------------------------------- */

static const struct args_flag help_flags[] = {{"help", 'h', false}, {0}};

static int run_help(const struct command *command, char **arguments);

static const struct command commands[] = {
    {"serve", "serve until SIGTERM or SIGINT (the default)", " [-c FILE] [--set KEY=VALUE]...",
     "Runs in the foreground and logs to stderr. Settings come from, the later counting before the earlier:\n"
     "  defaults; FILE (YAML); variables RINGCAST_SECTION_KEY; --set section.key=value\n"
     "Keys are best kept in files: RINGCAST_INGEST_KEYS_FILE, or keys_file in a section; one a line.\n"
     "\n"
     "SIGTERM, SIGINT   close all connections with 1001 and end; a second one ends at once\n"
     "SIGHUP            read the settings again; bad ones are reported and the old ones stay\n"
     "SIGUSR1, SIGUSR2  nothing: the log is stderr, there is no file to open again\n"
     "\n"
     "  -c, --config FILE     the configuration; 'ringcast genconfig' makes a first one\n"
     "      --set KEY=VALUE   one setting, such as plain.listen=127.0.0.1:9500\n",
     source_flags, run_serve},
    {"check", "check a configuration and print the effective values", " [-c FILE] [--set KEY=VALUE]...",
     "Prints every key with its value and where that comes from, secrets masked, in a form that loads again.\n"
     "Every mistake is a line FILE:LINE: KEY: on stderr, and the exit code is 78.\n"
     "\n"
     "  -c, --config FILE     the configuration\n"
     "      --set KEY=VALUE   one setting\n",
     source_flags, run_check},
    {"genconfig", "print a first configuration with fresh random keys", " [-o FILE]",
     "  -o, --out FILE   write to FILE, which only its owner may read; one that exists is not overwritten\n",
     genconfig_flags, run_genconfig},
    {"publish", "publish messages",
     " [--url URL] [--key-env NAME | -k FILE] [--ndjson] [TRUST...] DIALECT/TOPIC [MESSAGE | -]",
     "Posts MESSAGE, or what stdin gives, to the topic and prints the server's answer. The key comes from a variable "
     "or a\n"
     "file, never from an argument, which others can see.\n"
     "\n"
     "      --url URL        the ingest listener, http or https; default http://127.0.0.1:9400\n"
     "      --key-env NAME   variable with the ingest key; default RINGCAST_INGEST_KEY\n"
     "  -k, --key-file FILE  file whose first line begins with the ingest key\n"
     "      --ndjson         each line is one message\n"
     "      --ca FILE        whose certificates are believed (PEM); default the system's\n"
     "      --insecure       believe any certificate\n"
     "      --cert FILE      our own certificate (PEM), where the server asks for one\n"
     "      --cert-key FILE  its key; default in the same file\n",
     client_publish_flags, client_run_publish},
    {"subscribe", "print what a WebSocket sends, a line per message", " [--count N] [--header] [TRUST...] URL",
     "URL is ws://HOST:PORT/PATH or wss://HOST:PORT/PATH. A key in the variable RINGCAST_KEY is sent as X-Api-Key. "
     "Ctrl-C closes and is "
     "success; the\n"
     "server's close code and reason are printed to stderr, and only 1000 is success.\n"
     "\n"
     "  -n, --count N        end after N messages\n"
     "      --header         time of arrival, kind and number of bytes in front of each message\n"
     "      --ca FILE        whose certificates are believed (PEM); default the system's\n"
     "      --insecure       believe any certificate\n"
     "      --cert FILE      our own certificate (PEM), where the server asks for one\n"
     "      --cert-key FILE  its key; default in the same file\n",
     client_subscribe_flags, client_run_subscribe},
    {"hash-password", "make an entry for a list of users", " NAME",
     "Reads a password from stdin (a terminal is asked) and prints NAME HASH, as a list of users takes it.\n",
     access_password_flags, access_hash_password},
    {"gentoken", "make a token for a user", " [--lifetime DURATION] NAME",
     "Prints a JSON Web Token (HS256) for NAME, signed with the secret in the variable RINGCAST_TOKEN_SECRET.\n"
     "\n"
     "      --lifetime DURATION   such as 1h; default 24h\n",
     access_generate_flags, access_generate_token},
    {"checktoken", "say what is in a token and whether it is good", "",
     "Reads a token from stdin and checks it with the secret in the variable RINGCAST_TOKEN_SECRET.\n",
     access_check_flags, access_check_token},
    {"version", "print what this is built from and what the kernel offers", " [--json]",
     "      --json   as one JSON object\n", version_flags, version_run},
    {"help", "print this, or the help of a command", " [COMMAND]", "", help_flags, run_help},
    {0},
};

static const struct command *find_command(const char *name)
{
    const struct command *command = commands;
    while (command->name != NULL && strcmp(command->name, name) != 0)
        command++;
    return command->name == NULL ? NULL : command;
}

static void print_commands(FILE *out)
{
    fputs("usage: ringcast [COMMAND] [ARGUMENT...]\n\n", out);
    for (const struct command *command = commands; command->name != NULL; command++)
        fprintf(out, "  %-14s %s\n", command->name, command->summary);
    fputs("\n'ringcast COMMAND --help' says more. Exit codes: 0 done, 1 failure, 2 usage, 78 configuration.\n", out);
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "ringcast: unknown command: %s\n", name);
    print_commands(stderr);
    return EXIT_USAGE;
}

static int run_help(const struct command *command, char **arguments)
{
    struct args args = {.rest = arguments};
    const char *value;
    int flag = args_next(&args, command->flags, &value);
    if (flag == ARGS_OPERAND) {
        const struct command *asked = find_command(value);
        return asked == NULL ? unknown_command(value) : command_finish(command_help(asked));
    }
    if (flag < ARGS_END)
        return command_argument(command, flag, value);
    print_commands(stdout);
    return command_finish(EXIT_SUCCESS);
}

/* What the process opens first would stand where a closed stdin, stdout or stderr was, and lines would go into it.
 * These are opened the wrong way round, so that reading and writing fail as before. */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    occupy_standard_descriptors();
    char **arguments = argv + (argc > 0 ? 1 : 0);
    const char *first = *arguments;
    if (first != NULL && (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0))
        first = "help";
    else if (first != NULL && strcmp(first, "--version") == 0)
        first = "version";
    else if (first == NULL || first[0] == '-')
        return run_serve(find_command("serve"), arguments);
    const struct command *command = find_command(first);
    return command == NULL ? unknown_command(first) : command->run(command, arguments + 1);
}
