/* SPDX-License-Identifier: MIT */
/* Where an uploaded file goes, as a table of what its sender may write (N-58, Q-40, Q-50). That a path through a link leads
 * nowhere is the disk's to find, and is tested there. Run by unit_protocol. */
#include "protocol/dialects/rnn/upload_path.h"
#include "tests/unit/guard.h"

#include <criterion/criterion.h>

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X250 X50 X50 X50 X50 X50
#define X255 X250 "xxxxx"
#define E50                                                                                                            \
    "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9" \
    "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"

/* A path, the file's name beside it, and where that goes; NULL: nowhere. */
struct row {
    struct slice path, name;
    const char *goes;
};

static const struct row rows[] = {
    /* the path counts */
    {TEXT("a"), TEXT("n"), "a"},
    {TEXT("a/b"), TEXT("n"), "a/b"},
    {TEXT("a/b/c/d/e/f/g"), TEXT("n"), "a/b/c/d/e/f/g"},
    {TEXT("in/hi.txt"), TEXT("hi.txt"), "in/hi.txt"},
    /* the name counts */
    {TEXT(""), TEXT("n"), "n"},
    {TEXT("a/"), TEXT("n"), "a/n"},
    {TEXT("a/b/"), TEXT("n"), "a/b/n"},
    /* dots that are no steps */
    {TEXT("..x"), TEXT("n"), "..x"},
    {TEXT("x.."), TEXT("n"), "x.."},
    {TEXT("..."), TEXT("n"), "..."},
    {TEXT("a/..b/c"), TEXT("n"), "a/..b/c"},
    {TEXT(".hidden"), TEXT("n"), ".hidden"},
    {TEXT("a/.b/.c"), TEXT("n"), "a/.b/.c"},
    {TEXT(".uploadx"), TEXT("n"), ".uploadx"},
    {TEXT("upload-x"), TEXT("n"), "upload-x"},
    {TEXT("a.upload-x"), TEXT("n"), "a.upload-x"},
    /* what means something elsewhere */
    {TEXT("a b/ c"), TEXT("n"), "a b/ c"},
    {TEXT("%2e%2e%2fx"), TEXT("n"), "%2e%2e%2fx"},
    {TEXT("~root"), TEXT("n"), "~root"},
    {TEXT("-rf"), TEXT("n"), "-rf"},
    {TEXT("$HOME;*?\"'`|&<>"), TEXT("n"), "$HOME;*?\"'`|&<>"},
    {TEXT("12:30"), TEXT("n"), "12:30"},
    {TEXT("ab:c"), TEXT("n"), "ab:c"},
    {TEXT("1:x"), TEXT("n"), "1:x"},
    {TEXT("a/C:"), TEXT("n"), "a/C:"},
    {TEXT(":x"), TEXT("n"), ":x"},
    {TEXT("\xC3\xA9:x"), TEXT("n"), "\xC3\xA9:x"},
    /* UTF-8 */
    {TEXT("gr\xC3\xBC\xC3\x9F"
          "e/\xE6\x97\xA5\xE6\x9C\xAC"),
     TEXT("n"),
     "gr\xC3\xBC\xC3\x9F"
     "e/\xE6\x97\xA5\xE6\x9C\xAC"},
    {TEXT("\xF0\x9F\x98\x80"), TEXT("n"), "\xF0\x9F\x98\x80"},
    {TEXT("\xEF\xBC\x8F"), TEXT("n"), "\xEF\xBC\x8F"}, /* a full-width solidus is a letter */
    /* lengths */
    {TEXT(X255), TEXT("n"), X255},
    {TEXT("a/" X255), TEXT("n"), "a/" X255},
    {TEXT("a"), TEXT(X255), "a"},
    {TEXT("a/"), TEXT(X255), "a/" X255},
    {TEXT(E50 E50 "\xC3\xA9\xC3\xA9\xC3\xA9"), TEXT("n"), E50 E50 "\xC3\xA9\xC3\xA9\xC3\xA9"},
    {TEXT(X255 "/" X255 "/" X255 "/" X255 "/"), TEXT("n"), NULL}, /* 1,025 bytes */
    {TEXT(X255 "/" X255 "/" X255 "/" X250 "xxxx/"), TEXT("n"), X255 "/" X255 "/" X255 "/" X250 "xxxx/n"}, /* 1,024 */
    {TEXT(X255 "/" X255 "/" X255 "/" X250 "xxxxx/x"), TEXT("n"), NULL},
    {TEXT(X255 "x"), TEXT("n"), NULL},
    {TEXT("a/" X255 "x"), TEXT("n"), NULL},
    {TEXT(X255 "x/a"), TEXT("n"), NULL},
    {TEXT("a/"), TEXT(X255 "x"), NULL},
    {TEXT("a"), TEXT(X255 "x"), NULL},
    /* steps */
    {TEXT("."), TEXT("n"), NULL},
    {TEXT(".."), TEXT("n"), NULL},
    {TEXT("./a"), TEXT("n"), NULL},
    {TEXT("../a"), TEXT("n"), NULL},
    {TEXT("../../a"), TEXT("n"), NULL},
    {TEXT("a/."), TEXT("n"), NULL},
    {TEXT("a/.."), TEXT("n"), NULL},
    {TEXT("a/./b"), TEXT("n"), NULL},
    {TEXT("a/../b"), TEXT("n"), NULL},
    {TEXT("a/b/../../../c"), TEXT("n"), NULL},
    {TEXT("./"), TEXT("n"), NULL},
    {TEXT("../"), TEXT("n"), NULL},
    {TEXT("a/../"), TEXT("n"), NULL},
    {TEXT("a/"), TEXT("."), NULL},
    {TEXT("a/"), TEXT(".."), NULL},
    /* nothing between two */
    {TEXT("/"), TEXT("n"), NULL},
    {TEXT("//"), TEXT("n"), NULL},
    {TEXT("/a"), TEXT("n"), NULL},
    {TEXT("//a"), TEXT("n"), NULL},
    {TEXT("/etc/passwd"), TEXT("n"), NULL},
    {TEXT("a//b"), TEXT("n"), NULL},
    {TEXT("a//"), TEXT("n"), NULL},
    {TEXT("a/"), TEXT(""), NULL},
    {TEXT(""), TEXT(""), NULL},
    /* another system's */
    {TEXT("a\\b"), TEXT("n"), NULL},
    {TEXT("\\a"), TEXT("n"), NULL},
    {TEXT("..\\a"), TEXT("n"), NULL},
    {TEXT("\\\\host\\share"), TEXT("n"), NULL},
    {TEXT("C:"), TEXT("n"), NULL},
    {TEXT("c:a"), TEXT("n"), NULL},
    {TEXT("C:/a"), TEXT("n"), NULL},
    {TEXT("Z:\\a"), TEXT("n"), NULL},
    {TEXT("a/"), TEXT("C:"), NULL},
    {TEXT(""), TEXT("c:n"), NULL},
    /* control characters */
    {TEXT("\0"), TEXT("n"), NULL},
    {TEXT("a\0b"), TEXT("n"), NULL},
    {TEXT("a\0/../b"), TEXT("n"), NULL},
    {TEXT("a\nb"), TEXT("n"), NULL},
    {TEXT("a\rb"), TEXT("n"), NULL},
    {TEXT("a\tb"), TEXT("n"), NULL},
    {TEXT("\x01"), TEXT("n"), NULL},
    {TEXT("a\x1F"), TEXT("n"), NULL},
    {TEXT("a\x7F"), TEXT("n"), NULL},
    {TEXT("a\xC2\x80"), TEXT("n"), NULL},
    {TEXT("a\xC2\x9F"
          "b"),
     TEXT("n"), NULL},
    {TEXT("a\xC2\xA0"), TEXT("n"), "a\xC2\xA0"},
    {TEXT("a/"), TEXT("n\0"), NULL},
    {TEXT("a/"), TEXT("n\n"), NULL},
    /* not UTF-8 */
    {TEXT("\xFF"), TEXT("n"), NULL},
    {TEXT("a\x80"), TEXT("n"), NULL},
    {TEXT("\xC3"), TEXT("n"), NULL},
    {TEXT("\xC0\xAF"), TEXT("n"), NULL},           /* '/' in two bytes */
    {TEXT("\xC0\xAE\xC0\xAE/a"), TEXT("n"), NULL}, /* '.' likewise */
    {TEXT("\xED\xA0\x80"), TEXT("n"), NULL},       /* half of a surrogate pair */
    {TEXT("\xF4\x90\x80\x80"), TEXT("n"), NULL},
    {TEXT("a/"), TEXT("\xFF"), NULL},
    {TEXT("\xC3/\xA9"), TEXT("n"), NULL}, /* a letter over two components */
    /* names of files in the making */
    {TEXT(".upload-"), TEXT("n"), NULL},
    {TEXT(".upload-x"), TEXT("n"), NULL},
    {TEXT(".upload-staging/session-x"), TEXT("n"), NULL},
    {TEXT("a/.upload-x"), TEXT("n"), NULL},
    {TEXT("a/.upload-x/b"), TEXT("n"), NULL},
    {TEXT("a/"), TEXT(".upload-x"), NULL},
    /* a name is plain, also where the path counts */
    {TEXT("a"), TEXT(""), NULL},
    {TEXT("a"), TEXT("n/m"), NULL},
    {TEXT("a"), TEXT("/"), NULL},
    {TEXT("a"), TEXT("../n"), NULL},
    {TEXT("a"), TEXT("n\\m"), NULL},
};

static void expect_row(size_t index)
{
    const struct row *row = &rows[index];
    uint8_t memory[UPLOAD_PATH_BYTES_MAX + 600];
    struct buf out = buf_of(memory, sizeof memory);
    uint8_t *path = guard_place(row->path.data, row->path.bytes), *name = guard_place(row->name.data, row->name.bytes);
    bool good = upload_path(slice_of(path, row->path.bytes), slice_of(name, row->name.bytes), &out);
    cr_expect_eq(good, row->goes != NULL, "row %zu: %s", index, (const char *)row->path.data);
    if (good && row->goes != NULL)
        cr_expect(slice_is(buf_slice(&out), row->goes), "row %zu: %.*s", index, (int)out.used, (const char *)memory);
    guard_free(path, row->path.bytes);
    guard_free(name, row->name.bytes);
}

Test(upload_path, leads_nowhere_but_below_its_folder) /* N-58, Q-40, Q-50 */
{
    _Static_assert(sizeof rows / sizeof rows[0] >= 60, "so many at least");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_row(i);
}

/* What is accepted, read again as a disk reads it. */
static void expect_harmless(struct slice path)
{
    size_t from = 0;
    for (size_t i = 0; i <= path.bytes; i++) {
        if (i < path.bytes && path.data[i] != '/')
            continue;
        struct slice component = slice_of(path.data + from, i - from);
        cr_assert(component.bytes >= 1 && component.bytes <= 255);
        cr_assert_not(slice_is(component, ".") || slice_is(component, "..") ||
                      slice_starts(component, slice_text(".upload-")));
        cr_assert_null(memchr(component.data, '\0', component.bytes));
        from = i + 1;
    }
}

/* Every text of up to seven of the characters that mean something. */
Test(upload_path, lets_no_step_through_however_it_is_put_together) /* N-58 */
{
    static const char letters[] = {'.', '/', 'a', '\\', ':'};
    uint8_t text[7], memory[64];
    unsigned taken = 0, all = 0;
    for (unsigned length = 0; length <= sizeof text; length++) {
        unsigned count = 1;
        for (unsigned i = 0; i < length; i++)
            count *= sizeof letters;
        for (unsigned n = 0; n < count; n++, all++) {
            unsigned rest = n;
            for (unsigned i = 0; i < length; i++, rest /= sizeof letters)
                text[i] = (uint8_t)letters[rest % sizeof letters];
            struct buf out = buf_of(memory, sizeof memory);
            if (!upload_path(slice_of(text, length), slice_text("n"), &out))
                continue;
            taken++;
            cr_assert(length == 0 || text[length - 1] == '/' || slice_equal(buf_slice(&out), slice_of(text, length)));
            expect_harmless(buf_slice(&out));
        }
    }
    cr_expect(taken > 1000 && taken < all / 2, "%u of %u", taken, all);
}

Test(upload_path, stands_behind_what_is_written_already) /* its caller's buffer */
{
    uint8_t memory[16];
    struct buf out = buf_of(memory, sizeof memory);
    buf_put_text(&out, "x");
    cr_expect(upload_path(slice_text("a/"), slice_text("n"), &out));
    cr_expect(slice_is(buf_slice(&out), "xa/n"));
    out = buf_of(memory, 2);
    cr_expect_not(upload_path(slice_text("a/"), slice_text("n"), &out), "no room is no path");
}
