/* SPDX-License-Identifier: MIT */
/* Owns a client of PostgreSQL (libpq) for a queue as users build it: a table, and FOR UPDATE SKIP LOCKED. Statements
 * are prepared. It never makes the table: bench/compare-jobs does. Called by queues_main.c.
 *
 * A worker takes a job, does it and deletes it in one transaction, so a job costs two commits: one of its row, one of
 * its end. Who marks the row as taken before pays a third. */
#include "bench/queues.h"

#include <libpq-fe.h>
#include <stdio.h>

#define PUT "INSERT INTO jobs (payload) VALUES ($1::bytea)"
#define TAKE "SELECT id, payload FROM jobs ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
#define END "DELETE FROM jobs WHERE id = $1::bigint"

/* Clears the result; 0 when its status is the wanted one. */
static int expect(PGconn *connection, PGresult *result, ExecStatusType wanted, struct buf *why)
{
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status == wanted)
        return 0;
    buf_put_text(why, "postgresql: ");
    buf_put_text(why, PQerrorMessage(connection));
    return -1;
}

static void *postgresql_open(const char *address, struct buf *why)
{
    PGconn *connection = PQconnectdb(address);
    if (PQstatus(connection) != CONNECTION_OK) {
        buf_put_text(why, "postgresql: ");
        buf_put_text(why, PQerrorMessage(connection));
    } else if (expect(connection, PQprepare(connection, "put", PUT, 1, NULL), PGRES_COMMAND_OK, why) == 0 &&
               expect(connection, PQprepare(connection, "take", TAKE, 0, NULL), PGRES_COMMAND_OK, why) == 0 &&
               expect(connection, PQprepare(connection, "end", END, 1, NULL), PGRES_COMMAND_OK, why) == 0) {
        return connection;
    }
    PQfinish(connection);
    return NULL;
}

static int postgresql_put(void *queue, struct slice payload, struct buf *why)
{
    const char *values[] = {(const char *)payload.data};
    const int lengths[] = {(int)payload.bytes}, formats[] = {1};
    return expect(queue, PQexecPrepared(queue, "put", 1, values, lengths, formats, 1), PGRES_COMMAND_OK, why);
}

/* Within a transaction: the oldest job that nobody else has. */
static int take_row(PGconn *connection, struct buf *payload, struct buf *why)
{
    PGresult *row = PQexecPrepared(connection, "take", 0, NULL, NULL, NULL, 1);
    if (PQresultStatus(row) != PGRES_TUPLES_OK)
        return expect(connection, row, PGRES_TUPLES_OK, why);
    if (PQntuples(row) == 0) {
        PQclear(row);
        return 0;
    }
    buf_reset(payload);
    buf_put(payload, slice_of(PQgetvalue(row, 0, 1), (size_t)PQgetlength(row, 0, 1)));
    uint8_t id[8];
    memcpy(id, PQgetvalue(row, 0, 0), sizeof id);
    PQclear(row);
    const char *values[] = {(const char *)id};
    const int lengths[] = {sizeof id}, formats[] = {1};
    return expect(connection, PQexecPrepared(connection, "end", 1, values, lengths, formats, 1), PGRES_COMMAND_OK,
                  why) == 0
               ? 1
               : -1;
}

static int postgresql_take(void *queue, struct buf *payload, struct buf *why)
{
    if (expect(queue, PQexec(queue, "BEGIN"), PGRES_COMMAND_OK, why) != 0)
        return -1;
    int taken = take_row(queue, payload, why);
    if (taken < 0)
        return taken;
    return expect(queue, PQexec(queue, "COMMIT"), PGRES_COMMAND_OK, why) == 0 ? taken : -1;
}

static void postgresql_close(void *queue)
{
    PQfinish(queue);
}

const struct queue_kind queue_postgresql = {.name = "postgresql",
                                            .open = postgresql_open,
                                            .put = postgresql_put,
                                            .take = postgresql_take,
                                            .close = postgresql_close};
