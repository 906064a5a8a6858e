/* SPDX-License-Identifier: MIT */
/* Owns the list of dialects. It holds no code, and nothing else names a dialect.
 * The configuration reads it for its sections, the listeners for their routes, the sessions for everything else. */
#include "protocol/dialects/dialects.h"

const struct dialect *const dialects[] = {
    &plain_dialect, &echo_dialect, &rustorium_dialect, &aitbc_dialect, &crypto_dialect, &emprops_dialect, NULL};

_Static_assert(sizeof(dialects) / sizeof(dialects[0]) - 1 <= DIALECTS_MAX, "the configuration has room for all");
