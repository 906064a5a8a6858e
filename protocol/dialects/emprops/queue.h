/* SPDX-License-Identifier: MIT */
/* The trees below the queue, for its own use and for its test: indices of jobs, ordered by priority and sequence. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_QUEUE_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_QUEUE_H

#include "protocol/dialects/emprops/hub_parts.h"

void tree_put(const struct hub *hub, uint32_t *root, uint32_t index, enum tree tree);
void tree_remove(const struct hub *hub, uint32_t *root, uint32_t index, enum tree tree);
/* How many are before it. */
uint32_t tree_rank(const struct hub *hub, uint32_t root, uint32_t index, enum tree tree);
/* The one with so many before it; NONE: there are not so many. */
uint32_t tree_at(const struct hub *hub, uint32_t root, uint32_t rank, enum tree tree);

#endif
