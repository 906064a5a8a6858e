/* SPDX-License-Identifier: MIT */
/* The reference model: every message that publishers have tried to publish, what became of it, and who has seen it. It
 * knows nothing of shards: it judges by what goes into the server and what comes out.
 *
 * Time is a count of events (sim_model_now), so of two observations one is always before the other. What is noted about
 * a message errs to the safe side: `begun` is not later than its first byte on the wire, `settled` not earlier than the
 * server's decision; `asked` and `confirmed` of a reader likewise.
 *
 * The order in which a home puts messages of several publishers is free, but the same for all. It is learned from the
 * readers: on a lossless channel each message has one successor, whoever looks. A reader for whom the successor of its
 * last message is another one has lost, repeated or swapped something. */
#ifndef RINGCAST_TESTS_SIM_SIM_MODEL_H
#define RINGCAST_TESTS_SIM_SIM_MODEL_H

#include "core/bytes.h"

#define SIM_NONE UINT32_MAX
#define SIM_CHANNELS_MAX 16
#define SIM_KEYS 8 /* of the state of rustorium */
#define SIM_SERIES_MAX 8192

enum sim_fate {
    SIM_UNDECIDED, /* no answer, perhaps never one: it may have been published or not */
    SIM_ACCEPTED,
    SIM_REFUSED,
};

enum sim_form {
    SIM_RAW,    /* as content of a request or in base64 */
    SIM_QUOTED, /* as a JSON string: it is delivered with its quotes */
    SIM_STATE,  /* a value of rustorium's state */
    SIM_OBJECT, /* of a service of crypto */
    SIM_JOB,    /* a status of a job of aitbc */
    SIM_EVENT,  /* an event of aitbc */
    SIM_BLOCK,  /* of rustorium's chain */
};

struct sim_message {
    uint32_t channel; /* of plain; else SIM_NONE */
    uint32_t stream;  /* publications of one connection of a publisher: they are ordered */
    uint32_t bytes;   /* without quotes */
    uint32_t key;     /* of SIM_STATE; of SIM_OBJECT the service; of SIM_JOB the job; of SIM_EVENT the offer */
    uint32_t detail;  /* of SIM_JOB the state, of SIM_EVENT the type */
    uint64_t due_ms;  /* of SIM_JOB and SIM_EVENT: when what it is about expires; 0: never */
    enum sim_form form;
    enum sim_fate fate;
    uint64_t begun, settled;
    uint64_t begun_ms, settled_ms; /* the same on the clock */
    uint32_t before;               /* the one begun before it with the same form and key; SIM_NONE: none */
    bool seen;
    uint32_t next, previous; /* on a lossless channel, as the readers saw it; SIM_NONE: not known */
};

struct sim_channel {
    char name[16];
    bool latest;
};

/* Bits by message number. */
struct sim_seen {
    uint8_t *bits;
    uint32_t bytes;
};

/* One reader of one channel of plain. */
struct sim_reader {
    uint32_t channel;
    uint32_t history; /* asked for */
    uint64_t asked, confirmed;
    uint32_t first, last; /* messages; SIM_NONE: none yet */
    uint32_t count, old;  /* seen; of these accepted before it asked */
    uint8_t *seen;        /* bit per message */
    uint32_t seen_bytes;
    uint32_t *newest; /* [stream]: message + 1; 0: none yet */
    uint32_t streams;
};

/* One subscription of one client of rustorium to the state. */
struct sim_subscription {
    char prefix[16];                 /* of keys; "" all */
    bool exact;                      /* the whole key */
    uint64_t asked, confirmed, left; /* 0: not yet */
    bool gone;                       /* and that is confirmed */
};

struct sim_model {
    uint64_t events;
    struct sim_message *messages;
    uint32_t count, capacity;
    struct sim_channel channels[SIM_CHANNELS_MAX];
    uint32_t channel_count;
    uint32_t retain;                 /* of plain, when neither age nor full memory bounds it; else 0 */
    uint32_t newest[SIM_SERIES_MAX]; /* the message begun last, of each series; SIM_NONE: none */
    uint32_t series_count;
    uint32_t *by_number; /* message by its number at the home of rustorium's state */
    uint32_t by_number_count;
    uint64_t deliveries;
};

/* All of these return NULL, or what is wrong as a literal. */

void sim_model_free(struct sim_model *model);
bool sim_seen_has(const struct sim_seen *seen, uint32_t message);
void sim_seen_add(struct sim_seen *seen, uint32_t message);
void sim_seen_free(struct sim_seen *seen);

/* The next moment. */
uint64_t sim_model_now(struct sim_model *model);
uint32_t sim_model_channel(struct sim_model *model, const char *name, bool latest);

/* A message that is about to be published; its number. */
uint32_t sim_model_begin(struct sim_model *model, const struct sim_message *message);
void sim_model_settle(struct sim_model *model, uint32_t message, enum sim_fate fate);
/* A new series: messages of one service, job or offer, so that the newest are found without a search. */
uint32_t sim_model_series(struct sim_model *model);
/* Whether `newer` has been published behind `older` for certain. */
bool sim_model_is_behind(const struct sim_model *model, uint32_t newer, uint32_t older);
/* The content of a message on plain (without quotes): its number and filler that follows from it. At most `room`
 * bytes. */
size_t sim_model_content(const struct sim_model *model, uint32_t message, uint8_t *out, size_t room);
void sim_model_key(char out[16], uint32_t key);

/* A payload has come in on a connection with these readers. */
const char *sim_model_arrive(struct sim_model *model, struct sim_reader *readers, uint32_t count, struct slice payload,
                             uint32_t *message);
/* Everything has come to rest and the reader is still there and has kept reading (or was closed by a drain): has it
 * all? */
const char *sim_model_complete(struct sim_model *model, const struct sim_reader *reader);
void sim_model_reader_free(struct sim_reader *reader);

/* What a client of rustorium has seen of the state. */
struct sim_state_view {
    uint64_t last_number;
    uint8_t *seen;
    uint32_t seen_bytes;
};
const char *sim_model_arrive_state(struct sim_model *model, struct sim_state_view *view,
                                   const struct sim_subscription *subscriptions, uint32_t count, uint64_t number,
                                   struct slice key, uint32_t message);
const char *sim_model_complete_state(struct sim_model *model, const struct sim_state_view *view,
                                     const struct sim_subscription *subscriptions, uint32_t count);

#endif
