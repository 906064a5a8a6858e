/* SPDX-License-Identifier: MIT */
/* Owns the plain HTTP side of the dialect crypto (crypto.md): statistics, services, entry paths, the page about them,
 * and what is said to all other requests under /ws. It never opens a connection and keeps nothing but a query that
 * waits for its census. crypto.c calls it. */
#include "core/check.h"
#include "protocol/dialects/crypto/crypto.h"
#include "protocol/http1.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#include <stdlib.h>

#define API_VERSION "2.0.0"   /* C-63 */
#define CLIENTS_MAX 1000      /* C-51 */
#define CLIENT_BYTES_MAX 512  /* of one in the list */
#define STATS_TAIL_BYTES 1024 /* of what follows the list */
#define ORIGIN_BYTES_MAX 256
#define HEADERS_BYTES_MAX (ORIGIN_BYTES_MAX + 256)
#define METHODS "GET, HEAD, OPTIONS"

struct crypto_query {
    uint64_t limit, offset;
    bool varies_by_origin;
    char headers[HEADERS_BYTES_MAX]; /* of the answer, for pages of other origins, NUL-terminated */
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void respond(struct dialect_call *call, int status, const char *content_type, struct slice content,
                    const struct crypto_query *query)
{
    action_respond(call->out, &(struct http1_answer){.status = status,
                                                     .content_type = content_type,
                                                     .content = content,
                                                     .allow = status == 405 || status == 204 ? METHODS : NULL,
                                                     .extra = query == NULL ? "" : query->headers,
                                                     .varies_by_origin = query != NULL && query->varies_by_origin});
}

static void respond_error(struct dialect_call *call, int status, const char *message, const struct crypto_query *query)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, "{\"status\":\"error\",\"message\":");
    json_put_string(text, slice_text(message));
    buf_put_byte(text, '}');
    respond(call, status, "application/json", buf_since(text, mark), query);
}

static size_t begin_success(struct dialect_call *call)
{
    size_t mark = call->out->text.used;
    buf_put_text(&call->out->text, "{\"status\":\"success\",\"data\":{");
    return mark;
}

static void respond_success(struct dialect_call *call, size_t mark, const struct crypto_query *query)
{
    struct buf *text = &call->out->text;
    buf_put_text(text, "},");
    crypto_put_time(text, "timestamp", call->wall_ms);
    buf_put_byte(text, '}');
    respond(call, 200, "application/json", buf_since(text, mark), query);
}

/* C-54: which pages of other origins may read the answer; to OPTIONS also what they may ask with (the preflight of the Fetch
 * standard, which carries no key). */
static void write_headers(const struct dialect_call *call, const struct http1_request *request,
                          struct crypto_query *query)
{
    const struct dialect_settings *settings = call->settings;
    struct slice origin = http1_header(request, "Origin");
    struct buf out = buf_of(query->headers, HEADERS_BYTES_MAX - 1);
    query->varies_by_origin = settings->origin_check;
    if (!settings->origin_check)
        origin = slice_text("*");
    else if (origin.bytes == 0 || origin.bytes > ORIGIN_BYTES_MAX || !call->origin_allowed)
        return;
    buf_put_text(&out, "Access-Control-Allow-Origin: ");
    buf_put(&out, origin);
    buf_put_text(&out, "\r\n");
    if (slice_is(request->method, "OPTIONS"))
        buf_put_text(&out, "Access-Control-Allow-Methods: GET, HEAD\r\n"
                           "Access-Control-Allow-Headers: Authorization, X-Api-Key\r\n"
                           "Access-Control-Max-Age: 600\r\n");
    check(!out.overflow);
    query->headers[out.used] = '\0';
}

/* --- statistics (C-51) -------------------------------------------------------------------------------------------- */

/* A session in a census: a string of hexadecimal digits, so that the order of the texts is that of connecting:
 * number, time of connecting, time of the last message, then one digit for each service.
 */
#define CENSUS_DIGITS 16
#define CENSUS_BYTES_MIN (2 + 3 * CENSUS_DIGITS)

void crypto_put_census(struct buf *out, uint64_t number, uint64_t connected_ms, uint64_t active_ms,
                       const uint8_t *services, uint32_t count)
{
    buf_put_byte(out, '"');
    buf_put_hex(out, number, CENSUS_DIGITS);
    buf_put_hex(out, connected_ms, CENSUS_DIGITS);
    buf_put_hex(out, active_ms, CENSUS_DIGITS);
    for (uint32_t i = 0; i < count; i++)
        buf_put_hex(out, services[i], 1);
    buf_put_byte(out, '"');
}

static uint64_t read_hex(const uint8_t *digits, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value = value << 4 | (uint64_t)(digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
    return value;
}

/* Takes one session from the front of a census. */
static bool next_entry(struct slice *census, struct slice *entry)
{
    if (census->bytes == 0)
        return false;
    const uint8_t *comma = memchr(census->data, ',', census->bytes);
    *entry = slice_of(census->data, comma == NULL ? census->bytes : (size_t)(comma - census->data));
    *census = slice_skip(*census, entry->bytes + 1);
    check_op(entry->bytes, >=, CENSUS_BYTES_MIN);
    return true;
}

static void put_client(struct buf *out, struct slice entry)
{
    const uint8_t *digits = entry.data + 1;
    uint8_t services[CRYPTO_SUBSCRIPTIONS_MAX];
    uint32_t count = (uint32_t)(entry.bytes - CENSUS_BYTES_MIN);
    check_op(count, <=, CRYPTO_SUBSCRIPTIONS_MAX);
    for (uint32_t i = 0; i < count; i++)
        services[i] = (uint8_t)read_hex(digits + 3 * CENSUS_DIGITS + i, 1);
    uint64_t connected_ms = read_hex(digits + CENSUS_DIGITS, CENSUS_DIGITS);
    buf_put_text(out, "{\"client_id\":");
    crypto_put_client_id(out, read_hex(digits, CENSUS_DIGITS), connected_ms);
    buf_put_byte(out, ',');
    crypto_put_time(out, "connected_at", connected_ms);
    buf_put_byte(out, ',');
    crypto_put_time(out, "last_activity", read_hex(digits + 2 * CENSUS_DIGITS, CENSUS_DIGITS));
    buf_put_text(out, ",\"subscriptions\":");
    crypto_put_names(out, services, count);
    buf_put_byte(out, '}');
}

static int compare_entries(const void *left, const void *right)
{
    const struct slice *a = left, *b = right;
    return memcmp(a->data + 1, b->data + 1, CENSUS_DIGITS);
}

/* All sessions in order of connecting, on the heap; NULL when memory is out. */
static struct slice *sort_census(struct slice census, uint64_t total)
{
    struct slice *entries = calloc((size_t)total + 1, sizeof *entries);
    size_t count = 0;
    if (entries == NULL)
        return NULL;
    while (next_entry(&census, &entries[count])) {
        check_op(count, <, total);
        count++;
    }
    check_op(count, ==, total);
    qsort(entries, count, sizeof *entries, compare_entries);
    return entries;
}

/* The clients that were asked for, as many as fit; how many. */
static uint64_t put_clients(struct buf *out, const struct slice *entries, uint64_t total,
                            const struct crypto_query *query)
{
    uint64_t shown = 0;
    for (uint64_t i = query->offset; i < total && shown < query->limit; i++, shown++) {
        if (out->capacity - out->used < CLIENT_BYTES_MAX + STATS_TAIL_BYTES)
            break;
        if (shown > 0)
            buf_put_byte(out, ',');
        put_client(out, entries[i]);
    }
    return shown;
}

void crypto_rest_replied(struct dialect_call *call, const struct crypto_query *query, const struct dialect_reply *reply)
{
    struct buf *text = &call->out->text;
    uint64_t total = reply->status == 200 ? reply->counts[CRYPTO_ALL] : 0;
    struct slice *entries = reply->status == 200 ? sort_census(reply->body, total) : NULL;
    if (entries == NULL) {
        respond_error(call, 503, "Try again later", query);
        return;
    }
    size_t mark = begin_success(call);
    buf_put_text(text, "\"total_connections\":");
    buf_put_u64(text, total);
    buf_put_text(text, ",\"clients\":[");
    uint64_t shown = put_clients(text, entries, total, query);
    buf_put_text(text, "],\"subscription_counts\":");
    crypto_put_counts(text, reply->counts);
    if (shown < total)
        buf_put_text(text, ",\"clients_truncated\":true");
    respond_success(call, mark, query);
    free(entries);
}

/* A whole number from the query into *value, if it is there; false when it is none. */
static bool read_number(struct dialect_call *call, const struct http1_request *request, const char *name,
                        uint64_t *value)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    int found = http1_query_get(request->query, name, text);
    return found == 0 || (found > 0 && json_u64(buf_since(text, mark), value));
}

static void get_stats(struct dialect_call *call, const struct http1_request *request, uint32_t tag,
                      struct crypto_query *query)
{
    query->limit = CLIENTS_MAX;
    if (!read_number(call, request, "limit", &query->limit) || !read_number(call, request, "offset", &query->offset)) {
        respond_error(call, 400, "limit and offset must be whole numbers", query);
        return;
    }
    if (query->limit > CLIENTS_MAX)
        query->limit = CLIENTS_MAX;
    action_census(call->out, tag);
}

/* --- catalogues (C-52, C-53) -------------------------------------------------------------------------------------- */

static void put_name(struct buf *out, const char *name)
{
    buf_put_byte(out, '"');
    buf_put_text(out, name);
    buf_put_text(out, "\":");
}

/* A JSON string of several parts; UTF-8 together. */
static void put_joined(struct buf *out, const struct slice *parts, size_t count)
{
    buf_put_byte(out, '"');
    for (size_t i = 0; i < count; i++) {
        size_t mark = out->used;
        json_put_string(out, parts[i]);
        if (out->overflow)
            return;
        out->used -= 2; /* its quotes */
        memmove(out->data + mark, out->data + mark + 1, out->used - mark);
    }
    buf_put_byte(out, '"');
}

/* A path as clients write it. */
static void put_path(const struct dialect_call *call, const char *path)
{
    const struct dialect_settings *settings = call->settings;
    struct slice parts[] = {slice_text(settings->prefix), slice_text(path)};
    put_joined(&call->out->text, parts, 2);
}

/* Seconds, with as many decimals as there are. */
static void put_seconds(struct buf *out, uint64_t ms)
{
    buf_put_u64(out, ms / 1000);
    if (ms % 1000 == 0)
        return;
    buf_put_byte(out, '.');
    for (uint64_t rest = ms % 1000, unit = 100; rest > 0; rest %= unit, unit /= 10)
        buf_put_u64(out, rest / unit);
}

static void put_service(struct dialect_call *call, enum crypto_service service)
{
    const struct crypto_settings *settings = call->settings;
    const struct crypto_service_row *row = &crypto_services[service];
    struct buf *text = &call->out->text;
    buf_put_text(text, "{\"name\":");
    json_put_string(text, slice_text(row->name));
    buf_put_text(text, ",\"description\":");
    json_put_string(text, slice_text(row->description));
    if (service < CRYPTO_TOPICS) {
        buf_put_text(text, ",\"update_interval_seconds\":");
        put_seconds(text, settings->interval_ms[service]);
    }
    buf_put_text(text, ",\"endpoint\":");
    if (row->endpoint[0] == '/')
        put_path(call, row->endpoint);
    else
        json_put_string(text, slice_text(row->endpoint));
    buf_put_byte(text, '}');
}

static void get_services(struct dialect_call *call, const struct crypto_query *query)
{
    struct buf *text = &call->out->text;
    size_t mark = begin_success(call);
    buf_put_text(text, "\"services\":{");
    for (size_t i = 0; i < CRYPTO_CATEGORIES; i++) {
        const struct crypto_category *category = &crypto_categories[i];
        if (i > 0)
            buf_put_byte(text, ',');
        put_name(text, category->name);
        for (enum crypto_service service = category->first; service < category->end; service++) {
            buf_put_byte(text, service == category->first ? '[' : ',');
            put_service(call, service);
        }
        buf_put_byte(text, ']');
    }
    buf_put_text(text, "},\"total_services\":");
    buf_put_u64(text, CRYPTO_SERVICES);
    buf_put_text(text, ",\"api_version\":\"" API_VERSION "\"");
    respond_success(call, mark, query);
}

static void put_endpoint(struct dialect_call *call, const struct http1_request *request,
                         const struct crypto_endpoint *endpoint)
{
    const struct dialect_settings *settings = call->settings;
    struct buf *text = &call->out->text;
    struct slice host = utf8_valid(request->host) ? request->host : slice_text("");
    struct slice url[] = {slice_text(call->secure ? "wss://" : "ws://"), host, slice_text(settings->prefix),
                          slice_text(endpoint->path)};
    uint8_t services[CRYPTO_SUBSCRIPTIONS_MAX];
    uint32_t count = 0;
    for (enum crypto_service service = endpoint->first; service < endpoint->end && endpoint->subscribes; service++)
        services[count++] = (uint8_t)service;
    if (endpoint->status)
        services[count++] = CRYPTO_SYSTEM;
    buf_put_text(text, "{\"path\":");
    put_path(call, endpoint->path);
    buf_put_text(text, ",\"url\":");
    put_joined(text, url, 4);
    buf_put_text(text, ",\"description\":");
    json_put_string(text, slice_text(endpoint->description));
    buf_put_text(text, ",\"auto_subscribe\":");
    crypto_put_names(text, services, count);
    buf_put_text(text, ",\"aliases\":[");
    if (endpoint->alias != NULL)
        put_path(call, endpoint->alias);
    buf_put_text(text, "]}");
}

static void get_endpoints(struct dialect_call *call, const struct http1_request *request,
                          const struct crypto_query *query)
{
    struct buf *text = &call->out->text;
    size_t mark = begin_success(call);
    buf_put_text(text, "\"endpoints\":[");
    for (size_t i = 0; i < CRYPTO_ENDPOINTS; i++) {
        if (i > 0)
            buf_put_byte(text, ',');
        put_endpoint(call, request, &crypto_endpoints[i]);
    }
    buf_put_byte(text, ']');
    respond_success(call, mark, query);
}

/* --- the page (C-55) ---------------------------------------------------------------------------------------------- */

static const char page_begin[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Crypto API " API_VERSION "</title>\n"
    "<h1>Crypto API " API_VERSION "</h1>\n"
    "<h2>Messages from clients</h2>\n<pre>\n"
    "{\"action\":\"subscribe\",\"service\":NAME}\n"
    "{\"action\":\"unsubscribe\",\"service\":NAME}\n"
    "{\"action\":\"get_status\"}\n"
    "{\"action\":\"ping\",\"data\":ANYTHING}\n"
    "</pre>\n<h2>Messages from the server</h2>\n<pre>\n"
    "{\"service\":NAME,\"type\":TYPE,\"data\":OBJECT,\"timestamp\":TIME}\n"
    "</pre>\n<p>Types: connection_established, welcome, update, subscription_confirmed, unsubscription_confirmed, "
    "status, pong, error.</p>\n<h2>Services</h2>\n<table>\n";

static void put_cells(struct buf *out, const char *first, const char *second)
{
    buf_put_text(out, "<tr><td>");
    buf_put_text(out, first);
    buf_put_text(out, "</td><td>");
    buf_put_text(out, second);
    buf_put_text(out, "</td></tr>\n");
}

static void get_docs(struct dialect_call *call, const struct crypto_query *query)
{
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    buf_put_text(text, page_begin);
    for (size_t i = 0; i < CRYPTO_SERVICES; i++)
        put_cells(text, crypto_services[i].name, crypto_services[i].description);
    buf_put_text(text, "</table>\n<h2>WebSocket endpoints</h2>\n<table>\n");
    for (size_t i = 0; i < CRYPTO_ENDPOINTS; i++) {
        put_cells(text, crypto_endpoints[i].path, crypto_endpoints[i].description);
        if (crypto_endpoints[i].alias != NULL)
            put_cells(text, crypto_endpoints[i].alias, crypto_endpoints[i].description);
    }
    buf_put_text(text, "</table>\n<h2>For GET</h2>\n<table>\n");
    put_cells(text, "/ws/stats", "Connections and subscriptions; limit and offset choose among the clients");
    put_cells(text, "/ws/services", "All services with their intervals");
    put_cells(text, "/ws/endpoints", "All WebSocket endpoints with their addresses");
    buf_put_text(text, "</table>\n</html>\n");
    respond(call, 200, "text/html; charset=utf-8", buf_since(text, mark), query);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

bool crypto_rest_owns(struct slice path)
{
    return slice_is(path, "/docs") || (slice_starts(path, slice_text("/ws/")) && crypto_endpoint_find(path) == NULL);
}

void crypto_rest(struct dialect_call *call, const struct http1_request *request, struct slice path, uint32_t tag,
                 struct crypto_query **query)
{
    enum { STATS, SERVICES, ENDPOINTS, DOCS, RESOURCES };
    static const char *const resources[RESOURCES] = {"/ws/stats", "/ws/services", "/ws/endpoints", "/docs"};
    bool allowed = slice_is(request->method, "GET") || slice_is(request->method, "HEAD");
    int resource = 0;
    while (resource < RESOURCES && !slice_is(path, resources[resource]))
        resource++;
    if (resource == RESOURCES) { /* C-18 */
        respond_error(call, 404, "Not found", NULL);
        return;
    }
    *query = calloc(1, sizeof(**query));
    if (*query == NULL) {
        respond_error(call, 503, "Try again later", NULL);
        return;
    }
    write_headers(call, request, *query);
    if (slice_is(request->method, "OPTIONS"))
        respond(call, 204, NULL, slice_text(""), *query);
    else if (!allowed)
        respond_error(call, 405, "Method not allowed", *query);
    else if (http1_header_has_token(request, "Upgrade", "websocket"))
        respond_error(call, 400, "Not a WebSocket endpoint", *query);
    else if (resource != DOCS && !dialect_authorize(call, request, "api_key"))
        return; /* C-1: the 401 has been appended */
    else if (resource == STATS)
        get_stats(call, request, tag, *query);
    else if (resource == SERVICES)
        get_services(call, *query);
    else if (resource == ENDPOINTS)
        get_endpoints(call, request, *query);
    else
        get_docs(call, *query);
}
