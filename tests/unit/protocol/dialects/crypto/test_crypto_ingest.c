/* SPDX-License-Identifier: MIT */
/* Proves what crypto takes from publishers: objects and their times, the field that is wrong, the source. Run by
 * unit_protocol. */
#include "tests/support/pure_client.h"
#include "tests/unit/protocol/dialects/crypto/crypto_host.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* I-9, I-14, Q-1, Q-8, C-34, C-39 to C-50: what is stored of what is ingested; NULL: the same text. */
Test(crypto, keeps_objects_and_brings_times_into_format)
{
    static const struct {
        const char *topic, *body, *stored;
    } cases[] = {
        {"explorers", "{}", "{\"timestamp\":\"2024-01-23T12:34:56.000Z\"}"},
        {"explorers", " { \"a\" : [1.50, 1e2, {}] } \n",
         "{ \"a\" : [1.50, 1e2, {}] ,\"timestamp\":\"2024-01-23T12:34:56.000Z\"}"},
        {"rpc_nodes", "{\"timestamp\":\"2024-01-23T12:00:00.120Z\",\"b\":null}", NULL},
        {"onchain", "{\"timestamp\":\"2024-01-23T12:00:00Z\"}", "{\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"onchain", "{\"timestamp\":\"2024-01-23T12:00:00.1Z\"}", "{\"timestamp\":\"2024-01-23T12:00:00.100Z\"}"},
        {"onchain", "{\"timestamp\": 1706011200 ,\"x\":1}", "{\"timestamp\": \"2024-01-23T12:00:00.000Z\" ,\"x\":1}"},
        {"onchain", "{\"timestamp\":1706011200007}", "{\"timestamp\":\"2024-01-23T12:00:00.007Z\"}"},
        {"onchain", "{\"timest\\u0061mp\":1706011200}", "{\"timest\\u0061mp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"market_data",
         "{\"prices\":{\"bitcoin\":45000.00,\"ethereum\":3200},\"volumes\":{},\"market_caps\":{\"x\":null},"
         "\"price_changes\":{},\"source\":\"coingecko\",\"extra\":{\"timestamp\":5},\"timestamp\":"
         "\"2025-11-11T10:30:00.000Z\"}",
         NULL},
        {"news",
         "{\"articles\":[{\"title\":\"t\",\"source\":\"s\",\"url\":\"u\",\"published_at\":1706011200},{\"published_"
         "at\":"
         "\"2024-01-23T12:00:00Z\",\"more\":1},{}],\"sources\":[\"a\"],\"categories\":[],\"timestamp\":1706011200}",
         "{\"articles\":[{\"title\":\"t\",\"source\":\"s\",\"url\":\"u\",\"published_at\":\"2024-01-23T12:00:00.000Z\"}"
         ","
         "{\"published_at\":\"2024-01-23T12:00:00.000Z\",\"more\":1},{}],\"sources\":[\"a\"],\"categories\":[],"
         "\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"sentiment",
         "{\"overall_sentiment\":\"bullish\",\"sentiment_score\":0.75,\"social_volume\":125000,\"trending_topics\":"
         "[\"Bitcoin\"],\"sentiment_by_source\":{\"twitter\":0.8},\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         NULL},
        {"whale_tracking",
         "{\"large_transactions\":[{\"hash\":\"0x\",\"value\":1,\"from\":\"a\",\"to\":\"b\",\"timestamp\":0}],"
         "\"whale_wallets\":[],\"total_volume\":5,\"alert_threshold\":1,\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         "{\"large_transactions\":[{\"hash\":\"0x\",\"value\":1,\"from\":\"a\",\"to\":\"b\",\"timestamp\":"
         "\"1970-01-01T00:00:00.000Z\"}],\"whale_wallets\":[],\"total_volume\":5,\"alert_threshold\":1,\"timestamp\":"
         "\"2024-01-23T12:00:00.000Z\"}"},
        {"huggingface",
         "{\"total_models\":25,\"total_datasets\":10,\"available_models\":[\"m\"],\"available_datasets\":[],"
         "\"last_refresh\":1706011200,\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         "{\"total_models\":25,\"total_datasets\":10,\"available_models\":[\"m\"],\"available_datasets\":[],"
         "\"last_refresh\":\"2024-01-23T12:00:00.000Z\",\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
        {"persistence",
         "{\"storage_location\":\"/data\",\"total_records\":1500000,\"storage_size\":\"2.5 GB\",\"last_save\":"
         "\"2024-01-23T12:00:00.000Z\",\"active_writers\":3,\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         NULL},
        {"health_checker",
         "{\"overall_health\":\"healthy\",\"healthy_count\":45,\"unhealthy_count\":2,\"total_providers\":47,"
         "\"providers\":{\"coingecko\":{\"status\":\"healthy\",\"response_time_ms\":150,\"last_check\":1706011200}},"
         "\"timestamp\":\"2024-01-23T12:00:00.000Z\"}",
         "{\"overall_health\":\"healthy\",\"healthy_count\":45,\"unhealthy_count\":2,\"total_providers\":47,"
         "\"providers\":{\"coingecko\":{\"status\":\"healthy\",\"response_time_ms\":150,\"last_check\":"
         "\"2024-01-23T12:00:00.000Z\"}},\"timestamp\":\"2024-01-23T12:00:00.000Z\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start(NULL, NULL);
        cr_assert_eq(pure_ingest(&host, cases[i].topic, cases[i].body), 202, "%s: %s", cases[i].body, host.reply);
        cr_assert_eq(pure_read(&host, cases[i].topic), 200);
        cr_expect_str_eq(host.reply, cases[i].stored != NULL ? cases[i].stored : cases[i].body, "%s", host.reply);
        pure_close(&host);
    }
}

/* Q-8, I-4: a documented field has its documented type; the one that is wrong is named. */
Test(crypto, names_the_field_that_is_wrong)
{
    static const struct {
        const char *topic, *body;
        int status;
        const char *field;
    } cases[] = {
        {"gold", "{}", 404, ""},
        {"system", "{}", 404, ""},
        {"all", "{}", 404, ""},
        {"news", "", 400, ""},
        {"news", "{\"a\":01}", 400, ""},
        {"news", "{\"a\":\"\xff\"}", 400, ""},
        {"news", "{} {}", 400, ""},
        {"news", "[]", 422, ""},
        {"news", "7", 422, ""},
        {"explorers", "{\"timestamp\":\"now\"}", 422, "timestamp"},
        {"explorers", "{\"timestamp\":-1}", 422, "timestamp"},
        {"explorers", "{\"timestamp\":null}", 422, "timestamp"},
        {"market_data", "{\"prices\":[]}", 422, "prices"},
        {"market_data", "{\"prices\":{\"a\":{}}}", 422, "prices"},
        {"market_data", "{\"volumes\":{\"a\":\"1\"}}", 422, "volumes"},
        {"market_data", "{\"market_caps\":1}", 422, "market_caps"},
        {"market_data", "{\"price_changes\":null}", 422, "price_changes"},
        {"market_data", "{\"source\":7}", 422, "source"},
        {"news", "{\"articles\":{}}", 422, "articles"},
        {"news", "{\"articles\":[7]}", 422, "articles"},
        {"news", "{\"articles\":[{},{\"title\":1}]}", 422, "title"},
        {"news", "{\"articles\":[{\"published_at\":\"x\"}]}", 422, "published_at"},
        {"news", "{\"sources\":\"a\"}", 422, "sources"},
        {"sentiment", "{\"sentiment_score\":\"0.5\"}", 422, "sentiment_score"},
        {"sentiment", "{\"social_volume\":0.5}", 422, "social_volume"},
        {"sentiment", "{\"overall_sentiment\":1}", 422, "overall_sentiment"},
        {"whale_tracking", "{\"large_transactions\":[{\"value\":\"1\"}]}", 422, "value"},
        {"health_checker", "{\"providers\":[]}", 422, "providers"},
        {"health_checker", "{\"providers\":{\"a\":7}}", 422, "providers"},
        {"health_checker", "{\"providers\":{\"a\":{\"status\":1}}}", 422, "status"},
        {"pool_manager", "{\"pools\":{\"a\":{\"available_sources\":{}}}}", 422, "available_sources"},
        {"pool_manager", "{\"failover_count\":1.5}", 422, "failover_count"},
        {"scheduler", "{\"running\":1}", 422, "running"},
        {"scheduler", "{\"jobs\":[{\"next_run\":true}]}", 422, "next_run"},
        {"huggingface", "{\"available_models\":5}", 422, "available_models"},
        {"persistence", "{\"total_records\":\"many\"}", 422, "total_records"},
    };
    start(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(pure_ingest(&host, cases[i].topic, cases[i].body), cases[i].status, "%s", cases[i].body);
        cr_expect_str_eq(host.field, cases[i].field, "%s", cases[i].body);
    }
    cr_assert_eq(pure_read(&host, "gold"), 404);
    cr_assert_eq(pure_read(&host, "news"), 404, "nothing was taken");
    pure_close(&host);
}

/* Q-16, I-9 */
Test(crypto, finds_out_the_source)
{
    static const struct {
        const char *header, *body, *source;
    } cases[] = {
        {NULL, "{}", "default"},
        {NULL, "{\"source\":\"f\"}", "f"},
        {"h", "{\"source\":\"f\"}", "h"},
        {"h", "{}", "h"},
        {NULL, "{\"source\":\"\"}", "default"},
        {NULL, "{\"source\":7}", "default"},
        {NULL, "{\"source\":\"caf\\u00e9\"}", "caf\xc3\xa9"},
        {NULL, "{\"source\":\"01234567890123456789012345678901234567890123456789012345678901234\"}", NULL},
        {"01234567890123456789012345678901234567890123456789012345678901234", "{}", NULL},
        {"\xff", "{}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[128];
        start(NULL, NULL);
        host.source = cases[i].header;
        cr_expect_eq(pure_ingest(&host, "onchain", cases[i].body), cases[i].source != NULL ? 202 : 422);
        if (cases[i].source == NULL) {
            cr_expect_str_eq(host.field, cases[i].header != NULL ? "X-Source" : "source");
        } else {
            cr_assert_eq(pure_read(&host, "pool_manager"), 200);
            snprintf(expected, sizeof expected, "{\"pools\":{\"onchain\":{\"active_source\":\"%s\",", cases[i].source);
            cr_expect_eq(strncmp(host.reply, expected, strlen(expected)), 0, "%s", host.reply);
        }
        pure_close(&host);
    }
}

/* C-46: how old the data was when it came. */
Test(crypto, tells_how_long_data_took)
{
    start(NULL, NULL);
    cr_assert_eq(pure_ingest(&host, "onchain", "{\"source\":\"a\",\"timestamp\":\"2024-01-23T12:34:55.250Z\"}"), 202);
    cr_assert_eq(pure_ingest(&host, "onchain", "{\"source\":\"b\",\"timestamp\":\"2999-01-01T00:00:00Z\"}"), 202);
    cr_assert_eq(pure_read(&host, "health_checker"), 200);
    cr_assert_not_null(strstr(host.reply, "\"a\":{\"status\":\"healthy\",\"response_time_ms\":750,"), "%s", host.reply);
    cr_assert_not_null(strstr(host.reply, "\"b\":{\"status\":\"healthy\",\"response_time_ms\":0,"));
    pure_close(&host);
}

Test(crypto, checks_the_order_of_sources)
{
    static const struct {
        const char *value;
        const char *why; /* NULL: good */
    } cases[] = {
        {"", NULL},
        {"market_data=a", NULL},
        {"market_data=a b c,news=a", NULL},
        {"gold=a", "is no order of sources"},
        {"system=a", "is no order of sources"},
        {"market_data", "is no order of sources"},
        {"market_data=", "is no order of sources"},
        {"market_data=a a", "is no order of sources"},
        {"news=a,news=b", "has an order already"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256] = "";
        struct buf why = buf_of(text, sizeof text - 1);
        pure_init(&host, "crypto");
        cr_assert_eq(pure_set(&host, "sources", cases[i].value), 0);
        int result = host.dialect->check_settings(host.settings, &why);
        cr_expect_eq(result == 0, cases[i].why == NULL, "%s", cases[i].value);
        cr_expect(cases[i].why == NULL || strstr(text, cases[i].why) != NULL, "%s", text);
        pure_start(&host);
        pure_close(&host);
    }
}
