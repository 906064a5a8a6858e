/* SPDX-License-Identifier: MIT */
/* What a job needs and what a worker can do, in one canonical form each, so that equal ones are equal bytes and
 * whoever waits or works alike is one group or class (E-30).
 *
 *   needs         list of services (0 or 1) | list of components (0 or 1) | hardware
 *   capabilities  list of services | list of components | hardware
 *   a list        number of texts, then each behind its length (a byte each), sorted, none twice
 *   hardware      number of entries, sorted by name: length and name, then 'n' and eight bytes (a double, big-endian),
 *                 or 's' with length and text */
#ifndef RINGCAST_PROTOCOL_DIALECTS_EMPROPS_REQUIREMENTS_H
#define RINGCAST_PROTOCOL_DIALECTS_EMPROPS_REQUIREMENTS_H

#include "core/buf.h"

#define HARDWARE_MAX 32 /* entries */
#define HARDWARE_NAME_BYTES_MAX 64
#define CAPABILITIES_BYTES_MAX 16384 /* services, components and hardware together */

/* Reads a JSON array of strings (data NULL: an empty list) into a list. NULL, or what is wrong. */
const char *requirements_put_list(struct slice json, struct buf *out);
/* Reads the object `hardware` (data NULL: none). `positive`: numbers must be above 0 (E-21). NULL, or what is wrong
 * with the member *name (as written). */
const char *requirements_put_hardware(struct slice json, bool positive, struct buf *out, struct slice *name,
                                      struct slice *value);
/* Reads `requirements` of a job (JSON, data NULL: none) into the form of needs. NULL, or what is wrong with *field,
 * whose value is *value. Of a member of `hardware` *field is "hardware". */
const char *requirements_put_needs(struct slice json, struct buf *out, const char **field, struct slice *value);
/* A JSON number as a double; false when it is not finite. */
bool requirements_number(struct slice raw, double *value);

/* What comes behind the list, or (hardware) behind the entries, that `form` begins with. */
struct slice requirements_skip(struct slice form, bool hardware);
/* Whether what is needed can be done (E-30). */
bool requirements_met(struct slice needs, struct slice capabilities);
/* The needed gpu_memory_gb; false: none is. */
bool requirements_gpu(struct slice needs, double *gb);

/* The shortest decimal that reads back as the number. */
void put_double(struct buf *out, double value);
uint64_t double_bits(double value);
double double_of(uint64_t bits);

#endif
