/* SPDX-License-Identifier: MIT */
/* What a configuration says, as typed values: what the shards read. A loaded configuration never changes; a reload
 * makes a new one (config.h). */
#ifndef RINGCAST_SHARDS_SETTINGS_H
#define RINGCAST_SHARDS_SETTINGS_H

#include "core/limits.h"
#include "core/option.h"
#include "protocol/grant.h"

struct dialect_settings;
struct tls_material;

enum zero_copy { ZERO_COPY_AUTO, ZERO_COPY_OFF };

enum sandbox_choice { SANDBOX_AUTO, SANDBOX_ON, SANDBOX_OFF };

/* Section "" of the file: keys at top level. */
struct server_settings {
    uint64_t shards;                  /* 0: one per core that the process may use */
    bool pin;                         /* pin each shard to a core */
    uint32_t sandbox;                 /* enum sandbox_choice */
    uint32_t log_level;               /* enum log_level */
    uint32_t log_format;              /* enum log_format */
    uint64_t connections_max;         /* whole process, split over the shards */
    uint64_t connections_per_address; /* in any state, whole process; 0: off */
    uint64_t channel_filters_max;     /* bytes: 64 for each filter of a channel's listeners, and its text */
    uint64_t frame_memory_bytes;      /* budget for shared frames, whole process, split over the shards */
    uint64_t answer_memory_bytes; /* budget for what only one connection gets, whole process, split over the shards */
    uint64_t input_memory_bytes;  /* likewise for input that is not complete */
    uint64_t send_buffer_bytes;   /* SO_SNDBUF */
    uint64_t receive_buffer_bytes;
    uint64_t notsent_lowat_bytes;
    uint32_t zero_copy;            /* enum zero_copy */
    uint64_t zero_copy_bytes_min;  /* a send has so many per piece on the average */
    uint64_t zero_copy_pinned_max; /* bytes that the kernel reads in place, whole process, split over the shards */
    uint64_t handshake_timeout_ms; /* from accept to the 101 or the response (K-24) */
    uint64_t message_timeout_ms;   /* a started message is complete within (K-24) */
    uint64_t send_timeout_ms;      /* a send that makes no progress; 0: no limit */
    uint64_t close_timeout_ms;     /* the peer's half of a close */
    uint64_t drain_timeout_ms;     /* from TERM to the end (K-31) */
    uint64_t drain_rate;           /* closes a second, whole process; 0: all at once */
    uint64_t spin_us;              /* longest look for work before a shard sleeps; 0: none */
    uint64_t compression_level;    /* zlib's, 1-9 */
    bool direct_descriptors;
    struct option_texts hosts; /* names of this machine beside localhost (http1_host_known) */
};

struct ingest_settings {
    struct option_texts listen;
    struct option_texts keys; /* each "KEY PATTERN [PATTERN...]"; a pattern is dialect/topic with '*' for any rest */
    char *keys_file;          /* the same, one a line */
    uint64_t body_bytes_max;
    uint64_t outstanding_max;       /* publishes of one shard that wait for their home; beyond: publishers wait */
    uint64_t outstanding_bytes_max; /* the memory that they take, per shard */
    struct grant_list grants;       /* not an option: keys and the lines of keys_file */
};

struct admin_settings {
    struct option_texts listen;
};

struct tls_config {
    struct option_texts certificates; /* each "CHAIN.pem KEY.pem"; the first serves unknown names */
    char *client_authorities;         /* PEM file */
    uint32_t minimum_version;         /* index of config.c's tls_versions */
    uint64_t ticket_lifetime_ms;      /* 0: no tickets */
    uint64_t handshakes_per_second;   /* begun by one shard; 0: no limit */
    uint64_t handshakes_max;          /* unfinished, of one shard */
    uint64_t memory_bytes;            /* what wolfSSL may hold, whole process */
    uint64_t buffer_bytes;            /* records on their way out, whole process, split over the shards */
    struct tls_material *material;    /* not an option: the files' contents; NULL: no certificates */
};

struct config {
    struct server_settings server;
    struct tls_config tls;
    struct ingest_settings ingest;
    struct admin_settings admin;
    void *dialects[DIALECTS_MAX]; /* settings of dialects[i] (protocol/dialect.h) */
    uint32_t dialect_count;
    struct config_origin *origins; /* private: where each value comes from */
    char *notices;                 /* private, see config_notices */
};

/* The common settings of a dialect. */
static inline const struct dialect_settings *config_dialect(const struct config *config, uint8_t dialect)
{
    return config->dialects[dialect];
}

#endif
