/* SPDX-License-Identifier: MIT */
/* Proves what the market remembers: prices, times of expiry, its bound of memory. Run by unit_protocol. */
#include "protocol/dialects/aitbc/offers.h"

#include "protocol/json.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MEMORY (64U << 10)

static struct offers offers;

static bool put_offer(const char *id, const char *price, const char *currency, uint64_t expiry_ms)
{
    struct offer_facts facts = {slice_text(id), slice_text(price), slice_text(currency)};
    return offers_put(&offers, &facts, expiry_ms, MEMORY);
}

static const char *price_of(const char *id)
{
    static char text[64];
    struct offer_facts facts;
    if (!offers_get(&offers, slice_text(id), &facts))
        return "unknown";
    snprintf(text, sizeof text, "%.*s %.*s", (int)facts.price.bytes, (const char *)facts.price.data,
             (int)facts.currency.bytes, (const char *)facts.currency.data);
    return text;
}

static const char *expired(void)
{
    static char text[64];
    struct buf out = buf_of(text, sizeof text - 1);
    if (!offers_expire(&offers, &out))
        return "none";
    text[out.used] = '\0';
    return text;
}

Test(offers, remembers_the_last_price)
{
    offers_init(&offers, (struct siphash_key){1, 2});
    cr_assert_str_eq(price_of("\"a\""), "unknown");
    cr_assert(put_offer("\"a\"", "0.8", "\"AITBC\"", UINT64_MAX));
    cr_assert_str_eq(price_of("\"a\""), "0.8 \"AITBC\"");
    cr_assert_str_eq(price_of("\"\\u0061\""), "0.8 \"AITBC\"", "the same id");
    cr_assert(put_offer("\"\\u0061\"", "1.0", "", 0));
    cr_assert_str_eq(price_of("\"a\""), "1.0 ");
    cr_assert_eq(offers.count, 1);
    offers_remove(&offers, slice_text("\"b\""));
    offers_remove(&offers, slice_text("\"a\""));
    cr_assert_str_eq(price_of("\"a\""), "unknown");
    cr_assert_eq(offers.bytes, 0);
    offers_close(&offers);
}

/* */
Test(offers, expire_at_their_time_once)
{
    offers_init(&offers, (struct siphash_key){1, 2});
    put_offer("\"a\"", "1", "", 1000);
    put_offer("\"b\"", "1", "", 1001);
    put_offer("\"c\"", "1", "", UINT64_MAX);
    cr_assert_leq(offers_due(&offers), 1000);
    offers_advance(&offers, 999);
    cr_assert_str_eq(expired(), "none");
    offers_advance(&offers, 1000);
    cr_assert_str_eq(expired(), "\"a\"");
    cr_assert_str_eq(expired(), "none");
    cr_assert_str_eq(price_of("\"a\""), "unknown");
    cr_assert(put_offer("\"b\"", "2", "", 0)); /* keeps its time */
    offers_advance(&offers, 1001);
    cr_assert_str_eq(expired(), "\"b\"");
    put_offer("\"d\"", "1", "", 2000);
    put_offer("\"d\"", "1", "", UINT64_MAX); /* offered anew without a time */
    put_offer("\"e\"", "1", "", 2000);
    offers_remove(&offers, slice_text("\"e\""));
    offers_advance(&offers, 5000);
    cr_assert_str_eq(expired(), "none");
    cr_assert_eq(offers_due(&offers), UINT64_MAX);
    offers_close(&offers);
}

Test(offers, forget_the_one_that_changed_longest_ago)
{
    char id[16];
    offers_init(&offers, (struct siphash_key){1, 2});
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "\"%04d\"", i);
        cr_assert(put_offer(id, "1", "", UINT64_MAX));
        cr_assert(put_offer("\"0000\"", "1", "", 0));
        cr_assert_leq(offers.bytes, MEMORY);
    }
    cr_assert_str_neq(price_of("\"0000\""), "unknown");
    cr_assert_str_neq(price_of("\"0999\""), "unknown");
    cr_assert_str_eq(price_of("\"0001\""), "unknown");
    cr_assert(offers.count > 100 && offers.count < 1000);
    struct offer_facts facts = {slice_text("\"0000\""), slice_text("2"), slice_text("")};
    cr_assert_not(offers_put(&offers, &facts, 0, 10), "no room for it at all");
    cr_assert_str_eq(price_of("\"0000\""), "1 ");
    offers_close(&offers);
}

Test(offers, print_as_many_as_fit)
{
    char memory[400], id[16];
    offers_init(&offers, (struct siphash_key){1, 2});
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "\"%d\"", i);
        put_offer(id, "0.5", i % 2 ? "\"AITBC\"" : "", UINT64_MAX);
    }
    for (size_t capacity = 60; capacity <= sizeof memory; capacity++) {
        struct buf out = buf_of(memory, capacity);
        offers_print(&offers, &out);
        cr_assert_not(out.overflow, "%zu", capacity);
        cr_assert(json_valid(buf_slice(&out), 8));
    }
    struct buf out = buf_of(memory, sizeof memory - 1);
    offers_print(&offers, &out);
    cr_assert(
        slice_starts(buf_slice(&out), slice_text("{\"count\":20,\"offers\":[{\"id\":\"19\",\"price_per_hour\":0.5,"
                                                 "\"currency\":\"AITBC\"},{\"id\":\"18\",\"price_per_hour\":0.5}")));
    offers_close(&offers);
}
