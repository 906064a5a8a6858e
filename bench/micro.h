/* SPDX-License-Identifier: MIT */
/* What the parts of ringcast-micro share: the cases that it times. A case does one thing over and over and returns a
 * value that depends on every result, so that nothing can be left out by the compiler. */
#ifndef RINGCAST_MICRO_H
#define RINGCAST_MICRO_H

#include <stdint.h>

struct micro_case {
    const char *name;
    const char *doc;                                          /* what one operation is */
    uint32_t bytes;                                           /* of the text or payload; 0: not a matter of bytes */
    int (*open)(void **state, const struct micro_case *self); /* NULL: no state. 0 or -errno */
    uint64_t (*run)(void *state, const struct micro_case *self, uint64_t count);
    void (*close)(void *state);
};

/* Each ends with a case whose name is NULL. */
extern const struct micro_case micro_protocol[]; /* micro_protocol.c */
extern const struct micro_case micro_core[];     /* micro_core.c */
extern const struct micro_case micro_delivery[]; /* micro_delivery.c */
extern const struct micro_case micro_tls[];      /* micro_tls.c */

/* The folder with server.pem and server.key; without them a case of micro_tls opens with -ENOENT and is left out. */
extern const char *micro_certificates;

#endif
