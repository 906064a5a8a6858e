/* SPDX-License-Identifier: MIT */
/* Owns the configuration as text: the effective values as YAML that loads again, and a first file with fresh keys. It
 * never prints a secret that it was given. Called by the commands `check` and `genconfig`. */
#include "shards/config/config_parts.h"

#include "core/clock.h"

#include <ctype.h>
#include <stdlib.h>

/* --- effective values --------------------------------------------------------------------------------------------- */

static void put_comment_text(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        buf_put_byte(out, iscntrl((unsigned char)*text) ? '?' : (uint8_t)*text);
}

static void put_origin(const struct config_section *section, const struct option *row,
                       const struct config_origin *origin, const char *path, struct buf *out)
{
    buf_put_text(out, "  # ");
    switch (origin->kind) {
    case CONFIG_FROM_DEFAULT:
        buf_put_text(out, "default");
        break;
    case CONFIG_FROM_FILE:
        put_comment_text(out, path == NULL ? "file" : path);
        buf_put_byte(out, ':');
        buf_put_u64(out, origin->line);
        break;
    case CONFIG_FROM_ENVIRONMENT:
        buf_put_text(out, "env ");
        config_environment_name(section, row, out);
        break;
    case CONFIG_FROM_SET:
        buf_put_text(out, "--set");
        break;
    }
}

/* An ingest entry is masked up to its patterns: they are no secret, and without them it would not load. They hold
 * neither quotes nor backslashes (config_keys.c has checked them). */
static void put_ingest_keys(const struct ingest_settings *ingest, struct buf *out)
{
    buf_put_byte(out, '[');
    for (uint32_t i = 0; i < ingest->keys.count; i++) {
        const char *patterns = strpbrk(ingest->keys.items[i], " \t");
        buf_put_text(out, i == 0 ? "\"" OPTION_MASK : ", \"" OPTION_MASK);
        buf_put_text(out, patterns == NULL ? "" : patterns);
        buf_put_byte(out, '"');
    }
    buf_put_byte(out, ']');
}

static void put_row(const struct config *config, const struct config_section *section, uint32_t index, const char *path,
                    struct buf *out)
{
    const struct option *row = config_row(section, index);
    buf_put_text(out, section->name[0] == '\0' ? "" : "  ");
    buf_put_text(out, row->name);
    buf_put_text(out, ": ");
    if (section->object == &config->ingest && row->kind == OPTION_SECRETS)
        put_ingest_keys(&config->ingest, out);
    else
        option_print(section->object, row, out);
    put_origin(section, row, &config->origins[section->first + index], path, out);
    buf_put_byte(out, '\n');
}

void config_print(const struct config *config, const struct config_source *source, struct buf *out)
{
    struct config_sections sections;
    config_sections(config, &sections);
    for (uint32_t s = 0; s < sections.count; s++) {
        const struct config_section *section = &sections.items[s];
        if (section->name[0] != '\0') {
            buf_put_byte(out, '\n');
            buf_put_text(out, section->name);
            buf_put_text(out, ":\n");
        }
        for (uint32_t i = 0; i < section->count; i++)
            put_row(config, section, i, source->path, out);
    }
}

/* --- a first file ------------------------------------------------------------------------------------------------- */

#define KEY_WORDS 4 /* 256 bits */

static int put_fresh_key(struct buf *out)
{
    uint64_t words[KEY_WORDS];
    int error = clock_entropy(words, sizeof words);
    for (uint32_t i = 0; error == 0 && i < KEY_WORDS; i++)
        buf_put_hex(out, words[i], 16);
    return error;
}

int config_generate(struct buf *out)
{
    buf_put_text(
        out,
        "# A ringcast configuration. `ringcast check -c FILE` prints every key with its value and finds mistakes.\n"
        "# Later places count before earlier ones: defaults, this file, RINGCAST_SECTION_KEY variables, --set.\n"
        "# This file holds keys: keep it readable for the server's user only.\n"
        "\n"
        "# Publishers: POST http://127.0.0.1:9400/ingest/v1/DIALECT/TOPIC with the key as bearer token.\n"
        "# An entry is the key and the topics that it may publish, * standing for any rest.\n"
        "ingest:\n"
        "  listen: [\"127.0.0.1:9400\"]\n"
        "  keys: [\"");
    int error = put_fresh_key(out);
    if (error != 0)
        return error;
    buf_put_text(
        out,
        " plain/*\"]\n"
        "\n"
        "# Health and metrics: http://127.0.0.1:9401/health/ready and /metrics. Without a password: keep it local.\n"
        "admin:\n"
        "  listen: [\"127.0.0.1:9401\"]\n"
        "\n"
        "# Readers: ws://localhost:9500/plain/CHANNEL. A dialect serves where its `listen` says, and is off without.\n"
        "# \"*:9500\" listens to the world. Without keys everybody may read.\n"
        "plain:\n"
        "  listen: [\"localhost:9500\"]\n"
        "  keys: [\"");
    error = put_fresh_key(out);
    buf_put_text(out, "\"]\n");
    return error;
}
