/* SPDX-License-Identifier: MIT */
/* Structured log lines to stderr: logfmt or JSON. A line is built in a buffer on the caller's stack and written with
 * one write(2), by the writer's thread where one runs (log_writer.h), so lines of several threads do not mix. Values
 * are escaped; whoever logs masks secrets before. */
#ifndef RINGCAST_CORE_LOG_H
#define RINGCAST_CORE_LOG_H

#include "core/buf.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_line {
    struct buf out;
    bool off; /* below the level: nothing is built or written */
    uint8_t memory[1536];
};

/* Process-wide; may be called again (reload). Also sets check_report so that failed checks appear as log lines. */
void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
/* Where lines go: file descriptor 2 unless a test says otherwise (-1: nowhere). */
void log_redirect(int fd);
int log_descriptor(void);

/* time, level and msg come first: time=2026-05-11T10:00:00.000Z level=info msg="listening" ... */
void log_begin(struct log_line *line, enum log_level level, const char *message);
void log_text(struct log_line *line, const char *key, const char *value);
void log_slice(struct log_line *line, const char *key, struct slice value);
void log_u64(struct log_line *line, const char *key, uint64_t value);
/* strerror of a positive or negative errno, with its number. */
void log_errno(struct log_line *line, const char *key, int error);
void log_end(struct log_line *line);
/* For who writes it past log_end: the whole line with its newline. Of a line that is not off. */
struct slice log_finish(struct log_line *line);

/* A line with no fields. */
void log_message(enum log_level level, const char *message);

#endif
