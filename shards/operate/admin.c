/* SPDX-License-Identifier: MIT */
/* Owns the operator's pages: health and metrics. It changes nothing and reads other shards only through statistics.
 * Called by conn_read through its role (requests on the admin listener). */
#include "shards/operate/admin.h"

#include "core/buf.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/log_writer.h"
#include "core/sandbox.h"
#include "core/stats.h"
#include "protocol/dialect.h"
#include "protocol/http1.h"
#include "protocol/tls/tls.h"
#include "shards/channel/depot_host.h"
#include "shards/channel/service_host.h"
#include "shards/conn/conn.h"
#include "shards/depot/depot_thread.h"
#include "shards/shard.h"
#include "shards/storage/storage.h"

#include <stdlib.h>

/* A shard whose last tick is older is stuck: it ticks at least once a second. */
#define ALIVE_MS 5000

static bool all_alive(const struct shard *shard)
{
    for (uint16_t i = 0; i < shard->count; i++) {
        uint64_t beat = atomic_load_explicit(&shard->all[i]->beat_ms, memory_order_relaxed);
        if (beat + ALIVE_MS < shard->now_ms)
            return false;
    }
    return true;
}

static void respond_state(struct shard *shard, struct conn *conn, bool good, const char *otherwise)
{
    const char *content = good ? "{\"status\":\"ok\"}" : otherwise;
    conn_respond(shard, conn,
                 &(struct http1_answer){.status = good ? 200 : 503,
                                        .content_type = "application/json",
                                        .extra = "Cache-Control: no-store\r\n",
                                        .content = slice_text(content)});
}

static void put_metric(struct buf *out, const char *name, const char *type, const char *labels, const char *help,
                       uint64_t value)
{
    buf_put_text(out, "# HELP ");
    buf_put_text(out, name);
    buf_put_byte(out, ' ');
    buf_put_text(out, help);
    buf_put_text(out, "\n# TYPE ");
    buf_put_text(out, name);
    buf_put_text(out, type);
    buf_put_text(out, name);
    buf_put_text(out, labels);
    buf_put_byte(out, ' ');
    buf_put_u64(out, value);
    buf_put_byte(out, '\n');
}

static void put_gauge(struct buf *out, const char *name, const char *labels, const char *help, uint64_t value)
{
    put_metric(out, name, " gauge\n", labels, help, value);
}

static void put_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    put_metric(out, name, " counter\n", "", help, value);
}

/* Of the process: build, start time, the last reload. */
static void print_process(const struct shard *shard, const struct process_state *process, struct buf *out)
{
    uint8_t memory[256];
    struct buf labels = buf_of(memory, sizeof memory - 1);
    buf_put_text(&labels, "{version=\"");
    buf_put_text(&labels, process->version);
    buf_put_text(&labels, "\",commit=\"");
    buf_put_text(&labels, process->commit);
    buf_put_text(&labels, "\"}");
    memory[labels.used] = '\0';
    put_gauge(out, "ringcast_build_info", (char *)memory, "Always 1; the labels say what runs.", 1);
    put_gauge(out, "ringcast_start_time_seconds", "", "When the process started, seconds since 1970.",
              process->started_s);
    put_gauge(out, "ringcast_shards", "", "Shards.", shard->count);
    put_gauge(out, "ringcast_tls_memory_bytes", "", "Memory of the TLS library, in all sessions.", tls_memory_bytes());
    put_gauge(out, "ringcast_tls_memory_refused", "", "Allocations that the TLS library was refused for its limit.",
              tls_memory_refused());
    put_counter(out, "ringcast_log_lines_dropped_total",
                "Log lines that were lost: whoever reads the log was too slow, or it cannot be written.",
                log_writer_dropped());
    put_counter(out, "ringcast_system_calls_refused_total",
                "System calls that a thread made and may not make (sandbox): they failed.", sandbox_refused());
    put_gauge(out, "ringcast_config_last_reload_successful", "",
              "Whether the last reload was taken over (1 before any).", atomic_load(&process->reload_ok));
}

/* Of storage, which all shards share. */
static void print_storage(const struct storage *storage, struct buf *out)
{
    static const struct {
        const char *name, *type, *labels, *help;
        enum storage_count count;
    } rows[] = {
        {"ringcast_storage_commits_total", " counter\n", "", "Transactions that were synced.", STORAGE_COMMITS},
        {"ringcast_storage_units_total", " counter\n", "", "Units of services in them: so many shared their syncs.",
         STORAGE_UNITS},
        {"ringcast_storage_bytes_total", " counter\n", "", "Bytes of records in them.", STORAGE_UNIT_BYTES},
        {"ringcast_storage_sync_nanoseconds_total", " counter\n", "", "Time spent in commits.", STORAGE_SYNC_NS},
        {"ringcast_storage_sync_nanoseconds_max", " gauge\n", "", "The longest of them.", STORAGE_SYNC_NS_MAX},
        {"ringcast_storage_fetches_total", " counter\n", "", "Records read.", STORAGE_FETCHES},
        {"ringcast_storage_checkpoints_total", " counter\n", "", "Times the log was tidied up.", STORAGE_CHECKPOINTS},
        {"ringcast_storage_refused_life_total", " counter\n", "",
         "Units that were not kept because one before them was not.", STORAGE_REFUSED_LIFE},
        {"ringcast_storage_refused_full_total", " counter\n", "", "Units that were not kept for want of room.",
         STORAGE_REFUSED_FULL},
        {"ringcast_storage_refused_read_only_total", " counter\n", "",
         "Units that were not kept on a read-only file system.", STORAGE_REFUSED_ROFS},
        {"ringcast_storage_refused_io_total", " counter\n", "", "Units that the device did not keep.",
         STORAGE_REFUSED_IO},
        {"ringcast_storage_refused_other_total", " counter\n", "", "Units that were not kept for other reasons.",
         STORAGE_REFUSED_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        put_metric(out, rows[i].name, rows[i].type, rows[i].labels, rows[i].help,
                   storage_count(storage, rows[i].count));
    put_counter(out, "ringcast_storage_posts_refused_total",
                "Requests that had to wait: a shard has too many under way.", storage_refused(storage));
    put_gauge(out, "ringcast_storage_queued", "", "Requests that wait for storage.", storage_queued(storage));
    put_gauge(out, "ringcast_storage_working", "", "1 while what is to be kept is kept.",
              storage_state(storage, NULL) == STORAGE_WORKING);
}

/* Of all depots together. */
static void print_depots(const struct depot_host *host, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
        enum depot_count count;
    } rows[] = {
        {"ringcast_depot_commits_total", " counter\n",
         "Transactions of depots that were kept, with the files that they are about.", DEPOT_COMMITS},
        {"ringcast_depot_sync_nanoseconds_total", " counter\n", "Time spent in syncs of files and in commits.",
         DEPOT_SYNC_NS},
        {"ringcast_depot_sync_nanoseconds_max", " gauge\n", "The longest of them.", DEPOT_SYNC_NS_MAX},
        {"ringcast_depot_written_bytes_total", " counter\n", "Bytes of files.", DEPOT_WRITTEN},
        {"ringcast_depot_files_total", " counter\n", "Files that got to their places whole.", DEPOT_PLACED},
        {"ringcast_depot_failures_total", " counter\n",
         "Times that something could not be kept: whoever waited was told so.", DEPOT_LIVES_LOST},
        {"ringcast_depot_lost", " gauge\n", "Depots that take nothing: their records cannot be read or written.",
         DEPOT_LOST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = 0;
        for (unsigned d = 0; dialects[d] != NULL; d++) {
            const struct depot_thread *thread = host->threads[d];
            uint64_t one = thread == NULL ? 0 : depot_thread_count(thread, rows[i].count);
            value = rows[i].count == DEPOT_SYNC_NS_MAX ? (one > value ? one : value) : value + one;
        }
        put_metric(out, rows[i].name, rows[i].type, "", rows[i].help, value);
    }
}

static void respond_metrics(struct shard *shard, struct conn *conn)
{
    const struct stats *all[SHARDS_MAX];
    struct buf out = buf_of(shard->scratch, SCRATCH_BYTES);
    for (uint16_t i = 0; i < shard->count; i++)
        all[i] = &shard->all[i]->stats;
    stats_print(all, shard->count, &out);
    if (shard->process != NULL)
        print_process(shard, shard->process, &out);
    if (shard->services->storage != NULL)
        print_storage(shard->services->storage, &out);
    if (shard->depots->threads != NULL)
        print_depots(shard->depots, &out);
    check(!out.overflow);
    conn_respond(shard, conn,
                 &(struct http1_answer){.status = 200,
                                        .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                        .content = buf_slice(&out)});
}

/* Ready is who takes in what the listeners offer: not stopping, and every service and depot has what it keeps at hand. */
static void respond_ready(struct shard *shard, struct conn *conn)
{
    if (atomic_load_explicit(&shard->stage, memory_order_relaxed) != STAGE_RUN)
        respond_state(shard, conn, false, "{\"status\":\"draining\"}");
    else
        respond_state(shard, conn, service_host_all_up(shard) && depot_host_all_up(shard),
                      "{\"status\":\"storage unavailable\"}");
}

/* role.request */
static void on_request(struct shard *shard, struct conn *conn, const struct http1_request *request)
{
    if (request->chunked || request->content_length > 0)
        conn->keep_alive = false;
    if (!slice_is(request->method, "GET") && !slice_is(request->method, "HEAD"))
        conn_refuse_method(shard, conn, "GET, HEAD");
    else if (slice_is(request->path, "/health/live"))
        respond_state(shard, conn, all_alive(shard), "{\"status\":\"stuck\"}");
    else if (slice_is(request->path, "/health/ready") || slice_is(request->path, "/health"))
        respond_ready(shard, conn);
    else if (slice_is(request->path, "/healthz"))
        respond_state(shard, conn, true, "");
    else if (slice_is(request->path, "/metrics"))
        respond_metrics(shard, conn);
    else
        conn_refuse(shard, conn, 404, "Not found");
}

const struct conn_role operator_role = {
    .request = on_request,
    .operates = true,
    .knows_hosts = true,
};
