/* SPDX-License-Identifier: MIT */
/* Owns the commands about users and tokens: a line for a list of users, a token, and what is in one. It serves nothing and
 * keeps nothing. Called by main. */
#include "shards/process/access.h"

#include "core/clock.h"
#include "core/option.h"
#include "protocol/jwt.h"
#include "protocol/password.h"
#include "protocol/utf8.h"
#include "shards/client/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define SECRET_VARIABLE "RINGCAST_TOKEN_SECRET"
#define LIFETIME_MS UINT64_C(86400000)

enum { HELP, LIFETIME };

const struct args_flag access_password_flags[] = {[HELP] = {"help", 'h', false}, {0}};
const struct args_flag access_generate_flags[] = {
    [HELP] = {"help", 'h', false}, [LIFETIME] = {"lifetime", '\0', true}, {0}};
const struct args_flag access_check_flags[] = {[HELP] = {"help", 'h', false}, {0}};

/* The first line of stdin, without its end; a terminal is asked and shows nothing of it. False: there is none. */
static bool read_line(const char *prompt, char *line, size_t bytes)
{
    struct termios before, silent;
    bool asks = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
    if (asks) {
        fputs(prompt, stderr);
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    bool read = fgets(line, (int)bytes, stdin) != NULL;
    if (asks) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (!read)
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return line[0] != '\0';
}

/* The one operand, or NULL when there is none; a negative code says what else is to be returned. */
static int one_operand(const struct command *command, struct args *args, const struct args_flag *flags,
                       const char **operand, const char **lifetime)
{
    const char *value;
    for (int flag; (flag = args_next(args, flags, &value)) != ARGS_END;) {
        if (flag == HELP)
            return command_help(command);
        if (flag == LIFETIME) {
            *lifetime = value;
            continue;
        }
        if (flag != ARGS_OPERAND)
            return command_argument(command, flag, value);
        if (*operand != NULL)
            return command_usage(command, "more than one argument", value);
        *operand = value;
    }
    return -1;
}

static bool is_name(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 0 && bytes <= JWT_SUBJECT_BYTES_MAX && strchr(name, ' ') == NULL && utf8_valid(slice_text(name));
}

int access_hash_password(const struct command *command, char **arguments)
{
    struct args args = {.rest = arguments};
    const char *name = NULL, *none = NULL;
    char password[PASSWORD_BYTES_MAX + 2], hash[PASSWORD_HASH_BYTES_MAX];
    int code = one_operand(command, &args, access_password_flags, &name, &none);
    if (code >= 0)
        return code;
    if (name == NULL || !is_name(name))
        return command_usage(command, "a name of 1 to 128 bytes without blanks is needed", name == NULL ? "" : name);
    if (!read_line("Password: ", password, sizeof password))
        return command_fail("stdin", "holds no password");
    bool made = password_hash(slice_text(password), hash);
    explicit_bzero(password, sizeof password);
    if (!made)
        return command_fail("no hash", "the password is longer than 256 bytes, or this system has no yescrypt");
    printf("%s %s\n", name, hash);
    return command_finish(EXIT_SUCCESS);
}

/* The secret of the variable as a list of one. */
static bool take_secret(char *items[1], struct option_texts *secrets)
{
    items[0] = getenv(SECRET_VARIABLE);
    *secrets = (struct option_texts){.items = items, .count = 1};
    if (items[0] != NULL && strlen(items[0]) >= JWT_SECRET_BYTES_MIN)
        return true;
    command_fail(SECRET_VARIABLE, items[0] == NULL ? "is not set; it holds what tokens are signed with"
                                                   : "has fewer than 32 characters");
    return false;
}

int access_generate_token(const struct command *command, char **arguments)
{
    struct args args = {.rest = arguments};
    const char *name = NULL, *lifetime = NULL;
    char *items[1];
    struct option_texts secrets;
    uint8_t memory[JWT_BYTES_MAX];
    struct buf token = buf_of(memory, sizeof memory);
    uint64_t lifetime_ms = LIFETIME_MS;
    int code = one_operand(command, &args, access_generate_flags, &name, &lifetime);
    if (code >= 0)
        return code;
    if (name == NULL || !is_name(name))
        return command_usage(command, "a name of 1 to 128 bytes without blanks is needed", name == NULL ? "" : name);
    if (lifetime != NULL && (option_parse_duration(slice_text(lifetime), &lifetime_ms) != 0 || lifetime_ms < 1000))
        return command_usage(command, "a lifetime is a duration from 1s on, such as 24h", lifetime);
    if (!take_secret(items, &secrets))
        return EXIT_FAILURE;
    int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
    jwt_make(&token, slice_text(items[0]), slice_text(name), now_s, now_s + (int64_t)(lifetime_ms / 1000));
    printf("%.*s\n", (int)token.used, (const char *)token.data);
    return command_finish(EXIT_SUCCESS);
}

int access_check_token(const struct command *command, char **arguments)
{
    struct args args = {.rest = arguments};
    const char *operand = NULL, *none = NULL;
    char *items[1], line[JWT_BYTES_MAX + 2];
    struct option_texts secrets;
    struct jwt_claims claims;
    int code = one_operand(command, &args, access_check_flags, &operand, &none);
    if (code >= 0)
        return code;
    if (operand != NULL)
        return command_usage(command, "the token comes from stdin, not from an argument", "");
    if (!take_secret(items, &secrets))
        return EXIT_FAILURE;
    if (!read_line("Token: ", line, sizeof line))
        return command_fail("stdin", "holds no token");
    enum jwt_fault fault = jwt_check(slice_text(line), &secrets, (int64_t)(clock_wall_ms() / 1000), &claims);
    if (fault != JWT_GOOD)
        return command_fail("not a good token", jwt_fault_text(fault));
    printf("sub %.*s\niat %lld\nexp %lld\n", (int)claims.subject_bytes, (const char *)claims.subject,
           (long long)claims.issued_s, (long long)claims.expires_s);
    return command_finish(EXIT_SUCCESS);
}
