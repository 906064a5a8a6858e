/* SPDX-License-Identifier: MIT */
/* What published objects look like: tables of fields that check an object and write it again, its members in the order
 * of the document, what is missing in its default (I-14). */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_SHAPES_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_SHAPES_H

#include "protocol/json.h"

enum shape_kind {
    SHAPE_TEXT,
    SHAPE_INT,    /* a whole number that is not negative */
    SHAPE_NUMBER, /* any */
    SHAPE_BOOL,
    SHAPE_OBJECT,
    SHAPE_ARRAY,
    SHAPE_ID,   /* a whole number, or a string of one (G-29) */
    SHAPE_CODE, /* a string of upper-case letters, digits and _ */
    SHAPE_ANY,
};

struct shape_field {
    const char *name;
    enum shape_kind kind;
    const char *fallback;      /* JSON; NULL: it must be there; "": it is left out when it is not */
    const char *const *values; /* of a TEXT: all that it may be, then NULL; NULL: anything */
};

#define SHAPE_FIELDS_MAX 20

struct shape_fault {
    const char *field;
    const char *message;
    int status; /* 400: not JSON; 422 */
};

/* Finds the fields in an object and checks them: found[i] is of fields[i], which end with name NULL. */
bool shape_check(const struct shape_field *fields, struct slice object, struct json_member found[SHAPE_FIELDS_MAX],
                 struct shape_fault *fault);
/* Appends "name":value of one field, with a comma in front unless it is the first behind a brace; nothing when it is left out. */
void shape_put(const struct shape_field *field, const struct json_member *found, struct buf *out);
/* Appends the object with all its fields. */
void shape_put_all(const struct shape_field *fields, const struct json_member *found, struct buf *out);
/* The value of a whole number, or of its fallback. */
uint64_t shape_u64(const struct shape_field *field, const struct json_member *found);

#endif
