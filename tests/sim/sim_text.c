/* SPDX-License-Identifier: MIT */
/* Owns the small searches in the server's texts and the times that number messages.
 * It never judges what it finds.
 * Called by the clients of all dialects. */
#include "tests/sim/sim_text.h"

#include "tests/sim/sim_model.h"

#include <stdio.h>

#define DAY_S 86400U

struct slice sim_text_behind(struct slice text, const char *mark)
{
    size_t bytes = strlen(mark);
    const uint8_t *found = text.bytes == 0 ? NULL : memmem(text.data, text.bytes, mark, bytes);
    return found == NULL ? slice_of(NULL, 0) : slice_skip(text, (size_t)(found - text.data) + bytes);
}

struct slice sim_text_between(struct slice text, const char *mark, char end)
{
    struct slice rest = sim_text_behind(text, mark);
    const uint8_t *found = rest.bytes == 0 ? NULL : memchr(rest.data, end, rest.bytes);
    return found == NULL ? slice_of(NULL, 0) : slice_of(rest.data, (size_t)(found - rest.data));
}

uint32_t sim_text_number(struct slice text)
{
    uint32_t value = 0;
    size_t i = 0;
    for (; i < text.bytes && i < 9 && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    return i == 0 ? SIM_NONE : value;
}

void sim_text_stamp(char out[SIM_STAMP_BYTES], uint32_t message)
{
    uint32_t day = message / DAY_S, second = message % DAY_S;
    snprintf(out, SIM_STAMP_BYTES, "2031-05-%02uT%02u:%02u:%02uZ", day % 28 + 1, second / 3600, second / 60 % 60,
             second % 60);
}

/* The seconds of a day behind "2026-01-01T", of any day. */
static bool time_of_day(struct slice text, uint32_t *seconds)
{
    if (text.bytes < 19 || text.data[10] != 'T' || text.data[13] != ':' || text.data[16] != ':')
        return false;
    *seconds = sim_text_number(slice_of(text.data + 11, 2)) * 3600 + sim_text_number(slice_of(text.data + 14, 2)) * 60 +
               sim_text_number(slice_of(text.data + 17, 2));
    return true;
}

bool sim_text_stamped(struct slice text, uint32_t *message)
{
    uint32_t seconds;
    if (text.bytes != SIM_STAMP_BYTES - 1 || !slice_starts(text, slice_text("2031-05-")) ||
        !time_of_day(text, &seconds))
        return false;
    *message = (sim_text_number(slice_of(text.data + 8, 2)) - 1) * DAY_S + seconds;
    return true;
}

bool sim_text_clock(struct slice text, uint64_t *ms)
{
    uint32_t seconds;
    if (text.bytes != 24 || !slice_starts(text, slice_text("2026-01-01T")) || text.data[19] != '.' ||
        !time_of_day(text, &seconds))
        return false;
    *ms = seconds * 1000ULL + sim_text_number(slice_of(text.data + 20, 3));
    return true;
}
