/* SPDX-License-Identifier: MIT */
/* The dialects that there are; dialects.c puts them into the list. */
#ifndef RINGCAST_PROTOCOL_DIALECTS_DIALECTS_H
#define RINGCAST_PROTOCOL_DIALECTS_DIALECTS_H

#include "protocol/dialect.h"

extern const struct dialect plain_dialect;
extern const struct dialect echo_dialect;
extern const struct dialect rustorium_dialect;
extern const struct dialect aitbc_dialect;
extern const struct dialect crypto_dialect;
extern const struct dialect emprops_dialect;

#endif
