/* SPDX-License-Identifier: MIT */
/* The clients behind the commands `publish` and `subscribe`: one blocking connection, one conversation, then the
 * end. */
#ifndef RINGCAST_SHARDS_CLIENT_H
#define RINGCAST_SHARDS_CLIENT_H

#include "core/bytes.h"
#include "shards/client/command.h"

/* Whose certificates are believed, for https and wss. */
struct client_trust {
    const char *authorities; /* PEM file; NULL: the system's */
    bool anybody;            /* no certificate is looked at */
    const char *certificate; /* our own, PEM file; NULL: none */
    const char *key;         /* of it; NULL: in the same file */
};

struct client_publish {
    const char *url;   /* http[s]://HOST[:PORT] */
    const char *key;   /* ingest key; "" for none */
    const char *topic; /* DIALECT/TOPIC, not encoded */
    struct slice body;
    bool ndjson; /* one message a line */
    struct client_trust trust;
};

struct client_subscribe {
    const char *url; /* ws[s]://HOST[:PORT]/PATH[?QUERY] */
    const char *key; /* sent as X-Api-Key; "" for none */
    uint64_t count;  /* end after so many messages; 0: never */
    bool header;     /* time, kind and bytes in front of each message */
    struct client_trust trust;
};

/* Both print what they get to stdout and what goes wrong to stderr, and return the exit code of the process: 0; 1
 * failure or refusal; 2 an address that is none. */

/* Posts the body (ingest contract I-3) and prints the answer. */
int client_publish(const struct client_publish *publish);
/* Prints each message as a line until the count is reached, SIGINT or SIGTERM comes (both close with 1000 and are
 * success), or the server closes, whose code and reason go to stderr: success when it is 1000. */
int client_subscribe(const struct client_subscribe *subscribe);

/* --- client_command.c: the commands ------------------------------------------------------------------------------- */

extern const struct args_flag client_publish_flags[], client_subscribe_flags[];
int client_run_publish(const struct command *command, char **arguments);
int client_run_subscribe(const struct command *command, char **arguments);

#endif
