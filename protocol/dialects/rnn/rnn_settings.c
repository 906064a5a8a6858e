/* SPDX-License-Identifier: MIT */
/* Owns the options of the dialect rnn, and what is wrong with secrets and users. The configuration reads the table. */
#include "protocol/dialects/rnn/rnn.h"

#include "protocol/jwt.h"
#include "protocol/password.h"

#include <errno.h>
#include <string.h>

#define AT(field) offsetof(struct rnn_settings, field)
#define DAY_MS UINT64_C(86400000)
#define INTERVAL(name_, table_, fallback_)                                                                             \
    OPTION(name_, DURATION, AT(interval_ms[table_]), fallback_, .min = 100, .max = DAY_MS, .reloadable = true,         \
           .doc = "How often that table is told.")

const struct option rnn_options[] = {
    OPTION("secrets", SECRETS, AT(secrets), "", .reloadable = true,
           .doc = "What tokens are signed with, each of 32 characters or more: the first one signs, all are taken."),
    OPTION("users", SECRETS, AT(users), "", .reloadable = true,
           .doc = "Who may log in: NAME HASH, a line of 'ringcast hash-password NAME'."),
    OPTION("token_lifetime", DURATION, AT(token_lifetime_ms), "24h", .min = 1000, .max = 365 * DAY_MS,
           .reloadable = true, .doc = "How long a token of a login is good."),
    OPTION("logins_failed_max", COUNT, AT(logins_failed_max), "10", .min = 1, .max = 1000000, .reloadable = true,
           .doc = "Failed logins of one address in a minute; then 429."),
    OPTION("close_on_expiry", BOOL, AT(close_on_expiry), "false", .reloadable = true,
           .doc = "A connection ends with its token."),
    OPTION("snapshot_on_connect", BOOL, AT(snapshot_on_connect), "true", .reloadable = true,
           .doc = "Who connects is told every table at once."),
    OPTION("json_ping", BOOL, AT(json_ping), "false", .reloadable = true,
           .doc = "Beside the protocol's pings one as a message, every 54 s."),
    OPTION("peer_id", TEXT, AT(peer_id), "", .doc = "This node's id; empty: one that is made once and kept."),
    OPTION("peer_name", TEXT, AT(peer_name), "", .doc = "This node's name in searches."),
    OPTION("dht_node_id", TEXT, AT(dht_node_id), "0x0", .doc = "This node's id in the hash table of peers."),
    OPTION("relay_mode", BOOL, AT(relay_mode), "false", .doc = "Relay sessions are told, until a publisher says else."),
    OPTION("nat_mode", BOOL, AT(nat_mode), "false", .doc = "Relay candidates are told, until a publisher says else."),
    INTERVAL("status_interval", RNN_STATUS, "5s"),
    INTERVAL("peers_interval", RNN_PEERS, "10s"),
    INTERVAL("blacklist_interval", RNN_BLACKLIST, "30s"),
    INTERVAL("relay_sessions_interval", RNN_SESSIONS, "5s"),
    INTERVAL("relay_candidates_interval", RNN_CANDIDATES, "5s"),
    INTERVAL("services_interval", RNN_SERVICES, "15s"),
    INTERVAL("workflows_interval", RNN_WORKFLOWS, "15s"),
    OPTION("memory", SIZE, AT(memory_bytes), "256MiB", .min = 4096, .max = UINT64_C(1) << 40, .reloadable = true,
           .doc = "Of all tables together; what does not fit is refused."),
    OPTION("uploads", TEXT, AT(uploads), "",
           .doc = "The folder of uploaded files, which is there; empty: there are no uploads."),
    OPTION("require_service", BOOL, AT(require_service), "true", .reloadable = true,
           .doc = "Files are taken for services of the table only."),
    OPTION("uploads_per_user", COUNT, AT(uploads_per_user), "64", .min = 1, .max = 4096, .reloadable = true,
           .doc = "Uploads of one user that are open, paused ones too."),
    {.name = NULL},
};

/* The parts of an entry of `users`; false: it has not two. */
static bool split_user(const char *entry, struct slice *name, const char **hash)
{
    const char *space = strchr(entry, ' ');
    if (space == NULL || space == entry || (size_t)(space - entry) > RNN_USER_BYTES_MAX)
        return false;
    *name = slice_of(entry, (size_t)(space - entry));
    *hash = space + 1;
    return true;
}

const char *rnn_user_hash(const struct rnn_settings *settings, struct slice name)
{
    for (uint32_t i = 0; i < settings->users.count; i++) {
        struct slice known;
        const char *hash;
        if (split_user(settings->users.items[i], &known, &hash) && slice_equal(known, name))
            return hash;
    }
    return NULL;
}

static int fault(struct buf *why, const char *text)
{
    buf_put_text(why, text);
    return -EINVAL;
}

int rnn_check_settings(const void *settings, struct buf *why)
{
    const struct rnn_settings *own = settings;
    if (own->common.listen.count == 0)
        return 0;
    if (own->secrets.count == 0)
        return fault(why, "secrets: none, so no token can be checked; give one of 32 characters or more");
    for (uint32_t i = 0; i < own->secrets.count; i++)
        if (strlen(own->secrets.items[i]) < JWT_SECRET_BYTES_MIN)
            return fault(why, "secrets: one is shorter than 32 characters; make it from random bytes");
    for (uint32_t i = 0; i < own->users.count; i++) {
        struct slice name;
        const char *hash, *what;
        if (!split_user(own->users.items[i], &name, &hash))
            return fault(why, "users: an entry is not NAME HASH; make one with 'ringcast hash-password NAME'");
        if ((what = password_hash_fault(hash)) != NULL) {
            buf_put_text(why, "users: the hash of ");
            buf_put(why, name);
            buf_put_byte(why, ' ');
            return fault(why, what);
        }
    }
    return 0;
}
