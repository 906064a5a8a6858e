/* SPDX-License-Identifier: MIT */
/* Proves the list of actions and its bounds. Run by unit_protocol. */
#include "protocol/action.h"

#include <criterion/criterion.h>

static struct actions out;
static uint8_t text_memory[256];

static void begin(void)
{
    out = (struct actions){.text = buf_of(text_memory, sizeof text_memory)};
}

Test(action, actions_stand_in_order_with_their_arguments)
{
    struct event event = {.channel = slice_text("c"), .payload = slice_text("p"), .opcode = WS_BINARY, .level = 7};
    begin();
    action_acquire(&out, QUOTA_KEY, slice_text("k"), 10, 60);
    action_respond(&out,
                   &(struct http1_answer){
                       .status = 404, .content_type = "text/plain", .content = slice_text("no"), .extra = "X: y\r\n"});
    action_accept(&out);
    action_send(&out, WS_TEXT, slice_text("hello"));
    action_subscribe(&out, slice_text("ch"), slice_text("v"), 5);
    action_unsubscribe(&out, slice_text("ch2"));
    action_publish(&out, &event);
    action_close(&out, 4001, "Rate limited");
    cr_assert_eq(out.count, 8);
    cr_assert_not(out.overflow);
    const struct action *a = out.items;
    cr_assert(a[0].kind == ACTION_ACQUIRE && a[0].acquire.quota == QUOTA_KEY && slice_is(a[0].acquire.name, "k"));
    cr_assert(a[0].acquire.limit == 10 && a[0].acquire.window_ms == 60);
    cr_assert(a[1].kind == ACTION_RESPOND && a[1].respond.status == 404 && slice_is(a[1].respond.content, "no"));
    cr_assert(strcmp(a[1].respond.content_type, "text/plain") == 0 && strcmp(a[1].respond.extra, "X: y\r\n") == 0);
    cr_assert_eq(a[2].kind, ACTION_ACCEPT);
    cr_assert(a[3].kind == ACTION_SEND && a[3].send.opcode == WS_TEXT && slice_is(a[3].send.payload, "hello"));
    cr_assert(a[4].kind == ACTION_SUBSCRIBE && slice_is(a[4].subscribe.channel, "ch"));
    cr_assert(slice_is(a[4].subscribe.variant, "v") && a[4].subscribe.history_max == 5);
    cr_assert(a[5].kind == ACTION_UNSUBSCRIBE && slice_is(a[5].unsubscribe.channel, "ch2"));
    cr_assert(a[6].kind == ACTION_PUBLISH && slice_is(a[6].publish.payload, "p") && a[6].publish.level == 7);
    cr_assert(a[7].kind == ACTION_CLOSE && a[7].close.code == 4001 && strcmp(a[7].close.reason, "Rate limited") == 0);
}

Test(action, too_many_actions_are_remembered_as_overflow)
{
    begin();
    for (int i = 0; i < ACTIONS_MAX; i++)
        action_accept(&out);
    cr_assert_not(out.overflow);
    action_close(&out, 1000, "");
    cr_assert(out.overflow);
    cr_assert_eq(out.count, ACTIONS_MAX);
    cr_assert_eq(out.items[ACTIONS_MAX - 1].kind, ACTION_ACCEPT);
}

Test(action, too_much_text_is_remembered_as_overflow)
{
    begin();
    for (size_t i = 0; i <= sizeof text_memory; i++)
        buf_put_byte(&out.text, 'x');
    action_send(&out, WS_TEXT, buf_slice(&out.text));
    cr_assert(out.overflow);
    cr_assert_eq(out.count, 0);
}
