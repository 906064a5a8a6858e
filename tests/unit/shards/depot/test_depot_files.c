/* SPDX-License-Identifier: MIT */
/* Proves the files of a depot on a real file system: what is written is read, descriptors are bounded, a file gets its place in one
 * step and once, orphans are swept, a full disk and a kernel that cannot do it say so. Where files can get to is in test_depot_paths.c. Run
 * by unit_shards. */
#include "tests/unit/shards/depot/depot_dir.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static struct depot_dir dir;

static void begin(void)
{
    depot_dir_make(&dir);
    depot_dir_open(&dir);
}

static void end(void)
{
    depot_files_close(&dir.files);
    depot_dir_remove(&dir);
}

static bool reads(const char *name, uint64_t offset, size_t room, struct slice wanted)
{
    char memory[256];
    struct buf out = buf_of(memory, room);
    return depot_files_read(&dir.files, name, offset, &out) == 0 && slice_equal(buf_slice(&out), wanted);
}

Test(depot_files, give_back_what_was_written_in_any_order)
{
    uint64_t bytes;
    begin();
    cr_assert_eq(depot_files_create(&dir.files, "session-1"), 0);
    cr_expect_eq(depot_files_write(&dir.files, "session-1", 6, slice_text("world")), 0);
    cr_expect_eq(depot_files_length(&dir.files, "session-1", &bytes), 0);
    cr_expect_eq(bytes, 11);
    cr_expect(reads("session-1", 0, 11, slice_of("\0\0\0\0\0\0world", 11)));
    cr_expect_eq(depot_files_write(&dir.files, "session-1", 0, slice_text("hello ")), 0);
    cr_expect_eq(depot_files_sync(&dir.files), 0);
    cr_expect(reads("session-1", 0, 200, slice_text("hello world"))); /* shorter only at the end */
    cr_expect(reads("session-1", 4, 3, slice_text("o w")));
    cr_expect(reads("session-1", 11, 5, slice_text("")));
    cr_expect_eq(depot_files_create(&dir.files, "session-1"), 0); /* instead of the one before */
    cr_expect(reads("session-1", 0, 200, slice_text("")));
    end();
}

Test(depot_files, that_are_not_there_are_said_not_to_be)
{
    char memory[8];
    struct buf out = buf_of(memory, sizeof memory);
    uint64_t bytes = 7;
    begin();
    cr_expect_eq(depot_files_write(&dir.files, "none", 0, slice_text("x")), -ENOENT);
    cr_expect_eq(depot_files_read(&dir.files, "none", 0, &out), -ENOENT);
    cr_expect_eq(depot_files_length(&dir.files, "none", &bytes), -ENOENT);
    cr_expect_eq(bytes, 0);
    cr_expect_eq(depot_files_remove(&dir.files, "none"), 0);
    cr_expect_eq(depot_files_place(&dir.files, "none", slice_text("1"), slice_text("x")), -ENOENT);
    cr_expect_eq(depot_dir_count(&dir, "root"), 1); /* no folder was made for it */
    end();
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    cr_assert_not_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* More files than may be open: those that were used longest ago are synced and closed, and opened again. */
Test(depot_files, take_a_bounded_number_of_descriptors)
{
    enum { FILES = DEPOT_FILES_OPEN_MAX + 50 };
    char name[32], text[32];
    begin();
    unsigned before = descriptors();
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < FILES; i++) {
            (void)snprintf(name, sizeof name, "session-%u", i);
            if (round == 0)
                cr_assert_eq(depot_files_create(&dir.files, name), 0);
            (void)snprintf(text, sizeof text, "%u:%u;", i % 10, round);
            cr_assert_eq(depot_files_write(&dir.files, name, round * 4, slice_text(text)), 0);
            cr_assert_leq(descriptors(), before + DEPOT_FILES_OPEN_MAX);
        }
    cr_expect_eq(depot_files_sync(&dir.files), 0);
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof name, "session-%u", i);
        (void)snprintf(text, sizeof text, "%u:0;%u:1;%u:2;", i % 10, i % 10, i % 10);
        cr_assert(reads(name, 0, 100, slice_text(text)), "%s", name);
    }
    cr_expect_eq(descriptors(), before + DEPOT_FILES_OPEN_MAX);
    end();
}

/* Who reads the former file goes on reading it; nobody ever sees a part of the new one (N-69). */
Test(depot_files, replace_a_file_in_one_step)
{
    char found[16];
    begin();
    depot_dir_stage(&dir, "session-1", "former");
    cr_assert_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("a/b")), 0);
    int reader = open(depot_dir_path(&dir, "root/1/a/b"), O_RDONLY);
    depot_dir_stage(&dir, "session-2", "the new one");
    cr_assert_eq(depot_files_place(&dir.files, "session-2", slice_text("1"), slice_text("a/b")), 0);
    cr_expect_eq(read(reader, found, sizeof found), 6);
    cr_expect_eq(memcmp(found, "former", 6), 0);
    cr_expect(depot_dir_holds(&dir, "root/1/a/b", "the new one"));
    cr_expect_eq(depot_dir_count(&dir, "root/1/a"), 1);
    cr_expect_eq(depot_dir_count(&dir, "root/" DEPOT_STAGING), 0);
    close(reader);
    end();
}

/* The process may have ended behind the rename, before anybody heard of it. */
Test(depot_files, say_that_a_file_is_in_its_place_when_it_was_put_there_before)
{
    begin();
    depot_dir_stage(&dir, "session-1", "bytes");
    cr_assert_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("a/b")), 0);
    cr_expect_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("a/b")), 0);
    cr_expect_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("a/c")), -ENOENT);
    cr_expect_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("b/c")), -ENOENT);
    cr_expect_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("a")), -EISDIR);
    cr_expect(depot_dir_holds(&dir, "root/1/a/b", "bytes"));
    cr_expect_eq(depot_dir_count(&dir, "root/1"), 1);
    end();
}

/* Behind a rename under our feet a descriptor that is still open leads nowhere. */
Test(depot_files, know_by_its_name_whether_a_file_is_there)
{
    uint64_t bytes;
    begin();
    depot_dir_stage(&dir, "session-1", "bytes");
    cr_assert_eq(unlink(depot_dir_path(&dir, "root/" DEPOT_STAGING "/session-1")), 0);
    cr_expect_eq(depot_files_length(&dir.files, "session-1", &bytes), -ENOENT);
    cr_expect_eq(depot_files_place(&dir.files, "session-1", slice_text("1"), slice_text("x")), -ENOENT);
    cr_expect(depot_dir_holds(&dir, "root/1/x", NULL));
    end();
}

static bool keeps(void *state, const char *name)
{
    unsigned *asked = state;
    (*asked)++;
    return strcmp(name, "session-2") == 0;
}

Test(depot_files, are_swept_when_nobody_wants_them)
{
    unsigned asked = 0;
    begin();
    depot_dir_stage(&dir, "session-1", "1");
    depot_dir_stage(&dir, "session-2", "2");
    depot_dir_stage(&dir, "3", "3");
    depot_dir_write(&dir, "root/" DEPOT_STAGING "/records.db", "records"); /* no name of a file in the making */
    depot_dir_write(&dir, "root/" DEPOT_STAGING "/Notes", "of somebody");
    cr_expect_eq(depot_files_sweep(&dir.files, keeps, &asked), 0);
    cr_expect_eq(asked, 3);
    cr_expect_eq(depot_dir_count(&dir, "root/" DEPOT_STAGING), 3);
    cr_expect(depot_dir_holds(&dir, "root/" DEPOT_STAGING "/session-2", "2"));
    cr_expect(depot_dir_holds(&dir, "root/" DEPOT_STAGING "/records.db", "records"));
    cr_expect(depot_dir_holds(&dir, "root/" DEPOT_STAGING "/Notes", "of somebody"));
    cr_expect_eq(depot_files_write(&dir.files, "session-1", 0, slice_text("x")), -ENOENT);
    end();
}

/* Many of them, more than one look at a folder shows. */
Test(depot_files, are_swept_however_many_there_are)
{
    enum { ORPHANS = 2000 };
    char below[96];
    unsigned asked = 0;
    begin();
    for (unsigned i = 0; i < ORPHANS; i++) {
        (void)snprintf(below, sizeof below, "root/" DEPOT_STAGING "/session-%08u-of-somebody-who-is-gone", i);
        depot_dir_write(&dir, below, "x");
    }
    cr_expect_eq(depot_files_sweep(&dir.files, keeps, &asked), 0);
    cr_expect_eq(asked, ORPHANS);
    cr_expect_eq(depot_dir_count(&dir, "root/" DEPOT_STAGING), 0);
    end();
}

/* N-56: a small file system that only this process sees. */
Test(depot_files, say_that_there_is_no_room)
{
    static uint8_t zeros[1 << 20];
    uint64_t room;
    depot_dir_make(&dir);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir.root, "tmpfs", 0, "size=1m") != 0) {
        depot_dir_remove(&dir);
        cr_skip_test("no file system may be mounted here (%s)", strerror(errno));
    }
    depot_dir_open(&dir);
    cr_expect_eq(depot_files_room(&dir.files, &room), 0);
    cr_expect(room > 900000 && room <= 1 << 20, "%lu", (unsigned long)room);
    cr_assert_eq(depot_files_create(&dir.files, "session-1"), 0);
    cr_expect_eq(depot_files_write(&dir.files, "session-1", 0, slice_of(zeros, 600000)), 0);
    cr_expect_eq(depot_files_write(&dir.files, "session-1", 600000, slice_of(zeros, sizeof zeros)), -ENOSPC);
    cr_expect_eq(depot_files_room(&dir.files, &room), 0);
    cr_expect_lt(room, 4096 * 2);
    cr_expect_eq(depot_files_remove(&dir.files, "session-1"), 0);
    cr_expect_eq(depot_files_room(&dir.files, &room), 0);
    cr_expect_gt(room, 900000);
    depot_files_close(&dir.files);
    (void)umount2(dir.root, MNT_DETACH);
    depot_dir_remove(&dir);
}

static void expect_refusal(int error, const char *word)
{
    char text[256];
    struct buf why = buf_of(text, sizeof text - 1);
    unsigned before = descriptors();
    cr_expect_eq(depot_files_open(&dir.files, dir.root, &why), error);
    text[why.used] = '\0';
    cr_expect(strstr(text, dir.root) != NULL && strstr(text, word) != NULL, "%s", text);
    cr_expect_eq(descriptors(), before);
}

Test(depot_files, refuse_a_root_that_cannot_be_one)
{
    depot_dir_make(&dir);
    cr_assert_eq(rmdir(dir.root), 0);
    expect_refusal(-ENOENT, "make it");
    depot_dir_write(&dir, "root", "a file");
    expect_refusal(-ENOTDIR, "Not a directory");
    cr_assert(unlink(dir.root) == 0 && mkdir(dir.root, 0755) == 0);
    depot_dir_write(&dir, "root/" DEPOT_STAGING, "a file");
    expect_refusal(-ENOTDIR, "Not a directory");
    depot_dir_remove(&dir);
}

Test(depot_files, hide_what_is_in_the_making_from_other_users)
{
    struct stat status;
    begin();
    cr_assert_eq(stat(depot_dir_path(&dir, "root/" DEPOT_STAGING), &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0700);
    end();
}

/* As kernels before 5.6 answer. */
static void forbid_openat2(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof steps / sizeof steps[0], .filter = steps};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(depot_files, are_not_served_by_a_kernel_that_cannot_bar_links)
{
    depot_dir_make(&dir);
    forbid_openat2();
    expect_refusal(-ENOSYS, "openat2");
    depot_dir_remove(&dir);
}
