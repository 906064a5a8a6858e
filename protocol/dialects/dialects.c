/* SPDX-License-Identifier: MIT */
/* Owns the list of dialects. It holds no code, and nothing else sees a dialect: dialects.def has their names.
 * The configuration reads it for its sections, the listeners for their routes, the sessions for everything else. */
#include "core/limits.h"
#include "protocol/dialect.h"

#define DIALECT(name) extern const struct dialect name##_dialect;
#include "protocol/dialects/dialects.def"
#undef DIALECT

const struct dialect *const dialects[] = {
#define DIALECT(name) &name##_dialect,
#include "protocol/dialects/dialects.def"
#undef DIALECT
    NULL,
};

_Static_assert(sizeof dialects / sizeof dialects[0] - 1 <= DIALECTS_MAX, "the configuration has room for all");
