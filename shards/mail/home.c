/* SPDX-License-Identifier: MIT */
/* Owns the naming of what lives at a home. It keeps nothing. Called by channels, quotas, and whoever asks for them. */
#include "shards/mail/home.h"

#include "core/buf.h"
#include "core/check.h"
#include "protocol/token.h"
#include "shards/shard.h"

struct hash128 home_name(const struct shard *shard, char kind, uint8_t dialect, struct slice bytes)
{
    uint8_t memory[2 + KEY_BYTES_MAX];
    struct buf name = buf_of(memory, sizeof memory);
    buf_put_byte(&name, (uint8_t)kind);
    buf_put_byte(&name, dialect);
    buf_put(&name, bytes);
    check(!name.overflow);
    return siphash128(&shard->key, buf_slice(&name));
}

uint16_t home_of(const struct shard *shard, struct hash128 name)
{
    return (uint16_t)(name.low % shard->count);
}
