/* SPDX-License-Identifier: MIT */
/* Where an uploaded file goes below its service's folder: a pure function of what its sender wrote (N-58, Q-40, Q-50). */
#ifndef RINGCAST_PROTOCOL_DIALECTS_RNN_UPLOAD_PATH_H
#define RINGCAST_PROTOCOL_DIALECTS_RNN_UPLOAD_PATH_H

#include "core/buf.h"

#define UPLOAD_PATH_BYTES_MAX 1024
#define UPLOAD_COMPONENT_BYTES_MAX 255

/* Appends the path to `out`: components with one '/' between. False: it is refused. */
bool upload_path(struct slice file_path, struct slice filename, struct buf *out);

#endif
