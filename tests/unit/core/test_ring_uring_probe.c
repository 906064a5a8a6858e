/* SPDX-License-Identifier: MIT */
/* What the probe says of this machine and of ones that forbid io_uring, lack it or are too old. Run by unit_core. */
#include "tests/unit/core/uring_rig.h"

Test(ring_uring, probe_says_what_there_is)
{
    struct ring_features features;
    char why[256] = "";
    cr_assert_eq(ring_probe(&features, why, sizeof why), 0, "%s", why);
    cr_assert_not_null(strstr(features.summary, features.direct_descriptors ? "direct" : "plain"));
    cr_assert_not_null(strstr(features.summary, "task work"));
    cr_assert_eq(strstr(features.summary, "not deferred") == NULL, features.defer_taskrun);
}

/* From now on this process (each test has its own) gets `error` for io_uring_setup, as under a container's profile. */
static void forbid_rings(unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        cr_skip_test("no seccomp filters here");
}

static void expect_reason(unsigned error, const char *part)
{
    const struct ring_options options = {
        .entries = 64, .sockets_max = 8, .receive_buffers = 2, .receive_buffer_bytes = 64, .allow_direct = true};
    struct ring_features features;
    struct ring *ring = NULL;
    char why[256] = "";
    forbid_rings(error);
    cr_assert_eq(ring_probe(&features, why, sizeof why), -(int)error);
    cr_assert_not_null(strstr(why, part), "%s", why);
    cr_assert_null(strchr(why, '\n'));
    why[0] = '\0';
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), -(int)error);
    cr_assert_not_null(strstr(why, part), "%s", why);
    cr_assert_null(ring);
}

Test(ring_uring, probe_explains_what_is_forbidden)
{
    expect_reason(EPERM, "seccomp");
}

Test(ring_uring, probe_explains_what_is_not_there)
{
    expect_reason(ENOSYS, "Linux 6.1");
}

Test(ring_uring, probe_explains_a_kernel_that_is_too_old)
{
    expect_reason(EINVAL, "Linux 6.1");
}

Test(ring_uring, probe_explains_a_lack_of_memory)
{
    expect_reason(ENOMEM, "memlock");
}

Test(ring_uring, create_explains_a_table_beyond_the_limits)
{
    const struct ring_options options = {.entries = 64,
                                         .sockets_max = (1U << 24) - 1,
                                         .receive_buffers = 2,
                                         .receive_buffer_bytes = 64,
                                         .allow_direct = true};
    struct ring_features features;
    char why[256] = "";
    cr_assert_eq(ring_probe(&features, why, sizeof why), 0);
    if (!features.direct_descriptors)
        cr_skip_test("plain descriptors only");
    struct ring *ring = NULL;
    cr_assert_eq(ring_create(&ring, &options, why, sizeof why), -EMFILE);
    cr_assert_null(ring);
    cr_assert_not_null(strstr(why, "LimitNOFILE"), "%s", why);
}
