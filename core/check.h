/* SPDX-License-Identifier: MIT */
/* Asserts that stay on in release: a failed one is our bug, never a peer's fault, and ends the process. */
#ifndef RINGCAST_CORE_CHECK_H
#define RINGCAST_CORE_CHECK_H

#include <stdint.h>

/* Called once with a finished line (NUL-terminated, no newline) before the abort; the engine's log sets it. */
typedef void check_report_fn(const char *line);
extern check_report_fn *check_report;

_Noreturn void check_failed(const char *file, int line, const char *what);
_Noreturn void check_failed_pair(const char *file, int line, const char *what, uint64_t left, uint64_t right);

#ifdef RINGCAST_NO_CHECKS /* only to measure what they cost (CMakeLists.txt) */

#define check(cond) ((void)sizeof(!(cond)))
#define check_op(left, op, right) ((void)sizeof((uint64_t)(left)op(uint64_t)(right)))

#else

#define check(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

/* Compares two unsigned values and prints both sides when the comparison does not hold. */
#define check_op(left, op, right)                                                                                      \
    do {                                                                                                               \
        uint64_t check_left_ = (uint64_t)(left), check_right_ = (uint64_t)(right);                                     \
        if (!(check_left_ op check_right_))                                                                            \
            check_failed_pair(__FILE__, __LINE__, #left " " #op " " #right, check_left_, check_right_);                \
    } while (0)

#endif

#endif
