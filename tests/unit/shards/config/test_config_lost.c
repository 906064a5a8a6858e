/* SPDX-License-Identifier: MIT */
/* What a reload may not change: the keys that need a restart. Run by unit_shards. */
#include "core/log.h"
#include "shards/config/config.h"
#include "tests/unit/shards/config/config_rig.h"

#include <criterion/criterion.h>

TestSuite(config_lost, .init = make_folder, .fini = remove_folder);

Test(config_lost, lists_the_changed_keys_that_need_a_restart)
{
    struct config *now = load_good("shards: 2\nlog_level: info\nplain: {listen: [\"127.0.0.1:1\"], keys: [a]}\n");
    struct config *next = load_good("shards: 3\nlog_level: warn\nplain: {listen: [\"127.0.0.1:2\"], keys: [b]}\n");
    char text[256];
    struct buf out = buf_of(text, sizeof text - 1);
    config_restart_needed(now, next, &out);
    text[out.used] = '\0';
    cr_expect_str_eq(text, "shards, plain.listen");
    buf_reset(&out);
    config_restart_needed(now, now, &out);
    cr_expect_eq(out.used, 0);
    config_free(now);
    config_free(next);
}
