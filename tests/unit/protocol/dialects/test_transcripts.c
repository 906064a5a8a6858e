/* SPDX-License-Identifier: MIT */
/* Plays the transcripts (tests/transcripts, format in its README.md) against the pure dialects. Each file is a test of
 * the rows that its first lines name; the last tests here prove that the player notices what is wrong. Run by
 * unit_protocol. */
#include "tests/support/pure_client.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define BINDINGS_MAX 64
#define LINE_BYTES_MAX 4096
#define CONNS_MAX 32

struct player {
    struct pure_host *host;
    bool dialect_known, started;
    char conn_names[CONNS_MAX][8];
    uint32_t conn_count;
    char headers[CONNS_MAX][512]; /* of the next connect */
    struct {
        char name[32];
        char value[160];
    } bindings[BINDINGS_MAX];
    uint32_t binding_count;
    int line;
    char error[3 * LINE_BYTES_MAX]; /* "" while all is well */
};

static bool wrong(struct player *player, const char *what, const char *expected, const char *found)
{
    if (player->error[0] == '\0')
        snprintf(player->error, sizeof player->error, "line %d: %s\n  expected %.4000s\n  found    %.4000s",
                 player->line, what, expected, found);
    return false;
}

/* --- placeholders ------------------------------------------------------------------------------------------------- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_value(char c)
{
    return is_word(c) || (c != '\0' && strchr("._:-", c) != NULL);
}

/* The placeholder at `text`, its name in `name` and what is added in *plus; its length, or 0. */
static size_t placeholder(const char *text, char name[32], long *plus)
{
    size_t bytes = 1, letters = 0;
    if (text[0] != '<' || !is_word(text[1]) || (text[1] >= '0' && text[1] <= '9'))
        return 0;
    while (is_word(text[bytes]) || text[bytes] == '-') {
        if (letters == 31)
            return 0;
        name[letters++] = text[bytes++];
    }
    name[letters] = '\0';
    *plus = 0;
    if (text[bytes] == '+') {
        char *end;
        *plus = strtol(text + bytes + 1, &end, 10);
        bytes = (size_t)(end - text);
    }
    return text[bytes] == '>' ? bytes + 1 : 0;
}

static char *binding(struct player *player, const char *name)
{
    for (uint32_t i = 0; i < player->binding_count; i++)
        if (strcmp(player->bindings[i].name, name) == 0)
            return player->bindings[i].value;
    return NULL;
}

static void bind(struct player *player, const char *name, const char *value, size_t bytes)
{
    char *old = binding(player, name);
    if (old == NULL) {
        cr_assert_lt(player->binding_count, BINDINGS_MAX);
        snprintf(player->bindings[player->binding_count].name, sizeof player->bindings[0].name, "%s", name);
        old = player->bindings[player->binding_count++].value;
    }
    cr_assert_lt(bytes, sizeof player->bindings[0].value);
    memcpy(old, value, bytes);
    old[bytes] = '\0';
}

/* Replaces all placeholders that have a value. */
static void expand(struct player *player, const char *text, char *out, size_t size)
{
    size_t used = 0;
    while (*text != '\0') {
        char name[32], piece[160] = {*text, '\0'};
        long plus;
        size_t bytes = placeholder(text, name, &plus);
        const char *value = bytes == 0 ? NULL : binding(player, name);
        if (value != NULL && plus != 0)
            snprintf(piece, sizeof piece, "%ld", strtol(value, NULL, 10) + plus);
        else if (value != NULL)
            snprintf(piece, sizeof piece, "%s", value);
        size_t piece_bytes = strlen(piece);
        cr_assert_lt(used + piece_bytes, size);
        memcpy(out + used, piece, piece_bytes);
        used += piece_bytes;
        text += value == NULL ? 1 : bytes;
    }
    out[used] = '\0';
}

static size_t span_of(const char *text, bool (*accepts)(char c))
{
    size_t bytes = 0;
    while (accepts(text[bytes]))
        bytes++;
    return bytes;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* How many bytes of `found` the (unbound) placeholder takes; 0: it does not fit. */
static size_t take_placeholder(struct player *player, const char *name, const char *found)
{
    if (strcmp(name, "unix-s") == 0)
        return span_of(found, is_digit) == 10 ? 10 : 0;
    if (strcmp(name, "iso-s") == 0)
        return strlen(found) >= 20 && found[4] == '-' && found[10] == 'T' && found[19] == 'Z' ? 20 : 0;
    if (strcmp(name, "iso-ms") == 0)
        return strlen(found) >= 24 && found[4] == '-' && found[10] == 'T' && found[19] == '.' && found[23] == 'Z' ? 24
                                                                                                                  : 0;
    size_t bytes = span_of(found, is_value);
    if (bytes > 0 && strcmp(name, "any") != 0)
        bind(player, name, found, bytes);
    return bytes;
}

static bool matches(struct player *player, const char *line, const char *found)
{
    char expected[LINE_BYTES_MAX];
    expand(player, line, expected, sizeof expected);
    const char *e = expected, *f = found;
    while (*e != '\0') {
        char name[32];
        long plus;
        size_t bytes = placeholder(e, name, &plus);
        if (bytes == 0 && *e++ != *f++)
            return false;
        if (bytes > 0) {
            /* the rest of the line may name it again: so it is expanded once more */
            size_t taken = take_placeholder(player, name, f);
            char rest[LINE_BYTES_MAX];
            if (taken == 0)
                return false;
            expand(player, e + bytes, rest, sizeof rest);
            return matches(player, rest, f + taken);
        }
    }
    return *f == '\0';
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static uint32_t conn_index(struct player *player, const char *name)
{
    uint32_t i = 0;
    while (i < player->conn_count && strcmp(player->conn_names[i], name) != 0)
        i++;
    if (i == player->conn_count) {
        cr_assert_lt(i, CONNS_MAX);
        snprintf(player->conn_names[player->conn_count++], sizeof player->conn_names[0], "%s", name);
    }
    return i;
}

static void start(struct player *player)
{
    if (!player->started)
        pure_start(player->host);
    player->started = true;
}

/* Cuts " -> STATUS REST" off the end of a step; STATUS, or 0 when there is none. */
static int cut_status(char *step, char **rest)
{
    static char nothing[1];
    char *arrow = NULL;
    for (char *at = step; (at = strstr(at, " -> ")) != NULL; at += 4)
        if (is_digit(at[4]))
            arrow = at;
    *rest = nothing;
    if (arrow == NULL)
        return 0;
    *arrow = '\0';
    char *end;
    long status = strtol(arrow + 4, &end, 10);
    if (*end == ' ')
        *rest = end + 1;
    return (int)status;
}

static bool expect_status(struct player *player, int expected, int found)
{
    char left[16], right[16];
    if (expected == found)
        return true;
    snprintf(left, sizeof left, "%d", expected);
    snprintf(right, sizeof right, "%d", found);
    return wrong(player, "another status", left, right);
}

static bool play_connect(struct player *player, uint32_t conn, char *path)
{
    char *rest;
    int status = cut_status(path, &rest);
    start(player);
    int found = pure_connect(player->host, conn, path, player->headers[conn]);
    player->headers[conn][0] = '\0';
    return expect_status(player, status == 0 ? 101 : status, found);
}

static bool play_request(struct player *player, char *step)
{
    char *rest, *target = strchr(step, ' ');
    int status = cut_status(step, &rest);
    if (target == NULL || status == 0)
        return wrong(player, "a step", "request METHOD PATH -> STATUS", step);
    *target++ = '\0';
    start(player);
    const struct dialect *dialect = player->host->dialect;
    struct slice path = slice_of(target, strcspn(target, "?"));
    bool socket = dialect->route(player->host->settings, path) == DIALECT_PATH_SOCKET;
    int found = socket ? 426 : pure_request(player->host, PURE_CONNS_MAX - 1, step, target, "");
    if (!expect_status(player, status, found))
        return false;
    return rest[0] == '\0' || matches(player, rest, player->host->content) ||
           wrong(player, "another content", rest, player->host->content);
}

static bool nothing_waits(struct player *player, uint32_t conn)
{
    const struct pure_message *message = pure_take(player->host, conn);
    return message == NULL || wrong(player, "a message that nobody expected", "nothing", (const char *)message->data);
}

static bool play_expect_close(struct player *player, uint32_t conn, const char *expected)
{
    const struct pure_conn *state = &player->host->conns[conn];
    char found[160];
    if (!nothing_waits(player, conn))
        return false;
    snprintf(found, sizeof found, "%d %s", state->close_code, state->close_reason != NULL ? state->close_reason : "");
    return strcmp(expected, found) == 0 || wrong(player, "another close", expected, found);
}

/* "@ ..." */
static bool play_control(struct player *player, const char *conn_name, char *step)
{
    char *argument = strchr(step, ' ');
    uint32_t conn = conn_index(player, conn_name);
    if (argument != NULL)
        *argument++ = '\0';
    else
        argument = step + strlen(step);
    if (strcmp(step, "dialect") == 0) {
        pure_init(player->host, argument);
        player->dialect_known = true;
        return true;
    }
    if (strcmp(step, "set") == 0) {
        char *value = strchr(argument, ' ');
        if (value == NULL || player->started)
            return wrong(player, "a set", "OPTION VALUE before the first connect", argument);
        *value++ = '\0';
        return pure_set(player->host, argument, value) == 0 || wrong(player, "a set", "a good value", value);
    }
    if (strcmp(step, "header") == 0) {
        size_t used = strlen(player->headers[conn]);
        snprintf(player->headers[conn] + used, sizeof player->headers[conn] - used, "%s\r\n", argument);
        return true;
    }
    if (strcmp(step, "connect") == 0)
        return play_connect(player, conn, argument);
    if (strcmp(step, "request") == 0)
        return play_request(player, argument);
    if (strcmp(step, "quiet") == 0)
        return nothing_waits(player, conn);
    if (strcmp(step, "expect-close") == 0)
        return play_expect_close(player, conn, argument);
    if (strcmp(step, "close") == 0) {
        pure_disconnect(player->host, conn);
        return nothing_waits(player, conn);
    }
    if (strcmp(step, "wait") == 0) {
        pure_advance(player->host, strtoul(argument, NULL, 10));
        return true;
    }
    return wrong(player, "a step", "one of README.md", step);
}

static bool play_ingest(struct player *player, char *step)
{
    char *rest, *topic = strchr(step, ' ');
    int status = cut_status(step, &rest);
    if (topic == NULL || status == 0)
        return wrong(player, "a step", "ingest TOPIC BODY -> STATUS or read TOPIC -> STATUS", step);
    *topic++ = '\0';
    start(player);
    if (strcmp(step, "read") == 0) {
        if (!expect_status(player, status, pure_read(player->host, topic)))
            return false;
        return rest[0] == '\0' || matches(player, rest, player->host->reply) ||
               wrong(player, "another state", rest, player->host->reply);
    }
    char *body = strchr(topic, ' ');
    if (strcmp(step, "ingest") != 0 || body == NULL)
        return wrong(player, "a step", "ingest or read", step);
    *body++ = '\0';
    char *merge = strstr(topic, "?merge=1");
    player->host->merge = merge != NULL;
    if (merge != NULL)
        *merge = '\0';
    return expect_status(player, status, pure_ingest(player->host, topic, body));
}

static size_t from_hex(const char *text, uint8_t *out)
{
    size_t bytes = strlen(text) / 2;
    for (size_t i = 0; i < bytes; i++) {
        unsigned value;
        cr_assert_eq(sscanf(text + 2 * i, "%2x", &value), 1);
        out[i] = (uint8_t)value;
    }
    return bytes;
}

static bool play_message(struct player *player, uint32_t conn, bool sent, bool binary, const char *text)
{
    uint8_t bytes[LINE_BYTES_MAX];
    char sent_text[LINE_BYTES_MAX];
    size_t count = binary ? from_hex(text, bytes) : 0;
    if (sent) {
        expand(player, text, sent_text, sizeof sent_text);
        pure_send(player->host, conn, binary ? WS_BINARY : WS_TEXT,
                  binary ? slice_of(bytes, count) : slice_text(sent_text));
        return true;
    }
    const struct pure_message *message = pure_take(player->host, conn);
    if (message == NULL)
        return wrong(player, "no message", text, "nothing");
    bool same = message->opcode == (binary ? WS_BINARY : WS_TEXT) &&
                (binary ? slice_equal(slice_of(message->data, message->bytes), slice_of(bytes, count))
                        : matches(player, text, (const char *)message->data));
    return same || wrong(player, "another message", text, (const char *)message->data);
}

static bool play_line(struct player *player, const char *line)
{
    char copy[LINE_BYTES_MAX], expanded[LINE_BYTES_MAX], name[8] = "";
    size_t at = 0;
    if (line[0] == '\0' || line[0] == '#')
        return true;
    snprintf(copy, sizeof copy, "%s", line);
    for (; at < 7 && ((copy[at] >= 'A' && copy[at] <= 'Z') || is_digit(copy[at])); at++)
        name[at] = copy[at];
    char kind = copy[at];
    bool binary = kind != '\0' && copy[at + 1] == 'x';
    if (kind == '\0' || strchr("><@!", kind) == NULL || copy[at + 1 + binary] != ' ')
        return wrong(player, "a line", "> < @ or ! and a space", line);
    if (!player->dialect_known && (kind != '@' || strncmp(copy + at, "@ dialect ", 10) != 0))
        return wrong(player, "a line", "@ dialect first", line);
    char *step = copy + at + 2 + binary;
    switch (kind) {
    case '@':
        return play_control(player, name, step);
    case '!':
        expand(player, step, expanded, sizeof expanded);
        return play_ingest(player, expanded);
    default:
        return play_message(player, conn_index(player, name), kind == '>', binary, step);
    }
}

/* The next line of *text into `line`; false at the end. */
static bool next_line(const char **text, char line[LINE_BYTES_MAX])
{
    if (**text == '\0')
        return false;
    size_t bytes = strcspn(*text, "\n");
    cr_assert_lt(bytes, LINE_BYTES_MAX);
    memcpy(line, *text, bytes);
    line[bytes] = '\0';
    *text += bytes + ((*text)[bytes] == '\n');
    return true;
}

/* Plays the lines of a loop, up to its `@ end`, once per number; *text then stands behind it. */
static bool play_loop(struct player *player, const char *head, const char **text)
{
    char name[32], line[LINE_BYTES_MAX], value[24];
    long first, last;
    int begin_line = player->line;
    const char *begin = *text;
    if (sscanf(head, "@ for %31[A-Za-z] %ld %ld", name, &first, &last) != 3)
        return wrong(player, "a loop", "@ for NAME FIRST LAST", head);
    for (long i = first; i <= last; i++) {
        *text = begin;
        player->line = begin_line;
        snprintf(value, sizeof value, "%ld", i);
        bind(player, name, value, strlen(value));
        for (;;) {
            player->line++;
            if (!next_line(text, line))
                return wrong(player, "a loop", "@ end", "the end of the file");
            if (strcmp(line, "@ end") == 0)
                break;
            if (!play_line(player, line))
                return false;
        }
    }
    return true;
}

/* Plays a whole transcript. False, and player->error says where and why. */
static bool play(struct player *player, const char *text)
{
    static struct pure_host host;
    char line[LINE_BYTES_MAX];
    *player = (struct player){.host = &host};
    while (next_line(&text, line)) {
        player->line++;
        bool good = strncmp(line, "@ for ", 6) == 0 ? play_loop(player, line, &text) : play_line(player, line);
        if (!good)
            break;
    }
    for (uint32_t i = 0; i < player->conn_count && player->error[0] == '\0'; i++)
        if (host.conns[i].open)
            (void)nothing_waits(player, i);
    if (player->dialect_known)
        pure_close(&host);
    return player->error[0] == '\0';
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    char *text = calloc(1, 1 << 20);
    cr_assert_not_null(text);
    size_t bytes = fread(text, 1, (1 << 20) - 1, file);
    cr_assert_lt(bytes, (1 << 20) - 1, "%s is too large", path);
    fclose(file);
    return text;
}

Test(transcripts, all_play_against_the_pure_dialects)
{
    static struct player player;
    char folder[1024];
    int played = 0;
    snprintf(folder, sizeof folder, "%s", __FILE__);
    char *tail = strstr(folder, "unit/protocol/");
    cr_assert_not_null(tail);
    strcpy(tail, "transcripts");
    DIR *files = opendir(folder);
    cr_assert_not_null(files, "%s", folder);
    for (struct dirent *entry; (entry = readdir(files)) != NULL;) {
        char path[2048];
        size_t bytes = strlen(entry->d_name);
        if (bytes < 4 || strcmp(entry->d_name + bytes - 4, ".txt") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        char *text = read_file(path);
        cr_expect(play(&player, text), "%s %s", entry->d_name, player.error);
        free(text);
        played++;
    }
    closedir(files);
    cr_assert_geq(played, 10);
}

#define BEGIN "@ dialect echo\n@ connect /echo\n"

Test(transcripts, player_notices_what_is_wrong)
{
    static struct player player;
    static const char *const bad[] = {
        BEGIN "> a\n< b\n",
        BEGIN "> a\n", /* an answer that nobody reads */
        BEGIN "< a\n", /* no answer */
        BEGIN "> a\n@ quiet\n",
        BEGIN "> a\n<x 61\n", /* text is not binary */
        BEGIN ">x 61\n< a\n",
        BEGIN "> a\n< ab\n",
        BEGIN "> ab\n< a\n",
        BEGIN "> a1\n< a<unix-s>\n",
        BEGIN "> \n< <any>\n",
        BEGIN "> x\n< <N>\n> y\n< <N>\n", /* remembered */
        BEGIN "> 1\n< <N>\n> 3\n< <N+1>\n",
        BEGIN "> a b\n< <N> <N>\n", /* twice in one line */
        BEGIN "@ expect-close 1000 \n",
        BEGIN "> a\n@ close\n",
        BEGIN "@ dance\n",
        BEGIN "@ set messages_max 1\n", /* too late */
        BEGIN "hello\n",
        BEGIN "@ for i 1 2\n> <i>\n< 1\n@ end\n",
        BEGIN "@ for i 1 2\n> <i>\n< <i>\n", /* no end */
        "> a\n",
        "@ dialect echo\n@ connect /other\n",
        "@ dialect echo\n@ connect /echo -> 404\n",
        "@ dialect plain\n! ingest bad!name x -> 202\n",
        "@ dialect plain\n@ set retain 1\n! ingest a x -> 202\n! read a -> 200 y\n",
        BEGIN "> 2024-01-23T12:34:56Z\n< <iso-ms>\n",
        "@ dialect crypto\n@ request GET /ws/stats -> 404\n",
        "@ dialect crypto\n@ request GET /ws/nonsense -> 404 {}\n",
        "@ dialect crypto\n@ request GET /ws/stats\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(play(&player, bad[i]), "passed: %s", bad[i]);
}

Test(transcripts, player_takes_what_is_right)
{
    static struct player player;
    static const char *const good[] = {
        BEGIN "\n# nothing\n@ quiet\n@ close\n",
        BEGIN "> 1\n< <N>\n> 3\n< <N+2>\n> <N>\n< 1\n",
        BEGIN "> a a\n< <N> <N>\n",
        BEGIN "A@ connect /echo\nA> x\nA< x\n@ quiet\n",
        BEGIN "@ for i 1 3\n> m<i>\n< m<i>\n@ end\n> 4\n< 4\n",
        BEGIN "> at 1706013296 or 2024-01-23T12:34:56Z\n< at <unix-s> or <iso-s>\n",
        BEGIN "> at 2024-01-23T12:34:56.789Z\n< at <iso-ms>\n",
        BEGIN "> < and <1> and <a b>\n< < and <1> and <a b>\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(play(&player, good[i]), "%s\n%s", good[i], player.error);
}
