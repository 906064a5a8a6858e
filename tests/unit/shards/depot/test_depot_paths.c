/* SPDX-License-Identifier: MIT */
/* Proves where files of a depot can get to, and where not (N-58): a table over a tree of folders, files and links, and a second
 * process that exchanges folders and links while files are put in their places. Run by unit_shards. */
#include "tests/unit/shards/depot/depot_dir.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define NEW "the new file"
#define NAME_255                                                                                                       \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaa"                                                                                                             \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
    "aaaa"                                                                                                             \
    "aaaaaaaaaaaaaaaaaaaaaaa"

struct path_case {
    const char *folder, *path;
    int error;       /* of `place` and of `look` */
    const char *end; /* with error 0: where the file is, below the root */
};

static const struct path_case cases[] = {
    /* what is fine */
    {"1", "plain", 0, "1/plain"},
    {"1", "new/folder/file", 0, "1/new/folder/file"},
    {"1", "dir/file", 0, "1/dir/file"},
    {"1", "file", 0, "1/file"},
    {"1", "dir/deep/er/still/more/x", 0, "1/dir/deep/er/still/more/x"},
    {"9", "first of its service", 0, "9/first of its service"},
    {"1", "...", 0, "1/..."},
    {"1", "..a", 0, "1/..a"},
    {"1", "a..", 0, "1/a.."},
    {"1", ".hidden", 0, "1/.hidden"},
    {"1", ".upload", 0, "1/.upload"},
    {"1", "x.upload-y", 0, "1/x.upload-y"},
    {"1", " ", 0, "1/ "},
    {"1", "-rf", 0, "1/-rf"},
    {"1", "~", 0, "1/~"},
    {"1", "$HOME", 0, "1/$HOME"},
    {"1", "*", 0, "1/*"},
    {"1", "a\\b", 0, "1/a\\b"},
    {"1", "\xc3\xa4/\xe2\x82\xac", 0, "1/\xc3\xa4/\xe2\x82\xac"},
    {"1", "new\nline", 0, "1/new\nline"},
    {"1", NAME_255, 0, "1/" NAME_255},
    {"5", NAME_255 "/" NAME_255, 0, "5/" NAME_255 "/" NAME_255},
    {"hard", "link", 0, "hard/link"}, /* the name gets another file; what else has the old one keeps it */
    /* up, nowhere, and the host's own names */
    {"1", "..", -EINVAL, NULL},
    {"1", "../x", -EINVAL, NULL},
    {"1", "../../outside/x", -EINVAL, NULL},
    {"1", "../../outside/secret", -EINVAL, NULL},
    {"1", "dir/../x", -EINVAL, NULL},
    {"1", "dir/../../../outside/secret", -EINVAL, NULL},
    {"1", "dir/..", -EINVAL, NULL},
    {"1", ".", -EINVAL, NULL},
    {"1", "./x", -EINVAL, NULL},
    {"1", "dir/./x", -EINVAL, NULL},
    {"1", "dir/.", -EINVAL, NULL},
    {"1", "", -EINVAL, NULL},
    {"1", "/", -EINVAL, NULL},
    {"1", "/x", -EINVAL, NULL},
    {"1", "/etc/passwd", -EINVAL, NULL},
    {"1", "//x", -EINVAL, NULL},
    {"1", "dir//x", -EINVAL, NULL},
    {"1", "dir/", -EINVAL, NULL},
    {"1", "x/", -EINVAL, NULL},
    {"", "x", -EINVAL, NULL},
    {".", "x", -EINVAL, NULL},
    {"..", "outside/x", -EINVAL, NULL},
    {"../outside", "x", -EINVAL, NULL},
    {"/", "x", -EINVAL, NULL},
    {".upload-staging", "records.db", -EINVAL, NULL},
    {".upload-staging", "x", -EINVAL, NULL},
    {"1", ".upload-x", -EINVAL, NULL},
    {"1", "dir/.upload-staging/x", -EINVAL, NULL},
    {"1", ".upload-", -EINVAL, NULL},
    /* what is in the way */
    {"1", "dir", -EISDIR, NULL},
    {"1", "dir/sub", -EISDIR, NULL},
    {"1", "kept/x", -ENOTDIR, NULL},
    {"1", "kept/x/y", -ENOTDIR, NULL},
    {"3", "x", -ENOTDIR, NULL},
    {"1", "fifo", -EEXIST, NULL},
    {"1", "fifo/x", -ENOTDIR, NULL},
    {"1", NAME_255 "a", -ENAMETOOLONG, NULL},
    {"1", NAME_255 "a/x", -ENAMETOOLONG, NULL},
    {"1", NAME_255 "/" NAME_255 "/" NAME_255 "/" NAME_255 "/" NAME_255, -ENAMETOOLONG, NULL},
    /* links: as a folder, as the last component, to everywhere */
    {"1", "out/x", -ELOOP, NULL},
    {"1", "out/secret", -ELOOP, NULL},
    {"1", "out/new/x", -ELOOP, NULL},
    {"1", "out", -ELOOP, NULL},
    {"1", "secret", -ELOOP, NULL},
    {"1", "secret/x", -ELOOP, NULL},
    {"1", "absolute/x", -ELOOP, NULL},
    {"1", "system/etc/x", -ELOOP, NULL},
    {"1", "process/x", -ELOOP, NULL},
    {"1", "process", -ELOOP, NULL},
    {"1", "loop", -ELOOP, NULL},
    {"1", "loop/x", -ELOOP, NULL},
    {"1", "dangling", -ELOOP, NULL},
    {"1", "dangling/x", -ELOOP, NULL},
    {"1", "up/x", -ELOOP, NULL},
    {"1", "self/x", -ELOOP, NULL},
    {"1", "self/self/dir/x", -ELOOP, NULL},
    {"1", "inside", -ELOOP, NULL},
    {"1", "inside/x", -ELOOP, NULL},
    {"1", "dir/sideways/x", -ELOOP, NULL},
    {"1", "dir/sideways", -ELOOP, NULL},
    {"2", "x", -ELOOP, NULL},
    {"2", "secret", -ELOOP, NULL},
    {"2", "new/x", -ELOOP, NULL},
    {"4", "records.db", -ELOOP, NULL}, /* a link to the files in the making */
};
#define CASES (sizeof cases / sizeof cases[0])
_Static_assert(CASES >= 60, "the table is whole");

static void link_to(const struct depot_dir *dir, const char *to, const char *below)
{
    cr_assert_eq(symlink(to, depot_dir_path(dir, below)), 0, "%s", below);
}

static void make_tree(struct depot_dir *dir)
{
    static const char *const folders[] = {"root/1", "root/1/dir", "root/1/dir/sub", "root/hard"};
    depot_dir_make(dir);
    for (unsigned i = 0; i < sizeof folders / sizeof folders[0]; i++)
        cr_assert_eq(mkdir(depot_dir_path(dir, folders[i]), 0755), 0);
    depot_dir_write(dir, "root/1/file", "old");
    depot_dir_write(dir, "root/1/kept", "kept");
    depot_dir_write(dir, "root/3", "no folder");
    cr_assert_eq(mkfifo(depot_dir_path(dir, "root/1/fifo"), 0644), 0);
    cr_assert_eq(link(depot_dir_path(dir, "outside/secret"), depot_dir_path(dir, "root/hard/link")), 0);
    link_to(dir, "../../outside", "root/1/out");
    link_to(dir, "../../outside/secret", "root/1/secret");
    link_to(dir, dir->outside, "root/1/absolute");
    link_to(dir, "/", "root/1/system");
    link_to(dir, "/proc/self/cwd", "root/1/process");
    link_to(dir, "loop", "root/1/loop");
    link_to(dir, "nowhere", "root/1/dangling");
    link_to(dir, "..", "root/1/up");
    link_to(dir, ".", "root/1/self");
    link_to(dir, "dir", "root/1/inside");
    link_to(dir, "..", "root/1/dir/sideways");
    link_to(dir, "../outside", "root/2");
    link_to(dir, ".upload-staging", "root/4");
}

static void check_case(struct depot_dir *dir, const struct path_case *one, unsigned number)
{
    char below[2200];
    struct slice folder = slice_text(one->folder), path = slice_text(one->path);
    depot_dir_stage(dir, "session-1", NEW);
    int looked = depot_files_look(&dir->files, folder, path);
    int error = depot_files_place(&dir->files, "session-1", folder, path);
    cr_expect_eq(looked, one->error, "case %u, %s/%s: looked, %d", number, one->folder, one->path, looked);
    cr_expect_eq(error, one->error, "case %u, %s/%s: placed, %d", number, one->folder, one->path, error);
    cr_expect(depot_dir_is_intact(dir), "case %u, %s/%s: outside the root", number, one->folder, one->path);
    cr_expect(depot_dir_holds(dir, "root/1/kept", "kept") && depot_dir_holds(dir, "root/3", "no folder"));
    (void)snprintf(below, sizeof below, "root/%s", one->end == NULL ? "" : one->end);
    if (one->error == 0)
        cr_expect(depot_dir_holds(dir, below, NEW), "case %u: %s", number, below);
    cr_expect(depot_dir_holds(dir, "root/" DEPOT_STAGING "/session-1", one->error == 0 ? NULL : NEW), "case %u",
              number);
    cr_assert_eq(depot_files_remove(&dir->files, "session-1"), 0);
}

Test(depot_files, place_a_file_below_the_root_through_no_link_or_not_at_all)
{
    static struct depot_dir dir;
    make_tree(&dir);
    depot_dir_open(&dir);
    for (unsigned i = 0; i < CASES; i++)
        check_case(&dir, &cases[i], i);
    cr_expect_eq(depot_dir_count(&dir, "root/" DEPOT_STAGING), 0);
    depot_files_close(&dir.files);
    depot_dir_remove(&dir);
}

/* --- a second process --------------------------------------------------------------------------------------------- */

#define TRIES 3000

/* Exchanges two names until it is ended. */
static pid_t exchange(const char *one, const char *other)
{
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
    while (child == 0)
        (void)renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

static void place_while(struct depot_dir *dir, pid_t child, const char *path)
{
    for (unsigned i = 0; i < TRIES; i++) {
        depot_dir_stage(dir, "session-1", NEW);
        int error = depot_files_place(&dir->files, "session-1", slice_text("1"), slice_text(path));
        cr_assert(error == 0 || error == -ELOOP || error == -ENOTDIR, "try %u: %d", i, error);
        cr_assert(depot_dir_is_intact(dir), "try %u", i);
    }
    end(child);
    cr_expect(depot_dir_is_intact(dir));
}

Test(depot_files, never_leave_the_root_while_a_folder_and_a_link_are_exchanged)
{
    static struct depot_dir dir;
    make_tree(&dir);
    depot_dir_open(&dir);
    pid_t child = exchange(depot_dir_path(&dir, "root/1/dir"), depot_dir_path(&dir, "root/1/out"));
    place_while(&dir, child, "dir/file");
    depot_files_close(&dir.files);
    depot_dir_remove(&dir);
}

Test(depot_files, never_leave_the_root_while_a_folder_deeper_down_and_a_link_are_exchanged)
{
    static struct depot_dir dir;
    make_tree(&dir);
    depot_dir_open(&dir);
    cr_assert_eq(symlink(dir.outside, depot_dir_path(&dir, "root/1/dir/away")), 0);
    pid_t child = exchange(depot_dir_path(&dir, "root/1/dir/sub"), depot_dir_path(&dir, "root/1/dir/away"));
    place_while(&dir, child, "dir/sub/new/file");
    depot_files_close(&dir.files);
    depot_dir_remove(&dir);
}

/* The last component: a rename replaces a link, it never writes through it. */
Test(depot_files, never_write_through_a_link_that_takes_the_place_of_a_file)
{
    static struct depot_dir dir;
    make_tree(&dir);
    depot_dir_open(&dir);
    pid_t child = exchange(depot_dir_path(&dir, "root/1/file"), depot_dir_path(&dir, "root/1/secret"));
    place_while(&dir, child, "file");
    depot_files_close(&dir.files);
    depot_dir_remove(&dir);
}

/* The folder of a service itself. */
Test(depot_files, never_leave_the_root_while_a_services_folder_and_a_link_are_exchanged)
{
    static struct depot_dir dir;
    make_tree(&dir);
    depot_dir_open(&dir);
    pid_t child = exchange(depot_dir_path(&dir, "root/1"), depot_dir_path(&dir, "root/2"));
    place_while(&dir, child, "new/file");
    depot_files_close(&dir.files);
    depot_dir_remove(&dir);
}

/* --- files in the making ------------------------------------------------------------------------------------------ */

/* Somebody puts a link where a file in the making is, or is to be. */
Test(depot_files, follow_no_link_among_the_files_in_the_making)
{
    static struct depot_dir dir;
    char memory[64];
    struct buf out = buf_of(memory, sizeof memory);
    uint64_t bytes;
    make_tree(&dir);
    depot_dir_open(&dir);
    link_to(&dir, "../../outside/secret", "root/" DEPOT_STAGING "/session-1");
    link_to(&dir, "../../outside/none", "root/" DEPOT_STAGING "/session-2");
    cr_expect_eq(depot_files_write(&dir.files, "session-1", 0, slice_text("x")), -ELOOP);
    cr_expect_eq(depot_files_read(&dir.files, "session-1", 0, &out), -ELOOP);
    cr_expect_eq(depot_files_create(&dir.files, "session-1"), -ELOOP);
    cr_expect_eq(depot_files_create(&dir.files, "session-2"), -ELOOP);
    cr_expect_eq(depot_files_length(&dir.files, "session-1", &bytes), -ENOENT);
    cr_expect_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("x")), -ELOOP);
    cr_expect(depot_dir_holds(&dir, "root/1/x", NULL));
    cr_expect_eq(depot_files_remove(&dir.files, "session-1"), 0); /* the link goes, not what it leads to */
    cr_expect_eq(out.used, 0);
    cr_expect(depot_dir_is_intact(&dir));
    depot_files_close(&dir.files);
    depot_dir_remove(&dir);
}

Test(depot_files, are_not_served_from_a_staging_folder_that_is_a_link)
{
    static struct depot_dir dir;
    char text[256];
    struct buf why = buf_of(text, sizeof text - 1);
    make_tree(&dir);
    link_to(&dir, "../outside", "root/" DEPOT_STAGING);
    cr_expect_eq(depot_files_open(&dir.files, dir.root, &why), -ELOOP);
    text[why.used] = '\0';
    cr_expect_not_null(strstr(text, dir.root), "%s", text);
    cr_expect(depot_dir_is_intact(&dir));
    depot_dir_remove(&dir);
}
