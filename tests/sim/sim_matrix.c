/* SPDX-License-Identifier: MIT */
/* Owns the counts of the cells, and the tables of what an operation can come to and where.
 * It never looks into a shard: the world says in which state a connection was.
 * Called by the world for every completion, and by the program for the sum. */
#include "tests/sim/sim_matrix.h"

#include "core/check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CELLS_MAX 512
#define TRIES_MAX 200 /* at one cell */
#define TRIES_IN_ALL_MAX 1500
#define TRIES_AT_ONCE 4                  /* a round has so many, for those processes that would have nothing to do */
#define SEEDS_AT_ONE (UINT64_C(1) << 62) /* from here on seeds aim at one cell each */
#define BIT(n) (1U << (n))

static const char *const op_names[RING_OPS] = {
    [RING_ACCEPT] = "accept",
    [RING_RECEIVE] = "receive",
    [RING_SEND] = "send",
    [RING_SHUTDOWN] = "shutdown",
    [RING_CLOSE] = "close",
    [RING_CANCEL] = "cancel",
    [RING_SEND_ZERO_COPY] = "send without a copy",
};

static const char *const place_names[SIM_PLACES] = {"http",      "open",   "closing",  "linger", "dying",
                                                    "listening", "paused", "stopping", "nobody"};

static const char *const outcome_names[SIM_OUTCOMES] = {
    "good",       "last",    "short",  "end",        "nothing",      "one",      "both",      "not begun",
    "given back", "copied",  "EPIPE",  "ECONNRESET", "ECONNABORTED", "ENOTCONN", "ETIMEDOUT", "EMFILE",
    "ENFILE",     "ENOBUFS", "ENOMEM", "EINTR",      "EIO",          "EINVAL",   "ECANCELED"};

#define CONNECTIONS (BIT(SIM_AT_HTTP) | BIT(SIM_AT_OPEN) | BIT(SIM_AT_CLOSING) | BIT(SIM_AT_LINGER) | BIT(SIM_AT_DYING))
#define LISTENERS (BIT(SIM_AT_LISTENING) | BIT(SIM_AT_PAUSED) | BIT(SIM_AT_STOPPING))

/* Every outcome in every place, */
static const struct {
    uint32_t outcomes, places;
} universe[RING_OPS] = {
    [RING_ACCEPT] = {BIT(SIM_GOOD) | BIT(SIM_LAST) | BIT(SIM_ECONNABORTED) | BIT(SIM_EMFILE) | BIT(SIM_ENFILE) |
                         BIT(SIM_ENOBUFS) | BIT(SIM_ENOMEM) | BIT(SIM_EINTR) | BIT(SIM_EINVAL) | BIT(SIM_ECANCELED) |
                         BIT(SIM_NOT_BEGUN),
                     LISTENERS},
    [RING_RECEIVE] = {BIT(SIM_GOOD) | BIT(SIM_LAST) | BIT(SIM_END) | BIT(SIM_ECONNRESET) | BIT(SIM_ETIMEDOUT) |
                          BIT(SIM_ENOBUFS) | BIT(SIM_ENOMEM) | BIT(SIM_EINTR) | BIT(SIM_ECANCELED) | BIT(SIM_NOT_BEGUN),
                      CONNECTIONS},
    [RING_SEND] = {BIT(SIM_GOOD) | BIT(SIM_SHORT) | BIT(SIM_EPIPE) | BIT(SIM_ECONNRESET) | BIT(SIM_ETIMEDOUT) |
                       BIT(SIM_ENOBUFS) | BIT(SIM_ENOMEM) | BIT(SIM_EINTR) | BIT(SIM_ECANCELED) | BIT(SIM_NOT_BEGUN),
                   CONNECTIONS},
    [RING_SEND_ZERO_COPY] = {BIT(SIM_GOOD) | BIT(SIM_SHORT) | BIT(SIM_EPIPE) | BIT(SIM_ECONNRESET) |
                                 BIT(SIM_ETIMEDOUT) | BIT(SIM_ENOBUFS) | BIT(SIM_ENOMEM) | BIT(SIM_EINTR) |
                                 BIT(SIM_ECANCELED) | BIT(SIM_NOT_BEGUN) | BIT(SIM_GIVEN_BACK) | BIT(SIM_COPIED),
                             CONNECTIONS | BIT(SIM_AT_NOBODY)},
    [RING_SHUTDOWN] = {BIT(SIM_GOOD) | BIT(SIM_ENOTCONN) | BIT(SIM_ENOMEM) | BIT(SIM_EINTR) | BIT(SIM_NOT_BEGUN),
                       CONNECTIONS | LISTENERS},
    [RING_CLOSE] = {BIT(SIM_GOOD) | BIT(SIM_EIO) | BIT(SIM_EINTR) | BIT(SIM_NOT_BEGUN),
                    CONNECTIONS | BIT(SIM_AT_NOBODY)},
    [RING_CANCEL] = {BIT(SIM_NOTHING) | BIT(SIM_ONE) | BIT(SIM_BOTH) | BIT(SIM_ENOMEM) | BIT(SIM_NOT_BEGUN),
                     CONNECTIONS | LISTENERS},
};

/* but for what cannot be. */
static const struct {
    enum ring_op op;
    uint32_t outcomes, places;
    const char *why;
} impossible[] = {
    {RING_ACCEPT, BIT(SIM_EINVAL), BIT(SIM_AT_LISTENING) | BIT(SIM_AT_PAUSED),
     "an accept has it from the shutdown of its listener, which only a stop begins"},
    {RING_ACCEPT, BIT(SIM_NOT_BEGUN), BIT(SIM_AT_PAUSED) | BIT(SIM_AT_STOPPING),
     "neither a paused nor a stopping listener begins to accept, but for the operators' in the moment of a stop"},
    {RING_RECEIVE, BIT(SIM_NOT_BEGUN), BIT(SIM_AT_DYING), "a dying connection begins no receive"},
    {RING_SEND, BIT(SIM_NOT_BEGUN), BIT(SIM_AT_DYING), "a dying connection begins no send"},
    {RING_SEND_ZERO_COPY, BIT(SIM_NOT_BEGUN), BIT(SIM_AT_DYING), "a dying connection begins no send"},
    {RING_SEND_ZERO_COPY, ~(BIT(SIM_GIVEN_BACK) | BIT(SIM_COPIED)), BIT(SIM_AT_NOBODY),
     "a connection outlives the results of its sends"},
    {RING_SHUTDOWN, UINT32_MAX,
     BIT(SIM_AT_HTTP) | BIT(SIM_AT_OPEN) | BIT(SIM_AT_CLOSING) | BIT(SIM_AT_LISTENING) | BIT(SIM_AT_PAUSED),
     "a shutdown is begun when a connection lingers or a listener stops, and neither goes back"},
    {RING_SHUTDOWN, BIT(SIM_NOT_BEGUN), BIT(SIM_AT_DYING), "a dying connection is closed, not shut down"},
    {RING_CLOSE, UINT32_MAX, CONNECTIONS & ~BIT(SIM_AT_DYING), "a connection that is closed is dying"},
    {RING_CANCEL, BIT(SIM_BOTH), (CONNECTIONS | LISTENERS) & ~BIT(SIM_AT_DYING),
     "only the end of a connection cancels its receive and its send"},
    {RING_CANCEL, BIT(SIM_NOT_BEGUN), BIT(SIM_AT_CLOSING) | BIT(SIM_AT_LINGER),
     "a connection that is closing throws input away, so none piles up and its receive is never stopped"},
    {RING_CANCEL, BIT(SIM_NOT_BEGUN), BIT(SIM_AT_PAUSED), "the cancel comes first, then the pause"},
};

#define IMPOSSIBLE (sizeof impossible / sizeof impossible[0])

struct matrix {
    _Atomic uint64_t counts[RING_OPS][SIM_OUTCOMES][SIM_PLACES];
};

static struct matrix *matrix;            /* shared by the processes of a run */
static struct sim_cell cells[CELLS_MAX]; /* that can be */
static uint32_t cell_count;
static uint32_t tries[CELLS_MAX], tries_in_all; /* at each cell by seeds of its own */

static const char *why_not(struct sim_cell cell)
{
    for (size_t i = 0; i < IMPOSSIBLE; i++)
        if (impossible[i].op == cell.op && impossible[i].outcomes & BIT(cell.outcome) &&
            impossible[i].places & BIT(cell.place))
            return impossible[i].why;
    return NULL;
}

static bool is_of_universe(struct sim_cell cell)
{
    return universe[cell.op].outcomes & BIT(cell.outcome) && universe[cell.op].places & BIT(cell.place);
}

void sim_matrix_init(void)
{
    void *memory = mmap(NULL, sizeof *matrix, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED);
    matrix = memory;
    cell_count = tries_in_all = 0;
    memset(tries, 0, sizeof tries);
    for (uint32_t i = 0; i < RING_OPS * SIM_OUTCOMES * SIM_PLACES; i++) {
        struct sim_cell cell = {
            .op = i / (SIM_OUTCOMES * SIM_PLACES), .outcome = i / SIM_PLACES % SIM_OUTCOMES, .place = i % SIM_PLACES};
        if (!is_of_universe(cell) || why_not(cell) != NULL)
            continue;
        check_op(cell_count, <, CELLS_MAX);
        cells[cell_count++] = cell;
    }
}

void sim_matrix_count(struct sim_cell cell)
{
    atomic_fetch_add_explicit(&matrix->counts[cell.op][cell.outcome][cell.place], 1, memory_order_relaxed);
}

static uint64_t count_of(struct sim_cell cell)
{
    return atomic_load_explicit(&matrix->counts[cell.op][cell.outcome][cell.place], memory_order_relaxed);
}

uint32_t sim_matrix_aims(uint64_t seed, struct sim_cell *aims, uint32_t max)
{
    if (seed >= SEEDS_AT_ONE) {
        aims[0] = cells[(seed - SEEDS_AT_ONE) % cell_count];
        return 1;
    }
    if (seed % 3 == 0)
        return 0;
    for (uint32_t i = 0; i < max; i++)
        aims[i] = cells[((seed - seed / 3) * max + i) % cell_count];
    return max;
}

uint32_t sim_matrix_round(uint64_t *seeds, uint32_t max)
{
    uint32_t empty = 0, count = 0;
    for (uint32_t i = 0; i < cell_count; i++)
        empty += count_of(cells[i]) == 0;
    uint32_t each = empty > 0 && empty < TRIES_AT_ONCE ? TRIES_AT_ONCE / empty : 1;
    for (uint32_t i = 0; i < cell_count; i++)
        for (uint32_t n = 0; n < each && count_of(cells[i]) == 0; n++) {
            if (count == max || tries[i] == TRIES_MAX || tries_in_all == TRIES_IN_ALL_MAX)
                break;
            seeds[count++] = SEEDS_AT_ONE + (uint64_t)tries[i]++ * cell_count + i;
            tries_in_all++;
        }
    return count;
}

const char *sim_cell_name(struct sim_cell cell)
{
    static char name[64];
    snprintf(name, sizeof name, "%s %s %s", op_names[cell.op], outcome_names[cell.outcome], place_names[cell.place]);
    return name;
}

/* Left out because it hardly ever comes, not because it cannot. */
static bool is_seldom(struct sim_cell cell)
{
    return cell.op == RING_ACCEPT && cell.outcome == SIM_NOT_BEGUN && cell.place == SIM_AT_STOPPING;
}

/* What was seen although the tables say that it cannot be: then the tables are wrong. */
static bool print_surprises(void)
{
    bool any = false;
    for (uint32_t i = 0; i < RING_OPS * SIM_OUTCOMES * SIM_PLACES; i++) {
        struct sim_cell cell = {
            .op = i / (SIM_OUTCOMES * SIM_PLACES), .outcome = i / SIM_PLACES % SIM_OUTCOMES, .place = i % SIM_PLACES};
        if (count_of(cell) == 0 || is_seldom(cell) || (is_of_universe(cell) && why_not(cell) == NULL))
            continue;
        printf("sim: fault matrix: %s was seen and should not be possible\n", sim_cell_name(cell));
        any = true;
    }
    return any;
}

static void print_impossible(void)
{
    for (size_t i = 0; i < IMPOSSIBLE; i++) {
        printf("sim: fault matrix: left out: %s", op_names[impossible[i].op]);
        for (uint32_t o = 0; impossible[i].outcomes != UINT32_MAX && o < SIM_OUTCOMES; o++)
            if (impossible[i].outcomes & BIT(o))
                printf(" %s", outcome_names[o]);
        printf(" in");
        for (uint32_t p = 0; p < SIM_PLACES; p++)
            if (impossible[i].places & BIT(p))
                printf(" %s", place_names[p]);
        printf(": %s\n", impossible[i].why);
    }
}

bool sim_matrix_print(bool all)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < cell_count; i++) {
        uint64_t count = count_of(cells[i]);
        seen += count > 0;
        if (all || count == 0)
            printf("sim: fault matrix: %10llu %s", (unsigned long long)count, sim_cell_name(cells[i]));
        if (count == 0 && tries[i] > 0)
            printf(": not hit by %u tries of its own", tries[i]);
        if (all || count == 0)
            printf("\n");
    }
    if (all)
        print_impossible();
    bool surprised = print_surprises();
    printf("sim: fault matrix %u of %u cells\n", seen, cell_count);
    return seen == cell_count && !surprised;
}
