/* SPDX-License-Identifier: MIT */
/* Owns the canonical form of needs and capabilities, and when one meets the other. It never knows a job or a worker.
 * The dialect makes the form, the hub compares. */
#include "protocol/dialects/emprops/requirements.h"

#include "core/check.h"
#include "protocol/dialects/emprops/emprops.h"
#include "protocol/json.h"

#include <math.h>
#include <stdlib.h>

uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int compare(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* Puts `text` in its place among `count` sorted ones; the new count. */
static size_t insert_sorted(struct slice *texts, size_t count, struct slice text)
{
    size_t at = count;
    while (at > 0 && compare(texts[at - 1], text) > 0)
        at--;
    if (at > 0 && compare(texts[at - 1], text) == 0)
        return count;
    memmove(texts + at + 1, texts + at, (count - at) * sizeof *texts);
    texts[at] = text;
    return count + 1;
}

static void put_short(struct buf *out, struct slice text)
{
    buf_put_byte(out, (uint8_t)text.bytes);
    buf_put(out, text);
}

const char *requirements_put_list(struct slice json, struct buf *out)
{
    struct slice texts[EMPROPS_LIST_MAX + 1];
    uint8_t memory[CAPABILITIES_BYTES_MAX];
    struct buf space = buf_of(memory, sizeof memory);
    size_t count = 0;
    if (json.data != NULL) {
        struct json_reader reader;
        struct json_value value;
        json_init(&reader, json, JSON_DEPTH_MAX);
        if (json_next(&reader, &value) != JSON_ARRAY_BEGIN)
            return "Must be an array of strings";
        while (json_next(&reader, &value) != JSON_ARRAY_END) {
            if (value.token != JSON_STRING)
                return "Must be an array of strings";
            struct slice text = json_resolve(value.raw, value.escaped, &space);
            if (space.overflow || text.bytes == 0 || text.bytes > EMPROPS_NAME_BYTES_MAX)
                return "Each must be a string of 1 to 128 bytes";
            if (count == 255)
                return "Must hold at most 255 different strings";
            count = insert_sorted(texts, count, text);
        }
    }
    buf_put_byte(out, (uint8_t)count);
    for (size_t i = 0; i < count; i++)
        put_short(out, texts[i]);
    return NULL;
}

bool requirements_number(struct slice raw, double *value)
{
    char text[64]; /* longer ones are cut: their value differs in digits that a double does not have */
    size_t bytes = raw.bytes < sizeof text - 1 ? raw.bytes : sizeof text - 1;
    memcpy(text, raw.data, bytes);
    text[bytes] = '\0';
    if (raw.bytes >= sizeof text)
        return false;
    *value = strtod(text, NULL);
    return isfinite(*value);
}

struct entry {
    struct slice name;
    bool number;
    double amount;
    struct slice text;
};

static size_t insert_entry(struct entry *entries, size_t count, const struct entry *added)
{
    size_t at = count;
    while (at > 0 && compare(entries[at - 1].name, added->name) > 0)
        at--;
    if (at > 0 && compare(entries[at - 1].name, added->name) == 0) {
        entries[at - 1] = *added; /* K-27: the last wins */
        return count;
    }
    memmove(entries + at + 1, entries + at, (count - at) * sizeof *entries);
    entries[at] = *added;
    return count + 1;
}

/* NULL, or what is wrong with the value. */
static const char *read_entry(struct json_reader *reader, bool positive, struct buf *space, struct entry *entry,
                              struct slice *text)
{
    struct json_value value;
    (void)json_next(reader, &value);
    (void)json_skip(reader, &value, text);
    entry->number = value.token == JSON_NUMBER;
    if (entry->number)
        return !requirements_number(value.raw, &entry->amount) ? "Must be a number"
               : positive && entry->amount <= 0                ? "Must be a positive number"
                                                               : NULL;
    if (value.token != JSON_STRING)
        return "Must be a number or a string";
    entry->text = json_resolve(value.raw, value.escaped, space);
    return space->overflow || entry->text.bytes > EMPROPS_NAME_BYTES_MAX ? "Must be a string of at most 128 bytes"
                                                                         : NULL;
}

const char *requirements_put_hardware(struct slice json, bool positive, struct buf *out, struct slice *name,
                                      struct slice *value)
{
    struct entry entries[HARDWARE_MAX + 1];
    uint8_t memory[8192];
    struct buf space = buf_of(memory, sizeof memory);
    size_t count = 0;
    *name = slice_of(NULL, 0);
    *value = json;
    if (json.data != NULL) {
        struct json_reader reader;
        struct json_value key;
        json_init(&reader, json, JSON_DEPTH_MAX);
        if (json_next(&reader, &key) != JSON_OBJECT_BEGIN)
            return "Must be an object";
        while (json_next(&reader, &key) == JSON_KEY) {
            struct entry entry = {.name = json_resolve(key.raw, key.escaped, &space)};
            *name = key.raw;
            const char *wrong = read_entry(&reader, positive, &space, &entry, value);
            if (wrong != NULL)
                return wrong;
            if (entry.name.bytes > HARDWARE_NAME_BYTES_MAX)
                return "Name must have at most 64 bytes";
            if (count == HARDWARE_MAX)
                return "Must hold at most 31 members";
            count = insert_entry(entries, count, &entry);
        }
    }
    buf_put_byte(out, (uint8_t)count);
    for (size_t i = 0; i < count; i++) {
        put_short(out, entries[i].name);
        buf_put_byte(out, entries[i].number ? 'n' : 's');
        if (entries[i].number) {
            uint8_t bits[8];
            store_be64(bits, double_bits(entries[i].amount));
            buf_put(out, slice_of(bits, 8));
        } else {
            put_short(out, entries[i].text);
        }
    }
    return NULL;
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

static uint8_t take_byte(struct slice *form)
{
    check_op(form->bytes, >, 0);
    uint8_t byte = form->data[0];
    *form = slice_skip(*form, 1);
    return byte;
}

static struct slice take_short(struct slice *form)
{
    size_t bytes = take_byte(form);
    check_op(form->bytes, >=, bytes);
    struct slice text = slice_of(form->data, bytes);
    *form = slice_skip(*form, bytes);
    return text;
}

/* Passes over the lists of both; whether every text of the first is in the second. */
static bool list_within(struct slice *needs, struct slice *capabilities)
{
    uint8_t wanted = take_byte(needs), offered = take_byte(capabilities);
    bool within = true;
    struct slice has = slice_of(NULL, 0);
    uint8_t at = 0;
    for (uint8_t i = 0; i < wanted; i++) {
        struct slice want = take_short(needs);
        while (at < offered && (has.data == NULL || compare(has, want) < 0)) {
            has = take_short(capabilities);
            at++;
        }
        within = within && has.data != NULL && compare(has, want) == 0;
    }
    for (; at < offered; at++)
        (void)take_short(capabilities);
    return within;
}

static struct entry take_entry(struct slice *form)
{
    struct entry entry = {.name = take_short(form)};
    entry.number = take_byte(form) == 'n';
    if (!entry.number) {
        entry.text = take_short(form);
        return entry;
    }
    check_op(form->bytes, >=, 8);
    entry.amount = double_of(load_be64(form->data));
    *form = slice_skip(*form, 8);
    return entry;
}

bool requirements_met(struct slice needs, struct slice capabilities)
{
    bool services = list_within(&needs, &capabilities), components = list_within(&needs, &capabilities);
    if (!services || !components)
        return false;
    uint8_t wanted = take_byte(&needs), offered = take_byte(&capabilities), at = 0;
    struct entry has = {.name = slice_of(NULL, 0)};
    for (uint8_t i = 0; i < wanted; i++) {
        struct entry want = take_entry(&needs);
        while (at < offered && (has.name.data == NULL || compare(has.name, want.name) < 0)) {
            has = take_entry(&capabilities);
            at++;
        }
        if (has.name.data == NULL || compare(has.name, want.name) != 0 || has.number != want.number)
            return false;
        if (want.number ? want.amount > has.amount : !slice_equal(want.text, has.text))
            return false;
    }
    return true;
}

bool requirements_gpu(struct slice needs, double *gb)
{
    for (int list = 0; list < 2; list++)
        for (uint8_t n = take_byte(&needs); n > 0; n--)
            (void)take_short(&needs);
    for (uint8_t n = take_byte(&needs); n > 0; n--) {
        struct entry entry = take_entry(&needs);
        if (entry.number && slice_is(entry.name, "gpu_memory_gb")) {
            *gb = entry.amount;
            return true;
        }
    }
    return false;
}

struct slice requirements_skip(struct slice form, bool hardware)
{
    for (uint8_t n = take_byte(&form); n > 0; n--) {
        if (hardware)
            (void)take_entry(&form);
        else
            (void)take_short(&form);
    }
    return form;
}

void put_double(struct buf *out, double value)
{
    char text[48];
    struct buf digits = buf_of(text, sizeof text - 1);
    int exponent = 0;
    double scaled = fabs(value), power = 1;
    for (; scaled >= 1e15; exponent++)
        scaled /= 10;
    for (; scaled > 0 && scaled < 1e-5; exponent--)
        scaled *= 10;
    for (unsigned places = 0; places <= 15; places++, power *= 10) {
        uint64_t whole = (uint64_t)(scaled * power + 0.5), unit = (uint64_t)power;
        buf_reset(&digits);
        buf_put_text(&digits, value < 0 ? "-" : "");
        buf_put_u64(&digits, whole / unit);
        if (places > 0) {
            buf_put_byte(&digits, '.');
            for (uint64_t rest = whole % unit, digit = unit / 10; digit > 0; digit /= 10)
                buf_put_byte(&digits, (uint8_t)('0' + rest / digit % 10));
        }
        if (exponent != 0) {
            buf_put_byte(&digits, 'e');
            buf_put_i64(&digits, exponent);
        }
        text[digits.used] = '\0';
        if (strtod(text, NULL) == value || scaled * power >= 1e17)
            break;
    }
    buf_put(out, buf_slice(&digits));
}

/* A list of the one string of a member, or of none. */
static const char *put_one(const struct json_member *member, struct buf *out)
{
    uint8_t memory[EMPROPS_NAME_BYTES_MAX * 6];
    struct buf space = buf_of(memory, sizeof memory);
    bool there = member->token != JSON_ERROR && member->token != JSON_NULL;
    if (there && member->token != JSON_STRING)
        return "Must be a string of 1 to 128 bytes";
    struct slice text = there ? json_resolve(member->raw, member->escaped, &space) : slice_text("");
    if (space.overflow || (there && text.bytes == 0) || text.bytes > EMPROPS_NAME_BYTES_MAX)
        return "Must be a string of 1 to 128 bytes";
    buf_put_byte(out, there ? 1 : 0);
    if (there)
        put_short(out, text);
    return NULL;
}

const char *requirements_put_needs(struct slice json, struct buf *out, const char **field, struct slice *value)
{
    static const char *const names[] = {"service_type", "component", "hardware"};
    struct json_member members[] = {{.name = names[0]}, {.name = names[1]}, {.name = names[2]}};
    const char *wrong = NULL;
    struct slice name;
    *field = "";
    *value = json;
    if (json.data != NULL && json_find_members(json, JSON_DEPTH_MAX, false, members, 3) != JSON_MEMBERS_OK)
        return "Must be an object";
    if (json.data == NULL)
        members[0].token = members[1].token = members[2].token = JSON_ERROR;
    for (int i = 0; i < 3 && wrong == NULL; i++) {
        bool there = members[i].token != JSON_ERROR && members[i].token != JSON_NULL;
        *field = names[i];
        *value = members[i].text;
        if (i < 2)
            wrong = put_one(&members[i], out);
        else
            wrong = requirements_put_hardware(there ? members[i].text : slice_of(NULL, 0), true, out, &name, value);
    }
    return wrong;
}
