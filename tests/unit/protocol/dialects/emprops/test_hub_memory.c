/* SPDX-License-Identifier: MIT */
/* A hub that finds no memory in the middle of a change: the call is lost as a whole, and the next life begins from
 * what is kept. Run by unit_protocol. */
#include "protocol/dialects/emprops/hub_parts.h"
#include "tests/unit/protocol/dialects/emprops/hub_talk.h"
#include "tests/unit/starve.h"

#include <malloc.h>

/* A submission with a payload that needs more address space than there is. */
static int submit_starved(struct hub *hub, size_t bytes, struct effect *first)
{
    uint8_t *memory = pure_memory(bytes + 4096), form[64];
    struct buf fields = buf_of(memory, bytes + 4096), needs = buf_of(form, sizeof form), nothing = buf_of(NULL, 0);
    struct slice value;
    const char *field;
    cr_assert_null(requirements_put_needs(slice_of(NULL, 0), &needs, &field, &value));
    char *payload = pure_memory(bytes);
    memset(payload, 'x', bytes);
    memcpy(payload, "{\"a\":\"", 6);
    memcpy(payload + bytes - 2, "\"}", 2);
    hub_put_field(&fields, FIELD_JOB_TYPE, slice_text("t"));
    hub_put_field(&fields, FIELD_NEEDS, buf_slice(&needs));
    hub_put_field(&fields, FIELD_PAYLOAD, slice_of(payload, bytes));
    hub_put_number(&fields, FIELD_SESSION, 1);
    hub_put_number(&fields, FIELD_RIGHTS, 31);
    struct service_request request = {
        .kind = HUB_SUBMIT, .body = buf_slice(&fields), .ticket = 9, .now_ms = 1000, .wall_ms = PURE_WALL_MS};
    malloc_trim(0);
    starve_begin();
    int status = emprops_hub.request(hub, &request, &nothing);
    bool any = emprops_hub.next(hub, &nothing, first);
    starve_end();
    free(memory);
    free(payload);
    return any ? status : -1;
}

Test(hub_memory, loses_a_call_as_a_whole)
{
    static struct lone_hub lone;
    struct effect first = {.kind = EFFECT_PUBLISH}, more = {.kind = EFFECT_PUBLISH};
    struct buf nothing = buf_of(NULL, 0);
    if (!STARVE_WORKS)
        cr_skip_test("the sanitizer needs memory of its own");
    lone_begin(&lone);
    lone_submit(&lone, "t", 50, "a", slice_text("{}"));
    cr_assert_eq(submit_starved(lone.state, 8 << 20, &first), SERVICE_LATER);
    cr_assert_eq(first.kind, EFFECT_RESTART, "nothing of it is kept or said");
    cr_assert_not(emprops_hub.next(lone.state, &nothing, &more), "and there is nothing else");
    lone_end(&lone); /* the host ends this life; what it holds comes back to the heap */
}

/* Everything that a play has made is given back (checked by the sanitizers), with requests that still wait. */
Test(hub_memory, ends_with_requests_under_way)
{
    static struct pure_host host;
    pure_init(&host, "emprops");
    cr_assert_eq(pure_set(&host, "cache", "0"), 0);
    pure_start(&host);
    come_client(&host, 0, "c");
    come_worker(&host, 1, "w", "");
    submit(&host, 0, "");
    pure_hold(&host, true);
    say(&host, 1, "{\"type\":\"claim_job\",\"id\":\"x\"}");
    pure_crash(&host);
    come_client(&host, 0, "c");
    say(&host, 0, "{\"type\":\"request_stats\",\"include_sections\":[\"jobs\"]}");
    cr_assert_str_eq(member_of(take(&host, 0, "system_status"), "pending_jobs"), "1");
    pure_close(&host);
}

Test(hub_memory, answers_nothing_before_it_has_loaded)
{
    static struct lone_hub lone;
    struct buf nothing = buf_of(NULL, 0);
    lone_begin(&lone);
    void *fresh = pure_memory(emprops_hub.state_bytes);
    cr_assert_eq(emprops_hub.open(fresh, lone.host.settings), 0);
    struct service_request request = {.kind = HUB_SUBMIT, .body = slice_text(""), .ticket = 1};
    cr_expect_eq(emprops_hub.request(fresh, &request, &nothing), 503);
    cr_expect_eq(emprops_hub.due(fresh), UINT64_MAX);
    emprops_hub.close(fresh);
    free(fresh);
    lone_end(&lone);
}
