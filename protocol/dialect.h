/* SPDX-License-Identifier: MIT */
/* A dialect: one published WebSocket API. Pure functions of their arguments: a request or message comes in, a list of
 * actions goes out, and the session carries them out in order. An action that has to ask another shard makes the later ones
 * wait, and the connection's next message waits for all of them, so replies are never reordered (G-16). */
#ifndef RINGCAST_PROTOCOL_DIALECT_H
#define RINGCAST_PROTOCOL_DIALECT_H

#include "core/option.h"
#include "protocol/event.h"
#include "protocol/http1.h"
#include "protocol/service.h"
#include "protocol/token.h"

/* What every dialect can be configured with; the first member of each dialect's own settings struct. */
struct dialect_settings {
    struct option_texts listen; /* "127.0.0.1:9500", "[::1]:9500", "*:9500"; empty: the dialect is off */
    char *prefix;               /* before all its paths (G-2) */
    struct option_texts keys;   /* each "KEY [WORD...]": the words say what it may do (permission_fault) */
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
    struct key_list key_list;            /* not an option: keys and the lines of keys_file */
};
extern const struct option dialect_common_options[];

enum quota_kind {
    QUOTA_ADDRESS,          /* connections of one address */
    QUOTA_KEY,              /* connections of one key */
    QUOTA_ADDRESS_ATTEMPTS, /* connection attempts of one address in a window */
    QUOTA_KEY_ATTEMPTS,
};

enum action_kind {
    ACTION_RESPOND, /* an HTTP response instead of the upgrade */
    ACTION_ACCEPT,  /* the 101; before any SEND or SUBSCRIBE; nothing is on the wire until the whole list is done */
    ACTION_SEND,    /* one message to this connection */
    ACTION_SUBSCRIBE, /* this connection becomes (or stays) a listener of the channel, with this variant instead of any before */
    ACTION_UNSUBSCRIBE, /* no event of the channel after this */
    ACTION_PUBLISH,     /* an event from a client; the session does not wait for it */
    ACTION_ACQUIRE,     /* a place in a quota; refused: the later actions are dropped and dialect.refused is called */
    ACTION_REQUEST, /* a request to the dialect's service; dialect.replied gets the answer and goes on: the last of its row */
    ACTION_CENSUS, /* a walk over the dialect's sessions of all shards; dialect.replied likewise: the last of its row */
    ACTION_TIMER,  /* sets, moves or (0) clears this connection's timer: dialect.timer is called when it expires */
    ACTION_CLOSE,  /* behind everything sent before */
};

struct action {
    enum action_kind kind;
    union {
        struct {
            int status;
            const char *content_type;
            struct slice content;
            const char *extra; /* header lines with CRLF, a literal or in the session; "" for none */
        } respond;
        struct {
            enum ws_opcode opcode;
            struct slice payload;
        } send;
        struct {
            struct slice channel;
            struct slice variant;
            uint32_t history_max; /* newest retained messages to send first (O-5) */
        } subscribe;
        struct {
            struct slice channel;
        } unsubscribe;
        struct event publish;
        struct {
            enum quota_kind quota;
            struct slice name;  /* of KEY kinds; ADDRESS kinds use the connection's peer */
            uint32_t limit;     /* places, or attempts per window; 0: counted, never refused */
            uint64_t window_ms; /* of ATTEMPTS kinds */
        } acquire;
        struct {
            uint32_t kind; /* of service_request */
            struct slice body;
            uint32_t tag; /* given back to dialect.replied */
        } request;
        struct {
            uint32_t tag;
        } census;
        struct {
            uint64_t after_ms; /* from now; 0: clear */
        } timer;
        struct {
            uint16_t code;
            const char *reason; /* a literal */
        } close;
    };
};

#define ACTIONS_MAX (SUBSCRIPTIONS_PER_CONNECTION_MAX + 8)

/* What a call has produced. Slices point into `text`, into the call's input, or at literals. */
struct actions {
    uint32_t count;
    bool overflow; /* too many actions or too much text: our bug or an absurd request; the session closes with 1011 */
    struct action items[ACTIONS_MAX];
    struct buf text;
};

/* Appending. The payload of action_send may be built in out->text by the caller (buf_since). */
void action_respond(struct actions *out, int status, const char *content_type, struct slice content, const char *extra);
void action_accept(struct actions *out);
void action_send(struct actions *out, enum ws_opcode opcode, struct slice payload);
void action_subscribe(struct actions *out, struct slice channel, struct slice variant, uint32_t history_max);
void action_unsubscribe(struct actions *out, struct slice channel);
void action_publish(struct actions *out, const struct event *event);
void action_acquire(struct actions *out, enum quota_kind quota, struct slice name, uint32_t limit, uint64_t window_ms);
void action_request(struct actions *out, uint32_t kind, struct slice body, uint32_t tag);
void action_census(struct actions *out, uint32_t tag);
void action_timer(struct actions *out, uint64_t after_ms);
void action_close(struct actions *out, uint16_t code, const char *reason);

/* What a dialect may know in a call. */
struct dialect_call {
    const void *settings; /* the dialect's own struct */
    void *session;        /* session_bytes of this connection, zeroed before open */
    uint64_t now_ms;      /* monotonic */
    uint64_t wall_ms;
    uint64_t connection;       /* unique in the life of the process */
    uint64_t received_wall_ms; /* when the last bytes came from this connection */
    uint64_t sessions;         /* open sessions of this dialect over all shards; of dialects with `describe`, else 0 */
    const uint64_t *recent_counts; /* what `describe` counted, over all shards, at most two seconds old; else NULL */
    bool secure;                   /* the listener speaks TLS */
    uint32_t mounts;     /* where its listener mounts the dialect: bit 0 `listen`, bit i its i-th option *_listen */
    bool origin_allowed; /* of open: whether the request's origin may connect; see dialect.checks_origin */
    struct actions *out;
};

/* The answer to an ACTION_REQUEST or ACTION_CENSUS. */
struct dialect_reply {
    uint32_t tag;
    int status; /* of the service: an HTTP status; of a census: 200, or 503 when memory was out */
    struct slice
        body; /* of a census: what `describe` wrote for each session, comma-separated, in no particular order */
    const uint64_t *counts; /* of a census: what `describe` added up, CENSUS_COUNTS of them; else NULL */
};

#define CENSUS_COUNTS 32

/* Admission of dialects that refuse by HTTP status before the upgrade: a place of the address, then the key when keys are
 * configured (query value `query_name` or a header), then a place of the key. False: the 401 stands in call->out. */
bool dialect_admit(struct dialect_call *call, const struct http1_request *request, const char *query_name);
/* Whether the request carries one of the configured keys, or none are configured: for requests that open no connection. If
 * not, the 401 stands in call->out. */
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
    uint64_t heartbeat_ms; /* heartbeat is called so often per connection; 0: never */
    const char
        *home_key; /* all its channels and its service live at the home of this name; NULL: each channel at its own */
    const struct service *service; /* or NULL */
    bool
        checks_origin; /* `open` looks at call->origin_allowed when it is its turn; else such requests never come to it */

    /* What the tables cannot say about settings that have been read. 0, or -EINVAL with "OPTION: what is wrong; what would be
     * right" in `why`. NULL: nothing more to check. */
    int (*check_settings)(const void *settings, struct buf *why);
    /* What is wrong with a word behind a key, as a literal that says what would be right; NULL: nothing. The function NULL: keys
     * stand alone. */
    const char *(*permission_fault)(struct slice word);

    const char *const
        *paths; /* one example of each kind of its paths, NULL-terminated: two owners of one are found (G-2) */
    /* Whose path it is. A path of a part that is not mounted on the listener is the dialect's too: `open` and `rest` see
     * call->mounts and answer 404. */
    enum dialect_path (*route)(const void *settings, struct slice path);
    /* A checked upgrade request on one of its paths (prefix removed, not decoded). Answers with ACCEPT or RESPOND, after
     * ACQUIREs as needed. */
    void (*open)(struct dialect_call *call, const struct http1_request *request, struct slice path);
    /* An ACQUIRE was refused; before or after ACCEPT as the dialect ordered them. */
    void (*refused)(struct dialect_call *call, enum quota_kind quota);
    void (*message)(struct dialect_call *call, enum ws_opcode opcode, struct slice message);
    /* A message beyond messages_max, not processed; `count` is its number in the window. NULL: close 1008. */
    void (*over_limit)(struct dialect_call *call, enum ws_opcode opcode, struct slice message, uint64_t count);
    /* A message beyond message_bytes_max has begun; its bytes are not there. May SEND, and the close 1009 comes behind it. NULL:
     * nothing is said but the close. */
    void (*too_big)(struct dialect_call *call);
    /* The server is about to stop: what is to be said to this connection before its close 1001. Only SENDs. NULL: nothing. */
    void (*farewell)(struct dialect_call *call);
    void (*heartbeat)(struct dialect_call *call);
    /* A request on one of its REST paths, whatever the method; answers with RESPOND, after REQUEST or CENSUS as needed (the
     * request is gone by the time of `replied`: what is needed of it goes into the session). NULL: it has none. */
    void (*rest)(struct dialect_call *call, const struct http1_request *request, struct slice path);
    /* The answer to REQUEST or CENSUS. NULL: it asks nothing. */
    void (*replied)(struct dialect_call *call, const struct dialect_reply *reply);
    /* The connection's timer (ACTION_TIMER) has expired. Called between messages, never while actions wait. */
    void (*timer)(struct dialect_call *call);
    /* Of a census: appends one JSON value for the session to `out` (NULL: only counts) and adds to counts[CENSUS_COUNTS]. Changes
     * nothing; the call has no `out`. */
    void (*describe)(const struct dialect_call *call, struct buf *out, uint64_t *counts);
    /* The connection ends: frees what the session owns. NULL: nothing to free. */
    void (*end)(void *session);

    void (*traits)(const void *settings, struct slice channel, struct channel_traits *traits);
    /* Whether a listener with this variant gets the event. NULL: always. */
    bool (*matches)(struct slice variant, const struct event *event);

    /* One published object (`body` is one line or the whole content). 0, or an HTTP status with field and message: 400 not
     * JSON, 404 unknown topic, 409, 422. NULL: the dialect takes no ingest. */
    int (*ingest)(struct ingest_call *call, struct slice topic, struct slice body);
    /* GET of a topic's stored state (I-15): INGEST_REQUEST or INGEST_NEWEST; or 404. */
    int (*read)(struct ingest_call *call, struct slice topic);
};

/* The addresses of mount `mount` in a dialect's settings (see dialect_call.mounts); NULL behind the last. */
const struct option_texts *dialect_listen(const struct dialect *dialect, const void *settings, unsigned mount);

/* All dialects, NULL-terminated: the only place that names them. */
extern const struct dialect *const dialects[];

#endif
