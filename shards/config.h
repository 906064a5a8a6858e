/* SPDX-License-Identifier: MIT */
/* The configuration: tables of options read from one YAML file, the environment and flags into typed structs. A loaded
 * configuration never changes; a reload makes a new one. */
#ifndef RINGCAST_SHARDS_CONFIG_H
#define RINGCAST_SHARDS_CONFIG_H

#include "core/limits.h"
#include "core/ring.h"
#include "protocol/dialect.h"
#include "protocol/tls/tls.h"

enum zero_copy { ZERO_COPY_AUTO, ZERO_COPY_OFF };

/* Section "" of the file: keys at top level. */
struct server_settings {
    uint64_t shards;                  /* 0: one per core that the process may use */
    bool pin;                         /* pin each shard to a core */
    uint32_t log_level;               /* enum log_level */
    uint32_t log_format;              /* enum log_format */
    uint64_t connections_max;         /* whole process, split over the shards */
    uint64_t connections_per_address; /* in any state, whole process; 0: off */
    uint64_t channel_filters_max;     /* bytes: 64 for each filter of a channel's listeners, and its text */
    uint64_t frame_memory_bytes;      /* budget for shared frames, whole process, split over the shards */
    uint64_t send_buffer_bytes;       /* SO_SNDBUF */
    uint64_t receive_buffer_bytes;
    uint64_t notsent_lowat_bytes;
    uint32_t zero_copy;            /* enum zero_copy */
    uint64_t zero_copy_bytes_min;  /* a send has so many per piece on the average */
    uint64_t zero_copy_pinned_max; /* bytes that the kernel reads in place, whole process, split over the shards */
    uint64_t handshake_timeout_ms; /* from accept to the 101 or the response (K-24) */
    uint64_t message_timeout_ms;   /* a started message is complete within (K-24) */
    uint64_t close_timeout_ms;     /* the peer's half of a close */
    uint64_t drain_timeout_ms;     /* from TERM to the end (K-31) */
    uint64_t spin_us;              /* longest look for work before a shard sleeps; 0: none */
    uint64_t compression_level;    /* zlib's, 1-9 */
    bool direct_descriptors;
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

/* The contents of the files that tls_config names. */
struct tls_material {
    struct tls_settings settings; /* its slices point into `texts`; without a ticket secret */
    struct tls_text {
        char *data;
        size_t bytes;
    } texts[2 * TLS_IDENTITIES_MAX + 1];
    uint32_t count;
};

struct config {
    struct server_settings server;
    struct tls_config tls;
    struct ingest_settings ingest;
    struct admin_settings admin;
    void *dialects[DIALECTS_MAX]; /* settings of dialects[i] (protocol/dialect.h) */
    uint32_t dialect_count;
    struct config_origin *origins; /* private: where each value comes from */
};

/* Where a configuration comes from: kept for the reload. */
struct config_source {
    const char *path;        /* NULL: defaults only */
    char **environment;      /* RINGCAST_SECTION_KEY=value; NULL: none */
    const char *const *sets; /* "section.key=value" of --set, in order; NULL-terminated or NULL */
};

/* Loads, merges (defaults < file < environment < sets) and validates. 0 and *out; -EINVAL (or another -errno of the file) with
 * all findings in `why`, a line each: "FILE:LINE: KEY: what is wrong; what would be right". */
int config_load(const struct config_source *source, struct config **out, struct buf *why);
void config_free(struct config *config);
/* Prints the effective values as YAML that would load again, secrets masked, each with its origin as a comment
 * (default | file:line | env NAME | --set). */
void config_print(const struct config *config, const struct config_source *source, struct buf *out);
/* A commented minimal configuration with fresh random keys. */
int config_generate(struct buf *out);
/* Names of the keys whose values differ but need a restart, comma-separated; empty when there are none. */
void config_restart_needed(const struct config *now, const struct config *next, struct buf *out);

/* One entry of a `listen` list. */
struct listen {
    struct ring_address addresses[2];
    uint32_t count;
    bool tls;
    enum tls_client_certificate client;
};

/* "127.0.0.1:9500", "[::1]:80", "*:9072" (all addresses, both families), "localhost:9500" (both loopbacks: 2 addresses); behind
 * it "tls", and behind that "client=optional" or "client=required" (certificates of peers). 0 or -EINVAL. */
int config_parse_listen(const char *text, struct listen *out);

#endif
