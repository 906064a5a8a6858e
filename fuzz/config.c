/* SPDX-License-Identifier: MIT */
/* Owns what must hold of every configuration file: it loads or is refused with findings that name the file (and the
 * line where there is one), and what loads is printed in a form that loads again with the same values and no secret. It
 * never reads the environment. The input is the file. */
#include "shards/config/config.h"
#include "core/ring.h"
#include "fuzz/fuzz.h"
#include "protocol/dialect.h"

#include <sys/mman.h>
#include <unistd.h>

#define TEXT_BYTES (1U << 20)

/* A file without a place: its path, good until close(*fd). */
static void file_make(struct slice text, char path[32], int *fd)
{
    *fd = memfd_create("config", MFD_CLOEXEC);
    expect(*fd >= 0 && write(*fd, text.data, text.bytes) == (ssize_t)text.bytes);
    snprintf(path, 32, "/proc/self/fd/%d", *fd);
}

static int load(struct slice text, struct config **config, struct buf *why, struct buf *printed)
{
    char path[32];
    int fd;
    file_make(text, path, &fd);
    struct config_source source = {.path = path};
    int error = config_load(&source, config, why);
    if (error == 0 && printed != NULL)
        config_print(*config, &source, printed);
    close(fd);
    return error;
}

/* Lines that end, each of the form "PATH:LINE: text", "PATH: text" for a fault of the whole file, or "WHERE: text" for
 * what belongs to no place in it. */
static void expect_findings(struct slice why)
{
    expect(why.bytes > 0 && why.data[why.bytes - 1] == '\n');
    while (why.bytes > 0) {
        const uint8_t *end = memchr(why.data, '\n', why.bytes);
        struct slice line = slice_of(why.data, (size_t)(end - why.data));
        why = slice_skip(why, line.bytes + 1);
        for (size_t i = 0; i < line.bytes; i++)
            expect(line.data[i] >= 0x20 && line.data[i] != 0x7F);
        expect(line.bytes > 4 && fuzz_holds(line, slice_text(": ")));
        bool of_file = slice_starts(line, slice_text("/proc/self/fd/"));
        expect(of_file || slice_starts(line, slice_text("listen: ")) || slice_starts(line, slice_text("default: ")));
    }
}

/* Up to the comment that says where the value comes from, which differs between two files. */
static struct slice next_value(struct slice *text)
{
    const uint8_t *end = text->bytes == 0 ? NULL : memchr(text->data, '\n', text->bytes);
    struct slice line = slice_of(text->data, end == NULL ? text->bytes : (size_t)(end - text->data));
    *text = slice_skip(*text, line.bytes + 1);
    static const char mark[] = "  # ";
    for (size_t at = line.bytes; at-- > 0;)
        if (slice_starts(slice_skip(line, at), slice_text(mark)))
            return slice_of(line.data, at);
    return line;
}

static void expect_same_values(struct slice a, struct slice b)
{
    while (a.bytes > 0 || b.bytes > 0)
        expect(slice_equal(next_value(&a), next_value(&b)));
}

/* No key of any section stands in the text. */
static void expect_masked(const struct config *config, struct slice printed, struct slice written)
{
    for (uint32_t d = 0; d < config->dialect_count; d++) {
        const struct dialect_settings *settings = config->dialects[d];
        for (uint32_t i = 0; i < settings->keys.count; i++) {
            struct slice key = slice_text(settings->keys.items[i]);
            bool elsewhere = false; /* the same bytes may be another, public value */
            size_t times = 0;
            for (size_t at = 0; at + key.bytes <= written.bytes; at++)
                times += memcmp(written.data + at, key.data, key.bytes) == 0;
            elsewhere = times != 1;
            expect(key.bytes < 12 || elsewhere || !fuzz_holds(printed, key));
        }
    }
}

static void expect_printed(const struct config *config, struct slice written, struct slice printed)
{
    static uint8_t why_memory[4096], again_memory[TEXT_BYTES];
    struct buf why = buf_of(why_memory, sizeof why_memory), again = buf_of(again_memory, sizeof again_memory);
    struct config *other;
    int error = load(printed, &other, &why, &again);
    if (error != 0)
        fprintf(stderr, "printed:\n%.*s\nwhy: %.*s\n", (int)printed.bytes, printed.data, (int)why.used, why.data);
    expect(error == 0);
    expect_same_values(printed, buf_slice(&again));
    expect_masked(config, printed, written);
    buf_reset(&why);
    config_restart_needed(config, other, &why);
    expect(why.used == 0);
    config_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t why_memory[TEXT_BYTES], printed_memory[TEXT_BYTES];
    struct buf why = buf_of(why_memory, sizeof why_memory), printed = buf_of(printed_memory, sizeof printed_memory);
    struct slice text = slice_of(data, bytes);
    struct config *config = NULL;

    if (fuzz_holds(text, slice_text("keys_file")))
        return 0; /* would open any path of this machine */
    int error = load(text, &config, &why, &printed);
    expect(!why.overflow && !printed.overflow);
    if (error != 0) {
        expect_findings(buf_slice(&why));
        return 0;
    }
    expect(why.used == 0);
    expect_printed(config, text, buf_slice(&printed));
    config_free(config);
    return 0;
}
