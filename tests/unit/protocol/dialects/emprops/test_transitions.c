/* SPDX-License-Identifier: MIT */
/* The table of what may happen to a job against the reference that people read (E-88 to E-98). Run by unit_protocol
 * from the project's root. */
#include "protocol/dialects/emprops/transitions.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const char *const events[] = {
#define TRANSITIONS(row, event, ...) #event,
#include "protocol/dialects/emprops/transitions.def"
#undef TRANSITIONS
};
static const char *const rows[] = {
#define TRANSITIONS(row, event, ...) #row,
#include "protocol/dialects/emprops/transitions.def"
#undef TRANSITIONS
};

static const char *outcome_text(enum outcome outcome)
{
    static const char *const texts[] = {"→ queued",    "→ delayed",       "→ assigned",      "→ in_progress",
                                        "→ completed", "→ failed",        "→ cancelled",     "stays",
                                        "nothing",     "not assigned",    "expired",         "cancelled",
                                        "ack again",   "cancelled again", "not cancellable", "never"};
    return texts[outcome];
}

/* The line of emprops.md for an event. */
static void put_line(enum job_event event, char *out, size_t size)
{
    int used = snprintf(out, size, "| %s | %s |", rows[event], events[event]);
    for (int status = 0; status < JOB_STATUSES; status++)
        used += snprintf(out + used, size - (size_t)used, " %s |",
                         outcome_text(transition((enum job_status)status, event)));
}

Test(hub_transitions, stand_in_the_reference_as_they_are)
{
    static char text[1 << 18];
    FILE *file = fopen("protocol/dialects/emprops/emprops.md", "r");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    for (int event = 0; event < JOB_EVENTS; event++) {
        char line[512];
        put_line((enum job_event)event, line, sizeof line);
        cr_expect_not_null(strstr(text, line), "emprops.md lacks: %s", line);
    }
}

Test(hub_transitions, end_for_good)
{
    for (int event = 0; event < JOB_EVENTS; event++)
        for (int status = COMPLETED; status < JOB_STATUSES; status++)
            cr_expect_not(outcome_goes(transition((enum job_status)status, (enum job_event)event)));
}

Test(hub_transitions, know_the_states_by_the_names_that_clients_see)
{
    cr_expect_str_eq(status_name(DELAYED), "queued");
    cr_expect_eq(status_named("queued"), QUEUED);
    cr_expect_eq(status_named("in_progress"), IN_PROGRESS);
    cr_expect_eq(status_named("delayed"), JOB_STATUSES);
}
