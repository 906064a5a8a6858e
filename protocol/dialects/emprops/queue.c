/* SPDX-License-Identifier: MIT */
/* Owns the order of the jobs that wait: a treap over all of them, which counts, and one for each group of jobs that
 * need the same. It never knows what a job is about or who works. jobs.c and claims.c put and remove, claims.c and
 * workers.c look for what fits.
 *
 * Costs with n waiting jobs in g groups: put, remove, position O(log n); the best for a class of workers O(g/64 +
 * groups of it that wait + log n), so nothing in n when none fits. */
#include "protocol/dialects/emprops/queue.h"

#include "protocol/dialects/emprops/hub_parts.h"

static struct node *node_of(const struct hub *hub, uint32_t index, enum tree tree)
{
    return &job_at(hub, index)->nodes[tree];
}

static uint32_t size_of(const struct hub *hub, uint32_t index, enum tree tree)
{
    return index == NONE ? 0 : node_of(hub, index, tree)->size;
}

/* Whether the first is served before the second (E-17). */
static bool before(const struct job *first, const struct job *second)
{
    return first->priority != second->priority ? first->priority > second->priority
                                               : first->sequence < second->sequence;
}

/* The heap's order: a mix of the sequence, so that no order of submission makes a list of the tree. */
static uint64_t weight(const struct job *job)
{
    uint64_t x = (job->sequence + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void recount(const struct hub *hub, uint32_t index, enum tree tree)
{
    struct node *node = node_of(hub, index, tree);
    node->size = 1 + size_of(hub, node->left, tree) + size_of(hub, node->right, tree);
}

/* Everything before `job` to *left, the rest to *right. */
static void split(const struct hub *hub, uint32_t root, const struct job *job, enum tree tree, uint32_t *left,
                  uint32_t *right)
{
    if (root == NONE) {
        *left = *right = NONE;
        return;
    }
    struct node *node = node_of(hub, root, tree);
    if (before(job_at(hub, root), job)) {
        split(hub, node->right, job, tree, &node->right, right);
        *left = root;
    } else {
        split(hub, node->left, job, tree, left, &node->left);
        *right = root;
    }
    recount(hub, root, tree);
}

static uint32_t merge(const struct hub *hub, uint32_t left, uint32_t right, enum tree tree)
{
    if (left == NONE || right == NONE)
        return left == NONE ? right : left;
    bool left_above = weight(job_at(hub, left)) > weight(job_at(hub, right));
    uint32_t root = left_above ? left : right;
    struct node *node = node_of(hub, root, tree);
    if (left_above)
        node->right = merge(hub, node->right, right, tree);
    else
        node->left = merge(hub, left, node->left, tree);
    recount(hub, root, tree);
    return root;
}

void tree_put(const struct hub *hub, uint32_t *root, uint32_t index, enum tree tree)
{
    const struct job *job = job_at(hub, index);
    uint32_t *at = root;
    while (*at != NONE && weight(job_at(hub, *at)) >= weight(job)) {
        struct node *node = node_of(hub, *at, tree);
        node->size++;
        at = before(job_at(hub, *at), job) ? &node->right : &node->left;
    }
    struct node *added = node_of(hub, index, tree);
    split(hub, *at, job, tree, &added->left, &added->right);
    recount(hub, index, tree);
    *at = index;
}

void tree_remove(const struct hub *hub, uint32_t *root, uint32_t index, enum tree tree)
{
    const struct job *job = job_at(hub, index);
    uint32_t *at = root;
    while (*at != index) {
        check_op(*at, !=, NONE);
        struct node *node = node_of(hub, *at, tree);
        node->size--;
        at = before(job_at(hub, *at), job) ? &node->right : &node->left;
    }
    struct node *removed = node_of(hub, index, tree);
    *at = merge(hub, removed->left, removed->right, tree);
}

uint32_t tree_rank(const struct hub *hub, uint32_t root, uint32_t index, enum tree tree)
{
    const struct job *job = job_at(hub, index);
    uint32_t rank = 0;
    while (root != index) {
        check_op(root, !=, NONE);
        const struct node *node = node_of(hub, root, tree);
        bool right = before(job_at(hub, root), job);
        rank += right ? size_of(hub, node->left, tree) + 1 : 0;
        root = right ? node->right : node->left;
    }
    return rank + size_of(hub, node_of(hub, index, tree)->left, tree);
}

uint32_t tree_at(const struct hub *hub, uint32_t root, uint32_t rank, enum tree tree)
{
    while (root != NONE) {
        const struct node *node = node_of(hub, root, tree);
        uint32_t left = size_of(hub, node->left, tree);
        if (rank == left)
            return root;
        root = rank < left ? node->left : node->right;
        rank -= rank < left ? 0 : left + 1;
    }
    return NONE;
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

static void set_bit(uint64_t *row, uint32_t bit, bool on)
{
    if (on)
        row[bit / 64] |= UINT64_C(1) << bit % 64;
    else
        row[bit / 64] &= ~(UINT64_C(1) << bit % 64);
}

void queue_put(struct hub *hub, struct job *job)
{
    struct group *group = group_at(hub, job->group);
    uint32_t index = job_index(hub, job);
    tree_put(hub, &hub->all_root, index, TREE_ALL);
    tree_put(hub, &group->root, index, TREE_GROUP);
    set_bit(hub->active_groups, job->group, true);
    group_watch(hub, group);
}

void queue_remove(struct hub *hub, struct job *job)
{
    struct group *group = group_at(hub, job->group);
    uint32_t index = job_index(hub, job);
    tree_remove(hub, &hub->all_root, index, TREE_ALL);
    tree_remove(hub, &group->root, index, TREE_GROUP);
    set_bit(hub->active_groups, job->group, group->root != NONE);
    group_watch(hub, group);
}

uint32_t queue_position(const struct hub *hub, const struct job *job)
{
    return 1 + tree_rank(hub, hub->all_root, job_index(hub, job), TREE_ALL);
}

uint32_t queue_depth(const struct hub *hub)
{
    return size_of(hub, hub->all_root, TREE_ALL);
}

static bool is_preferred(const struct preference *preference, const struct kind *kind)
{
    for (uint32_t i = 0; preference != NULL && i < preference->count; i++)
        if (preference->kinds[i] == kind)
            return true;
    return false;
}

/* The next group from *word and *bits on that waits and that the class can do; NULL at the end. */
static struct group *next_fitting(const struct hub *hub, const struct class *class, uint32_t *word, uint64_t *bits)
{
    while (*bits == 0) {
        if (*word == BIT_WORDS)
            return NULL;
        *bits = hub->active_groups[*word] & class->groups[*word];
        (*word)++;
    }
    uint32_t bit = (uint32_t)__builtin_ctzll(*bits);
    *bits &= *bits - 1;
    return group_at(hub, (*word - 1) * 64 + bit);
}

/* E-31: a priority wins, then a preferred kind, then who came first. */
static bool better(const struct job *job, bool preferred, const struct job *best, bool best_preferred)
{
    if (best == NULL || job->priority != best->priority)
        return best == NULL || job->priority > best->priority;
    return preferred != best_preferred ? preferred : job->sequence < best->sequence;
}

struct job *queue_best(const struct hub *hub, const struct class *class, const double *gpu_gb,
                       const struct preference *preference)
{
    struct job *best = NULL;
    bool best_preferred = false;
    uint32_t word = 0;
    uint64_t bits = 0;
    struct group *group;
    while ((group = next_fitting(hub, class, &word, &bits)) != NULL) {
        if (gpu_gb != NULL && group->gpu_needed && group->gpu_gb > *gpu_gb)
            continue;
        struct job *job = job_at(hub, tree_at(hub, group->root, 0, TREE_GROUP));
        bool preferred = is_preferred(preference, group->kind);
        if (better(job, preferred, best, best_preferred)) {
            best = job;
            best_preferred = preferred;
        }
    }
    return best;
}

uint32_t queue_first(const struct hub *hub, const struct class *class, uint32_t count, struct job **jobs)
{
    uint32_t found = 0, taken[GROUPS_MAX] = {0};
    while (found < count) {
        struct job *best = NULL;
        uint32_t word = 0, best_group = NONE;
        uint64_t bits = 0;
        struct group *group;
        while ((group = next_fitting(hub, class, &word, &bits)) != NULL) {
            uint32_t at = tree_at(hub, group->root, taken[group->index], TREE_GROUP);
            if (at != NONE && (best == NULL || before(job_at(hub, at), best))) {
                best = job_at(hub, at);
                best_group = group->index;
            }
        }
        if (best == NULL)
            break;
        taken[best_group]++;
        jobs[found++] = best;
    }
    return found;
}
