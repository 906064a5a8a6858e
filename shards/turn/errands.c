/* SPDX-License-Identifier: MIT */
/* Owns the table of errands, where those who make them meet those who serve them: what is called for each kind, and
 * when its answer leaves. It never changes a channel or a connection itself. Called by mail, and by shard_tick when a
 * turn's publishing is over. */
#include "core/check.h"
#include "core/list.h"
#include "core/work.h"
#include "shards/channel/channel.h"
#include "shards/channel/depot_host.h"
#include "shards/channel/offload_host.h"
#include "shards/channel/service_host.h"
#include "shards/mail/errand.h"
#include "shards/mail/mail.h"
#include "shards/publish/ingest.h"
#include "shards/publish/publisher.h"
#include "shards/session/session.h"
#include "shards/shard.h"

/* errand.def says what they mean. */
enum when { NOW, LATER, BEHIND, TOUR };

static const struct {
    void (*serve)(struct shard *shard, struct errand *errand);
    void (*answered)(struct shard *shard, struct errand *errand);
    enum when when;
} kinds[ERRAND_KINDS] = {
#define ERRAND(id, serve, answered, when, meaning) [ERRAND_##id] = {(serve), (answered), (when)},
#include "shards/mail/errand.def"
#undef ERRAND
};

void errands_on_ask(struct shard *shard, const struct mail *mail)
{
    struct errand *errand = mail->errand;
    check_op(errand->home, ==, shard->number);
    enum when when =
        kinds[errand->kind].when; /* one that is answered LATER may be another shard's again when it has been served */
    if (when == TOUR) {
        list_push_back(&shard->errands->tours, &errand->node);
        return;
    }
    kinds[errand->kind].serve(shard, errand);
    switch (when) {
    case NOW:
        errand_answer(shard, errand);
        break;
    case LATER:
        break;
    case BEHIND:
        errand_answer_behind(shard, errand);
        break;
    case TOUR:
        break;
    }
}

void errands_go_on(struct shard *shard)
{
    struct list_node *node;
    while (work_left(shard->work) && (node = list_first(&shard->errands->tours)) != NULL) {
        struct errand *errand = list_entry(node, struct errand, node);
        kinds[errand->kind].serve(shard, errand);
        if (!errand->census.walked)
            return;
        list_remove(node);
        errand->census.walked = false;
        if (errand->home + 1 < shard->count)
            errand_forward(shard, errand, (uint16_t)(errand->home + 1));
        else
            errand_answer(shard, errand);
    }
}

bool errands_flush(struct shard *shard)
{
    bool any = fanout_flush(shard);
    struct list_node *node;
    while (shard->mail->backlogged == 0 && (node = list_pop_front(&shard->errands->behind)) != NULL)
        errand_answer(shard, list_entry(node, struct errand, node));
    return any;
}

void errands_on_answer(struct shard *shard, const struct mail *mail)
{
    struct errand *errand = mail->errand;
    errand_returned(shard, errand);
    kinds[errand->kind].answered(shard, errand);
    errand_free(&shard->errands->pool, errand);
}
