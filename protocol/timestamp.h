/* SPDX-License-Identifier: MIT */
/* Times as the published APIs write them (G-11), all UTC: "2024-01-23T12:34:56Z", the same with a fraction, and numbers
 * of seconds or milliseconds since 1970. Pure arithmetic in the proleptic Gregorian calendar, years 0000-9999. */
#ifndef RINGCAST_PROTOCOL_TIMESTAMP_H
#define RINGCAST_PROTOCOL_TIMESTAMP_H

#include "core/buf.h"

#define TIMESTAMP_ISO_BYTES 20    /* of "2024-01-23T12:34:56Z" */
#define TIMESTAMP_ISO_MS_BYTES 24 /* of "2024-01-23T12:34:56.789Z" */
#define TIMESTAMP_HTTP_BYTES 29   /* of "Tue, 23 Jan 2024 12:34:56 GMT" */

/* Reads YYYY-MM-DDThh:mm:ss[.fraction]Z (RFC 3339 section 5.6, in UTC and without leap seconds) into milliseconds since
 * 1970; further digits of the fraction are cut off. False when the text is anything else. */
bool timestamp_parse_iso(struct slice text, int64_t *unix_ms);
/* A number is seconds below 100,000,000,000 (the year 5138), else milliseconds (from 1973). False beyond the year
 * 9999. */
bool timestamp_from_number(uint64_t number, int64_t *unix_ms);
/* Appends YYYY-MM-DDThh:mm:ssZ; the time is in the years 0000-9999. */
void timestamp_put_iso(struct buf *out, int64_t unix_ms);
/* Appends YYYY-MM-DDThh:mm:ss.mmmZ, likewise. */
void timestamp_put_iso_ms(struct buf *out, int64_t unix_ms);
/* Appends an IMF-fixdate (RFC 9110 section 5.6.7), "Tue, 23 Jan 2024 12:34:56 GMT", likewise. */
void timestamp_put_http(struct buf *out, int64_t unix_ms);

#endif
