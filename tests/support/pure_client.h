/* SPDX-License-Identifier: MIT */
/* What a test does with a dialect without a server (pure_host.h): connections come, speak and go, publishers ingest,
 * time moves on. Connections are named by their index below host->conn_count. */
#ifndef RINGCAST_TESTS_SUPPORT_PURE_CLIENT_H
#define RINGCAST_TESTS_SUPPORT_PURE_CLIENT_H

#include "tests/support/pure_service.h"

/* Parses a head, which has to live as long as the request; *result is that of http1_parse_head. */
struct http1_request pure_parse(const char *head, int *result);
/* Ends what was on the connection before, and gives it a new session. */
struct pure_conn *pure_begin(struct pure_host *host, uint32_t index);
/* A request, with further header lines (with CRLF), on one of the REST paths. Its status; the content is in
 * host->content. */
int pure_request(struct pure_host *host, uint32_t index, const char *method, const char *target, const char *headers);
/* The same with content; NULL: none. */
int pure_request_with(struct pure_host *host, uint32_t index, const char *method, const char *target,
                      const char *headers, const char *content);
/* An upgrade request with further header lines (with CRLF). 101, or the status that it was refused with. */
int pure_connect(struct pure_host *host, uint32_t index, const char *target, const char *headers);
/* The client closes. */
void pure_disconnect(struct pure_host *host, uint32_t index);
/* An orderly stop of the server: what is said to all, then their close. */
void pure_farewell(struct pure_host *host);
/* A message of the client, within the limits or not. */
void pure_send(struct pure_host *host, uint32_t index, enum ws_opcode opcode, struct slice message);
void pure_send_text(struct pure_host *host, uint32_t index, const char *text);
/* The next message that the connection has received; NULL: none. NUL-terminated behind its bytes. */
const struct pure_message *pure_take(struct pure_host *host, uint32_t index);
const char *pure_take_text(struct pure_host *host, uint32_t index);
/* Moves the clock on; heartbeats and timers, also the service's, happen in their order when they are due. */
void pure_advance(struct pure_host *host, uint64_t ms);

/* Publishes an object: 202 or the status of the refusal, with host->field and host->reply. */
int pure_ingest_bytes(struct pure_host *host, const char *topic, struct slice body, bool binary, bool json);
int pure_ingest(struct pure_host *host, const char *topic, const char *body);
/* A publisher comes that answers questions on this channel under this name, or (false) the last one of that name leaves. */
void pure_serving(struct pure_host *host, const char *channel, const char *name, bool comes);
/* It says what it has found: 202 or the status of the refusal, with host->field and host->reply. */
int pure_results(struct pure_host *host, const char *channel, const char *message);
/* Reads a topic's state: 200 with host->reply, or the status of the refusal. */
int pure_read(struct pure_host *host, const char *topic);

#endif
