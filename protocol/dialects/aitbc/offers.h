/* SPDX-License-Identifier: MIT */
/* What the market service remembers of offers: prices, for the previous price of an update, and times of expiry
 * . An offer that is matched, cancelled or expired is forgotten; so is, for want of memory, the one that changed
 * longest ago. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_AITBC_OFFERS_H
#define RINGCAST_PROTOCOL_DIALECTS_AITBC_OFFERS_H

#include "core/buf.h"
#include "core/list.h"
#include "core/map.h"
#include "core/wheel.h"

#define OFFER_ID_BYTES_MAX 128

struct offers {
    struct map by_id;
    struct list changed; /* the one that changed last at the end */
    uint32_t count;
    size_t bytes;
    struct wheel wheel;
};

/* What is known of an offer; each slice is JSON text, no bytes: not known. */
struct offer_facts {
    struct slice id;
    struct slice price;
    struct slice currency;
};

void offers_init(struct offers *offers, struct siphash_key key);
void offers_close(struct offers *offers);

/* False: the offer is not known. The slices are good until it changes. */
bool offers_get(const struct offers *offers, struct slice id, struct offer_facts *facts);
/* Remembers an offer by its JSON text `facts->id`, instead of what was known of it. `expiry_ms` (monotonic): 0 keeps
 * the time that it has, UINT64_MAX has none. False when memory is out or `bytes_max` too small for it. */
bool offers_put(struct offers *offers, const struct offer_facts *facts, uint64_t expiry_ms, size_t bytes_max);
void offers_remove(struct offers *offers, struct slice id);
/* {"count":n,"offers":[{"id":...,"price_per_hour":...,"currency":...},...]}, latest change first, as many as fit. */
void offers_print(const struct offers *offers, struct buf *out);

/* When offers_advance is due; UINT64_MAX: never. It may be too early, never too late. */
uint64_t offers_due(const struct offers *offers);
void offers_advance(struct offers *offers, uint64_t now_ms);
/* Forgets one offer that has expired and appends its id, as JSON text, to `out`; false: there is none. */
bool offers_expire(struct offers *offers, struct buf *out);

#endif
