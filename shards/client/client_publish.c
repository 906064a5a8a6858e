/* SPDX-License-Identifier: MIT */
/* Owns one POST to the ingest listener (I-2, I-3). It never prints a key and never tries twice. Called by the command
 * `publish`. */
#include "shards/client/client.h"

#include "core/limits.h"
#include "protocol/json.h"
#include "shards/client/client_http.h"
#include "shards/client/client_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_BYTES_MAX (1U << 20)

/* Percent-encodes all but unreserved characters, ':' and the slash (RFC 3986 section 3.3). */
static void put_path(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~/:", c) != NULL) {
            buf_put_byte(out, c);
        } else {
            buf_put_byte(out, '%');
            buf_put_byte(out, (uint8_t) "0123456789ABCDEF"[c >> 4]);
            buf_put_byte(out, (uint8_t) "0123456789ABCDEF"[c & 15]);
        }
    }
}

static const char *content_type(const struct client_publish *publish)
{
    if (publish->ndjson)
        return "application/x-ndjson";
    return json_valid(publish->body, JSON_DEPTH_MAX) ? "application/json" : "text/plain; charset=utf-8";
}

static void put_post(struct buf *out, const struct client_url *url, const struct client_publish *publish)
{
    buf_put_text(out, "POST /ingest/v1/");
    put_path(out, publish->topic);
    buf_put_text(out, " HTTP/1.1\r\nHost: ");
    buf_put_text(out, url->authority);
    buf_put_text(out, "\r\nConnection: close\r\nContent-Type: ");
    buf_put_text(out, content_type(publish));
    buf_put_text(out, "\r\nContent-Length: ");
    buf_put_u64(out, publish->body.bytes);
    if (publish->key[0] != '\0') {
        buf_put_text(out, "\r\nAuthorization: Bearer ");
        buf_put_text(out, publish->key);
    }
    buf_put_text(out, CLIENT_HEAD_END);
}

/* A refusal may come before all is sent, so a failed send is no reason not to listen. */
static int exchange(struct client_link *link, struct slice head, struct slice body, struct buf *answer)
{
    int unsent = client_link_send(link, head) && client_link_send(link, body) ? 0 : -errno;
    int error = client_receive_answer(link, answer);
    if (error == 0)
        return 0;
    return client_fail("no answer: %s", strerror(unsent != 0 ? -unsent : -error));
}

static int post(struct client_link *link, struct slice head, struct slice body)
{
    uint8_t *memory = malloc(ANSWER_BYTES_MAX + 1);
    if (memory == NULL)
        return client_fail("out of memory");
    struct buf answer = buf_of(memory, ANSWER_BYTES_MAX);
    int code = exchange(link, head, body, &answer);
    memory[answer.used] = '\0';
    if (code == 0) {
        size_t end = client_head_bytes(&answer);
        int status = client_status(buf_slice(&answer));
        if (status < 200 || status > 299)
            code = client_report_refusal(&answer, end);
        else if (answer.used > end)
            printf("%s\n", (const char *)memory + end);
    }
    free(memory);
    return code;
}

int client_publish(const struct client_publish *publish)
{
    struct client_url url;
    uint8_t memory[4096];
    struct buf head = buf_of(memory, sizeof memory);
    if (!client_url_parse(publish->url, "http", &url) || (url.target[0] != '\0' && strcmp(url.target, "/") != 0)) {
        client_fail("%s: not an address; write http://HOST:PORT or https://HOST:PORT", publish->url);
        return CLIENT_USAGE;
    }
    put_post(&head, &url, publish);
    if (head.overflow || !client_is_visible(publish->key))
        return client_fail("%s", head.overflow ? "topic or key is too long" : "the key is not visible ASCII");
    struct client_link *link = client_link_open(&url, &publish->trust);
    if (link == NULL)
        return EXIT_FAILURE;
    int code = post(link, buf_slice(&head), publish->body);
    client_link_close(link);
    return code;
}
