/* SPDX-License-Identifier: MIT */
/* Owns the tests of core/list.h: single steps, and random operations against an array. */
#include "core/list.h"
#include "core/random.h"

#include <criterion/criterion.h>
#include <string.h>

struct item {
    int before; /* so that the node is not the first member */
    struct list_node node;
};

static struct item *item_of(struct list_node *node)
{
    return list_entry(node, struct item, node);
}

Test(list, begins_empty)
{
    struct list list;
    list_init(&list);
    cr_assert(list_empty(&list));
    cr_assert_null(list_first(&list));
    cr_assert_null(list_pop_front(&list));
}

Test(list, gives_nodes_back_in_the_order_of_pushing)
{
    struct list list;
    struct item items[3] = {{.before = 0}, {.before = 1}, {.before = 2}};
    list_init(&list);
    for (int i = 0; i < 3; i++)
        list_push_back(&list, &items[i].node);
    for (int i = 0; i < 3; i++) {
        struct list_node *node = list_pop_front(&list);
        cr_assert_eq(item_of(node), &items[i]);
        cr_assert(!list_linked(node));
    }
    cr_assert(list_empty(&list));
}

Test(list, tells_linked_from_unlinked)
{
    struct list list;
    struct list_node node = {.next = NULL};
    list_init(&list);
    cr_assert(!list_linked(&node));
    list_push_back(&list, &node);
    cr_assert(list_linked(&node));
    list_remove(&node);
    cr_assert(!list_linked(&node));
}

Test(list, walks_to_the_end_and_stops)
{
    struct list list;
    struct list_node a, b;
    list_init(&list);
    list_push_back(&list, &a);
    list_push_back(&list, &b);
    cr_assert_eq(list_first(&list), &a);
    cr_assert_eq(list_next(&list, &a), &b);
    cr_assert_null(list_next(&list, &b));
}

/* A model: the same nodes as indices in an array. */
struct model {
    int order[16];
    int count;
};

static void model_remove(struct model *model, int at)
{
    model->count--;
    memmove(&model->order[at], &model->order[at + 1], (size_t)(model->count - at) * sizeof *model->order);
}

static void expect_same(const struct list *list, struct item *items, const struct model *model)
{
    struct list_node *node = list_first(list);
    for (int i = 0; i < model->count; i++) {
        cr_assert_eq(node, &items[model->order[i]].node);
        node = list_next(list, node);
    }
    cr_assert_null(node);
    cr_assert_eq(list_empty(list), model->count == 0);
    for (node = list->head.prev; node != &list->head; node = node->prev)
        cr_assert_eq(node->next->prev, node);
}

Test(list, agrees_with_an_array)
{
    struct random random;
    random_init(&random, 1);
    struct item items[16];
    memset(items, 0, sizeof items);
    struct list list;
    list_init(&list);
    struct model model = {.count = 0};
    for (int step = 0; step < 5000; step++) {
        int i = (int)random_below(&random, 16);
        if (!list_linked(&items[i].node)) {
            list_push_back(&list, &items[i].node);
            model.order[model.count++] = i;
        } else if (random_chance(&random, 1, 2)) {
            list_remove(&items[i].node);
            int at = 0;
            while (model.order[at] != i)
                at++;
            model_remove(&model, at);
        } else {
            cr_assert_eq(list_pop_front(&list), &items[model.order[0]].node);
            model_remove(&model, 0);
        }
        expect_same(&list, items, &model);
    }
}
