/* SPDX-License-Identifier: MIT */
/* Owns the wording of recorded events. It never allocates, locks or trusts what it prints: it runs in a process that
 * has just found itself broken, possibly inside a signal handler. Called by crash.c and by tests. */
#include "core/flight.h"

#include "core/buf.h"

struct wording {
    const char *text, *index, *first, *second;
};

static const struct wording wordings[FLIGHT_KINDS] = {
#define FLIGHT(id, text, index, first, second) [FLIGHT_##id] = {(text), (index), (first), (second)},
#include "core/flight.def"
#undef FLIGHT
};

/* enum close_reason starts with CLOSE_NONE. */
static const char *const close_texts[] = {
    "none",
#define CLOSE(id, code, text, fault) (text),
#include "core/close.def"
#undef CLOSE
};

static void put_number(struct buf *out, const char *name, int64_t value)
{
    if (name[0] == '\0')
        return;
    buf_put_byte(out, ' ');
    buf_put_text(out, name);
    buf_put_byte(out, ' ');
    buf_put_i64(out, value);
}

static void put_reason(struct buf *out, int32_t reason)
{
    size_t index = (size_t)(uint32_t)reason;
    if (index >= sizeof close_texts / sizeof close_texts[0])
        return;
    buf_put_text(out, " (");
    buf_put_text(out, close_texts[index]);
    buf_put_byte(out, ')');
}

void flight_put(const struct flight_event *event, uint64_t newest_ms, struct buf *out)
{
    static const struct wording unknown = {"unknown", "index", "first", "second"};
    const struct wording *wording = event->kind < FLIGHT_KINDS ? &wordings[event->kind] : &unknown;
    buf_put_i64(out, (int64_t)(event->ms - newest_ms));
    buf_put_text(out, " ms ");
    buf_put_text(out, wording->text);
    put_number(out, wording->index, event->index);
    put_number(out, wording->first, event->first);
    if (event->kind == FLIGHT_CLOSE || event->kind == FLIGHT_FINISH || event->kind == FLIGHT_TERMINATE)
        put_reason(out, event->first);
    put_number(out, wording->second, event->second);
}
