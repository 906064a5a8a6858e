/* SPDX-License-Identifier: MIT */
/* Owns the lives of services that keep records: loading, units and what waits behind them, and what follows when
 * storage fails. It never waits for a disk and never knows what a record means. Called by service_host, and by
 * shard_tick when storage has answered.
 *
 * Between two turns:
 *   - a unit is on the list of its life, oldest first, until all it has to say has been said;
 *   - `request` of a unit is what is to be kept and is not kept yet: not posted (storage takes no more now), or under
 *     way;
 *   - what is posted is posted in order, reads of records behind the unit that asked for them;
 *   - of the first unit something is to be kept: else it would have been said. */
#include "shards/channel/service_life.h"

#include "core/check.h"
#include "core/log.h"
#include "core/spsc.h"
#include "core/stats.h"
#include "protocol/dialect.h"
#include "protocol/service.h"
#include "shards/channel/channel.h"
#include "shards/channel/service_host.h"
#include "shards/channel/service_unit.h"
#include "shards/config/settings.h"
#include "shards/mail/errand.h"
#include "shards/mail/mail.h"
#include "shards/shard.h"
#include "shards/storage/storage.h"

#include <errno.h>
#include <stdlib.h>

/* What waits to be said for all units of a life; beyond it requests are answered 503 until some of it has been. */
#define HELD_BYTES_MAX (64U << 20)

enum life_phase { LIFE_LOADING, LIFE_UP, LIFE_DOWN };

struct service_life {
    uint8_t dialect;
    struct service_stream stream; /* its number is the dialect's, its life counts from 1 */
    enum life_phase phase;
    _Atomic bool up; /* for anybody */
    bool final;      /* DOWN for good */
    uint8_t table;   /* LOADING: which */
    uint64_t records;
    struct list units;
    struct service_unit *unposted; /* the first whose request storage has not taken yet; NULL: it has all */
    struct list asked;             /* errands whose answer the service owes */
};

static const struct service *service_of(const struct service_life *life)
{
    return dialects[life->dialect]->service;
}

static void log_life(const struct service_life *life, enum log_level level, const char *message, const char *why)
{
    struct log_line line;
    log_begin(&line, level, message);
    log_text(&line, "service", dialects[life->dialect]->name);
    if (why != NULL)
        log_text(&line, "error", why);
    log_u64(&line, "records", life->records);
    log_end(&line);
}

/* --- talking to storage ------------------------------------------------------------------------------------------- */

/* False: storage takes no more now; the request is still the caller's. */
static bool post(struct shard *shard, struct storage_request *request)
{
    if (!storage_post(shard->services->storage, shard->number, request))
        return false;
    shard->services->outstanding++;
    return true;
}

/* --- the end of a life -------------------------------------------------------------------------------------------- */

static void refuse(struct shard *shard, struct errand *errand)
{
    stats_add(&shard->stats, STAT_SERVICE_REFUSED, 1);
    service_fill(errand, 503, slice_text("Service unavailable; try again later"));
    service_answer(shard, errand);
}

/* Nothing of this life is said any more. `error`: a positive errno, of storage; 0: the service has asked for it. */
static void life_end(struct shard *shard, struct service_life *life, int error, const char *why)
{
    struct list_node *node;
    if (life->phase == LIFE_DOWN)
        return;
    life->phase = LIFE_DOWN;
    atomic_store_explicit(&life->up, false, memory_order_relaxed);
    stats_add(&shard->stats, STAT_SERVICE_LIVES_ENDED, 1);
    log_life(life, LOG_ERROR, "service stopped: what it kept cannot be relied upon",
             why != NULL  ? why
             : error != 0 ? strerrordesc_np(error)
                          : "out of memory");
    life->unposted = NULL;
    while ((node = list_first(&life->units)) != NULL)
        service_unit_free(&life->stream, list_entry(node, struct service_unit, node));
    while ((node = list_pop_front(&life->asked)) != NULL)
        refuse(shard, list_entry(node, struct errand, node));
    wheel_cancel(shard->wheel, &shard->services->timers[life->dialect]);
    service_of(life)->close(shard->services->states[life->dialect]);
    free(shard->services->states[life->dialect]);
    shard->services->states[life->dialect] = NULL;
    for (uint16_t to = 0; to < shard->count; to++)
        mail_post(shard, to, (struct mail){.kind = MAIL_RESTART, .restart = {.dialect = life->dialect}});
}

/* --- saying ------------------------------------------------------------------------------------------------------- */

static void reply(struct shard *shard, struct service_life *life, const struct effect *effect)
{
    struct errand *errand = (struct errand *)(uintptr_t)effect->ticket;
    check(list_linked(&errand->node) && errand->dialect == life->dialect); /* each request is answered once */
    list_remove(&errand->node);
    service_fill(errand, effect->status, effect->body);
    service_answer(shard, errand);
}

/* False: a record is to be read, and storage takes no more now. */
static bool say(struct shard *shard, struct service_life *life, const struct effect *effect)
{
    if (effect->kind == EFFECT_PUBLISH) {
        service_publish(shard, life->dialect, &effect->event);
        return true;
    }
    if (effect->kind == EFFECT_REPLY) {
        reply(shard, life, effect);
        return true;
    }
    struct storage_request *request = service_request_make(&life->stream, STORAGE_FETCH, effect->table);
    if (request == NULL)
        return false;
    request->ticket = effect->ticket;
    request->key_bytes = (uint16_t)effect->key.bytes;
    memcpy(request->key, effect->key.data, effect->key.bytes);
    if (post(shard, request))
        return true;
    service_request_free(request);
    return false;
}

/* The next unit of which something is to be kept, from this place on. */
static struct service_unit *next_to_keep(const struct service_life *life, struct list_node *node)
{
    for (; node != NULL; node = list_next(&life->units, node)) {
        struct service_unit *unit = list_entry(node, struct service_unit, node);
        if (unit->request != NULL)
            return unit;
    }
    return NULL;
}

/* Posts what is to be kept, in order, as far as storage takes it. */
static void post_units(struct shard *shard, struct service_life *life)
{
    for (struct service_unit *unit; (unit = life->unposted) != NULL;) {
        if (!post(shard, unit->request))
            return;
        unit->posted = true;
        life->unposted = next_to_keep(life, list_next(&life->units, &unit->node));
    }
}

/* Says what the first units have to say, as far as they are kept; posts what is to be kept as far as storage takes
 * it. */
static void go_on(struct shard *shard, struct service_life *life)
{
    struct list_node *node;
    post_units(shard, life);
    while ((node = list_first(&life->units)) != NULL) {
        struct service_unit *unit = list_entry(node, struct service_unit, node);
        if (unit->request != NULL)
            return;
        while (unit->first != NULL) {
            if (!say(shard, life, &unit->first->effect))
                return; /* the next turn tries again */
            service_unit_said(&life->stream, unit);
        }
        service_unit_free(&life->stream, unit);
    }
}

static void append(struct service_life *life, struct service_unit *unit)
{
    list_push_back(&life->units, &unit->node);
    if (life->unposted == NULL && unit->request != NULL)
        life->unposted = unit;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* Gathers what the last call has caused into a unit, behind which `answer` (or NULL) is said, and goes on. */
static void gather(struct shard *shard, struct service_life *life, const struct effect *answer)
{
    struct buf scratch = buf_of(shard->services->scratch, SERVICE_SCRATCH_BYTES);
    struct service_unit *unit = calloc(1, sizeof *unit);
    struct effect effect;
    int error = unit == NULL ? -ENOMEM : 0;
    while (error == 0 && (buf_reset(&scratch), effect = (struct effect){0},
                          service_of(life)->next(shard->services->states[life->dialect], &scratch, &effect))) {
        check(!scratch.overflow);
        error = service_unit_take(&life->stream, unit, &effect);
    }
    if (error == 0 && answer != NULL)
        error = service_unit_take(&life->stream, unit, answer);
    if (error != 0) {
        if (unit != NULL)
            service_unit_free(&life->stream, unit);
        life_end(shard, life, 0, NULL);
        return;
    }
    if (unit->request == NULL && unit->first == NULL)
        service_unit_free(&life->stream, unit);
    else
        append(life, unit);
    service_set_timer(shard, life->dialect);
    go_on(shard, life);
}

void service_life_request(struct shard *shard, struct service_life *life, struct errand *errand)
{
    if (life->phase != LIFE_UP || life->stream.held_bytes > HELD_BYTES_MAX) {
        refuse(shard, errand);
        return;
    }
    struct service_request request = {.kind = errand->request.kind,
                                      .body = errand->request.body,
                                      .ticket = (uint64_t)(uintptr_t)errand,
                                      .now_ms = shard->now_ms,
                                      .wall_ms = shard->wall_ms};
    struct buf out = buf_of(shard->services->reply, SERVICE_SCRATCH_BYTES);
    list_push_back(&life->asked, &errand->node);
    int status = service_of(life)->request(shard->services->states[life->dialect], &request, &out);
    check(!out.overflow);
    struct effect answer = {.kind = EFFECT_REPLY, .ticket = request.ticket, .status = status, .body = buf_slice(&out)};
    gather(shard, life, status == SERVICE_LATER ? NULL : &answer);
}

void service_life_timer(struct shard *shard, struct service_life *life)
{
    if (life->phase != LIFE_UP)
        return;
    service_of(life)->timer(shard->services->states[life->dialect], shard->now_ms, shard->wall_ms);
    gather(shard, life, NULL);
}

bool service_life_is_up(const struct service_life *life)
{
    return atomic_load_explicit(&life->up, memory_order_relaxed);
}

/* --- the beginning of a life -------------------------------------------------------------------------------------- */

/* Asks for the records of the table behind `key`. */
static void scan(struct shard *shard, struct service_life *life, struct slice key)
{
    struct storage_request *request = service_request_make(&life->stream, STORAGE_SCAN, life->table);
    if (request != NULL) {
        request->bytes_max = STORAGE_PIECE_BYTES_MAX;
        request->key_bytes = (uint16_t)key.bytes;
        if (key.bytes > 0)
            memcpy(request->key, key.data, key.bytes);
        if (post(shard, request))
            return;
        service_request_free(request);
    }
    life_end(shard, life, ENOMEM, NULL);
}

/* Goes on with the next table that is loaded; behind the last the service lives. */
static void load_table(struct shard *shard, struct service_life *life)
{
    const struct service_table *tables = service_of(life)->tables;
    while (tables[life->table].name != NULL && !tables[life->table].indexed)
        life->table++;
    if (tables[life->table].name != NULL) {
        scan(shard, life, slice_of(NULL, 0));
        return;
    }
    life->phase = LIFE_UP;
    atomic_store_explicit(&life->up, true, memory_order_relaxed);
    log_life(life, LOG_INFO, "service ready", NULL);
    service_of(life)->loaded(shard->services->states[life->dialect], shard->now_ms, shard->wall_ms);
    gather(shard, life, NULL);
}

/* Whoever listens already is told to the new life. */
static void tell_interest(struct shard *shard, const struct service_life *life)
{
    size_t cursor = 0;
    if (service_of(life)->interest == NULL)
        return;
    for (struct channel *channel; (channel = map_next(&shard->channels->map, &cursor)) != NULL;) {
        if (channel->dialect != life->dialect)
            continue;
        for (struct list_node *node = list_first(&channel->classes); node != NULL;
             node = list_next(&channel->classes, node)) {
            const struct class *class = list_entry(node, struct class, node);
            service_of(life)->interest(shard->services->states[life->dialect], channel->name, class->variant, true);
        }
    }
}

/* False: memory is out. */
static bool life_begin(struct shard *shard, struct service_life *life)
{
    struct service_host *host = shard->services;
    void *state = calloc(1, service_of(life)->state_bytes);
    if (state == NULL || service_of(life)->open(state, shard->config->dialects[life->dialect]) != 0) {
        free(state);
        return false;
    }
    host->states[life->dialect] = state;
    life->phase = LIFE_LOADING;
    life->stream.life++;
    life->table = 0;
    life->records = 0;
    tell_interest(shard, life);
    load_table(shard, life);
    return true;
}

/* --- what storage answers ----------------------------------------------------------------------------------------- */

static void on_kept(struct shard *shard, struct service_life *life, struct storage_request *request)
{
    struct service_unit *unit = request->owner;
    int status = request->status;
    check(unit->request == request && unit->posted);
    unit->request = NULL;
    unit->posted = false;
    if (status == 0)
        go_on(shard, life);
    else
        life_end(shard, life, -status, NULL);
}

static void on_fetched(struct shard *shard, struct service_life *life, struct storage_request *request)
{
    struct unit_operation record = {0};
    uint32_t at = 0;
    int status = request->status == 0 ? 200 : request->status == -ENOENT ? 404 : 503;
    if (status == 200 && !unit_next(&request->unit, &at, &record))
        status = 404;
    service_of(life)->fetched(shard->services->states[life->dialect], request->ticket, status, record.value,
                              shard->now_ms, shard->wall_ms);
    gather(shard, life, NULL);
}

static void on_scanned(struct shard *shard, struct service_life *life, struct storage_request *request)
{
    struct unit_operation record, last = {0};
    const char *why = NULL;
    uint32_t at = 0;
    if (request->status != 0) {
        life_end(shard, life, -request->status, NULL);
        return;
    }
    while (unit_next(&request->unit, &at, &record)) {
        int error =
            service_of(life)->load(shard->services->states[life->dialect], life->table, record.key, record.value, &why);
        if (error != 0) {
            life->final = error != -ENOMEM;
            life_end(shard, life, -error, why);
            return;
        }
        last = record;
        life->records++;
    }
    if (request->more && last.key.bytes > 0) {
        scan(shard, life, last.key);
        return;
    }
    life->table++;
    load_table(shard, life);
}

static void on_answer(struct shard *shard, struct storage_request *request)
{
    struct service_life *life = shard->services->lives[request->stream];
    shard->services->outstanding--;
    if (life == NULL || life->phase == LIFE_DOWN || request->life != life->stream.life) {
        service_request_free(request); /* of a life that has ended */
        return;
    }
    if (request->kind == STORAGE_COMMIT)
        on_kept(shard, life, request);
    else if (request->kind == STORAGE_FETCH)
        on_fetched(shard, life, request);
    else
        on_scanned(shard, life, request);
    service_request_free(request);
}

bool service_host_take_answers(struct shard *shard)
{
    struct service_host *host = shard->services;
    struct storage_request *request;
    bool any = false;
    if (host->storage == NULL)
        return false;
    for (uint32_t n = 0; n < STORAGE_OUTSTANDING_MAX && (request = storage_take(host->storage, shard->number)) != NULL;
         n++) {
        on_answer(shard, request);
        any = true;
    }
    for (uint32_t i = 0; i < DIALECTS_MAX; i++) {
        struct service_life *life = host->lives[i];
        if (life == NULL)
            continue;
        if (life->stream.life == 0)
            life_begin(shard, life); /* the first turn */
        else if (life->phase == LIFE_UP)
            go_on(shard, life); /* what storage would not take may find room */
    }
    storage_ring(host->storage, shard->number);
    return any;
}

bool service_host_has_answers(const struct shard *shard)
{
    const struct service_host *host = shard->services;
    return host->storage != NULL && spsc_count(&host->storage->ports[shard->number].out) > 0;
}

/* Whoever has a service here says when storage begins to fail, and when it works again. */
static void log_storage(struct service_host *host)
{
    int error = 0;
    enum storage_state state = storage_state(host->storage, &error);
    struct log_line line;
    if (state == host->storage_seen)
        return;
    host->storage_seen = (uint8_t)state;
    log_begin(&line, state == STORAGE_WORKING ? LOG_INFO : LOG_ERROR, "storage");
    log_text(&line, "state", storage_state_name(state));
    if (error != 0)
        log_text(&line, "error", strerrordesc_np(error));
    log_end(&line);
}

static bool has_lives(const struct service_host *host)
{
    for (uint32_t i = 0; i < DIALECTS_MAX; i++)
        if (host->lives[i] != NULL)
            return true;
    return false;
}

void service_host_retry(struct shard *shard)
{
    struct service_host *host = shard->services;
    if (host->storage == NULL || !has_lives(host))
        return;
    log_storage(host);
    for (uint32_t i = 0; i < DIALECTS_MAX; i++) {
        struct service_life *life = host->lives[i];
        if (life == NULL || life->phase != LIFE_DOWN || life->final ||
            storage_state(host->storage, NULL) != STORAGE_WORKING)
            continue;
        life_begin(shard, life);
    }
}

bool service_host_all_up(const struct shard *shard)
{
    for (uint16_t number = 0; number < shard->count; number++) {
        const struct service_host *host = shard->all[number]->services;
        for (uint32_t i = 0; i < DIALECTS_MAX; i++)
            if (host->lives[i] != NULL && !service_life_is_up(host->lives[i]))
                return false;
    }
    return true;
}

bool service_host_is_quiet(const struct shard *shard)
{
    const struct service_host *host = shard->services;
    for (uint32_t i = 0; i < DIALECTS_MAX; i++)
        if (host->lives[i] != NULL && (!list_empty(&host->lives[i]->units) || !list_empty(&host->lives[i]->asked)))
            return false;
    return true;
}

/* --- making and ending -------------------------------------------------------------------------------------------- */

/* Whether a listener leads to the dialect, or publishers can. */
static bool is_on(const struct shard *shard, uint8_t dialect)
{
    return config_dialect(shard->config, dialect)->listen.count > 0;
}

static bool make_scratch(struct service_host *host)
{
    if (host->scratch == NULL)
        host->scratch = malloc(SERVICE_SCRATCH_BYTES);
    if (host->reply == NULL)
        host->reply = malloc(SERVICE_SCRATCH_BYTES);
    return host->scratch != NULL && host->reply != NULL;
}

bool service_lives_begin(struct shard *shard)
{
    struct service_host *host = shard->services;
    uint8_t table_first = 0;
    if (host->storage == NULL)
        return true;
    for (uint8_t i = 0; i < shard->config->dialect_count; i++) {
        const struct service *service = dialects[i]->service;
        if (service == NULL || service->tables == NULL || !is_on(shard, i))
            continue;
        uint8_t first = table_first;
        while (service->tables[table_first - first].name != NULL)
            table_first++;
        if (channel_home(shard, i, slice_of(NULL, 0)) != shard->number)
            continue;
        struct service_life *life = calloc(1, sizeof *life);
        if (life == NULL || !make_scratch(host)) {
            free(life);
            return false;
        }
        *life = (struct service_life){.dialect = i, .stream = {.number = i, .table_first = first}, .phase = LIFE_DOWN};
        list_init(&life->units);
        list_init(&life->asked);
        host->lives[i] = life;
    }
    return true;
}

void service_lives_destroy(struct shard *shard)
{
    struct service_host *host = shard->services;
    struct storage_request *request;
    while (host->storage != NULL && (request = storage_take(host->storage, shard->number)) != NULL)
        service_request_free(request);
    for (uint32_t i = 0; i < DIALECTS_MAX; i++) {
        struct list_node *node;
        if (host->lives[i] == NULL)
            continue;
        while ((node = list_first(&host->lives[i]->units)) != NULL)
            service_unit_free(&host->lives[i]->stream, list_entry(node, struct service_unit, node));
        free(host->lives[i]);
        host->lives[i] = NULL;
    }
}
