/* SPDX-License-Identifier: MIT */
/* Storage: the party beside the shards that alone waits for the disk. A request travels from its shard on one ring
 * and comes home on another, to be freed by its maker; all commits that wait when the disk is free share one sync
 * (group commit, without a timer).
 *
 *     shard                                            storage (a thread, or the simulation)
 *       storage_post ... storage_ring  -> in ->          gather: apply units to one transaction, read what is asked for
 *                                                        sync:   commit it
 *       storage_take                   <- out <-         answer: in the order of each shard's requests; wake who sleeps
 *
 * What holds:
 *   1. Status 0 of a COMMIT: its unit is on the disk, whole. Any other status: it is not kept, and nothing of it is
 *      seen; after a failed sync alone the next process may find it.
 *   2. A shard's answers come in the order of its requests. A read sees every unit that its shard has posted before
 *      it, and none behind it.
 *   3. Units of one *stream* of a shard are kept in their order without a gap: when one fails, all behind it of the
 *      same *life* fail too (-ECANCELED), also those that were on their way. Whoever was told begins the next life,
 *      with a higher number, from what a scan says.
 *   4. A shard has at most STORAGE_OUTSTANDING_MAX requests and STORAGE_BYTES_MAX bytes of units under way; so an
 *      answer always has room. */
#ifndef RINGCAST_SHARDS_STORAGE_STORAGE_H
#define RINGCAST_SHARDS_STORAGE_STORAGE_H

#include "core/limits.h"
#include "core/spsc.h"
#include "core/thread.h"
#include "shards/storage/unit.h"

#define STORAGE_RETRY_MS 1000 /* a store that has failed is tried, a failed checkpoint repeated */
#define STORAGE_IDLE_MS 1000  /* without a request, before the log is tidied */

enum storage_kind {
    STORAGE_COMMIT, /* keep `unit` */
    STORAGE_FETCH,  /* the record `table`, `key` */
    STORAGE_SCAN, /* the records of `table` behind `key`, as many as go into bytes_max; at least one, if there is one */
};

struct storage_request {
    /* Of its maker, who allocates and frees it. */
    enum storage_kind kind;
    uint8_t table;
    uint8_t stream;  /* COMMIT: below STORAGE_STREAMS_MAX */
    uint32_t life;   /* COMMIT: of the stream, above 0 */
    uint64_t ticket; /* the maker's own, as is owner */
    void *owner;
    struct unit unit;   /* COMMIT: what to keep. FETCH, SCAN: empty; comes home with puts in the order of their keys */
    uint32_t bytes_max; /* SCAN: at most STORAGE_PIECE_BYTES_MAX */
    uint16_t key_bytes; /* SCAN: 0 begins at the first record */
    uint8_t key[STORE_KEY_BYTES_MAX];
    /* The answer. */
    int status; /* 0; FETCH: -ENOENT when there is none; -ECANCELED see above; or an error of the store (store.h) */
    bool more;  /* SCAN: perhaps there is more behind the last record */
    /* Storage's own. */
    uint16_t origin;
    uint32_t bytes; /* of the unit, when it was posted */
    struct storage_request *next;
};

enum storage_state {
    STORAGE_WORKING,
    STORAGE_FULL,   /* the last commit found no room; tried again every STORAGE_RETRY_MS */
    STORAGE_FAILED, /* the last commit failed otherwise; tried again likewise, but not when the store is broken */
};

enum storage_count {
    STORAGE_COMMITS,        /* transactions of the store that were synced: one each, however many units */
    STORAGE_UNITS,          /* in them */
    STORAGE_OPERATIONS,     /* puts and deletes in them */
    STORAGE_UNIT_BYTES,     /* of them, keys and values included */
    STORAGE_SYNC_NS,        /* spent in store_commit */
    STORAGE_SYNC_NS_MAX,    /* longest */
    STORAGE_FETCHES,        /* reads answered */
    STORAGE_PIECES,         /* of scans answered */
    STORAGE_READ_BYTES,     /* in both */
    STORAGE_CHECKPOINTS,    /* and probes */
    STORAGE_TIDY_NS,        /* spent in them */
    STORAGE_REFUSED_LIFE,   /* units refused because one before them had failed */
    STORAGE_REFUSED_FULL,   /* COMMITs failed, by reason: no room */
    STORAGE_REFUSED_ROFS,   /* read-only file system */
    STORAGE_REFUSED_IO,     /* device, sync and damage */
    STORAGE_REFUSED_OTHER,  /* memory and the rest */
    STORAGE_FAILED_READS,   /* FETCHes and SCANs that failed */
    STORAGE_FAILED_TIDYING, /* checkpoints and probes that failed */
    STORAGE_DOORBELLS,      /* shards told of answers, asleep or not */
    STORAGE_WAKES,          /* times the storage thread was woken */
    STORAGE_COUNTS,
};

/* What a shard and storage share. */
struct storage_port {
    struct spsc in, out; /* of pointers to requests; out is as long as in, see 4. */
    /* The shard's. */
    _Alignas(64) uint32_t outstanding;
    uint64_t outstanding_bytes;
    _Atomic uint64_t refused; /* posts that found the limit; anybody may read it */
    _Atomic uint64_t reply_bytes_taken;
    bool must_ring;
    /* Storage's. */
    _Alignas(64) _Atomic bool wants_room; /* the shard has to take answers before its next read is served */
    struct storage_request *held;         /* popped, but not for this round */
    uint64_t reply_bytes_given;
    bool answered; /* in this round */
    uint32_t life_failed[STORAGE_STREAMS_MAX];
};

/* There are answers for the shard: called on storage's thread, once a round and shard, behind a sequentially
 * consistent fence, so that a plain look at the shard's "asleep" decides. */
typedef void storage_answered_fn(void *user, uint16_t origin);

enum storage_phase { STORAGE_GATHERS, STORAGE_SYNCS, STORAGE_ANSWERS, STORAGE_TIDIES };

struct storage_group {
    struct storage_request *first, *last;
    uint32_t units, operations; /* applied */
    uint64_t bytes, read_bytes;
    bool open; /* a transaction is */
    int error; /* of begin, put or delete: the whole group fails */
};

struct storage {
    struct store *store;
    struct storage_port *ports;
    uint16_t count;
    storage_answered_fn *answered;
    void *user;
    /* Its own. */
    enum storage_phase phase;
    uint16_t turn; /* the port that comes first in the next round */
    struct storage_group group;
    uint64_t now_ms, active_ms, retry_ms, tidy_ms;
    uint32_t failed_bytes; /* of the group that failed last: as much is tried */
    /* For anybody. */
    _Atomic uint32_t condition; /* enum storage_state << 16 | errno */
    _Atomic uint64_t counts[STORAGE_COUNTS];
    /* storage_thread.c */
    struct thread thread;
    _Alignas(64) _Atomic uint32_t asleep;
    _Atomic bool stopping;
};

/* Takes over the store. `shards` ports are made. 0 or -ENOMEM (the store is still the caller's then). */
int storage_init(struct storage *storage, struct store *store, uint16_t shards, storage_answered_fn *answered,
                 void *user);
/* Everybody has stopped, no request is under way (storage_stop, or ticks until storage_is_quiet and storage_take
 * until NULL). Closes the store: waits for the disk. */
void storage_destroy(struct storage *storage);
/* The process dies at this step (the simulation's crashes): nothing is answered or committed any more. Gives the
 * requests that were under way, joined by `next`, to be freed by whoever plays the shards; the store is closed. */
struct storage_request *storage_abandon(struct storage *storage);

/* --- a shard's side: one thread per origin ------------------------------------------------------------------------ */

/* The request leaves until storage_take gives it back. false: too much is under way (counted); the request is still
 * the caller's. */
bool storage_post(struct storage *storage, uint16_t origin, struct storage_request *request);
/* After posts, and after takes (which may have made room for reads that wait): wakes storage, if it sleeps. Once a
 * turn. */
void storage_ring(struct storage *storage, uint16_t origin);
/* The next answer or NULL. */
struct storage_request *storage_take(struct storage *storage, uint16_t origin);

/* --- storage's side ----------------------------------------------------------------------------------------------- */

/* One step: gathers, or syncs, or answers, or tidies. Whether there is more to do at once; if not, the next request or
 * storage_wake_ms is what to wait for. Between two steps the simulation may stop everything. */
bool storage_tick(struct storage *storage, uint64_t now_ms);
/* When a step is due though no request comes; 0: never. */
uint64_t storage_wake_ms(const struct storage *storage);
/* No request waits or is being worked on. On storage's thread, or when nobody runs. */
bool storage_is_quiet(const struct storage *storage);

/* Runs the steps on a thread of its own, pinned to `core` or not (-1). 0 or -errno. */
int storage_start(struct storage *storage, int core);
/* All that was posted before is committed and answered, then the thread ends; waits for that. The shards post no
 * more, and take the answers afterwards. */
void storage_stop(struct storage *storage);

/* --- anybody ------------------------------------------------------------------------------------------------------ */

/* The state, and the positive errno that led to it (0 when working) in *error, which may be NULL. */
enum storage_state storage_state(const struct storage *storage, int *error);
const char *storage_state_name(enum storage_state state);
uint64_t storage_count(const struct storage *storage, enum storage_count count);
/* Posts of all shards that found the limit. */
uint64_t storage_refused(const struct storage *storage);
/* Requests that wait in the rings, a moment ago. */
uint32_t storage_queued(const struct storage *storage);

#endif
