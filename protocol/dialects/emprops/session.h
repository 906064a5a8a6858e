/* SPDX-License-Identifier: MIT */
/* What the files of the dialect's half at the session share: emprops.c (connections, registration, answers),
 * requests.c (messages become requests to the hub), chunks.c (messages that come in pieces). */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_SESSION_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_SESSION_H

#include "protocol/dialects/emprops/emprops.h"
#include "protocol/dialects/emprops/hub.h"
#include "protocol/dialects/emprops/messages.h"
#include "protocol/json.h"

struct chunks;

struct emprops_session {
    struct chunks *chunks; /* NULL: none under way */
    uint8_t *memory;       /* of a request or message that is too long for the scratch text; until the next */
    uint8_t *whole;        /* a message that came in chunks; likewise */
    char *id;              /* JSON, of the request that the hub has: NULL, none */
    uint8_t key_rights;    /* enum emprops_right, of the token; all when none are configured */
    uint8_t granted;       /* view_all_jobs, view_system_stats; all when no tokens are configured */
    bool accepted;         /* the 101 is said */
    bool client, monitor, worker;
    bool registering; /* a register message has brought a token */
    bool unreserve;   /* the hub counts more memory for chunks than there is */
};

/* The members that any message may have. */
enum member {
#define MEMBER(name) M_##name,
#include "protocol/dialects/emprops/members.def"
#undef MEMBER
    MEMBERS,
};

/* A message that has been read. */
struct incoming {
    struct slice text;
    struct slice id; /* JSON; data NULL: none that is echoed */
    struct json_member at[MEMBERS];
};

enum emprops_tag { TAG_MESSAGE, TAG_RESERVE, TAG_UNRESERVE, TAG_JOINED };

bool emprops_secured(const struct dialect_call *call);
/* The rights of a key's words; of an unknown key 0. */
uint8_t emprops_rights_of(const struct dialect_call *call, struct slice key);

/* Appends an error to this connection. */
void emprops_error(struct dialect_call *call, enum message_fault fault, struct slice details, struct slice id);
void emprops_auth_failed(struct dialect_call *call, const char *reason, const char *name, struct slice who,
                         struct slice id);
void emprops_invalid(struct dialect_call *call, const struct incoming *in, const char *field, const char *what,
                     const struct json_member *value);

/* A member that has a value: null counts as none. */
static inline bool incoming_has(const struct incoming *in, enum member member)
{
    return in->at[member].token != JSON_ERROR && in->at[member].token != JSON_NULL;
}

/* requests.c: a whole message, whatever it is; one that came in chunks too (`original_type`: as its chunks said; data
 * NULL: it did not). False: it was no JSON object with a type. */
void emprops_take(struct dialect_call *call, struct slice message, struct slice original_type);
/* Reads the members; false: the error has been appended. */
bool emprops_read(struct dialect_call *call, struct slice message, struct incoming *in);
/* Whether it is the name of a type that clients send. */
bool emprops_type_known(struct slice type);

/* A request to the hub under way. */
struct outgoing {
    struct dialect_call *call;
    struct buf own, *out;
    size_t mark;
};
/* Room for `bytes` of long fields besides what is short. False: no memory, and the close has been appended. */
bool outgoing_begin(struct dialect_call *call, size_t bytes, struct outgoing *out);
void outgoing_end(struct outgoing *out, const struct incoming *in, enum hub_request kind, enum emprops_tag tag);

/* members.c: each returns false when the error has been appended. */

/* A string member of 1 to `most` bytes, its escapes resolved into `space`. */
bool emprops_text(struct dialect_call *call, const struct incoming *in, enum member member, size_t most,
                  struct buf *space, struct slice *text);
/* A whole number from 0 to `most`; *value stays when it is missing. */
bool emprops_count(struct dialect_call *call, const struct incoming *in, enum member member, uint64_t most,
                   uint64_t *value);
/* A member that may be missing, and is else of one kind and not longer than that, as written. */
struct optional {
    enum member member;
    enum hub_field field;
    enum json_token token;
    size_t bytes_max;
    const char *wrong;
};

#define NOTE "Must be a string of at most 16384 bytes as written"
#define NOTE_OBJECT "Must be an object of at most 16384 bytes as written"
/* Puts those that are there, as they are written. */
bool emprops_put_optional(struct dialect_call *call, const struct incoming *in, const struct optional *all,
                          size_t count, struct buf *out);
/* An array of at most `most` strings, as the hub takes lists. */
bool emprops_put_list(struct dialect_call *call, const struct incoming *in, enum member member, uint32_t most,
                      enum hub_field field, struct buf *out);
bool emprops_put_job_id(struct dialect_call *call, const struct incoming *in, struct buf *out);
/* Whether this session may do what asks for one of these rights (E-5, E-9). */
bool emprops_may(struct dialect_call *call, const struct incoming *in, enum emprops_right right);

/* registration.c */
void emprops_register_client(struct dialect_call *call, const struct incoming *in);
void emprops_register_worker(struct dialect_call *call, const struct incoming *in);
/* Puts what is there of `capabilities`. */
bool emprops_put_capabilities(struct dialect_call *call, const struct incoming *in, struct buf *out);

/* work_requests.c */
void emprops_claim_job(struct dialect_call *call, const struct incoming *in);
void emprops_job_accepted(struct dialect_call *call, const struct incoming *in);
void emprops_job_progress(struct dialect_call *call, const struct incoming *in);
void emprops_complete_job(struct dialect_call *call, const struct incoming *in);
void emprops_fail_job(struct dialect_call *call, const struct incoming *in);
void emprops_worker_heartbeat(struct dialect_call *call, const struct incoming *in);
void emprops_worker_status(struct dialect_call *call, const struct incoming *in);
void emprops_pass_on(struct dialect_call *call, const struct incoming *in);
/* `status` of a worker (E-49). */
bool emprops_put_worker_status(struct dialect_call *call, const struct incoming *in, struct buf *out);

/* watch_requests.c */
void emprops_subscribe_notifications(struct dialect_call *call, const struct incoming *in);
void emprops_subscribe_stats(struct dialect_call *call, const struct incoming *in);
void emprops_request_stats(struct dialect_call *call, const struct incoming *in);

/* chunks.c */
void emprops_chunk(struct dialect_call *call, const struct incoming *in);
void emprops_chunk_reserved(struct dialect_call *call, bool room);
void emprops_chunks_timer(struct dialect_call *call);
void emprops_chunks_free(struct emprops_session *session);
uint64_t emprops_chunks_bytes(const struct emprops_session *session);

int emprops_ingest(struct ingest_call *call, struct slice topic, struct slice body);
int emprops_read_state(struct ingest_call *call, struct slice topic);

#endif
