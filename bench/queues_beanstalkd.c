/* SPDX-License-Identifier: MIT */
/* Owns a client of beanstalkd (its protocol.txt): put, reserve, delete, each with one answer. It never keeps more than
 * one command under way. Called by queues_main.c.
 *
 *   put <priority> <delay> <time to run> <bytes>\r\n<payload>\r\n   ->  INSERTED <id>\r\n
 *   reserve-with-timeout <seconds>\r\n                              ->  RESERVED <id> <bytes>\r\n<payload>\r\n | TIMED_OUT\r\n
 *   delete <id>\r\n                                                 ->  DELETED\r\n */
#include "bench/queues.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINE_BYTES 256

struct beanstalk {
    FILE *in; /* reads only */
    int fd;
};

static int fail(struct buf *why, const char *what, const char *detail)
{
    buf_put_text(why, "beanstalkd: ");
    buf_put_text(why, what);
    buf_put_text(why, detail);
    return -1;
}

static void beanstalk_close(void *queue)
{
    struct beanstalk *client = queue;
    if (client->in != NULL)
        fclose(client->in);
    else if (client->fd >= 0)
        close(client->fd);
    free(client);
}

/* `address` is a port of 127.0.0.1. */
static void *beanstalk_open(const char *address, struct buf *why)
{
    struct beanstalk *client = calloc(1, sizeof *client);
    struct sockaddr_in place = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(address, NULL, 10)),
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int on = 1;
    if (client == NULL)
        return NULL;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&place, sizeof place) != 0 ||
        (client->in = fdopen(client->fd, "r")) == NULL) {
        fail(why, "cannot connect: ", strerror(errno));
        beanstalk_close(client);
        return NULL;
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client;
}

/* One answer's line, without its end. */
static int read_line(struct beanstalk *client, char line[LINE_BYTES], struct buf *why)
{
    if (fgets(line, LINE_BYTES, client->in) == NULL)
        return fail(why, "the connection has ended", "");
    line[strcspn(line, "\r\n")] = '\0';
    return 0;
}

static int send_all(struct beanstalk *client, struct iovec *parts, int count, struct buf *why)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    return sendmsg(client->fd, &message, MSG_NOSIGNAL) == (ssize_t)bytes
               ? 0
               : fail(why, "a send failed: ", strerror(errno));
}

static int beanstalk_put(void *queue, struct slice payload, struct buf *why)
{
    struct beanstalk *client = queue;
    char line[LINE_BYTES];
    int used = snprintf(line, sizeof line, "put 0 0 600 %zu\r\n", payload.bytes);
    struct iovec parts[] = {{line, (size_t)used}, {(void *)(uintptr_t)payload.data, payload.bytes}, {"\r\n", 2}};
    if (send_all(client, parts, 3, why) != 0 || read_line(client, line, why) != 0)
        return -1;
    return strncmp(line, "INSERTED ", 9) == 0 ? 0 : fail(why, "put: ", line);
}

static int beanstalk_take(void *queue, struct buf *payload, struct buf *why)
{
    static const char reserve[] = "reserve-with-timeout 1\r\n";
    struct beanstalk *client = queue;
    char line[LINE_BYTES];
    unsigned long long id;
    size_t bytes;
    struct iovec part = {(void *)(uintptr_t)reserve, sizeof reserve - 1};
    if (send_all(client, &part, 1, why) != 0 || read_line(client, line, why) != 0)
        return -1;
    if (strcmp(line, "TIMED_OUT") == 0)
        return 0;
    if (sscanf(line, "RESERVED %llu %zu", &id, &bytes) != 2 || bytes + 2 > payload->capacity)
        return fail(why, "reserve: ", line);
    if (fread(payload->data, 1, bytes + 2, client->in) != bytes + 2)
        return fail(why, "the connection has ended", "");
    payload->used = bytes;
    part = (struct iovec){line, (size_t)snprintf(line, sizeof line, "delete %llu\r\n", id)};
    if (send_all(client, &part, 1, why) != 0 || read_line(client, line, why) != 0)
        return -1;
    return strcmp(line, "DELETED") == 0 ? 1 : fail(why, "delete: ", line);
}

const struct queue_kind queue_beanstalkd = {.name = "beanstalkd",
                                            .open = beanstalk_open,
                                            .put = beanstalk_put,
                                            .take = beanstalk_take,
                                            .close = beanstalk_close};
