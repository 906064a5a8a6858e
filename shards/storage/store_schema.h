/* SPDX-License-Identifier: MIT */
/* The schema of the SQLite store and its versions. The file's application_id says that it is ours, its user_version
 * which schema it has:
 *
 *     1  the table ringcast_probe; a table "NAME" (key BLOB PRIMARY KEY, value NOT NULL) for each table of a service,
 *        made when a process first asks for it
 *
 * A change of the schema is one more step at the end of the list in store_schema.c; steps that were ever released
 * stay as they are. Of store_*.c only. */
#ifndef RINGCAST_SHARDS_STORAGE_STORE_SCHEMA_H
#define RINGCAST_SHARDS_STORAGE_STORE_SCHEMA_H

#include "core/buf.h"

#include <sqlite3.h>

#define STORE_APPLICATION_ID 0x52434153 /* "RCAS" */

/* The statements that lead from version i to version i + 1. */
struct store_schema {
    const char *const *steps;
    int version; /* how many steps there are */
};

/* The one that this build knows. */
extern const struct store_schema store_schema_current;

/* Whether the file is ours and not newer than `schema`; changes nothing. An empty file is. 0, -EPROTONOSUPPORT,
 * -EMEDIUMTYPE, or what reading the file has met. */
int store_schema_check(sqlite3 *db, const char *path, const struct store_schema *schema, struct buf *why);
/* Brings the file to `schema`: each step is one transaction together with the new version, so a process that dies in
 * the middle leaves the last whole one. 0 or an error. */
int store_schema_migrate(sqlite3 *db, const char *path, const struct store_schema *schema, struct buf *why);

#endif
