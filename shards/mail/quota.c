/* SPDX-License-Identifier: MIT */
/* Owns the counters of the names whose home is this shard, and the questions to other homes. It never knows a name
 * itself, only its keyed hash, and never ends a connection. Called by session and mail.
 *
 * Between two calls (quotas_check): a quota is found under its name, and it holds places or has counted attempts; of
 * names that do neither nothing is kept. */
#include "shards/mail/quota.h"

#include "core/bucket.h"
#include "core/check.h"
#include "core/work.h"
#include "protocol/quota.h"
#include "shards/mail/home.h"
#include "shards/mail/mail.h"
#include "shards/shard.h"

#include <stdlib.h>

/* Entries looked at in a second at least, and in one go at most. */
#define SWEEP_MIN 4096
#define SWEEP_PART 64

void quotas_init(struct quotas *quotas, struct siphash_key key)
{
    map_init(&quotas->map, key);
    quotas->sweep = 0;
    quotas->left = 0;
}

void quotas_destroy(struct quotas *quotas)
{
    size_t cursor = 0;
    for (struct quota *quota; (quota = map_next(&quotas->map, &cursor)) != NULL;)
        free(quota);
    map_free(&quotas->map);
}

_Static_assert(QUOTA_ADDRESS_LEFT < QUOTA_PEER, "not one of enum quota_kind");

static struct quota *quota_make(struct quotas *quotas, struct hash128 name)
{
    struct quota *quota = calloc(1, sizeof *quota);
    if (quota == NULL)
        return NULL;
    quota->name = name;
    if (map_put(&quotas->map, slice_of(&quota->name, sizeof quota->name), quota) == 0)
        return quota;
    free(quota);
    return NULL;
}

static bool is_attempts(uint8_t kind)
{
    return kind == QUOTA_ADDRESS_ATTEMPTS || kind == QUOTA_KEY_ATTEMPTS;
}

bool quota_take(struct quotas *quotas, struct hash128 name, uint8_t kind, uint32_t limit, uint64_t window_ms,
                uint64_t now_ms)
{
    struct quota *quota = map_get(&quotas->map, slice_of(&name, sizeof name));
    if (kind == QUOTA_ADDRESS_LEFT)
        return quota == NULL || limit == 0 || bucket_held(&quota->attempts, now_ms, window_ms) < limit;
    if (quota == NULL)
        quota = quota_make(quotas, name);
    if (quota == NULL)
        return false; /* out of memory: what cannot be counted is not granted */
    if (is_attempts(kind)) {
        quota->window_ms = window_ms;
        return bucket_count(&quota->attempts, now_ms, window_ms) <= limit || limit == 0;
    }
    if (limit != 0 && quota->held >= limit)
        return false;
    quota->held++;
    return true;
}

void quota_give(struct quotas *quotas, struct hash128 name)
{
    struct quota *quota = map_get(&quotas->map, slice_of(&name, sizeof name));
    check(quota != NULL && quota->held > 0);
    if (--quota->held > 0 || quota->attempts.count > 0)
        return;
    map_remove(&quotas->map, slice_of(&name, sizeof name));
    free(quota);
}

void quota_sweep(struct quotas *quotas, uint32_t budget, uint64_t now_ms)
{
    for (uint32_t i = 0; i < budget; i++) {
        struct quota *quota = map_next(&quotas->map, &quotas->sweep);
        if (quota == NULL) {
            quotas->sweep = 0;
            return;
        }
        if (quota->held == 0 && bucket_over(&quota->attempts, now_ms, quota->window_ms)) {
            map_remove(&quotas->map, slice_of(&quota->name, sizeof quota->name));
            free(quota);
        }
    }
}

void quotas_begin_sweep(struct quotas *quotas)
{
    if (quotas->left == 0)
        quotas->left = quotas->map.count == 0 ? 0 : SWEEP_MIN + quotas->map.count / 8;
}

void quotas_sweep(struct shard *shard)
{
    struct quotas *quotas = shard->quotas;
    while (quotas->left > 0 && work_left(shard->work)) {
        uint32_t part = quotas->left < SWEEP_PART ? (uint32_t)quotas->left : SWEEP_PART;
        work_spend(shard->work, WORK_LOOK, part);
        quota_sweep(quotas, part, shard->now_ms);
        quotas->left -= part;
    }
}

void quota_acquire(struct shard *shard, struct handle conn, struct hash128 name, uint8_t kind, uint32_t limit,
                   uint64_t window_ms)
{
    struct mail mail = {.kind = MAIL_ACQUIRE, .quota = kind};
    mail.acquire.name = name;
    mail.acquire.conn = conn;
    mail.acquire.limit = limit;
    mail.acquire.window_ms = window_ms;
    mail_post(shard, home_of(shard, name), mail);
}

void quota_release(struct shard *shard, struct hash128 name)
{
    struct mail mail = {.kind = MAIL_RELEASE};
    mail.acquire.name = name;
    mail_post(shard, home_of(shard, name), mail);
}

void quota_on_acquire(struct shard *shard, const struct mail *mail)
{
    struct mail answer = *mail;
    answer.kind = MAIL_ACQUIRED;
    answer.granted = quota_take(shard->quotas, mail->acquire.name, mail->quota, mail->acquire.limit,
                                mail->acquire.window_ms, shard->now_ms);
    mail_post(shard, mail->from, answer);
}

void quota_on_release(struct shard *shard, const struct mail *mail)
{
    quota_give(shard->quotas, mail->acquire.name);
}

void quotas_check(const struct quotas *quotas)
{
    size_t cursor = 0;
    for (const struct quota *quota; (quota = map_next(&quotas->map, &cursor)) != NULL;) {
        check(map_get(&quotas->map, slice_of(&quota->name, sizeof quota->name)) == quota);
        check(quota->held > 0 || quota->attempts.count > 0);
    }
}
