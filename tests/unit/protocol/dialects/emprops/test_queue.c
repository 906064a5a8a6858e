/* SPDX-License-Identifier: MIT */
/* The order of waiting jobs and what each job costs (E-17, E-18, E-22, E-30, E-31). Run by unit_protocol. */
#include "protocol/dialects/emprops/queue.h"

#include "core/random.h"
#include "tests/unit/protocol/dialects/emprops/hub_talk.h"

#define COUNT 600

/* Jobs that only have what the trees look at. */
static void make_jobs(struct hub *hub, struct random *random)
{
    cr_assert_eq(slab_init(&hub->jobs, sizeof(struct job), COUNT), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct handle handle;
        struct job *job = slab_alloc(&hub->jobs, &handle);
        job->index = handle.index;
        job->sequence = i + 1;
        job->priority = (uint8_t)random_below(random, 5);
    }
}

static bool served_before(const struct hub *hub, uint32_t a, uint32_t b)
{
    const struct job *first = job_at(hub, a), *second = job_at(hub, b);
    return first->priority != second->priority ? first->priority > second->priority
                                               : first->sequence < second->sequence;
}

static uint32_t naive_rank(const struct hub *hub, const bool *in, uint32_t index)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < COUNT; i++)
        rank += in[i] && i != index && served_before(hub, i, index) ? 1 : 0;
    return rank;
}

Test(hub_queue, ranks_and_finds_as_a_plain_list_does)
{
    static struct hub hub;
    bool in[COUNT] = {false};
    struct random random;
    uint32_t root = NONE, count = 0;
    random_init(&random, 7);
    make_jobs(&hub, &random);
    for (int step = 0; step < 6000; step++) {
        uint32_t index = (uint32_t)random_below(&random, COUNT);
        if (in[index])
            tree_remove(&hub, &root, index, TREE_GROUP);
        else
            tree_put(&hub, &root, index, TREE_GROUP);
        in[index] = !in[index];
        count += in[index] ? 1 : UINT32_MAX;
        cr_assert_eq(root == NONE ? 0 : job_at(&hub, root)->nodes[TREE_GROUP].size, count);
        uint32_t asked = (uint32_t)random_below(&random, COUNT);
        if (!in[asked])
            continue;
        uint32_t rank = naive_rank(&hub, in, asked);
        cr_assert_eq(tree_rank(&hub, root, asked, TREE_GROUP), rank);
        cr_assert_eq(tree_at(&hub, root, rank, TREE_GROUP), asked);
        cr_assert_eq(tree_at(&hub, root, count, TREE_GROUP), NONE);
    }
    slab_destroy(&hub.jobs);
}

static uint32_t height(const struct hub *hub, uint32_t root)
{
    if (root == NONE)
        return 0;
    const struct node *node = &job_at(hub, root)->nodes[TREE_ALL];
    uint32_t left = height(hub, node->left), right = height(hub, node->right);
    return 1 + (left > right ? left : right);
}

Test(hub_queue, stays_low_with_100000_jobs_in_the_order_of_their_coming)
{
    static struct lone_hub lone;
    lone_begin(&lone);
    struct hub *hub = lone.state;
    for (uint32_t i = 0; i < 100000; i++)
        lone_submit(&lone, "t", 50, "a", slice_text("{}"));
    cr_assert_eq(queue_depth(hub), 100000);
    cr_assert_lt(height(hub, hub->all_root), 64, "a treap of 100,000 has about 40 levels");
    cr_assert_str_eq(member_of(lone.reply, "position"), "100000");

    /* E-22: one more is too many */
    lone_submit(&lone, "t", 50, "a", slice_text("{}"));
    cr_assert_str_eq(member_of(lone.reply, "error_code"), "QUEUE_FULL");
    cr_assert_str_eq(member_of(lone.reply, "details"), "{\"limit\":\"waiting_jobs\",\"maximum\":100000}");
    cr_assert_eq(lone.puts, 100000, "nothing is kept of what is refused");
    cr_assert_eq(hub->counters[COUNT_refused_queue_max], 1);

    /* none of them fits: the claim looks at no job */
    lone_worker(&lone, 2, "b", false);
    lone_claim(&lone, 2);
    cr_assert_str_eq(member_of(lone.reply, "status"), "no_job_available");
    lone_worker(&lone, 3, "a", false);
    lone_claim(&lone, 3);
    cr_assert_eq(queue_depth(hub), 99999);
    lone_end(&lone);
}

Test(hub_queue, keeps_512_bytes_of_a_waiting_job_with_a_payload_of_1024)
{
    static struct lone_hub lone;
    char payload[1025];
    memset(payload, 'x', sizeof payload);
    memcpy(payload, "{\"a\":\"", 6);
    memcpy(payload + 1022, "\"}", 2);
    lone_begin(&lone);
    struct hub *hub = lone.state;
    for (uint32_t i = 0; i < 65536; i++)
        lone_submit(&lone, "t", 50, "a", slice_of(payload, 1024));
    size_t bytes = hub->jobs.count_made * (hub->jobs.object_bytes + sizeof(struct slab_slot)) +
                   hub->bucket_count * sizeof(uint32_t) + hub->cache_bytes;
    cr_assert_leq(bytes / 65536, 512, "%zu bytes", bytes / 65536);
    cr_assert_leq(hub->cache_bytes, 16U << 20);
    cr_assert_gt(hub->cache_bytes, (16U << 20) - 2048, "what is within the bound need not be fetched");

    /* the first is in memory, the last has to be fetched */
    lone_worker(&lone, 2, "a", false);
    lone_claim(&lone, 2);
    cr_assert_eq(lone.fetches, 0);
    lone_submit(&lone, "t", 90, "a", slice_of(payload, 1024));
    lone_submit(&lone, "t", 91, "a", slice_of(payload, 1024));
    lone_claim(&lone, 2);
    lone_claim(&lone, 2);
    cr_assert_eq(lone.fetches, 2, "what came while the cache was full is read");
    lone_end(&lone);
}

Test(hub_queue, bounds_the_number_of_different_requirements)
{
    static struct lone_hub lone;
    char service[16];
    lone_begin(&lone);
    for (uint32_t i = 0; i < GROUPS_MAX; i++) {
        snprintf(service, sizeof service, "s%u", i);
        lone_submit(&lone, "t", 50, service, slice_text("{}"));
        cr_assert_str_eq(member_of(lone.reply, "type"), "job_accepted");
    }
    lone_submit(&lone, "t", 50, "one-more", slice_text("{}"));
    cr_assert_str_eq(member_of(lone.reply, "error_code"), "QUEUE_FULL");
    cr_assert_str_eq(member_of(lone.reply, "details"), "{\"limit\":\"different_requirements\",\"maximum\":1024}");
    cr_assert_eq(((struct hub *)lone.state)->counters[COUNT_refused_requirements], 1);
    lone_submit(&lone, "t", 50, "s7", slice_text("{}"));
    cr_assert_str_eq(member_of(lone.reply, "type"), "job_accepted", "one that is there already is taken");

    /* each worker finds its own, and a group without jobs makes room */
    lone_worker(&lone, 2, "s1000", false);
    lone_claim(&lone, 2);
    cr_assert_eq(queue_depth(lone.state), GROUPS_MAX);
    lone_end(&lone);
}

Test(hub_queue, bounds_the_number_of_classes_of_workers)
{
    static struct lone_hub lone;
    char service[16];
    lone_begin(&lone);
    for (uint32_t i = 0; i < CLASSES_MAX; i++) {
        snprintf(service, sizeof service, "s%u", i);
        lone_worker(&lone, i + 1, service, false);
        cr_assert_str_eq(member_of(lone.reply, "type"), "worker_registered");
    }
    lone_worker(&lone, 5000, "one-more", false);
    cr_assert_str_eq(member_of(lone.reply, "error_code"), "INVALID_PARAMETERS");
    cr_assert_eq(((struct hub *)lone.state)->counters[COUNT_refused_capabilities], 1);
    lone_worker(&lone, 5001, "s5", false);
    cr_assert_str_eq(member_of(lone.reply, "type"), "worker_registered");
    lone_end(&lone);
}
