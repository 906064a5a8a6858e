/* SPDX-License-Identifier: MIT */
/* shards/ports: whether somebody else has a port. The ring is simulated, the sockets that find out are the kernel's. */
#include "core/work.h"
#include "shards/process/ports.h"
#include "tests/unit/shards/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fixture {
    struct sim_network *network;
    struct ring *ring;
    struct config *config;
    struct ports ports;
};

static void begin(struct fixture *f, uint16_t port)
{
    char set[64];
    snprintf(set, sizeof set, "plain.listen=127.0.0.1:%u", port);
    const char *const sets[] = {set, "ingest.listen=", "admin.listen=", NULL};
    log_redirect(-1);
    *f = (struct fixture){.network = sim_network_create(1, &calm, 65536), .config = world_config(sets)};
    f->ring = world_ring();
    cr_assert(ports_collect(&f->ports, f->config));
}

static void end(struct fixture *f)
{
    ring_destroy(f->ring);
    sim_network_destroy(f->network);
    config_free(f->config);
}

/* As another instance does it; `port` 0: any. */
static int other_instance(bool listening, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_geq(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    cr_assert(!listening || listen(fd, 1) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

Test(ports, sees_another_instance_although_both_would_share_the_port)
{
    struct fixture f;
    struct listener listeners[LISTENERS_MAX];
    uint16_t port;
    int fd = other_instance(true, &port);
    begin(&f, port);
    cr_assert(!ports_listen(&f.ports, f.ring, true, listeners));
    close(fd);
    cr_assert(ports_listen(&f.ports, f.ring, true, listeners));
    end(&f);
}

/* From now on whoever listens in this process gets EPERM. */
static void forbid_listening(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_listen, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof rules[0], .filter = rules};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* A client that comes in that moment would be accepted and reset, and the next ones refused, before there is a
 * server. */
Test(ports, finds_out_without_a_moment_of_listening)
{
    struct fixture f;
    struct listener listeners[LISTENERS_MAX];
    uint16_t port;
    close(other_instance(false, &port));
    begin(&f, port);
    forbid_listening();
    cr_assert(ports_listen(&f.ports, f.ring, true, listeners));
    end(&f);
}
