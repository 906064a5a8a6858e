/* SPDX-License-Identifier: MIT */
/* shards/errands: where an answer stands among the deliveries of the same phase. What the home has mailed is read from
 * the ring before the other shard takes it. */
#include "core/work.h"
#include "tests/unit/shards/world.h"

#define CHANNEL "c"
#define JOBS_DIALECT "aitbc" /* has a service that answers sessions */
#define READ_JOB 1

struct two {
    struct world world;
    struct shard *home, *origin;
};

static void two_begin(struct two *two)
{
    world_begin(&two->world, 2, 65536, NULL);
    uint16_t home = channel_home(two->world.shards[0], 0, slice_text(CHANNEL));
    two->home = two->world.shards[home];
    two->origin = two->world.shards[1 - home];
}

/* On behalf of a connection that has gone: when the answer is taken, the membership is given back. */
static void subscribe(struct two *two)
{
    struct slice name = slice_text(CHANNEL);
    struct errand *errand = errand_make(&two->origin->errands->pool, ERRAND_SUBSCRIBE, name.bytes);
    cr_assert_not_null(errand);
    errand->subscribe.channel = errand_put(errand, name);
    errand_ask(two->origin, errand, two->home->number);
}

static void publish(struct two *two, const char *payload)
{
    world_publish(&two->world, two->origin->number, CHANNEL, payload);
}

static void ask_service(struct two *two)
{
    struct slice job = slice_text("unknown");
    struct errand *errand = errand_make(&two->origin->errands->pool, ERRAND_REQUEST, job.bytes);
    cr_assert_not_null(errand);
    while (strcmp(dialects[errand->dialect]->name, JOBS_DIALECT) != 0)
        errand->dialect++;
    errand->request.kind = READ_JOB;
    errand->request.body = errand_put(errand, job);
    errand_ask(two->origin, errand, two->home->number);
}

/* What waits for the origin: a letter for each mail, in order. */
static const char *mailed(const struct two *two)
{
    static char letters[16];
    const struct spsc *ring = &two->origin->mail->in[two->home->number];
    uint32_t head = atomic_load(&ring->head), count = spsc_count(ring);
    cr_assert_lt(count, sizeof letters);
    for (uint32_t i = 0; i < count; i++) {
        struct mail mail;
        memcpy(&mail, &ring->items[(head + i) & ring->mask], sizeof mail);
        letters[i] = mail.kind == MAIL_DELIVER             ? 'd'
                     : mail.kind != MAIL_ANSWER            ? '?'
                     : mail.errand->kind == ERRAND_PUBLISH ? 'p'
                     : mail.errand->kind == ERRAND_REQUEST ? 'r'
                                                           : 's';
    }
    letters[count] = '\0';
    return letters;
}

/* The home serves all that was asked, in one phase. */
static void serve(struct two *two)
{
    mail_drain(two->home, 16);
    errands_flush(two->home);
}

static void two_end(struct two *two)
{
    world_settle(&two->world);
    cr_assert_eq(two->origin->errands->outstanding, 0);
    world_end(&two->world);
}

/* "Everything behind this answer is yours": what was published before it is not, what came after it is. */
Test(errands, answers_a_subscription_between_the_deliveries_before_and_after_it)
{
    struct two two;
    two_begin(&two);
    subscribe(&two);
    publish(&two, "1");
    subscribe(&two);
    publish(&two, "2");
    serve(&two);
    cr_assert_str_eq(mailed(&two), "sdsdpp");
    two_end(&two);
}

/* A publisher may rely on it that whoever listens has the message in the mailbox. */
Test(errands, answers_a_publisher_behind_all_deliveries_of_the_phase)
{
    struct two two;
    two_begin(&two);
    subscribe(&two);
    publish(&two, "1");
    mail_drain(two.home, 16);
    cr_assert_str_eq(mailed(&two), "s");
    errands_flush(two.home);
    cr_assert_str_eq(mailed(&two), "sdp");
    two_end(&two);
}

/* A state that a session asks for holds what was published before: it comes behind that, and before what follows. */
Test(errands, answers_a_session_behind_what_was_published_before_it_asked)
{
    struct two two;
    two_begin(&two);
    subscribe(&two);
    publish(&two, "1");
    ask_service(&two);
    publish(&two, "2");
    serve(&two);
    cr_assert_str_eq(mailed(&two), "sdrdpp");
    two_end(&two);
}

/* A census goes from shard to shard, from the first on, and comes home with what all have added. */
Test(errands, visits_every_shard_on_a_tour)
{
    struct world world;
    world_begin(&world, 3, 65536, NULL);
    struct shard *origin = world.shards[1];
    struct errand *errand = errand_make(&origin->errands->pool, ERRAND_CENSUS, CENSUS_COUNTS * sizeof(uint64_t));
    cr_assert_not_null(errand);
    while (strcmp(dialects[errand->dialect]->name, "crypto") != 0)
        errand->dialect++;
    static const uint64_t none[CENSUS_COUNTS];
    errand->census.counts = (uint64_t *)(uintptr_t)errand_put(errand, slice_of(none, sizeof none)).data;
    errand_ask(origin, errand, 0);
    for (uint16_t i = 0; i < 3; i++) {
        cr_assert_eq(spsc_count(&world.shards[i]->mail->in[i == 0 ? 1 : i - 1]), 1, "it waits for shard %u", i);
        cr_assert_eq(origin->errands->outstanding, 1);
        mail_drain(world.shards[i], 16);
        errands_go_on(world.shards[i]);
    }
    cr_assert_eq(spsc_count(&origin->mail->in[2]), 1, "the last one sends it home");
    mail_drain(origin, 16);
    cr_assert_eq(origin->errands->outstanding, 0);
    world_end(&world);
}

/* Answers that leave behind the deliveries wait when these do not fit into the mailboxes. */
Test(errands, holds_answers_back_while_deliveries_wait_for_room)
{
    struct two two;
    two_begin(&two);
    subscribe(&two);
    serve(&two);
    publish(&two, "1");
    mail_drain(two.home, 16);
    two.home->mail->backlogged++; /* as if a mailbox were full */
    errands_flush(two.home);
    cr_assert_str_eq(mailed(&two), "sd");
    two.home->mail->backlogged--;
    errands_flush(two.home);
    cr_assert_str_eq(mailed(&two), "sdp");
    two_end(&two);
}
