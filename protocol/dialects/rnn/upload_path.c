/* SPDX-License-Identifier: MIT */
/* Owns the rule of paths. It never looks at a disk: links and folders that are in the way are the disk's to find. Called
 * by uploads.c. */
#include "protocol/dialects/rnn/upload_path.h"

#include "protocol/depot.h"
#include "protocol/utf8.h"

static bool begins_with(struct slice text, const char *with)
{
    struct slice prefix = slice_text(with);
    return text.bytes >= prefix.bytes && memcmp(text.data, prefix.data, prefix.bytes) == 0;
}

/* A control character: U+0000 to U+001F, U+007F, and U+0080 to U+009F, which UTF-8 begins with C2. */
static bool is_control(struct slice name, size_t at)
{
    uint8_t c = name.data[at];
    return c < 0x20 || c == 0x7F || (c == 0xC2 && at + 1 < name.bytes && name.data[at + 1] < 0xA0);
}

/* A component, which is also what a plain name is. */
static bool is_component(struct slice name)
{
    if (name.bytes == 0 || name.bytes > UPLOAD_COMPONENT_BYTES_MAX || slice_is(name, ".") || slice_is(name, "..") ||
        begins_with(name, DEPOT_STAGING_PREFIX))
        return false;
    for (size_t i = 0; i < name.bytes; i++)
        if (is_control(name, i) || name.data[i] == '/' || name.data[i] == '\\')
            return false;
    return true;
}

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* One letter and a colon, as another system names its disks. */
static bool has_drive(struct slice path)
{
    return path.bytes >= 2 && is_letter(path.data[0]) && path.data[1] == ':';
}

bool upload_path(struct slice file_path, struct slice filename, struct buf *out)
{
    size_t mark = out->used;
    bool folder = file_path.bytes == 0 || file_path.data[file_path.bytes - 1] == '/';
    if (!is_component(filename) || has_drive(filename) || has_drive(file_path) || !utf8_valid(filename) ||
        !utf8_valid(file_path))
        return false;
    buf_put(out, file_path);
    if (folder)
        buf_put(out, filename);
    struct slice path = buf_since(out, mark);
    if (out->overflow || path.bytes > UPLOAD_PATH_BYTES_MAX)
        return false;
    for (size_t from = 0, at = 0; at <= path.bytes; at++) {
        if (at < path.bytes && path.data[at] != '/')
            continue;
        if (!is_component(slice_of(path.data + from, at - from)))
            return false;
        from = at + 1;
    }
    return true;
}
