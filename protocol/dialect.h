/* SPDX-License-Identifier: MIT */
/* A dialect: one published WebSocket API. Pure functions of their arguments: a request or message comes in, a list of
 * actions goes out (action.h), and the session carries them out in order. */
#ifndef RINGCAST_PROTOCOL_DIALECT_H
#define RINGCAST_PROTOCOL_DIALECT_H

#include "core/option.h"
#include "protocol/event.h"
#include "protocol/grant.h"
#include "protocol/quota.h"

struct actions;
struct depot;
struct http1_request;
struct service;

/* What every dialect can be configured with; the first member of each dialect's own settings struct. */
struct dialect_settings {
    struct option_texts listen; /* "127.0.0.1:9500", "[::1]:9500", "*:9500"; empty: the dialect is off */
    char *prefix;               /* before all its paths (G-2) */
    struct option_texts keys;   /* each "KEY [WORD...]": the words say what it may do (permission_fault) */
    char *store;                /* where a service that keeps records has them: a file, or "memory" */
    char *keys_file;            /* the same, one a line, read again on reload */
    bool close_on_revoke;       /* a key that is gone after a reload closes its connections */
    bool origin_check;
    struct option_texts origins;
    bool compression;               /* permessage-deflate is negotiated with clients that offer it */
    uint64_t compression_threshold; /* bytes; shorter messages are sent as they are */
    uint64_t message_bytes_max;
    uint64_t messages_max; /* per connection and window; 0: off */
    uint64_t messages_window_ms;
    uint64_t connections_per_address; /* 0: off */
    uint64_t connections_per_key;
    struct option_texts trusted_proxies; /* addresses and networks whose X-Forwarded-For is believed */
    bool group_ipv6;                     /* addresses of one /64 count as one */
    uint64_t outbox_bytes_max;           /* what may wait for a reader behind the message being sent */
    uint64_t ping_interval_ms;           /* protocol pings; 0: off */
    uint64_t idle_timeout_ms;            /* no frame of any kind for so long: close 1001; 0: off */
    uint64_t duration_max_ms;            /* 0: off */
    uint64_t send_timeout_ms;            /* of a send that does not move; 0: the server's */
    struct grant_list grants;            /* not an option: keys and the lines of keys_file */
};
extern const struct option dialect_common_options[];

/* What a dialect may know in a call. */
struct dialect_call {
    const void *settings; /* the dialect's own struct */
    void *session;        /* session_bytes of this connection, zeroed before open */
    uint64_t now_ms;      /* monotonic */
    uint64_t wall_ms;
    uint64_t connection;       /* unique in the life of the process */
    uint64_t received_wall_ms; /* when the last bytes came from this connection */
    bool secure;               /* the listener speaks TLS */
    bool origin_allowed; /* of open and rest: whether the request's origin may connect; see dialect.checks_origin */
    uint32_t mounts;     /* where its listener mounts the dialect: bit 0 `listen`, bit i its i-th option *_listen */

    /* Of dialects with a census, else 0 and NULL: open sessions over all shards, and what `describe` has counted of
     * them, at most two seconds ago. */
    uint64_t sessions;
    const uint64_t *recent_counts;

    struct actions *out;
};

/* The answer to an ACTION_REQUEST, ACTION_CENSUS, ACTION_WORK or ACTION_DEPOT. Of a census, `body` is what `describe` wrote for each session,
 * comma-separated, in no particular order. */
struct dialect_reply {
    uint32_t tag;
    int status; /* of the service or of `work`: an HTTP status, 503 when too much work waits; of a census: 200, or 503 when memory was out */
    struct slice body;
    const uint64_t *counts; /* of a census: what `describe` added up, CENSUS_COUNTS of them; else NULL */
};

/* Admission of dialects that refuse by HTTP status before the upgrade: a place of the address, then the key when
 * keys are configured (query value `query_name` or a header), then a place of the key. False: the 401 stands in
 * call->out. */
bool dialect_admit(struct dialect_call *call, const struct http1_request *request, const char *query_name);
/* Whether the request carries one of the configured keys, or none are configured: for requests that open no connection.
 * If not, the 401 stands in call->out. */
bool dialect_authorize(struct dialect_call *call, const struct http1_request *request, const char *query_name);
/* Their answer to `refused`: 429. */
void dialect_refuse(struct dialect_call *call, enum quota_kind quota);

enum dialect_path {
    DIALECT_PATH_NONE,   /* not ours: another dialect of the listener, or 404 */
    DIALECT_PATH_SOCKET, /* an upgrade is expected (else 426) */
    DIALECT_PATH_REST,   /* plain HTTP: dialect.rest */
};

/* What an ingested object turns into. */
enum ingest_kind {
    INGEST_PUBLISH, /* `event`, to its channel */
    INGEST_REQUEST, /* `request_kind` and `body`, to the dialect's service */
    INGEST_NEWEST,  /* of read: the newest retained message of `event.channel` */
};

struct ingest_call {
    const void *settings;
    uint64_t wall_ms;
    bool binary;         /* published as application/octet-stream, or as data_base64 */
    bool json;           /* body is the text of one JSON value that has been checked already (publisher WebSocket) */
    struct slice source; /* header X-Source; data NULL: none */
    bool merge;          /* query merge=1 */
    struct buf *text;    /* for what is built; cleared before the call */
    /* results */
    enum ingest_kind kind;
    struct event event;
    uint32_t request_kind;
    struct slice body;
    const char *field;   /* of an error: which field, "" when none */
    const char *message; /* of an error: what is wrong and what would be right */
};

/* What publishers may send a dialect. */
struct dialect_ingest {
    /* One published object (`body` is one line or the whole content). 0, or an HTTP status with field and message: 400
     * not JSON, 404 unknown topic, 409, 422. */
    int (*take)(struct ingest_call *call, struct slice topic, struct slice body);
    /* GET of a topic's stored state (I-15): INGEST_REQUEST or INGEST_NEWEST; or 404. NULL: nothing can be read. */
    int (*read)(struct ingest_call *call, struct slice topic);
    /* Publishers over a WebSocket that answer questions (I-13). A message {"op":"serve", ...} of one that may publish to
     * `serve_topic`: event.channel and event.key become the channel and the variant of which it is then a listener, and the text is
     * what it is told when it is. {"op":"results", ...} of one that serves: INGEST_REQUEST, `source` is that channel. 0, or an
     * HTTP status with a message. NULL, all three: nobody is asked. */
    const char *serve_topic;
    int (*serve)(struct ingest_call *call, struct slice message);
    int (*results)(struct ingest_call *call, struct slice message);
};

/* Paths of plain HTTP. */
struct dialect_rest {
    /* A request on one of them, whatever the method; answers with RESPOND, after REQUEST or CENSUS as needed (the
     * request is gone by the time of `replied`: what is needed of it goes into the session). */
    void (*request)(struct dialect_call *call, const struct http1_request *request, struct slice path);
    /* What `request` has not answered: its content, whole, at most content_bytes_max (beyond: 413). Answers as above. NULL: nobody
     * reads content, and a request that has some ends the connection. */
    void (*content)(struct dialect_call *call, struct slice content);
    size_t content_bytes_max;
};

/* A walk over all sessions, for ACTION_CENSUS and, once a second, for dialect_call.recent_counts. */
struct dialect_census {
    /* Appends one JSON value for the session to `out` (NULL: only counts) and adds to counts[CENSUS_COUNTS]. Changes
     * nothing; the call has no `out`. */
    void (*describe)(const struct dialect_call *call, struct buf *out, uint64_t *counts);
};

struct dialect_default {
    const char *name; /* of a common option */
    const char *value;
};

struct dialect {
    const char *name;
    size_t settings_bytes;
    const struct option *options;           /* its own, besides dialect_common_options */
    const struct dialect_default *defaults; /* common options with another default; ends with name NULL */
    size_t session_bytes;
    uint64_t heartbeat_ms;    /* heartbeat is called so often per connection; 0: never */
    const char *home_key;     /* of all its channels and its service; NULL: each channel is at home by its own name */
    const char *const *paths; /* an example of each kind of its paths, then NULL: two owners of one are found (G-2) */
    bool keyless_is_open;     /* without keys in the settings everybody is let in, not nobody */
    bool checks_origin;       /* `open` looks at call->origin_allowed; else requests that may not never come to it */

    /* Its parts; NULL: it has none. */
    const struct service *service;
    const struct depot *depot;
    const struct dialect_ingest *ingest;
    const struct dialect_rest *rest;
    const struct dialect_census *census;

    /* What the tables cannot say about settings that have been read. 0, or -EINVAL with "OPTION: what is wrong; what
     * would be right" in `why`. NULL: nothing more to check. */
    int (*check_settings)(const void *settings, struct buf *why);
    /* What is wrong with a word behind a key, as a literal that says what would be right; NULL: nothing. The function
     * NULL: keys stand alone. */
    const char *(*permission_fault)(struct slice word);

    /* Whose path it is. A path of a part that is not mounted on the listener is the dialect's too: `open` and `rest`
     * see call->mounts and answer 404. */
    enum dialect_path (*route)(const void *settings, struct slice path);
    /* A checked upgrade request on one of its paths (prefix removed, not decoded). Answers with ACCEPT or RESPOND,
     * after ACQUIREs as needed. */
    void (*open)(struct dialect_call *call, const struct http1_request *request, struct slice path);
    /* An ACQUIRE was refused; before or after ACCEPT as the dialect ordered them. */
    void (*refused)(struct dialect_call *call, enum quota_kind quota);
    void (*message)(struct dialect_call *call, enum ws_opcode opcode, struct slice message);
    /* A message beyond messages_max, not processed; `count` is its number in the window. Many of them come without their content, which
     * nobody has read. NULL: close 1008. */
    void (*over_limit)(struct dialect_call *call, enum ws_opcode opcode, struct slice message, uint64_t count);
    /* A message beyond message_bytes_max has begun; its bytes are not there. May SEND, and the close 1009 comes
     * behind it. NULL: nothing is said but the close. */
    void (*too_big)(struct dialect_call *call);
    /* The server is about to stop: what is to be said to this connection before its close 1001. Only SENDs. NULL:
     * nothing. */
    void (*farewell)(struct dialect_call *call);
    void (*heartbeat)(struct dialect_call *call);
    /* What takes long (ACTION_WORK): a pure function of its arguments, run on a thread beside the shards. An HTTP status, and in `reply`
     * at most WORK_REPLY_BYTES_MAX bytes. It may write over the body. NULL: it has no such work. */
    int (*work)(uint32_t kind, struct span body, struct buf *reply);
    /* The answer to REQUEST, CENSUS, WORK or DEPOT. NULL: it asks nothing. */
    void (*replied)(struct dialect_call *call, const struct dialect_reply *reply);
    /* The connection's timer (ACTION_TIMER) has expired. Called between messages, never while actions wait. */
    void (*timer)(struct dialect_call *call);
    /* The connection ends: frees what the session owns. NULL: nothing to free. */
    void (*end)(void *session);

    void (*traits)(const void *settings, struct slice channel, struct channel_traits *traits);
    /* Whether a listener with this variant gets the event. NULL: always. */
    bool (*matches)(struct slice variant, const struct event *event);
};

/* The addresses of mount `mount` in a dialect's settings (see dialect_call.mounts); NULL behind the last. */
const struct option_texts *dialect_listen(const struct dialect *dialect, const void *settings, unsigned mount);
/* Whether these settings ask nobody for a key. */
bool dialect_lets_everybody_in(const struct dialect *dialect, const void *settings);

/* All dialects, NULL-terminated: the only place that names them. */
extern const struct dialect *const dialects[];

#endif
